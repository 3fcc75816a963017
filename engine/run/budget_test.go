package run

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
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
