package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"golang.org/x/sys/unix"
)

// folder makes a folder from lines: "name" is a file that holds its name, "name*" one that can be executed, "name/" a folder, "name -> target" a link.
func folder(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		full := filepath.Join(dir, strings.TrimSuffix(link, "*"))
		err := os.MkdirAll(filepath.Dir(full), 0o777)
		switch {
		case isLink:
			err = errors.Join(err, os.Symlink(target, full))
		case strings.HasSuffix(name, "/"):
			err = errors.Join(err, os.Mkdir(full, 0o777))
		default:
			write(t, full, name)
			if strings.HasSuffix(name, "*") {
				err = errors.Join(err, os.Chmod(full, 0o755))
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// below opens a folder for Capture.
func below(t testing.TB, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func listing(tree cache.Tree) string {
	var out []string
	for _, e := range tree.Entries {
		text := fmt.Sprintf("%s %s", e.Kind, e.Path)
		if e.Kind == cache.Link {
			text += " -> " + e.Target
		}
		out = append(out, text)
	}
	return strings.Join(out, "\n")
}

func TestCapture(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	dir := folder(t, "b.csv", "a/deep/x", "a/run*", "a/deep/up -> ../../b.csv", "empty/", "dangling -> nowhere")
	tree, err := s.Capture(t.Context(), below(t, dir), ".")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := listing(tree), "link a/deep/up -> ../../b.csv\nfile a/deep/x\nexec a/run\nfile b.csv\nlink dangling -> nowhere\ndir empty"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if stored, err := s.GetTree(t.Context(), tree.Digest()); err != nil || stored.Digest() != tree.Digest() {
		t.Errorf("the tree is not in the store: %v", err)
	}
	for _, e := range tree.Entries {
		if e.Kind == cache.File || e.Kind == cache.Exec {
			if got, err := read(s, e.Digest); err != nil || int64(len(got)) != e.Size || strings.TrimSuffix(got, "*") != e.Path {
				t.Errorf("%s holds %q, %v", e.Path, got, err)
			}
		}
	}
	if nothing, err := s.Capture(t.Context(), below(t, t.TempDir()), "."); err != nil || len(nothing.Entries) != 0 {
		t.Errorf("an empty folder gives %v, %v", nothing, err)
	}
}

func TestCaptureRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	pipe := folder(t, "a")
	if err := unix.Mkfifo(filepath.Join(pipe, "pipe"), 0o666); err != nil {
		t.Fatal(err)
	}
	for want, dir := range map[string]string{
		"neither a file, a directory nor a link": pipe,
		"only relative links":                    folder(t, "l -> /etc/passwd"),
		"leads outside the output":               folder(t, "a/l -> ../../x"),
		"not valid UTF-8":                        folder(t, "a\xff"),
		"control character":                      folder(t, "a\nb"),
		"leads to a target of 3001 bytes":        folder(t, "l -> "+strings.Repeat("a/", 1500)+"b"),
		"has 2007 bytes":                         folder(t, strings.Repeat(strings.Repeat("d", 250)+"/", 8)),
	} {
		if tree, err := s.Capture(t.Context(), below(t, dir), "."); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, %v; want %q", tree, err, want)
		}
	}
}

func TestCaptureFile(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	dir := folder(t, "made.csv", "run*", "link -> made.csv", "folder/x")
	tree, err := s.CaptureFile(t.Context(), below(t, dir), "made.csv", "plays.csv")
	if got := listing(tree); err != nil || got != "file plays.csv" {
		t.Errorf("%s, %v", got, err)
	}
	for _, name := range []string{"link", "folder", "none"} {
		if _, err := s.CaptureFile(t.Context(), below(t, dir), name, "x"); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.CaptureFile(ctx, below(t, dir), "run", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v; want context.Canceled", err)
	}
}

// TestMaterialize: a tree written to a folder is that tree, and what is done to it there does the store no harm.
func TestMaterialize(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	tree, err := s.Capture(t.Context(), below(t, folder(t, "b.csv", "a/run*", "a/up -> ../b.csv", "empty/")), ".")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "place")
	if _, err := s.Materialize(t.Context(), tree, dir); err != nil {
		t.Fatal(err)
	}
	if again, err := s.Capture(t.Context(), below(t, dir), "."); err != nil || again.Digest() != tree.Digest() {
		t.Errorf("it is now\n%s, %v", listing(again), err)
	}
	file := filepath.Join(dir, "b.csv")
	if info, err := os.Stat(file); err != nil || info.Mode() != 0o444 {
		t.Errorf("the file is %v, %v; want it read-only", info.Mode(), err)
	}
	if err := errors.Join(os.Chmod(file, 0o666), os.WriteFile(file, []byte("edited"), 0o666)); err != nil {
		t.Fatal(err)
	}
	if got, err := read(s, cache.Sum([]byte("b.csv"))); got != "b.csv" || err != nil {
		t.Errorf("the store now holds %q, %v", got, err)
	}
	if _, err := s.Materialize(t.Context(), tree, dir); err == nil {
		t.Error("it wrote over what was there")
	}
}

func TestMaterializeWhatIsMissing(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	tree := cache.Tree{Entries: []cache.Entry{{Path: "a", Kind: cache.File, Digest: cache.Sum([]byte("gone")), Size: 4}}}
	if _, err := s.Materialize(t.Context(), tree, t.TempDir()); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("error %v; want ErrMissing", err)
	}
}

func TestRemoveAll(t *testing.T) {
	t.Parallel()
	dir := folder(t, "a/b/c", "a/d")
	for _, name := range []string{"a/b", "a"} {
		if err := os.Chmod(filepath.Join(dir, name), 0o500); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveAll(dir); err != nil {
		t.Error(err)
	}
}
