package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// RemoveAll removes folders of any size, and what a link leads to stays.
func TestRemoveAllOfAnySize(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o444); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(outside, "kept"))
	dir := filepath.Join(base, "dir")
	for k := range 1000 {
		write(filepath.Join(dir, "many", fmt.Sprintf("a file with a rather long name %d", k)))
	}
	write(filepath.Join(dir, "deep/er/and/deep/er/file"))
	write(filepath.Join(dir, "closed/file"))
	if err := os.MkdirAll(filepath.Join(dir, "empty"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{os.Symlink(outside, filepath.Join(dir, "link")), os.Symlink(outside, filepath.Join(base, "named")), os.Chmod(filepath.Join(dir, "closed"), 0o500)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, at := range []string{dir, filepath.Join(base, "named"), filepath.Join(base, "never"), filepath.Join(outside, "kept", "below a file")} {
		_ = RemoveAll(at)
		if _, err := os.Lstat(at); err == nil {
			t.Errorf("%s is there", at)
		}
	}
	if _, err := os.Stat(filepath.Join(outside, "kept")); err != nil {
		t.Error(err)
	}
	write(filepath.Join(base, "file"))
	if err := RemoveAll(filepath.Join(base, "file")); err != nil {
		t.Error(err)
	}
}
