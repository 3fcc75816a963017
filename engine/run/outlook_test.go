package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// ranJobs hears which jobs ran.
type ranJobs struct {
	silent
	jobs map[string]bool
}

func (r ranJobs) Finished(j Job, o Outcome) {
	if !j.Judged && !o.Elsewhere {
		r.jobs[j.Label.At(j.Partition)] = true
	}
}

// TestRandomOutlooks: what an outlook says runs for certain runs, and nothing runs of which it says that it won't.
func TestRandomOutlooks(t *testing.T) {
	t.Parallel()
	certain, spared, ran := 0, 0, 0
	for seed := range uint64(*seeds / 8) {
		p := newPipeline(t, seed)
		store := filepath.Join(memoryDir(t), "store")
		for step := range 5 {
			q := p
			if p.r.IntN(4) == 0 { // of which this environment knows nothing, and the store much
				q = p.elsewhere(t)
			}
			if p.r.IntN(3) == 0 {
				p.some(t, store)
			}
			if step > 0 && p.r.IntN(3) == 0 {
				p.evict(t, store)
			}
			config := q.config(t, store)
			selected := q.selection(t, config.Graph)
			o := outlookOf(t, config, selected)
			got, _ := jobsOf(t, config, selected)
			name := fmt.Sprintf("seed %d, step %d", seed, step)
			for at, f := range o {
				switch {
				case f.fate == Runs && !got[at] && !f.evicted: // another job may have made the same bytes first
					t.Errorf("%s: %s did not run, which was certain", name, at)
				case f.fate == Runs:
					certain++
				case f.fate == MayRun && !got[at]:
					spared++
				case f.fate != Runs && f.fate != MayRun && got[at]:
					t.Errorf("%s: %s ran, of which nobody knew", name, at)
				}
			}
			ran += len(got)
			p.edit()
			p.write(t)
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d jobs ran, %d of them were certain; %d were spared", ran, certain, spared)
	if *seeds >= 80 && (certain == 0 || spared == 0 || certain == ran) {
		t.Error("one of the cases did not come up")
	}
}

// selection is all, or some partitions of one target.
func (p *pipeline) selection(t *testing.T, g *graph.Graph) []graph.Selected {
	t.Helper()
	if p.r.IntN(3) == 0 {
		n := g.Nodes[p.r.IntN(len(g.Nodes))]
		return []graph.Selected{{Node: n, Partitions: []int{p.r.IntN(n.Set.Len())}}}
	}
	all, err := g.Select([]engine.Pattern{{Below: true}})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// foreseen is what an outlook says of a job.
type foreseen struct {
	fate    Fate
	evicted bool
}

// outlook tells what would become of each job.
func outlookOf(t *testing.T, config Config, selected []graph.Selected) map[string]foreseen {
	t.Helper()
	config.ReadOnly = true
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	o, err := s.Outlook(context.Background(), selected, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]foreseen{}
	for _, n := range config.Graph.Nodes {
		for i := range n.Set.Len() {
			if isJob(n) {
				out[n.Target.Label.At(n.Set.Text(i))] = foreseen{o.Fate(n, i), slices.Equal(o.Why(n, i), []string{"evicted"})}
			}
		}
	}
	return out
}

// runJobs builds, and lists the jobs that ran.
func jobsOf(t *testing.T, config Config, selected []graph.Selected) (ran map[string]bool, d *plan.Decider) {
	t.Helper()
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	heard := ranJobs{jobs: map[string]bool{}}
	b, summary, err := s.build(context.Background(), selected, Options{Jobs: 2, KeepGoing: true, Events: heard})
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	for _, f := range summary.Failures {
		if f.State == engine.Failed {
			t.Fatalf("%s failed: %s", f.Label.At(f.Partition), f.Reason)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return heard.jobs, b.decider
}

// TestRuledOutlooks: with rules that hold and refuse, nothing runs either of which an outlook says that it won't; and what is certain runs, unless what it needs is held.
func TestRuledOutlooks(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("without DuckDB")
	}
	t.Parallel()
	certain, kept := 0, 0
	for seed := range uint64(*seeds / 8) {
		p := newRuled(t, seed+2000, seed%3 == 2)
		store := filepath.Join(memoryDir(t), "store")
		for step := range 4 {
			if p.r.IntN(3) == 0 {
				p.build(t, store, p.some(t, store), 2)
			}
			if step > 0 && p.r.IntN(4) == 0 {
				p.evict(t, store)
			}
			config := p.config(t, store)
			selected := everything(t, config.Graph)
			o := outlookOf(t, config, selected)
			got, d := jobsOf(t, config, selected)
			for _, n := range config.Graph.Nodes {
				for i := range n.Set.Len() {
					at := n.Target.Label.At(n.Set.Text(i))
					f, good := o[at], isGood(d.State(n, i)) || d.State(n, i) == engine.Held
					switch {
					case f.fate != Runs && f.fate != MayRun && got[at]:
						t.Errorf("seed %d, step %d: %s ran, of which nobody knew", seed, step, at)
					case f.fate == Runs && !f.evicted && !got[at] && good:
						t.Errorf("seed %d, step %d: %s did not run, which was certain: %v", seed, step, at, f)
					case f.fate == Runs && got[at]:
						certain++
					case f.fate == Runs:
						kept++
					}
				}
			}
			if t.Failed() {
				return
			}
			p.accept(t, store)
			p.edit()
			p.write(t)
		}
	}
	t.Logf("%d certain jobs ran, %d were kept from it by rules", certain, kept)
}
