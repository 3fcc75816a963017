package graph

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// randomDimensions has time dimensions that overlap, some in a timezone with daylight saving time, and listed values.
func randomDimensions(r *rand.Rand) []*engine.Dimension {
	zone := []string{"", "Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia"}[r.IntN(4)]
	start := time.Date(2011, 12, 1+r.IntN(60), 0, 0, 0, 0, time.UTC)
	out := []*engine.Dimension{{Name: "country", Values: []string{"DE", "FR", "US"}[:1+r.IntN(3)]}, {Name: "genre", Values: []string{"jazz", "pop"}}}
	for u := engine.Hour; u <= engine.Year; u++ {
		from := start.AddDate(0, 0, r.IntN(20)-10)
		d := &engine.Dimension{Name: u.String(), Unit: u, Timezone: zone, Start: u.Text(from), End: u.Text(from.AddDate(0, 0, r.IntN(60)))}
		if u == engine.Hour {
			d.Timezone, d.End = "", u.Text(from.Add(time.Duration(r.IntN(60))*time.Hour))
		}
		out = append(out, d)
	}
	return out
}

func randomTarget(r *rand.Rand, name string) *engine.Target {
	t := &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Outputs: []*engine.Output{{Name: name}}}
	if r.IntN(5) > 0 {
		t.PartitionBy = append(t.PartitionBy, (engine.Hour + engine.Unit(r.IntN(6))).String())
	}
	for _, d := range []string{"country", "genre"} {
		if r.IntN(3) == 0 {
			t.PartitionBy = append(t.PartitionBy, d)
		}
	}
	r.Shuffle(len(t.PartitionBy), func(i, j int) { t.PartitionBy[i], t.PartitionBy[j] = t.PartitionBy[j], t.PartitionBy[i] })
	return t
}

func randomInput(r *rand.Rand) *engine.Input {
	in := &engine.Input{Name: "x", From: engine.Ref{Label: engine.Label{Name: "producer"}}, TakeLast: r.IntN(4) == 0}
	if r.IntN(2) == 0 {
		in.Window = &engine.Window{FromStart: r.IntN(4) == 0, From: r.IntN(20) - 12, To: r.IntN(12) - 6}
	}
	if r.IntN(6) == 0 {
		in.Slice = []engine.Value{{Dimension: "country", Text: "DE"}}
	}
	return in
}

// TestRandomEdges holds what all edges have in common, whatever they map.
func TestRandomEdges(t *testing.T) {
	t.Parallel()
	good := 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 0))
		producer, consumer, in := randomTarget(r, "producer"), randomTarget(r, "consumer"), randomInput(r)
		consumer.Inputs = []*engine.Input{in}
		g, problems := New(&engine.Workspace{Dimensions: randomDimensions(r), Targets: []*engine.Target{producer, consumer}}, instant(t, "2030-01-01T00:00:00Z"))
		if engine.HasErrors(problems) {
			continue // no such edge
		}
		good++
		e := g.Node(consumer.Label).Edges[0]
		checkNames(t, e.From.Set)
		checkNames(t, e.To.Set)
		checkInverse(t, e)
		if in.Window == nil && in.Slice == nil && !in.TakeLast {
			checkOverlap(t, e)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v reads %v, %+v", seed, consumer.PartitionBy, producer.PartitionBy, in)
		}
	}
	if good < 1000 {
		t.Errorf("only %d edges were tried", good)
	}
}

