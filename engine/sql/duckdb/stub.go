//go:build !(cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64)))

package duckdb

import (
	"context"

	"github.com/dpb-build/dpb/engine"
)

// Version is "": there is no engine.
func Version() string { return "" }

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

// Count returns ErrAbsent.
func Count(context.Context, Table, string) (int64, error) { return 0, ErrAbsent }
