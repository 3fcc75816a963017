package run

import (
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// compareAdmission compares which versions inputs take, and what becomes of those that lack. No key and no shape tells that: it decides whether a job runs at all,
// where a producer is held or missing, or where nobody knows yet that it is not.
func (c *comparison) compareAdmission(n, old *graph.Node, x *compared) {
	for k, in := range n.Target.Inputs {
		was := slices.IndexFunc(old.Target.Inputs, func(o *engine.Input) bool { return o.Name == in.Name })
		if was < 0 {
			continue
		}
		what, depends := admission(in, old.Target.Inputs[was])
		x.what = append(x.what, what...)
		if e := n.Edges[k]; e != nil && what != nil {
			fold := graph.NewFold(e, false, func(j int) bool { return depends(c.outlook.Decider.State(e.From, j)) }, either)
			for _, i := range inTime(n, allOf(n)) {
				x.may[i] = x.may[i] || fold.At(i)
			}
		}
	}
}

func either(a, b bool) bool { return a || b }

// admission says in words what differs of it for one input, and of which states of a producer something follows from that.
func admission(in, old *engine.Input) (what []string, depends func(engine.State) bool) {
	states := []engine.State{engine.Stale, engine.Undecided} // it may yet be anything
	for _, w := range []struct {
		text      string
		has, less []string
	}{{" now waives ", in.Waive, old.Waive}, {" no longer waives ", old.Waive, in.Waive}} {
		rules := slices.DeleteFunc(slices.Clone(w.has), func(name string) bool { return slices.Contains(w.less, name) })
		if len(rules) > 0 {
			what = append(what, "input "+in.Name+w.text+strings.Join(rules, ", "))
			states = append(states, engine.Held)
		}
	}
	if in.Missing != old.Missing {
		what = append(what, "input "+in.Name+": where it is missing, "+old.Missing.String()+" became "+in.Missing.String())
		states = append(states, engine.MissingState)
	}
	return what, func(s engine.State) bool { return slices.Contains(states, s) }
}

// saidOtherwise lists what differs that is in no key and in no rule.
func saidOtherwise(t, old *engine.Target) (out []string) {
	add := func(what string, same bool) {
		if !same {
			out = append(out, what+" changed")
		}
	}
	add("owner", t.Owner == old.Owner)
	add("description", t.Description == old.Description)
	add("visibility", slices.EqualFunc(t.Visibility, old.Visibility, func(a, b engine.Pattern) bool { return a.String() == b.String() }))
	add("tags", slices.Equal(t.Tags, old.Tags))
	add("due", t.Due.Text == old.Due.Text)
	add("freeze", t.Freeze == old.Freeze)
	add("timeout", t.Timeout == old.Timeout)
	add("valid_for", t.ValidFor == old.ValidFor)
	add("threads", t.Threads == old.Threads)
	add("keep", t.InPlace == old.InPlace)
	return out
}
