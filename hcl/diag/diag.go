// Package diag renders problems: as text with snippets of the files for people, and as JSON for programs.
package diag

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/fatih/color"

	"github.com/dpb-build/dpb/engine"
)

var (
	bold = color.New(color.Bold)
	dim  = color.New(color.Faint)
	hue  = [...]*color.Color{engine.Error: color.New(color.FgRed, color.Bold), engine.Warning: color.New(color.FgYellow, color.Bold)}
	mark = [...]*color.Color{engine.Error: color.New(color.FgRed), engine.Warning: color.New(color.FgYellow)}
)

// Text writes problems for people, an empty line between them. Sources holds the files' texts; a problem in another file has no snippet. Sentences are
// wrapped at width columns; 0 does not wrap. Colour follows the switch of fatih/color.
func Text(w io.Writer, ps []engine.Problem, sources map[string][]byte, width int) {
	files := map[string]*file{}
	for i, p := range ps {
		f, ok := files[p.Range.File]
		if !ok {
			f = newFile(sources[p.Range.File])
			files[p.Range.File] = f
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		io.WriteString(w, render(p, f, width))
	}
}

// render writes one problem.
func render(p engine.Problem, f *file, width int) string {
	var b strings.Builder
	b.WriteString(hue[p.Severity].Sprint(p.Severity.String()+":") + " " + bold.Sprint(clean(p.Summary)) + "\n")
	indent := "  "
	if p.Range.File != "" {
		b.WriteString("  " + dim.Sprint(location(p.Range)) + "\n")
		if start := p.Range.Start.Line; start > 0 && start <= f.lines() {
			indent = f.snippet(&b, p, width)
		}
	}
	hint := func() {
		for _, line := range wrap(p.Hint, width-len(indent)-4) {
			b.WriteString(line.prefix(indent+dim.Sprint(" = "), indent+"   ") + line.text + "\n")
		}
	}
	pasted := strings.Contains(p.Hint, "\n") // comes last, so that it can be taken from the terminal
	if !pasted {
		hint()
	}
	for _, line := range wrap(p.Detail, width-len(indent)-4) {
		b.WriteString(indent + "   " + line.text + "\n")
	}
	if pasted {
		hint()
	}
	return b.String()
}

func location(r engine.Range) string {
	if r.Start.Line == 0 {
		return clean(r.File)
	}
	return clean(r.File) + ":" + strconv.Itoa(r.Start.Line) + ":" + strconv.Itoa(r.Start.Column)
}

// line is one line of a hint.
type line struct {
	text  string
	first bool
}

func (l line) prefix(first, other string) string {
	if l.first {
		return first
	}
	return other
}

// wrap breaks sentences at width columns. What was written in several lines is to be pasted, and stays as it is.
func wrap(s string, width int) []line {
	if s == "" {
		return nil
	}
	if lines := strings.Split(s, "\n"); len(lines) > 1 || width < 30 || columns(s) <= width {
		var out []line
		for i, l := range lines {
			out = append(out, line{clean(l), i == 0})
		}
		return out
	}
	var out []line
	text := ""
	for word := range strings.FieldsSeq(s) {
		if text != "" && columns(text)+1+columns(word) > width {
			out, text = append(out, line{clean(text), len(out) == 0}), ""
		}
		if text != "" {
			text += " "
		}
		text += word
	}
	return append(out, line{clean(text), len(out) == 0})
}

type pos struct {
	Line   int `json:"line"`
	Column int `json:"column"`
	Byte   int `json:"byte"`
}

type problem struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail,omitempty"`
	Hint     string `json:"hint,omitempty"`
	File     string `json:"file,omitempty"`
	Start    *pos   `json:"start,omitempty"`
	End      *pos   `json:"end,omitempty"`
}

// JSON writes one array of problems. Lines and columns count from 1, columns in characters; bytes from 0. End is exclusive.
func JSON(w io.Writer, ps []engine.Problem) error {
	out := make([]problem, 0, len(ps))
	for _, p := range ps {
		j := problem{Severity: p.Severity.String(), Summary: p.Summary, Detail: p.Detail, Hint: p.Hint, File: p.Range.File}
		if p.Range.Start.Line > 0 {
			start, end := pos(p.Range.Start), pos(p.Range.End)
			j.Start, j.End = &start, &end
		}
		out = append(out, j)
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
