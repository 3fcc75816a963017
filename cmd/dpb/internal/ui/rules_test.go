package ui

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

var (
	plausible = engine.Finding{Output: "plays", Rule: "plausible", Status: engine.Violated, Text: "range(metric.spam_rate, 0.01, 0.4)", Message: "share of spam",
		Observed: "metric.spam_rate = 0.42", Bound: "between 0.01 and 0.4", File: "spam/pipeline.hcl", Line: 34}
	noJump = engine.Finding{Output: "plays", Rule: "no_jump", Status: engine.Warned, Text: "x < 0.1", Observed: "x = 0.2", Bound: "< 0.1", File: "spam/pipeline.hcl", Line: 38}
	volume = engine.Finding{Input: "plays", Rule: "volume", Status: engine.Violated, Text: "rows >= 1000", Observed: "rows = 7", Bound: ">= 1000", File: "charts/pipeline.hcl", Line: 3}
)

// heldFailure is a failure whose rule found a value of its own.
func heldFailure(partition, observed string, blocked int) run.Failure {
	f := plausible
	f.Observed = observed
	return run.Failure{Label: label("//plays"), Partition: partition, State: engine.Held, Reason: "plausible: share of spam: " + observed + ", want between 0.01 and 0.4",
		Findings: []engine.Finding{f}, Version: engine.VersionID{0x4f, 0x1c}, Owner: "trust-and-safety (#trust-safety)", Blocked: blocked}
}

// judgedBuild plays a build whose jobs and results are judged: one is held, one passes without a job, with warnings, and a consumer refuses what it gets.
func judgedBuild(e run.Events, c *clock) {
	first, second, third := plays(1, 0, c.now()), plays(2, 1, c.now()), plays(3, 1, c.now())
	second.Judged, second.Why = true, "it has to be measured and judged; no job runs"
	third.Judged, third.Why = true, second.Why
	e.Counted(run.Counts{Total: 12, UpToDate: 3, Running: 2})
	e.Started(first)
	e.Started(second)
	c.add(time.Second)
	e.Finished(first, run.Outcome{Ended: c.now(), Wall: time.Second, Rows: 12345, Bytes: 1_200_000, State: engine.Held,
		Failure: "plausible: share of spam: metric.spam_rate = 0.42, want between 0.01 and 0.4"})
	e.Finished(second, run.Outcome{Ended: c.now(), Wall: time.Second, Rows: 12345, State: engine.Fresh, Same: true, Warned: []engine.Finding{noJump}})
	e.Started(third)
	e.Finished(third, run.Outcome{Ended: c.now(), Rows: 12345, State: engine.Fresh, Warned: []engine.Finding{noJump}})
	e.Done(run.Summary{
		Counts: run.Counts{Total: 12, Ran: 1, UpToDate: 5, Judged: 2, Held: 2, HeldRan: 1, Refused: 1, Blocked: 4}, Wall: 2 * time.Second,
		Warned: []run.Warned{
			{Label: label("//plays"), Partition: "day=2017-06-02", Owner: "trust-and-safety (#trust-safety)", Findings: []engine.Finding{noJump}},
			{Label: label("//plays"), Partition: "day=2017-06-03", Owner: "trust-and-safety (#trust-safety)", Findings: []engine.Finding{noJump}},
			{Label: label("//tracks"), Findings: []engine.Finding{{Output: "tracks", Rule: engine.RuleColumns, Status: engine.Warned, Reason: "line 3: no number"}}},
		},
		Failures: []run.Failure{
			heldFailure("day=2017-05-31", "metric.spam_rate = 0.5", 1), heldFailure("day=2017-06-01", "metric.spam_rate = 0.42", 2),
			{Label: label("//charts:top"), State: engine.Refused, Reason: "volume: rows = 7, want >= 1000", Findings: []engine.Finding{volume}, Input: "plays",
				Producer: label("//plays"), Also: "trust-and-safety (#trust-safety)", Owner: "discovery (#discovery)", Blocked: 1},
			{Label: label("//charts:old"), State: engine.Refused, Reason: "what it brings was never measured", Input: "plays", Producer: label("//plays")},
		},
	})
}

func TestRulesPlain(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: epoch}
	judgedBuild(newPlain(&out, c.now, newPrinter(false, false)), c)
	golden(t, "rules.txt", out.String())
}

func TestRulesQuiet(t *testing.T) {
	var out bytes.Buffer
	judgedBuild(&quiet{out: &out, print: newPrinter(false, false)}, &clock{t: epoch})
	golden(t, "rules_quiet.txt", out.String())
}

