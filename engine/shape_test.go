package engine

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

// shaped says of each field of what rules are made of whether it is in the shape, or why it is not.
var shaped = map[string]string{
	"Output.Name":        "in the shape",
	"Output.Path":        "in the key",
	"Output.Shape":       "in the key",
	"Output.Format":      "in the key; of a source, in the names of its files",
	"Output.Compression": "in the key; of a source, in the names of its files",
	"Output.PartSize":    "in the key",
	"Output.Columns":     "in the shape", // of a source they are in no key
	"Output.Key":         "in the shape",
	"Output.References":  "in the shape",
	"Output.Metrics":     "in the shape",
	"Output.Expects":     "in the shape",
	"Output.Rejects":     "in the shape",
	"Output.Range":       "place in a file",

	"Column.Name": "in the shape", "Column.Type": "in the shape", "Column.NotNull": "in the shape",

	"Expect.Name": "in the shape", "Expect.That": "in the shape", "Expect.Warn": "in the shape", "Expect.Prior": "in the shape",
	"Expect.Message": "text for people",
	"Expect.Range":   "place in a file",
	"Expect.Uses":    "follows from That",
	"Expect.Judge":   "follows from That",

	"Metric.Name": "in the shape", "Metric.SQL": "in the shape",
	"Metric.Range": "place in a file",

	"Reject.Name": "in the shape", "Reject.Where": "in the shape", "Reject.Unreadable": "in the shape",
	"Reject.LimitRows":  "in the shape",
	"Reject.LimitShare": "used only with IsShare: see TestLimitsInShape",
	"Reject.IsShare":    "in the shape",
	"Reject.Range":      "place in a file",

	"Reference.Column": "in the shape", "Reference.To": "in the shape",
	"Reference.Range": "place in a file",

	"Input.Name":     "in the shape",
	"Input.From":     "the trees that enter are in the key",
	"Input.Files":    "the trees that enter are in the key",
	"Input.Columns":  "in the shape", // what the consumer asks for is a rule too
	"Input.Window":   "the partitions that it selects are in the key",
	"Input.Slice":    "the partitions that it selects are in the key",
	"Input.TakeLast": "the partitions that it selects are in the key",
	"Input.Missing":  "the partitions that it selects are in the key",
	"Input.Waive":    "which versions may enter, whose trees are in the key",
	"Input.Expects":  "in the shape",
	"Input.Range":    "place in a file",
}

func ruledTarget() *Target {
	return &Target{Label: Label{"spam", "classified"}, Kind: Command,
		Inputs: []*Input{{Name: "plays", Expects: []*Expect{{Name: "volume", That: "rows >= 1000"}}}},
		Outputs: []*Output{{Name: "classified", Path: "classified.csv", Format: CSV, Columns: []Column{{"id", "BIGINT", true}, {"spam", "DOUBLE", false}}, Key: []string{"id"},
			References: []Reference{{Column: "id", To: Ref{Label: Label{"plays", "plays"}}}},
			Metrics:    []*Metric{{Name: "spam_rate", SQL: "avg(spam)"}},
			Expects:    []*Expect{{Name: "no_jump", That: "metric.spam_rate < mean(prior[*].metric.spam_rate)", Prior: 7}},
			Rejects:    []*Reject{{Name: "unscored", Where: "spam IS NULL", LimitRows: 3}}}}}
}

const engineVersion = "v1.5.6"

// shapeOf is the shape of a target whose inputs all have the metric.
func shapeOf(t *Target, metrics ...*Metric) cache.SectionDigest {
	return t.Shape(slices.Repeat([]*Output{{Metrics: metrics}}, len(t.Inputs)), nil, engineVersion)
}

func TestEveryFieldIsInTheShapeOrExempt(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range []any{Output{}, Column{}, Expect{}, Metric{}, Reject{}, Reference{}, Input{}} {
		typ := reflect.TypeOf(v)
		for f := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(f).Name
			seen[name] = true
			if shaped[name] == "" {
				t.Errorf("%s is neither in the shape nor exempt: add it to Shape, or to this table with a reason", name)
			}
		}
	}
	for name := range shaped {
		if !seen[name] {
			t.Errorf("%s is in the table and nowhere else", name)
		}
	}
}

