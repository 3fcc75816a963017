package run

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
)

// record is what one action adds to the ledger.
type record struct {
	id       graph.ActionID
	result   *engine.Result // of a job that succeeded
	sections [][]byte
	run      *engine.Run
	restored bool                  // no job ran, and current named another version
	replace  bool                  // the result of before has expired, or its bytes are gone
	version  *engine.Version       // to record and to point to
	outputs  []engine.OutputResult // of the version
	tidy     []*graph.Node         // whose folders in dpb-out may hold partitions that are no more
	retired  []ledger.Current      // pointers to withdraw
	show     bool                  // dpb-out has to be made to show the version
	release  func()                // called when all is recorded
	err      error
	panic    any
}

// forLedger says whether the record adds or withdraws anything there: a build with nothing to do need not wait for who else writes.
func (r *record) forLedger() bool {
	return r.result != nil || r.run != nil || r.version != nil || r.retired != nil
}

// recorder writes records in groups: one commit for all that came while the last one was under way.
type recorder struct {
	s   *Session
	out chan *record // what is durable and visible, in the order in which it was handed in

	mu      sync.Mutex
	more    sync.Cond
	waiting []*record
	closed  bool

	provenance sync.Once
	origin     engine.Provenance
}

func (s *Session) startRecorder(ctx context.Context) *recorder {
	r := &recorder{s: s, out: make(chan *record, 64)}
	r.more.L = &r.mu
	go r.loop(ctx)
	return r
}

// keep hands a record in and never blocks; nil is nothing to record.
func (r *recorder) keep(rec *record) {
	if rec == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, rec)
	r.more.Signal()
}

// close lets the loop end when all is written.
func (r *recorder) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.more.Signal()
}

func (r *recorder) next() []*record {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.waiting) == 0 && !r.closed {
		r.more.Wait()
	}
	n := min(len(r.waiting), 5000) // bounds how long one commit takes
	batch := r.waiting[:n:n]
	r.waiting = r.waiting[n:]
	return batch
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
	err := r.commit(ctx, batch)
	for _, rec := range batch {
		if rec.err = err; err == nil && rec.show {
			rec.err = r.s.show(ctx, rec)
		}
	}
}

// commit makes the bytes durable, then the records that name them.
func (r *recorder) commit(ctx context.Context, batch []*record) error {
	if slices.ContainsFunc(batch, func(rec *record) bool { return rec.result != nil || rec.run != nil }) {
		if err := r.s.Store.Sync(ctx); err != nil {
			return err
		}
	}
	for _, rec := range batch {
		for _, c := range rec.retired { // before its pointer goes, which would be the last to tell of it
			if err := r.s.View.Withdraw(c.Label, c.Partition); err != nil {
				return err
			}
		}
	}
	if !slices.ContainsFunc(batch, (*record).forLedger) {
		return nil
	}
	return r.s.Ledger.Write(ctx, func(tx *ledger.Tx) error {
		for _, rec := range batch {
			if err := r.put(tx, rec); err != nil {
				return err
			}
		}
		return nil
	})
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
		if err := tx.PutRun(r.s.Graph.Workspace.Name, *rec.run); err != nil {
			return err
		}
	}
	for _, c := range rec.retired {
		if err := tx.Withdraw(r.s.Graph.Workspace.Name, r.s.Environment, c.Label, c.Partition); err != nil {
			return err
		}
	}
	if rec.version == nil {
		return nil
	}
	v := *rec.version
	v.Provenance = r.where()
	if err := tx.PutVersion(v); err != nil {
		return err
	}
	return tx.Point(r.s.Environment, v, rec.outputs)
}

// where says which commit the checkout stands at, asked for once a build and only if something is recorded.
func (r *recorder) where() engine.Provenance {
	r.provenance.Do(func() {
		git := func(args ...string) (string, error) {
			out, err := exec.Command("git", append([]string{"-C", r.s.Root}, args...)...).Output()
			return strings.TrimSpace(string(out)), err
		}
		r.origin.User, r.origin.Host = userAndHost()
		commit, err := git("rev-parse", "HEAD")
		if err != nil {
			return // no repository, no commit, or no git
		}
		changes, err := git("status", "--porcelain", "--untracked-files=normal", "--", ".")
		r.origin.Commit, r.origin.Dirty = commit, err != nil || changes != ""
	})
	return r.origin
}

// show makes dpb-out hold the version's visible trees.
func (s *Session) show(ctx context.Context, rec *record) error {
	for _, n := range rec.tidy {
		if err := s.View.Retire(n.Target, func(partition string) bool { _, ok := n.Set.IndexText(partition); return ok }); err != nil {
			return err
		}
	}
	if rec.version == nil {
		return nil
	}
	n, i := s.Graph.Action(rec.id)
	return s.View.Point(ctx, n.Target, n.Set.Partition(i), *rec.version)
}

// made is the record of a job that succeeded, without its version.
func (b *build) made(n *graph.Node, r jobResult) *record {
	rec := &record{id: r.id, sections: r.sections, show: true, release: r.release}
	if !r.outcome.Elsewhere {
		rec.result, rec.run, rec.replace = &r.result, &r.run, b.owed[r.id] || n.Target.ValidFor > 0
	}
	return rec
}

// upToDate is what an action without a job has to record: nothing if the pointer and dpb-out are as they should be.
func (b *build) upToDate(n *graph.Node, i int) *record {
	id := n.Base + graph.ActionID(i)
	current := b.s.Current(n, i)
	// Where valid_for counts, a key has several results, and only the version tells which one current names.
	pointed := !current.IsZero() && b.s.current[n.Index].key[i] == b.decider.Key(n, i) && (n.Target.ValidFor == 0 || b.version(n, i).ID == current)
	if pointed {
		if !isJob(n) || b.s.View.Current(n.Target, n.Set.Partition(i), current) {
			return nil
		}
	}
	v := b.version(n, i)
	return &record{id: id, version: v, outputs: b.decider.Outputs(n, i), show: isJob(n), restored: !pointed}
}

// version is the version of a fresh action. Nothing is rejected yet, so consumers see the raw trees.
func (b *build) version(n *graph.Node, i int) *engine.Version {
	ws := b.s.Graph.Workspace.Name
	v := &engine.Version{Workspace: ws, Label: n.Target.Label, Partition: n.Set.Text(i), Key: b.decider.Key(n, i), Created: time.Now()}
	for k, o := range n.Target.Outputs {
		t := b.decider.Tree(n, i, k)
		v.Outputs = append(v.Outputs, engine.VersionOutput{Name: o.Name, Raw: t, Visible: t})
	}
	slices.SortFunc(v.Outputs, func(x, y engine.VersionOutput) int { return strings.Compare(x.Name, y.Name) })
	v.ID = engine.NewVersionID(ws, v.Label, v.Partition, v.Key, v.Outputs)
	return v
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
	if !ok || rec.version == nil {
		return
	}
	if rec.err != nil {
		outcome.Failure = "its result could not be recorded: " + rec.err.Error()
	}
	b.opts.Events.Finished(b.jobs[rec.id], outcome)
}

// finishRecording waits until all that was handed in is written.
func (b *build) finishRecording() error {
	b.recorder.close()
	for rec := range b.recorder.out {
		b.recorded(rec)
	}
	return b.recordErr
}
