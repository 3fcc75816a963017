package plan

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// scene is a world with a court. What they know of an action is found by its label, with "@" and its partition if it has one, else by its target's name.
type scene struct {
	t       *testing.T
	ws      *engine.Workspace
	known   map[string]string             // of results and sources: "", failed, missing, damaged, incomplete; a result is there by default
	trees   map[string]byte               // what the job wrote, or the source has; 1 by default
	shapes  map[string]byte               // of targets
	verdict map[string]func(*Verdict)     // what the court makes of a result, which otherwise passes
	admit   map[string]func(*Verdict)     // of an input, by target.input
	errs    map[string]error              // of judging and admitting, likewise
	brought map[string][]cache.TreeDigest // what was admitted
	asked   []string
	now     string // the action that is decided
}

var errCourt = errors.New("the court can't be asked")

func newScene(t *testing.T, targets ...*engine.Target) *scene {
	ws := &engine.Workspace{Dimensions: []*engine.Dimension{{Name: "day", Unit: engine.Day, Start: "2017-06-01", End: "2017-06-03"}}, Targets: targets}
	return &scene{t: t, ws: ws, known: map[string]string{}, trees: map[string]byte{}, shapes: map[string]byte{}, verdict: map[string]func(*Verdict){},
		admit: map[string]func(*Verdict){}, errs: map[string]error{}, brought: map[string][]cache.TreeDigest{}}
}

// of finds what is known of an action.
func of[T any](m map[string]T, name string) T {
	if v, ok := m[name]; ok {
		return v
	}
	short, _, _ := strings.Cut(name, "@")
	return m[short]
}

func nameOf(n *graph.Node, i int) string {
	if text := n.Set.Text(i); text != "" {
		return n.Target.Label.Name + "@" + text
	}
	return n.Target.Label.Name
}

func (s *scene) tree(name string) cache.TreeDigest {
	return cache.TreeDigest{max(1, of(s.trees, name))}
}

func (s *scene) Recipe(n *graph.Node) (*engine.Recipe, error) {
	return &engine.Recipe{Target: n.Target}, nil
}

func (s *scene) Observe(n *graph.Node, i int) (cache.TreeDigest, bool, error) {
	return s.tree(nameOf(n, i)), of(s.known, nameOf(n, i)) != "missing", nil
}

func (s *scene) Files(*graph.Node, int, int) (cache.TreeDigest, bool, error) {
	return cache.TreeDigest{2}, true, nil
}

func (s *scene) Lookup(k cache.ActionKey) (*engine.Result, bool, error) {
	s.asked = append(s.asked, "lookup "+s.now)
	r := &engine.Result{Key: k, Observed: time.Unix(0, 0)}
	target, _, _ := strings.Cut(s.now, "@")
	for _, t := range s.ws.Targets {
		if t.Label.Name == target {
			for _, o := range t.Outputs {
				r.Outputs = append(r.Outputs, engine.OutputResult{Name: o.Name, Tree: s.tree(s.now), Rows: -1})
			}
		}
	}
	switch of(s.known, s.now) {
	case "stale":
		return nil, false, nil
	case "failed":
		return nil, true, nil
	case "failed again":
		return r, true, nil
	case "damaged":
		return nil, false, errors.New("the ledger can't be read")
	case "incomplete":
		r.Outputs = r.Outputs[:len(r.Outputs)-1]
	}
	return r, false, nil
}

func (s *scene) Shape(n *graph.Node) cache.SectionDigest {
	return cache.SectionDigest{s.shapes[n.Target.Label.Name]}
}

func (s *scene) Judge(n *graph.Node, i int, r *engine.Result, _ cache.SectionDigest) (Verdict, error) {
	name := nameOf(n, i)
	s.asked = append(s.asked, "judge "+name)
	v := Verdict{State: engine.Fresh}
	for _, o := range r.Outputs {
		v.Outputs = append(v.Outputs, engine.VersionOutput{Name: o.Name, Raw: o.Tree, Visible: o.Tree})
	}
	if f := of(s.verdict, name); f != nil {
		f(&v)
	}
	return v, of(s.errs, name)
}

func (s *scene) Admit(_ *Decider, n *graph.Node, input, i int, b *Binding) (Verdict, error) {
	name := n.Target.Label.Name + "." + n.Target.Inputs[input].Name
	s.asked = append(s.asked, "admit "+name)
	s.brought[name] = nil
	for _, p := range b.Parts {
		s.brought[name] = append(s.brought[name], p.Tree)
	}
	v := Verdict{State: engine.Fresh}
	if f := s.admit[name]; f != nil {
		f(&v)
	}
	return v, s.errs[name]
}

