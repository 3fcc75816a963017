package run

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// trial is an action whose result is known and that is measured and judged.
type trial struct {
	id     graph.ActionID
	ran    bool // by a job of this build
	result *engine.Result
	*measuring
	*measurement
	prior    []engine.VersionID
	replaced engine.VersionID
	verdict  engine.Judgement
	err      error
	panic    any
}

// comparedSame says whether a judgement that holds an action would be made of the same versions and tables again.
func (b *build) comparedSame(n *graph.Node, i int, j *engine.Judgement) bool {
	prior, _, wait := b.priors(n, i, maxPriorOf(n.Target))
	p, _ := b.decider.Pending(n.Base + graph.ActionID(i))
	current := b.s.Current(n, i)
	if own := b.s.versionOf(n, i, p.Result.Key, p.Outputs).ID; current == own {
		current = j.Replaced
	}
	m := &measuring{node: n, i: i}
	m.bindReferences(b.decider)
	now := &engine.Judgement{Prior: prior, Replaced: current, Looked: m.lookedUp()}
	return !wait && !j.Unmeasured && now.SameReads(j)
}

// maxPrior is how many earlier versions rules want.
func maxPrior(expects []*engine.Expect) (want int) {
	for _, x := range expects {
		want = max(want, x.Prior)
	}
	return want
}

func maxPriorOf(t *engine.Target) (want int) {
	for _, o := range t.Outputs {
		want = max(want, maxPrior(o.Expects))
	}
	return want
}

// prepareMeasure gathers what the measuring of a result needs. It runs on the scheduler's goroutine, so it only reads what is decided.
func (s *Session) prepareMeasure(d *plan.Decider, w *plan.Worker, n *graph.Node, i int, r *engine.Result) (*measuring, error) {
	m := &measuring{node: n, i: i, key: d.Key(n, i), result: r, threads: 1}
	if n.Target.Kind == engine.Source {
		snapshot, err := s.snapshot(n, n.Target.Path, i)
		if n.Target.InPlace || !n.Target.HasRules() {
			m.inPlace = append(m.inPlace, snapshot)
		} else {
			m.sources = append(m.sources, snapshot)
		}
		return m, err
	}
	if usesInputs(n.Target) {
		if err := m.bindInputs(d, w); err != nil {
			return nil, err
		}
	}
	m.bindReferences(d)
	return m, nil
}

func (m *measuring) bindReferences(d *plan.Decider) {
	for _, e := range m.node.References {
		made, unknown := referenced(d, e, m.i)
		m.references, m.unknown = append(m.references, made), append(m.unknown, unknown)
	}
}

// usesInputs says whether a rule or metric on an output may read the target's inputs.
func usesInputs(t *engine.Target) bool {
	return slices.ContainsFunc(t.Outputs, func(o *engine.Output) bool {
		return slices.ContainsFunc(o.Metrics, (*engine.Metric).ReadsInputs) ||
			slices.ContainsFunc(o.Expects, func(x *engine.Expect) bool { return x.UsesRoot("input") })
	})
}

func (m *measuring) bindInputs(d *plan.Decider, w *plan.Worker) (err error) {
	if m.bindings, err = w.Bindings(m.node, m.i); err != nil {
		return err
	}
	m.inputs = make([]brought, len(m.bindings))
	for k, b := range m.bindings {
		if b.Edge == nil {
			continue
		}
		m.inputs[k].edge = b.Edge
		for _, j := range b.Producer {
			m.inputs[k].made = append(m.inputs[k].made, made(d, b.Edge, j))
		}
	}
	return nil
}

// made is what an edge reads of a producer's partition.
func made(d *plan.Decider, e *graph.Edge, j int) plan.Made {
	output := plan.OutputIndex(e)
	if e.Quarantine {
		return plan.Made{Content: engine.Content{Output: e.Output, Tree: d.Quarantine(e.From, j, output)}}
	}
	return d.Made(e.From, j, output)
}

// referenced lists the tables that a reference looks up, or says why it can't.
func referenced(d *plan.Decider, e *graph.Edge, i int) (out []plan.Made, unknown string) {
	if e.From == e.To {
		return nil, ""
	}
	for j := range e.Inputs(i).All() {
		if state := d.State(e.From, j); state != engine.Fresh && state != engine.Frozen {
			return nil, e.From.Target.Label.At(e.From.Set.Text(j)) + " is " + state.String()
		}
		out = append(out, made(d, e, j))
	}
	return out, ""
}

