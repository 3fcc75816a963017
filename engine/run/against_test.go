package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// rework changes what edit does not: how inputs are read, and which there are.
func (p *pipeline) rework() {
	x := p.targets[2+p.r.IntN(len(p.targets)-2)]
	if len(x.inputs) == 0 {
		return
	}
	x.inputs = slices.Clone(x.inputs)
	k := p.r.IntN(len(x.inputs))
	if p.r.IntN(3) == 0 && len(x.inputs) > 1 {
		x.inputs = slices.Delete(x.inputs, k, k+1)
		return
	}
	if in := *x.inputs[k]; in.Window != nil && in.Name != "before" {
		in.Window = &engine.Window{From: -p.r.IntN(3), To: 0}
		x.inputs[k] = &in
	}
}

// TestRandomAgainst: what a comparison with a revision says that has to run, once the revision is built, runs, and nothing runs of which it says that it need not.
func TestRandomAgainst(t *testing.T) {
	t.Parallel()
	certain, spared, ran := 0, 0, 0
	for seed := range uint64(*seeds / 8) {
		p := newPipeline(t, seed)
		store := filepath.Join(memoryDir(t), "store")
		p.build(t, store, 2)
		q := p.elsewhere(t)
		before, past := p.state(), Past{Root: q.root, Graph: q.config(t, store).Graph}
		if p.r.IntN(3) == 0 {
			p.days++
			p.files[p.dayFile(p.days-1)] = p.content()
		}
		for range 1 + p.r.IntN(2) {
			if p.r.IntN(2) == 0 {
				p.rework()
			} else {
				p.edit()
			}
		}
		p.write(t)
		for name, text := range p.files {
			if before.files[name] != text {
				past.Changed = append(past.Changed, name)
			}
		}
		config := p.config(t, store)
		fates := p.against(t, config, past)
		got, _ := jobsOf(t, config, everything(t, config.Graph))
		for at, f := range fates {
			name := fmt.Sprintf("seed %d: %s", seed, at)
			switch {
			case f == Runs && !got[at]:
				t.Errorf("%s did not run, which was certain", name)
			case f == Runs:
				certain++
			case f == MayRun && !got[at]:
				spared++
			case f == Idle && got[at]:
				t.Errorf("%s ran, of which nobody knew", name)
			}
		}
		ran += len(got)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d jobs ran, %d of them were certain; %d were spared", ran, certain, spared)
	if *seeds >= 80 && (certain == 0 || certain == ran) {
		t.Error("one of the cases did not come up")
	}
}

// against tells what would become of each job, were the past built.
func (p *pipeline) against(t *testing.T, config Config, past Past) map[string]Fate {
	t.Helper()
	config.ReadOnly = true
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c, err := s.compareWith(context.Background(), &past)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]Fate{}
	for _, n := range config.Graph.Nodes {
		for i := range n.Set.Len() {
			if isJob(n) {
				out[n.Target.Label.At(n.Set.Text(i))] = c.outlook.Fate(n, i)
			}
		}
	}
	return out
}
