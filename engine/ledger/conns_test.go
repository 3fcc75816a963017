package ledger

import (
	"context"
	"errors"
	"testing"

	"zombiezen.com/go/sqlite"
)

// A look-up sees what anybody committed before it, also on a connection that looked in vain a moment ago; of attempts the last one counts.
func TestLookupAfterOthers(t *testing.T) {
	dir := t.TempDir()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	other, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	key := sampleResult().Key
	look := func(found, failed bool) {
		t.Helper()
		r, f, err := l.Lookup(key)
		if err != nil || (r != nil) != found || f != failed {
			t.Errorf("%v, failed %v, %v", r, f, err)
		}
	}
	run := func(by *Ledger, failure string, verifies bool) {
		t.Helper()
		r := sampleRun()
		r.Key, r.Failure, r.Verifies = key, failure, verifies
		if err := by.Write(context.Background(), func(tx *Tx) error { return tx.PutRun("w", r) }); err != nil {
			t.Fatal(err)
		}
	}
	look(false, false)
	run(other, "exit code 1", false)
	look(false, true)
	run(l, "", false)
	look(false, false)
	if err := other.Write(context.Background(), func(tx *Tx) error { _, err := tx.PutResult(sampleResult(), false); return err }); err != nil {
		t.Fatal(err)
	}
	look(true, false)
	run(other, "exit code 2", false)
	run(other, "", true)
	look(true, true)
}

// The connection that was used last is used next; a closed ledger gives none, and one that is broken off in the middle goes on to serve.
func TestConns(t *testing.T) {
	l, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	var first, second *sqlite.Conn
	_ = l.read(func(c *sqlite.Conn) error {
		first = c
		return l.read(func(c *sqlite.Conn) error { second = c; return nil })
	})
	if first == second {
		t.Error("two share a connection")
	}
	_ = l.read(func(c *sqlite.Conn) error {
		if c != first {
			t.Error("another connection than the last")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	err = l.Write(ctx, func(tx *Tx) error {
		cancel()
		return tx.exec("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) DELETE FROM target WHERE id IN (SELECT x FROM n)") // without an end
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a transaction that is broken off gives %v", err)
	}
	if err := l.Write(context.Background(), func(tx *Tx) error { return tx.PutRun("w", sampleRun()) }); err != nil {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := l.Lookup(sampleRun().Key); !errors.Is(err, errClosed) {
		t.Errorf("reading a closed ledger gives %v", err)
	}
	if err := l.Write(context.Background(), func(*Tx) error { return nil }); !errors.Is(err, errClosed) {
		t.Errorf("writing to a closed ledger gives %v", err)
	}
}
