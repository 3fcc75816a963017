package graph

import (
	"time"

	"github.com/dpb-build/dpb/engine"
)

// NextEnd is when the next partition ends after now that some target will have, if its files are there: from then on there is more to do without that any file changes. It is zero
// if none will.
func (g *Graph) NextEnd(now time.Time) (next time.Time) {
	for _, n := range g.Nodes {
		for _, sp := range n.Set.spans {
			if end := sp.nextEnd(n.Target, now); !end.IsZero() && (next.IsZero() || end.Before(next)) {
				next = end
			}
		}
	}
	return next
}

// nextEnd is the end of the partition that holds now, or of the first one, if dimension and target go as far.
func (a *axis) nextEnd(t *engine.Target, now time.Time) time.Time {
	unit := a.dimension.Unit
	if unit == engine.NoUnit {
		return time.Time{}
	}
	start := unit.Floor(now.In(a.loc))
	for _, text := range []string{a.dimension.Start, t.Start} {
		if first, err := unit.Parse(text, a.loc); err == nil && start.Before(first) {
			start = first
		}
	}
	for _, text := range []string{a.dimension.End, t.End} {
		if last, err := unit.Parse(text, a.loc); err == nil && start.After(last) {
			return time.Time{}
		}
	}
	return unit.Next(start)
}
