package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/dpb-build/dpb/engine/worker"
)

// prepared is all that a job needs, so that it can run on its own.
type prepared struct {
	node     *graph.Node
	i        int
	recipe   *recipe
	bindings []plan.Binding
	key      cache.ActionKey
	parts    []engine.Part
	sections [][]byte
	sources  []source.Snapshot // whose bytes have to be in the store before the job reads them
	inPlace  []source.Snapshot // whose bytes stay where they are
	threads  int
	starting func() // tells others that the job begins; nil: nobody
	owed     bool   // its result is known, and its bytes are gone
	release  func() // lets other processes have the key

	dir string
}

// jobResult is how a job ended.
type jobResult struct {
	id       graph.ActionID
	err      error // nil if it succeeded
	result   engine.Result
	run      engine.Run
	sections [][]byte
	outcome  Outcome
	release  func() // lets other processes have the key
	panic    any
}

// prepareJob binds a job's inputs. It runs on the scheduler's goroutine, so it only reads what is decided.
func (s *Session) prepareJob(d *plan.Decider, w *plan.Worker, n *graph.Node, i int) (*prepared, error) {
	p := &prepared{node: n, i: i, key: d.Key(n, i), threads: 1}
	s.mu.Lock()
	p.recipe = s.recipes[n]
	s.mu.Unlock()
	var err error
	if p.parts, err = w.Parts(n, i, func(_ engine.Part, body []byte) { p.sections = append(p.sections, body) }); err != nil {
		return nil, err
	}
	if engine.Key(p.parts) != p.key {
		panic(fmt.Sprintf("%s: its inputs changed after it was decided", n.Target.Label.At(n.Set.Text(i))))
	}
	if p.bindings, err = w.Bindings(n, i); err != nil {
		return nil, err
	}
	for k, b := range p.bindings {
		if err := s.snapshots(p, k, b); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// snapshots notes what was observed of the sources and files that enter through one input.
func (s *Session) snapshots(p *prepared, k int, b plan.Binding) error {
	if b.Edge == nil {
		snapshot, err := s.snapshot(p.node, b.Input.Files, p.i)
		p.sources = append(p.sources, snapshot)
		return err
	}
	if b.Edge.From.Target.Kind != engine.Source {
		return nil
	}
	for _, j := range b.Producer {
		snapshot, err := s.snapshot(b.Edge.From, b.Edge.From.Target.Path, j)
		if err != nil {
			return err
		}
		if b.Edge.From.Target.InPlace {
			p.inPlace = append(p.inPlace, snapshot)
		} else {
			p.sources = append(p.sources, snapshot)
		}
	}
	return nil
}

// execute runs a job, of which this process has the key, from its prepared inputs to a result whose bytes are in the store.
func (s *Session) execute(ctx, kill context.Context, id graph.ActionID, p *prepared) (r jobResult) {
	r.id = id
	defer func() { r.panic = caught(recover()) }()
	if known, ok := s.madeElsewhere(p); ok {
		r.result, r.release, r.outcome = *known, p.release, Outcome{Ended: time.Now(), Elsewhere: true, Rows: rows(known.Outputs)}
		return r
	}
	if p.starting != nil {
		p.starting()
	}
	s.runJob(ctx, kill, p, &r)
	if r.err != nil {
		p.release()
		return r
	}
	r.sections, r.release = p.sections, p.release
	return r
}

// madeElsewhere finds the result of a key that another process made since this one decided.
func (s *Session) madeElsewhere(p *prepared) (*engine.Result, bool) {
	if p.owed {
		return nil, false
	}
	r, ok, err := s.Ledger.Result(p.key)
	return &r, ok && err == nil && !r.Expired(p.node.Target.ValidFor, s.Now) && s.accepts(&r)
}

func (s *Session) runJob(ctx, kill context.Context, p *prepared, r *jobResult) {
	started := time.Now()
	t := p.node.Target
	r.run = engine.Run{Key: p.key, Label: t.Label, Partition: p.node.Set.Text(p.i), Started: s.Time()}
	r.result = engine.Result{Key: p.key, Parts: p.parts, Started: r.run.Started, Observed: s.Now}
	r.err = s.noRoom(s.stageAndRun(ctx, kill, p, r))
	r.run.Wall = time.Since(started)
	r.result.Wall, r.run.Outputs, r.run.Metrics = r.run.Wall, r.result.Outputs, r.result.Metrics
	r.outcome.Ended, r.outcome.Wall, r.outcome.Rows = time.Now(), r.run.Wall, rows(r.result.Outputs)
	for _, o := range r.result.Outputs {
		r.outcome.Bytes += o.Bytes
	}
	if r.outcome.Local = isLocal(r.err); !r.outcome.Local {
		r.outcome.Problems = duckdb.Problems(r.err)
	}
	if r.err != nil && ctx.Err() == nil && !r.outcome.Local {
		r.run.Failure = r.err.Error()
	}
}

func (s *Session) stageAndRun(ctx, kill context.Context, p *prepared, r *jobResult) (err error) {
	for _, snapshot := range p.sources {
		if err := s.files.Ingest(ctx, s.Store, snapshot); err != nil {
			return err
		}
	}
	for _, snapshot := range p.inPlace {
		if err := s.files.Lend(ctx, s.Store, snapshot); err != nil {
			return err
		}
		defer func() { err = errors.Join(s.files.Check(snapshot), err) }()
	}
	defer func() {
		if file := p.recipe.changedTool(watchedTools); file != "" {
			err = errors.Join(&source.ChangedError{File: file}, err)
		}
	}()
	if p.dir, err = s.Store.JobDir(p.key.Short()); err != nil {
		return err
	}
	defer disk.RemoveAll(p.dir)
	if p.node.Target.Kind == engine.SQL {
		return s.executeSQL(ctx, p, r)
	}
	return s.executeCommand(ctx, kill, p, r)
}

// isLocal tells trouble of this machine from a failure of the job: it says nothing about the key.
func isLocal(err error) bool {
	var path *fs.PathError
	var link *os.LinkError
	var call *os.SyscallError
	var number syscall.Errno
	var crash *worker.CrashError
	return errors.As(err, &crash) && crash.Killed || errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &call) || errors.As(err, &number) ||
		errors.Is(err, cache.ErrMissing) || errors.Is(err, source.ErrChanged) || isFull(err) || sandbox.IsTrouble(err) || err != nil && strings.Contains(err.Error(), "Input/output error")
}

// unanswered tells an attempt that says nothing of what was looked at from one that does: it was broken off, this machine or this dpb can't, or the process crashed.
func unanswered(ctx context.Context, err error) bool {
	var crash *worker.CrashError
	return ctx.Err() != nil || isLocal(err) || errors.Is(err, duckdb.ErrAbsent) || errors.As(err, &crash)
}

// rows sums the rows of the outputs; -1 if none is a table that was counted.
func rows(outputs []engine.OutputResult) int64 {
	total := int64(-1)
	for _, o := range outputs {
		if o.Rows >= 0 {
			total = max(total, 0) + o.Rows
		}
	}
	return total
}

// trees loads the trees of an input's parts.
func (s *Session) trees(ctx context.Context, p *prepared, b plan.Binding) ([]cache.Tree, error) {
	out := make([]cache.Tree, len(b.Parts))
	for k, part := range b.Parts {
		t, err := s.Store.GetTree(ctx, part.Tree)
		if err != nil {
			return nil, fmt.Errorf("input %s: %w", b.Input.Name, err)
		}
		out[k] = t
	}
	return out, nil
}

// keepLog stores a job's log and leaves a copy where people find it if the job failed.
func (s *Session) keepLog(ctx context.Context, p *prepared, path string, r *jobResult) error {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil
	}
	d, _, err := s.Store.PutFile(ctx, path)
	if err != nil {
		return err
	}
	r.result.Log, r.run.Log = d, d
	r.outcome.Log = s.belowRoot(s.Store.BlobPath(d))
	return nil
}

// belowRoot is a path as people know it, relative to the workspace's root.
func (s *Session) belowRoot(path string) string {
	if rel, err := filepath.Rel(s.Root, path); err == nil {
		return rel
	}
	return path
}
