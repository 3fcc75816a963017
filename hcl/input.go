package hcl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// edges collects a target's inputs, whichever way they are written.
type edges struct {
	*block
	target *engine.Target
	names  *names
	at     map[string]hcl.Range
	rules  []*edgeRule
}

// edgeRule is an expectation on an input.
type edgeRule struct {
	*rule
	input *engine.Input
}

// inputs reads all inputs of a target.
func (b *block) inputs(t *engine.Target) *edges {
	d := &edges{block: b, target: t, names: &names{dims: t.PartitionBy, loose: b.loose}, at: map[string]hcl.Range{}}
	if e := b.attr("inputs"); e != nil {
		d.short(e)
	}
	for _, c := range b.children("input") {
		d.long(c)
	}
	slices.SortStableFunc(t.Inputs, func(x, y *engine.Input) int { return x.Range.Start.Byte - y.Range.Start.Byte })
	return d
}

// short reads inputs = [...] and inputs = {...}.
func (d *edges) short(e hclsyntax.Expression) {
	if d.isMap(e) {
		entries, _ := d.entries(e, "inputs")
		for _, x := range entries {
			if d.checkInputName(x.key, x.at) {
				d.refer(&engine.Input{Name: x.key, Range: place(x.at)}, x.at, x.expr)
			}
		}
		return
	}
	elements, _ := d.elements(e, "inputs")
	for _, x := range elements {
		if s, ok := d.inputText(x); ok {
			if name, ok := d.lastPart(x, s); ok {
				d.refer(&engine.Input{Name: name, Range: place(x.Range())}, x.Range(), x)
			}
		}
	}
}

// isMap says whether an expression gives a map, as far as that can be told without a report.
func (b *block) isMap(e hclsyntax.Expression) (is bool) {
	switch x := unwrap(e).(type) {
	case *hclsyntax.ObjectConsExpr:
		return true
	case *hclsyntax.ForExpr:
		return x.KeyExpr != nil
	case *hclsyntax.ScopeTraversalExpr:
		name, _, _ := second(x.Traversal)
		v, found := b.scope.local(name)
		if x.Traversal.RootName() != "local" || !found || v == cty.NilVal {
			return false
		}
		v, diags := x.Traversal.TraverseAbs(b.scope.with(map[string]cty.Value{"local": cty.ObjectVal(map[string]cty.Value{name: v})}))
		return !diags.HasErrors() && (v.Type().IsObjectType() || v.Type().IsMapType())
	case *hclsyntax.FunctionCallExpr:
		return x.Name == "merge" || x.Name == "zipmap" || x.Name == "tomap"
	}
	return false
}

// inputText is the element of a list as far as it is constant.
func (d *edges) inputText(e hclsyntax.Expression) (string, bool) {
	if mentions(e, "partition") {
		d.report(e.Range(), `write inputs = { NAME = "..." }`, "a glob needs a name")
		return "", false
	}
	return d.text(e, "inputs")
}

// lastPart names an input after its label.
func (d *edges) lastPart(e hclsyntax.Expression, s string) (string, bool) {
	if !isLabel(s) {
		hint := fmt.Sprintf("write inputs = { NAME = %q }", s)
		if engine.CheckName(s) == nil {
			hint = fmt.Sprintf("for the target or source of that name write %q", ":"+s)
		}
		d.report(e.Range(), hint, "%q is no label, so it needs a name", s)
		return "", false
	}
	ref, err := engine.ParseRef(s, d.pkg)
	if err != nil {
		d.report(e.Range(), `write "//package:name" or ":name"`, "%s", err)
		return "", false
	}
	switch {
	case ref.Quarantine:
		d.report(e.Range(), fmt.Sprintf("write inputs = { rejected = %q }", s), "rejected rows need a name of their own")
		return "", false
	case ref.Output != "":
		return ref.Output, true
	}
	return ref.Name, true
}

func isLabel(s string) bool { return strings.HasPrefix(s, "//") || strings.HasPrefix(s, ":") }

func (d *edges) checkInputName(name string, at hcl.Range) bool {
	if err := engine.CheckName(name); err != nil {
		d.report(at, spellName(name, engine.CheckName), "%s", err)
		return false
	}
	return true
}

// refer adds an input that is a label or a glob.
func (d *edges) refer(in *engine.Input, at hcl.Range, e hclsyntax.Expression) {
	text, ok := d.dynamic(e, "inputs", d.names)
	if !ok {
		return
	}
	if len(text) > 0 && isLabel(text[0].Literal) {
		d.from(d.block, in, text, e)
	} else {
		d.glob(d.block, in, text, e)
	}
	d.add(d.block, in, at)
}

