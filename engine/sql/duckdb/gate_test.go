//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// refused lists statements with the line, the column and words of what the gate says.
var refused = []struct{ text, place, want string }{
	{"SELECT now()", "1:8", "now() is not allowed"},
	{"SELECT 1,\n  NOW() AS t", "2:3", "pass a partition"},
	{"SELECT main.now()", "1:8", "now()"},
	{"SELECT system.main.now()", "1:8", "now()"},
	{"SELECT current_date", "1:8", "current_date is not allowed"},
	{`SELECT "current_date"`, "1:8", "needs its table before it"},
	{"SELECT 'é', CURRENT_TIMESTAMP", "1:13", "current_timestamp"},
	{"SELECT current_date()", "1:8", "current_date"},
	{"SELECT localtime, localtimestamp", "1:8", "localtime"},
	{"SELECT today()", "1:8", "today()"},
	{"SELECT ago(INTERVAL 1 DAY)", "1:8", "ago()"},
	{"SELECT age(d) FROM plays", "1:8", "counts from today"},
	{"SELECT get_current_timestamp()", "1:8", "differs from run to run"},
	{"SELECT transaction_timestamp()", "1:8", "differs"},
	{"SELECT random()", "1:8", "random()"},
	{"SELECT uuid(), gen_random_uuid(), uuidv7()", "1:8", "uuid()"},
	{"SELECT setseed(0.5)", "1:8", "setseed"},
	{"SELECT * FROM plays ORDER BY random()", "1:30", "random()"},
	{"SELECT [x + random() FOR x IN [1, 2]]", "1:13", "random()"},
	{"SELECT list_transform([1], lambda x: random())", "1:38", "random()"},
	{"SELECT CASE WHEN id > 1 THEN now() END FROM plays", "1:30", "now()"},
	{"SELECT (SELECT max(n) FROM (SELECT random() AS n)) FROM plays", "1:36", "random()"},
	{"SELECT id FROM plays WHERE EXISTS (FROM tracks WHERE t > now())", "1:58", "now()"},
	{"SELECT sum(id) FILTER (WHERE random() < 0.5) FROM plays", "1:30", "random()"},
	{"SELECT sum(id) OVER (PARTITION BY random()) FROM plays", "1:35", "random()"},
	{"WITH a AS (SELECT random() AS r) FROM a", "1:19", "random()"},
	{"SELECT id FROM plays GROUP BY ALL HAVING now() > 1", "1:42", "now()"},
	{"SELECT id FROM plays LIMIT (SELECT random() * 10)", "1:36", "random()"},
	{"SELECT * REPLACE (now() AS id) FROM plays", "1:19", "now()"},
	{"SELECT x FROM plays JOIN tracks ON random() < 0.5", "1:36", "random()"},
	{"SELECT current_setting('threads')", "1:8", "engine's state"},
	{"SELECT getvariable('x')", "1:8", "getvariable"},
	{"SELECT version()", "1:8", "version"},
	{"SELECT getenv('HOME')", "1:8", "getenv"},
	{"SELECT current_user, session_user, user", "1:8", "current_user"},
	{"SELECT current_schema()", "1:8", "current_schema"},
	{"SELECT nextval('s')", "1:8", "nextval"},
	{"SELECT txid_current()", "1:8", "txid_current"},
	{"SELECT pg_postmaster_start_time()", "1:8", "pg_postmaster_start_time"},
	{"SELECT pg_typeof(1)", "1:8", "pg_typeof"},
	{"SELECT stats(id) FROM plays", "1:8", "stats"},
	{"SELECT sleep_ms(1)", "1:8", "sleep_ms"},
	{"SELECT write_log('x')", "1:8", "write_log"},
	{"SELECT json_serialize_plan('SELECT 1')", "1:8", "json_serialize_plan"},
	{"SELECT get_block_size('memory')", "1:8", "get_block_size"},
	{"SELECT approx_count_distinct(id) FROM plays", "1:8", "count(DISTINCT"},
	{"SELECT approx_quantile(id, 0.5) FROM plays", "1:8", "quantile_cont"},
	{"SELECT approx_top_k(id, 3) FROM plays", "1:8", "estimate"},
	{"SELECT reservoir_quantile(id, 0.5) FROM plays", "1:8", "quantile_cont"},
	{"SELECT list_aggregate([1], 'approx_count_distinct')", "1:8", "approx_count_distinct"},
	{"SELECT list_approx_count_distinct([1])", "1:8", "list_distinct"},
	{"SELECT approx_count_distinct(id) OVER () FROM plays", "1:8", "estimate"},
	{"SELECT lowr('x')", "1:8", `did you mean "lower"?`},
	{"SELECT id FROM plyas", "1:16", `did you mean "plays"?`},
	{"SELECT id FROM nope", "1:16", "the target's inputs are plays, tracks"},
	{"SELECT id\nFROM plays\nJOIN tarcks USING (id)", "3:6", `no input "tarcks"`},
	{"SELECT id FROM 'file.csv'", "1:16", "can't be read by its path"},
	{"SELECT id FROM \"x.parquet\"", "1:16", "declare the file as an input"},
	{"FROM '/etc/passwd'", "1:6", "can't be read"},
	{"SELECT id FROM main.plays", "1:16", `no table "main.plays"`},
	{"SELECT * FROM information_schema.tables", "1:15", "information_schema.tables"},
	{"SELECT * FROM pg_catalog.pg_class", "1:15", "pg_catalog.pg_class"},
	{"SELECT * FROM duckdb_tables", "1:15", `no input "duckdb_tables"`},
	{"SELECT * FROM sqlite_master", "1:15", "sqlite_master"},
	{"SELECT * FROM duckdb_settings()", "1:15", "duckdb_settings() is not allowed"},
	{"SELECT * FROM read_csv('x.csv')", "1:15", "read_csv() is not allowed"},
	{"SELECT * FROM read_parquet(['a', 'b'])", "1:15", "declare the file"},
	{"SELECT * FROM read_text('/etc/passwd')", "1:15", "read_text"},
	{"SELECT * FROM glob('*')", "1:15", "glob"},
	{"SELECT * FROM query('SELECT now()')", "1:15", "query"},
	{"SELECT * FROM query_table('plays')", "1:15", "query_table"},
	{"SELECT * FROM arrow_scan(1, 2, 3)", "1:15", "arrow_scan"},
	{"SELECT * FROM pragma_version()", "1:15", "pragma_version"},
	{"SELECT * FROM parquet_metadata('x')", "1:15", "parquet_metadata"},
	{"SELECT * FROM sniff_csv('x')", "1:15", "sniff_csv"},
	{"SELECT * FROM json_execute_serialized_sql('{}')", "1:15", "not allowed in FROM"},
	{"SELECT * FROM test_all_types()", "1:15", "test_all_types"},
	{"SELECT * FROM histogram(plays, id)", "1:15", "histogram"},
	{"SELECT * FROM enable_logging()", "1:15", "enable_logging"},
	{"SELECT * FROM rnage(3)", "1:15", `did you mean "range"?`},
	{"SELECT * FROM range((SELECT random()::INT))", "1:29", "random()"},
	{"SELECT * FROM plays TABLESAMPLE 10%", "1:15", "sample"},
	{"SELECT * FROM plays USING SAMPLE 10 ROWS", "1:1", "sample"},
	{"SELECT * FROM range(9) TABLESAMPLE 10%", "1:15", "sample"},
	{"SELECT * FROM (FROM plays) TABLESAMPLE 5 ROWS", "1:1", "sample"},
	{"DESCRIBE plays", "1:1", "DESCRIBE is not allowed"},
	{"SUMMARIZE plays", "1:1", "SUMMARIZE is not allowed"},
	{"SHOW TABLES", "1:1", "SHOW is not allowed"},
	{"SELECT * FROM (DESCRIBE plays)", "1:1", "DESCRIBE is not allowed"},
	{"SELECT * FROM (SUMMARIZE plays)", "1:1", "SUMMARY is not allowed"},
	{"EXPLAIN SELECT 1", "1:1", "EXPLAIN is not allowed"},
	{"PIVOT plays ON id USING count(*)", "1:1", "PIVOT is not supported"},
	{"WITH a AS (PIVOT plays ON id USING count(*)) FROM a", "1:1", "not a plain SELECT"},
	{"SELECT * FROM plays PIVOT (count(*) FOR id IN (1, 2))", "1:21", "PIVOT is not supported"},
	{"SELECT #1 FROM plays", "1:8", "position"},
	{"SELECT 1;\nSELECT 2", "2:1", "more than one statement"},
	{"COPY plays TO 'x.csv'", "1:1", `"COPY" does not begin a SELECT`},
	{"CREATE TABLE t AS SELECT 1", "1:1", "does not begin"},
	{"INSERT INTO plays SELECT 1", "1:1", "does not begin"},
	{"SET VARIABLE x = 1", "1:1", "does not begin"},
	{"PRAGMA version", "1:1", "does not begin"},
	{"ATTACH 'x.db'", "1:1", "does not begin"},
	{"LOAD httpfs", "1:1", "does not begin"},
	{"CALL pragma_version()", "1:1", "does not begin"},
	{"WITH x AS (SELECT 1) INSERT INTO plays SELECT 1", "1:1", "not a plain SELECT"},
	{"-- nothing", "1:1", "no statement"},
	{"SELECT $dya", "1:8", `did you mean "$day"?`},
	{"SELECT 1, $nope", "1:11", "the target's parameters are $day"},
	{"SELECT ?", "1:8", "has no value"},
	{"SELECT 1 FROM\n  WHERE x", "2:3", "syntax error"},
	{"SELECT 'x", "1:8", "has no end"},
	{"SELECT * FROM plays AT (VERSION => 1)", "1:15", "AT is not supported"},
	{`WITH "x.csv" AS (SELECT * FROM "x.csv") FROM "x.csv"`, "1:32", "can't be read by its path"},
	{"WITH a AS (FROM b), b AS (FROM plays) FROM a", "1:17", `no input "b"`},
	{"SELECT sum(id) EXPORT_STATE FROM plays", "1:8", "EXPORT_STATE"},
	{"SELECT 1 UNION ALL SELECT now()", "1:27", "now()"},
	{"VALUES (1), (now())", "1:14", "now()"},
}

