//go:build linux && cgo && !noduckdb

package worker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// The test binary links this package: it is the process of each worker that is started here.

// startsWorker makes this program start a worker on an endless query, and say which process does it.
const startsWorker = "DPB_TEST_STARTS_WORKER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(startsWorker); dir != "" {
		w := &Worker{Log: filepath.Join(dir, "log"), Write: []string{dir}}
		if os.Getenv(startsWorker+"_BOXED") != "" {
			w.Box, _ = sandbox.New(sandbox.Root{})
		}
		_, _, err := w.Run(context.Background(), jobIn(dir, "SELECT 1 AS a")) // it is there, and has the catalog
		fmt.Println("worker", err)
		_, _, err = w.Run(context.Background(), jobIn(dir, endless))
		fmt.Println("ended", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// endless is a query that nobody waits for.
const endless = "SELECT count(*) AS n FROM range(1000000000) a, range(1000000000) b WHERE hash(a.range) = hash(b.range + 1)"

func jobIn(dir, text string, inputs ...duckdb.Table) duckdb.Job {
	out := filepath.Join(dir, "out")
	_ = os.MkdirAll(out, 0o777)
	return duckdb.Job{Label: "//p:t", OutDir: out, Scratch: filepath.Join(dir, "scratch"), Inputs: inputs, Threads: 2, Statements: []duckdb.Statement{{
		Source: &engine.Statement{Output: "o", Text: text, File: "p/o.sql", Range: engine.Range{File: "p/pipeline.hcl"}},
		Output: &engine.Output{Name: "o", Path: "o.parquet", Format: engine.Parquet, Expects: []*engine.Expect{{}}}}}}
}

// newWorker is a worker that may write to a folder; with boxed it is isolated.
func newWorker(t *testing.T, dir string, boxed bool) *Worker {
	t.Helper()
	w := &Worker{Log: filepath.Join(t.TempDir(), "log"), Write: []string{dir}}
	if boxed {
		box, err := sandbox.New(sandbox.Root{})
		if none := (*sandbox.UnavailableError)(nil); errors.As(err, &none) {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(box.Close)
		w.Box = box
	}
	t.Cleanup(w.Close)
	return w
}

// both runs a test with processes that are isolated and with some that are not.
func both(t *testing.T, test func(t *testing.T, boxed bool)) {
	for _, boxed := range []bool{false, true} {
		t.Run(fmt.Sprintf("boxed %v", boxed), func(t *testing.T) { t.Parallel(); test(t, boxed) })
	}
}

// same holds that a worker answers what the function does in this process.
func same[T any](t *testing.T, what string, theirs T, theirErr error, ours T, ourErr error) {
	t.Helper()
	if !reflect.DeepEqual(theirs, ours) {
		t.Errorf("%s: %+v, and in this process %+v", what, theirs, ours)
	}
	if fmt.Sprint(theirErr) != fmt.Sprint(ourErr) || !reflect.DeepEqual(duckdb.Problems(theirErr), duckdb.Problems(ourErr)) {
		t.Errorf("%s: %v (%+v), and in this process %v (%+v)", what, theirErr, duckdb.Problems(theirErr), ourErr, duckdb.Problems(ourErr))
	}
}

func table(name string, format engine.Format, file string, columns ...engine.Column) duckdb.Table {
	return duckdb.Table{Name: name, Format: format, Columns: columns, Parts: []duckdb.Part{{Files: []string{file}}}}
}

// TestSame: each answer of a process, and each error with its places, is that of the function that it stands for. One process gives them all.
func TestSame(t *testing.T) {
	both(t, func(t *testing.T, boxed bool) {
		dir := t.TempDir()
		w := newWorker(t, dir, boxed)
		csv := filepath.Join(dir, "in.csv")
		if err := os.WriteFile(csv, []byte("id,n\n1,5\n2,\n2,7\n,1\nx,2\n"), 0o666); err != nil {
			t.Fatal(err)
		}
		id, n := engine.Column{Name: "id", Type: "VARCHAR"}, engine.Column{Name: "n", Type: "BIGINT"}
		in := table("t", engine.CSV, csv, id, n)
		ctx := t.Context()
		for _, text := range []string{"SELECT id, n, $day AS day FROM t", "SELECT 1 AS a FROM nowhere", "SELECT random() AS r, now() AS x", "SELECT CAST(id AS INTEGER) AS i FROM t", "SELECT nn FROM t", "SELEC 1"} {
			j := jobIn(dir, text, in)
			j.Params = []duckdb.Param{{Name: "day", Type: "DATE", Text: "2017-06-05"}}
			theirs, _, theirErr := w.Run(ctx, j)
			made, _ := os.ReadFile(filepath.Join(dir, "out", "o.parquet"))
			_ = os.Remove(filepath.Join(dir, "out", "o.parquet"))
			ours, ourErr := duckdb.Run(ctx, j)
			same(t, text, theirs, theirErr, ours, ourErr)
			again, _ := os.ReadFile(filepath.Join(dir, "out", "o.parquet"))
			_ = os.Remove(filepath.Join(dir, "out", "o.parquet"))
			if (ourErr == nil) != (len(made) > 0) || !bytes.Equal(made, again) {
				t.Errorf("%s: %d bytes were written, and %d in this process", text, len(made), len(again))
			}
		}
		for _, sql := range []string{"count(*)", "max(n)", "sum(NULL::INT)", "max(gone)"} {
			j := duckdb.MetricsJob{Tables: []duckdb.Table{in}, Metrics: []*engine.Metric{{Name: "m", SQL: sql}, {Name: "nulls", SQL: "max(NULL::INT)"}}, Scratch: filepath.Join(dir, "scratch"), Threads: 1}
			theirs, theirErr := w.Metrics(ctx, j)
			ours, ourErr := duckdb.Metrics(ctx, j)
			same(t, sql, theirs, theirErr, ours, ourErr)
		}
		for _, key := range []string{"id", "nobody"} {
			theirs, theirErr := w.CheckKey(ctx, in, []string{key}, filepath.Join(dir, "scratch"), 1, 0)
			ours, ourErr := duckdb.CheckKey(ctx, in, []string{key}, filepath.Join(dir, "scratch"), 1, 0)
			same(t, "key "+key, theirs, theirErr, ours, ourErr)
			orphans, theirErr := w.CheckReference(ctx, in, "n", in, key, filepath.Join(dir, "scratch"), 1, 0)
			ourOrphans, ourErr := duckdb.CheckReference(ctx, in, "n", in, key, filepath.Join(dir, "scratch"), 1, 0)
			same(t, "reference to "+key, orphans, theirErr, ourOrphans, ourErr)
		}
		for _, where := range []string{"n > 5", "n > 500", "gone > 5"} {
			j := duckdb.SplitJob{Table: in, Rejects: []*engine.Reject{{Name: "r", Where: where}}, FileNames: []string{"in.csv"}, Quarantine: filepath.Join(dir, "q.parquet"),
				KeptDir: filepath.Join(dir, "kept"), Scratch: filepath.Join(dir, "scratch"), Threads: 1}
			theirs, theirErr := w.Split(ctx, j)
			_ = os.RemoveAll(j.KeptDir)
			_ = os.Remove(j.Quarantine)
			ours, ourErr := duckdb.Split(ctx, j)
			same(t, where, theirs, theirErr, ours, ourErr)
		}
		for _, typ := range []string{"VARCHAR", "BIGINT"} {
			ft := fingerprint.Table{Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: typ}, n}, Files: []fingerprint.File{{Name: "in.csv", Path: csv}}}
			theirs, theirState, theirErr := w.Fingerprint(ctx, ft, 1)
			ours, ourState, ourErr := fingerprint.Compute(ctx, ft, 1)
			same(t, "fingerprint "+typ, theirState, theirErr, ourState, ourErr)
			a, _ := json.Marshal(theirs)
			b, _ := json.Marshal(ours)
			if !bytes.Equal(a, b) {
				t.Errorf("%s\n%s", a, b)
			}
			filtered, err := w.Filter(ctx, FilterJob{Table: ft, Drop: [][]int64{{0, 2}}, Unreadable: true, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			kept, _ := os.ReadFile(filtered.Copies[0])
			want, bad := "id,n\n2,\n,1\nx,2\n", 0
			if typ == "BIGINT" {
				want, bad = "id,n\n2,\n,1\n", 1
			}
			if string(kept) != want || len(filtered.Bad) != bad {
				t.Errorf("%q, %+v", kept, filtered)
			}
		}
	})
}

// processes lists what a process started, and what that did.
func processes(t *testing.T, of int) (out []int) {
	t.Helper()
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", of))
	for _, task := range tasks {
		text, _ := os.ReadFile(task)
		for _, field := range strings.Fields(string(text)) {
			if id, err := strconv.Atoi(field); err == nil {
				out = append(append(out, id), processes(t, id)...)
			}
		}
	}
	return out
}

// TestCancel: a job that is called off ends at once, and leaves nothing that runs. The worker serves again after it.
func TestCancel(t *testing.T) {
	for _, boxed := range []bool{false, true} {
		dir := t.TempDir()
		w := newWorker(t, dir, boxed)
		ctx, cancel := context.WithCancelCause(t.Context())
		if _, _, err := w.Run(ctx, jobIn(dir, "SELECT 1 AS a")); err != nil {
			t.Fatal(err)
		}
		why := errors.New("somebody says so")
		process := w.process
		go func() { // once it is at work
			for spill := filepath.Join(dir, "scratch", "spill"); ; runtime.Gosched() {
				if _, err := os.Stat(spill); err == nil {
					cancel(why)
					return
				}
			}
		}()
		if _, _, err := w.Run(ctx, jobIn(dir, endless)); !errors.Is(err, why) {
			t.Errorf("boxed %v: %v", boxed, err)
		}
		if status, err := process.wait(); w.process != nil || err != nil || !status.Signaled() {
			t.Errorf("boxed %v: the process runs on, %#x, %v", boxed, status, err)
		}
		if _, _, err := w.Run(t.Context(), jobIn(dir, "SELECT 1 AS a")); err != nil {
			t.Errorf("boxed %v: after it was called off: %v", boxed, err)
		}
	}
}

// TestCrash: a process that dies of a signal fails the job that it was at, and no other. The error names what was read.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		killed bool
		want   string
	}{
		{syscall.SIGSEGV, false, `: what it read, input "plays", may be damaged, or made to do so`},
		{syscall.SIGABRT, false, "the process that reads and writes tables crashed ("},
		{syscall.SIGKILL, true, "was killed: the machine had too little memory, or somebody ended it"},
	} {
		dir := t.TempDir()
		w := newWorker(t, dir, false)
		w.Names = []string{`input "plays"`}
		if _, used, err := w.Run(t.Context(), jobIn(dir, "SELECT 1 AS a")); err != nil || used.CPU <= 0 || used.MaxRSS < 1<<20 {
			t.Fatal(err, used)
		}
		for _, id := range processes(t, os.Getpid()) {
			if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", id)); bytes.HasPrefix(name, []byte(processName)) {
				_ = syscall.Kill(id, c.signal)
			}
		}
		_, _, err := w.Run(t.Context(), jobIn(dir, endless))
		var crash *CrashError
		if !errors.As(err, &crash) || crash.Killed != c.killed || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.signal, err)
		}
		if _, _, err := w.Run(t.Context(), jobIn(dir, "SELECT 1 AS a")); err != nil {
			t.Errorf("after %s: %v", c.signal, err)
		}
	}
}

