package run

import (
	"context"
	"maps"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// maxTries bounds how often a job may find bytes gone that were there before: somebody else deletes them meanwhile.
const maxTries = 5

// Lost says of a frozen version that its bytes are gone, and what is to be done: a build makes nothing anew that is frozen.
const Lost = "the bytes of what was frozen are gone: restore the store from a copy, or thaw it (dpb build --thaw)"

// lostError says that a job needs bytes that no build makes again.
type lostError struct{ frozen string }

func (e *lostError) Error() string { return e.frozen + ": " + Lost }

// owe finds out which jobs have to run again for this one, whose inputs lack bytes. It is false if none can help; where that is because of what is frozen, the result's
// error says so, and the machine is not to blame.
func (b *build) owe(n *graph.Node, i int, r *jobResult) bool {
	id := n.Base + graph.ActionID(i)
	b.tried[id]++
	owed := map[graph.ActionID]bool{}
	if err := b.lacking(n, i, owed); err != nil {
		r.err, r.outcome.Local = err, false
		return false
	}
	maps.Copy(b.owed, owed)
	return b.tried[id] <= maxTries
}

// lacking adds the producers of an action whose bytes are gone, and what those need. Bytes of sources are in the checkout or nowhere.
func (b *build) lacking(n *graph.Node, i int, owed map[graph.ActionID]bool) error {
	for _, e := range n.Edges {
		if e == nil || !isJob(e.From) && !e.From.Target.Splits() {
			continue
		}
		for j := range e.Inputs(i).All() {
			id, state := e.From.Base+graph.ActionID(j), b.decider.State(e.From, j)
			switch {
			case b.owed[id] || owed[id], state != engine.Fresh && state != engine.Held && state != engine.Frozen, b.s.Store.Present(context.Background(), made(b.decider, e, j).Tree):
				continue
			case state == engine.Frozen:
				return &lostError{e.From.Target.Label.At(e.From.Set.Text(j))}
			}
			owed[id] = true
			if err := b.lacking(e.From, j, owed); err != nil {
				return err
			}
		}
	}
	return nil
}

// lostShown says that dpb-out has to show a frozen version again, and that its bytes are gone.
func (b *build) lostShown(n *graph.Node, i int) bool {
	id := b.s.Current(n, i)
	return isJob(n) && b.nodes[n.Index].asked && !id.IsZero() && !b.s.View.Current(n.Target, n.Set.Partition(i), id) && !b.s.Present(context.Background(), b.decider, n, i)
}

// makesAgain says that an action is thawed by name: should its bytes be gone, no other build makes them again.
func (b *build) makesAgain(n *graph.Node, i int) bool {
	return b.opts.Thaw && !b.opts.preview && n.Target.Freeze.Reached(n.Set.End(i), b.s.Now) && !b.frozen.has(n, i)
}