// try measures the result of an action, which holds a place, beside other work.
func (b *build) try(ctx context.Context, t *trial) {
	n, i := b.s.Graph.Action(t.id)
	b.transition(n, i, judging)
	var err error
	if t.measuring, err = b.s.prepareMeasure(b.decider, b.workers[0], n, i, t.result); err != nil {
		t.err = err
		b.judged(ctx, t)
		return
	}
	t.threads = b.threads()
	go func() {
		defer func() {
			t.panic = caught(recover())
			b.measured <- t
		}()
		t.measurement, t.err = b.s.measure(ctx, t.measuring)
		t.err = b.s.noRoom(t.err)
	}()
}

// measuredOne goes on with an action that was measured: its verdict waits for those of the versions that it is compared with.
func (b *build) measuredOne(ctx context.Context, t *trial) {
	if t.panic != nil {
		panic(t.panic)
	}
	if t.err != nil || t.verdict.Made != (time.Time{}) {
		b.judged(ctx, t)
		return
	}
	b.seekVerdict(ctx, t)
}

// seekVerdict judges an action, or lets it wait for one that has to be judged before. Who waits gives its place away.
func (b *build) seekVerdict(ctx context.Context, t *trial) {
	n, i := b.s.Graph.Action(t.id)
	prior, waitFor, wait := b.priors(n, i, maxPriorOf(n.Target))
	if wait {
		b.giveBack(t.id)
		b.waiters[waitFor] = append(b.waiters[waitFor], func() { b.verdicts = append(b.verdicts, t) })
		return
	}
	t.prior, t.replaced = prior, b.s.Current(n, i)
	go func() {
		defer func() {
			t.panic = caught(recover())
			b.measured <- t
		}()
		t.verdict, t.err = b.s.judge(ctx, t)
	}()
}

// priors lists the versions that current names of the preceding partitions, the nearest first, or the action whose verdict has to be known first.
func (b *build) priors(n *graph.Node, i, want int) (out []engine.VersionID, waitFor graph.ActionID, wait bool) {
	r := &b.nodes[n.Index]
	for k := 1; len(out) < want; k++ {
		j, ok := n.Set.Before(i, k)
		if !ok {
			break
		}
		if r.wanted[j] && !r.phase[j].finished() {
			return nil, n.Base + graph.ActionID(j), true
		}
		if id := b.s.Current(n, j); !id.IsZero() {
			out = append(out, id)
		}
	}
	return out, 0, false
}

// judge evaluates all rules on a measured result. One that is current already is judged against what it replaced once.
func (s *Session) judge(ctx context.Context, t *trial) (engine.Judgement, error) {
	if id := s.versionOf(t.node, t.i, t.result.Key, t.outputs).ID; id == t.replaced {
		last, _, err := s.Ledger.LastJudgement(s.Environment, id)
		if err != nil {
			return last, err
		}
		t.replaced = last.Replaced
	}
	j := engine.Judgement{Prior: t.prior, Replaced: t.replaced, Looked: t.looked, Made: s.Now}
	for k, o := range t.node.Target.Outputs {
		findings, err := contract.Output(o, t.facts[k], t.findings[k], func(x *engine.Expect) (engine.Scope, error) { return s.scope(ctx, t, k, x) })
		if err != nil {
			return j, err
		}
		j.Findings = append(j.Findings, findings...)
		j.Outputs = append(j.Outputs, engine.Evidence{Name: o.Name, Metrics: t.facts[k].Metrics, Rejected: t.facts[k].Rejected})
	}
	j.Unmeasured = t.gone
	return j, nil
}

// scope gathers what one rule on output k uses.
func (s *Session) scope(ctx context.Context, t *trial, k int, x *engine.Expect) (sc engine.Scope, err error) {
	n, o := t.node, t.node.Target.Outputs[k]
	sc = engine.Scope{Self: t.facts[k], Interval: intervalOf(n, t.i), Outputs: map[string]*engine.Facts{}, Inputs: map[string]*engine.Facts{}}
	for j, other := range n.Target.Outputs {
		sc.Outputs[other.Name] = t.facts[j]
	}
	if x.UsesRoot("prior") {
		for _, id := range t.prior[:min(len(t.prior), x.Prior)] {
			facts, err := s.pastFacts(ctx, t, id, o)
			if err != nil {
				return sc, err
			}
			if facts != nil {
				sc.Prior = append(sc.Prior, facts)
			}
		}
	}
	if x.UsesRoot("replaced") {
		if sc.Replaced, err = s.pastFacts(ctx, t, t.replaced, o); err != nil {
			return sc, err
		}
	}
	if x.UsesRoot("input") {
		err = s.inputFacts(t, sc.Inputs)
	}
	return sc, err
}

