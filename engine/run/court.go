package run

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// shape is that of a node, hashed once.
type shape struct {
	once   sync.Once
	digest cache.SectionDigest
}

// Shape identifies the rules on a target. It implements plan.Court, as do Judge and Admit.
func (s *Session) Shape(n *graph.Node) cache.SectionDigest {
	x := &s.shapes[n.Index]
	x.once.Do(func() { x.digest = s.shapeOf(n) })
	return x.digest
}

func (s *Session) shapeOf(n *graph.Node) cache.SectionDigest {
	var lookups []engine.Column
	for _, e := range n.References {
		lookups = append(lookups, lookedUp(e))
	}
	return n.Target.Shape(n.InputOutputs(), lookups, s.engineOf(n.Target))
}

// lookedUp is the column in which a reference looks values up, with its type where that is declared.
func lookedUp(e *graph.Edge) engine.Column {
	for _, c := range e.Output.Columns {
		if c.Name == e.LooksUp() {
			return c
		}
	}
	return engine.Column{Name: e.LooksUp()}
}

// isTable says whether an output has rows.
func isTable(o *engine.Output) bool { return o.Format != engine.Opaque }

// isJudged says whether a result needs a judgement: all but files without rules, and sources without rules, which are taken as they are.
func isJudged(t *engine.Target) bool {
	return t.HasRules() || t.Kind != engine.Source && slices.ContainsFunc(t.Outputs, isTable)
}

// Judge looks up what became of a result under the rules of its target.
func (s *Session) Judge(n *graph.Node, i int, r *engine.Result, rules cache.SectionDigest) (plan.Verdict, error) {
	if s.locked != nil {
		return s.judgeLocked(n, i, r, rules)
	}
	stale := plan.Verdict{State: engine.Stale}
	outputs, ok, err := s.splits(n, i, r)
	if err != nil || !ok {
		return stale, err
	}
	v := plan.Verdict{State: engine.Fresh, Outputs: outputs}
	if !isJudged(n.Target) {
		v.Measure, err = s.unmeasured(n, i, r, outputs)
		return v, err
	}
	if s.Ledger == nil {
		return stale, nil
	}
	id := s.versionOf(n, i, r.Key, outputs).ID
	j, ok, err := s.Ledger.Judgement(s.Environment, id, rules)
	if err != nil || !ok {
		v.State = engine.Stale
		return v, err
	}
	v, err = s.verdict(n, i, v, &j)
	v.Unmeasured = j.Unmeasured
	v.Again = v.Again || j.Unmeasured && s.hasBytes(v.Outputs)
	return v, err
}

// hasBytes says whether the store has all that consumers would see of a version.
func (s *Session) hasBytes(outputs []engine.VersionOutput) bool {
	return !slices.ContainsFunc(outputs, func(o engine.VersionOutput) bool { return !s.Store.Present(context.Background(), o.Visible) })
}

// verdict is what a judgement comes to, with what people accepted.
func (s *Session) verdict(n *graph.Node, i int, v plan.Verdict, j *engine.Judgement) (plan.Verdict, error) {
	v.State, v.Failing = engine.Fresh, j.Failing()
	if len(v.Failing) == 0 {
		return v, nil
	}
	accepted, err := s.accepted(n.Target.Label, n.Set.Text(i), "", engine.ContentOf(v.Outputs), v.Failing)
	if err != nil || accepted {
		return v, err
	}
	v.Judgement, v.State, v.Again = j, engine.Held, comparesWithOthers(n.Target)
	return v, nil
}

// comparesWithOthers says whether a verdict may change although content and rules do not: a rule compares with other versions, or looks values up.
func comparesWithOthers(t *engine.Target) bool {
	return slices.ContainsFunc(t.Outputs, func(o *engine.Output) bool {
		return o.References != nil || slices.ContainsFunc(o.Expects, func(x *engine.Expect) bool { return x.UsesRoot("prior") || x.UsesRoot("replaced") })
	})
}

