package graph

import (
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// TestNextEnd: until the instant that it gives there are the partitions of now, and from it on there is one more; where it gives none there are the same for ever.
func TestNextEnd(t *testing.T) {
	dimensions := []engine.Dimension{
		{Unit: engine.Hour, Start: "2017-06-01T05"},
		{Unit: engine.Day, Start: "2017-06-01"},
		{Unit: engine.Day, Start: "2017-06-01", End: "2017-06-03"},
		{Unit: engine.Day, Start: "2017-03-20", Timezone: "Europe/Berlin"}, // clocks go forward on 26 March
		{Unit: engine.Day, Start: "2018-11-01", Timezone: "America/Sao_Paulo"},
		{Unit: engine.Week, Start: "2017-W10"},
		{Unit: engine.Month, Start: "2017-02", Timezone: "Asia/Tokyo"},
		{Unit: engine.Quarter, Start: "2017-Q1", End: "2017-Q2"},
		{Unit: engine.Year, Start: "2016"},
	}
	nows := []string{"2016-01-01T00:00:00Z", "2017-03-25T22:59:59Z", "2017-03-25T23:00:00Z", "2017-03-26T22:00:00Z", "2017-06-01T05:59:59.999Z", "2017-06-01T06:00:00Z", "2017-06-03T12:00:00Z",
		"2017-06-03T23:59:59Z", "2017-06-04T00:00:00Z", "2017-12-31T15:00:00Z", "2018-11-04T02:30:00Z", "2018-11-04T03:00:00Z"}
	for _, d := range dimensions {
		d.Name = "time"
		for _, target := range []engine.Target{{}, {Start: d.Unit.Text(instant(t, "2017-06-02T12:00:00Z"))}, {End: d.Unit.Text(instant(t, "2017-06-02T12:00:00Z"))}} {
			target.Label, target.Kind, target.PartitionBy, target.Outputs = parse(t, "//:x").Label, engine.Source, []string{"time"}, []*engine.Output{{Name: "x"}}
			ws := &engine.Workspace{Dimensions: []*engine.Dimension{&d}, Targets: []*engine.Target{&target}}
			partitions := func(now time.Time) int {
				g, _ := New(ws, now)
				return g.Nodes[0].Set.Len()
			}
			for _, text := range nows {
				now := instant(t, text)
				g, _ := New(ws, now)
				next, before := g.NextEnd(now), partitions(now)
				if next.IsZero() {
					if later := partitions(now.AddDate(3, 0, 0)); later != before {
						t.Errorf("%v from %q to %q at %s: none is to come, and there are %d more", d, target.Start, target.End, text, later-before)
					}
					continue
				}
				if !next.After(now) || partitions(next.Add(-1)) != before || partitions(next) != before+1 {
					t.Errorf("%v from %q to %q at %s: %d partitions, %d before %s and %d then", d, target.Start, target.End, text, before, partitions(next.Add(-1)), next, partitions(next))
				}
			}
		}
	}
}
