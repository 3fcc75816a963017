package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/exec"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/dpb-build/dpb/engine/worker"
)

// executeCommand stages a program's directory, runs it and collects its outputs.
func (s *Session) executeCommand(ctx, kill context.Context, p *prepared, r *jobResult) error {
	job := &exec.Job{Target: p.node.Target, Partition: p.node.Set.Partition(p.i), Dir: p.dir, Code: p.recipe.Code, Programs: p.recipe.programs,
		Kill: kill, Secret: s.SecretEnv, Root: s.Root}
	var err error
	if job.Box, err = s.boxes.Get(); err != nil {
		return err
	}
	defer s.boxes.Put(job.Box)
	r.result.Isolation = exec.Isolation(p.node.Target, job.Box)
	for _, b := range p.bindings {
		in := exec.Input{Name: b.Input.Name, File: b.File}
		trees, err := s.trees(ctx, p, b)
		if err != nil {
			return err
		}
		for k, t := range trees {
			part := exec.Part{Tree: t}
			if b.Edge != nil {
				part.Partition = b.Edge.From.Set.Partition(b.Producer[k])
			}
			in.Parts = append(in.Parts, part)
		}
		job.Inputs = append(job.Inputs, in)
	}
	if err := s.files.IngestCode(ctx, s.Store, p.recipe.Code); err != nil {
		return err
	}
	if err := exec.Stage(ctx, s.Store, job); err != nil {
		return err
	}
	outcome, err := exec.Run(ctx, job)
	if logErr := s.keepLog(context.WithoutCancel(ctx), p, outcome.Log, r); err == nil {
		err = logErr
	}
	r.run.ExitCode, r.outcome.Tail = outcome.ExitCode, outcome.Tail
	r.result.CPU, r.result.MaxRSS, r.result.Uncovered = outcome.User+outcome.Sys, outcome.MaxRSS, p.recipe.uncovered
	r.result.Writer = "dpb " + s.Version
	if err != nil {
		return err
	}
	if err := s.jobError(outcome); err != nil {
		return err
	}
	r.result.Outputs, r.result.Metrics, err = exec.Collect(kill, s.Store, job)
	return err
}

// blobPaths lists where the files of a tree lie, each checked.
func (s *Session) blobPaths(ctx context.Context, d cache.TreeDigest) ([]string, error) {
	t, err := s.Store.GetTree(ctx, d)
	if err != nil {
		return nil, err
	}
	files, err := s.tableFiles(ctx, t)
	var out []string
	for _, f := range files {
		out = append(out, f.Path)
	}
	return out, err
}

// executeSQL runs the statements of a target over the blobs of its inputs, which the engine reads where they lie.
func (s *Session) executeSQL(ctx context.Context, p *prepared, r *jobResult) error {
	t := p.node.Target
	if t.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, t.Timeout, fmt.Errorf("it ran longer than its timeout of %s", t.Timeout))
		defer cancel()
	}
	job := duckdb.Job{Label: t.Label.String(), OutDir: filepath.Join(p.dir, engine.JobOutputs), Scratch: filepath.Join(p.dir, "scratch"),
		Threads: p.threads, Memory: t.Memory}
	if t.Threads > 0 {
		job.Threads = min(t.Threads, runtime.NumCPU())
	}
	for k, st := range t.SQL {
		job.Statements = append(job.Statements, duckdb.Statement{Source: st, Output: t.Outputs[k]})
	}
	job.Params = s.params(p.node, p.i)
	var names []string
	for _, b := range p.bindings {
		table, err := s.table(ctx, b)
		if err != nil {
			return err
		}
		job.Inputs, names = append(job.Inputs, table), append(names, table.String())
	}
	box, err := s.boxes.Get()
	if err != nil {
		return err
	}
	defer s.boxes.Put(box)
	r.result.Isolation = exec.Isolation(t, box)
	w := worker.Worker{Box: box, Read: s.filesOf(job.Inputs), Write: []string{p.dir}, Memory: t.Memory, Names: names, Log: filepath.Join(p.dir, "log")}
	defer w.Close()
	result, used, err := w.Run(ctx, job)
	r.result.CPU, r.result.MaxRSS = used.CPU, used.MaxRSS
	if crash := (*worker.CrashError)(nil); errors.As(err, &crash) {
		err = errors.Join(err, s.keepLog(context.WithoutCancel(ctx), p, w.Log, r))
	}
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}
	r.result.Writer = "dpb " + s.Version + ", DuckDB " + duckdb.Version()
	r.result.Outputs, _, err = exec.Collect(ctx, s.Store, &exec.Job{Target: t, Partition: p.node.Set.Partition(p.i), Dir: p.dir})
	for k := range r.result.Outputs {
		o := &r.result.Outputs[k]
		for _, made := range result.Outputs {
			if made.Name == o.Name {
				o.Rows, o.Columns = made.Rows, made.Columns
			}
		}
	}
	return err
}

// maxShown is how many files are shown to a process one by one. Beyond, it sees all blobs of the store.
const maxShown = 5000

// filesOf lists the files of tables, to be shown to the process that reads them.
func (s *Session) filesOf(tables []duckdb.Table) (out []string) {
	for _, t := range tables {
		for _, p := range t.Parts {
			out = append(out, p.Files...)
		}
	}
	if len(out) <= maxShown {
		return out
	}
	blobs := s.Store.BlobsDir()
	return append(slices.DeleteFunc(out, func(f string) bool { return filepath.Dir(filepath.Dir(f)) == blobs }), blobs)
}

// table is an input as the engine reads it: the blobs of each partition.
func (s *Session) table(ctx context.Context, b plan.Binding) (duckdb.Table, error) {
	table := duckdb.Table{Name: b.Input.Name, Format: b.Format, Columns: b.Columns}
	if b.Edge != nil {
		table.Compression = b.Edge.Output.Compression
		for _, d := range b.Edge.From.Target.PartitionBy {
			table.Dimensions = append(table.Dimensions, duckdb.DimensionOf(s.Graph.Dimension(d)))
		}
	} else {
		_, table.Compression = engine.FormatOf(b.Input.Files[len(b.Input.Files)-1].Literal)
	}
	for k, in := range b.Parts {
		part := duckdb.Part{}
		if b.Edge != nil {
			part.Partition = b.Edge.From.Set.Partition(b.Producer[k])
		}
		var err error
		if part.Files, err = s.blobPaths(ctx, in.Tree); err != nil {
			return table, fmt.Errorf("input %s: %w", b.Input.Name, err)
		}
		table.Parts = append(table.Parts, part)
	}
	return table, nil
}
