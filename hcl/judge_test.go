package hcl

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dpb-build/dpb/engine"
)

// compiled is a rule with up to three versions before, without the checks of a file.
func compiled(t testing.TB, that string) *engine.Expect {
	e, diags := hclsyntax.ParseExpression([]byte(that), "", hcl.InitialPos)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	x := &engine.Expect{That: that, Prior: 3, Uses: usesOf(e)}
	x.Judge = judge(x)
	return x
}

func ptr[T any](v T) *T { return &v }

// table is a fingerprint with columns of each kind.
func table(rows int64) *engine.Facts {
	return &engine.Facts{
		Fingerprint: &engine.Fingerprint{Rows: rows, Bytes: 10 * rows, Files: 2, Columns: []engine.ColumnStats{
			{Name: "id", Type: "BIGINT", Distinct: 9, Min: ptr("1"), Max: ptr("9223372036854775807"), Mean: ptr(5.5), Stddev: ptr(2.0), Entropy: ptr(3.0),
				Quantiles: []engine.Quantile{{P: 0.05, Value: "1"}, {P: 0.5, Value: "5"}}, Top: []engine.Frequent{{Value: "7", Rows: 4}}},
			{Name: "price", Type: "DECIMAL(38,2)", Distinct: 2, Min: ptr("0.10"), Max: ptr("123456789012345678901234567890123456.78")},
			{Name: "day", Type: "DATE", Distinct: 2, Min: ptr("2017-06-01"), Max: ptr("2017-06-02")},
			{Name: "at", Type: "TIMESTAMP", Distinct: 2, Min: ptr("2017-06-01 00:00:00"), Max: ptr("2017-06-01 23:59:59.5")},
			{Name: "seen", Type: "TIMESTAMP WITH TIME ZONE", Distinct: 2, Min: ptr("2017-05-31 22:00:00+00"), Max: ptr("2017-06-01 21:00:00+00")},
			{Name: "clock", Type: "TIME", Distinct: 2, Min: ptr("08:00:00"), Max: ptr("17:30:00")},
			{Name: "ever", Type: "DATE", Distinct: 2, Min: ptr("2017-06-01"), Max: ptr("infinity")},
			{Name: "spam", Type: "BOOLEAN", Distinct: 1, Min: ptr("false"), Max: ptr("false"), Mean: ptr(0.0)},
			{Name: "User Id", Type: "VARCHAR", Distinct: 2, Min: ptr("a"), Max: ptr("b")},
			{Name: "score", Type: "DOUBLE", Distinct: 3, Min: ptr("-inf"), Max: ptr("nan"), NaNs: 1, Infinities: 1},
			{Name: "empty", Type: "BIGINT", Nulls: rows},
		}},
		Metrics:  map[string]*float64{"rate": ptr(0.42), "tenth": ptr(0.1), "none": nil, "odd": ptr(math.NaN())},
		Rejected: map[string]engine.Rejected{"bad": {Rows: 3, Share: 0.03}},
	}
}

// june is the first day of June, in Berlin.
func june(t testing.TB) engine.Interval {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Skip(err)
	}
	return engine.Interval{Start: time.Date(2017, 6, 1, 0, 0, 0, 0, berlin), End: time.Date(2017, 6, 2, 0, 0, 0, 0, berlin)}
}

func scopeOf(t testing.TB) engine.Scope {
	old := table(80)
	old.Metrics["rate"] = ptr(0.06)
	return engine.Scope{Self: table(100), Prior: []*engine.Facts{old, table(100), table(120), table(140)}, Interval: june(t),
		Inputs: map[string]*engine.Facts{"plays": table(200)}, Outputs: map[string]*engine.Facts{"other": table(50)}}
}

// spellJudged writes all of a judgement in one line.
func spellJudged(j engine.Judged) string {
	return strings.TrimSuffix(strings.Join([]string{j.Status.String(), j.Observed, j.Bound, j.Reason}, " | "), " | ")
}

