package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// running says whether a process lives whose command line has that text.
func running(text string) bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		line, _ := os.ReadFile(f)
		if bytes.Contains(bytes.ReplaceAll(line, []byte{0}, []byte(" ")), []byte(text)) {
			return true
		}
	}
	return false
}

func until(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestKilledWithJobs: when dpb is killed, isolated jobs end with all that they started.
func TestKilledWithJobs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("other systems have no isolation")
	}
	t.Parallel()
	seconds := fmt.Sprintf("sleep 98%d", time.Now().UnixNano()%1_000_000_000)
	dir := t.TempDir()
	write(t, dir, map[string]string{"pipeline.hcl": fmt.Sprintf(`
target "slow" {
  command = ["sh", "-c", "setsid sh -c '%s & wait' & %s; true"]
  output "slow" { path = "x.txt" }
}
`, seconds, seconds)})
	p := start(t, dir, "build", "--progress", "plain")
	until(t, "the job", func() bool { return running(seconds) })
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	until(t, "the end of the job", func() bool { return !running(seconds) })
	if out, err := command(t, dir, "status").Output(); err != nil || !strings.Contains(string(out), "//:slow  stale: new") {
		t.Errorf("afterwards: %v\n%s", err, out)
	}
}

// TestNetworkJobs: a job reaches a service of this machine only with network = true.
func TestNetworkJobs(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, "served")
			c.Close()
		}
	}()
	dir := t.TempDir()
	pipeline := fmt.Sprintf(`
target "asks" {
  command = ["bash", "-c", "read answer < /dev/tcp/127.0.0.1/%d && echo $answer > $DPB_OUTPUT_ASKS"]
  # HERE
  output "asks" { path = "x.txt" }
}
`, l.Addr().(*net.TCPAddr).Port)
	write(t, dir, map[string]string{"pipeline.hcl": pipeline})
	out, err := command(t, dir, "build").CombinedOutput()
	if runtime.GOOS == "linux" && (exitCodeOf(err) != exitFailed || !strings.Contains(string(out), "jobs have no network without network = true")) {
		t.Errorf("without network: %v\n%s", err, out)
	}
	write(t, dir, map[string]string{"pipeline.hcl": strings.Replace(pipeline, "# HERE", "network = true\n  valid_for = \"1h\"", 1)})
	if out, err := command(t, dir, "build").CombinedOutput(); err != nil {
		t.Fatalf("with network: %v\n%s", err, out)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "dpb-out/asks/x.txt")); err != nil || string(text) != "served\n" {
		t.Errorf("%q, %v", text, err)
	}
	if out, _ := command(t, dir, "show", "//:asks").Output(); runtime.GOOS == "linux" && !strings.Contains(string(out), "isolation   namespaces, network: the job saw what it declares, and the machine's network") {
		t.Errorf("%s", out)
	}
}
