package diag

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dpb-build/dpb/engine"
)

const tabWidth = 4

// file is a text with an index of its lines, built once for all of its problems.
type file struct {
	src    []byte
	starts []int // offset of each line
}

func newFile(src []byte) *file {
	f := &file{src: src}
	if len(src) == 0 {
		return f
	}
	f.starts = append(f.starts, 0)
	for i, c := range src {
		if c == '\n' && i+1 < len(src) {
			f.starts = append(f.starts, i+1)
		}
	}
	return f
}

func (f *file) lines() int { return len(f.starts) }

// line returns the text of line n, from 1, without its end.
func (f *file) line(n int) []byte {
	end := len(f.src)
	if n < len(f.starts) {
		end = f.starts[n]
	}
	return bytes.TrimRight(f.src[f.starts[n-1]:end], "\r\n")
}

// snippet writes the line of a problem with its place marked, and the header of the block around it. It returns the margin for what follows.
func (f *file) snippet(b *strings.Builder, p engine.Problem, width int) string {
	n := p.Range.Start.Line
	digits := len(fmt.Sprint(n))
	margin := strings.Repeat(" ", digits+1)
	row := func(label, text string) {
		b.WriteString(strings.TrimRight(dim.Sprintf("%*s |", digits+1, label)+" "+text, " ") + "\n")
	}
	row("", "")
	if header := p.Context.Start.Line; header > 0 && header < n && p.Context.File == p.Range.File {
		row(fmt.Sprint(header), cut(show(f.line(header)), width-digits-4))
		if header < n-1 {
			b.WriteString(margin[1:] + dim.Sprint("  ...") + "\n")
		}
	}
	text, lead, carets := f.marked(p.Range, width-digits-4)
	row(fmt.Sprint(n), text)
	row("", strings.Repeat(" ", lead)+mark[p.Severity].Sprint(strings.Repeat("^", carets)))
	return margin
}

// marked is the line of a range as it is shown, how many columns come before the range in it, and how many the range takes. A long line
// is cut around the range.
func (f *file) marked(r engine.Range, width int) (text string, lead, carets int) {
	line, offset := f.line(r.Start.Line), f.starts[r.Start.Line-1]
	from := clamp(r.Start.Byte-offset, len(line))
	to := clamp(r.End.Byte-offset, len(line))
	if to < from {
		to = from
	}
	before, inside, after := show(line[:from]), show(line[from:to]), show(line[to:])
	if from == 0 || len(before) == 0 {
		before = ""
	}
	lead, carets = columns(before), max(1, columns(inside))
	if width < 40 || lead+columns(inside)+columns(after) <= width {
		return before + inside + after, lead, carets
	}
	if keep := width / 3; lead > keep {
		before = "..." + tail(before, keep-3)
	}
	lead = columns(before)
	text = cut(before+inside+after, width)
	return text, lead, max(1, min(carets, columns(text)-lead))
}

func clamp(n, high int) int { return min(max(n, 0), high) }

// show makes a piece of a file fit for a terminal: tabs become spaces, control characters visible.
func show(line []byte) string {
	return clean(strings.ReplaceAll(string(line), "\t", strings.Repeat(" ", tabWidth)))
}

// clean replaces what a terminal would obey.
func clean(s string) string {
	if strings.IndexFunc(s, odd) < 0 && utf8.ValidString(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if odd(r) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.TrimPrefix(s, "\ufeff"))
}

func odd(r rune) bool {
	return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff'
}

// columns counts the cells that s takes on a terminal.
func columns(s string) int {
	n := 0
	for _, r := range s {
		n += cells(r)
	}
	return n
}

func cells(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me) || r == 0x200d || r >= 0xfe00 && r <= 0xfe0f:
		return 0
	}
	if unicode.Is(wide, r) {
		return 2
	}
	return 1
}

// wide are the characters that take two cells: those of East Asian scripts, full-width forms and emoji.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x2e80, Hi: 0x303e, Stride: 1}, {Lo: 0x3041, Hi: 0xa4cf, Stride: 1}, {Lo: 0xac00, Hi: 0xd7a3, Stride: 1},
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1}, {Lo: 0xfe30, Hi: 0xfe6f, Stride: 1}, {Lo: 0xff00, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x1f300, Hi: 0x1f64f, Stride: 1}, {Lo: 0x1f680, Hi: 0x1f6ff, Stride: 1}, {Lo: 0x1f900, Hi: 0x1faff, Stride: 1}, {Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

// cut shortens s to n cells.
func cut(s string, n int) string {
	if n < 10 || columns(s) <= n {
		return s
	}
	have := 0
	for i, r := range s {
		if have += cells(r); have > n-3 {
			return s[:i] + "..."
		}
	}
	return s
}

// tail is the end of s that takes n cells.
func tail(s string, n int) string {
	for s != "" && columns(s) > n {
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
	return s
}
