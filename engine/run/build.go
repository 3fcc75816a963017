package run

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// build is one run of the scheduler. Only the goroutine that called Build touches it; workers and the recorder talk to it over channels.
//
// It usually takes one pass over the graph. Where a job finds that bytes of its inputs are gone, the jobs that made them are owed: what runs comes to its
// end, and another pass starts with what is known by then.
type build struct {
	s    *Session
	opts Options
	pass

	log          *buildLog
	trail        trail
	number       int
	stopping     bool // after a failure: start nothing any more
	spent        bool // the budget is: likewise
	lookForDrift bool // of frozen actions: what they were made from is decided too

	ran      map[graph.ActionID]bool
	rejudged map[graph.ActionID]bool    // judged anew without a job
	same     int                        // of ran: jobs whose outputs were what was there before
	broken   map[graph.ActionID]Outcome // what failed in this build is not tried twice
	owed     map[graph.ActionID]bool    // jobs that have to run although their results are known
	tried    map[graph.ActionID]int     // how often a job found bytes gone
	looked   map[graph.ActionID]bool    // those that had a second look at what they read
	used     used
	lineage  *lineage // nil: nobody is told
	warnings []engine.Problem
	warned   map[graph.ActionID][]engine.Finding // rules that only warn, of what was judged
	versions map[graph.ActionID]engine.Version   // of a preview: what was made, and where nothing names it
}

// pass is what is known of the actions in one pass.
type pass struct {
	decider *plan.Decider
	frozen  frozen
	nodes   []nodeRun
	workers []*plan.Worker

	queue      readyHeap
	unfinished int
	counts     Counts
	slots      []int                  // free places
	placed     map[graph.ActionID]int // the places of what is under way
	jobs       map[graph.ActionID]Job
	outcomes   map[graph.ActionID]Outcome // of jobs that succeeded, until they are recorded
	failures   []graph.ActionID
	again      bool // another pass has to follow; start nothing any more
	anew       bool // that one looks at all files anew
	known      map[graph.ActionID]*engine.Result
	waiters    map[graph.ActionID][]func()  // what waits for the verdict of an action
	verdicts   []*trial                     // measured, and ready for a verdict
	barred     map[graph.ActionID]bool      // queued, and somebody else has its key
	told       map[graph.ActionID]bool      // of those that are or were barred: people know for whom they wait
	deadline   map[graph.ActionID]time.Time // likewise, if there is one: when they give up

	results   chan jobResult
	measured  chan *trial
	locks     chan lockNews
	recorder  *recorder
	recordErr error // the first that the recorder met
}

// nodeRun is what a build knows of a node's actions; nil slices for nodes outside of it.
type nodeRun struct {
	wanted  []bool
	asked   bool // named by a pattern, not just needed
	phase   []phase
	pending []int32 // producers that are not finished, of waiting actions

	producers, readers []*graph.Edge // what jobs read and verdicts look up, and the other way round
}

func isJob(n *graph.Node) bool { return n.Target.Kind != engine.Source }

// Build brings the selected actions, and all that they need, to fresh.
func (s *Session) Build(ctx context.Context, selected []graph.Selected, opts Options) (Summary, error) {
	_, summary, err := s.build(ctx, selected, opts)
	return summary, err
}

func (s *Session) build(ctx context.Context, selected []graph.Selected, opts Options) (*build, Summary, error) {
	opts.setDefaults()
	s.stat.Context, s.programs.Context = ctx, ctx
	start := time.Now()
	b := &build{s: s, opts: opts, log: s.newBuildLog(), trail: newTrail(), ran: map[graph.ActionID]bool{}, rejudged: map[graph.ActionID]bool{}, broken: map[graph.ActionID]Outcome{}, owed: map[graph.ActionID]bool{},
		tried: map[graph.ActionID]int{}, looked: map[graph.ActionID]bool{}, warned: map[graph.ActionID][]engine.Finding{}, versions: map[graph.ActionID]engine.Version{}}
	var unheard error
	b.lineage, unheard = b.startLineage()
	for first := true; first || b.again && !b.stopping && !b.spent && ctx.Err() == nil; first = false {
		if b.anew {
			s.lookAnew()
		}
		if err := b.onePass(ctx, selected, first); err != nil {
			b.lineage.end(Summary{}, err)
			b.logEnd(ctx, &Summary{}, err)
			return b, Summary{}, err
		}
	}
	if b.unfinished > 0 && !b.stopping && !b.spent && ctx.Err() == nil {
		panic(fmt.Sprintf("%d actions were left over", b.unfinished))
	}
	if ctx.Err() == nil {
		b.changedMeanwhile()
	}
	s.memorize(b)
	summary := b.summary(time.Since(start), ctx.Err() != nil)
	b.logEnd(ctx, &summary, nil)
	summary.warn(unheard)
	summary.warn(b.lineage.end(summary, nil)...)
	if !summary.Interrupted && !opts.preview {
		b.notify(ctx, &summary)
	}
	opts.Events.Done(summary)
	return b, summary, nil
}

