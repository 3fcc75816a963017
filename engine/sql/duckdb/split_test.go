//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

func reject(name, where string) *engine.Reject {
	return &engine.Reject{Name: name, Where: where, Range: engine.Range{File: "p/pipeline.hcl", Start: engine.Pos{Line: 9, Column: 3}}}
}

// splitJob splits a table whose files are called a, b, c.
func splitJob(t *testing.T, table Table, rejects ...*engine.Reject) SplitJob {
	t.Helper()
	dir := t.TempDir()
	j := SplitJob{Table: table, Rejects: rejects, Params: []Param{{"day", "DATE", "2017-06-15"}}, Threads: 2,
		Quarantine: filepath.Join(dir, "q", "quarantine.parquet"), KeptDir: filepath.Join(dir, "kept"), Scratch: filepath.Join(dir, "scratch")}
	for _, p := range table.Parts {
		for i := range p.Files {
			j.FileNames = append(j.FileNames, string(rune('a'+i)))
		}
	}
	return j
}

func mustSplit(t *testing.T, j SplitJob) *SplitResult {
	t.Helper()
	r, err := Split(t.Context(), j)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// rowsOf are the rows of a file of Parquet in their order.
func rowsOf(t *testing.T, path string) string {
	t.Helper()
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if err := s.exec(t.Context(), "SET threads=1"); err != nil {
		t.Fatal(err)
	}
	rows, err := s.texts(t.Context(), "SELECT coalesce(CAST(COLUMNS(*) AS VARCHAR), '~') FROM read_parquet("+quote(path)+")")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, strings.Join(r, "|"))
	}
	return strings.Join(out, "\n")
}

// nothingAt fails if there is something at a path.
func nothingAt(t *testing.T, paths ...string) {
	t.Helper()
	for _, path := range paths {
		if _, err := os.Lstat(path); err == nil {
			t.Errorf("%s was written", path)
		}
	}
}

func TestSplitText(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "s", Type: "VARCHAR"}, {Name: "x", Type: "DOUBLE"}}
	csv := []string{"id,s,x\n1,a,0.5\n\n2,\"b\n\"\"b\",\n3,,nan\n", "s,id,junk,x\nä,4,j,1\n,5,j,2\n", "id,s,x\n"}
	ndjson := []string{"{\"id\":1,\"s\":\"a\",\"x\":0.5}\n\n{\"s\":\"b\\n\\\"b\",\"id\":2}\n{\"id\":3,\"x\":\"nan\"}\n", "\ufeff{\"id\":4,\"s\":\"ä\",\"x\":1}\n{\"id\":5,\"x\":2}", ""}
	for format, texts := range map[engine.Format][]string{engine.CSV: csv, engine.NDJSON: ndjson} {
		var files []string
		for _, text := range texts {
			files = append(files, write(t, "blob", text))
		}
		table := Table{Name: "o", IsOutput: true, Format: format, Columns: columns, Parts: []Part{part("day=2017-06-15", files...)}, Dimensions: []Dimension{{"day", "DATE"}}}
		j := splitJob(t, table, reject("no_s", "s IS NULL"), reject("none", "id > $day.day() * 100 -- hundred"), reject("odd", "x = 1 OR id = 2 OR o.id = 5"))
		j.Unreadable = []UnreadableRow{{Rule: "bad", File: "b", Line: 3, Text: "x\xff\x00,", Why: "odd"}, {Rule: "bad", File: "c", Line: 1, Text: ""}}
		r := mustSplit(t, j)
		if r.Rows != 5 || r.Rejected != 4 || !slices.Equal(r.ByRule, []int64{2, 0, 3}) || r.Kept != nil {
			t.Errorf("%s: %+v", format, r)
		}
		if fmt.Sprint(r.Drop) != "[[1 2] [0 1] []]" {
			t.Errorf("%s: dropped %v", format, r.Drop)
		}
		if got := fmt.Sprint(r.Samples); got != `[[{"id":3,"s":null,"x":"nan"} {"id":5,"s":null,"x":2.0}] [] [{"id":2,"s":"b\n\"b","x":null} {"id":4,"s":"ä","x":1.0} {"id":5,"s":null,"x":2.0}]]` {
			t.Errorf("%s: %s", format, got)
		}
		want := "2|b\n\"b|~|odd|a|~|~\n3|~|nan|no_s|a|~|~\n4|ä|1.0|odd|b|~|~\n5|~|2.0|no_s, odd|b|~|~\n~|~|~|bad|b|3|x\ufffd\x00,\n~|~|~|bad|c|1|"
		if got := rowsOf(t, j.Quarantine); got != want {
			t.Errorf("%s: %q\nwant %q", format, got, want)
		}
		nothingAt(t, j.KeptDir)
		if left, _ := os.ReadDir(j.Scratch); len(left) > 0 {
			t.Errorf("scratch holds %v", left)
		}
	}
}

