package hcl

import (
	"cmp"
	"fmt"
	"math/big"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// value computes a constant. It reports what is wrong, once, and is false for values that can't be used, also where a local that went wrong
// was reported elsewhere.
func (b *block) value(e hclsyntax.Expression, what string) (cty.Value, bool) {
	if v, ok := literal(e); ok {
		return v, true
	}
	if b.bareDate(e) {
		return cty.NilVal, false
	}
	vars, ok := b.resolve(e, what)
	if !ok {
		return cty.NilVal, false
	}
	v, ok := b.eval(e, vars)
	switch {
	case !ok || !v.IsWhollyKnown():
		return cty.NilVal, false
	case v.IsNull():
		b.report(e.Range(), "leave it out, or give a value", "%s is null", what)
		return cty.NilVal, false
	}
	return v, true
}

// literal is the value of a text, true or false, written out: most expressions are, and nothing can be wrong with it.
func literal(e hclsyntax.Expression) (cty.Value, bool) {
	t, inQuotes := e.(*hclsyntax.TemplateExpr)
	if inQuotes && t.IsStringLiteral() {
		e = t.Parts[0]
	}
	l, ok := e.(*hclsyntax.LiteralValueExpr)
	if !ok || l.Val.IsNull() || l.Val.Type() != cty.String && (inQuotes || l.Val.Type() != cty.Bool) {
		return cty.NilVal, false
	}
	return l.Val, true
}

// eval computes an expression whose names were checked.
func (b *block) eval(e hclsyntax.Expression, vars map[string]cty.Value) (v cty.Value, ok bool) {
	defer func() {
		if r := recover(); r != nil { // arithmetic on infinity and the like
			b.report(e.Range(), "", "this can't be computed")
			v, ok = cty.NilVal, false
		}
	}()
	if b.tooLarge(e, vars) {
		return cty.NilVal, false
	}
	meterLoops(e)
	v, diags := e.Value(b.scope.with(vars))
	for _, diag := range diags {
		b.translate(e, diag)
	}
	if diags.HasErrors() {
		return cty.NilVal, false
	}
	v, _ = v.UnmarkDeep()
	if weigh(v, 2*maxFile) > 2*maxFile {
		b.report(e.Range(), "", "this is too large").Detail = fmt.Sprintf("A value has at most %d MB, and a number %d digits.", 2*maxFile>>20, maxDigits)
		return cty.NilVal, false
	}
	return v, true
}

// translate reports what HCL says about an expression, in our words.
func (b *block) translate(e hclsyntax.Expression, diag *hcl.Diagnostic) {
	r := e.Range()
	if diag.Subject != nil {
		r = *diag.Subject
	}
	call, isCall := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](diag)
	switch name := b.sourceOf(r); {
	case diag.Summary == "Call to unknown function":
		b.unknownFunction(name, r, functionNames())
	case isCall && call.CalledFunctionName() != "" && call.FunctionCallError() != nil:
		b.report(r, "", "%s: %s", call.CalledFunctionName(), call.FunctionCallError())
	default:
		summary, detail := firstSentence(diag.Detail)
		b.report(r, "", "%s", lowerFirst(cmp.Or(summary, diag.Summary))).Detail = detail
	}
}

// firstSentence splits what HCL says in detail, which tells more than its summary.
func firstSentence(s string) (first, rest string) {
	first, rest, _ = strings.Cut(s, ". ")
	if strings.ContainsAny(first, "\n") {
		return "", s
	}
	return strings.TrimSuffix(first, "."), rest
}

// unknownFunction reports a call of what is not among the known functions.
func (b *block) unknownFunction(name string, r hcl.Range, known []string) {
	hint, detail := didYouMean(name, known), ""
	switch name {
	case "not":
		hint = "write ! instead of not"
	case "avg", "average":
		hint = "write mean(list)"
	case "len", "count", "size":
		hint = "write length(list)"
	case "env", "getenv":
		hint, detail = "pass it to the job with secrets, or declare it with locals", "The environment is not read."
	case "timestamp", "now", "today", "uuid", "random", "rand":
		hint, detail = "", "Nothing here may depend on the clock or on chance. The partition's time is in partition.day."
	}
	b.report(r, hint, "there is no function %q", name).Detail = detail
}

