package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// decidedAnew and takenUp are what is said of a file that changed under a build.
const (
	decidedAnew = "it changed while dpb was running; what reads it was decided anew"
	takenUp     = "it changed while dpb was running, after it was read: the next build takes it up"
)

// behind is a workspace in which //:first runs behind a gate, and after it what more says.
func behind(t *testing.T, more string, files map[string]string) (g gate, dir string) {
	t.Helper()
	g, dir = newGate(t), t.TempDir()
	write(t, dir, files)
	write(t, dir, map[string]string{"dpb.hcl": "", "pipeline.hcl": fmt.Sprintf(`
target "first" {
  command = ["sh", "-c", %q]
  output "first" { path = "first.txt" }
}
`, g.script()+`; echo "$let" > $DPB_OUTPUT_FIRST`) + more})
	return g, dir
}

// upToDate holds that the next build has nothing to do.
func upToDate(t *testing.T, dir string) {
	t.Helper()
	if out, err := command(t, dir, unboxed()...).CombinedOutput(); err != nil || !strings.HasPrefix(string(out), "nothing to do") {
		t.Errorf("%v\n%s", err, out)
	}
}

func holds(t *testing.T, file, want string) {
	t.Helper()
	if b, err := os.ReadFile(file); err != nil || string(b) != want {
		t.Errorf("%s: %q, want %q: %v", file, b, want, err)
	}
}

func says(t *testing.T, said string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}

func ranIn(said string) []string {
	jobs := jobsIn(strings.Split(said, "\n"))
	slices.Sort(jobs)
	return jobs
}

// TestSourceChanges: a source that changes between the look at it and its use is looked at once more, with all that others read.
func TestSourceChanges(t *testing.T) {
	t.Parallel()
	g, dir := behind(t, `
source "early" { path = "early.txt" }
source "late" { path = "late/*.txt" }
target "reads_early" {
  inputs  = [":early"]
  command = ["cp", input.early, output.o]
  output "o" { path = "o.txt" }
}
target "reads_late" {
  inputs  = [":first", ":late"]
  command = ["sh", "-c", "cat $1/* > $2", "sh", input.late, output.o]
  output "o" { path = "o.txt" }
}
`, map[string]string{"early.txt": "1\n", "late/a.txt": "one\n"})
	p := start(t, dir, unboxed("-j", "2")...)
	g.await()
	p.until(t, "^ran //:reads_early in", 1)
	write(t, dir, map[string]string{"early.txt": "2\n", "late/a.txt": "two\n", "late/b.txt": "three\n"})
	g.open("done")
	said := p.ends(t, exitOK)
	says(t, said, "warning late/a.txt: "+decidedAnew)
	if jobs := ranIn(said); !slices.Equal(jobs, []string{"//:first", "//:reads_early", "//:reads_late"}) { // reads_early for the second time
		t.Errorf("%v ran:\n%s", jobs, said)
	}
	holds(t, filepath.Join(dir, "dpb-out/reads_early/o.txt"), "2\n")
	holds(t, filepath.Join(dir, "dpb-out/reads_late/o.txt"), "two\nthree\n")
	upToDate(t, dir)
}

// TestSourceVanishes: what is no more on the second look is missing, as it is in the next build.
func TestSourceVanishes(t *testing.T) {
	t.Parallel()
	g, dir := behind(t, `
source "raw" { path = "raw.txt" }
target "reads" {
  inputs  = [":first", ":raw"]
  command = ["cp", input.raw, output.o]
  output "o" { path = "o.txt" }
}
`, map[string]string{"raw.txt": "1\n"})
	p := start(t, dir, unboxed()...)
	g.await()
	if err := os.Remove(filepath.Join(dir, "raw.txt")); err != nil {
		t.Fatal(err)
	}
	g.open("done")
	says(t, p.ends(t, exitStale), "warning raw.txt: "+decidedAnew, "nothing matches raw.txt")
}

// TestFilesAndCodeChange: so it is with globs of inputs and with code.
func TestFilesAndCodeChange(t *testing.T) {
	t.Parallel()
	for _, change := range []string{"files/a.csv", "code.sh"} {
		g, dir := behind(t, `
target "second" {
  inputs  = { files = "files/*.csv" }
  code    = ["code.sh"]
  command = ["sh", "code.sh", input.files, output.o]
  output "o" { path = "o.txt" }
}
`, map[string]string{"files/a.csv": "1\n", "code.sh": "cat $1/* $0 > $2\n"})
		p := start(t, dir, unboxed("-j", "1")...) // both are decided before the first runs
		g.await()
		text := "cat $1/* $0 > $2 # changed\n"
		write(t, dir, map[string]string{change: text})
		g.open("done")
		said := p.ends(t, exitOK)
		says(t, said, "warning "+change+": "+decidedAnew)
		if jobs := ranIn(said); !slices.Equal(jobs, []string{"//:first", "//:second"}) {
			t.Errorf("%v ran:\n%s", jobs, said)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "dpb-out/second/o.txt")); err != nil || !strings.Contains(string(b), text) {
			t.Errorf("%s: %q %v", change, b, err)
		}
		upToDate(t, dir)
	}
}

