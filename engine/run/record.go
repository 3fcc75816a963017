package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/git"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// record is what one action adds to the ledger.
type record struct {
	id         graph.ActionID
	result     *engine.Result // of a job that succeeded
	sections   [][]byte
	run        *engine.Run
	begins     bool                  // the build's first job has started
	restored   bool                  // no job ran, and current named another version
	reshown    bool                  // nor that, but dpb-out lacked what it is to show
	replace    bool                  // the result of before has expired, or its bytes are gone
	version    *engine.Version       // to record
	point      bool                  // current has to name the version
	shape      cache.SectionDigest   // of the rules that it was accepted under
	outputs    []engine.OutputResult // of the version, as consumers read them
	judgements []judgement
	puts       []func(*ledger.Tx) error // what else there is to record
	unwritten  []any                    // what is at hand until it is recorded
	finishes   bool                     // people are told of its action when all is recorded
	tidy       []*graph.Node            // whose folders in dpb-out may hold partitions that are no more
	retired    []ledger.Current         // pointers to withdraw
	show       bool                     // dpb-out has to be made to show the version
	release    func()                   // called when all is recorded
	err        error
	panic      any
}

// forLedger says whether the record adds or withdraws anything there: a build with nothing to do need not wait for who else writes.
func (r *record) forLedger() bool {
	return r.begins || r.result != nil || r.run != nil || r.version != nil || r.retired != nil || r.puts != nil || r.judgements != nil
}

// recorder writes records in groups: one commit for all that came while the last one was under way, and for a while after it.
type recorder struct {
	s   *Session
	log *buildLog // nil: what is recorded belongs to no build
	// preview: pointers, judgements and dpb-out stay as they are
	preview bool
	out     chan *record // what is durable and visible, in the order in which it was handed in

	mu      sync.Mutex
	more    sync.Cond
	waiting []*record
	closed  bool
	rested  time.Time // before which there is no commit, unless nothing more comes, or too much waits

	failed error // why records could not be written; none is after that, for later ones build on earlier ones
}

func (s *Session) startRecorder(ctx context.Context, log *buildLog, preview bool) *recorder {
	r := &recorder{s: s, log: log, preview: preview, out: make(chan *record, 64)}
	r.more.L = &r.mu
	go r.loop(ctx)
	return r
}

// keep hands a record in and never blocks; nil is nothing to record.
func (r *recorder) keep(rec *record) {
	if rec == nil {
		return
	}
	if r.preview {
		rec.point, rec.show, rec.replace, rec.judgements, rec.retired, rec.tidy = false, false, false, nil, nil, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting = append(r.waiting, rec); len(r.waiting) == 1 || len(r.waiting) == mostRecords { // else it is known that some wait
		r.more.Signal()
	}
}

// close lets the loop end when all is written.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.Signal()
}

// Commits are so many times as long apart as the last one took, and at most maxRest: what a commit costs beside its records is shared by many, and a job is recorded soon
// after its end.
const restShare, maxRest = 16, 100 * time.Millisecond

// next waits for records, and a while for those that follow them; none is the end.
func (r *recorder) next() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	for !r.closed && len(r.waiting) < mostRecords {
		rest := time.Until(r.rested)
		if len(r.waiting) == 0 {
			r.more.Wait()
		} else if rest > 0 {
			r.pause(rest)
		} else {
			break
		}
	}
	n := min(len(r.waiting), mostRecords)
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
}

// pause is a wait that ends after a time at the latest.
func (r *recorder) pause(rest time.Duration) {
	over := time.AfterFunc(rest, func() {
		r.mu.Lock() // which it has until it waits
		defer r.mu.Unlock()
		r.more.Signal()
	})
	defer over.Stop()
	r.more.Wait()
}

// mostRecords bounds how long one commit takes.
const mostRecords = 5000

// behind is how many records wait for the next commits.
func (r *recorder) behind() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.waiting)
}

func (r *recorder) loop(ctx context.Context) {
	defer close(r.out)
	for {
		batch := r.next()
		if len(batch) == 0 {
			return
		}
		r.write(ctx, batch)
	}
}

