package run

import (
	"cmp"
	"slices"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Lateness is how often a target's promise on time was kept, of the partitions that were asked for.
type Lateness struct {
	Target  string `json:"target"`
	Owner   string `json:"owner,omitempty"`
	Promise string `json:"promise"` // as it is declared
	Kept    int    `json:"kept"`
	Missed  int    `json:"missed"`
	NotYet  int    `json:"not_yet"` // not due yet, and not there
	Before  int    `json:"before"`  // due before this checkout had a version of the target, which counts as nothing
	// Share of those that were due that was kept; null if none was.
	Share  *float64      `json:"share_kept"`
	Median time.Duration `json:"median_delay_ns"` // of the missed
	Worst  time.Duration `json:"worst_delay_ns"`  // likewise
	Misses []Miss        `json:"misses"`          // the newest first
}

// Miss is a partition that was not there when it was due.
type Miss struct {
	Partition string        `json:"partition"`
	Due       time.Time     `json:"due"`
	There     time.Time     `json:"there,omitzero"` // zero: it still is not
	Delay     time.Duration `json:"delay_ns"`       // until it was there, or until now
}

// Lateness looks up how often the promises of a target were kept. A partition is there from its first version on that was accepted in this checkout; what comes after
// does not change that.
func (s *Session) Lateness(n *graph.Node, partitions []int) (Lateness, error) {
	r := Lateness{Target: n.Target.Label.String(), Owner: n.Target.Owner, Promise: n.Target.Due.Text, Misses: []Miss{}}
	for _, i := range partitions {
		if err := s.addPromise(&r, n, i); err != nil {
			return r, err
		}
	}
	if due := r.Kept + r.Missed; due > 0 {
		share := float64(r.Kept) / float64(due)
		r.Share = &share
	}
	delays := make([]time.Duration, len(r.Misses))
	for k, m := range r.Misses {
		delays[k] = m.Delay
		r.Worst = max(r.Worst, m.Delay)
	}
	if slices.Sort(delays); len(delays) > 0 {
		r.Median = quantile(delays, 0.5)
	}
	slices.SortStableFunc(r.Misses, func(x, y Miss) int { return cmp.Or(y.Due.Compare(x.Due), cmp.Compare(x.Partition, y.Partition)) })
	return r, nil
}

// addPromise counts one partition.
func (s *Session) addPromise(r *Lateness, n *graph.Node, i int) error {
	due := n.Due(i)
	promised, err := s.promised(n, i)
	if err != nil {
		return err
	}
	if !promised && !due.After(s.Now) {
		r.Before++
		return nil
	}
	there, err := s.thereSince(n, n.Set.Text(i))
	if err != nil {
		return err
	}
	switch {
	case !there.IsZero() && !there.After(due):
		r.Kept++
	case there.IsZero() && due.After(s.Now):
		r.NotYet++
	default:
		m := Miss{Partition: n.Set.Text(i), Due: due, There: there.In(due.Location()), Delay: s.Now.Sub(due)}
		if !there.IsZero() {
			m.Delay = there.Sub(due)
		}
		r.Missed++
		r.Misses = append(r.Misses, m)
	}
	return nil
}

// thereSince is when the first version of a partition was accepted in this checkout; zero if none was. Of one that was made here and passed at once it is when it was made.
func (s *Session) thereSince(n *graph.Node, partition string) (first time.Time, err error) {
	if s.Ledger == nil {
		return first, nil
	}
	versions, err := s.Ledger.VersionsOf(s.Graph.Workspace.Name, n.Target.Label, partition)
	if err != nil {
		return first, err
	}
	for _, v := range slices.Backward(versions) {
		at, err := s.acceptedSince(n, v)
		if err != nil {
			return first, err
		}
		first = soonest(first, at)
	}
	return first, nil
}

// acceptedSince is when a version was first accepted in this checkout: by rules, or by a person; zero if it never was. A later verdict takes nothing back. What another
// one made is accepted when it is judged here; of what no rules judge it is when it was made.
func (s *Session) acceptedSince(n *graph.Node, v engine.Version) (first time.Time, err error) {
	here, err := s.Ledger.MadeIn(s.Environment, v)
	if err != nil {
		return first, err
	}
	if !isJudged(n.Target) {
		if i, ok := n.Set.IndexText(v.Partition); here || ok && s.Current(n, i) == v.ID {
			first = v.Created
		}
		return first, nil
	}
	verdicts, err := s.Ledger.Judgements(s.Environment, v.ID)
	if err != nil {
		return first, err
	}
	for k, j := range verdicts {
		failing := j.Failing()
		switch {
		case len(failing) == 0 && k == 0 && here:
			return v.Created, nil
		case len(failing) == 0:
			return soonest(first, j.Made), nil
		}
		a, err := s.acceptance(v.Label, v.Partition, "", engine.ContentOf(v.Outputs), failing)
		if err != nil {
			return first, err
		}
		if a != nil {
			first = soonest(first, a.Time)
		}
	}
	return first, nil
}
