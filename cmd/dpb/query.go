package main

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/publish"
	"github.com/dpb-build/dpb/hcl"
	"github.com/spf13/cobra"
)

func (a *app) queryCmd() *cobra.Command {
	c := &cobra.Command{
		Use:     "query",
		Short:   "Ask the graph: what depends on what",
		Long:    "Ask the graph: what depends on what. Needs no store and builds nothing." + exits(exitOK, exitUsage),
		Example: "  dpb query rdeps //plays:plays\n  dpb query somepath //reports:royalties //plays:raw\n  dpb query affected --since main",
	}
	needsSubcommand(c)
	c.AddCommand(
		a.nodesCmd("deps PATTERN...", "List targets with all that they need", func(g *graph.Graph, n []*graph.Node) []*graph.Node { return g.Deps(n...) }),
		a.nodesCmd("rdeps PATTERN...", "List targets with all that need them", func(g *graph.Graph, n []*graph.Node) []*graph.Node { return g.Rdeps(n...) }),
		a.somepathCmd(), a.inputsCmd(), a.outputsCmd(), a.affectedCmd())
	return c
}

func (a *app) nodesCmd(use, short string, ask func(*graph.Graph, []*graph.Node) []*graph.Node) *cobra.Command {
	name, _, _ := strings.Cut(use, " ")
	c := &cobra.Command{Use: use, Short: short, Long: short + "." + exits(exitOK, exitUsage), Example: "  dpb query " + name + " //plays:plays",
		Args: cobra.MinimumNArgs(1), ValidArgsFunction: a.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withGraph(func(g *graph.Graph) error {
				selected, err := a.selectPatterns(g, args, nil)
				if err != nil {
					return err
				}
				var nodes []*graph.Node
				for _, s := range selected {
					nodes = append(nodes, s.Node)
				}
				return a.printLabels(ask(g, nodes))
			})
		}}
	a.jsonFlag(c)
	return c
}

func (a *app) printLabels(nodes []*graph.Node) error {
	labels := []string{}
	for _, n := range nodes {
		labels = append(labels, n.Target.Label.String())
	}
	return a.printList(labels)
}

func (a *app) printList(list []string) error {
	if a.json {
		return a.printJSON(list)
	}
	for _, l := range list {
		fmt.Fprintln(a.stdout, l)
	}
	return nil
}

func (a *app) somepathCmd() *cobra.Command {
	c := &cobra.Command{Use: "somepath FROM TO", Short: "Show one way from a target, over what it reads, to another",
		Long:    "Show one way from a target, over what it reads, to another. Prints nothing if there is none." + exits(exitOK, exitUsage),
		Example: "  dpb query somepath //reports:royalties //plays:raw", Args: cobra.ExactArgs(2), ValidArgsFunction: a.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withGraph(func(g *graph.Graph) error {
				from, err := a.selectTarget(g, args[0])
				if err != nil {
					return err
				}
				to, err := a.selectTarget(g, args[1])
				if err != nil {
					return err
				}
				return a.printLabels(g.SomePath(from.Node, to.Node))
			})
		}}
	a.jsonFlag(c)
	return c
}

// listCmd prints lines of each selected target.
func (a *app) listCmd(use, short, long, example string, lines func(graph.Selected) []string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Long: long + exits(exitOK, exitUsage), Example: example, Args: cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			return a.withGraph(func(g *graph.Graph) error {
				selected, err := a.selectPatterns(g, args, nil)
				if err != nil {
					return err
				}
				all := []string{}
				for _, s := range selected {
					all = append(all, lines(s)...)
				}
				return a.printList(all)
			})
		}}
	a.jsonFlag(c)
	return c
}

func (a *app) inputsCmd() *cobra.Command {
	return a.listCmd("inputs PATTERN...", "List what targets read: labels, files of code, globs",
		"List what targets read: labels, with the partitions in words; files of SQL; globs of code and data.", "  dpb query inputs //reports:royalties",
		func(s graph.Selected) []string { return inputsOf(s.Node) })
}

