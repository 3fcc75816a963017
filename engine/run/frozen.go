package run

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/plan"
)

// frozen tells which actions stay as they were accepted.
type frozen struct {
	is [][]bool // by node and partition; nil where none is
	// closed are the lines of pipeline.lock of those for which they count, and not what current names here: it names nothing, or a version from before the partition froze,
	// while it was closed elsewhere with other content.
	closed map[graph.ActionID]*lock.Entry
}

func (f frozen) has(n *graph.Node, i int) bool {
	return f.is != nil && f.is[n.Index] != nil && f.is[n.Index][i]
}

// instead is the line of pipeline.lock that counts for an action, and not what current names; nil: there is none.
func (f frozen) instead(n *graph.Node, i int) *lock.Entry { return f.closed[n.Base+graph.ActionID(i)] }

// frozen looks up which actions have a version and have reached the time from which that stays, less those that are thawed.
func (s *Session) frozen(thawed []graph.Selected) (f frozen, err error) {
	if s.Ledger == nil || !slices.ContainsFunc(s.Graph.Nodes, func(n *graph.Node) bool { return n.Target.Freeze.Set }) {
		return f, nil
	}
	f = frozen{make([][]bool, len(s.Graph.Nodes)), map[graph.ActionID]*lock.Entry{}}
	for _, n := range s.Graph.Nodes {
		if !n.Target.Freeze.Set {
			continue
		}
		if err := s.frozenOf(n, &f); err != nil {
			return f, err
		}
	}
	for _, sel := range thawed {
		for _, i := range sel.Partitions {
			if f.has(sel.Node, i) {
				f.is[sel.Node.Index][i] = false
				delete(f.closed, sel.Node.Base+graph.ActionID(i))
			}
		}
	}
	return f, nil
}

// frozenOf finds the frozen partitions of a target: those that current names a version of, and those that were closed elsewhere if the store has what was closed. Those of which it has not are
// built where nothing else is known of them; see asLocked for what has to come of that.
func (s *Session) frozenOf(n *graph.Node, f *frozen) error {
	set, err := s.locksOf(n.Target.Label.Pkg)
	if err != nil {
		return err
	}
	is := make([]bool, n.Set.Len())
	f.is[n.Index] = is
	err = s.Ledger.CurrentsOf(s.Graph.Workspace.Name, s.Environment, n.Target.Label, func(c ledger.Current) error {
		i, ok := n.Set.IndexText(c.Partition)
		if !ok || !n.Target.Freeze.Reached(n.Set.End(i), s.Now) {
			return nil
		}
		is[i] = true
		e := acceptedLine(set, n, i)
		if e == nil || sameTrees(e.Action, &lock.Action{Outputs: lockedOutputs(c.Outputs)}) {
			return nil
		}
		v, ok, err := s.version(c.Version)
		if ok && v.Created.Before(n.Target.Freeze.From(n.Set.End(i))) {
			f.closed[n.Base+graph.ActionID(i)] = e
		}
		return err
	})
	for i := range is {
		if !is[i] && n.Target.Freeze.Reached(n.Set.End(i), s.Now) {
			if e := acceptedLine(set, n, i); e != nil && s.hasBytes(versionOutputs(n, e.Action)) {
				is[i], f.closed[n.Base+graph.ActionID(i)] = true, e
			}
		}
	}
	return err
}

// acceptedLine is what the locks have of a partition that was accepted; nil: nothing.
func acceptedLine(set *lock.Set, n *graph.Node, i int) *lock.Entry {
	lines := set.Of(lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}, lock.Fresh)
	if len(lines) == 0 {
		return nil
	}
	return lines[0]
}

// lockedOutputs are the outputs of a pointer as locks write them.
func lockedOutputs(outputs []engine.OutputResult) (out []lock.Output) {
	for _, o := range outputs {
		out = append(out, lock.Output{Name: o.Name, Tree: o.Tree, Columns: o.Columns})
	}
	return out
}

