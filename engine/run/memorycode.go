package run

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// encoder writes the findings of one chunk. What many of them share, rules and columns, stands where it comes first.
type encoder struct {
	recipe   cache.SectionDigest
	complete bool
	b        []byte
	rules    []cache.SectionDigest
	columns  [][]engine.Column
}

// What a finding has.
const (
	hasPointer = 1 << iota
	hasKey     // the pointer's is the wanted one
	hasSeen
	hasFiles
)

func (e *encoder) add(f finding) {
	if f.unknown {
		e.complete = false
	}
	if f.unknown || f.version.IsZero() {
		e.b = append(e.b, 0)
		return
	}
	flags := byte(hasPointer)
	if f.wanted {
		flags |= hasKey
	}
	if f.seen {
		flags |= hasSeen
	}
	if f.files != nil {
		flags |= hasFiles
	}
	e.b = append(e.b, flags)
	e.b = append(append(e.b, f.version[:]...), f.key[:]...)
	at := slices.Index(e.rules, f.rules)
	if at < 0 {
		at, e.rules = len(e.rules), append(e.rules, f.rules)
		e.b = append(binary.AppendUvarint(e.b, uint64(at)), f.rules[:]...)
	} else {
		e.b = binary.AppendUvarint(e.b, uint64(at))
	}
	for _, list := range [][]cache.TreeDigest{f.trees, f.raw, f.aside} {
		for _, t := range list {
			e.b = append(e.b, t[:]...)
		}
	}
	for _, c := range f.columns {
		e.addColumns(c)
	}
	if f.files != nil {
		e.b = append(binary.AppendUvarint(e.b, uint64(len(f.files))), f.files...)
	}
}

func (e *encoder) addColumns(c []engine.Column) {
	at := slices.IndexFunc(e.columns, func(x []engine.Column) bool { return slices.Equal(x, c) })
	if at >= 0 {
		e.b = binary.AppendUvarint(e.b, uint64(at))
		return
	}
	e.b = binary.AppendUvarint(e.b, uint64(len(e.columns)))
	e.columns = append(e.columns, c)
	e.b = binary.AppendUvarint(e.b, uint64(len(c)))
	for _, x := range c {
		for _, text := range []string{x.Name, x.Type} {
			e.b = append(binary.AppendUvarint(e.b, uint64(len(text))), text...)
		}
		e.b = append(e.b, byte(0))
		if x.NotNull {
			e.b[len(e.b)-1] = 1
		}
	}
}

func (e *encoder) encode() []byte {
	b := append([]byte(nil), e.recipe[:]...)
	b = append(b, 0)
	if e.complete {
		b[len(b)-1] = 1
	}
	return append(b, e.b...)
}

// read takes up what a table has of a node.
func (m *nodeMemory) read(t *disk.Table, n *graph.Node) {
	var cursor disk.Cursor
	for k := range (n.Set.Len() + chunk - 1) / chunk {
		b, ok := cursor.Get(t, []byte(chunkName(n, k)))
		if !ok {
			continue
		}
		first := m.Keys == nil
		m.prepare(n)
		d := decoder{b: b, m: m, n: n}
		if !d.recipe(first) || !d.chunk(k) { // nothing of the target counts
			*m = nodeMemory{}
			return
		}
		m.stale[k] = false
	}
	m.pointed = m.stale != nil && !slices.Contains(m.stale, true) && !m.lacks
}

// decoder reads what an encoder wrote.
type decoder struct {
	b       []byte
	bad     bool
	m       *nodeMemory
	n       *graph.Node
	rules   []cache.SectionDigest
	columns [][]engine.Column
}

// recipe is the same in all chunks.
func (d *decoder) recipe(first bool) bool {
	var recipe cache.SectionDigest
	copy(recipe[:], d.take(len(recipe)))
	if first {
		d.m.Recipe = recipe
	}
	return recipe == d.m.Recipe
}

// chunk is false of anything that no encoder writes.
func (d *decoder) chunk(k int) bool {
	d.m.lacks = !d.flag() || d.m.lacks
	for i := k * chunk; i < min((k+1)*chunk, d.n.Set.Len()) && !d.bad; i++ {
		d.finding(i)
	}
	return !d.bad && len(d.b) == 0
}

func (d *decoder) finding(i int) {
	m, outputs := d.m, len(d.n.Target.Outputs)
	flags := d.byte()
	if flags&hasPointer == 0 {
		return
	}
	copy(m.version[i][:], d.take(32))
	copy(m.key[i][:], d.take(32))
	m.Wanted[i], m.Seen[i] = flags&hasKey != 0, flags&hasSeen != 0
	at := int(d.number())
	switch {
	case at == len(d.rules):
		var r cache.SectionDigest
		copy(r[:], d.take(len(r)))
		d.rules = append(d.rules, r)
	case at > len(d.rules):
		d.bad = true
		return
	}
	m.rules[i] = d.rules[at]
	for _, list := range [][]cache.TreeDigest{m.Trees, m.Raw, m.Aside} {
		for k := i * outputs; list != nil && k < (i+1)*outputs; k++ {
			copy(list[k][:], d.take(32))
		}
	}
	for k := i * outputs; m.Columns != nil && k < (i+1)*outputs; k++ {
		m.Columns[k] = d.columnList()
	}
	if flags&hasFiles != 0 {
		files, rest, ok := cutBytes(d.b)
		if d.b, d.bad = rest, d.bad || !ok || m.files == nil; !d.bad {
			m.files[i] = files
		}
	}
}

func (d *decoder) columnList() []engine.Column {
	at := int(d.number())
	if at < len(d.columns) {
		return d.columns[at]
	}
	n := d.number()
	if d.bad = d.bad || at > len(d.columns) || n > uint64(len(d.b)); d.bad {
		return nil
	}
	var list []engine.Column
	for range n {
		c := engine.Column{Name: d.text(), Type: d.text()}
		c.NotNull = d.flag()
		list = append(list, c)
	}
	d.columns = append(d.columns, list)
	return list
}

func (d *decoder) take(n int) []byte {
	if n > len(d.b) {
		d.bad, d.b = true, nil
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) flag() bool { return d.byte() == 1 }

func (d *decoder) number() uint64 {
	n, w := binary.Uvarint(d.b)
	if w <= 0 || n > 1<<31 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[w:]
	return n
}

func (d *decoder) text() string {
	text, rest, ok := cutBytes(d.b)
	if d.b = rest; !ok {
		d.bad = true
	}
	return string(bytes.Clone(text))
}
