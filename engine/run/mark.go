package run

import (
	"runtime"
	"slices"

	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// begin starts a pass in which nothing is decided: what takes part is marked, and what pointers tell is known.
func (b *build) begin(selected []graph.Selected) error {
	b.s.toolsets.forget()
	b.pass = pass{decider: plan.New(b.s.Graph, b.s, b.s, b.s.Now), nodes: make([]nodeRun, len(b.s.Graph.Nodes))}
	for range runtime.GOMAXPROCS(0) {
		b.workers = append(b.workers, b.decider.Worker())
	}
	var err error
	if b.frozen, err = b.s.frozen(b.opts.thawed(selected)); err != nil {
		return err
	}
	if b.lookForDrift {
		b.decider.LookForDrift()
	}
	b.mark(selected)
	if err := b.s.seed(b.decider, b.frozen); err != nil {
		return err
	}
	b.s.seedClosed(b.decider, b.frozen)
	return nil
}

// retire is the record of what is no more: targets, and partitions that have left their sets.
func (b *build) retire() *record {
	rec := &record{retired: b.s.retired, show: true}
	for _, n := range b.s.Graph.Nodes {
		if b.nodes[n.Index].asked && isJob(n) && n.Set.Lack() == "" {
			rec.tidy = append(rec.tidy, n)
		}
	}
	return rec
}

// mark finds all actions that the selected ones need, in one pass against the topological order.
func (b *build) mark(selected []graph.Selected) {
	for _, sel := range selected {
		b.prepare(sel.Node)
		b.nodes[sel.Node.Index].asked = true
		for _, i := range sel.Partitions {
			b.nodes[sel.Node.Index].wanted[i] = true
		}
	}
	for _, n := range slices.Backward(b.s.Graph.Nodes) {
		b.markProducers(n)
	}
}

func (b *build) prepare(n *graph.Node) {
	r := &b.nodes[n.Index]
	if r.wanted == nil {
		r.producers = waitingEdges(n.Edges, n.References)
		r.readers = waitingEdges(n.Consumers, n.ReferencedBy)
		r.wanted = make([]bool, n.Set.Len())
		r.phase = make([]phase, n.Set.Len())
		b.decider.Prepare(n)
	}
}

// waitingEdges joins edges of jobs with those of verdicts. A verdict that looks up its own target's keys waits for nobody.
func waitingEdges(jobs, verdicts []*graph.Edge) []*graph.Edge {
	return slices.DeleteFunc(slices.Concat(jobs, verdicts), func(e *graph.Edge) bool {
		return e == nil || e.Holder != nil && e.From == e.To
	})
}

func (b *build) markProducers(n *graph.Node) {
	wanted := b.nodes[n.Index].wanted
	edges := b.nodes[n.Index].producers
	last := make([]graph.SelectionKey, len(edges)) // consumers in a row often read the same
	seen := false
	for i := len(wanted) - 1; i >= 0; i-- { // an own label is read backwards in time
		if !wanted[i] {
			continue
		}
		if isJob(n) {
			b.counts.Total++
		}
		if b.frozen.has(n, i) && !b.lookForDrift {
			continue // it stays whatever became of what it was made from
		}
		for k, e := range edges {
			selection := e.Inputs(i)
			key := selection.Key()
			if seen && key == last[k] {
				continue
			}
			last[k] = key
			b.prepare(e.From)
			for j := range selection.All() {
				b.nodes[e.From.Index].wanted[j] = true
			}
		}
		seen = true
	}
}
