package ui

import (
	"bytes"
	"strings"
	"testing"

	"github.com/fatih/color"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
)

func ptr[T any](v T) *T { return &v }

func side(content string, columns []engine.Column, f engine.Fingerprint, spam float64, unscored engine.Rejected) compare.Side {
	return compare.Side{Content: content, Columns: columns, Facts: &engine.Facts{Fingerprint: &f,
		Metrics: map[string]*float64{"spam_rate": &spam}, Rejected: map[string]engine.Rejected{"unscored": unscored}}}
}

// spam is what a new classifier did to a day of plays.
func spam() *compare.Comparison {
	country := engine.ColumnStats{Name: "country", Type: "VARCHAR", Distinct: 4, Min: ptr("BR"), Max: ptr("US"), Mean: ptr(2.0), Stddev: ptr(0.0), Entropy: ptr(1.8),
		Top: []engine.Frequent{{Value: "US", Rows: 6010}, {Value: "DE", Rows: 2500}, {Value: "FR", Rows: 1490}}, Digest: "c1"}
	moved := country
	moved.Digest, moved.Entropy, moved.Top = "c2", ptr(1.8031), []engine.Frequent{{Value: "US", Rows: 6004}, {Value: "DE", Rows: 2500}, {Value: "BR", Rows: 1505}}
	c := compare.Versions(
		side("1", []engine.Column{{Name: "event_id", Type: "BIGINT"}, {Name: "country", Type: "VARCHAR"}, {Name: "confidence", Type: "FLOAT"}, {Name: "model", Type: "VARCHAR"}},
			engine.Fingerprint{Rows: 10_000, Bytes: 1_200_000, Files: 1, Digest: "a", Columns: []engine.ColumnStats{
				{Name: "event_id", Type: "BIGINT", Distinct: 9_967, DistinctError: 0.016, Min: ptr("1"), Max: ptr("10000"), Mean: ptr(5000.5), Digest: "e1"}, country,
				{Name: "confidence", Type: "FLOAT", Distinct: 812, Nulls: 12, Min: ptr("0.0"), Max: ptr("1.0"), Mean: ptr(0.213456789), Stddev: ptr(0.19),
					Quantiles: []engine.Quantile{{P: 0.5, Value: "0.18"}}, QuantileError: 0.01, Digest: "f1"}}}, 0.12, engine.Rejected{Rows: 3, Share: 0.0003}),
		side("2", []engine.Column{{Name: "event_id", Type: "BIGINT", NotNull: true}, {Name: "country", Type: "VARCHAR"}, {Name: "confidence", Type: "DOUBLE"},
			{Name: "is_spam", Type: "BOOLEAN"}},
			engine.Fingerprint{Rows: 10_009, Bytes: 1_250_345, Files: 1, Digest: "b", Columns: []engine.ColumnStats{
				{Name: "event_id", Type: "BIGINT", Distinct: 9_981, DistinctError: 0.016, Min: ptr("1"), Max: ptr("10012"), Mean: ptr(5006.25), Digest: "e2"}, moved,
				{Name: "confidence", Type: "DOUBLE", Distinct: 9801, Nulls: 41, Min: ptr("0.0"), Max: ptr("1.0"), Mean: ptr(0.213457001), Stddev: ptr(0.31),
					Quantiles: []engine.Quantile{{P: 0.5, Value: "0.44"}}, QuantileError: 0.01, Digest: "f2"},
				{Name: "is_spam", Type: "BOOLEAN", Distinct: 2, Digest: "s"}}}, 0.42, engine.Rejected{Rows: 30, Share: 0.003}))
	c.Rows = &compare.RowDiff{Key: []string{"event_id"}, RowsA: 10_000, RowsB: 10_009, Added: 12, Removed: 3, Changed: 40, Same: 9957,
		Columns:     []compare.ColumnDiff{{Name: "country", Rows: 2}, {Name: "confidence", Rows: 38}},
		Converted:   []compare.Conversion{{Name: "confidence", TypeA: "FLOAT", TypeB: "DOUBLE", As: "DOUBLE"}},
		AddedRows:   []compare.Row{{{Column: "event_id", Text: ptr("10001")}, {Column: "country", Text: ptr("BR")}, {Column: "confidence", Text: nil}}},
		RemovedRows: []compare.Row{{{Column: "event_id", Text: ptr("17")}, {Column: "country", Text: ptr("")}, {Column: "confidence", Text: ptr("0.2")}}},
		ChangedRows: []compare.ChangedRow{
			{Key: compare.Row{{Column: "event_id", Text: ptr("1")}}, Changes: []compare.ValueChange{{Column: "confidence", Old: ptr("0.12"), New: ptr("0.42")}}},
			{Key: compare.Row{{Column: "event_id", Text: ptr("2")}}, Changes: []compare.ValueChange{{Column: "country", Old: ptr("FR"), New: ptr("BR")},
				{Column: "confidence", Old: nil, New: ptr("0.9")}}},
			{Key: compare.Row{{Column: "event_id", Text: ptr("3")}}, Changes: []compare.ValueChange{
				{Column: "country", Old: ptr(strings.Repeat("long ", 30) + "old\n"), New: ptr(strings.Repeat("long ", 30) + "\x1b[2Jnew")}}},
		}}
	return c
}

