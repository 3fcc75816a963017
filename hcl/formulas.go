package hcl

import (
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
)

// call evaluates a function.
func (ev *evaluation) call(e *hclsyntax.FunctionCallExpr) (value, error) {
	switch e.Name {
	case "try":
		return ev.try(e)
	case "can":
		v, err := ev.value(e.Args[0])
		return err == nil && presence(v) == nil, nil
	}
	args, err := ev.arguments(e)
	if err != nil {
		return nil, err
	}
	if f := formulas[e.Name]; f != nil {
		if want := ruleFunctions[e.Name]; len(args) < len(want.params) || len(args) > len(want.params) && !want.more {
			return nil, violated("%s has %s: write %s", e.Name, count(len(args), "argument"), want.usage)
		}
		return f(ev, args)
	}
	f, ok := pure[e.Name]
	if !ok {
		return nil, violated("there is no function %q", e.Name)
	}
	return callHCL(e.Name, f, args)
}

// try is the first argument that can be computed and is not null.
func (ev *evaluation) try(e *hclsyntax.FunctionCallExpr) (value, error) {
	var err error
	for _, arg := range e.Args {
		var v value
		if v, err = ev.present(arg); err == nil {
			return v, nil
		}
	}
	return nil, err
}

// arguments evaluates what a function is called with. None may be null.
func (ev *evaluation) arguments(e *hclsyntax.FunctionCallExpr) ([]value, error) {
	var out []value
	for i, arg := range e.Args {
		v, err := ev.present(arg)
		if err != nil {
			return nil, err
		}
		if e.ExpandFinal && i == len(e.Args)-1 {
			l, ok := v.([]value)
			if !ok {
				return nil, violated("... is for lists, and %s is %s", ev.text(arg), kindOf(v))
			}
			out = append(out, l...)
			continue
		}
		out = append(out, v)
	}
	return out, nil
}

// callHCL calls one of HCL's functions.
func callHCL(name string, f function.Function, args []value) (value, error) {
	in := make([]cty.Value, len(args))
	for i, arg := range args {
		v, err := toCty(arg)
		if err != nil {
			return nil, err
		}
		param := f.VarParam()
		if params := f.Params(); i < len(params) {
			param = &params[i]
		}
		if param == nil {
			return nil, violated("%s has %s", name, count(len(args), "argument"))
		}
		if in[i], err = convert.Convert(v, param.Type); err != nil {
			return nil, violated("%s: %s", name, err)
		}
	}
	out, err := f.Call(in)
	if err != nil {
		return nil, violated("%s: %s", name, err)
	}
	return fromCty(out, name+" gives null")
}

