package fingerprint

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonRecords reads an object a line, as DuckDB does: keys are told apart by case, those that no column has are skipped, a key of a column must not occur twice, a line that says null is a row
// without values, and a comma may stand before a closing bracket.
type jsonRecords struct {
	names    map[string]int
	columns  []*builder
	column   []string
	row      int64
	seen     []int64 // by column, the last row that had it
	key, tmp []byte
}

func (p *textTable) jsonRecords() records {
	r := &jsonRecords{names: map[string]int{}, columns: newBuilders(p), seen: make([]int64, len(p.columns))}
	for k, c := range p.columns {
		r.names[c.name] = k
		r.column = append(r.column, c.name)
	}
	return r
}

func (r *jsonRecords) builders() []*builder { return r.columns }

func (r *jsonRecords) next(data []byte) (n int, row bool, bad *unreadable) {
	line := data
	if n = bytes.IndexByte(data, '\n') + 1; n > 0 {
		line = data[:n-1]
	} else {
		n = len(data)
	}
	if line = trim(line); len(line) == 0 {
		return n, false, nil
	}
	r.row++
	if string(line) != "null" {
		if bad = r.object(line); bad != nil {
			return n, true, bad
		}
	}
	for k, b := range r.columns {
		if r.seen[k] == r.row {
			continue
		}
		if b.notNull {
			return n, true, &unreadable{column: r.column[k], why: "is NOT NULL and has no value"}
		}
		b.null()
	}
	return n, true, nil
}

// object reads the members of the object that a line is.
func (r *jsonRecords) object(line []byte) *unreadable {
	if line[0] != '{' {
		if end, ok := skipJSON(line, 0, 0); ok && end == len(line) {
			return &unreadable{why: "is no object"}
		}
		return malformed(0)
	}
	at := blanks(line, 1)
	for at < len(line) && line[at] != '}' {
		from := at
		end, ok := skipString(line, at)
		if !ok {
			return malformed(at)
		}
		key := line[from+1 : end-1]
		if bytes.IndexByte(key, '\\') >= 0 {
			r.key = unescape(r.key[:0], key)
			key = r.key
		}
		k, known := r.names[string(key)]
		if at = blanks(line, end); at >= len(line) || line[at] != ':' {
			return malformed(at)
		}
		from = blanks(line, at+1)
		if end, ok = skipJSON(line, from, 0); !ok {
			return malformed(from)
		}
		if known {
			if bad := r.member(k, line[from:end]); bad != nil {
				return bad
			}
		}
		if at = blanks(line, end); at < len(line) && line[at] == ',' {
			at = blanks(line, at+1)
		} else if at < len(line) && line[at] != '}' {
			return malformed(at)
		}
	}
	if at+1 != len(line) {
		return malformed(at)
	}
	return nil
}

func malformed(at int) *unreadable {
	return &unreadable{why: fmt.Sprintf("is malformed JSON, at character %d", at+1)}
}

func (r *jsonRecords) member(k int, text []byte) *unreadable {
	if r.seen[k] == r.row {
		return &unreadable{column: r.column[k], why: "occurs twice"}
	}
	r.seen[k] = r.row
	b := r.columns[k]
	if string(text) == "null" {
		if b.notNull {
			return &unreadable{column: r.column[k], why: "is NOT NULL and has no value"}
		}
		b.null()
		return nil
	}
	if !r.value(b, text) {
		return &unreadable{column: r.column[k], text: string(text), why: "is no " + b.kind.name}
	}
	return nil
}

// value adds what a JSON value is as a type. It says whether it can be read so.
func (r *jsonRecords) value(b *builder, t []byte) bool {
	switch k := b.kind; {
	case k.name == "JSON":
		r.tmp = minify(r.tmp[:0], t, floatJSON)
		b.bytes(r.tmp)
		return true
	case k.is == nested:
		if !fits(k, t) {
			return false
		}
		r.tmp = minify(r.tmp[:0], t, floatJSON)
		b.bytes(r.tmp)
		return true
	case t[0] == '"':
		return r.text(b, t)
	case k.is == float:
		return jsonFloat(b, t)
	case k.is == boolean:
		return jsonBool(b, t)
	case k.is == clock, k.is == timestamp, k.is == uuid:
		return false
	}
	if _, ok := shortInt(t); !ok || string(t) == "-0" {
		r.tmp = minify(r.tmp[:0], t, floatSQL)
		t = r.tmp
	}
	return addText(b, t)
}

func (r *jsonRecords) text(b *builder, t []byte) bool {
	t = t[1 : len(t)-1]
	if bytes.IndexByte(t, '\\') >= 0 {
		r.tmp = unescape(r.tmp[:0], t)
		t = r.tmp
	}
	return addText(b, t)
}

