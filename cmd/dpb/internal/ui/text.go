package ui

import (
	"bytes"
	"io"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// wide holds what takes two columns. It takes too much rather than too little (not all of 2600-27BF is wide): then a line is cut
// a little early, where the other way it would wrap and the block could not be erased.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0x1100, 0x115f, 1}, {0x231a, 0x231b, 1}, {0x23e9, 0x23f3, 1}, {0x25fd, 0x25fe, 1}, {0x2600, 0x27bf, 1},
		{0x2b1b, 0x2b1c, 1}, {0x2b50, 0x2b55, 1}, {0x2e80, 0x303e, 1}, {0x3041, 0xa4cf, 1}, {0xa960, 0xa97c, 1},
		{0xac00, 0xd7a3, 1}, {0xf900, 0xfaff, 1}, {0xfe10, 0xfe19, 1}, {0xfe30, 0xfe6f, 1}, {0xff00, 0xff60, 1}, {0xffe0, 0xffe6, 1},
	},
	R32: []unicode.Range32{{0x16fe0, 0x18cff, 1}, {0x1aff0, 0x1b2ff, 1}, {0x1f000, 0x1faff, 1}, {0x20000, 0x3fffd, 1}},
}

const emojiSelector = '\ufe0f' // asks for the wide form of the rune before it

func runeWidth(r rune) int {
	switch {
	case r >= ' ' && r < 0x7f, r == emojiSelector:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf, unicode.Cc):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// escape is a sequence that steers a terminal: a colour or the like, a title or link, or one of the two-byte ones.
const escape = `\x1b(\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(\x07|\x1b\\)?|[ -/]*[0-~])`

var (
	escapes     = regexp.MustCompile(escape)
	firstEscape = regexp.MustCompile("^" + escape)
)

// textWidth counts the columns that s takes.
func textWidth(s string) int {
	n := 0
	for _, r := range escapes.ReplaceAllLiteralString(s, "") {
		n += runeWidth(r)
	}
	return n
}

// cut shortens s to at most width columns. Colours stay and end where the text does.
func cut(s string, width int) string {
	if textWidth(s) <= width {
		return s
	}
	if width <= 0 {
		return ""
	}
	var b strings.Builder
	for left := width - 1; ; {
		if code := firstEscape.FindString(s); code != "" {
			b.WriteString(code)
			s = s[len(code):]
			continue
		}
		r, size := utf8.DecodeRuneInString(s)
		if left -= runeWidth(r); left < 0 {
			break
		}
		b.WriteString(s[:size])
		s = s[size:]
	}
	b.WriteString("…")
	if strings.Contains(b.String(), "\x1b[") {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// cutLeft shortens plain text to at most width columns, keeping its end: a label's name and partition tell more than its folders.
func cutLeft(s string, width int) string {
	w := textWidth(s)
	if w <= width {
		return s
	}
	for s != "" && w > width-1 {
		r, size := utf8.DecodeRuneInString(s)
		w -= runeWidth(r)
		s = s[size:]
	}
	return "…" + s
}

const longest = 1000 // columns of a log's line that are shown; the log has the rest

// clean makes a line of a log fit to be shown: what it wrote over itself with carriage returns is gone, and nothing in it steers
// the terminal.
func clean(s string) string { return cut(plainLine(s), longest) }

func plainLine(s string) string {
	s = strings.TrimRight(s, "\r\n")
	s = s[strings.LastIndexByte(s, '\r')+1:]
	s = escapes.ReplaceAllLiteralString(s, "")
	s = strings.ReplaceAll(s, "\t", "    ")
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// Text makes lines that may repeat what others wrote, such as names of files and values of data, fit to be shown: nothing in them steers the terminal.
func Text(s string) string {
	lines := strings.Split(s, "\n")
	for k := range lines {
		lines[k] = plainLine(lines[k])
	}
	return strings.Join(lines, "\n")
}

// Cleaner writes to a terminal what others wrote, line by line as Text does.
type Cleaner struct {
	Out  io.Writer
	line []byte // that has no end yet
}

// Write never takes less than all unless the terminal fails.
func (c *Cleaner) Write(b []byte) (int, error) {
	c.line = append(c.line, b...)
	end := bytes.LastIndexByte(c.line, '\n') + 1
	if end == 0 && len(c.line) < 1<<16 {
		return len(b), nil
	}
	if end == 0 {
		end = len(c.line)
	}
	_, err := io.WriteString(c.Out, Text(string(c.line[:end])))
	c.line = c.line[:copy(c.line, c.line[end:])]
	return len(b), err
}

// Close writes what is left.
func (c *Cleaner) Close() error {
	_, err := io.WriteString(c.Out, Text(string(c.line)))
	return err
}
