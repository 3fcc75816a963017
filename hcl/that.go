package hcl

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// check reads the expression of a rule on output o, or on input in.
func (r *rule) check(t *engine.Target, o *engine.Output, in *engine.Input) {
	e := r.require("that")
	if e == nil {
		return
	}
	c := &checker{rule: r, names: map[string]*shape{}, timeless: !r.hasTime(t)}
	if in != nil {
		c.onEdge(in)
	} else {
		c.onOutput(t, o, mentions(e, "input", "output"))
	}
	c.names["replaced"] = c.self
	c.names["prior"] = listOf(c.self)
	maps.Copy(c.names, c.self.parts)
	if got := c.shape(e); got.kind != boolean && got.kind != unknown {
		r.report(e.Range(), "compare it with something: rows > 0", "a rule is true or false, and this is %s", got.kind)
	}
	r.expect.That, r.expect.Uses = r.ruleText(e), usesOf(e)
	r.expect.Judge = judge(r.expect)
	if o != nil {
		c.needTables(t, o)
	}
}

// needTables reports names of rows and columns of an output that has none.
func (c *checker) needTables(t *engine.Target, o *engine.Output) {
	for _, u := range c.expect.Uses {
		path := u.Path
		if path[0] == "prior" || path[0] == "replaced" {
			path = path[1:]
		}
		if len(path) == 0 || path[0] != "column" && (path[0] != "rows" || o.Format != engine.Opaque) {
			continue
		}
		if !c.needTable(t, o, c.attr("that").Range(), path[0]) {
			return
		}
	}
}

// hasTime says whether a target's partitions are stretches of time, or whether that is not known.
func (b *block) hasTime(t *engine.Target) bool {
	for p := b.parent; p != nil; p = p.parent {
		if p.loose {
			return true
		}
	}
	return slices.ContainsFunc(t.PartitionBy, func(name string) bool {
		d := b.shared.dims[name]
		return d == nil || !d.ok || d.Unit != engine.NoUnit
	})
}

// ruleText is the source of a rule, with the values of locals in place of their names, so that it can be judged by itself.
func (b *block) ruleText(e hclsyntax.Expression) string {
	type edit struct {
		from, to int
		text     string
	}
	var edits []edit
	for _, t := range e.Variables() {
		if t.RootName() != "local" {
			continue
		}
		name, _, _ := second(t)
		v, found := b.scope.local(name)
		if !found || v == cty.NilVal {
			return ""
		}
		vars := map[string]cty.Value{"local": cty.ObjectVal(map[string]cty.Value{name: v})}
		if v, diags := t.TraverseAbs(b.scope.with(vars)); !diags.HasErrors() {
			r := t.SourceRange()
			edits = append(edits, edit{r.Start.Byte, r.End.Byte, spell(v)})
		}
	}
	slices.SortFunc(edits, func(x, y edit) int { return x.from - y.from })
	var out strings.Builder
	at, end := e.Range().Start.Byte, e.Range().End.Byte
	for _, x := range edits {
		if x.from >= at {
			out.Write(b.src[at:x.from])
			out.WriteString(x.text)
			at = x.to
		}
	}
	out.Write(b.src[at:max(at, end)])
	return out.String()
}

// spell writes a constant as HCL does.
func spell(v cty.Value) string {
	if v.Type() == cty.Number { // most are, and the general way is slow
		f, _ := v.AsBigFloat().Float64()
		text := strconv.FormatFloat(f, 'f', -1, 64)
		if same, err := cty.ParseNumberVal(text); err == nil && same.AsBigFloat().Cmp(v.AsBigFloat()) == 0 {
			return text
		}
	}
	return string(hclwrite.TokensForValue(v).Bytes())
}

// checker finds the shape of a rule's expression and reports names and types that can't be.
type checker struct {
	*rule
	self  *shape
	names map[string]*shape // what a name at the start of a reference means
	items map[*hclsyntax.AnonSymbolExpr]*shape
	// timeless says that start() and end() mean nothing here.
	timeless bool
}

// onEdge sets what a consumer's rule may name. What the producer declares is not known here.
func (c *checker) onEdge(in *engine.Input) {
	c.self = facts(in.Columns, nil, nil, true)
	c.names["parts"] = listOf(c.self)
}

