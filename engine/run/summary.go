package run

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/publish"
)

// summary is what the build came to.
func (b *build) summary(wall time.Duration, interrupted bool) Summary {
	s := Summary{Counts: b.counts, Wall: wall, Interrupted: interrupted, Spent: b.spent, Warnings: engine.SortProblems(append(b.warnings, b.vanished()...)), NotIsolated: b.s.NotIsolated()}
	waitFor, minded := b.blockedBy()
	slices.Sort(b.failures)
	for _, id := range slices.Compact(b.failures) {
		if n, i := b.s.Graph.Action(id); b.decider.State(n, i) == engine.MissingState && !minded[id] {
			continue // what was asked for does without
		}
		s.Failures = append(s.Failures, b.failure(id, waitFor[id]))
	}
	s.Failures = append(s.Failures, b.unfiled()...)
	for _, id := range slices.Sorted(maps.Keys(b.warned)) {
		n, i := b.s.Graph.Action(id)
		s.Warned = append(s.Warned, Warned{n.Target.Label, n.Set.Text(i), b.s.Graph.Workspace.OwnerText(n.Target.Owner), b.warned[id]})
	}
	for _, n := range b.s.Graph.Nodes {
		if r := b.nodes[n.Index]; r.asked && isJob(n) && !b.opts.preview {
			if o, ok := b.output(n, r); ok {
				s.Outputs = append(s.Outputs, o)
			}
		}
	}
	slices.SortFunc(s.Outputs, func(x, y Output) int { return x.Label.Compare(y.Label) })
	return s
}

// warn adds what is no mistake in the workspace's files; nil errors are none.
func (s *Summary) warn(errs ...error) {
	for _, err := range errs {
		if err != nil {
			s.Warnings = append(s.Warnings, engine.Problem{Severity: engine.Warning, Summary: err.Error()})
		}
	}
}

// blockedBy counts the actions that wait for each root cause, and tells which causes stand in the way of what was asked for.
func (b *build) blockedBy() (waiting map[graph.ActionID]int, minded map[graph.ActionID]bool) {
	waiting, minded = map[graph.ActionID]int{}, map[graph.ActionID]bool{}
	for _, n := range b.s.Graph.Nodes {
		for i, p := range b.nodes[n.Index].phase {
			if p != blocked {
				continue
			}
			id := b.decider.Cause(n, i)
			if id != n.Base+graph.ActionID(i) {
				waiting[id]++
			}
			minded[id] = minded[id] || b.nodes[n.Index].asked
		}
	}
	return waiting, minded
}

func (b *build) failure(id graph.ActionID, waiting int) Failure {
	n, i := b.s.Graph.Action(id)
	f := Failure{Label: n.Target.Label, Partition: n.Set.Text(i), State: b.decider.State(n, i), Owner: b.s.Graph.Workspace.OwnerText(n.Target.Owner), Blocked: waiting}
	f.Preview = b.opts.preview
	o := b.broken[id]
	f.Reason, f.Log, f.Local, f.Locked = o.Failure, o.Log, o.Local, o.Locked
	switch f.State {
	case engine.Held:
		p, _ := b.decider.Pending(id)
		f.Findings, f.Version = p.Failing, b.s.versionOf(n, i, b.decider.Key(n, i), p.Outputs).ID
		f.Reason = contract.Texts(f.Findings)
	case engine.Refused, engine.Stale: // an input that can't be judged is refused
		b.refusal(id, n, &f)
	case engine.MissingState:
		f.Reason = b.s.missingText(n, i)
	}
	return f
}

// refusal tells what a consumer refuses, and whom it may talk to.
func (b *build) refusal(id graph.ActionID, n *graph.Node, f *Failure) {
	p, _ := b.decider.Pending(id)
	if p.Input == nil {
		return
	}
	f.State, f.Findings, f.Input, f.Reason = engine.Refused, p.Failing, p.Input.Name, contract.Texts(p.Failing)
	if p.State == engine.Stale {
		f.Reason = "what it brings was never measured"
	}
	for _, e := range n.Edges {
		if e != nil && e.Input == p.Input {
			f.Producer, f.Also = e.From.Target.Label, b.s.Graph.Workspace.OwnerText(e.From.Target.Owner)
		}
	}
}

// output tells where the results of a target lie that are fresh.
func (b *build) output(n *graph.Node, r nodeRun) (Output, bool) {
	o := Output{Label: n.Target.Label, Path: strings.Join(publish.Places(n.Target), ", ")}
	for i, p := range r.phase {
		if r.wanted[i] {
			o.Of++
		}
		if r.wanted[i] && p == done {
			o.Partitions++
		}
	}
	return o, o.Partitions > 0
}
