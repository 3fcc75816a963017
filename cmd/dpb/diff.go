package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

type diffFlags struct {
	run.DiffOptions
	rebuild, exitCode, all bool
	jobs                   int
}

func (a *app) diffCmd() *cobra.Command {
	var f diffFlags
	c := &cobra.Command{
		Use:   "diff A [B]",
		Short: "Compare two versions: schema, fingerprint, and rows by key",
		Long: `Compare two versions, two partitions, or the current version with what the working tree gives: their schemas, their fingerprints with the change of each
statistic, and their rows. Where the output declares a key, or --key names one, rows count as added, removed or changed by column; without a key as added or removed.

A and B are LABEL[@PARTITION][#VERSION]; without #VERSION the current one is meant. With A alone it is compared with the version that it replaced.
With --rebuild the current version of A is compared with the one that a build would make now: the jobs that this takes run, and current, dpb-out and consumers stay as
they are. So a team sees what a change of its code does before anyone uses it, and a later dpb build takes the results. With --exit-code the code is 1
where the versions differ.` +
			exits(exitOK, exitFailed, exitUsage, exitHeld, exitStale, exitLocked, exitLocal, exitInterrupted, exitTerminated),
		Example: `  dpb diff //spam:classified@day=2017-06-05 --rebuild
  dpb diff //plays:plays@day=2017-06-04 //plays:plays@day=2017-06-05
  dpb diff '#4f1c9a' '#77aa01' --exit-code --json`,
		Args: cobra.RangeArgs(1, 2), ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			if f.rebuild && len(args) == 2 {
				return usagef("--rebuild compares one target's current version with what the working tree gives; name one")
			}
			return a.withSession(!f.rebuild, func(s *run.Session) error { return a.diff(c.Context(), s, args, f) })
		},
	}
	c.Flags().BoolVar(&f.rebuild, "rebuild", false, "compare with what the working tree gives")
	c.Flags().BoolVar(&f.exitCode, "exit-code", false, "exit with 1 if the versions differ")
	c.Flags().BoolVarP(&f.all, "all", "a", false, "also list statistics that did not change")
	c.Flags().StringSliceVar(&f.Key, "key", nil, "columns that tell rows apart; default: the key that the output declares")
	c.Flags().IntVar(&f.Samples, "samples", 5, "how many rows of each kind to show")
	c.Flags().BoolVar(&f.NoRows, "no-rows", false, "compare schemas and fingerprints only, without reading data")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "of --rebuild: how many jobs run at once; default: one a core")
	a.progressFlag(c)
	a.lockFlag(c)
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) diff(ctx context.Context, s *run.Session, args []string, f diffFlags) error {
	if f.Samples <= 0 {
		f.Samples = -1 // none
	}
	from, to, note, err := a.sides(ctx, s, args, f)
	if err != nil {
		return err
	}
	diffs, err := s.Diff(ctx, from, to, f.DiffOptions)
	if errors.Is(err, run.ErrNoDiff) {
		return usagef("%w", err)
	}
	if err != nil {
		return err
	}
	if a.json {
		err = a.printJSON(struct {
			A       string           `json:"a"`
			B       string           `json:"b"`
			Outputs []run.OutputDiff `json:"outputs"`
		}{from.ID.String(), to.ID.String(), diffs})
	} else {
		a.printDiffs(from, to, note, diffs, f.all)
	}
	if err != nil || !f.exitCode {
		return err
	}
	for _, d := range diffs {
		if !d.Equal {
			return &exitError{code: exitDiffers}
		}
	}
	return nil
}

// sides finds the two versions, and what there is to say of the second.
func (a *app) sides(ctx context.Context, s *run.Session, args []string, f diffFlags) (from, to engine.Version, note string, err error) {
	if from, err = a.findVersion(s, args[0]); err != nil {
		return from, to, "", err
	}
	switch {
	case f.rebuild:
		to, note, err = a.rebuild(s, from, f)
	case len(args) == 2:
		to, err = a.findVersion(s, args[1])
	default:
		var ok bool
		to = from
		if from, ok, err = s.Before(to); err == nil && !ok {
			err = usagef("there is no version before %s; name a second one, or give --rebuild", args[0])
		}
	}
	return from, to, note, err
}

// rebuild makes the version that the working tree gives, and shows how that goes.
func (a *app) rebuild(s *run.Session, current engine.Version, f diffFlags) (engine.Version, string, error) {
	n := s.Graph.Node(current.Label)
	if n == nil {
		return current, "", usagef("the workspace has no %s any more", current.Label)
	}
	i, ok := n.Set.IndexText(current.Partition)
	if !ok {
		return current, "", usagef("%s is no partition of the workspace any more", current.Label.At(current.Partition))
	}
	ctx, kill, caught, stop := interruptible()
	defer stop()
	a.caught = caught
	mode, err := ui.ParseMode(a.progress)
	if err != nil {
		return current, "", usagef("--progress: %w", err)
	}
	if a.json {
		mode = ui.Quiet
	}
	events, done := ui.New(ui.Options{Mode: mode, Out: a.stderr, JSON: os.Stderr, Color: a.color})
	v, state, summary, err := s.Rebuild(ctx, n, i, run.Options{Jobs: f.jobs, KeepGoing: true, Events: events, Kill: kill, ExitCode: a.exitOfBuild})
	done()
	if refused := (*run.RefusedError)(nil); errors.As(err, &refused) {
		return v, "", a.report(refused.Problems, a.sources)
	}
	switch {
	case err != nil:
		return v, "", err
	case state == engine.Held:
		return v, "rules would hold it", nil
	case state != engine.Fresh:
		return v, "", cmp.Or(outcome(summary, nil), error(&exitError{code: exitFailed}))
	}
	return v, "", nil
}

func (a *app) printDiffs(from, to engine.Version, note string, diffs []run.OutputDiff, all bool) {
	fmt.Fprintf(a.stdout, "--- %s#%s\n+++ %s#%s", from.Label.At(from.Partition), from.ID.Short(), to.Label.At(to.Partition), to.ID.Short())
	if note != "" {
		fmt.Fprintf(a.stdout, " (%s)", note)
	}
	fmt.Fprintln(a.stdout)
	for _, d := range diffs {
		if len(diffs) > 1 {
			fmt.Fprintf(a.stdout, "\noutput %s\n%s\n", d.Output, strings.Repeat("─", len("output ")+len(d.Output)))
		}
		ui.Comparison(a.stdout, d.Comparison, a.width(), all)
	}
}
