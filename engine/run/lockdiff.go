package run

import (
	"cmp"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
)

// DataChanges is how what the locks say was accepted differs from what those of a revision say.
type DataChanges struct {
	Targets  []DataChange        `json:"targets"`  // producers before consumers; only those that differ
	Accepted []engine.Acceptance `json:"accepted"` // what people said since then
}

// DataChange is how the content of one target differs, as consumers see it.
type DataChange struct {
	Target  string       `json:"target"`
	Owner   string       `json:"owner,omitempty"`
	Changed int          `json:"changed"` // partitions that are in both, with other content
	New     int          `json:"new"`
	Gone    int          `json:"gone"`
	Rows    []RowsChange `json:"rows,omitempty"`
	Largest []FactChange `json:"largest,omitempty"` // by how much of itself a value changed, the largest first
}

// RowsChange sums up the rows of the changed partitions of which both numbers are known.
type RowsChange struct {
	Output     string `json:"output,omitempty"` // "" if the target has one
	Partitions int    `json:"partitions"`
	Old        int64  `json:"old"`
	New        int64  `json:"new"`
}

// FactChange is a number of a fingerprint that changed: rows, or a metric.
type FactChange struct {
	Partition string  `json:"partition,omitempty"`
	Name      string  `json:"name"`
	Old       float64 `json:"old"`
	New       float64 `json:"new"`
}

// largestChanges is how many of them are kept of each target.
const largestChanges = 3

// DataSince compares the locks with those of a revision, of the targets that are selected. It is nil if either has none.
func (s *Session) DataSince(past Past, selected []graph.Selected) (*DataChanges, error) {
	if !lock.There(past.Root, past.Graph.Workspace.Packages) || !lock.There(s.Root, s.Graph.Workspace.Packages) {
		return nil, nil
	}
	before, err := lock.Read(past.Root, past.Graph.Workspace.Packages)
	if err == nil {
		err = before.Whole()
	}
	if err != nil {
		return nil, err
	}
	now, err := s.locks()
	if err != nil {
		return nil, err
	}
	old, new := linesOf(before), linesOf(now)
	out := &DataChanges{Targets: []DataChange{}, Accepted: []engine.Acceptance{}}
	for _, sel := range selected {
		label := sel.Node.Target.Label
		c := compareLines(sel.Node, old.accepted[label], new.accepted[label])
		c.Target, c.Owner = label.String(), s.Graph.Workspace.OwnerText(sel.Node.Target.Owner)
		if c.Changed+c.New+c.Gone > 0 {
			out.Targets = append(out.Targets, c)
		}
		for _, a := range new.said[label] {
			if !slices.ContainsFunc(old.said[label], func(b engine.Acceptance) bool { return sameWord(a, b) && a.Revoked == b.Revoked }) {
				out.Accepted = append(out.Accepted, a)
			}
		}
	}
	return out, nil
}

// lockLines are the lines of all locks by target: what was accepted, by partition, and what people said.
type lockLines struct {
	accepted map[engine.Label]map[string]*lock.Action
	said     map[engine.Label][]engine.Acceptance
}

func linesOf(set *lock.Set) lockLines {
	l := lockLines{map[engine.Label]map[string]*lock.Action{}, map[engine.Label][]engine.Acceptance{}}
	for _, e := range set.Entries {
		switch e.Kind {
		case lock.Fresh:
			if l.accepted[e.Label] == nil {
				l.accepted[e.Label] = map[string]*lock.Action{}
			}
			l.accepted[e.Label][e.Partition] = e.Action
		case lock.Accepted:
			l.said[e.Label] = append(l.said[e.Label], *e.Accepted)
		}
	}
	return l
}

// compareLines compares what was accepted of a target.
func compareLines(n *graph.Node, old, new map[string]*lock.Action) (c DataChange) {
	for i := range n.Set.Len() {
		text := n.Set.Text(i)
		was, is := old[text], new[text]
		switch {
		case is == nil:
		case was == nil:
			c.New++
		case !sameContent(n.Target, was, is):
			c.Changed++
			c.compareFacts(n.Target, text, was.Facts, is.Facts)
		}
	}
	for text := range old {
		if new[text] == nil {
			c.Gone++
		}
	}
	slices.SortStableFunc(c.Largest, func(a, b FactChange) int {
		return cmp.Or(cmp.Compare(b.size(), a.size()), strings.Compare(a.Name, b.Name))
	})
	if c.Changed == 1 { // its rows stand in Rows
		c.Largest = slices.DeleteFunc(c.Largest, func(f FactChange) bool { _, isRows := rowsOf(n.Target, f.Name); return isRows })
	}
	c.Largest = c.Largest[:min(len(c.Largest), largestChanges)]
	slices.SortFunc(c.Rows, func(a, b RowsChange) int { return strings.Compare(a.Output, b.Output) })
	return c
}

// sameContent says whether consumers see the same trees.
func sameContent(t *engine.Target, a, b *lock.Action) bool {
	tree := func(x *lock.Action, name string) (t cache.TreeDigest) {
		for _, o := range x.Outputs {
			if o.Name == name {
				return o.Tree
			}
		}
		return t
	}
	return !slices.ContainsFunc(t.Outputs, func(o *engine.Output) bool { return tree(a, o.Name) != tree(b, o.Name) })
}

// compareFacts adds what changed of the facts that both have.
func (c *DataChange) compareFacts(t *engine.Target, partition string, old, new map[string]string) {
	for name, is := range new {
		was, ok := old[name]
		x, errX := strconv.ParseFloat(was, 64)
		y, errY := strconv.ParseFloat(is, 64)
		if !ok || errX != nil || errY != nil {
			continue
		}
		if output, isRows := rowsOf(t, name); isRows {
			k := slices.IndexFunc(c.Rows, func(r RowsChange) bool { return r.Output == output })
			if k < 0 {
				k = len(c.Rows)
				c.Rows = append(c.Rows, RowsChange{Output: output})
			}
			c.Rows[k].Partitions++
			c.Rows[k].Old += int64(x)
			c.Rows[k].New += int64(y)
		}
		if x != y {
			c.Largest = append(c.Largest, FactChange{partition, name, x, y})
		}
	}
}

// rowsOf says whether a fact is a number of rows, and of which output if there are several.
func rowsOf(t *engine.Target, fact string) (output string, ok bool) {
	if len(t.Outputs) == 1 {
		return "", fact == "rows"
	}
	output, ok = strings.CutSuffix(fact, ".rows")
	return output, ok && t.Output(output) != nil
}

// size is how much of the larger value the difference is.
func (f FactChange) size() float64 {
	if most := max(math.Abs(f.Old), math.Abs(f.New)); most > 0 {
		return math.Abs(f.New-f.Old) / most
	}
	return 0
}