// write hands every record back, whatever happens to it.
func (r *recorder) write(ctx context.Context, batch []*record) {
	var panicked any
	defer func() {
		for _, rec := range batch {
			if rec.panic = panicked; rec.release != nil {
				rec.release()
			}
			r.out <- rec
		}
	}()
	defer func() { panicked = caught(recover()) }()
	if r.failed == nil {
		begun := time.Now()
		r.failed = r.s.noRoom(r.commit(ctx, batch))
		took := time.Since(begun)
		r.rested = begun.Add(took + min(restShare*took, maxRest))
	}
	err := r.failed
	for _, rec := range batch {
		if err == nil {
			r.s.unwritten.remove(rec.unwritten)
		}
		if rec.err = err; err == nil && rec.show {
			rec.err = r.s.noRoom(r.s.show(ctx, rec))
		}
	}
}

// commit makes the bytes durable, then the records that name them.
func (r *recorder) commit(ctx context.Context, batch []*record) error {
	if err := r.s.Store.Sync(ctx); err != nil {
		return err
	}
	for _, rec := range batch {
		for _, c := range rec.retired { // before its pointer goes, which would be the last to tell of it
			if err := errors.Join(r.s.View.Withdraw(c.Label, c.Partition), fault.At(fault.Withdrawn)); err != nil {
				return err
			}
		}
	}
	if !slices.ContainsFunc(batch, (*record).forLedger) {
		return nil
	}
	r.log.describe(r.s)
	moved := r.s.followPointers()
	err := r.s.Ledger.Write(ctx, func(tx *ledger.Tx) error {
		err := errors.Join(moved.before(tx), r.log.begin(tx))
		for _, rec := range batch {
			if err == nil {
				err = r.put(tx, rec)
			}
		}
		return errors.Join(err, moved.after(tx))
	})
	if err == nil {
		r.log.committed()
		moved.committed()
	}
	return err
}

func (r *recorder) put(tx *ledger.Tx, rec *record) error {
	for _, body := range rec.sections {
		if err := tx.PutSection(body); err != nil {
			return err
		}
	}
	if rec.result != nil {
		if _, err := tx.PutResult(*rec.result, rec.replace); err != nil {
			return err
		}
	}
	if rec.run != nil {
		run := *rec.run
		run.Build = r.log.id()
		if err := tx.PutRun(r.s.Graph.Workspace.Name, run); err != nil {
			return err
		}
	}
	for _, c := range rec.retired {
		if err := tx.Withdraw(r.s.Graph.Workspace.Name, r.s.Environment, c.Label, c.Partition); err != nil {
			return err
		}
	}
	for _, j := range rec.judgements {
		if err := tx.PutJudgement(r.s.Environment, j.subject, j.rules, j.Judgement); err != nil {
			return err
		}
	}
	for _, put := range rec.puts {
		if err := put(tx); err != nil {
			return err
		}
	}
	if rec.version == nil {
		return nil
	}
	v := *rec.version
	v.Provenance, v.Build = r.log.Provenance, r.log.ID
	if err := tx.PutVersion(v); err != nil || !rec.point {
		return err
	}
	return tx.Point(r.s.Environment, v, rec.shape, rec.outputs)
}

// keepJudgements records what was said of inputs, and notes what only warns.
func (b *build) keepJudgements(list []judgement) {
	if list == nil {
		return
	}
	for _, j := range list {
		b.warn(j.id, j.Findings)
	}
	b.lineage.admit(list)
	b.recorder.keep(&record{judgements: list})
}

// where says which commit the checkout stands at, and who works there.
func (s *Session) where() (p engine.Provenance) {
	ctx := context.Background() // what is recorded is whole, also when a build is stopped
	p.User, p.Host = userAndHost()
	commit, err := git.Text(ctx, s.Root, "rev-parse", "HEAD")
	if err != nil {
		return p // no repository, no commit, or no git
	}
	changes, err := git.Text(ctx, s.Root, "status", "--porcelain", "--untracked-files=normal", "--", ".")
	p.Commit, p.Dirty = commit, err != nil || changes != ""
	return p
}

// show makes dpb-out hold the version's visible trees.
func (s *Session) show(ctx context.Context, rec *record) error {
	for _, n := range rec.tidy {
		if err := s.View.Retire(n.Target, s.sets(), func(partition string) bool { _, ok := n.Set.IndexText(partition); return ok }); err != nil {
			return err
		}
	}
	if rec.version == nil || !rec.show {
		return nil
	}
	n, i := s.Graph.Action(rec.id)
	return errors.Join(s.View.Point(ctx, n.Target, n.Set.Partition(i), *rec.version), fault.At(fault.Shown))
}

