package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

// oneSource is a workspace with a job that reads a source of its own files.
var oneSource = map[string]string{
	"dpb.hcl":     "",
	"raw/one.txt": "one\n",
	"pipeline.hcl": `
source "raw" { path = "raw/*.txt" }
target "copy" {
  inputs  = [":raw"]
  command = ["sh", "-c", "cat $DPB_INPUT_RAW/* > $DPB_OUTPUT_COPY"]
  output "copy" { path = "copy.txt" }
}
`}

// newWatcher is a watcher of this process.
func newWatcher(t *testing.T, dir string) *watcher {
	t.Helper()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	a := &app{stdout: null, stderr: null, dir: dir, color: "never", progress: "plain", sandbox: "off", now: time.Now(), caught: func() os.Signal { return nil }}
	w := &watcher{app: a, flags: watchFlags{logSize: 1, retry: time.Hour}, began: time.Now(), startedAs: a.now, kill: context.Background()}
	if err := w.prepare(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.close(); null.Close() })
	return w
}

// resources are what a process could lose a little of with each build.
type resources struct {
	heap             int64
	goroutines, open int
}

func measure() (r resources) {
	var m runtime.MemStats
	for range 2 { // what finalizers let go of goes with the second
		runtime.GC()
	}
	runtime.ReadMemStats(&m)
	r.heap, r.goroutines = int64(m.HeapAlloc), runtime.NumGoroutine()
	if entries, err := os.ReadDir("/proc/self/fd"); err == nil {
		r.open = len(entries)
	}
	return r
}

// TestWatchesForDays: 200 turns with changes, failures and broken files leave a watcher as large as it was, and the one that has the workspace.
func TestWatchesForDays(t *testing.T) {
	dir := inMemory(t)
	write(t, dir, oneSource)
	w := newWatcher(t, dir)
	turns := func(from, to int) {
		for k := from; k < to; k++ {
			text := map[string]string{"raw/one.txt": fmt.Sprintln("one", k), "pipeline.hcl": oneSource["pipeline.hcl"]}
			switch k % 10 {
			case 3:
				text["pipeline.hcl"] += fmt.Sprintf("\ntarget \"x%d\" {", k)
			case 6:
				text["pipeline.hcl"] = strings.Replace(oneSource["pipeline.hcl"], "cat", fmt.Sprintf("exit 3; %d cat", k), 1)
			case 8:
				delete(text, "raw/one.txt") // nothing changes
			}
			write(t, dir, text)
			c, err := w.converge(t.Context(), true)
			w.came(c, err, &retries{first: time.Hour}, true)
			if broken := (*brokenError)(nil); err != nil && !errors.As(err, &broken) {
				t.Fatal(err)
			}
		}
	}
	turns(0, 40)
	before := measure()
	turns(40, 240)
	after := measure()
	t.Logf("after 40 turns %+v, after 240 %+v", before, after)
	if grown := after.heap - before.heap; grown > 1<<20 {
		t.Errorf("200 turns took %d bytes for good", grown)
	}
	if after.goroutines > before.goroutines || after.open > before.open {
		t.Errorf("200 turns left goroutines or open files: %+v, and %+v before", after, before)
	}
	var watched *run.WatchedError
	if _, err := run.Watch(dir, w.store.Load().(string), "another", ""); !errors.As(err, &watched) || watched.Holder.PID != os.Getpid() {
		t.Errorf("another watcher got %v", err)
	}
}

// TestWatchSkips: of what the watcher's log and the store get there is no news, but of all else, whatever its name begins with.
func TestWatchSkips(t *testing.T) {
	w := &watcher{log: &logFile{path: "/w/log"}}
	w.store.Store("/w/store")
	for path, want := range map[string]bool{
		"/w/log": true, "/w/log.1": true, "/w/log.12": true, "/w/store": true, "/w/dpb-out": true, "/w/node_modules": true,
		"/w/logs": false, "/w/log.": false, "/w/log.txt": false, "/w/log.1.gz": false, "/w/logic.py": false, "/w/stores": false, "/w/dpb.hcl": false,
	} {
		if w.skips(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
}

// TestWatchLeavesStore: the first turn already does not follow a store that is there and not hidden.
func TestWatchLeavesStore(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what is followed is seen in /proc")
	}
	dir := inMemory(t)
	write(t, dir, oneSource)
	write(t, dir, map[string]string{"dpb.hcl": `store { path = "store" }`})
	turn := func() {
		w := newWatcher(t, dir)
		if w.files == nil {
			t.Fatal("it follows nothing")
		}
		if _, err := w.turn(t.Context(), turn{}); err != nil {
			t.Fatal(err)
		}
		if !follows(t, dir) {
			t.Error("the workspace is not followed")
		}
		if follows(t, filepath.Join(dir, "store")) {
			t.Error("the store is followed")
		}
		w.close()
	}
	turn()
	turn()
}

// follows says whether this process has inotify tell it of a directory.
func follows(t *testing.T, dir string) bool {
	t.Helper()
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("/proc/self/fdinfo/*")
	if err != nil {
		t.Fatal(err)
	}
	inode := fmt.Sprintf(" ino:%x ", info.Sys().(*syscall.Stat_t).Ino)
	for _, f := range files {
		if text, err := os.ReadFile(f); err == nil && strings.Contains(string(text), "inotify") && strings.Contains(string(text), inode) {
			return true
		}
	}
	return false
}

// TestWatchEnds: a watcher that is told to end finishes at once, or with the job that runs, and its code says by what.
func TestWatchEnds(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]os.Signal{"interrupted": os.Interrupt, "terminated": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := map[string]int{"interrupted": exitInterrupted, "terminated": exitTerminated}[name]
			dir := t.TempDir()
			write(t, dir, oneSource)
			idle := start(t, dir, unboxedAs("watch")...)
			idle.until(t, "Z watching //", 1)
			if err := idle.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if said := idle.ends(t, code); !strings.HasSuffix(said, "Z stopped\n") {
				t.Error(said)
			}

			g := newGate(t)
			dir = t.TempDir()
			write(t, dir, gated(g, filepath.Join(t.TempDir(), "store")))
			busy := start(t, dir, unboxedAs("watch", "//:slow")...)
			g.await()
			if err := busy.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if said := busy.ends(t, code); !strings.HasSuffix(said, "Z stopped\n") || strings.Contains(said, "converged") {
				t.Error(said)
			}
		})
	}
}