// errClosedElsewhere says why a frozen version does not count, and what was closed in its stead can't be had.
var errClosedElsewhere = errors.New("it was closed elsewhere with other content, as pipeline.lock says, and the store has not the bytes of that: use the store that does, or thaw it (dpb build --thaw)")

// seedClosed tells the decider of frozen actions for which pipeline.lock counts.
func (s *Session) seedClosed(d *plan.Decider, f frozen) {
	for id, e := range f.closed {
		n, i := s.Graph.Action(id)
		if !d.Prepared(n) {
			continue
		}
		var err error
		if !s.hasBytes(versionOutputs(n, e.Action)) {
			err = errClosedElsewhere
		}
		d.Freeze(n, i, e.Action.Key, e.Action.Rules, outputsOf(e.Action), err)
	}
}

// adopted is the record by which current names a frozen version that the checkout has from pipeline.lock; nil if that is not so.
func (b *build) adopted(n *graph.Node, i int) *record {
	e := b.frozen.instead(n, i)
	if e == nil {
		return nil
	}
	rec := &record{id: n.Base + graph.ActionID(i), point: true, show: true, shape: e.Action.Rules, outputs: outputsOf(e.Action), restored: true}
	b.s.setVersion(rec, b.s.versionOf(n, i, e.Action.Key, versionOutputs(n, e.Action)))
	return rec
}

// asLocked says why what an action gives can't stand beside pipeline.lock; nil if it can. A build that has to reproduce the lock takes nothing else; any build takes of a
// partition that is frozen, and was never built here, nothing but what was frozen.
func (b *build) asLocked(n *graph.Node, i int, outputs []engine.VersionOutput) error {
	mayDiffer := !n.Target.Freeze.Reached(n.Set.End(i), b.s.Now) || b.opts.Thaw || !b.s.Current(n, i).IsZero()
	if mayDiffer && !b.opts.Locked {
		return nil
	}
	set, err := b.s.locksOf(n.Target.Label.Pkg)
	if err != nil {
		return err
	}
	e := acceptedLine(set, n, i)
	switch {
	case e == nil && b.opts.Locked && isJob(n):
		return fmt.Errorf("%s has no accepted version of it: build without --locked, run dpb lock and commit", engine.LockFile)
	case e == nil:
		return nil
	}
	advice := "its job does not give the same each time, which dpb verify shows; or somebody has to lock what it gives now"
	if !mayDiffer {
		advice = "it is frozen, and the store has not the bytes of what was frozen: use the store that does, or thaw it (dpb build --thaw)"
	}
	for k, want := range versionOutputs(n, e.Action) {
		if got := outputs[slices.IndexFunc(outputs, func(o engine.VersionOutput) bool { return o.Name == want.Name })]; got.Visible != want.Visible {
			return fmt.Errorf("output %s came out as %s, and %s holds %s: %s", n.Target.Outputs[k].Name, got.Visible.Short(), engine.LockFile, want.Visible.Short(), advice)
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
	text, _, err := s.driftOf(d, n, i)
	if err != nil {
		return "it would be built anew, and its history can't be read"
	}
	return text
}

// driftOf is driftText with the changes behind it.
func (s *Session) driftOf(d *plan.Decider, n *graph.Node, i int) (text string, changes []Change, err error) {
	switch drift := d.Drift(n, i); drift {
	case 0, engine.Fresh:
		return "", nil, nil
	case engine.Stale:
		changes, err = s.wantedChanges(d, n, i)
		return "it would be built anew: " + driftReason(changes), changes, err
	default:
		return "what it would be now is not known, as an input is " + drift.String(), nil, nil
	}
}

// drift explains what a frozen action would be now.
func (e *explainer) drift(c *Cause, n *graph.Node, i int) error {
	text, changes, err := e.s.driftOf(e.d, n, i)
	if err != nil {
		return err
	}
	c.Text, c.Changes = "it was accepted, and stays; "+cmp.Or(text, "it would be the same now"), changes
	return e.inputs(c, n, nil)
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
	if !b.opts.Locked && !n.Target.Freeze.Set {
		return false // most actions: nothing is gathered for them
	}
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