func lowerFirst(s string) string {
	if s == "" {
		return s
	}
	return strings.ToLower(s[:1]) + s[1:]
}

var dateLike = regexp.MustCompile(`^\d{4}-(\d\d(-\d\d)?|W\d\d|Q\d)$`)

// bareDate reports a date without quotes.
func (b *block) bareDate(e hclsyntax.Expression) bool {
	if _, ok := e.(*hclsyntax.BinaryOpExpr); !ok {
		return false
	}
	text := b.sourceOf(e.Range())
	if !dateLike.MatchString(text) {
		return false
	}
	b.report(e.Range(), fmt.Sprintf("write %q", text), "a date needs quotes").Detail = "Without them it is a subtraction."
	return true
}

// mismatch reports a value of another type than wanted.
func (b *block) mismatch(e hclsyntax.Expression, what, want string, got cty.Value) {
	hint := ""
	if values[what] != "" {
		hint = "write " + example(what)
	}
	b.report(e.Range(), hint, "%s wants %s, not %s", what, want, typeName(got.Type()))
}

func typeName(t cty.Type) string {
	switch {
	case t == cty.String:
		return "a string"
	case t == cty.Number:
		return "a number"
	case t == cty.Bool:
		return "true or false"
	case t.IsTupleType(), t.IsListType(), t.IsSetType():
		return "a list"
	case t.IsObjectType(), t.IsMapType():
		return "a map"
	}
	return "this"
}

// text computes a constant string.
func (b *block) text(e hclsyntax.Expression, what string) (string, bool) {
	v, ok := b.value(e, what)
	if !ok {
		return "", false
	}
	if v.Type() != cty.String {
		b.mismatch(e, what, "a string", v)
		return "", false
	}
	return v.AsString(), b.noNUL(e, v.AsString())
}

// textAttr is the constant string of an attribute; false if it is absent or wrong.
func (b *block) textAttr(name string) (string, bool) {
	e := b.attr(name)
	if e == nil {
		return "", false
	}
	return b.text(e, name)
}

// choice is textAttr for an attribute with listed values.
func (b *block) choice(name string, options ...string) string {
	s, ok := b.textAttr(name)
	if !ok {
		return ""
	}
	for _, o := range options {
		if s == o {
			return s
		}
	}
	hint := didYouMean(s, options)
	if hint == "" {
		hint = "write " + orList(options)
	}
	b.report(b.attr(name).Range(), hint, "%s can't be %q", name, s)
	return ""
}

// flag is the constant bool of an attribute; absent if it is not there or wrong.
func (b *block) flag(name string, absent bool) bool {
	e := b.attr(name)
	if e == nil {
		return absent
	}
	v, ok := b.value(e, name)
	if !ok {
		return absent
	}
	if v.Type() != cty.Bool {
		b.mismatch(e, name, "true or false", v)
		return absent
	}
	return v.True()
}

// integer computes a constant whole number from low to high.
func (b *block) integer(e hclsyntax.Expression, what string, low, high int64) (int64, bool) {
	v, ok := b.value(e, what)
	if !ok {
		return 0, false
	}
	if v.Type() != cty.Number {
		b.mismatch(e, what, "a whole number", v)
		return 0, false
	}
	n, exact := v.AsBigFloat().Int64()
	switch {
	case exact != big.Exact:
		b.report(e.Range(), "", "%s wants a whole number", what)
	case n < low:
		b.report(e.Range(), "", "%s must be at least %d", what, low)
	case n > high:
		b.report(e.Range(), "", "%s must be at most %d", what, high)
	default:
		return n, true
	}
	return 0, false
}

func (b *block) integerAttr(name string, low, high int64) int64 {
	e := b.attr(name)
	if e == nil {
		return 0
	}
	n, _ := b.integer(e, name, low, high)
	return n
}