// TestSplitBlankLines counts rows as the engine does: a blank line is one only where there is one column.
func TestSplitBlankLines(t *testing.T) {
	s, id := engine.Column{Name: "s", Type: "VARCHAR"}, engine.Column{Name: "id", Type: "BIGINT"}
	for _, c := range []struct {
		format  engine.Format
		columns []engine.Column
		text    string
		want    string
	}{
		{engine.CSV, []engine.Column{s}, "s\na\n\nb\n", "[[1]]"},
		{engine.CSV, []engine.Column{id, s}, "id,s\r\n\r\n1,a\r\n\r\n2,\r\n", "[[1]]"},
		{engine.NDJSON, []engine.Column{id, s}, "\n{\"s\":\"a\"}\n  \n\n{\"id\":1}\n", "[[1]]"},
	} {
		table := Table{Name: "o", Format: c.format, Columns: c.columns, Parts: []Part{part("", write(t, "blob", c.text))}}
		if r := mustSplit(t, splitJob(t, table, reject("none", "s IS NULL"))); fmt.Sprint(r.Drop) != c.want {
			t.Errorf("%q: %v", c.text, r.Drop)
		}
	}
}

func TestSplitNothing(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "BIGINT"}}
	for _, table := range []Table{outputOf(t, "SELECT range AS id FROM range(5)"),
		{Name: "o", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "blob", "id\n1\n2\n3\n4\n5\n"))}},
		{Name: "o", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "blob", "id\n"))}},
		{Name: "o", Format: engine.CSV, Columns: columns, Parts: []Part{part("")}},
		{Name: "o", Format: engine.Parquet}} {
		want := int64(5)
		if len(table.Parts) == 0 || len(table.Parts[0].Files) == 0 || table.Format == engine.CSV && len(read(t, table.Parts[0].Files[0])) < 5 {
			want = 0
		}
		j := splitJob(t, table, reject("big", "id > 10"), reject("null", "id / NULL > 1"))
		r := mustSplit(t, j)
		if r.Rows != want || r.Rejected != 0 || len(r.Drop)+len(r.Kept) != len(j.FileNames) || slices.ContainsFunc(r.Kept, func(s string) bool { return s != "" }) || len(r.Samples) != 2 {
			t.Errorf("%+v", r)
		}
		if len(j.FileNames) == 0 {
			nothingAt(t, filepath.Dir(j.Quarantine), j.KeptDir)
		} else if got := rowsOf(t, j.Quarantine); got != "" {
			t.Errorf("the quarantine holds %s", got)
		}
	}
}

func TestSplitUnreadableAlone(t *testing.T) {
	for _, table := range []Table{{Name: "o", Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Parts: []Part{part("", write(t, "blob", "id\n1\n"))}},
		{Name: "o", Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}}} {
		j := splitJob(t, table)
		for i := range 3000 {
			j.Unreadable = append(j.Unreadable, UnreadableRow{Rule: "bad", File: "a", Line: int64(3000 - i), Text: "'\"\\"})
		}
		r := mustSplit(t, j)
		lines := strings.Split(rowsOf(t, j.Quarantine), "\n")
		if r.Rejected != 0 || len(lines) != 3000 || lines[0] != `~|bad|a|3000|'"\` || lines[2999] != `~|bad|a|1|'"\` {
			t.Errorf("%+v, %d lines, %q", r, len(lines), lines[0])
		}
	}
}

