package hcl

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/dpb-build/dpb/engine"
)

// names are what a text may refer to, beside locals.
type names struct {
	dims            []string
	loose           bool // there may be more of them
	inputs, outputs []string
	paths           bool // whether inputs and outputs mean anything here
	scalars         bool // whether numbers and bools are texts too
}

// dynamic turns an expression into a text that may depend on the partition and on paths.
func (b *block) dynamic(e hclsyntax.Expression, what string, n *names) (engine.Text, bool) {
	e = unwrap(e)
	if !mentions(e, "partition", "input", "output") {
		read := b.text
		if n.scalars {
			read = b.scalar
		}
		s, ok := read(e, what)
		return engine.Literal(s), ok
	}
	switch x := e.(type) {
	case *hclsyntax.ScopeTraversalExpr:
		s, ok := b.segment(x.Traversal, what, n)
		return engine.Text{s}, ok
	case *hclsyntax.TemplateWrapExpr:
		return b.dynamic(x.Wrapped, what, n)
	case *hclsyntax.TemplateExpr:
		return b.joined(x.Parts, what, n)
	}
	s, ok := b.computed(e, what, n)
	return engine.Text{s}, ok
}

func (b *block) joined(parts []hclsyntax.Expression, what string, n *names) (engine.Text, bool) {
	var out engine.Text
	good, inside := true, *n
	inside.scalars = true
	for _, part := range parts {
		t, ok := b.dynamic(part, what, &inside)
		good = good && ok
		if last := len(out) - 1; last >= 0 && len(t) == 1 && isLiteral(out[last]) && isLiteral(t[0]) {
			out[last].Literal += t[0].Literal
			continue
		}
		out = append(out, t...)
	}
	return out, good
}

func isLiteral(s engine.Segment) bool { return s.Dimension == "" && s.Path == "" && s.Eval == nil }

// mentions says whether an expression refers to one of the roots.
func mentions(e hclsyntax.Expression, roots ...string) bool {
	if _, ok := literal(e); ok {
		return false
	}
	return slices.ContainsFunc(e.Variables(), func(t hcl.Traversal) bool { return slices.Contains(roots, t.RootName()) })
}

// scalar is a constant string, number or bool as text.
func (b *block) scalar(e hclsyntax.Expression, what string) (string, bool) {
	v, ok := b.value(e, what)
	if !ok {
		return "", false
	}
	s, err := asText(v)
	if err != nil {
		b.mismatch(e, what, "a string", v)
		return "", false
	}
	return s, b.noNUL(e, s)
}

// noNUL keeps the separator of keys out of values.
func (b *block) noNUL(e hclsyntax.Expression, s string) bool {
	if strings.Contains(s, "\x00") {
		b.report(e.Range(), "", "a text can't hold a NUL character")
		return false
	}
	return true
}

func asText(v cty.Value) (string, error) {
	v, err := convert.Convert(v, cty.String)
	switch {
	case err != nil:
		return "", err
	case v.IsNull() || !v.IsKnown():
		return "", fmt.Errorf("it has no value")
	}
	return v.AsString(), nil
}

// segment is partition.day, input.plays or output.scores.
func (b *block) segment(t hcl.Traversal, what string, n *names) (engine.Segment, bool) {
	root := t.RootName()
	if root == "partition" {
		name, ok := b.dimensionOf(t, what, n)
		return engine.Segment{Dimension: name}, ok
	}
	known := n.inputs
	if root == "output" {
		known = n.outputs
	}
	name, at, ok := second(t)
	switch {
	case !n.paths:
		b.unknownName(t, what)
	case !ok:
		b.report(t.SourceRange(), fmt.Sprintf("write %s.NAME", root), "which %s is meant must stand here", root)
	case !slices.Contains(known, name):
		b.noSuch(root, name, at, known)
	case len(t) == 3 && root == "input" && t[2].SourceRange() != (hcl.Range{}) && isStep(t[2], "fingerprint"):
		b.report(t.SourceRange(), "", "input.%s.fingerprint is not available yet", name)
	case len(t) > 2:
		b.report(t.SourceRange(), fmt.Sprintf("write %s.%s", root, name), "%s.%s is a path and has no parts", root, name)
	default:
		return engine.Segment{Path: root + "." + name}, true
	}
	return engine.Segment{}, false
}

func isStep(step hcl.Traverser, name string) bool {
	s, _, ok := stepName(step)
	return ok && s == name
}

// noSuch reports an input or output that the target does not have.
func (b *block) noSuch(kind, name string, at hcl.Range, known []string) {
	hint := didYouMean(name, known)
	switch {
	case hint != "":
	case len(known) == 0:
		hint = "declare it: " + blockExample(kind)
	default:
		hint = "it has " + strings.Join(known, ", ")
	}
	b.report(at, hint, "this target has no %s %q", kind, name)
}

// dimensionOf checks partition.NAME.
func (b *block) dimensionOf(t hcl.Traversal, what string, n *names) (string, bool) {
	name, at, ok := second(t)
	switch {
	case !ok:
		b.report(t.SourceRange(), "write partition.NAME", "which partition is meant must stand here")
		return "", false
	case slices.Contains(n.dims, name):
	case n.loose:
		return "", false
	case b.shared.dims[name] != nil:
		b.report(at, fmt.Sprintf("add %q to partition_by", name), "this is not partitioned by %s", name)
		return "", false
	default:
		b.unknownDimension(name, at)
		return "", false
	}
	if len(t) > 2 {
		b.report(t.SourceRange(), `write date("YYYY/MM/DD", partition.`+name+")", "partition.%s is text and has no parts", name)
		return "", false
	}
	return name, true
}

