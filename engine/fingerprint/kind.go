package fingerprint

import (
	"fmt"
	"math/bits"
	"regexp"
	"strconv"
	"strings"
)

// class says how values are held.
type class uint8

const (
	ints   class = iota // int64
	floats              // float64
	wides               // 128 bits
	texts               // bytes
)

// family says what values are.
type family uint8

const (
	boolean family = iota
	integer
	decimal
	float
	text
	blob
	date      // days since 1970
	clock     // TIME
	timestamp // since 1970
	uuid
	nested
	other // of the engine's types, what is only told apart
)

// kind is a column's type.
type kind struct {
	name  string // in the SQL engine's spelling
	class class
	is    family
	scale int  // of decimals, the digits after the point; of times, how many a second is divided in, as a power of ten
	width int  // of decimals, all digits; of integers, bits, those without sign negative; of floats, bits
	zone  bool // a time has a zone
	parts []kind
	names []string // of a STRUCT's parts; nil: LIST of one part or MAP of two
	words []string // of an ENUM
}

var aliases = map[string]string{
	"BOOL": "BOOLEAN", "LOGICAL": "BOOLEAN", "INT1": "TINYINT", "INT2": "SMALLINT", "SHORT": "SMALLINT", "INT16": "SMALLINT", "INT4": "INTEGER", "INT": "INTEGER", "INT32": "INTEGER", "SIGNED": "INTEGER",
	"INT8": "BIGINT", "LONG": "BIGINT", "INT64": "BIGINT", "OID": "BIGINT", "INT128": "HUGEINT", "UINT8": "UTINYINT", "UINT16": "USMALLINT", "UINT32": "UINTEGER", "UINT64": "UBIGINT", "UINT128": "UHUGEINT",
	"REAL": "FLOAT", "FLOAT4": "FLOAT", "FLOAT8": "DOUBLE", "DOUBLE PRECISION": "DOUBLE", "STRING": "VARCHAR", "TEXT": "VARCHAR", "CHAR": "VARCHAR", "BPCHAR": "VARCHAR", "NVARCHAR": "VARCHAR", "CHARACTER VARYING": "VARCHAR",
	"BYTEA": "BLOB", "BINARY": "BLOB", "VARBINARY": "BLOB", "DATETIME": "TIMESTAMP", "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE", "TIMETZ": "TIME WITH TIME ZONE", "TIMESTAMP_US": "TIMESTAMP",
	"TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP", "TIME WITHOUT TIME ZONE": "TIME", "GUID": "UUID", "DEC": "DECIMAL", "NUMERIC": "DECIMAL",
}

var plain = map[string]kind{
	"BOOLEAN": {is: boolean}, "TINYINT": {is: integer, width: 8}, "SMALLINT": {is: integer, width: 16}, "INTEGER": {is: integer, width: 32}, "BIGINT": {is: integer, width: 64},
	"UTINYINT": {is: integer, width: -8}, "USMALLINT": {is: integer, width: -16}, "UINTEGER": {is: integer, width: -32}, "UBIGINT": {class: wides, is: integer, width: -64},
	"HUGEINT": {class: wides, is: integer, width: 128}, "UHUGEINT": {class: wides, is: integer, width: -128}, "FLOAT": {class: floats, is: float, width: 32}, "DOUBLE": {class: floats, is: float, width: 64},
	"VARCHAR": {class: texts, is: text}, "JSON": {class: texts, is: text}, "BLOB": {class: texts, is: blob}, "UUID": {class: texts, is: uuid}, "DATE": {is: date}, "TIME": {is: clock, scale: 6},
	"TIME_NS": {is: clock, scale: 9}, "TIME WITH TIME ZONE": {is: clock, scale: 6, zone: true}, "TIMESTAMP": {is: timestamp, scale: 6}, "TIMESTAMP_S": {is: timestamp, scale: 0}, "TIMESTAMP_MS": {is: timestamp, scale: 3},
	"TIMESTAMP_NS": {is: timestamp, scale: 9}, "TIMESTAMP WITH TIME ZONE": {is: timestamp, scale: 6, zone: true},
}

