package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

type buildFlags struct {
	jobs       int
	keepGoing  bool
	dryRun     bool
	verbose    bool
	partitions []string
	profile    string
	newest     bool
	oldest     bool
	budget     time.Duration
	thaw       bool
	locked     bool
}

func (a *app) buildCmd() *cobra.Command {
	var f buildFlags
	c := &cobra.Command{
		Use:   "build [PATTERN...]",
		Short: "Bring targets, and all that they need, to fresh",
		Long: `Bring targets, and all that they need, to fresh. Runs exactly the jobs for whose key there is no result yet; a job that gives the same
result as before does not make what depends on it run. What rules hold or refuse is kept, named and told with who can act; what depends on it keeps what it had.
Without a pattern it builds everything.` +
			exits(exitOK, exitFailed, exitUsage, exitHeld, exitStale, exitLocked, exitLocal, exitInterrupted, exitTerminated),
		Example:           "  dpb build //...\n  dpb build //reports:royalties@month=2017-06\n  dpb build :plays --partition day=2017-06-01..2017-06-07 -j 4 -k\n  dpb build //... --partition day=2017-01-01.. --budget 2h",
		ValidArgsFunction: a.completeLabels,
		RunE:              func(c *cobra.Command, args []string) error { return a.build(c, args, f) },
	}
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "how many jobs run at once; default: one a core")
	c.Flags().BoolVarP(&f.keepGoing, "keep-going", "k", false, "after a failure, go on with what does not depend on it")
	c.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "say what would run, and why, and run nothing")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show every job")
	c.Flags().StringArrayVarP(&f.partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	c.Flags().BoolVar(&f.newest, "newest-first", false, "of what is ready to run, start the newest partitions first; the default, but for targets that are judged against earlier partitions")
	c.Flags().BoolVar(&f.oldest, "oldest-first", false, "of what is ready to run, start the oldest partitions first")
	c.Flags().DurationVar(&f.budget, "budget", 0, "start no job any more after this time, such as 2h; what is left keeps what it had")
	c.Flags().BoolVar(&f.thaw, "thaw", false, "build what the patterns name although it is frozen")
	c.Flags().BoolVar(&f.locked, "locked", false, "reproduce what pipeline.lock holds: fail if that is not what the working tree asks for, or if a job gives anything else")
	c.MarkFlagsMutuallyExclusive("newest-first", "oldest-first")
	c.Flags().StringVar(&f.profile, "profile", "", "write a trace of the jobs to this file, for chrome://tracing or Perfetto")
	a.progressFlag(c)
	a.lockFlag(c)
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) build(c *cobra.Command, args []string, f buildFlags) error {
	if f.jobs < 1 && c.Flags().Changed("jobs") {
		return usagef("-j %d: want a positive number", f.jobs)
	}
	if f.budget <= 0 && c.Flags().Changed("budget") {
		return usagef("--budget %s: want a positive time, such as 2h", f.budget)
	}
	if f.locked {
		if err := a.checkLocked(c, args, f); err != nil {
			return err
		}
	}
	return a.withSession(f.dryRun, func(s *run.Session) error {
		selected, err := a.selectPatterns(s.Graph, args, f.partitions)
		if err != nil {
			return err
		}
		if f.dryRun {
			return a.dryRun(c.Context(), s, selected, f.options(nil, nil))
		}
		ctx, kill, caught, stop := interruptible()
		defer stop()
		a.caught = caught
		events, finish, err := a.events(f)
		if err != nil {
			return err
		}
		opts := f.options(events, kill)
		opts.ExitCode = a.exitOfBuild
		summary, err := s.Build(ctx, selected, opts)
		if refused := (*run.RefusedError)(nil); errors.As(err, &refused) {
			return errors.Join(finish(), a.report(refused.Problems, a.sources))
		}
		err = errors.Join(outcome(summary, err), finish())
		if !f.locked {
			err = errors.Join(err, a.keepLocked(c.Context(), s, summary))
		}
		return err
	})
}

// keepLocked writes the locks anew after a build, where dpb.hcl asks for that.
func (a *app) keepLocked(ctx context.Context, s *run.Session, built run.Summary) error {
	if !s.Graph.Workspace.Lock || built.Interrupted {
		return nil
	}
	changed, err := s.KeepLocked(ctx, built)
	if len(changed) > 0 && !a.json && a.progress != string(ui.Quiet) {
		fmt.Fprintf(a.stderr, "wrote %s\n", strings.Join(changed, ", "))
	}
	return err
}

func (f buildFlags) options(events run.Events, kill context.Context) run.Options {
	o := run.Options{Jobs: f.jobs, KeepGoing: f.keepGoing, Thaw: f.thaw, Locked: f.locked, Budget: f.budget, Events: events, Kill: kill}
	switch {
	case f.newest:
		o.Order = run.NewestFirst
	case f.oldest:
		o.Order = run.OldestFirst
	}
	return o
}

// events is what shows the build, and what has to be called when it is over.
func (a *app) events(f buildFlags) (run.Events, func() error, error) {
	mode, err := ui.ParseMode(a.progress)
	if err != nil {
		return nil, nil, usagef("--progress: %w", err)
	}
	if a.json {
		mode = ui.JSON
	}
	events, done := ui.New(ui.Options{Mode: mode, Out: a.stderr, JSON: a.stdout, Verbose: f.verbose, Color: a.color})
	finish := func() error { done(); return nil }
	if f.profile == "" {
		return events, finish, nil
	}
	file, err := os.Create(a.argPath(f.profile))
	if err != nil {
		return nil, nil, usagef("--profile: %w", err)
	}
	trace, end := ui.NewTrace(file)
	return ui.Both(events, trace), func() error { done(); return errors.Join(end(), file.Close()) }, nil
}

// outcome turns a build's end into an error with its exit code. The summary was shown already.
func outcome(s run.Summary, err error) error {
	if err != nil {
		return err
	}
	code := exitOK
	if s.Spent {
		code = exitStale
	}
	for _, f := range s.Failures {
		switch {
		case f.Locked:
			code = worst(code, exitLocked)
		case f.Local:
			code = worst(code, exitLocal)
		default:
			code = worst(code, exitOfState(f.State, 0))
		}
	}
	if code == exitOK {
		return nil
	}
	return &exitError{code: code}
}
