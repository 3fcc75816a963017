package publish

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestExchange(t *testing.T) {
	t.Parallel()
	for name, exchange := range map[string]func(a, b string) error{"in one step": exchange, "slowly": exchangeSlowly} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
			for _, d := range []string{a, b} {
				if err := errors.Join(os.Mkdir(d, 0o777), os.WriteFile(filepath.Join(d, "was "+filepath.Base(d)), nil, 0o666)); err != nil {
					t.Fatal(err)
				}
			}
			if err := exchange(a, b); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{"a/was b", "b/was a"} {
				if _, err := os.Stat(filepath.Join(dir, want)); err != nil {
					t.Error(err)
				}
			}
			if err := exchange(a, filepath.Join(dir, "none")); err == nil {
				t.Error("a was exchanged with nothing")
			}
			if entries, _ := os.ReadDir(dir); len(entries) != 2 {
				t.Errorf("left behind: %v", entries)
			}
		})
	}
}
