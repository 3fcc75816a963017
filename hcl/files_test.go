package hcl

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dpb-build/dpb/engine"
)

// problemsOf loads one pipeline.hcl, by its bytes.
func problemsOf(t testing.TB, src []byte) []engine.Problem {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, PackageFile), src)
	_, _, problems := Load(root, Options{})
	return problems
}

func TestOddBytes(t *testing.T) {
	const good = "target \"x\" {\n  sql = <<SQL\nSELECT 1\nSQL\n}\n"
	for name, c := range map[string]struct{ src, want string }{
		"empty":         {"", ""},
		"BOM":           {"\ufeff" + good, ""},
		"CRLF":          {strings.ReplaceAll(good, "\n", "\r\n"), ""},
		"no last line":  {strings.TrimSpace(good), ""},
		"NUL":           {"# \x00", "the file holds a NUL byte"},
		"NUL in string": {"target \"x\" {\n sql = \"\\u0000\"\n}", "a text can't hold a NUL character"},
		"latin 1":       {"# caf\xe9", "this is not UTF-8 text"},
		"deep brackets": {"locals {\n x = " + strings.Repeat("[", 300) + strings.Repeat("]", 300) + "\n}", "brackets nest more than 200 deep"},
		"very deep":     {"locals {\n x = " + strings.Repeat("(", 100_000), "brackets nest more than 200 deep"},
		"many unary":    {"locals {\n x = " + strings.Repeat("!", 100_000) + "true\n}", "an expression has more than 2000 operators"},
		"long sum":      {"locals {\n x = 1" + strings.Repeat(" + 1", 50_000) + "\n}", "an expression has more than 2000 operators"},
		"long list":     {"locals {\n x = [" + strings.Repeat("-1, ", 5000) + "]\n}", ""},
		"infinity":      {"locals {\n x = 1e99999 - 1e99999\n}", ""},
	} {
		t.Run(name, func(t *testing.T) {
			problems := problemsOf(t, []byte(c.src))
			switch {
			case c.want == "" && len(problems) > 0 && name != "infinity":
				t.Errorf("unexpected: %s", problems[0].Summary)
			case c.want != "" && (len(problems) != 1 || problems[0].Summary != c.want):
				t.Errorf("got %v, want %q", problems, c.want)
			}
		})
	}
}

func TestUnreadableFiles(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a", PackageFile), 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(root, "b", PackageFile), []byte("target \"x\" { sql = \"SELECT 1\" }\n"))
	w, _, problems := Load(root, Options{})
	if len(problems) != 1 || problems[0].Summary != "can't read this file: it is a folder" || problems[0].Range.File != "a/pipeline.hcl" {
		t.Errorf("got %v", problems)
	}
	if len(w.Targets) != 1 {
		t.Errorf("a file that can't be read hides others: %d targets", len(w.Targets))
	}
}

func TestBrokenWorkspaceFileHasNoConsequences(t *testing.T) {
	root := unpack(t, txtar.Parse([]byte(`
-- dpb.hcl --
team "data" {
-- a/pipeline.hcl --
package { owner = "data" }
target "x" {
  partition_by = ["day"]
  start        = "2017-06-01"
  command      = ["x", partition.day, local.there]
  output "x" { path = "x.csv" }
  descripton   = "y"
}
`)))
	_, _, problems := Load(root, Options{})
	if len(problems) != 2 || problems[0].Range.File != "a/pipeline.hcl" || problems[1].Range.File != "dpb.hcl" {
		t.Errorf("want the brace and the attribute, got %v", problems)
	}
}

func TestLinksAreNotFollowed(t *testing.T) {
	root := t.TempDir()
	writeFile(t, filepath.Join(root, "a", PackageFile), []byte("target \"x\" { sql = \"SELECT 1\" }\n"))
	if err := os.Symlink(root, filepath.Join(root, "a", "loop")); err != nil {
		t.Skip(err)
	}
	if w, _, problems := Load(root, Options{}); len(problems) > 0 || len(w.Packages) != 1 {
		t.Errorf("got %d packages and %v", len(w.Packages), problems)
	}
}

func TestStoreInTheTreeIsSkipped(t *testing.T) {
	w := load(t, "-- dpb.hcl --\nstore { path = \"cache/here\" }\n-- cache/here/pipeline.hcl --\nbroken {\n-- cache/pipeline.hcl --\n")
	equal(t, "packages", fmt.Sprint(len(w.Packages))+w.Packages[0].Path, "1cache")
}

func TestFindRoot(t *testing.T) {
	top := t.TempDir()
	deep := filepath.Join(top, "repo", "ws", "a", "b")
	if err := os.MkdirAll(deep, 0o777); err != nil {
		t.Fatal(err)
	}
	check := func(want string) {
		t.Helper()
		got, err := FindRoot(deep)
		if err != nil || got != want {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
	}
	check(deep)
	writeFile(t, filepath.Join(top, "repo", ".git"), []byte("gitdir: elsewhere\n"))
	check(filepath.Join(top, "repo"))
	writeFile(t, filepath.Join(top, "repo", "ws", WorkspaceFile), nil)
	check(filepath.Join(top, "repo", "ws"))
}

func TestFormat(t *testing.T) {
	got, problems := Format("x.hcl", []byte("target \"x\"{\nsql=\"SELECT 1\"\ntimeout =   \"5m\"\n}"))
	const want = "target \"x\" {\n  sql     = \"SELECT 1\"\n  timeout = \"5m\"\n}"
	if len(problems) > 0 || string(got) != want {
		t.Errorf("got %q, %v", got, problems)
	}
	if _, problems := Format("x.hcl", []byte("target {")); len(problems) != 1 || problems[0].Range.File != "x.hcl" {
		t.Errorf("got %v", problems)
	}
}

// BenchmarkLoad loads 2000 packages with a source, a command and a statement each.
func BenchmarkLoad(b *testing.B) {
	root := b.TempDir()
	writeFile(b, filepath.Join(root, WorkspaceFile), fullFile("dpb.hcl"))
	src := fullFile("spam/pipeline.hcl")
	src = src[:bytes.Index(src, []byte("target \"two\""))]
	for i := range 2000 {
		dir := filepath.Join(root, fmt.Sprintf("group%d", i%40), fmt.Sprintf("p%d", i))
		writeFile(b, filepath.Join(dir, PackageFile), src)
		writeFile(b, filepath.Join(dir, "classify.sql"), []byte("SELECT 1"))
	}
	for b.Loop() {
		if w, _, problems := Load(root, Options{}); len(problems) > 0 || len(w.Packages) != 2000 {
			b.Fatalf("%d packages, %d problems: %v", len(w.Packages), len(problems), problems[:min(1, len(problems))])
		}
	}
}

// fullFile is one file of the full workspace.
func fullFile(name string) []byte {
	for _, f := range txtar.Parse([]byte(fullText)).Files {
		if f.Name == name {
			return bytes.Clone(f.Data)
		}
	}
	return nil
}
