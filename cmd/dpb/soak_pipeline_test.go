package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// soaked is a random workspace as files, which edits change. All its tables have the columns n and v. Its jobs are small, and need nothing but what they declare.
type soaked struct {
	r       *rand.Rand
	days    int
	files   map[string]string
	targets []*soakedTarget
}

type soakedTarget struct {
	name   string
	by     string // "", day or month
	sql    bool
	inputs []soakedInput
	way    int    // which of the scripts or statements
	reject string // rows that are moved aside; "": none are
	rule   bool
}

type soakedInput struct {
	name, from string
	window     string
}

const mostDays = 5

// soakedScripts say what a program does with each row $l of its inputs.
var soakedScripts = []string{`echo "$l"`, `[ "$l" = "$p" ] || echo "$l"; p=$l`, `i=$((i+1)); echo "$i,${l#*,}"`, `echo "${l%,*},7"`, `[ "${l#*,}" = 3 ] || echo "$l"`}

var soakedSelects = []string{"SELECT n, v FROM x", "SELECT n, max(v) AS v FROM x GROUP BY n", "SELECT n + 1 AS n, v FROM x WHERE v <> 3", "SELECT v AS n, count(*) AS v FROM x GROUP BY v"}

var soakedRejects = []string{"", "", "v > 6", "v IS NULL OR n = 1"}

func newSoaked(seed uint64) *soaked {
	p := &soaked{r: rand.New(rand.NewPCG(seed, 3)), days: mostDays - 1, files: map[string]string{}}
	for d := range mostDays {
		p.files["raw/"+soakedDay(d)+".csv"] = p.table()
	}
	p.files["ref.csv"] = p.table()
	from := []*soakedTarget{{name: "raw", by: "day"}, {name: "ref"}}
	for k := range 2 + p.r.IntN(3) {
		x := p.target(k, from)
		p.targets, from = append(p.targets, x), append(from, x)
	}
	p.declare()
	return p
}

func soakedDay(d int) string {
	return time.Date(2017, 1, 29+d, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

func (p *soaked) table() string {
	out := "n,v\n"
	for n := range 1 + p.r.IntN(4) {
		out += fmt.Sprintf("%d,%d\n", n, 1+p.r.IntN(9))
	}
	return out
}

// target reads some of those before it.
func (p *soaked) target(k int, from []*soakedTarget) *soakedTarget {
	x := &soakedTarget{name: fmt.Sprintf("t%d", k), by: []string{"", "day", "day", "month"}[p.r.IntN(4)], way: p.r.IntN(100)}
	if duckdb.Version() != "" {
		x.sql, x.rule, x.reject = p.r.IntN(3) == 0, p.r.IntN(3) == 0, soakedRejects[p.r.IntN(len(soakedRejects))]
	}
	for at, f := range from {
		if p.r.IntN(2) == 0 && (x.inputs != nil || at < len(from)-1) {
			continue
		}
		in := soakedInput{name: f.name, from: ":" + f.name}
		if x.by == "day" && f.by == "day" && p.r.IntN(2) == 0 {
			in.window = fmt.Sprintf("[%d, 0]", -p.r.IntN(3))
		}
		x.inputs = append(x.inputs, in)
	}
	if x.by == "day" && p.r.IntN(3) == 0 {
		x.inputs = append(x.inputs, soakedInput{"before", ":" + x.name, "[-1, -1]"})
	}
	return x
}

// edit changes one thing: a source's file, what a target does, which rows it rejects, or how many days there are.
func (p *soaked) edit() {
	x := p.targets[p.r.IntN(len(p.targets))]
	switch p.r.IntN(5) {
	case 0:
		p.files["raw/"+soakedDay(p.r.IntN(p.days))+".csv"] = p.table()
	case 1:
		p.files["ref.csv"] = p.table()
	case 2:
		x.way++
	case 3:
		x.reject = ""
		if duckdb.Version() != "" {
			x.reject = soakedRejects[p.r.IntN(len(soakedRejects))]
		}
	default:
		p.days = mostDays - p.r.IntN(2)
	}
	p.declare()
}

// declare writes the workspace's files.
func (p *soaked) declare() {
	p.files["dpb.hcl"] = fmt.Sprintf("partition \"day\" {\n  every = \"day\"\n  start = %q\n  end = %q\n}\npartition \"month\" {\n  every = \"month\"\n  start = \"2017-01\"\n  end = \"2017-02\"\n}\n",
		soakedDay(0), soakedDay(p.days-1))
	const columns = "columns = { n = \"BIGINT\", v = \"BIGINT\" }\n"
	out := "source \"raw\" {\n  partition_by = [\"day\"]\n  path = \"raw/${partition.day}.csv\"\n  " + columns + "}\nsource \"ref\" {\n  path = \"ref.csv\"\n  " + columns + "}\n"
	for _, x := range p.targets {
		out += fmt.Sprintf("target %q {\n", x.name)
		if x.by != "" {
			out += fmt.Sprintf("  partition_by = [%q]\n", x.by)
		}
		args := ""
		for _, in := range x.inputs {
			out += fmt.Sprintf("  input %q {\n    from = %q\n", in.name, in.from)
			if in.window != "" {
				out += "    window = " + in.window + "\n"
			}
			out += "  }\n"
			args += ", input." + in.name
		}
		if x.sql {
			out += fmt.Sprintf("  sql = file(\"%s.sql\")\n", x.name)
			p.files[x.name+".sql"] = x.statement()
		} else {
			out += fmt.Sprintf("  code = [\"%s.sh\"]\n  command = [\"sh\", \"%s.sh\"%s]\n", x.name, x.name, args)
			p.files[x.name+".sh"] = x.script()
		}
		out += fmt.Sprintf("  output %q {\n    path = \"%s.csv\"\n    %s", x.name, x.name, columns)
		if x.reject != "" {
			out += fmt.Sprintf("    reject \"aside\" {\n      where = %q\n      limit = \"100%%\"\n    }\n", x.reject)
		}
		if x.rule {
			out += "    expect \"some\" {\n      that = rows >= 0\n    }\n"
		}
		out += "  }\n}\n"
	}
	p.files["pipeline.hcl"] = out
}

func (x *soakedTarget) script() string {
	return `{ echo n,v; for x in "$@"; do for f in "$x" "$x"/* "$x"/*/*; do if [ -f "$f" ]; then while read -r l; do if [ "$l" != n,v ]; then ` +
		soakedScripts[x.way%len(soakedScripts)] + `; fi; done < "$f"; fi; done; done; } > "$DPB_OUTPUT_` + strings.ToUpper(x.name) + "\"\n"
}

func (x *soakedTarget) statement() string {
	var all []string
	for _, in := range x.inputs {
		all = append(all, "SELECT n, v FROM "+in.name)
	}
	return "WITH x AS (" + strings.Join(all, " UNION ALL ") + ") " + soakedSelects[x.way%len(soakedSelects)] + "\n"
}

// partitions lists the actions that there may be, as ledgers name them.
func (x *soakedTarget) partitions() (out []string) {
	switch x.by {
	case "":
		return []string{""}
	case "month":
		return []string{"month=2017-01", "month=2017-02"}
	}
	for d := range mostDays {
		out = append(out, "day="+soakedDay(d))
	}
	return out
}

// write writes what an edit changed.
func (p *soaked) write(t *testing.T, dir string) {
	t.Helper()
	changed := map[string]string{}
	for name, text := range p.files {
		if old := contentOf(filepath.Join(dir, name)); old != text {
			changed[name] = text
		}
	}
	write(t, dir, changed)
}