func TestSplitParquet(t *testing.T) {
	files := []string{parquet(t, "SELECT range::INTEGER AS id, 'x' AS s FROM range(10)"), parquet(t, "SELECT range + 100 AS id FROM range(3)"),
		parquet(t, "SELECT 3000000000 + range AS id, range::VARCHAR AS s FROM range(4)")}
	table := Table{Name: "o", IsOutput: true, Format: engine.Parquet, Parts: []Part{part("", files...)}}
	j := splitJob(t, table, reject("big", "id * 1000000000 > 3000000001000000000"), reject("few", "id IN (3, 4) AND s IS NOT NULL"))
	r := mustSplit(t, j)
	if r.Rows != 17 || r.Rejected != 4 || fmt.Sprint(r.ByRule) != "[2 2]" || r.Drop != nil || r.Kept[1] != "" {
		t.Errorf("%+v", r)
	}
	if got := rowsOf(t, filepath.Join(j.KeptDir, r.Kept[0])); got != "0|x\n1|x\n2|x\n5|x\n6|x\n7|x\n8|x\n9|x" {
		t.Errorf("%q", got)
	}
	if got := rowsOf(t, filepath.Join(j.KeptDir, r.Kept[2])); got != "3000000000|0\n3000000001|1" {
		t.Errorf("%q", got)
	}
	if got := rowsOf(t, j.Quarantine); got != "3|x|few|a|~|~\n4|x|few|a|~|~\n3000000002|2|big|c|~|~\n3000000003|3|big|c|~|~" {
		t.Errorf("%q", got)
	}
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if columns, err := s.describe(t.Context(), readParquet([]file{{path: filepath.Join(j.KeptDir, r.Kept[0])}}, false)); err != nil || list(columns) != "id INTEGER, s VARCHAR" {
		t.Errorf("what is left has the columns %s, %v", list(columns), err)
	}
	j = splitJob(t, table, reject("all", "true"))
	if r := mustSplit(t, j); r.Rejected != 17 || rowsOf(t, filepath.Join(j.KeptDir, r.Kept[1])) != "" {
		t.Errorf("%+v", r)
	}
}

// TestSplitTypes has types that Parquet can't hold, or holds otherwise, in the data.
func TestSplitTypes(t *testing.T) {
	columns := []engine.Column{{Name: "i", Type: "INTERVAL"}, {Name: "h", Type: "HUGEINT"}, {Name: "b", Type: "BLOB"}, {Name: "l", Type: "DOUBLE[]"}, {Name: "t", Type: "TIMESTAMP"}}
	csv := write(t, "blob", "i,h,b,l,t\n1 day,170141183460469231731687303715884105727,\\xAA,\"[1.5, nan]\",2017-06-15 10:00:00\n")
	j := splitJob(t, Table{Name: "o", Format: engine.CSV, Columns: columns, Parts: []Part{part("", csv)}}, reject("all", "true"))
	r := mustSplit(t, j)
	if got := rowsOf(t, j.Quarantine); got != `1 day|170141183460469231731687303715884105727|\xAA|[1.5, nan]|2017-06-15 10:00:00|all|a|~|~` {
		t.Errorf("%s", got)
	}
	if !json.Valid([]byte(r.Samples[0][0])) {
		t.Errorf("no JSON: %s", r.Samples[0][0])
	}
	types := outputOf(t, `SELECT range AS id, 1.5::DECIMAL(20,3) AS d, TIMESTAMP_NS '2017-06-15 10:00:00.123456789' AS ns, TIMESTAMPTZ '2017-06-15 10:00:00' AS tz, TIME '10:00:00' AS ti, uuid_v AS u,
		'\xAA'::BLOB AS b, {'a': [1, NULL], 'b': MAP {'x': 1.5}} AS s, 1::UTINYINT AS ut, 'nan'::FLOAT AS f, '{"a": 1}'::JSON AS j FROM range(3), (SELECT md5('x')::UUID AS uuid_v)`)
	j = splitJob(t, types, reject("one", "id = 1"))
	r = mustSplit(t, j)
	if !json.Valid([]byte(r.Samples[0][0])) {
		t.Errorf("no JSON: %s", r.Samples[0][0])
	}
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	kept, before := readParquet([]file{{path: filepath.Join(j.KeptDir, r.Kept[0])}}, false), readParquet([]file{{path: types.Parts[0].Files[0]}}, false)
	a, errA := s.describe(t.Context(), kept)
	b, errB := s.describe(t.Context(), before)
	if errA != nil || errB != nil || !slices.Equal(a, b) {
		t.Errorf("%v\n%v", a, b)
	}
	rows, err := s.texts(t.Context(), "SELECT count(*) FROM (FROM "+before+" WHERE id <> 1 EXCEPT FROM "+kept+")")
	if err != nil || rows[0][0] != "0" {
		t.Errorf("%v %v", rows, err)
	}
}

