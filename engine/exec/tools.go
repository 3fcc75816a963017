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

// Tools finds and identifies the programs of a target: that of its command and those that tools lists. uncovered names what a job could read and no key
// covers. root is the workspace's, for folders of tools and for programs that are code. instead, which may be nil, gives the identity of a program that is not here, which then
// is enough to compute keys and to run nothing.
func Tools(t *engine.Target, root string, stat *disk.StatCache, pathEnv string, instead func(name string) (identity string, ok bool)) (tools []engine.Tool, programs Programs, uncovered []string, err error) {
	f := finder{start: filepath.Join(root, filepath.FromSlash(t.Label.Pkg)), pathEnv: pathEnv, stat: stat, programs: newPrograms()}
	names := slices.Clone(t.Tools)
	for _, name := range names {
		if isCode(name) && !isFolder(name) {
			return nil, Programs{}, nil, fmt.Errorf("tools %q: a file of the package belongs into code; tools has programs by name or absolute path, and folders, which end in /", name)
		}
	}
	if first := program(t); first != "" && !slices.Contains(names, first) {
		names = append(names, first)
	}
	slices.Sort(names)
	// All are found before any is identified: a script's interpreter may be another of them.
	for _, step := range []func(name string) error{f.findFolder, f.findByName, f.findByPath, f.identify} {
		for _, name := range slices.Clone(names) {
			err := step(name)
			if err == nil {
				continue
			}
			if instead == nil {
				return nil, Programs{}, nil, err
			}
			id, ok := instead(name)
			if !ok {
				return nil, Programs{}, nil, err
			}
			f.tools = append(f.tools, engine.Tool{Name: name, Identity: id})
			names = slices.DeleteFunc(names, func(n string) bool { return n == name })
		}
	}
	slices.SortFunc(f.tools, func(a, b engine.Tool) int { return strings.Compare(a.Name, b.Name) })
	f.programs.shown = f.shown(root)
	f.uncovered = append(f.uncovered, "programs in "+strings.Join(standardDirs, ", "))
	slices.Sort(f.uncovered)
	return f.tools, f.programs, slices.Compact(f.uncovered), nil
}

// program is what a target's command names as its program; "" if that is not known before it runs.
func program(t *engine.Target) string {
	if first := t.Command[0]; len(first) == 1 {
		return first[0].Literal
	}
	return ""
}

// ToolNames is the same text for two targets of a workspace only if Tools finds the same for both.
func ToolNames(t *engine.Target) string {
	names := append(slices.Clone(t.Tools), "", program(t))
	if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, "/") && !filepath.IsAbs(name) }) {
		names = append(names, t.Label.Pkg) // from where they are looked for
	}
	return fmt.Sprintf("%q", names)
}

// finder looks for the tools of a target.
type finder struct {
	start     string // the folder of its package
	pathEnv   string
	stat      *disk.StatCache
	programs  Programs
	tools     []engine.Tool
	files     []string // that programs consist of
	uncovered []string
}

func isFolder(name string) bool { return strings.HasSuffix(name, "/") }

// isCode says whether a program is one of the package's files, which have their own place in the key.
func isCode(name string) bool { return strings.Contains(name, "/") && !filepath.IsAbs(name) }

func (f *finder) findFolder(name string) error {
	if !isFolder(name) {
		return nil
	}
	dir := name
	if !filepath.IsAbs(name) {
		dir = filepath.Join(f.start, name)
	}
	id, err := folderIdentity(dir, f.stat)
	if err != nil {
		return fmt.Errorf("tools %q: %w", name, err)
	}
	f.tools = append(f.tools, engine.Tool{Name: name, Identity: id})
	f.programs.addFolder(dir)
	return nil
}

func (f *finder) findByName(name string) error {
	if strings.Contains(name, "/") {
		return nil
	}
	return f.find(name)
}

// findByPath comes after findByName: a program that is named by its path does not hide another one that is named.
func (f *finder) findByPath(name string) error {
	if isFolder(name) || !filepath.IsAbs(name) {
		return nil
	}
	return f.find(name)
}

func (f *finder) find(name string) error {
	if _, ok := f.programs.at[name]; ok {
		return nil
	}
	file, err := lookUp(name, f.pathEnv)
	if err == nil {
		f.programs.addFile(name, file)
	}
	return err
}

// identify adds a program as a tool; of one that is code only what runs it.
func (f *finder) identify(name string) error {
	x := identifier{stat: f.stat, programs: &f.programs, seen: map[string]string{}}
	var err error
	switch {
	case isFolder(name):
		return nil
	case isCode(name):
		err = x.addNeeds(filepath.Join(f.start, filepath.FromSlash(name)))
	default:
		err = x.add(f.programs.file(name))
	}
	if err != nil {
		return fmt.Errorf("program %s: %w", name, err)
	}
	if len(x.seen) > 0 {
		f.tools = append(f.tools, engine.Tool{Name: name, Identity: x.identity()})
	}
	f.uncovered = append(f.uncovered, x.uncovered...)
	for file := range x.seen {
		f.files = append(f.files, file)
	}
	return nil
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
	programs  *Programs         // that the job finds by name
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
	if what := libraryOf(filepath.Base(file)); what != "" {
		x.uncovered = append(x.uncovered, what)
	}
	return x.addNeeds(real)
}

// addNeeds adds what it takes to run a file.
func (x *identifier) addNeeds(file string) error {
	switch interpreter, program := shebang(file); {
	case interpreter == "":
		return x.addLibraries(file)
	case program != "":
		return x.addFromPath(interpreter, program)
	case !filepath.IsAbs(interpreter): // it is looked for from the folder that the job stands in
		x.uncovered = append(x.uncovered, "program "+interpreter)
		return nil
	default:
		return x.add(interpreter)
	}
}

// addFromPath adds the program that env finds in the job's PATH.
func (x *identifier) addFromPath(env, program string) error {
	if _, ok := x.programs.at[program]; ok {
		return x.add(x.programs.file(program))
	}
	found, err := lookUp(program, "")
	if err != nil {
		x.uncovered = append(x.uncovered, "program "+program)
		return x.add(env)
	}
	return x.add(found)
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
