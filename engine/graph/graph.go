// Package graph is the pure graph: nodes for targets, edges that are rules between sets of partitions, and what can be asked of them.
package graph

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

// ActionID numbers the actions of a graph: a node's base plus the partition's index.
type ActionID uint32

// Graph is a resolved workspace. It is not changed after New.
type Graph struct {
	Workspace *engine.Workspace
	Nodes     []*Node // producers before consumers
	Actions   int
	byLabel   map[engine.Label]*Node
	axes      map[string]*axis
}

// Node is a target with its partitions.
type Node struct {
	Target    *engine.Target
	Index     int // in Graph.Nodes
	Base      ActionID
	Set       *Set
	Edges     []*Edge // by input; nil for globs of files
	CodeFrom  []*Node // sources whose files are code
	Consumers []*Edge // in the order of the consumers' labels
	// References are the tables that the verdict looks values up in, in the order of the outputs and of their references. No job reads them.
	References   []*Edge
	ReferencedBy []*Edge // in the order of the labels of those that look up
}

// Node returns the node of a label, nil if there is none.
func (g *Graph) Node(l engine.Label) *Node { return g.byLabel[l] }

// Dimension returns a declared dimension, nil if there is none.
func (g *Graph) Dimension(name string) *engine.Dimension {
	if a := g.axes[name]; a != nil {
		return a.dimension
	}
	return nil
}

// Calendar names the values that all dimensions have now, and their times. Beside what is declared they are what the partitions of all targets follow from.
func (g *Graph) Calendar() cache.SectionDigest {
	var s engine.Section
	for _, name := range slices.Sorted(maps.Keys(g.axes)) {
		g.axes[name].describe(&s)
	}
	return s.Digest()
}

// Action returns the node and the partition of an action.
func (g *Graph) Action(id ActionID) (*Node, int) {
	k := sort.Search(len(g.Nodes), func(k int) bool { return g.Nodes[k].Base > id }) - 1
	return g.Nodes[k], int(id - g.Nodes[k].Base)
}

// InputOutputs lists, by input, the output that it comes from; nil of globs of files.
func (n *Node) InputOutputs() []*engine.Output {
	out := make([]*engine.Output, len(n.Edges))
	for k, e := range n.Edges {
		if e != nil {
			out[k] = e.Output
		}
	}
	return out
}

// Due is when partition i is promised, in the timezone of its dimension; zero if nothing is.
func (n *Node) Due(i int) time.Time {
	if n.Target.Due.IsZero() {
		return time.Time{}
	}
	return n.Target.Due.At(n.Set.End(i))
}

// ReadsItself says whether a target reads its own earlier partitions.
func (n *Node) ReadsItself() bool {
	return slices.ContainsFunc(n.Edges, func(e *Edge) bool { return e != nil && e.From == n })
}

// resolver builds a graph and collects what is wrong.
type resolver struct {
	*Graph
	problems    []engine.Problem
	sets        map[string]*Set
	quarantines map[*engine.Output]*engine.Output
	packages    map[string]*engine.Package // by path
}

// New resolves a workspace as of now. The graph is usable only if no problem is an error.
func New(ws *engine.Workspace, now time.Time) (*Graph, []engine.Problem) {
	r := &resolver{Graph: &Graph{Workspace: ws, byLabel: map[engine.Label]*Node{}, axes: map[string]*axis{}}, sets: map[string]*Set{}, quarantines: map[*engine.Output]*engine.Output{},
		packages: map[string]*engine.Package{}}
	for _, p := range ws.Packages {
		r.packages[p.Path] = p
	}
	r.resolveDimensions(now)
	var nodes []*Node
	for _, t := range ws.Targets {
		if n := r.node(t); n != nil {
			nodes = append(nodes, n)
			r.byLabel[t.Label] = n
		}
	}
	for _, n := range nodes {
		r.resolveInputs(n)
		r.resolveCode(n)
		r.resolveReferences(n)
	}
	for _, n := range nodes {
		r.checkRules(n)
	}
	r.order(nodes)
	r.warnOfTotals()
	return r.Graph, engine.SortProblems(r.problems)
}

