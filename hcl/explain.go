package hcl

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// mirrored are the operators for sides that changed places.
var mirrored = map[string]string{"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}

// explain says what a rule found and what it wants; bound is "" where the rule's own text says it best.
func (ev *evaluation) explain(e hclsyntax.Expression, holds bool) (observed, bound string) {
	switch e := unwrap(e).(type) {
	case *hclsyntax.BinaryOpExpr:
		if op, ok := operators[e.Op]; ok {
			return ev.explainComparison(e, op)
		}
		if side := ev.failing(e, holds); side != nil {
			return ev.explain(side, false)
		}
	case *hclsyntax.FunctionCallExpr:
		if observed, bound, ok := ev.explainCall(e); ok {
			return observed, bound
		}
	case *hclsyntax.ScopeTraversalExpr:
		return ev.observed(e), "true"
	case *hclsyntax.UnaryOpExpr:
		if t, ok := unwrap(e.Val).(*hclsyntax.ScopeTraversalExpr); ok {
			return ev.observed(t), "false"
		}
	}
	return strings.Join(ev.named(e), ", "), ""
}

// failing is the first side of a && that is false.
func (ev *evaluation) failing(e *hclsyntax.BinaryOpExpr, holds bool) hclsyntax.Expression {
	if holds || e.Op != hclsyntax.OpLogicalAnd {
		return nil
	}
	if ok, err := ev.truth(e.LHS); err == nil && !ok {
		return e.LHS
	}
	return e.RHS
}

func (ev *evaluation) explainComparison(e *hclsyntax.BinaryOpExpr, op string) (observed, bound string) {
	a, b := e.LHS, e.RHS
	if len(a.Variables()) == 0 && len(b.Variables()) > 0 {
		a, b, op = b, a, mirrored[op]
	}
	return ev.observed(a), op + " " + ev.bounding(b)
}

func (ev *evaluation) explainCall(e *hclsyntax.FunctionCallExpr) (observed, bound string, ok bool) {
	if e.ExpandFinal || len(e.Args) < 2 {
		return "", "", false
	}
	var bounds []string
	for _, arg := range e.Args[1:] {
		bounds = append(bounds, ev.bounding(arg))
	}
	switch e.Name {
	case "range":
		bound = "between " + strings.Join(bounds, " and ")
	case "oneof":
		bound = "one of " + strings.Join(bounds, ", ")
	case "before":
		bound = "before " + bounds[0]
	default:
		return "", "", false
	}
	return ev.observed(e.Args[0]), bound, true
}

// observed says what an expression is, and of a computed one the numbers that it was made of.
func (ev *evaluation) observed(e hclsyntax.Expression) string {
	out := ev.text(e)
	v, err := ev.value(e)
	if err != nil {
		return out
	}
	if s := spellValue(v); s != "" {
		out += " = " + s
	}
	if _, isName := unwrap(e).(*hclsyntax.ScopeTraversalExpr); isName {
		return out
	}
	if names := ev.named(e); len(names) > 0 {
		out += " (" + strings.Join(names, ", ") + ")"
	}
	return out
}

// bounding writes what something is compared with.
func (ev *evaluation) bounding(e hclsyntax.Expression) string {
	v, err := ev.value(e)
	s := spellValue(v)
	switch {
	case err != nil || s == "":
		return ev.text(e)
	case isWritten(e):
		return s
	}
	return ev.text(e) + " = " + s
}

// isWritten says whether an expression is its own value.
func isWritten(e hclsyntax.Expression) bool {
	switch e := unwrap(e).(type) {
	case *hclsyntax.LiteralValueExpr:
		return true
	case *hclsyntax.UnaryOpExpr:
		return isWritten(e.Val)
	case *hclsyntax.TemplateExpr:
		return e.IsStringLiteral()
	}
	return false
}

// named lists the names in an expression that stand for one value each, with the values, in order.
func (ev *evaluation) named(e hclsyntax.Expression) []string {
	w := &nameWalker{ev: ev, seen: map[string]bool{}}
	_ = hclsyntax.Walk(e, w)
	return w.found
}

// nameWalker looks at names outside of [*] and for.
type nameWalker struct {
	ev    *evaluation
	loops int
	seen  map[string]bool
	found []string
}

func (w *nameWalker) Enter(n hclsyntax.Node) hcl.Diagnostics {
	if isLoop(n) {
		w.loops++
	}
	e, ok := n.(*hclsyntax.ScopeTraversalExpr)
	if !ok || w.loops > 0 {
		return nil
	}
	text := w.ev.text(e)
	if v, err := w.ev.value(e); err == nil && !w.seen[text] {
		if s := spellValue(v); s != "" {
			w.found = append(w.found, text+" = "+s)
		}
		w.seen[text] = true
	}
	return nil
}

func (w *nameWalker) Exit(n hclsyntax.Node) hcl.Diagnostics {
	if isLoop(n) {
		w.loops--
	}
	return nil
}

func isLoop(n hclsyntax.Node) bool {
	switch n.(type) {
	case *hclsyntax.SplatExpr, *hclsyntax.ForExpr:
		return true
	}
	return false
}
