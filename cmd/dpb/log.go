package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
)

func (a *app) logCmd() *cobra.Command {
	var text, verify, lateness bool
	var past pastFlags
	c := &cobra.Command{
		Use:   "log LABEL[@PARTITION] | --builds | --what-ran | --lateness [PATTERN...] | --critical-path [BUILD]",
		Short: "List the versions of a partition, print the log of its last job, or tell what builds did and how often promises were kept",
		Long: `List the versions of a partition, newest first, also those that rules hold and those that were accepted; * marks the one that is current. With --text
it prints what the last job wrote to its standard output and error; with --verify, the last that dpb verify ran. With --lateness it takes patterns, and
tells how often each due time was kept: a partition is there from its first version on that was accepted.

--builds lists the builds of this workspace, of all its checkouts: number, start, how long it took, how it ended, what it did, who ran it, where, and the
command line, with the causes of what was left undone. A build that found nothing to do is not recorded; one without an end runs still, or was killed.
--what-ran lists the jobs: build, start, time, result, and why it ran. Both take patterns, --since and --until or --on, --failed and --limit.

--critical-path shows the chain of jobs that decided how long a build took: the one that ended last, before it the one that it had to wait for last, and
so on, each with its time and, if it had to wait for a place, for how long. All times are in UTC.` + exits(exitOK, exitUsage, exitLocal),
		Example: "  dpb log //plays:plays@day=2017-06-15\n  dpb log --text //spam:classified@day=2017-06-15\n  dpb log --lateness //...\n  dpb log --builds --since 7d --failed\n  dpb log --what-ran --on tuesday //reports/...\n  dpb log --critical-path 12",
		Args: func(c *cobra.Command, args []string) error {
			if err := past.check(c); err != nil || lateness || past.listing() {
				return err
			}
			if past.critical {
				return cobra.MaximumNArgs(1)(c, args)
			}
			return cobra.ExactArgs(1)(c, args)
		},
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			if lateness {
				return a.lateness(args)
			}
			if past.listing() || past.critical {
				return a.whatWas(past, args)
			}
			return a.withTarget(args[0], func(s *run.Session, sel graph.Selected) error {
				if text || verify {
					if len(sel.Partitions) != 1 {
						return usagef("%s means %s; name one", args[0], plural(len(sel.Partitions), "partition"))
					}
					out := a.raw()
					err := s.CopyLog(c.Context(), out, sel.Node, sel.Partitions[0], verify)
					err = errors.Join(err, out.Close())
					if errors.Is(err, run.ErrNoRun) {
						return usagef("%s: %w", args[0], err)
					}
					return err
				}
				return a.history(s, sel)
			})
		},
	}
	c.Flags().BoolVar(&text, "text", false, "print the log of the last job")
	c.Flags().BoolVar(&verify, "verify", false, "print the log of the last job that dpb verify ran")
	c.Flags().BoolVar(&lateness, "lateness", false, "tell how often each due time was kept")
	past.add(c)
	a.jsonFlag(c)
	return c
}

// raw is where bytes go that others wrote: as they are to a file or program, and without what steers it to a terminal.
func (a *app) raw() io.WriteCloser {
	if isatty.IsTerminal(a.stdout.Fd()) {
		return &ui.Cleaner{Out: a.stdout}
	}
	return notClosed{a.stdout}
}

type notClosed struct{ io.Writer }

func (notClosed) Close() error { return nil }

func (a *app) history(s *run.Session, sel graph.Selected) error {
	all := []run.Entry{}
	for _, i := range sel.Partitions {
		entries, err := s.History(sel.Node, i)
		if err != nil {
			return err
		}
		all = append(all, entries...)
		if a.json {
			continue
		}
		for _, e := range entries {
			a.printEntry(sel.Node.Target.Label.At(sel.Node.Set.Text(i)), e)
		}
	}
	if a.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintf(a.stderr, "%s has no version yet; dpb build makes one\n", sel.Node.Target.Label)
	}
	return nil
}

func (a *app) printEntry(name string, e run.Entry) {
	mark := " "
	if e.Current {
		mark = "*"
	}
	commit := e.Provenance.Commit
	switch {
	case commit == "":
		commit = "no commit"
	case e.Provenance.Dirty:
		commit = commit[:min(12, len(commit))] + " with changes"
	default:
		commit = commit[:min(12, len(commit))]
	}
	state := ""
	if what := e.Standing.String(); what != "" {
		state = "  " + ui.Line(what)
	}
	if what := e.Verified.String(); what != "" {
		state += "  " + what
	}
	fmt.Fprintf(a.stdout, "%s %s#%s  %s  %s  %s on %s%s\n", mark, name, e.Version[:12], e.Created.UTC().Format("2006-01-02 15:04:05"), commit, e.Provenance.User,
		e.Provenance.Host, state)
}
