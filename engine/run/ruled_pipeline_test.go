package run

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// ruled is a random workspace of tables with rules, that edits can change and go back.
type ruled struct {
	r       *rand.Rand
	root    string
	history bool // its rules may compare with other versions, or look values up: verdicts then follow from what was built before
	tree    ruledTree
	evicted bool // from then on jobs may run for their bytes alone
}

// ruledTree is all that edits change.
type ruledTree struct {
	files   map[string]string // of the sources, by path from the root
	targets []ruledTarget     // each reads some of those before it
}

type ruledTarget struct {
	name   string
	source bool
	by     []string // partition_by
	script int      // of rowScripts
	wide   bool     // v is a DOUBLE, not a BIGINT
	inputs []ruledInput

	rules   []ruledRule
	where   string // of a reject, with its limit; "": there is none
	limit   int
	share   bool // the limit is one in ten rows for each of limit
	key     bool
	refers  string // to a target with a key
	metric  bool   // in SQL
	written bool   // a metric that the job writes: how many rows it read
}

type ruledInput struct {
	name, from string
	window     *engine.Window
	quarantine bool
	waive      []string
	rules      []ruledRule
}

// ruledRule compares one number with a limit.
type ruledRule struct {
	what  string // rows, max, nulls, rejected, metric, written, prior or replaced
	input string // of a rule on an output: what is compared is that input's; "": its own
	limit int
	warn  bool
}

const ruledDays = 4 // the last of January 2017 and the first of February

// rowScripts say what a job does with each row l of its inputs.
var rowScripts = []string{
	`echo "$l"`, `[ "$l" = "$p" ] || echo "$l"; p=$l`, `[ $n != 1 ] || echo "$l"`, `echo "$n,${l#*,}"`, `echo "${l%,*},7"`, `[ -z "${l#*,}" ] || echo "$l"`,
}

var ruledWheres = []string{"v IS NULL", "v > 6", "v > 4 OR v IS NULL", "id = 1"}

func newRuled(t *testing.T, seed uint64, history bool) *ruled {
	p := &ruled{r: rand.New(rand.NewPCG(seed, 2)), root: memoryDir(t), history: history, tree: ruledTree{files: map[string]string{}}}
	p.tree.targets = []ruledTarget{{name: "s0", source: true, by: []string{"day"}}, {name: "s1", source: true}}
	for k := range p.tree.targets {
		if x := &p.tree.targets[k]; p.r.IntN(2) == 0 {
			p.ruleOutput(x)
		}
	}
	for k := range 3 + p.r.IntN(3) {
		p.tree.targets = append(p.tree.targets, p.randomTarget(k))
	}
	for d := range ruledDays {
		p.tree.files["s0/"+ruledDay(d)+".csv"] = p.table()
	}
	p.tree.files["s1.csv"] = p.table()
	p.write(t)
	return p
}

func ruledDay(d int) string {
	return time.Date(2017, 1, 30+d, 0, 0, 0, 0, time.UTC).Format("2006-01-02")
}

// table is a small CSV file: ids from 1, and values some of which lack.
func (p *ruled) table() string {
	out := "id,v\n"
	for id := range 1 + p.r.IntN(4) {
		v := strconv.Itoa(1 + p.r.IntN(9))
		if p.r.IntN(5) == 0 {
			v = ""
		}
		out += fmt.Sprintf("%d,%s\n", id+1, v)
	}
	return out
}

func (p *ruled) randomTarget(k int) ruledTarget {
	x := ruledTarget{name: fmt.Sprintf("t%d", k), by: [][]string{nil, {"day"}, {"day"}, {"month"}}[p.r.IntN(4)], script: p.r.IntN(len(rowScripts))}
	daily := slices.Equal(x.by, []string{"day"})
	for at, from := range p.tree.targets {
		if p.r.IntN(3) == 0 && (at < len(p.tree.targets)-1 || x.inputs != nil) {
			continue
		}
		in := ruledInput{name: from.name, from: from.name}
		if daily && slices.Equal(from.by, x.by) && p.r.IntN(3) == 0 {
			in.window = &engine.Window{From: -p.r.IntN(3), To: 0}
		}
		if from.where != "" && p.r.IntN(2) == 0 {
			in.quarantine, in.name = true, from.name+"_aside"
		}
		p.ruleInput(&in, from, x.by != nil)
		x.inputs = append(x.inputs, in)
	}
	if daily && p.r.IntN(3) == 0 {
		x.inputs = append(x.inputs, ruledInput{name: "before", from: x.name, window: &engine.Window{From: -1, To: -1}})
	}
	if p.r.IntN(3) > 0 {
		p.ruleOutput(&x)
	}
	return x
}