// elements are the parts of a list, each with its own place if the list is written out.
func (b *block) elements(e hclsyntax.Expression, what string) ([]hclsyntax.Expression, bool) {
	e = unwrap(e)
	if t, ok := e.(*hclsyntax.TupleConsExpr); ok {
		return t.Exprs, true
	}
	v, ok := b.value(e, what)
	if !ok {
		return nil, false
	}
	t := v.Type()
	if !t.IsTupleType() && !t.IsListType() && !t.IsSetType() {
		if t == cty.String {
			b.report(e.Range(), fmt.Sprintf("write %s = [%q]", what, v.AsString()), "%s wants a list, not a string", what)
		} else {
			b.mismatch(e, what, "a list", v)
		}
		return nil, false
	}
	var out []hclsyntax.Expression
	for it := v.ElementIterator(); it.Next(); {
		_, x := it.Element()
		out = append(out, &hclsyntax.LiteralValueExpr{Val: x, SrcRange: e.Range()})
	}
	return out, true
}

// texts is a list of constant strings.
func (b *block) texts(name string) []word {
	e := b.attr(name)
	if e == nil {
		return nil
	}
	elements, ok := b.elements(e, name)
	if !ok {
		return nil
	}
	return b.words(elements, name)
}

// word is a constant string and its place.
type word struct {
	text string
	at   hcl.Range
}

// words computes the elements of a list as strings, and reports those that stand in it twice.
func (b *block) words(elements []hclsyntax.Expression, what string) []word {
	out := []word{}
	seen := map[string]bool{}
	for _, e := range elements {
		s, ok := b.text(e, what)
		if !ok {
			continue
		}
		if seen[s] {
			b.report(e.Range(), "remove one", "%q stands twice in %s", s, what)
			continue
		}
		seen[s] = true
		out = append(out, word{s, e.Range()})
	}
	return out
}

func plain(ws []word) []string {
	var out []string
	for _, w := range ws {
		out = append(out, w.text)
	}
	return out
}

// entry is one part of a map.
type entry struct {
	key  string
	at   hcl.Range // of the key
	expr hclsyntax.Expression
}

// entries are the parts of a map, in the order written if it is written out. Keys that stand in it twice are reported.
func (b *block) entries(e hclsyntax.Expression, what string) ([]entry, bool) {
	o, ok := unwrap(e).(*hclsyntax.ObjectConsExpr)
	if !ok {
		return b.computedEntries(e, what)
	}
	var out []entry
	seen := map[string]bool{}
	for _, item := range o.Items {
		key, ok := b.key(item.KeyExpr, what)
		if !ok {
			continue
		}
		if seen[key] {
			b.report(item.KeyExpr.Range(), "remove one", "%q stands twice in %s", key, what)
			continue
		}
		seen[key] = true
		out = append(out, entry{key, item.KeyExpr.Range(), item.ValueExpr})
	}
	return out, true
}

func (b *block) key(e hclsyntax.Expression, what string) (string, bool) {
	if word := hcl.ExprAsKeyword(e); word != "" {
		return word, true
	}
	if k, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok {
		e = k.Wrapped
	}
	return b.text(e, "a name in "+what)
}

func (b *block) computedEntries(e hclsyntax.Expression, what string) ([]entry, bool) {
	v, ok := b.value(e, what)
	if !ok {
		return nil, false
	}
	if t := v.Type(); !t.IsObjectType() && !t.IsMapType() {
		b.mismatch(e, what, "a map", v)
		return nil, false
	}
	var out []entry
	for it := v.ElementIterator(); it.Next(); {
		k, x := it.Element()
		out = append(out, entry{k.AsString(), e.Range(), &hclsyntax.LiteralValueExpr{Val: x, SrcRange: e.Range()}})
	}
	return out, true
}

// unwrap takes an expression out of its parentheses.
func unwrap(e hclsyntax.Expression) hclsyntax.Expression {
	for {
		p, ok := e.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return e
		}
		e = p.Expression
	}
}
