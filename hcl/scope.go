package hcl

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// scope is what constant expressions of a file see: functions, its own locals and those of dpb.hcl.
type scope struct {
	parent *scope
	locals map[string]cty.Value // NilVal for one that went wrong, which was reported
	ctx    *hcl.EvalContext
	open   bool // dpb.hcl can't be read, so there may be more locals
}

func (s *scope) with(vars map[string]cty.Value) *hcl.EvalContext {
	ctx := s.ctx.NewChild()
	ctx.Variables = maps.Clone(vars)
	if ctx.Variables == nil {
		ctx.Variables = map[string]cty.Value{}
	}
	ctx.Variables[meterName] = newMeter()
	return ctx
}

// local looks a local up; NilVal is one that went wrong.
func (s *scope) local(name string) (v cty.Value, found bool) {
	for ; s != nil; s = s.parent {
		if v, found = s.locals[name]; found || s.open {
			return v, true
		}
	}
	return cty.NilVal, false
}

func (s *scope) names() []string {
	var out []string
	for ; s != nil; s = s.parent {
		out = slices.AppendSeq(out, maps.Keys(s.locals))
	}
	slices.Sort(out)
	return out
}

// resolve checks the names in an expression, and returns the values of those that are locals. Names that start with one of the roots in also
// are left to the caller.
func (b *block) resolve(e hclsyntax.Expression, what string, also ...string) (map[string]cty.Value, bool) {
	locals, good := map[string]cty.Value{}, true
	for _, t := range e.Variables() {
		switch root := t.RootName(); {
		case slices.Contains(also, root):
		case root == "local":
			name, v, ok := b.localOf(t)
			good = good && ok
			locals[name] = v
		default:
			b.unknownName(t, what)
			good = false
		}
	}
	if !good {
		return nil, false
	}
	return map[string]cty.Value{"local": cty.ObjectVal(locals)}, true
}

// localOf finds the local that a reference names. It is false for one that does not exist or went wrong.
func (b *block) localOf(t hcl.Traversal) (string, cty.Value, bool) {
	name, r, ok := second(t)
	if !ok {
		b.report(t.SourceRange(), "write local.NAME", "which local is meant must stand here")
		return "", cty.NilVal, false
	}
	v, found := b.scope.local(name)
	if !found {
		b.report(r, didYouMean(name, b.scope.names()), "there is no local %q", name)
	}
	return name, v, v != cty.NilVal
}

// second is the name after the root: plays in input.plays and input["plays"].
func second(t hcl.Traversal) (string, hcl.Range, bool) {
	if len(t) < 2 {
		return "", t.SourceRange(), false
	}
	return stepName(t[1])
}

func stepName(step hcl.Traverser) (string, hcl.Range, bool) {
	switch s := step.(type) {
	case hcl.TraverseAttr:
		r := s.SrcRange // begins with the dot
		if n := r.End.Byte - r.Start.Byte; n == len(s.Name)+1 {
			r.Start.Byte, r.Start.Column = r.Start.Byte+1, r.Start.Column+1
		}
		return s.Name, r, true
	case hcl.TraverseIndex:
		if s.Key.Type() == cty.String && s.Key.IsKnown() && !s.Key.IsNull() {
			return s.Key.AsString(), s.SrcRange, true
		}
	}
	return "", step.SourceRange(), false
}

var where = map[string]string{
	"partition": "it is the same for every partition", "input": "paths are known when a job starts", "output": "paths are known when a job starts",
}

// unknownName reports a name that means nothing where it stands.
func (b *block) unknownName(t hcl.Traversal, what string) {
	root, r := t.RootName(), t[0].SourceRange()
	name, _, _ := second(t)
	if strings.HasPrefix(b.sourceOf(r), `"`) { // HCL reads "a" in some places as a
		r = t.SourceRange()
	}
	if why, ok := where[root]; ok {
		b.report(t.SourceRange(), "", "%s can't be used in %s", root, what).Detail = upperFirst(why) + "."
		return
	}
	p := b.report(r, "", "there is no variable %s", root)
	switch {
	case root == "env" || root == "var":
		p.Detail, p.Hint = "The environment is not read.", "declare the value with locals, or pass it to the job with secrets"
	case len(t) == 1 && b.interpolated(r) && root == strings.ToUpper(root) && strings.ToLower(root) != root:
		p.Detail = "The environment is not read."
		p.Hint = fmt.Sprintf("declare a local, or pass it to the job with secrets = [%q]; for the text itself write $${%s}", root, root)
		if reservedVariable(root) {
			p.Hint = fmt.Sprintf("write the path out; for the text itself write $${%s}", root)
		}
	case strings.Contains(root, "-"):
		p.Detail = "A name may hold a dash, so this is one name."
		p.Hint = "to subtract, put spaces around the dash: " + strings.ReplaceAll(root, "-", " - ")
	case slices.Contains([]string{"and", "or", "not"}, root):
		p.Hint = "write && for and, || for or, ! for not"
	case slices.Contains([]string{"locals", "locale", "vars"}, root) && name != "":
		p.Hint = "write local." + name
	case len(t) == 1 && slices.Contains(b.scope.names(), root):
		p.Hint = "write local." + root
	case len(t) == 1:
		p.Hint = fmt.Sprintf("if text is meant, write %q in quotes", root)
	default:
		p.Hint = didYouMean(root, []string{"local", "partition", "input", "output"})
	}
}