func printed(c *compare.Comparison, width int, all bool) string {
	var b bytes.Buffer
	Comparison(&b, c, width, all)
	return b.String()
}

func TestComparison(t *testing.T) {
	before := color.NoColor
	t.Cleanup(func() { color.NoColor = before })
	color.NoColor = true
	golden(t, "diff.txt", printed(spam(), 120, false))
	golden(t, "diff_all.txt", printed(spam(), 120, true))
	golden(t, "diff_narrow.txt", printed(spam(), 72, false))
	plain := printed(spam(), 120, false)
	color.NoColor = false
	colored := printed(spam(), 120, false)
	if !strings.Contains(colored, "\x1b[31m+250.0 %\x1b[0") || escapes.ReplaceAllLiteralString(colored, "") != plain {
		t.Errorf("got %q", colored)
	}
}

func TestComparisonWidth(t *testing.T) {
	for width := 20; width < 160; width++ {
		for _, line := range strings.Split(printed(spam(), width, true), "\n") {
			if textWidth(line) > width || strings.ContainsAny(line, "\t\r") {
				t.Fatalf("%d columns: %q", width, line)
			}
		}
	}
}

func TestComparisonOfEquals(t *testing.T) {
	table := func(digest, column string) *engine.Facts {
		return &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: 3, Bytes: 9, Files: 1, Digest: digest, Columns: []engine.ColumnStats{{Name: "n", Type: "BIGINT", Digest: column}}}}
	}
	files := func(bytes int64) *engine.Facts {
		return &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1, Bytes: bytes, Files: 2}}
	}
	for _, test := range []struct {
		a, b    compare.Side
		rows    *compare.RowDiff
		unknown string
		want    string
	}{
		{compare.Side{Content: "1", Facts: table("d", "c")}, compare.Side{Content: "1", Facts: table("d", "c")}, nil, "", "same content\n\nno fact of 6 changed\n"},
		{compare.Side{Content: "1", Facts: table("d", "c")}, compare.Side{Content: "2", Facts: table("d", "e")}, &compare.RowDiff{RowsA: 3, RowsB: 3, Same: 3}, "",
			"same rows in another order\n\nno fact of 6 changed\n\nwhole rows: all 3 are the same\n"},
		{compare.Side{Content: "1", Facts: table("d", "c")}, compare.Side{Content: "2", Facts: table("d", "c")}, nil, "",
			"same rows in the same order; the files differ\n\nno fact of 6 changed\n"},
		{compare.Side{Content: "1"}, compare.Side{Content: "2", Facts: table("d", "c")}, nil, "the bytes of the old version are gone",
			"the files differ; of one version there is no fingerprint\n\nrows were not compared: the bytes of the old version are gone\n"},
		{compare.Side{Content: "1", Facts: files(1000)}, compare.Side{Content: "2", Facts: files(1012)}, nil, "", `the content differs

            old     new  change
  bytes  1.0 kB  1.0 kB   +12 B  +1.2 %
  (1 unchanged)
`},
	} {
		c := compare.Versions(test.a, test.b)
		c.Rows, c.RowsUnknown = test.rows, test.unknown
		if got := printed(c, 100, false); got != test.want {
			t.Errorf("got\n%s\nwant\n%s", got, test.want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{0: "0", 0.42: "0.42", 0.123456: "0.1235", 1234.5678: "1,235", 12.3456: "12.35", 1234567: "1,234,567", -1500.5: "-1,500", 0.00012: "0.00012",
		0.000012345: "1.234e-05", 1e18: "1e+18", 5000.5: "5,000", 99.99: "99.99", 999.96: "1000"} {
		if got := number(x, 4); got != want {
			t.Errorf("%v: got %s, want %s", x, got, want)
		}
	}
	for r, want := range map[float64]string{0.034: "+3.4 %", -0.5: "-50.0 %", 0.00051: "+0.051 %", 0.00001: "+<0.01 %", 25: "+2,500 %", 0: "+0 %"} {
		if got := percent(r); got != want {
			t.Errorf("%v: got %s, want %s", r, got, want)
		}
	}
}

func TestApart(t *testing.T) {
	for _, test := range [][4]string{
		{"short", "shore", "short", "shore"},
		{"a very long text that ends in x", "a very long text that ends in y", "…in x", "…in y"},
		{"x and then a very long text", "y and then a very long text", "x and then…", "y and then…"},
		{"日本語日本語日本語日本語x", "日本語日本語日本語日本語y", "…語x", "…語y"},
	} {
		if x, y := apart(test[0], test[1], 11); x != test[2] || y != test[3] {
			t.Errorf("%q, %q: got %q, %q", test[0], test[1], x, y)
		}
	}
}
