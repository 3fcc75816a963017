package sql

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Names are what a statement may refer to: its target's inputs and partition dimensions, and the engine's functions by their names in lower case.
type Names struct {
	Inputs, Params []string
	Functions      map[string]Function
}

// Finding is something that the gate has against a statement, at a stretch of its text.
type Finding struct {
	Offset, Len   int
	Warning       bool
	Summary, Hint string
}

// Report is what the gate found.
type Report struct {
	Findings []Finding // ordered by place
	// Serial says that the value can depend on the order in which rows are evaluated.
	Serial bool
	// Sums are calls whose value can depend on that order unless their argument is an integer: the places of their names.
	Sums []Token
	// Inputs are the places where it reads inputs. Text is an input's name.
	Inputs []Token
	// Orders are the terms of the statement's own ORDER BY.
	Orders []Order
}

// Order is a term of ORDER BY: a column of the result, by name or, from 1, by position. Both are zero for other terms.
type Order struct {
	Column    string
	Position  int
	Direction string // "", " ASC", or " DESC"
	Nulls     string // "", " NULLS FIRST" or " NULLS LAST"
}

// Refused says whether anything but warnings was found.
func (r *Report) Refused() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return !f.Warning })
}

// Scan looks at a statement's tokens before any engine does: it must be one statement that begins like a SELECT.
func Scan(src string, names Names) ([]Token, []Finding) {
	tokens, err := Tokens(src)
	if err != nil {
		return nil, []Finding{{Offset: err.(*SyntaxError).Offset, Len: 1, Summary: err.Error()}}
	}
	tokens = trimSemicolons(tokens)
	if len(tokens) == 0 {
		return nil, []Finding{{Summary: "there is no statement", Hint: "write a SELECT"}}
	}
	for i, t := range tokens {
		if t.Text == ";" && t.Kind == Operator {
			after := tokens[min(i+1, len(tokens)-1)]
			return nil, []Finding{at(after, "there is more than one statement", "write one SELECT for each output; WITH names intermediate tables")}
		}
	}
	if f, ok := opening(tokens); ok {
		return nil, []Finding{f}
	}
	return tokens, params(tokens, names.Params)
}

func at(t Token, summary, hint string) Finding {
	return Finding{Offset: t.Offset, Len: t.Len, Summary: summary, Hint: hint}
}

// opening refuses what can't be the begin of a query.
func opening(tokens []Token) (Finding, bool) {
	first := tokens[0]
	for _, t := range tokens {
		if t.Text != "(" {
			first = t
			break
		}
	}
	for _, word := range []string{"SELECT", "WITH", "FROM", "VALUES", "UNPIVOT", "TABLE"} {
		if first.Is(word) {
			return Finding{}, false
		}
	}
	switch name := strings.ToUpper(first.Text); name {
	case "PIVOT", "PIVOT_WIDER":
		return at(first, "PIVOT is not supported: its columns would depend on the data", hintPivot), true
	case "DESCRIBE", "DESC", "SHOW", "SUMMARIZE", "EXPLAIN":
		return at(first, name+" is not allowed: it tells of the engine, not of the data", "write a SELECT"), true
	default:
		return at(first, fmt.Sprintf("%q does not begin a SELECT", first.Text), "a target's SQL is one SELECT; dpb writes its rows to the output"), true
	}
}

const hintPivot = "write one aggregate for each column, as in count(*) FILTER (WHERE kind = 'a') AS a"

func params(tokens []Token, declared []string) []Finding {
	var out []Finding
	for _, t := range tokens {
		name := strings.TrimPrefix(t.Text, "$")
		switch {
		case t.Kind != Param || slices.Contains(declared, name):
		case name == t.Text || isDigit(name[0]):
			out = append(out, at(t, fmt.Sprintf("%s has no value: parameters have names", t.Text), paramHint(declared)))
		default:
			out = append(out, at(t, fmt.Sprintf("there is no partition dimension %q", name), cmp.Or(didYouMean(name, declared, "$"), paramHint(declared))))
		}
	}
	return out
}