func TestRefused(t *testing.T) {
	for _, c := range refused {
		ps := Check(t.Context(), []*engine.Statement{statement(c.text)}, []string{"plays", "tracks"}, []string{"day"})
		if len(ps) == 0 || !engine.HasErrors(ps) {
			t.Errorf("%s: nothing is refused", c.text)
			continue
		}
		p := ps[0]
		for _, q := range ps {
			if q.Severity == engine.Error {
				p = q
				break
			}
		}
		if at := fmt.Sprintf("%d:%d", p.Range.Start.Line, p.Range.Start.Column); at != c.place || p.Range.File != "p/out.sql" {
			t.Errorf("%s: refused at %s, want %s: %s", c.text, at, c.place, p.Summary)
		}
		if !strings.Contains(p.Summary+" | "+p.Hint, c.want) {
			t.Errorf("%s: %q (%s) lacks %q", c.text, p.Summary, p.Hint, c.want)
		}
	}
}

// allowed lists statements with whether they need one thread, and how many warnings they have. Sums of unknown type count as s.
var allowed = []struct{ text, want string }{
	{"SELECT * FROM plays", "parallel"},
	{"FROM plays", "parallel"},
	{"FROM Plays SELECT id", "parallel"},
	{"VALUES (1, 'a'), (2, 'b')", "parallel"},
	{"(SELECT 1)", "parallel"},
	{"TABLE plays", "parallel"},
	{"SELECT $day, '$nope', \"a\" FROM plays;", "parallel"},
	{"WITH a AS (FROM plays), b AS (FROM a) SELECT * FROM b JOIN tracks USING (id)", "parallel"},
	{"WITH plays AS (SELECT * FROM plays WHERE id > 1) SELECT * FROM plays", "parallel"},
	{"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5) FROM c", "parallel"},
	{"WITH a AS MATERIALIZED (FROM plays) SELECT id, (WITH b AS (FROM a) SELECT count(*) FROM b) FROM a", "parallel"},
	{"SELECT id FROM plays UNION SELECT id FROM tracks EXCEPT SELECT 1", "parallel"},
	{"SELECT count(*), count(DISTINCT id), min(id), max(id) FROM plays", "parallel"},
	{"SELECT median(x), quantile_cont(x, 0.9), bool_and(b), histogram(x) FROM plays", "parallel"},
	{"SELECT rank() OVER (ORDER BY x), count(*) OVER (PARTITION BY y) FROM plays", "parallel"},
	{"SELECT max(x) OVER (ORDER BY y) FROM plays", "parallel"},
	{"SELECT string_agg(x, ',' ORDER BY x), list(x ORDER BY x DESC) FROM plays", "parallel"},
	{"SELECT * FROM range(3) t(x), unnest([1, 2]) u(y), generate_series(1, 2)", "parallel"},
	{"SELECT * FROM plays, json_each(plays.j), LATERAL (SELECT id + 1)", "parallel"},
	{"UNPIVOT plays ON a, b INTO NAME n VALUE v", "parallel"},
	{"SELECT age(d, DATE '2017-01-01'), hash(id) % 100, md5(s), strftime(d, '%Y'), d AT TIME ZONE 'UTC' FROM plays", "parallel"},
	{"SELECT COLUMNS('a.*'), COLUMNS(c -> c LIKE 'x%'), * EXCLUDE (id) FROM plays", "parallel"},
	{"SELECT [x * 2 FOR x IN l IF x > 1], list_transform(l, lambda x: x + 1), list_sum(l), l[1:2], {'a': 1}.a FROM plays", "parallel"},
	{"SELECT plays.current_date, p.user FROM plays p, plays", "parallel"},
	{"SELECT try_cast(s AS INT), coalesce(a, b), nullif(a, b), CASE a WHEN 1 THEN 2 END, a BETWEEN 1 AND 2, s SIMILAR TO 'x', x IS NOT NULL FROM plays", "parallel"},
	{"SELECT error('no') FROM plays WHERE false", "parallel"},
	{"SELECT a, grouping(a) FROM plays GROUP BY ROLLUP (a)", "parallel"},
	{"SELECT row(1, 2), struct_pack(a := 1), map {'a': 1}, array_value(1, 2), s.a.b FROM plays", "parallel"},
	{"SELECT s.lower().trim(), extract(year FROM d), substring(s FROM 2), position('x' IN s) FROM plays", "parallel"},
	{"SELECT DISTINCT x FROM plays ORDER BY ALL", "parallel"},
	{"SELECT sum(x) FROM plays", "sums"},
	{"SELECT avg(x), sum(x) OVER (PARTITION BY y) FROM plays", "sums"},
	{"SELECT sum('1') FROM plays", "serial"},
	{"SELECT stddev(x), first(x), entropy(x), mode(x), arg_max(x, y), product(x) FROM plays", "serial"},
	{"SELECT list(x), string_agg(x, ',') FROM plays", "serial"},
	{"SELECT list(x ORDER BY y) FROM plays", "serial"},
	{"SELECT any_value(x) FROM plays", "serial"},
	{"SELECT geomean(x), json_group_array(x) FROM plays", "serial"},
	{"SELECT max(x) OVER (ORDER BY y ROWS 1 PRECEDING) FROM plays", "serial"},
	{"SELECT count(*) OVER (ORDER BY y ROWS 1 PRECEDING) FROM plays", "serial"},
	{"SELECT sum(x) OVER (ROWS UNBOUNDED PRECEDING) FROM plays", "serial warning"},
	{"SELECT sum(x) OVER (ORDER BY y RANGE BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING EXCLUDE CURRENT ROW) FROM plays", "sums"},
	{"SELECT row_number() OVER w FROM plays WINDOW w AS (ORDER BY a, id)", "serial"},
	{"SELECT * FROM plays ASOF JOIN tracks USING (id, t)", "serial"},
	{"SELECT * FROM plays POSITIONAL JOIN tracks", "serial"},
	{"SELECT DISTINCT s COLLATE NOCASE FROM plays", "serial"},
	{"SELECT row_number() OVER (PARTITION BY a ORDER BY b, id) FROM plays", "serial"},
	{"SELECT * FROM plays ORDER BY a, id LIMIT 3", "serial"},
	{"SELECT * FROM plays ORDER BY ALL LIMIT 3", "serial"},
	{"SELECT a, count(*) FROM plays GROUP BY a ORDER BY a LIMIT 3", "serial"},
	{"SELECT * FROM plays LIMIT 3", "serial warning"},
	{"SELECT * FROM plays LIMIT 0", "serial"},
	{"SELECT * FROM plays ORDER BY a LIMIT 10%", "serial warning"},
	{"SELECT a FROM plays OFFSET 3", "serial warning"},
	{"SELECT DISTINCT ON (a) a, b FROM plays", "serial warning"},
	{"SELECT row_number() OVER () FROM plays", "serial warning"},
	{"SELECT lag(x) OVER (ORDER BY y), first_value(x) OVER (ORDER BY y) FROM plays", "serial warning warning"},
}

