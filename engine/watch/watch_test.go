package watch

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// watched is a folder with a watcher that notes of which paths it hears, and skips those whose name begins with out.
type watched struct {
	*Watcher
	t   *testing.T
	dir string

	mu    sync.Mutex
	paths []string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, dir: t.TempDir()}
	w.Watcher = New(func(path string) bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.paths = append(w.paths, path)
		return strings.HasPrefix(filepath.Base(path), "out")
	})
	t.Cleanup(func() { w.Close() })
	if w.why != nil {
		t.Skip(w.why)
	}
	return w
}

func (w *watched) path(name string) string { return filepath.Join(w.dir, name) }

func (w *watched) write(name string) {
	w.t.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(name)), 0o777); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(w.path(name), []byte(time.Now().String()), 0o666); err != nil {
		w.t.Fatal(err)
	}
}

// follow follows these folders, and the one that marks are written to.
func (w *watched) follow(deep bool, names ...string) {
	w.t.Helper()
	if err := os.MkdirAll(w.path(".marks"), 0o777); err != nil {
		w.t.Fatal(err)
	}
	folders := []Folder{{w.path(".marks"), false}}
	for _, name := range names {
		folders = append(folders, Folder{w.path(name), deep})
	}
	for _, b := range w.Follow(folders) {
		if remote(w.dir) == "" { // else the test runs on one
			w.t.Fatal(b)
		}
	}
}

// heard lists what it heard of because of a change. Events come in order: when that of the mark is there, all are.
func (w *watched) heard(change func()) (paths []string) {
	w.t.Helper()
	w.mark()
	w.Take()
	change()
	return w.mark()
}

// mark writes a file that is skipped, so that of itself there is no news.
func (w *watched) mark() (paths []string) {
	w.t.Helper()
	mark := filepath.Join(".marks", time.Now().Format("out150405.000000000"))
	w.write(mark)
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		at := slices.Index(w.paths, w.path(mark))
		if at >= 0 {
			paths, w.paths = slices.Clone(w.paths[:at]), nil
		}
		w.mu.Unlock()
		if at >= 0 {
			return slices.DeleteFunc(paths, func(p string) bool { return strings.HasPrefix(p, w.path(".marks")) })
		}
	}
	w.t.Fatal("no news of the mark")
	return nil
}

func (w *watched) hears(what string, change func()) {
	w.t.Helper()
	before := time.Now()
	if len(w.heard(change)) == 0 {
		w.t.Errorf("%s: nothing was heard", what)
	}
	if at, ok := w.Take(); !ok || at.Before(before) || at.After(time.Now()) {
		w.t.Errorf("%s: news of %v, %v", what, at, ok)
	}
}

func TestHears(t *testing.T) {
	w := newWatched(t)
	w.write("a/b/old.txt")
	w.follow(true, ".")
	w.hears("a new file", func() { w.write("new.txt") })
	w.hears("another content", func() { w.write("a/b/old.txt") })
	w.hears("a mode", func() { os.Chmod(w.path("new.txt"), 0o777) })
	w.hears("a file that goes", func() { os.Remove(w.path("a/b/old.txt")) })
	w.hears("a new folder", func() { os.MkdirAll(w.path("c/d"), 0o777) })
	w.follow(true, ".")
	w.hears("a file in a new folder", func() { w.write("c/d/new.txt") })
	w.hears("a folder with another name", func() { os.Rename(w.path("c"), w.path("e")) })
	w.follow(true, ".")
	w.hears("a file in it", func() { w.write("e/d/new.txt") })
	w.hears("a folder that goes", func() { os.RemoveAll(w.path("e")) })
	w.write("e/d/new.txt")
	w.follow(true, ".")
	w.hears("a file in a folder that is there again", func() { w.write("e/d/new.txt") })
}

