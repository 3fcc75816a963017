package publish

import (
	"encoding/binary"

	"github.com/dpb-build/dpb/cache/disk"
)

const magic = "dpb view 1\n"

// encode writes the places in order, sealed.
func encode(m map[string]shown) []byte {
	var b []byte
	text := func(s string) {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	for _, at := range sortedPlaces(m) {
		s := m[at]
		text(at)
		b = append(b, s.version[:]...)
		b = binary.AppendUvarint(b, uint64(len(s.files)))
		for _, f := range s.files {
			text(f.name)
			for _, n := range []uint64{uint64(f.size), uint64(f.mtime), uint64(f.ctime), f.inode} {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
		}
	}
	return disk.Seal(magic, b)
}

// decode reads what encode wrote; anything else is an empty state, after which all is shown anew.
func decode(b []byte) map[string]shown {
	body, ok := disk.Unseal(magic, b)
	if !ok {
		return map[string]shown{}
	}
	r := reader{b: body, names: map[string]string{}}
	out := map[string]shown{}
	for len(r.b) > 0 && !r.bad {
		at := string(r.text())
		var s shown
		r.b = r.b[copy(s.version[:], r.take(len(s.version))):]
		n := int(r.number())
		for range n {
			if r.bad {
				break
			}
			s.files = append(s.files, r.file())
		}
		out[at] = s
	}
	if r.bad {
		return map[string]shown{}
	}
	return out
}

type reader struct {
	b     []byte
	bad   bool
	names map[string]string // file names repeat
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) || n < 0 {
		r.bad, r.b = true, nil
		return nil
	}
	return r.b[:n]
}

func (r *reader) number() uint64 {
	n, w := binary.Uvarint(r.b)
	if w <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[w:]
	return n
}

func (r *reader) text() []byte {
	b := r.take(int(r.number()))
	r.b = r.b[len(b):]
	return b
}

func (r *reader) file() (f file) {
	name := r.text()
	known, ok := r.names[string(name)]
	if !ok {
		known = string(name)
		r.names[known] = known
	}
	f.name = known
	b := r.take(32)
	if b == nil {
		return f
	}
	at := func(k int) uint64 { return binary.LittleEndian.Uint64(b[8*k:]) }
	f.size, f.mtime, f.ctime, f.inode = int64(at(0)), int64(at(1)), int64(at(2)), at(3)
	r.b = r.b[32:]
	return f
}

// Sound says whether a view's state can be read.
func Sound(file string) (bool, error) { return disk.CheckSealed(file, magic) }
