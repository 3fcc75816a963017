package ui

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// jsonCounts is how often JSON output tells the counts, if they changed.
const jsonCounts = time.Second

// jsonLines writes one JSON object a line. Fields keep their names; new ones may come. Times are RFC 3339 in UTC with nanoseconds,
// durations are seconds, and a field that is unknown, empty or false is left out, except for counts and numbers that may well be 0.
//
//	{"event":"started","time":"…","job":1,"label":"//a:b","partition":"day=2017-06-01","kind":"sql","why":"…","slot":0,"judged":true}
//	{"event":"finished","time":"…","job":1,"label":"//a:b","partition":"…","result":"ran","seconds":0.3,"rows":12,"bytes":345}
//	{"event":"waiting","time":"…","label":"//a:b","partition":"…","holder":{"pid":4711,"user":"ann","host":"build7","command":"dpb build //...","for":"//a:b@…","since":"…"}}
//	{"event":"counts","time":"…","counts":{"total":2,"up_to_date":0,"ran":1,"judged":0,"held":0,"refused":0,"failed":0,"running":1,…}}
//	{"event":"done","time":"…","seconds":1.5,"interrupted":true,"counts":{…},"failures":[…],"outputs":[…]}
//
// A job that another dpb runs waits, which is told with who runs it, and again should that be another one; then it is started, or fails with "locked" if --lock-timeout is over.
//
// Where "judged" is true no job runs: a known result is split, measured or judged. The result of a finished job is "ran", "same" (it ran and its outputs equal those
// before), "judged" (no job ran), "unjudged" (what it is compared with is judged first; then it is, without a job), "held", "failed" or, of dpb verify, "differs"; these
// three have "failure", one line, and may have "problems" [{file, line, column, summary, detail, hint}], "log", the path of the whole log, and "tail", its last lines.
// "warned" lists the rules that are violated and only warn, of a job or, with label, partition and owner, of a build. A failure of a build has label, partition, state,
// reason, owner, log and blocked, the number of actions that wait for it; one that is held or refused has findings, the rules that fail, and the version that is held, or
// the input that is refused with its producer and producer_owner. An output has label, partitions and path. The counts come at most once a second; "done" is the last line.
type jsonLines struct {
	now func() time.Time

	mu      sync.Mutex
	out     *json.Encoder
	counts  run.Counts
	changed bool
	over    bool
}

func newJSONLines(w io.Writer, now func() time.Time) *jsonLines {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	return &jsonLines{now: now, out: out}
}

type jsonEvent struct {
	Event string    `json:"event"`
	Time  time.Time `json:"time"`
}

type jsonJob struct {
	Job       int    `json:"job"`
	Label     string `json:"label"`
	Partition string `json:"partition,omitempty"`
}

type jsonStarted struct {
	jsonEvent
	jsonJob
	Kind string `json:"kind"`
	Why  string `json:"why,omitempty"`
	Slot int    `json:"slot"`

	Judged bool `json:"judged,omitempty"`
}

type jsonWaiting struct {
	jsonEvent
	Label     string      `json:"label"`
	Partition string      `json:"partition,omitempty"`
	Holder    disk.Holder `json:"holder"`
}

type jsonFinished struct {
	jsonEvent
	jsonJob
	Result   string        `json:"result"`
	Seconds  float64       `json:"seconds"`
	Rows     *int64        `json:"rows,omitempty"`
	Bytes    int64         `json:"bytes"`
	Failure  string        `json:"failure,omitempty"`
	Locked   bool          `json:"locked,omitempty"`
	Problems []jsonProblem `json:"problems,omitempty"`
	Log      string        `json:"log,omitempty"`
	Tail     []string      `json:"tail,omitempty"`

	Warned []engine.Finding `json:"warned,omitempty"`
}

type jsonProblem struct {
	File    string `json:"file,omitempty"`
	Line    int    `json:"line,omitempty"`
	Column  int    `json:"column,omitempty"`
	Summary string `json:"summary"`
	Detail  string `json:"detail,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

type jsonCounted struct {
	jsonEvent
	Counts jsonCountsOf `json:"counts"`
}

type jsonCountsOf struct {
	Total    int `json:"total"`
	UpToDate int `json:"up_to_date"`
	Restored int `json:"restored"`
	Reshown  int `json:"reshown"`
	Ran      int `json:"ran"`
	Same     int `json:"same"`
	Judged   int `json:"judged"`
	Failed   int `json:"failed"`
	Held     int `json:"held"`
	HeldRan  int `json:"held_ran"`
	Refused  int `json:"refused"`
	Blocked  int `json:"blocked"`
	Running  int `json:"running"`
	Queued   int `json:"queued"`
}

type jsonDone struct {
	jsonEvent
	Seconds     float64       `json:"seconds"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Spent       bool          `json:"budget_spent,omitempty"`
	Left        int           `json:"left,omitempty"` // actions that the build did not come to
	Counts      jsonCountsOf  `json:"counts"`
	Failures    []jsonFailure `json:"failures"`
	Outputs     []jsonOutput  `json:"outputs"`
	Warnings    []jsonProblem `json:"warnings,omitempty"`
	Warned      []jsonWarned  `json:"warned,omitempty"`
	NotIsolated string        `json:"not_isolated,omitempty"` // why jobs ran without isolation
}

