// Package watch tells that files may have changed, where the system says so; it knows nothing of what they are for.
package watch

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Folder is a directory whose files matter.
type Folder struct {
	Dir  string // absolute
	Deep bool   // and those of all directories below it, but for hidden ones
}

// Blind is a directory of whose changes the system says nothing, or not all.
type Blind struct {
	Dir string
	Why string
}

// Watcher hears of changes in the folders that it follows. What it hears means "look again" and no more: only who looks knows what changed, and what it can't hear
// of has to be looked at from time to time.
type Watcher struct {
	News
	events *fsnotify.Watcher // nil: there are none to be had
	why    error             // then
	skip   func(path string) bool
}

// New returns a watcher that follows nothing yet. Of paths that skip takes it hears nothing; it must be safe for concurrent use.
func New(skip func(path string) bool) *Watcher {
	w := &Watcher{News: newNews(), skip: skip}
	if w.events, w.why = fsnotify.NewWatcher(); w.why != nil {
		w.events = nil
		return w
	}
	go w.listen(w.events)
	return w
}

// Close ends it.
func (w *Watcher) Close() error {
	if w.events == nil {
		return nil
	}
	return w.events.Close()
}

// listen ends when the events do. An error is news too: some were lost.
func (w *Watcher) listen(events *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-events.Events:
			if !ok {
				return
			}
			if !w.skip(e.Name) {
				w.tell(time.Now())
			}
		case _, ok := <-events.Errors:
			if !ok {
				return
			}
			w.tell(time.Now())
		}
	}
}

// Follow makes it hear of these folders and no others, and tells where it is blind. Of a directory that is made later it hears, and follows it from the next call on: who
// calls it before each look misses nothing that happens after the look.
func (w *Watcher) Follow(folders []Folder) []Blind {
	f := following{Watcher: w, wanted: map[string]bool{}, seen: map[string]bool{}}
	for _, folder := range folders {
		f.follow(folder)
	}
	f.forget()
	slices.SortFunc(f.blind, func(a, b Blind) int { return strings.Compare(a.Dir, b.Dir) })
	return slices.Compact(f.blind)
}

// forget ends following what is not wanted any more. A directory that was renamed, or is reached by another path now, goes with its old path, so that all are added again.
func (f *following) forget() {
	if f.events == nil {
		return
	}
	gone := slices.DeleteFunc(f.events.WatchList(), func(dir string) bool { return f.wanted[dir] })
	for _, dir := range gone {
		_ = f.events.Remove(dir) // it may be gone
	}
	if len(gone) == 0 {
		return
	}
	for dir := range f.wanted {
		_ = f.events.Add(dir) // what is wrong with it was said
	}
}

// following is one call of Follow.
type following struct {
	*Watcher
	wanted map[string]bool
	seen   map[string]bool // real paths that were walked, so that links make no circle
	blind  []Blind
	full   bool // the system takes no more
}

func (f *following) follow(folder Folder) {
	dir := filepath.Clean(folder.Dir)
	if _, err := os.Stat(dir); err != nil { // where it will be made
		f.add(existing(dir))
		return
	}
	if kind := remote(dir); kind != "" {
		f.blind = append(f.blind, Blind{dir, "it is on " + kind + ", where the system tells only of changes that this machine makes"})
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil && folder.Deep {
		f.walk(dir, real)
		return
	}
	f.add(dir)
}

// existing is the nearest directory above that is there.
func existing(dir string) string {
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
	}
	return dir
}

// walk adds a directory and those below. real is its path without links.
func (f *following) walk(dir, real string) {
	if f.seen[real] || f.full {
		return
	}
	f.seen[real] = true
	f.add(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.blind = append(f.blind, Blind{dir, err.Error()})
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), ".") || f.skip(path) {
			continue
		}
		switch {
		case e.IsDir():
			f.walk(path, filepath.Join(real, e.Name()))
		case e.Type() == fs.ModeSymlink:
			f.link(path)
		}
	}
}

// link walks a directory that a link leads to.
func (f *following) link(path string) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return
	}
	if info, err := os.Stat(real); err == nil && info.IsDir() {
		f.walk(path, real)
	}
}

// add has the system tell of one directory.
func (f *following) add(dir string) {
	if f.full {
		return
	}
	if f.events == nil {
		f.full = true
		f.blind = append(f.blind, Blind{dir, fmt.Sprintf("the system gives no events: %v", f.why)})
		return
	}
	f.wanted[dir] = true
	switch err := f.events.Add(dir); {
	case err == nil, errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EMFILE):
		f.full = true
		f.blind = append(f.blind, Blind{dir, fmt.Sprintf("with it and what follows more directories would be watched than the system lets (%s)", limit)})
	default:
		f.blind = append(f.blind, Blind{dir, err.Error()})
	}
}
