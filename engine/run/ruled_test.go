package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/publish"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// standingAt is what a build left of one action.
type standingAt struct {
	state            engine.State
	cause            string
	visible, aside   cache.TreeDigest
	failing, finding string
}

// verdicts are what a build came to.
type verdicts struct {
	at         map[string]standingAt
	keys       map[cache.ActionKey]bool // of jobs whose results are known
	ran        int
	judged     int
	unmeasured bool // a rule could not be judged as bytes were gone
}

func textOf(findings []engine.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Status.String()+" "+contract.Text(f))
	}
	return strings.Join(out, "; ")
}

func everything(t *testing.T, g *graph.Graph) []graph.Selected {
	t.Helper()
	all, problem := g.Select([]engine.Pattern{{Below: true}})
	if problem != nil {
		t.Fatal(problem)
	}
	return all
}

// build builds what is selected, all if nil, and checks what holds after each build whatever came before it.
func (p *ruled) build(t *testing.T, store string, selected []graph.Selected, jobs int) verdicts {
	t.Helper()
	config := p.config(t, store)
	whole := selected == nil
	if whole {
		selected = everything(t, config.Graph)
	} else {
		selected = onto(config.Graph, selected)
	}
	s, err := Open(config)
	if err != nil {
		t.Fatal(err)
	}
	before := s.pointers(t)
	b, summary, err := s.build(context.Background(), selected, Options{Jobs: jobs, Events: silent{}, KeepGoing: p.r.IntN(2) == 0})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range summary.Failures {
		if f.State == engine.Failed {
			t.Fatalf("%s failed: %s", f.Label.At(f.Partition), f.Reason)
		}
	}
	built := s.verdicts(t, b.decider)
	built.ran, built.judged = summary.Ran, summary.Judged
	p.check(t, s, b.decider, before, whole)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	config.ReadOnly = true
	if s, err = Open(config); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	d, err := s.Status(context.Background(), selected)
	if err != nil {
		t.Fatal(err)
	}
	compareVerdicts(t, "status", s.verdicts(t, d), built)
	return built
}

// onto finds a selection again in another graph of the same targets.
func onto(g *graph.Graph, selected []graph.Selected) (out []graph.Selected) {
	for _, sel := range selected {
		out = append(out, graph.Selected{Node: g.Node(sel.Node.Target.Label), Partitions: sel.Partitions})
	}
	return out
}