func (r *resolver) problem(p engine.Problem) { r.problems = append(r.problems, p) }

func (r *resolver) resolveDimensions(now time.Time) {
	for _, d := range r.Workspace.Dimensions {
		if !d.FromSource.IsZero() && !r.checkListing(d) {
			continue
		}
		a, err := newAxis(d, now)
		if err != nil {
			r.problem(engine.Problem{Summary: fmt.Sprintf("partition %q: %v", d.Name, err), Range: d.Range})
			continue
		}
		r.axes[d.Name] = a
		switch {
		case len(a.texts) > 0:
		case !d.FromSource.IsZero():
			r.problem(engine.Problem{Severity: engine.Warning, Summary: fmt.Sprintf("partition %q has no values: %s has no files that name one", d.Name, d.FromSource), Range: d.Range,
				Hint: "put its files there; until then nothing that is cut so is built, and what there was stays"})
		default:
			r.problem(engine.Problem{Severity: engine.Warning, Summary: fmt.Sprintf("partition %q has no value that has ended", d.Name), Range: d.Range,
				Detail: fmt.Sprintf("It starts at %s, and now is %s.", d.Start, now.UTC().Format(time.RFC3339))})
		}
	}
}

// checkListing makes sure that the files of a dimension's source can tell its values.
func (r *resolver) checkListing(d *engine.Dimension) bool {
	p := engine.Problem{Range: d.FromRange, Context: d.Range}
	t := r.Workspace.Target(d.FromSource)
	switch {
	case t == nil:
		p.Summary, p.Hint = fmt.Sprintf("there is no source %s", d.FromSource), r.suggest(d.FromSource, "")
	case t.Kind != engine.Source:
		p.Summary, p.Hint = fmt.Sprintf("%s is a target, and only the files of a source can say which partitions there are", d.FromSource), "name the source that it is made from"
	case !slices.Contains(t.PartitionBy, d.Name):
		p.Summary, p.Hint = fmt.Sprintf("%s is not partitioned by %s", d.FromSource, d.Name), fmt.Sprintf("add partition_by = [%q] there, and ${partition.%s} to its path", d.Name, d.Name)
	default:
		_, err := engine.NewListing(t.Path, r.Workspace.Dimensions)
		if err == nil {
			return true
		}
		p.Summary, p.Detail = fmt.Sprintf("the path of %s does not tell the %s of a file", d.FromSource, d.Name), fmt.Sprintf("In %s:%d: %v.", t.Range.File, t.Range.Start.Line, err)
		p.Hint = fmt.Sprintf("give each %s a folder: ${partition.%s}/*", d.Name, d.Name)
	}
	r.problem(p)
	return false
}

// node makes a target's node, without its edges.
func (r *resolver) node(t *engine.Target) *Node {
	var spans []span
	times := 0
	for _, name := range t.PartitionBy {
		a := r.axes[name]
		if a == nil {
			return nil // told where the dimension is declared, or by the loader
		}
		sp := span{a, 0, len(a.texts)}
		if a.dimension.Unit != engine.NoUnit {
			times++
			sp = narrow(sp, t)
		}
		spans = append(spans, sp)
	}
	switch {
	case times > 1:
		r.problem(engine.Problem{Summary: fmt.Sprintf("%s is partitioned by two time dimensions", t.Label), Range: t.Range,
			Hint: "keep the finer one: the coarser follows from it"})
		return nil
	case len(spans) > MaxDimensions:
		r.problem(engine.Problem{Summary: fmt.Sprintf("%s is partitioned by more than %d dimensions", t.Label, MaxDimensions), Range: t.Range})
		return nil
	}
	set, err := r.set(spans)
	if err != nil {
		r.problem(engine.Problem{Summary: fmt.Sprintf("%s has %v", t.Label, err), Range: t.Range})
		return nil
	}
	return &Node{Target: t, Set: set, Edges: make([]*Edge, len(t.Inputs))}
}

