package graph

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// TestRandomFolds: a fold gives what joining one by one gives, in whatever order it is asked.
func TestRandomFolds(t *testing.T) {
	t.Parallel()
	good := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 7))
		producer, consumer, in := randomTarget(r, "producer"), randomTarget(r, "consumer"), randomInput(r)
		consumer.Inputs = []*engine.Input{in}
		g, problems := New(&engine.Workspace{Dimensions: randomDimensions(r), Targets: []*engine.Target{producer, consumer}}, instant(t, "2030-01-01T00:00:00Z"))
		if engine.HasErrors(problems) {
			continue // no such edge
		}
		good++
		e := g.Node(consumer.Label).Edges[0]
		f := NewFold(e, nil, func(j int) []int { return []int{j} }, func(a, b []int) []int { return slices.Concat(a, b) })
		ascending := r.IntN(2) == 0
		for i := range e.To.Set.Len() {
			if !ascending {
				i = r.IntN(e.To.Set.Len())
			}
			if got, want := slices.Sorted(slices.Values(f.At(i))), slices.Collect(e.Inputs(i).All()); !slices.Equal(got, want) {
				t.Fatalf("seed %d: partition %d: %v, want %v", seed, i, got, want)
			}
		}
	}
	if good < 1000 {
		t.Errorf("only %d folds were tried", good)
	}
}

// TestFoldIsLinear: a window over a thousand days asks for each day about once, and so does a total from the start.
func TestFoldIsLinear(t *testing.T) {
	for _, w := range []engine.Window{{From: -1000}, {FromStart: true}} {
		asked := 0
		days := &engine.Dimension{Name: "day", Unit: engine.Day, Start: "2000-01-01", End: "2019-12-31"}
		target := func(name string) *engine.Target {
			return &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Outputs: []*engine.Output{{Name: name}}, PartitionBy: []string{"day"}}
		}
		consumer := target("consumer")
		consumer.Inputs = []*engine.Input{{Name: "x", From: engine.Ref{Label: engine.Label{Name: "producer"}}, Window: &w}}
		g, _ := New(&engine.Workspace{Dimensions: []*engine.Dimension{days}, Targets: []*engine.Target{target("producer"), consumer}}, instant(t, "2030-01-01T00:00:00Z"))
		e := g.Node(consumer.Label).Edges[0]
		f := NewFold(e, 0, func(int) int { asked++; return 1 }, func(a, b int) int { return a + b })
		for i := range e.To.Set.Len() {
			if got, want := f.At(i), e.Inputs(i).Len(); got != want {
				t.Fatalf("%+v: partition %d: %d, want %d", w, i, got, want)
			}
		}
		if n := e.To.Set.Len(); asked != n {
			t.Errorf("%+v: %d days were asked for %d times", w, n, asked)
		}
	}
}