// TestJudge holds what rules come to: status, observed, bound and, of faults, the reason.
func TestJudge(t *testing.T) {
	s := scopeOf(t)
	for that, want := range map[string]string{
		"range(metric.rate, 0.01, 0.30)":                                "violated | metric.rate = 0.42 | between 0.01 and 0.3",
		"range(rows, 100, 2 * 60)":                                      "passed | rows = 100 | between 100 and 2 * 60 = 120",
		"abs(metric.rate - mean(prior[*].metric.rate)) < 0.05":          "violated | abs(metric.rate - mean(prior[*].metric.rate)) = 0.12 (metric.rate = 0.42) | < 0.05",
		"rows < mean(prior[*].rows)":                                    "violated | rows = 100 | < mean(prior[*].rows) = 100",
		"50 > rows":                                                     "violated | rows = 100 | < 50",
		"rows > 0 && bytes < 100 && files == 1":                         "violated | bytes = 1000 | < 100",
		"rows > 0 && files == 2":                                        "passed | rows = 100, files = 2 | ",
		"rows == 1 || files == 1":                                       "violated | rows = 100, files = 2 | ",
		"!(rows > 5)":                                                   "violated | rows = 100 | ",
		"!column.spam.max":                                              "passed | column.spam.max = false | false",
		"column.spam.max":                                               "violated | column.spam.max = false | true",
		"contains([1, 2], rows)":                                        "violated | rows = 100 | ",
		"oneof(column[\"User Id\"].min, \"b\", \"c\")":                  "violated | column[\"User Id\"].min = \"a\" | one of \"b\", \"c\"",
		"oneof(rows, [1, 100])":                                         "passed | rows = 100 | one of [1, 100]",
		"metric.tenth == 0.1 && metric.tenth == 1 / 10":                 "passed | metric.tenth = 0.1 | ",
		"column.id.max == 9223372036854775807":                          "passed | column.id.max = 9223372036854775807 | == 9223372036854775807",
		"column.id.max == 9223372036854775806":                          "violated | column.id.max = 9223372036854775807 | == 9223372036854775806",
		"column.price.max < 123456789012345678901234567890123456.78":    "violated | column.price.max = 1.23456789e+35 | < 1.23456789e+35",
		"rows / 3 > 34":                                                 "violated | rows / 3 = 33.3333333 (rows = 100) | > 34",
		"rows % 7 == 2 && -rows % 7 == -2":                              "passed | rows = 100 | ",
		"column.id.quantile[0.50] == 5":                                 "passed | column.id.quantile[0.50] = 5 | == 5",
		"column.id.top[0].value == 7 && column.id.top[0].share == 0.04": "passed | column.id.top[0].value = 7, column.id.top[0].share = 0.04 | ",
		"rejected.bad.share <= 0.01":                                    "violated | rejected.bad.share = 0.03 | <= 0.01",
		"input.plays.rows == 2 * rows && output.other.rows == rows / 2": "passed | input.plays.rows = 200, rows = 100, output.other.rows = 50 | ",
		"ratio(rows, input.plays.rows) > 0.9":                           "violated | ratio(rows, input.plays.rows) = 0.5 (rows = 100, input.plays.rows = 200) | > 0.9",
		"length(prior) == 3 && prior[2].rows == 120":                    "passed | prior[2].rows = 120 | ",
		"median(prior[*].rows) == 100 && median([1, 2, 3, 4]) == 2.5":   "passed |  | ",
		"stddev([2, 4, 4, 4, 5, 5, 7, 9]) == 2":                         "passed | stddev([2, 4, 4, 4, 5, 5, 7, 9]) = 2 | == 2",
		"zscore(9, [2, 4, 4, 4, 5, 5, 7, 9]) == 2":                      "passed | zscore(9, [2, 4, 4, 4, 5, 5, 7, 9]) = 2 | == 2",
		"stddev([0.1, 0.1, 0.1]) == 0 && zscore(0.1, [0.1, 0.1]) == 0":  "passed |  | ",
		"rows > max([for p in prior : p.rows if p.rows < 110]...) - 1":  "passed | rows = 100 | > max([for p in prior : p.rows if p.rows < 110]...) - 1 = 99",
		"[for name, c in column : name if c.nulls > 0] == null":         "violated | [for name, c in column : name if c.nulls > 0] | == null",
		"join(\",\", [for n, c in column : n if c.nulls > 0]) == \"\"":  "violated | join(\",\", [for n, c in column : n if c.nulls > 0]) = \"empty\" | == \"\"",
		"reverse(prior)[0].rows == 120":                                 "passed | reverse(prior)[0].rows = 120 | == 120",
		"{ a = rows }.a == 100 && { for p in prior : \"r${p.rows}\" => p.bytes }[\"r80\"] == 800": "passed | rows = 100 | ",
		"\"n${rows}\" == \"n100\"": "passed | \"n${rows}\" = \"n100\" (rows = 100) | == \"n100\"",

		"column.day.max < \"2017-06-02\"":                                "violated | column.day.max = 2017-06-02 | < \"2017-06-02\"",
		"before(column.at.max, end())":                                   "passed | column.at.max = 2017-06-01 23:59:59.5 | before end() = 2017-06-02T00:00:00+02:00",
		"column.day.min == start() && column.seen.min == start()":        "passed | column.day.min = 2017-06-01, column.seen.min = 2017-05-31 22:00:00+00 | ",
		"before(column.seen.max, \"2017-06-02\")":                        "passed | column.seen.max = 2017-06-01 21:00:00+00 | before \"2017-06-02\"",
		"column.clock.max > \"17:00:00\"":                                "passed | column.clock.max = 17:30:00 | > \"17:00:00\"",
		"column.day.min >= \"2017-06\" && column.day.max < \"2017-W23\"": "passed | column.day.min = 2017-06-01, column.day.max = 2017-06-02 | ",
		"date(\"YYYY\", start()) == \"2017\"":                            "passed | date(\"YYYY\", start()) = \"2017\" | == \"2017\"",

		"replaced == null":                                    "passed | replaced = null | == null",
		"replaced != null":                                    "violated | replaced = null | != null",
		"replaced == null || rows > replaced.rows":            "passed | replaced = null, rows = 100 | ",
		"rows > replaced.rows || replaced == null":            "passed | rows = 100, replaced = null | ",
		"rows > replaced.rows":                                "not yet |  |  | there is no version before",
		"rows > replaced.rows && rows > 0":                    "not yet |  |  | there is no version before",
		"rows > replaced.rows && rows < 0":                    "violated | rows = 100 | < 0",
		"rows > replaced.rows && rows > column.empty.max":     "violated |  |  | column.empty.max is null: the column has no values",
		"try(replaced.rows, 0) == 0":                          "passed | try(replaced.rows, 0) = 0 | == 0",
		"can(replaced.rows)":                                  "violated |  | ",
		"column.empty.mean == null && column.id.mean != null": "passed | column.empty.mean = null, column.id.mean = 5.5 | ",
		"try(column.empty.max, metric.none, 7) == 7":          "passed | try(column.empty.max, metric.none, 7) = 7 (column.empty.max = null, metric.none = null) | == 7",
		"rows == 100 || column.empty.max > 1":                 "passed | rows = 100, column.empty.max = null | ",

		"column.empty.mean > 1":                   "violated |  |  | column.empty.mean is null: the column has no values",
		"column.empty.min == column.empty.max":    "violated |  |  | column.empty.min is null: the column has no values",
		"1 + column.empty.mean > 1":               "violated |  |  | column.empty.mean is null: the column has no values",
		"!column.empty.mean":                      "violated |  |  | column.empty.mean is null: the column has no values",
		"column.empty.mean":                       "violated |  |  | column.empty.mean is null: the column has no values",
		"mean([1, column.empty.max]) > 0":         "violated |  |  | column.empty.max is null: the column has no values",
		"coalesce(column.empty.max, 1) == 1":      "violated |  |  | column.empty.max is null: the column has no values",
		"contains([column.empty.max], 1)":         "violated |  |  | column.empty.max is null: the column has no values",
		"oneof(rows, column.empty.max)":           "violated |  |  | column.empty.max is null: the column has no values",
		"range(rows, null, 5)":                    "violated |  |  | null can be used only in == null and != null",
		"mean(prior[*].metric.none) > 0":          "violated |  |  | prior[0].metric.none is null: there was nothing to compute it from",
		"\"${column.empty.max}\" == \"\"":         "violated |  |  | column.empty.max is null: the column has no values",
		"column.empty.entropy > 1":                "violated |  |  | column.empty.entropy is null: the column has no values",
		"column.price.entropy > 1":                "violated |  |  | column.price.entropy is null: there are too many different values to count each",
		"column.day.mean > 1":                     "violated |  |  | column.day.mean is null: the column is of type DATE, which has none",
		"column.score.mean > 1":                   "violated |  |  | column.score.mean is null: the column has no finite values",
		"column.score.max > 1":                    "violated |  |  | column.score.max is NaN",
		"column.score.min < -1e300":               "passed | column.score.min = -Inf | < -1e+300",
		"column.ever.max > start()":               "violated |  |  | column.ever.max is infinity, which can't be compared",
		"column.id.quantile[0.25] > 1":            "violated |  |  | column.id.quantile[0.25] is null: the column is of type BIGINT, which has none",
		"column.id.quantile[1 / 3] > 1":           "violated |  |  | there is no column.id.quantile[0.333333333], but 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99",
		"column.empty.top[0].rows > 1":            "violated |  |  | column.empty.top has no element",
		"column.price.top[0].rows > 1":            "violated |  |  | column.price.top is null: there are too many different values to count each",
		"metric.odd > 1":                          "violated |  |  | metric.odd is NaN",
		"metric.lost > 1":                         "violated |  |  | metric.lost is not known: what it is computed from is gone, or several partitions were merged",
		"rejected.lost.rows > 1":                  "violated |  |  | rejected.lost is not known",
		"input.lost.rows > 1":                     "violated |  |  | input.lost is not known",
		"column.pirce.max > 1":                    "violated |  |  | there is no column \"pirce\"; did you mean \"price\"?",
		"prior[1].column.x.max > 1":               "violated |  |  | there is no column \"x\" in prior[1]",
		"prior[rows].rows > 1":                    "violated |  |  | prior has 3 elements",
		"rows / (rows - 100) > 1":                 "violated |  |  | rows / (rows - 100) divides by zero",
		"rows % 0 == 1":                           "violated |  |  | rows % 0 divides by zero",
		"column.score.min - column.score.min > 1": "violated |  |  | column.score.min - column.score.min is no number",
		"ratio(rows, 0) > 1":                      "violated |  |  | the ratio to 0 is not defined",
		"mean([]) > 1":                            "violated |  |  | mean of an empty list is not defined",
		"zscore(5, [1, 1]) < 3":                   "violated |  |  | zscore: all of 2 numbers are 1, and 5 is not",
		"1e99999 + 1 > 0":                         "violated |  |  | 1e99999 is beyond what can be computed",
		"log(-1, 2) > 0":                          "violated |  |  | log: panic in function implementation",
		"max() > 0":                               "violated |  |  | max: must pass at least one number",
		"column.day.min > 5":                      "violated |  |  | column.day.min > 5: a time can't be compared with a number",
		"column.clock.min > start()":              "violated |  |  | 08:00:00 and 2017-06-01T00:00:00+02:00 can't be compared: one is a time of day",
		"rows > \"a\"":                            "violated |  |  | rows > \"a\": a number can't be compared with a text",
		"parts[0].rows > 1":                       "violated |  |  | parts has no element",
	} {
		t.Run(that, func(t *testing.T) {
			got := spellJudged(compiled(t, that).Judge(s))
			if i := strings.Index(got, " implementation:"); i > 0 {
				got = got[:i+len(" implementation")]
			}
			equal(t, that, got, want)
		})
	}
}

