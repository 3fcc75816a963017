package exec

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// standardDirs are searched before the user's own path, so that a job finds the same program whoever runs it.
var standardDirs = []string{"/usr/local/bin", "/usr/bin", "/bin"}

// Programs are the files of the programs that a job names.
type Programs map[string]string

// path is the job's PATH: the standard directories, after those of declared programs that lie elsewhere.
func (p Programs) path() string {
	var dirs []string
	for _, file := range p {
		if dir := filepath.Dir(file); filepath.IsAbs(dir) && !slices.Contains(standardDirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	slices.Sort(dirs)
	return strings.Join(append(slices.Compact(dirs), standardDirs...), ":")
}

// Tools finds and identifies the programs of a target: that of its command and those that tools lists. uncovered names what a job could read and no key
// covers. root is the workspace's, for folders of tools.
func Tools(t *engine.Target, root string, stat *disk.StatCache, pathEnv string) (tools []engine.Tool, programs Programs, uncovered []string, err error) {
	programs = Programs{}
	names := slices.Clone(t.Tools)
	if first := t.Command[0]; len(first) == 1 && first[0].Literal != "" && !slices.Contains(names, first[0].Literal) {
		names = append(names, first[0].Literal)
	}
	slices.Sort(names)
	for _, name := range names {
		if !strings.HasSuffix(name, "/") {
			continue
		}
		dir := filepath.Join(root, filepath.FromSlash(t.Label.Pkg), name)
		id, err := folderIdentity(dir, stat)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("tools %q: %w", name, err)
		}
		tools = append(tools, engine.Tool{Name: name, Identity: id})
		for _, bin := range []string{dir, filepath.Join(dir, "bin")} {
			addPrograms(programs, bin)
		}
	}
	for _, name := range names {
		if strings.HasSuffix(name, "/") || strings.Contains(name, "/") && !filepath.IsAbs(name) {
			continue // a folder, or code, which has its own place in the key
		}
		file, ok := programs[name]
		if !ok {
			if file, err = lookUp(name, pathEnv); err != nil {
				return nil, nil, nil, err
			}
			programs[name] = file
		}
		x := identifier{stat: stat, seen: map[string]string{}}
		if err := x.add(file); err != nil {
			return nil, nil, nil, fmt.Errorf("program %s: %w", name, err)
		}
		tools = append(tools, engine.Tool{Name: name, Identity: x.identity()})
		uncovered = append(uncovered, x.uncovered...)
		if what := libraryOf(filepath.Base(file)); what != "" {
			uncovered = append(uncovered, what)
		}
	}
	slices.SortFunc(tools, func(a, b engine.Tool) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(uncovered)
	return tools, programs, slices.Compact(append(uncovered, "programs in "+strings.Join(standardDirs, ", "))), nil
}

// lookUp finds a program in the standard directories, then in the user's path.
func lookUp(name, pathEnv string) (string, error) {
	if filepath.IsAbs(name) {
		return name, executable(name)
	}
	for _, dir := range append(slices.Clone(standardDirs), filepath.SplitList(pathEnv)...) {
		if file := filepath.Join(dir, name); dir != "" && executable(file) == nil {
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

func addPrograms(p Programs, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if file := filepath.Join(dir, e.Name()); executable(file) == nil {
			p[e.Name()] = file
		}
	}
}

// libraryOf says what an interpreter reads that its own file does not hold.
func libraryOf(program string) string {
	for _, name := range []string{"python", "node", "ruby", "perl", "Rscript", "java", "php"} {
		if strings.HasPrefix(program, name) {
			return "the library and installed packages of " + program
		}
	}
	return ""
}

// identifier collects the files that a program consists of: itself, its interpreter and the shared objects that they need.
type identifier struct {
	stat      *disk.StatCache
	seen      map[string]string // digest by path
	uncovered []string
}

// identity is the same wherever the files lie.
func (x *identifier) identity() string {
	var lines []string
	for file, digest := range x.seen {
		lines = append(lines, filepath.Base(file)+" "+digest)
	}
	slices.Sort(lines)
	return cache.Sum([]byte(strings.Join(lines, "\n"))).String()
}

func (x *identifier) add(file string) error {
	real, err := filepath.EvalSymlinks(file)
	if err != nil {
		return err
	}
	if _, ok := x.seen[real]; ok {
		return nil
	}
	d, _, err := x.stat.Digest(real)
	if err != nil {
		return err
	}
	x.seen[real] = d.String()
	switch interpreter, program := shebang(real); {
	case interpreter == "":
		return x.addLibraries(real)
	case program == "":
		return x.add(interpreter)
	default:
		found, err := lookUp(program, "")
		if err != nil {
			x.uncovered = append(x.uncovered, "program "+program)
			return x.add(interpreter)
		}
		return x.add(found)
	}
}

// shebang returns the interpreter of a script, and of #!/usr/bin/env the program that env finds in the job's PATH.
func shebang(file string) (interpreter, program string) {
	f, err := os.Open(file)
	if err != nil {
		return "", ""
	}
	defer f.Close()
	line, _ := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	rest, ok := strings.CutPrefix(string(line), "#!")
	fields := strings.Fields(rest)
	if !ok || len(fields) == 0 {
		return "", ""
	}
	if filepath.Base(fields[0]) == "env" {
		for _, f := range fields[1:] {
			if !strings.HasPrefix(f, "-") && !strings.Contains(f, "=") {
				return fields[0], f
			}
		}
	}
	return fields[0], ""
}

// libraryDirs is where the loader looks on the usual systems, after a file's own run path.
var libraryDirs = []string{"/lib", "/usr/lib", "/lib64", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu",
	"/usr/lib/aarch64-linux-gnu", "/usr/local/lib"}

func (x *identifier) addLibraries(file string) error {
	f, err := elf.Open(file)
	if err != nil {
		return nil // no ELF file: it has no shared objects
	}
	defer f.Close()
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil // linked statically
	}
	var dirs []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		list, _ := f.DynString(tag)
		for _, l := range list {
			for _, dir := range strings.Split(l, ":") {
				dirs = append(dirs, strings.ReplaceAll(dir, "$ORIGIN", filepath.Dir(file)))
			}
		}
	}
	dirs = append(dirs, libraryDirs...)
	for _, name := range needed {
		if err := x.addLibrary(name, dirs); err != nil {
			return err
		}
	}
	return nil
}

func (x *identifier) addLibrary(name string, dirs []string) error {
	for _, dir := range dirs {
		err := x.add(filepath.Join(dir, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	x.uncovered = append(x.uncovered, "library "+name)
	return nil
}

// folderIdentity is the digest of all that lies in a folder.
func folderIdentity(dir string, stat *disk.StatCache) (string, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", err
	}
	var lines []string
	err = filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(file)
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%q link %q", rel, target))
		default:
			digest, info, err := stat.Digest(file)
			if err != nil {
				return err
			}
			lines = append(lines, fmt.Sprintf("%q %s %s", rel, disk.KindOf(info), digest))
		}
		return nil
	})
	return cache.Sum([]byte(strings.Join(lines, "\n"))).String(), err
}
