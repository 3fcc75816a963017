package sql

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dpb-build/dpb/engine"
)

// Place is where a stretch of a statement's text stands: in its file, or in the pipeline.hcl if it is certain that the text stands there as it is. Else it
// is the place where the statement was given.
func Place(s *engine.Statement, offset, length int) engine.Range {
	offset = min(max(offset, 0), len(s.Text))
	end := min(offset+max(length, 0), len(s.Text))
	if s.File != "" {
		return engine.Range{File: s.File, Start: advance(start, s.Text[:offset]), End: advance(start, s.Text[:end])}
	}
	base := s.Range.Start
	switch s.Range.End.Byte - base.Byte {
	case len(s.Text):
	case len(s.Text) + 2: // a text in quotes, without escapes
		base = engine.Pos{Line: base.Line, Column: base.Column + 1, Byte: base.Byte + 1}
	default:
		return s.Range
	}
	return engine.Range{File: s.Range.File, Start: advance(base, s.Text[:offset]), End: advance(base, s.Text[:end])}
}

var start = engine.Pos{Line: 1, Column: 1}

// advance is the position after text. A letter and the marks on it are one column.
func advance(p engine.Pos, text string) engine.Pos {
	p.Byte += len(text)
	if n := strings.Count(text, "\n"); n > 0 {
		p.Line, p.Column = p.Line+n, 1
		text = text[strings.LastIndexByte(text, '\n')+1:]
	}
	joined := false
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		text = text[n:]
		joiner := r == '\u200d'
		if !joined && !joiner && !unicode.In(r, unicode.Mn, unicode.Me) {
			p.Column++
		}
		joined = joiner
	}
	return p
}

// Problem writes a finding about a statement as a problem.
func (f Finding) Problem(s *engine.Statement) engine.Problem {
	p := engine.Problem{Summary: f.Summary, Hint: f.Hint, Range: Place(s, f.Offset, f.Len)}
	if f.Warning {
		p.Severity = engine.Warning
	}
	return p
}