type jsonWarned struct {
	Label     string           `json:"label"`
	Partition string           `json:"partition,omitempty"`
	Owner     string           `json:"owner,omitempty"`
	Findings  []engine.Finding `json:"findings"`
}

type jsonFailure struct {
	Label     string `json:"label"`
	Partition string `json:"partition,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	Owner     string `json:"owner,omitempty"`
	Log       string `json:"log,omitempty"`
	Blocked   int    `json:"blocked"`

	Version  string           `json:"version,omitempty"` // of what is held
	Input    string           `json:"input,omitempty"`   // of what is refused
	Producer string           `json:"producer,omitempty"`
	Ask      string           `json:"producer_owner,omitempty"`
	Findings []engine.Finding `json:"findings,omitempty"`
}

type jsonOutput struct {
	Label      string `json:"label"`
	Partitions int    `json:"partitions"`
	Path       string `json:"path"`
}

func (l *jsonLines) Started(j run.Job) {
	if j.Waits != nil {
		l.write(jsonWaiting{event("waiting", j.Started), j.Label.String(), j.Partition, *j.Waits})
		return
	}
	l.write(jsonStarted{event("started", j.Started), job(j), j.Kind.String(), j.Why, j.Slot, j.Judged})
}

func (l *jsonLines) Finished(j run.Job, o run.Outcome) {
	if o.Ended.IsZero() { // it never came to run
		o.Ended = l.now()
	}
	f := jsonFinished{jsonEvent: event("finished", o.Ended), jsonJob: job(j), Result: "ran", Seconds: o.Wall.Seconds(),
		Bytes: o.Bytes, Failure: o.Failure, Locked: o.Locked, Problems: problems(o.Problems), Log: o.Log, Tail: o.Tail, Warned: o.Warned}
	if o.Rows >= 0 && (o.Failure == "" || o.State == engine.Held) {
		f.Rows = &o.Rows
	}
	switch {
	case o.State == engine.Held:
		f.Result = "held"
	case o.Differs:
		f.Result = "differs"
	case o.Failure != "":
		f.Result = "failed"
	case o.Unjudged:
		f.Result = "unjudged"
	case j.Judged:
		f.Result = "judged"
	case o.Same, j.Verifies:
		f.Result = "same"
	}
	l.write(f)
}

func (l *jsonLines) Counted(c run.Counts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts, l.changed = c, true
}

func (l *jsonLines) tick() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed && !l.over {
		l.changed = false
		l.out.Encode(jsonCounted{event("counts", l.now()), jsonCountsOf(l.counts)})
	}
}

func (l *jsonLines) Done(s run.Summary) {
	d := jsonDone{jsonEvent: event("done", l.now()), Seconds: s.Wall.Seconds(), Interrupted: s.Interrupted, Spent: s.Spent, Left: left(s.Counts), Counts: jsonCountsOf(s.Counts),
		Failures: []jsonFailure{}, Outputs: []jsonOutput{}, NotIsolated: s.NotIsolated}
	for _, f := range s.Failures {
		d.Failures = append(d.Failures, failureOf(f))
	}
	d.Warnings = problems(s.Warnings)
	for _, w := range s.Warned {
		d.Warned = append(d.Warned, jsonWarned{w.Label.String(), w.Partition, w.Owner, w.Findings})
	}
	for _, o := range s.Outputs {
		d.Outputs = append(d.Outputs, jsonOutput{o.Label.String(), o.Partitions, o.Path})
	}
	l.write(d)
	l.close()
}

func failureOf(f run.Failure) jsonFailure {
	out := jsonFailure{Label: f.Label.String(), Partition: f.Partition, State: stateWord(f.State), Reason: f.Reason, Owner: f.Owner, Log: f.Log, Blocked: f.Blocked,
		Input: f.Input, Ask: f.Also, Findings: f.Findings}
	if !f.Version.IsZero() {
		out.Version = f.Version.String()
	}
	if !f.Producer.IsZero() {
		out.Producer = f.Producer.String()
	}
	return out
}

func (l *jsonLines) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
}

func (l *jsonLines) write(v any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.out.Encode(v) // a reader that went away does not stop the build
}

func event(name string, t time.Time) jsonEvent { return jsonEvent{name, t.UTC()} }

func job(j run.Job) jsonJob { return jsonJob{j.Number, j.Label.String(), j.Partition} }

func problems(ps []engine.Problem) (out []jsonProblem) {
	for _, p := range ps {
		out = append(out, jsonProblem{p.Range.File, p.Range.Start.Line, p.Range.Start.Column, p.Summary, p.Detail, p.Hint})
	}
	return out
}
