//go:build peer

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

// The graph of these benchmarks: ten targets in a row, each copying what the one before made, at so many hours. DPB names the binary; ninja gets the same
// commands. BENCH_DIR is where they work, best a file system in memory: then the tools are measured, and not the disk.

const stages = 10

// graphFiles writes the workspace and the build.ninja of a graph with so many actions.
func graphFiles(b *testing.B, dir string, actions int) {
	b.Helper()
	hours := actions / stages
	start := time.Date(2010, 1, 1, 0, 0, 0, 0, time.UTC)
	var hcl, ninja bytes.Buffer
	fmt.Fprintf(&hcl, "source \"raw\" {\n  path = \"raw.txt\"\n}\n")
	ninja.WriteString("rule cp\n  command = cp $in $out\n")
	for k := range stages {
		from := fmt.Sprintf(":t%d", k-1)
		if k == 0 {
			from = ":raw"
		}
		fmt.Fprintf(&hcl, "target \"t%d\" {\n  partition_by = [\"hour\"]\n  inputs = { prev = %q }\n  command = [\"cp\", input.prev, output.t%d]\n  output \"t%d\" { path = \"t%d.txt\" }\n}\n",
			k, from, k, k, k)
		for h := range hours {
			in := fmt.Sprintf("out/t%d/%d", k-1, h)
			if k == 0 {
				in = "raw.txt"
			}
			fmt.Fprintf(&ninja, "build out/t%d/%d: cp %s\n", k, h, in)
		}
	}
	for name, text := range map[string]string{
		"raw.txt": "hello\n", "pipeline.hcl": hcl.String(), "build.ninja": ninja.String(),
		"dpb.hcl": fmt.Sprintf("partition \"hour\" {\n  every = \"hour\"\n  start = %q\n  end = %q\n}\n", start.Format("2006-01-02T15"),
			start.Add(time.Duration(hours-1)*time.Hour).Format("2006-01-02T15")),
	} {
		put(b, filepath.Join(dir, name), text)
	}
}

// timed runs a program and reports wall time, processor time and memory under a name.
func timed(b *testing.B, name, dir string, args ...string) time.Duration {
	b.Helper()
	c := exec.Command(args[0], args[1:]...)
	c.Dir = dir
	start := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", args, err, out)
	}
	wall := time.Since(start)
	usage := c.ProcessState.SysUsage().(*syscall.Rusage)
	b.ReportMetric(wall.Seconds(), name+"-s")
	b.ReportMetric((c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds(), name+"-cpu-s")
	b.ReportMetric(float64(usage.Maxrss)/1024, name+"-MiB")
	return wall
}

// best runs a build that has nothing to do several times and keeps the last, when all is in the page cache.
func noop(b *testing.B, name, dir string, args ...string) time.Duration {
	b.Helper()
	best := time.Hour
	for range 5 {
		best = min(best, timed(b, name, dir, args...))
	}
	b.ReportMetric(best.Seconds(), name+"-s")
	return best
}

// foresee measures dpb plan: of nothing to do, of new data, after which all but the first target are undecided, and of new arguments everywhere, of which all jobs run.
// With build it also compares the time that plan gave with what the build then took.
func foresee(b *testing.B, dpb, dir string, build bool) {
	b.Helper()
	noop(b, "plan-noop", dir, dpb, "plan")
	put(b, filepath.Join(dir, "raw.txt"), "hello again\n")
	noop(b, "plan-data", dir, dpb, "plan")
	put(b, filepath.Join(dir, "raw.txt"), "hello\n")
	hcl, err := os.ReadFile(filepath.Join(dir, "pipeline.hcl"))
	if err != nil {
		b.Fatal(err)
	}
	put(b, filepath.Join(dir, "pipeline.hcl"), strings.ReplaceAll(string(hcl), `"cp", `, `"cp", "-f", `))
	noop(b, "plan-code", dir, dpb, "plan")
	if build {
		c := exec.Command(dpb, "plan", "--json")
		c.Dir = dir
		out, err := c.Output()
		if err != nil {
			b.Fatal(err)
		}
		var f run.Forecast
		if err := json.Unmarshal(out, &f); err != nil {
			b.Fatal(err)
		}
		took := timed(b, "dpb-again", dir, dpb, "build", "--progress", "quiet")
		b.ReportMetric(f.Most.AtLeast.Seconds()/took.Seconds(), "plan-least/took")
		b.ReportMetric(f.Most.AtMost.Seconds()/took.Seconds(), "plan-most/took")
	}
	put(b, filepath.Join(dir, "pipeline.hcl"), string(hcl))
}

func put(b *testing.B, file, text string) {
	b.Helper()
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkBesideNinja(b *testing.B) {
	dpb := os.Getenv("DPB")
	if dpb == "" {
		b.Skip("DPB names no binary; run make bench")
	}
	for _, actions := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(actions), func(b *testing.B) {
			dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "dpb-bench-")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			graphFiles(b, dir, actions)
			b.ReportMetric(0, "ns/op")
			mine := timed(b, "dpb-all", dir, dpb, "build", "--progress", "quiet")
			mineNoop := noop(b, "dpb-noop", dir, dpb, "build", "--progress", "quiet")
			foresee(b, dpb, dir, actions == 10_000)
			if _, err := exec.LookPath("ninja"); err != nil {
				b.Log("ninja is not installed: no comparison")
				return
			}
			theirs := timed(b, "ninja-all", dir, "ninja", "-j2")
			theirsNoop := noop(b, "ninja-noop", dir, "ninja", "-j2")
			b.ReportMetric(mine.Seconds()/theirs.Seconds(), "all-dpb/ninja")
			b.ReportMetric(mineNoop.Seconds()/theirsNoop.Seconds(), "noop-dpb/ninja")
		})
	}
}
