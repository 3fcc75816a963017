package run

import (
	"context"
	"runtime"
	"slices"
	"time"
)

// Options of a build.
type Options struct {
	Jobs       int  // how many run at once; 0: one a core
	KeepGoing  bool // after a failure, go on with what does not depend on it
	KeepFailed bool // what failed before under the same key is failed, and is not tried again
	Thaw       bool // what is asked for is brought to fresh although it is frozen
	Locked     bool // what becomes fresh has to be what pipeline.lock holds
	Order      Order
	Budget     time.Duration // after which no job starts any more; 0: none
	Events     Events
	// Kill, when it is done, ends running jobs at once instead of politely.
	Kill context.Context
	// ExitCode is what code the command ends with, for the record of the build; nil: 1 if anything did not become fresh.
	ExitCode func(Summary, error) int

	elapsed func() time.Duration // since the build began, for its budget
	timeUp  <-chan time.Time     // tells once that the budget is used up
	preview bool                 // make results and versions, and move nothing that people see
}

func (o *Options) setDefaults() {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Kill == nil {
		o.Kill = context.Background()
	}
	if o.elapsed == nil {
		start := time.Now()
		o.elapsed = func() time.Duration { return time.Since(start) }
	}
	if o.timeUp == nil && o.Budget > 0 {
		o.timeUp = time.After(o.Budget)
	}
}

// freeSlots lists all places for jobs, so that the first is taken from the end.
func freeSlots(n int) (out []int) {
	for slot := range n {
		out = append(out, slot)
	}
	slices.Reverse(out)
	return out
}
