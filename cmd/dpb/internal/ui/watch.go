package ui

import (
	"encoding/json"
	"io"
	"os"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// Watching writes what a watcher has to say between builds: lines for people, each with its time, or one JSON object a line, beside those of the builds:
//
//	{"event":"watching","time":"…","text":"…"}                    it began; likewise "note", "trouble" (of this machine, tried again) and "stopped"
//	{"event":"broken","time":"…","text":"…","problems":[…]}       the workspace's files have errors, and nothing is built; likewise "warned" if they have warnings
//	{"event":"converged","time":"…","seconds":1.2,"lag_seconds":1.9,"counts":{…},"failures":[…]}
//
// A build that did something is told by its own events; where it converged by "converged", in which seconds is the time of all builds since the change, and lag_seconds
// that from the newest change to fresh: left out if nothing became fresh, and with "lag_at_most" if the time of the change is not known. With failures all is done that can be.
type Watching struct {
	out   io.Writer
	json  *json.Encoder // nil: lines for people
	print printer
	quiet bool
}

// NewWatching says how and where to write.
func NewWatching(o Options) *Watching {
	if o.Out == nil {
		o.Out = os.Stderr
	}
	w := &Watching{out: o.Out, print: newPrinter(o.colored(), o.Verbose), quiet: o.Mode == Quiet}
	if o.Mode == JSON {
		w.json = json.NewEncoder(o.JSON)
		w.json.SetEscapeHTML(false)
	}
	return w
}

type jsonSaid struct {
	jsonEvent
	Text     string        `json:"text"`
	Problems []jsonProblem `json:"problems,omitempty"`
}

// Events that Say knows.
const (
	WatchBegan   = "watching"
	WatchNote    = "note"
	WatchTrouble = "trouble"
	WatchBroken  = "broken"
	WatchWarned  = "warned"
	WatchStopped = "stopped"
)

// Say writes one line. What is said of problems is left to the caller where people read.
func (w *Watching) Say(at time.Time, kind, text string, ps ...engine.Problem) {
	switch {
	case w.json != nil:
		_ = w.json.Encode(jsonSaid{event(kind, at), text, problems(ps)})
	case kind == WatchTrouble || kind == WatchBroken:
		writeLines(w.out, w.stamp(at)+w.print.red.Sprint(kind)+": "+clean(text))
	case !w.quiet:
		writeLines(w.out, w.stamp(at)+clean(text))
	}
}

// stamp begins a line. A log is read long after.
func (w *Watching) stamp(at time.Time) string {
	return w.print.faint.Sprint(at.UTC().Format("2006-01-02T15:04:05Z "))
}

// Built tells what is worth knowing of a build that did something, beside its jobs.
func (w *Watching) Built(s run.Summary) {
	if w.json == nil && !w.quiet {
		writeLines(w.out, w.print.remarks(s)...)
	}
}

// Convergence is the end of what a watcher does about a change: a build that found nothing more to do.
type Convergence struct {
	At       time.Time
	Took     time.Duration // all builds that did something since the change
	Lag      time.Duration // from the newest change to fresh; 0: nothing became fresh
	AtMost   bool          // it is not known when that came
	Counts   run.Counts    // of the last build, but for what ran: that is of all
	Failures []run.Failure
	New      bool // the failures are others than at the last convergence
}

type jsonConverged struct {
	jsonEvent
	Seconds  float64       `json:"seconds"`
	Lag      *float64      `json:"lag_seconds,omitempty"`
	AtMost   bool          `json:"lag_at_most,omitempty"`
	Counts   jsonCountsOf  `json:"counts"`
	Failures []jsonFailure `json:"failures"`
}

// Converged tells of a convergence, and of its failures if they are new.
func (w *Watching) Converged(c Convergence) {
	if w.json != nil {
		w.convergedJSON(c)
		return
	}
	if !w.quiet || c.New && c.Failures != nil {
		writeLines(w.out, w.stamp(c.At)+w.headline(c))
	}
	if c.New {
		writeLines(w.out, w.print.failures(c.Failures)...)
	}
}

func (w *Watching) convergedJSON(c Convergence) {
	out := jsonConverged{jsonEvent: event("converged", c.At), Seconds: c.Took.Seconds(), AtMost: c.AtMost, Counts: jsonCountsOf(c.Counts), Failures: []jsonFailure{}}
	if lag := c.Lag.Seconds(); lag > 0 {
		out.Lag = &lag
	}
	for _, f := range c.Failures {
		out.Failures = append(out.Failures, failureOf(f))
	}
	_ = w.json.Encode(out)
}

// headline says of a convergence what ran, how long that took and how old the change was by then.
func (w *Watching) headline(c Convergence) string {
	p := w.print
	word := p.green.Sprint("converged")
	if c.Failures != nil {
		word = p.yellow.Sprint("at rest")
	}
	ran := p.conditions(c.Counts)
	switch {
	case c.Counts.Ran > 0:
		ran = p.counts(c.Counts)
	case ran == "":
		ran = "nothing to do"
	}
	line := word + ": " + ran + ", in " + Duration(c.Took)
	switch {
	case c.Lag <= 0:
	case c.AtMost:
		line += "; lag at most " + Duration(c.Lag)
	default:
		line += "; lag " + Duration(c.Lag)
	}
	return line
}