// onOutput sets what a rule on an output may name. What it may name of others takes a while to describe: only a rule that names any of it needs that.
func (c *checker) onOutput(t *engine.Target, o *engine.Output, others bool) {
	c.self = facts(o.Columns, o.Metrics, o.Rejects, false)
	if t.Kind == engine.Source {
		return
	}
	if !others {
		c.names["input"], c.names["output"] = anything, anything
		return
	}
	inputs := &shape{kind: record, what: "input", parts: map[string]*shape{}}
	for _, in := range t.Inputs {
		inputs.parts[in.Name] = facts(in.Columns, nil, nil, true)
	}
	outputs := &shape{kind: record, what: "output", parts: map[string]*shape{}}
	for _, o := range t.Outputs {
		outputs.parts[o.Name] = facts(o.Columns, o.Metrics, o.Rejects, false)
	}
	c.names["input"], c.names["output"] = inputs, outputs
}

// shape finds what an expression gives. It is unknown after a mistake, which is thus reported once.
func (c *checker) shape(e hclsyntax.Expression) *shape {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.shape(e.Expression)
	case *hclsyntax.LiteralValueExpr:
		if e.Val.IsNull() {
			return aNull
		}
		return shapeOfValue(e.Val.Type())
	case *hclsyntax.TemplateExpr:
		for _, part := range e.Parts {
			c.shape(part)
		}
		return aText
	case *hclsyntax.TemplateWrapExpr:
		return c.shape(e.Wrapped)
	case *hclsyntax.ScopeTraversalExpr:
		return c.reference(e.Traversal)
	case *hclsyntax.RelativeTraversalExpr:
		return c.steps(c.shape(e.Source), e.Traversal, c.sourceOf(e.Source.Range()))
	case *hclsyntax.FunctionCallExpr:
		return c.call(e)
	case *hclsyntax.ConditionalExpr:
		c.want(e.Condition, boolean)
		return unify(false, c.shape(e.TrueResult), c.shape(e.FalseResult))
	case *hclsyntax.BinaryOpExpr:
		return c.binary(e)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			c.want(e.Val, boolean)
			return aBool
		}
		c.want(e.Val, number)
		return aNumber
	}
	return c.collection(e)
}

// collection is shape for lists and what takes them apart.
func (c *checker) collection(e hclsyntax.Expression) *shape {
	switch e := e.(type) {
	case *hclsyntax.TupleConsExpr:
		elem := anything
		for i, x := range e.Exprs {
			elem = unify(i == 0, elem, c.shape(x))
		}
		return listOf(elem)
	case *hclsyntax.ObjectConsExpr:
		for _, item := range e.Items {
			c.shape(item.ValueExpr)
		}
	case *hclsyntax.IndexExpr:
		return c.index(e)
	case *hclsyntax.SplatExpr:
		return c.splat(e)
	case *hclsyntax.ForExpr:
		return c.loop(e)
	case *hclsyntax.AnonSymbolExpr:
		if s := c.items[e]; s != nil {
			return s
		}
	}
	return anything
}

// want checks that an expression has a kind.
func (c *checker) want(e hclsyntax.Expression, kind shapeKind) {
	if got := c.shape(e); got.kind != kind && got.kind != unknown {
		c.report(e.Range(), "", "this must be %s, and is %s", kind, got.kind)
	}
}

// reference is the shape of a name with what follows it.
func (c *checker) reference(t hcl.Traversal) *shape {
	root := t.RootName()
	s := c.names[root]
	switch {
	case root == "local":
		if _, v, ok := c.localOf(t); ok {
			return c.steps(shapeOfValue(v.Type()), t[2:], "local")
		}
		return anything
	case s == nil:
		c.unknownRoot(t)
		return anything
	case root == "prior" && c.attr("prior") == nil:
		c.report(t[0].SourceRange(), "add prior = 7, or as many as it needs", "prior needs the attribute prior")
		return anything
	case root == "prior" && len(t) > 1 && c.beyond(t[1]):
		return anything
	}
	return c.steps(s, t[1:], root)
}

// beyond reports prior[7] where only 7 are asked for.
func (c *checker) beyond(step hcl.Traverser) bool {
	i, ok := step.(hcl.TraverseIndex)
	if !ok || i.Key.Type() != cty.Number || c.expect.Prior == 0 {
		return false
	}
	n, _ := i.Key.AsBigFloat().Int64()
	if n >= 0 && n < int64(c.expect.Prior) {
		return false
	}
	c.report(i.SrcRange, fmt.Sprintf("write prior = %d", n+1), "prior has %d elements, from prior[0] to prior[%d]", c.expect.Prior, c.expect.Prior-1)
	return true
}