// TestRandomGaps: where partitions come from a source's files, an edge reads those of a full calendar that are there.
func TestRandomGaps(t *testing.T) {
	t.Parallel()
	good, gaps := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		producer, consumer, in := randomTarget(r, "producer"), randomTarget(r, "consumer"), randomInput(r)
		if r.IntN(6) == 0 { // it reads itself
			consumer.PartitionBy, in.From.Label = producer.PartitionBy, consumer.Label
			in.Window = &engine.Window{From: -1 - r.IntN(3), To: -1, FromStart: r.IntN(3) == 0}
		}
		if in.Slice = nil; !slices.ContainsFunc(producer.PartitionBy, func(name string) bool { u, _ := engine.ParseUnit(name); return u != engine.NoUnit }) {
			in.TakeLast = false
		}
		consumer.Inputs = []*engine.Input{in}
		dims := randomDimensions(r)
		whole := *in
		whole.TakeLast = false
		all := *consumer
		all.Inputs = []*engine.Input{&whole}
		now := instant(t, "2030-01-01T00:00:00Z")
		full, problems := New(&engine.Workspace{Dimensions: dims, Targets: []*engine.Target{producer, &all}}, now)
		if engine.HasErrors(problems) {
			continue
		}
		listed, sources := listedDimensions(r, full, dims)
		g, problems := New(&engine.Workspace{Dimensions: listed, Targets: append(sources, producer, consumer)}, now)
		if engine.HasErrors(problems) {
			t.Fatalf("seed %d: %v", seed, problems)
		}
		good++
		e := g.Node(consumer.Label).Edges[0]
		checkNames(t, e.From.Set)
		checkInverse(t, e)
		checkPresent(t, e, full.Node(consumer.Label).Edges[0])
		for j, calendar := 0, full.Node(consumer.Label).Edges[0].From.Set; j < calendar.Len(); j++ {
			if text := calendar.Text(j); e.From.Set.Later(text) && onlyListed(e.From.Set) {
				t.Errorf("%s comes later, and is over", text)
			}
		}
		if e.From.Set.Len() > 0 {
			gaps += len(e.From.Set.Gaps(0, e.From.Set.Len()-1))
		}
		if t.Failed() {
			t.Fatalf("seed %d: %v reads %v, %+v %+v", seed, consumer.PartitionBy, producer.PartitionBy, in, in.Window)
		}
	}
	if good < 1000 || gaps < 1000 {
		t.Errorf("only %d edges were tried, over %d gaps", good, gaps)
	}
}

// onlyListed says whether all dimensions of a set come from a source's files.
func onlyListed(s *Set) bool {
	return !slices.ContainsFunc(s.spans, func(sp span) bool { return sp.dimension.FromSource.IsZero() })
}

// listedDimensions gives most dimensions only some of their values, as those that a source's files have.
func listedDimensions(r *rand.Rand, full *Graph, dims []*engine.Dimension) (out []*engine.Dimension, sources []*engine.Target) {
	for _, d := range dims {
		if r.IntN(4) == 0 {
			out = append(out, d)
			continue
		}
		s := &engine.Target{Label: engine.Label{Name: "files_of_" + d.Name}, Kind: engine.Source, PartitionBy: []string{d.Name}, Path: engine.Text{{Dimension: d.Name}},
			Outputs: []*engine.Output{{Name: "x"}}}
		l := *d
		l.Values, l.Start, l.End, l.FromSource = []string{}, "", "", s.Label
		share := 1 + r.IntN(4)
		for _, text := range full.axes[d.Name].texts {
			if r.IntN(share) == 0 {
				l.Values = append(l.Values, text)
			}
		}
		out, sources = append(out, &l), append(sources, s)
	}
	return out, sources
}

// checkPresent: an edge reads what the same edge of a full calendar does, as far as it is there; the newest of that with take = "last". What a target reads of itself are
// the partitions before it that are there, however far back they lie.
func checkPresent(t *testing.T, e, full *Edge) {
	for i := range e.To.Set.Len() {
		c, ok := full.To.Set.IndexText(e.To.Set.Text(i))
		if !ok {
			t.Fatalf("%s is not in the calendar", e.To.Set.Text(i))
		}
		var want []int
		for j := range full.Inputs(c).All() {
			if at, there := e.From.Set.IndexText(full.From.Set.Text(j)); there {
				want = append(want, at)
			}
		}
		if e.From == e.To {
			want = before(e.To.Set, i, e.Input.Window)
		}
		if e.Input.TakeLast {
			want = newest(e.From.Set, want)
		}
		if got := slices.Collect(e.Inputs(i).All()); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", e.To.Set.Text(i), got, want)
		}
	}
}

// before lists the partitions before i in time that a window counts back to, all else equal, in order.
func before(s *Set, i int, w *engine.Window) (out []int) {
	for k := -w.To; ; k++ {
		j, ok := s.Before(i, k)
		if !ok || !w.FromStart && k > -w.From {
			slices.Reverse(out)
			return out
		}
		out = append(out, j)
	}
}

// newest picks those of the newest time.
func newest(s *Set, parts []int) (out []int) {
	last := 0
	for _, j := range parts {
		last = max(last, s.TimeIndex(j))
	}
	for _, j := range parts {
		if s.TimeIndex(j) == last {
			out = append(out, j)
		}
	}
	return out
}

