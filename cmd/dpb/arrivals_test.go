package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var arrivalSeeds = flag.Int("arrivals", 1, "how many seeds TestArrivals has")

// TestArrivals plays what a pipeline meets in 60 days: data that comes on time, late, twice, corrected, never, or goes away, in an order that chance makes, while its
// code changes. After each step a build runs exactly the jobs that a model of the pipeline says are affected, then everything is fresh and holds what the model says,
// and now and then that is compared with a clean build elsewhere.
func TestArrivals(t *testing.T) {
	for seed := range uint64(*arrivalSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPlay(t, seed)
			defer func() {
				if t.Failed() {
					t.Logf("what was done:\n%s", strings.Join(p.story, "\n"))
				}
			}()
			for p.day < arrivalDays+5 {
				p.step()
			}
			p.compareClean()
			t.Logf("%d steps, %d jobs", p.steps, p.ran)
		})
	}
}

// arrivalDays is how many days data comes for.
const arrivalDays = 60

// arrivalDay is the name of day n.
func arrivalDay(n int) string {
	return time.Date(2017, 1, 20+n, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
}

// play is a workspace to which things happen, and the model of what has to come of it.
type play struct {
	t      *testing.T
	r      *rand.Rand
	dir    string
	day    int               // today: those before it are over
	files  map[string]string // of the sources, by path
	coming map[int][]event   // by day
	code   map[string]int    // which variant of its code each target has
	known  map[string]bool   // all that ever ran: what it was made of
	story  []string

	steps, ran int
}

// event is something that happens to the sources or to the code.
type event struct {
	what string
	do   func()
}

// firstPlays is there from the beginning, and never goes away: a source without any files is missing, which is told elsewhere.
const firstPlays = "plays/2017-01-20/first.txt"

func newPlay(t *testing.T, seed uint64) *play {
	p := &play{t: t, r: rand.New(rand.NewPCG(seed, 7)), dir: inMemory(t), files: map[string]string{}, coming: map[int][]event{}, code: map[string]int{}, known: map[string]bool{}}
	p.day, p.files[firstPlays] = 1, p.lines()
	for n := range arrivalDays {
		day := arrivalDay(n)
		p.arrive(n, 0.94, "plays/"+day+"/a.txt")
		p.arrive(n, 0.25, "plays/"+day+"/b.txt")
		p.arrive(n, 0.92, "rates/"+day+".txt")
	}
	for range 3 {
		x, first := modelTargets[p.r.IntN(len(modelTargets))].name, 5+p.r.IntN(arrivalDays-10)
		way := 1 + p.r.IntN(len(variantsOf(x))-1)
		p.at(first, fmt.Sprintf("the code of %s changes to %d", x, way), func() { p.code[x] = way })
		p.at(first+1+p.r.IntN(30), fmt.Sprintf("the code of %s is as it was", x), func() { p.code[x] = 0 })
	}
	return p
}

func (p *play) at(day int, what string, do func()) {
	p.coming[day] = append(p.coming[day], event{what, do})
}

// arrive has a file come on its day, or late, or never.
func (p *play) arrive(day int, likely float64, name string) {
	if p.r.Float64() > likely {
		return
	}
	content := p.lines()
	if p.r.IntN(4) == 0 {
		day += 1 + p.r.IntN(20)
	}
	p.at(day, name+" comes", func() { p.files[name] = content })
}

func (p *play) lines() (out string) {
	for range 1 + p.r.IntN(3) {
		out += fmt.Sprintf("%c %d\n", 'a'+p.r.IntN(4), 1+p.r.IntN(9))
	}
	return out
}

// mischief is what happens to data that is there.
func (p *play) mischief() event {
	names := slices.Sorted(maps.Keys(p.files))
	name := names[p.r.IntN(len(names))]
	content := p.files[name]
	dir, _, _ := strings.Cut(strings.TrimPrefix(name, "plays/"), "/")
	switch p.r.IntN(6) {
	case 0, 1:
		again := p.lines()
		return event{name + " is corrected", func() { p.files[name] = again }}
	case 2:
		return event{name + " is written again, as it was", func() { _ = os.Remove(filepath.Join(p.dir, name)) }}
	case 3:
		return event{name + " goes away, and comes back some days later", func() {
			if name != firstPlays {
				delete(p.files, name)
			}
			p.at(p.day+1+p.r.IntN(6), name+" is back", func() { p.files[name] = content })
		}}
	case 4:
		return event{"all of " + dir + " goes away", func() {
			maps.DeleteFunc(p.files, func(other, _ string) bool { return other != firstPlays && strings.HasPrefix(other, "plays/"+dir+"/") })
		}}
	}
	return event{name + " comes twice", func() {
		if strings.HasPrefix(name, "plays/") {
			p.files["plays/"+dir+"/twice.txt"] = content
		}
	}}
}

// step lets some time pass, has things happen in any order, and builds.
func (p *play) step() {
	p.steps++
	var now []event
	for range p.r.IntN(4) {
		now = append(now, p.coming[p.day]...)
		p.day++
	}
	for range p.r.IntN(3) {
		now = append(now, p.mischief())
	}
	p.r.Shuffle(len(now), func(i, j int) { now[i], now[j] = now[j], now[i] })
	for _, e := range now {
		p.story = append(p.story, fmt.Sprintf("%s: %s", arrivalDay(p.day), e.what))
		e.do()
	}
	p.write(p.dir)
	m, keys := p.model()
	var affected []string
	for name, key := range keys {
		if !p.known[key] {
			affected = append(affected, name)
		}
		p.known[key] = true
	}
	if len(affected) > 0 {
		p.dpb(exitStale, p.dir, "status", "--check")
	}
	p.expectRan(affected, p.dpb(exitOK, p.dir, "build"))
	p.ran += len(affected)
	p.dpb(exitOK, p.dir, "status", "--check")
	p.expectOutputs(m, p.dir)
	if p.steps%8 == 0 {
		p.expectRan(nil, p.dpb(exitOK, p.dir, "build"))
		p.asProgram("status", "--check")
	}
	if p.steps%16 == 0 {
		p.compareClean()
	}
	if p.t.Failed() {
		p.t.FailNow()
	}
}

// compareClean builds the same elsewhere from nothing.
func (p *play) compareClean() {
	p.t.Helper()
	dir := inMemory(p.t)
	p.write(dir)
	_, keys := p.model()
	p.expectRan(slices.Collect(maps.Keys(keys)), p.dpb(exitOK, dir, "build"))
	if here, there := p.read(filepath.Join(p.dir, "dpb-out")), p.read(filepath.Join(dir, "dpb-out")); !maps.Equal(here, there) {
		p.t.Errorf("an incremental build shows %v, a clean one %v", here, there)
	}
}

// arguments are those of a command about all but the source whose files may be missing.
func (p *play) arguments(dir string, args []string) []string {
	args = append([]string{"-C", dir, "--now", arrivalDay(p.day) + "T00:00:00Z"}, args...)
	if args[4] == "build" {
		args = append(args, "--progress", "plain", "--verbose")
	}
	return append(args, "--sandbox", "off", "//...", "-//:rates")
}

// dpb runs a command in this process, and returns what it says to people.
func (p *play) dpb(want int, dir string, args ...string) string {
	p.t.Helper()
	var files [2]*os.File
	for k := range files {
		var err error
		files[k], err = os.CreateTemp(filepath.Dir(p.dir), "said-")
		p.check(err)
		defer os.Remove(files[k].Name())
		defer files[k].Close()
	}
	a := &app{stdout: files[0], stderr: files[1], caught: func() os.Signal { return nil }}
	c := a.command()
	c.SetArgs(subtractions(p.arguments(dir, args)))
	code := a.exit(c.ExecuteContext(p.t.Context()), a.caught())
	said, err := os.ReadFile(files[1].Name())
	p.check(err)
	if code != want {
		out, _ := os.ReadFile(files[0].Name())
		p.t.Fatalf("%s: dpb %v ends with %d, not %d:\n%s%s", arrivalDay(p.day), args, code, want, out, said)
	}
	return string(said)
}

// asProgram runs a command as others do.
func (p *play) asProgram(args ...string) {
	p.t.Helper()
	if out, err := command(p.t, p.dir, subtractions(p.arguments(p.dir, args))[2:]...).CombinedOutput(); err != nil {
		p.t.Errorf("dpb %v: %v\n%s", args, err, out)
	}
}

// expectRan compares what ran with what had to.
func (p *play) expectRan(want []string, said string) {
	p.t.Helper()
	got := map[string]bool{}
	for _, match := range ranLine.FindAllStringSubmatch(said, -1) {
		name, partition, _ := strings.Cut(strings.TrimPrefix(match[1], "//:"), "@")
		_, value, _ := strings.Cut(partition, "=")
		got[name+"@"+value] = true
	}
	for _, name := range want {
		if !got[name] {
			p.t.Errorf("%s: %s is affected, and did not run", arrivalDay(p.day), name)
		}
		delete(got, name)
	}
	for name := range got {
		p.t.Errorf("%s: %s ran, and is not affected", arrivalDay(p.day), name)
	}
}

// expectOutputs compares what is shown with what the model says.
func (p *play) expectOutputs(m *model, dir string) {
	p.t.Helper()
	got, want := p.read(filepath.Join(dir, "dpb-out")), m.outputs()
	for name, content := range want {
		if text, there := got[name]; !there || text != content {
			p.t.Errorf("%s: %s holds %q, and has to hold %q", arrivalDay(p.day), name, text, content)
		}
		delete(got, name)
	}
	for name := range got {
		p.t.Errorf("%s: %s is shown, and there is no such partition", arrivalDay(p.day), name)
	}
}

// write makes the workspace in a directory what it is now.
func (p *play) write(dir string) {
	p.t.Helper()
	want := maps.Clone(p.files)
	pipeline := arrivalsPipeline
	for _, x := range modelTargets {
		pipeline += x.hcl()
		want[x.name+".sh"] = variantsOf(x.name)[p.code[x.name]].script()
	}
	want["dpb.hcl"], want["pipeline.hcl"] = arrivalsWorkspace, pipeline
	have := p.read(dir, "dpb-out", ".dpb")
	for name := range have {
		if _, stays := want[name]; !stays {
			p.check(os.Remove(filepath.Join(dir, name)))
		}
	}
	for name, content := range want {
		if old, there := have[name]; !there || old != content {
			file := filepath.Join(dir, filepath.FromSlash(name))
			p.check(os.MkdirAll(filepath.Dir(file), 0o777))
			p.check(os.WriteFile(file, []byte(content), 0o666))
		}
	}
}

// read gives all files below a directory by their paths, but for those in some folders.
func (p *play) read(dir string, without ...string) map[string]string {
	p.t.Helper()
	out := map[string]string{}
	p.check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if path == dir && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains(without, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		b, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		out[filepath.ToSlash(name)] = string(b)
		return err
	}))
	return out
}

func (p *play) check(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}