// pastFacts are the facts of one output of an earlier version; nil if there is no such output. What was not measured of it under the rules as they are now is
// measured, if its bytes are there.
func (s *Session) pastFacts(ctx context.Context, t *trial, id engine.VersionID, o *engine.Output) (*engine.Facts, error) {
	made, ok, err := s.madeOf(id, t.node, o)
	if err != nil || !ok {
		return nil, err
	}
	facts, err := s.factsOf(made)
	if err != nil || facts != nil && len(facts.Metrics) == len(o.Metrics) {
		return facts, err
	}
	result, _, err := s.result(made.Key)
	if err != nil {
		return nil, err
	}
	i, _ := t.node.Set.IndexText(made.Partition)
	x := &outputMeasure{measuring: &measuring{node: t.node, i: i, key: made.Key, result: &result, threads: 1}, s: s, out: t.measurement, output: o, content: made.Content,
		facts: &engine.Facts{}}
	if x.reader, err = s.reader("past-"+made.Key.Short(), t.node.Target.Memory, nil); err != nil {
		return nil, err
	}
	defer x.reader.close()
	if x.facts.Rejected, err = s.rejectedOf(made); err != nil {
		return nil, err
	}
	if err = x.fingerprint(ctx); err == nil {
		err = x.metrics(ctx)
	}
	return x.facts, err
}

func (s *Session) inputFacts(t *trial, into map[string]*engine.Facts) error {
	for k, in := range t.inputs {
		if in.edge == nil {
			continue
		}
		merged, _, ok, err := s.mergeSelected(in.edge, in.made)
		if err != nil {
			return err
		}
		if ok {
			into[t.node.Target.Inputs[k].Name] = merged
		}
	}
	return nil
}

// leaveUnjudged tells of what a pass leaves without a verdict, as that waits for one that the pass did not come to: jobs that ran, whose results are recorded and can be
// judged without them by then, and what was to be judged without a job.
func (b *build) leaveUnjudged() {
	for _, id := range slices.Sorted(maps.Keys(b.jobs)) {
		n, i := b.s.Graph.Action(id)
		if b.nodes[n.Index].phase[i] != judging {
			continue
		}
		b.transition(n, i, queued)
		o, ran := b.outcomes[id]
		if ran {
			b.ran[id] = true
			b.counts.Ran = len(b.ran)
		} else {
			o.Rows = -1
		}
		o.Ended, o.State, o.Unjudged = time.Now(), engine.Stale, true
		if job := b.jobs[id]; job.Number > 0 {
			b.opts.Events.Finished(job, o)
		}
	}
}

// judged settles an action after its verdict: what passes, or was accepted, becomes current; what does not is kept beside.
func (b *build) judged(ctx context.Context, t *trial) {
	n, i := b.s.Graph.Action(t.id)
	b.giveBack(t.id)
	if t.err == nil {
		var v plan.Verdict
		if v, t.err = b.s.verdict(n, i, plan.Verdict{Outputs: t.outputs}, &t.verdict); t.err == nil && v.State == engine.Fresh {
			t.err = b.asLocked(n, i, t.outputs)
		}
		if t.err == nil {
			b.settleVerdict(n, i, t, v)
		}
	}
	switch {
	case t.err == nil:
	case ctx.Err() != nil:
		b.transition(n, i, queued) // it was interrupted, and is left to do
		return
	case b.looksAgain(t.id, t.err):
		b.transition(n, i, waiting)
		return
	case errors.Is(t.err, cache.ErrMissing) && isJob(n) && b.oweOne(t.id):
		b.transition(n, i, waiting)
		b.again = true
		return
	default:
		b.transition(n, i, failed)
		outcome := Outcome{Ended: time.Now(), Wall: b.outcomes[t.id].Wall, Failure: oneLine(t.err), Local: isLocal(t.err), Rows: -1}
		b.fail(n, i, outcome)
		b.finished(t.id, outcome)
	}
	if !b.again {
		b.wake(n, i)
	}
}

