package run

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// Fate is what a build would do about an action.
type Fate uint8

const (
	Idle   Fate = iota // nothing
	Judged             // split, measured or judged; no job runs
	MayRun             // its job runs, or not: what producers give decides
	Runs               // its job runs, unless something that it needs fails or is held before
	Halted             // nothing can be done: it is missing, held or refused, can't be looked at, or needs what is
)

// Outlook is what a build of some actions would do, as far as that can be told beforehand. It changes nothing.
type Outlook struct {
	Decider *plan.Decider
	Needed  []graph.Selected // all actions that take part: also those that the selected ones need

	s        *Session
	b        *build
	nodes    []outlookNode            // by node
	promised map[cache.ActionKey]bool // keys of jobs that run, of targets that may have keys in common
	broken   bool                     // some action can't be looked at
	looked   map[*graph.Edge][]Fate   // what evicted producers were looked for, by partition
	// stoppedBy names what can't be looked at, by the actions that need it.
	stoppedBy map[graph.ActionID]graph.ActionID
	lost      map[graph.ActionID]bool // frozen actions whose bytes are gone and needed: whether for certain

	mu       sync.Mutex
	reasons  [][]string
	sections map[cache.SectionDigest]bool // of keys: whether the ledger has them
}

// outlookNode holds by partition what becomes of a node's actions; nil slices for nodes that take no part.
type outlookNode struct {
	fate   []Fate
	why    []uint16 // index into reasons, of those that run
	common bool     // another target has the same section in its keys, so that whole keys may be the same
}