// computed is a segment that a function makes of the partition. It is tried with one partition, so that mistakes show at load.
func (b *block) computed(e hclsyntax.Expression, what string, n *names) (engine.Segment, bool) {
	good := true
	var dims []string
	for _, t := range e.Variables() {
		switch t.RootName() {
		case "input", "output":
			b.report(t.SourceRange(), "use it alone, or inside a string", "a path can't be computed with")
			good = false
		case "partition":
			name, ok := b.dimensionOf(t, what, n)
			good, dims = good && ok, append(dims, name)
		}
	}
	vars, ok := b.resolve(e, what, "partition", "input", "output")
	if !good || !ok {
		return engine.Segment{}, false
	}
	example := engine.Partition{}
	for _, name := range dims {
		example = append(example, engine.Value{Dimension: name, Text: b.shared.dims[name].example()})
	}
	c := &computation{expr: e, scope: b.scope, dims: dims, local: vars["local"]}
	v, ok := b.eval(e, c.vars(example))
	if !ok {
		return engine.Segment{}, false
	}
	text, err := asText(v)
	if err != nil {
		b.report(e.Range(), "", "%s wants a string, not %s", what, typeName(v.Type()))
		return engine.Segment{}, false
	}
	s := engine.Segment{Eval: c.at, Source: b.standalone(e)}
	if again, err := b.evaluator(s.Source)(example); err != nil || again != text {
		s.Source = ""
	}
	s.Dimension, s.Layout = b.dated(e)
	return s, true
}

// standalone is the source of an expression with the values of locals in place of their names; "" where a value can't be written so that it stays what it is.
func (b *block) standalone(e hclsyntax.Expression) string {
	for _, t := range e.Variables() {
		if name, _, _ := second(t); t.RootName() == "local" {
			if v, found := b.scope.local(name); !found || !isPlain(v) {
				return ""
			}
		}
	}
	return b.ruleText(e)
}

// isPlain says whether a value has the type of its literal.
func isPlain(v cty.Value) bool {
	switch t := v.Type(); {
	case v == cty.NilVal || v.IsNull():
		return false
	case t.IsPrimitiveType():
		return true
	case !t.IsTupleType() && !t.IsObjectType():
		return false
	}
	for _, part := range v.AsValueSlice() {
		if !isPlain(part) {
			return false
		}
	}
	return true
}

// evaluator computes a standalone expression over partition. It is parsed when first needed.
func (d *decoder) evaluator(source string) func(engine.Partition) (string, error) {
	parse := sync.OnceValues(func() (*computation, error) {
		e, diags := hclsyntax.ParseExpression([]byte(source), d.file, hcl.InitialPos)
		if diags.HasErrors() {
			return nil, diags
		}
		meterLoops(e)
		c := &computation{expr: e, scope: d.scope, local: cty.EmptyObjectVal}
		for _, t := range e.Variables() {
			if name, _, ok := second(t); ok && t.RootName() == "partition" {
				c.dims = append(c.dims, name)
			}
		}
		return c, nil
	})
	return func(p engine.Partition) (string, error) {
		c, err := parse()
		if err != nil {
			return "", err
		}
		return c.at(p)
	}
}

// dated tells of date("YYYY/MM/DD", partition.day) the dimension and the layout.
func (b *block) dated(e hclsyntax.Expression) (dim, layout string) {
	call, ok := e.(*hclsyntax.FunctionCallExpr)
	if !ok || call.Name != "date" && call.Name != "formatdate" || len(call.Args) != 2 {
		return "", ""
	}
	text, ok := unwrap(call.Args[0]).(*hclsyntax.TemplateExpr)
	at, isName := unwrap(call.Args[1]).(*hclsyntax.ScopeTraversalExpr)
	if !ok || !isName || !text.IsStringLiteral() || at.Traversal.RootName() != "partition" {
		return "", ""
	}
	v, _ := text.Value(nil)
	dim, _, _ = second(at.Traversal)
	return dim, v.AsString()
}

// computation is an expression over partition.
type computation struct {
	expr  hclsyntax.Expression
	scope *scope
	dims  []string
	local cty.Value
}

func (c *computation) vars(p engine.Partition) map[string]cty.Value {
	values := map[string]cty.Value{}
	for _, name := range c.dims {
		text, _ := p.Get(name)
		values[name] = cty.StringVal(text)
	}
	return map[string]cty.Value{"local": c.local, "partition": cty.ObjectVal(values)}
}

// at computes the text for one partition.
func (c *computation) at(p engine.Partition) (text string, err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("this can't be computed for partition %q", p)
		}
	}()
	v, diags := c.expr.Value(c.scope.with(c.vars(p)))
	if diags.HasErrors() {
		return "", fmt.Errorf("%s: %s", lowerFirst(diags[0].Summary), diags[0].Detail)
	}
	v, _ = v.UnmarkDeep()
	return asText(v)
}
