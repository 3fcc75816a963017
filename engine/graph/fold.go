package graph

// Fold joins a value of each partition that a consumer's partition reads: their greatest, their sum. Consumers in a row read stretches that grow at both ends, so
// what was joined for one is used for the next, and a fold over all partitions takes about as long as there are partitions, however wide the windows are.
type Fold[T any] struct {
	edge  *Edge
	value func(j int) T
	join  func(a, b T) T
	zero  T
	ends  map[SelectionKey]*stretched[T]
}

// NewFold returns a fold over an edge. join has to be associative, with zero for nothing. The value of a producer's partition is asked for once or a few times, when
// a consumer's partition first reads it, and may not change after.
func NewFold[T any](e *Edge, zero T, value func(j int) T, join func(a, b T) T) *Fold[T] {
	return &Fold[T]{edge: e, value: value, join: join, zero: zero, ends: map[SelectionKey]*stretched[T]{}}
}

// At joins the values of what partition i of the consumer reads. It is fast where i follows the i before it in time.
func (f *Fold[T]) At(i int) T {
	sel := f.edge.Inputs(i)
	if sel.Len() == 0 {
		return f.zero
	}
	k := sel.set.time()
	if k < 0 {
		return f.over(sel.Key(), 0, 1, func(int) T { return f.slab(sel) })
	}
	lo, n, key := int(sel.lo[k]), int(sel.n[k]), sel.Key()
	key.lo[k], key.n[k] = 0, 0 // what moves in time alone is one stretch
	return f.over(key, lo, lo+n, func(at int) T {
		sel.lo[k], sel.n[k] = int32(at), 1
		return f.slab(sel)
	})
}

// slab joins the values of a selection, one by one.
func (f *Fold[T]) slab(sel Selection) T {
	out := f.zero
	for j := range sel.All() {
		out = f.join(out, f.value(j))
	}
	return out
}

// over moves the stretch of a key to [lo, hi) and joins its slabs.
func (f *Fold[T]) over(key SelectionKey, lo, hi int, slab func(at int) T) T {
	s := f.ends[key]
	if s == nil || lo < s.lo || hi < s.hi || lo > s.hi {
		s = &stretched[T]{lo: lo, hi: lo, back: f.zero}
		f.ends[key] = s
	}
	for ; s.hi < hi; s.hi++ {
		v := slab(s.hi)
		s.in, s.back = append(s.in, v), f.join(s.back, v)
	}
	for ; s.lo < lo; s.lo++ {
		if len(s.out) == 0 {
			f.turn(s)
		}
		s.out = s.out[:len(s.out)-1]
	}
	if len(s.out) == 0 {
		return s.back
	}
	return f.join(s.out[len(s.out)-1], s.back)
}

// turn makes what came in go out, in the order in which it came.
func (f *Fold[T]) turn(s *stretched[T]) {
	sum := f.zero
	for k := len(s.in) - 1; k >= 0; k-- {
		sum = f.join(s.in[k], sum)
		s.out = append(s.out, sum)
	}
	s.in, s.back = s.in[:0], f.zero
}

// stretched is a queue of slabs with what they join to, kept in two stacks: each slab is joined at most twice while it passes through.
type stretched[T any] struct {
	lo, hi int
	in     []T // slabs of the newer part
	back   T   // they joined
	out    []T // of the older part: what each slab, with all after it in this part, joins to; the oldest is the last
}