// narrow applies a target's own start and end.
func narrow(sp span, t *engine.Target) span {
	if start, err := sp.dimension.Unit.Parse(t.Start, sp.loc); err == nil {
		sp.from = min(max(0, sp.atOrAfter(sp.position(start))), sp.n)
		sp.n -= sp.from
	}
	if end, err := sp.dimension.Unit.Parse(t.End, sp.loc); err == nil {
		sp.n = max(0, min(sp.n, sp.atOrBefore(sp.position(end))+1-sp.from))
	}
	return sp
}

// set shares sets of the same partitions.
func (r *resolver) set(spans []span) (*Set, error) {
	var key strings.Builder
	for _, sp := range spans {
		fmt.Fprintf(&key, "%s %d %d,", sp.dimension.Name, sp.from, sp.n)
	}
	if s := r.sets[key.String()]; s != nil {
		return s, nil
	}
	s, err := newSet(spans)
	r.sets[key.String()] = s
	return s, err
}

func (r *resolver) resolveInputs(n *Node) {
	for k, in := range n.Target.Inputs {
		if in.From.Label.IsZero() {
			if n.Target.Kind == engine.SQL {
				r.checkReadable(n, in, filesFormat(in), "these files", false)
			}
			continue
		}
		from := r.find(n, in.From.Label, in.Range)
		if from == nil {
			continue
		}
		output, err := outputOf(from.Target, in.From)
		if err != nil {
			r.problem(engine.Problem{Summary: err.Error(), Range: in.Range, Context: n.Target.Range})
			continue
		}
		e := &Edge{From: from, To: n, Input: in, Output: output, Quarantine: in.From.Quarantine}
		if e.Quarantine && !r.useQuarantine(e) || !r.mapped(e) {
			continue
		}
		if n.Target.Kind == engine.SQL {
			r.checkReadable(n, in, e.Output.Format, in.From.String(), e.isTyped() && (output.Columns != nil || from != n))
		}
		n.Edges[k] = e
		from.Consumers = append(from.Consumers, e)
	}
}

// mapped finds which partitions an edge selects, or reports why that is not clear.
func (r *resolver) mapped(e *Edge) bool {
	p := e.resolve()
	if p == nil {
		return true
	}
	if p.Range.File == "" {
		p.Range = e.Input.Range
	}
	p.Context = e.To.Target.Range
	r.problem(*p)
	return false
}

// isTyped says whether it is known by which types the content of an edge is read, if the files don't hold them.
func (e *Edge) isTyped() bool { return e.Output.Columns != nil || e.From.Target.Kind == engine.SQL }

// useQuarantine makes an edge read what was rejected of its output: always one Parquet file.
func (r *resolver) useQuarantine(e *Edge) bool {
	o := e.Output
	if len(o.Rejects) == 0 {
		r.problem(engine.Problem{Summary: fmt.Sprintf("there is nothing rejected: output %q of %s declares no reject", o.Name, e.From.Target.Label), Range: e.Input.Range,
			Context: e.To.Target.Range, Hint: r.ask(e) + "a reject there"})
		return false
	}
	if r.quarantines[o] == nil {
		r.quarantines[o] = &engine.Output{Name: o.Name, Path: "quarantine.parquet", Shape: engine.OneFile, Format: engine.Parquet, Range: o.Range}
	}
	e.Output = r.quarantines[o]
	return true
}

// checkReadable makes sure that SQL can read an input: a table whose types are known.
func (r *resolver) checkReadable(n *Node, in *engine.Input, format engine.Format, what string, typed bool) {
	p := engine.Problem{Range: in.Range, Context: n.Target.Range}
	switch {
	case format == engine.Opaque:
		p.Summary = fmt.Sprintf("SQL can't read %s: the ending of the files is that of no table", what)
		p.Hint = "tables are .parquet, .csv and .ndjson, the last two also with .gz or .zst"
	case format != engine.Parquet && in.Columns == nil && !typed:
		p.Summary = fmt.Sprintf("SQL needs the types of the columns of %s", what)
		p.Detail = fmt.Sprintf("Files of %s don't hold them, and they are never taken from a sample.", format)
		p.Hint = `declare columns = { ... } where the data is made, or on the input; dpb columns FILE prints them for a file`
	default:
		return
	}
	r.problem(p)
}

