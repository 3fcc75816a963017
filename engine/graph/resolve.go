package graph

import (
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/engine"
)

// nests says whether each partition of unit inner lies in one partition of unit outer, in one timezone. Weeks lie in nothing.
func nests(inner, outer engine.Unit) bool {
	if inner >= outer || outer == engine.NoUnit || inner == engine.NoUnit {
		return false
	}
	return inner != engine.Week
}

// resolve finds how each dimension of the producer follows from the consumer's partition.
func (e *Edge) resolve() *engine.Problem {
	e.dims = make([]mapping, len(e.From.Set.spans))
	in := e.Input
	for k, sp := range e.From.Set.spans {
		m, p := e.mapDimension(sp)
		if p != nil {
			return p
		}
		e.dims[k] = m
	}
	for _, v := range in.Slice {
		if p := e.fix(v); p != nil {
			return p
		}
	}
	t := e.From.Set.time()
	if in.TakeLast {
		switch {
		case t < 0:
			return e.needsTime("take")
		case e.dims[t].relation == fixed:
			return &engine.Problem{Summary: "take and slice both choose the " + e.From.Set.spans[t].dimension.Name, Hint: "leave one of them out"}
		}
		e.dims[t].last = true
	}
	if in.Missing == engine.SkipNewer && t < 0 {
		return e.needsTime("missing = \"skip_newer\"")
	}
	if in.Window != nil {
		if p := e.setWindow(t); p != nil {
			return p
		}
	}
	if e.From == e.To && e.Holder == nil { // a reference may look up in the same partition
		return e.checkOwn(t)
	}
	return nil
}

func (e *Edge) needsTime(what string) *engine.Problem {
	return &engine.Problem{Summary: fmt.Sprintf("%s needs a time dimension, and %s has none", what, e.From.Target.Label), Hint: "leave it out"}
}

// mapDimension infers how the producer's dimension sp follows from the consumer's.
func (e *Edge) mapDimension(sp span) (mapping, *engine.Problem) {
	d := sp.dimension
	to := e.To.Set.spans
	if k := slices.IndexFunc(to, func(o span) bool { return o.axis == sp.axis }); k >= 0 {
		return mapping{relation: same, consumer: k}, nil
	}
	k := e.To.Set.time()
	if d.Unit == engine.NoUnit || k < 0 {
		return mapping{relation: all, consumer: -1}, nil
	}
	c := to[k].dimension
	sameZone := sp.loc.String() == to[k].loc.String()
	switch {
	case sameZone && nests(d.Unit, c.Unit):
		return mapping{relation: finer, consumer: k}, nil
	case sameZone && nests(c.Unit, d.Unit):
		return mapping{relation: coarser, consumer: k}, nil
	case e.Input.Window != nil:
		return mapping{relation: overlaps, consumer: k}, nil
	case slices.ContainsFunc(e.Input.Slice, func(v engine.Value) bool { return v.Dimension == d.Name }):
		return mapping{relation: all, consumer: -1}, nil
	}
	return mapping{}, e.ambiguous(d, c, sameZone)
}

// ambiguous says why two time dimensions can't be mapped without a word from the author.
func (e *Edge) ambiguous(d, c *engine.Dimension, sameZone bool) *engine.Problem {
	why := fmt.Sprintf("A %s does not lie in one %s.", min(d.Unit, c.Unit), max(d.Unit, c.Unit))
	switch {
	case !sameZone:
		why = fmt.Sprintf("They lie in different timezones: %s and %s.", zoneName(d), zoneName(c))
	case d.Unit == c.Unit:
		why = "Both have the same unit, and dpb does not guess that they mean the same."
	}
	if e.Holder != nil {
		return &engine.Problem{Summary: fmt.Sprintf("%s by %s can't be looked up by %s", e.From.Target.Label, d.Name, c.Name), Detail: why,
			Hint: fmt.Sprintf("refer to a table that is not partitioned by %s", d.Name)}
	}
	return &engine.Problem{Summary: fmt.Sprintf("%s by %s can't be read by %s without more words", e.From.Target.Label, d.Name, c.Name), Detail: why,
		Hint: fmt.Sprintf("write window = [0, 0] to read each %s that has a part in common with the %s, or slice = { %s = ... }", d.Name, c.Name, d.Name)}
}

func zoneName(d *engine.Dimension) string {
	if d.Timezone == "" {
		return "UTC"
	}
	return d.Timezone
}

// fix applies one value of slice.
func (e *Edge) fix(v engine.Value) *engine.Problem {
	k := slices.IndexFunc(e.From.Set.spans, func(sp span) bool { return sp.dimension.Name == v.Dimension })
	if k < 0 {
		return &engine.Problem{Summary: fmt.Sprintf("slice: %s is not partitioned by %s, but by %s", e.From.Target.Label, v.Dimension, e.From.Set.dimensions())}
	}
	sp := e.From.Set.spans[k]
	at, _, err := sp.bound(v.Text)
	switch there := err == nil && at >= 0 && at < sp.n && sp.texts[sp.from+at] == v.Text; {
	case there:
	case !sp.dimension.FromSource.IsZero():
		at = -1 // its files may come later: it is outside of the set until then
	case err != nil:
		return &engine.Problem{Summary: "slice: " + err.Error()}
	default:
		return &engine.Problem{Summary: fmt.Sprintf("slice: %s has no %s %s: %s", e.From.Target.Label, v.Dimension, v.Text, sp.describe())}
	}
	e.dims[k] = mapping{relation: fixed, consumer: -1, value: at}
	return nil
}

func (e *Edge) setWindow(t int) *engine.Problem {
	w := e.Input.Window
	switch {
	case t < 0:
		p := e.needsTime("window")
		p.Range = w.Range
		return p
	case e.dims[t].relation == fixed:
		return &engine.Problem{Summary: "window and slice both choose the " + e.From.Set.spans[t].dimension.Name, Range: w.Range}
	case e.dims[t].consumer < 0:
		return &engine.Problem{Summary: fmt.Sprintf("window counts from the consumer's time, and %s has no time dimension", e.To.Target.Label), Range: w.Range,
			Hint: `leave it out to read all, or write take = "last"`}
	}
	e.dims[t].window = w
	return nil
}

// checkOwn makes sure that a target reads only earlier partitions of itself.
func (e *Edge) checkOwn(t int) *engine.Problem {
	p := &engine.Problem{Summary: fmt.Sprintf("%s reads itself", e.To.Target.Label), Hint: "write window = [-1, -1] to read the partition before"}
	switch w := e.Input.Window; {
	case t < 0:
		p.Detail = "Only a target with a time dimension can read its own earlier partitions."
		p.Hint = "read something else"
		return p
	case w == nil:
		return p
	case w.To >= 0:
		p.Summary += " at a partition that is not earlier"
		p.Range = w.Range
		return p
	}
	for k, m := range e.dims {
		if k != t && m.relation != same {
			return &engine.Problem{Summary: "a target that reads itself must read the same " + e.From.Set.spans[k].dimension.Name, Hint: "leave slice out"}
		}
	}
	return nil
}
