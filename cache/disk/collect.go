package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// Collection is one look at a store for what nobody needs: say what to keep, find the rest, delete it. Interrupted at any point it leaves a sound store, as a tree whose
// blobs are gone counts as gone.
type Collection struct {
	s       *Store
	lock    *os.File // against other collectors; nil of one that only looks
	gate    *os.File
	keep    map[[32]byte]bool
	read    map[string]int64 // how far the pins of each process were read
	garbage map[[32]byte]waste
	kept    int64 // bytes of blobs and trees that are no garbage
}

// waste is a blob or tree that nobody needs.
type waste struct {
	size  int64
	tree  bool
	named bool // it was counted
}

// Amount counts files.
type Amount struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Add adds another amount.
func (a *Amount) Add(b Amount) { a.Files, a.Bytes = a.Files+b.Files, a.Bytes+b.Bytes }

func (a *Amount) add(size int64) { a.Files, a.Bytes = a.Files+1, a.Bytes+size }

// Collect begins a collection. One that deletes has the store's collector lock until Close, and waits for it, after it called waiting, while another has it.
func (s *Store) Collect(ctx context.Context, deletes bool, waiting func()) (*Collection, error) {
	c := &Collection{s: s, keep: map[[32]byte]bool{}, read: map[string]int64{}, garbage: map[[32]byte]waste{}}
	if !deletes {
		return c, nil
	}
	var err error
	if c.gate, err = s.openLock(gateFile); err != nil {
		return nil, err
	}
	if c.lock, err = s.openLock(collectFile); err != nil {
		return nil, err
	}
	for tries := 0; ; tries++ { // processes that end have the lock too, for moments
		err := flock(c.lock, false)
		if err == nil {
			return c, nil
		}
		if tries == 50 {
			waiting()
		}
		if !errors.Is(err, errHeld) {
			c.Close()
			return nil, err
		}
		select {
		case <-ctx.Done():
			c.Close()
			return nil, context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Close ends the collection. What processes that have ended left in their directories is not needed any more.
func (c *Collection) Close() {
	if c.gate != nil {
		c.gate.Close()
	}
	if c.lock != nil {
		c.lock.Close()
	}
}

// Keep says that blobs, and trees with their blobs, are needed.
func (c *Collection) Keep(trees []cache.TreeDigest, blobs ...cache.Digest) error {
	for _, d := range blobs {
		c.keepOne(d)
	}
	for _, d := range trees {
		if c.keep[d] || d.IsZero() {
			continue
		}
		c.keepOne(d)
		if err := c.keepBlobs(d); err != nil {
			return err
		}
	}
	return nil
}

func (c *Collection) keepOne(d [32]byte) {
	c.keep[d] = true
	c.kept += c.garbage[d].size
	delete(c.garbage, d)
}

// Keeps says whether a tree is kept, whether or not it is there.
func (c *Collection) Keeps(d cache.TreeDigest) bool { return c.keep[d] }

// keepBlobs keeps what a tree is made of. One that is gone or damaged is made of nothing.
func (c *Collection) keepBlobs(d cache.TreeDigest) error {
	t, err := c.s.readTree(d)
	if errors.Is(err, cache.ErrMissing) {
		return nil
	}
	for _, e := range t.Entries {
		if e.Kind.IsFile() {
			c.keepOne(e.Digest)
		}
	}
	return err
}

// Find lists what is in the store and not kept, and not pinned so far.
func (c *Collection) Find(ctx context.Context) error {
	if err := c.readPins(); err != nil {
		return err
	}
	for _, kind := range []string{"trees", "blobs"} {
		err := c.s.each(ctx, kind, func(path string, d [32]byte, info fs.FileInfo) error {
			if c.keep[d] {
				c.kept += info.Size()
			} else {
				c.garbage[d] = waste{size: info.Size(), tree: kind == "trees"}
			}
			return nil
		}, func(string) error { return nil })
		if err != nil {
			return err
		}
	}
	return nil
}

// each visits all files below blobs or trees, and those whose name is no digest apart.
func (s *Store) each(ctx context.Context, kind string, f func(path string, d [32]byte, info fs.FileInfo) error, stray func(path string) error) error {
	return filepath.WalkDir(filepath.Join(s.Dir, kind), func(path string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // it went meanwhile, or never was
		case err != nil || ctx.Err() != nil:
			return errors.Join(err, context.Cause(ctx))
		case e.IsDir():
			return nil
		}
		d, err := cache.ParseDigest(e.Name())
		if err != nil || path != s.path(kind, e.Name()) || !e.Type().IsRegular() {
			return stray(path)
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return f(path, d, info)
	})
}

// Kept is how many bytes stay in the store.
func (c *Collection) Kept() int64 { return c.kept }

// Left counts what was found and would be deleted; if not all, what Count did not count.
func (c *Collection) Left(all bool) (a Amount) {
	for _, w := range c.garbage {
		if all || !w.named {
			a.add(w.size)
		}
	}
	return a
}

// Count is how much of what was found belongs to trees and blobs and was not counted before.
func (c *Collection) Count(trees []cache.TreeDigest, blobs ...cache.Digest) (a Amount, err error) {
	err = c.visit(trees, blobs, func(d [32]byte, w waste) {
		if !w.named {
			a.add(w.size)
			w.named = true
			c.garbage[d] = w
		}
	})
	return a, err
}

// Cost is how many bytes it takes to keep trees and blobs that would be deleted.
func (c *Collection) Cost(trees []cache.TreeDigest, blobs ...cache.Digest) (bytes int64, err error) {
	seen := map[[32]byte]bool{}
	err = c.visit(trees, blobs, func(d [32]byte, w waste) {
		if !seen[d] {
			seen[d] = true
			bytes += w.size
		}
	})
	return bytes, err
}

// visit calls f for each of trees, their blobs and blobs that was found and is not kept.
func (c *Collection) visit(trees []cache.TreeDigest, blobs []cache.Digest, f func([32]byte, waste)) error {
	one := func(d [32]byte) {
		if w, ok := c.garbage[d]; ok {
			f(d, w)
		}
	}
	for _, d := range blobs {
		one(d)
	}
	for _, d := range trees {
		if _, ok := c.garbage[d]; !ok {
			continue // kept with all its blobs, or gone; what is left of that no tree names
		}
		one(d)
		t, err := c.s.readTree(d)
		if err != nil && !errors.Is(err, cache.ErrMissing) {
			return err
		}
		for _, e := range t.Entries {
			one(e.Digest)
		}
	}
	return nil
}

// readPins keeps what was pinned since the last time, also by processes that have ended meanwhile.
func (c *Collection) readPins() error {
	dirs, err := c.s.privateDirs()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := c.readPinsOf(filepath.Join(dir, pinsFile)); err != nil {
			return err
		}
	}
	return nil
}

func (c *Collection) readPinsOf(file string) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, (info.Size()-c.read[file])/32*32)
	n, err := f.ReadAt(b, c.read[file])
	if n < len(b) {
		return err
	}
	c.read[file] += int64(n)
	for d := range slices.Chunk(b, 32) {
		if err := c.Keep([]cache.TreeDigest{cache.TreeDigest(d)}); err != nil { // a blob's digest is no tree's
			return err
		}
	}
	return nil
}

