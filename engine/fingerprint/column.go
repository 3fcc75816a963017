package fingerprint

import (
	"math/big"
)

// column is what is known of a column. All but digest are the same for the same values in any order.
type column struct {
	name string
	kind kind
	// rows counts all, set those that have a value.
	rows, set        int64
	nans, infinities int64
	min, max         value // if set > 0
	// sum and squares are of the numbers: of integers, decimals and times in their units; of floats, in units of 2^-1074 and 2^-2148; of texts, of their lengths.
	sum, squares big.Int
	tally        *tally // nil: there are too many different values
	registers    registers
	buckets      *buckets // nil with tally, and of what has no quantiles then
	digest       sequence
	fa, fb       uint64 // factors
}

func newColumn(name string, k kind) *column {
	c := &column{name: name, kind: k, tally: &tally{}}
	c.fa, c.fb = factors(name)
	return c
}

// measured says whether a column has sums.
func (k kind) measured() bool {
	switch k.is {
	case blob, uuid, nested, other, date, clock, timestamp:
		return k.is == blob
	}
	return true
}

// timed says whether values lie on a line without a zero that means anything, so that errors relative to them don't either.
func (k kind) timed() bool { return k.is == date || k.is == clock || k.is == timestamp }

// bounded says whether the least and the greatest value are kept.
func (k kind) bounded() bool { return k.is != nested && k.is != other }

// prefix is how many bytes of a text are kept.
const prefix = 101

// shorten returns the kept bytes of a text.
func shorten(b []byte) string { return string(b[:min(len(b), prefix)]) }

// count counts rows with a value, in the tally or what takes its place.
func (c *column) count(e entry) {
	if c.tally != nil {
		if known := c.tally.find(e.ha, e.hb); known != nil {
			known.rows += e.rows
			return
		}
		if c.tally.insert(e) {
			return
		}
		c.overflow()
	}
	c.sketch(e)
}

// overflow gives up counting each value.
func (c *column) overflow() {
	entries := c.tally.entries
	c.tally, c.registers = nil, newRegisters()
	if c.kind.class != texts {
		c.buckets = newBuckets()
	}
	for _, e := range entries {
		c.sketch(e)
	}
}

func (c *column) sketch(e entry) {
	c.registers.add(e.ha)
	if c.buckets == nil {
		return
	}
	if key, ok := c.bucketKey(e.value); ok {
		c.buckets.add(key, e.rows)
	}
}

// bucketKey is a number's key in the buckets; not of NaN and infinities.
func (c *column) bucketKey(v value) (int64, bool) {
	switch {
	case c.kind.class == floats:
		return v.hi >> bucketBits, finite(v.hi)
	case c.kind.class == wides:
		return floatBucket(wide{v.hi, v.lo}.float()), true
	case c.kind.timed():
		return v.hi, true
	}
	return floatBucket(float64(v.hi)), true
}

var infinity = int64(0x7ff) << 52 // the order key of infinity

func finite(orderKey int64) bool { return orderKey < infinity && orderKey > ^infinity }

// bound widens the range of values, before they are added to set.
func (c *column) bound(low, high value) {
	if c.set == 0 {
		c.min, c.max = low, high
		return
	}
	if low.compare(c.min) < 0 {
		c.min = low
	}
	if high.compare(c.max) > 0 {
		c.max = high
	}
}

// merge adds what is known of the rows that follow.
func (c *column) merge(o *column) {
	if o.set > 0 {
		c.bound(o.min, o.max)
	}
	c.digest.follow(o.digest, o.rows)
	c.rows += o.rows
	c.set += o.set
	c.nans += o.nans
	c.infinities += o.infinities
	c.sum.Add(&c.sum, &o.sum)
	c.squares.Add(&c.squares, &o.squares)
	if o.tally != nil {
		for _, e := range o.tally.entries {
			c.count(e)
		}
		return
	}
	if c.tally != nil {
		c.overflow()
	}
	c.registers.merge(o.registers)
	if c.buckets != nil {
		c.buckets.merge(o.buckets)
	}
}

// skip adds rows without a value.
func (c *column) skip(rows int64) {
	c.digest.follow(sequence{}, rows)
	c.rows += rows
}