// accepted says whether a person accepted what these findings hold or refuse.
func (s *Session) accepted(label engine.Label, partition, input string, content cache.Digest, failing []engine.Finding) (bool, error) {
	a, err := s.acceptance(label, partition, input, content, failing)
	return a != nil, err
}

// acceptance finds what makes findings about a version, or about what an input brings, count as accepted; nil: nothing does. Of what was said of the same content, the
// newest that covers them or takes such a word back counts.
func (s *Session) acceptance(label engine.Label, partition, input string, content cache.Digest, failing []engine.Finding) (*engine.Acceptance, error) {
	return s.acceptanceIn(s.Graph.Workspace.Name, s.Environment, label, partition, input, content, failing)
}

// acceptanceIn is acceptance in any workspace and environment.
func (s *Session) acceptanceIn(workspace, environment string, label engine.Label, partition, input string, content cache.Digest, failing []engine.Finding) (*engine.Acceptance, error) {
	list, err := s.words(workspace, environment, label, partition)
	for _, a := range list {
		switch {
		case a.Input != input || a.Subject != content:
		case a.Revoked:
			return nil, err
		case a.Covers(failing):
			return &a, err
		}
	}
	return nil, err
}

// splits finds what consumers see of a result; false if a split is not known yet.
func (s *Session) splits(n *graph.Node, i int, r *engine.Result) ([]engine.VersionOutput, bool, error) {
	out := make([]engine.VersionOutput, len(n.Target.Outputs))
	for k, o := range n.Target.Outputs {
		made := outputOf(r, o.Name)
		out[k] = engine.VersionOutput{Name: o.Name, Raw: made.Tree, Visible: made.Tree}
		if o.Rejects == nil {
			continue
		}
		if s.Ledger == nil {
			return nil, false, nil
		}
		split, ok, err := s.split(s.content(n, i, o, made).SplitID(duckdb.Version()))
		if err != nil || !ok {
			return nil, false, err
		}
		out[k].Visible, out[k].Quarantine = split.Visible, split.Quarantine
	}
	return out, true, nil
}

// content describes an output that a job left.
func (s *Session) content(n *graph.Node, i int, o *engine.Output, made engine.OutputResult) engine.Content {
	return engine.Content{Output: o, Tree: made.Tree, Columns: n.Target.ReaderColumns(o, made.Columns), Partition: n.Set.Text(i)}
}

func outputOf(r *engine.Result, name string) engine.OutputResult {
	for _, o := range r.Outputs {
		if o.Name == name {
			return o
		}
	}
	return engine.OutputResult{Name: name, Rows: -1}
}

// unmeasured says whether a table among the outputs has no fingerprint yet.
func (s *Session) unmeasured(n *graph.Node, i int, r *engine.Result, outputs []engine.VersionOutput) (bool, error) {
	for k, o := range n.Target.Outputs {
		if !isTable(o) {
			continue
		}
		c := s.content(n, i, o, outputOf(r, o.Name))
		c.Tree = outputs[k].Visible
		if s.Ledger == nil {
			return true, nil
		}
		if _, ok, err := s.fingerprint(c.FingerprintID()); err != nil || !ok {
			return true, err
		}
	}
	return false, nil
}

// versionOf is the version that a result of an action becomes.
func (s *Session) versionOf(n *graph.Node, i int, key cache.ActionKey, outputs []engine.VersionOutput) *engine.Version {
	ws := s.Graph.Workspace.Name
	v := &engine.Version{Workspace: ws, Label: n.Target.Label, Partition: n.Set.Text(i), Key: key, Outputs: slices.Clone(outputs)}
	slices.SortFunc(v.Outputs, func(x, y engine.VersionOutput) int { return strings.Compare(x.Name, y.Name) })
	v.ID = engine.NewVersionID(ws, v.Label, v.Partition, v.Key, v.Outputs)
	return v
}