// add keeps an input unless there is one of its name.
func (d *edges) add(b *block, in *engine.Input, at hcl.Range) {
	if first, twice := d.at[in.Name]; twice {
		b.report(at, fmt.Sprintf("give one of them another name: inputs = { NAME = %q }", "..."), "input %q is declared twice", in.Name).Detail =
			fmt.Sprintf("The first is in line %d.", first.Start.Line)
		return
	}
	d.at[in.Name] = at
	d.target.Inputs = append(d.target.Inputs, in)
}

// from sets the label that an input reads.
func (d *edges) from(b *block, in *engine.Input, text engine.Text, e hclsyntax.Expression) {
	if text.ByPartition() {
		b.report(e.Range(), "name the target alone: which of its partitions are read follows from partition_by", "a label can't depend on the partition")
		return
	}
	s, _ := text.At(nil, nil)
	ref, err := engine.ParseRef(s, b.pkg)
	if err != nil {
		hint := `write "//package:name" or ":name"`
		if label, _, found := strings.Cut(s, "@"); found {
			hint = fmt.Sprintf("write %q, and choose partitions with window or slice", label)
		}
		b.report(e.Range(), hint, "%s", err)
		return
	}
	in.From = ref
}

// glob sets the files of the package that an input reads.
func (d *edges) glob(b *block, in *engine.Input, text engine.Text, e hclsyntax.Expression) {
	glob, ok := b.sample(text, e)
	if !ok || !b.insideGlob(e, glob) {
		return
	}
	in.Files = text
	if !text.ByPartition() {
		b.needFile(e.Range(), glob)
	}
}

// needFile reports a glob that matches no file of the package.
func (b *block) needFile(at hcl.Range, glob string) {
	if b.ask(question{Glob: glob}) {
		return
	}
	hint := "paths are relative to the package's folder"
	if engine.CheckName(glob) == nil && b.declares(glob) {
		hint = fmt.Sprintf("did you mean %q?", ":"+glob)
	}
	b.report(at, hint, "%q matches no file", glob)
}

// declares says whether the package has a target or a source of that name.
func (b *block) declares(name string) bool {
	top := b
	for top.parent != nil {
		top = top.parent
	}
	return slices.ContainsFunc(top.body.Blocks, func(c *hclsyntax.Block) bool {
		return (c.Type == "target" || c.Type == "source") && len(c.Labels) == 1 && c.Labels[0] == name
	})
}

// matches says whether a glob matches a file below a folder.
func matches(dir, glob string) bool {
	found := errors.New("found")
	err := doublestar.GlobWalk(os.DirFS(dir), path.Clean(glob), func(string, fs.DirEntry) error { return found }, doublestar.WithFilesOnly(), doublestar.WithNoHidden())
	return err == found
}

// insideGlob reports a glob that can't match in the package.
func (b *block) insideGlob(e hclsyntax.Expression, glob string) bool {
	switch clean := path.Clean(glob); {
	case path.IsAbs(glob):
		b.report(e.Range(), fmt.Sprintf("declare it: source \"name\" { path = %q }", glob), "files outside of the package are read through a source")
	case clean == ".." || strings.HasPrefix(clean, "../"):
		b.report(e.Range(), `name what is in another package by its label, "//package:name"`, "%q leaves the package's folder", glob)
	default:
		return b.validGlob(e, glob)
	}
	return false
}

// long reads an input block.
func (d *edges) long(b *block) {
	in := &engine.Input{Name: b.name, Columns: b.columns(), TakeLast: b.choice("take", "last") == "last", Range: place(b.header)}
	from, files := b.attr("from"), b.attr("path")
	switch {
	case from != nil && files != nil:
		b.report(files.Range(), "keep one of them", "from and path can't stand together")
	case from != nil:
		d.blockFrom(b, in, from)
	case files != nil:
		if text, ok := b.dynamic(files, "path", d.names); ok {
			d.blockPath(b, in, text, files)
		}
	default:
		b.report(b.header, fmt.Sprintf("add from = %q, or path = %q", "//package:"+b.name, "raw/*.csv"), "input %q reads nothing", b.name)
	}
	b.labelOnly()
	in.Window, in.Slice, in.Missing = b.window(), b.slice(), b.missing()
	for _, w := range b.texts("waive") {
		if b.checkName(w.text, w.at) {
			in.Waive = append(in.Waive, w.text)
		}
	}
	for _, r := range b.expects(&in.Expects) {
		d.rules = append(d.rules, &edgeRule{r, in})
	}
	d.add(b, in, b.label)
}