func (a *app) outputsCmd() *cobra.Command {
	return a.listCmd("outputs PATTERN...", "List where the outputs of targets lie below the workspace's root",
		"List where the outputs of targets lie below the workspace's root, once they are built.", "  dpb query outputs //reports:royalties@month=2017-06",
		func(s graph.Selected) (lines []string) {
			for _, i := range s.Partitions {
				if s.Node.Target.Kind != engine.Source {
					lines = append(lines, publish.Paths(s.Node.Target, s.Node.Set.Partition(i))...)
				}
			}
			return lines
		})
}

func inputsOf(n *graph.Node) []string {
	var out []string
	for _, e := range n.Edges {
		if e != nil {
			out = append(out, fmt.Sprintf("%s (%s)", engine.Ref{Label: e.From.Target.Label, Output: e.Input.From.Output}, e.Words()))
		}
	}
	for _, from := range n.CodeFrom {
		out = append(out, from.Target.Label.String()+" (code)")
	}
	return append(out, fileGlobs(n.Target)...)
}

// fileGlobs lists the files and globs, from the root, that a target depends on; what depends on the partition is *.
func fileGlobs(t *engine.Target) []string {
	in := func(glob string) string {
		if path.IsAbs(glob) {
			return glob
		}
		return path.Join(t.Label.Pkg, glob)
	}
	var out []string
	for _, st := range t.SQL {
		if st.File != "" {
			out = append(out, st.File)
		}
	}
	for _, c := range t.Code {
		if c.Glob != "" {
			out = append(out, in(c.Glob))
		}
	}
	for _, i := range t.Inputs {
		if len(i.Files) > 0 {
			out = append(out, in(anyPartition(i.Files)))
		}
	}
	if t.Kind == engine.Source {
		out = append(out, in(anyPartition(t.Path)))
	}
	return out
}

func anyPartition(t engine.Text) string {
	var b strings.Builder
	for _, s := range t {
		switch {
		case s.Dimension != "":
			b.WriteString("*")
		case s.Eval != nil:
			b.WriteString("**")
		default:
			b.WriteString(s.Literal)
		}
	}
	return b.String()
}

func (a *app) affectedCmd() *cobra.Command {
	var since string
	c := &cobra.Command{Use: "affected [FILE...]", Short: "List the targets that changed files can affect",
		Long: `List the targets that changed files can affect: those that read the files, and all that depend on them. With --since the files are those that differ
from a git revision, new ones included. A change of a pipeline.hcl can affect all targets of its package, one of dpb.hcl all of the workspace.` +
			exits(exitOK, exitUsage, exitLocal),
		Example: "  dpb query affected plays/clean.sql\n  dpb query affected --since origin/main --json",
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 && since == "" {
				return usagef("name files, or a git revision with --since")
			}
			return a.withGraph(func(g *graph.Graph) error {
				files, err := a.workspaceFiles(args)
				if err != nil {
					return err
				}
				if since != "" {
					more, err := checkout{a.root, "--since"}.changedSince(c.Context(), since)
					if err != nil {
						return err
					}
					files = append(files, more...)
				}
				var nodes []*graph.Node
				for _, n := range g.Nodes {
					if slices.ContainsFunc(files, func(f string) bool { return names(n, f) }) {
						nodes = append(nodes, n)
					}
				}
				return a.printLabels(g.Rdeps(nodes...))
			})
		}}
	c.Flags().StringVar(&since, "since", "", "take the files that differ from this git revision")
	a.jsonFlag(c)
	return c
}

// names says whether a target depends on a file, by its path from the root. The file need not be there any more.
func names(n *graph.Node, file string) bool {
	if file == hcl.WorkspaceFile || file == path.Join(n.Target.Label.Pkg, hcl.PackageFile) {
		return true
	}
	return slices.ContainsFunc(fileGlobs(n.Target), func(glob string) bool {
		ok, _ := doublestar.Match(glob, file)
		return ok || glob == file
	})
}

// workspaceFiles turns arguments into paths from the root.
func (a *app) workspaceFiles(args []string) ([]string, error) {
	start, err := a.start()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, arg := range args {
		full := arg
		if !filepath.IsAbs(arg) {
			full = filepath.Join(start, arg)
		}
		rel, err := filepath.Rel(a.root, full)
		if err != nil || strings.HasPrefix(rel, "..") {
			return nil, usagef("%s lies outside of the workspace %s", arg, a.root)
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out, nil
}