func TestAllowed(t *testing.T) {
	for _, c := range allowed {
		report, err := inspect(t.Context(), statement(c.text), []string{"plays", "tracks"}, []string{"day"})
		if err != nil {
			t.Fatal(err)
		}
		got := "parallel"
		if report.Serial {
			got = "serial"
		} else if len(report.Sums) > 0 {
			got = "sums"
		}
		for _, f := range report.Findings {
			if f.Warning {
				got += " warning"
			} else {
				t.Errorf("%s: %s", c.text, f.Summary)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

// TestMacros goes through the catalog: a macro that reaches an aggregate, but for one over a list, is refused or runs on one thread.
func TestMacros(t *testing.T) {
	p, err := planner()
	if err != nil {
		t.Fatal(err)
	}
	rows, err := p.session.texts(t.Context(), "SELECT lower(function_name), macro_definition FROM duckdb_functions() WHERE function_type = 'macro'")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string][]string{}
	for _, r := range rows {
		calls[r[0]] = append(calls[r[0]], words(r[1])...)
	}
	var reaches func(name string, seen map[string]bool) bool
	reaches = func(name string, seen map[string]bool) bool {
		if p.functions[name].Aggregate {
			return true
		}
		if seen[name] || slices.Contains(calls[name], "list_aggr") {
			return false
		}
		seen[name] = true
		return slices.ContainsFunc(calls[name], func(c string) bool { return reaches(c, seen) })
	}
	found := map[string]bool{}
	for m := range calls {
		if !reaches(m, map[string]bool{}) {
			continue
		}
		report, err := inspect(t.Context(), statement(fmt.Sprintf("SELECT %q(1, 2) AS a", m)), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if found[m] = true; !report.Refused() && !report.Serial {
			t.Errorf("%s runs on many threads", m)
		}
	}
	for _, m := range []string{"wavg", "weighted_avg", "geomean", "geometric_mean"} {
		if !found[m] {
			t.Errorf("%s is not seen to reach an aggregate", m)
		}
	}
	for _, text := range []string{"SELECT list_sum([1, 2]) AS a", "SELECT list_avg([1, 2]) AS a", "SELECT list_sort([1, 2]) AS a"} {
		if report, err := inspect(t.Context(), statement(text), nil, nil); err != nil || report.Refused() || report.Serial {
			t.Errorf("%s: %+v %v", text, report, err)
		}
	}
}

func TestCheckSaysAll(t *testing.T) {
	a, b := statement("SELECT now(), random() FROM nope LIMIT 1"), statement("SELECT 1 FROM\nplyas")
	b.File = "p/b.sql"
	ps := Check(t.Context(), []*engine.Statement{b, a}, []string{"plays"}, nil)
	var got []string
	for _, p := range ps {
		got = append(got, fmt.Sprintf("%s:%d:%d %s", p.Range.File, p.Range.Start.Line, p.Range.Start.Column, p.Severity))
	}
	want := "p/b.sql:2:1 error, p/out.sql:1:8 error, p/out.sql:1:15 error, p/out.sql:1:29 error, p/out.sql:1:34 warning"
	if strings.Join(got, ", ") != want {
		t.Errorf("%s", strings.Join(got, ", "))
	}
}

// FuzzCanonical holds the lexer against the engine's: the tokens that enter a key, joined by spaces, must mean what the text means.
func FuzzCanonical(f *testing.F) {
	for _, c := range allowed {
		f.Add(c.text)
	}
	for _, c := range refused {
		f.Add(c.text)
	}
	for _, s := range dpbsql.Seeds {
		f.Add(s)
	}
	p, err := planner()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tokens, err := dpbsql.Canonical(src)
		if err != nil || len(tokens) == 0 {
			return
		}
		if written, err := p.tree(t.Context(), src); err == nil {
			joined, err := p.tree(t.Context(), strings.Join(tokens, " "))
			if err != nil {
				t.Fatalf("%q: %v", src, err)
			}
			if a, b := meaning(t, written), meaning(t, joined); a != b {
				t.Fatalf("%q: %q means something else:\n%s\n%s", src, tokens, a, b)
			}
		}
	})
}

func meaning(t *testing.T, tree []byte) string {
	var doc map[string]any
	if err := json.Unmarshal(tree, &doc); err != nil {
		t.Fatal(err)
	}
	if doc["error"] == true {
		return "error"
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			delete(v, "query_location")
			for _, c := range v {
				strip(c)
			}
		case []any:
			for _, c := range v {
				strip(c)
			}
		}
	}
	strip(doc)
	b, _ := json.Marshal(doc)
	return string(b)
}
