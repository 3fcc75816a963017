package ledger

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadOnlyFolder: a ledger that its last writer closed can be read where nothing can be written.
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	obeyPermissions(t)
	dir := filepath.Join(t.TempDir(), "50% ?of #all;")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	checkReadOnly(t, dir, func(readOnly bool) error {
		if readOnly {
			return os.Chmod(dir, 0o555)
		}
		return os.Chmod(dir, 0o777)
	})
}

// obeyPermissions takes from the test's thread, which ends with the test, what lets root write everywhere.
func obeyPermissions(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var capabilities [2]unix.CapUserData
	if err := unix.Capget(&header, &capabilities[0]); err != nil {
		t.Skip(err)
	}
	capabilities[0].Effective &^= 1<<unix.CAP_DAC_OVERRIDE | 1<<unix.CAP_DAC_READ_SEARCH
	if err := unix.Capset(&header, &capabilities[0]); err != nil {
		t.Skip(err)
	}
}

// TestReadOnlyMount: the same on a file system that is mounted so, for the test's thread only.
func TestReadOnlyMount(t *testing.T) {
	t.Parallel()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		t.Skip(err)
	}
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, ""); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	checkReadOnly(t, dir, func(readOnly bool) error {
		var flags uintptr = unix.MS_REMOUNT
		if readOnly {
			flags |= unix.MS_RDONLY
		}
		return unix.Mount("none", dir, "", flags, "")
	})
}

// checkReadOnly opens ledgers in a folder as writers leave them, one that closed it and two that were killed.
func checkReadOnly(t *testing.T, dir string, protect func(readOnly bool) error) {
	t.Helper()
	wal := closedLedger(t, dir)
	for _, x := range []struct {
		what  string
		wal   []byte
		opens bool
	}{{"no log", nil, true}, {"an empty log", []byte{}, true}, {"records in the log", wal, false}} {
		if x.wal != nil {
			if err := os.WriteFile(filepath.Join(dir, fileName+"-wal"), x.wal, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := protect(true); err != nil {
			t.Fatal(err)
		}
		l, err := OpenReadOnly(dir)
		if (err == nil) != x.opens {
			t.Errorf("%s: %v", x.what, err)
		}
		if err != nil && !strings.Contains(err.Error(), "ledger.db-wal has records") {
			t.Errorf("%s: it does not say what to do: %v", x.what, err)
		}
		if err == nil {
			got, _, err := l.Result(sampleResult().Key)
			same(t, x.what, got, sampleResult(), err)
			l.Close()
		}
		if err := protect(false); err != nil {
			t.Fatal(err)
		}
	}
}

// closedLedger makes a ledger with one result and gives the log of before it was closed.
func closedLedger(t *testing.T, dir string) []byte {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, func(tx *Tx) error { return putResult(tx, sampleResult(), false) })
	wal, err := os.ReadFile(filepath.Join(dir, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return wal
}
