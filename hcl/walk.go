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

// findPackages lists the folders below root that hold a pipeline.hcl, as package paths in order. It does not follow links, so that no folder has two labels.
func findPackages(root, store string) (packages []string, problems []engine.Problem) {
	if !filepath.IsAbs(store) {
		store = filepath.Join(root, store)
	}
	w := &walker{root: root, store: filepath.Clean(store)}
	for level := []string{""}; len(level) > 0; {
		found := make([]folder, len(level))
		each(len(level), func(i int) { found[i] = w.look(level[i]) })
		var deeper []string
		for i, f := range found {
			problems = append(problems, f.problems...)
			if deeper = append(deeper, f.folders...); f.isPackage {
				packages = append(packages, level[i])
			}
		}
		level = deeper
	}
	slices.Sort(packages)
	return packages, problems
}

type walker struct{ root, store string }

// folder is what one folder holds.
type folder struct {
	isPackage bool
	folders   []string // to look into
	problems  []engine.Problem
}

// look reads the folder at rel.
func (w *walker) look(rel string) (f folder) {
	entries, err := readFolder(filepath.Join(w.root, filepath.FromSlash(rel)))
	if err != nil {
		return folder{problems: []engine.Problem{walkProblem(rel, "can't read this folder: "+cause(err), "")}}
	}
	for _, e := range entries {
		switch {
		case e.Name() == WorkspaceFile && rel != "":
			return folder{} // a workspace of its own
		case e.Name() == PackageFile:
			f.isPackage = true
		case e.IsDir() && !w.skips(path.Join(rel, e.Name())):
			f.folders = append(f.folders, path.Join(rel, e.Name()))
		}
	}
	if _, err := engine.ParseLabel("//"+rel+":x", ""); f.isPackage && err != nil {
		f.isPackage = false
		f.problems = append(f.problems, walkProblem(path.Join(rel, PackageFile), "this folder's name can't be a package's", `rename the folder: no white space and none of : @ # * = , \`))
	}
	return f
}

// readFolder is os.ReadDir in no order: folders of data have many files.
func readFolder(name string) ([]fs.DirEntry, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func (w *walker) skips(rel string) bool {
	base := path.Base(rel)
	return strings.HasPrefix(base, ".") || base == engine.OutputDir || base == "node_modules" || filepath.Join(w.root, filepath.FromSlash(rel)) == w.store
}

func walkProblem(file, summary, hint string) engine.Problem {
	return engine.Problem{Summary: summary, Hint: hint, Range: engine.Range{File: cmp.Or(file, ".")}}
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
