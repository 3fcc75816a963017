package plan

import (
	"errors"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// world answers by label: what is known of each target's one action.
type world map[string]string

func (w world) Recipe(n *graph.Node) (*engine.Recipe, error) {
	if w[n.Target.Label.Name] == "unreadable" {
		return nil, errors.New("no permission")
	}
	return &engine.Recipe{Target: n.Target}, nil
}

func (w world) Observe(n *graph.Node, _ int) (cache.TreeDigest, bool, error) {
	return cache.TreeDigest{1}, w[n.Target.Label.Name] != "missing", nil
}

func (w world) Files(*graph.Node, int, int) (cache.TreeDigest, bool, error) {
	return cache.TreeDigest{2}, true, nil
}

// court lets everything pass.
type court struct{}

func (court) Shape(*graph.Node) cache.SectionDigest { return cache.SectionDigest{} }

func (court) Judge(n *graph.Node, _ int, r *engine.Result, _ cache.SectionDigest) (Verdict, error) {
	v := Verdict{State: engine.Fresh}
	for _, o := range r.Outputs {
		v.Outputs = append(v.Outputs, engine.VersionOutput{Name: o.Name, Raw: o.Tree, Visible: o.Tree})
	}
	return v, nil
}

func (court) Admit(*Decider, *graph.Node, int, int, *Binding) (Verdict, error) {
	return Verdict{State: engine.Fresh}, nil
}

// lookups are told by target, as keys are not known beforehand.
type lookups struct {
	world
	now *string // the target that is decided
}

func (w lookups) Lookup(cache.ActionKey) (*engine.Result, bool, error) {
	switch what := w.world[*w.now]; what {
	case "fresh", "expired":
		observed := time.Unix(1000, 0)
		if what == "expired" {
			observed = time.Unix(0, 0)
		}
		return &engine.Result{Observed: observed, Outputs: []engine.OutputResult{{Name: *w.now, Tree: cache.TreeDigest{3}}}}, false, nil
	case "failed":
		return nil, true, nil
	case "damaged":
		return nil, false, errors.New("the ledger can't be read")
	}
	return nil, false, nil
}

// TestStates: of several inputs the state that comes first counts, and what can't be looked at is never fresh.
func TestStates(t *testing.T) {
	for _, c := range []struct{ a, b, target, want, cause string }{
		{"fresh", "fresh", "fresh", "fresh", ""},
		{"fresh", "fresh", "", "stale", "c"},
		{"fresh", "fresh", "failed", "failed", "c"},
		{"fresh", "fresh", "expired", "stale", "c"},
		{"fresh", "fresh", "damaged", "stale", "c"},
		{"fresh", "fresh", "unreadable", "stale", "c"},
		{"fresh", "", "fresh", "undecided", "b"},
		{"failed", "", "fresh", "blocked", "a"},
		{"", "failed", "fresh", "blocked", "b"},
		{"missing", "failed", "fresh", "missing", "a"},
		{"failed", "missing", "fresh", "missing", "b"},
		{"expired", "damaged", "fresh", "undecided", "a"},
	} {
		what := world{"a": c.a, "b": c.b, "c": c.target}
		ws := &engine.Workspace{}
		for _, name := range []string{"a", "b", "c"} {
			target := &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Command: []engine.Text{engine.Literal(name)}, ValidFor: 1000 * time.Second,
				Outputs: []*engine.Output{{Name: name, Path: name}}}
			if what[name] == "missing" {
				target.Kind = engine.Source
			}
			ws.Targets = append(ws.Targets, target)
		}
		for _, in := range []string{"a", "b"} {
			ws.Targets[2].Inputs = append(ws.Targets[2].Inputs, &engine.Input{Name: in, From: engine.Ref{Label: engine.Label{Name: in}}})
		}
		g, problems := graph.New(ws, time.Unix(0, 0))
		if problems != nil {
			t.Fatal(problems)
		}
		var now string
		d := New(g, lookups{what, &now}, court{}, time.Unix(1500, 0))
		w := d.Worker()
		for _, n := range g.Nodes {
			now = n.Target.Label.Name
			d.Prepare(n)
			w.Decide(n, 0)
		}
		n := g.Node(engine.Label{Name: "c"})
		cause := ""
		if got := d.State(n, 0); got != engine.Fresh {
			from, _ := g.Action(d.Cause(n, 0))
			cause = from.Target.Label.Name
		}
		if got := d.State(n, 0).String(); got != c.want || cause != c.cause {
			t.Errorf("a is %q, b is %q, c is %q: %s because of %q; want %s because of %q", c.a, c.b, c.target, got, cause, c.want, c.cause)
		}
	}
}
