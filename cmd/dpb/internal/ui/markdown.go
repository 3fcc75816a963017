package ui

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// Report is what a pull request shows of its data.
type Report struct {
	Converged bool `json:"converged"`
	*run.Review
	ByLock   bool             `json:"by_lock"`           // pipeline.lock answered, as there is no store
	Forecast *run.Forecast    `json:"forecast"`          // what it takes to bring all to fresh
	Against  *run.Against     `json:"against,omitempty"` // how the workspace differs from a revision; nil: from none
	Data     *run.DataChanges `json:"data,omitempty"`    // likewise the locks; nil if either has none
	Notes    []string         `json:"notes"`             // what the report goes by, and what is not known

	Lenient bool   `json:"-"` // nothing in it fails the command
	Prefix  string `json:"-"` // where the workspace lies in its repository: "" or "a/b/"
}

// How much of what a report lists is shown, so that it stays a page. Its JSON has all, as has dpb status.
const (
	mostRows  = 15
	mostNames = 4
	mostText  = 300 // columns of a text
)

// Markdown writes a report as GitHub and GitLab show it. What others wrote, such as values of data, can't change how it looks.
func Markdown(w io.Writer, r *Report) {
	m := markdown{w, r}
	title := "## dpb: converged"
	if !r.Converged {
		title = "## dpb: not converged"
	}
	m.line(title, "", r.verdict()+".")
	m.outdated()
	m.ruled()
	if r.Against != nil {
		m.against(r.Against)
	}
	if r.Data != nil {
		m.data(r.Data)
		m.accepted(r.Data.Accepted)
	}
	if len(r.Notes) > 0 {
		m.line("")
	}
	for _, note := range r.Notes {
		m.line("- " + prose(note))
	}
}

// BrokenMarkdown writes that the files of a workspace are not sound.
func BrokenMarkdown(w io.Writer, problems []engine.Problem, prefix string) {
	m := markdown{w: w}
	m.line("## dpb: the configuration is broken", "")
	for _, p := range problems[:min(len(problems), mostRows)] {
		text := p.Severity.String() + ": " + prose(p.Summary)
		if p.Range.File != "" {
			text = code(fmt.Sprintf("%s%s:%d", prefix, p.Range.File, p.Range.Start.Line)) + " " + text
		}
		m.line("- " + text)
	}
	m.more(len(problems), "`dpb validate`")
}

// verdict counts the partitions by state, what is settled last.
func (r *Report) verdict() string {
	var open, settled []string
	for _, s := range r.States {
		text := Count(int64(s.Partitions)) + " " + s.State
		if s.State == engine.Fresh.String() || s.State == engine.Frozen.String() {
			settled = append(settled, text)
		} else {
			open = append(open, text)
		}
	}
	if len(r.States) == 0 {
		return "no partitions"
	}
	return strings.Join(append(open, settled...), ", ")
}

// Verdict is the report in a line.
func (r *Report) Verdict() string {
	if r.Converged {
		return "converged: " + r.verdict()
	}
	return "not converged: " + r.verdict()
}

type markdown struct {
	w io.Writer
	r *Report
}

func (m markdown) line(lines ...string) { writeLines(m.w, lines...) }

func (m markdown) section(title string) { m.line("", "### "+title, "") }

// table writes a row for each of as many things as fit; where lists all of them.
func table[T any](m markdown, where string, header []string, things []T, row func(T) []string) {
	m.line("| "+strings.Join(header, " | ")+" |", strings.Repeat("| --- ", len(header))+"|")
	for _, x := range things[:min(len(things), mostRows)] {
		m.line("| " + strings.Join(row(x), " | ") + " |")
	}
	m.more(len(things), where)
}

// more says how much of a list was left out.
func (m markdown) more(all int, where string) {
	if all > mostRows {
		m.line("", fmt.Sprintf("… and %s more: %s lists them.", Count(int64(all-mostRows)), where))
	}
}

// outdated tells what is stale, missing or failed, and what waits for it.
func (m markdown) outdated() {
	roots := slices.DeleteFunc(slices.Clone(m.r.Roots), func(x run.Root) bool { return x.Findings != nil })
	if len(roots) == 0 {
		return
	}
	m.section("Out of date")
	table(m, "`dpb status`", []string{"target", "owner", "state", "partitions", "why", "what waits for it"}, roots, func(x run.Root) []string {
		return []string{code(x.Target), owner(x.Owner), x.State, partitionsOf(x), prose(because(x)), followers(x)}
	})
	m.line("", "To bring it up to date: "+cost(m.r.Forecast)+".")
	if m.r.ByLock {
		m.line("Build it, call `dpb lock`, and commit the locks.")
	}
}

