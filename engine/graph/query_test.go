package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

func pattern(t testing.TB, s string) engine.Pattern {
	p, err := engine.ParsePattern(s, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func queried(t testing.TB) *Graph {
	ws := workspace(t, `
		//plays:raw by day
		//plays:plays by day <- //plays:raw
		//plays:countries by country
		//spam:classified by day country <- //plays:plays //plays:countries
		//reports:royalties by month <- //spam:classified
		//reports:config
		//reports/draft:totals by day <- //plays:plays`)
	ws.Targets[6].Start = "2017-06-02"
	return graphOf(t, ws)
}

// TestSelect: patterns, and what they select (all partitions of a target are written "all").
func TestSelect(t *testing.T) {
	t.Parallel()
	g := queried(t)
	for patterns, want := range map[string]string{
		"//plays:plays":                                   "//plays:plays all",
		"//plays":                                         "//plays:plays all",
		"//reports:all":                                   "//reports:royalties all; //reports:config all",
		"//reports/...":                                   "//reports:royalties all; //reports:config all; //reports/draft:totals all",
		"//... -//plays/... -//reports/...":               "//spam:classified all",
		"-//plays/... -//reports/... //...":               "//spam:classified all",
		"//plays:plays@day=2017-06-02":                    "//plays:plays day=2017-06-02",
		"//plays:plays@day=2017-06-02..2017-06-03":        "//plays:plays day=2017-06-02 day=2017-06-03",
		"//plays:plays@day=2017-06-02..":                  "//plays:plays day=2017-06-02 day=2017-06-03",
		"//plays:plays@day=..2017-06-01":                  "//plays:plays day=2017-06-01",
		"//plays:plays@day=2016-01-01..2017-06-01":        "//plays:plays day=2017-06-01",
		"//spam:classified@country=FR,day=2017-06-03":     "//spam:classified day=2017-06-03,country=FR",
		"//...@day=2017-06-01":                            "//plays:raw day=2017-06-01; //plays:plays day=2017-06-01; //spam:classified day=2017-06-01,country=DE day=2017-06-01,country=FR",
		"//...@country=DE -//spam/...":                    "//plays:countries country=DE",
		"//plays:plays -//plays:plays@day=2017-06-02..":   "//plays:plays day=2017-06-01",
		"//plays:plays //plays:plays@day=2017-06-02":      "//plays:plays all",
		"//plays:plays -//plays:plays":                    "",
		"//plays:nothing":                                 "error: there is no target or source //plays:nothing; package //plays has raw, plays, countries",
		"//plays:play":                                    `error: there is no target or source //plays:play; did you mean "//plays:plays"?`,
		"//report/...":                                    "error: //report/... matches no target; did you mean package //reports?",
		"//somewhere:all":                                 "error: //somewhere:all matches no target",
		"//... -//somewhere/...":                          "error: -//somewhere/... matches no target",
		"//plays:plays@country=DE":                        "error: //plays:plays: it is not partitioned by country, but by day",
		"//reports:config@day=2017-06-01":                 "error: //reports:config: it is not partitioned by day, but by nothing",
		"//reports:all@country=DE":                        "error: //reports:all@country=DE: none of these targets is partitioned by country",
		"//plays:plays@day=2017-06":                       `error: //plays:plays: "2017-06" is no day; write it like "2017-06-15"`,
		"//plays:plays@day=2017-06-09":                    "error: //plays:plays: there is no day 2017-06-09: its 3 values run from 2017-06-01 to 2017-06-03",
		"//plays:plays@day=2018-01-01..2018-01-09":        "error: //plays:plays: there is no day 2018-01-01..2018-01-09: its 3 values run from 2017-06-01 to 2017-06-03",
		"//plays:plays@day=2018-01-01..":                  "error: //plays:plays: there is no day 2018-01-01..: its 3 values run from 2017-06-01 to 2017-06-03",
		"//plays:plays@day=2017-06-02..2017-06-01":        "error: //plays:plays: day=2017-06-02..2017-06-01: the first value lies after the last",
		"//plays:countries@country=DR":                    `error: //plays:countries: there is no country "DR"; did you mean "DE"?`,
		"//plays:countries@country=Mars":                  `error: //plays:countries: there is no country "Mars": its values are DE, FR`,
		"//plays:countries@country=DE..FR":                "error: //plays:countries: country has listed values, which have no ranges",
		"//... -//plays:plays@day=June":                   `error: //plays:plays: "June" is no day; write it like "2017-06-15"`,
		"//reports/draft:totals@day=2017-06-01":           "error: //reports/draft:totals: there is no day 2017-06-01: its 2 values run from 2017-06-02 to 2017-06-03",
		"//reports/...@day=2017-06-01..2017-06-02":        "//reports/draft:totals day=2017-06-02",
		"//reports:royalties@month=2017-05 //plays:plays": "//plays:plays all; //reports:royalties month=2017-05",
	} {
		var ps []engine.Pattern
		for _, s := range strings.Fields(patterns) {
			ps = append(ps, pattern(t, s))
		}
		if got := selection(g.Select(ps)); got != want {
			t.Errorf("%s\n got %s\nwant %s", patterns, got, want)
		}
	}
}

func selection(selected []Selected, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, s := range selected {
		text := s.Node.Target.Label.String()
		if len(s.Partitions) == s.Node.Set.Len() {
			text += " all"
		} else {
			for _, i := range s.Partitions {
				text += " " + s.Node.Set.Text(i)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

func TestSelectInAnEmptyWorkspace(t *testing.T) {
	t.Parallel()
	_, err := graphOf(t, &engine.Workspace{}).Select([]engine.Pattern{pattern(t, "//...")})
	expect(t, fmt.Sprint(err), "the workspace has no targets: write a pipeline.hcl, or run dpb init")
}

func TestSelectBeforeTheStart(t *testing.T) {
	t.Parallel()
	g, _ := New(workspace(t, ":t by day\n:u"), instant(t, "2017-01-01T00:00:00Z"))
	expect(t, selection(g.Select([]engine.Pattern{pattern(t, "//...")})), "//:u all")
	expect(t, selection(g.Select([]engine.Pattern{pattern(t, "//:t@day=2017-06-01")})),
		"error: //:t: there is no day 2017-06-01: it has no partition that has ended yet")
}

func TestPaths(t *testing.T) {
	t.Parallel()
	g := queried(t)
	node := func(label string) *Node { return g.Node(parse(t, label).Label) }
	expect(t, labels(g.Deps(node("//spam:classified"))), "//plays:raw //plays:plays //plays:countries //spam:classified")
	expect(t, labels(g.Deps(node("//reports:config"), node("//plays:plays"))), "//plays:raw //plays:plays //reports:config")
	expect(t, labels(g.Rdeps(node("//plays:countries"))), "//plays:countries //spam:classified //reports:royalties")
	expect(t, labels(node("//spam:classified").Producers()), "//plays:plays //plays:countries")
	expect(t, labels(g.SomePath(node("//reports:royalties"), node("//plays:raw"))), "//reports:royalties //spam:classified //plays:plays //plays:raw")
	expect(t, labels(g.SomePath(node("//plays:raw"), node("//plays:raw"))), "//plays:raw")
	expect(t, labels(g.SomePath(node("//plays:raw"), node("//reports:royalties"))), "")
	expect(t, labels(g.SomePath(node("//reports:config"), node("//plays:raw"))), "")
}

func labels(nodes []*Node) string {
	var out []string
	for _, n := range nodes {
		out = append(out, n.Target.Label.String())
	}
	return strings.Join(out, " ")
}
