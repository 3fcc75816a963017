package run

import (
	"context"
	"runtime"
	"slices"
)

// Options of a build.
type Options struct {
	Jobs      int  // how many run at once; 0: one a core
	KeepGoing bool // after a failure, go on with what does not depend on it
	Events    Events
	// Kill, when it is done, ends running jobs at once instead of politely.
	Kill context.Context

	preview bool // make results and versions, and move nothing that people see
}

func (o *Options) setDefaults() {
	if o.Jobs <= 0 {
		o.Jobs = runtime.GOMAXPROCS(0)
	}
	if o.Kill == nil {
		o.Kill = context.Background()
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
