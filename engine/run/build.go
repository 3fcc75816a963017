package run

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// Options of a build.
type Options struct {
	Jobs      int  // how many run at once; 0: one a core
	KeepGoing bool // after a failure, go on with what does not depend on it
	Events    Events
	// Kill, when it is done, ends running jobs at once instead of politely.
	Kill context.Context
}

// build is one run of the scheduler. Only the goroutine that called Build touches it; workers and the recorder talk to it over channels.
type build struct {
	s       *Session
	opts    Options
	decider *plan.Decider
	nodes   []nodeRun
	workers []*plan.Worker

	queue      actionHeap
	unfinished int
	counts     Counts
	slots      []int // free places
	jobs       map[graph.ActionID]Job
	number     int
	stopping   bool // start nothing any more

	results   chan jobResult
	recorder  *recorder
	failures  []graph.ActionID
	reasons   map[graph.ActionID]Outcome
	warnings  []engine.Problem
	reruns    map[graph.ActionID]bool // producers that ran again because their bytes were gone
	recordErr error                   // the first that the recorder met
}

// nodeRun is what a build knows of a node's actions; nil slices for nodes outside of it.
type nodeRun struct {
	wanted  []bool
	asked   bool // named by a pattern, not just needed
	phase   []phase
	pending []int32 // producers that are not finished, of waiting actions
}

func isJob(n *graph.Node) bool { return n.Target.Kind != engine.Source }

// Build brings the selected actions, and all that they need, to fresh.
func (s *Session) Build(ctx context.Context, selected []graph.Selected, opts Options) (Summary, error) {
	if opts.Jobs <= 0 {
		opts.Jobs = runtime.GOMAXPROCS(0)
	}
	if opts.Kill == nil {
		opts.Kill = context.Background()
	}
	start := time.Now()
	b := &build{s: s, opts: opts, decider: plan.New(s.Graph, s, s.Now), nodes: make([]nodeRun, len(s.Graph.Nodes)),
		jobs: map[graph.ActionID]Job{}, results: make(chan jobResult, opts.Jobs), reasons: map[graph.ActionID]Outcome{}, reruns: map[graph.ActionID]bool{}}
	for range runtime.GOMAXPROCS(0) {
		b.workers = append(b.workers, b.decider.Worker())
	}
	for slot := range opts.Jobs {
		b.slots = append(b.slots, slot)
	}
	slices.Reverse(b.slots)
	b.mark(selected)
	if err := s.seed(b.decider); err != nil {
		return Summary{}, err
	}
	b.recorder = s.startRecorder(context.WithoutCancel(ctx))
	if s.retired != nil {
		b.recorder.keep(&record{retired: s.retired, show: true})
	}
	b.decideAll(ctx)
	if err := b.checkSQL(ctx); err != nil {
		return Summary{}, errors.Join(err, b.finishRecording())
	}
	b.loop(ctx)
	err := b.finishRecording()
	if err == nil && b.unfinished > 0 && !b.stopping && ctx.Err() == nil {
		panic(fmt.Sprintf("%d actions were left over", b.unfinished))
	}
	summary := b.summary(time.Since(start), ctx.Err() != nil)
	opts.Events.Done(summary)
	return summary, err
}

// mark finds all actions that the selected ones need, in one pass against the topological order.
func (b *build) mark(selected []graph.Selected) {
	for _, sel := range selected {
		b.prepare(sel.Node)
		b.nodes[sel.Node.Index].asked = true
		for _, i := range sel.Partitions {
			b.nodes[sel.Node.Index].wanted[i] = true
		}
	}
	for _, n := range slices.Backward(b.s.Graph.Nodes) {
		b.markProducers(n)
	}
}

func (b *build) prepare(n *graph.Node) {
	r := &b.nodes[n.Index]
	if r.wanted == nil {
		r.wanted = make([]bool, n.Set.Len())
		r.phase = make([]phase, n.Set.Len())
		b.decider.Prepare(n)
	}
}

func (b *build) markProducers(n *graph.Node) {
	wanted := b.nodes[n.Index].wanted
	last := make([]graph.SelectionKey, len(n.Edges)) // consumers in a row often read the same
	seen := false
	for i := len(wanted) - 1; i >= 0; i-- { // an own label is read backwards in time
		if !wanted[i] {
			continue
		}
		if isJob(n) {
			b.counts.Total++
		}
		for k, e := range n.Edges {
			if e == nil {
				continue
			}
			selection := e.Inputs(i)
			key := selection.Key()
			if seen && key == last[k] {
				continue
			}
			last[k] = key
			b.prepare(e.From)
			for j := range selection.All() {
				b.nodes[e.From.Index].wanted[j] = true
			}
		}
		seen = true
	}
}

// decideAll decides every action whose producers are finished, node by node.
func (b *build) decideAll(ctx context.Context) {
	for _, n := range b.s.Graph.Nodes {
		if b.nodes[n.Index].wanted == nil || ctx.Err() != nil {
			continue
		}
		if slices.Contains(b.edgesFrom(n), n) {
			b.decideInOrder(n)
		} else {
			b.decideNode(n)
		}
	}
}

