package source

import (
	"path"
	"path/filepath"
	"slices"
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
	roots := slices.Compact([]string{path.Clean(filepath.ToSlash(f.Root)), realPath(f.Root)})
	for k := range len(names) * len(roots) {
		full := path.Join(roots[k%len(roots)], names[k/len(roots)])
		t.paths[full] = true
		for dir := path.Dir(full); !t.dirs[dir]; dir = path.Dir(dir) {
			t.dirs[dir] = true
		}
	}
	return t
}

// Has says whether one of them is what a glob matches, relative to package pkg unless absolute, be it through links.
func (t *Touched) Has(pkg, glob string) bool {
	if len(t.paths) == 0 {
		return false
	}
	at := t.files.split(pkg, glob)
	if t.lie(at) || t.lead(at.dir) || t.lie(place{realPath(at.dir), at.pattern}) {
		return true
	}
	names, err := at.match(t.files.Root, t.files.dirs())
	return err != nil || slices.ContainsFunc(names, func(name string) bool { // what can't be looked at may have changed
		full := path.Join(at.dir, name)
		return t.lead(full) || t.paths[realPath(full)]
	})
}

// lie says whether one of them lies where a glob matches it by its name.
func (t *Touched) lie(at place) bool {
	dir := path.Clean(at.dir)
	if t.paths[path.Join(dir, at.pattern)] {
		return true
	}
	if !t.dirs[dir] {
		return false
	}
	below := strings.TrimSuffix(dir, "/") + "/"
	for p := range t.paths {
		if name, ok := strings.CutPrefix(p, below); ok && matches(at.pattern, name) {
			return true
		}
	}
	return false
}

// lead says whether one of them is on the way to a file: a link that leads elsewhere now, or a repository within this one.
func (t *Touched) lead(file string) bool {
	for ; len(file) > 1; file = path.Dir(file) {
		if t.paths[file] {
			return true
		}
	}
	return false
}

// realPath is where links lead to; of what is not there, the part that is.
func realPath(file string) string {
	if p, err := filepath.EvalSymlinks(filepath.FromSlash(file)); err == nil {
		return filepath.ToSlash(p)
	}
	if dir := path.Dir(file); dir != file {
		return path.Join(realPath(dir), path.Base(file))
	}
	return file
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
	return t.dirs[path.Clean(dir)] || t.dirs[realPath(dir)] || t.lead(dir)
}