func (s *Store) privateDirs() (out []string, err error) {
	entries, err := os.ReadDir(filepath.Join(s.Dir, "jobs"))
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), privatePrefix) {
			out = append(out, filepath.Join(s.Dir, "jobs", e.Name()))
		}
	}
	return out, err
}

// batch is how many files are deleted while processes that want to pin wait.
const batch = 256

// Delete deletes what was found, trees before their blobs, but for what is pinned by now.
func (c *Collection) Delete(ctx context.Context) (deleted Amount, err error) {
	for some := range slices.Chunk(c.order(), batch) {
		if ctx.Err() != nil {
			return deleted, context.Cause(ctx)
		}
		start := time.Now()
		if err := c.deleteSome(some, &deleted); err != nil {
			return deleted, err
		}
		time.Sleep(time.Since(start)) // who waited for the gate gets it
	}
	return deleted, nil
}

func (c *Collection) order() [][32]byte {
	var trees, blobs [][32]byte
	for d, w := range c.garbage {
		if w.tree {
			trees = append(trees, d)
		} else {
			blobs = append(blobs, d)
		}
	}
	return append(trees, blobs...)
}

func (c *Collection) deleteSome(some [][32]byte, deleted *Amount) error {
	if err := flock(c.gate, true); err != nil {
		return err
	}
	defer unlock(c.gate)
	if err := c.readPins(); err != nil {
		return err
	}
	for _, d := range some {
		w, ok := c.garbage[d]
		if !ok {
			continue // pinned meanwhile
		}
		kind := "blobs"
		if w.tree {
			kind = "trees"
		}
		if err := os.Remove(c.s.path(kind, cache.Digest(d).String())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		deleted.add(w.size)
		delete(c.garbage, d)
	}
	return nil
}

// Damaged counts what was set aside as damaged, and removes it.
func (c *Collection) Damaged() (a Amount, err error) {
	entries, err := os.ReadDir(filepath.Join(c.s.Dir, "damaged"))
	if errors.Is(err, fs.ErrNotExist) {
		return a, nil
	}
	for _, e := range entries {
		path := filepath.Join(c.s.Dir, "damaged", e.Name())
		a.Add(sizeOf(path))
		if c.lock != nil {
			err = errors.Join(err, RemoveAll(path))
		}
	}
	return a, err
}

// Abandoned counts what processes left that were killed, and removes it. It comes after Delete, which still goes by their pins.
func (c *Collection) Abandoned() (a Amount, err error) {
	jobs := filepath.Join(c.s.Dir, "jobs")
	dirs, err := c.s.privateDirs()
	if err != nil {
		return a, err
	}
	for _, dir := range dirs {
		lock, err := lockDir(dir, false)
		if err != nil {
			continue // its process lives
		}
		a.Add(sizeOf(dir))
		lock.Close()
	}
	if c.lock == nil || len(dirs) == 0 {
		return a, nil
	}
	gate, err := lockDir(jobs, true)
	if err != nil {
		return a, err
	}
	defer gate.Close()
	return a, removeAllAbandoned(jobs, privatePrefix)
}

// sizeOf counts the files below a path as far as they can be seen.
func sizeOf(path string) (a Amount) {
	_ = filepath.WalkDir(path, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == pinsFile {
			return nil
		}
		if info, err := e.Info(); err == nil {
			a.add(info.Size())
		}
		return nil
	})
	return a
}
