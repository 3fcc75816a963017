package fingerprint

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// fill makes a vector's values of a page's, which are those of a leaf of some kind. Where nothing must be changed they stay in the page.
func (n *node) fill(v *vector, k kind, values encoding.Values, count int) error {
	v.values = count
	switch values.Kind() {
	case encoding.Boolean:
		return v.fillBooleans(values.Boolean(), count)
	case encoding.Int32:
		return n.fillInt32(v, k, values.Int32())
	case encoding.Int64:
		return n.fillInt64(v, k, values.Int64())
	case encoding.Int96:
		v.ints = resize(v.ints, count)
		for i, x := range values.Int96()[:count] {
			v.ints[i] = (int64(x[2])-2440588)*86400_000000 + int64(uint64(x[1])<<32|uint64(x[0]))/1000
		}
	case encoding.Float:
		v.floats = resize(v.floats, count)
		for i, x := range values.Float()[:count] {
			v.floats[i] = float64(x)
		}
	case encoding.Double:
		v.floats = values.Double()[:count]
	case encoding.ByteArray:
		v.data, v.at = values.ByteArray()
		if count == 0 {
			v.at = []uint32{0}
		}
		if len(v.at) <= count || int(v.at[count]) > len(v.data) {
			return fmt.Errorf("it is damaged: a page has fewer values than it says")
		}
		if k.is == decimal {
			return v.decimals(k)
		}
	case encoding.FixedLenByteArray:
		data, size := values.FixedLenByteArray()
		return v.fillFixed(k, data, size)
	default:
		if count > 0 {
			return fmt.Errorf("it has values of a kind that is not known")
		}
	}
	return nil
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

func (v *vector) fillBooleans(bits []byte, count int) error {
	v.ints = resize(v.ints, count)
	for i := range v.ints {
		v.ints[i] = int64(bits[i/8] >> (i % 8) & 1)
	}
	return nil
}

func (n *node) fillInt32(v *vector, k kind, values []int32) error {
	v.ints = resize(v.ints, v.values)
	for i, x := range values[:v.values] {
		v.ints[i] = int64(x)
	}
	switch {
	case k.is == integer && k.width == -32:
		for i, x := range v.ints {
			v.ints[i] = int64(uint32(x))
		}
	case k.is == integer && k.width < 0:
		for i, x := range v.ints {
			v.ints[i] = x & (1<<-k.width - 1)
		}
	case k.is == clock:
		return v.multiply(pow10[k.scale-n.timeScale()])
	case k.is == decimal && k.class == wides:
		v.widen()
	}
	return nil
}

func (n *node) fillInt64(v *vector, k kind, values []int64) error {
	v.ints = values[:v.values]
	switch {
	case k.is == integer && k.width == -64:
		v.wides = resize(v.wides, v.values)
		for i, x := range v.ints {
			v.wides[i] = wide{0, uint64(x)}
		}
	case k.is == clock || k.is == timestamp:
		return v.rescale(n.timeScale(), k.scale)
	case k.is == decimal && k.class == wides:
		v.widen()
	}
	return nil
}

// rescale turns times of one precision into those of another. A finer one is cut.
func (v *vector) rescale(from, to int) error {
	if from <= to {
		return v.multiply(pow10[to-from])
	}
	ints := make([]int64, len(v.ints))
	for i, x := range v.ints {
		ints[i] = x / pow10[from-to]
	}
	v.ints = ints
	return nil
}

func (v *vector) multiply(factor int64) error {
	if factor == 1 {
		return nil
	}
	ints := make([]int64, len(v.ints))
	for i, x := range v.ints {
		if ints[i] = x * factor; ints[i]/factor != x {
			return fmt.Errorf("%d is out of range", x)
		}
	}
	v.ints = ints
	return nil
}

func (v *vector) widen() {
	v.wides = resize(v.wides, v.values)
	for i, x := range v.ints {
		v.wides[i] = wideOf(x)
	}
}

// decimals reads the texts as numbers of the highest byte first.
func (v *vector) decimals(k kind) error {
	v.ints, v.wides = resize(v.ints, v.values), resize(v.wides, v.values)
	for i := range v.values {
		w, err := bigEndian(v.text(i))
		if err != nil {
			return err
		}
		v.wides[i], v.ints[i] = w, int64(w.lo)
		if k.class == ints && w != wideOf(int64(w.lo)) {
			return fmt.Errorf("a number has more digits than %s", k.name)
		}
	}
	return nil
}

func bigEndian(b []byte) (wide, error) {
	var w wide
	if len(b) > 0 && b[0] >= 0x80 {
		w = wide{-1, math.MaxUint64}
	}
	for k, c := range b {
		if k < len(b)-16 && c != byte(w.hi) {
			return w, fmt.Errorf("a decimal has more than 128 bits")
		}
		w = wide{w.hi<<8 | int64(w.lo>>56), w.lo<<8 | uint64(c)}
	}
	return w, nil
}

// fillFixed reads values of a fixed number of bytes.
func (v *vector) fillFixed(k kind, data []byte, size int) error {
	v.data, v.at = data, resize(v.at, v.values+1)
	for i := range v.at {
		v.at[i] = uint32(i * size)
	}
	switch {
	case k.is == decimal:
		return v.decimals(k)
	case k.is == uuid && size == 16:
		var b []byte
		for i := range v.values {
			b = append(b, uuidText(v.text(i))...)
			v.at[i] = uint32(36 * i)
		}
		v.data, v.at[v.values] = b, uint32(len(b))
	case k.is == float && size == 2:
		v.floats = resize(v.floats, v.values)
		for i := range v.floats {
			v.floats[i] = float16(binary.LittleEndian.Uint16(v.text(i)))
		}
	}
	return nil
}

func float16(h uint16) float64 {
	sign, e, m := 1.0, int(h>>10&31), float64(h&1023)
	if h>>15 == 1 {
		sign = -1
	}
	switch {
	case e == 31 && m == 0:
		return math.Inf(int(sign))
	case e == 31:
		return math.NaN()
	case e == 0:
		return sign * math.Ldexp(m, -24)
	}
	return sign * math.Ldexp(1024+m, e-25)
}

// levels reads nested values row by row: of each leaf, the levels and values that make up a row. They tell rows apart as their values do.
type levels struct {
	pages  parquet.Pages
	page   parquet.Page
	reader parquet.ValueReader
	values []parquet.Value
	at, n  int
}

// peek returns the next value, nil after the last.
func (l *levels) peek() (*parquet.Value, error) {
	for l.at == l.n {
		if l.reader == nil {
			page, err := l.pages.ReadPage()
			if page == nil {
				return nil, noEOF(err)
			}
			l.page, l.reader = page, page.Values()
		}
		n, err := l.reader.ReadValues(l.values)
		if l.at, l.n = 0, n; n > 0 {
			break
		}
		if noEOF(err) != nil {
			return nil, err
		}
		l.close()
	}
	return &l.values[l.at], nil
}

func (l *levels) close() {
	if l.page != nil {
		parquet.Release(l.page)
	}
	l.page, l.reader = nil, nil
}

// row appends the next row to b. top is its first value's definition level.
func (l *levels) row(b []byte) (out []byte, top int, err error) {
	for first := true; ; first = false {
		v, err := l.peek()
		if err != nil {
			return nil, 0, err
		}
		if v == nil && first {
			return nil, 0, fmt.Errorf("it ends too early")
		}
		if v == nil || !first && v.RepetitionLevel() == 0 {
			return append(b, 0xff), top, nil
		}
		if first {
			top = v.DefinitionLevel()
		}
		b = append(b, byte(v.RepetitionLevel()), byte(v.DefinitionLevel()))
		if !v.IsNull() {
			from := len(b)
			b = v.AppendBytes(append(b, 0, 0, 0, 0))
			binary.LittleEndian.PutUint32(b[from:], uint32(len(b)-from-4))
		}
		l.at++
	}
}
