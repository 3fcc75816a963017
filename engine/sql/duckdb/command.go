//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"fmt"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// command is a statement's text as it is run: without comments, and with values for parameters.
type command struct {
	source *engine.Statement
	prefix int // length of what stands before the statement's own text
	text   string
	pieces []piece // ordered
}

// piece maps a token of the text that is run to the token as written.
type piece struct{ at, length, from, fromLength int }

// newCommand writes the text from the tokens, so that it means what the key says and nothing else: no comment or odd space reaches the engine.
// replace gives other texts for the tokens at some places.
func newCommand(st *engine.Statement, params []Param, replace map[int]string) (*command, error) {
	tokens, err := dpbsql.Tokens(st.Text)
	if err != nil {
		return nil, err
	}
	for len(tokens) > 0 && tokens[len(tokens)-1].Text == ";" {
		tokens = tokens[:len(tokens)-1]
	}
	values := map[string]string{}
	for _, p := range params {
		if values["$"+p.Name], err = p.literal(); err != nil {
			return nil, err
		}
	}
	c := &command{source: st}
	var b strings.Builder
	for _, t := range tokens {
		text := t.Text
		if r, ok := replace[t.Offset]; ok {
			text = r
		} else if t.Kind == dpbsql.Param {
			text = values[text]
		}
		c.pieces = append(c.pieces, piece{b.Len(), len(text), t.Offset, t.Len})
		b.WriteString(text)
		b.WriteByte(' ')
	}
	c.text = b.String()
	return c, nil
}

// within puts the text into a larger statement.
func (c *command) within(before, after string) string {
	c.prefix = len(before)
	return before + c.text + after
}

// find is the place, in the text as written, of what stands at an offset of the statement that was run.
func (c *command) find(at int) (from, length int, ok bool) {
	at -= c.prefix
	for _, p := range c.pieces {
		if at >= p.at && at <= p.at+p.length {
			return p.from, p.fromLength, true
		}
	}
	return 0, 0, false
}

// literal writes a partition's value as SQL.
func (p Param) literal() (string, error) {
	text, err := p.text()
	return fmt.Sprintf("CAST(%s AS %s)", quote(text), p.Type), err
}

// text is the value as the engine reads it: an hour is a time.
func (p Param) text() (string, error) {
	if p.Type != "TIMESTAMP" {
		return p.Text, nil
	}
	t, err := time.Parse("2006-01-02T15", p.Text)
	if err != nil {
		return "", fmt.Errorf("$%s: %w", p.Name, err)
	}
	return t.Format("2006-01-02 15:04:05"), nil
}