func (b *build) edgesFrom(n *graph.Node) (from []*graph.Node) {
	for _, e := range n.Edges {
		if e != nil {
			from = append(from, e.From)
		}
	}
	return from
}

// decideInOrder is for a target that reads its own earlier partitions.
func (b *build) decideInOrder(n *graph.Node) {
	for i, wanted := range b.nodes[n.Index].wanted {
		if wanted && !b.wait(n, i) {
			b.settle(n, i, b.decide(b.workers[0], n, i))
		}
	}
}

// decision is the state of an action and what there is to record of it although no job runs.
type decision struct {
	state  engine.State
	record *record
}

// decide runs on several goroutines at once; only settle changes the build.
func (b *build) decide(w *plan.Worker, n *graph.Node, i int) decision {
	d := decision{state: w.Decide(n, i)}
	if d.state == engine.Fresh {
		d.record = b.upToDate(n, i)
	}
	return d
}

// decideNode splits the partitions of a node among the workers.
func (b *build) decideNode(n *graph.Node) {
	var ready []int
	for i, wanted := range b.nodes[n.Index].wanted {
		if wanted && !b.wait(n, i) {
			ready = append(ready, i)
		}
	}
	decisions := make([]decision, len(ready))
	var wg sync.WaitGroup
	size := (len(ready) + len(b.workers) - 1) / len(b.workers)
	for k, w := range b.workers {
		from, to := min(k*size, len(ready)), min((k+1)*size, len(ready))
		wg.Go(func() {
			for at := from; at < to; at++ {
				decisions[at] = b.decide(w, n, ready[at])
			}
		})
	}
	wg.Wait()
	for at, i := range ready {
		b.settle(n, i, decisions[at])
	}
}

// wait makes the action wait if a producer is not finished.
func (b *build) wait(n *graph.Node, i int) bool {
	pending := b.countPending(n, i)
	if pending == 0 {
		return false
	}
	b.setPending(n, i, pending)
	b.transition(n, i, waiting)
	return true
}

func (b *build) countPending(n *graph.Node, i int) (pending int32) {
	for _, e := range n.Edges {
		if e == nil {
			continue
		}
		phases := b.nodes[e.From.Index].phase
		for j := range e.Inputs(i).All() {
			if !phases[j].finished() {
				pending++
			}
		}
	}
	return pending
}

func (b *build) setPending(n *graph.Node, i int, pending int32) {
	r := &b.nodes[n.Index]
	if r.pending == nil {
		r.pending = make([]int32, len(r.phase))
	}
	r.pending[i] = pending
}

// settle moves a decided action on.
func (b *build) settle(n *graph.Node, i int, d decision) {
	id := n.Base + graph.ActionID(i)
	switch d.state {
	case engine.Fresh, engine.Frozen:
		b.transition(n, i, done)
		if isJob(n) {
			b.counts.UpToDate++
			if d.record != nil && d.record.restored {
				b.counts.Restored++
			}
		}
		b.recorder.keep(d.record)
	case engine.Stale, engine.Failed:
		if err := b.decider.Problem(id); err != nil {
			b.transition(n, i, failed)
			b.fail(n, i, Outcome{Failure: err.Error()})
			return
		}
		b.transition(n, i, queued)
		heap.Push(&b.queue, id)
	default:
		b.transition(n, i, blocked)
		if b.decider.Cause(n, i) == id {
			b.failures = append(b.failures, id)
		}
	}
}

// RefusedError says that SQL asks for what it may not have. Nothing was run.
type RefusedError struct{ Problems []engine.Problem }

func (e *RefusedError) Error() string { return fmt.Sprintf("%d problems in SQL", len(e.Problems)) }

// checkSQL looks at the statements of all targets that may have to run, before anything runs.
func (b *build) checkSQL(ctx context.Context) error {
	var problems []engine.Problem
	for _, n := range b.s.Graph.Nodes {
		if n.Target.Kind == engine.SQL && slices.ContainsFunc(b.nodes[n.Index].phase, func(p phase) bool { return p == queued || p == waiting }) {
			problems = append(problems, CheckSQL(ctx, n.Target)...)
		}
	}
	problems = engine.SortProblems(problems)
	if engine.HasErrors(problems) {
		return &RefusedError{problems}
	}
	b.warnings = problems
	return nil
}

// CheckSQL asks the engine, if there is one, whether a target's statements read their inputs and nothing else.
func CheckSQL(ctx context.Context, t *engine.Target) []engine.Problem {
	if t.Kind != engine.SQL || duckdb.Version() == "" {
		return nil
	}
	var inputs []string
	for _, in := range t.Inputs {
		inputs = append(inputs, in.Name)
	}
	return duckdb.Check(ctx, t.SQL, inputs, t.PartitionBy)
}

// loop starts jobs and takes their results until nothing is left to do.
func (b *build) loop(ctx context.Context) {
	for {
		b.startJobs(ctx)
		b.opts.Events.Counted(b.counts)
		running := b.opts.Jobs - len(b.slots)
		if running == 0 && (len(b.queue) == 0 || b.stopping || ctx.Err() != nil) {
			return
		}
		select {
		case r := <-b.results:
			b.ended(ctx, r)
		case item := <-b.recorder.out:
			b.recorded(item)
		}
	}
}