// find looks a label up for a consumer, which must be allowed to see it.
func (r *resolver) find(n *Node, l engine.Label, at engine.Range) *Node {
	from := r.byLabel[l]
	if from == nil {
		if r.Workspace.Target(l) == nil {
			r.problem(engine.Problem{Summary: fmt.Sprintf("there is no target or source %s", l), Hint: r.suggest(l, n.Target.Label.Pkg), Range: at, Context: n.Target.Range})
		}
		return nil
	}
	if !r.visible(from.Target, n.Target.Label) {
		p := engine.Problem{Summary: fmt.Sprintf("%s may not read %s", n.Target.Label, l), Range: at, Context: n.Target.Range,
			Detail: fmt.Sprintf("Its visibility is %s.", r.visibilityText(from.Target))}
		p.Hint = fmt.Sprintf("ask %s to add %q to its visibility", r.ownerText(from.Target), below(n.Target.Label.Pkg))
		r.problem(p)
		return nil
	}
	return from
}

// below is the pattern for a package and all under it.
func below(pkg string) engine.Pattern {
	return engine.Pattern{Label: engine.Label{Pkg: pkg}, Below: true}
}

func (r *resolver) suggest(l engine.Label, from string) string {
	var names []string
	for _, t := range r.Workspace.Targets {
		names = append(names, t.Label.String())
	}
	if near := engine.Suggest(l.String(), names); near != "" {
		label, _ := engine.ParseLabel(near, "")
		return fmt.Sprintf("did you mean %q?", label.Short(from))
	}
	var same []string
	for _, t := range r.Workspace.Targets {
		if t.Label.Pkg == l.Pkg {
			same = append(same, t.Label.Name)
		}
	}
	if len(same) == 0 {
		return fmt.Sprintf("there is no package //%s with a target in it", l.Pkg)
	}
	return fmt.Sprintf("package //%s has %s", l.Pkg, strings.Join(same, ", "))
}

func (r *resolver) patterns(t *engine.Target) []engine.Pattern {
	if t.Visibility != nil {
		return t.Visibility
	}
	if p := r.packages[t.Label.Pkg]; p != nil {
		return p.Visibility
	}
	return nil
}

// visible says whether a consumer may read a target: those of its own package always may.
func (r *resolver) visible(t *engine.Target, consumer engine.Label) bool {
	patterns := r.patterns(t)
	if patterns == nil || consumer.Pkg == t.Label.Pkg {
		return true
	}
	match := func(subtract bool) bool {
		return slices.ContainsFunc(patterns, func(p engine.Pattern) bool { return p.Subtract == subtract && p.Match(consumer) })
	}
	return match(false) && !match(true)
}

func (r *resolver) visibilityText(t *engine.Target) string {
	var out []string
	for _, p := range r.patterns(t) {
		out = append(out, fmt.Sprintf("%q", p))
	}
	if out == nil {
		return "its own package only"
	}
	return strings.Join(out, ", ")
}

// ownerText names who can change a target.
func (r *resolver) ownerText(t *engine.Target) string {
	if t.Owner == "" {
		return "whoever owns //" + t.Label.Pkg
	}
	return r.Workspace.OwnerText(t.Owner)
}

// outputOf finds the output that a reference means: the named one, the only one, or the one named like the target.
func outputOf(t *engine.Target, ref engine.Ref) (*engine.Output, error) {
	name := ref.Output
	if name == "" && len(t.Outputs) == 1 {
		return t.Outputs[0], nil
	}
	if name == "" {
		name = t.Label.Name
	}
	if o := t.Output(name); o != nil {
		return o, nil
	}
	var names []string
	for _, o := range t.Outputs {
		names = append(names, o.Name)
	}
	switch near := engine.Suggest(ref.Output, names); {
	case ref.Output == "":
		return nil, fmt.Errorf("%s has several outputs (%s): say which, as %s.%s", t.Label, strings.Join(names, ", "), t.Label, names[0])
	case near != "":
		return nil, fmt.Errorf("%s has no output %q; did you mean %q?", t.Label, ref.Output, near)
	}
	return nil, fmt.Errorf("%s has no output %q; it has %s", t.Label, ref.Output, strings.Join(names, ", "))
}

