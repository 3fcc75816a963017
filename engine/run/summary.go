package run

import (
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/publish"
)

// summary is what the build came to.
func (b *build) summary(wall time.Duration, interrupted bool) Summary {
	s := Summary{Counts: b.counts, Wall: wall, Interrupted: interrupted, Warnings: engine.SortProblems(b.warnings)}
	waitFor := b.blockedBy()
	slices.Sort(b.failures)
	for _, id := range slices.Compact(b.failures) {
		if n, i := b.s.Graph.Action(id); waitFor[id] == 0 && b.decider.State(n, i) == engine.MissingState && !b.nodes[n.Index].asked {
			continue // nobody minds
		}
		s.Failures = append(s.Failures, b.failure(id, waitFor[id]))
	}
	for _, n := range b.s.Graph.Nodes {
		if r := b.nodes[n.Index]; r.asked && isJob(n) {
			if o, ok := b.output(n, r); ok {
				s.Outputs = append(s.Outputs, o)
			}
		}
	}
	slices.SortFunc(s.Outputs, func(x, y Output) int { return x.Label.Compare(y.Label) })
	return s
}

// blockedBy counts the actions that wait for each root cause.
func (b *build) blockedBy() map[graph.ActionID]int {
	out := map[graph.ActionID]int{}
	for _, n := range b.s.Graph.Nodes {
		for i, p := range b.nodes[n.Index].phase {
			if p == blocked {
				if id := b.decider.Cause(n, i); id != n.Base+graph.ActionID(i) {
					out[id]++
				}
			}
		}
	}
	return out
}

func (b *build) failure(id graph.ActionID, waiting int) Failure {
	n, i := b.s.Graph.Action(id)
	f := Failure{Label: n.Target.Label, Partition: n.Set.Text(i), State: b.decider.State(n, i), Owner: b.s.Graph.Workspace.OwnerText(n.Target.Owner), Blocked: waiting}
	o := b.broken[id]
	f.Reason, f.Log, f.Local = o.Failure, o.Log, o.Local
	if f.State == engine.MissingState {
		f.Reason = "it has no files"
		if glob, err := n.Target.Path.At(n.Set.Partition(i), nil); err == nil && n.Target.Kind == engine.Source {
			f.Reason = "nothing matches " + glob
		}
	}
	return f
}

// output tells where the results of a target lie that are fresh.
func (b *build) output(n *graph.Node, r nodeRun) (Output, bool) {
	o := Output{Label: n.Target.Label, Path: strings.Join(publish.Places(n.Target), ", ")}
	for i, p := range r.phase {
		if r.wanted[i] && p == done {
			o.Partitions++
		}
	}
	return o, o.Partitions > 0
}
