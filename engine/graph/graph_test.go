package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// days is the dimension of most tests: three days.
var days = &engine.Dimension{Name: "day", Unit: engine.Day, Start: "2017-06-01", End: "2017-06-03"}

// workspace reads one target a line: "//a:t by day country <- //b:u.out //c:v". A target whose name starts with "raw" is a source.
func workspace(t testing.TB, text string) *engine.Workspace {
	ws := &engine.Workspace{Dimensions: []*engine.Dimension{days, {Name: "country", Values: []string{"DE", "FR"}}, {Name: "month", Unit: engine.Month, Start: "2017-05", End: "2017-06"}}}
	for k, line := range strings.Split(strings.TrimSpace(text), "\n") {
		head, reads, _ := strings.Cut(strings.TrimSpace(line), " <- ")
		name, by, _ := strings.Cut(head, " by ")
		x := &engine.Target{Label: parse(t, name).Label, Kind: engine.Command, PartitionBy: strings.Fields(by), Range: at(k + 1)}
		if strings.HasPrefix(x.Label.Name, "raw") {
			x.Kind = engine.Source
		}
		x.Outputs = []*engine.Output{{Name: x.Label.Name}}
		for _, from := range strings.Fields(reads) {
			x.Inputs = append(x.Inputs, &engine.Input{Name: "x", From: parse(t, from), Range: at(k + 1)})
		}
		ws.Targets = append(ws.Targets, x)
	}
	return ws
}

func parse(t testing.TB, label string) engine.Ref {
	r, err := engine.ParseRef(label, "")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func at(line int) engine.Range {
	return engine.Range{File: "f", Start: engine.Pos{Line: line, Byte: 100 * line}}
}

// graphOf resolves a workspace that has to be right.
func graphOf(t testing.TB, ws *engine.Workspace) *Graph {
	t.Helper()
	g, problems := New(ws, instant(t, "2030-01-01T00:00:00Z"))
	if len(problems) > 0 {
		t.Fatalf("problems: %v", problems)
	}
	return g
}

// said writes problems, one a paragraph: severity, line and summary, then detail and hint.
func said(t testing.TB, ws *engine.Workspace) string {
	_, problems := New(ws, instant(t, "2030-01-01T00:00:00Z"))
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s at line %d: %s\n", p.Severity, p.Range.Start.Line, p.Summary)
		for _, more := range []string{p.Detail, p.Hint} {
			if more != "" {
				b.WriteString("  " + more + "\n")
			}
		}
	}
	return b.String()
}

func expect(t *testing.T, got, want string) {
	t.Helper()
	if got = strings.TrimSpace(got); got != strings.TrimSpace(want) {
		t.Errorf("got\n%s\n\nwant\n%s", got, want)
	}
}

func TestOrder(t *testing.T) {
	t.Parallel()
	g := graphOf(t, workspace(t, `
		//a:top by day <- //a:left //a:right
		//a:left <- //a:raw
		//a:right <- //a:raw
		//a:raw by day country`))
	var names []string
	for _, n := range g.Nodes {
		names = append(names, fmt.Sprintf("%s %d+%d", n.Target.Label, n.Base, n.Set.Len()))
	}
	expect(t, strings.Join(names, "\n"), "//a:raw 0+6\n//a:left 6+1\n//a:right 7+1\n//a:top 8+3")
	if g.Actions != 11 {
		t.Errorf("%d actions", g.Actions)
	}
	for id := range g.Actions {
		n, i := g.Action(ActionID(id))
		if n.Base+ActionID(i) != ActionID(id) || i >= n.Set.Len() {
			t.Errorf("action %d is %s %d", id, n.Target.Label, i)
		}
	}
}

func TestCycle(t *testing.T) {
	t.Parallel()
	expect(t, said(t, workspace(t, `
		//a:top <- //a:one
		//a:one <- //b:two
		//b:two <- //a:raw //c:three
		//c:three <- //a:one
		//a:raw`)), `
error at line 4: targets depend on each other in a circle
  //a:one reads //b:two reads //c:three reads //a:one.
  take one of these inputs away; a target may read only its own earlier partitions`)
}