// TestFieldsChangeTheShape sets each field to another value, and wants another digest where the table says that it is in the shape.
func TestFieldsChangeTheShape(t *testing.T) {
	base := shapeOf(ruledTarget())
	for _, at := range []func(*Target) reflect.Value{
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Outputs[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(&x.Outputs[0].Columns[1]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Outputs[0].Expects[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Outputs[0].Metrics[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Outputs[0].Rejects[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(&x.Outputs[0].References[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Inputs[0]).Elem() },
		func(x *Target) reflect.Value { return reflect.ValueOf(x.Inputs[0].Expects[0]).Elem() },
	} {
		typ := at(ruledTarget()).Type()
		for f := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(f).Name
			x := ruledTarget()
			field := at(x).Field(f)
			before := fmt.Sprintf("%#v", field.Interface())
			another(field)
			if fmt.Sprintf("%#v", field.Interface()) == before {
				t.Errorf("%s: the test does not know another value", name)
			}
			if changed := shapeOf(x) != base; changed != (shaped[name] == "in the shape") {
				t.Errorf("%s: table says %q, a change of it changes the shape: %v", name, shaped[name], changed)
			}
		}
	}
}

// another is other, for what only rules are made of too.
func another(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *float64:
		*x++
	case *Ref:
		x.Output += "x"
	case *Shape:
		*x = Folder
	case *Missing:
		*x = Skip
	case *Range:
		x.Start.Line++
	case **Window:
		*x = &Window{}
	case *func(Scope) Judged:
		*x = func(Scope) Judged { return Judged{} }
	default:
		other(v)
	}
}

// TestRulesOfInputs: a rule on an input goes by what its producer declares, and an input without rules by nothing.
func TestRulesOfInputs(t *testing.T) {
	metric := &Metric{Name: "n", SQL: "count(*)"}
	if shapeOf(ruledTarget()) == shapeOf(ruledTarget(), metric) {
		t.Error("a metric of the producer is not in the shape")
	}
	if shapeOf(ruledTarget(), metric) == shapeOf(ruledTarget(), &Metric{Name: "n", SQL: "count(id)"}) {
		t.Error("what a metric of the producer means is not in the shape")
	}
	without, gone := ruledTarget(), ruledTarget()
	without.Inputs[0].Expects, gone.Inputs = nil, nil
	if shapeOf(without, metric) != shapeOf(gone) || shapeOf(without) == shapeOf(ruledTarget()) {
		t.Error("an input without rules is in the shape, or one with rules is not")
	}
	asking := ruledTarget()
	asking.Inputs[0].Expects, asking.Inputs[0].Columns = nil, []Column{{"id", "BIGINT", true}}
	if shapeOf(asking) == shapeOf(gone) || !asking.Inputs[0].HasRules() || without.Inputs[0].HasRules() {
		t.Error("the columns that a consumer asks for are no rule")
	}
	two, swapped := ruledTarget(), ruledTarget()
	two.Inputs = append(two.Inputs, &Input{Name: "users"})
	swapped.Inputs = append(swapped.Inputs, &Input{Name: "users", Expects: swapped.Inputs[0].Expects})
	swapped.Inputs[0].Expects = nil
	if shapeOf(two) == shapeOf(swapped) {
		t.Error("a rule may change the input that it is on")
	}
}

// TestEngineInShape: the engine's version is in the shape of what it is needed for.
func TestEngineInShape(t *testing.T) {
	for what, c := range map[string]struct {
		Output
		want bool
	}{
		"nothing":       {Output{}, false},
		"columns":       {Output{Columns: []Column{{Name: "id", Type: "BIGINT"}}}, false},
		"expectations":  {Output{Expects: []*Expect{{Name: "volume", That: "rows > 0"}}}, false},
		"a metric":      {Output{Metrics: []*Metric{{Name: "n", SQL: "count(*)"}}}, true},
		"a reject":      {Output{Rejects: []*Reject{{Name: "n", Where: "id < 0"}}}, true},
		"a key":         {Output{Key: []string{"id"}}, true},
		"a reference":   {Output{References: []Reference{{Column: "id"}}}, true},
		"another's key": {Output{Name: "second"}, true},
	} {
		x := &Target{Outputs: []*Output{&c.Output}}
		if c.Output.Name == "second" {
			x.Outputs = append(x.Outputs, &Output{Key: []string{"id"}})
		}
		if got := x.Shape(nil, nil, "v1") != x.Shape(nil, nil, "v2"); got != c.want {
			t.Errorf("%s: the engine's version is in the shape: %v", what, got)
		}
		if x.HasRules() != (c.want || what == "expectations") {
			t.Errorf("%s: has rules: %v", what, x.HasRules())
		}
	}
}

// TestLimitsInShape: the agreed limit is in the shape, and nothing of the one that does not hold.
func TestLimitsInShape(t *testing.T) {
	texts := map[string]Reject{"0": {}, "3": {LimitRows: 3}, "100": {LimitRows: 100}, "0%": {IsShare: true}, "0.1%": {IsShare: true, LimitShare: 0.001},
		"0.7%": {IsShare: true, LimitShare: 0.7 / 100}, "100%": {IsShare: true, LimitShare: 1}, "1e-09%": {IsShare: true, LimitShare: 1e-11}}
	shapes := map[cache.SectionDigest]string{}
	for want, r := range texts {
		if got := r.LimitText(); got != want {
			t.Errorf("limit %q; want %q", got, want)
		}
		x := ruledTarget()
		x.Outputs[0].Rejects[0] = &r
		shape := shapeOf(x)
		if same, ok := shapes[shape]; ok {
			t.Errorf("%s and %s have the same shape", want, same)
		}
		shapes[shape] = want
		if r.IsShare {
			r.LimitRows++
		} else {
			r.LimitShare++
		}
		if shapeOf(x) != shape {
			t.Errorf("%s: a limit that does not hold is in the shape", want)
		}
	}
}

// TestShapesCannotShift: what stands in one place is never taken for the same in another.
func TestShapesCannotShift(t *testing.T) {
	seen := map[cache.SectionDigest]int{}
	expect, metric := &Expect{Name: "x", That: "y"}, &Metric{Name: "x", SQL: "y"}
	for k, outputs := range [][]*Output{
		{{Name: "a", Key: []string{"b", "c"}}}, {{Name: "a", Key: []string{"bc"}}}, {{Name: "a", Key: []string{"c", "b"}}},
		{{Name: "a", Expects: []*Expect{expect}}, {Name: "b"}}, {{Name: "a"}, {Name: "b", Expects: []*Expect{expect}}},
		{{Name: "a", Metrics: []*Metric{metric}}, {Name: "b"}}, {{Name: "a"}, {Name: "b", Metrics: []*Metric{metric}}},
		{{Name: "a", References: []Reference{{Column: "x", To: Ref{Label: Label{"p", "q"}}}}}}, {{Name: "a", References: []Reference{{Column: "x", To: Ref{Label: Label{"p", "q"}, Output: "r"}}}}},
		{{Name: "a", Rejects: []*Reject{{Name: "x", Where: "y"}}}}, {{Name: "a", Rejects: []*Reject{{Name: "x", Unreadable: true}}}},
		{{Name: "a", Columns: []Column{{"x", "y", false}}}}, {{Name: "a", Columns: []Column{{"x", "y", true}}}}, {{Name: "a"}}, {{Name: "a"}, {Name: "b"}},
	} {
		shape := (&Target{Outputs: outputs}).Shape(nil, nil, engineVersion)
		if other, ok := seen[shape]; ok {
			t.Errorf("case %d has the shape of case %d", k, other)
		}
		seen[shape] = k
	}
}

func sampleContent() Content {
	return Content{Output: ruledTarget().Outputs[0], Tree: cache.TreeDigest{1, 2, 3}, Columns: []Column{{"id", "BIGINT", true}, {"spam", "DOUBLE", false}}, Partition: "day=2017-06-15"}
}

var (
	expression = &Metric{Name: "spam_rate", SQL: "avg(spam)"}
	reads      = &Metric{Name: "kept", SQL: "SELECT count(*) FROM plays"}
	written    = &Metric{Name: "auc"}
)

// idsOf are all ids that a content has, by what they identify.
func idsOf(c Content, made cache.ActionKey, file cache.Digest, engine string) map[string]cache.SectionDigest {
	return map[string]cache.SectionDigest{"fingerprint": c.FingerprintID(), "split": c.SplitID(engine), "expression": c.MetricID(expression, made, file, engine),
		"statement": c.MetricID(reads, made, file, engine), "written": c.MetricID(written, made, file, engine)}
}

// TestIDs: each id changes with what it is a function of, and with nothing else.
func TestIDs(t *testing.T) {
	const all = "fingerprint split expression statement"
	base := idsOf(sampleContent(), cache.ActionKey{4}, cache.Digest{5}, engineVersion)
	seen := map[cache.SectionDigest]string{}
	for name, id := range base {
		if other, ok := seen[id]; ok {
			t.Errorf("%s and %s have the same id", name, other)
		}
		seen[id] = name
	}
	for what, c := range map[string]struct {
		change func(c *Content, made *cache.ActionKey, file *cache.Digest, engine *string)
		want   string
	}{
		"nothing":         {func(*Content, *cache.ActionKey, *cache.Digest, *string) {}, ""},
		"tree":            {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Tree[9]++ }, all},
		"format":          {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Format = NDJSON }, all},
		"compression":     {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Compression = "gzip" }, all},
		"column's name":   {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Columns[1].Name = "x" }, all},
		"column's type":   {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Columns[1].Type = "FLOAT" }, all},
		"column not null": {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Columns[1].NotNull = true }, all},
		"columns' order":  {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { slices.Reverse(c.Columns) }, all},
		"no columns":      {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Columns = nil }, all},
		"partition":       {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Partition = "" }, "split expression statement written"},
		"engine":          {func(_ *Content, _ *cache.ActionKey, _ *cache.Digest, e *string) { *e = "v2" }, "split expression statement"},
		"made":            {func(_ *Content, k *cache.ActionKey, _ *cache.Digest, _ *string) { k[9]++ }, "statement"},
		"written file":    {func(_ *Content, _ *cache.ActionKey, d *cache.Digest, _ *string) { d[9]++ }, "written"},
		"output's name":   {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Name = "x" }, "written"},
		"reject's name":   {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Rejects[0].Name = "x" }, "split"},
		"reject's where":  {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Rejects[0].Where = "x" }, "split"},
		"unreadable": {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) {
			c.Output.Rejects[0].Unreadable = true
		}, "split"},
		"no reject": {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Rejects = nil }, "split"},
		"limit":     {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) { c.Output.Rejects[0].LimitRows = 99 }, ""},
		"promised columns": {func(c *Content, _ *cache.ActionKey, _ *cache.Digest, _ *string) {
			c.Output.Columns, c.Output.Key, c.Output.Path, c.Output.Metrics = nil, nil, "", nil
		}, ""},
	} {
		content, made, file, engine := sampleContent(), cache.ActionKey{4}, cache.Digest{5}, engineVersion
		c.change(&content, &made, &file, &engine)
		for name, id := range idsOf(content, made, file, engine) {
			if want := slices.Contains(strings.Fields(c.want), name); want != (id != base[name]) {
				t.Errorf("%s: the id of %s changes: %v", what, name, !want)
			}
		}
	}
	c := sampleContent()
	if c.MetricID(expression, cache.ActionKey{}, cache.Digest{}, "") != c.MetricID(&Metric{Name: "another", SQL: expression.SQL}, cache.ActionKey{}, cache.Digest{}, "") {
		t.Error("the name of a metric in SQL is in its id")
	}
	if c.MetricID(written, cache.ActionKey{}, cache.Digest{}, "") == c.MetricID(&Metric{Name: "another"}, cache.ActionKey{}, cache.Digest{}, "") {
		t.Error("the name of a metric that the job wrote is not in its id")
	}
}

