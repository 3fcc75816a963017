//go:build !(cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64)))

package duckdb

import (
	"context"

	"github.com/dpb-build/dpb/engine/compare"
)

// Diff returns ErrAbsent.
func Diff(context.Context, DiffJob) (*compare.RowDiff, error) { return nil, ErrAbsent }
