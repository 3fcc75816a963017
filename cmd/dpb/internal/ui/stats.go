package ui

import (
	"fmt"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// layouts are the ways to show a table of statistics, tried from the widest until a line fits.
var layouts = []struct {
	value int // the most columns that a value takes
	all   bool
}{{32, true}, {20, true}, {32, false}, {20, false}, {12, false}}

// ColumnStats is an aligned table of a fingerprint's columns. Where lines would be wider than width, values are cut and median, entropy and the most frequent value are
// left out.
func ColumnStats(f *engine.Fingerprint, width int) []string {
	if len(f.Columns) == 0 {
		return nil
	}
	var lines []string
	for _, l := range layouts {
		if lines = statTable(f, l.value, l.all); widest(lines) <= width {
			break
		}
	}
	return lines
}

func widest(lines []string) int {
	n := 0
	for _, l := range lines {
		n = max(n, textWidth(l))
	}
	return n
}

func statTable(f *engine.Fingerprint, value int, all bool) []string {
	rows := [][]string{{"column", "type", "nulls", "distinct", "min", "max", "mean"}}
	if all {
		rows[0] = append(rows[0], "median", "entropy", "top")
	}
	for _, c := range f.Columns {
		row := []string{cut(clean(c.Name), 40), cut(clean(c.Type), value), nulls(c.Nulls, f.Rows), distinct(c), statValue(c.Min, value), statValue(c.Max, value), mean(c)}
		if all {
			row = append(row, statValue(median(c), value), optional(c.Entropy), top(c, f.Rows, value))
		}
		rows = append(rows, row)
	}
	return columns(rows, 2, 3, 6, 8)
}

func nulls(n, rows int64) string {
	if n == 0 || rows <= 0 {
		return Count(n)
	}
	return Count(n) + " (" + Share(float64(n)/float64(rows)) + ")"
}

func distinct(c engine.ColumnStats) string {
	if c.DistinctError == 0 {
		return Count(c.Distinct)
	}
	return Count(c.Distinct) + " ±" + Share(c.DistinctError)
}

func statValue(v *string, width int) string {
	if v == nil {
		return ""
	}
	t := clean(strings.ReplaceAll(*v, "\n", "⏎"))
	if t == "" || t != strings.TrimSpace(t) {
		t = `"` + t + `"` // else it could not be seen
	}
	return cut(t, width)
}

func optional(x *float64) string {
	if x == nil {
		return ""
	}
	return number(*x, 4)
}

// mean is that of numbers; of texts it is their length, of booleans the share of true.
func mean(c engine.ColumnStats) string {
	switch {
	case c.Mean == nil:
		return ""
	case c.Type == "VARCHAR":
		return number(*c.Mean, 4) + " B"
	case c.Type == "BOOLEAN":
		return Share(*c.Mean)
	}
	return number(*c.Mean, 6)
}

func median(c engine.ColumnStats) *string {
	for _, q := range c.Quantiles {
		if q.P == 0.5 {
			return &q.Value
		}
	}
	return nil
}

// top is the most frequent value of a column, where some value comes more than once.
func top(c engine.ColumnStats, rows int64, width int) string {
	if len(c.Top) == 0 || c.Top[0].Rows < 2 || rows <= 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s)", statValue(&c.Top[0].Value, width), Share(float64(c.Top[0].Rows)/float64(rows)))
}

// Share writes a part of a whole: 3.4 %, 0.05 %, <0.01 %.
func Share(x float64) string {
	if x == 0 {
		return "0 %"
	}
	return strings.TrimPrefix(percent(x), "+")
}

// Number writes a number with as many digits as people need: 12,345.6, 0.0423.
func Number(x float64) string { return number(x, 6) }

// Line makes a text of others fit to be shown: one line, and nothing in it steers the terminal.
func Line(text string) string { return clean(strings.Join(strings.Fields(text), " ")) }
