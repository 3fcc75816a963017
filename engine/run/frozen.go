package run

import (
	"errors"
	"slices"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// frozen tells which actions stay as they were accepted: by node and partition; nil where none is.
type frozen [][]bool

func (f frozen) has(n *graph.Node, i int) bool { return f != nil && f[n.Index] != nil && f[n.Index][i] }

// frozen looks up which actions have a version and have reached the time from which that stays, less those that are thawed.
func (s *Session) frozen(thawed []graph.Selected) (frozen, error) {
	if s.Ledger == nil || !slices.ContainsFunc(s.Graph.Nodes, func(n *graph.Node) bool { return n.Target.Freeze.Set }) {
		return nil, nil
	}
	f := make(frozen, len(s.Graph.Nodes))
	for _, n := range s.Graph.Nodes {
		if !n.Target.Freeze.Set {
			continue
		}
		partitions, err := s.Ledger.Pointed(s.Graph.Workspace.Name, s.Environment, n.Target.Label)
		if err != nil {
			return nil, err
		}
		f[n.Index] = make([]bool, n.Set.Len())
		for _, text := range partitions {
			if i, ok := n.Set.IndexText(text); ok {
				f[n.Index][i] = n.Target.Freeze.Reached(n.Set.End(i), s.Now)
			}
		}
	}
	for _, sel := range thawed {
		for _, i := range sel.Partitions {
			if f[sel.Node.Index] != nil {
				f[sel.Node.Index][i] = false
			}
		}
	}
	return f, nil
}

// thawed are the actions that a build brings to fresh although they are frozen: those that were asked for by name, and none that these need.
func (o Options) thawed(selected []graph.Selected) []graph.Selected {
	if o.Thaw {
		return selected
	}
	return nil
}

// errNotIsolated says why a frozen version does not count. It is not made anew in silence.
var errNotIsolated = errors.New("its frozen version was made without isolation, and --sandbox=require takes only isolated ones: thaw it (dpb build --thaw) to make it anew")

// driftText says in a few words what a frozen action would be now; "" if that is what it is, or if nobody looked.
func (s *Session) driftText(d *plan.Decider, n *graph.Node, i int) string {
	if err := d.Problem(n.Base + graph.ActionID(i)); err != nil {
		return "what it would be now is unknown: " + err.Error()
	}
	switch drift := d.Drift(n, i); drift {
	case 0, engine.Fresh:
		return ""
	case engine.Stale:
		changes, err := s.wantedChanges(d, n, i)
		if err != nil {
			return "it would be built anew, and its history can't be read"
		}
		return "it would be built anew: " + driftReason(changes)
	default:
		return "what it would be now is not known, as an input is " + drift.String()
	}
}

// drift explains what a frozen action would be now.
func (e *explainer) drift(c *Cause, n *graph.Node, i int) (err error) {
	c.Text = "it was accepted, and stays"
	switch drift := e.d.Drift(n, i); drift {
	case 0, engine.Fresh:
		c.Text += "; it would be the same now"
		return nil
	case engine.Stale:
		if c.Changes, err = e.s.wantedChanges(e.d, n, i); err != nil {
			return err
		}
		c.Text += "; it would be built anew: " + driftReason(c.Changes)
		return e.inputs(c, n)
	default:
		c.Text += "; what it would be now is not known, as an input is " + drift.String()
		return nil
	}
}

// driftReason is Reason, where no change of the key means that the rules did.
func driftReason(changes []Change) string {
	if len(changes) == 0 {
		return "rules changed"
	}
	return Reason(changes)
}
