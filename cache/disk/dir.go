package disk

import (
	"bytes"
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// Dir is an open folder, below which files are looked at without finding the way to it each time. It may be used from several goroutines.
type Dir struct {
	f  *os.File
	fd int
}

// OpenDir opens a folder.
func OpenDir(name string) (*Dir, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	return &Dir{f, int(f.Fd())}, nil
}

// Close ends the use of a folder.
func (d *Dir) Close() error { return d.f.Close() }

// Lstat returns the stamp of what has a name below the folder, of a link its own.
func (d *Dir) Lstat(name []byte) (Stamp, error) {
	s, _, err := d.stat(name, unix.AT_SYMLINK_NOFOLLOW)
	return s, err
}

// Stat returns the stamp of the file to which a name leads, below the folder or absolute, and whether it is a regular one.
func (d *Dir) Stat(name []byte) (s Stamp, regular bool, err error) { return d.stat(name, 0) }

func stampOf(st *unix.Stat_t) Stamp {
	return Stamp{st.Size, st.Mtim.Nano(), st.Ctim.Nano(), st.Ino}
}

func (d *Dir) stat(name []byte, flags int) (Stamp, bool, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(d.fd, string(name), &st, flags)
		if err == nil {
			return stampOf(&st), st.Mode&unix.S_IFMT == unix.S_IFREG, nil
		}
		if err != unix.EINTR {
			return Stamp{}, false, &os.PathError{Op: "stat", Path: string(name), Err: err}
		}
	}
}

// Looker looks at files in order of name: it keeps the folder open in which several in a row lie. One goroutine at a time may use it.
type Looker struct {
	root *Dir
	deep *Dir   // below root; nil: none is open
	in   []byte // its name, with a slash at the end
	last []byte // the name that was looked at last
}

// Looker returns a looker below the folder.
func (d *Dir) Looker() *Looker { return &Looker{root: d} }

// Of says below which folder it looks.
func (l *Looker) Of() *Dir { return l.root }

// Lstat is Dir.Lstat.
func (l *Looker) Lstat(name []byte) (Stamp, error) {
	d, rest := l.descend(name)
	return d.Lstat(rest)
}

// Stat is Dir.Stat.
func (l *Looker) Stat(name []byte) (s Stamp, regular bool, err error) {
	d, rest := l.descend(name)
	return d.Stat(rest)
}

// descend finds the open folder to look from. Where a name and the one before share a folder that lies deeper, that is opened.
func (l *Looker) descend(name []byte) (*Dir, []byte) {
	shared := 0
	for k := range min(len(name), len(l.last)) {
		if name[k] != l.last[k] {
			break
		}
		if name[k] == '/' {
			shared = k + 1
		}
	}
	l.last = append(l.last[:0], name...)
	if within := bytes.HasPrefix(name, l.in); !within && shared > 0 || within && shared > len(l.in) {
		l.open(name[:shared])
	}
	if l.deep != nil && len(name) > len(l.in) && bytes.HasPrefix(name, l.in) {
		return l.deep, name[len(l.in):]
	}
	return l.root, name
}

func (l *Looker) open(folder []byte) {
	if l.deep != nil {
		_ = l.deep.Close()
		l.deep, l.in = nil, l.in[:0]
	}
	fd, err := unix.Openat(l.root.fd, string(folder), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil { // whoever looks there will see
		return
	}
	f := os.NewFile(uintptr(fd), string(folder))
	l.deep, l.in = &Dir{f, fd}, append(l.in[:0], folder...)
}

// StampSize is how many bytes Append writes.
const StampSize = 4 * 8

// Append writes a stamp for CutStamp.
func (s Stamp) Append(b []byte) []byte {
	for _, n := range []uint64{uint64(s.size), uint64(s.mtime), uint64(s.ctime), s.inode} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	return b
}

// CutStamp reads a stamp; false if there are not so many bytes.
func CutStamp(b []byte) (s Stamp, rest []byte, ok bool) {
	if len(b) < StampSize {
		return s, nil, false
	}
	number := func(k int) uint64 { return binary.LittleEndian.Uint64(b[8*k:]) }
	return Stamp{int64(number(0)), int64(number(1)), int64(number(2)), number(3)}, b[StampSize:], true
}

// AppendStamped writes the name of a file with its stamp for CutStamped.
func AppendStamped(b []byte, name string, stamp Stamp) []byte {
	b = binary.AppendUvarint(b, uint64(len(name)))
	return stamp.Append(append(b, name...))
}

// CutStamped reads a file's name and its stamp; false of anything that AppendStamped does not write.
func CutStamped(b []byte) (name []byte, stamp Stamp, rest []byte, ok bool) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) {
		return nil, stamp, nil, false
	}
	name, b = b[w:w+int(n)], b[w+int(n):]
	stamp, b, ok = CutStamp(b)
	return name, stamp, b, ok
}