func TestContentOf(t *testing.T) {
	a, b := VersionOutput{"a", cache.TreeDigest{1}, cache.TreeDigest{2}, cache.TreeDigest{3}}, VersionOutput{"b", cache.TreeDigest{4}, cache.TreeDigest{5}, cache.TreeDigest{6}}
	list := []VersionOutput{b, a}
	base := ContentOf(list)
	if base != ContentOf([]VersionOutput{a, b}) {
		t.Error("the order of the outputs counts")
	}
	if list[0].Name != "b" {
		t.Error("the outputs were put into another order")
	}
	raw, aside, visible, name, swapped := a, a, a, a, []VersionOutput{a, b}
	raw.Raw[9]++
	aside.Quarantine[9]++
	visible.Visible[9]++
	name.Name = "c"
	swapped[0].Visible, swapped[1].Visible = b.Visible, a.Visible
	for what, same := range map[string]bool{"raw": ContentOf([]VersionOutput{raw, b}) == base, "quarantine": ContentOf([]VersionOutput{aside, b}) == base} {
		if !same {
			t.Errorf("another %s tree is other content, which no consumer sees", what)
		}
	}
	for what, outputs := range map[string][]VersionOutput{"another visible tree": {visible, b}, "another name": {name, b}, "swapped trees": swapped, "one less": {a}, "nothing": nil} {
		if ContentOf(outputs) == base {
			t.Errorf("%s is the same content", what)
		}
	}
}