// TestSplitNames has columns, rules and files with hostile names, among them those that dpb uses itself.
func TestSplitNames(t *testing.T) {
	table := outputOf(t, `SELECT range AS "a ""b', $day", 1 AS dpb_row, 2 AS "DPB__hit0", 3 AS file_row_number, 4 AS file_index, 5 AS "select", 6 AS filename FROM range(3)`)
	j := splitJob(t, table, reject(`r"'`, `"a ""b', $day" = 1 AND o."select" = 5`), reject("two", "DPB_ROW = 1 AND dpb__HIT0 = 2 AND file_row_number = 3 AND file_index = 4 AND \"a \"\"b', $day\" > 0"))
	j.FileNames[0] = "x'\xff/\".parquet"
	r := mustSplit(t, j)
	if got := rowsOf(t, j.Quarantine); got != "1|1|2|3|4|5|6|r\"', two|x'\ufffd/\".parquet|~|~\n2|1|2|3|4|5|6|two|x'\ufffd/\".parquet|~|~" || fmt.Sprint(r.ByRule) != "[1 2]" {
		t.Errorf("%s %v", got, r.ByRule)
	}
	if got := rowsOf(t, filepath.Join(j.KeptDir, r.Kept[0])); got != "0|1|2|3|4|5|6" {
		t.Errorf("%s", got)
	}
	for _, column := range []string{"dpb_rule", "DPB_FILE", "dpb_line", "dpb_text"} {
		_, err := Split(t.Context(), splitJob(t, outputOf(t, "SELECT 1 AS "+column), reject("a", "true")))
		expect(t, err, `output "o"`, column, "quarantine")
	}
}

func TestSplitErrors(t *testing.T) {
	o := outputOf(t, "SELECT range AS id, 'x' AS s FROM range(3)")
	for where, want := range map[string]string{
		"nope > 1":                  "nope",
		"id":                        "where is BIGINT, and not true or false",
		"s::INT > 1":                "'x'",
		"id > 1 OR":                 "syntax error",
		"sum(id) > 1":               "sum()",
		"geomean(id) > 1":           "aggregate",
		"plays.id > 1":              "plays",
		"true) OR (error('x')":      "closes a bracket",
		"id > 1, id > 2":            "STRUCT(BOOLEAN, BOOLEAN)",
		"error('no ' || s) IS NULL": "no x",
	} {
		_, err := Split(t.Context(), splitJob(t, o, reject("fine", "id = 1"), reject("wrong", where)))
		if err == nil {
			t.Errorf("%s: no error", where)
			continue
		}
		ps := Problems(err)
		if len(ps) != 1 || !strings.HasPrefix(ps[0].Summary, `reject "wrong": `) || ps[0].Range.Start.Line != 9 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", where, err, want)
		}
	}
	bad := Table{Name: "o", IsOutput: true, Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Parts: []Part{part("", write(t, "blob", "id\n1\nx\n"))}}
	_, err := Split(t.Context(), splitJob(t, bad, reject("fine", "id = 1")))
	if p := expect(t, err, `output "o", line 3`); strings.Contains(p.Summary, "reject") {
		t.Errorf("%+v", p)
	}
}

func TestCheckReject(t *testing.T) {
	for where, want := range map[string]string{
		"confidence IS NULL":                                                   "",
		"day <> $day OR o.x NOT BETWEEN 0 AND 1":                               "",
		"regexp_matches(s, '^(a|b)$') AND len(l) > list_sum(l) AND l[1] = 2":   "",
		"list_contains(l, 3) OR [y FOR y IN l IF y > 1] = [] OR (x IN (1, 2))": "",
		"x IS DISTINCT FROM 1 AND extract(year FROM d) < 2000":                 "",
		"x > (SELECT max(x) FROM o)":                                           "SELECT",
		"x IN (FROM o)":                                                        "SELECT",
		"EXISTS (SELECT 1)":                                                    "SELECT",
		"x IN (SELECT y FROM plays)":                                           "there is no table",
		"max(x) = 1":                                                           "max()",
		"x > sum(x) OVER ()":                                                   "sum() OVER",
		"row_number() OVER () > 1":                                             "row_number() OVER",
		"COLUMNS(*) > 1":                                                       "COLUMNS",
		"unnest(l)":                                                            "unnest()",
		"random() < 0.5":                                                       "random()",
		"day = today()":                                                        "today()",
		"x = $nope":                                                            "nope",
		"x > 1; SELECT 1":                                                      `";"`,
		"SELECT 1":                                                             "SELECT",
		"":                                                                     "empty",
		"x > 1 /* ":                                                            "has no end",
		"true AS a":                                                            "syntax",
	} {
		ps := CheckReject(t.Context(), reject("r", where), "o", []string{"day"})
		switch {
		case want == "" && len(ps) > 0:
			t.Errorf("%s: %+v", where, ps)
		case want != "" && (len(ps) == 0 || !strings.HasPrefix(ps[0].Summary, `reject "r": `) || !strings.Contains(ps[0].Summary, want) || ps[0].Range.Start.Line != 9):
			t.Errorf("%s: %+v, want %s", where, ps, want)
		}
	}
}

