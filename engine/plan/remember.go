package plan

import (
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Remembered is what was decided before of a target's actions, while all that declares them was what it is now. Where what enters an action is what entered then, so is its key, and
// nothing is hashed to know that.
type Remembered struct {
	Recipe  cache.SectionDigest // the part of all keys; zero of a source
	Keys    []cache.ActionKey   // by partition
	Wanted  []bool              // the keys were the wanted ones
	Seen    []bool              // consumers whose keys are remembered saw the following
	Trees   []cache.TreeDigest  // outputs of a partition side by side, as consumers see them
	Raw     []cache.TreeDigest  // likewise as the job wrote them; nil if no output has a reject
	Aside   []cache.TreeDigest  // likewise what was rejected
	Columns [][]engine.Column   // likewise; nil unless an output's reader needs them
}

// Remember tells of what was decided before. It must come before the node's actions are decided, and after Prepare.
func (d *Decider) Remember(n *graph.Node, r *Remembered) { d.nodes[n.Index].remembered = r }

// Found is what was decided of a node's actions, in the form in which it is remembered. It is not to be changed.
func (d *Decider) Found(n *graph.Node) *Remembered {
	s := &d.nodes[n.Index]
	return &Remembered{Recipe: s.target.Digest, Keys: s.key, Trees: s.trees, Raw: s.raw, Aside: s.aside, Columns: s.columns}
}

// Make makes room for so many actions of a target.
func (r *Remembered) Make(t *engine.Target, size int) {
	outputs := size * len(t.Outputs)
	r.Keys, r.Wanted, r.Seen, r.Trees = make([]cache.ActionKey, size), make([]bool, size), make([]bool, size), make([]cache.TreeDigest, outputs)
	if t.Splits() {
		r.Raw, r.Aside = make([]cache.TreeDigest, outputs), make([]cache.TreeDigest, outputs)
	}
	if writesText(t) {
		r.Columns = make([][]engine.Column, outputs)
	}
}

// Same says whether consumers see what is remembered of an action.
func (d *Decider) Same(n *graph.Node, i int) bool { return d.nodes[n.Index].same(i) }

func (s *node) same(i int) bool {
	r := s.remembered
	if r == nil || s.state == nil || !r.Seen[i] || s.state[i] != engine.Fresh && s.state[i] != engine.Frozen {
		return false
	}
	for at := i * s.outputs; at < (i+1)*s.outputs; at++ {
		if r.Trees[at] != s.trees[at] || s.aside != nil && r.Aside[at] != s.aside[at] ||
			s.columns != nil && !slices.Equal(r.Columns[at], s.columns[at]) {
			return false
		}
	}
	return true
}

// recall finds the key of an action of which all that enters is what is remembered.
func (w *Worker) recall(n *graph.Node, s *node, i int) (cache.ActionKey, bool) {
	r := s.remembered
	if r == nil || !r.Wanted[i] || r.Recipe != s.target.Digest {
		return cache.ActionKey{}, false
	}
	for _, e := range n.Edges {
		if e == nil || !w.d.sameInputs(e, i) { // files of a glob are looked at
			return cache.ActionKey{}, false
		}
	}
	return r.Keys[i], true
}

// sameInputs says whether all that an edge brings is what is remembered.
func (d *Decider) sameInputs(e *graph.Edge, i int) bool {
	p := &d.nodes[e.From.Index]
	selection := e.Inputs(i)
	if e.From != e.To && !d.settling {
		others := p.countOthers()
		if others[len(others)-1] == 0 {
			return true
		}
		if from, n, ok := selection.Stretch(); ok {
			return others[from+n] == others[from]
		}
	}
	for j := range selection.All() {
		if !p.same(j) {
			return false
		}
	}
	return true
}

// countOthers counts, for each partition, those before it that are not what is remembered. It is asked when all of them are decided, so that two who count find the same.
func (s *node) countOthers() []int32 {
	if known := s.others.Load(); known != nil {
		return *known
	}
	out := make([]int32, len(s.state)+1)
	for j := range s.state {
		out[j+1] = out[j]
		if !s.same(j) {
			out[j+1]++
		}
	}
	s.others.Store(&out)
	return out
}
