package fingerprint

import (
	"cmp"
	"math"
	"math/big"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/dpb-build/dpb/engine"
)

// shares are those of which quantiles are told, in percent.
var shares = [...]int64{1, 5, 25, 50, 75, 95, 99}

// topValues is how many of the most frequent values are told.
const topValues = 10

func (s *summary) document() *engine.Fingerprint {
	f := &engine.Fingerprint{Schema: engine.FingerprintSchema, Rows: s.rows, Bytes: s.bytes, Files: s.files}
	if !s.table {
		f.Rows = -1
		return f
	}
	if len(s.columns) > 0 {
		f.Digest = s.rowSum.String()
	}
	for _, c := range s.columns {
		f.Columns = append(f.Columns, c.document())
	}
	return f
}

func (c *column) document() engine.ColumnStats {
	d := engine.ColumnStats{Name: c.name, Type: c.kind.name, Nulls: c.rows - c.set, NaNs: c.nans, Infinities: c.infinities, Digest: c.digest.text(c.rows)}
	if c.set > 0 && c.kind.bounded() {
		d.Min, d.Max = new(c.text(c.min)), new(c.text(c.max))
	}
	d.Mean, d.Stddev = c.moments()
	if c.tally == nil {
		d.Distinct, d.DistinctError = c.registers.estimate(), registerError
		if c.buckets != nil {
			c.near(&d)
		}
		return d
	}
	d.Distinct = int64(len(c.tally.entries))
	d.Entropy = c.entropy()
	if c.kind.bounded() {
		sorted := c.tally.sorted()
		d.Top, d.Quantiles = c.top(sorted), c.quantiles(sorted)
	}
	return d
}

// counted is how many values are numbers, of a column of numbers.
func (c *column) counted() int64 { return c.set - c.nans - c.infinities }

// moments are mean and standard deviation, computed from exact sums.
func (c *column) moments() (mean, stddev *float64) {
	n := c.counted()
	if n == 0 || !c.kind.measured() {
		return nil, nil
	}
	unit := new(big.Rat).SetInt64(1)
	switch {
	case c.kind.class == floats:
		unit.SetFrac(big.NewInt(1), new(big.Int).Lsh(big.NewInt(1), 1074))
	case c.kind.is == decimal:
		unit.SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(c.kind.scale)), nil))
	}
	count := big.NewInt(n)
	m := new(big.Rat).SetFrac(&c.sum, count)
	variance := new(big.Int).Mul(count, &c.squares)
	variance.Sub(variance, new(big.Int).Mul(&c.sum, &c.sum))
	if variance.Sign() < 0 {
		return nil, nil
	}
	root := new(big.Float).SetPrec(256).SetInt(variance)
	root.Sqrt(root).Quo(root, new(big.Float).SetInt(count))
	root.Mul(root, new(big.Float).SetPrec(256).SetRat(unit))
	mf, _ := m.Mul(m, unit).Float64()
	sf, _ := root.Float64()
	return new(round9(mf)), new(round9(sf))
}

// round9 rounds to 9 significant digits.
func round9(f float64) float64 {
	if math.IsInf(f, 0) {
		return math.Copysign(math.MaxFloat64, f)
	}
	f, err := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 8, 64), 64)
	if err != nil {
		return math.Copysign(math.MaxFloat64, f)
	}
	return f
}

func (c *column) entropy() *float64 {
	if c.set == 0 {
		return nil
	}
	rows := make([]int64, len(c.tally.entries))
	for k, e := range c.tally.entries {
		rows[k] = e.rows
	}
	slices.Sort(rows)
	sum := 0.0
	for _, n := range rows {
		share := float64(n) / float64(c.set)
		sum -= float64(share * math.Log2(share))
	}
	return new(round9(math.Abs(sum)))
}

func (c *column) top(sorted []entry) []engine.Frequent {
	byRows := slices.Clone(sorted)
	slices.SortStableFunc(byRows, func(a, b entry) int { return cmp.Compare(b.rows, a.rows) })
	var out []engine.Frequent
	for _, e := range byRows[:min(len(byRows), topValues)] {
		out = append(out, engine.Frequent{Value: c.text(e.value), Rows: e.rows})
	}
	return out
}