// start makes a decider for all targets.
func (s *scene) start() *Decider {
	s.t.Helper()
	g, problems := graph.New(s.ws, time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC))
	if problems != nil {
		s.t.Fatal(problems)
	}
	s.asked = nil
	d := New(g, s, s, time.Unix(1500, 0))
	for _, n := range g.Nodes {
		d.Prepare(n)
	}
	return d
}

func (s *scene) decide(d *Decider) *Decider {
	w := d.Worker()
	for _, n := range d.graph.Nodes {
		for i := range n.Set.Len() {
			s.now = nameOf(n, i)
			w.Decide(n, i)
		}
	}
	return d
}

// nodeOf finds a target's node.
func nodeOf(d *Decider, name string) *graph.Node { return d.graph.Node(engine.Label{Name: name}) }

// spell writes the state of a target's first action, and where it begins if that is elsewhere.
func spell(d *Decider, name string) string {
	n := nodeOf(d, name)
	state := d.State(n, 0)
	if state == engine.Fresh {
		return state.String()
	}
	from, i := d.graph.Action(d.Cause(n, 0))
	if from == n {
		return state.String()
	}
	return state.String() + " by " + nameOf(from, i)
}

func (s *scene) expect(d *Decider, want map[string]string) {
	s.t.Helper()
	for name, state := range want {
		if got := spell(d, name); got != state {
			s.t.Errorf("%s is %s; want %s", name, got, state)
		}
	}
}

func (s *scene) same(what string, got, want any) {
	s.t.Helper()
	if !reflect.DeepEqual(got, want) {
		s.t.Errorf("%s: got %v; want %v", what, got, want)
	}
}

func source(name string) *engine.Target {
	return &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Source, Path: engine.Literal(name), Outputs: []*engine.Output{tableOf(name)}}
}

func tableOf(name string) *engine.Output {
	return &engine.Output{Name: name, Path: name + ".parquet", Format: engine.Parquet,
		Expects: []*engine.Expect{{Name: "plausible"}, {Name: "volume"}}, Rejects: []*engine.Reject{{Name: "unscored"}}}
}

// job is a command that reads targets of other names: "a", or "a.quarantine".
func job(name string, reads ...string) *engine.Target {
	t := &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Command: []engine.Text{engine.Literal(name)}, Outputs: []*engine.Output{tableOf(name)}}
	for _, from := range reads {
		from, aside := strings.CutSuffix(from, ".quarantine")
		in := &engine.Input{Name: from, From: engine.Ref{Label: engine.Label{Name: from}}}
		if aside {
			in.Name, in.From.Output, in.From.Quarantine = from+"_aside", from, true
		}
		t.Inputs = append(t.Inputs, in)
	}
	return t
}

// waives lets the first input of a job take held versions.
func waives(t *engine.Target, rules ...string) *engine.Target {
	t.Inputs[0].Waive = rules
	return t
}

// ruled puts an expectation on each input of a job.
func ruled(t *engine.Target) *engine.Target {
	for _, in := range t.Inputs {
		in.Expects = []*engine.Expect{{Name: "enough"}}
	}
	return t
}

func daily(t *engine.Target) *engine.Target {
	t.PartitionBy = []string{"day"}
	return t
}

func held(rules ...string) func(*Verdict) {
	return func(v *Verdict) {
		v.State = engine.Held
		for _, rule := range rules {
			v.Failing = append(v.Failing, engine.Finding{Rule: rule, Status: engine.Violated})
		}
	}
}

func refuses(v *Verdict) {
	v.State, v.Failing = engine.Refused, []engine.Finding{{Rule: "enough", Status: engine.Violated}}
}

func unjudged(v *Verdict) { v.State = engine.Stale }

// split moves rows aside: consumers see the visible tree.
func split(visible, quarantine byte) func(*Verdict) {
	return func(v *Verdict) {
		v.Outputs[0].Visible, v.Outputs[0].Quarantine = cache.TreeDigest{visible}, cache.TreeDigest{quarantine}
	}
}

