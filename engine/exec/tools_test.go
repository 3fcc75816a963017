package exec

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// install writes programs and files: name to content; what starts with #! can be executed.
func install(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		file, mode := filepath.Join(dir, name), os.FileMode(0o666)
		if strings.HasPrefix(content, "#!") {
			mode = 0o777
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(content), mode)); err != nil {
			t.Fatal(err)
		}
	}
}

type found struct {
	tools     []engine.Tool
	programs  Programs
	uncovered []string
}

// look finds the tools of a target in package p that runs a command.
func look(root, path, command string, tools ...string) (f found, err error) {
	x := &engine.Target{Label: engine.Label{Pkg: "p", Name: "t"}, Command: []engine.Text{{{Literal: command}}}, Tools: tools}
	f.tools, f.programs, f.uncovered, err = Tools(x, root, disk.OpenStatCache(""), path, nil)
	return f, err
}

func mustLook(t *testing.T, root, path, command string, tools ...string) found {
	t.Helper()
	f, err := look(root, path, command, tools...)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (f found) identity(t *testing.T, name string) string {
	t.Helper()
	k := slices.IndexFunc(f.tools, func(x engine.Tool) bool { return x.Name == name })
	if k < 0 {
		t.Fatalf("no tool %s in %v", name, f.tools)
	}
	return f.tools[k].Identity
}

// TestIdentity: the same program at two places is the same; other bytes are another.
func TestIdentity(t *testing.T) {
	t.Parallel()
	a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
	install(t, a, map[string]string{"tool": "#!/bin/sh\necho 1\n"})
	install(t, b, map[string]string{"tool": "#!/bin/sh\necho 1\n"})
	install(t, c, map[string]string{"tool": "#!/bin/sh\necho 2\n", "first": "#!./interpreter\n"})
	of := func(dir string) string { return mustLook(t, "", dir, "tool").identity(t, "tool") }
	if of(a) != of(b) {
		t.Error("it depends on the place")
	}
	if of(a) == of(c) {
		t.Error("it does not depend on the content")
	}
	if of(a+":"+c) != of(a) || of(":"+c+":"+a) != of(c) {
		t.Error("the first in PATH counts")
	}
}

// TestInterpreter is part of what a script is, however the script names it.
func TestInterpreter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	install(t, dir, map[string]string{"one": "#!" + dir + "/interpreter -x\n", "interpreter": "#!/bin/sh\n",
		"env": "#!/usr/bin/env sh\n", "option": "#!/usr/bin/env -S A=1 sh -e\n", "unknown": "#!/usr/bin/env no_such_program\n"})
	before := mustLook(t, "", dir, "one").identity(t, "one")
	install(t, dir, map[string]string{"interpreter": "#!/bin/sh\n# changed\n"})
	if mustLook(t, "", dir, "one").identity(t, "one") == before {
		t.Error("another interpreter is not noticed")
	}
	for name, want := range map[string][2]string{"one": {dir + "/interpreter", ""}, "env": {"/usr/bin/env", "sh"}, "option": {"/usr/bin/env", "sh"}} {
		if interpreter, program := shebang(filepath.Join(dir, name)); interpreter != want[0] || program != want[1] {
			t.Errorf("%s: %s %s, want %v", name, interpreter, program, want)
		}
	}
	if f := mustLook(t, "", dir, "unknown"); !slices.Contains(f.uncovered, "program no_such_program") {
		t.Errorf("uncovered %q", f.uncovered)
	}
}

// TestStandardDirs come first, so that a job finds the same program whoever runs it.
func TestStandardDirs(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	install(t, dir, map[string]string{"sh": "#!/bin/false\n"})
	f := mustLook(t, "", dir, "sh")
	if filepath.Dir(f.programs.file("sh")) == dir {
		t.Error("the user's own came first")
	}
	if !slices.Equal(f.uncovered, []string{"programs in /usr/local/bin, /usr/bin, /bin"}) {
		t.Errorf("uncovered %q", f.uncovered)
	}
	if f.identity(t, "sh") != mustLook(t, "", "", f.programs.file("sh")).identity(t, f.programs.file("sh")) {
		t.Error("by its path it is another program")
	}
}

