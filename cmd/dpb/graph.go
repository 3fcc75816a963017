package main

import (
	"fmt"

	"github.com/dpb-build/dpb/engine/graph"
	"github.com/spf13/cobra"
)

func (a *app) graphCmd() *cobra.Command {
	var format string
	c := &cobra.Command{Use: "graph [PATTERN...]", Short: "Print the graph of targets as text, for Graphviz or as JSON",
		Long:    "Print the graph of targets, with what each edge reads in words. With a pattern: those targets and all that they need." + exits(exitOK, exitUsage),
		Example: "  dpb graph\n  dpb graph //reports:royalties --format dot | dot -Tsvg > graph.svg", ValidArgsFunction: a.completeLabels,
		RunE: func(_ *cobra.Command, args []string) error {
			if a.json {
				format = "json"
			}
			print, ok := map[string]func([]*graph.Node) error{"text": a.graphText, "dot": a.graphDot, "json": a.graphJSON}[format]
			if !ok {
				return usagef("--format is text, dot or json, not %q", format)
			}
			return a.withGraph(func(g *graph.Graph) error {
				selected, err := a.selectPatterns(g, args, nil)
				if err != nil {
					return err
				}
				var nodes []*graph.Node
				for _, s := range selected {
					nodes = append(nodes, s.Node)
				}
				return print(g.Deps(nodes...))
			})
		}}
	c.Flags().StringVar(&format, "format", "text", "text, dot or json")
	a.jsonFlag(c)
	return c
}

func (a *app) graphText(nodes []*graph.Node) error {
	for _, n := range nodes {
		fmt.Fprintf(a.stdout, "%s  %s, %s\n", n.Target.Label, n.Target.Kind, n.Set.Describe())
		for _, line := range inputsOf(n) {
			fmt.Fprintf(a.stdout, "  reads %s\n", line)
		}
	}
	return nil
}

func (a *app) graphDot(nodes []*graph.Node) error {
	fmt.Fprintln(a.stdout, "digraph dpb {\n  rankdir = LR;\n  node [shape = box];")
	for _, n := range nodes {
		fmt.Fprintf(a.stdout, "  %q [label = %q];\n", n.Target.Label, fmt.Sprintf("%s\n%s", n.Target.Label, n.Set.Describe()))
		for _, e := range n.Edges {
			if e != nil {
				fmt.Fprintf(a.stdout, "  %q -> %q [label = %q];\n", e.From.Target.Label, n.Target.Label, e.Words())
			}
		}
		for _, from := range n.CodeFrom {
			fmt.Fprintf(a.stdout, "  %q -> %q [style = dashed];\n", from.Target.Label, n.Target.Label)
		}
	}
	fmt.Fprintln(a.stdout, "}")
	return nil
}

// graphNode is a target in the JSON form of the graph.
type graphNode struct {
	Target     string      `json:"target"`
	Kind       string      `json:"kind"`
	Owner      string      `json:"owner,omitempty"`
	Partitions int         `json:"partitions"`
	By         []string    `json:"partition_by,omitempty"`
	Gaps       []graphGap  `json:"gaps,omitempty"` // where partitions come from a source's files: the time between them that has none
	Inputs     []graphEdge `json:"inputs,omitempty"`
	Files      []string    `json:"files,omitempty"`
}

// graphGap is written like a selection of partitions: day=2017-06-09..2017-06-10.
type graphGap struct {
	Partitions string `json:"partitions"`
	Positions  int    `json:"positions"`
}

type graphEdge struct {
	Name   string `json:"name"`
	From   string `json:"from"`
	Output string `json:"output"`
	Reads  string `json:"reads"`
}

func (a *app) graphJSON(nodes []*graph.Node) error {
	list := []graphNode{}
	for _, n := range nodes {
		out := graphNode{Target: n.Target.Label.String(), Kind: n.Target.Kind.String(), Owner: n.Target.Owner, Partitions: n.Set.Len(), By: n.Target.PartitionBy,
			Files: fileGlobs(n.Target)}
		for _, e := range n.Edges {
			if e != nil {
				out.Inputs = append(out.Inputs, graphEdge{e.Input.Name, e.From.Target.Label.String(), e.Output.Name, e.Words()})
			}
		}
		for _, g := range n.Set.Gaps(0, n.Set.Len()-1) {
			out.Gaps = append(out.Gaps, graphGap{g.String(), g.Positions})
		}
		list = append(list, out)
	}
	return a.printJSON(list)
}
