package disk

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// at has f asked at one point until the test ends. Such tests don't run in parallel.
func at(t *testing.T, point fault.Point, f func() error) {
	t.Helper()
	fault.Set(func(p fault.Point) error {
		if p != point {
			return nil
		}
		return f()
	})
	t.Cleanup(func() { fault.Set(nil) })
}

func putMany(t *testing.T, s *Store, text string) (digests []cache.Digest) {
	t.Helper()
	for k := range 40 {
		d := put(t, s, fmt.Sprint(text, k))
		digests = append(digests, d)
		if _, err := s.putEntries(t.Context(), []cache.Entry{{Path: "a", Kind: cache.File, Digest: d, Size: int64(len(fmt.Sprint(text, k)))}}); err != nil {
			t.Fatal(err)
		}
	}
	return digests
}

// TestSyncsAreGrouped: what makes files durable is called once for many, where the system has such a call.
func TestSyncsAreGrouped(t *testing.T) {
	s, _ := newStore(t)
	if s.syncEach {
		t.Skip("this system syncs file by file")
	}
	syncs := 0
	at(t, fault.Syncing, func() error { syncs++; return nil })
	for _, c := range []struct {
		put  string
		want int
	}{{"", 0}, {"x", 1}, {"", 1}, {"y", 2}, {"x", 3}} { // x is there again: who put it may have been killed before it was durable
		if c.put != "" {
			putMany(t, s, c.put)
		}
		if err := s.Sync(t.Context()); err != nil || syncs != c.want {
			t.Errorf("after %q: %v, %d syncs, want %d", c.put, err, syncs, c.want)
		}
	}
}

// TestSyncsFileByFile is the way of other systems: each file, then each folder once.
func TestSyncsFileByFile(t *testing.T) {
	s, _ := newStore(t)
	s.syncEach = true
	syncs := 0
	at(t, fault.Syncing, func() error { syncs++; return nil })
	putMany(t, s, "x")
	if syncs != 80 {
		t.Errorf("%d syncs of 80 files", syncs)
	}
	if err := s.Sync(t.Context()); err != nil || syncs > 80+2*40+3 {
		t.Errorf("%v, %d syncs of 80 files in 80 folders", err, syncs)
	}
}

// TestSyncFails: what could not be made durable is taken out, though it can be read still, and what was there before stays.
func TestSyncFails(t *testing.T) {
	for _, each := range []bool{false, true} {
		s, _ := newStore(t)
		s.syncEach = each
		old := put(t, s, "old")
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		var failing bool
		at(t, fault.Syncing, func() error {
			if failing {
				return syscall.EIO
			}
			return nil
		})
		put(t, s, "old")
		digests := putMany(t, s, "new")
		failing = true
		if err := s.Sync(t.Context()); !errors.Is(err, syscall.EIO) {
			t.Errorf("the sync did not fail: %v", err)
		}
		failing = false
		for _, d := range digests {
			if _, err := s.Stat(t.Context(), d); !errors.Is(err, cache.ErrMissing) {
				t.Fatalf("%s is still there: %v", d.Short(), err)
			}
		}
		if got, err := read(s, old); err != nil || got != "old" {
			t.Errorf("what was there before: %q, %v", got, err)
		}
		putMany(t, s, "new")
		if err := s.Sync(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestReadError: a disk that can't be read is no damage: nothing is moved away, and the error is the machine's.
func TestReadError(t *testing.T) {
	s, warned := newStore(t)
	d := put(t, s, "content")
	s.verified.Clear()
	at(t, fault.BlobRead, func() error { return &os.PathError{Op: "read", Path: s.BlobPath(d), Err: syscall.EIO} })
	if err := s.Verify(t.Context(), d); !errors.Is(err, syscall.EIO) || errors.Is(err, cache.ErrMissing) {
		t.Errorf("Verify: %v", err)
	}
	if _, _, err := s.Put(t.Context(), strings.NewReader("content")); !errors.Is(err, syscall.EIO) {
		t.Errorf("Put over what can't be read: %v", err)
	}
	fault.Set(nil)
	if got, err := read(s, d); err != nil || got != "content" || len(*warned) > 0 {
		t.Errorf("afterwards: %q, %v, %q", got, err, *warned)
	}
}
