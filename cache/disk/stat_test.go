package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// later is a clock that is ahead by so much that no file looks new.
func later() time.Time { return time.Now().Add(time.Hour) }

func digest(t *testing.T, c *StatCache, name string) cache.Digest {
	t.Helper()
	d, info, err := c.Digest(name)
	if err != nil || !info.Mode().IsRegular() {
		t.Fatal(err)
	}
	return d
}

// mark makes what the cache remembers of a file recognizable.
func mark(t *testing.T, c *StatCache, name string) {
	t.Helper()
	e, ok := c.entries[name]
	if !ok {
		t.Fatalf("%s is not remembered", name)
	}
	e.Digest = cache.Digest{1}
	c.entries[name] = e
}

func TestStatCacheRemembers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, saved := write(t, filepath.Join(dir, "a"), "content"), filepath.Join(dir, "new", "files")
	c := OpenStatCache(saved)
	c.now = later
	if digest(t, c, name) != cache.Sum([]byte("content")) {
		t.Error("wrong digest")
	}
	mark(t, c, name)
	if digest(t, c, name) != (cache.Digest{1}) {
		t.Error("the file was read again")
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if digest(t, OpenStatCache(saved), name) != (cache.Digest{1}) {
		t.Error("the next process read the file again")
	}
}

// TestStatCacheNotices a change of the content, whatever else stays as it was.
func TestStatCacheNotices(t *testing.T) {
	t.Parallel()
	when := time.Date(2017, 6, 1, 0, 0, 0, 0, time.UTC)
	for what, change := range map[string]func(name string) error{
		"another size": func(name string) error { return os.WriteFile(name, []byte("longer"), 0o666) },
		"another time": func(name string) error { return os.WriteFile(name, []byte("new"), 0o666) },
		"the same size and time": func(name string) error {
			return errors.Join(os.WriteFile(name, []byte("new"), 0o666), os.Chtimes(name, when, when))
		},
		"another file of the same size and time": func(name string) error {
			other := name + ".new"
			return errors.Join(os.WriteFile(other, []byte("new"), 0o666), os.Chtimes(other, when, when), os.Rename(other, name))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			name := write(t, filepath.Join(t.TempDir(), "a"), "old")
			if err := os.Chtimes(name, when, when); err != nil {
				t.Fatal(err)
			}
			c := OpenStatCache("")
			c.now = later
			digest(t, c, name)
			mark(t, c, name)
			if err := change(name); err != nil {
				t.Fatal(err)
			}
			if b, _ := os.ReadFile(name); digest(t, c, name) != cache.Sum(b) {
				t.Error("the change was not noticed")
			}
		})
	}
}

// TestStatCacheIsRacy: of a file that changed a moment ago nothing is remembered, though its own time be old, for its next change might leave no trace.
func TestStatCacheIsRacy(t *testing.T) {
	t.Parallel()
	name := write(t, filepath.Join(t.TempDir(), "a"), "x")
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(name, old, old); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	ctime, _ := ChangeTime(info)
	changed := time.Unix(0, ctime)
	for after, want := range map[time.Duration]int{-time.Hour: 0, 0: 0, racy: 0, racy + 1: 1} {
		c := OpenStatCache("")
		c.now = func() time.Time { return changed.Add(after) }
		if digest(t, c, name); len(c.entries) != want {
			t.Errorf("%s after the change: %d remembered, want %d", after, len(c.entries), want)
		}
	}
}