// rank is that of the quantile of a share in percent, from 1.
func rank(n, percent int64) int64 {
	q := new(big.Int).Mul(big.NewInt(n), big.NewInt(percent))
	q.Add(q, big.NewInt(99))
	return max(1, q.Div(q, big.NewInt(100)).Int64())
}

func (c *column) quantiles(sorted []entry) []engine.Quantile {
	if c.kind.class == floats {
		sorted = slices.DeleteFunc(slices.Clone(sorted), func(e entry) bool { return !finite(e.hi) })
	}
	if len(sorted) == 0 || c.kind.is == boolean {
		return nil
	}
	var out []engine.Quantile
	k, below := 0, int64(0)
	for _, p := range shares {
		for r := rank(c.counted(), p); below+sorted[k].rows < r; k++ {
			below += sorted[k].rows
		}
		out = append(out, engine.Quantile{P: float64(p) / 100, Value: c.text(sorted[k].value)})
	}
	return out
}

// near gives the quantiles of the buckets: their middles.
func (c *column) near(d *engine.ColumnStats) {
	if len(c.buckets.rows) == 0 {
		return
	}
	keys := c.buckets.sorted()
	k, below := 0, int64(0)
	for _, p := range shares {
		for r := rank(c.counted(), p); below+c.buckets.rows[keys[k]] < r; k++ {
			below += c.buckets.rows[keys[k]]
		}
		d.Quantiles = append(d.Quantiles, engine.Quantile{P: float64(p) / 100, Value: c.middle(keys[k])})
	}
	level := int(c.buckets.level)
	if c.kind.timed() {
		d.QuantileError = round9(c.kind.seconds() * math.Ldexp(1, level-1))
		if level == 0 {
			d.QuantileError = 0
		}
		return
	}
	d.QuantileError = math.Ldexp(1, level-(52-bucketBits)-1)
}

// seconds is how many a column of times has for 1.
func (k kind) seconds() float64 {
	if k.is == date {
		return 86400
	}
	return math.Pow10(-k.scale)
}

// middle is the text of the number in the middle of a bucket, but inside the range of values.
func (c *column) middle(bucket int64) string {
	level := c.buckets.level
	var v value
	switch from, last := bucket<<level, bucket<<level|(1<<level-1); {
	case c.kind.timed():
		v.hi = from + (last-from)/2
	case c.kind.class == floats:
		f := bucketMiddle(from, last)
		if c.kind.width == 32 {
			f = float64(float32(f))
		} else {
			f = round9(f)
		}
		v.hi = orderKey(math.Float64bits(f))
	default:
		x, _ := big.NewFloat(bucketMiddle(from, last)).Int(nil)
		if c.kind.class == ints {
			v.hi = clampInt(x)
		} else {
			w := wideOfBig(x)
			v.hi, v.lo = w.hi, w.lo
		}
	}
	if v.compare(c.min) < 0 {
		v = c.min
	}
	if v.compare(c.max) > 0 && (c.kind.class != floats || finite(c.max.hi)) {
		v = c.max
	}
	return c.text(v)
}

// bucketMiddle is the number in the middle of buckets of level 0, by their keys. Numbers of more than 2^53 are rounded to floats before they are put into a bucket.
func bucketMiddle(from, last int64) float64 {
	low, high := ofOrderKey(from<<bucketBits), ofOrderKey(last<<bucketBits|(1<<bucketBits-1))
	switch {
	case from == 0:
		return 0
	case from < 0:
		low, high = high, low
	}
	if math.IsInf(high, 0) || high != high {
		high = math.Copysign(math.MaxFloat64, low)
	}
	return low + (high-low)/2
}

func clampInt(x *big.Int) int64 {
	if x.IsInt64() {
		return x.Int64()
	}
	if x.Sign() < 0 {
		return math.MinInt64
	}
	return math.MaxInt64
}

// longest is how many bytes of a text are shown.
const longest = 100

// cut shortens a text at a character.
func cut(s string) string {
	if len(s) <= longest {
		return s
	}
	n := longest
	for n > longest-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
