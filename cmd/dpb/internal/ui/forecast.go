package ui

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine/run"
	"github.com/fatih/color"
)

// Forecast prints what a build would run and what that takes. edges also says in words what each target reads; all leaves nothing out.
func Forecast(w io.Writer, f *run.Forecast, edges, all bool) {
	p := newPrinter(!color.NoColor, all)
	if f.Run.Jobs+f.MayRun.Jobs > 0 {
		writeLines(w, p.planned(f.Targets, edges)...)
		writeLines(w, "")
	}
	writeLines(w, p.jobs(f))
	if f.Run.Jobs+f.MayRun.Jobs > 0 {
		writeLines(w, p.times(f)...)
		writeLines(w, p.critical(f.Critical)...)
	}
	writeLines(w, p.halted(f.Halted)...)
}

// Against prints how a workspace differs from a revision, whose that is, and what it takes to bring it up to date.
func Against(w io.Writer, a *run.Against, edges, all bool) {
	p := newPrinter(!color.NoColor, all)
	if len(a.Changes) == 0 {
		writeLines(w, "nothing that targets are made of differs from "+clean(a.Revision))
		return
	}
	writeLines(w, p.faint.Sprintf("against %s (%s):", clean(a.Revision), a.Commit[:min(12, len(a.Commit))]))
	writeLines(w, p.changes(a.Changes)...)
	writeLines(w, p.owners(a.Owners)...)
	f := a.Forecast
	if f.Run.Jobs+f.MayRun.Jobs == 0 {
		writeLines(w, "no job has to run for that")
		return
	}
	writeLines(w, "", p.faint.Sprint("recomputing, were it all built as in "+clean(a.Revision)+":"))
	writeLines(w, p.planned(f.Targets, edges)...)
	writeLines(w, p.runs(f))
	writeLines(w, p.times(f)...)
	writeLines(w, p.critical(f.Critical)...)
}

// changes lists the targets that differ, and those that may for that.
func (p printer) changes(changes []run.TargetChange) []string {
	paint := map[string]*color.Color{run.ChangeAdded: p.green, run.ChangeRemoved: p.red, run.ChangeOwn: p.yellow}
	rows := make([][]string, 0, len(changes))
	for _, c := range changes[:p.limit(len(changes))] {
		what := strings.Join(c.What, "; ")
		if c.Change == run.ChangeConsumer {
			what = strings.Join(append(c.What, "needs "+strings.Join(c.Because, ", ")), "; ")
		}
		word := c.Change
		if k := paint[word]; k != nil {
			word = k.Sprint(word)
		}
		rows = append(rows, []string{word, c.Target, touchedText(c), clean(what)})
	}
	return p.andMore(columns(rows), len(changes)-len(rows))
}

// touchedText says "2 of 30 partitions, 1 more may".
func touchedText(c run.TargetChange) string {
	if c.Change == run.ChangeRemoved || c.Partitions+c.May == 0 {
		return ""
	}
	count := func(n int) string {
		if n == c.Of {
			return "all"
		}
		return Count(int64(n)) + " of " + Count(int64(c.Of))
	}
	switch {
	case c.Of == 1 && c.May == 1:
		return "may"
	case c.Of == 1:
		return ""
	case c.May == 0:
		return count(c.Partitions)
	case c.Partitions == 0:
		return count(c.May) + " may"
	}
	return count(c.Partitions) + ", " + Count(int64(c.May)) + " more may"
}

// owners names who has to know.
func (p printer) owners(owners []run.OwnerChange) (lines []string) {
	for _, o := range owners {
		if o.Owner == "" {
			continue
		}
		var parts []string
		for _, x := range []struct {
			what   string
			labels []string
		}{{"changed", o.Changed}, {"downstream", o.Consumers}} {
			if len(x.labels) > 0 {
				shown := x.labels[:p.limit(len(x.labels))]
				text := strings.Join(shown, ", ")
				if more := len(x.labels) - len(shown); more > 0 {
					text += " and " + Count(int64(more)) + " more"
				}
				parts = append(parts, text+" "+x.what)
			}
		}
		lines = append(lines, "  "+clean(o.Owner)+": "+strings.Join(parts, "; "))
	}
	if lines != nil {
		lines = append([]string{p.faint.Sprint("owners:")}, lines...)
	}
	return lines
}

// planned is a table of the targets of which jobs run or may run.
func (p printer) planned(targets []run.TargetForecast, edges bool) []string {
	rows := [][]string{{"", p.faint.Sprint("to run"), p.faint.Sprint("may run"), p.faint.Sprint("reads"), p.faint.Sprint("a job takes"), p.faint.Sprint("in all")}}
	reads := [][]run.EdgeRead{nil}
	for _, t := range targets {
		if t.Run.Jobs+t.MayRun.Jobs == 0 {
			continue
		}
		both := Sum(t.Run, t.MayRun)
		rows = append(rows, []string{t.Target, p.byReason(t.Run.Jobs, t.Why), p.byReason(t.MayRun.Jobs, t.After), bytesText(both), tookText(t.Took), wallText(both)})
		reads = append(reads, t.Reads)
	}
	table := columns(rows)
	var lines []string
	for k, line := range table {
		if limit := p.limit(len(table)); k == limit && k > 0 {
			return p.andMore(lines, len(table)-k)
		}
		lines = append(lines, line)
		for _, r := range reads[k] {
			if edges {
				lines = append(lines, p.faint.Sprintf("    reads %s (%s)", r.From, r.Words))
			}
		}
	}
	return lines
}