func (p *ruled) ruleOutput(x *ruledTarget) {
	if p.r.IntN(3) == 0 {
		x.where, x.limit, x.share = ruledWheres[p.r.IntN(len(ruledWheres))], p.r.IntN(3), p.r.IntN(2) == 0
	}
	x.metric, x.key, x.written = p.r.IntN(8) == 0, !x.source && p.r.IntN(4) == 0, !x.source && p.r.IntN(3) == 0
	what := []string{"rows", "max", "nulls"}
	if x.where != "" {
		what = append(what, "rejected", "rejected")
	}
	if x.metric {
		what = append(what, "metric")
	}
	if x.written {
		what = append(what, "written")
	}
	if p.history {
		what = append(what, "replaced", "replaced")
		if x.by != nil {
			what = append(what, "prior", "prior")
		}
		for _, from := range p.tree.targets {
			if from.key && !x.source && p.r.IntN(2) == 0 {
				x.refers = from.name
			}
		}
	}
	for _, in := range x.inputs {
		if !in.quarantine && in.from != x.name && p.r.IntN(3) == 0 {
			from := p.tree.target(in.from)
			r := p.rule([]string{"rows"})
			if from.where != "" && p.r.IntN(2) == 0 {
				r = p.rule([]string{"rejected"})
			}
			r.input = in.name
			x.rules = append(x.rules, r)
		}
	}
	for range 1 + p.r.IntN(2) {
		x.rules = append(x.rules, p.rule(what))
	}
}

func (p *ruled) rule(what []string) ruledRule {
	return ruledRule{what: what[p.r.IntN(len(what))], limit: p.r.IntN(10), warn: p.r.IntN(6) == 0}
}

// ruleInput adds rules to an input; timed says that its target has a time dimension.
func (p *ruled) ruleInput(in *ruledInput, from ruledTarget, timed bool) {
	for _, r := range from.rules {
		if p.r.IntN(4) == 0 {
			in.waive = append(in.waive, r.what)
		}
	}
	if p.r.IntN(4) == 0 {
		in.waive = append(in.waive, engine.RuleRejected)
	}
	what := []string{"rows", "rows", "max"}
	if from.where != "" {
		what = append(what, "rejected", "rejected")
	}
	if from.metric {
		what = append(what, "metric")
	}
	if from.written {
		what = append(what, "written", "written")
	}
	if p.history {
		what = append(what, "replaced")
	}
	if p.history && timed {
		what = append(what, "prior")
	}
	if !in.quarantine && p.r.IntN(2) == 0 {
		in.rules = append(in.rules, p.rule(what))
	}
}

func (tr *ruledTree) target(name string) *ruledTarget {
	k := slices.IndexFunc(tr.targets, func(x ruledTarget) bool { return x.name == name })
	return &tr.targets[k]
}

func (tr *ruledTree) clone() ruledTree {
	out := ruledTree{files: map[string]string{}}
	for name, content := range tr.files {
		out.files[name] = content
	}
	for _, x := range tr.targets {
		x.rules, x.inputs = slices.Clone(x.rules), slices.Clone(x.inputs)
		for k := range x.inputs {
			x.inputs[k].waive, x.inputs[k].rules = slices.Clone(x.inputs[k].waive), slices.Clone(x.inputs[k].rules)
		}
		out.targets = append(out.targets, x)
	}
	return out
}

// edit changes one thing: data, code, a rule, a limit, a waive, a type.
func (p *ruled) edit() string {
	x := &p.tree.targets[p.r.IntN(len(p.tree.targets))]
	switch p.r.IntN(9) {
	case 0, 1:
		d := "s0/" + ruledDay(p.r.IntN(ruledDays)) + ".csv"
		p.tree.files[d] = p.table()
		return "data of " + d
	case 8: // what rejects take out differs, and what they leave may be the same
		for _, name := range slices.Sorted(maps.Keys(p.tree.files)) {
			if p.r.IntN(2) == 0 {
				p.tree.files[name] += []string{"9,\n", "9,9\n"}[p.r.IntN(2)]
			}
		}
		return "a row more in data"
	case 2:
		p.tree.files["s1.csv"] = p.table()
		return "data of s1.csv"
	case 3:
		x.script = p.r.IntN(len(rowScripts))
		return "script of " + x.name
	case 4:
		if x.where == "" {
			return p.edit()
		}
		if p.r.IntN(2) == 0 {
			x.where = ruledWheres[p.r.IntN(len(ruledWheres))]
			return "reject of " + x.name + ": " + x.where
		}
		x.limit = p.r.IntN(3)
		return "limit of " + x.name
	case 5:
		if p.r.IntN(3) > 0 {
			return p.edit()
		}
		x.wide = !x.wide
		return "type of v in " + x.name
	case 6:
		if x.inputs == nil {
			return p.edit()
		}
		in := &x.inputs[p.r.IntN(len(x.inputs))]
		if len(in.rules) > 0 && p.r.IntN(2) == 0 {
			in.rules[0].limit = p.r.IntN(10)
			return "rule on input " + in.name + " of " + x.name
		}
		if in.waive == nil {
			in.waive = []string{"rows", "max", "nulls", engine.RuleRejected, engine.RuleKey}
		} else {
			in.waive = nil
		}
		return "waive of " + x.name
	}
	if x.rules == nil {
		return p.edit()
	}
	r := &x.rules[p.r.IntN(len(x.rules))]
	r.limit, r.warn = p.r.IntN(10), p.r.IntN(6) == 0
	return "rule of " + x.name
}