// made is the record of a job that succeeded, without its version.
func (b *build) made(n *graph.Node, r jobResult) *record {
	rec := &record{id: r.id, sections: r.sections, release: r.release}
	if !r.outcome.Elsewhere {
		rec.result, rec.run = &r.result, b.traced(r.id, &r.run)
		rec.replace = b.owed[r.id] || n.Target.ValidFor > 0 || b.s.boxes.Mode == sandbox.Require
		rec.unwritten = []any{resultKey(r.result.Key)}
		b.s.unwritten.add(rec.unwritten[0], r.result)
	}
	return rec
}

// setVersion has a record hold a version that may be new, which is at hand until it is written.
func (s *Session) setVersion(rec *record, v *engine.Version) {
	v.Created = s.Time()
	if current := s.Current(s.Graph.Action(rec.id)); current != v.ID {
		v.Replaced = current
	}
	s.pin(v.Outputs)
	rec.version, rec.unwritten = v, append(rec.unwritten, versionKey(v.ID))
	s.unwritten.add(versionKey(v.ID), *v)
}

// pin keeps what current is about to name from a collector that still goes by what it named before. What can't be pinned is at worst made again.
func (s *Session) pin(outputs []engine.VersionOutput) {
	_ = s.Store.Pin(treesOf(outputs)...)
}

// upToDate is what a fresh action without a job has to record: nothing if the pointer and dpb-out are as they should be.
func (b *build) upToDate(n *graph.Node, i int) (*record, error) {
	rec := b.outdated(n, i)
	if rec == nil {
		return nil, nil
	}
	if rec.version != nil {
		b.s.setVersion(rec, rec.version)
		return rec, nil
	}
	current := b.s.Current(n, i)
	v, ok, err := b.s.version(current)
	if err == nil && !ok {
		err = fmt.Errorf("the ledger has no version %s, which current names", current.Short())
	}
	rec.version = &v
	return rec, err
}

// outdated is upToDate as far as it changes nothing.
func (b *build) outdated(n *graph.Node, i int) *record {
	id, current := n.Base+graph.ActionID(i), b.s.Current(n, i)
	p, decided := b.decider.Pending(id)
	rec := &record{id: id, show: isJob(n), shape: b.pointed(n, i, p.Unmeasured)}
	if decided && p.Result != nil { // else the pointer itself told so
		rec.version, rec.outputs = b.s.versionOf(n, i, p.Result.Key, p.Outputs), plan.Visible(p.Result, p.Outputs)
		rec.restored, rec.point = rec.version.ID != current, rec.version.ID != current || b.s.currentRules(n, i) != rec.shape
	}
	rec.reshown = isJob(n) && !rec.restored && !b.s.View.Current(n.Target, n.Set.Partition(i), current)
	if !rec.point && !rec.reshown {
		return nil
	}
	return rec
}

// lacks says that the bytes of a fresh action are gone, and that dpb-out has to show it, or that it was thawed.
func (b *build) lacks(n *graph.Node, i int, outdated *record) bool {
	needed := outdated != nil && outdated.show || b.makesAgain(n, i)
	return needed && b.nodes[n.Index].asked && !b.s.Present(context.Background(), b.decider, n, i)
}

// recorded tells people of a job whose result is safe, and notes what could not be recorded.
func (b *build) recorded(rec *record) {
	if rec.panic != nil {
		panic(rec.panic)
	}
	if rec.err != nil && b.recordErr == nil {
		b.recordErr = rec.err
		b.stopping = true
	}
	outcome, ok := b.outcomes[rec.id]
	if !ok || !rec.finishes {
		return
	}
	if rec.err != nil {
		outcome.State, outcome.Failure = 0, "its result could not be recorded: "+rec.err.Error()
	}
	b.finished(rec.id, outcome)
}

// finishRecording waits until all that was handed in is written.
func (b *build) finishRecording() error {
	b.recorder.close()
	for rec := range b.recorder.out {
		b.recorded(rec)
	}
	return b.recordErr
}