// TestJudgeElsewhere judges in scopes of other kinds.
func TestJudgeElsewhere(t *testing.T) {
	two, merged := scopeOf(t), scopeOf(t)
	one := compiled(t, "rows > prior[0].rows")
	one.Prior = 1
	equal(t, "one before", spellJudged(one.Judge(engine.Scope{})), "not yet |  |  | there is no earlier version")
	two.Prior = two.Prior[:2]
	merged.Parts, merged.Interval = []*engine.Facts{table(40), table(60)}, engine.Interval{}
	old := scopeOf(t)
	old.Replaced = table(90)
	files := engine.Scope{Self: &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1, Bytes: 5, Files: 1}}}
	gone := engine.Scope{Self: &engine.Facts{}, Prior: []*engine.Facts{nil, nil, nil}}
	for _, c := range []struct {
		that  string
		scope engine.Scope
		want  string
	}{
		{"rows > mean(prior[*].rows)", two, "not yet |  |  | 2 of 3 earlier versions"},
		{"rows > 0", two, "passed | rows = 100 | > 0"},
		{"metric.rate < 1", merged, "violated |  |  | metric.rate is not known of several partitions together: write parts[*].metric.rate"},
		{"max(parts[*].metric.rate...) < 1", merged, "passed | max(parts[*].metric.rate...) = 0.42 | < 1"},
		{"parts[1].rows == 60 && length(parts) == 2", merged, "passed | parts[1].rows = 60 | "},
		{"before(column.at.max, end())", merged, "violated |  |  | end(): this has no time dimension"},
		{"column.seen.min == \"2017-05-31 22:00:00\"", merged, "passed | column.seen.min = 2017-05-31 22:00:00+00 | == \"2017-05-31 22:00:00\""},
		{"replaced != null && rows > replaced.rows", old, "passed | rows = 100, replaced.rows = 90 | "},
		{"rows > 0", files, "violated |  |  | rows is null: this is no table, or one whose columns are not declared"},
		{"rows == null && bytes == 5 && files == 1", files, "passed | rows = null, bytes = 5, files = 1 | "},
		{"column.x.nulls == 0", files, "violated |  |  | there is no column \"x\""},
		{"rows > 0", gone, "violated |  |  | rows is not known: the content is gone"},
		{"rows > 0", engine.Scope{}, "violated |  |  | rows is not known: the content is gone"},
		{"prior[0].rows > 0", gone, "violated |  |  | prior[0].rows is not known: the content is gone"},
	} {
		equal(t, c.that, spellJudged(compiled(t, c.that).Judge(c.scope)), c.want)
	}
}

