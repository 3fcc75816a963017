package ui

import (
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

// heartbeat is how often plain output names jobs that take long, so that nobody takes the build for dead.
const heartbeat = 30 * time.Second

// plain writes a line for each job that ended, for logs and pipes.
type plain struct {
	out   io.Writer
	now   func() time.Time
	print printer

	mu sync.Mutex
	progress
	over bool
}

func newPlain(out io.Writer, now func() time.Time, p printer) *plain {
	return &plain{out: out, now: now, print: p}
}

func (p *plain) Started(j run.Job) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if j.Waits != nil {
		writeLines(p.out, p.print.waiting(j))
		return
	}
	p.start(j)
	switch {
	case j.Waited:
		writeLines(p.out, p.print.goingOn(j))
	case p.print.verbose:
		writeLines(p.out, p.print.started(j))
	}
}

func (p *plain) Finished(j run.Job, o run.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finish(j)
	if o.Failure != "" {
		writeLines(p.out, p.print.failed(j, o)...)
		return
	}
	writeLines(p.out, p.print.succeeded(j, o))
}

func (p *plain) Counted(run.Counts) {}

func (p *plain) Done(s run.Summary) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	writeLines(p.out, p.print.summary(s)...)
}

func (p *plain) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if line := p.print.stillRunning(p.running, p.now(), heartbeat); line != "" && !p.over {
		writeLines(p.out, line)
	}
}

func (p *plain) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// writeLines writes lines at once, lest those of other processes come between.
func writeLines(w io.Writer, lines ...string) {
	if len(lines) > 0 {
		io.WriteString(w, strings.Join(lines, "\n")+"\n")
	}
}

// quiet writes failures and nothing else.
type quiet struct {
	out   io.Writer
	print printer
}

func (q *quiet) Started(run.Job)    {}
func (q *quiet) Counted(run.Counts) {}

func (q *quiet) Finished(j run.Job, o run.Outcome) {
	if o.Failure != "" {
		writeLines(q.out, q.print.failed(j, o)...)
	}
}

func (q *quiet) Done(s run.Summary) { writeLines(q.out, q.print.failures(s.Failures)...) }
