package hcl

import (
	"cmp"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// findPackages lists the folders below root that hold a pipeline.hcl, as package paths in order.
func findPackages(root, store string) ([]string, []engine.Problem) {
	if !filepath.IsAbs(store) {
		store = filepath.Join(root, store)
	}
	w := &walker{root: root, store: filepath.Clean(store)}
	w.walk("")
	slices.Sort(w.packages)
	return w.packages, w.problems
}

type walker struct {
	root, store string
	packages    []string
	problems    []engine.Problem
}

// walk looks into the folder at rel. It does not follow links, so that no folder has two labels.
func (w *walker) walk(rel string) {
	entries, err := os.ReadDir(filepath.Join(w.root, filepath.FromSlash(rel)))
	if err != nil {
		w.report(rel, "can't read this folder: "+cause(err), "")
		return
	}
	if rel != "" && slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == WorkspaceFile }) {
		return // a workspace of its own
	}
	for _, e := range entries {
		name := path.Join(rel, e.Name())
		switch {
		case e.Name() == PackageFile:
			w.found(rel)
		case e.IsDir() && !w.skips(name):
			w.walk(name)
		}
	}
}

func (w *walker) skips(rel string) bool {
	base := path.Base(rel)
	return strings.HasPrefix(base, ".") || base == engine.OutputDir || base == "node_modules" || filepath.Join(w.root, filepath.FromSlash(rel)) == w.store
}

func (w *walker) found(rel string) {
	if _, err := engine.ParseLabel("//"+rel+":x", ""); err != nil {
		w.report(path.Join(rel, PackageFile), "this folder's name can't be a package's", `rename the folder: no white space and none of : @ # * = , \`)
		return
	}
	w.packages = append(w.packages, rel)
}

func (w *walker) report(file, summary, hint string) {
	w.problems = append(w.problems, engine.Problem{Summary: summary, Hint: hint, Range: engine.Range{File: cmp.Or(file, ".")}})
}

// cause is an error of the os package without its path, which may be the machine's.
func cause(err error) string {
	if e, ok := err.(*fs.PathError); ok {
		if strings.Contains(e.Err.Error(), "escapes") { // os.Root has no error to compare with
			return "it is a link that leads out of the workspace"
		}
		return e.Err.Error()
	}
	return err.Error()
}