// TestUses holds which names a rule is said to use.
func TestUses(t *testing.T) {
	for that, want := range map[string]string{
		"rows > 0 && rows < bytes":                                           "rows bytes",
		"abs(metric.x - mean(prior[*].metric.x)) < 1":                        "metric.x prior.metric.x",
		"input.plays.rows == output.other.column[\"User Id\"].nulls":         "input.plays.rows output.other.column.User Id.nulls",
		"mean([for p in parts : p.metric.x if p.rows > 1]) > prior[0].files": "parts.rows parts.metric.x prior.files",
		"length([for p in parts : 1]) == length(prior)":                      "parts prior",
		"reverse(concat(prior, parts))[0].metric.x > 1":                      "prior.metric.x parts.metric.x",
		"(replaced == null ? rows : replaced.metric[\"y\"]) > 1":             "replaced rows replaced.metric.y",
		"[for n, c in column : c.nulls][0] == column.a.quantile[0.5]":        "column.*.nulls column.a.quantile",
		"\"${metric.x} ${-column.b.top[0].value}\" == upper(metric.y)":       "column.b.top.value metric.x metric.y",
		"{ a = bytes }.a > max(parts[*].rejected.bad.rows...)":               "bytes parts.rejected.bad.rows",
		"before(column.at.max, end())":                                       "column.at.max",
	} {
		var got []string
		for _, u := range compiled(t, that).Uses {
			got = append(got, strings.Join(u.Path, "."))
		}
		equal(t, that, strings.Join(got, " "), want)
	}
}

