package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Gap is a stretch of time in which a set has no partitions, as its source has no files: a subset of no partition, and how many positions of the calendar it has.
type Gap struct {
	engine.Subset
	Positions int
}

// Gaps lists the gaps between partitions i and j, in order. Without a time dimension there are none.
func (s *Set) Gaps(i, j int) (out []Gap) {
	t := s.time()
	if t < 0 || s.size == 0 || s.spans[t].slots == nil {
		return nil
	}
	sp := s.spans[t]
	for at := sp.from + s.split(i)[t]; at < sp.from+s.split(j)[t]; at++ {
		n := sp.slot(at+1) - sp.slot(at) - 1
		if n == 0 {
			continue
		}
		name := func(slot int) string { return sp.dimension.Unit.Text(sp.starts[slot]) }
		out = append(out, Gap{engine.Subset{Dimension: sp.dimension.Name, From: name(sp.slot(at) + 1), To: name(sp.slot(at+1) - 1)}, n})
	}
	return out
}

// shownGaps is how many gaps are named.
const shownGaps = 5

// GapWords says which positions are not there: "3 not there: 2017-06-05, 2017-06-09 to 2017-06-10".
func GapWords(gaps []Gap) string {
	n, left := 0, 0
	var names []string
	for k, g := range gaps {
		n += g.Positions
		switch {
		case k >= shownGaps:
			left += g.Positions
		case g.From == g.To:
			names = append(names, g.From)
		default:
			names = append(names, g.From+" to "+g.To)
		}
	}
	words := fmt.Sprintf("%d not there: %s", n, strings.Join(names, ", "))
	if left > 0 {
		words += fmt.Sprintf(" and %d more", left)
	}
	return words
}

// Unlisted says whether a source's partition of that text, which is not in its set, was there because its own files said so, and would still be if they did.
func (g *Graph) Unlisted(n *Node, text string) bool {
	listed := false
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		a := g.axes[name]
		if a == nil || !slices.Contains(n.Target.PartitionBy, name) {
			return false
		}
		if _, there := a.find(value); there {
			continue
		}
		if d := a.dimension; d.FromSource != n.Target.Label || d.Unit != engine.NoUnit && !within(d, n.Target, value) {
			return false
		}
		listed = true
	}
	return listed
}

// within says whether start and end of a dimension and of a target leave a value in.
func within(d *engine.Dimension, t *engine.Target, text string) bool {
	for _, start := range []string{d.Start, t.Start} {
		if text < start {
			return false
		}
	}
	for _, end := range []string{d.End, t.End} {
		if end != "" && text > end {
			return false
		}
	}
	return true
}

// Lack says of a set without partitions which files it waits for, where they say which there are: "//plays:raw has no files that name a day". It is "" of others.
func (s *Set) Lack() string {
	for _, sp := range s.spans {
		if d := sp.dimension; len(sp.texts) == 0 && !d.FromSource.IsZero() {
			return fmt.Sprintf("%s has no files that name a partition by %s", d.FromSource, d.Name)
		}
	}
	return ""
}

// Lack says likewise what the edge would read if there were files of it: anything at all, or the value of its slice.
func (e *Edge) Lack() string {
	if lack := e.From.Set.Lack(); lack != "" {
		return lack
	}
	for k, m := range e.dims {
		if d := e.From.Set.spans[k].dimension; m.relation == fixed && m.value < 0 {
			at := slices.IndexFunc(e.Input.Slice, func(v engine.Value) bool { return v.Dimension == d.Name })
			return fmt.Sprintf("%s has no files of %s %s", d.FromSource, d.Name, e.Input.Slice[at].Text)
		}
	}
	return ""
}
