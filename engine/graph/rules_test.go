package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// refer lets the first output of a target look values up: "column //a:b".
func refer(t testing.TB, x *engine.Target, references ...string) {
	for _, s := range references {
		column, to, _ := strings.Cut(s, " ")
		o := x.Outputs[0]
		o.References = append(o.References, engine.Reference{Column: column, To: parse(t, to), Range: at(100 + len(o.References))})
	}
}

// keyed makes an output a table with a key.
func keyed(x *engine.Target, key ...string) {
	x.Outputs[0].Format, x.Outputs[0].Key = engine.Parquet, key
}

func TestReferences(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:customers by month
		:orders by day <- :x
		:x
		:people by day`)
	keyed(ws.Targets[0], "id")
	keyed(ws.Targets[1], "order_id")
	refer(t, ws.Targets[1], "customer_id //:customers", "parent_id //:orders")
	refer(t, ws.Targets[3], "customer_id //:customers")
	g := graphOf(t, ws)
	customers, orders := g.Node(ws.Targets[0].Label), g.Node(ws.Targets[1].Label)
	var got []string
	for _, e := range orders.References {
		got = append(got, fmt.Sprintf("%s: %s of %s %v, %s (%s)", e.Input.Name, e.LooksUp(), e.From.Target.Label, e.Holder == ws.Targets[1].Outputs[0], e.Words(), indices(e.Inputs(1))))
	}
	expect(t, strings.Join(got, "\n"), `
customer_id: id of //:customers true, the month that holds the day ([1])
parent_id: order_id of //:orders true, the same day ([1])`)
	if customers.Index > orders.Index || len(customers.Consumers) != 0 || len(customers.ReferencedBy) != 2 || customers.ReferencedBy[0].To != orders {
		t.Errorf("customers come at %d, orders at %d; they are looked up by %v", customers.Index, orders.Index, customers.ReferencedBy)
	}
	if orders.ReadsItself() || len(orders.Producers()) != 2 || g.SomePath(orders, customers) == nil || len(g.Rdeps(customers)) != 3 || len(g.Deps(orders)) != 3 {
		t.Errorf("references are followed wrongly: %v", g.Deps(orders))
	}
}

func indices(s Selection) string {
	var out []int
	for i := range s.All() {
		out = append(out, i)
	}
	return fmt.Sprint(out)
}

