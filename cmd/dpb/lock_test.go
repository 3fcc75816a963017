package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/dpb-build/dpb/engine/ledger"
)

// unboxed are the arguments of a build whose jobs talk to the test through named pipes.
func unboxed(args ...string) []string { return unboxedAs("build", args...) }

func unboxedAs(command string, args ...string) []string {
	return append([]string{command, "--progress", "plain", "--sandbox", "off"}, args...)
}

// gate is a job that says when it began and goes on when it is let.
type gate struct {
	t          *testing.T
	began, let string // named pipes
}

func newGate(t *testing.T) gate {
	t.Helper()
	dir := t.TempDir()
	g := gate{t, filepath.Join(dir, "began"), filepath.Join(dir, "let")}
	for _, pipe := range []string{g.began, g.let} {
		if err := syscall.Mkfifo(pipe, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// script is what the job does first; $1 is what it was let with.
func (g gate) script() string {
	return fmt.Sprintf("echo $$ > %s; read let < %s", g.began, g.let)
}

// await waits until the job began.
func (g gate) await() (pid int) {
	g.t.Helper()
	b, err := os.ReadFile(g.began)
	if err != nil {
		g.t.Fatal(err)
	}
	if pid, err = strconv.Atoi(string(bytes.TrimSpace(b))); err != nil {
		g.t.Fatal(err)
	}
	return pid
}

func (g gate) open(with string) {
	g.t.Helper()
	if err := os.WriteFile(g.let, []byte(with+"\n"), 0); err != nil {
		g.t.Fatal(err)
	}
}

// gated is a workspace with a job behind a gate, on a store that others share.
func gated(g gate, store string) map[string]string {
	return map[string]string{
		"dpb.hcl": fmt.Sprintf("store {\n  path = %q\n}\n", store),
		"pipeline.hcl": fmt.Sprintf(`
target "slow" {
  command = ["sh", "-c", %q]
  output "slow" { path = "slow.txt" }
}
target "quick" {
  command = ["sh", "-c", "echo quick > $DPB_OUTPUT_QUICK"]
  output "quick" { path = "quick.txt" }
}
`, g.script()+`; echo "$let" > $DPB_OUTPUT_SLOW`)}
}

// two workspaces share a store, and in the first one the slow job runs.
func two(t *testing.T) (g gate, first *program, dirs [2]string) {
	t.Helper()
	g = newGate(t)
	store := filepath.Join(t.TempDir(), "store")
	for k := range dirs {
		dirs[k] = t.TempDir()
		write(t, dirs[k], gated(g, store))
	}
	first = start(t, dirs[0], unboxed("//:slow")...)
	g.await()
	return g, first, dirs
}

func (p *program) rest() string {
	b, _ := io.ReadAll(scannerReader{p.stderr})
	return string(b)
}

// ends waits for a program to end with a code and returns what it said.
func (p *program) ends(t *testing.T, code int) string {
	t.Helper()
	said := p.rest()
	if got := exitCodeOf(p.Wait()); got != code {
		t.Errorf("%s: exit code %d, want %d:\n%s", strings.Join(p.Args[1:], " "), got, code, said)
	}
	return said
}

// TestWaitsForAnother: what another process runs is waited for, outside of the places for jobs, and it is told for whom.
func TestWaitsForAnother(t *testing.T) {
	t.Parallel()
	g, first, dirs := two(t)
	second := start(t, dirs[1], unboxed("-j", "1")...)
	waits := fmt.Sprintf(`^waiting for //:slow: pid %d \(\w.*, .*-C %s build --progress plain --sandbox off //:slow\) runs it$`, first.Process.Pid, regexp.QuoteMeta(dirs[0]))
	lines := second.until(t, waits, 1)
	if !strings.Contains(strings.Join(lines, "\n"), "ran //:quick in") {
		second.until(t, "^ran //:quick in", 1) // in the one place that there is
	}
	events := command(t, dirs[1], "build", "--json", "//:slow")
	pipe, err := events.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := events.Start(); err != nil {
		t.Fatal(err)
	}
	var waiting struct {
		Event, Label string
		Holder       struct {
			PID                      int
			User, Host, Command, For string
		}
	}
	for d := json.NewDecoder(pipe); waiting.Event != "waiting"; {
		if err := d.Decode(&waiting); err != nil {
			t.Fatal(err)
		}
	}
	if h := waiting.Holder; waiting.Label != "//:slow" || h.PID != first.Process.Pid || h.User == "" || h.Host == "" || !strings.HasSuffix(h.Command, "//:slow") || h.For != "//:slow" {
		t.Errorf("%+v", waiting)
	}
	g.open("done")
	first.ends(t, exitOK)
	if said := second.ends(t, exitOK); !strings.Contains(said, "going on with //:slow\n") || !strings.Contains(said, "took //:slow from another dpb") {
		t.Error(said)
	}
	_, _ = io.Copy(io.Discard, pipe)
	if err := events.Wait(); err != nil {
		t.Error(err)
	}
}

// TestDeadHolder: who waits for a process that is killed goes on at once and runs the job itself.
func TestDeadHolder(t *testing.T) {
	t.Parallel()
	g, first, dirs := two(t)
	second := start(t, dirs[1], unboxed("//:slow")...)
	second.until(t, "^waiting for //:slow: pid "+strconv.Itoa(first.Process.Pid), 1)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()
	g.await()
	third := start(t, dirs[0], unboxed("//:slow")...)
	third.until(t, "^waiting for //:slow: pid "+strconv.Itoa(second.Process.Pid), 1) // and not for the dead one, whose name the lock held before
	g.open("done")
	if said := second.ends(t, exitOK); !strings.Contains(said, "going on with //:slow\nran //:slow in") {
		t.Error(said)
	}
	third.ends(t, exitOK)
}

// TestLockTimeout: who does not want to wait is told who holds it, and its code says that it is worth trying again.
func TestLockTimeout(t *testing.T) {
	t.Parallel()
	g, first, dirs := two(t)
	second := start(t, dirs[1], unboxed("-k", "--lock-timeout", "1ms")...)
	said := second.ends(t, exitLocked)
	want := fmt.Sprintf("failed //:slow: pid %d (", first.Process.Pid)
	if !strings.Contains(said, want) || !strings.Contains(said, "runs it, and that took longer than the lock timeout of 1ms") || !strings.Contains(said, "ran //:quick in") {
		t.Error(said)
	}
	// It says nothing of the action, which is not failed.
	if out, err := command(t, dirs[1], "status", "//:slow").Output(); err != nil || !strings.Contains(string(out), "//:slow  stale: new") {
		t.Errorf("%v\n%s", err, out)
	}
	g.open("done")
	first.ends(t, exitOK)
	if out, err := command(t, dirs[1], unboxed("--lock-timeout", "1h")...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInterruptWaiting: who waits for another process can be interrupted, and leaves nothing behind.
func TestInterruptWaiting(t *testing.T) {
	t.Parallel()
	g, first, dirs := two(t)
	second := start(t, dirs[1], unboxed("//:slow")...)
	second.until(t, "^waiting for //:slow", 1)
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if said := second.ends(t, exitInterrupted); !strings.Contains(said, "interrupted after") || !strings.Contains(said, "1 left to do") {
		t.Error(said)
	}
	g.open("done")
	first.ends(t, exitOK)
}

// TestVerifyWaits: a job that runs again is nobody else's meanwhile, and the other way round.
func TestVerifyWaits(t *testing.T) {
	t.Parallel()
	g, build, dirs := two(t)
	g.open("done")
	build.ends(t, exitOK)
	first := start(t, dirs[0], unboxedAs("verify", "//:slow")...)
	g.await()
	out, err := command(t, dirs[0], unboxedAs("verify", "--lock-timeout", "1ms", "//:slow")...).CombinedOutput()
	if exitCodeOf(err) != exitLocked || !strings.Contains(string(out), "0 verified, 0 differ, 1 run by another dpb") {
		t.Errorf("%v\n%s", err, out)
	}
	second := start(t, dirs[0], unboxedAs("verify", "//:slow")...)
	second.until(t, fmt.Sprintf(`^waiting for //:slow: pid %d \(.*verify`, first.Process.Pid), 1)
	g.open("done")
	first.ends(t, exitOK)
	g.await()
	g.open("done")
	second.ends(t, exitOK)
}

// TestSameKeyTwice: two targets that do the same are one job, and no lock timeout comes between them.
func TestSameKeyTwice(t *testing.T) {
	t.Parallel()
	g := newGate(t)
	dir := t.TempDir()
	twin := func(name string) string {
		return fmt.Sprintf("target %q {\n  command = [\"sh\", \"-c\", %q]\n  output \"o\" { path = \"o.txt\" }\n}\n", name, g.script()+"; echo $let > $DPB_OUTPUT_O")
	}
	write(t, dir, map[string]string{"pipeline.hcl": twin("a") + twin("b") + `
target "quick" {
  command = ["sh", "-c", "echo quick > $DPB_OUTPUT_QUICK"]
  output "quick" { path = "quick.txt" }
}
`})
	p := start(t, dir, unboxed("-j", "2", "--lock-timeout", "1ms")...)
	g.await()
	p.until(t, "^ran //:quick in", 1) // the other twin waited by then, and gave up its place
	g.open("done")
	if said := p.ends(t, exitOK); strings.Contains(said, "waiting for") || len(jobsIn(strings.Split(said, "\n"))) != 1 {
		t.Error(said)
	}
}

// TestReadersNeverWait: while a job runs and somebody writes to the ledger, all commands that only read do.
func TestReadersNeverWait(t *testing.T) {
	t.Parallel()
	g, first, dirs := two(t)
	if out, err := command(t, dirs[0], unboxed("//:quick")...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	release := holdLedger(t, filepath.Dir(filepath.Dir(lockOf(t, dirs[0]))))
	for _, args := range [][]string{{"status"}, {"status", "--check", "//:quick"}, {"build", "-n"}, {"log", "//:quick"}, {"show", "//:quick"}, {"why", "//:quick"}, {"graph"},
		{"query", "deps", "//:quick"}, {"export", "//:quick", filepath.Join(t.TempDir(), "x")}, {"accept", "--list"}, {"validate"}} {
		if out, err := command(t, dirs[0], args...).CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
	// Who writes waits, as long as it is told to.
	write(t, dirs[0], map[string]string{"pipeline.hcl": strings.Replace(gated(g, "")["pipeline.hcl"], "echo quick", "echo quicker", 1)})
	out, err := command(t, dirs[0], unboxed("//:quick", "--lock-timeout", "1ms")...).CombinedOutput()
	if exitCodeOf(err) != exitLocked || !strings.Contains(string(out), heldByTest()) {
		t.Errorf("%v\n%s", err, out)
	}
	release()
	g.open("done")
	first.ends(t, exitOK)
}

// heldByTest is how the lock of the ledger is told that this process holds.
func heldByTest() string {
	if runtime.GOOS != "linux" {
		return "another process keeps it locked: "
	}
	return fmt.Sprintf("another process keeps it locked (pid %d %s", os.Getpid(), filepath.Base(os.Args[0]))
}

// lockOf is the one lock of a key in a workspace's store.
func lockOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "dpb.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	store := regexp.MustCompile(`"(.*)"`).FindStringSubmatch(string(b))[1]
	found, err := filepath.Glob(filepath.Join(store, "jobs", "key-*.lock"))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	return found[0]
}

// holdLedger is a writer that takes its time.
func holdLedger(t *testing.T, store string) (release func()) {
	t.Helper()
	l, err := ledger.Open(store)
	if err != nil {
		t.Fatal(err)
	}
	holds, let, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- l.Write(context.Background(), func(*ledger.Tx) error { close(holds); <-let; return nil })
	}()
	<-holds
	return func() {
		close(let)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLockFlag: a time that makes no sense is refused.
func TestLockFlag(t *testing.T) {
	for _, value := range []string{"-1s", "soon"} {
		said, err := command(t, t.TempDir(), "build", "--lock-timeout="+value).CombinedOutput()
		if exitCodeOf(err) != exitUsage || !strings.Contains(string(said), "lock-timeout") {
			t.Errorf("%s: %v\n%s", value, err, said)
		}
	}
}