// ruled tells what rules hold or refuse, and how it is accepted.
func (m markdown) ruled() {
	type ruled struct {
		run.Root
		f engine.Finding
	}
	var found []ruled
	var commands []string
	for _, x := range m.r.Roots {
		for _, f := range x.Findings {
			found = append(found, ruled{x, f})
		}
		if command := acceptance(x); command != "" {
			commands = append(commands, command)
		}
	}
	if found == nil {
		return
	}
	m.section("Held or refused by rules")
	table(m, "`dpb status`", []string{"what", "and more", "owner", "rule", "found", "wanted", "message", "where"}, found, func(x ruled) []string {
		what, want := x.f.Observed, x.f.Bound
		if x.f.Reason != "" {
			what, want = x.f.Reason, ""
		}
		return []string{code(at(x.Root)), moreOf(x.Root), owner(owners(x.Root)), x.State + " by " + code(ruleName(x.f)), prose(what), prose(want), prose(x.f.Message), m.place(x.f)}
	})
	if commands == nil {
		return
	}
	m.line("", "Mend it upstream and build again; or, if it is right, accept it where it was built:", "")
	for _, command := range commands[:min(len(commands), mostRows)] {
		m.line("- " + code(command))
	}
	m.more(len(commands), "`dpb status`")
}

// against tells what the workspace differs in from a revision, and whom that concerns.
func (m markdown) against(a *run.Against) {
	m.section("What differs from " + code(a.Revision))
	if len(a.Changes) == 0 {
		m.line("Nothing that targets are made of.")
		return
	}
	table(m, "`dpb plan --against`", []string{"", "target", "owner", "partitions", "what"}, a.Changes, func(c run.TargetChange) []string {
		what := c.What
		if c.Change == run.ChangeConsumer {
			what = append(slices.Clone(what), "needs "+strings.Join(c.Because, ", "))
		}
		return []string{c.Change, code(c.Target), owner(c.Owner), touchedText(c), prose(strings.Join(what, "; "))}
	})
	m.line("")
	if teams := teams(a.Owners); teams != nil {
		m.line("Teams: " + some(teams, mostRows) + ".")
	}
	m.line("Where " + code(a.Revision) + " is built, this takes: " + cost(a.Forecast) + ".")
}

// teams names the owners, with how much of theirs is touched.
func teams(owners []run.OwnerChange) (out []string) {
	for _, o := range owners {
		var parts []string
		if n := len(o.Changed); n > 0 {
			parts = append(parts, Count(int64(n))+" changed")
		}
		if n := len(o.Consumers); n > 0 {
			parts = append(parts, Count(int64(n))+" downstream")
		}
		if o.Owner != "" {
			out = append(out, owner(o.Owner)+" ("+strings.Join(parts, ", ")+")")
		}
	}
	return out
}

// data tells what of the data that was accepted differs from that of a revision.
func (m markdown) data(d *run.DataChanges) {
	if len(d.Targets) == 0 {
		return
	}
	m.section("Data that differs, by pipeline.lock")
	table(m, "`dpb ci --json`", []string{"target", "owner", "changed", "new", "gone", "rows of what changed", "largest changes"}, d.Targets, func(c run.DataChange) []string {
		var sums, facts []string
		for _, r := range c.Rows {
			sums = append(sums, prose(rowsText(r)))
		}
		for _, f := range c.Largest {
			facts = append(facts, prose(factText(f)))
		}
		return []string{code(c.Target), owner(c.Owner), nonzero(c.Changed), nonzero(c.New), nonzero(c.Gone), strings.Join(sums, "; "), strings.Join(facts, "; ")}
	})
}

// accepted tells what people said of what rules held or refused.
func (m markdown) accepted(said []engine.Acceptance) {
	if len(said) == 0 {
		return
	}
	m.section("Accepted")
	for _, a := range said[:min(len(said), mostRows)] {
		var rules []string
		for _, f := range a.Findings {
			rules = append(rules, code(ruleName(f)))
		}
		text := code(a.Label.At(a.Partition)) + " (" + some(rules, mostNames) + ")"
		if a.Revoked {
			text += " no longer"
		}
		m.line("- " + text + ", by " + prose(a.By.User) + ": " + prose(a.Reason))
	}
	m.more(len(said), "`dpb accept --list`")
}

func (m markdown) place(f engine.Finding) string {
	if f.File == "" {
		return ""
	}
	return code(m.r.Prefix + f.File + ":" + strconv.Itoa(f.Line))
}

// at names a root by its first partition.
func at(x run.Root) string {
	label, err := engine.ParseLabel(x.Target, "")
	if err != nil {
		return x.Target
	}
	return label.At(x.First)
}

func moreOf(x run.Root) string {
	if x.Partitions == 1 {
		return ""
	}
	return plural(x.Partitions-1, "more partition")
}

func partitionsOf(x run.Root) string {
	if x.First == "" {
		return ""
	}
	if x.Partitions == 1 {
		return code(x.First)
	}
	return Count(int64(x.Partitions)) + " from " + code(x.First)
}

