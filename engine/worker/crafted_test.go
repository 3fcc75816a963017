//go:build linux && cgo && !noduckdb

package worker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// parquetOf writes what a statement selects, in this process.
func parquetOf(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := duckdb.Run(t.Context(), jobIn(dir, text)); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "out", "o.parquet")
}

// reads reads a file in processes as SQL and as a fingerprint. An end that is no error and no answer, or one that never comes, is a failure.
func reads(t *testing.T, w *Worker, dir, file, what, sql string) (errs [2]error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	j := jobIn(dir, sql, table("t", engine.Parquet, file))
	j.Memory = w.Memory
	_, _, errs[0] = w.Run(ctx, j)
	_, _, errs[1] = w.Fingerprint(ctx, fingerprint.Table{Format: engine.Parquet, Files: []fingerprint.File{{Name: "in/a.parquet", Path: file}}}, 2)
	if ctx.Err() != nil {
		t.Fatalf("%s: it takes for ever", what)
	}
	for _, err := range errs {
		if err != nil && (err.Error() == "" || strings.Contains(err.Error(), dir)) {
			t.Errorf("%s: %q", what, err)
		}
	}
	return errs
}

// TestDamagedParquet reads files that are cut off, and some with flipped bits and hostile numbers in their headers: each is an error or is read, and a process that
// crashes over one takes nothing with it.
func TestDamagedParquet(t *testing.T) {
	whole, err := os.ReadFile(parquetOf(t, "SELECT range AS id, 'n' || range % 7 AS name, range / 3 AS x, [range, NULL] AS l, {'a': range} AS s FROM range(3000)"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "in")
	w := newWorker(t, dir, false)
	w.Memory, w.Names = 64<<20, []string{`input "t"`}
	r := rand.New(rand.NewPCG(7, 7))
	counts := map[string]int{}
	try := func(what string, b []byte) [2]error {
		if err := os.WriteFile(file, b, 0o666); err != nil {
			t.Fatal(err)
		}
		errs := reads(t, w, dir, file, what, "SELECT * FROM t")
		for _, err := range errs {
			var crash *CrashError
			switch {
			case errors.As(err, &crash):
				counts["crash"]++
				if !strings.Contains(err.Error(), `input "t"`) || crash.Killed {
					t.Errorf("%s: %v", what, err)
				}
			case err != nil:
				counts["error"]++
			default:
				counts["read"]++
			}
		}
		return errs
	}
	for range 8 {
		n := r.IntN(len(whole))
		for _, err := range try(fmt.Sprintf("%d bytes", n), whole[:n]) {
			if err == nil {
				t.Errorf("%d of %d bytes are read", n, len(whole))
			}
		}
	}
	footer := len(whole) - 3000
	for k := range 60 {
		b := append([]byte(nil), whole...)
		at := r.IntN(len(b))
		if k%2 == 0 {
			at = max(0, footer) + r.IntN(len(b)-max(0, footer))
		}
		if k%3 == 0 { // as a varint: a huge number
			copy(b[at:], "\xff\xff\xff\xff\x7f")
		} else {
			b[at] ^= byte(1 << r.IntN(8))
		}
		try(fmt.Sprintf("byte %d (%d)", at, k), b)
	}
	for _, err := range try("whole", whole) {
		if err != nil {
			t.Errorf("the whole file: %v", err)
		}
	}
	if counts["error"] < 20 || counts["read"] < 4 {
		t.Errorf("%v: too few of a kind", counts)
	}
	t.Log(counts)
}

// TestParquetBomb reads a file of a few KB that stands for 1 GB: the process ends below its limit, with an answer or an error.
func TestParquetBomb(t *testing.T) {
	file := parquetOf(t, "SELECT repeat('x', 10000) || range % 2 AS s FROM range(100000)")
	if info, err := os.Stat(file); err != nil || info.Size() > 1<<20 {
		t.Fatalf("it has %d bytes, %v", info.Size(), err)
	}
	dir := t.TempDir()
	w := newWorker(t, dir, false)
	w.Memory = 64 << 20
	errs := reads(t, w, dir, file, "bomb", "SELECT max(length(s)) AS n FROM t")
	for k, err := range errs {
		if err != nil && !duckdb.IsLimit(err) {
			t.Errorf("%d: %v", k, err)
		}
	}
	peak := int64(0)
	for _, id := range processes(t, os.Getpid()) {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
		var kB int64
		if _, after, ok := strings.Cut(string(status), "VmHWM:"); ok {
			_, _ = fmt.Sscan(after, &kB)
		}
		peak = max(peak, kB<<10)
	}
	if peak == 0 || peak > w.hardLimit() {
		t.Errorf("the process had %d MB of %d MB", peak/1e6, w.hardLimit()/1e6)
	}
	t.Log(errs, peak/1e6)
}
