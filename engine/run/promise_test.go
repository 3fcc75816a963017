package run

import (
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// TestDueSoon: within the hour, or within twice the time that the longest chain of jobs takes which are still to run.
func TestDueSoon(t *testing.T) {
	for _, c := range []struct {
		now  string
		took map[string]time.Duration
		want bool
	}{
		{"04:59", nil, false},
		{"05:00", nil, true},
		{"04:59", map[string]time.Duration{"raw": 10 * time.Minute, "charts": 20 * time.Minute}, false},
		{"01:59", map[string]time.Duration{"raw": time.Hour, "side": 10 * time.Minute, "charts": time.Hour}, false},
		{"02:00", map[string]time.Duration{"raw": time.Hour, "side": 10 * time.Minute, "charts": time.Hour}, true},
	} {
		ws := &engine.Workspace{Dimensions: []*engine.Dimension{{Name: "day", Unit: engine.Day, Start: "2017-06-15"}},
			Targets: []*engine.Target{promising(t, 1, "a raw@day"), promising(t, 2, "a side@day"), promising(t, 3, "a charts@day due=06:00 < :raw :side")}}
		now, err := time.Parse("2006-01-02 15:04", "2017-06-16 "+c.now)
		if err != nil {
			t.Fatal(err)
		}
		g, problems := graph.New(ws, now)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		s := &Session{Config: Config{Graph: g, Now: now}, current: make([]pointers, len(g.Nodes)), took: map[*graph.Node]Took{}}
		for _, n := range g.Nodes {
			s.took[n] = Took{Runs: 1, Median: c.took[n.Target.Label.Name]}
		}
		p, err := s.Promises(plan.New(g, nil, nil, now)).Of(g.Node(engine.Label{Pkg: "a", Name: "charts"}), 0)
		if err != nil || p.Soon != c.want || p.There || p.Overdue() {
			t.Errorf("at %s: %+v, %v; want soon: %v", c.now, p, err, c.want)
		}
	}
}
