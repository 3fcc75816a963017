package sql

import (
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// A tree as the engine gives it, so that the walk is tested without the engine too: SELECT now() FROM plyas p, (SELECT sum(x) FROM plays).
const tree = `{"error":false,"statements":[{"node":{"type":"SELECT_NODE","modifiers":[],"cte_map":{"map":[]},"select_list":[
	{"class":"FUNCTION","type":"FUNCTION","query_location":7,"function_name":"now","schema":"","children":[]}],
	"from_table":{"type":"JOIN","ref_type":"CROSS","sample":null,"query_location":18446744073709551615,
		"left":{"type":"BASE_TABLE","sample":null,"query_location":18,"schema_name":"","table_name":"plyas","catalog_name":"","at_clause":null},
		"right":{"type":"SUBQUERY","sample":null,"query_location":26,"subquery":{"node":{"type":"SELECT_NODE","modifiers":[],"cte_map":{"map":[]},"select_list":[
			{"class":"FUNCTION","type":"FUNCTION","query_location":34,"function_name":"sum","schema":"","children":[{"class":"COLUMN_REF","column_names":["x"]}],
			"order_bys":{"orders":[]}}],
			"from_table":{"type":"BASE_TABLE","sample":null,"query_location":46,"schema_name":"","table_name":"plays","catalog_name":"","at_clause":null}}}}}}}]}`

func TestInspectTree(t *testing.T) {
	src := "SELECT now() FROM plyas p, (SELECT sum(x) FROM plays)"
	names := Names{Inputs: []string{"plays"}, Functions: map[string]Function{"now": {Scalar: true, Unstable: true}, "sum": {Scalar: true, Aggregate: true}}}
	r, err := Inspect(src, []byte(tree), names)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Findings) != 2 || !r.Refused() || len(r.Inputs) != 1 || r.Serial || len(r.Sums) != 1 {
		t.Fatalf("%+v", r)
	}
	st := &engine.Statement{Text: src, File: "a.sql"}
	if p := r.Findings[1].Problem(st); !strings.Contains(p.Summary, `no input "plyas"`) || p.Range.Start.Column != 19 || p.Range.End.Column != 24 {
		t.Errorf("%+v", p)
	}
}

func TestScan(t *testing.T) {
	for text, want := range map[string]string{
		"": "there is no statement", " -- x\n;": "there is no statement", "SELECT 1; SELECT 2": "more than one statement", "PIVOT t ON x": "PIVOT is not supported",
		"INSERT INTO t SELECT 1": "does not begin a SELECT", "((DELETE FROM t))": "does not begin a SELECT", "SELECT 'x": "has no end", "SELECT /* x": "has no end",
		"SELECT $dya": `no partition dimension "dya"`, "SELECT ?": "? has no value", "SELECT $1": "$1 has no value", "DESCRIBE t": "DESCRIBE is not allowed", "SELECT 0xff": "without a space",
	} {
		_, findings := Scan(text, Names{Params: []string{"day"}})
		if len(findings) != 1 || !strings.Contains(findings[0].Summary, want) {
			t.Errorf("%q: %+v", text, findings)
		}
	}
}

func TestPlace(t *testing.T) {
	text := "SELECT 'é',\n  nope"
	at := strings.Index(text, "nope")
	lit := engine.Range{File: "p/pipeline.hcl", Start: engine.Pos{Line: 5, Column: 9, Byte: 100}, End: engine.Pos{Byte: 100 + len(text) + 2}}
	block := lit
	block.End.Byte = 100 + len(text)
	odd := lit
	odd.End.Byte++
	for _, c := range []struct {
		st           engine.Statement
		line, column int
	}{
		{engine.Statement{Text: text, File: "a.sql"}, 2, 3}, {engine.Statement{Text: text, Range: lit}, 6, 3}, {engine.Statement{Text: text, Range: block}, 6, 3},
		{engine.Statement{Text: text, Range: odd}, 5, 9},
	} {
		if r := Place(&c.st, at, 4); r.Start.Line != c.line || r.Start.Column != c.column {
			t.Errorf("%+v: %+v", c.st, r)
		}
	}
	if r := Place(&engine.Statement{Text: "e\u0301x", File: "a.sql"}, 3, 1); r.Start.Column != 2 {
		t.Errorf("%+v", r)
	}
}

func TestWidens(t *testing.T) {
	for pair, want := range map[string]bool{
		"INTEGER BIGINT": true, "BIGINT INTEGER": false, "UINTEGER BIGINT": true, "UBIGINT BIGINT": false, "HUGEINT BIGINT": true, "HUGEINT DOUBLE": false, "INTEGER DOUBLE": true,
		"BIGINT DOUBLE": false, "FLOAT DOUBLE": true, "DOUBLE FLOAT": false, "VARCHAR BIGINT": false, "DATE TIMESTAMP": true, "TIMESTAMP DATE": false,
		"DECIMAL(10,2) DECIMAL(12,2)": true, "DECIMAL(10,2) DECIMAL(12,5)": false, "INTEGER DECIMAL(10,0)": true, "BIGINT DECIMAL(18,0)": false, "HUGEINT DECIMAL(38,0)": true,
		"DECIMAL(10,2) DOUBLE": false, "VARCHAR VARCHAR": true, "INTEGER UINTEGER": false, "USMALLINT UINTEGER": true,
	} {
		from, to, _ := strings.Cut(pair, " ")
		if got := Widens(from, to); got != want {
			t.Errorf("%s: %t", pair, got)
		}
	}
}

func TestCheckType(t *testing.T) {
	for _, ok := range []string{"BIGINT", "DECIMAL(10,2)", "STRUCT(a INT, \"b c\" VARCHAR[])[]", "MAP(VARCHAR, INT)", "ENUM('a', 'b')", "TIMESTAMP WITH TIME ZONE", "INT[3]"} {
		if err := CheckType(ok); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "INT)", "INT) AS x, (SELECT 1", "INT, 2", "1", "INT; DROP", "INT -- x\n; y", "'x'", "(INT", "INT = 1", "$x"} {
		if CheckType(bad) == nil {
			t.Errorf("%q is taken for a type", bad)
		}
	}
}

func TestBlock(t *testing.T) {
	got := Block([]string{"id", "played at", "${x}"}, []string{"BIGINT", "DATE", "VARCHAR"})
	if want := "columns = {\n  id = \"BIGINT\"\n  \"played at\" = \"DATE\"\n  \"$${x}\" = \"VARCHAR\"\n}"; got != want {
		t.Errorf("%s", got)
	}
}
