package disk

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"iter"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// Table is what one process leaves for the next: short values by name, none of which is missed if it is lost. A file of it is read whole and looked up as it lies; what changed
// is appended. What is damaged, or was cut off, is not there. Methods that only look may be called side by side.
//
// The file is a header and then frames: the length of the body, the body, and the digest of the frame's place and body, each chained to the one before. A body lists entries in
// order of name. The first frame has all that there was, each later one what changed.
type Table struct {
	file, header string

	base  []byte            // body of the first frame, when it was read
	at    []uint32          // where its entries begin
	more  map[string][]byte // what came after, by name; nil for what is deleted
	dirty map[string]bool   // of more: what the file has not yet
	last  frame
	first int // bytes of the first frame
	tail  int // of those after it

	whole   bool // the file was good to its end
	cleared bool // what the file has counts no more
}

// frame is where a frame ends, with its digest.
type frame struct {
	end int64
	sum cache.Digest
}

// OpenTable reads a table. A file that is missing, damaged or has another header is an empty one.
func OpenTable(file, header string) *Table {
	t := &Table{file: file, header: header, more: map[string][]byte{}, dirty: map[string]bool{}}
	if b, err := os.ReadFile(file); err == nil {
		t.decode(b)
	}
	return t
}

// Written is when the file was written last; zero if there was none.
func (t *Table) Written() time.Time {
	info, err := os.Stat(t.file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

func (t *Table) decode(b []byte) {
	rest, ok := bytes.CutPrefix(b, []byte(t.header))
	if !ok {
		return
	}
	t.last = frame{end: int64(len(t.header)), sum: cache.Sum([]byte(t.header))}
	for len(rest) > 0 {
		body, after, sum, ok := cutFrame(rest, t.last.sum)
		if !ok || !t.take(body) {
			return
		}
		t.last = frame{t.last.end + int64(len(rest)-len(after)), sum}
		rest = after
	}
	t.whole = true
}

// take adds the entries of a frame.
func (t *Table) take(body []byte) bool {
	if t.at == nil {
		var ok bool
		if t.at, ok = index(body); ok {
			t.base, t.first = body, len(body)
		}
		return ok
	}
	t.tail += len(body)
	changes := map[string][]byte{}
	for len(body) > 0 {
		name, value, rest, ok := cutEntry(body)
		if !ok {
			return false
		}
		changes[string(name)] = value
		body = rest
	}
	maps.Copy(t.more, changes)
	return true
}

const frameOverhead = 8 + len(cache.Digest{})

// appendFrame adds a frame that follows one with the digest before.
func appendFrame(b []byte, before cache.Digest, body []byte) ([]byte, cache.Digest) {
	b = binary.LittleEndian.AppendUint64(b, uint64(len(body)))
	b = append(b, body...)
	sum := frameSum(before, body)
	return append(b, sum[:]...), sum
}

func frameSum(before cache.Digest, body []byte) cache.Digest {
	h := cache.NewHasher()
	_, _ = h.Write(before[:])
	_, _ = h.Write(body)
	return h.Digest()
}

func cutFrame(b []byte, before cache.Digest) (body, rest []byte, sum cache.Digest, ok bool) {
	if len(b) < frameOverhead {
		return nil, nil, sum, false
	}
	n := binary.LittleEndian.Uint64(b)
	if n > uint64(len(b)-frameOverhead) {
		return nil, nil, sum, false
	}
	body, rest = b[8:8+n:8+n], b[8+int(n)+len(sum):]
	copy(sum[:], b[8+n:])
	return body, rest, sum, frameSum(before, body) == sum
}

func appendEntry(b []byte, name string, value []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	b = append(b, name...)
	if value == nil {
		return append(b, 0)
	}
	b = binary.AppendUvarint(b, uint64(len(value))+1)
	return append(b, value...)
}

// entrySize is how many bytes appendEntry adds.
func entrySize(name string, value []byte) int {
	n := uvarintSize(len(name)) + len(name)
	if value == nil {
		return n + 1
	}
	return n + uvarintSize(len(value)+1) + len(value)
}

func uvarintSize(n int) int { return (bits.Len(uint(n)|1) + 6) / 7 }

// cutEntry reads an entry; a nil value says that the name is deleted.
func cutEntry(b []byte) (name, value, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, nil, nil, false
	}
	name, b = b[w:w+int(n)], b[w+int(n):]
	n, w = binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w)+1 {
		return nil, nil, nil, false
	}
	if b = b[w:]; n > 0 {
		value, b = b[:n-1:n-1], b[n-1:]
	}
	return name, value, b, true
}

// index finds where entries begin, which have to be in order.
func index(body []byte) ([]uint32, bool) {
	at, before := []uint32{}, []byte(nil)
	for rest := body; len(rest) > 0; {
		if len(body)-len(rest) > 1<<32-1 {
			return nil, false
		}
		name, value, after, ok := cutEntry(rest)
		if !ok || value == nil || len(at) > 0 && bytes.Compare(before, name) >= 0 {
			return nil, false
		}
		at = append(at, uint32(len(body)-len(rest)))
		before, rest = name, after
	}
	return at, true
}

func (t *Table) entry(k int) (name, value []byte) {
	name, value, _, _ = cutEntry(t.base[t.at[k]:])
	return name, value
}

// Get returns the value of a name, which is not to be changed.
func (t *Table) Get(name string) ([]byte, bool) {
	var c Cursor
	return c.Get(t, []byte(name))
}

// Cursor looks names up that come in order, as it begins where the one before was. One goroutine at a time may use it.
type Cursor struct{ next int }

