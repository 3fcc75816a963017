package run

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
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
//
// It usually takes one pass over the graph. Where a job finds that bytes of its inputs are gone, the jobs that made them are owed: what runs comes to its
// end, and another pass starts with what is known by then.
type build struct {
	s    *Session
	opts Options
	pass

	number   int
	stopping bool // after a failure: start nothing any more
	ran      map[graph.ActionID]bool
	same     int                        // of ran: jobs whose outputs were what was there before
	broken   map[graph.ActionID]Outcome // what failed in this build is not tried twice
	owed     map[graph.ActionID]bool    // jobs that have to run although their results are known
	tried    map[graph.ActionID]int     // how often a job found bytes gone
	warnings []engine.Problem
}

// pass is what is known of the actions in one pass.
type pass struct {
	decider *plan.Decider
	nodes   []nodeRun
	workers []*plan.Worker

	queue      actionHeap
	unfinished int
	counts     Counts
	slots      []int // free places
	jobs       map[graph.ActionID]Job
	outcomes   map[graph.ActionID]Outcome // of jobs that succeeded, until they are recorded
	failures   []graph.ActionID
	again      bool // another pass has to follow; start nothing any more

	results   chan jobResult
	recorder  *recorder
	recordErr error // the first that the recorder met
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
	s.stat.Context = ctx
	start := time.Now()
	b := &build{s: s, opts: opts, ran: map[graph.ActionID]bool{}, broken: map[graph.ActionID]Outcome{}, owed: map[graph.ActionID]bool{},
		tried: map[graph.ActionID]int{}}
	for first := true; first || b.again && !b.stopping && ctx.Err() == nil; first = false {
		if err := b.onePass(ctx, selected, first); err != nil {
			return Summary{}, err
		}
	}
	if b.unfinished > 0 && !b.stopping && ctx.Err() == nil {
		panic(fmt.Sprintf("%d actions were left over", b.unfinished))
	}
	summary := b.summary(time.Since(start), ctx.Err() != nil)
	opts.Events.Done(summary)
	return summary, nil
}

func (b *build) onePass(ctx context.Context, selected []graph.Selected, first bool) error {
	if err := b.begin(selected); err != nil {
		return err
	}
	b.jobs, b.outcomes, b.results = map[graph.ActionID]Job{}, map[graph.ActionID]Outcome{}, make(chan jobResult, b.opts.Jobs)
	for slot := range b.opts.Jobs {
		b.slots = append(b.slots, slot)
	}
	slices.Reverse(b.slots)
	b.counts.Ran, b.counts.Same = len(b.ran), b.same
	b.recorder = b.s.startRecorder(context.WithoutCancel(ctx))
	if first {
		b.recorder.keep(b.retire())
	}
	b.decideAll(ctx)
	if first {
		if err := b.checkSQL(ctx); err != nil {
			return errors.Join(err, b.finishRecording())
		}
	}
	b.loop(ctx)
	return b.finishRecording()
}

// begin starts a pass in which nothing is decided: what takes part is marked, and what pointers tell is known.
func (b *build) begin(selected []graph.Selected) error {
	b.pass = pass{decider: plan.New(b.s.Graph, b.s, b.s.Now), nodes: make([]nodeRun, len(b.s.Graph.Nodes))}
	for range runtime.GOMAXPROCS(0) {
		b.workers = append(b.workers, b.decider.Worker())
	}
	b.mark(selected)
	return b.s.seed(b.decider)
}

// retire is the record of what is no more: targets, and partitions that have left their sets.
func (b *build) retire() *record {
	rec := &record{retired: b.s.retired, show: true}
	for _, n := range b.s.Graph.Nodes {
		if b.nodes[n.Index].asked && isJob(n) {
			rec.tidy = append(rec.tidy, n)
		}
	}
	return rec
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
		if n.ReadsItself() {
			b.decideInOrder(n)
		} else {
			b.decideNode(n)
		}
	}
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
	needed bool // dpb-out has to show it, and its bytes are gone
}

// decide runs on several goroutines at once; only settle changes the build.
func (b *build) decide(w *plan.Worker, n *graph.Node, i int) decision {
	d := decision{state: w.Decide(n, i)}
	if d.state != engine.Fresh {
		return d
	}
	d.record = b.upToDate(n, i)
	d.needed = d.record != nil && d.record.show && b.nodes[n.Index].asked && !b.s.Present(context.Background(), b.decider, n, i)
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
	each(b.workers, len(ready), func(w *plan.Worker, at int) { decisions[at] = b.decide(w, n, ready[at]) })
	for at, i := range ready {
		b.settle(n, i, decisions[at])
	}
}

// each calls f for 0 to n-1, a stretch for each worker. A panic on the way is one of the caller's.
func each(workers []*plan.Worker, n int, f func(w *plan.Worker, at int)) {
	var wg sync.WaitGroup
	size := (n + len(workers) - 1) / len(workers)
	panics := make([]any, len(workers))
	for k, w := range workers {
		from, to := min(k*size, n), min((k+1)*size, n)
		wg.Go(func() {
			defer func() { panics[k] = caught(recover()) }()
			for at := from; at < to; at++ {
				f(w, at)
			}
		})
	}
	wg.Wait()
	for _, p := range panics {
		if p != nil {
			panic(p)
		}
	}
}

