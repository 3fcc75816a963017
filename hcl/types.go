package hcl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// typeNames maps each spelling of a column type to the one that is kept.
var typeNames = map[string]string{
	"BOOLEAN": "BOOLEAN", "BOOL": "BOOLEAN", "LOGICAL": "BOOLEAN",
	"TINYINT": "TINYINT", "INT1": "TINYINT", "SMALLINT": "SMALLINT", "INT2": "SMALLINT", "SHORT": "SMALLINT", "INTEGER": "INTEGER", "INT": "INTEGER",
	"INT4": "INTEGER", "SIGNED": "INTEGER", "BIGINT": "BIGINT", "INT8": "BIGINT", "LONG": "BIGINT", "HUGEINT": "HUGEINT",
	"UTINYINT": "UTINYINT", "USMALLINT": "USMALLINT", "UINTEGER": "UINTEGER", "UBIGINT": "UBIGINT", "UHUGEINT": "UHUGEINT",
	"FLOAT": "FLOAT", "REAL": "FLOAT", "FLOAT4": "FLOAT", "DOUBLE": "DOUBLE", "FLOAT8": "DOUBLE", "DECIMAL": "DECIMAL", "NUMERIC": "DECIMAL",
	"VARCHAR": "VARCHAR", "TEXT": "VARCHAR", "STRING": "VARCHAR", "CHAR": "VARCHAR", "BPCHAR": "VARCHAR",
	"BLOB": "BLOB", "BYTEA": "BLOB", "BINARY": "BLOB", "VARBINARY": "BLOB",
	"DATE": "DATE", "TIME": "TIME", "TIMESTAMP": "TIMESTAMP", "DATETIME": "TIMESTAMP", "TIMESTAMP_S": "TIMESTAMP_S", "TIMESTAMP_MS": "TIMESTAMP_MS",
	"TIMESTAMP_NS": "TIMESTAMP_NS", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "INTERVAL": "INTERVAL", "UUID": "UUID", "JSON": "JSON",
	"STRUCT": "STRUCT", "MAP": "MAP",
}

const maxTypeDepth = 20

// parseType reads a column type of the SQL engine and returns its one spelling.
func parseType(s string) (string, error) {
	p := &typeParser{tokens: typeTokens(s)}
	t, err := p.parse(0)
	if err == nil && p.peek() != "" {
		err = fmt.Errorf("unexpected %q after %s", p.peek(), t)
	}
	return t, err
}

type typeParser struct{ tokens []string }

func (p *typeParser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *typeParser) next() string {
	t := p.peek()
	if t != "" {
		p.tokens = p.tokens[1:]
	}
	return t
}

// accept skips the words if they come next.
func (p *typeParser) accept(words ...string) bool {
	if len(p.tokens) < len(words) {
		return false
	}
	for i, w := range words {
		if !strings.EqualFold(p.tokens[i], w) {
			return false
		}
	}
	p.tokens = p.tokens[len(words):]
	return true
}

func (p *typeParser) expect(word string) error {
	if p.accept(word) {
		return nil
	}
	if p.peek() == "" {
		return fmt.Errorf("%q is missing", word)
	}
	return fmt.Errorf("%q is missing before %q", word, p.peek())
}

// typeTokens splits a type into words, quoted names, numbers and single characters.
func typeTokens(s string) []string {
	var out []string
	for i := 0; i < len(s); {
		start := i
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '"':
			if end := strings.IndexByte(s[i+1:], '"'); end >= 0 {
				i += end + 2
			} else {
				i = len(s)
			}
		case isWordByte(c):
			for i < len(s) && isWordByte(s[i]) {
				i++
			}
		default:
			i++
		}
		out = append(out, s[start:i])
	}
	return out
}

