package run

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
)

// memory is what the last build of a checkout found, so that the next command need look only for what has changed. It holds nothing that does not follow from the ledger and the working
// tree, and each part of it counts only while what it follows from is seen to be what it was:
//
//   - keys of actions, while the files that declare the workspace, the values of its dimensions, recipes, and all that enters are the same;
//   - trees of sources, while their files have size, times and inode of then, which were old enough then to tell a later change;
//   - pointers, while the ledger says that none moved.
type memory struct {
	table    *disk.Table
	lookers  sync.Pool // of *disk.Looker below the root; nil ones where it can't be opened
	nodes    []nodeMemory
	revision ledger.Revision // of the pointers, as far as this command knows
	seeded   bool            // the pointers that are remembered were asked for, and may have moved since
	foreign  bool            // somebody else moved pointers during this command
}

// nodeMemory is what is remembered of a target, by partition; without arrays if nothing is.
type nodeMemory struct {
	plan.Remembered
	pointers
	pointed bool     // there are no other pointers of the target
	lacks   bool     // there are some
	stale   []bool   // chunks of which the table has not what is here
	files   [][]byte // of a source: names and stamps of what its glob matched; nil where that is not known
	looks   []look   // likewise
	globs   bool     // likewise: other files may match now
}

// look is what a look at a source's files found in this command.
type look uint8

const (
	notLooked look = iota
	unchanged
	changed
)

const (
	memoryHeader = "dpb memory 1\n"
	memoryFile   = "memory"
	aboutAll     = ""  // the name of what all else counts for
	chunk        = 512 // partitions that are written together
)

// remembers takes up what the last build found.
func (s *Session) remembers(checkout string) {
	if s.Declared == (cache.Digest{}) || s.Program == "" || s.Ledger == nil {
		return
	}
	m := &memory{table: disk.OpenTable(filepath.Join(checkout, memoryFile), memoryHeader), nodes: make([]nodeMemory, len(s.Graph.Nodes))}
	s.memory = m
	if root, err := disk.OpenDir(s.Root); err == nil {
		m.lookers.New = func() any { return root.Looker() }
	}
	about, _ := m.table.Get(aboutAll)
	revision, ok := s.countsFor(about)
	if !ok || s.looked.Before(m.table.Written()) { // where the clock went back a change may have the times of before
		m.table.Clear()
		return
	}
	m.revision = revision
	next := make(chan *graph.Node, len(s.Graph.Nodes))
	for _, n := range s.Graph.Nodes {
		next <- n
	}
	close(next)
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for n := range next {
				m.nodes[n.Index].read(m.table, n)
			}
		})
	}
	all.Wait()
}

// memorySound says whether a memory can be read.
func memorySound(file string) (bool, error) { return disk.SoundTable(file, memoryHeader) }

// about says what the memory counts for: this dpb, what is declared with the values of the dimensions, and, last, a state of the pointers.
func (s *Session) about(revision ledger.Revision) []byte {
	var b engine.Section
	sets := s.sets()
	b.Add("dpb", s.Program)
	b.Add("sets", string(sets[:]))
	b.Add("revision", string(revision[:]))
	return b.Bytes()
}

// sets names all that is declared and the partitions of all targets; zero where that is not known.
func (s *Session) sets() cache.SectionDigest {
	if s.Declared == (cache.Digest{}) {
		return cache.SectionDigest{}
	}
	s.setsOnce.Do(func() {
		var b engine.Section
		calendar := s.Graph.Calendar()
		b.Add("declared", string(s.Declared[:]))
		b.Add("calendar", string(calendar[:]))
		s.setsDigest = b.Digest()
	})
	return s.setsDigest
}

func (s *Session) countsFor(about []byte) (r ledger.Revision, ok bool) {
	if len(about) < len(r) {
		return r, false
	}
	copy(r[:], about[len(about)-len(r):])
	return r, string(about) == string(s.about(r))
}

