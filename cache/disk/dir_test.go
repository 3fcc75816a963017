package disk

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// TestLooker: in whatever order names come, it finds what os.Lstat and os.Stat find.
func TestLooker(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var names []string
	for _, dir := range []string{"", "a", "a/b", "a/bc", "a/b/c", "b", "ab"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		for k := range 4 {
			name := filepath.Join(dir, fmt.Sprint("file", k))
			names = append(names, write(t, filepath.Join(root, name), name), name, filepath.Join(dir, "none"), filepath.Join(dir, "link"), filepath.Join(dir, "none", "x"))
		}
		if err := os.Symlink("file1", filepath.Join(root, dir, "link")); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("a", filepath.Join(root, "to a")); err != nil {
		t.Fatal(err)
	}
	names = append(names, "to a/file1", "to a/b/file2", "to a/b/file3", "a", "a/b", "/", "")
	dir, err := OpenDir(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	r := rand.New(rand.NewPCG(1, 1))
	looker := dir.Looker()
	for range 5000 {
		at := r.IntN(len(names))
		for range 1 + r.IntN(5) { // often some in a row
			name := names[min(at, len(names)-1)]
			at++
			full := name
			if !filepath.IsAbs(name) {
				full = root + "/" + name
			}
			if name == "" {
				continue
			}
			want, wantErr := os.Lstat(full)
			got, err := looker.Lstat([]byte(name))
			if (err == nil) != (wantErr == nil) || err == nil && got != StampOf(want) {
				t.Fatalf("%q: %v %v, want %v", name, got, err, wantErr)
			}
			want, wantErr = os.Stat(full)
			got, regular, err := looker.Stat([]byte(name))
			if (err == nil) != (wantErr == nil) || err == nil && (got != StampOf(want) || regular != want.Mode().IsRegular()) {
				t.Fatalf("%q: %v %v, want %v", name, got, err, wantErr)
			}
		}
	}
	if _, err := looker.Lstat([]byte("b/none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
