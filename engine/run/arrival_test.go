package run

import (
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// promising declares a target of a team: "team name@day due=06:00 < producer producer". It reads each producer over an edge of its name.
func promising(t *testing.T, line int, text string) *engine.Target {
	t.Helper()
	head, producers, _ := strings.Cut(text, " < ")
	team, rest, _ := strings.Cut(head, " ")
	name, due, promised := strings.Cut(rest, " due=")
	name, dimension, partitioned := strings.Cut(name, "@")
	target := &engine.Target{Label: engine.Label{Pkg: team, Name: name}, Owner: team, Kind: engine.Command, Outputs: []*engine.Output{{Name: name}}}
	if partitioned {
		target.PartitionBy = []string{dimension}
	}
	if promised {
		var ok bool
		if target.Due, ok = engine.ParseDue(due); !ok {
			t.Fatalf("%q is no promise", due)
		}
		target.Due.Range = engine.Range{File: team + "/pipeline.hcl", Start: engine.Pos{Line: line, Byte: line}}
	}
	for _, producer := range strings.Fields(producers) {
		producer, window, _ := strings.Cut(producer, "[")
		label, err := engine.ParseLabel(producer, team)
		if err != nil {
			t.Fatal(err)
		}
		in := &engine.Input{Name: label.Name, From: engine.Ref{Label: label}}
		if window != "" {
			in.Window = &engine.Window{From: -1, To: -1}
		}
		target.Inputs = append(target.Inputs, in)
	}
	return target
}

// TestCheckPromises: which promises can't hold, seen on 2017-06-16, and what is said of them.
func TestCheckPromises(t *testing.T) {
	minutes := func(n int) Took { return Took{Median: time.Duration(n) * time.Minute, Runs: 12} }
	for _, c := range []struct {
		name    string
		targets []string
		took    map[string]Took
		want    []string
	}{
		{"enough time for the job", []string{"spam c@day due=05:45", "reports r@day due=06:30 < //spam:c"}, map[string]Took{"r": minutes(40)}, nil},
		{"exactly enough", []string{"spam c@day due=05:45", "reports r@day due=06:25 < //spam:c"}, map[string]Took{"r": minutes(40)}, nil},
		{"the job takes too long", []string{"spam c@day due=05:45", "reports r@day due=06:00 < //spam:c"}, map[string]Took{"r": minutes(40), "c": minutes(300)},
			[]string{"//reports:r is promised for 06:00, and can't be there before 06:25 | promise 06:25 or later, or ask spam (#spam) for an earlier promise | " +
				"//spam:c (spam) promises 05:45 (spam/pipeline.hcl:1), //reports:r (reports) takes 40 min at the median of 12 runs; seen at day=2017-06-15."}},
		{"promised before its producer, and nothing ever ran", []string{"spam c@day due=+1d", "reports r@day due=06:00 < //spam:c"}, nil,
			[]string{"//reports:r is promised for 06:00, and can't be there before 2017-06-17 00:00 | promise 2017-06-17 00:00 or later, or ask spam (#spam) for an earlier promise | " +
				"//spam:c (spam) promises 2017-06-17 00:00 (spam/pipeline.hcl:1), how long //reports:r (reports) takes is not known yet; seen at day=2017-06-15."}},
		{"through targets without a promise", []string{"a raw@day due=05:00", "a mid@day < :raw", "b late@day due=06:00 < //a:mid"},
			map[string]Took{"raw": minutes(200), "mid": {Median: 45 * time.Minute, Runs: 1}, "late": minutes(75)},
			[]string{"//b:late is promised for 06:00, and can't be there before 07:00 | promise 07:00 or later, or ask a (#a) for an earlier promise | " +
				"//a:raw (a) promises 05:00 (a/pipeline.hcl:1), //a:mid (a) took 45 min the one time it ran, //b:late (b) takes 1 h 15 min at the median of 12 runs; seen at day=2017-06-15."}},
		{"of one team there is nobody to ask", []string{"a x@day due=05:00", "a y@day due=04:00 < :x"}, nil,
			[]string{"//a:y is promised for 04:00, and can't be there before 05:00 | promise 05:00 or later | " +
				"//a:x (a) promises 05:00 (a/pipeline.hcl:1), how long //a:y (a) takes is not known yet; seen at day=2017-06-15."}},
		{"each producer that is to blame", []string{"a x@day due=05:00", "b y@day due=05:30", "b z@day due=01:00", "c late@day due=04:00 < //a:x //b:y //b:z"}, nil,
			[]string{"//c:late is promised for 04:00, and can't be there before 05:00 | promise 05:00 or later, or ask a (#a) for an earlier promise | " +
				"//a:x (a) promises 05:00 (a/pipeline.hcl:1), how long //c:late (c) takes is not known yet; seen at day=2017-06-15.",
				"//c:late is promised for 04:00, and can't be there before 05:30 | promise 05:30 or later, or ask b (#b) for an earlier promise | " +
					"//b:y (b) promises 05:30 (b/pipeline.hcl:2), how long //c:late (c) takes is not known yet; seen at day=2017-06-15."}},
		{"jobs alone take too long", []string{"a x@day", "b y@day due=06:00 < //a:x"}, map[string]Took{"x": minutes(300), "y": minutes(61)},
			[]string{"//b:y is promised for 06:00, and can't be there before 06:01 | promise 06:01 or later | " +
				"day=2017-06-15 ends at 00:00, //a:x (a) takes 5 h at the median of 12 runs, //b:y (b) takes 1 h 1 min at the median of 12 runs; seen at day=2017-06-15."}},
		{"a month waits for its last day", []string{"a x@day due=+1d", "b y@month due=12:00 < //a:x"}, nil,
			[]string{"//b:y is promised for 12:00, and can't be there before 2017-06-02 00:00 | promise 2017-06-02 00:00 or later, or ask a (#a) for an earlier promise | " +
				"//a:x (a) promises 2017-06-02 00:00 (a/pipeline.hcl:1), how long //b:y (b) takes is not known yet; seen at month=2017-05."}},
		{"a month in time", []string{"a x@day due=+1d", "b y@month due=+1d < //a:x"}, nil, nil},
		{"the day before was there before", []string{"a x@day due=+1d", "b y@day due=+1h < //a:x[-1"}, map[string]Took{"y": minutes(59)}, nil},
		{"a running total reads itself", []string{"a x@day due=06:00 < :x[-1"}, map[string]Took{"x": minutes(300)}, nil},
		{"what has no time does not wait", []string{"a x", "b y@day due=00:00 < //a:x"}, map[string]Took{"x": minutes(300)}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			ws := &engine.Workspace{Dimensions: []*engine.Dimension{{Name: "day", Unit: engine.Day, Start: "2017-05-01"}, {Name: "month", Unit: engine.Month, Start: "2017-05"}}}
			for k, text := range c.targets {
				ws.Targets = append(ws.Targets, promising(t, k+1, text))
			}
			for _, team := range []string{"a", "b", "spam", "reports"} {
				ws.Teams = append(ws.Teams, &engine.Team{Name: team, Contact: "#" + team})
			}
			g, problems := graph.New(ws, time.Date(2017, 6, 16, 12, 0, 0, 0, time.UTC))
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			found, err := CheckPromises(g, func(n *graph.Node) (Took, error) { return c.took[n.Target.Label.Name], nil })
			var got []string
			for _, p := range found {
				got = append(got, p.Summary+" | "+p.Hint+" | "+p.Detail)
			}
			if err != nil || strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%v; got:\n%s\nwant:\n%s", err, strings.Join(got, "\n"), strings.Join(c.want, "\n"))
			}
		})
	}
}
