package ui

import (
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine/run"
)

// block is the most lines that the live display takes.
const block = 10

// progress is what is known of a build while it goes.
type progress struct {
	began   time.Time
	counts  run.Counts
	running []run.Job // in the order in which they began
}

// start adds a job. One that held the same place before has ended and is only being recorded, or was given up to run later again;
// neither is running, though nobody said yet that it finished.
func (s *progress) start(j run.Job) {
	s.remove(func(r run.Job) bool { return r.Slot == j.Slot || r.Label == j.Label && r.Partition == j.Partition })
	s.running = append(s.running, j)
}

func (s *progress) finish(j run.Job) {
	s.remove(func(r run.Job) bool { return r.Number == j.Number })
}

func (s *progress) remove(gone func(run.Job) bool) {
	kept := s.running[:0]
	for _, r := range s.running {
		if !gone(r) {
			kept = append(kept, r)
		}
	}
	s.running = kept
}

// frame draws the live block: what is counted, then the jobs that run longest. It has at most height lines of at most width columns.
func (p printer) frame(s progress, now time.Time, width, height int) []string {
	lines := []string{cut(p.overall(s, now), width)}
	shown := min(len(s.running), height-1)
	if shown < len(s.running) {
		shown = max(0, shown-1) // the last line counts the others
	}
	for _, j := range s.running[:shown] {
		lines = append(lines, p.job(j, now, width))
	}
	if more := len(s.running) - shown; more > 0 && height > 1 {
		lines = append(lines, cut(p.faint.Sprint("  … and "+Count(int64(more))+" more"), width))
	}
	return lines
}

func (p printer) overall(s progress, now time.Time) string {
	c := s.counts
	took := p.faint.Sprint(" · " + Duration(now.Sub(s.began).Truncate(time.Second)))
	if c.Total == 0 {
		return "deciding what to do" + took
	}
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, Count(int64(n))+" "+text)
		}
	}
	add(c.Running, "running")
	add(c.UpToDate, "up to date")
	add(c.Held, p.red.Sprint("held"))
	add(c.Refused, p.red.Sprint("refused"))
	add(c.Failed, p.red.Sprint("failed"))
	add(c.Blocked, p.yellow.Sprint("blocked"))
	return "[ " + Count(int64(c.Total-left(c))) + "/" + Count(int64(c.Total)) + " ] " + strings.Join(parts, ", ") + took
}

func (p printer) job(j run.Job, now time.Time, width int) string {
	took := "  " + Duration(now.Sub(j.Started).Truncate(100*time.Millisecond))
	return cut("  "+cutLeft(j.Label.At(j.Partition), width-2-textWidth(took))+p.faint.Sprint(took), width)
}