func TestInputSubject(t *testing.T) {
	parts := []InputPart{{"day=1", cache.TreeDigest{1}}, {"day=2", cache.TreeDigest{2}}}
	seen := map[VersionID]string{InputSubject("w", Label{"p", "n"}, "day=3", "in", parts): "itself"}
	for what, id := range map[string]VersionID{
		"workspace":    InputSubject("v", Label{"p", "n"}, "day=3", "in", parts),
		"package":      InputSubject("w", Label{"q", "n"}, "day=3", "in", parts),
		"name":         InputSubject("w", Label{"p", "m"}, "day=3", "in", parts),
		"partition":    InputSubject("w", Label{"p", "n"}, "day=4", "in", parts),
		"no partition": InputSubject("w", Label{"p", "n"}, "", "in", parts),
		"input":        InputSubject("w", Label{"p", "n"}, "day=3", "of", parts),
		"shifted":      InputSubject("w", Label{"p", "n"}, "day=3i", "n", parts),
		"one less":     InputSubject("w", Label{"p", "n"}, "day=3", "in", parts[:1]),
		"nothing":      InputSubject("w", Label{"p", "n"}, "day=3", "in", nil),
		"order":        InputSubject("w", Label{"p", "n"}, "day=3", "in", []InputPart{parts[1], parts[0]}),
		"tree":         InputSubject("w", Label{"p", "n"}, "day=3", "in", []InputPart{parts[0], {"day=2", cache.TreeDigest{3}}}),
		"its parts":    InputSubject("w", Label{"p", "n"}, "day=3", "in", []InputPart{parts[0], {"day=3", cache.TreeDigest{2}}}),
	} {
		if other, ok := seen[id]; ok {
			t.Errorf("another %s is the subject of %s", what, other)
		}
		seen[id] = what
	}
}