func TestReferencesThatCannotBe(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:customers
		:orders
		:folder
		//b:two
		//b:none
		//b:text
		:weeks by week`)
	ws.Dimensions = append(ws.Dimensions, &engine.Dimension{Name: "week", Unit: engine.Week, Start: "2017-W20", End: "2017-W22"})
	ws.Teams = []*engine.Team{{Name: "b", Contact: "#b"}}
	keyed(ws.Targets[0], "id")
	keyed(ws.Targets[3], "id", "day")
	keyed(ws.Targets[4])
	keyed(ws.Targets[5], "id")
	keyed(ws.Targets[6], "id")
	ws.Targets[4].Owner, ws.Targets[5].Outputs[0].Format = "b", engine.CSV
	ws.Targets[1].PartitionBy = []string{"month"}
	refer(t, ws.Targets[1], "a //:customers", "b //:customer", "c //:customers.x", "d //:folder", "e //b:two", "f //b:none", "g //b:text", "h //:weeks")
	expect(t, said(t, ws), `
error at line 101: there is no target or source //:customer
  did you mean ":customers"?
error at line 102: //:customers has no output "x"; it has customers
error at line 103: //:folder is no table in which values can be looked up
error at line 104: a reference looks values up in a key of one column, and that of //b:two has 2: id, day
  refer to a table whose key is one column
error at line 105: a reference looks values up in a key, and //b:none has none
  ask b (#b) to declare a key of one column in its output "none"
error at line 106: values can't be looked up in //b:text, as the types of its columns are not known
  ask whoever owns //b to declare columns = { ... } where the data is made
error at line 107: //:weeks by week can't be looked up by month
  A week does not lie in one month.
  refer to a table that is not partitioned by week`)
}

func TestCircleOverReference(t *testing.T) {
	t.Parallel()
	ws := workspace(t, ":a <- :b\n:b\n:c\n:d <- :c")
	for _, x := range ws.Targets {
		keyed(x, "id")
	}
	refer(t, ws.Targets[1], "x //:a")
	refer(t, ws.Targets[2], "y //:d")
	expect(t, said(t, ws), `
error at line 4: targets depend on each other in a circle
  //:c looks up //:d reads //:c.
  take one of these inputs or references away: what looks values up in a table is judged after it, and so can't be what that table is made of
error at line 100: targets depend on each other in a circle
  //:a reads //:b looks up //:a.
  take one of these inputs or references away: what looks values up in a table is judged after it, and so can't be what that table is made of`)
}

func TestQuarantine(t *testing.T) {
	t.Parallel()
	ws := workspace(t, `
		:raw_plays by day
		:plays by day <- :raw_plays
		:broken by day <- :plays.quarantine
		:again by day <- :plays.plays.quarantine :plays`)
	ws.Targets[1].Outputs[0].Rejects = []*engine.Reject{{Name: "bad"}}
	ws.Targets[1].Outputs[0].Format = engine.CSV
	ws.Targets[2].Kind = engine.SQL
	g := graphOf(t, ws)
	e, again := g.Node(ws.Targets[2].Label).Edges[0], g.Node(ws.Targets[3].Label).Edges
	if o := e.Output; !e.Quarantine || o.Name != "plays" || o.Path != "quarantine.parquet" || o.Format != engine.Parquet || o.Shape != engine.OneFile || o != again[0].Output {
		t.Errorf("the edge reads %+v, and another %+v", e.Output, again[0].Output)
	}
	if again[1].Quarantine || again[1].Output != ws.Targets[1].Outputs[0] {
		t.Errorf("an edge beside reads %+v", again[1].Output)
	}
	expect(t, e.Words()+"; "+e.Input.From.String(), "the same day; //:plays.quarantine")

	ws.Targets[1].Outputs[0].Rejects = nil
	expect(t, said(t, ws), `
error at line 3: there is nothing rejected: output "plays" of //:plays declares no reject
  declare a reject there
error at line 4: there is nothing rejected: output "plays" of //:plays declares no reject
  declare a reject there`)
}

// ruled adds a rule that uses names, one a word, to an input or an output.
func ruled(to *[]*engine.Expect, names string) {
	x := &engine.Expect{Name: "ok"}
	for k, name := range strings.Fields(names) {
		x.Uses = append(x.Uses, engine.Use{Path: strings.Split(name, "."), Range: at(200 + k)})
	}
	*to = append(*to, x)
}

func rulesWorkspace(t testing.TB) *engine.Workspace {
	ws := workspace(t, `
		//a:plays by day
		//b:daily by day <- //a:plays
		//b:monthly by month <- //a:plays`)
	o := ws.Targets[0].Outputs[0]
	o.Format, o.Columns = engine.Parquet, []engine.Column{{Name: "country", Type: "VARCHAR"}}
	o.Metrics, o.Rejects, o.Expects = []*engine.Metric{{Name: "rate"}}, []*engine.Reject{{Name: "bad"}}, []*engine.Expect{{Name: "plausible"}}
	ws.Teams, ws.Targets[0].Owner = []*engine.Team{{Name: "music", Contact: "#music"}}, "music"
	return ws
}

func TestNamesInRules(t *testing.T) {
	t.Parallel()
	ws := rulesWorkspace(t)
	daily, monthly := ws.Targets[1], ws.Targets[2]
	ruled(&daily.Inputs[0].Expects, "rows metric.rate prior.metric.rate parts.metric.rate rejected.bad.rows replaced.rows replaced column.other.nulls column.*.nulls metric.*")
	ruled(&monthly.Inputs[0].Expects, "parts.metric.rate rejected.bad.share parts.rejected.bad.rows prior.rows")
	ruled(&daily.Outputs[0].Expects, "input.x.metric.rate input.x.rows rows metric.own column.mine.nulls")
	graphOf(t, ws)

	ruled(&daily.Inputs[0].Expects, "metric.rat prior.metric.nothing rejected.worse.rows column.contry.nulls parts.column.countri.max")
	expect(t, said(t, ws), `
error at line 200: //a:plays has no metric "rat"
  did you mean "rate"?
error at line 201: //a:plays has no metric "nothing"
  ask music (#music) to declare it there
error at line 202: //a:plays has no reject "worse"
  ask music (#music) to declare it there
error at line 203: //a:plays promises no column "contry"
  did you mean "country"?
error at line 204: //a:plays promises no column "countri"
  did you mean "country"?`)

	ws = rulesWorkspace(t)
	ruled(&ws.Targets[2].Inputs[0].Expects, "metric.rate prior.metric.rate")
	ruled(&ws.Targets[2].Outputs[0].Expects, "rows bytes input.x.metric.rate input.x.metric.lost")
	expect(t, said(t, ws), `
error at line 200: metric "rate" is of one partition, and this is about several: 30 to 31 days
  write parts[*].metric.rate
error at line 201: metric "rate" is of one partition, and this is about several: 30 to 31 days
  write parts[*].metric.rate
error at line 202: metric "rate" is of one partition, and this is about several: 30 to 31 days
  write parts[*].metric.rate in a rule on the input
error at line 203: //a:plays has no metric "lost"
  ask music (#music) to declare it there`)
}

func TestRulesOnWhatIsNoTable(t *testing.T) {
	t.Parallel()
	ws := rulesWorkspace(t)
	o := ws.Targets[0].Outputs[0]
	o.Format, o.Columns = engine.Opaque, nil
	ruled(&ws.Targets[1].Inputs[0].Expects, "bytes files rows column.x.nulls")
	expect(t, said(t, ws), `
error at line 202: rows is not known of //a:plays, which is no table
  of files, bytes and files are known
error at line 203: column is not known of //a:plays, which is no table
  of files, bytes and files are known`)
	o.Format = engine.NDJSON
	expect(t, said(t, ws), `
error at line 203: columns of //a:plays are not known, as the files don't hold their types
  declare columns = { ... } where the data is made`)
	ws.Targets[1].Inputs[0].Columns = []engine.Column{{Name: "x", Type: "BIGINT"}}
	graphOf(t, ws)
}

func TestRulesOnFiles(t *testing.T) {
	t.Parallel()
	ws := workspace(t, ":t")
	in := &engine.Input{Name: "rates", Files: engine.Literal("rates/*.csv"), Range: at(1), Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}}
	ws.Targets[0].Inputs = []*engine.Input{in}
	ruled(&in.Expects, "rows column.id.nulls metric.x")
	expect(t, said(t, ws), `
error at line 0: input "rates" has no fingerprint to expect something of: its files belong to no source
  declare them: source "rates" { path = ... }, and read that`)
}

