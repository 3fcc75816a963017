package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/fatih/color"
	"github.com/spf13/cobra"
)

// pastFlags are those of dpb log that ask for builds and jobs instead of versions.
type pastFlags struct {
	builds, whatRan, critical bool
	since, until, on          string
	build                     int64
	failed                    bool
	limit                     int
}

func (f *pastFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.builds, "builds", false, "list builds, newest first; with patterns, those that ran a job of these")
	c.Flags().BoolVar(&f.whatRan, "what-ran", false, "list jobs, newest first")
	c.Flags().BoolVar(&f.critical, "critical-path", false, "show the chain of jobs that decided how long a build took; default: of the newest that ran a job")
	c.Flags().StringVar(&f.since, "since", "", "what began then or later: 2017-06-15, 2017-06-15T08:00, 7d or 2h ago, yesterday, tuesday (the last one); UTC unless an offset is given")
	c.Flags().StringVar(&f.until, "until", "", "what began before the end of that day, hour or minute")
	c.Flags().StringVar(&f.on, "on", "", "what began on that day: --on tuesday is --since tuesday --until tuesday")
	c.Flags().Int64Var(&f.build, "build", 0, "of --what-ran, the jobs of this build")
	c.Flags().BoolVar(&f.failed, "failed", false, "only what did not end well: builds that left something undone, jobs that failed or were held")
	c.Flags().IntVar(&f.limit, "limit", 50, "list so many at most; 0: all")
}

// listing says that builds or jobs are to be listed.
func (f *pastFlags) listing() bool { return f.builds || f.whatRan }

// check says what does not go together.
func (f *pastFlags) check(c *cobra.Command) error {
	mode := ""
	for _, name := range []string{"builds", "what-ran", "critical-path", "lateness", "text", "verify"} {
		switch {
		case !c.Flags().Changed(name):
		case mode != "":
			return usagef("--%s and --%s: name one", mode, name)
		default:
			mode = name
		}
	}
	for _, name := range []string{"since", "until", "on", "failed", "limit"} {
		if c.Flags().Changed(name) && !f.listing() {
			return usagef("--%s goes with --builds or --what-ran", name)
		}
	}
	period := f.since != "" || f.until != ""
	switch {
	case f.build != 0 && !f.whatRan:
		return usagef("--build goes with --what-ran")
	case f.build < 0 || f.limit < 0:
		return usagef("--build and --limit want positive numbers")
	case f.on != "" && period:
		return usagef("--on names a day, --since and --until a stretch of time: give one or the other")
	case f.build != 0 && (f.on != "" || period):
		return usagef("--build names one build: leave out --since, --until and --on")
	}
	return nil
}

// asked puts together what the flags and patterns ask for.
func (f *pastFlags) asked(a *app, s *run.Session, args []string) (q run.Asked, err error) {
	q.Build, q.Failed, q.Limit = f.build, f.failed, f.limit
	since, until := cmp.Or(f.since, f.on), cmp.Or(f.until, f.on)
	if since != "" {
		w, err := parseWhen(since, a.now)
		if err != nil {
			return q, usagef("--since: %w", err)
		}
		q.Since = w.from
	}
	if until != "" {
		w, err := parseWhen(until, a.now)
		if err != nil {
			return q, usagef("--until: %w", err)
		}
		q.Until = w.to
	}
	if !q.Since.IsZero() && !q.Until.IsZero() && !q.Since.Before(q.Until) {
		return q, usagef("nothing lies between --since %s (%s) and --until %s (%s)", since, instant(q.Since), until, instant(q.Until))
	}
	q.Patterns, err = a.pastPatterns(s, args)
	return q, err
}

// pastPatterns reads patterns that may mean what the workspace has no more. One that means nothing, now or then, is a mistake.
func (a *app) pastPatterns(s *run.Session, args []string) ([]engine.Pattern, error) {
	if len(args) == 0 {
		return nil, nil
	}
	patterns, err := a.parsePatterns(s.Graph, args, nil)
	if err != nil || s.Ledger == nil {
		return patterns, err
	}
	known, err := s.Ledger.Labels(s.Graph.Workspace.Name)
	if err != nil {
		return nil, err
	}
	for _, p := range patterns {
		if slices.ContainsFunc(known, p.Match) {
			continue
		}
		p.Subtract, p.Subset = false, nil
		if _, err := s.Graph.Select([]engine.Pattern{p}); err != nil {
			return nil, usagef("%w", err)
		}
	}
	return patterns, nil
}

