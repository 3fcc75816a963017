//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// failure is an error of the engine, taken apart.
type failure struct {
	Kind       string `json:"exception_type"`
	Message    string `json:"exception_message"`
	Candidates string `json:"candidates"`
	Position   string `json:"position"`
}

func (f *failure) Error() string {
	summary, detail := f.split()
	if detail != "" {
		return summary + ": " + detail
	}
	return summary
}

// failure makes sense of an error that the driver returned. After an interruption it is the context's own.
func (s *session) failure(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	text := err.Error()
	f := &failure{Kind: "Other", Message: text}
	if i := strings.IndexByte(text, '{'); i >= 0 {
		var parsed failure
		if json.NewDecoder(strings.NewReader(text[i:])).Decode(&parsed) == nil && parsed.Message != "" {
			f = &parsed
		}
	}
	if noScratch(f.Message) {
		return s.scratchFailure()
	}
	f.Message = s.hidePaths(f.Message)
	return f
}

// hidePaths writes what a person knows a file by, in place of its path in the store.
func (s *session) hidePaths(message string) string {
	for path, name := range s.names {
		if strings.Contains(message, path) {
			message = strings.ReplaceAll(message, `"`+path+`"`, name)
			message = strings.ReplaceAll(message, path, name)
		}
	}
	return message
}

var (
	csvError  = regexp.MustCompile(`^CSV Error on Line: (\d+)\n(?:Original Line: (.*)\n)?((?s:.*))`)
	csvFile   = regexp.MustCompile(`(?m)^  file = (.*)$`)
	jsonError = regexp.MustCompile(`^(JSON transform error|Malformed JSON) in file (.*?), (?:at byte \d+ )?in (?:line|record/value) (\d+): (.*)`)
)

// advice is what the engine says of options that nobody can set here.
var advice = regexp.MustCompile(`(?s)[,;]?\s*\b(?:Try (?:auto-detecting|increasing|setting) |Use ["']?SET ).*$`)

// split makes the engine's message a summary of one line and the rest of what it says, without its advice about options that nobody can set here.
func (f *failure) split() (summary, detail string) {
	message := f.Message
	if m := csvError.FindStringSubmatch(message); m != nil {
		what, _, _ := strings.Cut(strings.TrimSpace(m[3]), "\n")
		file := "a file"
		if at := csvFile.FindStringSubmatch(message); at != nil {
			file = at[1]
		}
		return fmt.Sprintf("%s, line %s: %s", file, m[1], lower(what)), quoteLine(m[2])
	}
	if m := jsonError.FindStringSubmatch(message); m != nil {
		line, _ := strconv.Atoi(m[3])
		if m[1] == "Malformed JSON" {
			line = max(1, line-1) // there the engine counts from 2
		}
		return fmt.Sprintf("%s, line %d: %s", m[2], line, lower(strings.TrimRight(advice.ReplaceAllString(m[4], ""), ". "))), ""
	}
	summary, detail, _ = strings.Cut(message, "\n")
	summary, detail = advice.ReplaceAllString(summary, ""), advice.ReplaceAllString(detail, "")
	for _, advice := range []string{"Try setting ", "Possible ", "Candidate ", "Did you mean", "LINE "} {
		if i := strings.Index(detail, advice); i >= 0 {
			detail = detail[:i]
		}
	}
	summary = lower(strings.TrimRight(strings.TrimSuffix(summary, " You might need to add explicit type casts."), ".!"))
	if f.Kind == "Out of Memory" {
		summary = "out of memory: " + summary
	}
	return summary, strings.TrimSpace(detail)
}

func quoteLine(line string) string {
	if line == "" {
		return ""
	}
	if len(line) > 200 {
		line = strings.ToValidUTF8(line[:200], "") + "…"
	}
	return "the line is " + strconv.Quote(line)
}

// lower writes the first letter small, unless the word is an abbreviation.
func lower(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	if second, _ := utf8.DecodeRuneInString(s[n:]); unicode.IsUpper(second) {
		return s
	}
	return string(unicode.ToLower(first)) + s[n:]
}

