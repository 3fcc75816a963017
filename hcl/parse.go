package hcl

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

const (
	maxFile  = 16 << 20 // bytes; people write far less, and parsing takes about a hundred times the memory
	maxDepth = 200      // of brackets; the parser recurses
	maxChain = 2000     // operators in one expression, for the same reason
)

// read returns the text of the file at rel and keeps it for snippets, or reports why it can't.
func (d *decoder) read(rel string) ([]byte, error) {
	src, err := d.shared.readFile(rel)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.unsure = true
		return nil, err
	}
	d.sources[rel] = src
	return src, nil
}

// readFile follows no link that leads out of the workspace.
func (ws *workspace) readFile(rel string) ([]byte, error) {
	root, err := os.OpenRoot(ws.root)
	if err != nil {
		return nil, fmt.Errorf("%s", cause(err))
	}
	defer root.Close()
	name := filepath.FromSlash(rel)
	info, err := root.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s", cause(err))
	case info.IsDir():
		return nil, fmt.Errorf("it is a folder")
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("it is no regular file")
	case info.Size() > maxFile:
		return nil, fmt.Errorf("it has %d bytes, more than the %d that dpb reads", info.Size(), maxFile)
	}
	src, err := root.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("%s", cause(err))
	}
	return src, nil
}

// parse returns the body of the file, or nil after reporting its mistakes of syntax.
func (d *decoder) parse() *hclsyntax.Body {
	src, err := d.read(d.file)
	if err != nil {
		d.problems = append(d.problems, engine.Problem{Summary: "can't read this file: " + err.Error(), Range: engine.Range{File: d.file}})
		return nil
	}
	d.src = src
	body, problems := parseText(d.file, src)
	d.problems = append(d.problems, problems...)
	return body
}

// parseText parses a file's text. The body is nil if there are problems.
func parseText(file string, src []byte) (*hclsyntax.Body, []engine.Problem) {
	if p, bad := unreadable(file, src); bad {
		return nil, []engine.Problem{p}
	}
	f, diags := hclsyntax.ParseConfig(src, file, hcl.InitialPos)
	if diags.HasErrors() {
		return nil, syntaxProblems(file, src, diags)
	}
	return f.Body.(*hclsyntax.Body), nil
}

// unreadable finds what keeps a text from being parsed at all.
func unreadable(file string, src []byte) (engine.Problem, bool) {
	at := func(offset int, summary, hint string) (engine.Problem, bool) {
		start := posAt(src, offset)
		end := start
		end.Column, end.Byte = end.Column+1, end.Byte+1
		return engine.Problem{Summary: summary, Hint: hint, Range: engine.Range{File: file, Start: start, End: end}}, true
	}
	if i := bytes.IndexByte(src, 0); i >= 0 {
		return at(i, "the file holds a NUL byte", "save it as plain UTF-8 text")
	}
	if i := invalidUTF8(src); i >= 0 {
		return at(i, "this is not UTF-8 text", "save the file in UTF-8")
	}
	if i, what := tooDeep(src); i >= 0 {
		return at(i, what, "split it with locals")
	}
	return engine.Problem{}, false
}

// invalidUTF8 is the offset of the first byte that is no UTF-8, or -1.
func invalidUTF8(src []byte) int {
	if utf8.Valid(src) {
		return -1
	}
	for i := 0; i < len(src); {
		r, n := utf8.DecodeRune(src[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return -1
}

// posAt is the place of an offset. Columns count characters.
func posAt(src []byte, offset int) engine.Pos {
	line := bytes.LastIndexByte(src[:offset], '\n') + 1
	return engine.Pos{Line: 1 + bytes.Count(src[:offset], []byte{'\n'}), Column: 1 + utf8.RuneCount(src[line:offset]), Byte: offset}
}

// tooDeep returns the offset at which brackets nest too deep or an expression has too many operators, and which; or -1.
func tooDeep(src []byte) (int, string) {
	if !mayBeDeep(src) {
		return -1, ""
	}
	tokens, _ := hclsyntax.LexConfig(src, "", hcl.InitialPos)
	chains := []int{0} // operators of the current expression, for each open bracket
	braces := []bool{true}
	for _, t := range tokens {
		top := len(chains) - 1
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			chains[top]++ // f()[0][0] nests to the left
			chains, braces = append(chains, 0), append(braces, t.Type == hclsyntax.TokenOBrace)
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
			if top > 0 {
				chains, braces = chains[:top], braces[:top]
			}
		case hclsyntax.TokenComma:
			chains[top] = 0
		case hclsyntax.TokenNewline:
			if braces[top] {
				chains[top] = 0
			}
		default:
			if isOperator(t.Type) {
				chains[top]++
			}
		}
		if len(chains) > maxDepth {
			return t.Range.Start.Byte, fmt.Sprintf("brackets nest more than %d deep", maxDepth)
		}
		if chains[len(chains)-1] > maxChain {
			return t.Range.Start.Byte, fmt.Sprintf("an expression has more than %d operators", maxChain)
		}
	}
	return -1, ""
}

func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenIdent, hclsyntax.TokenNumberLit, hclsyntax.TokenQuotedLit, hclsyntax.TokenStringLit, hclsyntax.TokenOQuote, hclsyntax.TokenCQuote,
		hclsyntax.TokenOHeredoc, hclsyntax.TokenCHeredoc, hclsyntax.TokenComment, hclsyntax.TokenEqual, hclsyntax.TokenEOF:
		return false
	}
	return true
}

// mayBeDeep is a quick look that spares most files the slow one.
func mayBeDeep(src []byte) bool {
	opening, other := 0, 0
	for _, c := range src {
		switch c {
		case '{', '[', '(':
			opening++
		case '!', '-', '+', '*', '/', '%', '<', '>', '&', '|', '?', '.', '=':
			other++
		}
	}
	return opening > maxDepth || opening+other > maxChain
}
