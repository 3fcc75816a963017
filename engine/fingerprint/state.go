package fingerprint

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// State is what merges: all that a fingerprint is made of, in one form for one content.
type State []byte

// stateVersion is the first bytes of a state.
const stateVersion = "dpbf1"

// summary is a decoded state.
type summary struct {
	table              bool
	rows, bytes, files int64
	rowSum             rowSum
	columns            []*column
}

// Opaque is the fingerprint of what is no table.
func Opaque(files, bytes int64) (*engine.Fingerprint, State) {
	s := &summary{files: files, bytes: bytes}
	return s.document(), s.encode()
}

// Merge makes one fingerprint of those of a table's parts, in their order: the same as of all their files. A column that a part lacks is NULL there. What is no table makes the
// whole none; of no states, it is an empty table.
func Merge(states ...State) (*engine.Fingerprint, State, error) {
	whole := &summary{table: true}
	for _, state := range states {
		part, err := decode(state)
		if err != nil {
			return nil, nil, err
		}
		if err := whole.merge(part); err != nil {
			return nil, nil, err
		}
	}
	return whole.document(), whole.encode(), nil
}

// merge adds the rows that follow. The columns of both are those by name; a narrower integer or float is taken for a wider one.
func (s *summary) merge(o *summary) error {
	s.bytes += o.bytes
	s.files += o.files
	if !s.table || !o.table {
		s.table, s.rows, s.columns, s.rowSum = false, 0, nil, rowSum{}
		return nil
	}
	followed := make(map[*column]bool, len(s.columns))
	for _, oc := range o.columns {
		c := s.column(oc.name)
		if c == nil {
			c = newColumn(oc.name, oc.kind)
			c.skip(s.rows)
			s.columns = append(s.columns, c)
		}
		if err := c.widen(oc.kind); err != nil {
			return err
		}
		c.merge(oc)
		followed[c] = true
	}
	for _, c := range s.columns {
		if !followed[c] {
			c.skip(o.rows)
		}
	}
	s.rows += o.rows
	s.rowSum.add(&o.rowSum)
	return nil
}

func (s *summary) column(name string) *column {
	i := slices.IndexFunc(s.columns, func(c *column) bool { return strings.EqualFold(c.name, name) })
	if i < 0 {
		return nil
	}
	return s.columns[i]
}

// widen gives the column the wider of its type and another.
func (c *column) widen(k kind) error {
	alike := c.kind.class == k.class && c.kind.is == k.is && c.kind.scale == k.scale
	switch {
	case c.kind.name == k.name, alike && dpbsql.Widens(k.name, c.kind.name):
		return nil
	case alike && dpbsql.Widens(c.kind.name, k.name):
		c.kind = k
		return nil
	}
	return fmt.Errorf("column %q is %s in one part and %s in another", c.name, c.kind.name, k.name)
}

func (s *summary) encode() State {
	e := &encoder{}
	e.b = append(e.b, stateVersion...)
	e.flag(s.table)
	e.ints(s.files, s.bytes)
	if !s.table {
		return e.b
	}
	e.ints(s.rows)
	for _, w := range s.rowSum {
		e.b = binary.BigEndian.AppendUint64(e.b, w)
	}
	e.ints(int64(len(s.columns)))
	for _, c := range s.columns {
		e.column(c)
	}
	return e.b
}

type encoder struct{ b []byte }

func (e *encoder) flag(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	e.b = append(e.b, b)
}

func (e *encoder) ints(list ...int64) {
	for _, v := range list {
		e.b = binary.AppendVarint(e.b, v)
	}
}

func (e *encoder) words(list ...uint64) {
	for _, v := range list {
		e.b = binary.BigEndian.AppendUint64(e.b, v)
	}
}

func (e *encoder) text(s string) {
	e.b = append(binary.AppendUvarint(e.b, uint64(len(s))), s...)
}

func (e *encoder) number(x *big.Int) {
	e.flag(x.Sign() < 0)
	e.text(string(x.Bytes()))
}

func (e *encoder) value(c class, v value) {
	if c == texts {
		e.text(v.text)
		return
	}
	e.ints(v.hi)
	if c == wides {
		e.words(v.lo)
	}
}

func (e *encoder) column(c *column) {
	e.text(c.name)
	e.text(c.kind.name)
	e.ints(c.rows, c.set, c.nans, c.infinities)
	e.words(c.digest.a, c.digest.b)
	if c.set > 0 && c.kind.bounded() {
		e.value(c.kind.class, c.min)
		e.value(c.kind.class, c.max)
	}
	e.number(&c.sum)
	e.number(&c.squares)
	if e.flag(c.tally != nil); c.tally != nil {
		e.tally(c)
		return
	}
	e.b = append(e.b, c.registers...)
	if c.buckets == nil {
		return
	}
	e.b = append(e.b, c.buckets.level)
	e.ints(int64(len(c.buckets.rows)))
	for _, k := range c.buckets.sorted() {
		e.ints(k, c.buckets.rows[k])
	}
}

// tally writes the values in their order, numbers as the difference to the one before. Hashes are left out if they follow from the values, as all do but those of long texts.
func (e *encoder) tally(c *column) {
	entries := c.tally.sorted()
	given := slices.ContainsFunc(entries, func(v entry) bool { return !v.follows(c.kind.class) })
	e.flag(given)
	e.ints(int64(len(entries)))
	before := int64(0)
	for _, v := range entries {
		value := v.value
		value.hi -= before
		before = v.hi
		e.value(c.kind.class, value)
		if given {
			e.words(v.ha, v.hb)
		}
		e.ints(v.rows)
	}
}

