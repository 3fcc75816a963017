package run

import (
	"fmt"

	"github.com/dpb-build/dpb/engine/graph"
)

// phase is where an action stands in one pass of a build.
//
//	out ──> waiting ──> queued ──> running ──> judging ──> done
//	 │         │          ^           │           ├──────> held
//	 │         │          ├───────────┼───────────┤        (interrupted)
//	 │         │          │           ├───────────┴──────> failed
//	 │         │          │           └──────────────────> waiting (bytes are gone, or inputs changed: another pass follows)
//	 │         ├──> done, held, refused, failed, blocked
//	 └──> queued, done, held, refused, failed, blocked
//
// queued also goes to failed, where its lock is not to be had.
type phase uint8

const (
	out     phase = iota // no part of the build, or not looked at yet
	waiting              // a producer is not finished, or a verdict that a rule on an input compares with
	queued               // ready to run, or to be judged
	running
	judging // its result is measured and judged, or waits for a verdict that it is compared with
	done    // fresh
	held    // its rules hold it
	refused // its rules on an input refuse what that brings
	failed  // its job failed, or could not be looked at
	blocked // missing, or something upstream is not to be had
)

var phaseNames = [...]string{"out", "waiting", "queued", "running", "judging", "done", "held", "refused", "failed", "blocked"}

// allowed lists the phases that may follow each phase.
var allowed = [...][]phase{
	out:     {waiting, queued, done, held, refused, failed, blocked},
	waiting: {queued, done, held, refused, failed, blocked},
	queued:  {running, failed},
	running: {judging, failed, queued, waiting},
	judging: {done, held, failed, queued, waiting},
	done:    {},
	held:    {},
	refused: {},
	failed:  {},
	blocked: {},
}

// finished says that consumers need not wait any longer.
func (p phase) finished() bool { return p >= done }

// transition is the only place where an action changes its phase; counts are an index over the phases.
func (b *build) transition(n *graph.Node, i int, to phase) {
	at := &b.nodes[n.Index].phase[i]
	ok := false
	for _, p := range allowed[*at] {
		ok = ok || p == to
	}
	if !ok {
		panic(fmt.Sprintf("%s %s: from %s to %s", n.Target.Label, n.Set.Text(i), phaseNames[*at], phaseNames[to]))
	}
	if isJob(n) {
		b.count(*at, -1)
		b.count(to, +1)
	}
	b.unfinished += unfinished(to) - unfinished(*at)
	*at = to
}

func unfinished(p phase) int {
	if p != out && !p.finished() {
		return 1
	}
	return 0
}

func (b *build) count(p phase, by int) {
	switch p {
	case queued:
		b.counts.Queued += by
	case running, judging:
		b.counts.Running += by
	case held:
		b.counts.Held += by
	case refused:
		b.counts.Refused += by
	case failed:
		b.counts.Failed += by
	case blocked:
		b.counts.Blocked += by
	}
}
