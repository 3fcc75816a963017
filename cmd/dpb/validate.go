package main

import (
	"fmt"
	"os"
	"slices"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/engine/sql"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/dpb-build/dpb/hcl/diag"
	"github.com/spf13/cobra"
)

func (a *app) validateCmd() *cobra.Command {
	var quiet bool
	c := &cobra.Command{Use: "validate", Short: "Check all files of the workspace and say in words what each edge reads",
		Long: `Check all files of the workspace, also what SQL may do, and say in words what each edge reads. Warns of a due time that can't hold, by what producers promise and by
how long jobs took, if that is known. Builds nothing and needs no store. With --json it prints all problems for editors, and nothing else.` + exits(exitOK, exitUsage),
		Example: "  dpb validate\n  dpb validate --json", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ws, sources, problems, err := a.loadWorkspace()
			if err != nil {
				return err
			}
			var g *graph.Graph
			if !engine.HasErrors(problems) {
				var more []engine.Problem
				if g, more, err = a.graphOf(ws, a.root); err != nil {
					return err
				}
				problems = append(problems, more...)
				checked := run.OpenCheckedSQL(a.checkoutFile(ws.StorePath, run.CheckedFile), thisProgram())
				problems = append(problems, run.CheckSQL(c.Context(), ws.Targets, checked)...)
				_ = checked.Save() // it only saves time
				if !engine.HasErrors(problems) {
					problems = append(problems, a.checkPromises(g)...)
				}
			}
			problems = engine.SortProblems(problems)
			if a.json {
				if problems == nil {
					problems = []engine.Problem{}
				}
				if err := diag.JSON(a.stdout, problems); err != nil || !engine.HasErrors(problems) {
					return err
				}
				return &exitError{code: exitUsage}
			}
			if err := a.report(problems, sources); err != nil {
				return err
			}
			if !quiet {
				return a.graphText(g.Nodes)
			}
			return nil
		}}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "print problems only")
	a.jsonFlag(c)
	return c
}

// checkPromises warns of promises on time that can't hold. How long jobs take is in the ledger, if there is one.
func (a *app) checkPromises(g *graph.Graph) []engine.Problem {
	if !slices.ContainsFunc(g.Nodes, func(n *graph.Node) bool { return !n.Target.Due.IsZero() }) {
		return nil
	}
	s, err := run.Open(run.Config{Root: a.root, Graph: g, Now: a.now, ReadOnly: true, Version: version})
	if err == nil {
		defer s.Close()
		var problems []engine.Problem
		if problems, err = s.CheckPromises(); err == nil {
			return problems
		}
	}
	problems, _ := run.CheckPromises(g, func(*graph.Node) (run.Took, error) { return run.Took{}, nil }) // which is the only thing that can fail
	return append(problems, engine.Problem{Severity: engine.Warning, Summary: "how long jobs take is not known, and only due times were compared: " + err.Error()})
}

func (a *app) versionCmd() *cobra.Command {
	c := &cobra.Command{Use: "version", Short: "Print the version of dpb and of its SQL engine", Long: "Print the version of dpb and of its SQL engine." + exits(exitOK),
		Example: "  dpb version", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			engineVersion := duckdb.Version()
			if a.json {
				return a.printJSON(map[string]string{"dpb": version, "duckdb": engineVersion, "key_schema": engine.KeySchema})
			}
			if engineVersion == "" {
				engineVersion = "absent: this dpb was built without it"
			}
			fmt.Fprintf(a.stdout, "dpb %s\nDuckDB %s\nkey schema %s\n", version, engineVersion, engine.KeySchema)
			return nil
		}}
	a.jsonFlag(c)
	return c
}

func (a *app) columnsCmd() *cobra.Command {
	c := &cobra.Command{Use: "columns FILE", Short: "Print the columns block that fits a file, to paste",
		Long: `Print the columns block that fits a Parquet, CSV or NDJSON file, also one that is compressed. Of text the whole file is read, not a sample; check the types
all the same: what the next file holds, nobody can tell.` + exits(exitOK, exitUsage, exitLocal),
		Example: "  dpb columns raw/2017-06-01.csv", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			file := a.argPath(args[0])
			if info, err := os.Stat(file); err != nil || info.IsDir() {
				return usagef("%s is no file", args[0])
			}
			columns, err := duckdb.Columns(c.Context(), file)
			if err != nil {
				return usagef("%s: %w", args[0], err)
			}
			if a.json {
				return a.printJSON(columns)
			}
			var names, types []string
			for _, c := range columns {
				names, types = append(names, c.Name), append(types, c.Type)
			}
			fmt.Fprintln(a.stdout, sql.Block(names, types))
			return nil
		}}
	a.jsonFlag(c)
	return c
}