// TestFolders: a folder that is not there yet is heard of when it comes, and links are followed, also in a circle.
func TestFolders(t *testing.T) {
	w := newWatched(t)
	w.write("other/x/y.txt")
	w.write("tree/file.txt")
	os.Symlink(w.path("other"), w.path("tree/link"))
	os.Symlink(w.path("tree"), w.path("other/back"))
	w.follow(true, "tree", "later/raw")
	w.hears("a file behind a link", func() { w.write("other/x/y.txt") })
	w.hears("a folder above one that is to come", func() { os.Mkdir(w.path("later"), 0o777) })
	w.follow(true, "tree", "later/raw")
	w.hears("the folder", func() { os.Mkdir(w.path("later/raw"), 0o777) })
	w.follow(true, "tree", "later/raw")
	w.hears("a file in it", func() { w.write("later/raw/a.txt") })
	w.follow(true, "later/raw")
	if heard := w.heard(func() { w.write("tree/file.txt"); w.write("other/x/y.txt") }); len(heard) > 0 {
		t.Errorf("it heard of %v, which it was to follow no more", heard)
	}
}

// TestSilence: of hidden folders, of what is skipped and of folders below a flat one nothing is heard.
func TestSilence(t *testing.T) {
	w := newWatched(t)
	for _, name := range []string{".git/x", "out/x", "sub/x", "flat/x", "flat/sub/x"} {
		w.write(name)
	}
	w.follow(true, "sub", ".")
	w.follow(false, "flat")
	if heard := w.heard(func() { w.write("flat/sub/x"); w.write("sub/x") }); len(heard) > 0 {
		t.Errorf("a flat folder: it heard of %v", heard)
	}
	w.follow(true, ".")
	if heard := w.heard(func() { w.write(".git/x"); w.write("out/x") }); len(heard) > 0 {
		t.Errorf("it heard of %v", heard)
	}
	w.heard(func() { w.write("out.csv") })
	if at, ok := w.Take(); ok {
		t.Errorf("what is skipped was news of %s", at)
	}
	w.heard(func() { w.write("in.csv") })
	if _, ok := w.Take(); !ok {
		t.Error("what is not skipped was no news")
	}
}

// TestBlind: without events it says so, and why.
func TestBlind(t *testing.T) {
	w := Watcher{News: newNews(), why: os.ErrPermission, skip: func(string) bool { return false }}
	dir := t.TempDir()
	if blind := w.Follow([]Folder{{dir, true}, {dir, false}}); len(blind) != 1 || blind[0].Dir != dir || !strings.Contains(blind[0].Why, "permission") {
		t.Errorf("%v", blind)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
}

// TestSettle: it waits for quiet, and not for ever.
func TestSettle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNews()
		began := time.Now()
		go func() {
			for range 4 {
				n.tell(time.Now())
				time.Sleep(60 * time.Millisecond)
			}
		}()
		n.Settle(t.Context(), 100*time.Millisecond, time.Second)
		if took := time.Since(began); took != 280*time.Millisecond {
			t.Errorf("it took %s for 4 changes in 180 ms and 100 ms of quiet", took)
		}
		if at, ok := n.Take(); !ok || at != began.Add(180*time.Millisecond) {
			t.Errorf("the newest change was at %v, %v", at.Sub(began), ok)
		}
		if _, ok := n.Take(); ok {
			t.Error("news is taken once")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n := newNews()
		ctx, cancel := context.WithCancel(t.Context())
		var changes sync.WaitGroup
		changes.Go(func() {
			for ; ctx.Err() == nil; time.Sleep(60 * time.Millisecond) {
				n.tell(time.Now())
			}
		})
		began := time.Now()
		n.Settle(t.Context(), 100*time.Millisecond, time.Second)
		if took := time.Since(began); took != time.Second {
			t.Errorf("it waited %s while changes kept coming", took)
		}
		cancel()
		changes.Wait()
		n.Settle(ctx, time.Hour, time.Hour)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("it went on for %s after it was ended", took)
		}
	})
}
