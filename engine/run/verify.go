package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// What became of an action that was to be verified.
const (
	GaveSame   = "same"      // the job gave what is recorded, to the byte
	GaveOther  = "differs"   // it gave something else
	RanFailed  = "failed"    // the job failed this time
	InputsGone = "gone"      // it can't run again: bytes that it read are gone
	NotFresh   = "not fresh" // there is no result that counts
	NotWanted  = "frozen"    // its version stays, and the inputs that it was made from are not those of now
	LockedOut  = "locked"    // another dpb runs its job, for longer than this one was to wait
	RanNot     = "not run"   // this machine is to blame, or it was interrupted
)

// Interrupted is the reason of what did not come to run in time.
const Interrupted = "interrupted"

// Verification is what became of an action whose job ran again.
type Verification struct {
	Target    string       `json:"target"`
	Partition string       `json:"partition,omitempty"`
	Result    string       `json:"result"`
	Reason    string       `json:"reason,omitempty"`     // one line; "" if it gave the same
	Outputs   []Difference `json:"outputs,omitempty"`    // those that differ
	Metrics   bool         `json:"metrics,omitempty"`    // what it wrote to $DPB_METRICS differs
	Key       string       `json:"key,omitempty"`        // actions that share a key share a job
	Started   *time.Time   `json:"started,omitempty"`    // of the recorded run
	Writer    string       `json:"writer,omitempty"`     // of what is recorded
	Log       string       `json:"log,omitempty"`        // path of this run's; "" if it wrote none
	LogBefore string       `json:"log_before,omitempty"` // of the recorded run's
}

// rerun is one job for all actions that share its key.
type rerun struct {
	node     *graph.Node
	i        int
	recorded engine.Result
	at       []int // in the verifier's list
}

func (r *rerun) id() graph.ActionID { return r.node.Base + graph.ActionID(r.i) }

// verifier runs jobs again whose results are known. Nothing moves: what it adds to the ledger are runs, which are evidence.
type verifier struct {
	s       *Session
	opts    Options
	decider *plan.Decider
	list    []Verification
	reruns  []*rerun

	slots    []int
	counts   Counts
	ended    chan reran
	waits    chan Job // what another process runs
	recorder *recorder
	finished map[graph.ActionID]func() // what to tell when the run is recorded
	err      error                     // the first that the recorder met
}

// reran is a job that ran again, compared with what is recorded.
type reran struct {
	*rerun
	job    Job
	result jobResult
	found  Verification
}

// Verify runs the jobs of the selected actions again that are fresh, or held, or frozen with the key that they would have now, and compares what they give with what is
// recorded. It goes on after whatever differs or fails.
func (s *Session) Verify(ctx context.Context, selected []graph.Selected, opts Options) ([]Verification, error) {
	opts.setDefaults()
	v := &verifier{s: s, opts: opts, ended: make(chan reran, opts.Jobs), waits: make(chan Job), finished: map[graph.ActionID]func(){}}
	var err error
	if v.decider, err = s.Status(ctx, selected); err != nil { // which looks at what frozen actions would be now
		return nil, err
	}
	if err := v.collect(selected); err != nil {
		return nil, err
	}
	if err := v.checkSQL(ctx); err != nil {
		return nil, err
	}
	v.loop(ctx)
	return v.list, v.err
}

// collect lists the actions, in the order of the graph, and the jobs to run.
func (v *verifier) collect(selected []graph.Selected) error {
	selected = slices.Clone(selected)
	slices.SortStableFunc(selected, func(a, b graph.Selected) int { return a.Node.Index - b.Node.Index })
	byKey := map[cache.ActionKey]*rerun{}
	for _, sel := range selected {
		if !isJob(sel.Node) {
			continue
		}
		for _, i := range sel.Partitions {
			if err := v.add(sel.Node, i, byKey); err != nil {
				return err
			}
		}
	}
	v.counts.Total, v.counts.Queued = len(v.reruns), len(v.reruns)
	return nil
}