// write brings the checkout to what the tree says.
func (p *ruled) write(t *testing.T) {
	t.Helper()
	(&pipeline{root: p.root, files: p.tree.files}).write(t)
}

func (p *ruled) elsewhere(t *testing.T) *ruled {
	t.Helper()
	q := *p
	q.root = memoryDir(t)
	q.write(t)
	return &q
}

func (p *ruled) config(t *testing.T, store string) Config {
	t.Helper()
	ws := &engine.Workspace{StorePath: store, Packages: []*engine.Package{{}}, Dimensions: []*engine.Dimension{
		{Name: "day", Unit: engine.Day, Start: ruledDay(0), End: ruledDay(ruledDays - 1)},
		{Name: "month", Unit: engine.Month, Start: "2017-01", End: "2017-02"},
	}}
	for _, x := range p.tree.targets {
		ws.Targets = append(ws.Targets, p.tree.declare(x))
	}
	slices.SortFunc(ws.Targets, func(a, b *engine.Target) int { return a.Label.Compare(b.Label) })
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	g, problems := graph.New(ws, now)
	if engine.HasErrors(problems) {
		t.Fatalf("graph: %v", problems)
	}
	declared := p.tree.clone().targets
	for k := range declared {
		declared[k].script = 0 // an argument is looked at each time
	}
	return Config{Root: p.root, Graph: g, Now: now, Version: "test", Program: "test", PathEnv: os.Getenv("PATH"), Declared: cache.Sum(fmt.Appendf(nil, "%+v", declared)), ahead: time.Duration(len(declared)%2) * time.Hour}
}

// declare makes of a target what the loader would.
func (tr *ruledTree) declare(x ruledTarget) *engine.Target {
	o := &engine.Output{Name: x.name, Path: x.name + ".csv", Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "v", Type: "BIGINT"}}}
	if x.wide {
		o.Columns[1].Type = "DOUBLE"
	}
	target := &engine.Target{Label: engine.Label{Name: x.name}, PartitionBy: x.by, Outputs: []*engine.Output{o}}
	if x.where != "" {
		o.Rejects = []*engine.Reject{{Name: "bad", Where: x.where, LimitRows: int64(x.limit), LimitShare: float64(x.limit) / 10, IsShare: x.share}}
	}
	if x.key {
		o.Key = []string{"id"}
	}
	if x.refers != "" {
		o.References = []engine.Reference{{Column: "v", To: engine.Ref{Label: engine.Label{Name: x.refers}}}}
	}
	if x.metric {
		o.Metrics = append(o.Metrics, &engine.Metric{Name: "m", SQL: "max(id + v)"})
	}
	if x.written {
		o.Metrics = append(o.Metrics, &engine.Metric{Name: "w"})
	}
	for k, r := range x.rules {
		o.Expects = append(o.Expects, r.declare(k, false))
	}
	if x.source {
		target.Kind, target.Path = engine.Source, engine.Literal(x.name+".csv")
		if x.by != nil {
			target.Path = engine.Text{{Literal: x.name + "/"}, {Dimension: "day"}, {Literal: ".csv"}}
		}
		return target
	}
	target.Kind, target.Command = engine.Command, []engine.Text{engine.Literal("sh"), engine.Literal("-c"), engine.Literal(x.shell()), engine.Literal("sh")}
	for _, in := range x.inputs {
		target.Inputs = append(target.Inputs, tr.declareInput(in))
		target.Command = append(target.Command, engine.Text{{Path: "input." + in.name}})
	}
	return target
}