// follows says whether an entry's hash is what its value gives.
func (e entry) follows(c class) bool {
	ha, hb := e.value.hash(c)
	return ha == e.ha && hb == e.hb
}

// hash is that of a value of which all is known.
func (v value) hash(c class) (uint64, uint64) {
	switch {
	case c == floats && v.hi == int64(nan):
		return hashInt(nan)
	case c == floats:
		return hashInt(math.Float64bits(ofOrderKey(v.hi)))
	case c == wides:
		return hashWide(wide{hi: v.hi, lo: v.lo})
	case c == texts:
		return hashText([]byte(v.text))
	}
	return hashInt(uint64(v.hi))
}

var errState = errors.New("the state of a fingerprint is damaged")

// decode reads a state. It accepts nothing but what encode writes.
func decode(state State) (s *summary, err error) {
	d := &decoder{b: state}
	if string(d.take(len(stateVersion))) != stateVersion {
		return nil, fmt.Errorf("%w, or of another version", errState)
	}
	s = d.summary()
	if d.bad || len(d.b) > 0 || !bytes.Equal(s.encode(), state) {
		return nil, errState
	}
	return s, nil
}

type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) flag() bool {
	b := d.take(1)
	d.require(len(b) == 1 && b[0] <= 1)
	return !d.bad && b[0] == 1
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.take(-1)
		return 0
	}
	d.b = d.b[n:]
	return v
}

// natural is a number that counts something.
func (d *decoder) natural() int64 {
	v := d.int()
	d.require(v >= 0 && v < 1<<62)
	return v
}

func (d *decoder) word() uint64 {
	b := d.take(8)
	if b == nil {
		return 0
	}
	return binary.BigEndian.Uint64(b)
}

func (d *decoder) text() string {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || n > uint64(len(d.b)) {
		d.take(-1)
		return ""
	}
	d.b = d.b[size:]
	return string(d.take(int(n)))
}

func (d *decoder) require(ok bool) {
	if !ok {
		d.take(-1)
	}
}

func (d *decoder) number(x *big.Int) {
	negative := d.flag()
	if x.SetBytes([]byte(d.text())); negative {
		x.Neg(x)
	}
}

func (d *decoder) value(c class) (v value) {
	if c == texts {
		v.text = d.text()
		d.require(len(v.text) <= prefix)
		return v
	}
	v.hi = d.int()
	if c == wides {
		v.lo = d.word()
	}
	return v
}

func (d *decoder) summary() *summary {
	s := &summary{table: d.flag(), files: d.natural(), bytes: d.natural()}
	if !s.table {
		return s
	}
	s.rows = d.natural()
	for k := range s.rowSum {
		s.rowSum[k] = d.word()
	}
	names := map[string]bool{}
	for range d.natural() {
		if d.bad {
			break
		}
		c := d.column()
		d.require(c.rows == s.rows && !names[strings.ToLower(c.name)])
		names[strings.ToLower(c.name)] = true
		s.columns = append(s.columns, c)
	}
	return s
}

func (d *decoder) column() *column {
	name, typ := d.text(), d.text()
	c := newColumn(name, kindOf(typ))
	c.kind.name = typ
	c.rows, c.set, c.nans, c.infinities = d.natural(), d.natural(), d.natural(), d.natural()
	c.digest = sequence{d.word(), d.word()}
	d.require(c.digest.a < prime && c.digest.b < prime && c.set <= c.rows && c.nans+c.infinities <= c.set && (c.kind.class == floats || c.nans+c.infinities == 0))
	if c.set > 0 && c.kind.bounded() {
		c.min, c.max = d.value(c.kind.class), d.value(c.kind.class)
		d.require(c.min.compare(c.max) <= 0)
	}
	d.number(&c.sum)
	d.number(&c.squares)
	if d.flag() {
		d.tally(c)
		return c
	}
	c.tally = nil
	if c.registers = registers(bytes.Clone(d.take(1 << registerBits))); d.bad {
		return c
	}
	d.require(slices.Max(c.registers) <= 64-registerBits+1)
	if c.kind.class != texts {
		d.buckets(c)
	}
	return c
}

func (d *decoder) tally(c *column) {
	total, before := int64(0), int64(0)
	given := d.flag()
	for range d.natural() {
		e := entry{value: d.value(c.kind.class)}
		e.hi += before
		before = e.hi
		if e.ha, e.hb = e.value.hash(c.kind.class); given {
			e.ha, e.hb = d.word(), d.word()
		}
		e.rows = d.natural()
		total += e.rows
		d.require(e.rows > 0 && total <= c.set && c.tally.find(e.ha, e.hb) == nil && c.tally.insert(e))
		if d.bad {
			return
		}
	}
	d.require(total == c.set)
}

func (d *decoder) buckets(c *column) {
	c.buckets = newBuckets()
	if level := d.take(1); level != nil {
		c.buckets.level = level[0]
	}
	total := int64(0)
	for range d.natural() {
		k, n := d.int(), d.natural()
		total += n
		if d.require(n > 0 && total <= c.set && len(c.buckets.rows) < limit && c.bucketed(k)); d.bad {
			return
		}
		c.buckets.rows[k] += n
	}
	d.require(total == c.set-c.nans-c.infinities)
}

// bucketed says whether a bucket of that number can occur.
func (c *column) bucketed(bucket int64) bool {
	level := c.buckets.level
	if c.kind.timed() {
		return level < 63 && bucket<<level>>level == bucket
	}
	return level <= 52-bucketBits && bucket < infinity>>bucketBits>>level && bucket >= ^infinity>>bucketBits>>level
}