// judgement is what is to be recorded of a version, or of what an input brings.
type judgement struct {
	id      graph.ActionID
	subject engine.VersionID
	rules   cache.SectionDigest
	engine.Judgement
}

// Admit judges what an input brings by the consumer's rules on it. A judgement that lets it pass is frozen; one that refuses is made again each time, as what it was
// compared with, or what was measured, may have changed.
func (s *Session) Admit(d *plan.Decider, n *graph.Node, input, i int, b *plan.Binding) (plan.Verdict, error) {
	if s.locked != nil {
		return s.admitLocked(d, n, input, i, b)
	}
	if s.Ledger == nil {
		return plan.Verdict{State: engine.Stale}, nil
	}
	in := n.Target.Inputs[input]
	made := judgement{id: n.Base + graph.ActionID(i), rules: d.Rules(n, i),
		subject: engine.InputSubject(s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i), in.Name, b.Parts)}
	known, ok, err := s.Ledger.Judgement(s.Environment, made.subject, made.rules)
	if err != nil {
		return plan.Verdict{}, err
	}
	if ok && len(known.Failing()) == 0 {
		return s.admitted(n, i, in, b, &known)
	}
	again, measured, err := s.judgeInput(d, n, input, i, b)
	switch {
	case err != nil:
		return plan.Verdict{}, err
	case !measured && !ok:
		return plan.Verdict{State: engine.Stale}, nil
	case !measured, ok && known.SameReads(again) && slices.Equal(known.Findings, again.Findings):
		return s.admitted(n, i, in, b, &known)
	}
	made.Judgement = *again
	s.mu.Lock()
	s.judged = append(s.judged, made)
	s.mu.Unlock()
	return s.admitted(n, i, in, b, again)
}

func (s *Session) admitted(n *graph.Node, i int, in *engine.Input, b *plan.Binding, j *engine.Judgement) (plan.Verdict, error) {
	v := plan.Verdict{State: engine.Fresh, Failing: j.Failing()}
	if len(v.Failing) == 0 {
		return v, nil
	}
	accepted, err := s.accepted(n.Target.Label, n.Set.Text(i), in.Name, engine.InputContent(b.Parts), v.Failing)
	if !accepted {
		v.State = engine.Refused
	}
	return v, err
}

// newlyJudged takes the judgements of inputs that were made since it was last asked.
func (s *Session) newlyJudged() []judgement {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.judged
	s.judged = nil
	return out
}

// judgeInput evaluates the rules on an input. It is false where something that they need was not measured.
func (s *Session) judgeInput(d *plan.Decider, n *graph.Node, input, i int, b *plan.Binding) (*engine.Judgement, bool, error) {
	e := n.Edges[input]
	in := n.Target.Inputs[input]
	j := &engine.Judgement{Made: s.Now, Replaced: s.Current(n, i)}
	self, parts, ok, err := s.mergedFacts(d, e, b.Producer)
	if err != nil || !ok {
		return nil, false, err
	}
	known, read, err := s.priorOfInput(e, i, maxPrior(in.Expects))
	if err != nil {
		return nil, false, err
	}
	j.Prior = read
	j.Findings, err = contract.Input(in, self, func(x *engine.Expect) (engine.Scope, error) {
		scope := engine.Scope{Self: self, Parts: parts, Prior: known[:min(len(known), x.Prior)], Interval: intervalOf(n, i)}
		if x.UsesRoot("replaced") {
			var err error
			if scope.Replaced, err = s.replacedInput(e, j.Replaced); err != nil {
				return scope, err
			}
		}
		return scope, nil
	})
	return j, err == nil, err
}

// intervalOf is the time of a partition; zero if it has none.
func intervalOf(n *graph.Node, i int) engine.Interval {
	for _, t := range n.Set.Intervals(i) {
		if !t.IsZero() {
			return t
		}
	}
	return engine.Interval{}
}
