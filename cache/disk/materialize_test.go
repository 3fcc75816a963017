package disk

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dpb-build/dpb/cache"
)

// pages stores blobs of sizes around a page, and returns their tree.
func pages(t *testing.T, s *Store) (tree cache.Tree) {
	t.Helper()
	for k, n := range []int{0, 1, page - 1, page, page + 1, small + 1} {
		b := bytes.Repeat([]byte{byte(k + 1)}, n)
		d, _, err := s.Put(t.Context(), bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		name := string(rune('a' + k))
		tree.Entries = append(tree.Entries, cache.Entry{Path: "x/" + name, Kind: cache.Exec, Digest: d, Size: int64(n)})
		tree.Entries = append(tree.Entries, cache.Entry{Path: "y/deep/" + name, Kind: cache.File, Digest: d, Size: int64(n)})
	}
	return tree
}

// Around the size of a page and of a small file, files have their bytes and their modes, whatever the umask takes, and the stamps are those that they have afterwards.
func TestMaterializeAround(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	tree := pages(t, s)
	tree.Entries = append(tree.Entries, cache.Entry{Path: "z", Kind: cache.Dir}, cache.Entry{Path: "zz", Kind: cache.Link, Target: "x/a"})
	for _, umask := range []int{0, 0o22, 0o77} {
		dir := filepath.Join(t.TempDir(), "to")
		before := unix.Umask(umask)
		stamps, err := s.Materialize(t.Context(), tree, dir)
		unix.Umask(before)
		if err != nil {
			t.Fatal(err)
		}
		for k, e := range tree.Entries {
			info, err := os.Lstat(placeOf(e, dir))
			if err != nil || StampOf(info) != stamps[k] {
				t.Fatalf("%s: %v has not the stamp %v, %v", e.Path, info, stamps[k], err)
			}
			if !e.Kind.IsFile() {
				continue
			}
			if want := map[cache.Kind]fs.FileMode{cache.File: 0o444, cache.Exec: 0o555}[e.Kind]; info.Mode() != want {
				t.Errorf("umask %o: %s has mode %v, want %v", umask, e.Path, info.Mode(), want)
			}
			if b, err := os.ReadFile(placeOf(e, dir)); err != nil || cache.Sum(b) != e.Digest {
				t.Errorf("%s: %d bytes are not those of the digest, %v", e.Path, len(b), err)
			}
		}
		if _, err := s.Materialize(t.Context(), tree, dir); !errors.Is(err, fs.ErrExist) {
			t.Errorf("over files that are there: %v", err)
		}
	}
}

// A blob that is damaged after this process found it sound is not written, and is set aside: also where its size and mtime are those of before.
func TestMaterializeDamage(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"another byte": func(b []byte) []byte { return append([]byte{b[0] ^ 1}, b[1:]...) },
		"longer":       func(b []byte) []byte { return append(b, b[0]) },
		"cut off":      func(b []byte) []byte { return b[:len(b)-1] },
		"empty":        func(b []byte) []byte { return nil },
	}
	for name, damage := range damages {
		for k := range 5 {
			s, err := Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			e := pages(t, s).Entries[2*k+2]
			tree := cache.Tree{Entries: []cache.Entry{e}}
			if _, err := s.Materialize(t.Context(), tree, t.TempDir()); err != nil {
				t.Fatal(err)
			}
			blob := s.BlobPath(e.Digest)
			info, err := os.Stat(blob)
			if err != nil {
				t.Fatal(err)
			}
			b, err := os.ReadFile(blob)
			if err = errors.Join(err, os.Chmod(blob, 0o644), os.WriteFile(blob, damage(b), 0o644), os.Chtimes(blob, info.ModTime(), info.ModTime())); err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			if _, err := s.Materialize(t.Context(), tree, dir); !errors.Is(err, cache.ErrMissing) {
				t.Errorf("%s, %d bytes: %v", name, e.Size, err)
			}
			if _, err := os.Lstat(placeOf(e, dir)); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s, %d bytes: the file is there, %v", name, e.Size, err)
			}
			if _, err := os.Lstat(filepath.Join(s.Dir, "damaged", "blobs-"+e.Digest.String())); err != nil {
				t.Errorf("%s, %d bytes: not set aside, %v", name, e.Size, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
}
