package ledger

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

var everyByte = flag.Bool("every-byte", false, "cut the ledger off at every byte, not only around pages and at some within each")

// all reads what a ledger has, as one text.
func all(l *Ledger) (string, error) {
	var out string
	r, _, err := l.Result(sampleResult().Key)
	run, _, runErr := l.LastRun(sampleRun().Key)
	versions, versionErr := l.VersionsOf(sampleVersion(1).Workspace, sampleVersion(1).Label, sampleVersion(1).Partition)
	currentErr := l.Currents(sampleVersion(1).Workspace, "checkout", func(c Current) error { out += fmt.Sprint(c); return nil })
	return out + fmt.Sprint(r, run, versions), errors.Join(err, runErr, versionErr, currentErr)
}

// cutLedger makes a small ledger with records of some kinds, and gives its files as they lie while a process has it open, and the whole of it afterwards.
func cutLedger(t *testing.T) (db, wal, whole []byte, want string) {
	t.Helper()
	dir := memoryDir(t)
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, func(tx *Tx) error {
		v := sampleVersion(1)
		return errors.Join(putResult(tx, sampleResult(), false), tx.PutRun(v.Workspace, sampleRun()), tx.PutVersion(v),
			tx.Point("checkout", v, cache.SectionDigest{1}, sampleResult().Outputs))
	})
	if want, err = all(l); err != nil {
		t.Fatal(err)
	}
	if db, err = os.ReadFile(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	if wal, err = os.ReadFile(filepath.Join(dir, fileName+"-wal")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if whole, err = os.ReadFile(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	return db, wal, whole, want
}

// cuts are where a file is cut off: at every byte of its first hundred, around each page, and here and there.
func cuts(size int) (out []int) {
	for n := range size {
		if at := n % 4096; *everyByte || n <= 100 || at <= 1 || at == 4095 || n%509 == 0 {
			out = append(out, n)
		}
	}
	return out
}

// TestLedgerCutOff: a ledger that was cut off anywhere is refused with what to do, for reading and for writing.
func TestLedgerCutOff(t *testing.T) {
	_, _, db, want := cutLedger(t)
	dir := memoryDir(t)
	file := filepath.Join(dir, fileName)
	if err := os.MkdirAll(filepath.Join(dir, "blobs", "00"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, n := range cuts(len(db)) {
		for what, open := range map[string]func(string) (*Ledger, error){"reading": OpenReadOnly, "writing": Open} {
			if err := os.WriteFile(file, db[:n], 0o666); err != nil {
				t.Fatal(err)
			}
			got, err := readAll(open, dir)
			if !errors.Is(err, ErrDamaged) {
				t.Errorf("for %s, %d of %d bytes: %v, all there: %v", what, n, len(db), err, got == want)
			}
			for _, e := range []string{"-wal", "-shm"} {
				_ = os.Remove(file + e)
			}
		}
	}
}

func readAll(open func(string) (*Ledger, error), dir string) (string, error) {
	l, err := open(dir)
	if err != nil {
		return "", err
	}
	defer l.Close()
	return all(l)
}

// TestLogCutOff: of a log that was cut off anywhere the records count that were committed before, all of a commit or nothing.
func TestLogCutOff(t *testing.T) {
	base, wal, _, want := cutLedger(t)
	dir := memoryDir(t)
	file := filepath.Join(dir, fileName)
	seen := map[string]bool{}
	for _, n := range append(cuts(len(wal)), len(wal)) {
		if err := errors.Join(os.RemoveAll(file+"-shm"), os.WriteFile(file, nil, 0o666), os.WriteFile(file+"-wal", wal[:n], 0o666)); err != nil {
			t.Fatal(err)
		}
		_, err := readAll(Open, dir)
		if n > 0 && !errors.Is(err, ErrDamaged) {
			t.Errorf("a log of %d bytes without its database: %v", n, err)
		}
	}
	for _, n := range append(cuts(len(wal)), len(wal)) {
		if err := errors.Join(os.RemoveAll(file+"-shm"), os.WriteFile(file, base, 0o666), os.WriteFile(file+"-wal", wal[:n], 0o666)); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(OpenReadOnly, dir)
		if err != nil {
			t.Errorf("%d of %d bytes: %v", n, len(wal), err)
		}
		seen[got] = true
	}
	if !seen[want] || len(seen) != 2 { // the tables alone, and all
		t.Errorf("%d different answers", len(seen))
	}
}

func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dpb-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