// addText adds what stands in a string. There the engine is stricter about some types than in CSV.
func addText(b *builder, t []byte) bool {
	switch b.kind.is {
	case blob:
		b.bytes(t)
		return true
	case float:
		if bytes.IndexByte(t, '_') >= 0 || len(t) > 0 && isSpace(t[len(t)-1]) || bytes.HasPrefix(trim(t), []byte("+")) {
			return false
		}
	case boolean:
		if len(t) == 1 && t[0]|32 != 't' && t[0]|32 != 'f' {
			return false
		}
	}
	return b.parse(t)
}

func jsonFloat(b *builder, t []byte) bool {
	switch t[0] {
	case 't':
		b.float(1)
		return true
	case 'f':
		b.float(0)
		return true
	case '{', '[':
		return false
	}
	v, err := strconv.ParseFloat(string(t), 64)
	if v == 0 && !bytes.ContainsAny(t, ".eE") {
		v = 0 // -0 is an integer
	}
	if b.kind.width == 32 {
		if v = float64(float32(v)); err == nil && math.IsInf(v, 0) && isNumber(t) {
			return false
		}
	}
	b.float(v)
	return true
}

// isNumber says whether a JSON value is a number and not one of the words for what is none.
func isNumber(t []byte) bool {
	c := t[len(t)-1]
	return isDigit(c)
}

func jsonBool(b *builder, t []byte) bool {
	switch {
	case t[0] == 't':
		b.int(1)
	case t[0] == 'f':
		b.int(0)
	case !isNumber(t):
		return false
	default:
		v, err := strconv.ParseFloat(string(t), 64)
		if err != nil || isInteger(t) && !in64Bits(t) {
			return false
		}
		b.int(int64(map[bool]int{true: 1}[v != 0]))
	}
	return true
}

func isInteger(t []byte) bool { return isNumber(t) && !bytes.ContainsAny(t, ".eE") }

func in64Bits(t []byte) bool {
	_, signed := strconv.ParseInt(string(t), 10, 64)
	_, unsigned := strconv.ParseUint(string(t), 10, 64)
	return signed == nil || unsigned == nil
}

// fits says whether a JSON value can be read as a list, struct or map.
func fits(k kind, t []byte) bool {
	switch {
	case string(t) == "null":
		return true
	case k.is != nested:
		b := &builder{kind: k}
		b.reset()
		return (&jsonRecords{}).value(b, t)
	case len(k.parts) == 1:
		return t[0] == '[' && elements(t, func(_, value []byte) bool { return fits(k.parts[0], value) })
	}
	return t[0] == '{' && elements(t, func(key, value []byte) bool {
		if k.names == nil {
			return fits(k.parts[1], value)
		}
		for i, name := range k.names {
			if name == string(unescape(nil, key)) {
				return fits(k.parts[i], value)
			}
		}
		return true
	})
}

// elements calls do for each element of a valid list or object, with an object's keys, until one returns false.
func elements(t []byte, do func(key, value []byte) bool) bool {
	for at := blanks(t, 1); at < len(t)-1; at = blanks(t, at) {
		var key []byte
		if t[0] == '{' {
			end, _ := skipString(t, at)
			key = t[at+1 : end-1]
			at = blanks(t, blanks(t, end)+1)
		}
		end, _ := skipJSON(t, at, 0)
		if !do(key, t[at:end]) {
			return false
		}
		if at = blanks(t, end); t[at] == ',' {
			at++
		}
	}
	return true
}

func blanks(b []byte, at int) int {
	for at < len(b) && (b[at] == ' ' || b[at] == '\t' || b[at] == '\n' || b[at] == '\r') {
		at++
	}
	return at
}

// deepestJSON is how many brackets may be open.
const deepestJSON = 10_000

// skipJSON returns where the value at some place ends, and whether it is one.
func skipJSON(b []byte, at, depth int) (end int, ok bool) {
	if at >= len(b) || depth > deepestJSON {
		return at, false
	}
	switch c := b[at]; {
	case c == '"':
		return skipString(b, at)
	case c == '{' || c == '[':
		return skipNested(b, at, depth)
	case c == '-' || isDigit(c):
		if end, ok = skipNumber(b, at); ok {
			return end, true
		}
	}
	for _, word := range []string{"true", "false", "null"} {
		if bytes.HasPrefix(b[at:], []byte(word)) {
			return at + len(word), true
		}
	}
	if b[at] == '-' {
		at++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(b)-at >= len(word) && strings.EqualFold(string(b[at:at+len(word)]), word) {
			return at + len(word), true
		}
	}
	return at, false
}

func skipNested(b []byte, at, depth int) (end int, ok bool) {
	closing := b[at] + 2
	for at = blanks(b, at+1); ; at = blanks(b, at) {
		if at >= len(b) {
			return at, false
		}
		if b[at] == closing {
			return at + 1, true
		}
		if closing == '}' {
			if at, ok = skipString(b, at); !ok {
				return at, false
			}
			if at = blanks(b, at); at >= len(b) || b[at] != ':' {
				return at, false
			}
			at = blanks(b, at+1)
		}
		if at, ok = skipJSON(b, at, depth+1); !ok {
			return at, false
		}
		if at = blanks(b, at); at < len(b) && b[at] == ',' {
			at++
		} else if at >= len(b) || b[at] != closing {
			return at, false
		}
	}
}

