package main

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
)

var (
	kills    = flag.Int("kills", 50, "how often TestSoak kills a build")
	soakSeed = flag.Uint64("seed", 1, "of the first pipeline of TestSoak; each has its own, which its name tells")
)

// killsEach is how often the builds of one pipeline are killed.
const killsEach = 10

// TestSoak builds random pipelines that edits change, and kills the builds at random moments and between any two steps of the protocol, or lets a step fail. After
// each kill all that was reported is there, and nothing of it runs again; at the end the result is that of a clean build, and the store is sound.
func TestSoak(t *testing.T) {
	if testing.Short() {
		*kills = min(*kills, 2*killsEach)
	}
	killed := &atomic.Int64{}
	t.Run("seed", func(t *testing.T) {
		for k := range uint64((*kills + killsEach - 1) / killsEach) {
			t.Run(fmt.Sprint(*soakSeed+k), func(t *testing.T) {
				t.Parallel()
				soak(t, *soakSeed+k, killed)
			})
		}
	})
	t.Logf("%d builds were killed", killed.Load())
	if n := int(killed.Load()); n < *kills && !t.Failed() {
		t.Errorf("%d builds were killed, not %d", n, *kills)
	}
}

// soakedBuild is a pipeline with its workspace and what is known of its builds.
type soakedBuild struct {
	*soaked
	t        *testing.T
	dir      string
	took     time.Duration                                  // a whole build
	reported map[string]int                                 // by action: how often its job was reported as done
	versions map[string]map[engine.VersionID]engine.Version // by action: all that the ledger ever had
	story    []string
}

func soak(t *testing.T, seed uint64, killed *atomic.Int64) {
	b := &soakedBuild{soaked: newSoaked(seed), t: t, dir: inMemory(t), took: time.Second, reported: map[string]int{}, versions: map[string]map[engine.VersionID]engine.Version{}}
	defer func() {
		if t.Failed() {
			t.Logf("what was done:\n%s", strings.Join(b.story, "\n"))
		}
	}()
	b.write(t, b.dir)
	for done := 0; done < killsEach && !t.Failed(); {
		ended := b.interfere()
		if ended == wasKilled {
			done++
			killed.Add(1)
		}
		b.checkReported()
		if ended == wasWhole || b.r.IntN(4) == 0 {
			b.edit()
			b.write(t, b.dir)
		}
	}
	b.checkEnd()
}

// inMemory is a directory in memory where there is one: kill -9 knows no disk.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dpb-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = disk.RemoveAll(dir) })
	return dir
}

type ending uint8

const (
	wasWhole ending = iota
	wasKilled
	wasFaulty
)

// interfere runs a build that something happens to, if it comes there.
func (b *soakedBuild) interfere() ending {
	point, first := fault.Points[b.r.IntN(len(fault.Points))], len(b.versions) == 0
	for !first && (point == fault.FormatWritten || point == fault.LedgerMade) { // which a store sees once
		point = fault.Points[b.r.IntN(len(fault.Points))]
	}
	number := 1 + b.r.IntN(6)*b.r.IntN(2)
	switch b.r.IntN(6) {
	case 0:
		return b.build("", time.Duration(b.r.Int64N(int64(b.took))))
	case 1:
		return b.build(fmt.Sprintf("%s/%d/%s", point, number, []string{"EIO", "ENOSPC"}[b.r.IntN(2)]), 0)
	}
	return b.build(fmt.Sprintf("%s/%d/kill", point, number), 0)
}

// build runs one build, which is killed after a time, if one is given, and has a fault.
func (b *soakedBuild) build(what string, after time.Duration) ending {
	b.t.Helper()
	b.story = append(b.story, fmt.Sprintf("build with %q, killed after %s", what, after))
	c := command(b.t, b.dir, "build", "--progress", "plain", "-v", "-j", "2")
	c.Env = append(c.Env, faultAt+"="+what)
	out, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		b.t.Fatal(err)
	}
	started := time.Now()
	if after > 0 {
		timer := time.AfterFunc(after, func() { _ = c.Process.Kill() })
		defer timer.Stop()
	}
	lines := b.hear(out)
	err = c.Wait()
	status, _ := c.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case status.Signaled():
		if status.Signal() != syscall.SIGKILL {
			b.t.Errorf("it was ended by %s:\n%s", status.Signal(), strings.Join(lines, "\n"))
		}
		return wasKilled
	case slices.Contains(lines, "fault: "+what):
		if code := exitCodeOf(err); code != exitLocal {
			b.t.Errorf("with %q the exit code was %d:\n%s", what, code, strings.Join(lines, "\n"))
		}
		return wasFaulty
	case err != nil:
		b.t.Errorf("%v\n%s", err, strings.Join(lines, "\n"))
	case len(jobsIn(lines)) > 0:
		b.took = time.Since(started)
	}
	return wasWhole
}