// toCty is a value as HCL's functions take it: times are texts.
func toCty(v value) (cty.Value, error) {
	if err := presence(v); err != nil {
		return cty.NilVal, err
	}
	switch v := v.(type) {
	case *big.Float:
		if _, err := asNumber(v, "a number"); err != nil && !v.IsInf() {
			return cty.NilVal, err
		}
		return cty.NumberVal(v), nil
	case *group:
		return cty.CapsuleVal(groupType, v), nil
	case []value:
		out := make([]cty.Value, len(v))
		for i, x := range v {
			var err error
			if out[i], err = toCty(x); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.TupleVal(out), nil
	case object:
		out := map[string]cty.Value{}
		for name, x := range v {
			var err error
			if out[name], err = toCty(x); err != nil {
				return cty.NilVal, err
			}
		}
		return cty.ObjectVal(out), nil
	case bool:
		return cty.BoolVal(v), nil
	}
	s, _ := plainText(v)
	return cty.StringVal(s), nil
}

// formulas are the functions that only rules have.
var formulas = map[string]func(*evaluation, []value) (value, error){
	"range": (*evaluation).within, "oneof": (*evaluation).oneof, "before": (*evaluation).before, "ratio": (*evaluation).ratio, "zscore": (*evaluation).zscore,
	"mean":   func(_ *evaluation, args []value) (value, error) { return ofList("mean", args[0], mean) },
	"stddev": func(_ *evaluation, args []value) (value, error) { return ofList("stddev", args[0], stddev) },
	"median": func(_ *evaluation, args []value) (value, error) { return ofList("median", args[0], median) },
	"start":  func(ev *evaluation, _ []value) (value, error) { return ev.bound("start()", ev.Interval.Start) },
	"end":    func(ev *evaluation, _ []value) (value, error) { return ev.bound("end()", ev.Interval.End) },
}

// within is range(value, low, high), both ends inclusive.
func (ev *evaluation) within(args []value) (value, error) {
	var n [3]*big.Float
	for i, arg := range args {
		var err error
		if n[i], err = asNumber(arg, "what range compares"); err != nil {
			return nil, err
		}
	}
	return n[0].Cmp(n[1]) >= 0 && n[0].Cmp(n[2]) <= 0, nil
}

// oneof compares its first argument with the others, and with the elements of those that are lists.
func (ev *evaluation) oneof(args []value) (value, error) {
	for _, arg := range args[1:] {
		options, ok := arg.([]value)
		if !ok {
			options = []value{arg}
		}
		for _, x := range options {
			if err := presence(x); err != nil {
				return nil, err
			}
			if c, err := ev.order(args[0], x, "oneof"); err != nil || c == 0 {
				return err == nil, err
			}
		}
	}
	return false, nil
}

func (ev *evaluation) before(args []value) (value, error) {
	var m [2]moment
	for i, arg := range args {
		var ok bool
		if m[i], ok = asMoment(arg); !ok {
			return nil, violated("before compares times, and argument %d is %s", i+1, kindOf(arg))
		}
	}
	c, err := m[0].compare(m[1], ev.zone())
	return c < 0, err
}

func (ev *evaluation) ratio(args []value) (value, error) {
	part, err := asNumber(args[0], "the part of a ratio")
	if err != nil {
		return nil, err
	}
	whole, err := asNumber(args[1], "the whole of a ratio")
	switch {
	case err != nil:
		return nil, err
	case whole.Sign() == 0:
		return nil, violated("the ratio to 0 is not defined")
	case part.IsInf() && whole.IsInf():
		return nil, violated("the ratio of two infinities is not defined")
	}
	return newNumber().Quo(part, whole), nil
}

// zscore is how many standard deviations a number lies above the mean of a list. Of a list of equal numbers it is 0 for that number, and not defined for others.
func (ev *evaluation) zscore(args []value) (value, error) {
	x, err := asNumber(args[0], "the first argument of zscore")
	if err != nil {
		return nil, err
	}
	l, err := numbers("zscore", args[1])
	if err != nil {
		return nil, err
	}
	m, s := mean(l), stddev(l)
	d := newNumber().Sub(x, m)
	switch {
	case s.Sign() > 0:
		return d.Quo(d, s), nil
	case d.Sign() == 0:
		return numberOf(0), nil
	}
	return nil, violated("zscore: all of %s are %s, and %s is not", count(len(l), "number"), spellNumber(m), spellNumber(x))
}

// bound is an end of the partition's time.
func (ev *evaluation) bound(name string, at time.Time) (value, error) {
	if ev.Interval.IsZero() {
		return nil, violated("%s: this has no time dimension", name)
	}
	return moment{text: at.Format(time.RFC3339), at: at, zoned: true}, nil
}

// numbers are the elements of a list that has some, all finite numbers.
func numbers(function string, v value) ([]*big.Float, error) {
	l, ok := v.([]value)
	switch {
	case !ok:
		return nil, violated("%s wants a list, and this is %s", function, kindOf(v))
	case len(l) == 0:
		return nil, violated("%s of an empty list is not defined", function)
	}
	out := make([]*big.Float, len(l))
	for i, x := range l {
		n, err := asNumber(x, fmt.Sprintf("element %d of %s", i, function))
		if err != nil {
			return nil, err
		}
		if n.IsInf() {
			return nil, violated("element %d of %s is infinite", i, function)
		}
		out[i] = n
	}
	return out, nil
}

func ofList(name string, v value, f func([]*big.Float) *big.Float) (value, error) {
	l, err := numbers(name, v)
	if err != nil {
		return nil, err
	}
	return f(l), nil
}

// wide has room for sums of any numbers that can be computed with, so that equal numbers have exactly their mean, and no deviation.
func wide() *big.Float { return new(big.Float).SetPrec(2*maxExponent + 2*precision) }

func exactMean(l []*big.Float) *big.Float {
	sum := wide()
	for _, n := range l {
		sum.Add(sum, n)
	}
	return sum.Quo(sum, numberOf(int64(len(l))))
}

func mean(l []*big.Float) *big.Float { return newNumber().Set(exactMean(l)) }

// stddev is that of a population: the root of the mean square of the deviations.
func stddev(l []*big.Float) *big.Float {
	m, sum := exactMean(l), newNumber()
	for _, n := range l {
		d := newNumber().Set(wide().Sub(n, m))
		sum.Add(sum, newNumber().Mul(d, d))
	}
	return newNumber().Sqrt(sum.Quo(sum, numberOf(int64(len(l)))))
}

// median is the middle number, or the mean of the two in the middle.
func median(l []*big.Float) *big.Float {
	l = slices.SortedFunc(slices.Values(l), (*big.Float).Cmp)
	n := len(l)
	return mean(l[(n-1)/2 : n/2+1])
}