func TestReaderColumns(t *testing.T) {
	declared, made := []Column{{"id", "BIGINT", true}}, []Column{{"id", "BIGINT", false}, {"more", "DOUBLE", false}}
	for _, c := range []struct {
		Kind
		Format
		made, want []Column
	}{
		{SQL, Parquet, made, nil}, {SQL, Parquet, nil, nil}, {SQL, CSV, made, made}, {SQL, NDJSON, nil, declared}, {Command, CSV, nil, declared}, {Command, CSV, made, declared},
		{Command, Parquet, nil, declared}, {Source, Parquet, nil, declared}, {Source, CSV, nil, declared},
	} {
		got := (&Target{Kind: c.Kind}).ReaderColumns(&Output{Format: c.Format, Columns: declared}, c.made)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s of %s, made %v: read by %v; want %v", c.Format, c.Kind, c.made, got, c.want)
		}
	}
}

// TestPinnedShapes holds shapes and ids still: where they change, all is judged or measured anew, without need.
func TestPinnedShapes(t *testing.T) {
	var b strings.Builder
	line := func(name string, id fmt.Stringer) { fmt.Fprintf(&b, "%-13s %s\n", name, id) }
	line("shape", shapeOf(ruledTarget(), expression))
	share := ruledTarget()
	share.Outputs[0].Rejects[0] = &Reject{Name: "unreadable", Unreadable: true, IsShare: true, LimitShare: 0.001}
	share.Outputs[0].Expects[0].Warn = true
	line("another", shapeOf(share, expression))
	ids := idsOf(sampleContent(), cache.ActionKey{4}, cache.Digest{5}, engineVersion)
	for _, name := range []string{"fingerprint", "split", "expression", "statement", "written"} {
		line(name, ids[name])
	}
	parts := []InputPart{{"day=2017-06-14", cache.TreeDigest{1}}, {"day=2017-06-15", cache.TreeDigest{2}}}
	line("content", ContentOf([]VersionOutput{{"b", cache.TreeDigest{1}, cache.TreeDigest{2}, cache.TreeDigest{}}, {"a", cache.TreeDigest{3}, cache.TreeDigest{4}, cache.TreeDigest{}}}))
	line("input content", InputContent(parts))
	line("input subject", InputSubject("soundcloud", Label{"spam", "classified"}, "day=2017-06-15", "plays", parts))
	const file = "../testdata/format/shapes.txt"
	if *update {
		if err := os.WriteFile(file, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("shapes are not what they were.\n got:\n%s\nwant:\n%s", b.String(), want)
	}
}

// TestRulesSeeBeyond: what is rejected, and metrics that are no function of the content, may change while the content does not.
func TestRulesSeeBeyond(t *testing.T) {
	producers := []*Output{{Metrics: []*Metric{{Name: "rate", SQL: "avg(x)"}, {Name: "lost", SQL: "SELECT count(*) FROM raw"}, {Name: "auc"}}}}
	for use, want := range map[string]bool{"rows": false, "column.x.nulls": false, "metric.rate": false, "parts.metric.rate": false, "metric.lost": true,
		"prior.metric.auc": true, "parts.metric": true, "metric.*": true, "rejected.bad.rows": true, "replaced.rejected.bad.share": true} {
		x := &Expect{Uses: []Use{{Path: []string{"files"}}, {Path: strings.Split(use, ".")}}}
		on := &Target{Inputs: []*Input{{Name: "in", Expects: []*Expect{x}}}}
		if got := on.RulesSeeBeyond(producers); got != want {
			t.Errorf("%s on an input: %v", use, got)
		}
		if got := (&Target{Outputs: []*Output{{Expects: []*Expect{x}}}}).RulesSeeBeyond(producers); got {
			t.Errorf("%s of the output itself: %v", use, got)
		}
		of := &Expect{Uses: []Use{{Path: append([]string{"input", "in"}, strings.Split(use, ".")...)}}}
		if got := (&Target{Outputs: []*Output{{Expects: []*Expect{of}}}}).RulesSeeBeyond(producers); got != want {
			t.Errorf("input.in.%s on an output: %v", use, got)
		}
	}
}
