package main

import (
	"bytes"
	"flag"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
)

var rounds = flag.Int("rounds", 3, "how often each of the processes of TestManyProcesses builds; with -race they run under the race detector too")

// TestManyProcesses builds with 8 processes at once on one store, two in each of four workspaces, again and again: each action runs once, in one of them, and all end with the same.
func TestManyProcesses(t *testing.T) {
	const workspaces, each, days = 4, 2, 3
	store := filepath.Join(t.TempDir(), "store")
	var dirs []string
	for range workspaces {
		dirs = append(dirs, t.TempDir())
	}
	day := func(k int) string { return fmt.Sprintf("2017-01-%02d", k%days+1) }
	files := map[string]string{
		"dpb.hcl": fmt.Sprintf("workspace \"many\" {}\npartition \"day\" {\n  every = \"day\"\n  start = %q\n  end = %q\n}\nstore {\n  path = %q\n}\n", day(0), day(days-1), store),
		"pipeline.hcl": `
source "raw" {
  partition_by = ["day"]
  path         = "raw/${partition.day}.csv"
}
target "a" {
  partition_by = ["day"]
  inputs       = [":raw"]
  command      = ["cp", input.raw, output.a]
  output "a" {
    path    = "a.csv"
    columns = { n = "BIGINT" }
    expect "some" { that = rows >= 1 }
  }
}
target "b" {
  partition_by = ["day"]
  inputs       = [":a"]
  command      = ["sh", "-c", "cat $0 > $1; echo $DPB_PARTITION_DAY >> $1", input.a, output.b]
  output "b" { path = "b.txt" }
}
target "whole" {
  inputs  = [":b"]
  command = ["sh", "-c", "cat $0/*/* > $1", input.b, output.whole]
  output "whole" { path = "whole.txt" }
}
`}
	for k := range days {
		files["raw/"+day(k)+".csv"] = fmt.Sprintf("n\n%d\n", -k-1)
	}
	for _, dir := range dirs {
		write(t, dir, files)
	}
	var jobs int
	for round := range *rounds {
		var want []string
		for k := range days {
			if round == 0 || k == round%days {
				want = append(want, "//:a@day="+day(k), "//:b@day="+day(k))
			}
		}
		want = append(want, "//:whole")
		slices.Sort(want)
		for _, dir := range dirs {
			write(t, dir, map[string]string{"raw/" + day(round) + ".csv": fmt.Sprintf("n\n%d\n", round)})
		}
		got := buildAll(t, slices.Repeat(dirs, each))
		if !slices.Equal(got, want) {
			t.Fatalf("round %d ran\n%v, want\n%v", round, got, want)
		}
		jobs += len(got)
	}
	for _, dir := range dirs {
		if out, err := command(t, dir, "status", "--check").CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if a, b := contents(t, filepath.Join(dirs[0], "dpb-out")), contents(t, filepath.Join(dir, "dpb-out")); a != b {
			t.Errorf("two checkouts hold different results of one store:\n%s\n%s", a, b)
		}
	}
	if n := recordedRuns(t, store, "//:a", "//:b", "//:whole"); n != jobs {
		t.Errorf("%d runs are recorded of %d jobs", n, jobs)
	}
	if left, _ := filepath.Glob(filepath.Join(store, "jobs", "key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// buildAll builds in all places at once and lists, in order, all that ran.
func buildAll(t *testing.T, dirs []string) (jobs []string) {
	t.Helper()
	running, outputs := make([]*exec.Cmd, len(dirs)), make([]bytes.Buffer, len(dirs))
	for k, dir := range dirs {
		c := command(t, dir, unboxed("-j", "2")...)
		c.Env = append(c.Env, "GORACE=halt_on_error=1 exitcode=66")
		c.Stdout, c.Stderr = &outputs[k], &outputs[k]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		running[k] = c
	}
	for k, c := range running {
		if err := c.Wait(); err != nil || strings.Contains(outputs[k].String(), "warning") {
			t.Errorf("%s: %v\n%s", dirs[k], err, &outputs[k])
		}
		jobs = append(jobs, ranIn(outputs[k].String())...)
	}
	if t.Failed() {
		t.FailNow()
	}
	slices.Sort(jobs)
	return jobs
}

// recordedRuns counts the runs that the ledger knows, none of which has the key of another.
func recordedRuns(t *testing.T, store string, labels ...string) (n int) {
	t.Helper()
	l, err := ledger.OpenReadOnly(store)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	seen := map[cache.ActionKey]bool{}
	for _, label := range labels {
		parsed, err := engine.ParseLabel(label, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, partition := range []string{"", "day=2017-01-01", "day=2017-01-02", "day=2017-01-03"} {
			runs, err := l.Runs("many", parsed, partition)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range runs {
				if seen[r.Key] || r.Failure != "" {
					t.Errorf("%s %s: %+v", label, partition, r)
				}
				seen[r.Key] = true
			}
			n += len(runs)
		}
	}
	return n
}