// Get is Table.Get.
func (c *Cursor) Get(t *Table, name []byte) ([]byte, bool) {
	if len(t.more) > 0 {
		if v, ok := t.more[string(name)]; ok {
			return v, v != nil
		}
	}
	if c.next < len(t.at) {
		if n, v := t.entry(c.next); bytes.Equal(n, name) {
			c.next++
			return v, true
		}
	}
	k := sort.Search(len(t.at), func(k int) bool { n, _ := t.entry(k); return bytes.Compare(n, name) >= 0 })
	if k == len(t.at) {
		return nil, false
	}
	n, v := t.entry(k)
	if !bytes.Equal(n, name) {
		return nil, false
	}
	c.next = k + 1
	return v, true
}

// Put sets the value of a name.
func (t *Table) Put(name string, value []byte) {
	t.more[name], t.dirty[name] = append([]byte{}, value...), true
}

// Delete takes a name out.
func (t *Table) Delete(name string) {
	if _, ok := t.Get(name); ok {
		t.more[name], t.dirty[name] = nil, true
	}
}

// Clear takes all names out, also of the file.
func (t *Table) Clear() {
	t.base, t.at, t.first, t.tail, t.whole = nil, nil, 0, 0, false
	clear(t.more)
	clear(t.dirty)
	t.last, t.cleared = frame{}, true
}

// Len counts the names.
func (t *Table) Len() int {
	n := 0
	for range t.All() {
		n++
	}
	return n
}

// All yields names and values in order of name.
func (t *Table) All() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		more := slices.Sorted(maps.Keys(t.more))
		for k := range t.at {
			name, value := t.entry(k)
			for len(more) > 0 && more[0] < string(name) {
				if v := t.more[more[0]]; v != nil && !yield(more[0], v) {
					return
				}
				more = more[1:]
			}
			if len(more) > 0 && more[0] == string(name) {
				continue
			}
			if !yield(string(name), value) {
				return
			}
		}
		for _, name := range more {
			if v := t.more[name]; v != nil && !yield(name, v) {
				return
			}
		}
	}
}

// Save writes what changed: over what others saved meanwhile.
func (t *Table) Save() error {
	if len(t.dirty) == 0 && !t.cleared {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(t.file), 0o777); err != nil {
		return err
	}
	now := t
	if t.cleared {
		now = &Table{file: t.file, header: t.header, more: map[string][]byte{}}
	} else if !t.unchanged() {
		now = OpenTable(t.file, t.header)
	}
	size := 0
	for name := range t.dirty {
		now.more[name] = t.more[name]
		size += entrySize(name, t.more[name])
	}
	var err error
	if now.whole && now.tail+size <= now.first/4+1<<16 {
		body := make([]byte, 0, size)
		for _, name := range slices.Sorted(maps.Keys(t.dirty)) {
			body = appendEntry(body, name, t.more[name])
		}
		err = now.extend(body)
	} else {
		err = now.rewrite()
	}
	if err != nil {
		return err
	}
	now.dirty, now.cleared = map[string]bool{}, false
	*t = *now
	return nil
}

// SaveAlone is Save for a table whose entries count together: if somebody else saved meanwhile, nothing is written.
func (t *Table) SaveAlone() error {
	switch {
	case t.cleared:
	case t.whole && !t.unchanged():
		return nil
	case !t.whole && OpenTable(t.file, t.header).last != t.last:
		return nil
	}
	return t.Save()
}

// unchanged says that the file ends where it ended when it was read, with the same frame.
func (t *Table) unchanged() bool {
	f, err := os.Open(t.file)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || !t.whole || info.Size() != t.last.end {
		return false
	}
	var sum cache.Digest
	_, err = f.ReadAt(sum[:], t.last.end-int64(len(sum)))
	return err == nil && sum == t.last.sum
}

// extend appends a frame. If somebody else does at the same time, one of the two is lost, and with it nothing but time.
func (t *Table) extend(body []byte) error {
	f, err := os.OpenFile(t.file, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return t.rewrite()
	}
	if err != nil {
		return err
	}
	b, sum := appendFrame(nil, t.last.sum, body)
	_, err = f.WriteAt(b, t.last.end)
	if err = errors.Join(err, f.Close()); err != nil {
		return NoRoom(err, t.file, int64(len(b)))
	}
	t.last = frame{t.last.end + int64(len(b)), sum}
	t.tail += len(body)
	return fault.At(fault.StateReplaced)
}

// rewrite makes one frame of all there is, an entry at a time: it may be much.
func (t *Table) rewrite() error {
	size := 0
	for name, value := range t.All() {
		size += entrySize(name, value)
	}
	start := cache.Sum([]byte(t.header))
	sum := cache.NewHasher()
	_, _ = sum.Write(start[:])
	end := int64(len(t.header) + frameOverhead + size)
	if err := writeFile(t.file, end, func(w io.Writer) error { return t.writeFrame(w, sum, size) }); err != nil {
		return err
	}
	t.last, t.first, t.tail, t.whole = frame{end, sum.Digest()}, size, 0, true
	return nil
}

// writeFrame writes the header and one frame of all entries, whose body has that size, and hashes the body.
func (t *Table) writeFrame(w io.Writer, sum cache.Hasher, size int) error {
	b := bufio.NewWriterSize(w, 1<<16)
	_, _ = b.Write(binary.LittleEndian.AppendUint64([]byte(t.header), uint64(size)))
	var entry []byte
	for name, value := range t.All() {
		entry = appendEntry(entry[:0], name, value)
		_, _ = sum.Write(entry)
		_, _ = b.Write(entry) // Flush tells
	}
	d := sum.Digest()
	_, _ = b.Write(d[:])
	return b.Flush()
}

// SoundTable says whether a table can be read to its end; one that is not there can.
func SoundTable(file, header string) (bool, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	t := &Table{header: header, more: map[string][]byte{}}
	t.decode(b)
	return t.whole, nil
}