// TestFolderOfTools: its programs come before all others, whatever the folder's name, and its content identifies it.
func TestFolderOfTools(t *testing.T) {
	t.Parallel()
	for _, name := range []string{".venv/", "venv/"} {
		roots := []string{t.TempDir(), t.TempDir()}
		for _, root := range roots {
			install(t, filepath.Join(root, "p", name), map[string]string{"bin/sh": "#!/bin/false\n", "lib/x.py": "1", "top": "#!/bin/sh\n", "bin/text": "x"})
		}
		f, again := mustLook(t, roots[0], "", "sh", name), mustLook(t, roots[1], "", "sh", name)
		want := map[string]string{"sh": "tools/0/bin/sh", "top": "tools/0/top"}
		if !maps.Equal(f.programs.at, want) || f.programs.file("sh") != filepath.Join(roots[0], "p", name, "bin/sh") {
			t.Errorf("programs %v, want %v", f.programs, want)
		}
		if !slices.Equal(f.tools, again.tools) || !slices.IsSortedFunc(f.tools, func(a, b engine.Tool) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%v at one place, %v at another", f.tools, again.tools)
		}
		if got, want := f.programs.searchPath("p"), "../../tools/0:../../tools/0/bin:/usr/local/bin:/usr/bin:/bin"; got != want || again.programs.searchPath("p") != want {
			t.Errorf("PATH is %s, and in another checkout %s; want %s", got, again.programs.searchPath("p"), want)
		}
		install(t, filepath.Join(roots[1], "p", name), map[string]string{"lib/x.py": "2"})
		if mustLook(t, roots[1], "", "sh", name).identity(t, name) == f.identity(t, name) {
			t.Error("another file in the folder is not noticed")
		}
	}
}

// TestLinkedFolderOfTools is identified by what it leads to.
func TestLinkedFolderOfTools(t *testing.T) {
	t.Parallel()
	root, elsewhere := t.TempDir(), t.TempDir()
	install(t, elsewhere, map[string]string{"x.py": "1"})
	if err := errors.Join(os.Mkdir(filepath.Join(root, "p"), 0o777), os.Symlink(elsewhere, filepath.Join(root, "p/lib"))); err != nil {
		t.Fatal(err)
	}
	before := mustLook(t, root, "", "sh", "lib/").identity(t, "lib/")
	install(t, elsewhere, map[string]string{"x.py": "2"})
	if mustLook(t, root, "", "sh", "lib/").identity(t, "lib/") == before {
		t.Error("a change behind the link is not noticed")
	}
}

// TestCodeIsNoTool: a relative program has its place among the code. What runs it is a tool.
func TestCodeIsNoTool(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	interpreter := filepath.Join(root, "python-of-mine")
	install(t, root, map[string]string{"python-of-mine": "#!/bin/sh\n", "p/text": "x", "p/run": "#!" + interpreter + "\n", "p/other": "#!" + interpreter + "\n# other\n",
		"p/relative": "#!./interpreter\n", "p/broken": "#!" + root + "/none\n"})
	for _, name := range []string{"./none", "./text", "./relative"} {
		if f := mustLook(t, root, "", name); len(f.tools) != 0 || len(f.programs.at) != 0 {
			t.Errorf("%s: tools %v, programs %v", name, f.tools, f.programs)
		}
	}
	if f := mustLook(t, root, "", "./relative"); !slices.Contains(f.uncovered, "program ./interpreter") {
		t.Errorf("uncovered %q", f.uncovered)
	}
	before := mustLook(t, root, "", "./run")
	if !slices.Contains(before.uncovered, "the library and installed packages of python-of-mine") {
		t.Errorf("uncovered %q", before.uncovered)
	}
	if mustLook(t, root, "", "./other").identity(t, "./other") != before.identity(t, "./run") {
		t.Error("the script itself is in its interpreter's identity")
	}
	install(t, root, map[string]string{"python-of-mine": "#!/bin/sh\n# changed\n"})
	if mustLook(t, root, "", "./run").identity(t, "./run") == before.identity(t, "./run") {
		t.Error("another interpreter is not noticed")
	}
	if _, err := look(root, "", "./broken"); err == nil || !strings.HasPrefix(err.Error(), "program ./broken: ") {
		t.Errorf("an interpreter that is not there: %v", err)
	}
}

// TestInterpreterInTools: env finds what the job's PATH has, and that is what counts.
func TestInterpreterInTools(t *testing.T) {
	t.Parallel()
	root, path := t.TempDir(), t.TempDir()
	install(t, root, map[string]string{"p/run": "#!/usr/bin/env sh\n", "p/other": "#!/usr/bin/env mine\n", "p/.venv/bin/sh": "#!/bin/sh\n"})
	install(t, path, map[string]string{"mine": "#!/bin/sh\n"})
	identities := func() []string {
		return []string{mustLook(t, root, "", "./run", ".venv/").identity(t, "./run"), mustLook(t, root, path, "./other", "mine").identity(t, "./other")}
	}
	before := identities()
	install(t, root, map[string]string{"p/.venv/bin/sh": "#!/bin/sh\n# changed\n"})
	install(t, path, map[string]string{"mine": "#!/bin/sh\n# changed\n"})
	for k, id := range identities() {
		if id == before[k] {
			t.Errorf("%d: another interpreter is not noticed", k)
		}
	}
}