// labelOnly reports attributes that mean nothing to files of the package.
func (b *block) labelOnly() {
	if b.attr("path") == nil || b.attr("from") != nil {
		return
	}
	for _, name := range []string{"window", "slice", "take", "missing", "waive"} {
		if a := b.body.Attributes[name]; a != nil {
			b.report(a.NameRange, "declare the files as a source, and read that with from", "%s is for inputs that read a target or a source", name)
		}
	}
}

func (d *edges) blockFrom(b *block, in *engine.Input, e hclsyntax.Expression) {
	text, ok := b.dynamic(e, "from", d.names)
	if !ok {
		return
	}
	if s := text[0].Literal; !text.ByPartition() && !isLabel(s) {
		hint := fmt.Sprintf("write from = %q; for files in the package write path = %q", ":"+s, s)
		if engine.CheckName(s) != nil {
			hint = fmt.Sprintf("for files in the package write path = %q", s)
		}
		b.report(e.Range(), hint, "from wants a label, not %q", s)
		return
	}
	d.from(b, in, text, e)
}

func (d *edges) blockPath(b *block, in *engine.Input, text engine.Text, e hclsyntax.Expression) {
	if len(text) > 0 && isLabel(text[0].Literal) {
		b.report(e.Range(), fmt.Sprintf("write from = %q", text[0].Literal), "path wants a glob; this is a label")
		return
	}
	d.glob(b, in, text, e)
}

// window reads [-6, 0] and ["first", 0].
func (b *block) window() *engine.Window {
	e := b.attr("window")
	if e == nil {
		return nil
	}
	elements, ok := b.elements(e, "window")
	if !ok {
		return nil
	}
	if len(elements) != 2 {
		b.report(e.Range(), "write "+example("window"), "window wants two positions, not %d", len(elements))
		return nil
	}
	w := &engine.Window{Range: place(e.Range())}
	first, ok := b.value(elements[0], "window")
	if !ok {
		return nil
	}
	if first.Type() == cty.String && first.AsString() == "first" {
		w.FromStart = true
	} else if w.From, ok = b.position(elements[0]); !ok {
		return nil
	}
	if w.To, ok = b.position(elements[1]); !ok {
		return nil
	}
	if !w.FromStart && w.From > w.To {
		b.report(e.Range(), fmt.Sprintf("write window = [%d, %d]", w.To, w.From), "the window ends before it starts")
		return nil
	}
	return w
}

func (b *block) position(e hclsyntax.Expression) (int, bool) {
	n, ok := b.integer(e, "window", math.MinInt32, math.MaxInt32)
	return int(n), ok
}

// slice reads { country = "DE" }, ordered by dimension.
func (b *block) slice() []engine.Value {
	e := b.attr("slice")
	if e == nil {
		return nil
	}
	entries, _ := b.entries(e, "slice")
	var out []engine.Value
	for _, x := range entries {
		s, ok := b.text(x.expr, "slice")
		if !ok {
			continue
		}
		if d := b.shared.dims[x.key]; d == nil {
			b.unknownDimension(x.key, x.at)
		} else if b.isValue(d, s, x.expr) {
			out = append(out, engine.Value{Dimension: x.key, Text: s})
		}
	}
	slices.SortFunc(out, func(x, y engine.Value) int { return strings.Compare(x.Dimension, y.Dimension) })
	return out
}

// isValue reports a text that is no value of a dimension.
func (b *block) isValue(d *dimension, s string, e hclsyntax.Expression) bool {
	switch {
	case !d.ok:
		return true
	case d.Unit == engine.NoUnit && !d.FromSource.IsZero(): // which there are is seen later
		if err := engine.CheckValue(s); err != nil {
			b.report(e.Range(), "", "%s", err)
			return false
		}
	case d.Unit != engine.NoUnit:
		if _, err := d.Unit.Parse(s, d.loc); err != nil {
			b.report(e.Range(), "", "%s", err)
			return false
		}
	case !slices.Contains(d.Values, s):
		b.report(e.Range(), didYouMean(s, d.Values), "%q is no value of partition %s", s, d.Name)
		return false
	}
	return true
}

var missingWords = map[string]engine.Missing{
	engine.Block.String(): engine.Block, engine.Skip.String(): engine.Skip, engine.SkipNewer.String(): engine.SkipNewer,
}

func (b *block) missing() engine.Missing {
	return missingWords[b.choice("missing", slices.Sorted(maps.Keys(missingWords))...)]
}