// steps follows what stands after a name.
func (c *checker) steps(s *shape, t hcl.Traversal, path string) *shape {
	for _, step := range t {
		name, at, isName := stepName(step)
		switch {
		case s.kind == unknown:
			return s
		case s.kind == list && !isName:
			s = s.elem
		case s.kind == list:
			c.report(at, fmt.Sprintf("write %s[0].%s for the first, or %s[*].%s for a list of all", path, name, path, name), "%s is a list", path)
			return anything
		case s.kind == record && s.what == "quantile":
			if !c.isQuantile(step) {
				return anything
			}
			s = s.elem
		case s.kind == record && isName:
			part := s.parts[name]
			if part == nil && engine.Suggest(name, s.names()) == "" { // else a name that is known was meant
				part = s.elem
			}
			if part == nil {
				c.unknownPart(s, name, at)
				return anything
			}
			s = part
		default:
			c.report(step.SourceRange(), "", "%s is %s and has no parts", path, s.kind)
			return anything
		}
		path += "." + name
	}
	return s
}

// isQuantile reports a share whose quantile is not kept.
func (c *checker) isQuantile(step hcl.Traverser) bool {
	i, ok := step.(hcl.TraverseIndex)
	if ok && i.Key.Type() == cty.Number && !i.Key.IsNull() {
		if share, _ := i.Key.AsBigFloat().Float64(); slices.Contains(quantilePoints, share) {
			return true
		}
	}
	c.report(step.SourceRange(), "write quantile[0.5] for the median", "quantile wants one of %s", quantileList())
	return false
}

func (c *checker) unknownPart(s *shape, name string, at hcl.Range) {
	hint := didYouMean(name, s.names())
	switch {
	case strings.Contains(name, "-"):
		hint = "to subtract, put spaces around the dash"
	case hint == "" && len(s.parts) > 0:
		hint = "there is " + strings.Join(s.names(), ", ")
	case hint == "" && s.what == "metric":
		hint = fmt.Sprintf("declare it: metric %q { sql = \"...\" }", name)
	case hint == "" && s.what == "reject":
		hint = fmt.Sprintf("declare it: reject %q { where = \"...\" }", name)
	}
	c.report(at, hint, "there is no %s %q", s.what, name)
}

// unknownRoot reports a name that no rule knows, or not this one.
func (c *checker) unknownRoot(t hcl.Traversal) {
	root, at := t.RootName(), t[0].SourceRange()
	hint := ""
	for _, group := range []string{"metric", "column", "rejected"} {
		if hint == "" && c.self.parts[group].parts[root] != nil {
			hint = fmt.Sprintf("write %s.%s", group, root)
		}
	}
	switch {
	case root == "parts":
		c.report(at, "", "parts is for rules on an input: it lists the partitions that were merged")
	case root == "input", root == "output":
		c.report(at, "write rows, column.NAME and so on alone", "%s can't be used here: the rule is about this %s", root, c.parent.kind.name)
	case root == "partition":
		c.report(t.SourceRange(), "for the partition's time write start() or end()", "partition can't be used in a rule, which is the same for every partition")
	case hint != "":
		c.report(at, hint, "there is no variable %s", root)
	case mergedFunctions[root]:
		c.report(at, "write "+root+"(...)", "%s is a function", root)
	case strings.Contains(root, "-") || slices.Contains([]string{"and", "or", "not", "env", "var"}, root):
		c.unknownName(t, "that")
	default:
		c.report(at, didYouMean(root, slices.Collect(maps.Keys(c.names))), "there is no variable %s", root).Detail =
			"A rule knows " + strings.Join(slices.Sorted(maps.Keys(c.names)), ", ") + "."
	}
}

func (c *checker) index(e *hclsyntax.IndexExpr) *shape {
	s, key := c.shape(e.Collection), c.shape(e.Key)
	switch {
	case s.kind == list && (key.kind == number || key.kind == unknown), s.what == "quantile":
		return s.elem
	case s.kind == list:
		c.report(e.Key.Range(), "", "a place in a list is a number, and this is %s", key.kind)
	case s.kind == record:
		c.report(e.Key.Range(), "write the name out", "which %s is meant must be known when the file is read", s.what)
	case s.kind != unknown:
		c.report(e.Collection.Range(), "", "this is %s and has no parts", s.kind)
	}
	return anything
}

func (c *checker) splat(e *hclsyntax.SplatExpr) *shape {
	s := c.shape(e.Source)
	item := anything
	switch s.kind {
	case list:
		item = s.elem
	case unknown:
	default:
		c.report(e.Source.Range(), "", "[*] is for lists, and this is %s", s.kind)
		return anything
	}
	return listOf(c.bind(e.Item, item, e.Each))
}

// bind finds the shape of an expression in which an item stands for s.
func (c *checker) bind(item *hclsyntax.AnonSymbolExpr, s *shape, e hclsyntax.Expression) *shape {
	if c.items == nil {
		c.items = map[*hclsyntax.AnonSymbolExpr]*shape{}
	}
	c.items[item] = s
	defer delete(c.items, item)
	return c.shape(e)
}