// checkNames: a partition is found by its values and by its text.
func checkNames(t *testing.T, s *Set) {
	for i := range s.Len() {
		if j, ok := s.Index(s.Partition(i)); !ok || j != i {
			t.Errorf("Index(Partition(%d)) = %d, %v", i, j, ok)
		}
		if j, ok := s.IndexText(s.Text(i)); !ok || j != i {
			t.Errorf("IndexText(%q) = %d, %v; want %d", s.Text(i), j, ok, i)
		}
	}
}

// checkInverse: Readers says of each partition exactly who has it among its Inputs.
func checkInverse(t *testing.T, e *Edge) {
	readers := make([][]int, e.From.Set.Len())
	for i := range e.To.Set.Len() {
		inputs := slices.Collect(e.Inputs(i).All())
		if len(inputs) != e.Inputs(i).Len() || !slices.IsSorted(inputs) {
			t.Errorf("inputs of %d: %v, and Len is %d", i, inputs, e.Inputs(i).Len())
		}
		if len(inputs) > 1 && e.Single() {
			t.Errorf("inputs of %d: %v, and Single is true", i, inputs)
		}
		for _, j := range inputs {
			readers[j] = append(readers[j], i)
		}
	}
	for j, want := range readers {
		if got := slices.Collect(e.Readers(j).All()); !slices.Equal(got, want) || e.Readers(j).Len() != len(want) {
			t.Errorf("Readers(%d) = %v, want %v", j, got, want)
		}
	}
}

// checkOverlap: without more words, a partition is read if it shares time and listed values with the consumer's.
func checkOverlap(t *testing.T, e *Edge) {
	for i := range e.To.Set.Len() {
		var want []int
		for j := range e.From.Set.Len() {
			if shares(e, i, j) {
				want = append(want, j)
			}
		}
		if got := slices.Collect(e.Inputs(i).All()); !slices.Equal(got, want) {
			t.Errorf("%s reads %v, want %v", e.To.Set.Text(i), got, want)
		}
	}
}

func shares(e *Edge, i, j int) bool {
	p, q := e.To.Set.Partition(i), e.From.Set.Partition(j)
	for _, v := range q {
		if text, ok := p.Get(v.Dimension); ok && text != v.Text {
			return false
		}
	}
	a, b := e.To.Set.time(), e.From.Set.time()
	if a < 0 || b < 0 {
		return true
	}
	x, y := e.To.Set.Intervals(i)[a], e.From.Set.Intervals(j)[b]
	return x.Start.Before(y.End) && y.Start.Before(x.End)
}

// TestLargeSetsStaySmall: an edge between a million partitions and a million others is a rule, not a list.
func TestLargeSetsStaySmall(t *testing.T) {
	dims := []*engine.Dimension{{Name: "hour", Unit: engine.Hour, Start: "1900-01-01T00", End: "2014-01-29T15"}}
	var targets []*engine.Target
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		targets = append(targets, &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, PartitionBy: []string{"hour"}, Outputs: []*engine.Output{{Name: name}}})
		for _, from := range targets {
			in := &engine.Input{Name: from.Label.Name, From: engine.Ref{Label: from.Label}, Window: &engine.Window{FromStart: true, To: -1}}
			targets[len(targets)-1].Inputs = append(targets[len(targets)-1].Inputs, in)
		}
	}
	before := heap()
	g, problems := New(&engine.Workspace{Dimensions: dims, Targets: targets}, instant(t, "2030-01-01T00:00:00Z"))
	used := heap() - before
	if len(problems) > 0 || g.Actions != 5_000_000 {
		t.Fatalf("%d actions, problems %v", g.Actions, problems)
	}
	// The dimension's own texts and instants, once: no more for 15 edges between the targets.
	if perValue := used / 1_000_000; perValue > 120 {
		t.Errorf("%d bytes for each value of the dimension", perValue)
	}
	last := g.Nodes[len(g.Nodes)-1]
	if sel := last.Edges[0].Inputs(999_999); sel.Len() != 999_999 {
		t.Errorf("the last hour reads %d hours", sel.Len())
	}
	if sel := last.Edges[0].Readers(0); sel.Len() != 999_999 {
		t.Errorf("the first hour is read by %d hours", sel.Len())
	}
	runtime.KeepAlive(g)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
