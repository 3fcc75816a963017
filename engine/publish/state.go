package publish

import (
	"bytes"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// magic begins the table of what is shown, by place.
const magic = "dpb view 2\n"

// encode writes a version and the files that are shown of it: each with the length of its name, the name and the stamp.
func (s shown) encode() []byte {
	b := append([]byte(nil), s.version[:]...)
	for _, f := range s.files {
		b = disk.AppendStamped(b, f.name, f.stamp)
	}
	return b
}

// decode reads what encode wrote; false of anything else.
func decode(b []byte) (s shown, ok bool) {
	if len(b) < len(s.version) {
		return s, false
	}
	b = b[copy(s.version[:], b):]
	for len(b) > 0 {
		name, stamp, rest, ok := disk.CutStamped(b)
		if !ok {
			return s, false
		}
		s.files = append(s.files, file{string(name), stamp})
		b = rest
	}
	return s, true
}

// glance looks at places in order and keeps its memory between them.
type glance struct {
	cursor disk.Cursor
	looker *disk.Looker // below dpb-out as it was when it was opened last
	at     []byte
}

// shows says whether the version is shown at the place, untouched.
func (g *glance) shows(v *View, id engine.VersionID) bool {
	v.mu.RLock()
	b, ok := g.cursor.Get(v.shown, g.at)
	v.mu.RUnlock()
	b, same := bytes.CutPrefix(b, id[:])
	if !ok || !same {
		return false
	}
	g.at = append(g.at, '/')
	end := len(g.at)
	for len(b) > 0 {
		name, stamp, rest, ok := disk.CutStamped(b)
		if !ok {
			return false
		}
		g.at = append(g.at[:end], name...)
		if now, err := g.lstat(v); err != nil || now != stamp {
			return false
		}
		b = rest
	}
	return true
}

// lstat looks at a file below dpb-out.
func (g *glance) lstat(v *View) (disk.Stamp, error) {
	if d := v.out.Load(); d != nil {
		if g.looker == nil || g.looker.Of() != d {
			g.looker = d.Looker()
		}
		if s, err := g.looker.Lstat(g.at); err == nil {
			return s, nil
		}
		g.looker = nil
	}
	return v.lstat(g.at)
}

// Sound says whether a view's state can be read.
func Sound(file string) (bool, error) { return disk.SoundTable(file, magic) }