// TestRulesOfFiles loads rules with locals, and judges them by what was kept.
func TestRulesOfFiles(t *testing.T) {
	w := load(t, fmt.Sprintf(ruleWorkspace, "rows >= local.minimum && -local.minimum < metric.rate"))
	x := w.Targets[0].Output("t").Expects[0]
	equal(t, "source", x.That, "rows >= 5 && -5 < metric.rate")
	equal(t, "judged", spellJudged(x.Judge(scopeOf(t))), "passed | rows = 100, metric.rate = 0.42 | ")
	r := x.Uses[1].Range
	equal(t, "place", fmt.Sprint(x.Uses[1].Path, r.File, r.Start.Line, r.Start.Column, r.End.Column), "[metric rate]pipeline.hcl15 57 68")
}

// TestJudgeConcurrently judges one rule on many goroutines.
func TestJudgeConcurrently(t *testing.T) {
	x := compiled(t, "mean(prior[*].rows) == 100 && length([for p in prior : p if p.rows > 90]) == 2")
	s := scopeOf(t)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if j := x.Judge(s); j.Status != engine.Passed {
					t.Errorf("judged %v", j)
				}
			}
		})
	}
	wg.Wait()
}

// FuzzJudge judges facts by any rule that loads. Nothing may panic, and the same facts give the same.
func FuzzJudge(f *testing.F) {
	for _, that := range []string{
		"rows > 0", "range(metric.rate, 0.01, 0.3)", "zscore(rows, prior[*].rows) < 3", "replaced == null || rows > replaced.rows", "column.id.min == 1",
		"column.at.max < end()", "max([for p in prior : p.rows]...) % 7 > 2", "try(column.x.mean, 1) / 0 > 1", "length(setproduct([rows], [1, 2])) > 0",
		"column.name.top[0].value == \"x\" ? true : !can(prior[0].rows)", "{ for k, v in column : k => v.nulls... }[\"a\"][0] == 1", "\"${rows}%{ if true }x%{ endif }\" == \"\"",
	} {
		f.Add(that, int64(5), 0.5, "1")
	}
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, that string, rows int64, number float64, text string) {
		if len(that) > 200 || strings.Contains(that, "setproduct") && len(that) > 60 {
			t.Skip()
		}
		for _, file := range txtar.Parse(fmt.Appendf(nil, ruleWorkspace, strings.ReplaceAll(that, "\n", " "))).Files {
			writeFile(t, root+"/"+file.Name, file.Data)
		}
		w, _, problems := Load(root, Options{})
		if engine.HasErrors(problems) {
			t.Skip()
		}
		s := scopeOf(t)
		s.Self = table(rows)
		s.Self.Metrics["rate"] = &number
		for k := range s.Self.Columns {
			s.Self.Columns[k].Min, s.Self.Columns[k].Mean, s.Self.Columns[k].Top = &text, &number, []engine.Frequent{{Value: text, Rows: rows}}
		}
		for _, x := range w.Targets {
			for _, o := range x.Outputs {
				for _, x := range o.Expects {
					if a, b := x.Judge(s), x.Judge(s); a != b || a.Status == 0 {
						t.Errorf("%s: judged %v, then %v", x.That, a, b)
					}
				}
			}
		}
	})
}

// BenchmarkJudge judges a rule over a thousand versions of two thousand columns.
func BenchmarkJudge(b *testing.B) {
	s := scopeOf(b)
	for k := range 2000 {
		s.Self.Columns = append(s.Self.Columns, engine.ColumnStats{Name: fmt.Sprintf("c%d", k), Type: "BIGINT", Distinct: 1, Mean: ptr(1.0)})
	}
	s.Prior = nil
	for range 1000 {
		s.Prior = append(s.Prior, s.Self)
	}
	x := compiled(b, "zscore(column.c1900.mean, prior[*].column.c1900.mean) < 3")
	x.Prior = 1000
	for b.Loop() {
		if j := x.Judge(s); j.Status != engine.Passed {
			b.Fatal(j)
		}
	}
}
