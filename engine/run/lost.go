package run

import (
	"cmp"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Lost says of a frozen action whether its bytes are gone and needed, and whether a build fails of it for certain.
func (o *Outlook) Lost(n *graph.Node, i int) (lost, certain bool) {
	certain, lost = o.lost[n.Base+graph.ActionID(i)]
	return lost, certain
}

// lostInput is what stands in the way of a job, plus one; 0: nothing.
type lostInput struct {
	frozen graph.ActionID // that it reads, and whose bytes are gone
	root   graph.ActionID // likewise, of a job that it waits for
}

func joinLost(a, b lostInput) lostInput {
	return lostInput{cmp.Or(a.frozen, b.frozen), cmp.Or(a.root, b.root)}
}

// foreseeLost finds the frozen actions whose bytes are gone and needed, by dpb-out or by a job that runs, and stops the jobs that can't run for that.
func (o *Outlook) foreseeLost() {
	if o.b.frozen.is == nil {
		return
	}
	for _, sel := range o.Needed {
		n := sel.Node
		for _, i := range sel.Partitions {
			if o.Decider.State(n, i) == engine.Frozen && o.b.lostShown(n, i) {
				o.lose(n.Base+graph.ActionID(i), true)
			}
		}
		var folds []*graph.Fold[lostInput]
		for _, e := range n.Edges {
			if e != nil {
				folds = append(folds, graph.NewFold(e, lostInput{}, func(j int) lostInput { return o.lostOf(e, j) }, joinLost))
			}
		}
		for _, i := range inTime(n, sel.Partitions) {
			o.stopLost(n, i, folds)
		}
	}
}

func (o *Outlook) stopLost(n *graph.Node, i int, folds []*graph.Fold[lostInput]) {
	x := &o.nodes[n.Index]
	if x.fate[i] != Runs && x.fate[i] != MayRun {
		return
	}
	var in lostInput
	for _, f := range folds {
		in = joinLost(in, f.At(i))
	}
	runs := x.fate[i] == Runs
	if in.frozen != 0 {
		o.lose(in.frozen-1, runs)
	}
	root := in.root
	if runs {
		root = cmp.Or(in.frozen, in.root)
	}
	if root != 0 {
		x.fate[i], x.why[i], o.stoppedBy[n.Base+graph.ActionID(i)] = Halted, 0, root-1
	}
}

// lostOf says what an input's partition stands in the way with.
func (o *Outlook) lostOf(e *graph.Edge, j int) (in lostInput) {
	id := e.From.Base + graph.ActionID(j)
	switch root, stopped := o.stoppedBy[id]; {
	case o.Decider.State(e.From, j) == engine.Frozen && !o.present(made(o.Decider, e, j).Tree):
		in.frozen = id + 1
	case stopped && o.Fate(e.From, j) == Halted:
		if _, lost := o.lost[root]; lost {
			in.root = root + 1
		}
	}
	return in
}

func (o *Outlook) lose(id graph.ActionID, certain bool) {
	n, i := o.s.Graph.Action(id)
	o.nodes[n.Index].fate[i] = Halted
	o.lost[id] = o.lost[id] || certain
}
