package hcl

import (
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
)

// truth evaluates what must be true or false.
func (ev *evaluation) truth(e hclsyntax.Expression) (bool, error) {
	v, err := ev.present(e)
	if err != nil {
		return false, err
	}
	if b, ok := v.(bool); ok {
		return b, nil
	}
	return false, violated("%s must be true or false, and is %s", ev.text(e), kindOf(v))
}

// present evaluates what must not be null.
func (ev *evaluation) present(e hclsyntax.Expression) (value, error) {
	v, err := ev.value(e)
	if err != nil {
		return nil, err
	}
	return v, presence(v)
}

// presence is the fault of a null.
func presence(v value) error {
	if a, ok := v.(absent); ok {
		return &fault{a.status, a.reason}
	}
	return nil
}

// value evaluates an expression. Its errors are faults.
func (ev *evaluation) value(e hclsyntax.Expression) (value, error) {
	switch e := e.(type) {
	case *hclsyntax.ParenthesesExpr:
		return ev.value(e.Expression)
	case *hclsyntax.TemplateWrapExpr:
		return ev.value(e.Wrapped)
	case *hclsyntax.LiteralValueExpr:
		return fromCty(e.Val, "null")
	case *hclsyntax.ScopeTraversalExpr:
		return ev.reference(e.Traversal)
	case *hclsyntax.RelativeTraversalExpr:
		v, err := ev.value(e.Source)
		if err != nil {
			return nil, err
		}
		return ev.steps(v, e.Traversal, ev.text(e.Source))
	case *hclsyntax.FunctionCallExpr:
		return ev.call(e)
	case *hclsyntax.ConditionalExpr:
		holds, err := ev.truth(e.Condition)
		switch {
		case err != nil:
			return nil, err
		case holds:
			return ev.value(e.TrueResult)
		}
		return ev.value(e.FalseResult)
	case *hclsyntax.BinaryOpExpr:
		return ev.binary(e)
	case *hclsyntax.UnaryOpExpr:
		if e.Op == hclsyntax.OpLogicalNot {
			holds, err := ev.truth(e.Val)
			return !holds, err
		}
		n, err := ev.number(e.Val)
		if err != nil {
			return nil, err
		}
		return newNumber().Neg(n), nil
	}
	return ev.collected(e)
}

// collected is value for texts with parts, lists, and what takes them apart.
func (ev *evaluation) collected(e hclsyntax.Expression) (value, error) {
	switch e := e.(type) {
	case *hclsyntax.TemplateExpr:
		return ev.joined(e.Parts)
	case *hclsyntax.TemplateJoinExpr:
		v, err := ev.present(e.Tuple)
		l, ok := v.([]value)
		if err != nil || !ok {
			return nil, err
		}
		return joinTexts(l)
	case *hclsyntax.TupleConsExpr:
		return ev.list(e.Exprs)
	case *hclsyntax.ObjectConsExpr:
		return ev.object(e)
	case *hclsyntax.IndexExpr:
		v, err := ev.value(e.Collection)
		if err != nil {
			return nil, err
		}
		key, err := ev.present(e.Key)
		if err != nil {
			return nil, err
		}
		return step(v, key, ev.text(e.Collection))
	case *hclsyntax.SplatExpr:
		return ev.splat(e)
	case *hclsyntax.ForExpr:
		return ev.loop(e)
	case *hclsyntax.AnonSymbolExpr:
		return ev.items[e], nil
	}
	return nil, violated("%s can't be computed in a rule", ev.text(e))
}

func (ev *evaluation) joined(parts []hclsyntax.Expression) (value, error) {
	l, err := ev.list(parts)
	if err != nil {
		return nil, err
	}
	return joinTexts(l.([]value))
}

func joinTexts(l []value) (value, error) {
	var b strings.Builder
	for _, v := range l {
		s, ok := plainText(v)
		if !ok {
			return nil, violated("%s can't stand in a text", kindOf(v))
		}
		if b.WriteString(s); b.Len() > maxWeight {
			return nil, violated("a text is larger than %d MB", maxWeight>>20)
		}
	}
	return b.String(), nil
}