func (a *app) whatWas(f pastFlags, args []string) error {
	return a.withSession(true, func(s *run.Session) error {
		if f.critical {
			return a.criticalPath(s, args)
		}
		q, err := f.asked(a, s, args)
		if err != nil {
			return err
		}
		if f.builds {
			return a.listBuilds(s, q)
		}
		return a.listRuns(s, q)
	})
}

// instant writes a time as all of dpb log does, in UTC.
func instant(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// pastBuild is a build for programs.
type pastBuild struct {
	run.PastBuild
	Outcome string        `json:"outcome"`
	Wall    time.Duration `json:"wall_ns,omitempty"`
}

func (a *app) listBuilds(s *run.Session, q run.Asked) error {
	list, more, err := s.Builds(q)
	if err != nil {
		return err
	}
	if a.json {
		out := make([]pastBuild, len(list))
		for k, b := range list {
			out[k] = pastBuild{b, outcomeOf(b), took(b)}
		}
		return a.printJSON(out)
	}
	rows := make([][]string, len(list))
	for k, b := range list {
		rows[k] = []string{strconv.FormatInt(b.Number, 10), instant(b.Started), lasted(b), paintOutcome(outcomeOf(b)), came(b), who(b.Provenance), ui.Line(b.Command)}
	}
	for k, line := range ui.Columns(rows, 0, 2) {
		fmt.Fprintln(a.stdout, line)
		a.printUnfinished(list[k])
	}
	a.after(len(list), more, "build", "builds")
	return nil
}

// maxCauses is how many root causes of one build are listed for people.
const maxCauses = 3

func (a *app) printUnfinished(b run.PastBuild) {
	for k, f := range b.Failures {
		if k == maxCauses {
			fmt.Fprintf(a.stdout, "        … and %s; --json has the first %d\n", plural(len(b.Failures)+b.More-k, "more cause"), engine.MaxUnfinished)
			break
		}
		line := f.State + " " + f.Target
		if f.Reason != "" {
			line += ": " + f.Reason
		}
		fmt.Fprintln(a.stdout, "        "+ui.Line(line))
	}
	if b.Error != "" {
		fmt.Fprintln(a.stdout, "        "+ui.Line(b.Error))
	}
}

// after says on what people may stumble: that there is nothing, or more.
func (a *app) after(listed int, more bool, noun, flag string) {
	switch {
	case listed == 0:
		fmt.Fprintf(a.stderr, "no %s is recorded that fits; dpb log --%s without limits lists what there is\n", noun, flag)
	case more:
		fmt.Fprintf(a.stderr, "the newest %d; there are more: --limit 0 lists all, --since fewer\n", listed)
	}
}

func counts(b run.PastBuild) run.Counts {
	c := b.Counts
	return run.Counts{Total: c.Total, Ran: c.Ran, Same: c.Same, UpToDate: c.UpToDate, Judged: c.Judged, Failed: c.Failed, Held: c.Held, Refused: c.Refused, Blocked: c.Blocked}
}

// came says what a build came to, or what it had done when it was last heard of.
func came(b run.PastBuild) string {
	text := ui.CountsText(counts(b))
	if b.Ended.IsZero() {
		text += " so far"
	}
	return text
}

func took(b run.PastBuild) time.Duration {
	if b.Ended.IsZero() {
		return 0
	}
	return b.Ended.Sub(b.Started)
}

// lasted is how long a build took; nothing of one without end.
func lasted(b run.PastBuild) string {
	if b.Ended.IsZero() {
		return ""
	}
	return ui.Duration(took(b))
}

func who(p engine.Provenance) string {
	text := ui.Line(p.User + " on " + p.Host)
	if p.Commit != "" {
		text += " at " + p.Commit[:min(12, len(p.Commit))]
	}
	if p.Dirty {
		text += " with changes"
	}
	return text
}

func (a *app) listRuns(s *run.Session, q run.Asked) error {
	if q.Build > 0 {
		if _, _, found, err := s.PastBuild(q.Build); err != nil || !found {
			return noBuild(q.Build, err)
		}
	}
	list, more, err := s.WhatRan(q)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(append([]run.PastRun{}, list...))
	}
	rows := make([][]string, len(list))
	for k, r := range list {
		number := ""
		if r.Build > 0 {
			number = strconv.FormatInt(r.Build, 10)
		}
		rows[k] = []string{number, instant(r.Started), ui.Duration(r.Wall), paintOutcome(r.Result), atPartition(r.Target, r.Partition), ui.Line(because(r))}
	}
	for _, line := range ui.Columns(rows, 0, 2) {
		fmt.Fprintln(a.stdout, line)
	}
	a.after(len(list), more, "job", "what-ran")
	return nil
}

