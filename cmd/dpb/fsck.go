package main

import (
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) fsckCmd() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use:   "fsck",
		Short: "Check all of the store, and repair it",
		Long: `Check all of the store: every blob and tree against its digest, every record of the ledger against what it is found by, what current names against its record,
and what speeds up builds. What is damaged is moved to damaged/ in the store and counts as gone; a pointer that says something wrong is written anew; what killed
processes left is removed. Then it says which versions lack bytes, and whether a build makes them again. Builds may run meanwhile. With --dry-run it changes nothing,
and a store that is read-only will do.` + exitsMeaning(map[int]string{exitOK: "all is sound, or was repaired", exitLocal: "something is damaged and was not repaired, or bytes of a current version are gone for good"},
			exitOK, exitUsage, exitLocked, exitLocal),
		Example: "  dpb fsck --dry-run\n  dpb fsck --json",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.existing = true
			return a.withSession(dryRun, func(s *run.Session) error {
				report, err := s.Fsck(c.Context(), func() { fmt.Fprintln(a.stderr, "waiting for another dpb gc or dpb fsck on this store") })
				if err != nil {
					return err
				}
				if a.json {
					err = a.printJSON(report)
				} else {
					a.printFsck(report)
				}
				if err == nil && !report.Sound() {
					err = &exitError{code: exitLocal}
				}
				return err
			})
		},
	}
	c.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "change nothing")
	a.lockFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) printFsck(r *run.FsckReport) {
	for _, f := range r.Faults {
		done := ""
		if f.Done != "" {
			done = "; " + f.Done
		}
		fmt.Fprintln(a.stdout, ui.Line(f.What+done))
	}
	for _, g := range r.Gone {
		current := ""
		if g.Current {
			current = ", which is current,"
		}
		fmt.Fprintf(a.stdout, "bytes of %s%s are gone: %s\n", g.Version, current, g.How)
	}
	open := len(slices.DeleteFunc(slices.Clone(r.Faults), func(f disk.Fault) bool { return f.Done != "" }))
	text := "all is sound"
	switch {
	case open > 0 && r.DryRun:
		text = plural(open, "fault") + ": dpb fsck repairs what can be repaired"
	case open > 0:
		text = plural(open, "fault") + " could not be repaired"
	case len(r.Faults) > 0:
		text = plural(len(r.Faults), "fault") + ", repaired"
	case len(r.Gone) > 0:
		text = "no damage"
	}
	fmt.Fprintf(a.stdout, "checked %s (%s), %s, %s, %s: %s\n", plural(r.Blobs, "blob"), ui.Bytes(r.Bytes), plural(r.Trees, "tree"), plural(r.Records, "record"),
		plural(r.Pointers, "pointer"), text)
}