func paramHint(declared []string) string {
	if len(declared) == 0 {
		return "the target has no partitions: name a dimension in its partition_by"
	}
	return "the target's parameters are $" + strings.Join(declared, ", $")
}

func didYouMean(name string, names []string, prefix string) string {
	if s := engine.Suggest(name, names); s != "" {
		return fmt.Sprintf("did you mean %q?", prefix+s)
	}
	return ""
}

// Inspect walks a statement's tree, as the engine's json_serialize_sql gives it for src.
func Inspect(src string, tree []byte, names Names) (*Report, error) {
	tokens, findings := Scan(src, names)
	g := &gate{names: names, tokens: tokens, report: &Report{Findings: findings}}
	if tokens == nil {
		return g.report, nil
	}
	dec := json.NewDecoder(bytes.NewReader(tree))
	dec.UseNumber() // "no place" is the largest 64 bit number
	var doc struct {
		Error        bool
		ErrorMessage string `json:"error_message"`
		Position     string
		Statements   []struct{ Node object }
	}
	if err := dec.Decode(&doc); err != nil {
		return nil, fmt.Errorf("the statement's tree: %w", err)
	}
	switch {
	case doc.Error:
		g.parseError(doc.ErrorMessage, doc.Position)
	case len(doc.Statements) != 1:
		g.refuse(nil, "there is more than one statement", "write one SELECT for each output")
	default:
		node := doc.Statements[0].Node
		g.walk(node, scope{})
		g.report.Orders = orders(node)
	}
	slices.SortStableFunc(g.report.Findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Summary, b.Summary))
	})
	g.report.Findings = slices.Compact(g.report.Findings)
	return g.report, nil
}

type (
	object = map[string]any
	// scope holds the names of the WITH tables that can be seen, in lower case.
	scope map[string]bool
	gate  struct {
		names  Names
		tokens []Token
		report *Report
	}
)

func (s scope) with(name string) scope {
	out := maps.Clone(s)
	out[fold(name)] = true
	return out
}

// place finds the token at which a node of the tree begins. A node that the parser made up has none: then the whole statement is meant.
func (g *gate) place(node object) Token {
	if n, ok := node["query_location"].(json.Number); ok {
		if i, err := n.Int64(); err == nil {
			return g.tokenAt(int(i))
		}
	}
	return g.tokens[0]
}

func (g *gate) tokenAt(offset int) Token {
	i, _ := slices.BinarySearchFunc(g.tokens, offset, func(t Token, at int) int {
		if t.Offset+t.Len <= at {
			return -1
		}
		return 0
	})
	return g.tokens[min(i, len(g.tokens)-1)]
}

func (g *gate) refuse(node object, summary, hint string) {
	g.report.Findings = append(g.report.Findings, at(g.place(node), summary, hint))
}

func (g *gate) warn(t Token, summary, hint string) {
	f := at(t, summary, hint)
	f.Warning = true
	g.report.Findings = append(g.report.Findings, f)
}

func (g *gate) parseError(message, position string) {
	t, end := g.tokens[0], g.tokens[len(g.tokens)-1]
	if n, err := json.Number(position).Int64(); err == nil {
		t = g.tokenAt(int(n))
		if int(n) >= end.Offset+end.Len {
			t = Token{Offset: end.Offset + end.Len}
		}
	}
	hint := ""
	if strings.Contains(message, "Only SELECT") {
		message, hint = "the statement is not a plain SELECT", "PIVOT is not supported: "+hintPivot
	}
	g.report.Findings = append(g.report.Findings, at(t, message, hint))
}

// walk visits every node, whatever the tree's shape: what it does not know, it looks into.
func (g *gate) walk(node any, s scope) {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			g.walk(child, s)
		}
	case object:
		g.object(n, s)
	}
}

func (g *gate) object(n object, s scope) {
	s = g.ctes(n, s)
	if g.visit(n, s) {
		return
	}
	for _, key := range slices.Sorted(maps.Keys(n)) {
		if key != "cte_map" {
			g.walk(n[key], s)
		}
	}
}

