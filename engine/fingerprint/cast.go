package fingerprint

import (
	"bytes"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// builder makes a vector of texts, one value after the other.
type builder struct {
	kind    kind
	notNull bool
	v       vector
	set     []bool
	nulls   int
}

func (b *builder) reset() {
	b.v.ints, b.v.floats, b.v.wides, b.v.data = b.v.ints[:0], b.v.floats[:0], b.v.wides[:0], b.v.data[:0]
	b.v.at, b.set, b.nulls, b.v.values = append(b.v.at[:0], 0), b.set[:0], 0, 0
}

func (b *builder) null() {
	b.set = append(b.set, false)
	b.nulls++
}

func (b *builder) done() {
	b.set = append(b.set, true)
	b.v.values++
}

func (b *builder) int(v int64) {
	b.v.ints = append(b.v.ints, v)
	b.done()
}

func (b *builder) wide(v wide) {
	b.v.wides = append(b.v.wides, v)
	b.done()
}

func (b *builder) float(v float64) {
	b.v.floats = append(b.v.floats, v)
	b.done()
}

func (b *builder) bytes(t []byte) {
	b.v.data = append(b.v.data, t...)
	b.v.at = append(b.v.at, uint32(len(b.v.data)))
	b.done()
}

// vector returns some of the rows; value is the index of their first value.
func (b *builder) vector(to *vector, row, rows, value int) {
	to.rows, to.values, to.set = rows, rows, nil
	if b.nulls > 0 {
		to.set = b.set[row : row+rows]
		to.values = 0
		for _, set := range to.set {
			if set {
				to.values++
			}
		}
	}
	b.v.slice(to, value)
}

// parse reads a text as the SQL engine does with dpb's rules: nothing may be lost. It says whether the text is a value.
func (b *builder) parse(t []byte) bool {
	switch b.kind.is {
	case integer:
		return b.integer(t)
	case decimal:
		return b.decimal(t)
	case float:
		return b.parseFloat(t)
	case boolean:
		v, ok := parseBool(t)
		if ok {
			b.int(v)
		}
		return ok
	case date, clock, timestamp:
		v, ok := b.kind.parseTime(string(t))
		if ok {
			b.int(v)
		}
		return ok
	case uuid:
		return b.uuid(t)
	case blob:
		return b.blob(t)
	}
	if b.kind.words != nil && !slices.Contains(b.kind.words, string(t)) {
		return false
	}
	b.bytes(t)
	return true
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func trim(t []byte) []byte {
	for len(t) > 0 && isSpace(t[0]) {
		t = t[1:]
	}
	for len(t) > 0 && isSpace(t[len(t)-1]) {
		t = t[:len(t)-1]
	}
	return t
}

func (b *builder) integer(t []byte) bool {
	if v, ok := shortInt(t); ok {
		return b.integerOf(wideOf(v), v)
	}
	t = trim(t)
	if len(t) > 2 && t[0] == '0' && !bytes.ContainsAny(t, "eE.") && max(b.kind.width, -b.kind.width) <= 64 {
		if v, err := strconv.ParseUint(string(t), 0, 64); err == nil && (t[1]|32 == 'x' || t[1]|32 == 'b') && (b.kind.class == wides || v < 1<<63) {
			return b.integerOf(wide{0, v}, int64(v))
		}
	}
	n, ok := parseNumber(t)
	if !ok {
		return false
	}
	x, exact := n.scaled(0)
	if n.fraction > 0 || n.exponent != 0 {
		// The engine looks at the number with 18 decimals.
		if x, exact = n.scaled(18); x != nil {
			var rest big.Int
			x, _ = x.QuoRem(x, big.NewInt(pow10[18]), &rest)
			exact = rest.Sign() == 0 && x.CmpAbs(tooWide) < 0
		}
	}
	if !exact || x.BitLen() > 127 && (x.Sign() > 0 || x.Cmp(leastWide) < 0) {
		return false
	}
	w := wideOfBig(x)
	if b.kind.class == ints && !x.IsInt64() {
		return false
	}
	return b.integerOf(w, int64(w.lo))
}

var (
	tooWide   = new(big.Int).Exp(big.NewInt(10), big.NewInt(20), nil)
	leastWide = new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), 127))
)

