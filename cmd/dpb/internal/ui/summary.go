package ui

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/run"
)

// listed is how many lines of one sort the summary of a build may have, unless it is verbose.
const listed = 20

// summary says at the end what ran, where the results lie, and what failed.
func (p printer) summary(s run.Summary) []string {
	lines := append([]string{p.headline(s)}, p.outputs(s.Outputs)...)
	lines = append(lines, p.remarks(s)...)
	return append(lines, p.failures(s.Failures)...)
}

// remarks are what is worth telling of a build that may have gone well.
func (p printer) remarks(s run.Summary) (lines []string) {
	for _, w := range s.Warnings {
		lines = append(lines, p.problem(w)...)
	}
	if s.NotIsolated != "" {
		lines = append(lines, p.yellow.Sprint("note")+": "+NotIsolated(s.NotIsolated))
	}
	return append(lines, p.warned(s.Warned)...)
}

// NotIsolated says that jobs ran without isolation, and why.
func NotIsolated(reason string) string {
	return "jobs ran without isolation, and could reach all that you can: " + reason
}

func (p printer) headline(s run.Summary) string {
	took := Duration(s.Wall)
	if s.Interrupted {
		line := p.yellow.Sprint("interrupted") + " after " + took + ": " + p.counts(s.Counts)
		if left := left(s.Counts); left > 0 {
			line += ", " + Count(int64(left)) + " left to do"
		}
		return line
	}
	if s.Spent {
		return p.yellow.Sprint("the budget is used up") + " after " + took + ": " + p.counts(s.Counts) + ", " + Count(int64(left(s.Counts))) + " left on what they had"
	}
	if s.Ran+s.Judged == 0 && onlyRules(s.Failures) {
		return "nothing to run: " + p.conditions(s.Counts) + p.faint.Sprint(" ("+took+")")
	}
	if s.Ran+s.Judged+s.Failed+s.Blocked+len(s.Failures) > 0 {
		line := p.counts(s.Counts) + ", in " + took
		if left := left(s.Counts); left > 0 {
			line += "; stopped at the first failure, " + Count(int64(left)) + " not started: -k goes on"
		}
		return line
	}
	line := "nothing to do"
	if s.Restored+s.Reshown > 0 {
		line = "nothing to run"
	}
	switch s.UpToDate {
	case 0:
	case 1:
		line += ": 1 action is up to date"
	default:
		line += ": " + Count(int64(s.UpToDate)) + " actions are up to date"
	}
	return line + putBack(s.Counts) + p.faint.Sprint(" ("+took+")")
}

// putBack says what was done without a job.
func putBack(c run.Counts) (text string) {
	if c.Restored > 0 {
		text = ", " + Count(int64(c.Restored)) + " of them from results that were known"
	}
	if c.Reshown > 0 {
		text += ", " + Count(int64(c.Reshown)) + " put back in " + engine.OutputDir
	}
	return text
}

// onlyRules says that something is left undone, and nothing but rules stands in its way.
func onlyRules(failures []run.Failure) bool {
	return len(failures) > 0 && !slices.ContainsFunc(failures, func(f run.Failure) bool { return f.State != engine.Held && f.State != engine.Refused })
}

// left counts the actions that the build did not come to.
func left(c run.Counts) int {
	return c.Total - c.UpToDate - c.Ran - (c.Held - c.HeldRan) - c.Refused - c.Failed - c.Blocked
}

func (p printer) counts(c run.Counts) string {
	line := p.green.Sprint("ran") + " " + plural(c.Ran, "job")
	if rest := p.conditions(c); rest != "" {
		line += ", " + rest
	}
	return line
}

// CountsText says what a build of the past came to.
func CountsText(c run.Counts) string {
	text := newPrinter(false, false).counts(c)
	return strings.TrimPrefix(text, "ran 0 jobs, ")
}

// conditions counts all but the jobs that ran.
func (p printer) conditions(c run.Counts) string {
	var parts []string
	add := func(n int, text string) {
		if n > 0 {
			parts = append(parts, Count(int64(n))+" "+text)
		}
	}
	add(c.Judged, "judged anew without a job")
	add(c.UpToDate, "up to date"+putBack(c))
	add(c.Same, "with the same result")
	add(c.Held, p.red.Sprint("held"))
	add(c.Refused, p.red.Sprint("refused"))
	add(c.Failed, p.red.Sprint("failed"))
	add(c.Blocked, p.yellow.Sprint("blocked"))
	return strings.Join(parts, ", ")
}

