package run

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
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
		if err := s.adoptable(n, f[n.Index]); err != nil {
			return nil, err
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

// adoptable adds what pipeline.lock has of partitions that are frozen by now and were never built here, if the store has their bytes. Those of which it has not are built;
// see asLocked for what has to come of that.
func (s *Session) adoptable(n *graph.Node, f []bool) error {
	set, err := s.locks()
	if err != nil {
		return err
	}
	for i := range f {
		if f[i] || !n.Target.Freeze.Reached(n.Set.End(i), s.Now) {
			continue
		}
		if e := acceptedLine(set, n, i); e != nil && s.hasBytes(versionOutputs(n, e.Action)) {
			f[i] = true
		}
	}
	return nil
}

// acceptedLine is what the locks have of a partition that was accepted; nil: nothing.
func acceptedLine(set *lock.Set, n *graph.Node, i int) *lock.Entry {
	lines := set.Of(lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}, lock.Fresh, lock.Frozen)
	if len(lines) == 0 {
		return nil
	}
	return lines[0]
}

// seedAdopted tells the decider of frozen actions that no pointer tells of.
func (s *Session) seedAdopted(d *plan.Decider, frozen frozen) error {
	for _, n := range s.Graph.Nodes {
		if frozen == nil || frozen[n.Index] == nil || !d.Prepared(n) {
			continue
		}
		for i, is := range frozen[n.Index] {
			if !is || !s.Current(n, i).IsZero() {
				continue
			}
			set, err := s.locks()
			if err != nil {
				return err
			}
			a := acceptedLine(set, n, i).Action
			d.Freeze(n, i, a.Key, a.Rules, outputsOf(a), nil)
		}
	}
	return nil
}

// adopted is the record by which current names a frozen version that the checkout has from pipeline.lock; nil if it names one already.
func (b *build) adopted(n *graph.Node, i int) *record {
	if !b.s.Current(n, i).IsZero() {
		return nil
	}
	set, err := b.s.locks()
	if err != nil {
		return nil // then it would not be frozen
	}
	a := acceptedLine(set, n, i).Action
	rec := &record{id: n.Base + graph.ActionID(i), point: true, show: true, shape: a.Rules, outputs: outputsOf(a), restored: true}
	b.s.setVersion(rec, b.s.versionOf(n, i, a.Key, versionOutputs(n, a)))
	return rec
}

// asLocked says why what an action gives can't stand beside pipeline.lock; nil if it can. A build that has to reproduce the lock takes nothing else; any build takes of a
// partition that is frozen, and was never built here, nothing but what was frozen.
func (b *build) asLocked(n *graph.Node, i int, outputs []engine.VersionOutput) error {
	mayDiffer := !n.Target.Freeze.Reached(n.Set.End(i), b.s.Now) || b.opts.Thaw || !b.s.Current(n, i).IsZero()
	if mayDiffer && !b.opts.Locked {
		return nil
	}
	set, err := b.s.locks()
	if err != nil {
		return err
	}
	e := acceptedLine(set, n, i)
	if e == nil {
		return nil
	}
	for k, want := range versionOutputs(n, e.Action) {
		if got := outputs[slices.IndexFunc(outputs, func(o engine.VersionOutput) bool { return o.Name == want.Name })]; got.Visible != want.Visible {
			text := fmt.Sprintf("output %s is not what %s holds: %s, and not %s", n.Target.Outputs[k].Name, engine.LockFile, got.Visible.Short(), want.Visible.Short())
			if !mayDiffer {
				text += "; it is frozen, and the store has not the bytes of what was frozen: use the store that does, or thaw it (dpb build --thaw)"
			}
			return errors.New(text)
		}
	}
	return nil
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

// refusesByLock fails a fresh action that is not what pipeline.lock holds.
func (b *build) refusesByLock(n *graph.Node, i int) bool {
	var outputs []engine.VersionOutput
	for k, o := range n.Target.Outputs {
		outputs = append(outputs, engine.VersionOutput{Name: o.Name, Visible: b.decider.Tree(n, i, k)})
	}
	err := b.asLocked(n, i, outputs)
	if err == nil {
		return false
	}
	b.transition(n, i, failed)
	b.fail(n, i, Outcome{Failure: err.Error()})
	return true
}
