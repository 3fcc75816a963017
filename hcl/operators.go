package hcl

import (
	"cmp"
	"errors"
	"math/big"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

func (ev *evaluation) binary(e *hclsyntax.BinaryOpExpr) (value, error) {
	op, compares := operators[e.Op]
	switch {
	case e.Op == hclsyntax.OpLogicalAnd:
		return ev.either(e, false)
	case e.Op == hclsyntax.OpLogicalOr:
		return ev.either(e, true)
	case compares:
		return ev.compared(e, op)
	}
	a, err := ev.number(e.LHS)
	if err != nil {
		return nil, err
	}
	b, err := ev.number(e.RHS)
	if err != nil {
		return nil, err
	}
	return ev.arithmetic(e, a, b)
}

// either decides && and ||: one side that is decisive suffices, whatever the other is.
func (ev *evaluation) either(e *hclsyntax.BinaryOpExpr, decisive bool) (value, error) {
	a, errA := ev.truth(e.LHS)
	if errA == nil && a == decisive {
		return decisive, nil
	}
	b, errB := ev.truth(e.RHS)
	if errB == nil && b == decisive {
		return decisive, nil
	}
	if isNotYet(errA) && errB != nil { // what holds weighs more than what can't be said yet
		errA, errB = errB, errA
	}
	return !decisive, cmp.Or(errA, errB)
}

func isNotYet(err error) bool {
	var f *fault
	return errors.As(err, &f) && f.status == engine.NotYet
}

// arithmetic computes a with b.
func (ev *evaluation) arithmetic(e *hclsyntax.BinaryOpExpr, a, b *big.Float) (out value, err error) {
	defer func() {
		if recover() != nil { // big.ErrNaN: infinity less infinity and the like
			out, err = nil, violated("%s is no number", ev.text(e))
		}
	}()
	z := newNumber()
	switch e.Op {
	case hclsyntax.OpAdd:
		return z.Add(a, b), nil
	case hclsyntax.OpSubtract:
		return z.Sub(a, b), nil
	case hclsyntax.OpMultiply:
		return z.Mul(a, b), nil
	}
	switch {
	case b.Sign() == 0:
		return nil, violated("%s divides by zero", ev.text(e))
	case e.Op == hclsyntax.OpDivide:
		return z.Quo(a, b), nil
	case a.IsInf() || b.IsInf():
		return nil, violated("%s is no number", ev.text(e))
	}
	whole, _ := z.Quo(a, b).Int(nil) // towards zero, as HCL has it
	return z.Sub(a, newNumber().Mul(b, newNumber().SetInt(whole))), nil
}

// isNullLiteral says whether null itself is written.
func isNullLiteral(e hclsyntax.Expression) bool {
	l, ok := unwrap(e).(*hclsyntax.LiteralValueExpr)
	return ok && l.Val.IsNull()
}

func (ev *evaluation) compared(e *hclsyntax.BinaryOpExpr, op string) (value, error) {
	for _, side := range [][2]hclsyntax.Expression{{e.LHS, e.RHS}, {e.RHS, e.LHS}} {
		if (op == "==" || op == "!=") && isNullLiteral(side[1]) {
			v, err := ev.value(side[0])
			_, isNull := v.(absent)
			return isNull == (op == "=="), err
		}
	}
	a, err := ev.present(e.LHS)
	if err != nil {
		return nil, err
	}
	b, err := ev.present(e.RHS)
	if err != nil {
		return nil, err
	}
	c, err := ev.order(a, b, ev.text(e))
	if _, isBool := a.(bool); err == nil && isBool && op != "==" && op != "!=" {
		return nil, violated("%s: true and false have no order", ev.text(e))
	}
	return compares(c, op), err
}

// compares says whether an order fits an operator.
func compares(c int, op string) bool {
	switch op {
	case "==":
		return c == 0
	case "!=":
		return c != 0
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// order compares two scalars of one kind. A text that says a time can be compared with times.
func (ev *evaluation) order(a, b value, what string) (int, error) {
	switch x := a.(type) {
	case *big.Float:
		if y, ok := b.(*big.Float); ok {
			return x.Cmp(y), nil
		}
	case string:
		if y, ok := b.(string); ok {
			return strings.Compare(x, y), nil
		}
		if i, ok := parseMoment(x); ok && kindOf(b) == instant {
			return i.compare(b.(moment), ev.zone())
		}
	case bool:
		if y, ok := b.(bool); ok && x == y {
			return 0, nil
		} else if ok {
			return 1, nil
		}
	case moment:
		if i, ok := asMoment(b); ok {
			return x.compare(i, ev.zone())
		}
	}
	return 0, violated("%s: %s can't be compared with %s", what, kindOf(a), kindOf(b))
}

func asMoment(v value) (moment, bool) {
	switch v := v.(type) {
	case moment:
		return v, true
	case string:
		return parseMoment(v)
	}
	return moment{}, false
}
