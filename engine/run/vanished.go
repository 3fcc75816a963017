package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// maxNamed is how many partitions a warning names.
const maxNamed = 3

// vanished warns of source partitions that had files once, have none now, and that a consumer goes on without. Where a consumer needs them they are missing, which is told anyhow.
func (b *build) vanished() (out []engine.Problem) {
	for _, n := range b.s.Graph.Nodes {
		if isJob(n) || b.nodes[n.Index].wanted == nil {
			continue
		}
		var gone, readers []string
		for i, p := range b.nodes[n.Index].phase {
			if p != blocked || b.s.Current(n, i).IsZero() {
				continue
			}
			if without := b.goOnWithout(n, i, map[graph.ActionID]bool{}); without != nil {
				gone = append(gone, n.Target.Label.At(n.Set.Text(i)))
				readers = append(readers, without...)
			}
		}
		if gone == nil {
			continue
		}
		slices.Sort(readers)
		out = append(out, engine.Problem{Severity: engine.Warning, Range: n.Target.Range,
			Summary: fmt.Sprintf("the files of %s are gone; what reads it with missing = \"skip\" goes on without: %s", named(gone), named(slices.Compact(readers))),
			Hint:    "put the files back; or, if this is as it should be, ask for the targets that do without, and not for the source"})
	}
	return append(out, b.unlisted()...)
}

// unlisted warns of partitions that were in a source's listing and are not any more, as their files are gone: they left the sets of all that is cut like the source.
func (b *build) unlisted() (out []engine.Problem) {
	retired := map[engine.Label][]string{}
	for _, c := range b.s.retired {
		retired[c.Label] = append(retired[c.Label], c.Partition)
	}
	for _, n := range b.s.Graph.Nodes {
		var gone, without []string
		for _, text := range retired[n.Target.Label] {
			if b.s.Graph.Unlisted(n, text) {
				gone = append(gone, n.Target.Label.At(text))
			}
		}
		if gone == nil {
			continue
		}
		for _, e := range n.Consumers {
			without = append(without, e.To.Target.Label.String())
		}
		slices.Sort(without)
		out = append(out, engine.Problem{Severity: engine.Warning, Range: n.Target.Range,
			Summary: fmt.Sprintf("the files of %s are gone, and so are the partitions; what reads them goes on without: %s", named(gone), named(slices.Compact(without))),
			Hint:    "put the files back, and all is as it was; versions are kept"})
	}
	return out
}

// unfiled lists what was asked for and has no partitions, as its source has no files: once for each reason, at the first target in the order of the graph.
func (b *build) unfiled() (out []Failure) {
	for _, n := range b.s.Graph.Nodes {
		lack := n.Set.Lack()
		if lack == "" || !b.nodes[n.Index].asked || slices.ContainsFunc(out, func(f Failure) bool { return f.Reason == lack }) {
			continue
		}
		out = append(out, Failure{Label: n.Target.Label, State: engine.MissingState, Reason: lack, Owner: b.s.Graph.Workspace.OwnerText(n.Target.Owner), Preview: b.opts.preview})
	}
	return out
}

// goOnWithout lists the targets of this build that leave out what is missing: a partition, or what is missing because it needs that.
func (b *build) goOnWithout(n *graph.Node, i int, seen map[graph.ActionID]bool) (out []string) {
	for _, e := range n.Consumers {
		wanted := b.nodes[e.To.Index].wanted
		if wanted == nil {
			continue
		}
		for k := range e.Readers(i).All() {
			id := e.To.Base + graph.ActionID(k)
			switch {
			case !wanted[k] || seen[id]:
				continue
			case e.Input.Missing != engine.Block:
				out = append(out, e.To.Target.Label.String())
			case b.decider.State(e.To, k) == engine.MissingState:
				seen[id] = true
				out = append(out, b.goOnWithout(e.To, k, seen)...)
			}
		}
	}
	return out
}

// named lists the first few names.
func named(names []string) string {
	if len(names) <= maxNamed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), len(names)-maxNamed)
}

// missingText says what is not there, and whether it once was.
func (s *Session) missingText(n *graph.Node, i int) string {
	for _, e := range n.Edges {
		if e != nil && e.Lack() != "" && e.Input.Missing == engine.Block {
			return fmt.Sprintf("input %s: %s", e.Input.Name, e.Lack())
		}
	}
	glob, err := n.Target.Path.At(n.Set.Partition(i), nil)
	if err != nil || n.Target.Kind != engine.Source {
		return "it has no files"
	}
	if had := s.Current(n, i); !had.IsZero() {
		return fmt.Sprintf("its files are gone, which were version %s: nothing matches %s", had.Short(), glob)
	}
	return "it has no files: nothing matches " + glob
}