func TestRulesJSON(t *testing.T) {
	var out bytes.Buffer
	c := &clock{t: epoch}
	judgedBuild(newJSONLines(&out, c.now), c)
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("no JSON: %s", line)
		}
	}
	golden(t, "rules.jsonl", out.String())
}

// TestRulesLive: the screen holds at the end what plain output says.
func TestRulesLive(t *testing.T) {
	c := &clock{t: epoch}
	s := &screen{width: 300}
	e := newLive(s, fixed(300, 40), c.now, newPrinter(false, false))
	judgedBuild(e, c)
	golden(t, "rules.txt", strings.TrimRight(s.String(), "\n")+"\n")
}

func TestHeadlineOfRules(t *testing.T) {
	p := newPrinter(false, false)
	held := []run.Failure{{State: engine.Held}}
	for _, test := range []struct {
		s    run.Summary
		want string
	}{
		{run.Summary{Counts: run.Counts{Total: 11, Ran: 3, HeldRan: 1, Judged: 2, Held: 1, Refused: 2, Blocked: 5, UpToDate: 1}, Failures: held, Wall: time.Second},
			"ran 3 jobs, 2 judged anew without a job, 1 up to date, 1 held, 2 refused, 5 blocked, in 1 s"},
		{run.Summary{Counts: run.Counts{Total: 10, UpToDate: 2, Held: 1, Refused: 2, Blocked: 5}, Wall: time.Second, Failures: append(held, run.Failure{State: engine.Refused})},
			"nothing to run: 2 up to date, 1 held, 2 refused, 5 blocked (1 s)"},
		{run.Summary{Counts: run.Counts{Total: 4, UpToDate: 2, Held: 1, Blocked: 1}, Wall: time.Second, Failures: append(held, run.Failure{State: engine.MissingState})},
			"ran 0 jobs, 2 up to date, 1 held, 1 blocked, in 1 s"},
		{run.Summary{Counts: run.Counts{Total: 3, UpToDate: 1, Judged: 1, Held: 2}, Wall: time.Second, Failures: held},
			"ran 0 jobs, 1 judged anew without a job, 1 up to date, 2 held, in 1 s"},
	} {
		if got := p.headline(test.s); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

// TestFrameCountsRules: what is held or refused is over, and a held one whose job ran is not counted twice.
func TestFrameCountsRules(t *testing.T) {
	s := progress{began: epoch, counts: run.Counts{Total: 20, UpToDate: 5, Ran: 4, Held: 3, HeldRan: 1, Refused: 2, Blocked: 1, Running: 1, Queued: 5}}
	got := newPrinter(false, false).overall(s, epoch)
	if want := "[ 14/20 ] 1 running, 5 up to date, 3 held, 2 refused, 1 blocked · 0 s"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestManyJudged: results that are judged without a job don't count as jobs where they share a line.
func TestManyJudged(t *testing.T) {
	thin, p := thinned{shown: linesAtAll}, newPrinter(false, false)
	for i := range 5 {
		j := plays(i+1, 0, epoch)
		j.Judged = i > 1
		thin.hold(j, ok(epoch, time.Second), epoch)
	}
	if line, _ := thin.flush(p, epoch.Add(summaryEvery)); line != "ran 2 more jobs, judged 3 more" {
		t.Errorf("got %q", line)
	}
	thin.hold(plays(1, 0, epoch), ok(epoch, time.Second), epoch)
	thin.hold(plays(2, 0, epoch), ok(epoch, time.Second), epoch)
	if line, _ := thin.flush(p, epoch.Add(2*summaryEvery)); line != "ran 2 more jobs" {
		t.Errorf("got %q", line)
	}
}

// TestUnjudged: a job whose verdict waits for others has ended, and so has the attempt to judge what was known.
func TestUnjudged(t *testing.T) {
	c := &clock{t: epoch}
	job, known := plays(1, 0, c.now()), plays(2, 0, c.now())
	job.Why, known.Why, known.Judged = "", "", true
	o := run.Outcome{Ended: c.now(), Wall: time.Second, Rows: -1, State: engine.Stale, Unjudged: true}
	p := newPrinter(false, false)
	const yet = "; to be judged yet, without a job: what it is compared with comes first"
	for _, x := range []struct {
		job  run.Job
		want string
	}{{job, "ran //plays:plays@day=2017-06-01 in 1 s" + yet}, {known, "left //plays:plays@day=2017-06-02" + yet}} {
		if got := p.succeeded(x.job, o); got != x.want {
			t.Errorf("got %q, want %q", got, x.want)
		}
		var out bytes.Buffer
		newJSONLines(&out, c.now).Finished(x.job, o)
		if !strings.Contains(out.String(), `"result":"unjudged"`) {
			t.Error(out.String())
		}
	}
}
