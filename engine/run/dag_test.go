package run

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

var seeds = flag.Int("seeds", 50, "how many random pipelines TestRandomPipelines builds")

// pipeline is a random workspace that edits can change and go back.
type pipeline struct {
	r       *rand.Rand
	root    string
	days    int
	targets []*randomTarget
	files   map[string]string // of the sources, by path from the root
	glob    bool              // sources without partitions are wildcards
}

// randomTarget reads some of the targets before it.
type randomTarget struct {
	name   string
	source bool
	by     []string // partition_by
	script string
	inputs []*engine.Input
}

// scripts say what a job does with each line l of its inputs, in the shell's own words: a process more for each would be most of the test's time.
var scripts = []string{
	`echo "$l"`, `[ "$l" = "$p" ] || echo "$l"; p=$l`, `n=$((n+1)); [ $n = 1 ] || continue; echo "$l"`, `echo "x$l"`, `n=$((n+1)); echo $n`,
}

func newPipeline(t *testing.T, seed uint64) *pipeline {
	p := &pipeline{r: rand.New(rand.NewPCG(seed, 1)), root: memoryDir(t), days: 9 + int(seed%3), files: map[string]string{}}
	for k := range 2 {
		p.targets = append(p.targets, &randomTarget{name: fmt.Sprintf("s%d", k), source: true, by: [][]string{{"day"}, nil}[k]})
	}
	for k := range 2 + p.r.IntN(4) {
		p.targets = append(p.targets, p.randomTarget(k))
	}
	for d := range p.days {
		p.files[p.dayFile(d)] = p.content()
	}
	p.files["s1.txt"] = p.content()
	p.write(t)
	return p
}

func (p *pipeline) dayFile(d int) string {
	return "s0/" + time.Date(2017, 1, 27+d, 0, 0, 0, 0, time.UTC).Format("2006-01-02") + ".txt"
}

func (p *pipeline) content() string {
	return strings.Repeat(string(rune('a'+p.r.IntN(4)))+"\n", 1+p.r.IntN(3))
}

func (p *pipeline) randomTarget(k int) *randomTarget {
	x := &randomTarget{name: fmt.Sprintf("t%d", k), by: [][]string{nil, {"day"}, {"day"}, {"month"}}[p.r.IntN(4)], script: scripts[p.r.IntN(len(scripts))]}
	for _, from := range p.targets {
		if p.r.IntN(3) == 0 {
			continue
		}
		in := &engine.Input{Name: from.name, From: engine.Ref{Label: engine.Label{Name: from.name}}}
		if slices.Equal(x.by, []string{"day"}) && slices.Equal(from.by, x.by) && p.r.IntN(2) == 0 {
			in.Window = &engine.Window{From: -p.r.IntN(3), To: 0}
		}
		x.inputs = append(x.inputs, in)
	}
	if slices.Equal(x.by, []string{"day"}) && p.r.IntN(3) == 0 {
		x.inputs = append(x.inputs, &engine.Input{Name: "before", From: engine.Ref{Label: engine.Label{Name: x.name}}, Window: &engine.Window{From: -1, To: -1}})
	}
	return x
}

// memoryDir is a directory in memory where there is one: this test makes hundreds of stores, and how disks are slow is not its subject.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "dpb-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = disk.RemoveAll(dir) })
	return dir
}

// edit changes one thing: a file, a script, or a day's existence.
func (p *pipeline) edit() {
	switch p.r.IntN(3) {
	case 0:
		p.files[p.dayFile(p.r.IntN(p.days))] = p.content()
	case 1:
		p.files["s1.txt"] = p.content()
	default:
		x := p.targets[2+p.r.IntN(len(p.targets)-2)]
		x.script = scripts[p.r.IntN(len(scripts))]
	}
}

// elsewhere is another checkout of the same state.
func (p *pipeline) elsewhere(t *testing.T) *pipeline {
	t.Helper()
	q := *p
	q.root = memoryDir(t)
	q.write(t)
	return &q
}