// prepare makes room for what is to be known of a node.
func (m *nodeMemory) prepare(n *graph.Node) {
	if m.Keys != nil {
		return
	}
	size := n.Set.Len()
	m.Make(n.Target, size)
	m.pointers.prepare(n)
	m.Keys = m.key
	m.stale = slices.Repeat([]bool{true}, (size+chunk-1)/chunk)
	if n.Target.Kind == engine.Source {
		m.files, m.looks = make([][]byte, size), make([]look, size)
		m.globs = slices.ContainsFunc(n.Target.Path, func(s engine.Segment) bool {
			return s.Eval != nil || engine.IsGlob(s.Literal) || strings.Contains(s.Literal, `\`)
		})
	}
}

func chunkName(n *graph.Node, k int) string { return fmt.Sprintf("%s %07d", n.Target.Label, k) }

// seedRemembered tells the decider of the pointers, and lists the nodes of which not all are remembered. It is false where any moved since.
func (s *Session) seedRemembered(d *plan.Decider, frozen frozen) (others []*graph.Node, ok bool, err error) {
	m := s.memory
	if m == nil || m.seeded {
		return nil, false, nil
	}
	m.seeded = true
	now, err := s.Ledger.Revision(s.Environment)
	before := m.revision
	m.revision = now
	if err != nil || now != before || now == (ledger.Revision{}) {
		m.distrust(s.Graph, d)
		return nil, false, err
	}
	var outputs []engine.OutputResult
	for _, n := range s.Graph.Nodes {
		x := &m.nodes[n.Index]
		switch {
		case !d.Prepared(n):
			continue
		case !x.pointed:
			others = append(others, n)
			continue
		}
		if !n.Target.Freeze.Set && s.boxes.Mode != sandbox.Require {
			s.current[n.Index] = x.pointers
			s.current[n.Index].shared = true
			d.SeedAll(n, x.key, x.rules, &x.Remembered)
			continue
		}
		for i, id := range x.version {
			if id.IsZero() {
				continue
			}
			outputs = x.outputs(n, i, outputs[:0])
			if err := s.seedOne(d, n, i, frozen, ledger.Current{Version: id, Key: x.key[i], Shape: x.rules[i], Outputs: outputs}); err != nil {
				return nil, false, err
			}
		}
	}
	return others, true, nil
}

// distrust drops what is remembered of nodes whose pointers nobody asks for now.
func (m *memory) distrust(g *graph.Graph, d *plan.Decider) {
	for _, n := range g.Nodes {
		if d.Prepared(n) {
			continue
		}
		for k := range m.nodes[n.Index].stale {
			m.table.Delete(chunkName(n, k))
		}
		m.nodes[n.Index] = nodeMemory{}
	}
}

// outputs are those of a pointer.
func (m *nodeMemory) outputs(n *graph.Node, i int, out []engine.OutputResult) []engine.OutputResult {
	for k, o := range n.Target.Outputs {
		at := i*len(n.Target.Outputs) + k
		r := engine.OutputResult{Name: o.Name, Tree: m.Trees[at], Rows: -1}
		if m.Columns != nil {
			r.Columns = m.Columns[at]
		}
		out = append(out, r)
		if m.Aside != nil && !m.Aside[at].IsZero() {
			out = append(out, engine.OutputResult{Name: plan.RawName(o.Name), Tree: m.Raw[at], Rows: -1},
				engine.OutputResult{Name: plan.QuarantineName(o.Name), Tree: m.Aside[at], Rows: -1})
		}
	}
	return out
}

// recall tells the decider what is remembered.
func (s *Session) recall(d *plan.Decider) {
	if s.memory == nil {
		return
	}
	for _, n := range s.Graph.Nodes {
		if x := &s.memory.nodes[n.Index]; x.Keys != nil && d.Prepared(n) {
			d.Remember(n, &x.Remembered)
		}
	}
}

// remembered is the tree of a source's partition of which no file has changed.
func (s *Session) remembered(n *graph.Node, i int) (t cache.TreeDigest, ok bool) {
	if s.memory == nil {
		return t, false
	}
	m := &s.memory.nodes[n.Index]
	if m.files == nil || m.files[i] == nil {
		return t, false
	}
	if m.looks[i] == notLooked {
		if m.looks[i] = changed; s.unchanged(n, i) {
			m.looks[i] = unchanged
		}
	}
	return m.Trees[i], m.looks[i] == unchanged
}

// unchanged looks at the files of a source's partition: whether they are the same ones, and nobody wrote to them.
func (s *Session) unchanged(n *graph.Node, i int) bool {
	m := &s.memory.nodes[n.Index]
	looker, _ := s.memory.lookers.Get().(*disk.Looker)
	if looker == nil {
		return false
	}
	defer s.memory.lookers.Put(looker)
	var names []string
	if m.globs {
		glob, err := n.Target.Path.At(n.Set.Partition(i), nil)
		if err != nil {
			return false
		}
		if names, err = s.files.Match(n.Target.Label.Pkg, glob); err != nil {
			return false
		}
	}
	k := 0
	for b := m.files[i]; len(b) > 0; k++ {
		name, stamp, rest, ok := disk.CutStamped(b)
		if !ok || m.globs && (k >= len(names) || names[k] != string(name)) {
			return false
		}
		if now, regular, err := looker.Stat(name); err != nil || !regular || now != stamp {
			return false
		}
		b = rest
	}
	return k > 0 && (!m.globs || k == len(names))
}

// lookAnew has all files be looked at once more, by another pass of this command.
func (s *Session) lookAnew() {
	s.files.Forget()
	if s.memory == nil {
		return
	}
	for k := range s.memory.nodes {
		for i := range s.memory.nodes[k].looks {
			s.memory.nodes[k].looks[i] = changed
		}
	}
}

// holdsFor fails where files of a source are not what they were when this command first looked at them.
func (s *Session) holdsFor(n *graph.Node, i int, snapshot source.Snapshot) error {
	if s.memory == nil || n.Target.Kind != engine.Source {
		return nil
	}
	m := &s.memory.nodes[n.Index]
	if m.looks == nil || m.looks[i] != unchanged || m.Trees[i] == snapshot.Digest() {
		return nil
	}
	name, _, _, _ := disk.CutStamped(m.files[i])
	file := string(name)
	if !filepath.IsAbs(file) {
		file = filepath.Join(s.Root, file)
	}
	return &source.ChangedError{File: file}
}

// follower keeps the revision of the pointers up to date with what this command commits.
type follower struct {
	s        *Session
	revision ledger.Revision
	foreign  bool
}

func (s *Session) followPointers() *follower { return &follower{s: s} }

// before notices what somebody else committed meanwhile.
func (f *follower) before(tx *ledger.Tx) error {
	if f.s.memory == nil {
		return nil
	}
	r, err := tx.Revision(f.s.Environment)
	f.foreign = r != f.s.memory.revision
	return err
}

func (f *follower) after(tx *ledger.Tx) (err error) {
	if f.s.memory != nil {
		f.revision, err = tx.Revision(f.s.Environment)
	}
	return err
}

func (f *follower) committed() {
	if m := f.s.memory; m != nil {
		m.revision, m.foreign = f.revision, m.foreign || f.foreign
	}
}
