//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// Check says what statements do that they may not, without any data. inputs and params are the names that they may use.
func Check(ctx context.Context, statements []*engine.Statement, inputs, params []string) []engine.Problem {
	var out []engine.Problem
	for _, st := range statements {
		report, err := inspect(ctx, st, inputs, params)
		if err != nil {
			out = append(out, engine.Problem{Summary: err.Error(), Range: st.Range})
			continue
		}
		out = append(out, problems(st, report)...)
	}
	return engine.SortProblems(out)
}

// inspect runs the gate over one statement.
func inspect(ctx context.Context, st *engine.Statement, inputs, params []string) (*dpbsql.Report, error) {
	names := dpbsql.Names{Inputs: inputs, Params: params}
	if tokens, findings := dpbsql.Scan(st.Text, names); tokens == nil {
		return &dpbsql.Report{Findings: findings}, nil
	}
	p, err := planner()
	if err != nil {
		return nil, err
	}
	names.Functions = p.functions
	text, err := dpbsql.Blank(st.Text)
	if err != nil {
		return nil, err
	}
	tree, err := p.tree(ctx, text)
	if err != nil {
		return nil, err
	}
	return dpbsql.Inspect(st.Text, tree, names)
}

func problems(st *engine.Statement, report *dpbsql.Report) []engine.Problem {
	var out []engine.Problem
	for _, f := range report.Findings {
		out = append(out, f.Problem(st))
	}
	return out
}
