package ui

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

var statistics = &engine.Fingerprint{Rows: 1000, Columns: []engine.ColumnStats{
	{Name: "event_id", Type: "BIGINT", Distinct: 1000, Min: ptr("1"), Max: ptr("1000"), Mean: ptr(500.5), Quantiles: []engine.Quantile{{P: 0.25, Value: "250"}, {P: 0.5, Value: "500"}}},
	{Name: "country", Type: "VARCHAR", Nulls: 34, Distinct: 3, Min: ptr("DE"), Max: ptr("GB"), Mean: ptr(2.0), Entropy: ptr(1.25), Top: []engine.Frequent{{Value: "DE", Rows: 500}}},
	{Name: "text", Type: "VARCHAR", Distinct: 981234, DistinctError: 0.016, Min: ptr(""), Max: ptr("two\nlines, and far more than a table of statistics has room for"), Mean: ptr(31.7)},
	{Name: "played_at", Type: "TIMESTAMP", Distinct: 990, Min: ptr("2017-06-03 00:00:50"), Max: ptr("2017-06-03 23:59:41"),
		Quantiles: []engine.Quantile{{P: 0.5, Value: "2017-06-03 12:00:00"}}, Top: []engine.Frequent{{Value: "2017-06-03 00:00:50", Rows: 1}}},
	{Name: "is_spam", Type: "BOOLEAN", Distinct: 2, Min: ptr("false"), Max: ptr("true"), Mean: ptr(0.217), Entropy: ptr(0.75)},
	{Name: "empty", Type: "DOUBLE", Nulls: 1000},
}}

func TestColumnStats(t *testing.T) {
	var b strings.Builder
	for _, width := range []int{200, 120, 80} {
		fmt.Fprintf(&b, "%d columns\n%s\n", width, strings.Join(ColumnStats(statistics, width), "\n"))
	}
	golden(t, "stats.txt", b.String())
}

// TestColumnStatsWidth: what fits, fits, and in the narrowest form all columns that are always shown are there.
func TestColumnStatsWidth(t *testing.T) {
	least := widest(ColumnStats(statistics, 1))
	for width := least; width < 220; width++ {
		lines := ColumnStats(statistics, width)
		if len(lines) != 1+len(statistics.Columns) || !strings.Contains(lines[0], "mean") {
			t.Fatalf("%d columns: %q", width, lines)
		}
		if got := widest(lines); got > width {
			t.Fatalf("%d columns: lines take %d", width, got)
		}
	}
	if lines := ColumnStats(&engine.Fingerprint{Rows: -1}, 80); lines != nil {
		t.Errorf("of what is no table: %q", lines)
	}
}

func TestShare(t *testing.T) {
	for x, want := range map[float64]string{0: "0 %", 0.000001: "<0.01 %", 0.0033: "0.33 %", 0.0342: "3.4 %", 1: "100.0 %"} {
		if got := Share(x); got != want {
			t.Errorf("%v: got %q, want %q", x, got, want)
		}
	}
}
