package ui

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/fatih/color"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
)

// Comparison prints how two versions differ, in lines of at most width columns. all also prints the facts that did not change.
func Comparison(w io.Writer, c *compare.Comparison, width int, all bool) {
	p := newPrinter(!color.NoColor, all)
	lines := p.sameness(c)
	for _, section := range [][]string{p.schema(c.Schema), p.facts(c.Facts, width), p.top(c.Top, width), p.rowDiff(c, width)} {
		if section != nil {
			lines = append(append(lines, ""), section...)
		}
	}
	for k := range lines {
		lines[k] = cut(lines[k], width)
	}
	if c.Rows == nil && c.RowsUnknown != "" { // a sentence, not to be cut
		lines = append(lines, "", p.yellow.Sprint("rows were not compared: ")+clean(c.RowsUnknown))
	}
	writeLines(w, lines...)
}

// sameness says what there is no need to look for.
func (p printer) sameness(c *compare.Comparison) []string {
	switch c.Sameness {
	case compare.SameContent:
		return []string{p.green.Sprint("same content")}
	case compare.SameRows:
		return []string{p.green.Sprint("same rows") + " in the same order; the files differ"}
	case compare.OtherOrder:
		return []string{p.yellow.Sprint("same rows in another order")}
	case compare.Unknown:
		return []string{p.yellow.Sprint("the files differ") + "; of one version there is no fingerprint"}
	}
	line := "the content differs"
	if n := len(c.ChangedColumns); n > 0 {
		line += " in " + plural(n, "column") + ": " + clean(strings.Join(c.ChangedColumns, ", "))
	}
	return []string{line}
}

func (p printer) schema(changes []compare.SchemaChange) []string {
	var rows [][]string
	for _, c := range changes {
		name := clean(c.Column)
		switch c.Change {
		case compare.Added:
			rows = append(rows, []string{p.green.Sprint("+"), name, clean(c.New)})
		case compare.Removed:
			rows = append(rows, []string{p.red.Sprint("-"), name, clean(c.Old)})
		case compare.Order:
			rows = append(rows, []string{p.yellow.Sprint("~"), "columns stand in another order", ""})
		default:
			rows = append(rows, []string{p.yellow.Sprint("~"), name, clean(c.Old) + " → " + clean(c.New)})
		}
	}
	if rows == nil {
		return nil
	}
	return append([]string{"schema"}, columns(rows)...)
}

// big and huge are relative changes that show in colour.
const big, huge = 0.1, 0.5

// facts is a table of what changed: name, old, new, change and relative change.
func (p printer) facts(facts []compare.FactChange, width int) []string {
	var rows [][]string
	unchanged, finer := 0, 0
	for _, f := range facts {
		switch {
		case p.verbose, f.Changed && !isFine(f):
			rows = append(rows, p.fact(f))
		case f.Changed:
			finer++
		default:
			unchanged++
		}
	}
	if len(facts) == 0 {
		return nil
	}
	if rows == nil && finer == 0 {
		return []string{fmt.Sprintf("no fact of %s changed", Count(int64(len(facts))))}
	}
	lines := right(append([][]string{{"", p.faint.Sprint("old"), p.faint.Sprint("new"), p.faint.Sprint("change"), ""}}, rows...), width)
	switch {
	case finer > 0:
		lines = append(lines, p.faint.Sprintf("  (%s unchanged; --all shows %s more that changed)", Count(int64(unchanged)), Count(int64(finer))))
	case unchanged > 0:
		lines = append(lines, p.faint.Sprintf("  (%s unchanged)", Count(int64(unchanged))))
	}
	if most := p.most(facts); most != "" && len(rows) > namedMost {
		lines = append(lines, most)
	}
	return lines
}

// isFine says of a fact that it tells little beside others of its column: a quantile that is not the median.
func isFine(f compare.FactChange) bool {
	return strings.Contains(f.Name, ".quantile[") && !strings.HasSuffix(f.Name, ".quantile[0.5]")
}

// isRare says of a value that it is among the most frequent ones only because no value is frequent.
func isRare(f engine.Frequent) bool { return f.Rows < 10 }

func (p printer) fact(f compare.FactChange) []string {
	row := []string{clean(f.Name), "", "", "", ""}
	row[1], row[2] = twoValues(f)
	if f.Change != nil && f.Changed {
		row[3] = signed(f.Name, *f.Change)
	}
	if f.Relative != nil && f.Changed {
		row[4] = p.paint(*f.Relative)(percent(*f.Relative))
	}
	return row
}