// ctes walks the WITH tables of a node. Each sees those before it, and not itself: a name that it reads is then an input.
func (g *gate) ctes(n object, s scope) scope {
	list, _ := dig(n, "cte_map", "map").([]any)
	for _, entry := range list {
		e, _ := entry.(object)
		name, value := text(e, "key"), dig(e, "value")
		g.walk(value, s)
		s = s.with(name)
	}
	return s
}

func dig(n object, path ...string) any {
	var v any = n
	for _, key := range path {
		m, _ := v.(object)
		v = m[key]
	}
	return v
}

func text(n object, key string) string { s, _ := n[key].(string); return s }

func list(n object, key string) []any { l, _ := n[key].([]any); return l }

// visit judges one node. It returns true if it saw to the node's children itself.
func (g *gate) visit(n object, s scope) (done bool) {
	if sample, ok := n["sample"].(object); ok && sample != nil {
		g.refuse(n, "a sample is different on each run", "filter by a hash instead, as in WHERE hash(id) % 100 < 10")
	}
	switch text(n, "type") {
	case "BASE_TABLE":
		g.table(n, s)
	case "TABLE_FUNCTION":
		return g.tableFunction(n, s)
	case "SHOW_REF":
		g.refuse(n, strings.TrimSuffix(text(n, "show_type"), "_UNQUALIFIED")+" is not allowed: it tells of the engine, not of the data", "write a SELECT")
	case "PIVOT":
		g.pivot(n)
	case "JOIN":
		if kind := text(n, "ref_type"); kind == "POSITIONAL" || kind == "ASOF" {
			g.report.Serial = true
		}
	case "SELECT_NODE":
		g.selectNode(n)
	case "SET_OPERATION_NODE":
		g.modifiers(n, nil)
	case "RECURSIVE_CTE_NODE":
		g.recursive(n, s)
		return true
	default:
		g.expression(n)
	}
	return false
}

// recursive walks a recursive WITH table, of which only the second half sees itself: in the first, its name is that of an input.
func (g *gate) recursive(n object, s scope) {
	g.modifiers(n, nil)
	g.report.Serial = g.report.Serial || len(list(n, "key_targets")) > 0
	for _, key := range slices.Sorted(maps.Keys(n)) {
		switch key {
		case "cte_map":
		case "right":
			g.walk(n[key], s.with(text(n, "cte_name")))
		default:
			g.walk(n[key], s)
		}
	}
}

