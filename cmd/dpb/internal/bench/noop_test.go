package bench

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// noops measures what has nothing to do: a build, a plan, and what loads the workspace alone, beside ninja and make; and a build after one of the files has changed.
func noops(b *bench) {
	scale := growth{}
	sizes := counted(b, []int{1000, 10_000, 100_000}, []int{100, 1000})
	for k, actions := range sizes {
		b.noop(actions, k == len(sizes)-1, &scale)
	}
	if largest := of(b, 1_000_000, 10*sizes[len(sizes)-1]); free(b.dir) > int64(largest)*perAction+spare {
		b.largest(largest, &scale)
	} else {
		scale.note = fmt.Sprintf("no room in memory for the files of %s", thousands(largest))
	}
	b.rows = append(b.rows, scale.rows()...)
}

// perAction is how many bytes a file system in memory takes for a source file, an output with its folders, and the records of an action.
const perAction = 13_000

// largest measures so many actions beside nothing: how time and memory grow is all that is asked of them.
func (b *bench) largest(actions int, scale *growth) {
	c := chainOf(actions)
	dir := mkdir(b.dir, fmt.Sprint("dpb", actions))
	defer os.RemoveAll(dir)
	c.writeSources(dir)
	c.writeDPB(dir, "cp")
	timed(dir, *seeder, "-shown", dir, content)
	b.settled()
	timed(dir, b.dpb, "build", "--progress", "quiet", "//...") // it reads all files, and remembers them
	s := inTurn(2, true,
		func() usage { return timed(dir, b.dpb, "build", "--progress", "quiet", "//...") },
		func() usage { return timed(dir, b.dpb, "plan", "//...") })
	scale.add("no-op build", actions, s[0])
	scale.add("plan of nothing to do", actions, s[1])
	b.rows = append(b.rows,
		row{What: fmt.Sprintf("no-op build, %s actions over as many files", thousands(actions)), Unit: "s", DPB: s[0].wall()},
		row{What: "memory of that build", Unit: "MiB", DPB: s[0].memory()},
		row{What: "plan of the same", Unit: "s", DPB: s[1].wall()})
}

func (b *bench) noop(actions int, last bool, scale *growth) {
	c := chainOf(actions)
	mine := b.built(c)
	beside := b.ninjaBuilt(c)
	b.settled()
	name := fmt.Sprintf("%s actions over as many files", thousands(actions))

	each := []func() usage{
		func() usage { return timed(mine, b.dpb, "build", "--progress", "quiet", "//...") },
		func() usage { return timed(mine, b.dpb, "plan", "//...") },
		func() usage { return timed(mine, b.dpb, "status", "//...") },
	}
	if beside != "" {
		each = append(each, func() usage { return timed(beside, lookFor("ninja"), "-j2") })
		each = append(each, func() usage { return timed(beside, lookFor("make"), "-j2") })
	}
	s := inTurn(of(b, 7, 3), true, each...)
	scale.add("no-op build", actions, s[0])
	scale.add("plan of nothing to do", actions, s[1])
	var ninja, mk series
	if beside != "" {
		ninja, mk = s[3], s[4]
	}
	toNinja, toMake := map[int]aim{10_000: {AtMost: 1}, 100_000: {AtMost: 0.5}}[actions], aim{}
	if actions >= 10_000 {
		toMake = aim{AtMost: 0.2}
	}
	b.rows = append(b.rows,
		row{What: "no-op build, " + name, Unit: "s", DPB: s[0].wall(), Peer: "ninja", Beside: ninja.wall(), Note: absent(ninja), Aim: toNinja},
		row{What: "the same", Unit: "s", DPB: s[0].wall(), Peer: "make", Beside: mk.wall(), Note: absent(mk), Aim: toMake},
		row{What: "status of the same", Unit: "s", DPB: s[2].wall(), Peer: "ninja", Beside: ninja.wall(), Note: absent(ninja)},
		row{What: "plan of the same", Unit: "s", DPB: s[1].wall(), Peer: "ninja", Beside: ninja.wall(), Note: absent(ninja)})
	if !last {
		b.gone(mine, beside)
		return
	}
	defer b.gone(mine, beside)
	b.rows = append(b.rows, row{What: "memory of that build", Unit: "MiB", DPB: s[0].memory(), Peer: "ninja", Beside: ninja.memory(), Note: absent(ninja), Aim: aim{AtMost: 2.5}})
	b.changed(c, mine, beside)
	c.writeDPB(mine, "cp", "-f")
	all := inTurn(of(b, 5, 3), true, func() usage { return timed(mine, b.dpb, "plan", "//...") })[0]
	b.rows = append(b.rows, row{What: fmt.Sprintf("plan after the arguments of all these %s changed", thousands(actions)), Unit: "s", DPB: all.wall()})
}