func isWordByte(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

func (p *typeParser) parse(depth int) (string, error) {
	if depth > maxTypeDepth {
		return "", fmt.Errorf("types nest more than %d deep", maxTypeDepth)
	}
	t, err := p.named(depth)
	for err == nil && p.accept("[") {
		n := ""
		if p.peek() != "]" {
			n = p.next()
			if v, bad := strconv.ParseUint(n, 10, 17); bad != nil || v == 0 {
				return "", fmt.Errorf("%q is no length of a list", n)
			}
		}
		t += "[" + n + "]"
		err = p.expect("]")
	}
	return t, err
}

// named reads a type without the brackets of a list.
func (p *typeParser) named(depth int) (string, error) {
	word := p.next()
	if word == "" {
		return "", fmt.Errorf("a type is missing")
	}
	name := typeNames[strings.ToUpper(word)]
	switch {
	case strings.EqualFold(word, "ENUM"):
		return "", fmt.Errorf("ENUM can't be promised: its values may change; use VARCHAR and a rule")
	case !isWordByte(word[0]):
		return "", fmt.Errorf("a type is missing before %q", word)
	case name == "":
		return "", unknownType(word)
	case name == "DECIMAL":
		return p.decimal()
	case name == "STRUCT":
		return p.structure(depth)
	case name == "MAP":
		return p.mapping(depth)
	case name == "VARCHAR" && p.accept("("): // a length means nothing to the engine
		p.next()
		return name, p.expect(")")
	case (name == "TIMESTAMP" || name == "TIME") && p.accept("WITH", "TIME", "ZONE"):
		return name + " WITH TIME ZONE", nil
	case name == "DOUBLE":
		p.accept("PRECISION")
	}
	return name, nil
}

func unknownType(word string) error {
	known := []string{}
	for name := range typeNames {
		known = append(known, name)
	}
	slices.Sort(known)
	if near := engine.Suggest(strings.ToUpper(word), known); near != "" {
		return fmt.Errorf("there is no type %s; did you mean %s?", word, near)
	}
	return fmt.Errorf("there is no type %s", word)
}

func (p *typeParser) decimal() (string, error) {
	if !p.accept("(") {
		return "DECIMAL(18,3)", nil
	}
	precision, err := p.number(1, 38)
	if err != nil {
		return "", err
	}
	scale := 0
	if p.accept(",") {
		if scale, err = p.number(0, precision); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("DECIMAL(%d,%d)", precision, scale), p.expect(")")
}

func (p *typeParser) number(low, high int) (int, error) {
	word := p.next()
	n, err := strconv.Atoi(word)
	if err != nil || n < low || n > high {
		return 0, fmt.Errorf("DECIMAL wants a number from %d to %d, not %q", low, high, word)
	}
	return n, nil
}

func (p *typeParser) structure(depth int) (string, error) {
	if err := p.expect("("); err != nil {
		return "", err
	}
	var fields []string
	for {
		name := p.next()
		if name == "" || !isWordByte(name[0]) && name[0] != '"' {
			return "", fmt.Errorf("STRUCT wants a name and a type for each field")
		}
		t, err := p.parse(depth + 1)
		if err != nil {
			return "", err
		}
		fields = append(fields, name+" "+t)
		if !p.accept(",") {
			return "STRUCT(" + strings.Join(fields, ", ") + ")", p.expect(")")
		}
	}
}

func (p *typeParser) mapping(depth int) (string, error) {
	if err := p.expect("("); err != nil {
		return "", err
	}
	key, err := p.parse(depth + 1)
	if err != nil {
		return "", err
	}
	if err := p.expect(","); err != nil {
		return "", err
	}
	value, err := p.parse(depth + 1)
	if err != nil {
		return "", err
	}
	return "MAP(" + key + ", " + value + ")", p.expect(")")
}

// columns reads the columns of a source, input or output, in the order written. Names are compared as SQL does, without case.
func (b *block) columns() []engine.Column {
	e := b.attr("columns")
	if e == nil {
		return nil
	}
	entries, ok := b.entries(e, "columns")
	if !ok {
		return nil
	}
	var out []engine.Column
	seen := map[string]string{}
	for _, x := range entries {
		if x.key == "" || strings.ContainsAny(x.key, "\x00\n\r") {
			b.report(x.at, "", "%q can't name a column", x.key)
			continue
		}
		if first, twice := seen[strings.ToLower(x.key)]; twice {
			b.report(x.at, "rename one of them", "columns %q and %q are one to SQL", first, x.key)
			continue
		}
		seen[strings.ToLower(x.key)] = x.key
		if c, ok := b.column(x.key, x.expr); ok {
			out = append(out, c)
		}
	}
	return out
}

func (b *block) column(name string, e hclsyntax.Expression) (engine.Column, bool) {
	s, ok := b.text(e, "the type of column "+name)
	if !ok {
		return engine.Column{}, false
	}
	fields := strings.Fields(s)
	c := engine.Column{Name: name}
	if n := len(fields); n >= 2 && strings.EqualFold(fields[n-2], "NOT") && strings.EqualFold(fields[n-1], "NULL") {
		c.NotNull, s = true, strings.Join(fields[:n-2], " ")
	}
	t, err := parseType(s)
	if err != nil {
		b.typeProblem(e, err.Error())
		return c, false
	}
	c.Type = t
	return c, true
}

func (b *block) typeProblem(e hclsyntax.Expression, message string) {
	summary, hint, _ := strings.Cut(message, "; ")
	if hint == "" {
		hint = `write a type such as "BIGINT", "VARCHAR" or "DECIMAL(18,2)", with NOT NULL after it if it never is`
	}
	b.report(e.Range(), hint, "%s", summary)
}
