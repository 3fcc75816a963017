// Package sql reads SQL without an engine: its tokens, which enter a key; what a statement may not do; and types.
package sql

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Kind of a token.
type Kind uint8

const (
	Word     Kind = iota + 1 // a keyword or a name without quotes
	Quoted                   // "name"
	String                   // 'text', with or without a prefix, or $$text$$
	Number                   //
	Param                    // $day, $1 or ?
	Operator                 // an operator or a punctuation mark
)

// Token is a lexical unit of DuckDB's SQL. Offset and Len say where it lies in the source, in bytes; Text is as written, but for a string that goes on
// over a line break, whose pieces are joined.
type Token struct {
	Text        string
	Kind        Kind
	Offset, Len int
}

// Is says whether the token is the keyword (in capitals) or the operator.
func (t Token) Is(text string) bool {
	return t.Text == text || t.Kind == Word && strings.EqualFold(t.Text, text)
}

// SyntaxError is a text that has no tokens: something in it does not end.
type SyntaxError struct {
	Offset int
	What   string
}

func (e *SyntaxError) Error() string { return e.What }

// Canonical is what a statement's text means, without comments, white space and closing semicolons: the text of each token. It enters the key.
func Canonical(src string) ([]string, error) {
	tokens, err := Tokens(src)
	if err != nil {
		return nil, fmt.Errorf("byte %d: %w", err.(*SyntaxError).Offset, err)
	}
	tokens = trimSemicolons(tokens)
	out := make([]string, len(tokens))
	for i, t := range tokens {
		out[i] = t.Text
	}
	return out, nil
}

func trimSemicolons(tokens []Token) []Token {
	for len(tokens) > 0 && tokens[len(tokens)-1].Text == ";" {
		tokens = tokens[:len(tokens)-1]
	}
	return tokens
}

// Blank replaces comments and all white space but line breaks by spaces and drops closing semicolons. Offsets keep their meaning.
func Blank(src string) (string, error) {
	tokens, err := Tokens(src)
	if err != nil {
		return "", err
	}
	out := []byte(src)
	at := 0
	for _, t := range trimSemicolons(tokens) {
		blank(out[at:t.Offset])
		at = t.Offset + t.Len
	}
	return string(out[:at]), nil
}

func blank(b []byte) {
	for i, c := range b {
		if c != '\n' {
			b[i] = ' '
		}
	}
}

