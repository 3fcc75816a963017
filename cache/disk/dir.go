package disk

import (
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

func (d *Dir) stat(name []byte, flags int) (Stamp, bool, error) {
	var st unix.Stat_t
	for {
		err := unix.Fstatat(d.fd, string(name), &st, flags)
		if err == nil {
			return Stamp{st.Size, st.Mtim.Nano(), st.Ctim.Nano(), st.Ino}, st.Mode&unix.S_IFMT == unix.S_IFREG, nil
		}
		if err != unix.EINTR {
			return Stamp{}, false, &os.PathError{Op: "stat", Path: string(name), Err: err}
		}
	}
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