// TestWhereJobsFindPrograms: by paths that are the same in each checkout, also where a program looks beside its own path.
func TestWhereJobsFindPrograms(t *testing.T) {
	t.Parallel()
	tell := "#!/bin/sh\necho $0 $(cat \"${0%/*}/../home\")\n"
	root, elsewhere, venv, named := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	install(t, root, map[string]string{"team/spam/lib/bin/inner": tell, "team/spam/lib/home": "of lib", "team/spam/lib/bin/both": tell})
	install(t, elsewhere, map[string]string{"outer": "#!/bin/sh\necho $0\n", "both": "#!/bin/sh\n", "sibling": "#!/bin/sh\n"})
	install(t, venv, map[string]string{"bin/snake": tell, "home": "of venv", "pyvenv.cfg": ""})
	install(t, named, map[string]string{"byname": "#!/bin/sh\necho $0\n", "outer": "#!/bin/sh\n"})
	tools := []string{"lib/", "outer", "both", "snake", named + "/byname", named + "/outer"}
	const path = "PATH=../../../tools/0:../../../tools/0/bin:../../../bin:../../../tools/2:../../../tools/2/bin:/usr/local/bin:/usr/bin:/bin"
	for _, c := range []struct{ command, want string }{
		{"inner", "../../../tools/0/bin/inner of lib"},
		{"outer", "../../../bin/outer"},
		{"snake", "../../../tools/2/bin/snake of venv"},
		{named + "/byname", named + "/byname"},
		{"sh", "../../../tools/0/bin/both of lib\n../../../tools/0/bin/inner of lib\n../../../bin/outer\n../../../tools/2/bin/snake of venv\n../../../bin/byname\n" + path},
	} {
		b := shell(t, "both; inner; outer; snake; byname; sibling 2>&- || echo PATH=$PATH")
		b.Target.Tools = tools
		if c.command != "sh" {
			b.Target.Command = []engine.Text{{{Literal: c.command}}}
		}
		var err error
		if _, b.Programs, _, err = Tools(b.Target, root, disk.OpenStatCache(""), elsewhere+":"+venv+"/bin", nil); err != nil {
			t.Fatal(err)
		}
		if got := b.log(); got != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.command, got, c.want)
		}
	}
}

func TestToolsThatAreNotThere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	install(t, dir, map[string]string{"text": "x", "orphan": "#!" + dir + "/none\n"})
	for name, want := range map[string]string{
		"no_such_program": "program no_such_program is not installed: it is neither in /usr/local/bin, /usr/bin, /bin nor in PATH",
		"text":            "program text is not installed",
		dir + "/text":     "text is no program",
		dir:               "is no program",
		"/no/such":        "no such file or directory",
		"orphan":          "program orphan: ",
	} {
		if _, err := look("", dir, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", name, err, want)
		}
	}
	if _, err := look(dir, "", "sh", "none/"); err == nil || !strings.HasPrefix(err.Error(), `tools "none/": `) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestToolNames: what is found for one target is found for another only if nothing that is looked for differs, nor where.
func TestToolNames(t *testing.T) {
	t.Parallel()
	of := func(pkg, command string, tools ...string) string {
		return ToolNames(&engine.Target{Label: engine.Label{Pkg: pkg, Name: "t"}, Command: []engine.Text{{{Literal: command}}}, Tools: tools})
	}
	if of("p", "cp", "git", "/opt/x") != of("q", "cp", "git", "/opt/x") {
		t.Error("programs depend on the package that names them")
	}
	seen := map[string]int{}
	for k, names := range []string{of("p", "cp"), of("p", "mv"), of("p", "", "cp"), of("p", "cp", "cp"), of("p", "cp", "git"), of("p", "cp", "git", "mv"), of("p", "cp", "git\x00mv"),
		of("p", "./run"), of("q", "./run"), of("p", "cp", "env/"), of("q", "cp", "env/"), of("p", "x", "./run")} {
		if before, ok := seen[names]; ok {
			t.Errorf("%d and %d look the same", before, k)
		}
		seen[names] = k
	}
}