// paint is the colour of a relative change.
func (p printer) paint(r float64) func(...any) string {
	switch r = math.Abs(r); {
	case r >= huge:
		return p.red.Sprint
	case r >= big:
		return p.yellow.Sprint
	}
	return fmt.Sprint
}

const namedMost = 3

// most names the facts that changed most, by their relative change.
func (p printer) most(facts []compare.FactChange) string {
	var large []compare.FactChange
	for _, f := range facts {
		if f.Relative != nil && math.Abs(*f.Relative) >= big {
			large = append(large, f)
		}
	}
	slices.SortStableFunc(large, func(a, b compare.FactChange) int { return cmp.Compare(math.Abs(*b.Relative), math.Abs(*a.Relative)) })
	var parts []string
	for _, f := range large[:min(namedMost, len(large))] {
		parts = append(parts, clean(f.Name)+" "+p.paint(*f.Relative)(percent(*f.Relative)))
	}
	if parts == nil {
		return ""
	}
	return "  most changed: " + strings.Join(parts, ", ")
}

// twoValues writes old and new, with as many digits as it takes to tell them apart.
func twoValues(f compare.FactChange) (string, string) {
	texts := func(digits int) (string, string) {
		return valueText(f, f.Old, digits, f.Unknown == "old" || f.Unknown == "both"), valueText(f, f.New, digits, f.Unknown == "new" || f.Unknown == "both")
	}
	if a, b := texts(5); a != b || f.Old == f.New {
		return a, b
	}
	return texts(9)
}

func valueText(f compare.FactChange, v any, digits int, unknown bool) string {
	about := ""
	if f.Error > 0 {
		about = "~"
	}
	switch v := v.(type) {
	case nil:
		if unknown {
			return "unknown"
		}
		return "null"
	case int64:
		if f.Name == "bytes" {
			return Bytes(v)
		}
		return about + Count(v)
	case float64:
		return about + number(v, digits)
	case string:
		return about + textOf(&v)
	}
	return fmt.Sprint(v)
}

// number writes a float with so many significant digits, and all those before the point.
func number(x float64, digits int) string {
	a := math.Abs(x)
	if a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.FormatFloat(x, 'g', digits, 64)
	}
	decimals := digits - 1
	if a >= 1 {
		decimals -= int(math.Log10(a))
	} else if a > 0 {
		decimals -= int(math.Floor(math.Log10(a)))
	}
	s := strconv.FormatFloat(x, 'f', max(0, decimals), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	whole, fraction, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || a < 1000 {
		return s
	}
	if s = Count(n); fraction != "" {
		s += "." + fraction
	}
	return s
}

// signed writes a difference: +12, -0.3, +1.2 MB.
func signed(fact string, x float64) string {
	sign := "+"
	if x < 0 {
		sign = "-"
	}
	if x = math.Abs(x); fact == "bytes" {
		return sign + Bytes(int64(x))
	}
	return sign + number(x, 4)
}

// percent writes a relative change: +3.4 %, -0.05 %, +2,500 %.
func percent(r float64) string {
	sign := "+"
	if r < 0 {
		sign = "-"
	}
	switch r = math.Abs(r) * 100; {
	case r > 0 && r < 0.01:
		return sign + "<0.01 %"
	case r < 1:
		return sign + number(r, 2) + " %"
	case r < 999.95:
		return sign + strconv.FormatFloat(r, 'f', 1, 64) + " %"
	}
	return sign + number(r, 4) + " %"
}

// least is how narrow a column of values may become.
const least = 10

