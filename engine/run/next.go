package run

import (
	"time"

	"github.com/dpb-build/dpb/engine/graph"
)

// NextChange is when there is something to do next although no file changes: a partition ends or is due, or a result expires that current names. It is zero if that is not to
// come.
func (s *Session) NextChange() (time.Time, error) {
	next := s.Graph.NextEnd(s.Now)
	for _, n := range s.Graph.Nodes {
		next = soonest(next, s.nextDue(n))
		if n.Target.ValidFor == 0 || s.Ledger == nil {
			continue
		}
		for i, key := range s.current[n.Index].key {
			if s.Current(n, i).IsZero() {
				continue
			}
			r, ok, err := s.Ledger.Result(key)
			if err != nil {
				return next, err
			}
			if at := r.Observed.Add(n.Target.ValidFor); ok && at.After(s.Now) {
				next = soonest(next, at)
			}
		}
	}
	return next, nil
}

// nextDue is when a partition is due next; zero if none is.
func (s *Session) nextDue(n *graph.Node) (next time.Time) {
	if n.Target.Due.IsZero() {
		return next
	}
	for i := range n.Set.Len() {
		if due := n.Due(i); due.After(s.Now) {
			next = soonest(next, due)
		}
	}
	return next
}

// soonest is the first of two instants; zero is none.
func soonest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// NewestSource is when the newest of the source files changed that the session looked at; zero if it saw none.
func (s *Session) NewestSource() time.Time { return s.files.Newest() }