// fold is how the engine compares names: without case, but for letters outside of ASCII.
func fold(name string) string {
	b := []byte(name)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// table refuses a table that is neither an input nor a WITH table: the engine would look for a file or for one of its own tables.
func (g *gate) table(n object, s scope) {
	name := text(n, "table_name")
	schema, catalog := text(n, "schema_name"), text(n, "catalog_name")
	same := func(input string) bool { return fold(input) == fold(name) }
	with := s[fold(name)]
	known := with || slices.ContainsFunc(g.names.Inputs, same)
	at := g.place(n)
	switch {
	case n["at_clause"] != nil:
		g.refuse(n, "AT is not supported", "an input has one version: the one that the build chose")
	case schema != "" || catalog != "":
		g.refuse(n, fmt.Sprintf("there is no table %q", strings.Join(slices.DeleteFunc([]string{catalog, schema, name}, empty), ".")),
			cmp.Or(g.inputHint(name), "a target reads its inputs and nothing else, by their names alone"))
	case known:
		if !with {
			g.report.Inputs = append(g.report.Inputs, Token{Text: name, Kind: at.Kind, Offset: at.Offset, Len: at.Len})
		}
	case at.Kind == String || strings.ContainsAny(name, "./*\\:"):
		g.refuse(n, fmt.Sprintf("a file can't be read by its path: %q", name), hintFile)
	default:
		g.refuse(n, fmt.Sprintf("there is no input %q", name), g.inputHint(name))
	}
}

func empty(s string) bool { return s == "" }

func (g *gate) inputHint(name string) string {
	if len(g.names.Inputs) == 0 {
		return "the target has no inputs: declare one"
	}
	declared := "the target's inputs are " + strings.Join(g.names.Inputs, ", ")
	if s := didYouMean(name, g.names.Inputs, ""); s != "" {
		return s + " " + declared
	}
	return declared
}

func (g *gate) tableFunction(n object, s scope) (done bool) {
	call, _ := n["function"].(object)
	name := fold(text(call, "function_name"))
	if call == nil || text(call, "type") != "FUNCTION" {
		g.refuse(n, "this table function is not allowed", hintState)
		return false
	}
	if !tableFunctions[name] {
		g.refuseTableFunction(call, name)
	}
	for _, key := range slices.Sorted(maps.Keys(call)) {
		g.walk(call[key], s)
	}
	return true
}

func (g *gate) refuseTableFunction(call object, name string) {
	hint, ok := refusal(name, g.names.Functions)
	switch {
	case ok:
		g.refuse(call, name+"() is not allowed", hint)
	case g.names.Functions[name].Table:
		g.refuse(call, name+"() is not allowed in FROM", "of the table functions, range, generate_series, unnest, repeat, repeat_row, json_each and json_tree are allowed")
	default:
		g.refuse(call, "there is no table function "+name, didYouMean(name, slices.Sorted(maps.Keys(tableFunctions)), ""))
	}
}

func (g *gate) pivot(n object) {
	if len(list(n, "unpivot_names")) > 0 {
		return
	}
	g.refuse(n, "PIVOT is not supported: its columns would depend on the data", hintPivot)
}

// expression judges calls, columns and the rest of what stands in a SELECT.
func (g *gate) expression(n object) {
	switch text(n, "class") {
	case "FUNCTION":
		g.call(n)
	case "WINDOW":
		g.window(n)
	case "COLUMN_REF":
		g.column(n)
	case "POSITIONAL_REFERENCE":
		if g.place(n).Text != "#" && !slices.ContainsFunc(g.tokens, func(t Token) bool { return strings.HasPrefix(t.Text, "#") }) {
			return // the parser made it, of ARRAY(SELECT ...)
		}
		g.refuse(n, "a column can't be named by its position", "write its name")
	case "COLLATE":
		g.report.Serial = true // texts that differ may count as equal, and which one is shown depends on the order
	}
}

func (g *gate) column(n object) {
	names := list(n, "column_names")
	if len(names) != 1 {
		return
	}
	name, _ := names[0].(string)
	if lower := fold(name); valueNames[lower] {
		hint, _ := refusal(lower, g.names.Functions)
		g.refuse(n, lower+" is not allowed: it differs from run to run", hint+"; a column of that name needs its table before it, as in t."+lower)
	}
}

func (g *gate) call(n object) {
	name := fold(text(n, "function_name"))
	if !g.allowed(n, name) {
		return
	}
	if n["export_state"] == true {
		g.refuse(n, "EXPORT_STATE is not allowed: it shows the engine's state", "write the aggregate's value")
	}
	children := list(n, "children")
	if sorters[name] && len(children) > 0 {
		// The parser writes list(x ORDER BY x) like this too.
		if inner, _ := children[0].(object); inner != nil {
			inner[sortedKey] = true
		}
	}
	if listAggregates[name] {
		g.listAggregate(n, children)
		return
	}
	if name == "age" && len(children) == 1 {
		g.refuse(n, "age() of one argument is not allowed: it counts from today", "give both, as in age($day, played_at)")
	}
	if g.names.Functions[name].Aggregate || g.callsAggregate(name) {
		g.aggregate(n, name, children, list(child(n, "order_bys"), "orders"))
	}
}

// sortedKey marks, in the tree, an expression whose list is sorted as soon as it is made.
const sortedKey = "\x00sorted"

func child(n object, key string) object { m, _ := n[key].(object); return m }

func (g *gate) callsAggregate(name string) bool {
	calls := g.names.Functions[name].Calls
	if slices.ContainsFunc(calls, func(c string) bool { return listAggregates[c] }) {
		return false
	}
	return slices.ContainsFunc(calls, func(c string) bool { return g.names.Functions[c].Aggregate })
}

// allowed refuses functions that are not there or must not be called.
func (g *gate) allowed(n object, name string) bool {
	if hint, ok := refusal(name, g.names.Functions); ok {
		g.refuse(n, name+"() is not allowed: "+because(hint), hint)
		return false
	}
	if g.names.Functions[name].Scalar || syntaxFunctions[name] {
		return true
	}
	if _, ok := windowOnly[name]; ok {
		return true
	}
	var known []string
	for f, what := range g.names.Functions {
		if _, no := refusal(f, g.names.Functions); !no && what.Scalar {
			known = append(known, f)
		}
	}
	g.refuse(n, fmt.Sprintf("there is no function %q", name), didYouMean(name, known, ""))
	return false
}

func because(hint string) string {
	switch hint {
	case hintTime, hintRandom:
		return "it differs from run to run"
	case hintState:
		return "it depends on the engine's state"
	case hintFile:
		return "it reads what is not declared"
	}
	return "its value is an estimate that can differ from run to run"
}

// listAggregate judges the aggregate that is named by a text. Over one list the order is given.
func (g *gate) listAggregate(n object, children []any) {
	if len(children) < 2 {
		return
	}
	inner, _ := children[1].(object)
	name, ok := dig(inner, "value", "value").(string)
	if !ok {
		g.refuse(n, "the aggregate must be named by a text in quotes", "write it like list_aggregate(l, 'sum')")
		return
	}
	if hint, no := refusal(fold(name), g.names.Functions); no {
		g.refuse(n, fmt.Sprintf("%s is not allowed: %s", name, because(hint)), hint)
	}
}

func (g *gate) aggregate(n object, name string, children, orders []any) {
	switch {
	case exact[name], ordersAll(children, orders), collectors[name] && n[sortedKey] == true:
	case exactOnIntegers[name] && !textArgument(children):
		g.report.Sums = append(g.report.Sums, g.place(n))
	default:
		g.report.Serial = true
	}
}

// textArgument says whether an argument is a text in quotes, which takes any type that a function offers.
func textArgument(children []any) bool { return slices.ContainsFunc(children, literalText) }

func literalText(node any) bool {
	n, _ := node.(object)
	switch text(n, "class") {
	case "CONSTANT":
		return dig(n, "value", "type", "id") == "VARCHAR"
	case "CASE":
		return literalText(n["else_expr"]) || slices.ContainsFunc(list(n, "case_checks"), func(c any) bool {
			m, _ := c.(object)
			return literalText(m["then_expr"])
		})
	case "OPERATOR":
		return textArgument(list(n, "children"))
	}
	return false
}

// ordersAll says whether an aggregate's own ORDER BY holds all of its arguments, so that rows that tie are the same.
func ordersAll(children, orders []any) bool {
	if len(orders) == 0 {
		return false
	}
	var terms []string
	for _, o := range orders {
		m, _ := o.(object)
		terms = append(terms, spell(m["expression"]))
	}
	return !slices.ContainsFunc(children, func(c any) bool {
		m, _ := c.(object)
		return text(m, "class") != "CONSTANT" && !slices.Contains(terms, spell(c))
	})
}

// spell writes a tree without places, so that equal expressions are equal.
func spell(node any) string {
	b, _ := json.Marshal(strip(node))
	return string(b)
}

func strip(node any) any {
	switch n := node.(type) {
	case []any:
		out := make([]any, len(n))
		for i, child := range n {
			out[i] = strip(child)
		}
		return out
	case object:
		out := object{}
		for k, v := range n {
			if k != "query_location" && k != "alias" {
				out[k] = strip(v)
			}
		}
		return out
	}
	return node
}
