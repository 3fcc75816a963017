package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

const (
	redraw = 100 * time.Millisecond

	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	eraseLine  = "\x1b[K" // from the cursor on
	eraseBelow = "\x1b[J"
)

// live keeps a block of lines at the bottom of a terminal and lets what is worth keeping scroll up above it. Events only change
// state; tick draws. There are two locks so that a terminal that takes no output, say after ^S, does not stop the build.
type live struct {
	out   io.Writer
	size  func() (width, height int)
	now   func() time.Time
	print printer

	screen sync.Mutex // taken before state
	drawn  []string   // the block as it stands on the screen
	hidden bool       // the cursor
	over   bool

	state sync.Mutex
	progress
	kept []keptLine // to be written above the block
	thin thinned
}

type keptLine struct {
	text  string
	short bool // may be cut to the width
}

func newLive(out io.Writer, size func() (width, height int), now func() time.Time, p printer) *live {
	return &live{out: out, size: size, now: now, print: p, progress: progress{began: now()}}
}

func (l *live) Started(j run.Job) {
	l.state.Lock()
	defer l.state.Unlock()
	if j.Waits != nil {
		l.kept = append(l.kept, keptLine{l.print.waiting(j), true})
		return
	}
	if j.Waited {
		l.kept = append(l.kept, keptLine{l.print.goingOn(j), true})
	}
	l.start(j)
}

func (l *live) Finished(j run.Job, o run.Outcome) {
	l.state.Lock()
	defer l.state.Unlock()
	l.finish(j)
	switch {
	case o.Failure != "":
		l.keep(l.print.failed(j, o)...)
	case l.print.verbose || l.thin.admit(l.now()):
		l.kept = append(l.kept, keptLine{l.print.succeeded(j, o), true})
	default:
		l.thin.hold(j, o, l.now())
	}
}

func (l *live) Counted(c run.Counts) {
	l.state.Lock()
	defer l.state.Unlock()
	l.counts = c
}

// Done gives the screen back at once: what the caller writes next must not meet the block.
func (l *live) Done(s run.Summary) {
	l.state.Lock()
	l.keep(l.print.summary(s)...)
	l.state.Unlock()
	l.close()
}

func (l *live) keep(lines ...string) {
	for _, text := range lines {
		l.kept = append(l.kept, keptLine{text, false})
	}
}

// tick draws what changed since the last time.
func (l *live) tick() {
	l.screen.Lock()
	defer l.screen.Unlock()
	if l.over {
		return
	}
	width, height := l.size()
	width = max(1, width-1) // terminals differ in what happens when the last column is filled
	l.state.Lock()
	now := l.now()
	if line, ok := l.thin.flush(l.print, now); ok {
		l.kept = append(l.kept, keptLine{line, true})
	}
	kept := l.take()
	frame := l.print.frame(l.progress, now, width, max(1, min(block, height-2)))
	l.state.Unlock()
	l.draw(kept, frame, width)
}

// close erases the block, writes what is left to say, and shows the cursor.
func (l *live) close() {
	l.screen.Lock()
	defer l.screen.Unlock()
	if l.over {
		return
	}
	l.over = true
	width, _ := l.size()
	l.state.Lock()
	kept := l.take()
	l.state.Unlock()
	l.draw(kept, nil, max(1, width-1))
}

func (l *live) take() []keptLine {
	kept := l.kept
	l.kept = nil
	return kept
}

// draw replaces the block in one write, so that nothing flickers: lines are written over and only their rest is erased.
func (l *live) draw(kept []keptLine, frame []string, width int) {
	if len(kept) == 0 && slices.Equal(frame, l.drawn) {
		return
	}
	var b strings.Builder
	if !l.hidden && len(frame) > 0 {
		b.WriteString(hideCursor)
		l.hidden = true
	}
	if rows := rows(l.drawn, width+1); rows > 0 {
		fmt.Fprintf(&b, "\r\x1b[%dA", rows)
	}
	for _, k := range kept {
		text := k.text
		if k.short {
			text = cut(text, width)
		}
		b.WriteString(eraseLine + text + "\n")
	}
	for _, line := range frame {
		b.WriteString(line + eraseLine + "\n")
	}
	if len(l.drawn) > 0 {
		b.WriteString(eraseBelow)
	}
	if l.hidden && l.over {
		b.WriteString(showCursor)
		l.hidden = false
	}
	io.WriteString(l.out, b.String()) // if the terminal is gone there is nobody to tell
	l.drawn = frame
}

// rows counts the rows that lines take on the screen now. If it became narrower since they were drawn, terminals have wrapped them.
func rows(lines []string, width int) int {
	n := 0
	for _, line := range lines {
		n += max(1, (textWidth(line)+width-1)/width)
	}
	return n
}

const (
	linesASecond = 30
	linesAtAll   = 200
	summaryEvery = 5 * time.Second
)

// thinned keeps many short jobs from flooding the terminal: the first 200 successes get a line each, but at most 30 in a second;
// the others are told together every five seconds.
type thinned struct {
	shown  int // lines at all
	second time.Time
	burst  int // lines since second
	held   int
	judged int       // of held: no job ran
	same   int       // of held
	since  time.Time // the first of held
	job    run.Job   // the last of held
	ended  run.Outcome
}

// admit says whether a success at now gets its line.
func (t *thinned) admit(now time.Time) bool {
	if now.Sub(t.second) >= time.Second {
		t.second, t.burst = now, 0
	}
	if t.held > 0 || t.shown >= linesAtAll || t.burst >= linesASecond {
		return false
	}
	t.shown++
	t.burst++
	return true
}

func (t *thinned) hold(j run.Job, o run.Outcome, now time.Time) {
	if t.held == 0 {
		t.since = now
	}
	t.held++
	if j.Judged {
		t.judged++
	}
	if o.Same {
		t.same++
	}
	t.job, t.ended = j, o
}

// flush returns the line for the held successes if it is time to tell them.
func (t *thinned) flush(p printer, now time.Time) (string, bool) {
	if t.held == 0 || now.Sub(t.since) < summaryEvery {
		return "", false
	}
	line := p.more(t.held-t.judged, t.judged, t.same)
	if t.held == 1 {
		line = p.succeeded(t.job, t.ended)
	}
	t.held, t.judged, t.same = 0, 0, 0
	return line, true
}