func (s *scene) brings(d *Decider, name string) (out []cache.TreeDigest) {
	s.t.Helper()
	bindings, err := d.Worker().Bindings(nodeOf(d, name), 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, b := range bindings {
		for _, p := range b.Parts {
			out = append(out, p.Tree)
		}
	}
	return out
}

// TestHeld: consumers of what is held, and theirs, are blocked by it, and nobody looks for their results.
func TestHeld(t *testing.T) {
	for _, what := range []*engine.Target{job("a"), source("a")} {
		s := newScene(t, what, job("b", "a"), job("c", "b"), job("other"))
		s.verdict["a"] = held("plausible")
		d := s.decide(s.start())
		s.expect(d, map[string]string{"a": "held", "b": "blocked by a", "c": "blocked by a", "other": "fresh"})
		if what.Kind == engine.Source {
			s.same("asked", s.asked, []string{"judge a", "lookup other", "judge other"})
		} else {
			s.same("asked", s.asked, []string{"lookup a", "judge a", "lookup other", "judge other"})
		}
		p, ok := d.Pending(nodeOf(d, "a").Base)
		s.same("is pending", ok && p.Failing[0].Rule == "plausible" && p.Result != nil && p.Input == nil, true)
		s.same("its key is known", d.Key(nodeOf(d, "a"), 0).IsZero(), false)
		s.same("no key of what is blocked", d.Key(nodeOf(d, "b"), 0).IsZero(), true)
	}
	s := newScene(t, job("a"), job("b", "a"), job("c", "b"))
	s.verdict["b"] = held("plausible")
	s.expect(s.decide(s.start()), map[string]string{"a": "fresh", "b": "held", "c": "blocked by b"})
}

// TestWaive: a held version enters if nothing but what is waived holds it, as it would if it were fresh.
func TestWaive(t *testing.T) {
	for _, c := range []struct {
		held, waive []string
		want        string
	}{
		{[]string{"plausible"}, nil, "blocked by a"},
		{[]string{"plausible"}, []string{}, "blocked by a"},
		{[]string{"plausible"}, []string{"plausible"}, "fresh"},
		{[]string{"plausible"}, []string{"volume"}, "blocked by a"},
		{[]string{"plausible", "volume"}, []string{"plausible"}, "blocked by a"},
		{[]string{"plausible", "volume"}, []string{"volume", "plausible"}, "fresh"},
		{[]string{"plausible"}, []string{"volume", "plausible", "key"}, "fresh"},
		{[]string{engine.RuleRejected}, []string{engine.RuleRejected}, "fresh"},
		{[]string{engine.RuleRejected, engine.RuleColumns}, []string{engine.RuleRejected}, "blocked by a"},
	} {
		s := newScene(t, job("a"), waives(job("b", "a"), c.waive...), job("c", "b"), job("strict", "a"))
		s.trees["a"] = 5
		s.verdict["a"] = func(v *Verdict) { split(6, 7)(v); held(c.held...)(v) }
		d := s.decide(s.start())
		s.expect(d, map[string]string{"a": "held", "b": c.want, "c": c.want, "strict": "blocked by a"})
		if c.want != "fresh" {
			continue
		}
		s.same("what enters", s.brings(d, "b"), []cache.TreeDigest{{6}})
		key := d.Key(nodeOf(d, "b"), 0)
		s.verdict["a"] = split(6, 7)
		d = s.decide(s.start())
		s.expect(d, map[string]string{"a": "fresh", "b": "fresh"})
		s.same("key where nothing is held", d.Key(nodeOf(d, "b"), 0), key)
	}
}

// TestWaiveOnlyHeld: nothing but a held version can be waived.
func TestWaiveOnlyHeld(t *testing.T) {
	noOutputs := func(v *Verdict) { held("plausible")(v); v.Outputs = nil }
	for what, c := range map[string]struct {
		known   string
		verdict func(*Verdict)
		refuse  bool
		want    string
	}{
		"failed": {"failed", nil, false, "blocked by a"}, "stale": {"stale", nil, false, "undecided by a"}, "to be judged": {"", unjudged, false, "undecided by a"},
		"refused": {"", nil, true, "blocked by a"}, "held, and not split": {"", noOutputs, false, "blocked by a"},
	} {
		s := newScene(t, job("x"), ruled(job("a", "x")), waives(job("b", "a"), "plausible", engine.RuleKey))
		s.known["a"], s.verdict["a"] = c.known, c.verdict
		if c.refuse {
			s.admit["a.x"] = refuses
		}
		if got := spell(s.decide(s.start()), "b"); got != c.want {
			t.Errorf("%s: %s; want %s", what, got, c.want)
		}
	}
}

// TestSettledHeld: a waive counts for what a build just held, too.
func TestSettledHeld(t *testing.T) {
	s := newScene(t, job("a"), waives(job("b", "a"), "plausible"), job("c", "a"), job("d", "a"))
	s.known["a"] = "stale"
	d := s.decide(s.start())
	s.expect(d, map[string]string{"a": "stale", "b": "undecided by a", "c": "undecided by a"})
	n := nodeOf(d, "a")
	p := Pending{Result: &engine.Result{Outputs: []engine.OutputResult{{Name: "a", Tree: cache.TreeDigest{5}}}},
		Verdict: Verdict{Outputs: []engine.VersionOutput{{Name: "a", Raw: cache.TreeDigest{5}, Visible: cache.TreeDigest{6}, Quarantine: cache.TreeDigest{7}}}}}
	held("plausible")(&p.Verdict)
	d.Settle(n, 0, engine.Held, p)
	w := d.Worker()
	decide := func(name string) {
		s.now = name
		w.Decide(nodeOf(d, name), 0)
	}
	decide("b")
	decide("c")
	s.expect(d, map[string]string{"a": "held", "b": "fresh", "c": "blocked by a"})
	s.same("what enters", s.brings(d, "b"), []cache.TreeDigest{{6}})
	d.Settle(n, 0, engine.Fresh, p)
	decide("c")
	s.expect(d, map[string]string{"a": "fresh", "c": "fresh"})
	d.Settle(n, 0, engine.Failed, Pending{})
	decide("d")
	s.expect(d, map[string]string{"a": "failed", "d": "blocked by a"})
	p, _ = d.Pending(n.Base)
	s.same("pending of what failed", p, Pending{})
}

// TestRefused: what inputs bring is judged when all of them are there, and before results are looked for.
func TestRefused(t *testing.T) {
	for what, c := range map[string]struct {
		known map[string]string
		hold  bool // a
		admit map[string]func(*Verdict)
		errs  map[string]error
		want  string
		asked []string // of c
	}{
		"all pass":                   {want: "fresh", asked: []string{"admit c.a", "admit c.b", "lookup c", "judge c"}},
		"the first is refused":       {admit: map[string]func(*Verdict){"c.a": refuses, "c.b": refuses}, want: "refused", asked: []string{"admit c.a"}},
		"the second is refused":      {admit: map[string]func(*Verdict){"c.b": refuses}, want: "refused", asked: []string{"admit c.a", "admit c.b"}},
		"to be judged, then refused": {admit: map[string]func(*Verdict){"c.a": unjudged, "c.b": refuses}, want: "stale", asked: []string{"admit c.a"}},
		"can't be asked":             {errs: map[string]error{"c.a": errCourt}, want: "stale", asked: []string{"admit c.a"}},
		"refused before failed":      {known: map[string]string{"c": "failed"}, admit: map[string]func(*Verdict){"c.a": refuses}, want: "refused", asked: []string{"admit c.a"}},
		"refused before stale":       {known: map[string]string{"c": "stale"}, admit: map[string]func(*Verdict){"c.a": refuses}, want: "refused", asked: []string{"admit c.a"}},
		"passes, and failed":         {known: map[string]string{"c": "failed"}, want: "failed", asked: []string{"admit c.a", "admit c.b", "lookup c"}},
		"another is stale":           {known: map[string]string{"b": "stale"}, admit: map[string]func(*Verdict){"c.a": refuses}, want: "undecided by b"},
		"another failed":             {known: map[string]string{"b": "failed"}, admit: map[string]func(*Verdict){"c.a": refuses}, want: "blocked by b"},
		"another is held":            {hold: true, admit: map[string]func(*Verdict){"c.b": refuses}, want: "blocked by a"},
	} {
		s := newScene(t, job("a"), job("b"), ruled(job("c", "a", "b")), job("d", "c"))
		s.trees["a"], s.trees["b"] = 5, 6
		if c.known != nil {
			s.known = c.known
		}
		if c.admit != nil {
			s.admit = c.admit
		}
		if c.errs != nil {
			s.errs = c.errs
		}
		if c.hold {
			s.verdict["a"] = held("plausible")
		}
		d := s.decide(s.start())
		after := map[string]string{"fresh": "fresh", "refused": "blocked by c", "failed": "blocked by c", "stale": "undecided by c"}[c.want]
		if after == "" {
			after = c.want
		}
		s.expect(d, map[string]string{"c": c.want, "d": after})
		var asked []string
		for _, a := range s.asked {
			if strings.HasPrefix(a, "admit") || strings.HasSuffix(a, " c") {
				asked = append(asked, a)
			}
		}
		s.same(what+": asked", asked, c.asked)
		if c.asked != nil {
			s.same(what+": what a brings", s.brought["c.a"], []cache.TreeDigest{{5}})
		}
		problem := d.Problem(nodeOf(d, "c").Base)
		s.same(what+": problem", problem, c.errs["c.a"])
	}
}

// TestRefusedIsPending: which input is refused, and by what, is told.
func TestRefusedIsPending(t *testing.T) {
	for verdict, state := range map[string]engine.State{"refuses": engine.Refused, "unjudged": engine.Stale} {
		s := newScene(t, job("a"), job("b"), ruled(job("c", "a", "b")))
		s.admit["c.b"] = map[string]func(*Verdict){"refuses": refuses, "unjudged": unjudged}[verdict]
		d := s.decide(s.start())
		n := nodeOf(d, "c")
		p, ok := d.Pending(n.Base)
		s.same(verdict, ok && p.Input == n.Target.Inputs[1] && p.Result == nil && p.State == state, true)
		s.same(verdict+": failing", len(p.Failing), map[string]int{"refuses": 1}[verdict])
		s.same(verdict+": the key is known", d.Key(n, 0).IsZero(), false)
		s.same(verdict+": the cause", spell(d, "c"), state.String())
	}
}

// TestInputsWithoutRules are not judged; the columns that a consumer asks for are a rule.
func TestInputsWithoutRules(t *testing.T) {
	s := newScene(t, job("a"), job("b"), ruled(job("c", "a", "b")), job("d", "b"))
	s.ws.Targets[3].Inputs[0].Columns = []engine.Column{{Name: "id", Type: "BIGINT"}}
	s.admit["d.b"] = refuses
	s.ws.Targets[2].Inputs[0].Expects = nil
	s.admit["c.a"] = refuses
	s.expect(s.decide(s.start()), map[string]string{"c": "fresh", "d": "refused"})
	s.same("what was admitted", s.brought, map[string][]cache.TreeDigest{"c.b": {{1}}, "d.b": {{1}}})
}

// seedAll tells a decider what another one found out, under a shape.
func (s *scene) seedAll(d, from *Decider, shape map[string]byte) {
	for _, n := range d.graph.Nodes {
		was := nodeOf(from, n.Target.Label.Name)
		for i := range n.Set.Len() {
			p, _ := from.Pending(was.Base + graph.ActionID(i))
			d.Seed(n, i, from.Key(was, i), cache.SectionDigest{shape[n.Target.Label.Name]}, Visible(p.Result, p.Outputs))
		}
	}
}

// TestSeeds: what current names is fresh without a question, if key and rules are the same.
func TestSeeds(t *testing.T) {
	lookups := []string{"lookup a", "judge a"}
	c := []string{"admit c.a", "lookup c", "judge c"}
	for what, x := range map[string]struct {
		shapes   map[string]byte // now
		trees    map[string]byte
		known    map[string]string
		validFor time.Duration
		asked    []string
	}{
		"nothing changed":         {},
		"rules on a changed":      {shapes: map[string]byte{"a": 9, "c": 2}, asked: lookups},
		"rules on c changed":      {shapes: map[string]byte{"a": 1, "c": 9}, asked: c},
		"all rules changed":       {shapes: map[string]byte{}, asked: slices.Concat(lookups, c)},
		"content of a changed":    {shapes: map[string]byte{"a": 9, "c": 2}, trees: map[string]byte{"a": 7}, asked: slices.Concat(lookups, c)},
		"the last run failed":     {known: map[string]string{"a": "failed again", "c": "failed"}},
		"results that may expire": {validFor: time.Hour, asked: slices.Concat(lookups, c)},
	} {
		s := newScene(t, job("a"), ruled(job("c", "a")))
		s.verdict["a"] = split(5, 6)
		s.shapes = map[string]byte{"a": 1, "c": 2}
		before := s.decide(s.start())
		for _, target := range s.ws.Targets {
			target.ValidFor = x.validFor
		}
		if x.shapes != nil {
			s.shapes = x.shapes
		}
		if x.trees != nil {
			s.trees = x.trees
			s.verdict["a"] = split(7, 6)
		}
		if x.known != nil {
			s.known = x.known
		}
		d := s.start()
		s.seedAll(d, before, map[string]byte{"a": 1, "c": 2})
		s.decide(d)
		s.expect(d, map[string]string{"a": "fresh", "c": "fresh"})
		s.same(what+": asked", s.asked, x.asked)
		visible := cache.TreeDigest{5}
		if x.trees != nil {
			visible = cache.TreeDigest{7}
		}
		s.same(what+": visible", d.Tree(nodeOf(d, "a"), 0, 0), visible)
		s.same(what+": shape", d.Rules(nodeOf(d, "a"), 0), cache.SectionDigest{s.shapes["a"]})
	}
}

// TestSeedsOfPartitions: each partition has the shape that it was accepted under, and seeds of other outputs count for nothing.
func TestSeedsOfPartitions(t *testing.T) {
	s := newScene(t, daily(job("a")))
	s.shapes["a"] = 1
	before := s.decide(s.start())
	n := nodeOf(before, "a")
	outputs := []engine.OutputResult{{Name: "a", Tree: cache.TreeDigest{1}}}
	for what, c := range map[string]struct {
		shapes []byte
		output string
		want   []string
	}{
		"all the same": {[]byte{1, 1, 1}, "a", nil}, "the last differs": {[]byte{1, 1, 2}, "a", []string{"3"}}, "the first differs": {[]byte{2, 1, 1}, "a", []string{"1"}},
		"another output": {[]byte{1, 1, 1}, "b", []string{"1", "2", "3"}},
	} {
		d := s.start()
		for i, shape := range c.shapes {
			outputs[0].Name = c.output
			d.Seed(nodeOf(d, "a"), i, before.Key(n, i), cache.SectionDigest{shape}, outputs)
		}
		s.decide(d)
		var asked []string
		for _, a := range s.asked {
			if day, ok := strings.CutPrefix(a, "judge a@day=2017-06-0"); ok {
				asked = append(asked, day)
			}
		}
		s.same(what+": judged", asked, c.want)
	}
	d := s.start()
	for _, shape := range []byte{2, 1} { // the last seed counts
		d.Seed(nodeOf(d, "a"), 0, before.Key(n, 0), cache.SectionDigest{shape}, []engine.OutputResult{{Name: "a"}})
	}
	s.now = "a@day=2017-06-01"
	d.Worker().Decide(nodeOf(d, "a"), 0)
	s.same("asked", s.asked, []string(nil))
}

// TestQuarantine: an edge reads what was rejected, and not what was left; both are found again in a seed.
func TestQuarantine(t *testing.T) {
	s := newScene(t, job("a"), job("aside", "a.quarantine"), job("rest", "a"))
	s.trees["a"] = 5
	keys := func(d *Decider) []cache.ActionKey {
		return []cache.ActionKey{d.Key(nodeOf(d, "aside"), 0), d.Key(nodeOf(d, "rest"), 0)}
	}
	check := func(what string, d *Decider, visible, quarantine, raw byte) {
		t.Helper()
		s.expect(d, map[string]string{"a": "fresh", "aside": "fresh", "rest": "fresh"})
		a := nodeOf(d, "a")
		s.same(what+": aside", s.brings(d, "aside"), []cache.TreeDigest{{quarantine}})
		s.same(what+": rest", s.brings(d, "rest"), []cache.TreeDigest{{visible}})
		s.same(what+": quarantine", d.Quarantine(a, 0, 0), cache.TreeDigest{quarantine})
		s.same(what+": visible", d.Tree(a, 0, 0), cache.TreeDigest{visible})
		made := d.Made(a, 0, 0)
		s.same(what+": made", []any{made.Tree, made.Raw, made.Key, made.Output}, []any{cache.TreeDigest{visible}, cache.TreeDigest{raw}, d.Key(a, 0), a.Target.Outputs[0]})
	}
	s.verdict["a"] = split(6, 7)
	first := s.decide(s.start())
	check("split", first, 6, 7, 5)
	seeded := s.start()
	s.seedAll(seeded, first, nil)
	check("seeded", s.decide(seeded), 6, 7, 5)
	s.same("asked", s.asked, []string(nil))
	s.same("keys", keys(seeded), keys(first))

	s.verdict["a"] = split(6, 8)
	other := s.decide(s.start())
	check("more is rejected", other, 6, 8, 5)
	s.same("another key of aside, the same of the rest", []bool{keys(other)[0] == keys(first)[0], keys(other)[1] == keys(first)[1]}, []bool{false, true})
	s.verdict["a"] = split(9, 7)
	other = s.decide(s.start())
	s.same("the same key of aside, another of the rest", []bool{keys(other)[0] == keys(first)[0], keys(other)[1] == keys(first)[1]}, []bool{true, false})

	p, _ := first.Pending(nodeOf(first, "a").Base)
	s.same("known, and not", []bool{seeded.Known(nodeOf(seeded, "a"), 0, p.Outputs), first.Known(nodeOf(first, "a"), 0, p.Outputs)}, []bool{true, false})
	for _, change := range []func(*engine.VersionOutput){func(o *engine.VersionOutput) { o.Visible[1]++ }, func(o *engine.VersionOutput) { o.Quarantine[1]++ }} {
		outputs := slices.Clone(p.Outputs)
		change(&outputs[0])
		s.same("known", seeded.Known(nodeOf(seeded, "a"), 0, outputs), false)
	}
}

// TestHeldQuarantine: what was rejected of a held version is no more to be had than the rest of it.
func TestHeldQuarantine(t *testing.T) {
	s := newScene(t, job("a"), job("aside", "a.quarantine"), waives(job("loose", "a.quarantine"), engine.RuleRejected))
	s.verdict["a"] = func(v *Verdict) { split(6, 7)(v); held(engine.RuleRejected)(v) }
	d := s.decide(s.start())
	s.expect(d, map[string]string{"aside": "blocked by a", "loose": "fresh"})
	s.same("what enters", s.brings(d, "loose"), []cache.TreeDigest{{7}})
}

// TestSeedAfterAnother: a split that left nothing beside takes back what another seed left there.
func TestSeedAfterAnother(t *testing.T) {
	s := newScene(t, job("a"))
	d := s.start()
	n := nodeOf(d, "a")
	r := &engine.Result{}
	d.Seed(n, 0, cache.ActionKey{1}, cache.SectionDigest{}, Visible(r, []engine.VersionOutput{{Name: "a", Raw: cache.TreeDigest{1}, Visible: cache.TreeDigest{2}, Quarantine: cache.TreeDigest{3}}}))
	s.same("raw", d.Made(n, 0, 0).Raw, cache.TreeDigest{1})
	d.Seed(n, 0, cache.ActionKey{1}, cache.SectionDigest{}, Visible(r, []engine.VersionOutput{{Name: "a", Raw: cache.TreeDigest{4}, Visible: cache.TreeDigest{4}}}))
	s.same("quarantine", d.Quarantine(n, 0, 0), cache.TreeDigest{})
	s.same("raw", d.Made(n, 0, 0).Raw, cache.TreeDigest{4})
}

// TestJudge: what the court can't tell is stale, and never fresh.
func TestJudge(t *testing.T) {
	for _, what := range []*engine.Target{job("a"), source("a")} {
		s := newScene(t, what, job("b", "a"))
		s.errs["a"] = errCourt
		d := s.decide(s.start())
		s.expect(d, map[string]string{"a": "stale", "b": "undecided by a"})
		n := nodeOf(d, "a")
		s.same("problem", d.Problem(n.Base), errCourt)
		s.same("of b", d.Problem(nodeOf(d, "b").Base), nil)
		_, ok := d.Pending(n.Base)
		s.same("pending", ok, false)

		s.errs = nil
		s.trees["a"] = 5
		s.verdict["a"] = func(v *Verdict) { split(6, 7)(v); unjudged(v) }
		d = s.decide(s.start())
		s.expect(d, map[string]string{"a": "stale", "b": "undecided by a"})
		n = nodeOf(d, "a")
		p, ok := d.Pending(n.Base)
		s.same("the result that has to be judged", ok && p.Result != nil && p.Result.Key == d.Key(n, 0) && p.Result.Outputs[0].Tree == cache.TreeDigest{5}, true)
		s.same("outputs", p.Outputs, []engine.VersionOutput{{Name: "a", Raw: cache.TreeDigest{5}, Visible: cache.TreeDigest{6}, Quarantine: cache.TreeDigest{7}}})
		s.same("problem", d.Problem(n.Base), nil)

		s.verdict["a"] = func(v *Verdict) { v.Measure = true }
		d = s.decide(s.start())
		s.expect(d, map[string]string{"a": "fresh", "b": "fresh"})
		p, _ = d.Pending(nodeOf(d, "a").Base)
		s.same("has to be measured", p.Measure && p.Result != nil, true)
	}
}

// TestNotJudged: where there is no good result, the court is not asked.
func TestNotJudged(t *testing.T) {
	for known, want := range map[string]string{"stale": "stale", "failed": "failed", "failed again": "fresh", "damaged": "stale", "incomplete": "stale"} {
		s := newScene(t, job("a"))
		s.known["a"] = known
		s.expect(s.decide(s.start()), map[string]string{"a": want})
		s.same(known+": judged", slices.Contains(s.asked, "judge a"), want == "fresh")
	}
	s := newScene(t, job("a"))
	s.ws.Targets[0].ValidFor = time.Hour // of 1970
	s.now = "a"
	d := New(s.start().graph, s, s, time.Unix(3600, 0))
	d.Prepare(nodeOf(d, "a"))
	s.same("expired", d.Worker().Decide(nodeOf(d, "a"), 0), engine.Stale)
	s.same("judged", slices.Contains(s.asked, "judge a"), false)
}

// TestSources: what is observed is judged like what a job made, unless there is nothing.
func TestSources(t *testing.T) {
	s := newScene(t, source("a"), job("b", "a"))
	s.known["a"] = "missing"
	s.expect(s.decide(s.start()), map[string]string{"a": "missing", "b": "missing by a"})
	s.same("asked", s.asked, []string(nil))
	s.known["a"], s.trees["a"] = "", 5
	s.verdict["a"] = split(6, 7)
	first := s.decide(s.start())
	s.expect(first, map[string]string{"a": "fresh", "b": "fresh"})
	s.same("asked", s.asked[0], "judge a")
	s.same("what enters", s.brings(first, "b"), []cache.TreeDigest{{6}})
	p, _ := first.Pending(nodeOf(first, "a").Base)
	s.same("its result", *p.Result, engine.Result{Key: first.Key(nodeOf(first, "a"), 0), Outputs: []engine.OutputResult{{Name: "a", Tree: cache.TreeDigest{5}, Rows: -1}}})
	d := s.start()
	s.seedAll(d, first, nil)
	s.decide(d)
	s.same("asked", s.asked, []string(nil))
	s.shapes["a"] = 9
	d = s.start()
	s.seedAll(d, first, nil)
	s.decide(d)
	s.same("asked, with other rules", s.asked, []string{"judge a"})
}

// TestMissingAndHeld: a partition that lacks may be left out, one that is held may not, and what waives one counts as there.
func TestMissingAndHeld(t *testing.T) {
	const d1, d2, d3 = "a@day=2017-06-01", "a@day=2017-06-02", "a@day=2017-06-03"
	for _, c := range []struct {
		missing       engine.Missing
		lacks, holds  []string
		want, waiving string // without and with a waive
	}{
		{engine.Block, nil, []string{d2}, "blocked by " + d2, "fresh"},
		{engine.Block, nil, []string{d2, d3}, "blocked by " + d2, "fresh"},
		{engine.Block, []string{d3}, []string{d1}, "missing by " + d3, "missing by " + d3},
		{engine.Block, []string{d1}, []string{d3}, "missing by " + d1, "missing by " + d1},
		{engine.Skip, []string{d1, d3}, nil, "fresh", "fresh"},
		{engine.Skip, []string{d1, d2, d3}, nil, "fresh", "fresh"},
		{engine.Skip, []string{d1}, []string{d2}, "blocked by " + d2, "fresh"},
		{engine.Skip, []string{d1, d2}, []string{d3}, "blocked by " + d3, "fresh"},
		{engine.SkipNewer, []string{d3}, nil, "fresh", "fresh"},
		{engine.SkipNewer, []string{d3}, []string{d1}, "blocked by " + d1, "fresh"},
		{engine.SkipNewer, []string{d3}, []string{d2}, "blocked by " + d2, "fresh"},
		{engine.SkipNewer, []string{d1}, nil, "missing by " + d1, "missing by " + d1},
		{engine.SkipNewer, []string{d2}, []string{d3}, "blocked by " + d3, "missing by " + d2},
		{engine.SkipNewer, []string{d2, d3}, []string{d1}, "blocked by " + d1, "fresh"},
	} {
		s := newScene(t, daily(source("a")), job("b", "a"), waives(job("loose", "a"), "plausible"))
		var entering []cache.TreeDigest
		for k, name := range []string{d1, d2, d3} {
			s.trees[name] = byte(k + 1)
			switch {
			case slices.Contains(c.lacks, name):
				s.known[name] = "missing"
				continue
			case slices.Contains(c.holds, name):
				s.verdict[name] = held("plausible")
			}
			entering = append(entering, cache.TreeDigest{byte(k + 1)})
		}
		s.ws.Targets[1].Inputs[0].Missing, s.ws.Targets[2].Inputs[0].Missing = c.missing, c.missing
		d := s.decide(s.start())
		what := fmt.Sprintf("%s, lacking %v, holding %v", c.missing, c.lacks, c.holds)
		s.same(what, []string{spell(d, "b"), spell(d, "loose")}, []string{c.want, c.waiving})
		if c.waiving == "fresh" {
			s.same(what+": enters", s.brings(d, "loose"), entering)
		}
	}
}