// inPlace is a workspace whose one job reads a source where it lies, behind a gate.
func inPlace(t *testing.T) (g gate, dir string) {
	t.Helper()
	g, dir = newGate(t), t.TempDir()
	write(t, dir, map[string]string{"dpb.hcl": "", "raw.txt": "1\n", "pipeline.hcl": fmt.Sprintf(`
source "raw" {
  path = "raw.txt"
  keep = false
}
target "reads" {
  inputs  = [":raw"]
  command = ["sh", "-c", %q, "sh", input.raw, output.o]
  output "o" { path = "o.txt" }
}
`, g.script()+"; cat $1 > $2")})
	return g, dir
}

// TestChangesInPlace: a job that read what changed under it runs once more, and what it made of the mixture is not recorded.
func TestChangesInPlace(t *testing.T) {
	t.Parallel()
	g, dir := inPlace(t)
	p := start(t, dir, unboxed()...)
	g.await()
	write(t, dir, map[string]string{"raw.txt": "2\n"})
	g.open("done")
	g.await()
	g.open("done")
	said := p.ends(t, exitOK)
	says(t, said, "warning raw.txt: "+decidedAnew, "ran 1 job")
	holds(t, filepath.Join(dir, "dpb-out/reads/o.txt"), "2\n")
	upToDate(t, dir)
}

// TestKeepsChanging: what changes on the second look too is not looked at for ever.
func TestKeepsChanging(t *testing.T) {
	t.Parallel()
	g, dir := inPlace(t)
	p := start(t, dir, unboxed()...)
	for _, text := range []string{"2\n", "3\n"} {
		g.await()
		write(t, dir, map[string]string{"raw.txt": text})
		g.open("done")
	}
	says(t, p.ends(t, exitLocal), "failed //:reads", filepath.Join(dir, "raw.txt")+": it changed while dpb was running; build again")
	if out, err := command(t, dir, "log", "//:reads").CombinedOutput(); err != nil || strings.Contains(string(out), "#") {
		t.Errorf("something was recorded: %v\n%s", err, out)
	}
	p = start(t, dir, unboxed()...)
	g.await()
	g.open("done")
	p.ends(t, exitOK)
	holds(t, filepath.Join(dir, "dpb-out/reads/o.txt"), "3\n")
}

// TestChangesAfterItWasRead: a job has the store's copy, so its record is right; that the next build has something to do is said.
func TestChangesAfterItWasRead(t *testing.T) {
	t.Parallel()
	g, dir := newGate(t), t.TempDir()
	write(t, dir, map[string]string{"dpb.hcl": "", "raw/a.txt": "1\n", "code.sh": g.script() + "; cat $1/* > $2\n", "pipeline.hcl": `
source "raw" { path = "raw/*.txt" }
target "reads" {
  inputs  = [":raw"]
  code    = ["code.sh"]
  command = ["sh", "code.sh", input.raw, output.o]
  output "o" { path = "o.txt" }
}
`})
	for _, change := range []struct{ file, text, named string }{{"raw/a.txt", "2\n", "raw/a.txt"}, {"raw/b.txt", "3\n", "raw/*.txt"}, {"code.sh", g.script() + "; cat $1/* $1/* > $2\n", "code.sh"}} {
		p := start(t, dir, unboxed()...)
		g.await()
		write(t, dir, map[string]string{change.file: change.text})
		g.open("done")
		said := p.ends(t, exitOK)
		says(t, said, "warning "+change.named+": "+takenUp)
		if n := strings.Count(said, "warning"); n != 1 {
			t.Errorf("%d warnings:\n%s", n, said)
		}
		if out, err := command(t, dir, "status", "--check").CombinedOutput(); exitCodeOf(err) != exitStale {
			t.Errorf("%v\n%s", err, out)
		}
	}
	holds(t, filepath.Join(dir, "dpb-out/reads/o.txt"), "2\n3\n") // the code of before
	p := start(t, dir, unboxed()...)
	g.await()
	write(t, dir, map[string]string{"raw/a.txt": "2\n"}) // written anew, and the same
	g.open("done")
	if said := p.ends(t, exitOK); strings.Contains(said, "warning") {
		t.Error(said)
	}
	holds(t, filepath.Join(dir, "dpb-out/reads/o.txt"), "2\n3\n2\n3\n")
	upToDate(t, dir)
}

// TestToolChanges: a program that changed under a job is not the one of the key.
func TestToolChanges(t *testing.T) {
	t.Parallel()
	g, dir, tools := newGate(t), t.TempDir(), t.TempDir()
	tool := filepath.Join(tools, "tool")
	script := "#!/bin/sh\n" + g.script() + "\necho %s > $1\n"
	install := func(version string) {
		if err := os.WriteFile(tool+".new", []byte(fmt.Sprintf(script, version)), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tool+".new", tool); err != nil {
			t.Fatal(err)
		}
	}
	install("old")
	write(t, dir, map[string]string{"dpb.hcl": "", "pipeline.hcl": fmt.Sprintf(`
target "t" {
  command = [%q, output.o]
  output "o" { path = "o.txt" }
}
`, tool)})
	p := start(t, dir, unboxed()...)
	g.await()
	install("new")
	g.open("done")
	g.await()
	g.open("done")
	says(t, p.ends(t, exitOK), "warning "+tool+": "+decidedAnew)
	holds(t, filepath.Join(dir, "dpb-out/t/o.txt"), "new\n")
	upToDate(t, dir)
}
