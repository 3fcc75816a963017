package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// Fault is something in a store that is not as it should be.
type Fault struct {
	What string `json:"what"`
	Done string `json:"done,omitempty"` // how it was repaired; "" if it was not
}

// Check reads every blob and tree of a store and compares it with its name. With repair it sets aside what is damaged, so that it counts as gone.
type Check struct {
	Store  *Store
	Repair bool
	Fault  func(Fault) // called by one goroutine at a time

	Blobs, Trees int
	Bytes        int64
	Incomplete   int                   // trees of which some blobs are gone, as after dpb gc; or that are read where they lie
	Lost         map[cache.Digest]bool // blobs that were found damaged

	mu sync.Mutex
}

// Run checks all. It reads blobs on all cores and remembers nothing of those that are sound.
func (c *Check) Run(ctx context.Context) error {
	c.Lost = map[cache.Digest]bool{}
	for _, kind := range []struct {
		name string
		one  func(path string, d [32]byte) error
	}{{"blobs", c.blob}, {"trees", c.tree}} {
		if err := c.all(ctx, kind.name, kind.one); err != nil {
			return err
		}
	}
	return c.temporary()
}

// all calls one for each file of a kind, on all cores.
func (c *Check) all(ctx context.Context, kind string, one func(path string, d [32]byte) error) error {
	type file struct {
		path string
		d    [32]byte
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	files := make(chan file, 256)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for f := range files {
				if err := one(f.path, f.d); err != nil {
					cancel(err)
				}
			}
		})
	}
	err := c.Store.each(ctx, kind, func(path string, d [32]byte, _ fs.FileInfo) error {
		select {
		case files <- file{path, d}:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}, func(path string) error {
		c.setAside(path, path+" is no file of a store", "stray-"+filepath.Base(path))
		return nil
	})
	close(files)
	workers.Wait()
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

func (c *Check) blob(path string, want [32]byte) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // collected meanwhile
	}
	var got cache.Digest
	var n int64
	if err == nil {
		got, n, err = cache.SumReader(f)
		f.Close()
	}
	c.count(func() { c.Blobs, c.Bytes = c.Blobs+1, c.Bytes+n })
	switch {
	case errors.Is(err, fs.ErrPermission):
		c.tell(Fault{What: fmt.Sprintf("%s can't be read: %v", path, err)})
	case err != nil:
		c.lose(path, want, fmt.Sprintf("%s can't be read: %v", path, err))
	case got != want:
		c.lose(path, want, path+" is damaged: its content is not what its name says")
	}
	return nil
}

func (c *Check) lose(path string, d cache.Digest, what string) {
	c.count(func() { c.Lost[d] = true })
	c.setAside(path, what, "blobs-"+filepath.Base(path))
}

func (c *Check) tree(path string, want [32]byte) error {
	t, err := readTreeFile(path, want)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c.count(func() { c.Trees++ })
	if errors.Is(err, fs.ErrPermission) {
		c.tell(Fault{What: fmt.Sprintf("%s can't be read: %v", path, err)})
		return nil
	}
	if err != nil {
		c.setAside(path, fmt.Sprintf("%s is damaged: %v", path, err), "trees-"+filepath.Base(path))
		return nil
	}
	return c.entries(path, t)
}

// readTreeFile reads a tree and compares it with its name.
func readTreeFile(path string, want cache.TreeDigest) (cache.Tree, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return cache.Tree{}, err
	}
	t, err := cache.DecodeTree(b)
	if err == nil && t.Digest() != want {
		err = errors.New("its content is not what its name says")
	}
	return t, err
}

// entries looks whether a tree's blobs are there.
func (c *Check) entries(path string, t cache.Tree) error {
	missing := false
	for _, e := range t.Entries {
		if !e.Kind.IsFile() {
			continue
		}
		info, err := os.Stat(c.Store.path("blobs", e.Digest.String()))
		switch {
		case err == nil && info.Size() != e.Size && !c.Lost[e.Digest]:
			c.setAside(path, fmt.Sprintf("%s is wrong: it says that %s has %d bytes, and it has %d", path, e.Path, e.Size, info.Size()), "trees-"+filepath.Base(path))
			return nil
		case errors.Is(err, fs.ErrNotExist):
			missing = true
		case err != nil && !errors.Is(err, fs.ErrPermission):
			return err
		}
	}
	if missing {
		c.count(func() { c.Incomplete++ })
	}
	return nil
}

// Look says, after Run and without changing anything, whether a tree lost a blob that was found damaged, and whether it is there with all its bytes.
func (c *Check) Look(d cache.TreeDigest) (lost, there bool) {
	t, err := readTreeFile(c.Store.path("trees", d.String()), d)
	if err != nil {
		return false, false
	}
	there = true
	for _, e := range t.Entries {
		if !e.Kind.IsFile() {
			continue
		}
		info, err := os.Stat(c.Store.path("blobs", e.Digest.String()))
		lost = lost || c.Lost[e.Digest]
		there = there && err == nil && info.Size() == e.Size
	}
	return lost, there && !lost
}

func (c *Check) count(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f()
}

func (c *Check) tell(f Fault) { c.count(func() { c.Fault(f) }) }

// setAside moves what is damaged to damaged/.
func (c *Check) setAside(path, what, name string) {
	fault := Fault{What: what}
	if c.Repair {
		to := filepath.Join(c.Store.Dir, "damaged", name)
		if err := os.Rename(path, to); err == nil {
			fault.Done = "moved to " + to
		} else {
			fault.What += fmt.Sprintf(" (and can't be moved: %v)", err)
		}
	}
	c.tell(fault)
}

// old is the age at which a temporary file is nobody's any more: whoever writes one renames it in a moment.
const old = time.Hour

// temporary removes what was left by processes that were killed as they replaced a file.
func (c *Check) temporary() error {
	var names []string
	for _, pattern := range []string{".format-*", "checkouts/*/.*-*", "checkouts/*/*/.*-*"} {
		more, err := filepath.Glob(filepath.Join(escapeGlob(c.Store.Dir), pattern))
		if err != nil {
			return err
		}
		names = append(names, more...)
	}
	slices.Sort(names)
	for _, name := range names {
		if info, err := os.Lstat(name); err != nil || !info.Mode().IsRegular() || time.Since(info.ModTime()) < old {
			continue
		}
		fault := Fault{What: name + " was left by a process that was killed"}
		if c.Repair && os.Remove(name) == nil {
			fault.Done = "removed"
		}
		c.tell(fault)
	}
	return nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

// CheckSealed says whether a file is what Seal framed; one that is not there is.
func CheckSealed(file, header string) (bool, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	_, ok := Unseal(header, b)
	return ok, err
}

// StatsSound says whether what a StatCache saved can be read.
func StatsSound(file string) (bool, error) { return SoundTable(file, statMagic) }