// because tells why a job ran and what was wrong with it.
func because(r run.PastRun) string {
	switch {
	case r.Reason == "":
		return r.Why
	case r.Why == "":
		return r.Reason
	}
	return r.Reason + " (" + r.Why + ")"
}

func atPartition(label, partition string) string {
	if partition == "" {
		return label
	}
	return label + "@" + partition
}

func noBuild(number int64, err error) error {
	if err != nil {
		return err
	}
	return usagef("there is no build %d of this workspace; dpb log --builds lists them", number)
}

// criticalStep is one job of a critical path.
type criticalStep struct {
	Target  string        `json:"target"`
	Started time.Time     `json:"started"`
	Waited  time.Duration `json:"waited_ns"`
	Wall    time.Duration `json:"wall_ns"`
	Why     string        `json:"why,omitempty"`
}

// critical is what a build's time was spent on.
type critical struct {
	Build int64          `json:"build"`
	Wall  time.Duration  `json:"wall_ns,omitempty"` // of the build; 0: it did not end
	Total time.Duration  `json:"total_ns"`          // of the path: jobs, and what they waited for a place
	Path  []criticalStep `json:"path"`
}

func (a *app) criticalPath(s *run.Session, args []string) error {
	var number int64
	if len(args) == 1 {
		var err error
		if number, err = strconv.ParseInt(args[0], 10, 64); err != nil || number < 1 {
			return usagef("--critical-path takes the number of a build, as dpb log --builds lists them, not %q", args[0])
		}
	}
	b, runs, found, err := s.PastBuild(number)
	switch {
	case err == nil && !found && number == 0:
		return usagef("no build of this workspace is recorded that ran a job")
	case err != nil || !found:
		return noBuild(number, err)
	}
	c := critical{Build: b.Number, Wall: took(b), Path: []criticalStep{}}
	for _, r := range run.CriticalPath(runs) {
		c.Total += r.Waited + r.Wall
		c.Path = append(c.Path, criticalStep{r.Label.At(r.Partition), r.Started, r.Waited, r.Wall, r.Why})
	}
	if a.json {
		return a.printJSON(c)
	}
	a.printCritical(c, b)
	return nil
}

func (a *app) printCritical(c critical, b run.PastBuild) {
	rows := make([][]string, len(c.Path))
	for k, step := range c.Path {
		waited := ""
		if step.Waited >= 10*time.Millisecond {
			waited = "after " + ui.Duration(step.Waited) + " of waiting for a place"
		}
		rows[k] = []string{instant(step.Started), ui.Duration(step.Wall), step.Target, waited, ui.Line(step.Why)}
	}
	for _, line := range ui.Columns(rows, 1) {
		fmt.Fprintln(a.stdout, line)
	}
	switch {
	case len(rows) == 0:
		fmt.Fprintf(a.stderr, "build %d ran no job\n", c.Build)
	case b.Ended.IsZero():
		fmt.Fprintf(a.stdout, "build %d %s; so far %s for %s of it\n", c.Build, outcomeOf(b), ui.Duration(c.Total), plural(len(rows), "job"))
	default:
		fmt.Fprintf(a.stdout, "build %d took %s, %s of it for %s\n", c.Build, ui.Duration(c.Wall), ui.Duration(c.Total), plural(len(rows), "job"))
	}
}

// paintOutcome colours how something ended.
func paintOutcome(text string) string {
	switch text {
	case run.PastOK:
		return color.GreenString(text)
	case "running":
		return color.YellowString(text)
	}
	return color.RedString(text)
}