// Tokens cuts SQL into its tokens by the rules of DuckDB's scanner. Text that the scanner would take and the parser refuse has tokens too.
func Tokens(src string) ([]Token, error) {
	s := scanner{src: src}
	var out []Token
	for {
		if err := s.skip(); err != nil {
			return nil, err
		}
		if s.at == len(src) {
			return out, nil
		}
		t, err := s.next()
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
}

type scanner struct {
	src string
	at  int
}

func (s *scanner) fail(offset int, format string, args ...any) *SyntaxError {
	return &SyntaxError{offset, fmt.Sprintf(format, args...)}
}

func (s *scanner) peek(n int) byte {
	if s.at+n < len(s.src) {
		return s.src[s.at+n]
	}
	return 0
}

func (s *scanner) has(prefix string) bool { return strings.HasPrefix(s.src[s.at:], prefix) }

// skip goes past white space and comments.
func (s *scanner) skip() error {
	for s.at < len(s.src) {
		switch {
		case s.has("--"):
			s.skipLine()
		case s.has("/*"):
			if err := s.skipBlock(); err != nil {
				return err
			}
		default:
			n := spaceLen(s.src[s.at:])
			if n == 0 {
				return nil
			}
			s.at += n
		}
	}
	return nil
}

func (s *scanner) skipLine() {
	if n := strings.IndexAny(s.src[s.at:], "\n\r"); n >= 0 {
		s.at += n
	} else {
		s.at = len(s.src)
	}
}

// skipBlock goes past a block comment; they nest.
func (s *scanner) skipBlock() error {
	start, depth := s.at, 0
	for s.at < len(s.src) {
		switch {
		case s.has("/*"):
			depth++
			s.at += 2
		case s.has("*/"):
			depth--
			s.at += 2
			if depth == 0 {
				return nil
			}
		default:
			s.at++
		}
	}
	return s.fail(start, "a /* comment has no end")
}

// spaceLen is the length of the white space character that text starts with, 0 if it starts with none.
func spaceLen(text string) int {
	r, n := utf8.DecodeRuneInString(text)
	switch {
	case r == ' ' || r >= '\t' && r <= '\r' && r != '\v': // as the engine's scanner has it
		return n
	case r == 0xA0 || r >= 0x2000 && r <= 0x200D || r == 0x202F || r == 0x205F || r == 0x2060 || r == 0x3000 || r == 0xFEFF:
		return n
	}
	return 0
}

func (s *scanner) next() (Token, error) {
	start := s.at
	kind, err := s.scan()
	if err != nil {
		return Token{}, err
	}
	t := Token{Text: s.src[start:s.at], Kind: kind, Offset: start, Len: s.at - start}
	if kind == String {
		t.Text = joinPieces(t.Text)
	}
	return t, nil
}

func (s *scanner) scan() (Kind, error) {
	c := s.src[s.at]
	switch {
	case c == '\'':
		return String, s.quoted("")
	case c == '"':
		return Quoted, s.quotedName()
	case strings.IndexByte("eEbBxXnN", c) >= 0 && s.peek(1) == '\'':
		s.at++
		return String, s.quoted(string(c))
	case (c == 'u' || c == 'U') && (s.peek(1) == '&') && (s.peek(2) == '\'' || s.peek(2) == '"'):
		return 0, s.fail(s.at, "texts that start with U& are not supported")
	case isDigit(c) || c == '.' && isDigit(s.peek(1)):
		s.number()
		if s.at < len(s.src) && s.startsName() {
			// The engine takes 0xff for 0 AS xff. Tokens are compared without the space between them, so there must be one.
			return 0, s.fail(s.at, "a name follows a number without a space")
		}
		return Number, nil
	case s.startsName():
		s.name()
		return Word, nil
	case c == '$':
		return s.dollar()
	case c == 0:
		return 0, s.fail(s.at, "there is a zero byte")
	}
	return s.operator(), nil
}

// quoted goes past a string in single quotes, with all its pieces.
func (s *scanner) quoted(prefix string) error {
	start := s.at - len(prefix)
	escapes := strings.EqualFold(prefix, "e")
	s.at++
	for s.at < len(s.src) {
		switch c := s.src[s.at]; {
		case c == '\\' && escapes:
			s.at = min(s.at+2, len(s.src))
		case c == '\'' && s.peek(1) == '\'':
			s.at += 2
		case c == '\'':
			s.at++
			n := continues(s.src[s.at:])
			if n == 0 {
				return nil
			}
			s.at += n
		default:
			s.at++
		}
	}
	return s.fail(start, "a text in single quotes has no end")
}

// continues is the length of what lies between the pieces of a string, with the quote that opens the next piece: white space and comments with at least
// one line break. It is 0 if no piece follows.
func continues(text string) int {
	lines := false
	for i := 0; i < len(text); {
		switch c := text[i]; {
		case c == '\'':
			if lines {
				return i + 1
			}
			return 0
		case strings.HasPrefix(text[i:], "--"):
			n := strings.IndexAny(text[i:], "\n\r")
			if n < 0 {
				return 0
			}
			i += n
		case c == '\n' || c == '\r':
			lines = true
			i++
		case c == ' ' || c == '\t' || c == '\f':
			i++
		default:
			return 0
		}
	}
	return 0
}

// joinPieces takes out what lies between the pieces of a string.
func joinPieces(text string) string {
	quote := strings.IndexByte(text, '\'')
	if quote < 0 || quote > 1 || !strings.ContainsAny(text, "\n\r") {
		return text
	}
	var b strings.Builder
	escapes := text[0] == 'e' || text[0] == 'E'
	b.WriteString(text[:quote+1])
	for i := quote + 1; i < len(text); {
		switch {
		case text[i] == '\\' && escapes, text[i] == '\'' && i+1 < len(text) && text[i+1] == '\'':
			end := min(i+2, len(text))
			b.WriteString(text[i:end])
			i = end
		case text[i] == '\'' && continues(text[i+1:]) > 0:
			i += 1 + continues(text[i+1:])
		default:
			b.WriteByte(text[i])
			i++
		}
	}
	return b.String()
}

func (s *scanner) quotedName() error {
	start := s.at
	for s.at++; s.at < len(s.src); s.at++ {
		if s.src[s.at] != '"' {
			continue
		}
		if s.peek(1) != '"' {
			s.at++
			return nil
		}
		s.at++
	}
	return s.fail(start, "a name in double quotes has no end")
}

func (s *scanner) startsName() bool {
	c := s.src[s.at]
	return isLetter(c) || c >= utf8.RuneSelf && spaceLen(s.src[s.at:]) == 0
}

func (s *scanner) name() {
	for s.at < len(s.src) && (s.startsName() || isDigit(s.src[s.at]) || s.src[s.at] == '$') {
		s.at++
		for s.at < len(s.src) && !utf8.RuneStart(s.src[s.at]) {
			s.at++
		}
	}
}

// number goes past 12, 1_000, 1.5, .5, 1. and 1e-3. In 1..2 it stops before the dots.
func (s *scanner) number() {
	s.digits()
	if s.peek(0) == '.' && s.peek(1) != '.' {
		s.at++
		s.digits()
	}
	if c := s.peek(0); c != 'e' && c != 'E' {
		return
	}
	n := 1
	if c := s.peek(n); c == '+' || c == '-' {
		n++
	}
	if isDigit(s.peek(n)) {
		s.at += n
		s.digits()
	}
}

func (s *scanner) digits() {
	for isDigit(s.peek(0)) || s.peek(0) == '_' && isDigit(s.peek(1)) && s.at > 0 && isDigit(s.src[s.at-1]) {
		s.at++
	}
}

// dollar goes past $1, $day, or a string between $$ or $tag$.
func (s *scanner) dollar() (Kind, error) {
	start := s.at
	s.at++
	if isDigit(s.peek(0)) {
		s.digits()
		return Param, nil
	}
	for s.at < len(s.src) && (s.startsName() || s.at > start+1 && isDigit(s.src[s.at])) {
		s.at++
	}
	if s.peek(0) == '$' {
		tag := s.src[start : s.at+1]
		n := strings.Index(s.src[s.at+1:], tag)
		if n < 0 {
			return 0, s.fail(start, "a text that starts with %s has no end", tag)
		}
		s.at += 1 + n + len(tag)
		return String, nil
	}
	if s.at == start+1 {
		return 0, s.fail(start, "a lone $")
	}
	s.at = start + 1
	s.name()
	return Param, nil
}

const operatorChars = "~!@#^&|`?+-*/%<>="

// operator goes past one operator. An operator ends before a comment, and has + or - at its end only if it has a character that SQL's own operators lack.
func (s *scanner) operator() Kind {
	n := 0
	for strings.IndexByte(operatorChars, s.peek(n)) >= 0 && s.peek(n) != 0 {
		if n > 0 && (s.src[s.at+n:s.at+n+1] == "-" && s.peek(n+1) == '-' || s.peek(n) == '/' && s.peek(n+1) == '*') {
			break
		}
		n++
	}
	for n > 1 && strings.IndexByte("+-", s.peek(n-1)) >= 0 && !strings.ContainsAny(s.src[s.at:s.at+n-1], "~!@#^&|`?%") {
		n--
	}
	text := s.src[s.at:]
	switch {
	case n > 0:
	case strings.HasPrefix(text, "::"), strings.HasPrefix(text, ":="), strings.HasPrefix(text, ".."):
		n = 2
	default:
		_, n = utf8.DecodeRuneInString(text)
	}
	s.at += n
	if n == 1 && text[0] == '?' {
		return Param
	}
	return Operator
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' }