// byReason counts jobs by their reasons: "30: 28 code, 2 new".
func (p printer) byReason(jobs int, why []run.Why) string {
	if jobs == 0 {
		return ""
	}
	parts := make([]string, len(why))
	for k, x := range why {
		parts[k] = clean(strings.Join(x.Reasons, " + "))
		if len(why) > 1 {
			parts[k] = Count(int64(x.Jobs)) + " " + parts[k]
		}
	}
	const most = 3
	if len(parts) > most && !p.verbose {
		parts = append(parts[:most], "…")
	}
	return Count(int64(jobs)) + ": " + strings.Join(parts, ", ")
}

// Sum adds loads up.
func Sum(loads ...run.Load) (l run.Load) {
	for _, m := range loads {
		l.Add(m)
	}
	return l
}

func bytesText(l run.Load) string { return atLeast(Bytes(l.BytesRead), l.NoBytes, l.Jobs) }

func wallText(l run.Load) string { return atLeast(Duration(l.Wall), l.NoWall, l.Jobs) }

func cpuText(l run.Load) string { return atLeast(Duration(l.CPU), l.NoCPU, l.Jobs) }

// atLeast says what is not known of some jobs, or of all.
func atLeast(text string, unknown, jobs int) string {
	switch unknown {
	case 0:
		return text
	case jobs:
		return "unknown"
	}
	return fmt.Sprintf("at least %s (%s unknown)", text, plural(unknown, "job"))
}

// tookText is the median with the spread of nine jobs of ten.
func tookText(t *run.Took) string {
	switch {
	case t == nil:
		return "unknown"
	case t.Runs == 1:
		return Duration(t.Median)
	}
	return fmt.Sprintf("%s (%s to %s)", Duration(t.Median), Duration(t.P10), Duration(t.P90))
}

// runs counts the jobs.
func (p printer) runs(f *run.Forecast) string {
	switch {
	case f.Run.Jobs > 0 && f.MayRun.Jobs > 0:
		return plural(f.Run.Jobs, "job") + " to run, and at most " + Count(int64(f.MayRun.Jobs)) + " more: what the others give decides"
	case f.Run.Jobs > 0:
		return plural(f.Run.Jobs, "job") + " to run"
	case f.MayRun.Jobs > 0:
		return "at most " + plural(f.MayRun.Jobs, "job") + " to run"
	}
	return "nothing to run"
}

// jobs counts all that takes part.
func (p printer) jobs(f *run.Forecast) string {
	line := p.runs(f)
	if f.Judged > 0 {
		line += "; " + Count(int64(f.Judged)) + " to judge, without a job"
	}
	if f.UpToDate > 0 {
		line += "; " + Count(int64(f.UpToDate)) + " up to date"
	}
	if f.Known > 0 {
		line += ", " + Count(int64(f.Known)) + " of them by results that are known, but not current"
	}
	return line
}

// times says what the jobs take: first what is certain, then with all that may run.
func (p printer) times(f *run.Forecast) []string {
	lists := []run.Load{f.Run, Sum(f.Run, f.MayRun)}
	spans := []run.Span{f.Least, f.Most}
	switch {
	case f.Run.Jobs == 0:
		lists, spans = lists[1:], spans[1:]
	case f.MayRun.Jobs == 0:
		lists, spans = lists[:1], spans[:1]
	}
	row := func(name string, text func(k int) string) []string {
		words := make([]string, len(lists))
		for k := range lists {
			words[k] = text(k)
		}
		return []string{p.faint.Sprint(name), orAtMost(words)}
	}
	return columns([][]string{
		row(fmt.Sprintf("time, %s at once", Count(int64(f.Places))), func(k int) string {
			return atLeast(fromTo(spans[k].AtLeast, spans[k].AtMost), lists[k].NoWall, lists[k].Jobs)
		}),
		row("work", func(k int) string { return wallText(lists[k]) }),
		row("CPU", func(k int) string { return cpuText(lists[k]) }),
		row("reads", func(k int) string { return bytesText(lists[k]) }),
	})
}

// orAtMost joins what is certain and what may be.
func orAtMost(words []string) string {
	if len(words) == 2 && words[0] != words[1] {
		return words[0] + "; with all that may run " + words[1]
	}
	return words[0]
}

func fromTo(a, b time.Duration) string {
	if x, y := Duration(a), Duration(b); x != y {
		return x + " to " + y
	}
	return Duration(a)
}

// steps is how many jobs of the critical path are shown.
const steps = 10

func (p printer) critical(path []run.Step) []string {
	if len(path) < 2 {
		return nil
	}
	lines := []string{p.faint.Sprint("critical path:")}
	for k, s := range path {
		if k == steps && !p.verbose {
			return p.andMore(lines, len(path)-k)
		}
		name := "  " + s.Target
		if s.Partition != "" {
			name += "@" + s.Partition
		}
		took := "unknown"
		if s.Wall != nil {
			took = Duration(*s.Wall)
		}
		if s.May {
			took += ", if it runs"
		}
		lines = append(lines, name+p.faint.Sprint("  "+took))
	}
	return lines
}

// halted names what a build can't do anything about, and who can.
func (p printer) halted(list []run.Halt) (lines []string) {
	shown := list[:p.limit(len(list))]
	for _, h := range shown {
		line := p.red.Sprint(h.State) + " " + h.Target
		if h.First != "" {
			line += "@" + h.First
		}
		if h.Partitions > 1 {
			line += " and " + plural(h.Partitions-1, "more partition")
		}
		line += ": " + clean(h.Reason)
		if h.Waiting > 0 {
			line += "; " + plural(h.Waiting, "action") + " can't be built without"
		}
		if h.Owner != "" {
			line += "; owner " + clean(h.Owner)
		}
		lines = append(lines, line)
	}
	return p.andMore(lines, len(list)-len(shown))
}
