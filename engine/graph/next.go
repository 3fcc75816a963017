package graph

import (
	"time"

	"github.com/dpb-build/dpb/engine"
)

// NextEnd is when the next partition ends that some target will have: from then on there is more to do without that any file changes. It is zero if none will.
func (g *Graph) NextEnd() (next time.Time) {
	for _, n := range g.Nodes {
		for _, sp := range n.Set.spans {
			if end := sp.nextEnd(n.Target); !end.IsZero() && (next.IsZero() || end.Before(next)) {
				next = end
			}
		}
	}
	return next
}

// nextEnd is when the partition ends that follows the last one of the axis, if the dimension and the target go on as far.
func (a *axis) nextEnd(t *engine.Target) time.Time {
	unit := a.dimension.Unit
	if unit == engine.NoUnit {
		return time.Time{}
	}
	start := a.starts[len(a.texts)]
	for _, text := range []string{a.dimension.End, t.End} {
		if last, err := unit.Parse(text, a.loc); err == nil && start.After(last) {
			return time.Time{}
		}
	}
	return unit.Next(start)
}