// right aligns a table: names to the left and numbers to the right. What is too wide for the screen is cut in the values, then in the names' beginnings, and not
// in the changes.
func right(rows [][]string, width int) []string {
	widths := make([]int, len(rows[0]))
	sum := 0
	for c := range widths {
		for _, row := range rows {
			widths[c] = max(widths[c], textWidth(row[c]))
		}
		sum += 2 + widths[c]
	}
	for over := sum - width; over > 0; over-- {
		switch values := max(widths[1], widths[2]); {
		case values > least && widths[1] == values:
			widths[1]--
		case values > least:
			widths[2]--
		case widths[0] > least:
			widths[0]--
		}
	}
	lines := make([]string, len(rows))
	for i, row := range rows {
		title := cutLeft(row[0], widths[0])
		lines[i] = "  " + title + strings.Repeat(" ", widths[0]-textWidth(title))
		for c, text := range row[1:] {
			text = cut(text, widths[c+1])
			lines[i] += "  " + strings.Repeat(" ", widths[c+1]-textWidth(text)) + text
		}
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

// top tells which values are among the most frequent now, and which no longer are.
func (p printer) top(changes []compare.TopChange, width int) []string {
	var lines []string
	add := func(title, column string, list []engine.Frequent) {
		var parts []string
		for _, f := range list {
			if isRare(f) && !p.verbose {
				continue
			}
			parts = append(parts, fmt.Sprintf("%s (%s)", strconv.Quote(cut(clean(f.Value), width/3)), plural(int(f.Rows), "row")))
		}
		if parts != nil {
			lines = append(lines, "  column."+clean(column)+": "+title+strings.Join(parts, ", "))
		}
	}
	for _, c := range changes {
		add("new ", c.Column, c.Entered)
		add("gone ", c.Column, c.Left)
	}
	if lines == nil {
		return nil
	}
	return append([]string{"most frequent values"}, lines...)
}

// rowDiff counts the rows that differ and shows some.
func (p printer) rowDiff(c *compare.Comparison, width int) []string {
	d := c.Rows
	if d == nil {
		return nil
	}
	lines := []string{p.rowCounts(d, len(c.Schema) > 0)}
	for _, v := range d.Converted {
		lines = append(lines, p.faint.Sprintf("  %s is %s and was %s: compared as %s", clean(v.Name), clean(v.TypeB), clean(v.TypeA), clean(v.As)))
	}
	for _, v := range d.Columns {
		lines = append(lines, "  "+clean(v.Name)+": "+plural(int(v.Rows), "row"))
	}
	lines = append(lines, p.samples(p.yellow.Sprint("changed"), d.Changed, changedLines(d, width))...)
	lines = append(lines, p.samples(p.green.Sprint("added"), d.Added, rowLines(d.AddedRows))...)
	return append(lines, p.samples(p.red.Sprint("removed"), d.Removed, rowLines(d.RemovedRows))...)
}

func (p printer) rowCounts(d *compare.RowDiff, otherColumns bool) string {
	by := "rows"
	if d.Key != nil {
		by += " by " + clean(strings.Join(d.Key, ", "))
	} else {
		by = "whole " + by
	}
	var parts []string
	add := func(n int64, paint *color.Color, what string) {
		if n > 0 {
			parts = append(parts, paint.Sprint(Count(n)+" "+what))
		}
	}
	add(d.Added, p.green, "added")
	add(d.Removed, p.red, "removed")
	add(d.Changed, p.yellow, "changed")
	if parts == nil {
		same := by + ": all " + Count(d.RowsA) + " are the same"
		if otherColumns {
			same += " in the columns that both have"
		}
		return same
	}
	return by + ": " + strings.Join(parts, ", ") + " of " + Count(d.RowsA)
}

// samples lists some rows of a sort under a title that says if there are more.
func (p printer) samples(title string, n int64, rows []string) []string {
	if len(rows) == 0 {
		return nil
	}
	if n > int64(len(rows)) {
		title += p.faint.Sprintf(", %s of %s", Count(int64(len(rows))), Count(n))
	}
	return append([]string{"  " + title}, rows...)
}

func changedLines(d *compare.RowDiff, width int) []string {
	var lines []string
	for _, r := range d.ChangedRows {
		var parts []string
		for _, c := range r.Changes {
			x, y := apart(textOf(c.Old), textOf(c.New), max(least, width/4))
			parts = append(parts, clean(c.Column)+": "+x+" → "+y)
		}
		lines = append(lines, "    "+rowText(r.Key)+"  "+strings.Join(parts, ", "))
	}
	return lines
}

func rowLines(rows []compare.Row) []string {
	var lines []string
	for _, r := range rows {
		lines = append(lines, "    "+rowText(r))
	}
	return lines
}

func rowText(r compare.Row) string {
	var parts []string
	for _, v := range r {
		parts = append(parts, clean(v.Column)+"="+textOf(v.Text))
	}
	return strings.Join(parts, " ")
}

// textOf writes a value; an empty text, and one with spaces, needs quotes to be seen.
func textOf(s *string) string {
	if s == nil {
		return "null"
	}
	t := clean(strings.ReplaceAll(*s, "\n", "⏎"))
	if t == "" || t == "null" || strings.ContainsAny(t, ` ,="`) {
		return `"` + t + `"`
	}
	return t
}

// apart shortens two texts to so many columns, where need be to the place where they begin to differ.
func apart(x, y string, width int) (string, string) {
	same := 0
	for same < min(len(x), len(y)) && x[same] == y[same] {
		same++
	}
	if from := same - width/3; textWidth(x[:same]) > width-width/3 && max(textWidth(x), textWidth(y)) > width {
		for from > 0 && !utf8.RuneStart(x[from]) {
			from--
		}
		x, y = "…"+x[from:], "…"+y[from:]
	}
	return cut(x, width), cut(y, width)
}