// interpolated says whether r stands right after ${ in a string.
func (d *decoder) interpolated(r hcl.Range) bool {
	return r.Filename == d.file && r.Start.Byte <= len(d.src) && bytes.HasSuffix(bytes.TrimRight(d.src[:r.Start.Byte], " "), []byte("${"))
}

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// didYouMean is a hint at the nearest of the names, or "".
func didYouMean(name string, names []string) string {
	if near := engine.Suggest(name, names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// orList writes "a", "b" or "c".
func orList(names []string) string {
	var out strings.Builder
	for i, n := range names {
		switch {
		case i > 0 && i == len(names)-1:
			out.WriteString(" or ")
		case i > 0:
			out.WriteString(", ")
		}
		fmt.Fprintf(&out, "%q", n)
	}
	return out.String()
}

// declareLocals computes all locals of the file, each after those that it needs.
func (b *block) declareLocals() {
	d := &localDecls{b: b, attrs: map[string]*hclsyntax.Attribute{}, from: map[string]*block{}, busy: map[string]bool{}}
	var names []string
	for _, c := range b.children("locals") {
		for name, a := range c.body.Attributes {
			if first := d.attrs[name]; first != nil {
				c.report(a.NameRange, "rename one of them", "local %q is declared twice", name).Detail = fmt.Sprintf("The first is in line %d.", first.NameRange.Start.Line)
				continue
			}
			d.attrs[name], d.from[name] = a, c
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		d.compute(name)
	}
}

type localDecls struct {
	b     *block
	attrs map[string]*hclsyntax.Attribute
	from  map[string]*block
	busy  map[string]bool
	path  []string // what is being computed, for cycles
	sizes map[string]int
}

func (d *localDecls) compute(name string) {
	a, locals := d.attrs[name], d.b.scope.locals
	if _, done := locals[name]; done || a == nil {
		return
	}
	if d.busy[name] {
		d.cycle(name)
		return
	}
	d.busy[name], d.path = true, append(d.path, name)
	for _, t := range a.Expr.Variables() {
		if need, _, ok := second(t); ok && t.RootName() == "local" {
			d.compute(need)
		}
	}
	d.path = d.path[:len(d.path)-1]
	if _, failed := locals[name]; failed {
		return
	}
	c := d.from[name]
	locals[name] = cty.NilVal
	if d.size(name) > maxLocal {
		c.report(d.attrs[name].NameRange, "", "local %q is too large", name).Detail = "It repeats other locals too often."
		return
	}
	if vars, ok := c.resolve(a.Expr, "locals"); ok {
		if v, ok := c.eval(a.Expr, vars); ok && v.IsWhollyKnown() {
			locals[name] = v
		}
	}
}

// maxLocal bounds what locals can grow to by naming each other, in bytes of the text that they would be.
const maxLocal = 16 << 20

// size estimates how large a local can be, from the sizes of those that it names.
func (d *localDecls) size(name string) int {
	if n, ok := d.sizes[name]; ok {
		return n
	}
	e := d.attrs[name].Expr
	sum, product := e.Range().End.Byte-e.Range().Start.Byte, 1
	for _, t := range e.Variables() {
		if need, _, ok := second(t); ok && t.RootName() == "local" && d.attrs[need] != nil {
			n := d.sizes[need]
			sum, product = min(sum+n, 2*maxLocal), min(product*max(1, n), 2*maxLocal)
		}
	}
	loops := false
	_ = hclsyntax.VisitAll(e, func(n hclsyntax.Node) hcl.Diagnostics {
		if _, ok := n.(*hclsyntax.ForExpr); ok {
			loops = true
		}
		return nil
	})
	if loops {
		sum = max(sum, product)
	}
	if d.sizes == nil {
		d.sizes = map[string]int{}
	}
	d.sizes[name] = sum
	return sum
}

// cycle reports that name needs itself, once for all locals of the circle.
func (d *localDecls) cycle(name string) {
	circle := d.path[slices.Index(d.path, name):]
	for _, n := range circle {
		d.b.scope.locals[n] = cty.NilVal
	}
	d.from[name].report(d.attrs[name].NameRange, "", "local %q needs itself", name).Detail = strings.Join(append(slices.Clone(circle), name), " needs ") + "."
}
