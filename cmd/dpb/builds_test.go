package main

import (
	"strings"
	"syscall"
	"testing"
)

// TestKilledBuildIsKnown: a build is listed while it runs, and one that was killed as one that did not end, with what it had done.
func TestKilledBuildIsKnown(t *testing.T) {
	dir, started := slow(t, "")
	p := start(t, dir, unboxed()...)
	p.until(t, "^ran //:quick", 1) // so it is recorded, and the beginning of the build before it
	pid := started()
	listed := func(args ...string) string {
		t.Helper()
		out, err := command(t, dir, append([]string{"log"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if out := listed("--builds"); !strings.Contains(out, "  running  ran 1 job so far  ") {
		t.Errorf("while it runs:\n%s", out)
	}
	if err := p.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	_ = syscall.Kill(pid, syscall.SIGKILL) // what the job started may live on outside of the sandbox
	if out := listed("--builds", "--failed"); !strings.Contains(out, "  did not end  ran 1 job so far  ") {
		t.Errorf("after the kill:\n%s", out)
	}
	if out := listed("--what-ran"); !strings.Contains(out, "//:quick") || strings.Contains(out, "//:slow") {
		t.Errorf("what ran:\n%s", out)
	}
	if out := listed("--critical-path"); !strings.Contains(out, "build 1 did not end; so far ") {
		t.Errorf("critical path:\n%s", out)
	}
}
