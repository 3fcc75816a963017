package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// program is a dpb that runs as a process of its own in a workspace.
type program struct {
	*exec.Cmd
	stderr *bufio.Scanner
}

func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, append([]string{"-C", dir}, args...)...)
	c.Env = append(os.Environ(), asProgram+"=1", "NO_COLOR=1")
	return c
}

// start starts dpb, to be watched by what it says.
func start(t *testing.T, dir string, args ...string) *program {
	t.Helper()
	p := &program{Cmd: command(t, dir, args...)}
	out, err := p.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	p.stderr = bufio.NewScanner(out)
	return p
}

// until reads lines until one matches and returns all that were read.
func (p *program) until(t *testing.T, pattern string, count int) (lines []string) {
	t.Helper()
	re := regexp.MustCompile(pattern)
	for p.stderr.Scan() {
		lines = append(lines, p.stderr.Text())
		if re.MatchString(p.stderr.Text()) {
			if count--; count == 0 {
				return lines
			}
		}
	}
	t.Fatalf("%q was not said:\n%s", pattern, strings.Join(lines, "\n"))
	return nil
}

func exitCodeOf(err error) int {
	var e *exec.ExitError
	if errors.As(err, &e) {
		return e.ExitCode()
	}
	return 0
}

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		full := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// many is a workspace of two targets with 30 partitions each.
var many = map[string]string{
	"dpb.hcl": "partition \"day\" {\n  every = \"day\"\n  start = \"2017-01-01\"\n  end = \"2017-01-30\"\n}\n",
	"pipeline.hcl": `
target "a" {
  partition_by = ["day"]
  command      = ["sh", "-c", "echo $DPB_PARTITION_DAY > $DPB_OUTPUT_A"]
  output "a" { path = "a.txt" }
}
target "b" {
  partition_by = ["day"]
  inputs       = [":a"]
  command      = ["cp", input.a, output.b]
  output "b" { path = "b.txt" }
}
`}

func jobsIn(lines []string) (jobs []string) {
	for _, l := range lines {
		if m := ranLine.FindStringSubmatch(l); m != nil {
			jobs = append(jobs, m[1])
		}
	}
	return jobs
}