// TestSplitOrder has files so large that the engine reads them on several threads.
func TestSplitOrder(t *testing.T) {
	if testing.Short() {
		t.Skip("1,000,000 rows, several times")
	}
	const n = 1000000
	where := "id % 1000 IN (7, 999) OR id // 10000 = 33"
	var wanted []int64
	var csv, ndjson strings.Builder
	csv.WriteString("id,s\n")
	for i := range int64(n) {
		fmt.Fprintf(&csv, "%d,\"padding, of a row\"\n", i)
		fmt.Fprintf(&ndjson, "{\"id\":%d,\"s\":\"padding, of a row\"}\n", i)
		if i%1000 == 7 || i%1000 == 999 || i/10000 == 33 {
			wanted = append(wanted, i)
		}
	}
	columns := []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "s", Type: "VARCHAR"}}
	for _, table := range []Table{{Name: "o", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "a", csv.String()))}},
		{Name: "o", Format: engine.NDJSON, Columns: columns, Parts: []Part{part("", write(t, "a", ndjson.String()))}},
		outputOf(t, "SELECT range AS id, 'padding, of a row' AS s FROM range(1000000)")} {
		first := ""
		for _, run := range []struct {
			threads int
			memory  int64
		}{{1, 0}, {2, 0}, {4, 0}, {2, 200 << 20}} {
			j := splitJob(t, table, reject("r", where))
			j.Threads, j.Memory = run.threads, run.memory
			r := mustSplit(t, j)
			if r.Rows != n || r.Rejected != int64(len(wanted)) || r.Drop != nil && !slices.Equal(r.Drop[0], wanted) {
				t.Fatalf("%s: %d of %d", table.Format, r.Rejected, r.Rows)
			}
			got := digest(t, filepath.Dir(j.Quarantine))
			if r.Kept != nil {
				got += digest(t, j.KeptDir)
			}
			if first == "" {
				first = got
				checkOrder(t, j, r, n-len(wanted), len(wanted))
			}
			if got != first {
				t.Errorf("%s: other bytes with %d threads and %d MB", table.Format, run.threads, run.memory>>20)
			}
		}
	}
}

// checkOrder reads what a split wrote, on one thread: ids ascend.
func checkOrder(t *testing.T, j SplitJob, r *SplitResult, kept, rejected int) {
	t.Helper()
	files := map[string]int{j.Quarantine: rejected}
	if r.Kept != nil {
		files[filepath.Join(j.KeptDir, r.Kept[0])] = kept
	}
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for path, want := range files {
		rows, err := s.texts(t.Context(), "SELECT count(*), count(*) FILTER (WHERE id <= before) FROM (SELECT id, lag(id) OVER (ORDER BY file_row_number) AS before FROM read_parquet("+quote(path)+"))")
		if err != nil || rows[0][0] != fmt.Sprint(want) || rows[0][1] != "0" {
			t.Errorf("%s: %v %v", path, rows, err)
		}
	}
}

func TestSplitManyRejected(t *testing.T) {
	if testing.Short() {
		t.Skip("2,000,000 rows")
	}
	table := outputOf(t, "SELECT range AS id, md5(range::VARCHAR) AS s FROM range(2000000)")
	j := splitJob(t, table, reject("most", "id % 10 > 0"))
	j.Memory = 150 << 20
	r := mustSplit(t, j)
	if r.Rejected != 1800000 {
		t.Errorf("%d rejected", r.Rejected)
	}
	checkOrder(t, j, r, 200000, 1800000)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Split(ctx, j); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