// outputs lists where results lie, in columns.
func (p printer) outputs(outputs []run.Output) []string {
	shown := outputs[:p.limit(len(outputs))]
	rows := make([][]string, len(shown))
	for i, o := range shown {
		rows[i] = []string{o.Label.String(), "", o.Path}
		switch {
		case o.Partitions < o.Of:
			rows[i][1] = fmt.Sprintf("%s of %s", Count(int64(o.Partitions)), plural(o.Of, "partition"))
		case o.Partitions > 1:
			rows[i][1] = plural(o.Partitions, "partition")
		}
	}
	return p.andMore(columns(rows), len(outputs)-len(shown))
}

// Columns is columns, for what commands list themselves.
func Columns(rows [][]string, right ...int) []string { return columns(rows, right...) }

// columns aligns rows to lines, those columns to the right that are named by their index; one that is empty throughout takes no place.
func columns(rows [][]string, right ...int) []string {
	lines := make([]string, len(rows))
	for c := 0; len(rows) > 0 && c < len(rows[0]); c++ {
		widest := 0
		for _, row := range rows {
			widest = max(widest, textWidth(row[c]))
		}
		if widest == 0 {
			continue
		}
		for i, row := range rows {
			space := strings.Repeat(" ", widest-textWidth(row[c]))
			if slices.Contains(right, c) {
				lines[i] += "  " + space + row[c]
			} else {
				lines[i] += "  " + row[c] + space
			}
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ")
	}
	return lines
}

func (p printer) limit(n int) int {
	if p.verbose {
		return n
	}
	return min(n, listed)
}

func (p printer) andMore(lines []string, more int) []string {
	if more > 0 {
		lines = append(lines, p.faint.Sprint("  … and "+Count(int64(more))+" more"))
	}
	return lines
}

// failures tells each root cause, who can act, and how much waits for it.
func (p printer) failures(failures []run.Failure) []string {
	causes := byCause(failures)
	shown := causes[:p.limit(len(causes))]
	var lines []string
	for _, c := range shown {
		lines = append(lines, p.cause(c)...)
	}
	return p.andMore(lines, len(causes)-len(shown))
}

// cause is what failed in the same way at one or more partitions of a target.
type cause struct {
	run.Failure // the first; Blocked is the sum
	partitions  int
	last        string
}

// byCause puts together what differs only by partition: a broken program fails at each of them.
func byCause(failures []run.Failure) []cause {
	type key struct {
		label         engine.Label
		state         engine.State
		reason, owner string
	}
	var causes []cause
	index := map[key]int{}
	for _, f := range failures {
		k := key{f.Label, f.State, f.Reason, f.Owner}
		switch f.State {
		case engine.MissingState:
			k.reason = "" // each names its own file
		case engine.Held, engine.Refused:
			k.reason = rules(f) // each has its own values
		}
		i, ok := index[k]
		if !ok {
			index[k] = len(causes)
			causes = append(causes, cause{f, 1, f.Partition})
			continue
		}
		causes[i].partitions++
		causes[i].last = f.Partition
		causes[i].Blocked += f.Blocked
	}
	return causes
}

// rules names the rules that fail.
func rules(f run.Failure) string {
	names := f.Input
	for _, found := range f.Findings {
		names += " " + found.Output + " " + found.Rule
	}
	return names
}

// where names the partitions that have one cause.
func (c cause) where() string {
	if c.partitions > 1 {
		return fmt.Sprintf("%s at %s (%s … %s)", c.Label, plural(c.partitions, "partition"), c.Partition, c.last)
	}
	return c.Label.At(c.Partition)
}

// first says that what follows is of the first partition.
func (c cause) first() string {
	if c.partitions > 1 {
		return ", the first"
	}
	return ""
}

// warned tells each rule that only warns, once for all partitions that violate it.
func (p printer) warned(list []run.Warned) []string {
	type key struct {
		label               engine.Label
		input, output, rule string
	}
	var causes []cause
	index := map[key]int{}
	for _, w := range list {
		for _, f := range w.Findings {
			k := key{w.Label, f.Input, f.Output, f.Rule}
			i, ok := index[k]
			if !ok {
				i, index[k] = len(causes), len(causes)
				causes = append(causes, cause{run.Failure{Label: w.Label, Partition: w.Partition, Owner: w.Owner, Findings: []engine.Finding{f}}, 0, ""})
			}
			causes[i].partitions++
			causes[i].last = w.Partition
		}
	}
	shown := causes[:p.limit(len(causes))]
	var lines []string
	for _, c := range shown {
		lines = append(lines, p.warning(c)...)
	}
	return p.andMore(lines, len(causes)-len(shown))
}

// warning is a rule that only warns, with what it found first.
func (p printer) warning(c cause) []string {
	f := c.Findings[0]
	line := p.yellow.Sprint("warning ") + c.where() + c.first() + ": " + clean(contract.Text(f))
	if c.Owner != "" {
		line += "; owner " + c.Owner
	}
	if f.File == "" {
		return []string{line}
	}
	return []string{line, p.place(f)}
}

// place says where a rule is declared.
func (p printer) place(f engine.Finding) string {
	return p.faint.Sprintf("  %s: %s:%d", f.Rule, clean(f.File), f.Line)
}

func (p printer) cause(c cause) []string {
	reason, _, _ := strings.Cut(c.Reason, "\n")
	line := p.red.Sprint(stateWord(c.State)+" ") + c.where()
	if c.Findings != nil {
		line += c.first()
	}
	if reason != "" {
		line += ": " + clean(reason)
	}
	if c.Blocked > 0 {
		line += "; " + p.yellow.Sprint(waiting(c.Blocked, c.partitions))
	}
	if c.Owner != "" {
		line += "; owner " + c.Owner
	}
	switch {
	case c.State == engine.Held || c.State == engine.Refused:
		return append([]string{line}, p.resolution(c)...)
	case c.State == engine.MissingState && c.partitions > 1:
		return []string{line, `  if they come late, write missing = "skip_newer" on the input; if there are no more, give the source or the partition an end`}
	case c.Log == "":
		return []string{line}
	case c.partitions > 1:
		return []string{line, "  log of the first: " + c.Log}
	}
	return []string{line, "  log: " + c.Log}
}

// resolution is what can be done about what is held or refused: each rule with its place, and the command that accepts it.
func (p printer) resolution(c cause) (lines []string) {
	for _, f := range c.Findings {
		if f.File != "" {
			lines = append(lines, p.place(f))
		}
	}
	look, accept := "look", "accept it"
	if c.partitions > 1 {
		look, accept = "look at the first", "accept each"
	}
	name := "'" + c.Label.At(c.Partition) + "#" + c.Version.Short() + "'"
	inspect := "  " + look + ": dpb show " + name
	if c.State == engine.Refused {
		name = c.Label.At(c.Partition) + " --input " + c.Input
		inspect = fmt.Sprintf("  input %s comes from %s", c.Input, c.Producer)
		if c.Also != "" {
			inspect += ", owner " + c.Also
		}
	}
	lines = append(lines, inspect)
	if slices.ContainsFunc(c.Findings, func(f engine.Finding) bool { return f.Broken }) {
		return append(lines, "  mend the rule: it can't be applied, which says nothing of the data")
	}
	if c.Findings == nil || c.Preview {
		return lines // what can't be judged, or was not recorded, can't be accepted
	}
	return append(lines, fmt.Sprintf("  fix it upstream and build again, or %s: dpb accept %s --reason \"...\"", accept, name))
}

func waiting(actions, causes int) string {
	object, verb := "it", "wait"
	if causes > 1 {
		object = "them"
	}
	if actions == 1 {
		verb = "waits"
	}
	return plural(actions, "action") + " " + verb + " for " + object
}

// stateWord names a state that says what went wrong; the others come from a job that failed before anything was decided.
func stateWord(s engine.State) string {
	switch s {
	case engine.MissingState, engine.Undecided, engine.Refused, engine.Held:
		return s.String()
	}
	return "failed"
}
