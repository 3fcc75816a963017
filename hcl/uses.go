package hcl

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// usesOf lists the names of a rule, each once, in order.
func usesOf(e hclsyntax.Expression) []engine.Use {
	u := &uses{vars: map[string][]named{}, items: map[*hclsyntax.AnonSymbolExpr][]named{}, seen: map[string]bool{}}
	u.take(e)
	return u.found
}

// uses collects names.
type uses struct {
	vars  map[string][]named // what elements the variable of a for loop stands for
	items map[*hclsyntax.AnonSymbolExpr][]named
	seen  map[string]bool
	found []engine.Use
}

// named is a name that may be continued by what stands around it.
type named struct {
	path []string
	at   hcl.Range
}

// take keeps the names that an expression stands for.
func (u *uses) take(e hclsyntax.Expression) {
	if e != nil {
		u.keep(u.of(e))
	}
}

func (u *uses) keep(names []named) {
	for _, n := range names {
		if key := strings.Join(n.path, "\x00"); !u.seen[key] {
			u.seen[key] = true
			u.found = append(u.found, engine.Use{Path: n.path, Range: place(n.at)})
		}
	}
}

// of lists the names that the value of an expression may have come from, and keeps others in it.
func (u *uses) of(e hclsyntax.Expression) []named {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return u.of(e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return u.of(e.Wrapped)
	case *hclsyntax.ScopeTraversalExpr:
		root := e.Traversal.RootName()
		names, isVar := u.vars[root]
		switch {
		case root == "local":
			return nil
		case !isVar:
			names = []named{{path: []string{root}}}
		}
		return extend(names, e.Traversal[1:], e.SrcRange)
	case *hclsyntax.RelativeTraversalExpr:
		return extend(u.of(e.Source), e.Traversal, e.SrcRange)
	case *hclsyntax.IndexExpr:
		u.take(e.Key)
		return u.of(e.Collection)
	case *hclsyntax.SplatExpr:
		u.items[e.Item] = u.of(e.Source)
		return extend(u.of(e.Each), nil, e.SrcRange)
	case *hclsyntax.AnonSymbolExpr:
		return u.items[e]
	case *hclsyntax.ForExpr:
		return u.loop(e)
	case *hclsyntax.ConditionalExpr:
		u.take(e.Condition)
		return slices.Concat(u.of(e.TrueResult), u.of(e.FalseResult))
	case *hclsyntax.FunctionCallExpr:
		return u.all(e.Args) // reverse(prior)[0].rows is one of prior.rows
	case *hclsyntax.TupleConsExpr:
		return u.all(e.Exprs)
	}
	u.within(e)
	return nil
}

// within keeps the names in what gives a new value.
func (u *uses) within(e hclsyntax.Expression) {
	switch e := e.(type) {
	case *hclsyntax.BinaryOpExpr:
		u.take(e.LHS)
		u.take(e.RHS)
	case *hclsyntax.UnaryOpExpr:
		u.take(e.Val)
	case *hclsyntax.TemplateExpr:
		u.keep(u.all(e.Parts))
	case *hclsyntax.TemplateJoinExpr:
		u.take(e.Tuple)
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			if hcl.ExprAsKeyword(item.KeyExpr) == "" {
				u.take(item.KeyExpr)
			}
			u.take(item.ValueExpr)
		}
	case *hclsyntax.ObjectConsKeyExpr:
		u.take(e.Wrapped)
	}
}

func (u *uses) all(es []hclsyntax.Expression) (out []named) {
	for _, e := range es {
		out = append(out, u.of(e)...)
	}
	return out
}

// openNames are the groups over whose names a for loop can run.
var openNames = []string{"column", "metric", "rejected", "input", "output"}

func (u *uses) loop(e *hclsyntax.ForExpr) []named {
	over := u.of(e.CollExpr)
	var elements []named
	for _, n := range over {
		if slices.Contains(openNames, n.path[len(n.path)-1]) {
			n.path = append(slices.Clip(n.path), "*")
		}
		elements = append(elements, n)
	}
	outer := u.vars
	u.vars = maps.Clone(outer)
	defer func() { u.vars = outer }()
	u.vars[e.KeyVar], u.vars[e.ValVar] = nil, elements
	u.take(e.CondExpr)
	u.take(e.KeyExpr)
	out := u.of(e.ValExpr)
	if len(out) == 0 { // [for p in prior : 1]
		u.keep(over)
	}
	return out
}

// extend adds the names of a traversal, which stands at r.
func extend(names []named, t hcl.Traversal, r hcl.Range) []named {
	var steps []string
	for _, s := range t {
		if name, _, ok := stepName(s); ok {
			steps = append(steps, name)
		}
	}
	out := make([]named, len(names))
	for i, n := range names {
		out[i] = named{append(slices.Clip(n.path), steps...), r}
	}
	return out
}
