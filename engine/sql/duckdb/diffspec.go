package duckdb

// DiffJob compares two tables, A before and B after. Their names are for messages, and best tell the versions apart.
type DiffJob struct {
	A, B Table
	// Key are columns of both tables whose values tell rows apart, without nulls. nil: whole rows are compared.
	Key     []string
	Samples int    // how many rows of each sort are shown; 0: DefaultSamples; negative: none
	Scratch string // a private directory, made if it lacks and emptied afterwards
	Threads int    // 0: one for each CPU; results don't depend on it
	Memory  int64  // bytes; 0: DefaultMemory. What takes more goes to Scratch.
}

// DefaultSamples is how many rows of each sort a diff shows.
const DefaultSamples = 5
