package source

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"golang.org/x/sys/unix"
)

// checkout makes a workspace's folder from lines: "name" is a file that holds its name, "name*" one that can be executed, "name/" a folder, "name -> target"
// a link.
func checkout(t testing.TB, names ...string) *Files {
	t.Helper()
	root := filepath.Join(t.TempDir(), "work [1] {a}") // no wildcards, though they look like some
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		full := filepath.Join(root, strings.TrimSuffix(link, "*"))
		err := os.MkdirAll(filepath.Dir(full), 0o777)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, full))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.MkdirAll(full, 0o777))
		default:
			err = errors.Join(err, os.WriteFile(full, []byte(name), 0o666))
			if strings.HasSuffix(name, "*") {
				err = errors.Join(err, os.Chmod(full, 0o755))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	stat := disk.OpenStatCache(filepath.Join(t.TempDir(), "files"))
	return &Files{Root: root, Stat: stat, Code: stat}
}

// matched lists what a glob of package p matches.
func matched(t testing.TB, f *Files, glob string) string {
	t.Helper()
	s, err := f.Observe(t.Context(), "p", glob)
	if err != nil {
		return "error: " + err.Error()
	}
	var names []string
	for _, e := range s.Tree.Entries {
		names = append(names, e.Path)
	}
	return strings.Join(names, " ")
}

func TestGlobs(t *testing.T) {
	t.Parallel()
	f := checkout(t, "p/a.csv", "p/b.csv", "p/c.txt", "p/run*", "p/.hidden.csv", "p/.git/x.csv", "p/sub/d.csv", "p/sub/deep/e.csv", "p/folder.csv/f.csv", "p/empty/",
		"p/[x].csv", "p/day=1/part.csv", "p/day=2/part.csv", "other/g.csv", "p/file-link.csv -> a.csv", "p/folder-link -> sub")
	for glob, want := range map[string]string{
		"*.csv":             "[x].csv a.csv b.csv file-link.csv",
		"a.csv":             "a.csv",
		"sub/d.csv":         "d.csv",
		"./sub//d.csv":      "d.csv",
		"*.{csv,txt}":       "[x].csv a.csv b.csv c.txt file-link.csv",
		"{*.txt,c*}":        "c.txt",
		"[ab].csv":          "a.csv b.csv",
		"?.csv":             "a.csv b.csv",
		`\[x].csv`:          "[x].csv",
		"sub/**":            "d.csv deep/e.csv",
		"sub/**/*.csv":      "d.csv deep/e.csv",
		"day=*/*.csv":       "day=1/part.csv day=2/part.csv",
		"day=2/*.csv":       "part.csv",
		".*.csv":            ".hidden.csv",
		".hidden.csv":       ".hidden.csv",
		".git/*":            "x.csv",
		"folder-link/*.csv": "d.csv",
		"../other/*.csv":    "g.csv",
		"*.parquet":         "",
		"none.csv":          "",
		"none/*.csv":        "",
		"a.csv/*.csv":       "",
		"a.csv/x":           "",
		"empty/**":          "",
		"sub":               "error: " + f.Root + "/p/sub: not a regular file; for the files in a folder write folder/**",
		"[":                 "error: " + f.Root + "/p/[: syntax error in pattern",
	} {
		if got := matched(t, f, glob); got != want {
			t.Errorf("%s\n got %s\nwant %s", glob, got, want)
		}
	}
}

func TestAbsoluteGlob(t *testing.T) {
	t.Parallel()
	f, elsewhere := checkout(t), checkout(t, "g.csv")
	escaped := strings.NewReplacer("[", `\[`, "{", `\{`).Replace(elsewhere.Root)
	if got := matched(t, f, escaped+"/*.csv"); got != "g.csv" {
		t.Errorf("got %s", got)
	}
}

// TestDoubleStar goes into folders, but not into hidden ones.
func TestDoubleStar(t *testing.T) {
	t.Parallel()
	f := checkout(t, "p/a.csv", "p/.git/x.csv", "p/.hidden.csv", "p/sub/deep/e.csv", "p/link -> sub/deep")
	if got, want := matched(t, f, "**/*.csv"), "a.csv link/e.csv sub/deep/e.csv"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestOutputs: no wildcard matches what dpb shows in dpb-out, from wherever it looks.
func TestOutputs(t *testing.T) {
	t.Parallel()
	f := checkout(t, "a.csv", "dpb-out/p/t/b.csv", "dpb-out/c.csv", "p/dpb-out/d.csv", "dpb-outer/e.csv")
	for _, c := range []struct{ pkg, glob, want string }{
		{"", "**/*.csv", "a.csv dpb-outer/e.csv p/dpb-out/d.csv"},
		{"", "*/*.csv", "dpb-outer/e.csv"},
		{"", "dpb-*/*.csv", "dpb-outer/e.csv"},
		{"", "{dpb-out,p}/**/*.csv", "dpb-out/c.csv dpb-out/p/t/b.csv p/dpb-out/d.csv"},
		{"", "dpb-out/*.csv", "c.csv"},
		{"p", "../**/*.csv", "a.csv dpb-outer/e.csv p/dpb-out/d.csv"},
		{"p", "**/*.csv", "dpb-out/d.csv"},
		{"", "../*/**/[bcd].csv", filepath.Base(f.Root) + "/p/dpb-out/d.csv"},
	} {
		s, err := f.Observe(t.Context(), c.pkg, c.glob)
		if err != nil {
			t.Errorf("%s: %v", c.glob, err)
		}
		var names []string
		for _, e := range s.Tree.Entries {
			names = append(names, e.Path)
		}
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("//%s %s: got %s, want %s", c.pkg, c.glob, got, c.want)
		}
	}
	if files, err := f.CodeFiles(t.Context(), "", "**/b.csv"); err == nil {
		t.Errorf("code %v", files)
	}
}