// TestStatCacheClock: when the clock goes back, between processes or in one, a file may change and have the times of before.
func TestStatCacheClock(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	name, saved := write(t, filepath.Join(dir, "a"), "old"), filepath.Join(dir, "files")
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	written, _ := ChangeTime(info)
	clock := time.Unix(0, written).Add(time.Hour)
	open := func() *StatCache {
		c := OpenStatCache(saved)
		c.now = func() time.Time { return clock }
		return c
	}
	remembered := func(c *StatCache, what string, want bool) {
		t.Helper()
		d := digest(t, c, name)
		if got := d == (cache.Digest{1}); got != want || !want && d != cache.Sum([]byte("old")) {
			t.Errorf("%s: remembered is %v, want %v", what, got, want)
		}
	}
	c := open()
	digest(t, c, name)
	mark(t, c, name)
	if err := errors.Join(c.Save(), os.Chtimes(saved, clock, clock)); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		what  string
		clock time.Duration
		want  bool
	}{{"at the same time", 0, true}, {"later", time.Minute, true}, {"earlier, though still long after the file was written", -time.Second, false},
		{"when it goes on again", time.Minute, true}} {
		clock = time.Unix(0, written).Add(time.Hour + x.clock)
		remembered(open(), "the next process, "+x.what, x.want)
	}
	clock = time.Unix(0, written).Add(2 * time.Hour)
	c = open()
	remembered(c, "before the jump", true)
	clock = clock.Add(-time.Minute)
	remembered(c, "after a jump in one process", false)
	mark(t, c, name)
	remembered(c, "after that", true)
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	if _, ok := OpenTable(saved, statMagic).Get(name); !ok {
		t.Error("what was read after the jump is not saved")
	}
}

func TestStatCacheRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := OpenStatCache("")
	if _, _, err := c.Digest(dir); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, _, err := c.Digest(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(write(t, filepath.Join(dir, "a"), "x"), link); err != nil {
		t.Fatal(err)
	}
	if digest(t, c, link) != cache.Sum([]byte("x")) {
		t.Error("a link is not followed")
	}
}

func TestStatCacheSaveThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := OpenStatCache(filepath.Join(write(t, filepath.Join(dir, "file"), ""), "files"))
	c.now = later
	digest(t, c, write(t, filepath.Join(dir, "a"), "x"))
	for range 2 {
		if c.Save() == nil {
			t.Error("Save below a file succeeded")
		}
	}
}

func FuzzDecodeStat(f *testing.F) {
	f.Add(statEntry{1, 2, 3, 4, cache.Digest{5}}.encode())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		e, ok := decodeStat(b)
		if again, _ := decodeStat(e.encode()); ok && again != e {
			t.Errorf("%v came back as %v", e, again)
		}
	})
}

// TestWatching: a cache that watches tells what of that it was asked for is not what it was, by content.
func TestWatching(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := OpenStatCache(filepath.Join(dir, "files"))
	c.now = later
	name, other := write(t, filepath.Join(dir, "a"), "content"), write(t, filepath.Join(dir, "b"), "b")
	w := c.Watching()
	if digest(t, w, name) != cache.Sum([]byte("content")) || w.Watched() != 1 {
		t.Errorf("%d files are watched", w.Watched())
	}
	write(t, other, "changed") // it was not asked for
	if changed := w.Changed(); changed != "" {
		t.Errorf("%s changed", changed)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if changed := w.Changed(); changed != name {
		t.Errorf("%q changed", changed)
	}
	write(t, name, "content") // another file, and the same
	if changed := w.Changed(); changed != "" {
		t.Errorf("%s changed", changed)
	}
	write(t, name, "another")
	if changed := w.Changed(); changed != name {
		t.Errorf("%q changed", changed)
	}
}

// TestForget: a file whose times do not tell is read again after it was found to be another.
func TestForget(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := OpenStatCache(filepath.Join(dir, "files"))
	c.now = later
	name := write(t, filepath.Join(dir, "a"), "content")
	want := digest(t, c, name)
	mark(t, c, name)
	c.Forget(name)
	if digest(t, c, name) != want {
		t.Error("what was forgotten is remembered")
	}
}

// TestStampsOfWholeSeconds: where a file system counts whole seconds, a file that was young when this process began may have changed and kept its stamp. It is read.
func TestStampsOfWholeSeconds(t *testing.T) {
	t.Parallel()
	name := write(t, filepath.Join(t.TempDir(), "a"), "old")
	began := time.Now()
	for age, reads := range map[time.Duration]bool{0: true, racy / 2: true, racy + time.Second: false} {
		c := OpenStatCache("")
		c.now = func() time.Time { return began.Add(age) }
		d, f, err := c.Digest(name)
		if err != nil {
			t.Fatal(err)
		}
		c.now = later
		if got := !c.Still(name, StampOf(f), cache.Digest{1}); got != reads {
			t.Errorf("%v old: it was read: %v", age, got)
		}
		if !c.Still(name, StampOf(f), d) {
			t.Errorf("%v old: it is not what it was", age)
		}
	}
}
