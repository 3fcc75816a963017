package source

import (
	"path"
	"strings"

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
	if t.paths[path.Join(at.dir, at.pattern)] {
		return true
	}
	if !t.dirs[path.Clean(at.dir)] {
		return false
	}
	below := strings.TrimSuffix(path.Clean(at.dir), "/") + "/"
	for p := range t.paths {
		if name, ok := strings.CutPrefix(p, below); ok && matches(at.pattern, name) {
			return true
		}
	}
	return false
}

func matches(pattern, name string) bool {
	ok, err := doublestar.Match(pattern, name)
	return ok && err == nil
}

// Below says whether one of them lies in a folder, relative to package pkg unless absolute.
func (t *Touched) Below(pkg, dir string) bool {
	if !path.IsAbs(dir) {
		dir = path.Join(t.files.Root, pkg, dir)
	}
	return t.dirs[path.Clean(dir)]
}
