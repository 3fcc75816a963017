package hcl

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// pattern is compiled when it is first used: dpb starts faster so, and few commands need it.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// topHeader is the first line of a block outside of others, blockHeader that of any block.
var (
	topHeader   = pattern(`(?m)^(workspace|team|partition|store|locals|package|source|target)([ \t]+[^\s{=]+)*[ \t]*\{`)
	blockHeader = pattern(`^[ \t]*[a-z_]+([ \t]+("[^"]*"|\w+))*[ \t]*\{[ \t\r]*$`)
)

// syntaxProblems says in our words why a text could not be parsed. After one mistake the parser stumbles over much that is right, so each
// outermost block is parsed by itself, and only the first mistake in it counts.
func syntaxProblems(file string, src []byte, diags hcl.Diagnostics) []engine.Problem {
	starts := [][]int{{0}}
	starts = append(append(starts, topHeader().FindAllIndex(src, -1)...), []int{len(src)})
	var out []engine.Problem
	for i := range len(starts) - 1 {
		from, to := starts[i][0], starts[i+1][0]
		pos := posAt(src, from)
		_, found := hclsyntax.ParseConfig(src[from:to], file, hcl.Pos{Line: pos.Line, Column: 1, Byte: from})
		if d := firstMistake(found); d != nil {
			out = append(out, problemAt(src, d))
		}
	}
	if len(out) == 0 {
		out = append(out, problemAt(src, firstMistake(diags)))
	}
	return out
}

// firstMistake is the first error in the text. What can't be a character at all explains what else is wrong in its line.
func firstMistake(diags hcl.Diagnostics) *hcl.Diagnostic {
	var first *hcl.Diagnostic
	for _, d := range diags {
		if d.Severity == hcl.DiagError && (first == nil || d.Subject.Start.Byte < first.Subject.Start.Byte) {
			first = d
		}
	}
	for _, d := range diags {
		if d.Summary == "Invalid character" && d.Subject.Start.Line == first.Subject.Start.Line {
			return d
		}
	}
	return first
}

func problemAt(src []byte, d *hcl.Diagnostic) engine.Problem {
	at := min(d.Subject.Start.Byte, len(src))
	s := &stumble{src: src, diag: d, at: at, end: min(max(d.Subject.End.Byte, at), len(src))}
	p := s.problem()
	p.Range, p.Context = s.place(), s.context()
	return p
}

// stumble is a place at which the parser could not go on. The translation may move it.
type stumble struct {
	src     []byte
	diag    *hcl.Diagnostic
	at, end int
}

func (s *stumble) place() engine.Range {
	return engine.Range{File: s.diag.Subject.Filename, Start: posAt(s.src, s.at), End: posAt(s.src, max(s.at, min(s.end, len(s.src))))}
}

// before is the text of the line up to the place, after what follows it.
func (s *stumble) before() string {
	return string(s.src[bytes.LastIndexByte(s.src[:s.at], '\n')+1 : s.at])
}

func (s *stumble) after() string {
	rest, _, _ := bytes.Cut(s.src[s.at:], []byte{'\n'})
	return strings.TrimRight(string(rest), "\r")
}

// markBefore moves the place to the n bytes that end where the trimmed text before it ends.
func (s *stumble) markBefore(n int) {
	s.end = s.at - (len(s.before()) - len(strings.TrimRight(s.before(), " \t\r")))
	s.at = s.end - n
}

// mark sets the place to n bytes from where it starts.
func (s *stumble) mark(n int) { s.end = s.at + n }

// context is the header of the block around the place, told by indentation, since what could be parsed may lack it.
func (s *stumble) context() engine.Range {
	end := bytes.LastIndexByte(s.src[:s.at], '\n')
	if end < 0 {
		return engine.Range{}
	}
	indent := len(s.before()) - len(strings.TrimLeft(s.before(), " \t"))
	for range 200 {
		start := bytes.LastIndexByte(s.src[:end], '\n') + 1
		line := string(s.src[start:end])
		if blockHeader().MatchString(line) && len(line)-len(strings.TrimLeft(line, " \t")) < indent {
			return engine.Range{File: s.diag.Subject.Filename, Start: posAt(s.src, start), End: posAt(s.src, end)}
		}
		if end = start - 1; end < 0 {
			break
		}
	}
	return engine.Range{}
}

// translations maps the parser's summaries to what says them better.
var translations map[string]func(*stumble) engine.Problem

