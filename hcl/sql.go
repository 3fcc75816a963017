package hcl

import (
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// statements reads the SQL of a target, one statement an output. Outputs that no block declares are added.
func (b *block) statements(t *engine.Target) {
	e := b.attr("sql")
	if b.isMap(e) {
		b.namedStatements(t, e)
		return
	}
	switch len(t.Outputs) {
	case 0:
		if b.count("output") > 0 {
			return // wrong ones
		}
		t.Outputs = []*engine.Output{b.defaultOutput(b.name)}
	case 1:
	default:
		hint := "write sql = {\n"
		for _, o := range t.Outputs {
			hint += fmt.Sprintf("  %s = file(%q)\n", o.Name, o.Name+".sql")
		}
		b.report(e.Range(), hint+"}", "there is one statement for %d outputs", len(t.Outputs))
		return
	}
	if s := b.statement(e, t.Outputs[0].Name); s != nil {
		t.SQL = []*engine.Statement{s}
	}
}

// defaultOutput is the one that a statement has without a block.
func (b *block) defaultOutput(name string) *engine.Output {
	return &engine.Output{Name: name, Path: name + ".parquet", Format: engine.Parquet, Range: place(b.header)}
}

// namedStatements reads sql = { a = ..., b = ... }.
func (b *block) namedStatements(t *engine.Target, e hclsyntax.Expression) {
	entries, ok := b.entries(e, "sql")
	if !ok {
		return
	}
	if len(entries) == 0 {
		b.report(e.Range(), "write "+example("sql"), "sql has no statement")
	}
	declared := b.count("output") > 0
	byName := map[string]entry{}
	for _, x := range entries {
		byName[x.key] = x
		switch {
		case t.Output(x.key) != nil:
		case declared:
			var known []string
			for _, o := range t.Outputs {
				known = append(known, o.Name)
			}
			b.noSuch("output", x.key, x.at, known)
		case b.checkName(x.key, x.at):
			t.Outputs = append(t.Outputs, b.defaultOutput(x.key))
		}
	}
	for _, o := range t.Outputs {
		x, ok := byName[o.Name]
		if !ok {
			b.report(e.Range(), fmt.Sprintf("add %s = file(%q)", o.Name, o.Name+".sql"), "there is no statement for output %q", o.Name)
			continue
		}
		if s := b.statement(x.expr, o.Name); s != nil {
			t.SQL = append(t.SQL, s)
		}
	}
}

// statement reads the SQL of one output, or reports why it can't.
func (b *block) statement(e hclsyntax.Expression, output string) *engine.Statement {
	s := &engine.Statement{Output: output, Range: place(e.Range())}
	if call, ok := unwrap(e).(*hclsyntax.FunctionCallExpr); ok && call.Name == "file" && len(call.Args) == 1 {
		name, ok := b.text(call.Args[0], "file")
		if !ok {
			return nil
		}
		// Read here and not by file(), because HCL's strings are normalised, and to know where the text stands.
		var err error
		if s.File, s.Text, err = b.readText(name); err != nil {
			b.report(call.Args[0].Range(), "", "%s", err)
			return nil
		}
		if strings.TrimSpace(s.Text) == "" {
			b.report(call.Args[0].Range(), "", "%s is empty", s.File)
			return nil
		}
		return s
	}
	s.Text = b.sqlText(e, "sql")
	if name := strings.TrimSpace(s.Text); strings.HasSuffix(name, ".sql") && !strings.ContainsAny(name, " \n") {
		b.report(e.Range(), fmt.Sprintf("write file(%q)", name), "%q is the name of a file, and not SQL", name)
		return nil
	}
	s.Range = place(literalRange(e))
	if s.Text == "" {
		return nil
	}
	return s
}

// literalRange is the text inside the quotes, if there is nothing but text.
func literalRange(e hclsyntax.Expression) hcl.Range {
	t, ok := unwrap(e).(*hclsyntax.TemplateExpr)
	if !ok || len(t.Parts) == 0 {
		return e.Range()
	}
	for _, p := range t.Parts {
		if _, ok := p.(*hclsyntax.LiteralValueExpr); !ok {
			return e.Range()
		}
	}
	return hcl.RangeBetween(t.Parts[0].Range(), t.Parts[len(t.Parts)-1].Range())
}

// sqlText is a constant text of SQL; "" if it was reported.
func (b *block) sqlText(e hclsyntax.Expression, what string) string {
	good := true
	for _, t := range e.Variables() {
		name, _, _ := second(t)
		switch t.RootName() {
		case "partition":
			b.report(t.SourceRange(), fmt.Sprintf("write $%s, without quotes or braces", name), "SQL gets the partition as a parameter")
		case "input":
			b.report(t.SourceRange(), "write "+name, "in SQL an input is a view of its name")
		case "output":
			b.report(t.SourceRange(), "write the SELECT alone: dpb writes its rows", "SQL does not name its output")
		default:
			continue
		}
		good = false
	}
	if !good {
		return ""
	}
	s, ok := b.text(e, what)
	if ok && strings.TrimSpace(s) == "" {
		b.report(e.Range(), "", "%s is empty", what)
		return ""
	}
	return s
}
