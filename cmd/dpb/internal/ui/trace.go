package ui

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

// trace writes Chrome's trace event format, which Perfetto and chrome://tracing show: one thread for each slot, one slice for each job.
type trace struct {
	out     *bufio.Writer
	began   time.Time
	slots   map[int]bool // those that have a name
	written bool
}

// NewTrace returns a sink that writes Chrome's trace event format to w: {"traceEvents":[...]}. It shows nothing: combine it by Both.
// The file is whole only after close, which also returns the first error in writing it.
func NewTrace(w io.Writer) (events run.Events, close func() error) {
	t := &trace{out: bufio.NewWriter(w), slots: map[int]bool{}}
	t.out.WriteString(`{"displayTimeUnit":"ms","traceEvents":[`)
	return t, t.close
}

type traceEvent struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"` // X: a slice, M: about a thread
	Start    float64        `json:"ts"` // microseconds
	Duration float64        `json:"dur,omitempty"`
	Process  int            `json:"pid"`
	Thread   int            `json:"tid"`
	Args     map[string]any `json:"args,omitempty"`
}

func (t *trace) Started(j run.Job) {
	if j.Waits != nil {
		return
	}
	if t.began.IsZero() {
		t.began = j.Started
	}
	if t.slots[j.Slot] {
		return
	}
	t.slots[j.Slot] = true
	t.write(traceEvent{Name: "thread_name", Phase: "M", Process: 1, Thread: j.Slot + 1, Args: map[string]any{"name": fmt.Sprintf("slot %d", j.Slot)}})
}

func (t *trace) Finished(j run.Job, o run.Outcome) {
	took := o.Ended.Sub(j.Started) // with the time it took to lay out inputs, which Wall leaves out
	if o.Ended.IsZero() {
		took = o.Wall
	}
	args := map[string]any{"job": j.Number, "bytes": o.Bytes}
	if j.Why != "" {
		args["why"] = j.Why
	}
	if o.Rows >= 0 && o.Failure == "" {
		args["rows"] = o.Rows
	}
	if o.Same {
		args["same"] = true
	}
	if j.Judged {
		args["judged"] = true
	}
	if o.Failure != "" {
		args["failure"] = o.Failure
	}
	t.write(traceEvent{j.Label.At(j.Partition), j.Kind.String(), "X", microseconds(j.Started.Sub(t.began)), microseconds(took), 1, j.Slot + 1, args})
}

func (t *trace) Counted(run.Counts) {}
func (t *trace) Done(run.Summary)   {}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func (t *trace) write(e traceEvent) {
	line, _ := json.Marshal(e) // plain values: it can't fail
	if t.written {
		t.out.WriteByte(',')
	}
	t.written = true
	t.out.WriteByte('\n')
	t.out.Write(line) // bufio keeps the first error for Flush
}

func (t *trace) close() error {
	t.out.WriteString("\n]}\n")
	return t.out.Flush()
}
