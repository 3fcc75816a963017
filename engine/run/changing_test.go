package run

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// stirring are events at which somebody writes to the sources: between what was decided and what then runs, and while jobs run.
type stirring struct {
	silent
	t       *testing.T
	r       *rand.Rand
	root    string
	running map[string]int // by target, the source that it reads
	made    int
}

func (s *stirring) Started(j Job) {
	var k int
	if _, err := fmt.Sscanf(j.Label.Name, "t%d", &k); err != nil {
		s.t.Fatal(err)
	}
	s.running[j.Label.Name] = k
	s.stir()
}

func (s *stirring) Finished(j Job, _ Outcome) { delete(s.running, j.Label.Name) }
func (s *stirring) Counted(Counts)            { s.stir() }

// stir writes, every now and then, what no source ever held to one that a job reads just now.
func (s *stirring) stir() {
	for _, name := range slices.Sorted(maps.Keys(s.running)) {
		if s.r.IntN(3) == 0 {
			s.write(s.running[name])
		}
	}
}

func (s *stirring) write(k int) {
	s.t.Helper()
	s.made++
	name := filepath.Join(s.root, fmt.Sprint("s", k), "o.txt")
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Repeat(fmt.Sprintln(s.made), 1+s.r.IntN(2000))), 0o666); err != nil {
		s.t.Fatal(err)
	}
}

// copies is a workspace of sources, every other one read in place, and targets that copy them.
func copies(n int, store string) *engine.Workspace {
	ws := &engine.Workspace{StorePath: store, Packages: []*engine.Package{{}}}
	for k := range n {
		source := engine.Label{Name: fmt.Sprint("s", k)}
		ws.Targets = append(ws.Targets,
			&engine.Target{Label: source, Kind: engine.Source, InPlace: k%2 == 1, Path: engine.Literal(source.Name + "/o.txt"), Outputs: []*engine.Output{{Name: source.Name, Path: "o.txt"}}},
			&engine.Target{Label: engine.Label{Name: fmt.Sprint("t", k)}, Kind: engine.Command, Inputs: []*engine.Input{{Name: "in", From: engine.Ref{Label: source}}},
				Outputs: []*engine.Output{{Name: "o", Path: "o.txt"}}, Command: []engine.Text{engine.Literal("cp"), {{Path: "input.in"}}, {{Path: "output.o"}}}})
	}
	return ws
}

// TestSourcesThatChangeAllTheTime: whatever happens to sources while a build runs, each result is that of the sources that its key names, and when they rest all is fresh.
func TestSourcesThatChangeAllTheTime(t *testing.T) {
	t.Parallel()
	const sources, builds = 6, 20
	s := &stirring{t: t, r: rand.New(rand.NewPCG(4, 1)), root: memoryDir(t), running: map[string]int{}}
	store := filepath.Join(memoryDir(t), "store")
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	g, problems := graph.New(copies(sources, store), now)
	if engine.HasErrors(problems) {
		t.Fatalf("graph: %v", problems)
	}
	all, err := g.Select([]engine.Pattern{{Below: true}})
	if err != nil {
		t.Fatal(err)
	}
	config := Config{Root: s.root, Graph: g, Now: now, Version: "test", PathEnv: os.Getenv("PATH")}
	for k := range sources {
		s.write(k)
	}
	again, gaveUp := 0, 0
	build := func(events Events) {
		session, err := Open(config)
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		summary, err := session.Build(context.Background(), all, Options{Jobs: 2, Events: events, KeepGoing: true})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range summary.Warnings {
			if strings.Contains(w.Summary, "decided anew") {
				again++
			}
		}
		for _, f := range summary.Failures {
			if gaveUp++; !f.Local || !strings.Contains(f.Reason, "it changed while dpb was running") {
				t.Errorf("%+v", f)
			}
		}
	}
	for range builds {
		build(s)
	}
	if again == 0 || gaveUp == 0 {
		t.Errorf("%d times something was decided anew, %d times that did not help: the test is too tame", again, gaveUp)
	}
	before := gaveUp
	if build(silent{}); gaveUp != before {
		t.Error("the last build failed")
	}
	config.ReadOnly = true
	session, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	d, err := session.Status(context.Background(), all)
	if err != nil {
		t.Fatal(err)
	}
	versions := 0
	for _, n := range g.Nodes {
		if d.State(n, 0) != engine.Fresh {
			t.Errorf("%s is %s", n.Target.Label, d.State(n, 0))
		}
		if isJob(n) {
			versions += copiesRight(t, session, n)
		}
	}
	if versions < 2*sources {
		t.Errorf("only %d versions", versions)
	}
}

// copiesRight holds of all versions of a target that what it made is what its key says that it read.
func copiesRight(t *testing.T, s *Session, n *graph.Node) int {
	t.Helper()
	list, err := s.Ledger.VersionsOf(s.Graph.Workspace.Name, n.Target.Label, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range list {
		read, err := s.inputOf(v, "in")
		if err != nil || len(read) != 1 {
			t.Fatalf("%v %v", read, err)
		}
		if read[0].Tree != v.Outputs[0].Raw {
			t.Errorf("%s#%s is another than what its key names", n.Target.Label, v.ID.Short())
		}
	}
	return len(list)
}
