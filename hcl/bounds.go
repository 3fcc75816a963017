package hcl

import (
	"fmt"
	"math/big"
	"reflect"
	"regexp"
	"sync/atomic"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// What an expression may come to, so that a few lines can't fill the memory or take for ever.
const (
	maxWeight = 4 << 20 // of what a function takes and gives: bytes of its texts, and 16 for each element
	maxSteps  = 1 << 17 // of the loops in one expression
	maxDigits = 1000    // of a number
)

// weigh adds up what a value holds, and stops where that is more than most. What is there twice counts twice: it will be written twice.
func weigh(v cty.Value, most int) int {
	v, _ = v.Unmark()
	t := v.Type()
	switch {
	case !v.IsKnown() || v.IsNull() || t.IsCapsuleType():
		return 16
	case t == cty.String:
		return 16 + len(v.AsString())
	case t == cty.Number:
		if n := digits(v.AsBigFloat()); n <= maxDigits {
			return 16 + n
		}
		return most + 1
	case !v.CanIterateElements():
		return 16
	}
	sum := 16
	for it := v.ElementIterator(); it.Next() && sum <= most; {
		k, x := it.Element()
		if k.Type() == cty.String && !t.IsSetType() {
			sum += len(k.AsString())
		}
		sum += weigh(x, most-sum)
	}
	return sum
}

// digits is about how many characters a number takes.
func digits(n *big.Float) int {
	if n.IsInf() {
		return maxDigits + 1
	}
	e := n.MantExp(nil)
	return (max(e, -e) + int(n.Prec())) / 3
}

// bounded are functions that refuse to make more than can be meant.
func bounded(all map[string]function.Function) map[string]function.Function {
	out := map[string]function.Function{}
	for name, f := range all {
		out[name] = f
		if name == "can" || name == "try" { // they evaluate their arguments themselves
			continue
		}
		out[name] = function.New(&function.Spec{Description: f.Description(), Params: f.Params(), VarParam: f.VarParam(),
			Type: func(args []cty.Value) (cty.Type, error) { return f.ReturnTypeForValues(args) },
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				if err := affordable(name, args); err != nil {
					return cty.NilVal, err
				}
				v, err := f.Call(args)
				if err == nil && weigh(v, maxWeight) > maxWeight {
					return cty.NilVal, errTooLarge
				}
				return v, err
			}})
	}
	return out
}

var errTooLarge = fmt.Errorf("what it gives is larger than %d MB", maxWeight>>20)

// wideVerb is a verb of format that asks for many characters.
var wideVerb = regexp.MustCompile(`%[^a-zA-Z%]*(\*|[1-9][0-9]{4})`)

// yamlAlias stands for what was written before: a few of them that name each other come to any size.
var yamlAlias = regexp.MustCompile(`(?m)(^|[\s\[{,:-])\*\w`)

// affordable refuses a call before it takes long.
func affordable(name string, args []cty.Value) error {
	sum, product := 0, 1
	for _, a := range args {
		if sum += weigh(a, maxWeight); sum > maxWeight {
			return fmt.Errorf("its arguments are larger than %d MB", maxWeight>>20)
		}
		if a.IsKnown() && !a.IsNull() && a.CanIterateElements() {
			product = min(product*max(1, a.LengthInt()), maxWeight)
		}
	}
	text := func(i int) string {
		if i < len(args) && args[i].Type() == cty.String && args[i].IsKnown() && !args[i].IsNull() {
			return args[i].AsString()
		}
		return ""
	}
	switch name {
	case "format", "formatlist":
		if wideVerb.MatchString(text(0)) {
			return fmt.Errorf("a width is at most 9999")
		}
	case "yamldecode":
		if yamlAlias.MatchString(text(0)) {
			return fmt.Errorf("aliases such as *name are not read: write out what they stand for")
		}
	case "setproduct":
		if product*16*len(args) > maxWeight {
			return errTooLarge
		}
	case "replace", "regexreplace":
		if (len(text(0))+1)*(len(text(2))+1) > 16*maxWeight {
			return errTooLarge
		}
	case "indent":
		if n, _ := args[0].AsBigFloat().Int64(); n < 0 || n > 1000 {
			return fmt.Errorf("an indentation is at most 1000")
		}
	}
	return nil
}

// metered counts how often a part of a loop is computed.
type metered struct{ *hclsyntax.ParenthesesExpr }

// meterName is under which a scope holds the count; no name in a file has a space.
const meterName = "steps of loops"

type meter struct {
	steps atomic.Int64
	told  atomic.Bool // that there were too many
}

var meterType = cty.Capsule(meterName, reflect.TypeFor[meter]())

// newMeter is a variable for one evaluation.
func newMeter() cty.Value { return cty.CapsuleVal(meterType, &meter{}) }

func (m *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	var count *meter
	for c := ctx; c != nil && count == nil; c = c.Parent() {
		if v, ok := c.Variables[meterName]; ok {
			count = v.EncapsulatedValue().(*meter)
		}
	}
	if count == nil {
		return m.Expression.Value(ctx)
	}
	if count.steps.Add(1) > maxSteps {
		if count.told.Swap(true) {
			return cty.DynamicVal, nil
		}
		r := m.Range()
		return cty.DynamicVal, hcl.Diagnostics{{Severity: hcl.DiagError, Summary: "Too many steps", Subject: &r,
			Detail: fmt.Sprintf("The loops of an expression may take %d steps, and these take more.", maxSteps)}}
	}
	v, diags := m.Expression.Value(ctx)
	if !diags.HasErrors() {
		count.steps.Add(int64(weigh(v, maxWeight) / 256)) // large values take time too
	}
	return v, diags
}

// meterLoops has the loops of an expression counted. It is done once, before the expression is computed.
func meterLoops(e hclsyntax.Expression) {
	wrap := func(e *hclsyntax.Expression) {
		if _, done := (*e).(*metered); !done && *e != nil {
			*e = &metered{&hclsyntax.ParenthesesExpr{Expression: *e, SrcRange: (*e).Range()}}
		}
	}
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		switch n := n.(type) {
		case *hclsyntax.ForExpr:
			wrap(&n.ValExpr)
			for _, x := range []*hclsyntax.Expression{&n.KeyExpr, &n.CondExpr} {
				if *x != nil {
					wrap(x)
				}
			}
		case *hclsyntax.SplatExpr:
			wrap(&n.Each)
		}
		return nil
	})
}

// tooLarge reports an expression that would come to more than can be meant: it repeats locals, or holds a number that nobody could read.
func (b *block) tooLarge(e hclsyntax.Expression, vars map[string]cty.Value) bool {
	before := len(b.problems)
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if l, ok := n.(*hclsyntax.LiteralValueExpr); ok && l.Val.Type() == cty.Number && !l.Val.IsNull() && digits(l.Val.AsBigFloat()) > maxDigits {
			b.report(l.SrcRange, "", "a number has at most %d digits", maxDigits)
		}
		return nil
	})
	sum := 0
	if all := e.Variables(); len(all) > 1 && vars["local"] != cty.NilVal {
		locals := vars["local"].AsValueMap()
		for _, t := range all {
			if name, _, ok := second(t); ok && t.RootName() == "local" && sum <= maxFile {
				sum += weigh(locals[name], maxFile)
			}
		}
	}
	if sum > maxFile {
		b.report(e.Range(), "", "this is too large").Detail = "It repeats locals too often."
	}
	return len(b.problems) > before
}