// owners are who can act on a root: its owner, and that of what it refuses.
func owners(x run.Root) string {
	if x.ProducerOwner == "" || x.ProducerOwner == x.Owner {
		return x.Owner
	}
	return strings.TrimPrefix(x.Owner+", "+x.ProducerOwner, ", ")
}

// because is why a root is as it is. Of several partitions each may have reasons of its own.
func because(x run.Root) string {
	if x.Partitions == 1 || len(x.Why) < 2 {
		return x.Reason
	}
	var parts []string
	for _, w := range x.Why {
		parts = append(parts, Count(int64(w.Jobs))+" "+strings.Join(w.Reasons, " + "))
	}
	return some(parts, mostNames) + "; the first: " + x.Reason
}

// followers names the targets that wait for a root.
func followers(x run.Root) string {
	var names []string
	for _, f := range x.Followers {
		text := code(f.Target)
		if f.Partitions > 1 {
			text += " (" + Count(int64(f.Partitions)) + ")"
		}
		names = append(names, text)
	}
	return some(names, mostNames)
}

func ruleName(f engine.Finding) string {
	if f.Input != "" {
		return "input " + f.Input + ": " + f.Rule
	}
	return f.Rule
}

// acceptance is the command that accepts a root, of several partitions the first; "" if it can't be accepted.
func acceptance(x run.Root) string {
	broken := slices.ContainsFunc(x.Findings, func(f engine.Finding) bool { return f.Broken })
	switch {
	case x.Findings == nil || broken:
		return ""
	case x.Input != "":
		return fmt.Sprintf(`dpb accept '%s' --input %s --reason "..."`, at(x), x.Input)
	}
	return fmt.Sprintf(`dpb accept '%s#%s' --reason "..."`, at(x), x.Version)
}

// cost is what jobs take, in a line.
func cost(f *run.Forecast) string {
	text := printer{}.runs(f)
	if f.Judged > 0 {
		text += "; " + Count(int64(f.Judged)) + " to judge, without a job"
	}
	both := Sum(f.Run, f.MayRun)
	if both.Jobs == 0 {
		return text
	}
	walls := []string{wallText(f.Run), wallText(both)}
	switch {
	case both.NoWall == both.Jobs:
		walls = []string{"unknown, as there is no history here"}
	case f.Run.Jobs == 0:
		walls = walls[1:]
	}
	return text + "; time of jobs " + orAtMost(walls)
}

func rowsText(r run.RowsChange) string {
	text := Count(r.Old) + " → " + Count(r.New)
	if r.Old > 0 && r.Old != r.New {
		text += fmt.Sprintf(" (%+.3g %%)", 100*float64(r.New-r.Old)/float64(r.Old))
	}
	if r.Output != "" {
		text = r.Output + " " + text
	}
	return text
}

func factText(f run.FactChange) string {
	text := strings.TrimPrefix(f.Name, "metric.") + " " + strconv.FormatFloat(f.Old, 'g', 6, 64) + " → " + strconv.FormatFloat(f.New, 'g', 6, 64)
	if f.Partition != "" {
		text = f.Partition + " " + text
	}
	return text
}

func nonzero(n int) string {
	if n == 0 {
		return ""
	}
	return Count(int64(n))
}

// some joins the first of a list, and says how many more there are.
func some(list []string, most int) string {
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return strings.Join(list[:most], ", ") + fmt.Sprintf(" and %d more", len(list)-most)
}

func owner(text string) string {
	if text == "" {
		return ""
	}
	return code(text)
}

// plainCode is what may stand between backticks, also in a table.
func plainCode(r rune) bool { return r != '`' && r != '|' && r != '\\' }

// code writes a name, or what else has to be read letter by letter. Nobody is called by it whose name stands in it.
func code(text string) string {
	text = cut(Line(text), mostText)
	if text == "" || strings.IndexFunc(text, func(r rune) bool { return !plainCode(r) }) < 0 {
		return "`" + text + "`"
	}
	var b strings.Builder
	for _, r := range text {
		if r < 0x80 && !isWord(r) && r != ' ' {
			fmt.Fprintf(&b, "&#%d;", r)
		} else {
			b.WriteRune(r)
		}
	}
	return "<code>" + b.String() + "</code>"
}

func isWord(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// proseEscapes are letters that would mean something to Markdown.
var proseEscapes = func() *strings.Replacer {
	var pairs []string
	for _, r := range "\\`*_{}[]<>#|~&$!" {
		pairs = append(pairs, string(r), `\`+string(r))
	}
	return strings.NewReplacer(append(pairs, "@", "@<!-- -->")...)
}()

// prose writes a text of a line. Nobody is called by it whose name stands in it.
func prose(text string) string { return proseEscapes.Replace(cut(Line(text), mostText)) }
