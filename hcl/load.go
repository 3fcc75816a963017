// Package hcl reads pipeline.hcl and dpb.hcl into plain engine values; it is the only importer of HCL and cty.
package hcl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

// The names of the files that are read: one WorkspaceFile at the root, and a PackageFile in each package.
const (
	WorkspaceFile = "dpb.hcl"
	PackageFile   = "pipeline.hcl"
)

// Sources holds the text of each file that was read, by path relative to the root with slashes, for snippets in messages.
type Sources map[string][]byte

// Digest names the files that were read with their content, and nothing else.
func (s Sources) Digest() cache.Digest {
	h := cache.NewHasher()
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(h, "%d %s %d ", len(name), name, len(s[name]))
		_, _ = h.Write(s[name])
	}
	return h.Digest()
}

// Options of Load.
type Options struct {
	Version string // dpb's own, checked against the workspace's requires; "" and "dev" skip the check
	Kept    *Kept  // packages as an earlier process loaded them; nil loads all anew
}

// Load reads all packages below root. The workspace is usable only if no problem is an error. Problems are sorted.
func Load(root string, o Options) (*engine.Workspace, Sources, []engine.Problem) {
	ws := &workspace{root: root, teams: map[string]bool{}, dims: map[string]*dimension{}}
	w := ws.load(o.Version)
	dirs, problems := findPackages(root, w.StorePath)
	o.Kept.open(ws, w.StorePath)
	loaded, entries := o.Kept.loadAll(ws, dirs)
	each(len(dirs), func(i int) { loaded[i] = loaded[i].fill(entries[i]) })
	o.Kept.close(dirs, entries)

	sources := Sources{}
	for _, d := range append(loaded, ws.decoder) {
		problems = append(problems, d.problems...)
		maps.Copy(sources, d.sources)
		if d.pack != nil {
			w.Packages = append(w.Packages, d.pack)
		}
		w.Targets = append(w.Targets, d.targets...)
	}
	slices.SortFunc(w.Targets, func(a, b *engine.Target) int { return a.Label.Compare(b.Label) })
	return w, sources, engine.SortProblems(problems)
}

// each calls do for 0 to n-1 on as many goroutines as there are processors.
func each(n int, do func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// FindRoot returns the nearest ancestor of dir (or dir itself) that holds dpb.hcl; else the root of the git checkout around dir; else dir.
func FindRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for _, mark := range []string{WorkspaceFile, ".git"} {
		root, err := ancestorWith(dir, mark)
		if root != "" || err != nil {
			return root, err
		}
	}
	return dir, nil
}

// ancestorWith returns the nearest ancestor of dir with an entry of that name, or "".
func ancestorWith(dir, name string) (string, error) {
	for {
		_, err := os.Stat(filepath.Join(dir, name))
		if err == nil {
			return dir, nil
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return "", err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", nil
		}
		dir = parent
	}
}
