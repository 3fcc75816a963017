package hcl

import (
	"github.com/dpb-build/dpb/engine"
)

const maxPrior = 1000

// rules reads the metrics, rejects and expectations of an output. What the last say can be checked once all of the target is read.
func (b *block) rules(o *engine.Output) []*rule {
	for _, c := range b.children("metric") {
		o.Metrics = append(o.Metrics, c.metric())
	}
	for _, c := range b.children("reject") {
		o.Rejects = append(o.Rejects, c.reject())
	}
	return b.expects(&o.Expects)
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

func (b *block) metric() *engine.Metric {
	m := &engine.Metric{Name: b.name, Range: place(b.header)}
	if e := b.attr("sql"); e != nil {
		m.SQL = b.sqlText(e, "sql")
	}
	return m
}

func (b *block) reject() *engine.Reject {
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
	return r
}