// pointers lists what current names.
func (s *Session) pointers(t *testing.T) map[string]ledger.Current {
	t.Helper()
	out := map[string]ledger.Current{}
	err := s.Ledger.Currents(s.Graph.Workspace.Name, s.Environment, func(c ledger.Current) error {
		out[c.Label.At(c.Partition)] = c
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// verdicts gathers what was decided.
func (s *Session) verdicts(t *testing.T, d *plan.Decider) verdicts {
	t.Helper()
	out := verdicts{at: map[string]standingAt{}, keys: map[cache.ActionKey]bool{}}
	pointers := s.pointers(t)
	for _, n := range s.Graph.Nodes {
		for i := range n.Set.Len() {
			if !d.Prepared(n) || d.State(n, i) == 0 {
				continue
			}
			at := n.Target.Label.At(n.Set.Text(i))
			x := standingAt{state: d.State(n, i)}
			version := pointers[at].Version
			switch x.state {
			case engine.Fresh:
				x.visible, x.aside = d.Tree(n, i, 0), d.Quarantine(n, i, 0)
			case engine.Held:
				x.visible, x.aside = d.Tree(n, i, 0), d.Quarantine(n, i, 0)
				version = s.HeldVersion(d, n, i)
			}
			if x.state != engine.Fresh {
				from, k := s.Graph.Action(d.Cause(n, i))
				x.cause = from.Target.Label.At(from.Set.Text(k))
			}
			if x.state == engine.Held || x.state == engine.Refused {
				pending, _ := d.Pending(n.Base + graph.ActionID(i))
				x.failing = textOf(pending.Failing)
			}
			if (x.state == engine.Fresh || x.state == engine.Held) && isJudged(n.Target) {
				j, ok, err := s.Ledger.Judgement(s.Environment, version, d.Rules(n, i))
				if err != nil || !ok {
					t.Errorf("%s is %s and has no judgement: %v", at, x.state, err)
				}
				x.finding = textOf(j.Findings)
			}
			if (x.state == engine.Fresh || x.state == engine.Held) && isJob(n) {
				out.keys[d.Key(n, i)] = true
			}
			out.unmeasured = out.unmeasured || strings.Contains(x.failing+x.finding, unmeasuredText) || strings.Contains(x.failing+x.finding, errUnmeasured.Error())
			out.at[at] = x
		}
	}
	return out
}

func compareVerdicts(t *testing.T, what string, got, want verdicts) {
	t.Helper()
	if got.unmeasured || want.unmeasured {
		return
	}
	for _, at := range slices.Sorted(maps.Keys(want.at)) {
		g, w := got.at[at], want.at[at]
		if g.state != w.state {
			t.Errorf("%s: %s is %s by %s (%s), want %s by %s (%s)\n  %s\n  %s", what, at, g.state, g.cause, g.failing, w.state, w.cause, w.failing, g.finding, w.finding)
		} else if g != w {
			t.Errorf("%s: %s, %s: got %+v, want %+v", what, at, g.state, g, w)
		}
	}
}

// check holds that current names what is fresh and what was good before, that what is fresh was made from what consumers may take, and that dpb-out shows it.
func (p *ruled) check(t *testing.T, s *Session, d *plan.Decider, before map[string]ledger.Current, whole bool) {
	t.Helper()
	after := s.pointers(t)
	for _, n := range s.Graph.Nodes {
		for i := range n.Set.Len() {
			at := n.Target.Label.At(n.Set.Text(i))
			if !d.Prepared(n) || d.State(n, i) != engine.Fresh {
				if after[at].Version != before[at].Version {
					t.Errorf("%s is %s, and its pointer moved from %s to %s", at, d.State(n, i), before[at].Version.Short(), after[at].Version.Short())
				}
				continue
			}
			p.checkFresh(t, s, d, n, i, after[at])
		}
	}
	p.checkShown(t, s, after, func(n *graph.Node, i int) bool {
		return !p.evicted || whole && d.State(n, i) == engine.Fresh
	})
}

// checkFresh holds that a fresh action's version is current, was judged good, and was made from what its producers' current versions show, or from what it waives.
func (p *ruled) checkFresh(t *testing.T, s *Session, d *plan.Decider, n *graph.Node, i int, c ledger.Current) {
	t.Helper()
	at := n.Target.Label.At(n.Set.Text(i))
	v, ok, err := s.Ledger.Version(c.Version)
	if err != nil || !ok || c.Key != d.Key(n, i) || c.Shape != d.Rules(n, i) && !(p.evicted && c.Shape == (cache.SectionDigest{})) || v.Key != c.Key || v.Outputs[0].Visible != d.Tree(n, i, 0) || v.Outputs[0].Quarantine != d.Quarantine(n, i, 0) {
		t.Errorf("%s is fresh, and current names another version: %v %v %v", at, err, ok, v)
		return
	}
	if isJudged(n.Target) {
		j, ok, err := s.Ledger.Judgement(s.Environment, v.ID, d.Rules(n, i))
		if err != nil || !ok {
			t.Errorf("%s is fresh and was not judged: %v", at, err)
		} else if failing := j.Failing(); len(failing) > 0 {
			if accepted, err := s.accepted(v.Label, v.Partition, "", engine.ContentOf(v.Outputs), failing); !accepted {
				t.Errorf("%s is fresh, and %s: %v", at, textOf(failing), err)
			}
		}
	}
	for k, e := range n.Edges {
		parts, err := s.inputOf(v, n.Target.Inputs[k].Name)
		if err != nil {
			t.Fatal(err)
		}
		var want []engine.InputPart
		for j := range e.Inputs(i).All() {
			tree := d.Tree(e.From, j, 0)
			if e.Quarantine {
				tree = d.Quarantine(e.From, j, 0)
			}
			if d.State(e.From, j) == engine.Held {
				pending, _ := d.Pending(e.From.Base + graph.ActionID(j))
				for _, f := range pending.Failing {
					if !slices.Contains(n.Target.Inputs[k].Waive, f.Rule) {
						t.Errorf("%s is fresh, and took %s, which %s holds", at, e.From.Target.Label.At(e.From.Set.Text(j)), f.Rule)
					}
				}
			} else if d.State(e.From, j) != engine.Fresh {
				t.Errorf("%s is fresh, and %s is %s", at, e.From.Target.Label.At(e.From.Set.Text(j)), d.State(e.From, j))
			}
			want = append(want, engine.InputPart{Partition: e.From.Set.Text(j), Tree: tree})
		}
		if !slices.Equal(parts, want) {
			t.Errorf("%s is fresh, and its input %s was %v, and now is %v", at, n.Target.Inputs[k].Name, parts, want)
		}
	}
}

// checkShown holds that dpb-out shows what current names, of all that must be there, and nothing else.
func (p *ruled) checkShown(t *testing.T, s *Session, after map[string]ledger.Current, must func(n *graph.Node, i int) bool) {
	t.Helper()
	found := map[string]cache.Digest{}
	err := filepath.WalkDir(filepath.Join(p.root, publish.Dir), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(name)
		rel, _ := filepath.Rel(p.root, name)
		found[rel] = cache.Sum(b)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for at, c := range after {
		n := s.Graph.Node(c.Label)
		i, _ := n.Set.IndexText(c.Partition)
		if !isJob(n) {
			continue
		}
		file := publish.Paths(n.Target, n.Set.Partition(i))[0]
		got, ok := found[file]
		delete(found, file)
		tree, err := s.Store.GetTree(context.Background(), c.Outputs[0].Tree)
		switch {
		case !ok && must(n, i):
			t.Errorf("dpb-out lacks %s, which is %s", file, at)
		case ok && err == nil && got != tree.Entries[0].Digest:
			t.Errorf("dpb-out shows something else of %s", at)
		}
	}
	for file := range found {
		t.Errorf("dpb-out has %s, which is not current", file)
	}
}

// accept accepts something that is held or refused, or takes back what was accepted. It says what it did; "" if there was nothing.
func (p *ruled) accept(t *testing.T, store string) string {
	t.Helper()
	s, err := Open(p.config(t, store))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := context.Background()
	list, err := s.Accepted()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) > 0 && p.r.IntN(2) == 0 {
		a := list[p.r.IntN(len(list))]
		n := s.Graph.Node(a.Label)
		i, _ := n.Set.IndexText(a.Partition)
		if _, err := s.Revoke(ctx, n.Target.Label, n.Set.Text(i), engine.VersionID{}, a.Input, "test"); err != nil {
			t.Fatal(err)
		}
		return "revoked " + a.Label.At(a.Partition) + " " + a.Input
	}
	d, err := s.Status(ctx, everything(t, s.Graph))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range p.r.Perm(s.Graph.Actions) {
		n, i := s.Graph.Action(graph.ActionID(k))
		switch d.State(n, i) {
		case engine.Held:
			v, _, err := s.Ledger.Version(s.HeldVersion(d, n, i))
			if err == nil {
				_, err = s.AcceptVersion(ctx, v, "test")
			}
			if err != nil {
				t.Fatal(err)
			}
			return "accepted " + n.Target.Label.At(n.Set.Text(i))
		case engine.Refused:
			pending, _ := d.Pending(graph.ActionID(k))
			if _, err := s.AcceptInput(ctx, d, n, i, pending.Input.Name, "test"); err != nil {
				t.Fatal(err)
			}
			return "accepted input " + pending.Input.Name + " of " + n.Target.Label.At(n.Set.Text(i))
		}
	}
	return ""
}

// tell copies what was accepted in a checkout to another one with a store of its own.
func (p *ruled) tell(t *testing.T, store string, q *ruled, clean string) {
	t.Helper()
	s, err := Open(p.config(t, store))
	if err != nil {
		t.Fatal(err)
	}
	list, err := s.Ledger.AllAcceptances(s.Graph.Workspace.Name, s.Environment)
	if err := cmp.Or(err, s.Close()); err != nil {
		t.Fatal(err)
	}
	to, err := Open(q.config(t, clean))
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range slices.Backward(list) {
		err = cmp.Or(err, to.Ledger.Write(context.Background(), func(tx *ledger.Tx) error { return tx.PutAcceptance(to.Graph.Workspace.Name, to.Environment, a) }))
	}
	if err := cmp.Or(err, to.Close()); err != nil {
		t.Fatal(err)
	}
}

// some selects one partition of one target.
func (p *ruled) some(t *testing.T, store string) []graph.Selected {
	g := p.config(t, store).Graph
	n := g.Nodes[p.r.IntN(len(g.Nodes))]
	return []graph.Selected{{Node: n, Partitions: []int{p.r.IntN(n.Set.Len())}}}
}

// TestRandomRules holds what contracts promise after any edits, acceptances, evictions and returns to earlier states. Where rules compare with nothing that
// was built before, an incremental build comes to what a clean one comes to, where the same was accepted.
func TestRandomRules(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("without DuckDB")
	}
	count := (*seeds + 4) / 5
	if testing.Short() {
		count = min(count, 4)
	}
	for seed := range uint64(count) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			randomRules(t, seed)
		})
	}
}

