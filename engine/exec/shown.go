package exec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// shown lists what an isolated job has to see so that its programs run: folders of tools, and of other programs the folder that they are installed in.
func (f *finder) shown(root string) []string {
	s := installed{private: []string{root, sandbox.Home()}}
	for _, dir := range s.private {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			s.private = append(s.private, real)
		}
	}
	for _, real := range f.programs.links {
		s.add(real)
	}
	for _, at := range f.programs.at {
		if filepath.IsAbs(at) {
			s.add(at)
		}
	}
	for _, file := range f.files {
		s.add(file)
	}
	slices.Sort(s.paths)
	s.paths = withoutInner(s.paths)
	for _, dir := range s.around {
		if !f.covers(dir) {
			f.uncovered = append(f.uncovered, "files in "+dir)
		}
	}
	return s.paths
}

// covers says whether a folder is, or lies in, one of tools that enters the key with all its files.
func (f *finder) covers(dir string) bool {
	return slices.ContainsFunc(f.tools, func(t engine.Tool) bool {
		folder, err := filepath.EvalSymlinks(filepath.Join(f.start, t.Name))
		return isFolder(t.Name) && err == nil && (dir == folder || strings.HasPrefix(dir, folder+"/"))
	})
}

// withoutInner leaves out of an ordered list what lies in others of it.
func withoutInner(paths []string) (out []string) {
	for _, p := range paths {
		if !slices.ContainsFunc(out, func(dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }) {
			out = append(out, p)
		}
	}
	return out
}

// installed collects where programs lie.
type installed struct {
	private []string // folders that are not shown as a whole for a program that lies there
	paths   []string
	around  []string // those of paths that are there for a program in them
}

// add adds a program or a folder of tools as it is called, what it is a link to, and what that is installed with.
func (s *installed) add(name string) {
	if s.isSeen(name) {
		return
	}
	info, err := os.Stat(name)
	if err != nil {
		return // the job will say so
	}
	s.paths = append(s.paths, name)
	if info.IsDir() {
		s.addLinked(filepath.Join(name, "bin"))
		return
	}
	real, err := filepath.EvalSymlinks(name)
	if err == nil {
		s.addReal(real)
	}
}

// addLinked adds what the programs in a folder are links to: that of a virtual environment has links to the interpreter that it was made with.
func (s *installed) addLinked(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		if real, err := filepath.EvalSymlinks(filepath.Join(dir, e.Name())); err == nil && !strings.HasPrefix(real, dir+"/") {
			s.addReal(real)
		}
	}
}

// addReal adds a file, or, if it lies in a folder bin, the folder around that: interpreters find their library beside it.
func (s *installed) addReal(file string) {
	if s.isSeen(file) {
		return
	}
	prefix := filepath.Dir(filepath.Dir(file))
	if filepath.Base(filepath.Dir(file)) != "bin" || filepath.Dir(prefix) == "/" || s.exposes(prefix) { // not all of /tmp or /srv for what lies in /srv/bin
		prefix = file
	} else {
		s.around = append(s.around, prefix)
	}
	s.paths = append(s.paths, prefix)
}

// isSeen says whether all jobs see a path anyway: what is private is hidden from them also in a system directory.
func (s *installed) isSeen(name string) bool {
	return sandbox.IsSystem(name) && !slices.ContainsFunc(s.private, func(p string) bool { return p != "" && (name == p || strings.HasPrefix(name, p+"/")) })
}

// exposes says whether a folder is, or holds, one that is private. So is one of the home whose name begins with a dot, as ~/.local and ~/.cargo: many programs keep things there.
func (s *installed) exposes(dir string) bool {
	if home := sandbox.Home(); home != "" && filepath.Dir(dir) == home && strings.HasPrefix(filepath.Base(dir), ".") {
		return true
	}
	return dir == "/" || slices.ContainsFunc(s.private, func(p string) bool { return p != "" && (p == dir || strings.HasPrefix(p, dir+"/")) })
}
