package plan

import (
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Worker decides actions with memory of its own, so that several may work side by side on actions whose producers are decided.
type Worker struct {
	d       *Decider
	section engine.Section
	parts   []engine.Part
	names   map[*engine.Input]string
	binding Binding
	memo    map[*graph.Edge]memo
}

// memo is the digest of an edge's last selection: many consumers in a row read the same one.
type memo struct {
	selection graph.SelectionKey
	digest    cache.SectionDigest
}

// Worker returns a new worker.
func (d *Decider) Worker() *Worker {
	return &Worker{d: d, names: map[*engine.Input]string{}, memo: map[*graph.Edge]memo{}}
}

// Decide finds the state of an action whose producers are decided. What can't be looked at counts as stale, and Problem says why.
func (w *Worker) Decide(n *graph.Node, i int) engine.State {
	s := &w.d.nodes[n.Index]
	id := n.Base + graph.ActionID(i)
	state, cause, err := w.decide(n, s, i)
	switch {
	case err != nil:
		w.d.setProblem(id, err)
		state, cause = engine.Stale, id
	case state == engine.Fresh:
		cause = 0
	}
	s.state[i], s.cause[i] = state, cause
	return state
}

func (w *Worker) decide(n *graph.Node, s *node, i int) (engine.State, graph.ActionID, error) {
	id := n.Base + graph.ActionID(i)
	if n.Target.Kind == engine.Source {
		return w.decideSource(n, s, i)
	}
	if f, ok := s.frozen[i]; ok {
		return engine.Frozen, 0, w.decideFrozen(n, s, i, f)
	}
	if _, err := w.d.Recipe(n); err != nil {
		return 0, 0, err
	}
	key, ok := w.recall(n, s, i)
	if !ok {
		var o obstacle
		parts, err := w.keyParts(n, i, &o, nil)
		if err != nil {
			return 0, 0, err
		}
		if o.state != 0 {
			return o.state, o.cause, nil
		}
		key = engine.Key(parts)
	}
	s.key[i] = key
	if w.d.seeded(n, i) {
		return engine.Fresh, 0, nil
	}
	if state, err := w.admit(n, i); state != engine.Fresh {
		return state, id, err
	}
	result, failed, err := w.d.world.Lookup(key)
	switch {
	case err != nil:
		return 0, 0, err
	case failed && (result == nil || result.Expired(n.Target.ValidFor, w.d.now)):
		return engine.Failed, id, nil
	case result == nil || result.Expired(n.Target.ValidFor, w.d.now) || !hasOutputs(n, result):
		return engine.Stale, id, nil
	}
	return w.judge(n, s, i, result)
}

// hasOutputs says whether a result has the outputs that are declared.
func hasOutputs(n *graph.Node, r *engine.Result) bool {
	return !slices.ContainsFunc(n.Target.Outputs, func(o *engine.Output) bool {
		return !slices.ContainsFunc(r.Outputs, func(made engine.OutputResult) bool { return made.Name == o.Name })
	})
}

// judge asks what contracts made of a result.
func (w *Worker) judge(n *graph.Node, s *node, i int, result *engine.Result) (engine.State, graph.ActionID, error) {
	id := n.Base + graph.ActionID(i)
	v, err := w.d.court.Judge(n, i, result, w.d.Rules(n, i))
	if err != nil {
		return 0, 0, err
	}
	if v.Outputs != nil {
		s.see(n, i, result, v.Outputs)
	}
	w.d.setPending(id, Pending{Result: result, Verdict: v})
	return v.State, id, nil
}

// admit judges what the inputs bring by the rules on them: Fresh if all passes.
func (w *Worker) admit(n *graph.Node, i int) (engine.State, error) {
	for k, in := range n.Target.Inputs {
		if !in.HasRules() {
			continue
		}
		var o obstacle
		if err := w.bind(n, k, i, &w.binding, &o); err != nil {
			return 0, err
		}
		v, err := w.d.court.Admit(w.d, n, k, i, &w.binding)
		if err != nil {
			return 0, err
		}
		if v.State != engine.Fresh {
			w.d.setPending(n.Base+graph.ActionID(i), Pending{Verdict: v, Input: in})
			return v.State, nil
		}
	}
	return engine.Fresh, nil
}

// decideFrozen has a version stay, and says what it would be now.
func (w *Worker) decideFrozen(n *graph.Node, s *node, i int, f frozen) error {
	if w.d.drift {
		var err error
		if s.drifts[i], err = w.driftOf(n, i, f); err != nil {
			s.drifts[i] = engine.Stale
			w.d.setProblem(n.Base+graph.ActionID(i), err)
		}
	}
	s.key[i] = f.key
	return f.err
}

func (w *Worker) driftOf(n *graph.Node, i int, f frozen) (engine.State, error) {
	if _, err := w.d.Recipe(n); err != nil {
		return 0, err
	}
	var o obstacle
	parts, err := w.keyParts(n, i, &o, nil)
	switch {
	case err != nil:
		return 0, err
	case o.state != 0:
		return o.state, nil
	case engine.Key(parts) != f.key || w.d.Rules(n, i) != f.rules:
		return engine.Stale, nil
	}
	return engine.Fresh, nil
}

func (w *Worker) decideSource(n *graph.Node, s *node, i int) (engine.State, graph.ActionID, error) {
	t, ok, err := w.d.world.Observe(n, i)
	if err != nil {
		return 0, 0, err
	}
	if !ok {
		return engine.MissingState, n.Base + graph.ActionID(i), nil
	}
	if r := s.remembered; r != nil && s.raw == nil && r.Wanted[i] && r.Trees[i] == t {
		s.key[i] = r.Keys[i]
	} else {
		w.section.Reset()
		describeSource(&w.section, n, i, t)
		s.key[i] = engine.Key([]engine.Part{{Name: "source", Digest: w.section.Digest()}})
	}
	if w.d.seeded(n, i) {
		return engine.Fresh, 0, nil
	}
	return w.judge(n, s, i, &engine.Result{Key: s.key[i], Outputs: []engine.OutputResult{{Name: n.Target.Outputs[0].Name, Tree: t, Rows: -1}}})
}

// describeSource writes the one part of a source's key: what was observed.
func describeSource(s *engine.Section, n *graph.Node, i int, t cache.TreeDigest) {
	s.Add("@"+n.Set.Text(i), string(t[:]))
}

// keyParts lists the sections of an action's key. With keep, it is handed each section's bytes as well.
func (w *Worker) keyParts(n *graph.Node, i int, o *obstacle, keep func(engine.Part, []byte)) ([]engine.Part, error) {
	if err := w.ownParts(n, i, keep); err != nil {
		return nil, err
	}
	for k, in := range n.Target.Inputs {
		name := w.partName(in)
		if keep == nil && w.remembered(n, k, i, name) {
			continue
		}
		b := &w.binding
		if err := w.bind(n, k, i, b, o); err != nil {
			return nil, err
		}
		if o.state != 0 {
			continue
		}
		w.section.Reset()
		in.DescribeInput(&w.section, b.Reading, b.Parts)
		w.add(name, keep)
		w.remember(n, k, i)
	}
	return w.parts, nil
}

// OwnParts lists the sections of a key that don't depend on inputs, of the target and of the partition: they are known before any producer is decided. keep is handed
// each one's bytes, unless it is nil.
func (w *Worker) OwnParts(n *graph.Node, i int, keep func(engine.Part, []byte)) ([]engine.Part, error) {
	if _, err := w.d.Recipe(n); err != nil {
		return nil, err
	}
	if err := w.ownParts(n, i, keep); err != nil {
		return nil, err
	}
	return slices.Clone(w.parts), nil
}

func (w *Worker) ownParts(n *graph.Node, i int, keep func(engine.Part, []byte)) error {
	s := &w.d.nodes[n.Index]
	w.parts = append(w.parts[:0], s.target)
	if keep != nil {
		keep(s.target, s.body)
	}
	w.section.Reset()
	if err := n.Target.DescribePartition(&w.section, n.Set.Partition(i), n.Set.Intervals(i)); err != nil {
		return err
	}
	w.add("partition", keep)
	return nil
}

func (w *Worker) add(name string, keep func(engine.Part, []byte)) {
	p := engine.Part{Name: name, Digest: w.section.Digest()}
	w.parts = append(w.parts, p)
	if keep != nil {
		keep(p, slices.Clone(w.section.Bytes()))
	}
}

func (w *Worker) partName(in *engine.Input) string {
	name, ok := w.names[in]
	if !ok {
		name = "input " + in.Name
		w.names[in] = name
	}
	return name
}

// remembered adds the digest of the edge's last selection if this action has the same one. That selection was free of obstacles.
func (w *Worker) remembered(n *graph.Node, k, i int, name string) bool {
	e := n.Edges[k]
	if e == nil || e.From == n {
		return false
	}
	m, ok := w.memo[e]
	if !ok || m.selection != e.Inputs(i).Key() {
		return false
	}
	w.parts = append(w.parts, engine.Part{Name: name, Digest: m.digest})
	return true
}

func (w *Worker) remember(n *graph.Node, k, i int) {
	if e := n.Edges[k]; e != nil && e.From != n {
		w.memo[e] = memo{e.Inputs(i).Key(), w.parts[len(w.parts)-1].Digest}
	}
}

// Parts lists the sections of a decided action's key, handing each one's bytes to keep: what is recorded with a result and what explains it.
func (w *Worker) Parts(n *graph.Node, i int, keep func(engine.Part, []byte)) ([]engine.Part, error) {
	if n.Target.Kind == engine.Source {
		t, _, err := w.d.world.Observe(n, i)
		w.section.Reset()
		w.parts = w.parts[:0]
		describeSource(&w.section, n, i, t)
		w.add("source", keep)
		return slices.Clone(w.parts), err
	}
	var o obstacle
	parts, err := w.keyParts(n, i, &o, keep)
	return slices.Clone(parts), err
}

// Bindings lists the inputs of an action that can run, with the content that enters.
func (w *Worker) Bindings(n *graph.Node, i int) ([]Binding, error) {
	out := make([]Binding, len(n.Target.Inputs))
	for k := range out {
		var o obstacle
		if err := w.bind(n, k, i, &out[k], &o); err != nil {
			return nil, err
		}
		out[k].File = InputFile(n, k)
	}
	return out, nil
}
