package fingerprint

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
)

// vector holds a column's values of some rows.
type vector struct {
	rows   int
	set    []bool // which rows have a value; nil: all
	values int    // how many there are
	ints   []int64
	floats []float64
	wides  []wide
	data   []byte   // texts, one after the other
	at     []uint32 // where each text begins; after the last, where it ends
	index  []int32  // each value's index in dict; nil: the values are in the fields above
	dict   *vector
}

func (v *vector) text(k int) []byte { return v.data[v.at[k]:v.at[k+1]] }

// step is so many rows that what is made of them stays in the processor's cache.
const step = 4096

// worker adds vectors to columns. It has the room that this takes.
type worker struct {
	ra, rb []uint64 // the hashes of the rows of a group
	ha, hb []uint64 // of a vector's values
	xa, xb []uint64 // of a vector's rows
	keys   []int64
	// Of the column that is being added:
	sum       [2]uint64 // two's complement
	squares   [3]uint64
	exponents []exponent // of floats, by sign and exponent
	near      []uint32   // rows by bucket of level 0: sign, exponent and 7 bits
	touched   []bool     // by sign and exponent
	dict      *vector
	dictRows  []int64
	da, db    []uint64 // the hashes of the dictionary
}

// exponent sums up floats of one sign and exponent: their fractions as integers, and the squares of these.
type exponent struct {
	rows    int64
	sum     [2]uint64
	squares [3]uint64
}

func newWorker() *worker {
	return &worker{ha: make([]uint64, step), hb: make([]uint64, step), xa: make([]uint64, step), xb: make([]uint64, step), keys: make([]int64, step), exponents: make([]exponent, 1<<12)}
}

// begin makes room for a group of rows.
func (w *worker) begin(rows int) {
	if cap(w.ra) < rows {
		w.ra, w.rb = make([]uint64, rows), make([]uint64, rows)
	}
	w.ra, w.rb = w.ra[:rows], w.rb[:rows]
	clear(w.ra)
	clear(w.rb)
}

// end adds the group's rows to a sum.
func (w *worker) end(sum *rowSum) {
	for k, a := range w.ra {
		sum.addRow(a, w.rb[k])
	}
}

// add adds a vector of at most step rows, which begins at a row of the group.
func (w *worker) add(c *column, v *vector, row int) {
	if v.index != nil {
		w.lookUp(c, v)
	} else {
		w.flushDict(c)
		w.hash(c.kind.class, v, w.ha, w.hb)
	}
	xa, xb := w.spread(v)
	c.digest.add(xa, xb)
	ra, rb := w.ra[row:row+v.rows], w.rb[row:row+v.rows]
	fa, fb := c.fa, c.fb
	for k, x := range xa {
		ra[k] += x * fa
	}
	for k, x := range xb {
		rb[k] += x * fb
	}
	c.rows += int64(v.rows)
	if v.index == nil {
		w.measure(c, v)
	}
}

// spread puts 0 where a row has no value.
func (w *worker) spread(v *vector) (xa, xb []uint64) {
	if v.set == nil {
		return w.ha[:v.rows], w.hb[:v.rows]
	}
	k := 0
	for row, set := range v.set {
		if !set {
			w.xa[row], w.xb[row] = 0, 0
			continue
		}
		w.xa[row], w.xb[row] = w.ha[k], w.hb[k]
		k++
	}
	return w.xa[:v.rows], w.xb[:v.rows]
}

// hash gives the hashes of values.
func (w *worker) hash(c class, v *vector, ha, hb []uint64) {
	switch c {
	case ints:
		for k, x := range v.ints[:v.values] {
			ha[k], hb[k] = hashInt(uint64(x))
		}
	case floats:
		for k, x := range v.floats[:v.values] {
			b := math.Float64bits(x)
			if x != x {
				b = nan
			}
			ha[k], hb[k] = hashInt(b)
		}
	case wides:
		for k, x := range v.wides[:v.values] {
			ha[k], hb[k] = hashWide(x)
		}
	default:
		for k := range v.values {
			ha[k], hb[k] = hashText(v.text(k))
		}
	}
}