// evict deletes a part of the store's bytes, and perhaps what is shown of them.
func (p *pipeline) evict(t *testing.T, store string) {
	t.Helper()
	for _, kind := range []string{"blobs", "trees"} {
		files, err := filepath.Glob(filepath.Join(store, kind, "*", "*"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if p.r.IntN(2) == 0 {
				if err := os.Remove(f); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if p.r.IntN(2) == 0 {
		if err := disk.RemoveAll(filepath.Join(p.root, "dpb-out")); err != nil {
			t.Fatal(err)
		}
	}
}

// state is what edits change, so that a test can go back to it.
type treeState struct {
	files   map[string]string
	scripts []string
}

func (p *pipeline) state() treeState {
	s := treeState{files: map[string]string{}}
	for k, v := range p.files {
		s.files[k] = v
	}
	for _, x := range p.targets {
		s.scripts = append(s.scripts, x.script)
	}
	return s
}

func (p *pipeline) restore(s treeState) {
	for k, v := range s.files {
		p.files[k] = v
	}
	for k, x := range p.targets {
		x.script = s.scripts[k]
	}
}

func (p *pipeline) write(t *testing.T) {
	t.Helper()
	for name, content := range p.files {
		full := filepath.Join(p.root, name)
		if old, err := os.ReadFile(full); err == nil && string(old) == content {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *pipeline) workspace(store string) *engine.Workspace {
	last := time.Date(2017, 1, 26+p.days, 0, 0, 0, 0, time.UTC)
	ws := &engine.Workspace{StorePath: store, Packages: []*engine.Package{{}}, Dimensions: []*engine.Dimension{
		{Name: "day", Unit: engine.Day, Start: "2017-01-27", End: last.Format("2006-01-02")},
		{Name: "month", Unit: engine.Month, Start: "2017-01", End: "2017-02"},
	}}
	for _, x := range p.targets {
		label := engine.Label{Name: x.name}
		target := &engine.Target{Label: label, PartitionBy: x.by}
		output := &engine.Output{Name: x.name, Path: x.name + ".txt"}
		target.Outputs = []*engine.Output{output}
		if x.source {
			target.Kind, target.Path = engine.Source, engine.Literal(x.name+".txt")
			if p.glob {
				target.Path = engine.Literal(x.name + ".txt*")
			}
			if x.by != nil {
				target.Path = engine.Text{{Literal: x.name + "/"}, {Dimension: "day"}, {Literal: ".txt"}}
			}
		} else {
			target.Kind, target.Inputs = engine.Command, x.inputs
			script := `for x in "$@"; do for f in "$x" "$x"/* "$x"/*/*; do if [ -f "$f" ]; then while read -r l; do ` + x.script +
				`; done < "$f"; fi; done; done > "$DPB_OUTPUT_` + strings.ToUpper(x.name) + `"`
			target.Command = []engine.Text{engine.Literal("sh"), engine.Literal("-c"), engine.Literal(script), engine.Literal("sh")}
			for _, in := range x.inputs {
				target.Command = append(target.Command, engine.Text{{Path: "input." + in.Name}})
			}
		}
		ws.Targets = append(ws.Targets, target)
	}
	slices.SortFunc(ws.Targets, func(a, b *engine.Target) int { return a.Label.Compare(b.Label) })
	return ws
}

// outcome of one build: what every action holds, and how many jobs ran.
type outcome struct {
	trees map[string]cache.TreeDigest
	keys  map[cache.ActionKey]bool
	ran   int
}

func (p *pipeline) config(t *testing.T, store string) Config {
	t.Helper()
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	g, problems := graph.New(p.workspace(store), now)
	if engine.HasErrors(problems) {
		t.Fatalf("graph: %v", problems)
	}
	// Edits change files and arguments. Of every other pipeline files count as old enough for their times to tell a change, as they do two seconds later.
	return Config{Root: p.root, Graph: g, Now: now, Version: "test", Program: "test", PathEnv: os.Getenv("PATH"), Declared: cache.Sum([]byte("all else")), ahead: time.Duration(p.days%2) * time.Hour}
}

// make builds what is selected and returns how many jobs ran.
func (p *pipeline) make(t *testing.T, config Config, selected []graph.Selected, jobs int) int {
	t.Helper()
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	summary, err := s.Build(context.Background(), selected, Options{Jobs: jobs, Events: silent{}})
	if err != nil || len(summary.Failures) > 0 {
		t.Fatalf("build: %v %+v", err, summary.Failures)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return summary.Ran
}

// some builds one partition of one target, with what it needs.
func (p *pipeline) some(t *testing.T, store string) int {
	t.Helper()
	config := p.config(t, store)
	n := config.Graph.Nodes[p.r.IntN(len(config.Graph.Nodes))]
	return p.make(t, config, []graph.Selected{{Node: n, Partitions: []int{p.r.IntN(n.Set.Len())}}}, 2)
}

func (p *pipeline) build(t *testing.T, store string, jobs int) outcome {
	t.Helper()
	config := p.config(t, store)
	g := config.Graph
	all, problem := g.Select([]engine.Pattern{{Below: true}})
	if problem != nil {
		t.Fatal(problem)
	}
	o := outcome{trees: map[string]cache.TreeDigest{}, keys: map[cache.ActionKey]bool{}, ran: p.make(t, config, all, jobs)}
	config.ReadOnly = true
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := s.Status(context.Background(), all)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		for i := range n.Set.Len() {
			if state := d.State(n, i); state != engine.Fresh {
				t.Fatalf("%s is %s after a build", n.Target.Label.At(n.Set.Text(i)), state)
			}
			o.trees[n.Target.Label.At(n.Set.Text(i))] = d.Tree(n, i, 0)
			if isJob(n) {
				o.keys[d.Key(n, i)] = true
			}
		}
	}
	return o
}

type silent struct{}

func (silent) Started(Job)           {}
func (silent) Finished(Job, Outcome) {}
func (silent) Counted(Counts)        {}
func (silent) Done(Summary)          {}

// TestRandomPipelines holds the promise of the whole engine: after any edits and returns to earlier states, an incremental build has the trees of
// a clean one, it runs exactly the jobs whose keys nobody has built yet, and the next build runs none.
func TestRandomPipelines(t *testing.T) {
	if testing.Short() {
		*seeds = min(*seeds, 20)
	}
	for seed := range uint64(*seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newPipeline(t, seed)
			store := filepath.Join(memoryDir(t), "store")
			built := map[cache.ActionKey]bool{}
			states := []treeState{p.state()}
			evicted := false // from then on jobs may run for their bytes alone
			for step := range 4 {
				before := 0
				if p.r.IntN(2) == 0 {
					before = p.some(t, store)
				}
				if step > 0 && p.r.IntN(3) == 0 {
					p.evict(t, store)
					evicted = true
				}
				got := p.build(t, store, 1+int(seed+uint64(step))%3)
				got.ran += before
				if p.r.IntN(2) == 0 {
					there := p.elsewhere(t).build(t, store, 2)
					compareTrees(t, there, got)
					if there.ran != 0 && !evicted {
						t.Errorf("step %d: another checkout ran %d jobs, whose results the store has", step, there.ran)
					}
				}
				want := p.elsewhere(t).build(t, filepath.Join(memoryDir(t), "clean"), 2)
				compareTrees(t, got, want)
				stale := 0
				for k := range want.keys {
					if !built[k] {
						stale++
					}
					built[k] = true
				}
				if got.ran != stale && !(evicted && got.ran > stale) { // jobs whose bytes are gone and needed run again
					t.Errorf("step %d: %d jobs ran, %d were stale", step, got.ran, stale)
				}
				if again := p.build(t, store, 2); again.ran != 0 {
					t.Errorf("step %d: the second build ran %d jobs", step, again.ran)
				}
				if p.r.IntN(3) == 0 {
					p.restore(states[p.r.IntN(len(states))])
				} else {
					p.edit()
				}
				states = append(states, p.state())
				p.write(t)
			}
		})
	}
}

func compareTrees(t *testing.T, got, want outcome) {
	t.Helper()
	for name, tree := range want.trees {
		if got.trees[name] != tree {
			t.Errorf("%s: an incremental build has %s, a clean one %s", name, got.trees[name].Short(), tree.Short())
		}
	}
}
