package run

import (
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// soon is how long before its due time a partition that is not there yet is said to be due soon, or earlier if what is left to do takes half of that time or more.
const soon = time.Hour

// Promise is where a partition stands with its promise on time. A partition that was accepted once is there: what makes it stale later breaks no promise. One that was
// due before this checkout had a first version of its target was promised to nobody.
type Promise struct {
	Due   time.Time // in the timezone of the partition's dimension; zero: nothing is promised
	There bool
	Soon  bool          // it is not there, and not due yet, and has to be before long
	Late  time.Duration // since it was due and is not there; 0 or less: it is not due yet, or it is there
}

// Overdue says that it should be there.
func (p Promise) Overdue() bool { return p.Late > 0 }

// Promises answers where partitions stand at an instant, by the states that were decided.
type Promises struct {
	s       *Session
	decider *plan.Decider
	now     time.Time
	left    map[graph.ActionID]time.Duration
}

// Promises of what was decided, as of the time that the session goes by.
func (s *Session) Promises(d *plan.Decider) *Promises { return s.promisesAt(d, s.Now) }

func (s *Session) promisesAt(d *plan.Decider, now time.Time) *Promises {
	return &Promises{s: s, decider: d, now: now, left: map[graph.ActionID]time.Duration{}}
}

// Of says where one partition stands.
func (p *Promises) Of(n *graph.Node, i int) (Promise, error) {
	out := Promise{Due: n.Due(i)}
	if out.Due.IsZero() {
		return out, nil
	}
	if out.There = isGood(p.decider.State(n, i)) || !p.s.Current(n, i).IsZero(); out.There {
		return out, nil
	}
	if until := out.Due.Sub(p.now); until > 0 {
		left, err := p.remaining(n, i)
		out.Soon = until <= max(soon, 2*left)
		return out, err
	}
	promised, err := p.s.promised(n, i)
	if promised {
		out.Late = max(p.now.Sub(out.Due), 1) // what is due now is late
	}
	return out, err
}

// promised says whether anybody waits for a partition: it is due, or was, after this checkout had a first version of its target. Years that are computed afterwards
// were promised to nobody, nor is anything of a target that was never built.
func (s *Session) promised(n *graph.Node, i int) (bool, error) {
	began, err := s.began(n)
	return err == nil && !began.IsZero() && !n.Due(i).Before(began), err
}

// began is when this checkout had a first version of a target: made here, or made elsewhere and judged here; zero if it has none.
func (s *Session) began(n *graph.Node) (time.Time, error) {
	if at, ok := s.begun[n]; ok || s.Ledger == nil {
		return at, nil
	}
	at, err := s.Ledger.Began(s.Graph.Workspace.Name, s.Environment, n.Target.Label)
	if err != nil {
		return at, err
	}
	if s.begun == nil {
		s.begun = map[*graph.Node]time.Time{}
	}
	s.begun[n] = at
	return at, nil
}

func isGood(state engine.State) bool { return state == engine.Fresh || state == engine.Frozen }

// remaining is how long the longest chain of jobs takes that have to run before an action is there, by what they took before.
func (p *Promises) remaining(n *graph.Node, i int) (time.Duration, error) {
	id := n.Base + graph.ActionID(i)
	if left, ok := p.left[id]; ok || isGood(p.decider.State(n, i)) {
		return left, nil
	}
	took, err := p.s.Took(n)
	if err != nil {
		return 0, err
	}
	before := time.Duration(0)
	for _, e := range waitingEdges(n.Edges, n.References) {
		for j := range e.Inputs(i).All() {
			left, err := p.remaining(e.From, j)
			if err != nil {
				return 0, err
			}
			before = max(before, left)
		}
	}
	p.left[id] = before + took.Median
	return p.left[id], nil
}

// Took says how long the newest jobs of a target took, in all checkouts that share the ledger; zero where that is not known.
func (s *Session) Took(n *graph.Node) (Took, error) {
	if t, ok := s.took[n]; ok || !isJob(n) {
		return t, nil
	}
	p, err := s.pace(n.Target.Label)
	if err != nil {
		return Took{}, err
	}
	if s.took == nil {
		s.took = map[*graph.Node]Took{}
	}
	s.took[n] = p.took
	return p.took, nil
}