func skipNumber(b []byte, at int) (end int, ok bool) {
	digits := func() (n int) {
		for at < len(b) && isDigit(b[at]) {
			at++
			n++
		}
		return n
	}
	if b[at] == '-' {
		at++
	}
	zero := at < len(b) && b[at] == '0'
	if n := digits(); n == 0 || zero && n > 1 {
		return at, false
	}
	if at < len(b) && b[at] == '.' {
		if at++; digits() == 0 {
			return at, false
		}
	}
	if at < len(b) && b[at]|32 == 'e' {
		if at++; at < len(b) && (b[at] == '-' || b[at] == '+') {
			at++
		}
		if digits() == 0 {
			return at, false
		}
	}
	return at, true
}

func skipString(b []byte, at int) (end int, ok bool) {
	if at >= len(b) || b[at] != '"' {
		return at, false
	}
	for at++; at < len(b); at++ {
		switch c := b[at]; {
		case c == '"':
			return at + 1, true
		case c < ' ':
			return at, false
		case c == '\\':
			n := escape(b[at:])
			if n == 0 {
				return at, false
			}
			at += n - 1
		}
	}
	return at, false
}

// escape returns the length of the escape that b begins with, 0 if it is none. A surrogate must have its other half.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	if b[1] != 'u' {
		if strings.IndexByte(`"\/bfnrt`, b[1]) < 0 {
			return 0
		}
		return 2
	}
	c, ok := hex4(b)
	switch {
	case !ok:
		return 0
	case !utf16.IsSurrogate(c):
		return 6
	case len(b) < 12:
		return 0
	}
	low, ok := hex4(b[6:])
	if !ok || utf16.DecodeRune(c, low) == utf8.RuneError {
		return 0
	}
	return 12
}

// hex4 reads \u00e4.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	v := rune(0)
	for _, c := range b[2:6] {
		d, lower := rune(c-'0'), c|32
		switch {
		case isDigit(c):
		case lower >= 'a' && lower <= 'f':
			d = rune(lower-'a') + 10
		default:
			return 0, false
		}
		v = v<<4 | d
	}
	return v, true
}

// unescape appends what stands between the quotes of a valid string.
func unescape(to, s []byte) []byte {
	for len(s) > 0 {
		k := bytes.IndexByte(s, '\\')
		if k < 0 {
			return append(to, s...)
		}
		to, s = append(to, s[:k]...), s[k:]
		switch c := s[1]; c {
		case 'u':
			r, _ := hex4(s)
			if utf16.IsSurrogate(r) {
				low, _ := hex4(s[6:])
				r, s = utf16.DecodeRune(r, low), s[6:]
			}
			to, s = utf8.AppendRune(to, r), s[6:]
			continue
		case 'b', 'f', 'n', 'r', 't':
			to = append(to, map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}[c])
		default:
			to = append(to, c)
		}
		s = s[2:]
	}
	return to
}

// minify appends a valid JSON value as the engine writes it: without blanks, strings with the fewest escapes, fractions by real.
func minify(to, t []byte, real func(float64) string) []byte {
	switch c := t[0]; {
	case c == '"':
		return quoteJSON(to, unescape(nil, t[1:len(t)-1]))
	case c == '{' || c == '[':
		to = append(to, c)
		n := len(to)
		elements(t, func(key, value []byte) bool {
			if len(to) > n {
				to = append(to, ',')
			}
			if c == '{' {
				to = append(quoteJSON(to, unescape(nil, key)), ':')
			}
			to = minify(to, value, floatJSON)
			return true
		})
		return append(to, c+2)
	case !isNumber(t), isInteger(t) && string(t) != "-0":
		return append(to, t...)
	case isInteger(t):
		return append(to, '0')
	}
	v, err := strconv.ParseFloat(string(t), 64)
	if err != nil {
		return append(to, t...)
	}
	return append(to, real(v)...)
}

func floatSQL(v float64) string { return floatText(v, 64) }

// floatJSON writes a number as DuckDB's JSON library does.
func floatJSON(v float64) string {
	s := strconv.FormatFloat(v, 'e', -1, 64)
	mantissa, exponent, _ := strings.Cut(s, "e")
	if e, _ := strconv.Atoi(exponent); e < -6 || e > 20 {
		return mantissa + "e" + strconv.Itoa(e)
	}
	if s = strconv.FormatFloat(v, 'f', -1, 64); !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func quoteJSON(to, s []byte) []byte {
	to = append(to, '"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			to = append(to, '\\', c)
		case c >= ' ':
			to = append(to, c)
		default:
			if k := strings.IndexByte("\b\f\n\r\t", c); k >= 0 {
				to = append(to, '\\', "bfnrt"[k])
			} else {
				to = fmt.Appendf(to, `\u%04X`, c)
			}
		}
	}
	return append(to, '"')
}