func (r *resolver) resolveCode(n *Node) {
	for _, c := range n.Target.Code {
		if c.Source.IsZero() {
			continue
		}
		from := r.find(n, c.Source, c.Range)
		switch {
		case from == nil:
		case from.Target.Kind != engine.Source:
			r.problem(engine.Problem{Summary: fmt.Sprintf("code takes sources, and %s is a target", c.Source), Range: c.Range, Context: n.Target.Range,
				Hint: "read what a job made as an input"})
		case len(from.Target.PartitionBy) > 0:
			r.problem(engine.Problem{Summary: fmt.Sprintf("%s has partitions, and code has none", c.Source), Range: c.Range, Context: n.Target.Range})
		default:
			n.CodeFrom = append(n.CodeFrom, from)
		}
	}
}

// order sorts producers before consumers, numbers the actions and names cycles.
func (r *resolver) order(nodes []*Node) {
	const open, closed = 1, 2
	state := map[*Node]int{}
	var path []*Node
	var visit func(n *Node)
	visit = func(n *Node) {
		state[n] = open
		path = append(path, n)
		for _, e := range slices.Concat(n.Edges, n.References) {
			if e == nil || e.From == n {
				continue
			}
			if state[e.From] == open {
				r.cycle(path[slices.Index(path, e.From):], e)
			} else if state[e.From] == 0 {
				visit(e.From)
			}
		}
		for _, from := range n.CodeFrom { // sources, which read nothing
			if state[from] == 0 {
				visit(from)
			}
		}
		path = path[:len(path)-1]
		state[n] = closed
		n.Index, n.Base = len(r.Nodes), ActionID(r.Actions)
		r.Nodes = append(r.Nodes, n)
		r.Actions += n.Set.Len()
	}
	for _, n := range nodes {
		if state[n] == 0 {
			visit(n)
		}
	}
	if r.Actions > 1<<31 {
		r.problem(engine.Problem{Summary: fmt.Sprintf("the workspace has %d actions, more than dpb can hold", r.Actions), Hint: "give the partitions a later start"})
	}
	byLabel := func(a, b *Edge) int { return a.To.Target.Label.Compare(b.To.Target.Label) }
	for _, n := range r.Nodes {
		slices.SortStableFunc(n.Consumers, byLabel)
		slices.SortStableFunc(n.ReferencedBy, byLabel)
	}
}

// cycle reports a circle: each node of path depends on the next, and closing leads from the last to the first.
func (r *resolver) cycle(path []*Node, closing *Edge) {
	p := engine.Problem{Summary: "targets depend on each other in a circle", Range: closing.Input.Range, Context: closing.To.Target.Range,
		Hint: "take one of these inputs away; a target may read only its own earlier partitions"}
	var words strings.Builder
	for k, n := range path {
		words.WriteString(n.Target.Label.String())
		if n.reads(path[(k+1)%len(path)]) {
			words.WriteString(" reads ")
			continue
		}
		words.WriteString(" looks up ")
		p.Hint = "take one of these inputs or references away: what looks values up in a table is judged after it, and so can't be what that table is made of"
	}
	p.Detail = words.String() + path[0].Target.Label.String() + "."
	r.problem(p)
}

// reads says whether a job of n reads a target, beside what its verdict looks up.
func (n *Node) reads(from *Node) bool {
	return slices.ContainsFunc(n.Edges, func(e *Edge) bool { return e != nil && e.From == from })
}

// warnOfTotals warns of sums over running totals: a coarser consumer nearly always means the newest of them only.
func (r *resolver) warnOfTotals() {
	for _, n := range r.Nodes {
		for _, e := range n.Edges {
			if e == nil || e.From == n || e.Input.TakeLast || !e.From.ReadsItself() {
				continue
			}
			if k := e.From.Set.time(); k >= 0 && (e.dims[k].relation == finer || e.dims[k].relation == all) {
				r.problem(engine.Problem{Severity: engine.Warning, Range: e.Input.Range, Context: n.Target.Range,
					Summary: fmt.Sprintf("%s is a running total, and this reads %s", e.From.Target.Label, e.Words()),
					Hint:    `write take = "last" to read only the newest`})
			}
		}
	}
}
