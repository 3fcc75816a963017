package worker

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// sql is do for what needs the SQL engine.
func (w *Worker) sql(ctx context.Context, r request) (reply, error) {
	catalog, err := duckdb.PlanCatalog() // without an engine no process is needed to say so
	if err != nil {
		return reply{}, err
	}
	r.Catalog = &catalog
	return w.do(ctx, r)
}

// Run is duckdb.Run, and tells what the process has used by then.
func (w *Worker) Run(ctx context.Context, j duckdb.Job) (*duckdb.Result, Used, error) {
	j.Statements = slices.Clone(j.Statements)
	for k, st := range j.Statements {
		j.Statements[k].Output = withoutRules(st.Output)
	}
	a, err := w.sql(ctx, request{Run: &j})
	return a.Run, a.Used, err
}

// withoutRules leaves out what judges an output, which is no part of how it is written and can't be sent.
func withoutRules(o *engine.Output) *engine.Output {
	plain := *o
	plain.Expects, plain.Metrics, plain.Rejects, plain.References = nil, nil, nil, nil
	return &plain
}

// Metrics is duckdb.Metrics.
func (w *Worker) Metrics(ctx context.Context, j duckdb.MetricsJob) ([]*float64, error) {
	a, err := w.sql(ctx, request{Metrics: &j})
	var out []*float64
	for _, v := range a.Metrics {
		if v.Null {
			out = append(out, nil)
		} else {
			out = append(out, &v.Number)
		}
	}
	return out, err
}

// CheckKey is duckdb.CheckKey.
func (w *Worker) CheckKey(ctx context.Context, t duckdb.Table, key []string, scratch string, threads int, memory int64) (duckdb.KeyReport, error) {
	a, err := w.sql(ctx, request{Key: &keyJob{t, key, scratch, threads, memory}})
	return a.Key, err
}

// CheckReference is duckdb.CheckReference.
func (w *Worker) CheckReference(ctx context.Context, t duckdb.Table, column string, other duckdb.Table, otherColumn, scratch string, threads int, memory int64) (duckdb.OrphanReport, error) {
	a, err := w.sql(ctx, request{Reference: &referenceJob{t, column, other, otherColumn, scratch, threads, memory}})
	return a.Reference, err
}

// Split is duckdb.Split.
func (w *Worker) Split(ctx context.Context, j duckdb.SplitJob) (*duckdb.SplitResult, error) {
	a, err := w.sql(ctx, request{Split: &j})
	return a.Split, err
}

// Fingerprint is fingerprint.Compute.
func (w *Worker) Fingerprint(ctx context.Context, t fingerprint.Table, threads int) (*engine.Fingerprint, fingerprint.State, error) {
	a, err := w.do(ctx, request{Fingerprint: &fingerprintJob{t, threads}})
	if err != nil {
		return nil, nil, err
	}
	f := &engine.Fingerprint{}
	return f, a.State, json.Unmarshal(a.Fingerprint, f)
}

// Filter is fingerprint.Filter, with the copies as files.
func (w *Worker) Filter(ctx context.Context, j FilterJob) (Filtered, error) {
	a, err := w.do(ctx, request{Filter: &j})
	return a.Filter, err
}
