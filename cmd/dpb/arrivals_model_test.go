package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// The pipeline has two sources. Days of plays exist when there are files of them; dates of rates go by the calendar, and those without files are left out.
const arrivalsWorkspace = `
partition "day" {
  every       = "day"
  from_source = "//:plays"
}
partition "date" {
  every = "day"
  start = "2017-01-20"
}
partition "month" {
  every = "month"
  start = "2017-01"
}
`

const arrivalsPipeline = `
source "plays" {
  partition_by = ["day"]
  path         = "plays/${partition.day}/*.txt"
}
source "rates" {
  partition_by = ["date"]
  path         = "rates/${partition.date}.txt"
}
`

// modelTarget is a target: what is declared in HCL of its inputs, and what that means. All jobs read lines of a name and a number.
type modelTarget struct {
	name, by string
	inputs   []modelInput
}

// modelInput says in HCL and in the model which partitions an input reads.
type modelInput struct {
	name, hcl string
	from      string
	reads     func(m *model, at string) []string
}

var modelTargets = []modelTarget{
	{"clean", "day", []modelInput{{"plays", ``, "plays", same}}},
	{"week", "day", []modelInput{{"clean", `window = [-6, 0]`, "clean", upTo("day", 6)}}},
	{"total", "day", []modelInput{{"clean", ``, "clean", same}, {"before", `window = [-1, -1]`, "total", previous("day")}}},
	{"month", "month", []modelInput{{"clean", ``, "clean", inMonth("day")}}},
	{"balance", "month", []modelInput{{"total", `take = "last"`, "total", newestOf(inMonth("day"))}}},
	{"ytd", "month", []modelInput{{"month", ``, "month", same}, {"before", `window = [-1, -1]`, "ytd", previous("month")}}},
	{"smooth", "date", []modelInput{{"rates", "window = [-2, 0]\n    missing = \"skip\"", "rates", upTo("date", 2)}}},
	{"sofar", "date", []modelInput{{"rates", `missing = "skip"`, "rates", same}, {"before", `window = [-1, -1]`, "sofar", previous("date")}}},
	{"report", "month", []modelInput{{"ytd", ``, "ytd", same}, {"balance", ``, "balance", same}, {"smooth", ``, "smooth", inMonth("date")}}},
	{"latest", "", []modelInput{{"total", `take = "last"`, "total", newestOf(everything("day"))}, {"report", ``, "report", everything("month")}}},
}

// model is what there has to be at one moment.
type model struct {
	sets     map[string][]string // by dimension, in order
	contents map[string]string   // of each partition of each target and source, by name@value; none of what is missing
}

func same(_ *model, at string) []string { return []string{at} }

// upTo is the value and as many before it in the calendar, as far as they are there.
func upTo(dimension string, before int) func(*model, string) []string {
	return func(m *model, at string) (out []string) {
		t, _ := time.Parse(time.DateOnly, at)
		first := t.AddDate(0, 0, -before).Format(time.DateOnly)
		for _, v := range m.sets[dimension] {
			if v >= first && v <= at {
				out = append(out, v)
			}
		}
		return out
	}
}

// previous is the value before, of those that are there.
func previous(dimension string) func(*model, string) []string {
	return func(m *model, at string) []string {
		k := slices.Index(m.sets[dimension], at)
		return m.sets[dimension][max(k-1, 0):k]
	}
}

func inMonth(dimension string) func(*model, string) []string {
	return func(m *model, at string) (out []string) {
		for _, v := range m.sets[dimension] {
			if strings.HasPrefix(v, at) {
				out = append(out, v)
			}
		}
		return out
	}
}

func everything(dimension string) func(*model, string) []string {
	return func(m *model, _ string) []string { return m.sets[dimension] }
}

func newestOf(of func(*model, string) []string) func(*model, string) []string {
	return func(m *model, at string) []string {
		all := of(m, at)
		return all[max(len(all)-1, 0):]
	}
}

// Variants of code: what a script does with the name $k and the number $v of each line, and at the end; and what that comes to.
type variant struct {
	line, end string
	model     func(lines [][2]string) string
}

// distinct keeps the first line of each name.
func distinct(add int) func([][2]string) string {
	return func(lines [][2]string) (out string) {
		seen := map[string]bool{}
		for _, l := range lines {
			if !seen[l[0]] {
				out += fmt.Sprintf("%s %d\n", l[0], number(l[1])+add)
			}
			seen[l[0]] = true
		}
		return out
	}
}

// sum adds up, and adds a little at the end and for each line.
func sum(add, each int) func([][2]string) string {
	return func(lines [][2]string) string {
		n := 0
		for _, l := range lines {
			n += number(l[1]) + each
		}
		return fmt.Sprintf("sum %d\n", n+add)
	}
}

func number(s string) (n int) {
	fmt.Sscan(s, &n)
	return n
}

