package exec

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// TestShown: of a program in the home an isolated job sees what that is installed with, and nothing of what others keep beside it; also where the home is a link.
func TestShown(t *testing.T) {
	real, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	home := filepath.Join(t.TempDir(), "home")
	if err := os.Symlink(real, home); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	stat := disk.OpenStatCache(filepath.Join(t.TempDir(), "files"))
	for bin, want := range map[string]string{
		"bin": "bin/tool", ".local/bin": ".local/bin/tool", ".cargo/bin": ".cargo/bin/tool", ".local/pipx/venvs/tool/bin": ".local/pipx/venvs/tool", "conda/bin": "conda", "ws/bin": "ws/bin/tool",
	} {
		dir := filepath.Join(real, bin)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		install(t, dir, map[string]string{"tool": "#!/bin/sh\n"})
		target := &engine.Target{Tools: []string{filepath.Join(dir, "tool")}, Command: []engine.Text{{{Literal: "sh"}}}}
		_, programs, uncovered, err := Tools(target, filepath.Join(home, "ws"), stat, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := programs.shown; !slices.Equal(got, []string{filepath.Join(real, want)}) {
			t.Errorf("%s: %s, want %s", bin, strings.Join(got, ", "), want)
		}
		if told := slices.Contains(uncovered, "files in "+filepath.Join(real, want)); told != !strings.HasSuffix(want, "bin/tool") {
			t.Errorf("%s: uncovered is %s", bin, strings.Join(uncovered, ", "))
		}
	}
}

// TestCovered: what lies around a program is told as uncovered, unless it is a folder of tools.
func TestCovered(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "env/bin")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	install(t, dir, map[string]string{"tool": "#!/bin/sh\n"})
	stat := disk.OpenStatCache(filepath.Join(t.TempDir(), "files"))
	for _, tools := range [][]string{nil, {"env/"}} {
		_, _, uncovered, err := Tools(&engine.Target{Tools: tools, Command: []engine.Text{{{Literal: filepath.Join(dir, "tool")}}}}, root, stat, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		told := slices.ContainsFunc(uncovered, func(text string) bool { return strings.HasPrefix(text, "files in ") })
		if told != (tools == nil) {
			t.Errorf("tools %q: uncovered is %q", tools, uncovered)
		}
	}
}