// contents reads all files below a folder.
func contents(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(&b, "%s: %q\n", rel, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestKilledBuilds kills builds without warning, again and again: what was reported is never run again, and the end is that of a clean build.
func TestKilledBuilds(t *testing.T) {
	clean := t.TempDir()
	write(t, clean, many)
	if out, err := command(t, clean, "build").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, after := range []int{1, 2, 7, 20, 31, 45} {
		t.Run(strconv.Itoa(after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, many)
			p := start(t, dir, "build", "--progress", "plain")
			reported := jobsIn(p.until(t, "^ran //", after))
			if err := p.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = p.Wait()
			out, err := command(t, dir, "build", "--progress", "plain").CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, again := range jobsIn(strings.Split(string(out), "\n")) {
				if slices.Contains(reported, again) {
					t.Errorf("%s ran again although it was reported as done", again)
				}
			}
			if got, want := contents(t, filepath.Join(dir, "dpb-out")), contents(t, filepath.Join(clean, "dpb-out")); got != want {
				t.Errorf("after the kill:\n%s\nclean:\n%s", got, want)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".dpb/jobs/p-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// slow is a workspace whose second job waits for its end; it says so through a named pipe.
func slow(t *testing.T, ignore string) (dir string, started func() (pid int)) {
	t.Helper()
	dir = t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"pipeline.hcl": fmt.Sprintf(`
target "quick" {
  command = ["sh", "-c", "echo done > $DPB_OUTPUT_QUICK"]
  output "quick" { path = "quick.txt" }
}
target "slow" {
  inputs  = [":quick"]
  command = ["sh", "-c", "%s sleep 1000 & echo $! > %s; wait; wait"]
  output "slow" { path = "slow.txt" }
}
`, ignore, pipe)})
	return dir, func() int {
		b, err := os.ReadFile(pipe)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
		if err != nil {
			t.Fatal(err)
		}
		return pid
	}
}

// gone waits until a process of a job lives no more.
func gone(t *testing.T, pid int) {
	t.Helper()
	for range 1000 {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(b, []byte(") Z ")) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d lives on", pid)
}

// TestInterrupt: the first Ctrl-C ends running jobs and keeps what is done.
func TestInterrupt(t *testing.T) {
	for _, c := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, exitInterrupted}, {syscall.SIGTERM, exitTerminated}} {
		t.Run(c.signal.String(), func(t *testing.T) {
			t.Parallel()
			dir, started := slow(t, "")
			p := start(t, dir, unboxed()...)
			pid := started()
			if err := p.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			p.until(t, "^interrupted", 1)
			if code := exitCodeOf(p.Wait()); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			gone(t, pid)
			out, err := command(t, dir, "status").Output()
			if err != nil || !strings.Contains(string(out), "//:quick  fresh") || !strings.Contains(string(out), "//:slow  stale: new") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestInterruptTwice: a second Ctrl-C does not wait for a job that ignores being asked.
func TestInterruptTwice(t *testing.T) {
	dir, started := slow(t, "trap '' TERM;")
	p := start(t, dir, unboxed()...)
	pid := started()
	over := make(chan struct{})
	defer close(over)
	go func() { // one signal that comes while another is pending is lost, so two are not enough
		for {
			select {
			case <-over:
				return
			case <-time.After(20 * time.Millisecond):
				_ = p.Process.Signal(os.Interrupt)
			}
		}
	}()
	rest, _ := io.ReadAll(scannerReader{p.stderr})
	err := p.Wait()
	status, _ := p.ProcessState.Sys().(syscall.WaitStatus) // a third signal ends dpb itself
	if code := exitCodeOf(err); code != exitInterrupted && status.Signal() != syscall.SIGINT {
		t.Errorf("exit code %d: %s", code, rest)
	}
	gone(t, pid)
}

type scannerReader struct{ s *bufio.Scanner }

func (r scannerReader) Read(p []byte) (int, error) {
	if !r.s.Scan() {
		return 0, io.EOF
	}
	return copy(p, r.s.Text()+"\n"), nil
}

// TestSeveralAtOnce: of several builds, in one workspace and in another on the same store, one runs an action and the others take its result.
func TestSeveralAtOnce(t *testing.T) {
	shared := t.TempDir()
	journal := filepath.Join(shared, "journal")
	files := map[string]string{
		"dpb.hcl":      many["dpb.hcl"] + fmt.Sprintf("store {\n  path = %q\n}\n", filepath.Join(shared, "store")),
		"pipeline.hcl": strings.ReplaceAll(many["pipeline.hcl"], `"echo $DPB_PARTITION_DAY >`, fmt.Sprintf(`"echo $DPB_PARTITION_DAY >> %s; date +%%N >`, journal)),
	}
	dirs := []string{t.TempDir(), t.TempDir()}
	var running []*exec.Cmd
	var outputs []*bytes.Buffer
	for k := range 4 {
		dir := dirs[k%2]
		write(t, dir, files)
		c := command(t, dir, unboxed()...)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		running, outputs = append(running, c), append(outputs, &out)
	}
	for k, c := range running {
		if err := c.Wait(); err != nil {
			t.Errorf("%v\n%s", err, outputs[k])
		}
	}
	b, err := os.ReadFile(journal)
	if err != nil {
		t.Fatal(err)
	}
	days := strings.Fields(string(b))
	slices.Sort(days)
	if n := len(slices.Compact(slices.Clone(days))); n != 30 || len(days) != 30 {
		t.Errorf("%d jobs ran for %d days: %v", len(days), n, days)
	}
	for _, dir := range dirs {
		out, err := command(t, dir, "status", "--check").CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
	if a, b := contents(t, filepath.Join(dirs[0], "dpb-out")), contents(t, filepath.Join(dirs[1], "dpb-out")); a != b {
		t.Errorf("two checkouts hold different results of one store:\n%s\n%s", a, b)
	}
}