var (
	cleaning = []variant{
		{`case "$seen" in *" $k "*) ;; *) seen="$seen $k "; echo "$k $v" ;; esac`, ``, distinct(0)},
		{`case "$seen" in *" $k "*) continue ;; esac; seen="$seen $k "; echo "$k $v"`, ``, distinct(0)}, // says the same in other words
		{`case "$seen" in *" $k "*) ;; *) seen="$seen $k "; echo "$k $((v + 1))" ;; esac`, ``, distinct(1)},
	}
	summing = []variant{
		{`n=$((n + v))`, `echo "sum $((n))"`, sum(0, 0)},
		{`n=$((v + n))`, `echo "sum $((n))"`, sum(0, 0)},
		{`n=$((n + v + 1))`, `echo "sum $((n))"`, sum(0, 1)},
		{`n=$((n + v))`, `echo "sum $((n + 5))"`, sum(5, 0)},
	}
)

func variantsOf(target string) []variant {
	if target == "clean" {
		return cleaning
	}
	return summing
}

func (v variant) script() string {
	return "out=$1; shift\nfor x in \"$@\"; do for f in \"$x\" \"$x\"/* \"$x\"/*/*; do if [ -f \"$f\" ]; then while read -r k v; do " + v.line + "; done < \"$f\"; fi; done; done > \"$out\"\n" +
		strings.ReplaceAll(v.end, "echo", "printf '%s\\n'") + map[bool]string{true: " >> \"$out\"\n"}[v.end != ""]
}

func (x modelTarget) hcl() string {
	var b strings.Builder
	fmt.Fprintf(&b, "target %q {\n", x.name)
	if x.by != "" {
		fmt.Fprintf(&b, "  partition_by = [%q]\n", x.by)
	}
	paths := ""
	for _, in := range x.inputs {
		fmt.Fprintf(&b, "  input %q {\n    from = %q\n    %s\n  }\n", in.name, ":"+in.from, in.hcl)
		paths += ", input." + in.name
	}
	fmt.Fprintf(&b, "  code    = [%[1]q]\n  command = [\"sh\", %[1]q, output.%[2]s%[3]s]\n  output %[2]q { path = %[4]q }\n}\n", x.name+".sh", x.name, paths, x.name+".txt")
	return b.String()
}

// model says what there has to be now, and what each action is made of, by name@value.
func (p *play) model() (*model, map[string]string) {
	m := &model{sets: map[string][]string{"": {""}}, contents: map[string]string{}}
	for n := range p.day {
		day := arrivalDay(n)
		m.sets["date"] = append(m.sets["date"], day)
		if rates, there := p.files["rates/"+day+".txt"]; there {
			m.contents["rates@"+day] = ".txt\x00" + rates
		}
		if tree := p.playsOf(day); tree != "" {
			m.contents["plays@"+day] = tree
			m.sets["day"] = append(m.sets["day"], day)
		}
	}
	for month := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC); month.AddDate(0, 1, 0).Format(time.DateOnly) <= arrivalDay(p.day); month = month.AddDate(0, 1, 0) {
		m.sets["month"] = append(m.sets["month"], month.Format("2006-01"))
	}
	keys := map[string]string{}
	for _, x := range modelTargets {
		v := variantsOf(x.name)[p.code[x.name]]
		for _, at := range m.sets[x.by] {
			name := x.name + "@" + at
			key, lines := m.bind(x, at)
			keys[name], m.contents[name] = name+"\n"+v.script()+key, ".txt\x00"+v.model(lines)
		}
	}
	return m, keys
}

// playsOf is a day's files: names and contents, in order; "" if there are none.
func (p *play) playsOf(day string) string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(p.files)) {
		if strings.HasPrefix(name, "plays/"+day+"/") {
			out = append(out, name+"\x00"+p.files[name])
		}
	}
	return strings.Join(out, "\x00")
}

// bind says what an action is made of: the partitions that are there of those that it reads, with their content; and the lines in them.
func (m *model) bind(x modelTarget, at string) (key string, lines [][2]string) {
	for _, in := range x.inputs {
		key += "input " + in.name + "\n"
		for _, v := range in.reads(m, at) {
			content, there := m.contents[in.from+"@"+v]
			if !there {
				continue
			}
			key += v + "\n" + content + "\n"
			for k, text := range strings.Split(content, "\x00") {
				for line := range strings.Lines(map[bool]string{true: text}[k%2 == 1]) {
					name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
					lines = append(lines, [2]string{name, value})
				}
			}
		}
	}
	return key, lines
}

// outputs are the files of all targets, as they are shown.
func (m *model) outputs() map[string]string {
	out := map[string]string{}
	for _, x := range modelTargets {
		for _, at := range m.sets[x.by] {
			name := x.name + "/" + x.name + ".txt"
			if x.by != "" {
				name = x.name + "/" + x.by + "=" + at + "/" + x.name + ".txt"
			}
			_, out[name], _ = strings.Cut(m.contents[x.name+"@"+at], "\x00")
		}
	}
	return out
}
