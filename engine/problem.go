package engine

import (
	"cmp"
	"slices"
)

// Pos is a place in a file. Line and Column count from 1, Column in grapheme clusters; Byte counts from 0.
type Pos struct{ Line, Column, Byte int }

// Range is a stretch of a file, its end exclusive. File is relative to the workspace root, with slashes; "" means no place.
type Range struct {
	File       string
	Start, End Pos
}

// Severity of a problem.
type Severity uint8

const (
	Error Severity = iota
	Warning
)

func (s Severity) String() string { return [...]string{"error", "warning"}[s] }

// Problem is something wrong with what a person wrote: where, what, and what to do.
type Problem struct {
	Severity Severity
	Summary  string // what is wrong, one line, lower case, no full stop
	Detail   string // more about it, sentences; may be ""
	Hint     string // what to write or do instead; may be ""
	Range    Range  // as tight as can be
	Context  Range  // the header of the block around it; zero if none
}

// SortProblems orders problems by file, place, severity and text, and drops repetitions.
func SortProblems(ps []Problem) []Problem {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(
			cmp.Compare(a.Range.File, b.Range.File), cmp.Compare(a.Range.Start.Byte, b.Range.Start.Byte),
			cmp.Compare(a.Severity, b.Severity), cmp.Compare(a.Summary, b.Summary), cmp.Compare(a.Detail, b.Detail))
	})
	return slices.CompactFunc(ps, func(a, b Problem) bool {
		return a.Range == b.Range && a.Summary == b.Summary && a.Detail == b.Detail
	})
}

// HasErrors says whether any problem is an error.
func HasErrors(ps []Problem) bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}
