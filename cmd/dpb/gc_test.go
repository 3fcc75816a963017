package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
)

// turning is a workspace whose every edit turns all results over, and turns back to what was there some edits before.
func turning(store string, turn int) map[string]string {
	return map[string]string{
		"dpb.hcl": fmt.Sprintf("store {\n  path = %q\n  keep_versions = 1\n}\npartition \"n\" { values = [\"1\", \"2\", \"3\", \"4\", \"5\", \"6\"] }\n", store),
		"pipeline.hcl": fmt.Sprintf(`
target "a" {
  partition_by = ["n"]
  env          = { TURN = %d }
  command      = ["sh", "-c", "echo $DPB_PARTITION_N $TURN > $DPB_OUTPUT_A; echo log"]
  output "a" { path = "a.txt" }
}
target "b" {
  partition_by = ["n"]
  inputs       = [":a"]
  command      = ["cp", input.a, output.b]
  output "b" { path = "b.txt" }
}
target "c" {
  inputs  = [":b"]
  command = ["sh", "-c", "cat $DPB_INPUT_B/*/b.txt > $DPB_OUTPUT_C"]
  output "c" { path = "c.txt" }
}
`, turn),
	}
}

// TestGCBesideBuilds collects again and again, and is killed at it, while two checkouts of a store build: no build fails or shows anything else than it should, and in the
// end all is there that is current.
func TestGCBesideBuilds(t *testing.T) {
	turns := 25
	if testing.Short() {
		turns = 8
	}
	store := filepath.Join(t.TempDir(), "store")
	var building sync.WaitGroup
	var done atomic.Bool
	checkouts := []string{t.TempDir(), t.TempDir(), t.TempDir()} // the last one collects
	for k, dir := range checkouts {
		write(t, dir, turning(store, k))
		if out, err := command(t, dir, "build", "-j", "4").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	for k, dir := range checkouts[:2] {
		building.Go(func() {
			for i := range turns {
				turn := (i + k) % 3
				write(t, dir, turning(store, turn))
				if out, err := command(t, dir, "build", "-j", "4").CombinedOutput(); err != nil {
					t.Errorf("build: %v\n%s", err, out)
					return
				}
				want := ""
				for n := range 6 {
					want += fmt.Sprintf("%d %d\n", n+1, turn)
				}
				if got := contents(t, filepath.Join(dir, "dpb-out", "c")); !strings.Contains(got, fmt.Sprintf("%q", want)) {
					t.Errorf("turn %d: %s", turn, got)
				}
			}
		})
	}
	go func() {
		building.Wait()
		done.Store(true)
	}()
	collected, killed := 0, 0
	for i := 0; !done.Load(); i++ {
		c := command(t, checkouts[2], "gc")
		if i%3 != 2 {
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("gc: %v\n%s", err, out)
			} else if strings.Contains(string(out), "deleted") {
				collected++
			}
			continue
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(10+i%40) * time.Millisecond) // it is killed wherever it is by then
		_ = c.Process.Kill()
		if c.Wait() != nil {
			killed++
		}
	}
	t.Logf("collected %d times, killed %d times", collected, killed)
	if collected == 0 {
		t.Error("nothing was ever collected")
	}
	if out, err := command(t, checkouts[2], "fsck").CombinedOutput(); err != nil || strings.Contains(string(out), "damaged") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, dir := range checkouts {
		out, err := command(t, dir, "status", "--check", "--all").CombinedOutput()
		if err != nil || strings.Contains(string(out), "evicted") {
			t.Errorf("%v\n%s", err, out)
		}
		if out, err := command(t, dir, "build").CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "nothing to do") {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

// TestGCWaits: one gc at a time; who waits says so, and --lock-timeout ends it.
func TestGCWaits(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, many)
	if out, err := command(t, dir, "build", "//:a", "-p", "day=2017-01-01").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	store, err := disk.OpenExisting(filepath.Join(dir, ".dpb"))
	if err != nil {
		t.Fatal(err)
	}
	held, err := store.Collect(t.Context(), true, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gc", "fsck"} {
		out, err := command(t, dir, name, "--lock-timeout", "20ms").CombinedOutput()
		if exitCodeOf(err) != exitLocked || !strings.Contains(string(out), "another dpb gc or dpb fsck works on this store") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	for _, name := range []string{"gc", "fsck"} {
		if out, err := command(t, dir, name, "--dry-run").CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	p := start(t, dir, "gc")
	p.until(t, "^waiting for another dpb gc or dpb fsck on this store$", 1)
	held.Close()
	if err := p.Wait(); err != nil {
		t.Error(err)
	}
}