func TestTwoCycles(t *testing.T) {
	t.Parallel()
	expect(t, said(t, workspace(t, `
		:a <- :b
		:b <- :a :c
		:c <- :b`)), `
error at line 2: targets depend on each other in a circle
  //:a reads //:b reads //:a.
  take one of these inputs away; a target may read only its own earlier partitions
error at line 3: targets depend on each other in a circle
  //:b reads //:c reads //:b.
  take one of these inputs away; a target may read only its own earlier partitions`)
}

func TestVisibility(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		//spam:classified
		//spam:own <- //spam:classified
		//reports:royalties <- //spam:classified
		//reports/draft:totals <- //spam:classified
		//recommend:top <- //spam:classified
		:everything <- //spam:classified
		//recommend:open <- //spam:open
		//spam:open`)
	ws.Teams = []*engine.Team{{Name: "trust-and-safety", Contact: "#trust-safety"}}
	ws.Packages = []*engine.Package{{Path: "spam", Visibility: []engine.Pattern{pattern(t, "//reports/..."), pattern(t, "-//reports/draft/...")}}}
	ws.Targets[0].Owner = "trust-and-safety"
	ws.Targets[7].Visibility = []engine.Pattern{pattern(t, "//...")}
	expect(t, said(t, ws), `
error at line 4: //reports/draft:totals may not read //spam:classified
  Its visibility is "//reports/...", "-//reports/draft/...".
  ask trust-and-safety (#trust-safety) to add "//reports/draft/..." to its visibility
error at line 5: //recommend:top may not read //spam:classified
  Its visibility is "//reports/...", "-//reports/draft/...".
  ask trust-and-safety (#trust-safety) to add "//recommend/..." to its visibility
error at line 6: //:everything may not read //spam:classified
  Its visibility is "//reports/...", "-//reports/draft/...".
  ask trust-and-safety (#trust-safety) to add "//..." to its visibility`)
}

func TestVisibilityWithoutOwner(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		//a:hidden
		//b:reader <- //a:hidden`)
	ws.Targets[0].Visibility = []engine.Pattern{}
	expect(t, said(t, ws), `
error at line 2: //b:reader may not read //a:hidden
  Its visibility is its own package only.
  ask whoever owns //a to add "//b/..." to its visibility`)
}

func TestUnknownLabels(t *testing.T) {
	t.Parallel()
	expect(t, said(t, workspace(t, `
		//plays:plays
		//plays:t <- :play
		//plays:u <- //plays:play
		//plays:v <- //plays:something_else
		//plays:w <- //nowhere:x`)), `
error at line 2: there is no target or source //:play
  there is no package // with a target in it
error at line 3: there is no target or source //plays:play
  did you mean ":plays"?
error at line 4: there is no target or source //plays:something_else
  package //plays has plays, t, u, v, w
error at line 5: there is no target or source //nowhere:x
  there is no package //nowhere with a target in it`)
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:several
		:named <- :several.good
		:near <- :several.goood
		:far <- :several.something
		:none <- :several`)
	ws.Targets[0].Outputs = []*engine.Output{{Name: "good"}, {Name: "bad"}}
	expect(t, said(t, ws), `
error at line 3: //:several has no output "goood"; did you mean "good"?
error at line 4: //:several has no output "something"; it has good, bad
error at line 5: //:several has several outputs (good, bad): say which, as //:several.good`)
}

func TestOutputNamedLikeItsTarget(t *testing.T) {
	t.Parallel()
	ws := workspace(t, ":x\n:y <- :x")
	ws.Targets[0].Outputs = []*engine.Output{{Name: "rejected"}, {Name: "x"}}
	if o := graphOf(t, ws).Node(engine.Label{Name: "y"}).Edges[0].Output; o.Name != "x" {
		t.Errorf("the edge reads %s", o.Name)
	}
}