func (v *verifier) add(n *graph.Node, i int, byKey map[cache.ActionKey]*rerun) error {
	at := len(v.list)
	v.list = append(v.list, Verification{Target: n.Target.Label.String(), Partition: n.Set.Text(i), Result: NotFresh})
	key := v.decider.Key(n, i)
	switch state := v.decider.State(n, i); {
	case state == engine.Frozen && !v.wanted(n, i, key):
		v.list[at].Result, v.list[at].Reason = NotWanted, "it stays: "+v.s.driftText(v.decider, n, i)
		return nil
	case state != engine.Fresh && state != engine.Held && state != engine.Frozen:
		v.list[at].Reason = "it is " + state.String()
		return nil
	}
	known := byKey[key]
	if known == nil {
		recorded, ok, err := v.s.result(key)
		if err != nil {
			return err
		}
		if !ok {
			v.list[at].Reason = "the ledger has no result of its key"
			return nil
		}
		known = &rerun{node: n, i: i, recorded: recorded}
		byKey[key] = known
		v.reruns = append(v.reruns, known)
	}
	known.at = append(known.at, at)
	v.list[at].Result, v.list[at].Reason, v.list[at].Key = RanNot, Interrupted, key.String()
	return nil
}

// wanted says whether a frozen version was made under the key that the action would have now: only then the job finds what it had.
func (v *verifier) wanted(n *graph.Node, i int, key cache.ActionKey) bool {
	if drift := v.decider.Drift(n, i); drift != engine.Fresh && drift != engine.Stale || v.decider.Problem(n.Base+graph.ActionID(i)) != nil {
		return false
	}
	parts, err := v.decider.Worker().Parts(n, i, nil)
	return err == nil && engine.Key(parts) == key
}

// checkSQL looks at the statements first, as a build does: another machine may have made the results.
func (v *verifier) checkSQL(ctx context.Context) error {
	var targets []*engine.Target
	seen := map[*graph.Node]bool{}
	for _, r := range v.reruns {
		if !seen[r.node] {
			seen[r.node] = true
			targets = append(targets, r.node.Target)
		}
	}
	if problems := CheckSQL(ctx, targets, nil); engine.HasErrors(problems) {
		return &RefusedError{problems}
	}
	return nil
}

func (v *verifier) loop(ctx context.Context) {
	v.slots = freeSlots(v.opts.Jobs)
	v.recorder = v.s.startRecorder(context.WithoutCancel(ctx), nil, true)
	worker := v.decider.Worker()
	for next, busy := 0, 0; busy > 0 || next < len(v.reruns) && ctx.Err() == nil; {
		for ; len(v.slots) > 0 && next < len(v.reruns) && ctx.Err() == nil; next++ {
			v.start(ctx, worker, v.reruns[next], next+1)
			busy++
		}
		v.opts.Events.Counted(v.counts)
		select {
		case r := <-v.ended:
			busy--
			v.take(r)
		case job := <-v.waits:
			v.opts.Events.Started(job)
		case rec := <-v.recorder.out:
			v.recorded(rec)
		}
	}
	v.recorder.close()
	for rec := range v.recorder.out {
		v.recorded(rec)
	}
}

func (v *verifier) start(ctx context.Context, w *plan.Worker, r *rerun, number int) {
	last := len(v.slots) - 1
	job := Job{Number: number, Label: r.node.Target.Label, Partition: r.node.Set.Text(r.i), Kind: r.node.Target.Kind, Slot: v.slots[last], Started: time.Now(), Verifies: true}
	v.slots = v.slots[:last]
	v.counts.Queued--
	v.counts.Running++
	v.opts.Events.Started(job)
	p, err := v.s.prepareJob(v.decider, w, r.node, r.i)
	if err != nil {
		v.ended <- reran{rerun: r, job: job, result: jobResult{err: err, outcome: Outcome{Local: true}}, found: Verification{Result: RanNot, Reason: oneLine(err)}}
		return
	}
	p.owed = true // else its known result would do
	if len(v.reruns) == 1 {
		p.threads = runtime.GOMAXPROCS(0)
	}
	go func() {
		done := reran{rerun: r, job: job}
		defer func() {
			if p := caught(recover()); p != nil {
				done.result.panic = p
			}
			v.ended <- done
		}()
		tell := func(h disk.Holder) {
			v.waits <- Job{Label: job.Label, Partition: job.Partition, Kind: job.Kind, Started: time.Now(), Waits: &h}
		}
		if done.result.err = v.s.lock(ctx, p, tell); done.result.err == nil {
			done.result = v.s.execute(ctx, v.opts.Kill, r.id(), p)
		}
		if done.result.panic == nil {
			done.found = v.compare(ctx, r, p, &done.result)
		}
	}()
}

