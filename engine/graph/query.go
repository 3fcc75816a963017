package graph

import (
	"errors"
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/engine"
)

// Selected is a node with those of its partitions that were asked for, in order; with none, if all were and its set has a Lack.
type Selected struct {
	Node       *Node
	Partitions []int
}

// Select finds what patterns mean: all that match, less what is subtracted. A pattern that selects nothing is an error. A subset of partitions restricts the
// targets that have its dimension and leaves others out.
func (g *Graph) Select(patterns []engine.Pattern) ([]Selected, error) {
	wanted := make([][]bool, len(g.Nodes)) // by node and partition
	for _, subtract := range []bool{false, true} {
		for _, p := range patterns {
			if p.Subtract != subtract {
				continue
			}
			if err := g.mark(p, wanted, !subtract); err != nil {
				return nil, err
			}
		}
	}
	var out []Selected
	for k, marks := range wanted {
		s := Selected{Node: g.Nodes[k]}
		for i, marked := range marks {
			if marked {
				s.Partitions = append(s.Partitions, i)
			}
		}
		if s.Partitions != nil || marks != nil && s.Node.Set.Lack() != "" { // which is worth a word
			out = append(out, s)
		}
	}
	return out, nil
}

// mark sets the marks of all that a pattern selects to value.
func (g *Graph) mark(p engine.Pattern, marks [][]bool, value bool) error {
	matched, found := false, false
	var why error
	for _, n := range g.Nodes {
		if !p.Match(n.Target.Label) {
			continue
		}
		matched = true
		if p.Output != "" && n.Target.Output(p.Output) == nil {
			_, err := outputOf(n.Target, engine.Ref{Label: p.Label, Output: p.Output})
			return err
		}
		parts, err := n.Set.Match(p.Subset)
		if err != nil {
			if lacks := (*NoDimensionError)(nil); p.Name != "" || !errors.As(err, &lacks) {
				why = fmt.Errorf("%s: %w", n.Target.Label, err)
			}
			continue
		}
		found = true
		if !value && n.Set.Len() == 0 {
			marks[n.Index] = nil
			continue
		}
		if marks[n.Index] == nil {
			marks[n.Index] = make([]bool, n.Set.Len())
		}
		for _, i := range parts {
			marks[n.Index][i] = value
		}
	}
	switch {
	case !matched:
		return g.noMatch(p)
	case found:
		return nil
	case why != nil:
		return why
	}
	return fmt.Errorf("%s: none of these targets is partitioned by %s", p, p.Subset[0].Dimension)
}

func (g *Graph) noMatch(p engine.Pattern) error {
	if p.Below || p.Name == "" {
		if len(g.Nodes) == 0 {
			return errors.New("the workspace has no targets: write a pipeline.hcl, or run dpb init")
		}
		var packages []string
		for _, n := range g.Nodes {
			packages = append(packages, n.Target.Label.Pkg)
		}
		if near := engine.Suggest(p.Pkg, packages); near != "" && near != p.Pkg {
			return fmt.Errorf("%s matches no target; did you mean package //%s?", p, near)
		}
		return fmt.Errorf("%s matches no target", p)
	}
	r := &resolver{Graph: g}
	return fmt.Errorf("there is no target or source %s; %s", p.Label, r.suggest(p.Label, "\x00"))
}

// Producers lists the nodes that n reads or looks values up in, each once, in topological order.
func (n *Node) Producers() (out []*Node) {
	for _, e := range slices.Concat(n.Edges, n.References) {
		if e != nil && e.From != n {
			out = append(out, e.From)
		}
	}
	out = append(out, n.CodeFrom...)
	slices.SortFunc(out, func(a, b *Node) int { return a.Index - b.Index })
	return slices.Compact(out)
}

// Deps lists nodes with all that they need, in topological order.
func (g *Graph) Deps(nodes ...*Node) []*Node {
	in := make([]bool, len(g.Nodes))
	for _, n := range nodes {
		in[n.Index] = true
	}
	for _, n := range slices.Backward(g.Nodes) {
		if in[n.Index] {
			for _, p := range n.Producers() {
				in[p.Index] = true
			}
		}
	}
	return g.pick(in)
}

// Rdeps lists nodes with all that need them, in topological order.
func (g *Graph) Rdeps(nodes ...*Node) []*Node {
	in := make([]bool, len(g.Nodes))
	for _, n := range nodes {
		in[n.Index] = true
	}
	for _, n := range g.Nodes {
		in[n.Index] = in[n.Index] || slices.ContainsFunc(n.Producers(), func(p *Node) bool { return in[p.Index] })
	}
	return g.pick(in)
}

func (g *Graph) pick(in []bool) (out []*Node) {
	for _, n := range g.Nodes {
		if in[n.Index] {
			out = append(out, n)
		}
	}
	return out
}

// SomePath gives the nodes from a, over what it reads, to b; nil if a does not depend on b.
func (g *Graph) SomePath(a, b *Node) []*Node {
	if a == b {
		return []*Node{a}
	}
	if b.Index > a.Index {
		return nil
	}
	leads := make([]bool, len(g.Nodes))
	for _, n := range g.Rdeps(b) {
		leads[n.Index] = true
	}
	if !leads[a.Index] {
		return nil
	}
	path := []*Node{a}
	for at := a; at != b; path = append(path, at) {
		k := slices.IndexFunc(at.Producers(), func(p *Node) bool { return leads[p.Index] })
		at = at.Producers()[k]
	}
	return path
}
