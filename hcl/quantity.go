package hcl

import (
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// value is what an expression of a rule gives: *big.Float, string, bool, moment, absent, []value, object or *group.
type value any

// absent is a null, with what is said where it may not stand.
type absent struct {
	status engine.Status
	reason string
}

// object is a map.
type object map[string]value

// group is a name with parts that are made when they are asked for: a fingerprint has thousands.
type group struct {
	path  string
	part  func(name string) (value, error)
	names func() []string
	index func(key value) (value, error) // of what takes numbers in brackets; nil of others
}

// groupType lets groups pass through the functions of HCL, as in length(prior).
var groupType = cty.Capsule("a group of values", reflect.TypeFor[group]())

func nullOf(format string) absent {
	if format == "null" {
		format = "null can be used only in == null and != null"
	}
	return absent{engine.Violated, format}
}

func kindOf(v value) shapeKind {
	switch v.(type) {
	case *big.Float:
		return number
	case string:
		return textual
	case bool:
		return boolean
	case moment:
		return instant
	case absent:
		return null
	case []value:
		return list
	}
	return record
}

// precision is that of HCL's numbers, in bits: decimals and integers of 128 bits keep all their digits.
const precision = 512

func newNumber() *big.Float { return new(big.Float).SetPrec(precision) }

func numberOf(n int64) *big.Float { return newNumber().SetInt64(n) }

// numberOfFloat is the number that is written like f, so that it compares as one would read it. It is false for NaN.
func numberOfFloat(f float64) (*big.Float, bool) {
	if math.IsNaN(f) {
		return nil, false
	}
	return parseNumber(strconv.FormatFloat(f, 'g', -1, 64))
}

// parseNumber reads a number as SQL writes it. It is false for NaN and for what is no number.
func parseNumber(s string) (*big.Float, bool) {
	n, _, err := big.ParseFloat(s, 10, precision, big.ToNearestEven)
	return n, err == nil
}

// number evaluates what must be a number.
func (ev *evaluation) number(e hclsyntax.Expression) (*big.Float, error) {
	v, err := ev.present(e)
	if err != nil {
		return nil, err
	}
	return asNumber(v, ev.text(e))
}

// maxExponent bounds numbers, in bits: adding a very small one to a very large one takes as much memory.
const maxExponent = 1 << 12

func asNumber(v value, what string) (*big.Float, error) {
	if err := presence(v); err != nil {
		return nil, err
	}
	n, ok := v.(*big.Float)
	switch {
	case !ok:
		return nil, violated("%s must be a number, and is %s", what, kindOf(v))
	case n.MantExp(nil) > maxExponent || n.MantExp(nil) < -maxExponent:
		return nil, violated("%s is beyond what can be computed", what)
	}
	return n, nil
}

func wholeNumber(v value) (int, bool) {
	n, ok := v.(*big.Float)
	if !ok {
		return 0, false
	}
	i, exact := n.Int64()
	return int(i), exact == big.Exact && int64(int(i)) == i
}

// spellNumber writes whole numbers in full and others with at most nine digits.
func spellNumber(n *big.Float) string {
	switch exponent := n.MantExp(nil); {
	case n.IsInf() || n.Sign() == 0:
		return strings.TrimPrefix(n.Text('f', 0), "-0")
	case n.IsInt() && exponent < 128:
		return n.Text('f', 0)
	case exponent > -24 && exponent < 64:
		f, _, _ := big.ParseFloat(n.Text('e', 8), 10, 64, big.ToNearestEven)
		return f.Text('f', -1)
	}
	f, _, _ := big.ParseFloat(n.Text('e', 8), 10, 64, big.ToNearestEven)
	return f.Text('g', -1)
}

// plainText is a scalar as it stands in a text.
func plainText(v value) (string, bool) {
	switch v := v.(type) {
	case *big.Float:
		return v.Text('f', -1), v.MantExp(nil) <= maxExponent && v.MantExp(nil) >= -maxExponent
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case moment:
		return v.text, true
	}
	return "", false
}

// spellValue writes a value for people; "" for lists and groups.
func spellValue(v value) string {
	switch v := v.(type) {
	case *big.Float:
		return spellNumber(v)
	case string:
		return strconv.Quote(v)
	case absent:
		return "null"
	case moment:
		return v.text
	}
	s, _ := plainText(v)
	return s
}

// accessor is a name as it stands after another: .plays, or ["User Id"].
func accessor(name string) string {
	if hclsyntax.ValidIdentifier(name) {
		return "." + name
	}
	return "[" + strconv.Quote(name) + "]"
}
