package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/exec"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
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
	threads  int

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
	evicted  []graph.ActionID // producers whose bytes are gone
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
		p.sources = append(p.sources, snapshot)
	}
	return nil
}

// execute runs a job from its prepared inputs to a result whose bytes are in the store.
func (s *Session) execute(ctx, kill context.Context, id graph.ActionID, p *prepared) (r jobResult) {
	r.id, r.sections = id, p.sections
	started := time.Now()
	t := p.node.Target
	r.run = engine.Run{Key: p.key, Label: t.Label, Partition: p.node.Set.Text(p.i), Started: started}
	r.result = engine.Result{Key: p.key, Parts: p.parts, Started: started, Isolation: exec.Isolation}
	defer func() {
		r.run.Wall = time.Since(started)
		r.result.Wall, r.run.Outputs = r.run.Wall, r.result.Outputs
		r.outcome.Ended, r.outcome.Wall, r.outcome.Rows = time.Now(), r.run.Wall, rows(r.result.Outputs)
		for _, o := range r.result.Outputs {
			r.outcome.Bytes += o.Bytes
		}
		r.outcome.Problems = duckdb.Problems(r.err)
		if r.err != nil && ctx.Err() == nil && len(r.evicted) == 0 {
			r.run.Failure = r.err.Error()
		}
	}()
	for _, snapshot := range p.sources {
		if r.err = s.files.Ingest(ctx, s.Store, snapshot); r.err != nil {
			return r
		}
	}
	if p.dir, r.err = s.Store.JobDir(p.key.Short()); r.err != nil {
		return r
	}
	defer os.RemoveAll(p.dir)
	if t.Kind == engine.SQL {
		r.err = s.executeSQL(ctx, p, &r)
	} else {
		r.err = s.executeCommand(ctx, kill, p, &r)
	}
	if errors.Is(r.err, cache.ErrMissing) {
		r.evicted = s.evicted(ctx, p)
	}
	return r
}

// evicted lists the producers whose trees or blobs the store no longer has.
func (s *Session) evicted(ctx context.Context, p *prepared) (ids []graph.ActionID) {
	for _, b := range p.bindings {
		for k, part := range b.Parts {
			if b.Edge == nil || s.whole(ctx, part.Tree) {
				continue
			}
			ids = append(ids, b.Edge.From.Base+graph.ActionID(b.Producer[k]))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// whole says whether the store has a tree with all its blobs, undamaged.
func (s *Session) whole(ctx context.Context, d cache.TreeDigest) bool {
	t, err := s.Store.GetTree(ctx, d)
	if err != nil {
		return false
	}
	for _, e := range t.Entries {
		if e.Kind != cache.File && e.Kind != cache.Exec {
			continue
		}
		if err := s.Store.Verify(ctx, e.Digest); err != nil {
			return false
		}
	}
	return true
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
	r.outcome.Log = s.Store.BlobPath(d)
	if rel, err := filepath.Rel(s.Root, r.outcome.Log); err == nil {
		r.outcome.Log = rel
	}
	return nil
}