// caught keeps the stack of a panic that is handed to another goroutine; nil if there was none.
func caught(p any) any {
	if p == nil {
		return nil
	}
	return fmt.Sprintf("%v\n%s", p, debug.Stack())
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
		if isJob(n) && (d.needed || b.owed[id]) {
			b.owed[id] = true
			b.enqueue(n, i)
			return
		}
		b.upToDateNow(n, i, d.record)
	case engine.Stale, engine.Failed:
		outcome, tried := b.broken[id]
		if err := b.decider.Problem(id); err != nil {
			outcome, tried = Outcome{Failure: err.Error()}, true
		}
		if !tried {
			b.enqueue(n, i)
			return
		}
		b.transition(n, i, failed)
		b.fail(n, i, outcome)
	default:
		b.transition(n, i, blocked)
		if b.decider.Cause(n, i) == id {
			b.failures = append(b.failures, id)
		}
	}
}

func (b *build) enqueue(n *graph.Node, i int) {
	b.transition(n, i, queued)
	heap.Push(&b.queue, n.Base+graph.ActionID(i))
}

func (b *build) upToDateNow(n *graph.Node, i int, r *record) {
	b.transition(n, i, done)
	if isJob(n) && !b.ran[n.Base+graph.ActionID(i)] {
		b.counts.UpToDate++
		if r != nil && r.restored {
			b.counts.Restored++
		}
	}
	b.recorder.keep(r)
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
		if running := b.opts.Jobs - len(b.slots); running == 0 && (len(b.queue) == 0 || b.ending(ctx)) {
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

// ending says that nothing is to start any more in this pass.
func (b *build) ending(ctx context.Context) bool { return b.stopping || b.again || ctx.Err() != nil }

func (b *build) startJobs(ctx context.Context) {
	for len(b.slots) > 0 && len(b.queue) > 0 && !b.ending(ctx) {
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
		if err != nil {
			b.results <- jobResult{id: id, err: err}
			continue
		}
		prepared.threads, prepared.owed = 1, b.owed[id]
		if b.opts.Jobs-len(b.slots)+len(b.queue) == 1 {
			prepared.threads = runtime.GOMAXPROCS(0)
		}
		go func() { b.results <- b.s.execute(ctx, b.opts.Kill, id, prepared) }()
	}
}

// ended takes a job's result: consumers go on at once, what people see waits until it is recorded.
func (b *build) ended(ctx context.Context, r jobResult) {
	if r.panic != nil {
		panic(r.panic)
	}
	n, i := b.s.Graph.Action(r.id)
	b.slots = append(b.slots, b.jobs[r.id].Slot)
	switch {
	case r.err != nil && ctx.Err() != nil:
		b.transition(n, i, queued) // it was interrupted, and is left to do
		return
	case errors.Is(r.err, cache.ErrMissing) && b.owe(n, i, r):
		b.transition(n, i, waiting)
		b.again = true
		return
	case r.err != nil:
		b.transition(n, i, failed)
		outcome := r.outcome
		outcome.Failure = r.err.Error()
		if r.run.Failure != "" { // else it never came to run
			b.recorder.keep(&record{id: r.id, run: &r.run})
		}
		b.fail(n, i, outcome)
		b.opts.Events.Finished(b.jobs[r.id], outcome)
	default:
		b.succeeded(n, i, r)
	}
	if !b.again {
		b.wake(ctx, n, i)
	}
}

func (b *build) succeeded(n *graph.Node, i int, r jobResult) {
	outcome := r.outcome
	outcome.Same = b.decider.Known(n, i, r.result.Outputs)
	// A job that is not reproducible gave others what it does not give again: all is decided anew.
	b.again = b.again || b.owed[r.id] && !outcome.Same
	record := b.made(n, r)
	delete(b.owed, r.id)
	b.decider.Accept(n, i, r.result.Outputs)
	record.version, record.outputs = b.version(n, i), b.decider.Outputs(n, i)
	b.transition(n, i, done)
	if !b.ran[r.id] {
		b.ran[r.id] = true
		b.counts.Ran++
		if outcome.Same {
			b.same++
			b.counts.Same++
		}
	}
	b.outcomes[r.id] = outcome
	b.recorder.keep(record)
}

func (b *build) fail(n *graph.Node, i int, o Outcome) {
	id := n.Base + graph.ActionID(i)
	b.failures = append(b.failures, id)
	b.broken[id] = o
	b.decider.Fail(n, i)
	b.stopping = b.stopping || !b.opts.KeepGoing
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

// maxTries bounds how often a job may find bytes gone that were there before: somebody else deletes them meanwhile.
const maxTries = 5

// owe finds out which jobs have to run again for this one, whose inputs lack bytes. It is false if none can help.
func (b *build) owe(n *graph.Node, i int, r jobResult) bool {
	id := n.Base + graph.ActionID(i)
	b.tried[id]++
	return b.tried[id] <= maxTries && b.oweInputs(n, i)
}

// oweInputs adds the producers of an action whose bytes are gone, and what those need. Bytes of sources are in the checkout or nowhere.
func (b *build) oweInputs(n *graph.Node, i int) bool {
	for _, e := range n.Edges {
		if e == nil {
			continue
		}
		for j := range e.Inputs(i).All() {
			id := e.From.Base + graph.ActionID(j)
			if !isJob(e.From) || b.owed[id] || b.decider.State(e.From, j) != engine.Fresh || b.s.Present(context.Background(), b.decider, e.From, j) {
				continue
			}
			b.owed[id] = true
			if !b.oweInputs(e.From, j) {
				return false
			}
		}
	}
	return true
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