// list evaluates the elements of a list. A null may be among them, until it is used.
func (ev *evaluation) list(es []hclsyntax.Expression) (value, error) {
	out := make([]value, len(es))
	for i, e := range es {
		var err error
		if out[i], err = ev.value(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (ev *evaluation) object(e *hclsyntax.ObjectConsExpr) (value, error) {
	out := object{}
	for _, item := range e.Items {
		name, err := ev.objectKey(item.KeyExpr)
		if err != nil {
			return nil, err
		}
		if out[name], err = ev.value(item.ValueExpr); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (ev *evaluation) objectKey(e hclsyntax.Expression) (string, error) {
	if word := hcl.ExprAsKeyword(e); word != "" {
		return word, nil
	}
	if k, ok := e.(*hclsyntax.ObjectConsKeyExpr); ok {
		e = k.Wrapped
	}
	v, err := ev.present(e)
	if err != nil {
		return "", err
	}
	s, ok := plainText(v)
	if !ok {
		return "", violated("%s can't be a name in a map", kindOf(v))
	}
	return s, nil
}

// reference follows a name of the rule.
func (ev *evaluation) reference(t hcl.Traversal) (value, error) {
	root := t.RootName()
	v, ok := ev.vars[root]
	if !ok {
		var err error
		if v, err = ev.name(root); err != nil {
			return nil, err
		}
	}
	return ev.steps(v, t[1:], root)
}

func (ev *evaluation) steps(v value, t hcl.Traversal, path string) (value, error) {
	for _, s := range t {
		key, err := stepKey(s)
		if err != nil {
			return nil, err
		}
		if v, err = step(v, key, path); err != nil {
			return nil, err
		}
		if name, ok := key.(string); ok {
			path += accessor(name)
		} else {
			path += "[" + spellValue(key) + "]"
		}
	}
	return v, nil
}

func stepKey(s hcl.Traverser) (value, error) {
	switch s := s.(type) {
	case hcl.TraverseAttr:
		return s.Name, nil
	case hcl.TraverseIndex:
		return fromCty(s.Key, "the place is null")
	}
	return nil, violated("this can't be computed in a rule")
}

// step takes one part of a value; path is how the rule writes the value.
func step(v, key value, path string) (value, error) {
	if err := presence(v); err != nil {
		return nil, err
	}
	name, named := key.(string)
	switch v := v.(type) {
	case *group:
		if named {
			return v.part(name)
		}
		if v.index != nil {
			return v.index(key)
		}
	case object:
		if x, ok := v[name]; ok && named {
			return x, nil
		}
	case []value:
		i, ok := wholeNumber(key)
		switch {
		case ok && i >= 0 && i < len(v):
			return v[i], nil
		case ok:
			return nil, violated("%s has %s", path, count(len(v), "element"))
		}
	}
	return nil, violated("%s has no part %s", path, spellValue(key))
}

func (ev *evaluation) splat(e *hclsyntax.SplatExpr) (value, error) {
	v, err := ev.present(e.Source)
	if err != nil {
		return nil, err
	}
	l, ok := v.([]value)
	if !ok {
		return nil, violated("[*] is for lists, and %s is %s", ev.text(e.Source), kindOf(v))
	}
	if ev.items == nil {
		ev.items = map[*hclsyntax.AnonSymbolExpr]value{}
	}
	defer delete(ev.items, e.Item)
	out := make([]value, len(l))
	for i, x := range l {
		if err := ev.loopStep(); err != nil {
			return nil, err
		}
		ev.items[e.Item] = x
		if out[i], err = ev.value(e.Each); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// loopStep counts the steps of all loops.
func (ev *evaluation) loopStep() error {
	if ev.looped++; ev.looped > maxSteps {
		return violated("its loops take more than %d steps", maxSteps)
	}
	return nil
}

// loop is a for expression: a list, or with a key a map.
func (ev *evaluation) loop(e *hclsyntax.ForExpr) (value, error) {
	v, err := ev.present(e.CollExpr)
	if err != nil {
		return nil, err
	}
	keys, elements, err := ev.members(e, v)
	if err != nil {
		return nil, err
	}
	outer := ev.vars
	ev.vars = maps.Clone(outer)
	if ev.vars == nil {
		ev.vars = map[string]value{}
	}
	defer func() { ev.vars = outer }()
	list, byKey := []value{}, object{}
	for i, x := range elements {
		if err := ev.loopStep(); err != nil {
			return nil, err
		}
		ev.vars[e.KeyVar], ev.vars[e.ValVar] = keys[i], x
		if e.CondExpr != nil {
			if keep, err := ev.truth(e.CondExpr); err != nil {
				return nil, err
			} else if !keep {
				continue
			}
		}
		if x, err = ev.value(e.ValExpr); err != nil {
			return nil, err
		}
		list = append(list, x)
		if e.KeyExpr != nil {
			if err := ev.keep(e, byKey, x); err != nil {
				return nil, err
			}
		}
	}
	if e.KeyExpr != nil {
		return byKey, nil
	}
	return list, nil
}

// members are what a for expression runs over.
func (ev *evaluation) members(e *hclsyntax.ForExpr, v value) (keys, elements []value, err error) {
	switch v := v.(type) {
	case []value:
		for i := range v {
			keys = append(keys, numberOf(int64(i)))
		}
		return keys, v, nil
	case object:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			keys, elements = append(keys, name), append(elements, v[name])
		}
		return keys, elements, nil
	case *group:
		for _, name := range v.names() {
			x, err := v.part(name)
			if err != nil {
				return nil, nil, err
			}
			keys, elements = append(keys, name), append(elements, x)
		}
		return keys, elements, nil
	}
	return nil, nil, violated("for is for lists, and %s is %s", ev.text(e.CollExpr), kindOf(v))
}

// keep adds an element to a map.
func (ev *evaluation) keep(e *hclsyntax.ForExpr, to object, x value) error {
	name, err := ev.objectKey(e.KeyExpr)
	if err != nil {
		return err
	}
	before, twice := to[name]
	switch {
	case e.Group && twice:
		to[name] = append(before.([]value), x)
	case e.Group:
		to[name] = []value{x}
	case twice:
		return violated("%s gives %q twice", ev.text(e.KeyExpr), name)
	default:
		to[name] = x
	}
	return nil
}

// fromCty is a value of HCL as a rule's; whenNull says what a null is.
func fromCty(v cty.Value, whenNull string) (value, error) {
	v, _ = v.Unmark()
	t := v.Type()
	switch {
	case !v.IsKnown():
		return nil, violated("this can't be computed")
	case v.IsNull():
		return nullOf(whenNull), nil
	case t == cty.Number:
		return newNumber().Set(v.AsBigFloat()), nil
	case t == cty.String:
		return v.AsString(), nil
	case t == cty.Bool:
		return v.True(), nil
	case t == groupType:
		return v.EncapsulatedValue().(*group), nil
	}
	out, byName := []value{}, object{}
	for it := v.ElementIterator(); it.Next(); {
		k, x := it.Element()
		part, err := fromCty(x, whenNull)
		if err != nil {
			return nil, err
		}
		if t.IsObjectType() || t.IsMapType() {
			byName[k.AsString()] = part
		}
		out = append(out, part)
	}
	if t.IsObjectType() || t.IsMapType() {
		return byName, nil
	}
	return out, nil
}