// TestRetries: what fails is tried again after a pause that doubles up to its limit, and begins anew where something else fails.
func TestRetries(t *testing.T) {
	now := time.Unix(0, 0)
	r := retries{first: time.Minute}
	if r.due(now) {
		t.Error("nothing failed, and it is due")
	}
	for k, want := range []time.Duration{1, 2, 4, 8, 10, 10} {
		if news := r.failed(now, "a", true); news != (k == 0) || r.pause != want*time.Minute {
			t.Errorf("failure %d: news %v, pause %s", k, news, r.pause)
		}
		if r.due(now.Add(r.pause - 1)) {
			t.Errorf("it is due too early")
		}
		now = now.Add(r.pause)
		if !r.due(now) {
			t.Error("it is not due")
		}
	}
	at := r.at
	if r.failed(now, "a", false) || r.at != at {
		t.Error("it was not tried, and is put off")
	}
	if !r.failed(now, "b", false) || r.pause != time.Minute {
		t.Error("something else fails")
	}
	if r.none(); r.due(now.Add(time.Hour)) {
		t.Error("nothing fails any more")
	}
}

func TestLogFile(t *testing.T) {
	dir := t.TempDir()
	l := &logFile{path: filepath.Join(dir, "log"), most: 10, keep: 2}
	say := func(text string) {
		t.Helper()
		if _, err := l.open(); err != nil {
			t.Fatal(err)
		}
		if _, err := l.file.WriteString(text + "\n"); err != nil {
			t.Fatal(err)
		}
	}
	has := func(when, want string) {
		t.Helper()
		if got := contents(t, dir); got != want {
			t.Errorf("%s:\n%swant:\n%s", when, got, want)
		}
	}
	say("a")
	say("b")
	has("it grows", "log: \"a\\nb\\n\"\n")
	say("cccccccc")
	say("d")
	has("it is full", "log: \"d\\n\"\nlog.1: \"a\\nb\\ncccccccc\\n\"\n")
	for _, text := range []string{"eeeeeeeeee", "ffffffffff", "g"} {
		say(text)
	}
	has("two are kept", "log: \"g\\n\"\nlog.1: \"ffffffffff\\n\"\nlog.2: \"d\\neeeeeeeeee\\n\"\n")
	if err := os.Rename(l.path, filepath.Join(dir, "moved")); err != nil {
		t.Fatal(err)
	}
	say("h")
	has("somebody moved it", "log: \"h\\n\"\nlog.1: \"ffffffffff\\n\"\nlog.2: \"d\\neeeeeeeeee\\n\"\nmoved: \"g\\n\"\n")
	again := &logFile{path: l.path, most: 10, keep: 0}
	if began, err := again.open(); !began || err != nil {
		t.Error(began, err)
	}
	again.file.WriteString("i and more\n")
	again.open()
	has("another process, none kept", "log: \"\"\nlog.1: \"ffffffffff\\n\"\nlog.2: \"d\\neeeeeeeeee\\n\"\nmoved: \"g\\n\"\n")
}

// TestPollingWaitsForQuiet: without events, a build after a change comes when two looks have found the same, and takes the change up.
func TestPollingWaitsForQuiet(t *testing.T) {
	dir := inMemory(t)
	write(t, dir, oneSource)
	w := newWatcher(t, dir)
	w.files.Close()
	w.files, w.flags.noEvents, w.flags.debounce = nil, true, 200*time.Millisecond
	converge := func() (ran int, took time.Duration) {
		t.Helper()
		began := time.Now()
		c, err := w.converge(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		return c.ran, time.Since(began)
	}
	converge()
	write(t, dir, map[string]string{"raw/one.txt": "another\n"})
	if ran, took := converge(); ran != 1 || took < w.flags.debounce {
		t.Errorf("after a change it ran %d jobs, and was done in %s", ran, took)
	}
}
