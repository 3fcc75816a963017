package fingerprint

import (
	"cmp"
	"maps"
	"math"
	"math/bits"
	"slices"
)

// Up to limit different values of a column are counted one by one. Where there are more, registers and buckets take their place; what these hold depends on
// nothing but the values, so it is the same in whatever order and portions they came.
const limit = 4096

// value is one value of a column, to be compared with others of it: of numbers, hi and lo; of texts, the first bytes. NaN is above all numbers.
type value struct {
	hi   int64
	lo   uint64
	text string
}

func (v value) compare(o value) int {
	return cmp.Or(cmp.Compare(v.hi, o.hi), cmp.Compare(v.lo, o.lo), cmp.Compare(v.text, o.text))
}

// entry is a value with its hash and the number of its rows.
type entry struct {
	value
	ha, hb uint64
	rows   int64
}

func (e entry) compare(o entry) int {
	return cmp.Or(e.value.compare(o.value), cmp.Compare(e.ha, o.ha), cmp.Compare(e.hb, o.hb))
}

// tally counts the rows of each value. Values are told apart by their hashes.
type tally struct {
	entries []entry
	slots   []int32 // indexes of entries from 1, by hash; a power of two, at most half full
}

// find returns the entry of a hash, nil if there is none.
func (t *tally) find(ha, hb uint64) *entry {
	if len(t.slots) == 0 {
		return nil
	}
	mask := uint64(len(t.slots) - 1)
	for k := ha & mask; t.slots[k] != 0; k = (k + 1) & mask {
		if e := &t.entries[t.slots[k]-1]; e.ha == ha && e.hb == hb {
			return e
		}
	}
	return nil
}

// insert adds an entry that is not there yet, and says whether there is room for it.
func (t *tally) insert(e entry) bool {
	if len(t.entries) == limit {
		return false
	}
	if 2*len(t.entries) >= len(t.slots) {
		t.slots = make([]int32, max(16, 2*len(t.slots)))
		for k := range t.entries {
			t.place(k)
		}
	}
	t.entries = append(t.entries, e)
	t.place(len(t.entries) - 1)
	return true
}

func (t *tally) place(entry int) {
	mask := uint64(len(t.slots) - 1)
	k := t.entries[entry].ha & mask
	for t.slots[k] != 0 {
		k = (k + 1) & mask
	}
	t.slots[k] = int32(entry) + 1
}

// sorted returns the entries in the order of their values.
func (t *tally) sorted() []entry {
	out := slices.Clone(t.entries)
	slices.SortFunc(out, entry.compare)
	return out
}

// registers are those of a HyperLogLog (Flajolet and others, 2007): of the hashes that begin with a number's bits, the longest run of zeros that follows, plus one.
type registers []uint8

const (
	registerBits = 12
	// registerError is the relative standard error of an estimate: 1.04 by the root of the number of registers.
	registerError = 0.01625
)

func newRegisters() registers { return make(registers, 1<<registerBits) }

func (r registers) add(h uint64) {
	k := h >> (64 - registerBits)
	if n := uint8(bits.LeadingZeros64(h<<registerBits|1<<(registerBits-1))) + 1; n > r[k] {
		r[k] = n
	}
}

func (r registers) merge(o registers) {
	for k, n := range o {
		r[k] = max(r[k], n)
	}
}

// estimate is Ertl's (New cardinality estimation algorithms for HyperLogLog sketches, 2017, algorithm 6): without tables, and right for few values too.
func (r registers) estimate() int64 {
	const q = 64 - registerBits
	var counts [q + 2]float64
	for _, n := range r {
		counts[n]++
	}
	m := float64(len(r))
	z := float64(m * tau(1-counts[q+1]/m))
	for k := q; k >= 1; k-- {
		z = 0.5 * (z + counts[k])
	}
	z += float64(m * sigma(counts[0]/m))
	return int64(math.Round(m * m / (2 * math.Ln2) / z))
}

func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	for y, z := 1.0, x; ; y += y {
		x *= x
		was := z
		if z += float64(x * y); z == was {
			return z
		}
	}
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	for y, z := 1.0, 1-x; ; {
		x = math.Sqrt(x)
		y *= 0.5
		was := z
		if z -= float64((1 - x) * (1 - x) * y); z == was {
			return z / 3
		}
	}
}

// buckets count numbers that lie near each other. A bucket's number is the number's own key without its last level bits; the level is the least at which no more than
// limit buckets are in use.
type buckets struct {
	level uint8
	rows  map[int64]int64
}

func newBuckets() *buckets { return &buckets{rows: map[int64]int64{}} }

func (b *buckets) add(key, rows int64) { b.addAt(key>>b.level, rows) }

func (b *buckets) addAt(bucket, rows int64) {
	b.rows[bucket] += rows
	for len(b.rows) > limit {
		b.coarsen()
	}
}

func (b *buckets) coarsen() {
	was := b.rows
	b.rows = make(map[int64]int64, limit)
	b.level++
	for k, n := range was {
		b.rows[k>>1] += n
	}
}

func (b *buckets) merge(o *buckets) {
	for b.level < o.level {
		b.coarsen()
	}
	for k, n := range o.rows {
		b.addAt(k>>(b.level-o.level), n)
	}
}

// sorted returns the buckets in use.
func (b *buckets) sorted() []int64 { return slices.Sorted(maps.Keys(b.rows)) }

// bucketBits are the bits of a float's order key that its bucket leaves away at level 0: 7 of the fraction stay.
const bucketBits = 45

// orderKey is a number that is ordered as floats are, with 0 and -0 the same and NaN above all.
func orderKey(b uint64) int64 {
	if b == 1<<63 {
		return 0
	}
	return int64(b ^ uint64(int64(b)>>63)>>1)
}

// ofOrderKey is the float of an order key.
func ofOrderKey(k int64) float64 { return math.Float64frombits(uint64(k) ^ uint64(k>>63)>>1) }

// floatBucket is the key of a number in the buckets.
func floatBucket(f float64) int64 { return orderKey(math.Float64bits(f)) >> bucketBits }