func randomRules(t *testing.T, seed uint64) {
	p := newRuled(t, seed, seed%3 == 2)
	store := filepath.Join(memoryDir(t), "store")
	known, did := map[cache.ActionKey]bool{}, "first"
	states := []ruledTree{p.tree.clone()}
	for step := range 5 {
		t.Logf("step %d: %s", step, did)
		ran := 0
		if p.r.IntN(3) == 0 {
			part := p.build(t, store, p.some(t, store), 1+3*p.r.IntN(2))
			ran = part.ran
		}
		if step > 0 && p.r.IntN(5) == 0 {
			t.Log("evicted")
			p.evict(t, store)
		}
		got := p.build(t, store, nil, 1+3*p.r.IntN(2))
		ran += got.ran
		if !p.history {
			q, clean := p.elsewhere(t), filepath.Join(memoryDir(t), "clean")
			p.tell(t, store, q, clean)
			compareVerdicts(t, "incremental", got, q.build(t, clean, nil, 2))
		}
		if !p.history && p.r.IntN(3) == 0 {
			q := p.elsewhere(t)
			p.tell(t, store, q, store)
			there := q.build(t, store, nil, 4)
			compareVerdicts(t, "another checkout", there, got)
			if there.ran != 0 && !p.evicted {
				t.Errorf("step %d: another checkout ran %d jobs, whose results the store has", step, there.ran)
			}
		}
		fresh := 0
		for k := range got.keys {
			if !known[k] {
				fresh++
			}
			known[k] = true
		}
		if ran != fresh && !p.evicted {
			t.Errorf("step %d: %d jobs ran, %d were stale", step, ran, fresh)
		}
		again := p.build(t, store, nil, 2)
		if again.ran != 0 || again.judged != 0 && !again.unmeasured {
			t.Errorf("step %d: the second build ran %d jobs and judged %d", step, again.ran, again.judged)
		}
		compareVerdicts(t, "again", again, got)
		if t.Failed() {
			return
		}
		did = ""
		if p.r.IntN(3) == 0 {
			did = p.accept(t, store)
		}
		switch {
		case did != "" && p.r.IntN(2) == 0:
		case p.r.IntN(4) == 0:
			at := p.r.IntN(len(states))
			p.tree = states[at].clone()
			did += " back to " + fmt.Sprint(at)
		default:
			did += " " + p.edit()
		}
		states = append(states, p.tree.clone())
		p.write(t)
	}
}