func (b *build) onePass(ctx context.Context, selected []graph.Selected, first bool) error {
	if err := b.begin(selected); err != nil {
		return err
	}
	b.jobs, b.outcomes, b.placed = map[graph.ActionID]Job{}, map[graph.ActionID]Outcome{}, map[graph.ActionID]int{}
	b.known, b.waiters = map[graph.ActionID]*engine.Result{}, map[graph.ActionID][]func(){}
	b.results, b.measured = make(chan jobResult, b.opts.Jobs), make(chan *trial, b.opts.Jobs)
	b.barred, b.told, b.deadline, b.locks = map[graph.ActionID]bool{}, map[graph.ActionID]bool{}, map[graph.ActionID]time.Time{}, make(chan lockNews)
	b.slots = freeSlots(b.opts.Jobs)
	b.counts.Ran, b.counts.Same = len(b.ran), b.same
	b.counts.Judged = len(b.rejudged)
	b.trail = b.trail.next(b.trail.last)
	b.recorder = b.s.startRecorder(context.WithoutCancel(ctx), b.log, b.opts.preview)
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
	defer b.lineage.abandon()
	if err := b.finishRecording(); err != nil {
		return err
	}
	b.leaveUnjudged()
	return nil
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
			b.keepUp()
		}
	}
}

// decision is the state of an action and what there is to record of it although no job runs.
type decision struct {
	state  engine.State
	known  *engine.Result // has to be measured or judged
	record *record
	needed bool // dpb-out has to show it, and its bytes are gone
	err    error
}

// decide runs on several goroutines at once; only settle changes the build.
func (b *build) decide(w *plan.Worker, n *graph.Node, i int) decision {
	d := decision{state: w.Decide(n, i)}
	p, _ := b.decider.Pending(n.Base + graph.ActionID(i))
	if p.Measure || p.Again || d.state == engine.Stale {
		d.known = p.Result
	}
	if d.state != engine.Fresh || d.known != nil {
		return d
	}
	if d.record, d.err = b.upToDate(n, i); d.err != nil {
		return d
	}
	d.needed = b.lacks(n, i, d.record)
	return d
}

// decideNode splits the partitions of a node among the workers, so many at a time: what there is to record of a million is not held all at once.
func (b *build) decideNode(n *graph.Node) {
	const most = 4096
	var ready []int
	decide := func() {
		decisions := make([]decision, len(ready))
		each(b.workers, len(ready), func(w *plan.Worker, at int) { decisions[at] = b.decide(w, n, ready[at]) })
		for at, i := range ready {
			b.settle(n, i, decisions[at])
		}
		ready = ready[:0]
		b.keepUp()
	}
	for i, wanted := range b.nodes[n.Index].wanted {
		if wanted && !b.wait(n, i) {
			ready = append(ready, i)
		}
		if len(ready) == most {
			decide()
		}
	}
	decide()
}