func TestCodeFromSources(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:t
		:raw_py
		:raw_days by day
		:made`)
	for _, name := range []string{"raw_py", "raw_days", "made", "raw_pi"} {
		ws.Targets[0].Code = append(ws.Targets[0].Code, engine.CodeRef{Source: engine.Label{Name: name}, Range: at(1)})
	}
	expect(t, said(t, ws), `
error at line 1: //:raw_days has partitions, and code has none
error at line 1: code takes sources, and //:made is a target
  read what a job made as an input
error at line 1: there is no target or source //:raw_pi
  did you mean ":raw_py"?`)
	ws.Targets[0].Code = ws.Targets[0].Code[:1]
	g := graphOf(t, ws)
	if n := g.Node(ws.Targets[0].Label); len(n.CodeFrom) != 1 || n.CodeFrom[0].Index > n.Index {
		t.Errorf("code of %s comes from %v", n.Target.Label, n.CodeFrom)
	}
}

func TestRunningTotalReadByMonth(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:totals by day <- :totals
		:report by month <- :totals
		:snapshot by month <- :totals
		:everything <- :totals
		:daily by day <- :totals`)
	ws.Targets[0].Inputs[0].Window = &engine.Window{From: -1, To: -1}
	ws.Targets[2].Inputs[0].TakeLast = true
	expect(t, said(t, ws), `
warning at line 2: //:totals is a running total, and this reads 30 to 31 days
  write take = "last" to read only the newest
warning at line 4: //:totals is a running total, and this reads all 3 days
  write take = "last" to read only the newest`)
}

func TestWhatTargetsArePartitionedBy(t *testing.T) {
	t.Parallel()
	ws := workspace(t, ":two by day month\n:five by day country a b c")
	for _, name := range []string{"a", "b", "c"} {
		ws.Dimensions = append(ws.Dimensions, &engine.Dimension{Name: name, Values: []string{"x"}})
	}
	expect(t, said(t, ws), `
error at line 1: //:two is partitioned by two time dimensions
  keep the finer one: the coarser follows from it
error at line 2: //:five is partitioned by more than 4 dimensions`)
}

func TestTooManyPartitions(t *testing.T) {
	t.Parallel()
	many := make([]string, 100_000)
	for k := range many {
		many[k] = fmt.Sprint("v", k)
	}
	ws := workspace(t, ":t by a b")
	ws.Dimensions = []*engine.Dimension{{Name: "a", Values: many}, {Name: "b", Values: many}}
	expect(t, said(t, ws), "error at line 1: //:t has more than 5000000 partitions")
}

// TestIntervals: a day is from midnight to midnight in its timezone, be it 23, 24 or 25 hours; where there is no midnight it starts later.
func TestIntervals(t *testing.T) {
	t.Parallel()
	for text, c := range map[string]struct{ zone, want string }{
		"2017-03-25": {"Europe/Berlin", "2017-03-24T23:00:00Z/2017-03-25T23:00:00Z"},
		"2017-03-26": {"Europe/Berlin", "2017-03-25T23:00:00Z/2017-03-26T22:00:00Z"},
		"2017-10-29": {"Europe/Berlin", "2017-10-28T22:00:00Z/2017-10-29T23:00:00Z"},
		"2017-10-15": {"America/Sao_Paulo", "2017-10-15T03:00:00Z/2017-10-16T02:00:00Z"},
		"2017-02-18": {"America/Sao_Paulo", "2017-02-18T02:00:00Z/2017-02-19T03:00:00Z"},
		"2011-12-29": {"Pacific/Apia", "2011-12-29T10:00:00Z/2011-12-30T10:00:00Z"},
		"2016-02-29": {"", "2016-02-29T00:00:00Z/2016-03-01T00:00:00Z"},
	} {
		ws := workspace(t, ":t by country day")
		ws.Dimensions[0] = &engine.Dimension{Name: "day", Unit: engine.Day, Timezone: c.zone, Start: "2011-12-01"}
		set := graphOf(t, ws).Nodes[0].Set
		i, ok := set.IndexText("country=DE,day=" + text)
		if got := set.Intervals(i); !ok || !got[0].IsZero() || got[1].String() != c.want {
			t.Errorf("%s in %s: %v, want %s", text, c.zone, got, c.want)
		}
	}
}

func TestIndexOfWhatIsNotThere(t *testing.T) {
	t.Parallel()
	set := graphOf(t, workspace(t, ":t by day country")).Nodes[0].Set
	for _, text := range []string{"", "day=2017-06-01", "day=2017-06-04,country=DE", "day=2017-05-31,country=DE", "day=2017-06-01,country=US", "day=2017-6-1,country=DE",
		"day=2017-06-01,country=DE,x=y", "day=2017-06-01,day=2017-06-01", "country,day=2017-06-01", "x"} {
		if i, ok := set.IndexText(text); ok {
			t.Errorf("%q is partition %d", text, i)
		}
	}
	if i, ok := set.IndexText("country=FR,day=2017-06-03"); !ok || i != 5 {
		t.Errorf("in another order: %d, %v", i, ok)
	}
}