func init() {
	translations = map[string]func(*stumble) engine.Problem{
		"Invalid single-argument block definition":  (*stumble).oneLine,
		"Invalid expression":                        (*stumble).noExpression,
		"Missing expression":                        (*stumble).noExpression,
		"Argument or block definition required":     (*stumble).noDefinition,
		"Argument definition required":              (*stumble).noDefinition,
		"Missing newline after argument":            (*stumble).noNewline,
		"Invalid block definition":                  (*stumble).badBlock,
		"Unclosed configuration block":              (*stumble).unclosed,
		"Missing item separator":                    (*stumble).noComma,
		"Missing argument separator":                (*stumble).noComma,
		"Missing attribute separator":               (*stumble).noComma,
		"Unterminated tuple constructor expression": (*stumble).noComma,
		"Unterminated function call":                (*stumble).noComma,
		"Invalid multi-line string":                 (*stumble).lineString,
		"Unterminated template string":              (*stumble).noEnd,
		"Unterminated string literal":               (*stumble).noEnd,
		"Invalid character":                         (*stumble).badCharacter,
		"Unsupported operator":                      (*stumble).badOperator,
		"Attribute redefined":                       (*stumble).redefined,
		"Invalid string literal":                    (*stumble).badLabel,
		"Invalid escape sequence":                   (*stumble).badEscape,
		"Invalid argument name":                     (*stumble).quotedName,
		"Unexpected comma after argument":           (*stumble).noNewline,
		"Unclosed template interpolation sequence":  (*stumble).noBrace,
		"Missing key/value separator":               (*stumble).noEquals,
		"Missing attribute value":                   (*stumble).noEquals,
		"Unbalanced parentheses":                    (*stumble).noParenthesis,
	}
}

func (s *stumble) problem() engine.Problem {
	if f := translations[s.diag.Summary]; f != nil {
		return f(s)
	}
	return engine.Problem{Summary: lowerFirst(s.diag.Summary), Detail: s.diag.Detail}
}

// found is what stands at the place, for "expected a value, found ...".
func (s *stumble) found() string {
	text := s.after()
	switch {
	case s.at >= len(s.src):
		return "the end of the file"
	case strings.TrimSpace(text) == "":
		return "the end of the line"
	}
	if token := nextToken().FindString(text); token != "" && len(token) <= 30 {
		return token
	}
	r, _ := utf8.DecodeRuneInString(text)
	return string(r)
}

var nextToken = pattern(`^("[^"]*"|[\w.]+|[^\w\s"]+)`)

func (s *stumble) oneLine() engine.Problem {
	return engine.Problem{
		Summary: "a block in one line holds one attribute and nothing else",
		Hint:    "put each attribute and each block on a line of its own, and the closing } too",
	}
}

var (
	trailingOperator = pattern(`(&&|\|\||==|!=|<=|>=|[-+*/<>?:])$`)
	leadingOperator  = pattern(`^(&&|\|\||==|!=|<=|>=|[-+*/%<>?:])`)
	percentage       = pattern(`[0-9.]+[ \t]*%$`)
	dateHour         = pattern(`\d{4}-\d\d-\d\dT\d\d$`)
)

const inParentheses = "put the whole expression into parentheses: ( ... )"

func (s *stumble) noExpression() engine.Problem {
	before := strings.TrimRight(s.before(), " \t\r")
	atEnd := strings.TrimSpace(s.after()) == ""
	switch op := trailingOperator().FindString(before); {
	case percentage().MatchString(before):
		share := percentage().FindString(before)
		s.markBefore(len(share))
		text := strings.ReplaceAll(share, " ", "")
		n, err := strconv.ParseFloat(strings.TrimSuffix(text, "%")+"e-2", 64)
		if err == nil && strings.Contains(before, "that") {
			return engine.Problem{Summary: "a share in a rule is a number", Hint: "write " + strconv.FormatFloat(n, 'g', -1, 64)}
		}
		return engine.Problem{Summary: "a share needs quotes", Hint: fmt.Sprintf("write %q", text)}
	case strings.HasPrefix(s.after(), "=") && op == "==":
		s.at -= 2
		s.mark(3)
		return engine.Problem{Summary: "there is no operator ===", Hint: "write =="}
	case op != "" && atEnd:
		s.markBefore(len(op))
		return engine.Problem{Summary: "the expression ends with " + op + ", because the line does", Hint: inParentheses}
	case strings.HasSuffix(before, "=") && atEnd:
		s.markBefore(1)
		return engine.Problem{Summary: "a value is missing after ="}
	}
	s.mark(1)
	return engine.Problem{Summary: "expected a value, found " + s.found()}
}