// hear reads what a build says and counts the jobs that it reports.
func (b *soakedBuild) hear(out io.Reader) (lines []string) {
	for s := bufio.NewScanner(out); s.Scan(); {
		lines = append(lines, s.Text())
		if m := ranLine.FindStringSubmatch(s.Text()); m != nil && strings.HasPrefix(s.Text(), "ran ") {
			b.reported[m[1]]++
		}
	}
	b.story = append(b.story, lines...)
	return lines
}

// checkReported holds that the ledger has each job that was reported, each key once, and all versions that it ever had.
func (b *soakedBuild) checkReported() {
	b.t.Helper()
	l, err := ledger.OpenReadOnly(filepath.Join(b.dir, ".dpb"))
	if errors.Is(err, ledger.ErrNone) && len(b.reported) == 0 {
		return
	}
	if err != nil {
		b.t.Error(err)
		return
	}
	defer l.Close()
	for _, x := range b.targets {
		label := engine.Label{Name: x.name}
		for _, partition := range x.partitions() {
			b.checkAction(l, label, partition)
		}
	}
}

func (b *soakedBuild) checkAction(l *ledger.Ledger, label engine.Label, partition string) {
	b.t.Helper()
	action := label.At(partition)
	runs, err := l.Runs("", label, partition)
	if err != nil {
		b.t.Error(err)
	}
	keys := map[cache.ActionKey]bool{}
	for _, r := range runs {
		if r.Failure != "" {
			b.t.Errorf("a run of %s counts as failed: %s", action, r.Failure)
		}
		if keys[r.Key] {
			b.t.Errorf("%s ran twice with the key %s", action, r.Key.Short())
		}
		keys[r.Key] = true
	}
	if len(runs) < b.reported[action] {
		b.t.Errorf("of %s %d jobs were reported, and the ledger has %d", action, b.reported[action], len(runs))
	}
	versions, err := l.VersionsOf("", label, partition)
	if err != nil {
		b.t.Error(err)
	}
	now := map[engine.VersionID]engine.Version{}
	for _, v := range versions {
		now[v.ID] = v
	}
	for id := range b.versions[action] {
		if _, ok := now[id]; !ok {
			b.t.Errorf("version %s of %s is lost", id.Short(), action)
		}
	}
	b.versions[action] = now
}

// checkEnd lets a build come to its end and compares with a clean one.
func (b *soakedBuild) checkEnd() {
	b.t.Helper()
	if b.build("", 0); b.t.Failed() {
		return
	}
	b.checkReported()
	if out, err := command(b.t, b.dir, "status", "--check", "//...").CombinedOutput(); err != nil {
		b.t.Errorf("status: %v\n%s", err, out)
	}
	before := len(b.story)
	if b.build("", 0); len(jobsIn(b.story[before:])) > 0 {
		b.t.Error("a second build ran jobs")
	}
	clean := inMemory(b.t)
	b.write(b.t, clean)
	if out, err := command(b.t, clean, "build").CombinedOutput(); err != nil {
		b.t.Fatalf("clean: %v\n%s", err, out)
	}
	if got, want := contents(b.t, filepath.Join(b.dir, "dpb-out")), contents(b.t, filepath.Join(clean, "dpb-out")); got != want {
		b.t.Errorf("after the kills:\n%s\nclean:\n%s", got, want)
	}
	if out, err := command(b.t, b.dir, "fsck", "--dry-run").CombinedOutput(); err != nil {
		b.t.Errorf("fsck: %v\n%s", err, out)
	}
}

// contentOf is "" of a file that is not there.
func contentOf(file string) string {
	b, _ := os.ReadFile(file)
	return string(b)
}
