package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

func lend(t *testing.T, s *Store, text string) (file string, d cache.Digest) {
	t.Helper()
	file, d = filepath.Join(t.TempDir(), "lent.csv"), cache.Sum([]byte(text))
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o666), s.Lend(d, file)); err != nil {
		t.Fatal(err)
	}
	return file, d
}

// TestLentFileThatChanges: a lent file that somebody writes to is a miss, and no damage of the store, which is not warned of and sets nothing aside.
func TestLentFileThatChanges(t *testing.T) {
	s, warned := newStore(t)
	file, d := lend(t, s, "some content")
	if got, err := read(s, d); got != "some content" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	damage(t, file, func(b []byte) []byte { return append(b, "more"...) })
	_, opened := read(s, d)
	for _, err := range []error{opened, s.Verify(t.Context(), d)} {
		if !errors.Is(err, cache.ErrMissing) || !strings.Contains(err.Error(), "lent.csv changed while it was read") {
			t.Errorf("%v", err)
		}
	}
	if list, _ := os.ReadDir(filepath.Join(s.Dir, "damaged")); len(*warned)+len(list) > 0 {
		t.Errorf("warned of %q, and set aside %v", *warned, list)
	}
}

// TestLentIsNotKept: a file that is lent is not kept, and is once it was put; what happens to it then does not matter.
func TestLentIsNotKept(t *testing.T) {
	s, _ := newStore(t)
	file, d := lend(t, s, "some content")
	if err := s.Verify(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if err := s.Keeps(t.Context(), d); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("a lent file is kept: %v", err)
	}
	if _, _, err := s.PutFile(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	damage(t, file, func([]byte) []byte { return nil })
	if err := s.Keeps(t.Context(), d); err != nil {
		t.Error(err)
	}
	if got, err := read(s, d); got != "some content" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
