package run

import (
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// failedBefore is how the last run of an action's key ended, if it failed and there is no result.
func (b *build) failedBefore(n *graph.Node, i int) (Outcome, bool) {
	if b.decider.State(n, i) != engine.Failed {
		return Outcome{}, false
	}
	run, ok, err := b.s.Ledger.LastRun(b.decider.Key(n, i))
	if err != nil || !ok {
		return Outcome{}, false // it is tried again
	}
	o := Outcome{Failure: run.Failure, Rows: -1}
	if !run.Log.IsZero() {
		o.Log = b.s.belowRoot(b.s.Store.BlobPath(run.Log))
	}
	return o, true
}
