//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// job is a Job under way.
type job struct {
	Job
	spill string // where the engine spills to
}

// Run reads the inputs and writes the outputs of a job. Nothing runs before every statement has passed the gate.
func Run(ctx context.Context, spec Job) (*Result, error) {
	j := &job{Job: spec, spill: filepath.Join(spec.Scratch, "spill")}
	if err := os.MkdirAll(j.spill, 0o700); err != nil {
		return nil, err
	}
	defer empty(j.Scratch)
	reports, result, err := j.check(ctx)
	if err != nil {
		return nil, err
	}
	if j.Inputs, err = withoutMarks(j.Inputs, j.spill); err != nil {
		return nil, err
	}
	for i, st := range j.Statements {
		out, err := j.run(ctx, st, reports[i], false)
		if notParallel(err) {
			out, err = j.run(ctx, st, reports[i], true)
		}
		if err != nil {
			return nil, err
		}
		result.Outputs = append(result.Outputs, *out)
	}
	return result, nil
}

func empty(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		os.RemoveAll(filepath.Join(dir, e.Name()))
	}
}

// check runs the gate over all statements and fails with all that it refuses.
func (j *job) check(ctx context.Context) ([]*dpbsql.Report, *Result, error) {
	var inputs, params []string
	for _, t := range j.Inputs {
		inputs = append(inputs, t.Name)
	}
	for _, p := range j.Params {
		params = append(params, p.Name)
	}
	var reports []*dpbsql.Report
	var refused []engine.Problem
	result := &Result{}
	for _, st := range j.Statements {
		report, err := inspect(ctx, st.Source, inputs, params)
		if err != nil {
			return nil, nil, err
		}
		reports = append(reports, report)
		for _, p := range problems(st.Source, report) {
			if p.Severity == engine.Warning {
				result.Warnings = append(result.Warnings, p)
			} else {
				refused = append(refused, p)
			}
		}
	}
	result.Warnings = engine.SortProblems(result.Warnings)
	var errs []error
	for _, p := range engine.SortProblems(refused) {
		errs = append(errs, &ProblemError{p})
	}
	if len(errs) == 1 {
		return nil, nil, errs[0]
	}
	return reports, result, errors.Join(errs...)
}

func (j *job) memory() int64 {
	if j.Memory > 0 {
		return j.Memory
	}
	return DefaultMemory
}

func (j *job) threads() int {
	if j.Threads > 0 {
		return j.Threads
	}
	return runtime.NumCPU()
}

// notParallel says whether the engine could not read CSV at many places at once.
func notParallel(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Parallel CSV Reader")
}

// run runs one statement in an instance of its own: what another did before can't change how this one spends its memory.
func (j *job) run(ctx context.Context, st Statement, report *dpbsql.Report, sequential bool) (*Output, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.sequential = sequential
	w, err := j.writer(st, report)
	if err != nil {
		return nil, err
	}
	w.session = s
	if err := j.prepare(ctx, s, st.Source, report, w.files()); err != nil {
		return nil, err
	}
	if err := w.bind(ctx); err != nil {
		return nil, err
	}
	serial := report.Serial
	if !serial {
		if serial, err = w.serial(ctx); err != nil {
			return nil, err
		}
	}
	threads := j.threads()
	if serial {
		threads = 1
	}
	if err := s.exec(ctx, fmt.Sprintf("SET threads=%d", threads)); err != nil {
		return nil, err
	}
	if err := s.lock(ctx); err != nil {
		return nil, err
	}
	return w.write(ctx)
}

// prepare confines the session to the files of the inputs that the statement reads and makes their views.
func (j *job) prepare(ctx context.Context, s *session, st *engine.Statement, report *dpbsql.Report, outputs []string) error {
	files := slices.Clone(outputs)
	read := map[*Table]dpbsql.Token{}
	var tables []*Table
	for i := range j.Inputs {
		t := &j.Inputs[i]
		first := slices.IndexFunc(report.Inputs, func(n dpbsql.Token) bool { return strings.EqualFold(n.Text, t.Name) })
		if first < 0 {
			continue
		}
		tables = append(tables, t)
		read[t] = report.Inputs[first]
		for _, p := range t.Parts {
			files = append(files, p.Files...)
			for _, f := range p.Files {
				s.names[f] = describe(t, p)
			}
		}
	}
	if err := s.limit(ctx, j.memory(), j.spill); err != nil {
		return err
	}
	if err := s.confine(ctx, files); err != nil {
		return err
	}
	for _, t := range tables {
		if err := s.view(ctx, t); err != nil {
			return t.unreadable(err, st, read[t])
		}
	}
	return nil
}

// unreadable gives an error about an input the place where the statement reads it.
func (t *Table) unreadable(err error, st *engine.Statement, where dpbsql.Token) error {
	var f *failure
	if errors.As(err, &f) {
		summary, detail := f.split()
		err = &ProblemError{engine.Problem{Summary: fmt.Sprintf("%s can't be read: %s", t, summary), Detail: detail}}
	}
	var p *ProblemError
	if errors.As(err, &p) && p.Range.File == "" {
		p.Range = dpbsql.Place(st, where.Offset, where.Len)
	}
	return err
}

// describe is what messages call a file of an input.
func describe(t *Table, p Part) string {
	if len(p.Partition) == 0 {
		return t.String()
	}
	return fmt.Sprintf("%s at %s", t, p.Partition)
}
