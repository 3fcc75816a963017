package main

import (
	"errors"
	"fmt"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) gcCmd() *cobra.Command {
	opts := run.GCOptions{Waiting: func() { fmt.Fprintln(a.stderr, "waiting for another dpb gc or dpb fsck on this store") }}
	c := &cobra.Command{
		Use:   "gc",
		Short: "Delete from the store what no checkout needs",
		Long: `Delete from the store what no checkout needs. Kept are, for each checkout that uses the store: the current version of each partition and the accepted ones before
it (keep_versions of them in all), versions that rules hold and that the working tree wants, with their logs, what was rejected of them and the files of sources that
they were made from; also what is younger than keep_days, and what running builds use. The store block of dpb.hcl sets these numbers, and a max_size.

Records are never deleted: versions keep their history, and a job runs again should somebody need the bytes. Builds may run meanwhile. A checkout whose folder is not
there any more counts for unseen_days, or until --unregister.` + exits(exitOK, exitUsage, exitLocked, exitLocal),
		Example: "  dpb gc --dry-run\n  dpb gc\n  dpb gc --unregister /home/ann/old-checkout",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for k, name := range opts.Unregister {
				opts.Unregister[k] = a.argPath(name)
			}
			a.existing = true
			return a.withSession(true, func(s *run.Session) error {
				all, err := a.selectPatterns(s.Graph, nil, nil)
				if err != nil {
					return err
				}
				report, err := s.GC(c.Context(), all, opts)
				if errors.Is(err, run.ErrUnregister) {
					return usagef("%w", err)
				}
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(report)
				}
				a.printGC(report)
				return nil
			})
		},
	}
	c.Flags().BoolVarP(&opts.DryRun, "dry-run", "n", false, "only say what would go, and why")
	c.Flags().StringArrayVar(&opts.Unregister, "unregister", nil, "keep nothing for the checkout at this path, or with this environment, from now on; it counts again once it builds")
	a.lockFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) printGC(r *run.GCReport) {
	for _, t := range r.Targets {
		fmt.Fprintf(a.stdout, "%s  %s, %s: %s\n", t.Target, plural(t.Versions, "version"), ui.Bytes(t.Bytes), t.Why)
	}
	for _, other := range []struct {
		what string
		disk.Amount
	}{{"not named by any version", r.Unnamed}, {"set aside as damaged", r.Damaged}, {"left by processes that were killed", r.Abandoned}} {
		if other.Files > 0 {
			fmt.Fprintf(a.stdout, "%s, %s: %s\n", plural(other.Files, "file"), ui.Bytes(other.Bytes), other.what)
		}
	}
	done := "deleted"
	if r.DryRun {
		done = "would delete"
	}
	all := r.Deleted
	all.Add(r.Damaged)
	all.Add(r.Abandoned)
	if all.Files == 0 {
		fmt.Fprintf(a.stdout, "nothing to delete; %s in the store\n", ui.Bytes(r.Kept))
	} else {
		fmt.Fprintf(a.stdout, "%s %s, %s; %s stay\n", done, plural(all.Files, "file"), ui.Bytes(all.Bytes), ui.Bytes(r.Kept))
	}
	if r.Over > 0 {
		fmt.Fprintf(a.stderr, "warning: the store is %s over its max_size, and checkouts need all that is left; raise max_size, or lower keep_versions\n", ui.Bytes(r.Over))
	}
	for _, x := range r.Checkouts {
		a.printCheckout(x)
	}
}

// printCheckout tells of a checkout that is not where it was.
func (a *app) printCheckout(x run.Checkout) {
	name := x.Root
	if name == "" {
		name = x.Environment
	}
	switch {
	case x.Just:
		fmt.Fprintf(a.stderr, "nothing is kept for checkout %s any more\n", name)
	case !x.Here && x.Unregistered.IsZero():
		fmt.Fprintf(a.stderr, "checkout %s was not seen since %s, and is still kept; dpb gc --unregister %s ends that\n", name, x.Seen.UTC().Format("2006-01-02"), name)
	}
}
