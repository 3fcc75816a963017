package main

import (
	"fmt"
	"strings"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) whyCmd() *cobra.Command {
	var history bool
	c := &cobra.Command{
		Use:   "why LABEL[@PARTITION]",
		Short: "Say why a partition is in its state, back to the root cause",
		Long: `Say why a partition is in its state: which part of its key changed, with the old and the new value, and why the inputs changed, back to the
root cause. Of a fresh partition it says why it was last built. Without a partition it takes the first that is not fresh, else the newest.

With --history it says why each version of the partition was made, newest first: what changed against the version that was current before, with the build that made it and
its commit; * marks the one that is current.` +
			exits(exitOK, exitUsage, exitLocal),
		Example:           "  dpb why //reports:royalties@month=2017-06\n  dpb why :plays --json\n  dpb why //reports:royalties@month=2017-06 --history",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			a.byLock = lockWithoutStore
			return a.withTarget(args[0], func(s *run.Session, sel graph.Selected) error {
				d, err := s.Status(c.Context(), []graph.Selected{sel})
				if err != nil {
					return err
				}
				if lack := sel.Node.Set.Lack(); lack != "" {
					return usagef("%s has no partitions: %s", sel.Node.Target.Label, lack)
				}
				if len(sel.Partitions) == 0 {
					return usagef("%s has no partition that has ended yet", sel.Node.Target.Label)
				}
				if history {
					return a.whyEach(s, d, sel)
				}
				cause, err := s.Why(d, sel.Node, interesting(d, sel))
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(cause)
				}
				a.printCause(cause, 0)
				if more := unsettled(d, sel) - 1; more > 0 {
					fmt.Fprintf(a.stderr, "%s of %s not fresh either: dpb status --all lists them\n", plural(more, "more partition"), sel.Node.Target.Label)
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&history, "history", false, "say why each version was made, newest first")
	a.jsonFlag(c)
	return c
}

// whyEach says why each version of a partition was made.
func (a *app) whyEach(s *run.Session, d *plan.Decider, sel graph.Selected) error {
	n, i := sel.Node, interesting(d, sel)
	list, err := s.Origins(d, n, i)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(append([]run.Origin{}, list...))
	}
	name := n.Target.Label.At(n.Set.Text(i))
	for _, o := range list {
		mark, in := " ", ""
		if o.Current {
			mark = "*"
		}
		if o.Build > 0 {
			in = fmt.Sprintf("  build %d", o.Build)
		}
		fmt.Fprintf(a.stdout, "%s %s#%s  %s%s  %s: %s\n", mark, name, o.Version[:12], instant(o.Created), in, who(o.Provenance), ui.Text(o.Cause.Text))
		a.printReasons(o.Cause, "", 1)
	}
	if len(list) == 0 {
		fmt.Fprintf(a.stderr, "%s has no version yet; dpb build makes one\n", name)
	}
	return nil
}

// interesting picks the first partition that is not fresh, else the last.
func interesting(d *plan.Decider, sel graph.Selected) int {
	for _, i := range sel.Partitions {
		if !isSettled(d, sel.Node, i) {
			return i
		}
	}
	return sel.Partitions[len(sel.Partitions)-1]
}

func isSettled(d *plan.Decider, n *graph.Node, i int) bool {
	s := d.State(n, i)
	return s == engine.Fresh || s == engine.Frozen
}

// unsettled counts the partitions that are neither fresh nor frozen.
func unsettled(d *plan.Decider, sel graph.Selected) (count int) {
	for _, i := range sel.Partitions {
		if !isSettled(d, sel.Node, i) {
			count++
		}
	}
	return count
}

func (a *app) printCause(c *run.Cause, depth int) {
	indent := strings.Repeat("  ", depth)
	if c.Skipped > 0 {
		fmt.Fprintf(a.stdout, "%s… %s of %s, each changed by the one before it\n", indent, plural(c.Skipped, "more partition"), c.Label)
	}
	head := indent + c.Label.At(c.Partition)
	if c.State != "" {
		head += " is " + paint(c.State)
	}
	if c.Owner != "" && depth > 0 {
		head += ", owned by " + c.Owner
	}
	fmt.Fprintf(a.stdout, "%s: %s\n", head, ui.Text(c.Text))
	a.printReasons(c, indent, depth)
}

// printReasons lists what changed, and then why the inputs did.
func (a *app) printReasons(c *run.Cause, indent string, depth int) {
	for k, ch := range c.Changes {
		if k == maxListed {
			fmt.Fprintf(a.stdout, "%s    … and %d more changes; --json has them\n", indent, len(c.Changes)-k)
			break
		}
		fmt.Fprintf(a.stdout, "%s    %s: %s\n", indent, ui.Text(fmt.Sprint(ch)), values(ch))
	}
	for _, from := range c.From {
		a.printCause(from, depth+1)
	}
	if c.More > 0 {
		fmt.Fprintf(a.stdout, "%s  … and %s that changed\n", indent, plural(c.More, "more input"))
	}
}

// values shows the old and the new value of a change, where they differ.
func values(c run.Change) string {
	old, new := cut(c.Old, c.New)
	if strings.HasPrefix(c.Name, "@") { // trees
		old, new = old[:min(12, len(old))], new[:min(12, len(new))]
	}
	switch {
	case c.Old == "":
		return new
	case c.New == "":
		return "was " + old
	}
	return old + " → " + new
}

const maxValue = 60

// cut shortens two values around the place where they differ.
func cut(old, new string) (string, string) {
	same := 0
	for same < min(len(old), len(new)) && old[same] == new[same] {
		same++
	}
	from := 0
	if same > maxValue/2 {
		from = same - maxValue/4
	}
	return window(old, from), window(new, from)
}

// window takes a piece of a text, without cutting a character in two.
func window(s string, from int) string {
	from = min(from, len(s))
	piece := s[from:min(len(s), from+maxValue)]
	out := ui.Text(strings.ReplaceAll(strings.ToValidUTF8(piece, ""), "\n", " "))
	if from > 0 {
		out = "…" + out
	}
	if from+maxValue < len(s) {
		out += "…"
	}
	return out
}
