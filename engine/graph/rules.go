package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// resolveReferences finds the tables in which the rules of a target's outputs look values up.
func (r *resolver) resolveReferences(n *Node) {
	for _, o := range n.Target.Outputs {
		for _, ref := range o.References {
			if e := r.reference(n, o, ref); e != nil {
				n.References = append(n.References, e)
				e.From.ReferencedBy = append(e.From.ReferencedBy, e)
			}
		}
	}
}

// reference resolves one reference of output o, or reports why it can't.
func (r *resolver) reference(n *Node, o *engine.Output, ref engine.Reference) *Edge {
	from := r.find(n, ref.To.Label, ref.Range)
	if from == nil {
		return nil
	}
	output, err := outputOf(from.Target, ref.To)
	if err != nil {
		r.problem(engine.Problem{Summary: err.Error(), Range: ref.Range, Context: o.Range})
		return nil
	}
	e := &Edge{From: from, To: n, Holder: o, Output: output, Input: &engine.Input{Name: ref.Column, From: ref.To, Range: ref.Range}}
	if p := r.unfit(e); p.Summary != "" {
		p.Range, p.Context = ref.Range, o.Range
		r.problem(p)
		return nil
	}
	if !r.mapped(e) {
		return nil
	}
	return e
}

// unfit says why values can't be looked up in a table.
func (r *resolver) unfit(e *Edge) (p engine.Problem) {
	switch o := e.Output; {
	case o.Format == engine.Opaque:
		p.Summary = fmt.Sprintf("%s is no table in which values can be looked up", e.Input.From)
	case o.Key == nil:
		p.Summary = fmt.Sprintf("a reference looks values up in a key, and %s has none", e.Input.From)
		p.Hint = r.ask(e) + fmt.Sprintf("a key of one column in its output %q", o.Name)
		if e.From.Target.Kind == engine.Source {
			p.Hint = "a source has no key: make a target of it, with a key, and refer to that"
		}
	case len(o.Key) > 1:
		p.Summary = fmt.Sprintf("a reference looks values up in a key of one column, and that of %s has %d: %s", e.Input.From, len(o.Key), strings.Join(o.Key, ", "))
		p.Hint = "refer to a table whose key is one column"
	case o.Format != engine.Parquet && !e.isTyped():
		p.Summary = fmt.Sprintf("values can't be looked up in %s, as the types of its columns are not known", e.Input.From)
		p.Hint = r.ask(e) + "columns = { ... } where the data is made"
	}
	return p
}

// ask begins a hint at what has to be declared where an edge's content is made: by whoever reads the hint, or by another team.
func (r *resolver) ask(e *Edge) string {
	if e.From.Target.Label.Pkg == e.To.Target.Label.Pkg {
		return "declare "
	}
	return fmt.Sprintf("ask %s to declare ", r.ownerText(e.From.Target))
}

// checkRules checks names in rules that only the whole graph knows: what producers declare.
func (r *resolver) checkRules(n *Node) {
	for k, in := range n.Target.Inputs {
		e := n.Edges[k]
		if e == nil && !in.From.Label.IsZero() {
			continue // reported before
		}
		if e != nil {
			r.checkWaive(e)
		}
		if len(in.Expects) > 0 && (e == nil || e.Quarantine) {
			r.unmeasured(e, in)
			continue
		}
		for _, x := range in.Expects {
			r.checkPrior(n, x)
			for _, u := range x.Uses {
				r.checkUse(n, e, edgeUse(u))
			}
		}
	}
	for _, o := range n.Target.Outputs {
		r.checkColumns(o)
		for _, x := range o.Expects {
			r.checkPrior(n, x)
			for _, u := range x.Uses {
				r.checkInputUse(n, u)
			}
		}
	}
}

// checkColumns reports a column of key or references whose name is nearly one that is promised. More columns than promised may be there.
func (r *resolver) checkColumns(o *engine.Output) {
	var promised []string
	for _, c := range o.Columns {
		promised = append(promised, c.Name)
	}
	check := func(word, name string, at engine.Range) {
		if near := engine.Suggest(name, promised); near != "" && !slices.Contains(promised, name) {
			r.problem(engine.Problem{Summary: fmt.Sprintf("%s names the column %q, and %q is promised", word, name, near), Range: at, Context: o.Range,
				Hint: fmt.Sprintf("did you mean %q?", near)})
		}
	}
	for _, name := range o.Key {
		check("key", name, o.Range)
	}
	for _, ref := range o.References {
		check("references", ref.Column, ref.Range)
	}
}

// checkPrior refuses a rule that wants earlier partitions where time does not pass.
func (r *resolver) checkPrior(n *Node, x *engine.Expect) {
	if x.Prior == 0 || n.Set.time() >= 0 {
		return
	}
	r.problem(engine.Problem{Summary: fmt.Sprintf("prior is for partitions in time, and %s has no time dimension", n.Target.Label), Range: x.Range, Context: n.Target.Range,
		Hint: "the version that this one replaces is replaced, as in replaced.rows"})
}

// unmeasured refuses rules on what has no fingerprint.
func (r *resolver) unmeasured(e *Edge, in *engine.Input) {
	p := engine.Problem{Summary: fmt.Sprintf("input %q has no fingerprint to expect something of: its files belong to no source", in.Name), Range: in.Expects[0].Range, Context: in.Range,
		Hint: fmt.Sprintf("declare them: source %q { path = ... }, and read that", in.Name)}
	if e != nil {
		p.Summary = fmt.Sprintf("input %q is a quarantine, and has no fingerprint to expect something of", in.Name)
		p.Hint = "expect it of the output, as in rejected.NAME.rows"
	}
	r.problem(p)
}

