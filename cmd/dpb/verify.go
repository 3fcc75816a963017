package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

type verifyFlags struct {
	jobs       int
	partitions []string
}

func (a *app) verifyCmd() *cobra.Command {
	var f verifyFlags
	c := &cobra.Command{
		Use:   "verify [PATTERN...]",
		Short: "Run jobs again, and compare what they give with what is recorded",
		Long: `Run the jobs of fresh targets again, on the inputs that they had, and compare what they give with what is recorded: to the byte and, of what differs, by
column and row. It runs all, also after one that differs or fails. Nothing moves: no pointer, no dpb-out, no verdict. Each run is kept beside the recorded one: dpb show
and dpb log tell of it, and dpb log --verify prints its log.

What is not fresh can't be verified, and neither can a job when the store has lost bytes that it read: both count as stale. What is frozen is verified if it would have
the same key now; else it is said to stay, and does not count. Actions that share a key share a job.
Without a pattern it verifies everything.` + exitsMeaning(map[int]string{exitOK: "every job gave the same", exitFailed: "something differs, or a job failed",
			exitStale: "some could not be verified: not fresh, or inputs are gone"},
			exitOK, exitFailed, exitUsage, exitStale, exitLocked, exitLocal, exitInterrupted, exitTerminated),
		Example:           "  dpb verify //reports:royalties@month=2017-06\n  dpb verify //... -j 4 --json\n  dpb verify :plays --partition day=2017-06-01..2017-06-07",
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			if f.jobs < 1 && c.Flags().Changed("jobs") {
				return usagef("-j %d: want a positive number", f.jobs)
			}
			return a.withSession(false, func(s *run.Session) error { return a.verify(s, args, f) })
		},
	}
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "how many jobs run at once; default: one a core")
	c.Flags().StringArrayVarP(&f.partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	a.progressFlag(c)
	a.lockFlag(c)
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) verify(s *run.Session, args []string, f verifyFlags) error {
	selected, err := a.selectPatterns(s.Graph, args, f.partitions)
	if err != nil {
		return err
	}
	if onlySources(selected) {
		return usagef("%s: sources have no jobs to verify; name targets", strings.Join(args, " "))
	}
	found, err := a.runAgain(s, selected, f)
	if refused := (*run.RefusedError)(nil); errors.As(err, &refused) {
		return a.report(refused.Problems, a.sources)
	}
	if err != nil {
		return err
	}
	if reason := s.NotIsolated(); reason != "" {
		fmt.Fprintln(a.stderr, "note: "+ui.NotIsolated(reason))
	}
	if a.json {
		err = a.printJSON(found)
	} else {
		a.printVerified(found)
	}
	if code := exitOfVerify(found); err == nil && code != exitOK {
		return &exitError{code: code}
	}
	return err
}

func onlySources(selected []graph.Selected) bool {
	for _, sel := range selected {
		if sel.Node.Target.Kind != engine.Source {
			return false
		}
	}
	return true
}

// runAgain runs the jobs and shows how that goes.
func (a *app) runAgain(s *run.Session, selected []graph.Selected, f verifyFlags) ([]run.Verification, error) {
	ctx, kill, caught, stop := interruptible()
	defer stop()
	a.caught = caught
	mode, err := ui.ParseMode(a.progress)
	if err != nil {
		return nil, usagef("--progress: %w", err)
	}
	if a.json && mode == ui.Auto {
		mode = ui.Quiet
	}
	events, done := ui.New(ui.Options{Mode: mode, Out: a.stderr, JSON: os.Stderr, Color: a.color})
	defer done()
	return s.Verify(ctx, selected, run.Options{Jobs: f.jobs, Events: events, Kill: kill})
}

func exitOfVerify(list []run.Verification) int {
	code := exitOK
	for _, v := range list {
		switch v.Result {
		case run.GaveOther, run.RanFailed:
			code = worst(code, exitFailed)
		case run.InputsGone, run.NotFresh:
			code = worst(code, exitStale)
		case run.LockedOut:
			code = worst(code, exitLocked)
		case run.RanNot:
			code = worst(code, exitLocal)
		}
	}
	return code
}

// printVerified prints all that is not as it was, and counts the rest.
func (a *app) printVerified(list []run.Verification) {
	counts := map[string]int{}
	for _, v := range list {
		counts[v.Result]++
		if v.Result == run.GaveSame || v.Reason == run.Interrupted {
			continue
		}
		label, _ := engine.ParseLabel(v.Target, "")
		fmt.Fprintf(a.stdout, "%-9s %s: %s\n", v.Result, label.At(v.Partition), ui.Line(v.Reason))
		if v.Result != run.GaveOther {
			continue
		}
		for _, log := range []struct{ of, path string }{{"the recorded", v.LogBefore}, {"this", v.Log}} {
			if log.path != "" {
				fmt.Fprintf(a.stdout, "  log of %s run: %s\n", log.of, ui.Line(log.path))
			}
		}
	}
	same, other := counts[run.GaveSame], counts[run.GaveOther]
	text := fmt.Sprintf("%d verified, %d differ", same+other, other)
	for _, r := range []struct{ result, words string }{{run.RanFailed, "failed"}, {run.InputsGone, "can't be verified"}, {run.NotFresh, "not fresh"}, {run.NotWanted, "frozen"}, {run.LockedOut, "run by another dpb"}, {run.RanNot, "did not run"}} {
		if n := counts[r.result]; n > 0 {
			text += fmt.Sprintf(", %d %s", n, r.words)
		}
	}
	fmt.Fprintln(a.stdout, text)
}

// verifiedText is what dpb show says of a version's verification; "" if nobody looked.
func verifiedText(v *run.Verified) string {
	if v == nil {
		return ""
	}
	text := plural(v.Times, "time") + ", last on " + v.Last.UTC().Format("2006-01-02 15:04 UTC") + ": "
	switch {
	case v.Differs > 0:
		text += fmt.Sprintf("not reproducible, %d gave something else", v.Differs)
		if v.Outputs != nil {
			text += " (" + strings.Join(v.Outputs, ", ") + ")"
		}
	case v.Failed < v.Times:
		text += "gave the same"
	}
	if v.Failed > 0 {
		text += fmt.Sprintf(", %d failed", v.Failed)
	}
	return strings.Replace(text, ": , ", ": ", 1)
}