// lookUp gives the hashes of values of a dictionary, and counts them. They are added to the column when the dictionary changes.
func (w *worker) lookUp(c *column, v *vector) {
	if v.dict != w.dict {
		w.flushDict(c)
		n := v.dict.values
		w.dict, w.dictRows = v.dict, zeros(w.dictRows, n)
		w.da, w.db = zeros(w.da, n), zeros(w.db, n)
		w.hash(c.kind.class, v.dict, w.da, w.db)
	}
	da, db, rows := w.da, w.db, w.dictRows
	for k, i := range v.index {
		w.ha[k], w.hb[k] = da[i], db[i]
		rows[i]++
	}
}

func zeros[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// flushDict adds what was counted by a dictionary.
func (w *worker) flushDict(c *column) {
	d := w.dict
	if d == nil {
		return
	}
	w.dict = nil
	for k, rows := range w.dictRows {
		if rows > 0 {
			w.addValue(c, d, k, w.da[k], w.db[k], rows)
		}
	}
}

// addValue adds a value of so many rows.
func (w *worker) addValue(c *column, v *vector, k int, ha, hb uint64, rows int64) {
	e := entry{ha: ha, hb: hb, rows: rows}
	bounded := true
	switch c.kind.class {
	case ints:
		e.hi = v.ints[k]
		c.addProduct(big.NewInt(e.hi), rows)
	case floats:
		e.hi = orderKey(math.Float64bits(v.floats[k]))
		switch {
		case v.floats[k] == 0:
			e.ha, e.hb = hashInt(0)
		case v.floats[k] != v.floats[k]:
			e.hi = int64(nan)
			c.nans += rows
		case !finite(e.hi):
			c.infinities += rows
		default:
			for range rows {
				w.addFloat(math.Float64bits(v.floats[k]))
			}
		}
	case wides:
		e.hi, e.lo = v.wides[k].hi, v.wides[k].lo
		c.addProduct(v.wides[k].big(), rows)
	default:
		b := v.text(k)
		e.text = shorten(b)
		c.addProduct(big.NewInt(int64(len(b))), rows)
		bounded = c.kind.bounded()
	}
	if bounded {
		c.bound(e.value, e.value)
	}
	c.set += rows
	c.count(e)
}

// addProduct adds a number of so many rows to the sums.
func (c *column) addProduct(x *big.Int, rows int64) {
	if !c.kind.measured() {
		return
	}
	n := big.NewInt(rows)
	n.Mul(n, x)
	c.sum.Add(&c.sum, n)
	c.squares.Add(&c.squares, n.Mul(n, x))
}

// measure adds the values of a vector, whose hashes are known.
func (w *worker) measure(c *column, v *vector) {
	if v.values == 0 {
		return
	}
	switch c.kind.class {
	case ints:
		w.measureInts(c, v.ints[:v.values])
	case floats:
		w.measureFloats(c, v.floats[:v.values])
	case wides:
		for k := range v.values {
			w.addValue(c, v, k, w.ha[k], w.hb[k], 1)
		}
	default:
		w.measureTexts(c, v)
	}
}

func (w *worker) measureInts(c *column, values []int64) {
	low, high := values[0], values[0]
	for _, x := range values {
		low, high = min(low, x), max(high, x)
	}
	c.bound(value{hi: low}, value{hi: high})
	c.set += int64(len(values))
	if c.kind.measured() {
		w.sumInts(values)
	}
	done := w.tally(c, values)
	if done == len(values) {
		return
	}
	for _, h := range w.ha[done:len(values)] {
		c.registers.add(h)
	}
	if c.kind.timed() {
		w.bucketTimes(c, values[done:], low, high)
		return
	}
	near, touched := w.buckets()
	for _, x := range values[done:] {
		b := math.Float64bits(float64(x))
		near[b>>bucketBits]++
		touched[b>>52] = true
	}
}

// buckets returns near and touched, which small tables don't need.
func (w *worker) buckets() (near []uint32, touched []bool) {
	if w.near == nil {
		w.near, w.touched = make([]uint32, 1<<19), make([]bool, 1<<12)
	}
	return w.near, w.touched
}

// sumInts adds to the sums of the column that is being added.
func (w *worker) sumInts(values []int64) {
	var s0, s1, q0, q1, q2, carry uint64
	for _, x := range values {
		s0, carry = bits.Add64(s0, uint64(x), 0)
		s1 += uint64(x>>63) + carry
		magnitude := uint64((x ^ x>>63) - x>>63)
		hi, lo := bits.Mul64(magnitude, magnitude)
		q0, carry = bits.Add64(q0, lo, 0)
		q1, carry = bits.Add64(q1, hi, carry)
		q2 += carry
	}
	add2(&w.sum, s1, s0)
	add3(&w.squares, q2, q1, q0)
}

func add2(s *[2]uint64, hi, lo uint64) {
	var c uint64
	s[0], c = bits.Add64(s[0], lo, 0)
	s[1] += hi + c
}

func add3(s *[3]uint64, x2, x1, x0 uint64) {
	var c uint64
	s[0], c = bits.Add64(s[0], x0, 0)
	s[1], c = bits.Add64(s[1], x1, c)
	s[2] += x2 + c
}

// tally counts numbers by their keys while there is a tally, and returns how many it counted.
func (w *worker) tally(c *column, keys []int64) int {
	if c.tally == nil {
		return 0
	}
	for k, key := range keys {
		ha, hb := w.ha[k], w.hb[k]
		if known := c.tally.find(ha, hb); known != nil {
			known.rows++
		} else if !c.tally.insert(entry{value: value{hi: key}, ha: ha, hb: hb, rows: 1}) {
			c.overflow()
			return k
		}
	}
	return len(keys)
}

// bucketTimes counts times in the column's buckets.
func (w *worker) bucketTimes(c *column, values []int64, low, high int64) {
	b := c.buckets
	level := b.level
	from := low >> level
	if n := uint64(high>>level) - uint64(from); n >= step {
		for _, x := range values {
			b.add(x, 1)
		}
		return
	}
	counts := w.keys[:high>>level-from+1]
	clear(counts)
	for _, x := range values {
		counts[x>>level-from]++
	}
	for k, n := range counts {
		if n > 0 {
			b.addAt((from+int64(k))>>(b.level-level), n)
		}
	}
}

func (w *worker) measureFloats(c *column, values []float64) {
	keys := w.keys[:len(values)]
	low, high := int64(math.MaxInt64), int64(math.MinInt64)
	for k, x := range values {
		b := math.Float64bits(x)
		if b>>52&0x7ff == 0x7ff {
			if x != x {
				b = nan
				c.nans++
			} else {
				c.infinities++
			}
		} else {
			w.addFloat(b)
		}
		if b == 1<<63 {
			w.ha[k], w.hb[k] = hashInt(0)
		}
		key := orderKey(b)
		keys[k] = key
		low, high = min(low, key), max(high, key)
	}
	c.bound(value{hi: low}, value{hi: high})
	c.set += int64(len(values))
	done := w.tally(c, keys)
	if done == len(values) {
		return
	}
	near, touched := w.buckets()
	for k := done; k < len(values); k++ {
		c.registers.add(w.ha[k])
		if key := keys[k]; finite(key) {
			b := uint64(key ^ key>>63&math.MaxInt64)
			near[b>>bucketBits]++
			touched[b>>52] = true
		}
	}
}

// addFloat adds a finite float to the sums of the column that is being added: exactly, by exponents, as in Neal's large superaccumulator (Fast exact summation using small and large
// superaccumulators, 2015).
func (w *worker) addFloat(b uint64) {
	e := &w.exponents[b>>52]
	m := b & (1<<52 - 1)
	if b<<1>>53 != 0 {
		m |= 1 << 52
	}
	e.rows++
	add2(&e.sum, 0, m)
	hi, lo := bits.Mul64(m, m)
	add3(&e.squares, 0, hi, lo)
}

func (w *worker) measureTexts(c *column, v *vector) {
	n, squares := uint64(0), uint64(0)
	for k := range v.values {
		b := v.text(k)
		n += uint64(len(b))
		squares += uint64(len(b)) * uint64(len(b))
	}
	if c.kind.measured() {
		add2(&w.sum, 0, n)
		add3(&w.squares, 0, 0, squares)
	}
	if c.kind.bounded() {
		w.boundTexts(c, v)
	}
	c.set += int64(v.values)
	for k := range v.values {
		if c.tally == nil {
			c.registers.add(w.ha[k])
			continue
		}
		if known := c.tally.find(w.ha[k], w.hb[k]); known != nil {
			known.rows++
			continue
		}
		c.count(entry{value: value{text: shorten(v.text(k))}, ha: w.ha[k], hb: w.hb[k], rows: 1})
	}
}

func (w *worker) boundTexts(c *column, v *vector) {
	low, high := v.text(0), v.text(0)
	for k := 1; k < v.values; k++ {
		if b := v.text(k); bytes.Compare(b, low) < 0 {
			low = b
		} else if bytes.Compare(b, high) > 0 {
			high = b
		}
	}
	c.bound(value{text: shorten(low)}, value{text: shorten(high)})
}

// finish brings what was gathered into the column, before another is added.
func (w *worker) finish(c *column) {
	w.flushDict(c)
	if c.kind.class == floats {
		w.finishFloats(c)
	} else {
		c.sum.Add(&c.sum, signed(w.sum[:]))
		c.squares.Add(&c.squares, signed(w.squares[:]))
		w.sum, w.squares = [2]uint64{}, [3]uint64{}
	}
	w.finishNear(c)
}

// signed is the number that words in two's complement are, the lowest first.
func signed(words []uint64) *big.Int {
	x, word := new(big.Int), new(big.Int)
	for k := len(words) - 1; k >= 0; k-- {
		if x.Lsh(x, 64); k == len(words)-1 {
			x.SetInt64(int64(words[k]))
			continue
		}
		x.Or(x, word.SetUint64(words[k]))
	}
	return x
}

func (w *worker) finishFloats(c *column) {
	for k := range w.exponents {
		e := &w.exponents[k]
		if e.rows == 0 {
			continue
		}
		shift := uint(max(k&0x7ff, 1) - 1)
		sum := signed(e.sum[:])
		if sum.Lsh(sum, shift); k>>11 == 1 {
			sum.Neg(sum)
		}
		c.sum.Add(&c.sum, sum)
		squares := signed(e.squares[:])
		c.squares.Add(&c.squares, squares.Lsh(squares, 2*shift))
		*e = exponent{}
	}
}

// finishNear brings the counted buckets into the column's.
func (w *worker) finishNear(c *column) {
	const each = 1 << (52 - bucketBits)
	for e, touched := range w.touched {
		if !touched {
			continue
		}
		w.touched[e] = false
		for k, n := range w.near[e*each : (e+1)*each] {
			if n == 0 {
				continue
			}
			key := int64(e&0x7ff*each + k)
			if e>>11 == 1 {
				key = ^key
			}
			c.buckets.add(key, int64(n))
		}
		clear(w.near[e*each : (e+1)*each])
	}
}

func (w wide) big() *big.Int {
	return signed([]uint64{w.lo, uint64(w.hi)})
}

// float is the nearest float, to even.
func (w wide) float() float64 {
	if w.hi == int64(w.lo)>>63 {
		return float64(int64(w.lo))
	}
	f, _ := new(big.Float).SetInt(w.big()).Float64()
	return f
}
