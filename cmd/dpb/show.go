package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/exec"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) showCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "show LABEL[@PARTITION][#VERSION]",
		Short: "Show one version: where it comes from, what it holds, what rules say of it and what its key is made of",
		Long: `Show one version: where it comes from, the fingerprint of what it holds, metrics, what was rejected, what each rule says of it, who accepted it,
and what its key is made of. It needs none of its bytes. Without #VERSION it shows the current one. A version's id may be cut short as long as it is unambiguous, and
#VERSION alone is enough.` + exits(exitOK, exitUsage, exitLocal),
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
	var quarantine bool
	c := &cobra.Command{
		Use:   "export LABEL[@PARTITION][#VERSION] DIRECTORY",
		Short: "Write a version's content to a new directory",
		Long: `Write a version's content to a new directory, as ordinary files that may be changed. Several outputs become a folder each. With --quarantine it writes
what was rejected instead: one Parquet file an output, whose rows say by which rule.` + exits(exitOK, exitUsage, exitLocal),
		Example: `  dpb export //reports:royalties@month=2017-06 royalties-june
  dpb export '#4f1c9a' before
  dpb export --quarantine //spam:classified@day=2017-06-05 rejected`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			return a.withVersion(args[0], func(s *run.Session, v engine.Version) error {
				if p, err := engine.ParsePattern(args[0], a.pkg()); err == nil && p.Output != "" {
					v.Outputs = slices.DeleteFunc(v.Outputs, func(o engine.VersionOutput) bool { return o.Name != p.Output })
				}
				err := s.Export(c.Context(), v, a.argPath(args[1]), quarantine)
				switch {
				case errors.Is(err, fs.ErrExist):
					return usagef("%s is there already; name a new directory", args[1])
				case errors.Is(err, run.ErrNoQuarantine):
					return usagef("%s#%s has no quarantine: %w", v.Label.At(v.Partition), v.ID.Short(), err)
				case err == nil && quarantine:
					return a.noteNothingRejected(c.Context(), s, v)
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&quarantine, "quarantine", false, "write the rows that were rejected")
	return c
}

// noteNothingRejected says why a quarantine has no rows.
func (a *app) noteNothingRejected(ctx context.Context, s *run.Session, v engine.Version) error {
	d, err := s.Details(ctx, v)
	if err != nil {
		return err
	}
	for _, o := range d.Outputs {
		for _, r := range o.Rejected {
			if r.Rows > 0 {
				return nil
			}
		}
	}
	fmt.Fprintln(a.stderr, "nothing was rejected: there are columns and no rows")
	return nil
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
	sel, err := a.selectOne(s.Graph, name)
	if err != nil {
		return engine.Version{}, err
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
		return engine.Version{}, noCurrent(s, label, partition)
	}
	return versionByID(s, arg, id.String(), engine.Label{}, "")
}

// noCurrent says that an action has no current version, and which it has instead.
func noCurrent(s *run.Session, label engine.Label, partition string) error {
	versions, err := s.Ledger.VersionsOf(s.Graph.Workspace.Name, label, partition)
	if err != nil || len(versions) == 0 {
		return usagef("%s has no current version; dpb build makes one", label.At(partition))
	}
	return usagef("%s has no current version, but one that is not; name it: '%s#%s'", label.At(partition), label.At(partition), versions[0].ID.Short())
}

// newest is the newest of the selected partitions.
func newest(sel graph.Selected) string {
	if len(sel.Partitions) == 0 {
		return "one that has ended"
	}
	return sel.Node.Target.Label.At(sel.Node.Set.Text(sel.Partitions[len(sel.Partitions)-1]))
}

// versionByID finds a version by the first characters of its id, among those of an action or, with a zero label, of the whole workspace.
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

// isolationText says what is meant by how far a job was isolated.
func isolationText(isolation string) string {
	switch isolation {
	case exec.Separate:
		return isolation + ": not isolated, the job could reach all that its user can"
	case exec.Connected:
		return isolation + ": the job saw what it declares, and the machine's network"
	case exec.Isolated:
		return isolation + ": the job saw what it declares, and system directories"
	}
	return isolation
}

// line prints a fact under its name, unless it is not known.
func (a *app) line(name, value string) {
	if value != "" {
		fmt.Fprintf(a.stdout, "%-11s %s\n", name, ui.Text(value))
	}
}

func (a *app) printDetails(d *run.Details) {
	a.line("version", d.Version)
	a.line("of", d.Target)
	a.line("state", standingText(d.Standing))
	a.line("created", d.Created.UTC().Format("2006-01-02 15:04:05 UTC"))
	commit := d.Provenance.Commit
	if d.Provenance.Dirty {
		commit += " with changes"
	}
	a.line("commit", commit)
	a.line("by", d.Provenance.User+" on "+d.Provenance.Host)
	switch {
	case d.MaxRSS > 0:
		a.line("job", fmt.Sprintf("%s, %s of processor time, at most %s of memory", ui.Duration(d.Wall), ui.Duration(d.CPU), ui.Bytes(d.MaxRSS)))
	case d.Wall > 0:
		a.line("job", ui.Duration(d.Wall))
	}
	a.line("isolation", isolationText(d.Isolation))
	a.line("writer", d.Writer)
	for _, u := range d.Uncovered {
		a.line("uncovered", u)
	}
	a.line("verified", verifiedText(d.Verified))
	for _, o := range d.Outputs {
		a.printOutput(o)
	}
	a.printVerdict(d)
	a.line("key", d.Key)
	for _, p := range d.Parts {
		fmt.Fprintf(a.stdout, "  %s\n", p.Name)
		for _, e := range p.Entries {
			fmt.Fprintf(a.stdout, "    %-22s %s\n", ui.Text(e.Name), window(e.Value, 0))
		}
	}
}

// standingText says whether a version is current, and held.
func standingText(st run.Standing) string {
	text := "not current"
	if st.Current {
		text = "current"
	}
	if what := st.String(); what != "" {
		text += ", " + ui.Line(what)
	}
	return text
}

func (a *app) printOutput(o run.DetailedOutput) {
	text := "its size is not known"
	if o.Files >= 0 {
		text = plural(int(o.Files), "file") + ", " + plural(int(o.Bytes), "byte")
	}
	if o.Rows >= 0 {
		text += ", " + plural(int(o.Rows), "row")
	}
	if o.Evicted {
		text += ", evicted"
	}
	a.line("output", fmt.Sprintf("%s: %s, tree %s", o.Name, text, o.Tree[:12]))
	switch isTable := o.Format != engine.Opaque.String(); {
	case o.Fingerprint == nil:
		for _, c := range o.Columns {
			fmt.Fprintf(a.stdout, "  %s %s\n", ui.Text(c.Name), c.Type)
		}
		if isTable {
			fmt.Fprintln(a.stdout, "  never measured: there is no fingerprint; dpb build makes one of what is current or wanted, while its bytes are there")
		}
	case o.Fingerprint.Rows < 0 && isTable:
		fmt.Fprintf(a.stdout, "  it can't be read as %s\n", o.Format)
	default:
		for _, l := range ui.ColumnStats(o.Fingerprint, a.width()) {
			fmt.Fprintln(a.stdout, l)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Metrics)) {
		value := "null"
		if x := o.Metrics[name]; x != nil {
			value = ui.Number(*x)
		}
		a.line("  metric", name+" = "+value)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Rejected)) {
		r := o.Rejected[name]
		a.line("  rejected", fmt.Sprintf("%s: %s, %s", name, plural(int(r.Rows), "row"), ui.Share(r.Share)))
		for _, row := range r.Samples {
			fmt.Fprintf(a.stdout, "    %s\n", ui.Line(row))
		}
	}
}

// printVerdict prints what each rule says, who accepted it, and which versions were read for it.
func (a *app) printVerdict(d *run.Details) {
	verdict := d.Verdict
	if d.Outdated {
		verdict += ", by rules that have changed since: dpb build judges it anew if it is wanted"
	}
	a.line("verdict", verdict)
	for _, in := range d.Inputs {
		a.printFindings(in.Judgement, in.Accepted, len(d.Outputs) > 1)
	}
	if d.Judgement == nil {
		return
	}
	a.printFindings(d.Judgement, d.Accepted, len(d.Outputs) > 1)
	if !d.Judgement.Replaced.IsZero() {
		a.line("  replaced", d.Judgement.Replaced.Short())
	}
}

func (a *app) printFindings(j *engine.Judgement, accepted *engine.Acceptance, several bool) {
	for _, f := range j.Findings {
		of := ""
		switch {
		case f.Input != "":
			of = "input " + f.Input + ": "
		case several:
			of = f.Output + ": "
		}
		text := fmt.Sprintf("  %-9s %s%s", f.Status, of, ui.Line(findingText(f)))
		if f.File != "" {
			text += fmt.Sprintf("  (%s:%d)", f.File, f.Line)
		}
		fmt.Fprintln(a.stdout, text)
	}
	if accepted != nil {
		a.line("  accepted", fmt.Sprintf("by %s on %s: %s", accepted.By.User, accepted.Time.UTC().Format("2006-01-02 15:04 UTC"), ui.Line(accepted.Reason)))
	}
	if len(j.Prior) > 0 {
		names := make([]string, len(j.Prior))
		for k, id := range j.Prior {
			names[k] = id.Short()
		}
		a.line("  prior", strings.Join(names, ", "))
	}
}

// findingText is what a rule found. The author's message says what is wrong, so that it has no place in what is not.
func findingText(f engine.Finding) string {
	if f.Status == engine.Passed || f.Status == engine.NotYet {
		f.Message = ""
	}
	return contract.Text(f)
}