// TestMemory: what the engine does not count against its limit ends at the process's, with an error that names it. The worker serves again.
func TestMemory(t *testing.T) {
	both(t, func(t *testing.T, boxed bool) {
		dir := t.TempDir()
		w := newWorker(t, dir, boxed)
		w.Memory = 16 << 20
		j := jobIn(dir, "SELECT len(repeat('x', 900000000) || repeat('y', 900000000)) AS n, range AS r FROM range(3)")
		j.Memory = w.Memory
		_, _, err := w.Run(t.Context(), j)
		if want := fmt.Sprintf(`it needed more memory than the %d MB that its process may have, as its memory is 16 MB (give the target more, as in memory = "1GB")`, w.hardLimit()/1e6); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		if !duckdb.IsLimit(err) {
			t.Error("it is no limit")
		}
		j = jobIn(dir, "SELECT 1 AS a")
		j.Memory = w.Memory
		if _, _, err := w.Run(t.Context(), j); err != nil {
			t.Error(err)
		}
	})
}

// TestOutOfMemory: all that gives up with the words of who has no memory met the limit.
func TestOutOfMemory(t *testing.T) {
	w := &Worker{Memory: 100 << 20, Log: filepath.Join(t.TempDir(), "log")}
	for _, said := range []string{"fatal error: runtime: cannot allocate memory\n\ngoroutine 1", "fatal error: runtime: out of memory", "terminate called after throwing an instance of 'std::bad_alloc'\n  what():  std::bad_alloc",
		"runtime/cgo: pthread_create failed: Resource temporarily unavailable"} {
		if err := os.WriteFile(w.Log, []byte(said), 0o666); err != nil {
			t.Fatal(err)
		}
		if err := w.crashed(syscall.WaitStatus(syscall.SIGABRT), nil); !duckdb.IsLimit(err) {
			t.Errorf("%s: %v", said, err)
		}
	}
}

// TestEndsWithProgram: when dpb is gone so is the process, whatever it was at.
func TestEndsWithProgram(t *testing.T) {
	both(t, func(t *testing.T, boxed bool) {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if boxed {
			newWorker(t, t.TempDir(), true) // skips where there are none
		}
		c := exec.Command(self)
		c.Env = []string{startsWorker + "=" + t.TempDir()}
		if boxed {
			c.Env = append(c.Env, startsWorker+"_BOXED=1")
		}
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		started := processes(t, c.Process.Pid)
		if err := errors.Join(c.Process.Kill(), c.Wait()); line != "worker <nil>\n" || len(started) == 0 {
			t.Fatalf("%q, %v, %v", line, started, err)
		}
		for _, id := range started {
			waitGone(t, id)
		}
	})
}

// waitGone returns when a process has ended. One that does not end holds the test up until its timeout.
func waitGone(t *testing.T, id int) {
	t.Helper()
	fd, err := unix.PidfdOpen(id, 0)
	if err == unix.ESRCH {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for err = unix.EINTR; err == unix.EINTR; {
		_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, -1)
	}
	if err != nil {
		t.Fatal(err)
	}
}
