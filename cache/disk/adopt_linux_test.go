package disk

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"golang.org/x/sys/unix"
)

// large is what a file holds that is worth moving.
func large() []byte { return bytes.Repeat([]byte("0123456789abcdef"), big/8) }

// largeFile writes one in a job's directory of a store, and returns the directory and the file.
func largeFile(t *testing.T, s *Store) (dir, file string) {
	t.Helper()
	dir, err := s.JobDir("x")
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "large.bin")
	if err := os.WriteFile(file, large(), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir, file
}

func inode(t *testing.T, file string) uint64 {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	_, n := ChangeTime(info)
	return n
}

// stillSound reads a blob that was put from a large file, in another process.
func stillSound(t *testing.T, s *Store) {
	t.Helper()
	other, _ := openStore(t, s.Dir)
	if err := other.Verify(t.Context(), cache.Sum(large())); err != nil {
		t.Errorf("the blob: %v", err)
	}
}

// TestAdopt: a large file that nobody else can write to is moved.
func TestAdopt(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	dir, file := largeFile(t, s)
	was := inode(t, file)
	reader, err := os.Open(file) // who reads does no harm
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	tree, err := s.CaptureFile(t.Context(), below(t, dir), "large.bin", "large.bin")
	if err != nil {
		t.Fatal(err)
	}
	if e := tree.Entries[0]; e.Digest != cache.Sum(large()) || e.Kind != cache.Exec || e.Size != int64(len(large())) {
		t.Errorf("stored as %+v", e)
	}
	blob := s.BlobPath(cache.Sum(large()))
	if inode(t, blob) != was {
		t.Error("it was copied")
	}
	if info, err := os.Stat(blob); err != nil || info.Mode() != 0o444 {
		t.Errorf("the blob is %v, %v; want it read-only", info.Mode(), err)
	}
	if _, err := os.Lstat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it has its own name still: %v", err)
	}
	stillSound(t, s)
}

// TestAdoptTwice: of two files with the same bytes the first one stays in the store.
func TestAdoptTwice(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for range 2 {
		dir, _ := largeFile(t, s)
		if _, _, err := s.PutBelow(t.Context(), below(t, dir), "large.bin"); err != nil {
			t.Fatal(err)
		}
	}
	stillSound(t, s)
	if left, _ := os.ReadDir(filepath.Join(s.private.Dir, "tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestAdoptNot: a file that somebody could still write to is copied, and what is written to it later does not reach the store.
func TestAdoptNot(t *testing.T) {
	t.Parallel()
	scribble := func(t *testing.T, f *os.File) func() {
		return func() {
			if _, err := f.WriteAt([]byte("scribble"), 10); err != nil {
				t.Error(err)
			}
		}
	}
	open := func(t *testing.T, file string) *os.File {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	for name, prepare := range map[string]func(t *testing.T, file string) (later func()){
		"open to write": func(t *testing.T, file string) func() { return scribble(t, open(t, file)) },
		"mapped to write": func(t *testing.T, file string) func() {
			f := open(t, file)
			b, err := unix.Mmap(int(f.Fd()), 0, len(large()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = unix.Munmap(b) })
			f.Close()
			return func() { copy(b, "scribble") }
		},
		"another name": func(t *testing.T, file string) func() {
			other := file + ".kept"
			if err := os.Link(file, other); err != nil {
				t.Fatal(err)
			}
			return func() {
				if err := os.WriteFile(other, []byte("scribble"), 0o666); err != nil {
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := newStore(t)
			dir, file := largeFile(t, s)
			was, later := inode(t, file), prepare(t, file)
			d, _, err := s.PutBelow(t.Context(), below(t, dir), "large.bin")
			if err != nil || d != cache.Sum(large()) {
				t.Fatalf("got %s, %v", d.Short(), err)
			}
			if inode(t, s.BlobPath(d)) == was {
				t.Error("it was moved")
			}
			later()
			stillSound(t, s)
		})
	}
}

// TestLease: who opens a file to write after the lease was had is noticed, whether or not it then writes.
func TestLease(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	_, file := largeFile(t, s)
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !lease(f) || !isLeased(f) {
		t.Fatal("there is no lease")
	}
	if _, err := unix.Open(file, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("opened to write: %v", err)
	}
	if isLeased(f) {
		t.Error("it was not noticed")
	}
}

// TestAdoptHoles: a file with holes may be larger than the disk, and is put like any other.
func TestAdoptHoles(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	dir, file := largeFile(t, s)
	if err := os.Truncate(file, 1<<50); err != nil {
		t.Skip(err)
	}
	var full *FullError
	if _, _, err := s.PutBelow(t.Context(), below(t, dir), "large.bin"); !errors.As(err, &full) {
		t.Errorf("error %v; want that there is no room", err)
	}
}