// shortInt reads an integer of at most 18 plain digits.
func shortInt(t []byte) (v int64, ok bool) {
	digits := t
	if len(t) > 1 && t[0] == '-' {
		digits = t[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, c := range digits {
		if c -= '0'; c > 9 {
			return 0, false
		}
		v = v*10 + int64(c)
	}
	if len(digits) < len(t) {
		v = -v
	}
	return v, true
}

// integerOf adds an integer that lies in the range of the type.
func (b *builder) integerOf(w wide, v int64) bool {
	width := b.kind.width
	if b.kind.class == wides {
		if width < 0 && w.hi < 0 || width == -64 && w.hi != 0 {
			return false
		}
		b.wide(w)
		return true
	}
	low, high := int64(math.MinInt64)>>(64-max(width, 1)), int64(math.MaxInt64)>>(64-max(width, 1))
	if width < 0 {
		low, high = 0, 1<<-width-1
	}
	if v < low || v > high {
		return false
	}
	b.int(v)
	return true
}

// number is a decimal number as it was written: digits by ten to the power of exponent - fraction.
type number struct {
	negative bool
	digits   []byte
	fraction int // digits after the point
	exponent int
}

// parseNumber reads 1_000.5e-3.
func parseNumber(t []byte) (n number, ok bool) {
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		n.negative = t[0] == '-'
		t = t[1:]
	}
	whole, t, ok := digitRun(t)
	n.digits = whole
	if !ok {
		return n, false
	}
	if len(t) > 0 && t[0] == '.' {
		var fraction []byte
		if fraction, t, ok = digitRun(t[1:]); !ok {
			return n, false
		}
		n.digits, n.fraction = append(n.digits[:len(n.digits):len(n.digits)], fraction...), len(fraction)
	}
	if len(n.digits) == 0 {
		return n, false
	}
	if len(t) > 0 && t[0]|32 == 'e' {
		t = t[1:]
		negative := len(t) > 0 && t[0] == '-'
		if negative || len(t) > 0 && t[0] == '+' {
			t = t[1:]
		}
		digits, rest, ok := digitRun(t)
		if !ok || len(digits) == 0 {
			return n, false
		}
		t = rest
		if n.exponent, _ = strconv.Atoi(string(digits[:min(len(digits), 9)])); negative {
			n.exponent = -n.exponent
		}
	}
	return n, len(t) == 0
}

// digitRun takes digits off t, with _ between two of them.
func digitRun(t []byte) (digits, rest []byte, ok bool) {
	k, under := 0, false
	for ; k < len(t); k++ {
		if t[k] == '_' && k > 0 && k+1 < len(t) && isDigit(t[k-1]) && isDigit(t[k+1]) {
			under = true
			continue
		}
		if !isDigit(t[k]) {
			break
		}
	}
	if digits = t[:k:k]; under {
		digits = bytes.ReplaceAll(digits, []byte("_"), nil)
	}
	return digits, t[k:], k == len(t) || t[k] != '_'
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// scaled is the number in units of ten to the power of -scale, half of one rounded away from zero, and whether that changed nothing. It is nil if the number is beyond all types.
func (n number) scaled(scale int) (x *big.Int, exact bool) {
	digits := bytes.TrimLeft(n.digits, "0")
	shift := scale + n.exponent - n.fraction
	if len(digits) == 0 {
		return new(big.Int), true
	}
	switch {
	case len(digits)+shift > 60:
		return nil, false
	}
	half := false
	exact = true
	if shift < 0 {
		cut := max(len(digits)+shift, 0)
		// With an exponent the engine rounds half of any smaller unit up to one.
		half = (cut == len(digits)+shift || n.exponent < 0) && digits[cut] >= '5'
		exact = len(bytes.Trim(digits[cut:], "0")) == 0
		digits, shift = digits[:cut], 0
	}
	x = new(big.Int)
	if len(digits) > 0 {
		x.SetString(string(digits), 10)
	}
	x.Mul(x, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(shift)), nil))
	if half {
		x.Add(x, big.NewInt(1))
	}
	if n.negative {
		x.Neg(x)
	}
	return x, exact
}

func (b *builder) decimal(t []byte) bool {
	k := b.kind
	if v, ok := shortDecimal(t, k); ok {
		b.int(v)
		return true
	}
	n, ok := parseNumber(trim(t))
	if !ok {
		return false
	}
	if n.fraction > k.scale && len(bytes.Trim(n.digits[len(n.digits)-n.fraction+k.scale:], "0")) > 0 {
		return false
	}
	x, exact := n.scaled(k.scale)
	if x == nil {
		return false
	}
	if !exact {
		finer, _ := n.scaled(38 - (k.width - k.scale))
		var rest big.Int
		if finer.QuoRem(finer, new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(38-k.width)), nil), &rest); rest.Sign() != 0 {
			return false
		}
		x = finer
	}
	if x.CmpAbs(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(k.width)), nil)) >= 0 {
		return false
	}
	if k.class == wides {
		b.wide(wideOfBig(x))
		return true
	}
	b.int(x.Int64())
	return true
}