// checkInputUse checks input.plays.metric.x in a rule on an output.
func (r *resolver) checkInputUse(n *Node, u engine.Use) {
	if len(u.Path) < 3 || u.Path[0] != "input" {
		return
	}
	k := slices.IndexFunc(n.Target.Inputs, func(in *engine.Input) bool { return in.Name == u.Path[1] })
	if k < 0 || n.Edges[k] == nil && !n.Target.Inputs[k].From.Label.IsZero() {
		return
	}
	if n.Edges[k] == nil || n.Edges[k].Quarantine {
		r.problem(engine.Problem{Summary: fmt.Sprintf("input %q has no fingerprint: it is files of the package, or a quarantine", u.Path[1]), Range: u.Range, Context: n.Target.Range,
			Hint: "read a source or a target"})
		return
	}
	name := use{Use: u, of: "input", group: u.Path[2]}
	if len(u.Path) > 3 {
		name.name = u.Path[3]
	}
	r.checkUse(n, n.Edges[k], name)
}

func (r *resolver) checkWaive(e *Edge) {
	declared := e.From.Target.Output(e.Output.Name)
	names := slices.Clone(engine.BuiltinRules)
	for _, x := range declared.Expects {
		names = append(names, x.Name)
	}
	for _, w := range e.Input.Waive {
		if slices.Contains(names, w) {
			continue
		}
		p := engine.Problem{Summary: fmt.Sprintf("%s has no rule %q to waive", e.From.Target.Label, w), Range: e.Input.Range, Context: e.To.Target.Range,
			Hint: "its rules are " + strings.Join(names, ", ")}
		if near := engine.Suggest(w, names); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		r.problem(p)
	}
}

// use is a name in a rule about what an edge brings.
type use struct {
	engine.Use
	of    string // prior, parts, replaced or input; "" for the edge itself
	group string // metric, rejected or column
	name  string
}

// edgeUse takes a name of a rule on an input apart.
func edgeUse(u engine.Use) use {
	out, path := use{Use: u}, u.Path
	if slices.Contains([]string{"prior", "parts", "replaced"}, path[0]) {
		out.of, path = path[0], path[1:]
	}
	if len(path) > 0 {
		out.group = path[0]
	}
	if len(path) > 1 {
		out.name = path[1]
	}
	return out
}

// checkUse checks one name against what the producer declares.
func (r *resolver) checkUse(n *Node, e *Edge, u use) {
	var p engine.Problem
	in := e.Input
	switch what := declaredNames(e, u.group); {
	case (u.group == "rows" || u.group == "column") && e.Output.Format == engine.Opaque:
		p.Summary = fmt.Sprintf("%s is not known of %s, which is no table", u.group, in.From)
		p.Hint = "of files, bytes and files are known"
	case u.group == "column" && in.Columns == nil && e.Output.Format != engine.Parquet && !e.isTyped():
		p.Summary = fmt.Sprintf("columns of %s are not known, as the files don't hold their types", in.From)
		p.Hint = "declare columns = { ... } where the data is made"
	case u.name == "" || u.name == "*":
		return
	case u.group == "column":
		p = nearColumn(e, u.name)
	case u.group != "metric" && u.group != "rejected":
		return
	case !slices.Contains(what, u.name):
		p = r.undeclared(e, u, what)
	case u.group == "metric" && !e.Single() && u.of != "parts":
		p.Summary = fmt.Sprintf("metric %q is of one partition, and this is about several: %s", u.name, e.Words())
		p.Hint = "write parts[*].metric." + u.name
		if u.of == "input" {
			p.Hint += " in a rule on the input"
		}
	}
	if p.Summary != "" {
		p.Range, p.Context = u.Range, n.Target.Range
		r.problem(p)
	}
}

// declaredNames lists the metrics or rejects of what an edge reads.
func declaredNames(e *Edge, group string) (out []string) {
	if group == "metric" {
		for _, m := range e.Output.Metrics {
			out = append(out, m.Name)
		}
		return out
	}
	for _, x := range e.Output.Rejects {
		out = append(out, x.Name)
	}
	return out
}

// undeclared says that the producer has no such metric or reject.
func (r *resolver) undeclared(e *Edge, u use, names []string) (p engine.Problem) {
	word := map[string]string{"metric": "metric", "rejected": "reject"}[u.group]
	p.Summary = fmt.Sprintf("%s has no %s %q", e.Input.From, word, u.name)
	p.Hint = r.ask(e) + "it there"
	if near := engine.Suggest(u.name, names); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// nearColumn finds a name that is nearly a promised column's. Others may be there, as more columns than promised are allowed.
func nearColumn(e *Edge, name string) (p engine.Problem) {
	if e.Input.Columns != nil {
		return p // checked when the file was loaded
	}
	var names []string
	for _, c := range e.Output.Columns {
		names = append(names, c.Name)
	}
	if near := engine.Suggest(name, names); near != "" && !slices.Contains(names, name) {
		p.Summary, p.Hint = fmt.Sprintf("%s promises no column %q", e.Input.From, name), fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// filesFormat is the format of a glob of the package.
func filesFormat(in *engine.Input) engine.Format {
	format, _ := engine.FormatOf(in.Files[len(in.Files)-1].Literal)
	return format
}