// keepUp waits while more is to be recorded than two commits take, and takes back what is.
func (b *build) keepUp() {
	for b.recorder.behind() > 2*mostRecords {
		b.recorded(<-b.recorder.out)
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
	if b.frozen.has(n, i) {
		return false
	}
	pending := b.countPending(n, i)
	if pending == 0 && !b.waitForPrior(n, i) {
		return false
	}
	b.setPending(n, i, pending)
	b.transition(n, i, waiting)
	return true
}

// waitForPrior makes the action wait for one more verdict if a rule on an input compares with partitions that are not judged yet.
func (b *build) waitForPrior(n *graph.Node, i int) bool {
	for k, in := range n.Target.Inputs {
		want := maxPrior(in.Expects)
		if n.Edges[k] == nil || want == 0 {
			continue
		}
		if id, wait := b.unjudged(n.Edges[k], i, want); wait {
			b.waiters[id] = append(b.waiters[id], func() {
				b.trail.follow(n.Base+graph.ActionID(i), id)
				b.proceed(n, i)
			})
			return true
		}
	}
	return false
}

// unjudged finds an action without verdict among those that rules on an edge compare with.
func (b *build) unjudged(e *graph.Edge, i, want int) (graph.ActionID, bool) {
	r := &b.nodes[e.From.Index]
	for k, found := 1, 0; found < want; k++ {
		before, ok := e.To.Set.Before(i, k)
		if !ok {
			break
		}
		whole := e.Inputs(before).Len() > 0
		for j := range e.Inputs(before).All() {
			if r.wanted[j] && !r.phase[j].finished() {
				return e.From.Base + graph.ActionID(j), true
			}
			whole = whole && !b.s.Current(e.From, j).IsZero()
		}
		if whole {
			found++
		}
	}
	return 0, false
}

// proceed decides an action of which all producers are finished, or lets it wait for one more verdict.
func (b *build) proceed(n *graph.Node, i int) {
	if b.nodes[n.Index].phase[i] != waiting || b.waitForPrior(n, i) {
		return
	}
	b.settle(n, i, b.decide(b.workers[0], n, i))
	if b.nodes[n.Index].phase[i].finished() {
		b.wake(n, i)
	}
}

func (b *build) countPending(n *graph.Node, i int) (pending int32) {
	for _, e := range b.nodes[n.Index].producers {
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
	b.keepJudgements(b.s.newlyJudged())
	p, _ := b.decider.Pending(id)
	if b.owed[id] && (d.state == engine.Fresh || d.state == engine.Held) {
		if !isJob(n) { // its bytes are in the checkout, and are split again
			delete(b.owed, id)
			b.known[id] = b.observed(n, i)
		}
		b.enqueue(n, i)
		return
	}
	switch {
	case d.err != nil:
		b.transition(n, i, failed)
		b.fail(n, i, Outcome{Failure: d.err.Error(), Local: true})
	case d.state == engine.Held && (!p.Again || b.comparedSame(n, i, p.Judgement)):
		b.transition(n, i, held)
		b.failures = append(b.failures, id)
		b.keepShown(n, i)
	case d.known != nil && !b.tries(id):
		b.known[id] = d.known
		b.enqueue(n, i)
	case (d.state == engine.Fresh || d.state == engine.Frozen && b.opts.Locked) && b.refusesByLock(n, i):
	case d.state == engine.Frozen && b.lostShown(n, i):
		b.transition(n, i, failed)
		b.fail(n, i, Outcome{Failure: Lost})
	case d.state == engine.Frozen:
		b.keepShown(n, i)
		b.upToDateNow(n, i, b.adopted(n, i))
	case d.state == engine.Fresh:
		if isJob(n) && (d.needed || b.owed[id]) {
			b.owed[id] = true
			b.enqueue(n, i)
			return
		}
		b.upToDateNow(n, i, d.record)
	case d.state == engine.Refused, p.Input != nil:
		b.transition(n, i, refused)
		b.failures = append(b.failures, id)
		b.keepShown(n, i)
	case d.state == engine.Stale, d.state == engine.Failed:
		b.settleStale(n, i)
	default:
		b.transition(n, i, blocked)
		b.keepShown(n, i)
		if b.decider.Cause(n, i) == id {
			b.failures = append(b.failures, id)
		}
	}
}

// keepShown has dpb-out show the version that current names of an action that is not brought to fresh, should somebody have deleted it there.
func (b *build) keepShown(n *graph.Node, i int) {
	id := b.s.Current(n, i)
	if !isJob(n) || !b.nodes[n.Index].asked || id.IsZero() || b.s.View.Current(n.Target, n.Set.Partition(i), id) {
		return
	}
	if v, ok, err := b.s.version(id); err == nil && ok && b.s.hasBytes(v.Outputs) {
		b.recorder.keep(&record{id: n.Base + graph.ActionID(i), version: &v, show: true})
	}
}

// tries says that an action, whose result is known, needs its job: it failed to be measured in this build, or its bytes are gone.
func (b *build) tries(id graph.ActionID) bool {
	_, broken := b.broken[id]
	return broken || b.owed[id]
}

// settleStale runs the job of an action, unless it can't be looked at or failed in this build before.
func (b *build) settleStale(n *graph.Node, i int) {
	id := n.Base + graph.ActionID(i)
	outcome, tried := b.broken[id]
	if !tried && b.opts.KeepFailed {
		outcome, tried = b.failedBefore(n, i)
	}
	if err := b.decider.Problem(id); err != nil {
		outcome, tried = Outcome{Failure: err.Error(), Local: errors.Is(err, disk.ErrChanging)}, true
	}
	if !tried && isJob(n) {
		b.enqueue(n, i)
		return
	}
	b.transition(n, i, failed)
	b.fail(n, i, outcome)
}

func (b *build) enqueue(n *graph.Node, i int) {
	b.transition(n, i, queued)
	b.trail.ready[n.Base+graph.ActionID(i)] = time.Now()
	b.push(n.Base + graph.ActionID(i))
}

func (b *build) upToDateNow(n *graph.Node, i int, r *record) {
	b.transition(n, i, done)
	if r != nil && r.version != nil {
		b.s.setCurrent(n, i, r)
		b.remember(n.Base+graph.ActionID(i), *r.version)
	}
	b.decider.Recorded(n.Base + graph.ActionID(i))
	if isJob(n) && !b.ran[n.Base+graph.ActionID(i)] {
		b.counts.UpToDate++
		if r != nil && r.restored {
			b.counts.Restored++
		}
		if r != nil && r.reshown {
			b.counts.Reshown++
		}
	}
	b.recorder.keep(r)
}

// remember keeps the versions of a preview, which nothing names.
func (b *build) remember(id graph.ActionID, v engine.Version) {
	if b.opts.preview {
		b.versions[id] = v
	}
}

// RefusedError says that SQL asks for what it may not have. Nothing was run.
type RefusedError struct{ Problems []engine.Problem }

func (e *RefusedError) Error() string { return fmt.Sprintf("%d problems in SQL", len(e.Problems)) }

// checkSQL looks at the statements of all targets that may have to run, before anything runs.
func (b *build) checkSQL(ctx context.Context) error {
	var targets []*engine.Target
	for _, n := range b.s.Graph.Nodes {
		if slices.ContainsFunc(b.nodes[n.Index].phase, func(p phase) bool { return p == queued || p == waiting }) {
			targets = append(targets, n.Target)
		}
	}
	problems := CheckSQL(ctx, targets, nil)
	if engine.HasErrors(problems) {
		return &RefusedError{problems}
	}
	b.warnings = problems
	return nil
}

// loop starts jobs and takes their results until nothing is left to do.
func (b *build) loop(ctx context.Context) {
	over, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	for {
		b.keepUp()
		b.startVerdicts(ctx)
		b.startJobs(ctx, over)
		b.opts.Events.Counted(b.counts)
		if len(b.placed) == 0 && (len(b.queue)+len(b.verdicts)+len(b.barred) == 0 || b.ending(ctx)) {
			return
		}
		select {
		case r := <-b.results:
			b.ended(ctx, r)
		case t := <-b.measured:
			b.measuredOne(ctx, t)
		case news := <-b.locks:
			b.heard(ctx, news)
		case item := <-b.recorder.out:
			b.recorded(item)
		case <-b.opts.timeUp: // what runs goes on, and before anything is started the budget is looked at
			b.spent = b.spent || len(b.barred) > 0
		}
	}
}

// ending says that nothing is to start any more in this pass.
func (b *build) ending(ctx context.Context) bool {
	return b.stopping || b.again || b.spent || ctx.Err() != nil
}

// startVerdicts goes on with actions that waited for other verdicts, which takes no time compared with a job, and so no budget.
func (b *build) startVerdicts(ctx context.Context) {
	for len(b.slots) > 0 && len(b.verdicts) > 0 && !b.stopping && !b.again && ctx.Err() == nil {
		t := b.verdicts[0]
		b.verdicts = b.verdicts[1:]
		b.take(t.id)
		b.seekVerdict(ctx, t)
	}
}

// take gives an action one of the places.
func (b *build) take(id graph.ActionID) {
	last := len(b.slots) - 1
	b.placed[id], b.slots = b.slots[last], b.slots[:last]
}

func (b *build) giveBack(id graph.ActionID) {
	if slot, ok := b.placed[id]; ok {
		b.slots = append(b.slots, slot)
		delete(b.placed, id)
	}
}

// threads is how many an action may use: all if nothing else is there to do.
func (b *build) threads() int {
	if len(b.placed) == 1 && len(b.queue) == 0 {
		return runtime.GOMAXPROCS(0)
	}
	return 1
}

func (b *build) startJobs(ctx, over context.Context) {
	for len(b.slots) > 0 && len(b.queue) > 0 && !b.ending(ctx) {
		if b.spent = b.opts.Budget > 0 && b.opts.elapsed() >= b.opts.Budget; b.spent {
			return
		}
		id := b.pop()
		n, i := b.s.Graph.Action(id)
		result, known := b.known[id]
		var release func()
		if !known {
			var ok bool
			if release, ok = b.lock(ctx, over, n, i); !ok {
				continue
			}
		}
		b.transition(n, i, running)
		b.take(id)
		b.started(n, i, known)
		if known {
			b.try(ctx, &trial{id: id, result: result})
			continue
		}
		prepared, err := b.s.prepareJob(b.decider, b.workers[0], n, i)
		if err != nil {
			release()
			b.results <- jobResult{id: id, err: err}
			continue
		}
		b.logStart()
		b.used.add(prepared)
		prepared.threads, prepared.owed, prepared.release = b.threads(), b.owed[id], release
		prepared.starting = b.lineage.starting(b, id, prepared)
		go func() { b.results <- b.s.execute(ctx, b.opts.Kill, id, prepared) }()
	}
}

// started tells people of a job, or of a result that is judged without one.
func (b *build) started(n *graph.Node, i int, judged bool) {
	id := n.Base + graph.ActionID(i)
	job := Job{Label: n.Target.Label, Partition: n.Set.Text(i), Kind: n.Target.Kind, Slot: b.placed[id], Started: time.Now(), Judged: judged, Waited: b.told[id]}
	if isJudged(n.Target) || !judged {
		b.number++
		job.Number = b.number
		job.Why = b.s.reason(b.decider, n, i)
		b.opts.Events.Started(job)
	}
	b.jobs[id] = job
}

// finished tells people how a job ended.
func (b *build) finished(id graph.ActionID, o Outcome) {
	b.lineage.ended(id, o)
	if job := b.jobs[id]; job.Number > 0 {
		b.opts.Events.Finished(job, o)
	}
}

// ended takes a job's result: it is recorded, and then measured and judged.
func (b *build) ended(ctx context.Context, r jobResult) {
	if r.panic != nil {
		panic(r.panic)
	}
	n, i := b.s.Graph.Action(r.id)
	if r.err == nil {
		b.outcomes[r.id] = r.outcome
		b.recorder.keep(b.made(n, r))
		b.try(ctx, &trial{id: r.id, ran: true, result: &r.result})
		return
	}
	b.giveBack(r.id)
	switch {
	case ctx.Err() != nil:
		b.transition(n, i, queued) // it was interrupted, and is left to do
		return
	case b.looksAgain(r.id, r.err):
		b.transition(n, i, waiting)
		return
	case errors.Is(r.err, cache.ErrMissing) && b.owe(n, i, &r):
		b.transition(n, i, waiting)
		b.again = true
		return
	}
	b.transition(n, i, failed)
	outcome := r.outcome
	outcome.Failure = r.err.Error()
	if r.run.Failure != "" { // else it never came to run
		b.recorder.keep(&record{id: r.id, run: b.traced(r.id, &r.run)})
	}
	b.fail(n, i, outcome)
	b.finished(r.id, outcome)
	if !b.again {
		b.wake(n, i)
	}
}

func (b *build) fail(n *graph.Node, i int, o Outcome) {
	id := n.Base + graph.ActionID(i)
	b.failures = append(b.failures, id)
	b.broken[id] = o
	b.decider.Settle(n, i, engine.Failed, plan.Pending{})
	b.stopping = b.stopping || !b.opts.KeepGoing
}

// wake lets go on what waited for this action alone: consumers, and verdicts that compare with it.
func (b *build) wake(n *graph.Node, i int) {
	id := n.Base + graph.ActionID(i)
	for _, e := range b.nodes[n.Index].readers {
		r := &b.nodes[e.To.Index]
		if r.pending == nil {
			continue
		}
		for k := range e.Readers(i).All() {
			if r.phase[k] != waiting || r.pending[k] == 0 {
				continue
			}
			if r.pending[k]--; r.pending[k] == 0 {
				b.trail.follow(e.To.Base+graph.ActionID(k), id)
				b.proceed(e.To, k)
			}
		}
	}
	waiters := b.waiters[id]
	delete(b.waiters, id)
	for _, proceed := range waiters {
		proceed()
	}
}

// observed is the result of a source that is decided.
func (b *build) observed(n *graph.Node, i int) *engine.Result {
	return &engine.Result{Key: b.decider.Key(n, i), Outputs: []engine.OutputResult{{Name: n.Target.Outputs[0].Name, Tree: b.decider.Made(n, i, 0).Raw, Rows: -1}}}
}