// shell reads each row of each table, and of a quarantine its size.
func (x ruledTarget) shell() string {
	return `n=0; out() { echo id,v; for x in "$@"; do for f in "$x" "$x"/* "$x"/*/*; do
		case $f in *.parquet) if [ -f "$f" ]; then echo "1,$(wc -c < "$f")"; fi; continue; esac
		if [ -f "$f" ]; then while read -r l; do [ "$l" = id,v ] && continue; n=$((n+1)); ` + rowScripts[x.script] + `; done < "$f"; fi
	done; done; }; out "$@" > "$DPB_OUTPUT_` + strings.ToUpper(x.name) + `"; echo "{\"w\": $n}" > "$DPB_METRICS"`
}

func (tr *ruledTree) declareInput(in ruledInput) *engine.Input {
	from := tr.target(in.from)
	out := &engine.Input{Name: in.name, From: engine.Ref{Label: engine.Label{Name: in.from}, Output: in.from, Quarantine: in.quarantine}, Window: in.window}
	for k, r := range in.rules {
		out.Expects = append(out.Expects, r.declare(k, true))
	}
	for _, w := range in.waive {
		if slices.Contains(engine.BuiltinRules, w) {
			out.Waive = append(out.Waive, w)
			continue
		}
		for k, r := range from.rules {
			if r.what == w {
				out.Waive = append(out.Waive, r.name(k))
			}
		}
	}
	return out
}

func (r ruledRule) name(k int) string { return fmt.Sprintf("%s_%d", r.what, k) }

// declare makes of a rule what the loader would.
func (r ruledRule) declare(k int, onInput bool) *engine.Expect {
	path := map[string][]string{"rows": {"rows"}, "max": {"column", "v", "max"}, "nulls": {"column", "v", "nulls"}, "rejected": {"rejected", "bad", "rows"},
		"metric": {"metric", "m"}, "written": {"metric", "w"}, "prior": {"prior", "*", "rows"}, "replaced": {"replaced", "rows"}}[r.what]
	switch {
	case r.input != "":
		path = append([]string{"input", r.input}, path...)
	case onInput && path[0] == "metric":
		path = append([]string{"parts"}, path...)
	}
	x := &engine.Expect{Name: r.name(k), That: fmt.Sprintf("%s, %d", strings.Join(path, "."), r.limit), Warn: r.warn, Uses: []engine.Use{{Path: path}, {Path: []string{"rows"}}}}
	if r.what == "prior" {
		x.Prior = 1 + r.limit%2
	}
	x.Judge = func(sc engine.Scope) engine.Judged { return r.judge(sc, x.Prior, onInput) }
	return x
}

func (r ruledRule) judge(sc engine.Scope, prior int, onInput bool) engine.Judged {
	facts := sc.Self
	if r.input != "" {
		facts = sc.Inputs[r.input]
	}
	if facts == nil || facts.Fingerprint == nil || facts.Rows < 0 {
		return engine.Judged{Status: engine.Violated, Reason: unmeasuredText}
	}
	got, limit, least := 0.0, float64(r.limit), false
	switch r.what {
	case "rows":
		got, limit, least = float64(facts.Rows), limit/3, true
	case "max":
		if at := facts.Column("v").Max; at != nil {
			got, _ = strconv.ParseFloat(*at, 64)
		}
	case "nulls":
		got = float64(facts.Column("v").Nulls)
	case "rejected":
		got, limit = float64(facts.Rejected["bad"].Rows), limit/3
	case "metric", "written":
		all := []*engine.Facts{facts}
		if onInput {
			all = sc.Parts
		}
		for _, f := range all {
			v, ok := f.Metrics[map[string]string{"metric": "m", "written": "w"}[r.what]]
			if !ok {
				return engine.Judged{Status: engine.Violated, Reason: unmeasuredText}
			}
			if v != nil {
				got = max(got, *v)
			}
		}
	case "prior":
		if len(sc.Prior) < prior {
			return engine.Judged{Status: engine.NotYet}
		}
		for _, f := range sc.Prior {
			limit += float64(f.Rows)
		}
		got, limit = float64(facts.Rows), limit-5
	case "replaced":
		if sc.Replaced == nil {
			return engine.Judged{Status: engine.NotYet}
		}
		got, limit, least = float64(facts.Rows), float64(sc.Replaced.Rows)-limit/3, true
	}
	out := engine.Judged{Status: engine.Violated, Observed: fmt.Sprintf("%s = %g", r.what, got), Bound: fmt.Sprint(limit)}
	if least && got >= limit || !least && got <= limit {
		out.Status = engine.Passed
	}
	return out
}

const unmeasuredText = "not measured"

// evict deletes a part of the store's bytes, and perhaps what is shown of them.
func (p *ruled) evict(t *testing.T, store string) {
	t.Helper()
	(&pipeline{r: p.r, root: p.root}).evict(t, store)
	p.evicted = true
}
