package ui

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; got\n%s\nwant\n%s", name, got, want)
	}
}

var epoch = time.Date(2017, 6, 10, 8, 0, 0, 0, time.UTC)

// clock is a time that only moves when told.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func label(s string) engine.Label {
	l, err := engine.ParseLabel(s, "")
	if err != nil {
		panic(err)
	}
	return l
}

func plays(number, slot int, began time.Time) run.Job {
	return run.Job{Number: number, Label: label("//plays"), Partition: fmt.Sprintf("day=2017-06-%02d", number), Kind: engine.SQL,
		Why: "code changed: x.sql", Slot: slot, Started: began}
}

func ok(began time.Time, wall time.Duration) run.Outcome {
	return run.Outcome{Ended: began.Add(wall), Wall: wall, Rows: 12345, Bytes: 1_200_000}
}

// build plays a small build with one success, one unchanged result, one failing SQL stage and one failing command.
func build(e run.Events, c *clock) {
	first, second, third := plays(1, 0, c.now()), plays(2, 1, c.now()), plays(3, 0, c.now().Add(300*time.Millisecond))
	e.Counted(run.Counts{Total: 1024, UpToDate: 982, Queued: 42})
	e.Started(first)
	e.Started(second)
	e.Counted(run.Counts{Total: 1024, UpToDate: 982, Running: 2, Queued: 40})
	c.add(300 * time.Millisecond)
	e.Finished(first, ok(first.Started, 300*time.Millisecond))
	e.Started(third)
	same := ok(second.Started, 850*time.Millisecond)
	same.Same, same.Rows = true, -1
	e.Finished(second, same)
	c.add(time.Second)
	e.Finished(third, run.Outcome{Ended: c.now(), Wall: time.Second, Rows: -1, Problems: []engine.Problem{{
		Summary: "no column usr in plays", Detail: "There are user and day.\nBoth are text.", Hint: "did you mean user?",
		Range: engine.Range{File: "plays/x.sql", Start: engine.Pos{Line: 12, Column: 3}}}},
		Failure: "no column usr in plays (did you mean user?)"})
	mail := run.Job{Number: 4, Label: label("//reports:mail"), Kind: engine.Command, Slot: 1, Started: c.now()}
	e.Started(mail)
	c.add(2 * time.Minute)
	e.Finished(mail, run.Outcome{Ended: c.now(), Wall: 2 * time.Minute, Failure: "exit code 1", Log: ".dpb/blobs/ab/abcd",
		Tail: []string{"10 %\r20 %\r\x1b[31mred\x1b[0m\talarm\a", "bye"}})
	e.Done(ended)
}

var ended = run.Summary{
	Counts: run.Counts{Total: 1024, UpToDate: 982, Ran: 2, Same: 1, Failed: 2, Blocked: 38}, Wall: 121300 * time.Millisecond,
	Failures: []run.Failure{
		{Label: label("//plays"), Partition: "day=2017-06-03", State: engine.Failed, Reason: "no column usr in plays (did you mean user?)",
			Owner: "trust-and-safety (#trust-safety)", Blocked: 12},
		{Label: label("//reports:mail"), State: engine.Failed, Reason: "exit code 1\nmore", Log: ".dpb/blobs/ab/abcd"},
		{Label: label("//raw:events"), Partition: "day=2017-06-08", State: engine.MissingState, Reason: "nothing matches raw/*.csv", Owner: "data", Blocked: 25},
		{Label: label("//raw:events"), Partition: "day=2017-06-09", State: engine.MissingState, Reason: "nothing matches raw/*.csv", Owner: "data", Blocked: 1},
	},
	Outputs: []run.Output{
		{Label: label("//reports:royalties"), Partitions: 14, Path: "dpb-out/reports/royalties"},
		{Label: label("//plays"), Partitions: 1, Path: "dpb-out/plays/plays"},
	},
}

func TestPlain(t *testing.T) {
	for _, verbose := range []bool{false, true} {
		var out bytes.Buffer
		c := &clock{t: epoch}
		build(newPlain(&out, c.now, newPrinter(false, verbose)), c)
		golden(t, map[bool]string{false: "plain.txt", true: "verbose.txt"}[verbose], out.String())
	}
}