// TestRandomPriors: verdicts that compare with earlier partitions are the same whether those are built one after the other, or all at once, on one place or four.
func TestRandomPriors(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("without DuckDB")
	}
	count := (*seeds + 19) / 20
	if testing.Short() {
		count = min(count, 2)
	}
	for seed := range uint64(count) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			p := newRuled(t, seed+1000, true)
			for k := range p.tree.targets {
				p.tree.targets[k].refers = "" // what refers is judged by tables that are not complete yet
			}
			want := p.build(t, filepath.Join(memoryDir(t), "clean"), nil, 1)
			q := p.elsewhere(t)
			compareVerdicts(t, "on four places", q.build(t, filepath.Join(memoryDir(t), "clean"), nil, 4), want)
			q = p.elsewhere(t)
			store := filepath.Join(memoryDir(t), "clean")
			for d := range ruledDays {
				var selected []graph.Selected
				for _, n := range q.config(t, store).Graph.Nodes {
					if slices.Equal(n.Target.PartitionBy, []string{"day"}) {
						selected = append(selected, graph.Selected{Node: n, Partitions: []int{d}})
					}
				}
				q.build(t, store, selected, 2)
			}
			got := q.build(t, store, nil, 2)
			compareVerdicts(t, "one after the other", got, want)
		})
	}
}
