package hcl

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// signature is a function that only rules have. More says that the last parameter may be repeated.
type signature struct {
	params []shapeKind
	more   bool
	result *shape
	usage  string
}

var ruleFunctions = map[string]signature{
	"range":  {params: []shapeKind{number, number, number}, result: aBool, usage: "range(value, low, high)"},
	"oneof":  {params: []shapeKind{unknown, unknown}, more: true, result: aBool, usage: "oneof(value, first, second, ...)"},
	"mean":   {params: []shapeKind{list}, result: aNumber, usage: "mean(list)"},
	"stddev": {params: []shapeKind{list}, result: aNumber, usage: "stddev(list)"},
	"median": {params: []shapeKind{list}, result: aNumber, usage: "median(list)"},
	"zscore": {params: []shapeKind{number, list}, result: aNumber, usage: "zscore(value, list)"},
	"ratio":  {params: []shapeKind{number, number}, result: aNumber, usage: "ratio(part, whole)"},
	"before": {params: []shapeKind{instant, instant}, result: aBool, usage: "before(earlier, later)"},
	"start":  {result: aTime, usage: "start()"},
	"end":    {result: aTime, usage: "end()"},
}

// ruleFunctionNames lists what a rule may call.
func ruleFunctionNames() []string {
	return slices.Sorted(maps.Keys(mergedFunctions))
}

var mergedFunctions = func() map[string]bool {
	all := map[string]bool{}
	for name := range pure {
		all[name] = true
	}
	for name := range ruleFunctions {
		all[name] = true
	}
	return all
}()

// call is the shape of a function's result.
func (c *checker) call(e *hclsyntax.FunctionCallExpr) *shape {
	args := make([]*shape, len(e.Args))
	for i, a := range e.Args {
		args[i] = c.shape(a)
	}
	if last := len(args) - 1; e.ExpandFinal && last >= 0 && args[last].kind == list {
		args[last] = args[last].elem
	}
	if f, ok := ruleFunctions[e.Name]; ok {
		if !c.arguments(e, f, args) || c.noTime(e) {
			return anything
		}
		return f.result
	}
	f, ok := pure[e.Name]
	switch {
	case e.Name == "can" && len(args) == 1 && !e.ExpandFinal:
		return aBool
	case e.Name == "try" && len(args) > 0 && !e.ExpandFinal:
		return anything
	case e.Name == "can" || e.Name == "try":
		c.report(e.Range(), "write try(replaced.rows, 0), or can(replaced.rows)", "%s has %s", e.Name, count(len(args), "argument"))
		return anything
	case !ok:
		c.unknownFunction(e.Name, e.NameRange, ruleFunctionNames())
		return anything
	}
	return c.pureCall(e, f, args)
}

// noTime reports start() and end() of what has no time.
func (c *checker) noTime(e *hclsyntax.FunctionCallExpr) bool {
	if !c.timeless || e.Name != "start" && e.Name != "end" {
		return false
	}
	c.report(e.Range(), "compare with a date in quotes, or cut this with partition_by", "%s() needs a time dimension, and this has none", e.Name)
	return true
}

// arguments checks the call of a function that only rules have.
func (c *checker) arguments(e *hclsyntax.FunctionCallExpr, f signature, args []*shape) bool {
	before := len(c.problems)
	if n := len(args); n < len(f.params) || n > len(f.params) && !f.more {
		if !e.ExpandFinal {
			c.report(e.Range(), "write "+f.usage, "%s has %s", e.Name, count(n, "argument"))
		}
		return false
	}
	for i, got := range args {
		want := unknown
		if len(f.params) > 0 {
			want = f.params[min(i, len(f.params)-1)]
		}
		switch {
		case want == unknown || got.kind == unknown || want == got.kind && want != list:
		case want == list && got.kind == list:
			if k := got.elem.kind; k != number && k != unknown {
				c.report(e.Args[i].Range(), "", "%s wants a list of numbers", e.Name)
			}
		case want == list:
			c.report(e.Args[i].Range(), fmt.Sprintf("write %s, as in %s(prior[*].rows)", f.usage, e.Name), "%s wants a list, and this is %s", e.Name, got.kind)
		case want == instant && isTimeText(e.Args[i], aTime):
		default:
			c.report(e.Args[i].Range(), "write "+f.usage, "%s wants %s, and this is %s", e.Name, want, got.kind)
		}
	}
	if e.Name == "oneof" {
		c.alternatives(e, args)
	}
	return len(c.problems) == before
}

// alternatives checks that oneof compares like with like.
func (c *checker) alternatives(e *hclsyntax.FunctionCallExpr, args []*shape) {
	for i, a := range args[1:] {
		if args[0].kind != unknown && a.kind != unknown && a.kind != args[0].kind && a.kind != list && !isTimeText(e.Args[i+1], args[0]) {
			c.report(e.Args[i+1].Range(), "", "%s is compared with %s", args[0].kind, a.kind)
		}
	}
}

// pureCall asks one of HCL's functions for the type of its result.
func (c *checker) pureCall(e *hclsyntax.FunctionCallExpr, f function.Function, args []*shape) (out *shape) {
	defer func() {
		if recover() != nil { // a function that does not expect values that are not known
			out = anything
		}
	}()
	types := make([]cty.Type, len(args))
	for i, a := range args {
		types[i] = a.ctyType()
	}
	t, err := f.ReturnType(types)
	var arg function.ArgError
	switch {
	case err == nil:
		return shapeOfValue(t)
	case errors.As(err, &arg) && arg.Index < len(e.Args):
		hint := ""
		if args[arg.Index].kind == list {
			hint = fmt.Sprintf("write %s(%s...) to give each element as an argument", e.Name, c.sourceOf(e.Args[arg.Index].Range()))
		}
		c.report(e.Args[arg.Index].Range(), hint, "%s: %s", e.Name, err)
	case !e.ExpandFinal:
		c.report(e.Range(), "", "%s: %s", e.Name, err)
	}
	return anything
}

func count(n int, noun string) string {
	switch n {
	case 0:
		return "no " + noun
	case 1:
		return "one " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// isTimestamp says whether a text is a time in one of the usual forms.
func isTimestamp(s string) bool {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "15:04:05"} {
		if _, err := time.Parse(layout, s); err == nil {
			return true
		}
	}
	return false
}