// gone makes room.
func (b *bench) gone(dirs ...string) {
	for _, dir := range dirs {
		if dir != "" {
			try(os.RemoveAll(dir))
		}
	}
}

// changed measures builds after one file of the last target has changed, so that one job runs: less what that job takes by itself.
func (b *bench) changed(c chain, mine, beside string) {
	turn := 0
	edit := func(dir string) {
		turn++
		put(dir, c.src(c.targets-1, c.hours/2), fmt.Sprintf("hello %d\n", turn))
	}
	job := func() usage {
		return timed(b.dir, "cp", filepath.Join(mine, "pipeline.hcl"), filepath.Join(b.dir, "copied"))
	}
	each := []func() usage{job,
		func() usage { edit(mine); return timed(mine, b.dpb, "build", "--progress", "quiet", "//...") },
	}
	if beside != "" {
		each = append(each, func() usage { edit(beside); return timed(beside, lookFor("ninja"), "-j2") })
	}
	s := inTurn(of(b, 7, 3), true, each...)
	var ninja []float64
	alone := func(x float64) float64 { return x - median(s[0].wall()) }
	if beside != "" {
		ninja = mapped(s[2].wall(), alone)
	}
	b.rows = append(b.rows, row{What: fmt.Sprintf("build after one of these %s files changed, less the job itself", thousands(c.actions())), Unit: "s",
		DPB: mapped(s[1].wall(), alone), Peer: "ninja", Beside: ninja, Note: absent(ninja), Aim: aim{AtMost: 0.5}})
}

// status measures states of many partitions of targets over one file.
func status(b *bench) {
	scale := growth{}
	var s []series
	sizes := counted(b, []int{10_000, 100_000, 1_000_000}, []int{1000, 10_000})
	if len(sizes) == 1 {
		sizes = []int{sizes[0] / 10, sizes[0]}
	}
	var dirs []string
	for _, n := range sizes {
		c := chain{targets: 100, hours: n / 100, shared: true}
		dir := mkdir(b.dir, fmt.Sprint("status", n))
		c.writeSources(dir)
		c.writeDPB(dir, "cp")
		timed(dir, *seeder, "-current", dir, content)
		dirs = append(dirs, dir)
	}
	b.settled()
	var each []func() usage
	for _, dir := range dirs {
		each = append(each, func() usage { return timed(dir, b.dpb, "status", "--check", "//...") },
			func() usage { return timed(dir, b.dpb, "plan", "//...") })
	}
	s = inTurn(of(b, 5, 3), true, each...)
	for k, n := range sizes {
		scale.add("status", n, s[2*k])
		scale.add("plan", n, s[2*k+1])
	}
	last, before := len(s)-2, len(s)-4
	name := fmt.Sprintf("status of %s partitions, 100 targets", thousands(sizes[len(sizes)-1]))
	b.rows = append(b.rows,
		row{What: name, Unit: "s", DPB: s[last].wall(), Peer: fmt.Sprintf("itself at %s", thousands(sizes[len(sizes)-2])), Beside: s[before].wall(), Aim: aim{AtMost: 10}},
		row{What: "memory of that", Unit: "MiB", DPB: s[last].memory(), Aim: aim{Itself: 1e9 / (1 << 20)}},
		row{What: "plan of the same", Unit: "s", DPB: s[last+1].wall(), Peer: fmt.Sprintf("itself at %s", thousands(sizes[len(sizes)-2])), Beside: s[before+1].wall(), Aim: aim{AtMost: 10}})
	b.rows = append(b.rows, scale.rows()...)
}