// kindOf reads a type as people and the SQL engine write it. What it does not know is taken for texts of that type.
func kindOf(typ string) kind {
	t := strings.TrimSpace(typ)
	if m := arrayType.FindStringSubmatch(t); m != nil {
		part := kindOf(m[1])
		return kind{name: part.name + m[2], class: texts, is: nested, parts: []kind{part}}
	}
	head, args, found := strings.Cut(t, "(")
	head = strings.ToUpper(strings.Join(strings.Fields(head), " "))
	if a, ok := aliases[head]; ok {
		head = a
	}
	args = strings.TrimSpace(args)
	if found && strings.HasSuffix(args, ")") {
		args = args[:len(args)-1]
	} else if found {
		return kind{name: t, class: texts, is: other}
	}
	switch {
	case head == "DECIMAL":
		return decimalKind(args)
	case head == "STRUCT" || head == "MAP":
		return nestedKind(head, args)
	case head == "ENUM":
		k := kind{class: texts, is: text}
		for _, word := range split(args) {
			k.words = append(k.words, strings.ReplaceAll(strings.Trim(strings.TrimSpace(word), "'"), "''", "'"))
		}
		k.name = "ENUM('" + strings.Join(k.words, "', '") + "')"
		return k
	}
	k, ok := plain[head]
	if k.name = head; !ok {
		k = kind{name: t, class: texts, is: other}
	}
	return k
}

var arrayType = regexp.MustCompile(`^(?s)(.*\S)\s*(\[\d*\])$`)

func decimalKind(args string) kind {
	k := kind{is: decimal, width: 18, scale: 3}
	if list := split(args); len(list) > 0 {
		k.width, _ = strconv.Atoi(strings.TrimSpace(list[0]))
		k.scale = 0
		if len(list) > 1 {
			k.scale, _ = strconv.Atoi(strings.TrimSpace(list[1]))
		}
	}
	return k.sized()
}

func (k kind) sized() kind {
	k.name = fmt.Sprintf("DECIMAL(%d,%d)", k.width, k.scale)
	if k.width > 18 {
		k.class = wides
	}
	return k
}

func nestedKind(head, args string) kind {
	k := kind{class: texts, is: nested}
	var list []string
	for _, arg := range split(args) {
		arg = strings.TrimSpace(arg)
		if head == "MAP" {
			part := kindOf(arg)
			k.parts, list = append(k.parts, part), append(list, part.name)
			continue
		}
		name, typ := cutName(arg)
		part := kindOf(typ)
		k.parts, k.names, list = append(k.parts, part), append(k.names, name), append(list, quoteName(name)+" "+part.name)
	}
	k.name = head + "(" + strings.Join(list, ", ") + ")"
	return k
}

// split cuts a list at its commas, but not inside brackets and quotes.
func split(list string) []string {
	var out []string
	depth, from, quote := 0, 0, byte(0)
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ',' && depth == 0:
			out = append(out, list[from:i])
			from = i + 1
		}
	}
	if strings.TrimSpace(list[from:]) != "" {
		out = append(out, list[from:])
	}
	return out
}

// cutName takes the name off "name type".
func cutName(field string) (name, typ string) {
	if !strings.HasPrefix(field, `"`) {
		name, typ, _ = strings.Cut(field, " ")
		return name, typ
	}
	for i := 1; i < len(field); i++ {
		if field[i] != '"' {
			continue
		}
		if i+1 < len(field) && field[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(field[1:i], `""`, `"`), field[i+1:]
	}
	return field, ""
}

var plainName = regexp.MustCompile(`^[a-z_][a-z0-9_]*$`)

// quoteName writes a name of a STRUCT's part as the SQL engine does, except that it knows no reserved words beyond the usual.
func quoteName(name string) string {
	if plainName.MatchString(name) && !reserved[name] {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

var reserved = map[string]bool{}

func init() {
	for word := range strings.FieldsSeq(`all analyse analyze and any array as asc asymmetric both case cast check collate column constraint create default deferrable desc describe distinct do else end except false fetch
		for foreign from group having in initially intersect into lambda lateral leading limit not null offset on only or order pivot pivot_longer pivot_wider placing primary qualify references returning select
		show some summarize symmetric table then to trailing true union unique unpivot using variadic when where window with`) {
		reserved[word] = true
	}
}

// wide is an integer of 128 bits in two's complement.
type wide struct {
	hi int64
	lo uint64
}

func wideOf(v int64) wide { return wide{v >> 63, uint64(v)} }

func (w wide) neg() wide {
	lo, borrow := bits.Sub64(0, w.lo, 0)
	hi, _ := bits.Sub64(0, uint64(w.hi), borrow)
	return wide{int64(hi), lo}
}