// Outlook tells what a build of the selected actions with these options would do; in a session that goes by the locks, where there is the store of those who wrote them.
func (s *Session) Outlook(ctx context.Context, selected []graph.Selected, opts Options) (*Outlook, error) {
	b, needed, err := s.survey(ctx, selected, opts, false)
	if err != nil {
		return nil, err
	}
	o := newOutlook(s, b, needed)
	o.findCommon()
	for _, sel := range needed {
		if err := o.foresee(sel); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if s.locked == nil { // else the store lies where things are built
		o.foreseeLost()
		o.foreseeEvicted()
		o.foreseeLost() // by jobs, too, that only run because bytes are gone
	}
	return o, nil
}

// newOutlook returns an outlook in which nothing is to be done.
func newOutlook(s *Session, b *build, needed []graph.Selected) *Outlook {
	o := &Outlook{Decider: b.decider, Needed: needed, s: s, b: b, nodes: make([]outlookNode, len(s.Graph.Nodes)), promised: map[cache.ActionKey]bool{},
		stoppedBy: map[graph.ActionID]graph.ActionID{}, lost: map[graph.ActionID]bool{}, looked: map[*graph.Edge][]Fate{}, reasons: [][]string{nil}, sections: map[cache.SectionDigest]bool{}}
	for _, sel := range needed {
		size := sel.Node.Set.Len()
		o.nodes[sel.Node.Index] = outlookNode{fate: make([]Fate, size), why: make([]uint16, size)}
	}
	return o
}

// Fate is what a build would do about an action that takes part.
func (o *Outlook) Fate(n *graph.Node, i int) Fate {
	if x := o.nodes[n.Index]; x.fate != nil {
		return x.fate[i]
	}
	return Idle
}

// Why lists in a few words why a job runs or may run: "new", "code", "input plays". They are in a fixed order.
func (o *Outlook) Why(n *graph.Node, i int) []string {
	if x := o.nodes[n.Index]; x.why != nil {
		return o.reasons[x.why[i]]
	}
	return nil
}

// findCommon finds targets that may have keys in common.
func (o *Outlook) findCommon() {
	same := map[cache.SectionDigest][]*graph.Node{}
	for _, sel := range o.Needed {
		n := sel.Node
		if !isJob(n) {
			continue
		}
		if parts, err := o.b.workers[0].OwnParts(n, 0, nil); err == nil {
			same[parts[0].Digest] = append(same[parts[0].Digest], n)
		}
	}
	for _, nodes := range same {
		for _, n := range nodes {
			o.nodes[n.Index].common = len(nodes) > 1
		}
	}
}

// foresee finds what becomes of a node's actions. Its producers come before it.
func (o *Outlook) foresee(sel graph.Selected) error {
	n, x := sel.Node, &o.nodes[sel.Node.Index]
	workers, partitions := o.b.workers, inTime(n, sel.Partitions)
	if n.ReadsItself() { // in order
		workers = workers[:1]
	}
	comparers := map[*plan.Worker]*comparer{}
	for _, w := range workers {
		comparers[w] = &comparer{o: o, w: w}
	}
	each(workers, len(partitions), func(w *plan.Worker, at int) {
		i := partitions[at]
		x.fate[i], x.why[i] = comparers[w].foresee(n, i)
	})
	o.stop(sel)
	o.keepUnique(sel)
	for _, w := range workers {
		if err := comparers[w].err; err != nil {
			return err
		}
	}
	return nil
}

// stop stops what waits for something that can't be looked at: to the decider that is stale, and a build gives up on it.
func (o *Outlook) stop(sel graph.Selected) {
	n, x := sel.Node, &o.nodes[sel.Node.Index]
	for _, i := range sel.Partitions {
		o.broken = o.broken || o.Decider.Problem(n.Base+graph.ActionID(i)) != nil
	}
	if !o.broken {
		return
	}
	var folds []*graph.Fold[graph.ActionID]
	for _, e := range n.Edges {
		if e != nil {
			folds = append(folds, graph.NewFold(e, 0, func(j int) graph.ActionID { return o.gaveUp(e.From, j) }, func(a, b graph.ActionID) graph.ActionID { return cmp.Or(a, b) }))
		}
	}
	for _, i := range inTime(n, sel.Partitions) {
		if o.Decider.State(n, i) != engine.Undecided {
			continue
		}
		for _, f := range folds {
			if by := f.At(i); by != 0 {
				x.fate[i], x.why[i], o.stoppedBy[n.Base+graph.ActionID(i)] = Halted, 0, by-1
				break
			}
		}
	}
}

// gaveUp is, plus one, what stops an action that the decider counts among those that may become fresh; 0 of all others.
func (o *Outlook) gaveUp(n *graph.Node, j int) graph.ActionID {
	state := o.Decider.State(n, j)
	if state != engine.Stale && state != engine.Undecided || o.Fate(n, j) != Halted {
		return 0
	}
	return o.root(n, j) + 1
}

// inTime orders partitions so that each comes after those before it in time, which a target may read of itself.
func inTime(n *graph.Node, partitions []int) []int {
	if !n.ReadsItself() {
		return partitions
	}
	return slices.SortedStableFunc(slices.Values(partitions), func(a, b int) int { return n.Set.TimeIndex(a) - n.Set.TimeIndex(b) })
}

// keepUnique lets a job run for certain only once for each key: the second of two targets that are the same takes the result of the first.
func (o *Outlook) keepUnique(sel graph.Selected) {
	n, x := sel.Node, &o.nodes[sel.Node.Index]
	if !x.common {
		return
	}
	for _, i := range sel.Partitions {
		if x.fate[i] != Runs {
			continue
		}
		key := o.Decider.Key(n, i)
		if key.IsZero() || o.promised[key] {
			x.fate[i] = MayRun
		}
		o.promised[key] = true
	}
}

// foreseeEvicted finds the jobs whose results are known and whose bytes are gone, and needed: by a job, by dpb-out, or by a job of this kind.
func (o *Outlook) foreseeEvicted() {
	evicted := o.reason([]string{"evicted"})
	for _, sel := range slices.Backward(o.Needed) {
		n, x := sel.Node, &o.nodes[sel.Node.Index]
		for _, i := range slices.Backward(inTime(n, sel.Partitions)) {
			if x.fate[i] == Idle && o.b.lacks(n, i, o.idle(n, i)) {
				x.fate[i], x.why[i] = Runs, evicted
			}
			if f := x.fate[i]; f == Runs || f == MayRun || f == Judged && isJob(n) {
				o.needBytes(n, i, f, evicted)
			}
		}
	}
}

// idle is what there is to record of a fresh action; nil of others.
func (o *Outlook) idle(n *graph.Node, i int) *record {
	if !isJob(n) || o.Decider.State(n, i) != engine.Fresh || !o.b.nodes[n.Index].asked {
		return nil
	}
	return o.b.outdated(n, i)
}

// needBytes has the producers of an action run whose bytes are gone.
func (o *Outlook) needBytes(n *graph.Node, i int, f Fate, why uint16) {
	for _, e := range n.Edges {
		if e != nil {
			o.needAll(e, i, f, why)
		}
	}
	for _, e := range n.References { // a verdict may know all that it asks for
		o.needAll(e, i, MayRun, why)
	}
}

// needAll looks at each partition once for each fate, however many read it.
func (o *Outlook) needAll(e *graph.Edge, i int, f Fate, why uint16) {
	looked := o.looked[e]
	if looked == nil {
		looked = make([]Fate, e.From.Set.Len())
		o.looked[e] = looked
	}
	for j := range e.Inputs(i).All() {
		if looked[j] < f {
			looked[j] = f
			o.needed(e, j, f, why)
		}
	}
}

func (o *Outlook) needed(e *graph.Edge, j int, f Fate, why uint16) {
	x := &o.nodes[e.From.Index]
	state := o.Decider.State(e.From, j)
	if !isJob(e.From) || state != engine.Fresh && state != engine.Held || x.fate[j] == Runs || x.fate[j] == MayRun && (f != Runs || x.common) {
		return
	}
	if x.fate[j] != MayRun && o.present(made(o.Decider, e, j).Tree) {
		return
	}
	x.fate[j], x.why[j] = MayRun, why
	if f == Runs && !x.common {
		x.fate[j] = Runs
	}
}

func (o *Outlook) present(t cache.TreeDigest) bool { return o.s.Store.Present(context.Background(), t) }

// reason numbers a list of reasons.
func (o *Outlook) reason(words []string) uint16 {
	o.mu.Lock()
	defer o.mu.Unlock()
	k := slices.IndexFunc(o.reasons, func(r []string) bool { return slices.Equal(r, words) })
	if k < 0 {
		k = len(o.reasons)
		o.reasons = append(o.reasons, words)
	}
	return uint16(k)
}
