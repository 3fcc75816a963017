package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

type planFlags struct {
	jobs       int
	against    string
	edges, all bool
	partitions []string
}

func (a *app) planCmd() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan [PATTERN...]",
		Short: "Say what a build would run, why, and how long that takes",
		Long: `Say what a build would run, why, and how long that takes: by target, with the jobs that run for certain and those that early cutoff may spare; the critical path; and
what no build can do anything about, with who can. It warns of due times that can't hold. Times come from the newest runs that the ledger has of each target; where there
are none they are unknown. Changes nothing. dpb build -n lists the partitions one by one.

With --against it is about what differs from a git revision instead: which targets changed, in what, who owns them and what depends on them, and what it takes to
bring all that was built from that revision up to date. It needs neither store nor data.` + exits(exitOK, exitUsage, exitLocal),
		Example:           "  dpb plan\n  dpb plan //reports/... -j 8\n  dpb plan :plays --partition day=2017-06-01..2017-06-07 --json\n  dpb plan --against origin/main",
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			if f.jobs < 1 && c.Flags().Changed("jobs") {
				return usagef("-j %d: want a positive number", f.jobs)
			}
			a.warns = true
			return a.withSession(true, func(s *run.Session) error {
				selected, err := a.selectPatterns(s.Graph, args, f.partitions)
				if err != nil {
					return err
				}
				if f.against != "" {
					return a.planAgainst(c.Context(), s, selected, len(args)+len(f.partitions) == 0, f)
				}
				forecast, err := s.Forecast(c.Context(), selected, f.jobs)
				if err != nil {
					return err
				}
				promises, err := s.CheckPromises()
				if err != nil {
					return err
				}
				if err := a.report(promises, a.sources); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(forecast)
				}
				ui.Forecast(a.stdout, forecast, f.edges, f.all)
				return nil
			})
		},
	}
	c.Flags().StringVar(&f.against, "against", "", "compare with this git revision, as if that were built: what the changes since touch, whose that is, and what recomputing costs")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "reckon with so many jobs at once; default: one a core")
	c.Flags().BoolVar(&f.edges, "edges", false, "say in words what each target reads")
	c.Flags().BoolVarP(&f.all, "all", "a", false, "leave nothing out of long lists")
	c.Flags().StringArrayVarP(&f.partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) planAgainst(ctx context.Context, s *run.Session, selected []graph.Selected, whole bool, f planFlags) error {
	past, done, err := a.past(ctx, f.against, s.Graph.Workspace)
	if err != nil {
		return err
	}
	against, err := s.Against(ctx, past, selected, whole, f.jobs)
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	if a.json {
		return a.printJSON(against)
	}
	ui.Against(a.stdout, against, f.edges, f.all)
	return nil
}

// dryRun lists the actions that a build with these options would run, with those that it might.
func (a *app) dryRun(ctx context.Context, s *run.Session, selected []graph.Selected, opts run.Options) error {
	o, err := s.Outlook(ctx, selected, opts)
	if err != nil {
		return err
	}
	list, counts, code, known := []would{}, map[run.Fate]int{}, exitOK, 0
	for _, sel := range o.Needed {
		for _, i := range sel.Partitions {
			fate := o.Fate(sel.Node, i)
			if fate == run.Idle && !s.Known(o.Decider, sel.Node, i).IsZero() {
				known++
			}
			if fate == run.Idle || fate == run.Judged && o.Decider.State(sel.Node, i) == engine.Fresh {
				continue
			}
			counts[fate]++
			w, exit, err := wouldDo(ctx, s, o, sel.Node, i)
			if err != nil {
				return err
			}
			list, code = append(list, w), worst(code, exit)
		}
	}
	if err := printWould(a, list, counts, known); err != nil || code == exitOK {
		return err
	}
	return &exitError{code: code}
}

// wouldDo says what a build would do about an action, with the exit code for what can't be done.
func wouldDo(ctx context.Context, s *run.Session, o *run.Outlook, n *graph.Node, i int) (would, int, error) {
	st, err := statusOf(ctx, s, o.Decider, n, i)
	if err != nil {
		return would{}, 0, err
	}
	state, code := o.Decider.State(n, i), exitOK
	lost, certain := o.Lost(n, i)
	switch {
	case lost:
		st.Reason = run.Lost
		if certain {
			code = exitFailed
		}
	case state == engine.Fresh, o.Fate(n, i) != run.Halted && state == engine.Held:
		st.State, st.Reason = "evicted", "its bytes are gone, and are needed"
	case o.Decider.Problem(n.Base+graph.ActionID(i)) != nil:
		code = exitFailed
	case o.Fate(n, i) == run.Halted:
		code = exitOfState(state, rootState(s.Graph, o.Decider, n, i))
	}
	return would{st.Target, st.Partition, st.State, st.Reason}, code, nil
}

// would is an action that a build would run, or might.
type would struct {
	Target    string `json:"target"`
	Partition string `json:"partition,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason"`
}

func printWould(a *app, list []would, counts map[run.Fate]int, known int) error {
	if a.json {
		return a.printJSON(list)
	}
	for _, w := range list {
		label, _ := engine.ParseLabel(w.Target, "")
		fmt.Fprintf(a.stdout, "%-9s %s: %s\n", w.State, label.At(w.Partition), ui.Text(w.Reason))
	}
	runs, might, judged, halted := counts[run.Runs], counts[run.MayRun], counts[run.Judged], counts[run.Halted]
	text := plural(runs, "job") + " to run"
	if might > 0 {
		text += fmt.Sprintf(", and at most %d more, which depend on what these give", might)
	}
	switch {
	case runs+might+judged+known+halted == 0:
		text = "nothing to do"
	case runs+might+judged == 0:
		text = "nothing to run"
	case runs+might == 0:
		text = fmt.Sprintf("%d to judge, without a job", judged)
	case judged > 0:
		text += fmt.Sprintf("; %d to judge, without a job", judged)
	}
	if halted > 0 {
		text += fmt.Sprintf("; %d can't be brought to fresh", halted)
	}
	if known > 0 {
		text += fmt.Sprintf("; %s to make current", plural(known, "known result"))
	}
	fmt.Fprintln(a.stderr, text)
	return nil
}
