package duckdb

import "github.com/dpb-build/dpb/engine"

// MetricsJob are the metrics of one output, or source, at one partition.
type MetricsJob struct {
	// Tables are the output under its name and then those of the target's inputs that a metric reads. Of two with one name the first is meant.
	Tables  []Table
	Params  []Param
	Metrics []*engine.Metric // each with SQL
	Scratch string           // a private directory, made if it lacks
	Threads int              // 0: one for each CPU; values don't depend on it
	Memory  int64            // bytes; 0: DefaultMemory
}

// KeyReport says where a key is none.
type KeyReport struct {
	Rows       int64
	Duplicates int64    // rows beyond the first of each key
	Nulls      int64    // rows with a null in a column of the key; they are no duplicates
	Samples    []string // the smallest keys, up to 3, that occur twice or have a null, as (id = 5, day = 2017-06-01)
}

// OrphanReport says what a column refers to in vain.
type OrphanReport struct {
	Rows    int64    // with a value that the other column lacks; null refers to nothing
	Samples []string // the smallest such values, up to 3
}

// SplitJob moves the rejected rows of one output at one partition into its quarantine.
type SplitJob struct {
	Table      Table            // of one part at most
	Rejects    []*engine.Reject // each with Where
	Params     []Param
	Unreadable []UnreadableRow // go into the quarantine as well
	FileNames  []string        // what the quarantine calls the files of the table
	Quarantine string          // the path of the Parquet file to write; a table without files and columns has none
	KeptDir    string          // a directory for the files without their rejected rows, made if needed
	Scratch    string          // a private directory, made if it lacks
	Threads    int             // 0: one for each CPU; results don't depend on it
	Memory     int64           // bytes; 0: DefaultMemory
}

// UnreadableRow is a piece of a text file that is no row, and was taken out of it before.
type UnreadableRow struct {
	Rule, File string
	Line       int64 // from 1
	Text, Why  string
}

// SplitResult is what was rejected.
type SplitResult struct {
	Rows     int64      // read
	Rejected int64      // of these, by at least one rule
	ByRule   []int64    // in the order of Rejects
	Samples  [][]string // in the order of Rejects: the first rows, up to 3, as JSON
	// Drop has, for each file of text, the numbers of its rejected rows, from 0, ascending. Rows are counted as the engine does: a blank line is none, but in a CSV of
	// one column.
	Drop [][]int64
	Kept []string // for each file of Parquet that lost rows, the path below KeptDir of what is left; "" for others
}