func TestWaive(t *testing.T) {
	t.Parallel()
	ws := rulesWorkspace(t)
	ws.Targets[1].Inputs[0].Waive = append([]string{"plausible"}, engine.BuiltinRules...)
	graphOf(t, ws)
	ws.Targets[1].Inputs[0].Waive = []string{"plausibel", "something"}
	expect(t, said(t, ws), `
error at line 2: //a:plays has no rule "plausibel" to waive
  did you mean "plausible"?
error at line 2: //a:plays has no rule "something" to waive
  its rules are columns, key, metric, references, rejected, plausible`)
}

func TestQuarantineLabels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]engine.Ref{
		"//a:t.quarantine":     {Label: engine.Label{Pkg: "a", Name: "t"}, Quarantine: true},
		"//a:t.out.quarantine": {Label: engine.Label{Pkg: "a", Name: "t"}, Output: "out", Quarantine: true},
		"//a:t.out":            {Label: engine.Label{Pkg: "a", Name: "t"}, Output: "out"},
	} {
		if got := parse(t, text); got != want || got.String() != text {
			t.Errorf("%s is read as %+v and written %s", text, got, got)
		}
	}
	if r, err := engine.ParseRef(":quarantine", "a"); err == nil {
		t.Errorf("a target can be named quarantine: %v", r)
	}
	if l, err := engine.ParseLabel("//a:t.quarantine", ""); err == nil {
		t.Errorf("a quarantine is a label: %v", l)
	}
	if p, err := engine.ParsePattern("//a:t.quarantine", ""); err == nil {
		t.Errorf("a quarantine can be selected: %v", p)
	}
}