// fromScratch measures builds of trivial commands from nothing, and what plan says of them before.
func fromScratch(b *bench) {
	c := chainOf(counted(b, []int{10_000}, []int{200})[0])
	fresh := func(write func(dir string), args ...string) func() usage {
		dir := ""
		return func() usage {
			if dir != "" {
				try(os.RemoveAll(dir))
			}
			dir = mkdir(b.dir, fmt.Sprint("scratch", time.Now().UnixNano()))
			c.writeSources(dir)
			write(dir)
			return timed(dir, args...)
		}
	}
	asDPB := func(dir string) { c.writeDPB(dir, "cp") }
	each := []func() usage{
		fresh(asDPB, b.dpb, "build", "-j2", "--sandbox", "off", "--progress", "quiet"),
		fresh(asDPB, b.dpb, "build", "-j2", "--progress", "quiet"),
	}
	if ninja := lookFor("ninja"); ninja != "" {
		each = append(each, fresh(c.writeNinja, ninja, "-j2"))
	}
	s := inTurn(of(b, 3, 2), false, each...)
	var ninja series
	if len(s) > 2 {
		ninja = s[2]
	}
	b.rows = append(b.rows,
		row{What: fmt.Sprintf("%s trivial commands from nothing, -j 2, not isolated", thousands(c.actions())), Unit: "s", DPB: s[0].wall(), Peer: "ninja", Beside: ninja.wall(), Note: absent(ninja), Aim: aim{AtMost: 1}},
		row{What: "the same, isolated", Unit: "s", DPB: s[1].wall(), Peer: "ninja", Beside: ninja.wall(), Note: absent(ninja), Aim: aim{AtMost: 2}})
	b.foretold(c)
}

// foretold compares what plan says of jobs whose arguments changed with what the build then takes.
func (b *bench) foretold(c chain) {
	dir := mkdir(b.dir, "foretold")
	c.writeSources(dir)
	c.writeDPB(dir, "cp")
	timed(dir, b.dpb, "build", "-j2", "--sandbox", "off", "--progress", "quiet")
	c.writeDPB(dir, "cp", "-f")
	_, text := capture(dir, nil, b.dpb, "plan", "--sandbox", "off", "--json")
	var f struct {
		Most struct {
			AtLeast time.Duration `json:"at_least_ns"`
			AtMost  time.Duration `json:"at_most_ns"`
		}
	}
	try(json.Unmarshal([]byte(text), &f))
	took := []float64{timed(dir, b.dpb, "build", "-j2", "--sandbox", "off", "--progress", "quiet").Wall}
	b.rows = append(b.rows,
		row{What: "what plan says that takes at least", Unit: "s", DPB: []float64{f.Most.AtLeast.Seconds()}, Peer: "the build then", Beside: took},
		row{What: "what it says that takes at most", Unit: "s", DPB: []float64{f.Most.AtMost.Seconds()}, Peer: "the build then", Beside: took})
}

// built prepares a workspace where a build has nothing to do.
func (b *bench) built(c chain) string {
	dir := mkdir(b.dir, fmt.Sprint("dpb", c.actions()))
	c.writeSources(dir)
	c.writeDPB(dir, "cp")
	timed(dir, *seeder, dir, content)
	timed(dir, b.dpb, "build", "--progress", "quiet", "//...")
	return dir
}

// ninjaBuilt prepares a folder where ninja and make have nothing to do; "" if ninja is not to be had.
func (b *bench) ninjaBuilt(c chain) string {
	ninja := lookFor("ninja")
	if ninja == "" {
		return ""
	}
	dir := mkdir(b.dir, fmt.Sprint("ninja", c.actions()))
	c.writeSources(dir)
	c.writeNinja(dir)
	c.writeMake(dir)
	timed(dir, ninja, "-j2")
	return dir
}

// settled waits until files that were just written are old enough that their digests may be remembered (cache/README.md).
func (b *bench) settled() { time.Sleep(2100 * time.Millisecond) }

// absent says why there is no figure.
func absent[T any](s []T) string {
	if len(s) > 0 {
		return ""
	}
	return "not installed"
}

// growth collects how long something takes for several sizes.
type growth struct {
	names  []string
	note   string // why it is not measured further
	size   map[string][]float64
	series map[string][]float64
}

func (g *growth) add(name string, size int, s series) {
	if g.size == nil {
		g.size, g.series = map[string][]float64{}, map[string][]float64{}
	}
	if g.size[name] == nil {
		g.names = append(g.names, name)
	}
	g.size[name] = append(g.size[name], float64(size))
	g.series[name] = append(g.series[name], median(s.wall()))
}

// linear is what an exponent is to be at most: log factors show as a little more than 1.
const linear = 1.1

func (g *growth) rows() (out []row) {
	for _, name := range g.names {
		sizes := g.size[name]
		if len(sizes) < 2 {
			continue
		}
		out = append(out, row{What: fmt.Sprintf("growth of %s, %s to %s: exponent of the steepest part", name, thousands(int(sizes[0])), thousands(int(sizes[len(sizes)-1]))),
			DPB: []float64{steepest(sizes, g.series[name])}, Note: g.note, Aim: aim{Itself: linear}})
	}
	return out
}

func thousands(n int) string {
	s := fmt.Sprint(n)
	for k := len(s) - 3; k > 0; k -= 3 {
		s = s[:k] + "," + s[k:]
	}
	return s
}