func (s *stumble) noDefinition() engine.Problem {
	text := s.after()
	op := leadingOperator().FindString(text)
	if op != "" && strings.TrimSpace(s.before()) == "" && strings.TrimSpace(text[len(op):]) != "" && !strings.HasPrefix(text, "--") {
		s.mark(len(op))
		return engine.Problem{Summary: "an expression can't go on with " + op + " in a new line", Hint: inParentheses}
	}
	if name := text[:len(text)-len(strings.TrimLeftFunc(text, isIdent))]; name != "" && strings.HasPrefix(strings.TrimSpace(text[len(name):]), ":") {
		s.mark(len(name))
		return engine.Problem{Summary: "an attribute is set with =, not with :", Hint: "write " + name + " = ..."}
	}
	if strings.HasPrefix(text, "}") {
		s.mark(1)
		return engine.Problem{Summary: "there is one } too many", Hint: "remove it, or look above for a } that closes too early"}
	}
	return engine.Problem{Summary: "expected an attribute or a block, found " + s.found()}
}

func isIdent(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r) }

// wordOperators are what other languages have.
var wordOperators = map[string]string{
	"and": "write && instead of and", "AND": "write && instead of AND", "or": "write || instead of or", "OR": "write || instead of OR",
	"is": "compare with == null or != null", "IS": "compare with == null or != null", "in": "write oneof(value, ...)", "IN": "write oneof(value, ...)",
	"between": "write range(value, low, high)", "BETWEEN": "write range(value, low, high)",
}

func (s *stumble) noNewline() engine.Problem {
	text, before := s.after(), strings.TrimRight(s.before(), " \t")
	word := text[:len(text)-len(strings.TrimLeftFunc(text, isIdent))]
	date := s.before() + word
	switch {
	case dateHour().MatchString(date):
		date = dateHour().FindString(date)
		s.end = s.at + len(word)
		s.at = s.end - len(date)
		return engine.Problem{Summary: "a date needs quotes", Hint: fmt.Sprintf("write %q", date)}
	case wordOperators[word] != "":
		s.mark(len(word))
		return engine.Problem{Summary: "there is no operator " + word, Hint: wordOperators[word]}
	case strings.HasSuffix(before, " not") || strings.HasSuffix(before, "(not"):
		s.markBefore(3)
		return engine.Problem{Summary: "there is no operator not", Hint: "write ! instead of not"}
	case strings.HasPrefix(text, ","):
		return engine.Problem{Summary: "a comma can't end an attribute", Hint: "remove it: attributes stand on lines of their own"}
	}
	p := engine.Problem{Summary: "expected the end of the line, found " + s.found(), Hint: "put each attribute on a line of its own"}
	if leadingOperator().MatchString(text) || strings.HasPrefix(text, "(") {
		p.Hint = ""
	}
	return p
}

var labelEquals = pattern(`^\s*(\w+)\s+"?([^"\s=]*)"?\s*$`)

func (s *stumble) badBlock() engine.Problem {
	before := s.before()
	m := labelEquals().FindStringSubmatch(before)
	if strings.HasPrefix(s.after(), "=") && m != nil {
		p := engine.Problem{Summary: m[1] + " is a block and is not set with =", Hint: fmt.Sprintf("write %s %q { ... }", m[1], m[2])}
		if value := strings.TrimSpace(s.after()[1:]); m[1] == "input" && strings.HasPrefix(value, `"`) {
			p.Hint = fmt.Sprintf("write %s %q { from = %s }", m[1], m[2], value)
		}
		return p
	}
	if word, rest, _ := strings.Cut(strings.TrimSpace(before), " "); rest != "" && isAttr(word) {
		s.at -= len(strings.TrimLeft(before, " \t"))
		s.mark(len(word))
		return engine.Problem{Summary: "= is missing after " + word, Hint: "write " + word + " = " + strings.TrimSpace(rest)}
	}
	if next := strings.TrimSpace(string(s.src[s.at:])); strings.HasPrefix(next, "{") {
		s.markBefore(len(strings.TrimSpace(before)))
		return engine.Problem{Summary: "the { of a block stands in the line of its name", Hint: "write " + strings.TrimSpace(before) + " {"}
	}
	return engine.Problem{Summary: "expected {, found " + s.found(), Hint: `a block is written name "label" { ... }, an attribute name = value`}
}

func isAttr(name string) bool {
	in, _ := kindsWith(name)
	return len(in) > 0
}

func (s *stumble) unclosed() engine.Problem {
	line := bytes.LastIndexByte(s.src[:s.at], '\n') + 1
	header := strings.TrimRight(string(s.src[line:s.at]), " \t")
	s.at, s.end = line+len(header)-len(strings.TrimLeft(header, " \t")), line+len(header)
	return engine.Problem{Summary: "the } of this block is missing, or that of a block in it"}
}

