package ui

import (
	"fmt"
	"strings"
	"time"

	"github.com/fatih/color"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// printer writes events as lines, for all modes that people read.
type printer struct {
	green, red, yellow, faint *color.Color
	verbose                   bool
	known                     func(run.Job, run.Outcome) bool // see Options; may be nil
}

func newPrinter(colored, verbose bool) printer {
	p := printer{color.New(color.FgGreen), color.New(color.FgRed), color.New(color.FgYellow), color.New(color.Faint), verbose, nil}
	for _, c := range []*color.Color{p.green, p.red, p.yellow, p.faint} {
		if colored {
			c.EnableColor()
		} else {
			c.DisableColor() // the package's own guess is about stdout
		}
	}
	return p
}

// started is the line of a job that began.
func (p printer) started(j run.Job) string {
	return p.faint.Sprint("running ") + j.Label.At(j.Partition) + p.because(j)
}

// waiting is the line of a job that another process runs.
func (p printer) waiting(j run.Job) string {
	line := p.yellow.Sprint("waiting for ") + j.Label.At(j.Partition) + ": " + clean(j.Waits.String()) + " runs it"
	if as := j.Waits.For; as != "" && as != j.Label.At(j.Partition) {
		line += " as " + clean(as)
	}
	return line
}

// goingOn is the line of a job that waited for another process, which runs it no more.
func (p printer) goingOn(j run.Job) string {
	return p.faint.Sprint("going on with ") + j.Label.At(j.Partition)
}

// because tells why a job ran, with the space before it.
func (p printer) because(j run.Job) string {
	if j.Why == "" {
		return ""
	}
	return p.faint.Sprint(" (" + clean(j.Why) + ")")
}

// in tells how long something took, with the space before it; nothing if that is not known.
func (p printer) in(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return p.faint.Sprint(" in " + Duration(d))
}

// succeeded is the line of a job that ended well.
func (p printer) succeeded(j run.Job, o run.Outcome) string {
	if j.Judged && o.Unjudged {
		return p.yellow.Sprint("left ") + j.Label.At(j.Partition) + p.because(j) + unjudgedText
	}
	if j.Judged {
		return p.green.Sprint("judged ") + j.Label.At(j.Partition) + p.because(j) + p.sameText(o)
	}
	if o.Elsewhere {
		return p.green.Sprint("took ") + j.Label.At(j.Partition) + " from another dpb, which made it meanwhile"
	}
	word := "ran "
	if j.Verifies {
		word = "verified "
	}
	line := p.green.Sprint(word) + j.Label.At(j.Partition) + p.in(o.Wall) + p.because(j)
	if o.Rows >= 0 {
		line += ", " + plural(int(o.Rows), "row")
	}
	if o.Bytes > 0 {
		line += ", " + Bytes(o.Bytes)
	}
	if o.Unjudged {
		return line + unjudgedText
	}
	return line + p.sameText(o)
}

const unjudgedText = "; to be judged yet, without a job: what it is compared with comes first"

func (p printer) sameText(o run.Outcome) string {
	if o.Same {
		return "; same result: consumers are not affected"
	}
	return ""
}

// failed is what there is to say of a job that failed: where, the end of its log, and the path of the whole.
func (p printer) failed(j run.Job, o run.Outcome) []string {
	if p.known != nil && p.known(j, o) {
		return nil
	}
	word := "failed "
	switch {
	case o.State == engine.Held:
		word = "held "
	case o.Differs:
		word = "differs "
	}
	head := p.red.Sprint(word) + j.Label.At(j.Partition) + p.in(o.Wall) + p.because(j)
	lines := []string{head}
	if len(o.Problems) == 0 || !strings.Contains(o.Failure, o.Problems[0].Summary) { // else it says the same without the place
		why, more, _ := strings.Cut(o.Failure, "\n")
		lines[0] += ": " + clean(why)
		lines = append(lines, indented(more)...)
	}
	for _, pr := range o.Problems {
		lines = append(lines, p.problem(pr)...)
	}
	for _, t := range o.Tail {
		lines = append(lines, p.faint.Sprint("  | ")+clean(t))
	}
	if o.Log != "" {
		lines = append(lines, "  log: "+clean(o.Log))
	}
	return lines
}

func (p printer) problem(pr engine.Problem) []string {
	place := clean(pr.Range.File)
	if start := pr.Range.Start; place != "" && start.Line > 0 {
		place += fmt.Sprintf(":%d:%d", start.Line, start.Column)
	}
	if place != "" {
		place += ": "
	}
	if pr.Severity == engine.Warning {
		place = p.yellow.Sprint("warning ") + place
	}
	lines := append([]string{"  " + place + clean(pr.Summary)}, indented(pr.Detail)...)
	if pr.Hint != "" {
		first, more, _ := strings.Cut(pr.Hint, "\n")
		lines = append(append(lines, "  hint: "+clean(first)), indented(more)...)
	}
	return lines
}

func indented(text string) []string {
	var lines []string
	for l := range strings.Lines(text) {
		lines = append(lines, "  "+clean(l))
	}
	return lines
}

// more stands for successes that got no line of their own.
func (p printer) more(jobs, judged, same int) string {
	var parts []string
	if jobs > 0 {
		parts = append(parts, p.green.Sprint("ran ")+plural(jobs, "more job"))
	}
	if judged > 0 {
		parts = append(parts, p.green.Sprint("judged ")+Count(int64(judged))+" more")
	}
	line := strings.Join(parts, ", ")
	if same > 0 {
		line += ", " + Count(int64(same)) + " with the same result"
	}
	return line
}

// stillRunning names the longest of the jobs that take their time, or is "" if none has run for as long as least.
func (p printer) stillRunning(jobs []run.Job, now time.Time, least time.Duration) string {
	const named = 3
	var parts []string
	others := 0
	for _, j := range jobs {
		d := now.Sub(j.Started)
		switch {
		case d < least:
		case len(parts) == named:
			others++
		default:
			parts = append(parts, j.Label.At(j.Partition)+p.faint.Sprint(" "+Duration(d.Truncate(time.Second))))
		}
	}
	if others > 0 {
		parts = append(parts, "… and "+Count(int64(others))+" more")
	}
	if parts == nil {
		return ""
	}
	return "still running: " + strings.Join(parts, ", ")
}
