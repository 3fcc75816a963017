package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// TestLook: a look tells of all that a watcher with events would hear of, and of nothing else.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	text := ""
	write := func(name string) {
		t.Helper()
		text += "x" // so that the size tells, whatever the times do
		if err := os.MkdirAll(filepath.Dir(path(name)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path(name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tree/a.txt", "tree/sub/b.txt", "tree/.hidden/c.txt", "tree/out/d.txt", "flat/e.txt", "flat/sub/f.txt", "linked/g.txt"} {
		write(name)
	}
	os.Symlink(path("linked"), path("tree/link"))
	os.Symlink(path("tree"), path("linked/back"))
	folders := []Folder{{path("tree"), true}, {path("flat"), false}, {path("later"), true}}
	now := func() cache.Digest {
		return Look(folders, func(path string) bool { return filepath.Base(path) == "out" })
	}
	before := now()
	if now() != before {
		t.Error("two looks at the same differ")
	}
	for _, name := range []string{"tree/a.txt", "tree/sub/b.txt", "tree/new.txt", "flat/e.txt", "linked/g.txt", "later/h.txt"} {
		if write(name); now() == before {
			t.Errorf("it does not tell that %s changed", name)
		}
		before = now()
	}
	for _, name := range []string{"tree/.hidden/c.txt", "tree/out/d.txt", "flat/sub/f.txt"} {
		if write(name); now() != before {
			t.Errorf("%s counts", name)
		}
	}
	if os.Remove(path("tree/a.txt")); now() == before {
		t.Error("it does not tell that a file is gone")
	}
}

// TestCalm: it looks until files are quiet, and not for ever; where nothing changed it does not wait.
func TestCalm(t *testing.T) {
	digest := func(k int) cache.Digest { return cache.Sum([]byte(fmt.Sprint(k))) }
	for _, c := range []struct {
		changes int // how many looks find something new
		took    time.Duration
	}{{0, 0}, {1, 100 * time.Millisecond}, {4, 400 * time.Millisecond}, {1000, time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			looks := 0
			look := func() cache.Digest { looks = min(looks+1, c.changes); return digest(looks) }
			began := time.Now()
			last := Calm(t.Context(), digest(0), look, 100*time.Millisecond, time.Second)
			if took := time.Since(began); took != c.took || last != digest(looks) {
				t.Errorf("of %d changes: it took %s, want %s; the last look is returned: %v", c.changes, took, c.took, last == digest(looks))
			}
		})
	}
}