// TestWhatCannotBeRead is an error: it might have matched.
func TestWhatCannotBeRead(t *testing.T) {
	t.Parallel()
	f := checkout(t, "p/dangling.csv -> nowhere", "p/loop/loop -> .", "p/locked/a.csv")
	if err := unix.Mkfifo(filepath.Join(f.Root, "p/pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	globs := map[string]string{"dang*.csv": "no such file", "pip*": "not a regular file", "pipe": "not a regular file",
		"loop/**": "too many levels of symbolic links"}
	if os.Getuid() != 0 {
		if err := os.Chmod(filepath.Join(f.Root, "p/locked"), 0); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Chmod(filepath.Join(f.Root, "p/locked"), 0o700) })
		globs["locked/*.csv"] = "permission denied"
		globs["l*/*.csv"] = "permission denied"
		globs["locked/a.csv"] = "permission denied"
	}
	for glob, want := range globs {
		if got := matched(t, f, glob); !strings.HasPrefix(got, "error: ") || !strings.Contains(got, want) {
			t.Errorf("%s: %s; want an error with %q", glob, got, want)
		}
	}
}

// TestObserveOnce: what was seen first holds for the run.
func TestObserveOnce(t *testing.T) {
	t.Parallel()
	f := checkout(t, "p/a.csv")
	first, err := f.Observe(t.Context(), "p", "*.csv")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(f.Root, "p/b.csv"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if again, err := f.Observe(t.Context(), "", "p/./*.csv"); err != nil || again.Tree.Digest() != first.Tree.Digest() {
				t.Errorf("later: %v, %v", again.Tree, err)
			}
		})
	}
	all.Wait()
}

func newStore(t testing.TB) *disk.Store {
	t.Helper()
	s, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestIngest(t *testing.T) {
	t.Parallel()
	f, store := checkout(t, "p/a.csv", "p/run*"), newStore(t)
	s, err := f.Observe(t.Context(), "p", "*")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := f.Ingest(t.Context(), store, s); err != nil {
			t.Fatal(err)
		}
	}
	tree, err := store.GetTree(t.Context(), s.Tree.Digest())
	if err != nil || len(tree.Entries) != 2 {
		t.Fatalf("%v, %v", tree, err)
	}
	for _, e := range tree.Entries {
		if e.Kind != cache.File { // the mode of data is no part of it
			t.Errorf("%s is a %s", e.Path, e.Kind)
		}
		if err := store.Verify(t.Context(), e.Digest); err != nil {
			t.Error(err)
		}
	}
}

// TestIngestOfWhatChanged: other bytes than those observed never enter under their name.
func TestIngestOfWhatChanged(t *testing.T) {
	t.Parallel()
	f, store := checkout(t, "p/a.csv", "p/c.py"), newStore(t)
	s, err := f.Observe(t.Context(), "p", "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	code, err := f.CodeFiles(t.Context(), "p", "c.py")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"p/a.csv", "p/c.py"} {
		if err := os.WriteFile(filepath.Join(f.Root, name), []byte("changed"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Ingest(t.Context(), store, s); !errors.Is(err, ErrChanged) || !strings.Contains(err.Error(), "p/a.csv: it changed while dpb was running; build again") {
		t.Errorf("data: %v", err)
	}
	if _, err := store.GetTree(t.Context(), s.Tree.Digest()); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("the tree: %v; want ErrMissing", err)
	}
	if err := f.IngestCode(t.Context(), store, code); !errors.Is(err, ErrChanged) {
		t.Errorf("code: %v", err)
	}
}

func TestIngestOfWhatIsGone(t *testing.T) {
	t.Parallel()
	f, store := checkout(t, "p/a.csv"), newStore(t)
	s, err := f.Observe(t.Context(), "p", "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(f.Root, "p/a.csv")); err != nil {
		t.Fatal(err)
	}
	if err := f.Ingest(t.Context(), store, s); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	f := checkout(t, "p/c.py", "p/lib/x.py", "p/lib/run*", "q/d.py", "..odd/e.py", "../outside.py")
	files, err := f.CodeFiles(t.Context(), "p", "lib/**", "c.py", "*.py", "../q/d.py", "../..odd/e.py")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range files {
		got = append(got, fmt.Sprintf("%s %v %d", c.Path, c.Exec, c.Size))
	}
	if got, want := strings.Join(got, ", "), "..odd/e.py false 10, p/c.py false 6, p/lib/run true 10, p/lib/x.py false 10, q/d.py false 6"; got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	for glob, want := range map[string]string{
		"*.go":             `code "*.go" matches no file in //p`,
		"lib":              `code "lib": not a regular file; for the files in a folder write folder/**`,
		"../../outside.py": "lies outside of the workspace, where code has no place of its own",
	} {
		if _, err := f.CodeFiles(t.Context(), "p", glob); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", glob, err, want)
		}
	}
}
