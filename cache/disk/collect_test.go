package disk

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

func opened(t *testing.T, dir string) *Store {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func putText(t *testing.T, s *Store, text string) cache.Digest {
	t.Helper()
	d, _, err := s.Put(t.Context(), strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// putTreeOf stores a tree of one file for each text.
func putTreeOf(t *testing.T, s *Store, texts ...string) cache.TreeDigest {
	t.Helper()
	var entries []cache.Entry
	for _, text := range texts {
		entries = append(entries, cache.Entry{Path: text, Kind: cache.File, Digest: putText(t, s, text), Size: int64(len(text))})
	}
	tree, err := cache.NewTree(entries)
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.PutTree(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func found(t *testing.T, s *Store) *Collection {
	t.Helper()
	c, err := s.Collect(t.Context(), true, func() { t.Error("another collector is at work") })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	if err := c.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c
}

func deleteAll(t *testing.T, c *Collection) Amount {
	t.Helper()
	a, err := c.Delete(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestCollectKeeps: what is kept stays, with the blobs of trees, and all else goes.
func TestCollectKeeps(t *testing.T) {
	dir := t.TempDir()
	s := opened(t, dir)
	wanted, unwanted := putTreeOf(t, s, "a", "b"), putTreeOf(t, s, "b", "c")
	log := putText(t, s, "log")
	closeStore(t, s)
	c, err := s.Collect(t.Context(), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Keep([]cache.TreeDigest{wanted}, log); err != nil {
		t.Fatal(err)
	}
	if err := c.Find(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := c.Left(true); a.Files != 2 {
		t.Errorf("%d files would go", a.Files)
	}
	if a := deleteAll(t, c); a.Files != 2 {
		t.Errorf("%d files went", a.Files)
	}
	if !s.Present(t.Context(), wanted) || s.Present(t.Context(), unwanted) || s.Verify(t.Context(), log) != nil {
		t.Error("the wrong ones went")
	}
}

// TestCollectBesideWriters: whatever a process relies on since a collector found that nobody needs it stays, also if the process has ended by then.
func TestCollectBesideWriters(t *testing.T) {
	ctx := context.Background()
	relies := map[string]func(t *testing.T, s *Store, tree cache.TreeDigest){
		"put":     func(t *testing.T, s *Store, _ cache.TreeDigest) { putTreeOf(t, s, "a", "b") },
		"tree":    func(t *testing.T, s *Store, d cache.TreeDigest) { must(t, second(s.GetTree(ctx, d))) },
		"present": func(t *testing.T, s *Store, d cache.TreeDigest) { s.Present(ctx, d) },
		"pin":     func(t *testing.T, s *Store, d cache.TreeDigest) { must(t, s.Pin(d)) },
		"verify": func(t *testing.T, s *Store, d cache.TreeDigest) {
			must(t, errors.Join(s.Verify(ctx, cache.Sum([]byte("a"))), s.Verify(ctx, cache.Sum([]byte("b"))), s.Pin(d)))
		},
	}
	for name, rely := range relies {
		for _, ends := range []string{"lives", "ended", "killed"} {
			t.Run(name+" "+ends, func(t *testing.T) {
				dir := t.TempDir()
				before := opened(t, dir)
				tree := putTreeOf(t, before, "a", "b")
				putText(t, before, "garbage")
				closeStore(t, before)
				collector, _ := OpenExisting(dir)
				c := found(t, collector)
				s := opened(t, dir)
				rely(t, s, tree)
				switch ends {
				case "ended":
					closeStore(t, s)
				case "killed":
					s.private.lock.Close()
				}
				// Others come meanwhile, and tidy up.
				other := opened(t, dir)
				putText(t, other, "new")
				if a := deleteAll(t, c); a.Files != 1 {
					t.Errorf("%d files went", a.Files)
				}
				if !collector.Present(ctx, tree) {
					t.Error("a process relied on what went")
				}
				if _, err := c.Abandoned(); err != nil {
					t.Error(err)
				}
				dirs, _ := s.privateDirs()
				if lives := ends == "lives"; slices.Contains(dirs, s.private.Dir) != lives {
					t.Errorf("directories are left: %q", dirs)
				}
			})
		}
	}
}

func second[T any](_ T, err error) error { return err }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestCollectInterrupted stops deleting after each number of files: a tree is there with all its blobs, or counts as gone and can be put again.
func TestCollectInterrupted(t *testing.T) {
	for n := range 8 {
		dir := t.TempDir()
		s := opened(t, dir)
		trees := []cache.TreeDigest{putTreeOf(t, s, "a", "b", "c"), putTreeOf(t, s, "c", "d")}
		closeStore(t, s)
		c := found(t, s)
		if c.Left(true).Files != 6 {
			t.Fatalf("%d files were found", c.Left(true).Files)
		}
		must(t, c.deleteSome(c.order()[:min(n, 6)], &Amount{}))
		c.Close()
		again := opened(t, dir)
		for _, d := range trees {
			if _, err := again.GetTree(t.Context(), d); err != nil && !errors.Is(err, cache.ErrMissing) {
				t.Error(err)
			}
		}
		if putTreeOf(t, again, "a", "b", "c") != trees[0] || putTreeOf(t, again, "c", "d") != trees[1] {
			t.Error("other trees")
		}
		for _, d := range trees {
			if !again.Present(t.Context(), d) {
				t.Errorf("after %d files: not present", n)
			}
		}
		closeStore(t, again)
	}
}

// TestCollectOnce: a second collector waits for the first, and says so.
func TestCollectOnce(t *testing.T) {
	s := opened(t, t.TempDir())
	found(t, s)
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	if _, err := s.Collect(ctx, true, func() { cancel(enough) }); err != enough {
		t.Error(err)
	}
	c, err := s.Collect(t.Context(), false, nil)
	if err != nil {
		t.Fatal("one that only looks waits for nobody")
	}
	c.Close()
}

// TestPinsCost: what is pinned once is not written again.
func TestPinsCost(t *testing.T) {
	s := opened(t, t.TempDir())
	d := putTreeOf(t, s, "a")
	for range 3 {
		must(t, s.Pin(d))
		putTreeOf(t, s, "a")
	}
	info, err := os.Stat(filepath.Join(s.private.Dir, pinsFile))
	if err != nil || info.Size() != 2*32 {
		t.Errorf("%d bytes, %v", info.Size(), err)
	}
}

func BenchmarkPin(b *testing.B) {
	s, err := Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	var d cache.TreeDigest
	for i := range b.N {
		d[0], d[1], d[2], d[3] = byte(i), byte(i>>8), byte(i>>16), byte(i>>24)
		if err := s.Pin(d); err != nil {
			b.Fatal(err)
		}
	}
}
