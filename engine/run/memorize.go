package run

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
)

// memorize writes what a build found, where that is not what is remembered already.
func (s *Session) memorize(b *build) {
	m := s.memory
	if m == nil || s.ReadOnly || m.foreign || m.revision == (ledger.Revision{}) || b.opts.preview || time.Now().Round(0).Add(s.ahead).Before(s.looked) {
		return
	}
	about := s.about(m.revision)
	if before, _ := m.table.Get(aboutAll); string(before) != string(about) {
		m.table.Put(aboutAll, about)
	}
	var stretches []stretch
	for _, n := range s.Graph.Nodes {
		x := &m.nodes[n.Index]
		if b.nodes[n.Index].wanted != nil {
			x.prepare(n)
		}
		for k := range x.stale {
			stretches = append(stretches, stretch{n, k})
		}
	}
	moved := s.moved(b)
	for some := range slices.Chunk(stretches, 64) { // not all at once: the table has copies
		written := make([][]byte, len(some))
		each(b.workers, len(some), func(_ *plan.Worker, at int) { written[at] = s.memorized(b, some[at], moved) })
		for at, body := range written {
			if body != nil {
				m.table.Put(chunkName(some[at].node, some[at].chunk), body)
			}
		}
	}
}

// stretch is one chunk of a node's partitions.
type stretch struct {
	node  *graph.Node
	chunk int
}

// moved finds the nodes of which consumers see something else than is remembered. What is remembered of keys that these consumers had, and were not decided now, counts no more.
func (s *Session) moved(b *build) []bool {
	out := make([]bool, len(s.Graph.Nodes))
	each(b.workers, len(out), func(_ *plan.Worker, at int) {
		n := s.Graph.Nodes[at]
		for i := range b.nodes[at].wanted {
			if b.decider.State(n, i) != 0 && !b.decider.Same(n, i) {
				out[at] = true
				return
			}
		}
	})
	return out
}

// memorized encodes a stretch; nil if it is what the table has.
func (s *Session) memorized(b *build, at stretch, moved []bool) []byte {
	n := at.node
	from, to := at.chunk*chunk, min((at.chunk+1)*chunk, n.Set.Len())
	found := b.decider.Found(n)
	loses := found.Recipe != s.memory.nodes[n.Index].Recipe && found.Recipe != (cache.SectionDigest{}) ||
		slices.ContainsFunc(n.Edges, func(e *graph.Edge) bool { return e != nil && moved[e.From.Index] })
	x := &s.memory.nodes[n.Index]
	same := !x.stale[at.chunk] && (found.Recipe == (cache.SectionDigest{}) || found.Recipe == x.Recipe)
	for i := from; i < to && same; i++ {
		same = s.isMemorized(b, n, i, found, loses)
	}
	if same {
		return nil
	}
	if found.Recipe == (cache.SectionDigest{}) {
		found.Recipe = x.Recipe
	}
	e := encoder{recipe: found.Recipe, complete: true}
	for i := from; i < to; i++ {
		e.add(s.finding(b, n, i, found, loses))
	}
	return e.encode()
}

// isMemorized says whether what was found of an action is what is remembered.
func (s *Session) isMemorized(b *build, n *graph.Node, i int, found *plan.Remembered, loses bool) bool {
	x := &s.memory.nodes[n.Index]
	cur := s.current[n.Index]
	if cur.version == nil && b.decider.Prepared(n) && !x.version[i].IsZero() {
		return false
	}
	if cur.version != nil && (cur.version[i] != x.version[i] || cur.key[i] != x.key[i] || cur.rules[i] != x.rules[i]) {
		return false
	}
	if b.decider.State(n, i) == 0 {
		return !loses || !x.Wanted[i]
	}
	if x.looks != nil && x.looks[i] == unchanged && b.decider.Same(n, i) && x.Wanted[i] && x.Keys[i] == b.decider.Key(n, i) { // most sources
		return true
	}
	f := s.finding(b, n, i, found, loses)
	return f.seen == x.Seen[i] && f.wanted == x.Wanted[i] && (!f.seen || b.decider.Same(n, i)) && (x.files == nil || string(f.files) == string(x.files[i]))
}

// finding is what there is to remember of one action.
type finding struct {
	unknown           bool // there is a pointer, and nobody knows what it stands for
	seen, wanted      bool
	key               cache.ActionKey
	version           engine.VersionID
	rules             cache.SectionDigest
	trees, raw, aside []cache.TreeDigest
	columns           [][]engine.Column
	files             []byte
}

// finding tells what was found of an action; of one that was not decided, what is remembered, unless its key lost what it followed from.
func (s *Session) finding(b *build, n *graph.Node, i int, found *plan.Remembered, loses bool) (f finding) {
	x, cur := &s.memory.nodes[n.Index], s.current[n.Index]
	state := b.decider.State(n, i)
	if state == 0 && !b.decider.Prepared(n) { // its target has no part in the build
		cur = x.pointers
		f.unknown = x.lacks && cur.version != nil && cur.version[i].IsZero()
	}
	if cur.version == nil || cur.version[i].IsZero() {
		return f
	}
	f.version, f.key, f.rules = cur.version[i], cur.key[i], cur.rules[i]
	good := state == engine.Fresh || state == engine.Frozen
	switch {
	case good && cur.key[i] == b.decider.Key(n, i):
		f.seen, f.wanted = true, state == engine.Fresh && n.Target.ValidFor == 0
		f.take(found, n, i)
		f.files = s.filesOfSource(n, i, f)
	case f.version == x.version[i]:
		f.take(&x.Remembered, n, i)
		if state == 0 {
			f.seen, f.wanted = x.Seen[i], !loses && x.Wanted[i]
			if x.files != nil {
				f.files = x.files[i]
			}
		}
	default:
		f.unknown = true
	}
	return f
}

// take takes the outputs of an action.
func (f *finding) take(r *plan.Remembered, n *graph.Node, i int) {
	from, to := i*len(n.Target.Outputs), (i+1)*len(n.Target.Outputs)
	f.trees = r.Trees[from:to]
	if r.Raw != nil {
		f.raw, f.aside = r.Raw[from:to], r.Aside[from:to]
	}
	if r.Columns != nil {
		f.columns = r.Columns[from:to]
	}
}

// filesOfSource lists names and stamps of the files of a source's partition; nil where they could change and have the same stamps.
func (s *Session) filesOfSource(n *graph.Node, i int, f finding) []byte {
	if n.Target.Kind != engine.Source || f.raw != nil {
		return nil
	}
	if m := &s.memory.nodes[n.Index]; m.looks[i] == unchanged {
		return m.files[i]
	}
	snapshot, err := s.snapshot(n, n.Target.Path, i)
	if err != nil || snapshot.Digest() != f.trees[0] {
		return nil
	}
	var b []byte
	settled := true
	s.files.Stamps(snapshot, func(name string, stamp disk.Stamp) {
		settled = settled && stamp.Settled(s.looked)
		b = disk.AppendStamped(b, name, stamp)
	})
	if !settled {
		return nil
	}
	return b
}

func cutBytes(b []byte) (value, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, false
	}
	return b[w : w+int(n) : w+int(n)], b[w+int(n):], true
}
