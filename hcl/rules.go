package hcl

import (
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/dpb-build/dpb/engine"
)

const maxPrior = 1000

// rules reads the metrics, rejects and expectations of an output. What the last say can be checked once all of the target is read.
func (b *block) rules(t *engine.Target, o *engine.Output) []*rule {
	for name, what := range map[string]string{"key": "a key", "references": "a reference"} {
		if a := b.body.Attributes[name]; a != nil {
			b.needTable(t, o, a.NameRange, what)
		}
	}
	for _, c := range b.children("metric") {
		o.Metrics = append(o.Metrics, c.metric(t, o))
	}
	unreadable := false
	for _, c := range b.children("reject") {
		r := c.reject(t, o)
		if r.Unreadable && unreadable {
			c.report(c.header, "put both into one, with one limit", "%s %q has two rejects for what can't be read", b.kind.name, b.name)
		}
		unreadable = unreadable || r.Unreadable
		o.Rejects = append(o.Rejects, r)
	}
	rules := b.expects(&o.Expects)
	for _, r := range rules {
		if slices.Contains(engine.BuiltinRules, r.name) {
			r.report(r.label, "choose another name", "%q is the name of a rule that needs no expect block", r.name)
		}
	}
	return rules
}

// needTable reports a rule, named what, on an output whose rows can't be read.
func (b *block) needTable(t *engine.Target, o *engine.Output, at hcl.Range, what string) bool {
	whose := b
	for whose.kind.name != "output" && whose.kind.name != "source" {
		whose = whose.parent
	}
	switch {
	case o.Path == "" || t.Kind == 0: // reported
		return false
	case o.Format == engine.Opaque:
		b.report(at, "tables are .parquet, .csv and .ndjson, the last two also with .gz or .zst", "%s needs a table, and %s %q is none", what, whose.kind.name, whose.name)
		return false
	case o.Format != engine.Parquet && o.Columns == nil && t.Kind != engine.SQL:
		b.report(at, fmt.Sprintf("add columns = { ... } to %s %q; dpb columns FILE prints them for a file", whose.kind.name, whose.name),
			"%s needs the types of the columns of %s %q", what, whose.kind.name, whose.name).
			Detail = fmt.Sprintf("Files of %s don't hold them, and they are never taken from a sample.", o.Format)
		return false
	}
	return true
}

// rule is an expectation whose expression is not checked yet.
type rule struct {
	*block
	expect *engine.Expect
}

func (b *block) expects(into *[]*engine.Expect) []*rule {
	var out []*rule
	for _, c := range b.children("expect") {
		x := &engine.Expect{Name: c.name, Range: place(c.header)}
		x.Message, _ = c.textAttr("message")
		x.Warn = c.choice("severity", "error", "warn") == "warn"
		x.Prior = int(c.integerAttr("prior", 1, maxPrior))
		*into = append(*into, x)
		out = append(out, &rule{c, x})
	}
	return out
}

func (b *block) metric(t *engine.Target, o *engine.Output) *engine.Metric {
	m := &engine.Metric{Name: b.name, Range: place(b.header)}
	e := b.attr("sql")
	switch {
	case e != nil:
		m.SQL = b.sqlText(e, "sql")
		b.needTable(t, o, b.header, "a metric")
	case t.Kind == engine.SQL || t.Kind == engine.Source:
		b.report(b.header, `add sql = "count(*)", or whatever it is of the rows`, "metric %q does not say how it is computed", b.name).Detail =
			"Only commands write metrics themselves."
	}
	return m
}

func (b *block) reject(t *engine.Target, o *engine.Output) *engine.Reject {
	r := &engine.Reject{Name: b.name, Range: place(b.header)}
	where := b.attr("where")
	r.Unreadable = b.flag("unreadable", false)
	switch {
	case where != nil && b.attr("unreadable") != nil:
		b.report(where.Range(), "make two reject blocks of it", "where and unreadable can't stand together")
	case where != nil:
		r.Where = b.sqlText(where, "where")
	case b.attr("unreadable") == nil:
		b.report(b.header, `add where = "amount IS NULL", or unreadable = true`, "reject %q does not say which rows", b.name)
	case !r.Unreadable:
		b.report(b.attr("unreadable").Range(), `write unreadable = true, or where = "..."`, "unreadable can only be true")
	}
	b.limit(r)
	if b.needTable(t, o, b.header, "a reject") && where == nil && r.Unreadable && o.Format == engine.Parquet {
		b.report(b.attr("unreadable").Range(), `write where = "amount IS NULL"`, "what can't be read is for CSV and NDJSON, and %s %q is parquet", b.parent.kind.name, b.parent.name)
	}
	return r
}
