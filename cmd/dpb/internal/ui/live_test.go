package ui

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/creack/pty"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// screen understands as much of a terminal as the live display needs.
type screen struct {
	width    int
	rows     [][]rune // all that was ever written, scrolled off or not
	row, col int
	hidden   bool // the cursor
	wrapped  int  // how often a line did not fit
	highest  int  // the most rows that the cursor went up at once
	rest     string
}

// wholeEscape is a sequence with its end: reads may cut one in two.
var wholeEscape = regexp.MustCompile("^\x1b\\[[?0-9;]*[A-Za-z]")

func (s *screen) Write(p []byte) (int, error) {
	text := s.rest + string(p)
	s.rest = ""
	for text != "" {
		if text[0] == '\x1b' {
			code := wholeEscape.FindString(text)
			if code == "" {
				s.rest = text // the other part is still to come
				break
			}
			s.escape(code[2:])
			text = text[len(code):]
			continue
		}
		if !utf8.FullRuneInString(text) {
			s.rest = text
			break
		}
		r, _ := utf8.DecodeRuneInString(text)
		s.put(r)
		text = text[len(string(r)):]
	}
	return len(p), nil
}

func (s *screen) escape(seq string) {
	n, _ := strconv.Atoi(seq[:len(seq)-1])
	switch {
	case seq == "?25l":
		s.hidden = true
	case seq == "?25h":
		s.hidden = false
	case seq == "K":
		s.erase(s.row)
	case seq == "J":
		s.erase(s.row)
		s.rows = s.rows[:min(len(s.rows), s.row+1)]
	case strings.HasSuffix(seq, "A"):
		s.row -= n
		s.highest = max(s.highest, n)
	case strings.HasSuffix(seq, "m"):
	default:
		panic("unknown sequence " + seq)
	}
}

func (s *screen) erase(row int) {
	if row < len(s.rows) {
		s.rows[row] = s.rows[row][:min(s.col, len(s.rows[row]))]
	}
}

func (s *screen) put(r rune) {
	switch r {
	case '\r':
		s.col = 0
		return
	case '\n':
		s.row, s.col = s.row+1, 0
		return
	}
	if s.col+runeWidth(r) > s.width {
		s.wrapped++
		s.row, s.col = s.row+1, 0
	}
	for len(s.rows) <= s.row {
		s.rows = append(s.rows, nil)
	}
	line := s.rows[s.row]
	for len(line) <= s.col+runeWidth(r)-1 {
		line = append(line, ' ')
	}
	line[s.col] = r
	if runeWidth(r) == 2 {
		line[s.col+1] = 0
	}
	s.rows[s.row] = line
	s.col += runeWidth(r)
}

func (s *screen) String() string {
	var b strings.Builder
	for _, row := range s.rows {
		b.WriteString(strings.TrimRight(strings.ReplaceAll(string(row), "\x00", ""), " ") + "\n")
	}
	return b.String()
}

func fixed(width, height int) func() (int, int) {
	return func() (int, int) { return width, height }
}

func someJobs(n int) []run.Job {
	jobs := make([]run.Job, n)
	for i := range jobs {
		jobs[i] = plays(i+1, i, epoch.Add(time.Duration(i)*1700*time.Millisecond))
	}
	jobs[1].Label = engine.Label{Pkg: "reports/再生/回数", Name: "royalties"}
	jobs[2].Label = engine.Label{Pkg: strings.Repeat("very/", 40) + "deep", Name: "x"}
	return jobs
}

func TestFrame(t *testing.T) {
	counts := run.Counts{Total: 1024, UpToDate: 700, Ran: 300, Same: 3, Failed: 1, Blocked: 2, Running: 15, Queued: 6}
	for _, width := range []int{40, 80, 200} {
		var b strings.Builder
		for _, jobs := range []int{15, 9, 3} {
			s := progress{epoch, counts, someJobs(jobs)}
			frame := newPrinter(false, false).frame(s, epoch.Add(72*time.Second), width, block)
			for _, line := range frame {
				if textWidth(line) > width {
					t.Errorf("%d columns: %q takes %d", width, line, textWidth(line))
				}
			}
			b.WriteString(strings.Join(frame, "\n") + "\n\n")
		}
		golden(t, fmt.Sprintf("frame_%d.txt", width), b.String())
	}
}