var (
	didYouMean = regexp.MustCompile(`(?s)(?:Did you mean|Candidate bindings:*)\s*:?\s*(.*)$`)
	candidates = regexp.MustCompile(`(?s)Candidate functions:\n(.*)$`)
)

func (f *failure) hint(memory int64) string {
	if m := candidates.FindStringSubmatch(f.Message); m != nil {
		lines := strings.Split(strings.TrimSpace(m[1]), "\n")
		for i := range lines {
			lines[i] = strings.TrimSpace(lines[i])
		}
		if len(lines) > 4 {
			lines = append(lines[:4], "…")
		}
		return "cast the arguments; there is " + strings.Join(lines, "; ")
	}
	switch {
	case f.Kind == "Out of Memory" || f.Kind == outOfScratch:
		return MoreMemory(memory)
	case strings.Contains(f.Message, "INT128") && strings.Contains(f.Message, "INT64"):
		return "the sum of integers is a HUGEINT, which is written as BIGINT; write CAST(… AS DECIMAL(38,0)) where it can be larger"
	case f.Candidates != "":
		return "candidates are " + strings.Join(strings.Split(f.Candidates, ","), ", ")
	}
	m := didYouMean.FindStringSubmatch(f.Message)
	if m == nil {
		return ""
	}
	found, _, _ := strings.Cut(strings.TrimSpace(m[1]), "\n\n")
	if strings.HasSuffix(found, "?") {
		return "did you mean " + found
	}
	return "candidates are " + found
}

// offset is the error's place in the text that was run; ok is false if it has none.
func (f *failure) offset() (n int, ok bool) {
	n, err := strconv.Atoi(f.Position)
	return n, err == nil
}

// explain writes an error of the engine about a statement as a problem at its place. Other errors stay as they are.
func (w *writer) explain(ctx context.Context, err error) error {
	var f *failure
	if err == nil || !errors.As(err, &f) {
		return err
	}
	p := w.session.problem(ctx, f, w.memory())
	p.Range = dpbsql.Place(w.command.source, 0, 0)
	if from, length, ok := w.command.blame(f); ok {
		p.Range = dpbsql.Place(w.command.source, from, length)
	}
	return &ProblemError{p}
}

// problem writes an error of the engine as a problem that has no place yet. memory is the limit that held.
func (s *session) problem(ctx context.Context, f *failure, memory int64) engine.Problem {
	p := engine.Problem{Hint: f.hint(memory)}
	p.Summary, p.Detail = f.split()
	if in := aboutInput.FindStringSubmatch(f.Message); in != nil {
		p.Summary, p.Detail = s.locate(ctx, in[1], p.Summary, p.Detail)
	}
	return p
}

var aboutInput = regexp.MustCompile(`^(?:input|output) "(\w+)": column `)

// locate reads an input of text again, to learn the line of a value that is wrong.
func (s *session) locate(ctx context.Context, input, summary, detail string) (string, string) {
	for _, call := range s.typed[input] {
		var f *failure
		if _, err := s.texts(ctx, "SELECT count(COLUMNS(*)) FROM "+call); errors.As(err, &f) {
			return f.split()
		}
	}
	return summary, detail
}

// blame finds the token that an error is about: at its place, or, if it has none, the one with the name that it quotes first.
func (c *command) blame(f *failure) (from, length int, ok bool) {
	if at, ok := f.offset(); ok {
		return c.find(at)
	}
	m := quotedName.FindStringSubmatch(f.Message)
	if m == nil || f.Kind != "Binder" && f.Kind != "Catalog" {
		return 0, 0, false
	}
	tokens, _ := dpbsql.Tokens(c.source.Text)
	for _, t := range tokens {
		if strings.EqualFold(strings.Trim(t.Text, `"`), m[1]) {
			return t.Offset, t.Len, true
		}
	}
	return 0, 0, false
}

var quotedName = regexp.MustCompile(`"([^"\n]+)"`)
