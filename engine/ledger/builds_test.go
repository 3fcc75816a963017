package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
)

func sampleBuild() engine.Build {
	return engine.Build{Workspace: "soundcloud", Environment: "here", Command: "dpb build //... -k", Process: "p-4711",
		Provenance: engine.Provenance{Commit: "7705cf4", User: "ada", Host: "laptop"}, Now: started.Add(-time.Second), Started: started, Ended: started.Add(time.Minute), ExitCode: 1,
		Counts:   engine.BuildCounts{Total: 5, Ran: 2, Same: 1, UpToDate: 1, Failed: 1, Blocked: 1},
		Failures: []engine.Unfinished{{Target: "//spam:classified@day=2017-06-15", State: "failed", Reason: "exit code 3"}}}
}

func sampleRunOfBuild() engine.Run {
	r := sampleRun()
	r.Build, r.After, r.Waited, r.Why = 3, "//plays:plays@day=2017-06-15", 2*time.Second, "code changed: classify.py"
	return r
}

// begin records builds that began so many hours after the first, in this order, and gives their numbers.
func begin(t *testing.T, l *Ledger, workspace string, hours ...int) (ids []int64) {
	t.Helper()
	for _, h := range hours {
		b := sampleBuild()
		b.Workspace, b.Started, b.Ended = workspace, started.Add(time.Duration(h)*time.Hour), time.Time{}
		write(t, l, func(tx *Tx) error {
			id, err := tx.BeginBuild(b)
			ids = append(ids, id)
			return err
		})
	}
	return ids
}

func buildIDs(t *testing.T, l *Ledger, p Period, most int) (ids []int64) {
	t.Helper()
	must(t, l.Builds("soundcloud", p, func(b engine.Build) (bool, error) {
		ids = append(ids, b.ID)
		return len(ids) < most, nil
	}))
	return ids
}

// TestBuilds: a build is there from when it begins, and is found by number and by time; the newest comes first, also after the clock went back.
func TestBuilds(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ids := begin(t, l, "soundcloud", 0, 5, 2, 2)
	begin(t, l, "another", 3)
	same(t, "numbers", ids, []int64{1, 2, 3, 4}, nil)
	same(t, "all", buildIDs(t, l, Period{}, 9), []int64{2, 4, 3, 1}, nil)
	same(t, "two", buildIDs(t, l, Period{}, 2), []int64{2, 4}, nil)
	same(t, "since", buildIDs(t, l, Period{Since: started.Add(2 * time.Hour)}, 9), []int64{2, 4, 3}, nil)
	same(t, "until", buildIDs(t, l, Period{Until: started.Add(2 * time.Hour)}, 9), []int64{1}, nil)

	begun, ok, err := l.Build(1)
	same(t, "it has begun", ok && begun.Ended.IsZero(), true, err)
	ended := sampleBuild()
	ended.ID = 1
	write(t, l, func(tx *Tx) error { return tx.EndBuild(ended) })
	got, _, err := l.Build(1)
	same(t, "it has ended", got, ended, err)
	_, ok, err = l.Build(6)
	same(t, "there is no such build", ok, false, err)
}

// TestRunsOfBuilds: runs are found by their build, and by time and target.
func TestRunsOfBuilds(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	other := engine.Label{Pkg: "plays", Name: "plays"}
	for k, name := range []engine.Label{label, other, label, label} {
		r := sampleRunOfBuild()
		r.Label, r.Build, r.Started = name, int64(1+k/2), started.Add(time.Duration(k)*time.Hour)
		write(t, l, func(tx *Tx) error { return tx.PutRun("soundcloud", r) })
	}
	write(t, l, func(tx *Tx) error { return tx.PutRun("another", sampleRun()) })
	labels, err := l.Labels("soundcloud")
	same(t, "labels", labels, []engine.Label{other, label}, err)
	runs, err := l.RunsOfBuild(1)
	same(t, "runs of the first build", len(runs), 2, err)
	var ran []string
	must(t, l.Ran(1, func(label engine.Label, partition string) bool {
		ran = append(ran, label.At(partition))
		return true
	}))
	same(t, "what ran in the first build", ran, []string{"//spam:classified@day=2017-06-15", "//plays:plays@day=2017-06-15"}, nil)
	in := func(p Period, most int, labels ...engine.Label) (out []string) {
		must(t, l.RunsIn("soundcloud", labels, p, func(r engine.Run) (bool, error) {
			out = append(out, fmt.Sprint(r.Label.Name, " ", r.Started.Sub(started).Hours()))
			return len(out) < most, nil
		}))
		return out
	}
	same(t, "all", in(Period{}, 9, label, other), []string{"classified 3", "classified 2", "plays 1", "classified 0"}, nil)
	same(t, "one", in(Period{}, 1, label, other), []string{"classified 3"}, nil)
	same(t, "of one target in a period", in(Period{started, started.Add(3 * time.Hour)}, 9, label), []string{"classified 2", "classified 0"}, nil)
	same(t, "of none", in(Period{}, 9), nil, nil)
}

// TestRunsOfMany holds that a few runs among very many are found without reading those.
func TestRunsOfMany(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	for q, index := range map[string]string{buildsIn: "build_by_start (workspace=? AND started>? AND started<?)", runsOfBuild: "run_by_build (build=?)", runsIn: "run_by_start (started>? AND started<?)"} {
		var plan []string
		args := slices.Repeat([]any{""}, strings.Count(q, "?"))
		must(t, l.query("EXPLAIN QUERY PLAN "+q, func(s *sqlite.Stmt) error {
			plan = append(plan, s.ColumnText(3))
			return nil
		}, args...))
		if !strings.HasSuffix(plan[0], "USING INDEX "+index) || slices.Contains(plan, "USE TEMP B-TREE FOR ORDER BY") && q != runsOfBuild {
			t.Errorf("%s is read by %q", q, plan)
		}
	}
}