func TestFrameFits(t *testing.T) {
	for _, colored := range []bool{false, true} {
		for width := 1; width < 60; width++ {
			for height := 1; height <= block; height++ {
				frame := newPrinter(colored, false).frame(progress{began: epoch, running: someJobs(12)}, epoch.Add(time.Hour), width, height)
				if len(frame) != height {
					t.Fatalf("%d lines of %d", len(frame), height)
				}
				for _, line := range frame {
					if textWidth(line) > width {
						t.Fatalf("%q is wider than %d", line, width)
					}
				}
			}
		}
	}
}

func TestLiveBlockIsReplaced(t *testing.T) {
	c := &clock{t: epoch}
	s := &screen{width: 80}
	e := newLive(s, fixed(80, 24), c.now, newPrinter(true, false))
	e.Counted(run.Counts{Total: 30, Running: 2, Queued: 28})
	a, b := plays(1, 0, c.now()), plays(2, 1, c.now())
	e.Started(a)
	e.Started(b)
	e.tick()
	if want := "[ 0/30 ] 2 running · 0 s\n  //plays:plays@day=2017-06-01  0 s\n  //plays:plays@day=2017-06-02  0 s\n"; s.String() != want || !s.hidden {
		t.Errorf("got\n%s", s)
	}
	c.add(3 * time.Second)
	e.Finished(a, ok(a.Started, 3*time.Second))
	e.Counted(run.Counts{Total: 30, Ran: 1, Running: 1, Queued: 28})
	e.tick()
	if want := "ran //plays:plays@day=2017-06-01 in 3 s (code changed: x.sql), 12,345 rows, 1.…\n[ 1/30 ] 1 running · 3 s\n" +
		"  //plays:plays@day=2017-06-02  3 s\n"; strings.TrimRight(s.String(), "\n") != strings.TrimRight(want, "\n") {
		t.Errorf("got\n%s", s)
	}
	e.close()
	if strings.Count(s.String(), "\n") > 2 || s.hidden || s.wrapped > 0 {
		t.Errorf("left behind:\n%s", s)
	}
	e.tick()
	if s.hidden {
		t.Error("it draws after close")
	}
}

// TestLiveSlots: a job whose slot another took, and one that starts again, are not shown as running though nobody said they finished.
func TestLiveSlots(t *testing.T) {
	var s progress
	s.start(plays(1, 0, epoch))
	s.start(plays(2, 0, epoch))
	again := plays(2, 1, epoch)
	again.Number = 3
	s.start(again)
	if len(s.running) != 1 || s.running[0].Number != 3 {
		t.Errorf("running: %v", s.running)
	}
	s.finish(plays(1, 0, epoch))
	s.finish(again)
	if len(s.running) != 0 {
		t.Errorf("running: %v", s.running)
	}
}

func TestLiveIsIdle(t *testing.T) {
	c := &clock{t: epoch}
	var out strings.Builder
	e := newLive(&out, fixed(80, 24), c.now, newPrinter(false, false))
	e.tick()
	n := out.Len()
	c.add(redraw)
	e.tick()
	if out.Len() != n {
		t.Error("it writes though nothing changed")
	}
}

