package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// onBudget builds everything with a budget that is used up after some jobs, in a random order, until nothing is left. It returns how many jobs ran, and in how many builds.
func (p *pipeline) onBudget(t *testing.T, store string) (ran, builds int) {
	t.Helper()
	for {
		config := p.config(t, store)
		all, err := config.Graph.Select([]engine.Pattern{{Below: true}})
		if err != nil {
			t.Fatal(err)
		}
		s, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		asked, most := 0, 1+p.r.IntN(4)
		clock := func() time.Duration { asked++; return time.Duration(asked) }
		summary, err := s.Build(context.Background(), all, Options{Jobs: 1 + p.r.IntN(3), Events: silent{}, Order: Order(p.r.IntN(3)), Budget: time.Duration(most + 1), elapsed: clock})
		if err != nil || len(summary.Failures) > 0 {
			t.Fatalf("build: %v %+v", err, summary.Failures)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if summary.Ran > most {
			t.Fatalf("%d jobs ran, and the budget was for %d", summary.Ran, most)
		}
		ran, builds = ran+summary.Ran, builds+1
		if !summary.Spent {
			return ran, builds
		}
		if summary.Ran == 0 {
			t.Fatal("nothing ran, and nothing is finished")
		}
	}
}

// TestBudget: many builds that each end early, in whatever order, come to what one build gives, and run no job more: nothing is ever built over a mixture of old and new.
func TestBudget(t *testing.T) {
	cut := 0
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPipeline(t, seed)
			store, whole := filepath.Join(memoryDir(t), "store"), filepath.Join(memoryDir(t), "store")
			for range 2 {
				want := p.elsewhere(t).build(t, whole, 2)
				ran, builds := p.onBudget(t, store)
				cut += builds - 1
				got := p.build(t, store, 2)
				compareTrees(t, got, want)
				if ran != want.ran || got.ran != 0 {
					t.Errorf("%d jobs ran on budgets and %d after them; want %d and none", ran, got.ran, want.ran)
				}
				p.edit()
				p.write(t)
			}
		})
	}
	if cut == 0 {
		t.Error("no budget was used up: this test shows nothing")
	}
}

// days is a workspace with one target of three days, whose rule compares each day with the one before. What it returns opens a session.
func days(t *testing.T) func() *Session {
	t.Helper()
	root, store := memoryDir(t), filepath.Join(memoryDir(t), "store")
	steady := &engine.Expect{Name: "steady", That: "bytes == prior[0].bytes", Prior: 1, Uses: []engine.Use{{Path: []string{"prior"}}},
		Judge: func(engine.Scope) engine.Judged { return engine.Judged{Status: engine.Passed} }}
	x := &engine.Target{Label: engine.Label{Name: "x"}, Kind: engine.Command, PartitionBy: []string{"day"}, Outputs: []*engine.Output{{Name: "x", Path: "x.txt", Expects: []*engine.Expect{steady}}},
		Command: []engine.Text{engine.Literal("sh"), engine.Literal("-c"), engine.Literal(`echo $DPB_PARTITION_DAY > "$DPB_OUTPUT_X"`)}}
	day := &engine.Dimension{Name: "day", Unit: engine.Day, Start: "2017-01-01", End: "2017-01-03"}
	return func() *Session {
		t.Helper()
		now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
		g, problems := graph.New(&engine.Workspace{StorePath: store, Packages: []*engine.Package{{}}, Targets: []*engine.Target{x}, Dimensions: []*engine.Dimension{day}}, now)
		if engine.HasErrors(problems) {
			t.Fatal(problems)
		}
		s, err := Open(Config{Root: root, Graph: g, Now: now, Version: "test", PathEnv: "/usr/bin:/bin"})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// hearing hears of jobs, as "started day=2017-01-01", "finished day=2017-01-01" or "unjudged day=2017-01-01".
type hearing struct {
	silent
	of []string
}

func (x *hearing) Started(j Job) { x.of = append(x.of, "started "+j.Partition) }

func (x *hearing) Finished(j Job, o Outcome) {
	word := "finished "
	if o.Unjudged {
		word = "unjudged "
	}
	x.of = append(x.of, word+j.Partition)
}

// TestBudgetLeavesVerdicts: the newest day ran, and its verdict waits for a day that the budget does not allow. The job counts, and is told of as ended; the next build
// judges what it gave.
func TestBudgetLeavesVerdicts(t *testing.T) {
	open := days(t)
	build := func(opts Options, want ...string) Summary {
		t.Helper()
		s, events := open(), &hearing{}
		opts.Jobs, opts.Order, opts.Events = 1, NewestFirst, events
		summary, err := s.Build(context.Background(), everything(t, s.Graph), opts)
		if err != nil || len(summary.Failures) > 0 {
			t.Fatalf("%v %+v", err, summary.Failures)
		}
		slices.Sort(events.of)
		if !slices.Equal(events.of, want) {
			t.Errorf("told %q, want %q", events.of, want)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return summary
	}
	asked := 0
	clock := func() time.Duration { asked++; return time.Duration(asked) }
	got := build(Options{Budget: 2, elapsed: clock, timeUp: make(chan time.Time)}, "started day=2017-01-03", "unjudged day=2017-01-03")
	if !got.Spent || got.Ran != 1 || got.Running != 0 || got.UpToDate != 0 {
		t.Errorf("on a budget: %+v", got.Counts)
	}
	got = build(Options{}, "finished day=2017-01-01", "finished day=2017-01-02", "finished day=2017-01-03", "started day=2017-01-01", "started day=2017-01-02", "started day=2017-01-03")
	if got.Ran != 2 || got.Judged != 1 || got.UpToDate != 1 {
		t.Errorf("after it: %+v", got.Counts)
	}
	if got = build(Options{}); got.UpToDate != 3 {
		t.Errorf("at the end: %+v", got.Counts)
	}
}

// TestBudgetEndsWaits: a job that another process runs is waited for no longer than the budget allows.
func TestBudgetEndsWaits(t *testing.T) {
	open := days(t)
	other, s := open(), open()
	defer other.Close()
	defer s.Close()
	all := everything(t, s.Graph)
	d, _, err := other.Foresee(context.Background(), everything(t, other.Graph))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		release, err := other.Store.TryLock(lockName(d.Key(other.Graph.Nodes[0], i)), "x")
		if err != nil || release == nil {
			t.Fatalf("the key is not to be had: %v", err)
		}
		defer release()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // should it wait for the lock, it would for ever
	defer cancel()
	over := make(chan time.Time, 1)
	over <- time.Time{}
	summary, err := s.Build(ctx, all, Options{Jobs: 1, Events: silent{}, Budget: time.Hour, timeUp: over})
	if err != nil || summary.Interrupted || !summary.Spent || summary.Ran != 0 || len(summary.Failures) > 0 {
		t.Errorf("%v %+v", err, summary)
	}
}