func TestQuiet(t *testing.T) {
	var out bytes.Buffer
	q := &quiet{out: &out, print: newPrinter(false, false)}
	build(q, &clock{t: epoch})
	golden(t, "quiet.txt", out.String())
	out.Reset()
	q.Done(run.Summary{Counts: run.Counts{Total: 3, Ran: 3}})
	if out.Len() > 0 {
		t.Errorf("a build without failures wrote %q", &out)
	}
}

func TestJSON(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: epoch}
	e := newJSONLines(&out, c.now)
	e.Counted(run.Counts{Total: 1})
	e.Counted(run.Counts{Total: 1024})
	e.tick()
	e.tick() // nothing changed since
	build(e, c)
	e.tick() // after the end
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	golden(t, "events.jsonl", out.String())
}

func TestHeadline(t *testing.T) {
	p := newPrinter(false, false)
	for _, test := range []struct {
		s    run.Summary
		want string
	}{
		{run.Summary{Counts: run.Counts{Total: 1024, UpToDate: 1024}, Wall: 400 * time.Millisecond},
			"nothing to do: 1,024 actions are up to date (400 ms)"},
		{run.Summary{Counts: run.Counts{Total: 1, UpToDate: 1}}, "nothing to do: 1 action is up to date (0 s)"},
		{run.Summary{Wall: time.Second}, "nothing to do (1 s)"},
		{run.Summary{Counts: run.Counts{Ran: 42, UpToDate: 982, Same: 3}, Wall: 12300 * time.Millisecond},
			"ran 42 jobs, 982 up to date, 3 with the same result, in 12.3 s"},
		{run.Summary{Counts: run.Counts{Total: 4, Ran: 1, Queued: 3}, Wall: time.Minute, Interrupted: true},
			"interrupted after 1 min: ran 1 job, 3 left to do"},
		{run.Summary{Counts: run.Counts{UpToDate: 2, Blocked: 1}, Wall: time.Second}, "ran 0 jobs, 2 up to date, 1 blocked, in 1 s"},
	} {
		if got := p.headline(test.s); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestSummaryIsBounded(t *testing.T) {
	var s run.Summary
	for i := range 1000 {
		l := engine.Label{Pkg: "p", Name: fmt.Sprintf("t%d", i)}
		s.Failures = append(s.Failures, run.Failure{Label: l, State: engine.Failed, Reason: "exit code 1"})
		s.Outputs = append(s.Outputs, run.Output{Label: l, Partitions: 1, Path: "x"})
	}
	if n := len(newPrinter(false, false).summary(s)); n != 1+2*(listed+1) {
		t.Errorf("%d lines", n)
	}
	if n := len(newPrinter(false, true).summary(s)); n != 1+2*1000 {
		t.Errorf("verbose: %d lines", n)
	}
}

func TestStillRunning(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: epoch}
	e := newPlain(&out, c.now, newPrinter(false, false))
	for i := range 5 {
		e.Started(plays(i+1, i, c.now()))
	}
	e.tick() // none takes long yet
	c.add(65 * time.Second)
	e.Started(plays(6, 5, c.now()))
	e.tick()
	e.close()
	e.tick()
	want := "still running: //plays:plays@day=2017-06-01 1 min 5 s, //plays:plays@day=2017-06-02 1 min 5 s, " +
		"//plays:plays@day=2017-06-03 1 min 5 s, … and 2 more\n"
	if out.String() != want {
		t.Errorf("got %q", &out)
	}
}

func TestTrace(t *testing.T) {
	var out bytes.Buffer
	events, done := NewTrace(&out)
	build(Both(events, newPlain(&bytes.Buffer{}, time.Now, newPrinter(false, false))), &clock{t: epoch})
	if err := done(); err != nil {
		t.Fatal(err)
	}
	var got struct{ TraceEvents []traceEvent }
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, e := range got.TraceEvents {
		lines = append(lines, fmt.Sprintf("%s %d %s %.0f+%.0f %v", e.Phase, e.Thread, e.Name, e.Start, e.Duration, e.Args))
	}
	golden(t, "trace.txt", strings.Join(lines, "\n")+"\n")
}

func TestTraceWriteError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("no /dev/full here")
	}
	defer full.Close()
	if _, done := NewTrace(full); done() == nil {
		t.Error("a full disk went unnoticed")
	}
}

func TestParseMode(t *testing.T) {
	for _, m := range Modes() {
		if got, err := ParseMode(m); err != nil || string(got) != m {
			t.Errorf("%q: %q, %v", m, got, err)
		}
	}
	if _, err := ParseMode("fancy"); err == nil || err.Error() != `"fancy" is no way to show progress: want auto, tty, plain, json, quiet` {
		t.Error(err)
	}
}

func TestAutoIsPlainInFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	events, done := New(Options{Out: f})
	build(events, &clock{t: epoch})
	done()
	done()
	got, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "plain.txt", string(got))
}

// TestRace has events come while the sinks tick; the race detector is the judge.
func TestRace(t *testing.T) {
	for _, mode := range Modes()[1:] {
		t.Run(mode, func(t *testing.T) {
			null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer null.Close()
			e, done := New(Options{Mode: Mode(mode), Out: null, JSON: &bytes.Buffer{}})
			var ticks sync.WaitGroup
			if tk, ok := e.(ticking); ok {
				ticks.Go(func() {
					for range 200 {
						tk.tick()
					}
				})
			}
			for i := range 500 {
				j := plays(i%28+1, i%4, time.Now())
				e.Started(j)
				e.Counted(run.Counts{Total: 500, Ran: i})
				e.Finished(j, ok(j.Started, time.Millisecond))
			}
			go done()
			e.Done(ended)
			done()
			ticks.Wait()
		})
	}
}

// TestWaiting is a job that another dpb runs, and that goes on when that one is dead.
func TestWaiting(t *testing.T) {
	c := &clock{t: epoch}
	host, _ := os.Hostname()
	waits, goesOn := plays(0, 0, c.now()), plays(1, 0, c.now())
	waits.Waits = &disk.Holder{PID: 4711, User: "ann", Host: host, Command: "dpb build\x1b[2J //...", For: "//other:plays"}
	goesOn.Waited = true
	const told = "waiting for //plays:plays@day=2017-06-00: pid 4711 (ann, dpb build //...) runs it as //other:plays\ngoing on with //plays:plays@day=2017-06-01\n"
	play := func(e run.Events) {
		e.Started(waits)
		e.Started(goesOn)
	}
	var plain, onScreen, lines, traced bytes.Buffer
	play(newPlain(&plain, c.now, newPrinter(false, false)))
	if plain.String() != told {
		t.Errorf("plain: %q", &plain)
	}
	l := newLive(&onScreen, func() (int, int) { return 200, 24 }, c.now, newPrinter(false, false))
	play(l)
	l.close()
	if got := strings.ReplaceAll(onScreen.String(), eraseLine, ""); got != told {
		t.Errorf("live: %q", got)
	}
	play(newJSONLines(&lines, c.now))
	want := `{"event":"waiting","time":"2017-06-10T08:00:00Z","label":"//plays:plays","partition":"day=2017-06-00","holder":{"pid":4711,"user":"ann","host":"` + host +
		`","command":"dpb build\u001b[2J //...","for":"//other:plays","since":"0001-01-01T00:00:00Z"}}`
	if got, _, _ := strings.Cut(lines.String(), "\n"); got != want {
		t.Errorf("JSON: %s", got)
	}
	events, done := NewTrace(&traced)
	play(events)
	if err := done(); err != nil || strings.Count(traced.String(), "slot 0") != 1 || strings.Contains(traced.String(), "4711") {
		t.Errorf("%v %s", err, &traced)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                           "plain",
		"two\nlines\n":                    "two\nlines\n",
		"a\x1b[31mred\x1b[0m\x07b":        "aredb",
		"\x1b]0;title\x07\x1b[2Jshown":    "shown",
		"tab\tbad \xff" + "\u009b31m end": "tab    bad �31m end",
	} {
		if got := Text(in); got != want {
			t.Errorf("%q becomes %q; want %q", in, got, want)
		}
	}
}

// TestCleaner: what comes in pieces is as clean as what comes at once, and a line without an end is not kept for ever.
func TestCleaner(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	c := &Cleaner{Out: &b}
	for _, r := range []byte("one\x1b[31m red\ntwo \x1b]0;ti\x07tle") {
		if n, err := c.Write([]byte{r}); n != 1 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if err := c.Close(); err != nil || b.String() != "one red\ntwo tle" {
		t.Errorf("%q, %v", b.String(), err)
	}
	long := strings.Repeat("x", 1<<17)
	if _, err := c.Write([]byte(long)); err != nil || len(c.line) > 0 {
		t.Errorf("%d bytes are kept, %v", len(c.line), err)
	}
}
