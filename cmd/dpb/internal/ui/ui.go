// Package ui shows how a build goes: live on a terminal, as plain lines elsewhere, or as JSON.
package ui

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"

	"github.com/dpb-build/dpb/engine/run"
)

// Mode is a way to show a build.
type Mode string

// Auto is TTY where a person looks on, else Plain.
const (
	Auto  Mode = "auto"
	TTY   Mode = "tty"
	Plain Mode = "plain"
	JSON  Mode = "json"
	Quiet Mode = "quiet" // failures and nothing else
)

// Modes lists the values of --progress.
func Modes() []string {
	return []string{string(Auto), string(TTY), string(Plain), string(JSON), string(Quiet)}
}

// ParseMode reads a --progress value.
func ParseMode(s string) (Mode, error) {
	if !slices.Contains(Modes(), s) {
		return "", fmt.Errorf("%q is no way to show progress: want %s", s, strings.Join(Modes(), ", "))
	}
	return Mode(s), nil
}

// Options say where and how to show a build. The zero value shows it on stderr.
type Options struct {
	Mode    Mode       // "" is Auto
	Out     *os.File   // nil: stderr
	JSON    io.Writer  // of mode JSON; nil: stdout
	Width   func() int // columns of the terminal, asked anew at each redraw; nil: the terminal is asked
	Color   string     // "always", "never", or "auto" (also ""): on a terminal, unless NO_COLOR is set or TERM is dumb
	Verbose bool       // also say when jobs start, and name each job however many there are
	// Known says of a failure that people were told of it before, and need not be told again; nil: of none. Mode JSON tells all.
	Known func(run.Job, run.Outcome) bool
}

// New returns the sink for a build's events. Call close when the build is over, also after a panic or an interruption: it leaves
// the terminal clean. Nothing is shown after Done or close. Calling close again does nothing.
func New(o Options) (events run.Events, close func()) {
	if o.Out == nil {
		o.Out = os.Stderr
	}
	if o.JSON == nil {
		o.JSON = os.Stdout
	}
	p := newPrinter(o.colored(), o.Verbose)
	p.known = o.Known
	switch o.mode() {
	case TTY:
		return watched(newLive(o.Out, o.size, time.Now, p), redraw)
	case JSON:
		return watched(newJSONLines(o.JSON, time.Now), jsonCounts)
	case Quiet:
		e := &quiet{out: o.Out, print: p}
		return e, func() {}
	}
	return watched(newPlain(o.Out, time.Now, p), heartbeat)
}

func (o Options) mode() Mode {
	if o.Mode != Auto && o.Mode != "" {
		return o.Mode
	}
	if isTerminal(o.Out) && os.Getenv("CI") == "" && os.Getenv("TERM") != "dumb" {
		return TTY
	}
	return Plain
}

func (o Options) colored() bool {
	switch o.Color {
	case "always":
		return true
	case "never":
		return false
	}
	return isTerminal(o.Out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(f *os.File) bool {
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}

// size gives the terminal's columns and rows; a terminal that does not know is taken to be 80 by 24.
func (o Options) size() (width, height int) {
	width, height, err := term.GetSize(int(o.Out.Fd()))
	if err != nil || width <= 0 || height <= 0 {
		width, height = 80, 24
	}
	if o.Width != nil {
		width = o.Width()
	}
	return width, height
}

// ticking is a sink with something to do from time to time, and something to tidy up.
type ticking interface {
	run.Events
	tick()
	close()
}

// watched calls tick at each interval until close.
func watched(e ticking, interval time.Duration) (run.Events, func()) {
	stop := make(chan struct{})
	ticker := time.NewTicker(interval)
	go func() {
		for {
			select {
			case <-ticker.C:
				e.tick()
			case <-stop:
				return
			}
		}
	}()
	return e, sync.OnceFunc(func() {
		ticker.Stop()
		close(stop)
		e.close()
	})
}

// Both sends each event to all.
func Both(events ...run.Events) run.Events { return both(events) }

type both []run.Events

func (b both) Started(j run.Job) {
	for _, e := range b {
		e.Started(j)
	}
}

func (b both) Finished(j run.Job, o run.Outcome) {
	for _, e := range b {
		e.Finished(j, o)
	}
}

func (b both) Counted(c run.Counts) {
	for _, e := range b {
		e.Counted(c)
	}
}

func (b both) Done(s run.Summary) {
	for _, e := range b {
		e.Done(s)
	}
}
