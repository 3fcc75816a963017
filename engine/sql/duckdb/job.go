// Package duckdb runs SQL targets on an embedded DuckDB: it checks what a statement may do, reads declared inputs and nothing else, and writes
// outputs that are the same to the byte on each run.
package duckdb

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// ErrAbsent is what every function returns in a dpb that was built without cgo or with the tag noduckdb.
var ErrAbsent = errors.New("this dpb was built without DuckDB, which SQL targets, and metrics, rejects, keys and references, need: use a release, or build with a C compiler and CGO_ENABLED=1")

// DefaultMemory is the memory limit, in bytes, of a job that asks for none. It does not follow from the machine: when an operator spills can
// change the order in which it evaluates.
const DefaultMemory = 2 << 30

// Job is one SQL target at one partition.
type Job struct {
	Label      string // for messages
	Statements []Statement
	Inputs     []Table
	Params     []Param
	OutDir     string // an existing directory; each output is written below it at its path
	Scratch    string // a private directory, made if it lacks and emptied afterwards
	Threads    int    // 0: one for each CPU; results don't depend on it
	Memory     int64  // bytes; 0: DefaultMemory
}

// Statement is the SELECT of one output.
type Statement struct {
	Source *engine.Statement
	Output *engine.Output
}

// Table is an input as SQL sees it: one view over the files of all parts.
type Table struct {
	Name        string
	IsOutput    bool // it is looked at after its job, and messages call it so
	Format      engine.Format
	Compression string          // "", "gzip" or "zstd", of CSV and NDJSON
	Columns     []engine.Column // needed for CSV and NDJSON; of Parquet they are checked, and widened to
	Parts       []Part          // none: an empty table with the declared columns
	Dimensions  []Dimension     // become columns where the data has none of that name
}

// Part is one partition of an input.
type Part struct {
	Files     []string // absolute paths; their endings don't matter
	Partition engine.Partition
}

// Dimension is a dimension of an input's partitions, with the SQL type of its column: DATE, TIMESTAMP or VARCHAR.
type Dimension struct{ Name, Type string }

// Param is a partition's value, $day in SQL. Type is DATE, TIMESTAMP or VARCHAR; Text is the value as in a partition.
type Param struct{ Name, Type, Text string }

// ParamType is the SQL type of a dimension's values: DATE for days, TIMESTAMP for hours, VARCHAR for all others.
func ParamType(u engine.Unit) string {
	switch u {
	case engine.Day:
		return "DATE"
	case engine.Hour:
		return "TIMESTAMP"
	}
	return "VARCHAR"
}

// ParamOf is the parameter that stands for a dimension's value.
func ParamOf(d *engine.Dimension, text string) Param { return Param{d.Name, ParamType(d.Unit), text} }

// DimensionOf is the column that a dimension becomes.
func DimensionOf(d *engine.Dimension) Dimension { return Dimension{d.Name, ParamType(d.Unit)} }

// Result is what a job wrote, in the order of its statements.
type Result struct {
	Outputs  []Output
	Warnings []engine.Problem // sorted
}

// Output is one written table.
type Output struct {
	Name    string
	Rows    int64
	Columns []engine.Column // as a reader finds them; NotNull where it was promised and so checked
}

// ProblemError is an error that has a place in a file, as an error value.
type ProblemError struct{ engine.Problem }

func (e *ProblemError) Error() string {
	s := e.Summary
	if e.Detail != "" {
		s += ": " + e.Detail
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return s
}

// Problems lists what has a place among the errors that Run returns.
func Problems(err error) []engine.Problem {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []engine.Problem
		for _, e := range joined.Unwrap() {
			out = append(out, Problems(e)...)
		}
		return out
	}
	var placed *ProblemError
	if errors.As(err, &placed) {
		return []engine.Problem{placed.Problem}
	}
	return nil
}

// giveMore begins the hint of each error that comes from a limit.
const giveMore = "give the target more, as in memory = "

// MoreMemory is what to do about a job that needs more than its limit of memory.
func MoreMemory(limit int64) string {
	return fmt.Sprintf("%s\"%dGB\"", giveMore, max(2*limit/(1<<30), 1))
}

// IsLimit says whether a job met a limit that its target can raise: another attempt may succeed.
func IsLimit(err error) bool {
	return slices.ContainsFunc(Problems(err), func(p engine.Problem) bool { return strings.HasPrefix(p.Hint, giveMore) })
}

// String is what messages call the table.
func (t *Table) String() string {
	if t.IsOutput {
		return fmt.Sprintf("output %q", t.Name)
	}
	return fmt.Sprintf("input %q", t.Name)
}