// loop is [for p in prior : p.rows if ...].
func (c *checker) loop(e *hclsyntax.ForExpr) *shape {
	s := c.shape(e.CollExpr)
	elem := anything
	switch s.kind {
	case list:
		elem = s.elem
	case unknown, record:
	default:
		c.report(e.CollExpr.Range(), "", "for is for lists, and this is %s", s.kind)
		return anything
	}
	for _, name := range []string{e.KeyVar, e.ValVar} {
		if c.names[name] != nil || name == "local" {
			c.report(e.Range(), "choose another name", "%s means something else already", name)
			return anything
		}
	}
	defer delete(c.names, e.KeyVar)
	defer delete(c.names, e.ValVar)
	if e.KeyVar != "" {
		c.names[e.KeyVar] = anything
	}
	c.names[e.ValVar] = elem
	if e.CondExpr != nil {
		c.want(e.CondExpr, boolean)
	}
	out := c.shape(e.ValExpr)
	if e.KeyExpr != nil {
		c.shape(e.KeyExpr)
		return anything
	}
	return listOf(out)
}

var operators = map[*hclsyntax.Operation]string{
	hclsyntax.OpLessThan: "<", hclsyntax.OpLessThanOrEqual: "<=", hclsyntax.OpGreaterThan: ">", hclsyntax.OpGreaterThanOrEqual: ">=",
	hclsyntax.OpEqual: "==", hclsyntax.OpNotEqual: "!=",
}

func (c *checker) binary(e *hclsyntax.BinaryOpExpr) *shape {
	op, compares := operators[e.Op]
	switch {
	case c.bareDate(e):
		return anything
	case compares && c.chained(e, op):
		return aBool
	case compares:
		c.compare(e, op, c.shape(e.LHS), c.shape(e.RHS))
		return aBool
	case e.Op == hclsyntax.OpLogicalAnd, e.Op == hclsyntax.OpLogicalOr:
		c.want(e.LHS, boolean)
		c.want(e.RHS, boolean)
		return aBool
	}
	c.want(e.LHS, number)
	c.want(e.RHS, number)
	return aNumber
}

// chained reports 1 < x < 2, which HCL reads as (1 < x) < 2.
func (c *checker) chained(e *hclsyntax.BinaryOpExpr, op string) bool {
	left, ok := e.LHS.(*hclsyntax.BinaryOpExpr)
	if !ok || operators[left.Op] == "" {
		return false
	}
	middle := c.sourceOf(left.RHS.Range())
	c.report(e.Range(), fmt.Sprintf("write %s && %s %s %s", c.sourceOf(left.Range()), middle, op, c.sourceOf(e.RHS.Range())), "comparisons can't be chained")
	return true
}

func (c *checker) compare(e *hclsyntax.BinaryOpExpr, op string, a, b *shape) {
	equality := op == "==" || op == "!="
	switch {
	case a.kind == unknown || b.kind == unknown:
	case a.kind == null || b.kind == null:
		if !equality {
			c.report(e.Range(), "compare with == null or != null", "null can't be compared with %s", op)
		}
	case a.kind == record || b.kind == record || a.kind == list || b.kind == list:
		side, s := e.LHS, a
		if a.kind != record && a.kind != list {
			side, s = e.RHS, b
		}
		c.report(side.Range(), c.inside(side, s), "%s can't be compared", s.kind)
	case a.kind != b.kind && !isTimeText(e.LHS, b) && !isTimeText(e.RHS, a):
		c.report(e.Range(), "", "%s is compared with %s", a.kind, b.kind)
	case !equality && a.kind == boolean:
		c.report(e.Range(), "", "true and false have no order")
	}
}

// inside hints at what of a record or list can be compared.
func (c *checker) inside(e hclsyntax.Expression, s *shape) string {
	text := c.sourceOf(e.Range())
	switch {
	case s.kind == list && s.elem.kind != number:
		return "write length(" + text + "), or " + text + "[0]"
	case s.kind == list:
		return fmt.Sprintf("write %[1]s[0] for the first, min(%[1]s...) for the least, or length(%[1]s)", text)
	case s.parts["value"] != nil:
		return "write " + text + ".value"
	case len(s.parts) > 0:
		return "write " + text + "." + s.names()[0] + ", or another of its parts"
	}
	return ""
}

// isTimeText says whether e is a text that can be compared with a time.
func isTimeText(e hclsyntax.Expression, other *shape) bool {
	t, ok := unwrap(e).(*hclsyntax.TemplateExpr)
	if !ok || other.kind != instant || !t.IsStringLiteral() {
		return false
	}
	v, diags := t.Value(nil)
	if diags.HasErrors() {
		return false
	}
	s := v.AsString()
	_, isPartition := partitionTime(s)
	return isPartition || isTimestamp(s)
}
