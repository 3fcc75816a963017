package exec

import (
	"errors"
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
	f.tools, f.programs, f.uncovered, err = Tools(x, root, disk.OpenStatCache(""), path)
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
	if filepath.Dir(f.programs["sh"]) == dir {
		t.Error("the user's own came first")
	}
	if !slices.Equal(f.uncovered, []string{"programs in /usr/local/bin, /usr/bin, /bin"}) {
		t.Errorf("uncovered %q", f.uncovered)
	}
	if f.identity(t, "sh") != mustLook(t, "", "", f.programs["sh"]).identity(t, f.programs["sh"]) {
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
		want := Programs{"sh": filepath.Join(roots[0], "p", name, "bin/sh"), "top": filepath.Join(roots[0], "p", name, "top")}
		if f.programs["sh"] != want["sh"] || f.programs["top"] != want["top"] || len(f.programs) != 2 {
			t.Errorf("programs %v, want %v", f.programs, want)
		}
		if !slices.Equal(f.tools, again.tools) || !slices.IsSortedFunc(f.tools, func(a, b engine.Tool) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("%v at one place, %v at another", f.tools, again.tools)
		}
		if got := f.programs.path(); !strings.HasPrefix(got, filepath.Join(roots[0], "p", name)) || !strings.HasSuffix(got, ":/usr/local/bin:/usr/bin:/bin") {
			t.Errorf("PATH is %s", got)
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

// TestCodeIsNoTool: a relative program has its place among the code.
func TestCodeIsNoTool(t *testing.T) {
	t.Parallel()
	if f := mustLook(t, "", "", "./bin/run"); len(f.tools) != 0 || len(f.programs) != 0 {
		t.Errorf("tools %v, programs %v", f.tools, f.programs)
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
