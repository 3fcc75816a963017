package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) showCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "show LABEL[@PARTITION][#VERSION]",
		Short: "Show one version: where it comes from, what it holds and what its key is made of",
		Long: `Show one version: where it comes from, what it holds and what its key is made of. Without #VERSION it shows the current one. A version's id may be
cut short as long as it is unambiguous, and #VERSION alone is enough.` + exits(exitOK, exitUsage, exitLocal),
		Example:           "  dpb show //plays:plays@day=2017-06-15\n  dpb show '#4f1c9a'",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withVersion(args[0], func(s *run.Session, v engine.Version) error {
				d, err := s.Details(c.Context(), v)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(d)
				}
				a.printDetails(d)
				return nil
			})
		},
	}
	a.jsonFlag(c)
	return c
}

func (a *app) exportCmd() *cobra.Command {
	return &cobra.Command{
		Use:               "export LABEL[@PARTITION][#VERSION] DIRECTORY",
		Short:             "Write a version's content to a new directory",
		Long:              "Write a version's content to a new directory, as ordinary files that may be changed. Several outputs become a folder each." + exits(exitOK, exitUsage, exitLocal),
		Example:           "  dpb export //reports:royalties@month=2017-06 royalties-june\n  dpb export '#4f1c9a' before",
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withVersion(args[0], func(s *run.Session, v engine.Version) error {
				if p, err := engine.ParsePattern(args[0], a.pkg()); err == nil && p.Output != "" {
					v.Outputs = slices.DeleteFunc(v.Outputs, func(o engine.VersionOutput) bool { return o.Name != p.Output })
				}
				err := s.Export(c.Context(), v, a.argPath(args[1]))
				if errors.Is(err, fs.ErrExist) {
					return usagef("%s is there already; name a new directory", args[1])
				}
				return err
			})
		},
	}
}

// withVersion opens the store to read the version that an argument names.
func (a *app) withVersion(arg string, f func(*run.Session, engine.Version) error) error {
	return a.withSession(true, func(s *run.Session) error {
		v, err := a.findVersion(s, arg)
		if err != nil {
			return err
		}
		return f(s, v)
	})
}

// findVersion finds the version that an argument names: by its id, or the current one of a partition.
func (a *app) findVersion(s *run.Session, arg string) (engine.Version, error) {
	if s.Ledger == nil {
		return engine.Version{}, usagef("nothing has been built here yet; run dpb build")
	}
	name, prefix := arg, ""
	for k, r := range arg {
		if r == '#' {
			name, prefix = arg[:k], arg[k+1:]
			break
		}
	}
	if name == "" {
		return versionByID(s, arg, prefix, engine.Label{}, "")
	}
	sel, err := a.selectTarget(s.Graph, name)
	if err != nil {
		return engine.Version{}, err
	}
	if len(sel.Partitions) != 1 {
		return engine.Version{}, usagef("%s means %s; name one, such as %s", name, plural(len(sel.Partitions), "partition"), newest(sel))
	}
	label, partition := sel.Node.Target.Label, sel.Node.Set.Text(sel.Partitions[0])
	if prefix != "" {
		return versionByID(s, arg, prefix, label, partition)
	}
	id, ok, err := s.Ledger.Pointer(s.Graph.Workspace.Name, s.Environment, label, partition)
	if err != nil {
		return engine.Version{}, err
	}
	if !ok {
		return engine.Version{}, usagef("%s has no current version; dpb build makes one", label.At(partition))
	}
	return versionByID(s, arg, id.String(), engine.Label{}, "")
}

// versionByID finds a version by the first characters of its id, among those of an action or, with a zero label, of the whole workspace.
// newest is the newest of the selected partitions.
func newest(sel graph.Selected) string {
	if len(sel.Partitions) == 0 {
		return "one that has ended"
	}
	return sel.Node.Target.Label.At(sel.Node.Set.Text(sel.Partitions[len(sel.Partitions)-1]))
}

func versionByID(s *run.Session, arg, prefix string, label engine.Label, partition string) (engine.Version, error) {
	if len(prefix) < 4 {
		return engine.Version{}, usagef("%s: give at least four characters of the version's id", arg)
	}
	versions, err := s.Ledger.FindVersions(prefix, s.Graph.Workspace.Name, label, partition)
	switch {
	case err != nil:
		return engine.Version{}, usagef("%s: a version's id has the characters 0-9 and a-f", arg)
	case len(versions) > 1:
		return engine.Version{}, usagef("%s: several versions start like this; give more characters", arg)
	case len(versions) == 0:
		return engine.Version{}, usagef("there is no version %s; dpb log lists them", arg)
	}
	return versions[0], nil
}

func (a *app) printDetails(d *run.Details) {
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(a.stdout, "%-11s %s\n", name, value)
		}
	}
	line("version", d.Version)
	line("of", d.Target)
	line("created", d.Created.UTC().Format("2006-01-02 15:04:05 UTC"))
	commit := d.Provenance.Commit
	if d.Provenance.Dirty {
		commit += " with changes"
	}
	line("commit", commit)
	line("by", d.Provenance.User+" on "+d.Provenance.Host)
	switch {
	case d.MaxRSS > 0:
		line("job", fmt.Sprintf("%s, %s of processor time, at most %s of memory", ui.Duration(d.Wall), ui.Duration(d.CPU), ui.Bytes(d.MaxRSS)))
	case d.Wall > 0:
		line("job", ui.Duration(d.Wall))
	}
	line("isolation", d.Isolation)
	line("writer", d.Writer)
	for _, u := range d.Uncovered {
		line("uncovered", u)
	}
	for _, o := range d.Outputs {
		line("output", o.Name+": "+o.String())
	}
	line("key", d.Key)
	for _, p := range d.Parts {
		fmt.Fprintf(a.stdout, "  %s\n", p.Name)
		for _, e := range p.Entries {
			fmt.Fprintf(a.stdout, "    %-22s %s\n", e.Name, window(e.Value, 0))
		}
	}
}