func TestManyShortJobsDoNotFlood(t *testing.T) {
	c := &clock{t: epoch}
	s := &screen{width: 200}
	e := newLive(s, fixed(200, 24), c.now, newPrinter(false, false))
	for i := range 5000 {
		j := plays(i+1, 0, c.now())
		e.Started(j)
		o := ok(c.now(), time.Millisecond)
		o.Same = i%2 == 0
		e.Finished(j, o)
		c.add(2 * time.Millisecond)
		if i%50 == 0 {
			e.tick()
		}
	}
	e.close()
	got := s.String()
	if n := strings.Count(got, "\n"); n > 100 || n < linesASecond {
		t.Errorf("%d lines for 5,000 jobs in 10 s", n)
	}
	if !strings.Contains(got, "ran 2,52") || !strings.Contains(got, "more jobs, 1,26") {
		t.Errorf("those without a line were not counted:\n%s", got)
	}
}

func TestALoneHeldJobIsNamed(t *testing.T) {
	thin, p := thinned{shown: linesAtAll}, newPrinter(false, false)
	if thin.admit(epoch) {
		t.Fatal("admitted")
	}
	thin.hold(plays(1, 0, epoch), ok(epoch, time.Second), epoch)
	if _, ok := thin.flush(p, epoch.Add(time.Second)); ok {
		t.Error("too early")
	}
	if line, _ := thin.flush(p, epoch.Add(summaryEvery)); !strings.HasPrefix(line, "ran //plays:plays@") {
		t.Errorf("got %q", line)
	}
}

func TestRowsAfterResize(t *testing.T) {
	lines := []string{strings.Repeat("x", 79), "", "\x1b[32mshort\x1b[0m"}
	for width, want := range map[int]int{80: 3, 79: 3, 78: 4, 40: 4, 39: 5} {
		if got := rows(lines, width); got != want {
			t.Errorf("%d columns: %d rows, want %d", width, got, want)
		}
	}
}

// TestTerminal runs a build on a pseudo-terminal.
func TestTerminal(t *testing.T) {
	control, terminal, err := pty.Open()
	if err != nil {
		t.Skip(err)
	}
	defer control.Close()
	if err := pty.Setsize(control, &pty.Winsize{Cols: 150, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	s, read := &screen{width: 150}, make(chan struct{})
	go func() {
		defer close(read)
		io.Copy(s, control) // ends with an error when the terminal is closed
	}()
	t.Setenv("CI", "")
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	events, done := New(Options{Out: terminal})
	e, isLive := events.(*live)
	if !isLive {
		t.Fatalf("auto is %T on a terminal", events)
	}
	jobs := someJobs(20)
	for i, j := range jobs {
		j.Started = time.Now()
		e.Started(j)
		e.Counted(run.Counts{Total: 40, Running: i + 1, Queued: 39 - i})
		e.tick()
	}
	for i, j := range jobs {
		o := ok(time.Now(), time.Second)
		if i == 4 {
			o.Failure, o.Tail = "exit code 1", []string{"\x1b[2Jlast words"}
		}
		e.Finished(j, o)
		e.tick()
	}
	e.Done(ended)
	done()
	terminal.Close()
	<-read
	got := s.String()
	if s.highest > block || s.highest < 5 {
		t.Errorf("the block had %d lines", s.highest)
	}
	if s.hidden || s.wrapped > 0 {
		t.Errorf("cursor hidden: %v; lines wrapped: %d", s.hidden, s.wrapped)
	}
	for _, gone := range []string{"running", "… and 11 more", "[ "} {
		if strings.Contains(got, gone) {
			t.Errorf("%q is left on the screen:\n%s", gone, got)
		}
	}
	for _, want := range []string{"ran //plays:plays@day=2017-06-01", "failed //plays:plays@day=2017-06-05", "  | last words\n", "ran 2 jobs", "owner data\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	if slices.Contains(strings.Split(strings.TrimSpace(got), "\n"), "") {
		t.Errorf("there are empty lines:\n%s", got)
	}
}

func BenchmarkCounted(b *testing.B) {
	e, done := New(Options{Mode: TTY, Out: os.NewFile(^uintptr(0), "closed")})
	defer done()
	for b.Loop() {
		e.Counted(run.Counts{Total: 1000})
	}
}
