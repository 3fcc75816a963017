package graph

import (
	"iter"

	"github.com/dpb-build/dpb/engine"
)

// Edge is one input that names a target, or a reference: a rule from the consumer's partitions to the producer's. It holds no list of either.
type Edge struct {
	From, To *Node
	Input    *engine.Input
	Output   *engine.Output // of From; of a quarantine, one that stands for the rejected rows of the output of that name
	// Quarantine says that what is read are the rows that were rejected.
	Quarantine bool
	// Holder is of To, and of references only: the output whose column is looked up.
	Holder *engine.Output
	dims   []mapping // by dimension of From
}

// LooksUp is the column of the other table in which a reference looks values up: its key.
func (e *Edge) LooksUp() string { return e.Output.Key[0] }

// relation says how the values of a producer's dimension follow from the consumer's partition.
type relation uint8

const (
	all      relation = iota // all values
	same                     // of the same dimension, the same value
	finer                    // those that lie in the consumer's value
	coarser                  // the one that contains the consumer's value
	overlaps                 // those that have an instant in common with the consumer's value
	fixed                    // the slice's value
)

// mapping selects along one dimension of the producer.
type mapping struct {
	relation relation
	consumer int // dimension of the consumer; -1 if it has none to map from
	value    int // of fixed: position from the span's start
	window   *engine.Window
	last     bool // take = "last"
}

// Selection is a block of a set's partitions: a stretch along each dimension.
type Selection struct {
	set   *Set
	none  bool // empty whatever the stretches say: of a set without dimensions there are none
	lo, n [MaxDimensions]int32
}

// SelectionKey tells selections of one edge apart.
type SelectionKey struct{ lo, n [MaxDimensions]int32 }

// Key identifies the selection among those of its edge.
func (s Selection) Key() SelectionKey { return SelectionKey{s.lo, s.n} }

// Len counts the partitions.
func (s Selection) Len() int {
	if s.none {
		return 0
	}
	n := 1
	for k := range s.set.spans {
		n *= int(s.n[k])
	}
	return n
}

// Stretch is where the partitions begin and how many there are, of a set where they lie side by side: of no more than one dimension.
func (s Selection) Stretch() (from, n int, ok bool) {
	switch {
	case s.none:
		return 0, 0, true
	case len(s.set.spans) == 0:
		return 0, 1, true
	case len(s.set.spans) == 1:
		return int(s.lo[0]), int(s.n[0]), true
	}
	return 0, 0, false
}

// Last is the greatest of the partitions' indices: the newest. It is false if there are none.
func (s Selection) Last() (int, bool) {
	if s.Len() == 0 {
		return 0, false
	}
	i := 0
	for k, sp := range s.set.spans {
		i = i*sp.n + int(s.lo[k]+s.n[k]) - 1
	}
	return i, true
}

// All yields the partitions' indices in ascending order.
func (s Selection) All() iter.Seq[int] {
	return func(yield func(int) bool) { _ = !s.none && s.visit(0, 0, yield) }
}

func (s Selection) visit(k, base int, yield func(int) bool) bool {
	if k == len(s.set.spans) {
		return yield(base)
	}
	for at := s.lo[k]; at < s.lo[k]+s.n[k]; at++ {
		if !s.visit(k+1, base*s.set.spans[k].n+int(at), yield) {
			return false
		}
	}
	return true
}

// Inputs are the producer's partitions that the consumer's partition i reads.
func (e *Edge) Inputs(i int) Selection {
	sel := Selection{set: e.From.Set}
	at := e.To.Set.split(i)
	for k, m := range e.dims {
		sp := e.From.Set.spans[k]
		lo, hi := 0, sp.n-1
		switch {
		case m.relation == fixed:
			lo, hi = max(m.value, 0), m.value
		case m.consumer >= 0:
			lo, hi = e.stretch(k, at[m.consumer])
			lo, hi = max(lo, 0), min(hi, sp.n-1)
		case m.last:
			lo = max(hi, 0)
		}
		sel.lo[k], sel.n[k] = int32(lo), int32(max(0, hi-lo+1))
	}
	return sel
}

// stretch is what the consumer's position c selects along dimension k of the producer, relative to the producer's span and not yet clipped. Both ends grow
// with c, on which Readers builds.
func (e *Edge) stretch(k, c int) (lo, hi int) {
	from := e.From.Set.spans[k]
	lo, hi = e.windowed(k, c)
	lo, hi = lo-from.from, hi-from.from
	m := e.dims[k]
	if m.window != nil && m.window.FromStart {
		lo = 0
	}
	if m.last {
		if hi = min(hi, from.n-1); hi >= lo {
			lo = hi
		}
	}
	return lo, hi
}

// windowed are the first and the last value of the producer's axis that the consumer's position c is mapped to. A window counts positions of the calendar, also those
// where nothing is; that of a target on itself counts what is there, so that running totals run on over gaps.
func (e *Edge) windowed(k, c int) (lo, hi int) {
	m := e.dims[k]
	from, to := e.From.Set.spans[k], e.To.Set.spans[m.consumer]
	c += to.from
	w := m.window
	if w == nil {
		w = &engine.Window{}
	}
	if e.From == e.To && m.relation == same {
		return c + w.From, c + w.To
	}
	switch m.relation {
	case same:
		lo, hi = to.slot(c), to.slot(c)
	case coarser:
		lo = from.position(to.start(c))
		hi = lo
	case finer:
		lo, hi = from.position(to.start(c)), from.position(to.end(c))-1
	case overlaps:
		lo, hi = from.position(to.start(c)), from.position(to.end(c).Add(-1))
	}
	return from.atOrAfter(lo + w.From), from.atOrBefore(hi + w.To)
}

// Readers are the consumer's partitions that read the producer's partition j.
func (e *Edge) Readers(j int) Selection {
	sel := e.To.Set.all()
	at := e.From.Set.split(j)
	for k, m := range e.dims {
		p := at[k]
		switch {
		case m.relation == fixed && p != m.value, m.relation != fixed && m.consumer < 0 && m.last && p != e.From.Set.spans[k].n-1:
			return Selection{set: e.To.Set, none: true}
		case m.relation == fixed || m.consumer < 0:
			continue
		}
		lo, hi := searchRange(e.To.Set.spans[m.consumer].n,
			func(c int) bool { _, hi := e.stretch(k, c); return hi < p },
			func(c int) bool { lo, _ := e.stretch(k, c); return lo > p })
		sel.lo[m.consumer], sel.n[m.consumer] = int32(lo), int32(hi-lo)
	}
	return sel
}

// Single says whether the edge selects at most one partition, for each partition of the consumer, by what is declared.
func (e *Edge) Single() bool {
	for _, m := range e.dims {
		switch {
		case m.last || m.relation == fixed:
		case m.relation == same || m.relation == coarser:
			if w := m.window; w != nil && (w.FromStart || w.From != w.To) {
				return false
			}
		default:
			return false
		}
	}
	return true
}