func (s *stumble) noComma() engine.Problem {
	if strings.TrimSpace(s.before()) == "" || s.at >= len(s.src) {
		// The next token is in another line: what is missing belongs to the end of the text before.
		s.afterText()
		return engine.Problem{Summary: "a comma, or the closing bracket, is missing after this"}
	}
	return engine.Problem{Summary: "a comma is missing before " + s.found()}
}

func (s *stumble) lineString() engine.Problem {
	return engine.Problem{Summary: `the closing " is missing`, Hint: "for text of several lines write <<END, the text, and a line with END alone"}
}

var heredoc = pattern(`<<-?[ \t]*(\w+)`)

func (s *stumble) noEnd() engine.Problem {
	all := heredoc().FindAllSubmatchIndex(s.src[:s.at], -1)
	if len(all) == 0 {
		return engine.Problem{Summary: "the end of this text is missing"}
	}
	last := all[len(all)-1]
	s.at, s.end = last[0], last[1]
	return engine.Problem{Summary: "the end of this text is missing", Hint: fmt.Sprintf("end it with a line that holds %s alone", s.src[last[2]:last[3]])}
}

func (s *stumble) badCharacter() engine.Problem {
	text := s.after()
	r, size := utf8.DecodeRuneInString(text)
	s.mark(max(size, 1))
	switch r {
	case '\'', '`', '“', '”', '„', '‘', '’':
		if i := strings.IndexAny(text[size:], "'`“”‘’"); i >= 0 {
			_, closing := utf8.DecodeRuneInString(text[size+i:])
			s.mark(size + i + closing)
			return engine.Problem{Summary: "text stands in double quotes", Hint: fmt.Sprintf("write %q", text[size:size+i])}
		}
		return engine.Problem{Summary: "text stands in double quotes", Hint: `write "..."`}
	case ';':
		return engine.Problem{Summary: "attributes need no ;", Hint: "remove it"}
	}
	return engine.Problem{Summary: fmt.Sprintf("the character %q means nothing here", r)}
}

func (s *stumble) badOperator() engine.Problem {
	text := s.after()
	p := engine.Problem{Summary: fmt.Sprintf("there is no operator %s", text[:min(max(1, s.end-s.at), len(text))])}
	switch {
	case strings.HasPrefix(text, "&"):
		p.Hint = "write &&"
	case strings.HasPrefix(text, "|"):
		p.Hint = "write ||"
	case strings.HasPrefix(text, "**"), strings.HasPrefix(text, "^"):
		p.Hint = "write pow(base, exponent)"
	}
	return p
}

var firstLine = pattern(`:(\d+),\d+`)

func (s *stumble) redefined() engine.Problem {
	p := engine.Problem{Summary: s.text() + " is set twice", Hint: "remove one"}
	if m := firstLine().FindStringSubmatch(s.diag.Detail); m != nil {
		p.Detail = "It is also in line " + m[1] + "."
	}
	return p
}

func (s *stumble) text() string { return string(s.src[s.at:s.end]) }

func (s *stumble) badLabel() engine.Problem {
	if !strings.Contains(s.diag.Detail, "emplate") {
		return engine.Problem{Summary: lowerFirst(s.diag.Summary), Detail: s.diag.Detail}
	}
	return engine.Problem{Summary: "a name can't be computed", Hint: "write it out; one target for many values is what partition_by is for"}
}

func (s *stumble) badEscape() engine.Problem {
	text := s.text()
	return engine.Problem{Summary: text + " means nothing in a text", Hint: "write " + strings.Replace(text, `\`, `\\`, 1) + " for a backslash"}
}

var quotedWord = pattern(`^"([^"]*)"`)

func (s *stumble) quotedName() engine.Problem {
	p := engine.Problem{Summary: "the name of an attribute has no quotes"}
	if m := quotedWord().FindStringSubmatch(s.after()); m != nil {
		s.mark(len(m[0]))
		p.Hint = "write " + m[1] + " = ..."
	}
	return p
}

func (s *stumble) noBrace() engine.Problem {
	return engine.Problem{Summary: "the } that ends this ${ is missing", Hint: "for the characters ${ themselves write $${"}
}

func (s *stumble) noEquals() engine.Problem {
	return engine.Problem{Summary: "expected = in a map, found " + s.found(), Hint: "a map is written { name = value, other = value }"}
}

func (s *stumble) noParenthesis() engine.Problem {
	if strings.TrimSpace(s.before()) == "" {
		s.afterText()
		return engine.Problem{Summary: "a ) is missing after this"}
	}
	return engine.Problem{Summary: "expected ), found " + s.found()}
}

// afterText moves the place to the last character before it, in a line above.
func (s *stumble) afterText() {
	s.end = len(bytes.TrimRight(s.src[:s.at], " \t\r\n"))
	_, size := utf8.DecodeLastRune(s.src[:s.end])
	s.at = s.end - size
}
