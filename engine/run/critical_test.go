package run

import (
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// TestCriticalPath: the way leads back from the job that ended last, to the attempt of each action that came before.
func TestCriticalPath(t *testing.T) {
	ran := func(name string, from, to int, after string) engine.Run {
		r := engine.Run{Label: engine.Label{Name: name}, Started: time.Unix(int64(from), 0), Wall: time.Duration(to-from) * time.Second}
		if after != "" {
			r.After = "//:" + after
		}
		return r
	}
	for name, c := range map[string]struct {
		runs []engine.Run
		want []string
	}{
		"none":              {nil, nil},
		"one":               {[]engine.Run{ran("a", 0, 5, "")}, []string{"a"}},
		"the longer branch": {[]engine.Run{ran("short", 0, 1, ""), ran("long", 0, 9, ""), ran("end", 9, 10, "long")}, []string{"long", "end"}},
		"not the longest job, but the one that ended last": {[]engine.Run{ran("long", 0, 9, ""), ran("a", 0, 5, ""), ran("b", 5, 10, "a")}, []string{"a", "b"}},
		"an action that ran twice":                         {[]engine.Run{ran("a", 0, 1, ""), ran("b", 1, 2, "a"), ran("a", 3, 4, "b"), ran("b", 4, 5, "a")}, []string{"a", "b", "a", "b"}},
		"a producer whose record is gone":                  {[]engine.Run{ran("b", 5, 10, "a")}, []string{"b"}},
		"a clock that stood still":                         {[]engine.Run{ran("a", 0, 0, "b"), ran("b", 0, 0, "a")}, []string{"a"}},
	} {
		var got []string
		for _, r := range CriticalPath(c.runs) {
			got = append(got, r.Label.Name)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestTrail: what had no job to run passes on what it waited for itself.
func TestTrail(t *testing.T) {
	const a, b, c, d = graph.ActionID(1), graph.ActionID(2), graph.ActionID(3), graph.ActionID(4)
	x := newTrail()
	if x.cause(a) != noAction {
		t.Error("the first waits for nobody")
	}
	x.ran[a], x.last = true, a
	x.follow(b, a)
	x.follow(c, b) // b turns out to be up to date
	if x.cause(c) != a {
		t.Errorf("after %d, want %d", x.cause(c), a)
	}
	x.follow(c, d) // and then waits for one that had nothing to wait for
	if x.cause(c) != noAction {
		t.Errorf("after %d, want none", x.cause(c))
	}
	x = x.next(x.last)
	if x.cause(c) != a {
		t.Error("another pass waits for the last job of the one before")
	}
}
