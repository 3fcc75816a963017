package hcl

import (
	"slices"
	"strings"
	"sync"

	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// shape is what is known at load about a value in a rule.
type shape struct {
	kind  shapeKind
	elem  *shape            // of a list, and of any name in an open record
	parts map[string]*shape // of a record
	what  string            // of a record: what its names are, for messages
}

type shapeKind uint8

const (
	unknown shapeKind = iota // may be anything; nothing is checked
	number
	textual
	boolean
	instant // a date or a time
	null
	list
	record
)

func (k shapeKind) String() string {
	return [...]string{"anything", "a number", "a text", "true or false", "a time", "null", "a list", "a group of values"}[k]
}

var (
	anything = &shape{}
	aNumber  = &shape{kind: number}
	aText    = &shape{kind: textual}
	aBool    = &shape{kind: boolean}
	aTime    = &shape{kind: instant}
	aNull    = &shape{kind: null}
)

func listOf(s *shape) *shape { return &shape{kind: list, elem: s} }

// names lists the parts of a record, in order.
func (s *shape) names() []string {
	var out []string
	for name := range s.parts {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// facts is the shape of a fingerprint. More columns may exist than are declared; with open also any metric and reject.
func facts(columns []engine.Column, metrics []*engine.Metric, rejects []*engine.Reject, open bool) *shape {
	column := &shape{kind: record, what: "column", parts: map[string]*shape{}, elem: columnShape(anything)}
	for _, c := range columns {
		column.parts[c.Name] = columnShape(shapeOfType(c.Type))
	}
	metric := &shape{kind: record, what: "metric", parts: map[string]*shape{}}
	for _, m := range metrics {
		metric.parts[m.Name] = aNumber
	}
	share := &shape{kind: record, what: "number of a reject", parts: map[string]*shape{"rows": aNumber, "share": aNumber}}
	rejected := &shape{kind: record, what: "reject", parts: map[string]*shape{}}
	for _, r := range rejects {
		rejected.parts[r.Name] = share
	}
	if open {
		metric.elem, rejected.elem = aNumber, share
	}
	return &shape{kind: record, what: "name", parts: map[string]*shape{
		"rows": aNumber, "bytes": aNumber, "files": aNumber, "column": column, "metric": metric, "rejected": rejected,
	}}
}

// columnShape is the shape of a column's statistics; values are its own. There is one for each kind of values: shapes are never changed.
func columnShape(values *shape) *shape {
	if s, ok := columnShapes()[values]; ok {
		return s
	}
	return newColumnShape(values)
}

var columnShapes = sync.OnceValue(func() map[*shape]*shape {
	out := map[*shape]*shape{}
	for _, s := range []*shape{anything, aNumber, aText, aBool, aTime} {
		out[s] = newColumnShape(s)
	}
	return out
})

func newColumnShape(values *shape) *shape {
	frequent := &shape{kind: record, what: "part of a frequent value", parts: map[string]*shape{"value": values, "rows": aNumber, "share": aNumber}}
	return &shape{kind: record, what: "statistic of a column", parts: map[string]*shape{
		"nulls": aNumber, "distinct": aNumber, "min": values, "max": values, "mean": aNumber, "stddev": aNumber, "entropy": aNumber,
		"quantile": {kind: record, what: "quantile", elem: values}, "top": listOf(frequent),
	}}
}

// shapeOfType is the shape of a column's values.
func shapeOfType(t string) *shape {
	base, _, _ := strings.Cut(t, "(")
	switch {
	case strings.HasSuffix(t, "]"):
		return anything
	case base == "VARCHAR", base == "UUID":
		return aText
	case base == "BOOLEAN":
		return aBool
	case base == "DATE", strings.HasPrefix(base, "TIME"):
		return aTime
	case strings.HasSuffix(base, "INT"), base == "INTEGER", base == "UINTEGER", base == "FLOAT", base == "DOUBLE", base == "DECIMAL":
		return aNumber
	}
	return anything
}

// shapeOfValue is the shape of a constant's type.
func shapeOfValue(t cty.Type) *shape {
	switch {
	case t == cty.Number:
		return aNumber
	case t == cty.String:
		return aText
	case t == cty.Bool:
		return aBool
	case t.IsListType(), t.IsSetType():
		return listOf(shapeOfValue(t.ElementType()))
	case t.IsTupleType():
		elem := anything
		for i, e := range t.TupleElementTypes() {
			elem = unify(i == 0, elem, shapeOfValue(e))
		}
		return listOf(elem)
	}
	return anything
}

// unify is the shape of what is a or b.
func unify(first bool, a, b *shape) *shape {
	if first || a.kind == b.kind {
		return b
	}
	return anything
}

// ctyType is what HCL's own functions see of a shape.
func (s *shape) ctyType() cty.Type {
	switch s.kind {
	case number:
		return cty.Number
	case textual:
		return cty.String
	case boolean:
		return cty.Bool
	case list:
		return cty.List(s.elem.ctyType())
	}
	return cty.DynamicPseudoType
}