func (b *build) startJobs(ctx context.Context) {
	for len(b.slots) > 0 && len(b.queue) > 0 && !b.stopping && ctx.Err() == nil {
		id := heap.Pop(&b.queue).(graph.ActionID)
		n, i := b.s.Graph.Action(id)
		b.transition(n, i, running)
		slot := b.slots[len(b.slots)-1]
		b.slots = b.slots[:len(b.slots)-1]
		b.number++
		job := Job{Number: b.number, Label: n.Target.Label, Partition: n.Set.Text(i), Kind: n.Target.Kind, Slot: slot, Started: time.Now(),
			Why: b.s.reason(b.decider, n, i)}
		b.jobs[id] = job
		b.opts.Events.Started(job)
		prepared, err := b.s.prepareJob(b.decider, b.workers[0], n, i)
		threads := 1
		if b.opts.Jobs-len(b.slots)+len(b.queue) == 1 {
			threads = runtime.GOMAXPROCS(0)
		}
		go func() {
			if err != nil {
				b.results <- jobResult{id: id, err: err}
				return
			}
			prepared.threads = threads
			b.results <- b.s.execute(ctx, b.opts.Kill, id, prepared)
		}()
	}
}

// ended takes a job's result: consumers go on at once, what people see waits until it is recorded.
func (b *build) ended(ctx context.Context, r jobResult) {
	n, i := b.s.Graph.Action(r.id)
	b.slots = append(b.slots, b.jobs[r.id].Slot)
	switch {
	case len(r.evicted) > 0 && b.rerun(n, i, r.evicted):
		return
	case r.err != nil:
		b.transition(n, i, failed)
		b.decider.Fail(n, i)
		b.stopping = b.stopping || !b.opts.KeepGoing
		outcome := r.outcome
		outcome.Failure = r.err.Error()
		if r.run.Failure != "" { // else it never came to run, or was interrupted
			b.recorder.keep(&record{id: r.id, run: &r.run})
		}
		b.fail(n, i, outcome)
		b.opts.Events.Finished(b.jobs[r.id], outcome)
	default:
		outcome := r.outcome
		outcome.Same = b.decider.Known(n, i, r.result.Outputs)
		b.decider.Accept(n, i, r.result.Outputs)
		b.transition(n, i, done)
		b.counts.Ran++
		if outcome.Same {
			b.counts.Same++
		}
		b.reasons[r.id] = outcome
		b.recorder.keep(b.made(n, i, r))
	}
	b.wake(ctx, n, i)
}

func (b *build) fail(n *graph.Node, i int, o Outcome) {
	id := n.Base + graph.ActionID(i)
	b.failures = append(b.failures, id)
	b.reasons[id] = o
	if b.decider.Problem(id) != nil {
		b.decider.Fail(n, i)
		b.stopping = b.stopping || !b.opts.KeepGoing
	}
}

// wake decides the consumers that waited for this action alone.
func (b *build) wake(ctx context.Context, n *graph.Node, i int) {
	for _, e := range n.Consumers {
		r := &b.nodes[e.To.Index]
		if r.pending == nil {
			continue
		}
		for k := range e.Readers(i).All() {
			if r.phase[k] != waiting {
				continue
			}
			if r.pending[k]--; r.pending[k] == 0 {
				b.settle(e.To, k, b.decide(b.workers[0], e.To, k))
				if r.phase[k].finished() {
					b.wake(ctx, e.To, k)
				}
			}
		}
	}
}

// rerun sends producers whose bytes are gone to run again, once each, and lets the consumer wait for them. It is false if that can't help.
func (b *build) rerun(n *graph.Node, i int, evicted []graph.ActionID) bool {
	for _, id := range evicted {
		p, j := b.s.Graph.Action(id)
		if p.Target.Kind == engine.Source || b.reruns[id] && b.nodes[p.Index].phase[j].finished() {
			return false
		}
	}
	for _, id := range evicted {
		p, j := b.s.Graph.Action(id)
		if b.nodes[p.Index].phase[j] == done {
			b.reruns[id] = true
			b.decider.Forget(p, j)
			b.transition(p, j, queued)
			b.addPending(p, j)
			heap.Push(&b.queue, id)
		}
	}
	b.transition(n, i, waiting)
	b.setPending(n, i, b.countPending(n, i))
	return true
}

// addPending makes consumers that wait for others wait for this action too.
func (b *build) addPending(p *graph.Node, j int) {
	for _, e := range p.Consumers {
		r := &b.nodes[e.To.Index]
		if r.pending == nil {
			continue
		}
		for k := range e.Readers(j).All() {
			if r.phase[k] == waiting {
				r.pending[k]++
			}
		}
	}
}

// actionHeap orders ready actions: producers before consumers, earlier partitions first.
type actionHeap []graph.ActionID

func (h actionHeap) Len() int           { return len(h) }
func (h actionHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h actionHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *actionHeap) Push(x any)        { *h = append(*h, x.(graph.ActionID)) }
func (h *actionHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
