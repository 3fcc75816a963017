package disk

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

// A file of any size is stored under its digest and comes back, also where it has more bytes or less than it was said to have.
func TestPutSized(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	for _, n := range []int{0, 1, small - 1, small, small + 1, 3 * small} {
		for _, said := range []int64{0, 1, int64(n), small, small + 1} {
			b := bytes.Repeat([]byte{byte(n), byte(said), 7}, n)[:n]
			d, got, err := s.putSized(ctx, bytes.NewReader(b), said)
			if err != nil || d != cache.Sum(b) || got != int64(n) {
				t.Fatalf("%d bytes, said to be %d: %v, %d, %v", n, said, d, got, err)
			}
			to := filepath.Join(t.TempDir(), "copy")
			if err := s.CopyTo(ctx, d, to, 0o444); err != nil {
				t.Fatal(err)
			}
			if copied, err := os.ReadFile(to); err != nil || !bytes.Equal(copied, b) {
				t.Fatalf("%d bytes, said to be %d: the copy differs, %v", n, said, err)
			}
		}
	}
	if left, err := os.ReadDir(filepath.Join(s.private.Dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// A small blob that the store has is checked before it serves for the same bytes: a damaged one is replaced.
func TestPutSmallOverDamage(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	for k, damage := range []string{"hellx", "hello, and more", ""} {
		s, err := Open(dir)
		if err != nil {
			t.Fatal(err)
		}
		d, _, err := s.putSized(ctx, bytes.NewReader([]byte("hello")), 5)
		if err != nil {
			t.Fatal(err)
		}
		blob := s.BlobPath(d)
		if err := os.Remove(blob); err != nil { // a new inode, as the times may be those of before
			t.Fatal(err)
		}
		if err := os.WriteFile(blob, []byte(damage), 0o444); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.putSized(ctx, bytes.NewReader([]byte("hello")), 5); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(blob); err != nil || string(b) != "hello" {
			t.Errorf("%d: the store has %q, %v", k, b, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
