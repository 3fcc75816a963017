package sql

import (
	"encoding/json"
	"strings"
)

const hintTies = "rows that tie can come in any order: add columns to its ORDER BY until it is total, best those of the key"

// window judges a call with OVER. Its value can depend on the order of rows that tie.
func (g *gate) window(n object) {
	name := strings.ToLower(text(n, "function_name"))
	if !g.allowed(n, name) {
		return
	}
	orders := list(n, "orders")
	tied, only := windowOnly[name]
	switch {
	case tied:
		g.report.Serial = true
		if len(orders)+len(list(n, "arg_orders")) < 2 {
			g.warn(g.place(n), name+"() goes by the order of rows, and rows may tie", hintTies)
		}
	case only:
	default:
		g.windowAggregate(n, name)
	}
}

// windowAggregate judges an aggregate with OVER. A frame of ROWS ends between rows that tie, one of RANGE or GROUPS does not.
func (g *gate) windowAggregate(n object, name string) {
	if strings.Contains(text(n, "start")+text(n, "end"), "_ROWS") {
		g.report.Serial = true
		if len(list(n, "orders")) == 0 {
			g.warn(g.place(n), name+"() over ROWS goes by the order of rows, and there is no ORDER BY", hintTies)
		}
	}
	g.aggregate(n, name, list(n, "children"), list(n, "arg_orders"))
}

// selectNode judges LIMIT and DISTINCT ON, which choose rows by their order.
func (g *gate) selectNode(n object) {
	g.modifiers(n, list(n, "group_expressions"))
}

func (g *gate) modifiers(n object, groups []any) {
	var terms []any
	for _, m := range list(n, "modifiers") {
		if m, _ := m.(object); text(m, "type") == "ORDER_MODIFIER" {
			terms = list(m, "orders")
		}
	}
	for _, m := range list(n, "modifiers") {
		m, _ := m.(object)
		switch text(m, "type") {
		case "LIMIT_MODIFIER", "LIMIT_PERCENT_MODIFIER":
			g.chooses(m, "LIMIT", terms, groups)
		case "DISTINCT_MODIFIER":
			if len(list(m, "distinct_on_targets")) > 0 {
				g.chooses(m, "DISTINCT", terms, nil)
			}
		}
	}
}

// chooses notes that rows are chosen by an order. It warns where that order is missing or has one term only, unless the term is ALL or all that the
// rows were grouped by: whether longer ones are total can't be seen without the data.
func (g *gate) chooses(m object, word string, terms, groups []any) {
	g.report.Serial = true
	if len(terms) > 1 || len(terms) == 1 && (isAll(terms[0]) || len(groups) > 0 && ordersAll(groups, terms)) {
		return
	}
	if dig(child(m, "limit"), "value", "value") == json.Number("0") {
		return
	}
	g.warn(g.keyword(m, word), word+" chooses among rows, and rows may tie", hintTies)
}

// keyword finds the word before the place of a modifier's expression, or its last use.
func (g *gate) keyword(m object, word string) Token {
	end := len(g.tokens)
	for _, key := range []string{"limit", "offset"} {
		if e := child(m, key); e != nil && e["query_location"] != nil {
			end = g.place(e).Offset
			break
		}
	}
	found := g.tokens[0]
	for _, t := range g.tokens {
		if t.Offset < end && (t.Is(word) || word == "LIMIT" && t.Is("OFFSET")) || end == len(g.tokens) && t.Is(word) {
			found = t
		}
	}
	return found
}

func isAll(term any) bool {
	m, _ := term.(object)
	e := child(m, "expression")
	return text(e, "class") == "STAR"
}

// orders are the terms of the ORDER BY of the whole statement.
func orders(node object) []Order {
	var out []Order
	for _, m := range list(node, "modifiers") {
		m, _ := m.(object)
		if text(m, "type") != "ORDER_MODIFIER" {
			continue
		}
		for _, o := range list(m, "orders") {
			o, _ := o.(object)
			out = append(out, order(o))
		}
	}
	return out
}

func order(o object) Order {
	term := Order{Direction: map[string]string{"ASCENDING": " ASC", "DESCENDING": " DESC"}[text(o, "type")],
		Nulls: map[string]string{"ORDER_NULLS_FIRST": " NULLS FIRST", "NULLS FIRST": " NULLS FIRST", "ORDER_NULLS_LAST": " NULLS LAST",
			"NULLS LAST": " NULLS LAST"}[text(o, "null_order")]}
	e := child(o, "expression")
	switch text(e, "class") {
	case "COLUMN_REF":
		if names := list(e, "column_names"); len(names) == 1 {
			term.Column, _ = names[0].(string)
		}
	case "CONSTANT":
		if n, ok := dig(e, "value", "value").(json.Number); ok {
			i, _ := n.Int64()
			term.Position = int(i)
		}
	}
	return term
}
