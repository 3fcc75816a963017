package sql

import (
	"fmt"
	"strings"
)

// CheckType says why text can't be a column's type. It keeps a type from being more than a type where it becomes a part of a statement.
func CheckType(text string) error {
	tokens, err := Tokens(text)
	if err != nil {
		return fmt.Errorf("%q is no type: %w", text, err)
	}
	depth := 0
	for i, t := range tokens {
		switch {
		case t.Text == "(" || t.Text == "[":
			depth++
		case t.Text == ")" || t.Text == "]":
			depth--
		case t.Text == "," && depth > 0, t.Kind == Word, t.Kind == Quoted, t.Kind == Number, t.Kind == String && i > 0:
		default:
			return fmt.Errorf("%q is no type", text)
		}
		if depth < 0 || i == 0 && t.Kind != Word && t.Kind != Quoted {
			return fmt.Errorf("%q is no type", text)
		}
	}
	if depth != 0 || len(tokens) == 0 {
		return fmt.Errorf("%q is no type", text)
	}
	return nil
}

// integerBits are the widths of integer types; those without sign are negative.
var integerBits = map[string]int{"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64, "HUGEINT": 128,
	"UTINYINT": -8, "USMALLINT": -16, "UINTEGER": -32, "UBIGINT": -64, "UHUGEINT": -128}

// Widens says whether each value of type from, in the engine's spelling, is a value of type to without loss; or whether from is an integer of 128 bits, which no
// file holds, and to an integer or decimal: the engine then fails where a value does not fit.
func Widens(from, to string) bool {
	a, b := integerBits[from], integerBits[to]
	switch {
	case from == to, from == `"NULL"`, from == "NULL":
		return true
	case a != 0 && b != 0:
		return abs(a) == 128 || a > 0 && b >= a || a < 0 && (b <= a || b > -a)
	case a != 0 && to == "DOUBLE":
		return abs(a) <= 32
	case a != 0 && to == "FLOAT":
		return abs(a) <= 16
	case from == "FLOAT":
		return to == "DOUBLE"
	case from == "DATE":
		return to == "TIMESTAMP"
	}
	var p, s, q, t int
	if _, err := fmt.Sscanf(to, "DECIMAL(%d,%d)", &q, &t); err != nil {
		return false
	}
	if abs(a) == 128 {
		return true
	}
	if _, err := fmt.Sscanf(from, "DECIMAL(%d,%d)", &p, &s); err == nil {
		return t >= s && q-t >= p-s
	}
	digits := map[int]int{8: 3, 16: 5, 32: 10, 64: 20}[abs(a)]
	return digits > 0 && q-t >= digits
}

func abs(n int) int { return max(n, -n) }

// Block writes columns as they stand in a pipeline.hcl.
func Block(names, types []string) string {
	var b strings.Builder
	b.WriteString("columns = {\n")
	for i, n := range names {
		fmt.Fprintf(&b, "  %s = %q\n", key(n), types[i])
	}
	b.WriteString("}")
	return b.String()
}

// key writes a column's name as a key, in quotes unless it is a plain name.
func key(name string) string {
	for i, c := range []byte(name) {
		if !isLetter(c) && !(i > 0 && isDigit(c)) {
			return fmt.Sprintf("%q", strings.NewReplacer("${", "$${", "%{", "%%{").Replace(name))
		}
	}
	if name == "" {
		return `""`
	}
	return name
}
