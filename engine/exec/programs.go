package exec

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// standardDirs are searched before the user's own path, so that a job finds the same program whoever runs it.
var standardDirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// toolsDir and binDir are in a job's directory, beside ws, in and out. They hold links to folders of tools, and to single programs.
const toolsDir, binDir = "tools", "bin"

// Programs says where a job finds the programs that it names. Those outside of the standard directories are linked into the job's own directory and called by
// that path, relative to the folder that the job starts in: no result can depend on where a checkout lies.
type Programs struct {
	at    map[string]string // by name: an absolute path, or one in the job's directory
	links map[string]string // by path in the job's directory: the real one
	path  []string          // folders of the job's directory with which its PATH begins
	shown []string          // what an isolated job sees of them: absolute paths outside of system directories, ordered
}

func newPrograms() Programs { return Programs{at: map[string]string{}, links: map[string]string{}} }

// find returns what a job of package pkg calls a program by.
func (p *Programs) find(pkg, name string) (string, bool) {
	at, ok := p.at[name]
	if ok && !filepath.IsAbs(at) {
		at = engine.JobPath(pkg, at)
	}
	return at, ok
}

// searchPath is the PATH of a job of package pkg.
func (p *Programs) searchPath(pkg string) string {
	var dirs []string
	for _, dir := range p.path {
		dirs = append(dirs, engine.JobPath(pkg, dir))
	}
	return strings.Join(append(dirs, standardDirs...), ":")
}

// file returns where a program really lies.
func (p *Programs) file(name string) string {
	at := p.at[name]
	for link, real := range p.links {
		if rest, ok := strings.CutPrefix(at+"/", link+"/"); ok {
			return filepath.Join(real, filepath.FromSlash(rest))
		}
	}
	return at
}

// addFolder links a folder of tools, whose programs come before those of later ones. It is linked as a whole: Python finds the packages of a virtual
// environment beside the path that it is called by.
func (p *Programs) addFolder(dir string) {
	link := path.Join(toolsDir, strconv.Itoa(len(p.links)))
	p.links[link] = dir
	for _, sub := range []string{"", "bin"} {
		p.path = append(p.path, path.Join(link, sub))
		entries, _ := os.ReadDir(filepath.Join(dir, sub)) // one that is not there has no programs
		for _, e := range entries {
			if _, ok := p.at[e.Name()]; !ok && executable(filepath.Join(dir, sub, e.Name())) == nil {
				p.at[e.Name()] = path.Join(link, sub, e.Name())
			}
		}
	}
}

// addFile adds a program that lies in no folder of tools. One that was named by its path is called by that, and also found by its name.
func (p *Programs) addFile(name, file string) {
	if filepath.IsAbs(name) {
		p.at[name] = file
		name = filepath.Base(name)
	}
	if _, ok := p.at[name]; ok {
		return
	}
	if slices.Contains(standardDirs, filepath.Dir(file)) {
		p.at[name] = file
		return
	}
	if env := environmentOf(file); env != "" {
		p.addFolder(env)
		return
	}
	link := path.Join(binDir, name)
	p.at[name], p.links[link] = link, file
	if !slices.Contains(p.path, binDir) {
		p.path = append(p.path, binDir)
	}
}

// environmentOf returns the virtual environment of Python that a program belongs to, or "".
func environmentOf(file string) string {
	dir, bin := filepath.Split(filepath.Dir(file))
	if _, err := os.Stat(filepath.Join(dir, "pyvenv.cfg")); err != nil || bin != "bin" {
		return ""
	}
	return filepath.Clean(dir)
}

// stage makes the links in a job's directory.
func (p *Programs) stage(dir string) error {
	for link, real := range p.links {
		at := filepath.Join(dir, filepath.FromSlash(link))
		if err := os.MkdirAll(filepath.Dir(at), 0o777); err != nil {
			return err
		}
		if err := os.Symlink(real, at); err != nil {
			return err
		}
	}
	return nil
}

// lookUp finds a program in the standard directories, then in the user's path.
func lookUp(name, pathEnv string) (string, error) {
	if filepath.IsAbs(name) {
		return name, executable(name)
	}
	for _, dir := range append(slices.Clone(standardDirs), filepath.SplitList(pathEnv)...) {
		if file, err := filepath.Abs(filepath.Join(dir, name)); dir != "" && err == nil && executable(file) == nil {
			return file, nil
		}
	}
	return "", fmt.Errorf("program %s is not installed: it is neither in %s nor in PATH", name, strings.Join(standardDirs, ", "))
}

func executable(file string) error {
	info, err := os.Stat(file)
	if err == nil && (!info.Mode().IsRegular() || info.Mode()&0o111 == 0) {
		err = fmt.Errorf("%s is no program", file)
	}
	return err
}
