package source

import (
	"path"

	"github.com/bmatcuk/doublestar/v4"
)

// Touched are files of a checkout that somebody changed, added or took away. Whether they are there does not matter.
type Touched struct {
	files *Files
	paths map[string]bool // absolute
	dirs  map[string]bool // all folders that hold one, at whatever depth
}

// Touched names changed files by their paths from the root.
func (f *Files) Touched(names []string) *Touched {
	t := &Touched{files: f, paths: map[string]bool{}, dirs: map[string]bool{}}
	for _, name := range names {
		full := path.Join(f.Root, name)
		t.paths[full] = true
		for dir := path.Dir(full); !t.dirs[dir]; dir = path.Dir(dir) {
			t.dirs[dir] = true
		}
	}
	return t
}

// Has says whether one of them is what a glob matches, relative to package pkg unless absolute.
func (t *Touched) Has(pkg, glob string) bool {
	at := t.files.split(pkg, glob)
	full := path.Join(at.dir, at.pattern)
	if t.paths[full] {
		return true
	}
	if !t.dirs[path.Clean(at.dir)] {
		return false
	}
	for p := range t.paths {
		if ok, _ := doublestar.Match(full, p); ok {
			return true
		}
	}
	return false
}

// Below says whether one of them lies in a folder, relative to package pkg unless absolute.
func (t *Touched) Below(pkg, dir string) bool {
	if !path.IsAbs(dir) {
		dir = path.Join(t.files.Root, pkg, dir)
	}
	return t.dirs[path.Clean(dir)]
}
