//go:build !(cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64)))

package duckdb

import (
	"context"

	"github.com/dpb-build/dpb/engine"
)

// Version is "": there is no engine.
func Version() string { return "" }

// Catalog lists nothing.
type Catalog struct{}

// PlanCatalog returns ErrAbsent.
func PlanCatalog() (Catalog, error) { return Catalog{}, ErrAbsent }

// PlanTree returns ErrAbsent.
func PlanTree(context.Context, string) ([]byte, error) { return nil, ErrAbsent }

// UsePlan does nothing.
func UsePlan(Catalog, func(text string) ([]byte, error)) {}

// Run returns ErrAbsent.
func Run(context.Context, Job) (*Result, error) { return nil, ErrAbsent }

// Check says for each statement that it can't be checked.
func Check(_ context.Context, statements []*engine.Statement, _, _ []string) []engine.Problem {
	var ps []engine.Problem
	for _, s := range statements {
		ps = append(ps, engine.Problem{Summary: ErrAbsent.Error(), Range: s.Range})
	}
	return ps
}

// Columns returns ErrAbsent.
func Columns(context.Context, string) ([]engine.Column, error) { return nil, ErrAbsent }

// Metrics returns ErrAbsent.
func Metrics(context.Context, MetricsJob) ([]*float64, error) { return nil, ErrAbsent }

// CheckMetric says that the metric can't be checked.
func CheckMetric(_ context.Context, m *engine.Metric, _, _ []string) []engine.Problem {
	return []engine.Problem{{Summary: ErrAbsent.Error(), Range: m.Range}}
}

// CheckKey returns ErrAbsent.
func CheckKey(context.Context, Table, []string, string, int, int64) (KeyReport, error) {
	return KeyReport{}, ErrAbsent
}

// CheckReference returns ErrAbsent.
func CheckReference(context.Context, Table, string, Table, string, string, int, int64) (OrphanReport, error) {
	return OrphanReport{}, ErrAbsent
}

// Split returns ErrAbsent.
func Split(context.Context, SplitJob) (*SplitResult, error) { return nil, ErrAbsent }

// CheckReject says that the rule can't be checked.
func CheckReject(_ context.Context, r *engine.Reject, _ string, _ []string) []engine.Problem {
	return []engine.Problem{{Summary: ErrAbsent.Error(), Range: r.Range}}
}