// shortDecimal reads plain digits, with a point and no more digits behind it than the type has.
func shortDecimal(t []byte, k kind) (v int64, ok bool) {
	digits := t
	if len(t) > 0 && t[0] == '-' {
		digits = t[1:]
	}
	if k.class != ints || len(digits) > 17 {
		return 0, false
	}
	point, n := -1, 0
	for i, c := range digits {
		switch {
		case isDigit(c):
			v = v*10 + int64(c-'0')
			n++
		case c == '.' && point < 0:
			point = i
		default:
			return 0, false
		}
	}
	fraction := 0
	if point >= 0 {
		fraction = len(digits) - point - 1
	}
	if n == 0 || fraction > k.scale || n-fraction > k.width-k.scale || n-fraction+k.scale > 18 {
		return 0, false
	}
	if v *= pow10[k.scale-fraction]; len(digits) < len(t) {
		v = -v
	}
	return v, true
}

func (b *builder) parseFloat(t []byte) bool {
	t = trim(t)
	size := b.kind.width
	if v, err := strconv.ParseFloat(string(t), size); err == nil && plainFloat(t) {
		b.float(v)
		return true
	}
	if v, ok := specialFloat(t); ok {
		b.float(v)
		return true
	}
	n, ok := parseNumber(t)
	if !ok {
		return false
	}
	text := append([]byte(nil), n.digits[:len(n.digits)-n.fraction]...)
	text = append(append(text, '.'), n.digits[len(n.digits)-n.fraction:]...)
	v, _ := strconv.ParseFloat(string(text)+"e"+strconv.Itoa(n.exponent), size)
	if n.negative {
		v = -v
	}
	b.float(v)
	return true
}

// plainFloat says whether a text has nothing in it that only Go takes for a number.
func plainFloat(t []byte) bool {
	for _, c := range t {
		if !isDigit(c) && c != '.' && c != '-' && c != '+' && c|32 != 'e' {
			return false
		}
	}
	return true
}

func specialFloat(t []byte) (float64, bool) {
	sign := 1
	if len(t) > 0 && (t[0] == '-' || t[0] == '+') {
		if t[0] == '-' {
			sign = -1
		}
		t = t[1:]
	}
	switch strings.ToLower(string(t[:min(len(t), 9)])) {
	case "nan":
		return math.NaN(), true
	case "inf", "infinity":
		return math.Inf(sign), true
	}
	return 0, false
}

func parseBool(t []byte) (int64, bool) {
	if len(t) > 5 {
		return 0, false
	}
	switch strings.ToLower(string(t)) {
	case "true", "t", "1", "yes", "y":
		return 1, true
	case "false", "f", "0", "no", "n":
		return 0, true
	}
	return 0, false
}

func (b *builder) uuid(t []byte) bool {
	if len(t) > 1 && t[0] == '{' && t[len(t)-1] == '}' {
		t = t[1 : len(t)-1]
	}
	var hex [32]byte
	n := 0
	for k, c := range t {
		switch c |= 32; {
		case t[k] == '-':
			continue
		case n == 32 || !isDigit(t[k]) && (c < 'a' || c > 'f' || t[k] < 'A'):
			return false
		}
		hex[n] = c
		n++
	}
	if n != 32 {
		return false
	}
	var out [36]byte
	text := append(out[:0], hex[:8]...)
	for _, part := range [][]byte{hex[8:12], hex[12:16], hex[16:20], hex[20:]} {
		text = append(append(text, '-'), part...)
	}
	b.bytes(text)
	return true
}

// blob reads plain characters and \xAB.
func (b *builder) blob(t []byte) bool {
	out := make([]byte, 0, len(t))
	for k := 0; k < len(t); k++ {
		switch c := t[k]; {
		case c >= utf8.RuneSelf:
			return false
		case c != '\\':
			out = append(out, c)
		default:
			if k+3 >= len(t) || t[k+1] != 'x' {
				return false
			}
			v, err := strconv.ParseUint(string(t[k+2:k+4]), 16, 8)
			if err != nil {
				return false
			}
			out = append(out, byte(v))
			k += 3
		}
	}
	b.bytes(out)
	return true
}
