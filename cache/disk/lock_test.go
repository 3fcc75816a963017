package disk

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLock(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	s.Me = Holder{PID: 4711, User: "ann", Host: "here", Command: "dpb build //..."}
	release, err := s.TryLock("k", "//p:t")
	if err != nil || release == nil {
		t.Fatal(err)
	}
	if again, err := s.TryLock("k", ""); again != nil || err != nil {
		t.Fatal("it was taken twice", err)
	}
	if other, err := s.TryLock("other", ""); other == nil || err != nil {
		t.Fatal("it keeps others", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	given := errors.New("it took too long")
	err = s.AwaitLock(ctx, "k", func(h Holder) {
		if h.For != "//p:t" || h.PID != 4711 || time.Since(h.Since) > time.Hour || !strings.HasPrefix(h.String(), "pid 4711 (ann on here, dpb build //...)") {
			t.Errorf("%+v", h)
		}
		cancel(given)
	})
	if err != given {
		t.Errorf("waiting in vain: %v", err)
	}
	told := 0
	err = s.AwaitLock(t.Context(), "k", func(Holder) {
		if told++; told > 1 {
			t.Error("told twice of one holder")
		}
		release()
	})
	if err != nil || told != 1 {
		t.Errorf("told %d times: %v", told, err)
	}
	if err := s.AwaitLock(t.Context(), "k", func(Holder) { t.Error("nobody holds it") }); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.Dir + "/jobs"); err != nil || len(left) != 1 {
		t.Errorf("%v %v", left, err)
	}
}

// TestHolderChanges: what an earlier holder left in the file, who died or could not write, says nothing of the one of now.
func TestHolderChanges(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	for _, left := range []string{"", "{", strings.Repeat("x", 1<<20), `{"pid":1,"user":"` + strings.Repeat("y", 300) + `"}`} {
		write(t, s.lockFile("k"), left)
		s.Me.PID++
		release, err := s.TryLock("k", "")
		if err != nil || release == nil {
			t.Fatal(err)
		}
		h, held, err := s.peek("k")
		if err != nil || !held || h.PID != s.Me.PID || h.User != "" {
			t.Errorf("%+v %v %v", h, held, err)
		}
		if err := os.Truncate(s.lockFile("k"), 0); err != nil {
			t.Fatal(err)
		}
		if h, held, err := s.peek("k"); err != nil || !held || h != (Holder{}) || h.String() != "another process" {
			t.Errorf("%+v %v %v", h, held, err)
		}
		release()
	}
}

func TestCommandline(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"/usr/bin/dpb", "build", "//..."}, "dpb build //..."},
		{[]string{"dpb", "-C", "/a b", ""}, `dpb -C "/a b" ""`},
		{[]string{"dpb", "\x1b[2J", "a\nb", "\xff", "größe", `"`}, `dpb "\x1b[2J" "a\nb" "\xff" größe "`},
		{[]string{"dpb", strings.Repeat("ä", 300)}, "dpb " + strings.Repeat("ä", 195) + "…"},
	} {
		got := Commandline(c.args)
		if got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if b, err := json.Marshal(Holder{Command: got, For: strings.Repeat("x", 1000)}); err != nil || len(b) > longestHolder {
			t.Errorf("%d bytes of %s: %v", len(b), got, err)
		}
	}
}

// TestNoLocks is not parallel: no file system here is one without locks, so the call is replaced.
func TestNoLocks(t *testing.T) {
	defer func(f func(int, int) error) { sysFlock = f }(sysFlock)
	for _, errno := range []error{unix.ENOLCK, unix.ENOTSUP, unix.EIO} {
		s, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		sysFlock = func(int, int) error { return errno }
		_, locking := s.TryLock("k", "")
		_, private := s.JobDir("j")
		sysFlock = unix.Flock
		for _, err := range []error{locking, private} {
			if !errors.Is(err, errno) || !strings.Contains(err.Error(), s.Dir) || !strings.Contains(err.Error(), "keep the store on another one") {
				t.Errorf("%v: %v", errno, err)
			}
		}
	}
}