// take notes what came of a job, and has its run recorded.
func (v *verifier) take(r reran) {
	if r.result.panic != nil {
		panic(r.result.panic)
	}
	v.slots = append(v.slots, r.job.Slot)
	v.counts.Running--
	for _, at := range r.at {
		found := &v.list[at]
		target, partition, key := found.Target, found.Partition, found.Key
		*found = r.found
		found.Target, found.Partition, found.Key = target, partition, key
	}
	finish := func() { v.opts.Events.Finished(r.job, r.found.outcome(r.result.outcome)) }
	switch r.found.Result {
	case GaveSame:
		v.counts.Ran++
	default:
		v.counts.Failed++
	}
	if r.result.err != nil && r.result.run.Failure == "" { // it never came to run
		finish()
		return
	}
	r.result.run.Verifies = true
	v.finished[r.id()] = finish
	v.recorder.keep(&record{id: r.id(), run: &r.result.run, release: r.result.release})
}

// outcome is what people are told of the job.
func (f *Verification) outcome(o Outcome) Outcome {
	o.Failure, o.Differs = f.Reason, f.Result == GaveOther
	if o.Differs {
		o.Tail = nil
	}
	return o
}

func (v *verifier) recorded(rec *record) {
	if rec.panic != nil {
		panic(rec.panic)
	}
	if rec.err != nil && v.err == nil {
		v.err = rec.err
	}
	if finish := v.finished[rec.id]; finish != nil {
		finish()
	}
}

// compare says what a job gave this time.
func (v *verifier) compare(ctx context.Context, r *rerun, p *prepared, again *jobResult) Verification {
	out := Verification{Result: GaveSame, Started: &r.recorded.Started, Writer: r.recorded.Writer, Log: again.outcome.Log}
	if !r.recorded.Log.IsZero() {
		out.LogBefore = v.s.belowRoot(v.s.Store.BlobPath(r.recorded.Log))
	}
	var locked *LockedError
	switch {
	case again.err != nil:
		out.Result, out.Reason = RanFailed, again.err.Error()
		switch {
		case ctx.Err() != nil:
			out.Result, out.Reason = RanNot, Interrupted
		case errors.As(again.err, &locked):
			out.Result = LockedOut
		case errors.Is(again.err, cache.ErrMissing):
			out.Result, out.Reason = InputsGone, v.s.gone(ctx, p, again.err)
		case again.outcome.Local:
			out.Result = RanNot
		}
		return out
	case again.result.Metrics != r.recorded.Metrics:
		out.Metrics = true
	}
	for _, o := range r.node.Target.Outputs {
		if was, is := outputOf(&r.recorded, o.Name), outputOf(&again.result, o.Name); was.Tree != is.Tree {
			out.Outputs = append(out.Outputs, v.s.difference(ctx, r, o, was, is))
		}
	}
	if out.Reason = reasonOf(out.Outputs, out.Metrics); out.Reason != "" {
		out.Result = GaveOther
		if again.result.Writer != r.recorded.Writer {
			out.Reason += fmt.Sprintf("; what is recorded was made by %s, on %s", r.recorded.Writer, r.recorded.Started.UTC().Format("2006-01-02"))
		}
	}
	return out
}

// gone says which inputs a job can't read again.
func (s *Session) gone(ctx context.Context, p *prepared, err error) string {
	for _, b := range p.bindings {
		for k, part := range b.Parts {
			if s.Store.Present(ctx, part.Tree) {
				continue
			}
			from := ""
			if b.Edge != nil {
				from = " (" + b.Edge.From.Target.Label.At(b.Edge.From.Set.Text(b.Producer[k])) + ")"
			}
			return fmt.Sprintf("it can't be verified: the bytes of input %s%s are gone", b.Input.Name, from)
		}
	}
	return "it can't be verified: " + oneLine(err)
}