// oweOne makes an action's job run again, as its own bytes are gone and have to be split.
func (b *build) oweOne(id graph.ActionID) bool {
	b.tried[id]++
	b.owed[id] = true
	return b.tried[id] <= maxTries
}

func (b *build) settleVerdict(n *graph.Node, i int, t *trial, v plan.Verdict) {
	outcome := b.outcomes[t.id]
	outcome.Ended, outcome.State, outcome.Warned = time.Now(), v.State, b.warn(t.id, t.verdict.Findings)
	outcome.Same = t.ran && b.decider.Known(n, i, v.Outputs)
	outcome.Rows = -1
	for _, f := range t.facts {
		if f.Fingerprint != nil && f.Rows >= 0 {
			outcome.Rows = max(outcome.Rows, 0) + f.Rows
		}
	}
	// A job that is not reproducible gave others what it does not give again: all is decided anew.
	b.again = b.again || t.ran && b.owed[t.id] && !outcome.Same
	if t.ran {
		delete(b.owed, t.id)
	}
	// What is current now has to be shown, and its bytes are gone: the next pass makes them.
	b.again = b.again || isJob(n) && !t.ran && v.State == engine.Fresh && b.nodes[n.Index].asked && !b.s.hasBytes(v.Outputs)
	rec := b.verdictRecord(n, i, t, v)
	b.decider.Settle(n, i, v.State, plan.Pending{Result: t.result, Verdict: v})
	if v.State == engine.Held {
		outcome.Failure = contract.Texts(v.Failing)
		b.transition(n, i, held)
		b.failures = append(b.failures, t.id)
	} else {
		b.transition(n, i, done)
		b.s.setCurrent(n, i, rec)
	}
	b.remember(t.id, *rec.version)
	b.lineage.judged(t, rec.version.ID, v.State)
	b.countVerdict(n, t, outcome)
	b.outcomes[t.id] = outcome
	b.recorder.keep(rec)
}

// warn notes which of the findings only warn, each once.
func (b *build) warn(id graph.ActionID, findings []engine.Finding) (out []engine.Finding) {
	for _, f := range findings {
		if f.Status != engine.Warned {
			continue
		}
		out = append(out, f)
		if !slices.ContainsFunc(b.warned[id], f.Same) {
			b.warned[id] = append(b.warned[id], f)
		}
	}
	return out
}

// verdictRecord is what a verdict adds to the ledger. The pointer moves only to what is fresh.
func (b *build) verdictRecord(n *graph.Node, i int, t *trial, v plan.Verdict) *record {
	rec := &record{id: t.id, puts: t.puts, unwritten: t.unwritten, finishes: true}
	b.s.setVersion(rec, b.s.versionOf(n, i, t.result.Key, t.outputs))
	if v.State == engine.Fresh {
		rec.point, rec.shape, rec.outputs, rec.show = true, b.pointed(n, i, t.verdict.Unmeasured), plan.Visible(t.result, t.outputs), isJob(n)
	}
	if !isJudged(n.Target) {
		return rec
	}
	rec.judgements = []judgement{{t.id, rec.version.ID, b.decider.Rules(n, i), t.verdict}}
	return rec
}

// pointed are the rules to point with: none where something could not be measured, so that it is asked again.
func (b *build) pointed(n *graph.Node, i int, unmeasured bool) cache.SectionDigest {
	if unmeasured {
		return cache.SectionDigest{}
	}
	return b.decider.Rules(n, i)
}

func (b *build) countVerdict(n *graph.Node, t *trial, o Outcome) {
	if isJob(n) && o.State == engine.Held && (t.ran || b.ran[t.id]) {
		b.counts.HeldRan++
	}
	switch {
	case !isJob(n):
	case !t.ran && !b.ran[t.id]:
		b.rejudged[t.id] = true
		b.counts.Judged = len(b.rejudged)
		if o.State == engine.Fresh {
			b.counts.UpToDate++
		}
	case !b.ran[t.id]:
		b.ran[t.id] = true
		b.counts.Ran++
		if o.Same {
			b.same++
			b.counts.Same++
		}
	}
}
