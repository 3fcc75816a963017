//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
)

func statement(text string) *engine.Statement {
	return &engine.Statement{Output: "out", Text: text, File: "p/out.sql", Range: engine.Range{File: "p/pipeline.hcl"}}
}

func output(path string) *engine.Output {
	f, c := engine.FormatOf(strings.Replace(path, "*", "x", 1))
	o := &engine.Output{Name: "out", Path: path, Format: f, Compression: c, Range: engine.Range{File: "p/pipeline.hcl"}}
	if strings.Contains(path, "*") {
		o.Shape = engine.Parts
	}
	return o
}

func newJob(t *testing.T, path, text string, inputs ...Table) Job {
	t.Helper()
	dir := t.TempDir()
	j := Job{Label: "//p:t", OutDir: filepath.Join(dir, "out"), Scratch: filepath.Join(dir, "scratch"), Inputs: inputs, Threads: 2,
		Statements: []Statement{{statement(text), output(path)}}}
	if err := os.Mkdir(j.OutDir, 0o777); err != nil {
		t.Fatal(err)
	}
	return j
}

func mustRun(t *testing.T, j Job) *Output {
	t.Helper()
	r, err := Run(t.Context(), j)
	if err != nil {
		t.Fatalf("%s\n%v", j.Statements[0].Source.Text, err)
	}
	if left, _ := os.ReadDir(j.Scratch); len(left) > 0 {
		t.Errorf("scratch holds %v", left)
	}
	return &r.Outputs[0]
}

// csvOf runs a statement and returns its rows as CSV.
func csvOf(t *testing.T, text string, inputs ...Table) string {
	t.Helper()
	j := newJob(t, "out.csv", text, inputs...)
	mustRun(t, j)
	return read(t, filepath.Join(j.OutDir, "out.csv"))
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// parquet makes a file of Parquet, with a name without an ending, as in a store.
func parquet(t *testing.T, text string) string {
	t.Helper()
	j := newJob(t, "x.parquet", text)
	mustRun(t, j)
	path := filepath.Join(j.OutDir, "blob")
	if err := os.Rename(filepath.Join(j.OutDir, "x.parquet"), path); err != nil {
		t.Fatal(err)
	}
	return path
}

func problemOf(t *testing.T, err error) engine.Problem {
	t.Helper()
	var p *ProblemError
	if !errors.As(err, &p) {
		t.Fatalf("no problem, but: %v", err)
	}
	return p.Problem
}

func expect(t *testing.T, err error, want ...string) engine.Problem {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%v\nlacks %q", err, w)
		}
	}
	return problemOf(t, err)
}

func part(partition string, files ...string) Part {
	p := Part{Files: files}
	if partition != "" {
		for _, v := range strings.Split(partition, ",") {
			d, text, _ := strings.Cut(v, "=")
			p.Partition = append(p.Partition, engine.Value{Dimension: d, Text: text})
		}
	}
	return p
}

func TestSelect(t *testing.T) {
	if Version() != "v1.5.6" {
		t.Errorf("version %q", Version())
	}
	plays := Table{Name: "plays", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT range AS id, 'é' AS s FROM range(3)"))}}
	got := csvOf(t, "-- all\nSELECT id + 1 AS n, s FROM Plays; /* end */ ;", plays)
	if got != "n,s\n1,é\n2,é\n3,é\n" {
		t.Errorf("got %q", got)
	}
	if got := csvOf(t, "FROM plays SELECT id", plays); got != "id\n0\n1\n2\n" {
		t.Errorf("got %q", got)
	}
}

func TestOwnOrder(t *testing.T) {
	for text, want := range map[string]string{
		"SELECT * FROM (VALUES (1,'b'),(2,'a'),(3,'a')) t(n, s) ORDER BY s, n DESC":            "n,s\n3,a\n2,a\n1,b\n",
		"SELECT * FROM (VALUES (1,'b'),(2,'a'),(3,NULL)) t(n, s) ORDER BY 2 DESC NULLS FIRST":  "n,s\n3,\n1,b\n2,a\n",
		"SELECT n FROM (VALUES (1,'b'),(2,'a')) t(n, s) ORDER BY s":                            "n\n1\n2\n",
		"SELECT n FROM (VALUES (1,'b'),(2,'a'),(0,'c')) t(n, s) ORDER BY s LIMIT 2":            "n\n1\n2\n",
		"SELECT x FROM (VALUES (0.5::DOUBLE), ('-inf'::DOUBLE), ('nan'::DOUBLE), (NULL)) t(x)": "x\n-inf\n0.5\nnan\n\n",
		"SELECT 1 AS a UNION ALL SELECT 3 UNION ALL SELECT 2 ORDER BY a DESC":                  "a\n3\n2\n1\n",
		"SELECT i FROM (VALUES (INTERVAL 30 DAY), (INTERVAL 1 MONTH), (INTERVAL 29 DAY)) t(i)": "i\n29 days\n1 month\n30 days\n",
	} {
		if got := csvOf(t, text); got != want {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
}

func TestParams(t *testing.T) {
	j := newJob(t, "out.csv", "SELECT $day AS d, $hour AS h, $country AS c, '$day' AS t")
	j.Params = []Param{ParamOf(&engine.Dimension{Name: "day", Unit: engine.Day}, "2017-06-15"),
		ParamOf(&engine.Dimension{Name: "hour", Unit: engine.Hour}, "2017-06-15T13"), ParamOf(&engine.Dimension{Name: "country"}, "DE")}
	out := mustRun(t, j)
	if got := read(t, filepath.Join(j.OutDir, "out.csv")); got != "d,h,c,t\n2017-06-15,2017-06-15 13:00:00,DE,$day\n" {
		t.Errorf("got %q", got)
	}
	types := []string{out.Columns[0].Type, out.Columns[1].Type, out.Columns[2].Type}
	if !slices.Equal(types, []string{"DATE", "TIMESTAMP", "VARCHAR"}) {
		t.Errorf("types %v", types)
	}
}

func TestPartitionColumns(t *testing.T) {
	a, b := parquet(t, "SELECT 1 AS n"), parquet(t, "SELECT 2 AS n")
	dims := []Dimension{{"day", "DATE"}, {"country", "VARCHAR"}}
	table := Table{Name: "plays", Format: engine.Parquet, Dimensions: dims, Parts: []Part{
		part("day=2017-06-01,country=DE", a), part("day=2017-06-02,country=DE"), part("day=2017-06-02,country=FR", a, b, b), part("day=2017-06-03,country=DE", a)}}
	want := "n,day,country\n1,2017-06-01,DE\n1,2017-06-02,FR\n1,2017-06-03,DE\n2,2017-06-02,FR\n2,2017-06-02,FR\n"
	if got := csvOf(t, "SELECT * FROM plays", table); got != want {
		t.Errorf("got %q", got)
	}
	if got := csvOf(t, "SELECT n FROM plays WHERE day = DATE '2017-06-03'", table); got != "n\n1\n" {
		t.Errorf("got %q", got)
	}
	own := parquet(t, "SELECT 1 AS n, 'x' AS Day")
	table.Parts = []Part{part("day=2017-06-01,country=DE", own), part("day=2017-06-02,country=FR", own)}
	if got := csvOf(t, "SELECT * FROM plays", table); got != "n,Day,country\n1,x,DE\n1,x,FR\n" {
		t.Errorf("got %q", got)
	}
	hour := Table{Name: "h", Format: engine.NDJSON, Columns: []engine.Column{{Name: "n", Type: "INT"}}, Dimensions: []Dimension{{"hour", "TIMESTAMP"}},
		Parts: []Part{part("hour=2017-06-01T05", write(t, "a", "{\"n\":1}\n")), part("hour=2017-06-01T06", write(t, "b", "{\"n\":2}\n"))}}
	if got := csvOf(t, "SELECT * FROM h", hour); got != "n,hour\n1,2017-06-01 05:00:00\n2,2017-06-01 06:00:00\n" {
		t.Errorf("got %q", got)
	}
}

// TestFileIndexColumn has a column by the name of what tells the engine's files apart.
func TestFileIndexColumn(t *testing.T) {
	for _, name := range []string{"file_index", "FILE_INDEX", "filename"} {
		a, b, plain := parquet(t, "SELECT 1 AS n, 1 AS "+name), parquet(t, "SELECT 2::BIGINT AS n, 0 AS "+name), parquet(t, "SELECT 3 AS n, 'x' AS s")
		ca, cb := write(t, "a", "n,"+name+"\n1,1\n"), write(t, "b", "n,"+name+"\n2,0\n")
		ja, jb := write(t, "a", "{\"n\":1,\""+name+"\":1}\n"), write(t, "b", "{\"n\":2,\""+name+"\":0}\n")
		n, both := []engine.Column{{Name: "n", Type: "INT"}}, []engine.Column{{Name: "n", Type: "INT"}, {Name: name, Type: "INT"}}
		for _, c := range []struct {
			format  engine.Format
			columns []engine.Column
			files   [3]string
			want    string
		}{
			{engine.Parquet, nil, [3]string{a, b, plain}, "3,2017-06-04\n"},
			{engine.Parquet, nil, [3]string{a, b, b}, "2,2017-06-04\n"},
			{engine.CSV, n, [3]string{ca, cb, cb}, "2,2017-06-04\n"},
			{engine.NDJSON, both, [3]string{ja, jb, jb}, "2,2017-06-04\n"},
		} {
			table := Table{Name: "x", Format: c.format, Columns: c.columns, Dimensions: []Dimension{{"day", "DATE"}}, Parts: []Part{part("day=2017-06-01", c.files[0]),
				part("day=2017-06-02", c.files[1]), part("day=2017-06-03", c.files[0]), part("day=2017-06-04", c.files[2])}}
			want := "n,day\n1,2017-06-01\n2,2017-06-02\n1,2017-06-03\n" + c.want
			if got := csvOf(t, "SELECT n, day FROM x ORDER BY day", table); got != want {
				t.Errorf("%s %s: %q", name, c.format, got)
			}
		}
	}
}

func TestManyPartitions(t *testing.T) {
	if testing.Short() {
		t.Skip("2,000 files")
	}
	blob, dir := parquet(t, "SELECT range AS n FROM range(5)"), t.TempDir()
	table := Table{Name: "plays", Format: engine.Parquet, Dimensions: []Dimension{{"day", "DATE"}}}
	day := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 2000 {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Link(blob, path); err != nil {
			t.Fatal(err)
		}
		table.Parts = append(table.Parts, part("day="+day.AddDate(0, 0, i).Format("2006-01-02"), path))
	}
	start := time.Now()
	got := csvOf(t, "SELECT count(*) AS n, count(DISTINCT day) AS days, max(day) AS last FROM plays", table)
	if got != "n,days,last\n10000,2000,1995-06-23\n" {
		t.Errorf("got %q", got)
	}
	t.Logf("2,000 partitions in %s", time.Since(start))
}

func TestEmptyInputs(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "BIGINT", NotNull: true}, {Name: "s", Type: "VARCHAR"}}
	for _, f := range []engine.Format{engine.Parquet, engine.CSV, engine.NDJSON} {
		table := Table{Name: "plays", Format: f, Columns: columns, Dimensions: []Dimension{{"day", "DATE"}}}
		if got := csvOf(t, "SELECT * FROM plays", table); got != "id,s,day\n" {
			t.Errorf("got %q", got)
		}
		table.Parts = []Part{part("day=2017-06-01")}
		if got := csvOf(t, "SELECT count(*) AS n FROM plays", table); got != "n\n0\n" {
			t.Errorf("got %q", got)
		}
		table.Columns = nil
		_, err := Run(t.Context(), newJob(t, "out.csv", "SELECT * FROM plays", table))
		p := expect(t, err, `input "plays": there is nothing to read`, "columns = {")
		if p.Range.Start.Column != 15 {
			t.Errorf("%+v", p.Range)
		}
	}
}

func TestEmptyFiles(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "BIGINT"}}
	for _, table := range []Table{{Name: "x", Format: engine.NDJSON, Columns: columns, Parts: []Part{part("", write(t, "a", ""))}},
		{Name: "x", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "a", "id\n"))}},
		{Name: "x", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "a", "id"))}}} {
		if got := csvOf(t, "FROM x", table); got != "id\n" {
			t.Errorf("got %q", got)
		}
	}
}

func TestTextNeedsColumns(t *testing.T) {
	csv := write(t, "blob", "id,played at\n1,2017-06-15 10:00:00\n")
	_, err := Run(t.Context(), newJob(t, "out.csv", "SELECT * FROM plays", Table{Name: "plays", Format: engine.CSV, Parts: []Part{part("", csv)}}))
	expect(t, err, "csv does not tell the types", "columns = {\n  id = \"BIGINT\"\n  \"played at\" = \"TIMESTAMP\"\n}")
}

func TestFormats(t *testing.T) {
	text := `SELECT range AS id, CASE WHEN range % 3 = 1 THEN NULL WHEN range % 3 = 2 THEN '' ELSE 'ü "x",' || chr(10) || range END AS s,
		range / 7 AS d, TIMESTAMP '2017-06-15 13:00:00' + INTERVAL (range) SECOND AS t, DATE '2017-06-15' AS day, range % 2 = 0 AS b FROM range(1000)`
	columns := []engine.Column{{Name: "id", Type: "BIGINT", NotNull: true}, {Name: "s", Type: "VARCHAR"}, {Name: "d", Type: "DOUBLE"}, {Name: "t", Type: "TIMESTAMP"},
		{Name: "day", Type: "DATE"}, {Name: "b", Type: "BOOLEAN"}}
	want := csvOf(t, text)
	for _, path := range []string{"o.parquet", "o.csv", "o.csv.gz", "o.csv.zst", "o.ndjson", "o.jsonl.gz", "o.ndjson.zst", "o/*.parquet", "o/*.csv.gz", "o/*.ndjson"} {
		j := newJob(t, path, text)
		o := j.Statements[0].Output
		o.Columns, o.PartSize = columns, 6000
		made := mustRun(t, j)
		if made.Rows != 1000 || !slices.Equal(made.Columns, columns) {
			t.Errorf("%s: %d rows of %v", path, made.Rows, made.Columns)
		}
		files, _ := filepath.Glob(filepath.Join(j.OutDir, path))
		if o.Shape == engine.Parts && len(files) < 2 {
			t.Errorf("%s: %d parts", path, len(files))
		}
		for i, f := range files {
			if size, _ := fileSize(f); o.Shape == engine.Parts && size > o.PartSize {
				t.Errorf("%s: %d bytes", f, size)
			}
			if blob := fmt.Sprintf("%s.blob%05d", filepath.Join(j.OutDir, "b"), i); os.Rename(f, blob) == nil {
				files[i] = blob
			}
		}
		back := Table{Name: "x", Format: o.Format, Compression: o.Compression, Columns: made.Columns, Parts: []Part{part("", files...)}}
		if got := csvOf(t, "SELECT * FROM x", back); got != want {
			t.Errorf("%s: read back %d bytes, want %d: %.300s", path, len(got), len(want), got)
		}
	}
}

func TestPartsKeepRows(t *testing.T) {
	for _, c := range []string{"range + 100000 AS file_row_number", "(range * 7) % 5000 AS FILE_ROW_NUMBER", "'x' AS file_row_number", "range AS n"} {
		j := newJob(t, "o/*.parquet", "SELECT "+c+", md5(range::VARCHAR) AS m FROM range(5000)")
		j.Statements[0].Output.PartSize = 20000
		mustRun(t, j)
		files, _ := filepath.Glob(filepath.Join(j.OutDir, "o/*.parquet"))
		back := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", files...)}}
		if got := csvOf(t, "SELECT count(*) AS n, count(DISTINCT m) AS m FROM x", back); got != "n,m\n5000,5000\n" || len(files) < 3 {
			t.Errorf("%s: %q in %d parts", c, got, len(files))
		}
	}
}

func TestEmptyOutputs(t *testing.T) {
	for path, want := range map[string]string{"o.csv": "a,b\n", "o.ndjson": "", "o/*.csv": "a,b\n", "o/*.ndjson": "", "o/*.parquet": "PAR1", "o.csv.gz": "\x1f\x8b"} {
		j := newJob(t, path, "SELECT 1 AS a, 'x' AS b WHERE false")
		if made := mustRun(t, j); made.Rows != 0 {
			t.Errorf("%s: %d rows", path, made.Rows)
		}
		files, _ := filepath.Glob(filepath.Join(j.OutDir, path))
		if len(files) != 1 || !strings.HasPrefix(read(t, files[0]), want) || want == "" && read(t, files[0]) != "" {
			t.Errorf("%s: %v", path, files)
		}
	}
}

func TestCSVByName(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "INTEGER", NotNull: true}, {Name: "s", Type: "VARCHAR"}}
	a, b := write(t, "a", "\ufeffs,junk,ID\nx,1,1\n"), write(t, "b", "id,s\r\n2,y\r\n")
	table := Table{Name: "x", Format: engine.CSV, Columns: columns, Dimensions: []Dimension{{"day", "DATE"}},
		Parts: []Part{part("day=2017-06-01", a), part("day=2017-06-02", b), part("day=2017-06-03", a)}}
	if got := csvOf(t, "SELECT * FROM x", table); got != "id,s,day\n1,x,2017-06-01\n1,x,2017-06-03\n2,y,2017-06-02\n" {
		t.Errorf("got %q", got)
	}
	for text, want := range map[string][]string{
		"id,s2\n1,x\n":           {`there is no column "s"`, "day=2017-06-01"},
		"id,s,id\n1,x,1\n":       {`"id" twice`},
		"":                       {"it is empty"},
		"\nid,s\n1,x\n":          {"its first line is empty"},
		"\ufeff\r\nid,s\n1,x\n":  {"its first line is empty"},
		"id,s\n1,x\nfoo,y\n":     {`input "x" at day=2017-06-01, line 3`, `column "id"`, `"foo"`},
		"id,s\n1,x\n2\n":         {"line 3", "expected Number of Columns: 2 Found: 1"},
		"id,s\n1,x\n,y\n":        {`input "x": column "id" is declared NOT NULL`},
		"id,s\n1,x\n1.5,y\n":     {`column "id" is INTEGER, and a row has 1.5`},
		"id,s\n1,x\n2,\"y\"z\n":  {"line 3"},
		"id,s\n1,x\n2,y\xff\n":   {"line 3"},
		"id,s\n1,x\n\"\",quot\n": {"line 3"},
	} {
		table.Parts = []Part{part("day=2017-06-01", write(t, "bad", text))}
		_, err := Run(t.Context(), newJob(t, "out.csv", "SELECT * FROM x", table))
		if err == nil {
			t.Errorf("%q: no error", text)
			continue
		}
		p := expect(t, err, want...)
		if strings.Contains(p.Summary+p.Detail+p.Hint, t.TempDir()) {
			t.Errorf("a path is shown: %v", p)
		}
	}
}

func TestLongRows(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MB")
	}
	columns := []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "s", Type: "VARCHAR"}}
	wide, lines := strings.Repeat("y", 40<<20), strings.Repeat("a long line,\n", 3<<20)
	var gz bytes.Buffer
	g, _ := gzip.NewWriterLevel(&gz, 1)
	io.WriteString(g, "id,s\n1,a\n2,"+wide)
	g.Close()
	var quoted strings.Builder
	quoted.WriteString("id,s\n")
	for i := range 3000000 {
		fmt.Fprintf(&quoted, "%d,\"a\n%d,\"\"b\"\"\n%d,c\"\n", i, i, i)
	}
	for _, c := range []struct{ name, compression, text, want string }{
		{"3 MB", "", "id,s\n1,a\n2," + wide[:3<<20] + "\n", "2,3,3145729"},
		{"at the end", "", "id,s\n1,a\n2," + wide + "\n", "2,3,41943041"},
		{"no last line break", "", "id,s\n1,a\n2," + wide, "2,3,41943041"},
		{"in the middle", "", "id,s\n1,a\n2," + wide + "\n3,c\n", "3,6,41943042"},
		{"of lines", "", "id,s\n1,a\n2,\"" + lines + "\"\n", "2,3,40894465"},
		{"compressed", "gzip", gz.String(), "2,3,41943041"},
		{"many in quotes", "", quoted.String(), "3000000,4499998500000,66777780"},
	} {
		x := Table{Name: "x", Format: engine.CSV, Compression: c.compression, Columns: columns, Parts: []Part{part("", write(t, "blob", c.text))}}
		for _, threads := range []int{1, 2, 4} {
			j := newJob(t, "o.csv", "SELECT count(*) AS n, sum(id) AS i, sum(length(s)) AS l FROM x", x)
			j.Threads = threads
			mustRun(t, j)
			if got := read(t, filepath.Join(j.OutDir, "o.csv")); got != "n,i,l\n"+c.want+"\n" {
				t.Errorf("%s on %d threads: %s", c.name, threads, got)
			}
		}
	}
}

// TestExact reads values that a type can't hold as they are.
func TestExact(t *testing.T) {
	for _, c := range []struct{ typ, csv, json, want, wrong string }{
		{"BIGINT", "9007199254740993", "9007199254740993", "9007199254740993", ""},
		{"BIGINT", "2.0", "2.0", "2", ""},
		{"BIGINT", "1.5", "1.5", "", "a row has 1.5"},
		{"HUGEINT", "1.5", "1.5", "", "a row has 1.5"},
		{"UHUGEINT", "1.5", "1.5", "", "a row has 1.5"},
		{"HUGEINT", "7", "7", "7", ""},
		{"DECIMAL(10,2)", "1.5", "1.5", "1.50", ""},
		{"DECIMAL(10,2)", "1.500", "1.5", "1.50", ""},
		{"DECIMAL(10,2)", "15e-1", "15e-1", "1.50", ""},
		{"DECIMAL(10,2)", "1.005", "1.005", "", "1.005, which has more digits than DECIMAL(10,2) holds"},
		{"DECIMAL(10,2)", "1005e-3", "1.005", "", "more digits"},
		{"DECIMAL(4,0)", "12345", "12345", "", "1234"},
		{"DECIMAL(4,2)", "x", `"x"`, "", "line "},
		{"DATE", "2017-06-15", `"2017-06-15"`, "2017-06-15", ""},
		{"DATE", "2017-06-15 00:00:00", `"2017-06-15 00:00:00"`, "2017-06-15", ""},
		{"DATE", "2017-06-15 23:59:59", `"2017-06-15 23:59:59"`, "", "23:59:59, which has a time"},
		{"DATE", "soon", `"soon"`, "", "soon"},
		{"BIGINT[]", `"[1, 2]"`, "[1,2]", "[1, 2]", ""},
		{"BIGINT[]", `"[1.5, 2]"`, "[1.5,2]", "", "declare DOUBLE"},
		{"STRUCT(a BIGINT, \"INTEGER\" DOUBLE)", `"{'a': 1, 'INTEGER': 1.5}"`, `{"a":1,"INTEGER":1.5}`, "{'a': 1, 'INTEGER': 1.5}", ""},
		{"STRUCT(a BIGINT)", `"{'a': 1.5}"`, `{"a":1.5}`, "", "declare DOUBLE"},
	} {
		for _, x := range []Table{{Format: engine.CSV, Parts: []Part{part("", write(t, "c", "v\n"+c.csv+"\n"))}},
			{Format: engine.NDJSON, Parts: []Part{part("", write(t, "j", "\n{\"v\":"+c.json+"}\n"))}}} {
			x.Name, x.Columns = "x", []engine.Column{{Name: "v", Type: c.typ}}
			j := newJob(t, "o.ndjson", "SELECT CAST(v AS VARCHAR) AS v FROM x", x)
			_, err := Run(t.Context(), j)
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("%s as %s in %s: %v", c.csv, c.typ, x.Format, err)
			} else if got := read(t, filepath.Join(j.OutDir, "o.ndjson")); c.wrong == "" && got != "{\"v\":\""+c.want+"\"}\n" {
				t.Errorf("%s as %s in %s: %s %v", c.csv, c.typ, x.Format, got, err)
			}
		}
	}
}

func TestNDJSON(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "INTEGER", NotNull: true}, {Name: "s", Type: "VARCHAR"}}
	for text, want := range map[string]string{
		"{\"id\":1}\n{\"id\":\"x\"}\n":          `input "x", line 2`,
		"{\"id\":1}\n{\"id\":2\n":               `line 2: unexpected end of data`,
		"{\"id\":1}\n{\"s\":\"x\"}\n":           "declared NOT NULL",
		"{\"id\":1}\n[1]\n":                     `line 2`,
		"{\"id\":1}\n{\"id\":}\n{\"id\":3}\n":   `line 2:`,
		"{\"id\":}\n":                           `line 1:`,
		"{\"id\":1}\n{\"id\":2}\n{\"id\": tru}": `line 3:`,
	} {
		table := Table{Name: "x", Format: engine.NDJSON, Columns: columns, Parts: []Part{part("", write(t, "bad", text))}}
		_, err := Run(t.Context(), newJob(t, "out.csv", "SELECT * FROM x", table))
		p := expect(t, err, want)
		if all := p.Summary + p.Detail + p.Hint; strings.Contains(all, "Try ") || strings.Contains(all, "SET ") {
			t.Errorf("%q: advice: %+v", text, p)
		}
		t.Logf("%.60q: %v", text, err)
	}
	marked := Table{Name: "x", Format: engine.NDJSON, Columns: columns, Parts: []Part{part("", write(t, "a", "\ufeff{\"id\":1}\n{\"id\":2}\n"))}}
	if got := csvOf(t, "SELECT id FROM x", marked); got != "id\n1\n2\n" {
		t.Errorf("with a byte order mark: %q", got)
	}
	if r, err := CheckKey(t.Context(), marked, []string{"id"}, t.TempDir(), 1, 0); r.Rows != 2 || err != nil {
		t.Errorf("with a byte order mark: %+v %v", r, err)
	}
}

func TestCompressedInputs(t *testing.T) {
	var gz, zst bytes.Buffer
	g := gzip.NewWriter(&gz)
	io.WriteString(g, "id\n7\n")
	g.Close()
	z, _ := zstd.NewWriter(&zst)
	io.WriteString(z, "id\n7\n")
	z.Close()
	for compression, text := range map[string]string{"gzip": gz.String(), "zstd": zst.String()} {
		table := Table{Name: "x", Format: engine.CSV, Compression: compression, Columns: []engine.Column{{Name: "id", Type: "INT"}}, Parts: []Part{part("", write(t, "blob", text))}}
		if got := csvOf(t, "FROM x", table); got != "id\n7\n" {
			t.Errorf("%s: %q", compression, got)
		}
		table.Parts = []Part{part("", write(t, "blob", "id\n7\n"))}
		_, err := Run(t.Context(), newJob(t, "out.csv", "FROM x", table))
		expect(t, err, "its first line can't be read")
	}
}

func TestParquetSchemas(t *testing.T) {
	a, b, c := parquet(t, "SELECT 1::INTEGER AS n"), parquet(t, "SELECT 5000000000 AS n, 'x' AS s"), parquet(t, "SELECT 'text' AS n")
	n := parquet(t, "SELECT CASE WHEN range = 1 THEN 1::INTEGER END AS n FROM range(3)")
	table := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", a, b, a)}}
	if got := csvOf(t, "SELECT * FROM x", table); got != "n,s\n1,\n1,\n5000000000,x\n" {
		t.Errorf("got %q", got)
	}
	table.Columns = []engine.Column{{Name: "n", Type: "DECIMAL(21,1)", NotNull: true}}
	if got := csvOf(t, "SELECT * FROM x", table); got != "n,s\n1.0,\n1.0,\n5000000000.0,x\n" {
		t.Errorf("got %q", got)
	}
	for _, c := range []struct {
		columns []engine.Column
		files   []string
		want    []string
	}{
		{nil, []string{a, c}, []string{`column "n" is INTEGER in some files and VARCHAR in others`}},
		{[]engine.Column{{Name: "m", Type: "INT"}}, []string{a}, []string{`no column "m"`, "n INTEGER"}},
		{[]engine.Column{{Name: "n", Type: "DATE"}}, []string{a}, []string{`declared DATE and is INTEGER`}},
		{[]engine.Column{{Name: "n", Type: "INT) AS x, (SELECT 1"}}, []string{a}, []string{"is no type"}},
		{[]engine.Column{{Name: "n", Type: "FOO"}}, []string{a}, []string{"FOO"}},
		{[]engine.Column{{Name: "s", Type: "VARCHAR", NotNull: true}}, []string{a, b}, []string{`column "s" is declared NOT NULL`}},
		{[]engine.Column{{Name: "n", Type: "INT", NotNull: true}}, []string{a, n, n}, []string{`column "n" is declared NOT NULL, and 4 rows`}},
		{nil, []string{write(t, "junk", "this is no parquet file at all")}, []string{`input "x"`}},
	} {
		_, err := Run(t.Context(), newJob(t, "out.csv", "SELECT * FROM x", Table{Name: "x", Format: engine.Parquet, Columns: c.columns, Parts: []Part{part("", c.files...)}}))
		if err == nil {
			t.Errorf("%v: no error", c.want)
			continue
		}
		for _, w := range c.want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("%v lacks %q", err, w)
			}
		}
	}
}

func TestHugeint(t *testing.T) {
	j := newJob(t, "o.parquet", "SELECT sum(range) AS n, list(range::HUGEINT) AS l, {'a': 1::UHUGEINT} AS s FROM range(3)")
	out := mustRun(t, j)
	if got := list(out.Columns); got != "n BIGINT, l BIGINT[], s STRUCT(a BIGINT)" {
		t.Errorf("columns %s", got)
	}
	_, err := Run(t.Context(), newJob(t, "o.parquet", "SELECT sum(range::HUGEINT * 9000000000000000000) AS n FROM range(9)"))
	expect(t, err, "out of range", "DECIMAL(38,0)")
	j = newJob(t, "o.parquet", "SELECT sum(range::HUGEINT * 9000000000000000000) AS n FROM range(9)")
	j.Statements[0].Output.Columns = []engine.Column{{Name: "n", Type: "DECIMAL(38,0)"}}
	if out := mustRun(t, j); list(out.Columns) != "n DECIMAL(38,0)" {
		t.Errorf("columns %s", list(out.Columns))
	}
}

func TestPromises(t *testing.T) {
	text := "SELECT range::INTEGER AS n, CASE WHEN range > 0 THEN 'x' END AS s, sum(range) AS t FROM range(3) GROUP BY ALL"
	ok := newJob(t, "o.parquet", text)
	ok.Statements[0].Output.Columns = []engine.Column{{Name: "n", Type: "BIGINT", NotNull: true}, {Name: "t", Type: "bigint"}}
	want := []engine.Column{{Name: "n", Type: "BIGINT", NotNull: true}, {Name: "s", Type: "VARCHAR"}, {Name: "t", Type: "BIGINT"}}
	if out := mustRun(t, ok); !slices.Equal(out.Columns, want) {
		t.Errorf("columns %v", out.Columns)
	}
	for _, c := range []struct {
		column engine.Column
		want   []string
	}{
		{engine.Column{Name: "m", Type: "BIGINT"}, []string{`column "m" is promised`, "its columns are n, s, t"}},
		{engine.Column{Name: "s", Type: "BIGINT"}, []string{`column "s" is promised as BIGINT and is VARCHAR`, "CAST(… AS BIGINT)"}},
		{engine.Column{Name: "n", Type: "SMALLINT"}, []string{"promised as SMALLINT and is INTEGER"}},
		{engine.Column{Name: "t", Type: "DOUBLE"}, []string{"promised as DOUBLE and is HUGEINT"}},
		{engine.Column{Name: "s", Type: "VARCHAR", NotNull: true}, []string{`column "s" is promised NOT NULL, and 1 rows`}},
	} {
		for _, path := range []string{"o.parquet", "o.csv", "o.ndjson.gz"} {
			j := newJob(t, path, text)
			j.Statements[0].Output.Columns = []engine.Column{c.column}
			_, err := Run(t.Context(), j)
			expect(t, err, c.want...)
		}
	}
}

func TestUnfitOutputs(t *testing.T) {
	for _, c := range []struct{ path, text, want string }{
		{"o.parquet", "SELECT 1 AS a, 2 AS A", `two columns of the result are called "A"`},
		{"o.parquet", "SELECT INTERVAL 1 DAY AS a", "parquet can't hold"},
		{"o.ndjson", "SELECT 1::DECIMAL(38,2) AS a", "ndjson can't hold"},
		{"o.csv", "SELECT [1] AS a", "csv can't hold"},
		{"o.csv", "SELECT {'a': 1} AS a", "csv can't hold"},
		{"o.ndjson", "SELECT '\\xAA'::BLOB AS a", "ndjson can't hold"},
		{"o.ndjson", "SELECT 1::VARIANT AS a", "ndjson can't hold"},
		{"o.parquet", "SELECT {'a b': '1'::BIT} AS a", "parquet can't hold"},
	} {
		_, err := Run(t.Context(), newJob(t, c.path, c.text))
		if err == nil {
			t.Errorf("%s: no error", c.text)
			continue
		}
		expect(t, err, c.want)
	}
}

// TestNamesLikeTypes has names and texts in types that are none.
func TestNamesLikeTypes(t *testing.T) {
	text := `SELECT 'BIT'::ENUM('a''s', 'BIT', 'DECIMAL(38,2)') AS e, {'BIT': 1, 'HUGEINT': 2, 'UNION "x': 3} AS s`
	for _, path := range []string{"o.parquet", "o.ndjson"} {
		out := mustRun(t, newJob(t, path, text))
		if got := list(out.Columns); got != `e VARCHAR, s STRUCT("BIT" INTEGER, HUGEINT INTEGER, "UNION ""x" INTEGER)` {
			t.Errorf("%s: %s", path, got)
		}
	}
}

func TestAdvice(t *testing.T) {
	for message, want := range map[string]string{
		"Malformed JSON in file a, at byte 7 in line 3: unexpected character.  Try auto-detecting the JSON format": "a, line 2: unexpected character",
		"JSON transform error in file a, in line 2: Expected OBJECT. Try setting 'auto_detect' to true":            "a, line 2: expected OBJECT",
		"Something is too large. Use \"SET x=y\" to allow it":                                                      "something is too large",
	} {
		if got := (&failure{Message: message}).Error(); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestErrorPlaces(t *testing.T) {
	x := Table{Name: "x", Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "INT"}, {Name: "s", Type: "VARCHAR"}}, Parts: []Part{part("", write(t, "blob", "id,s\n1,x\n"))}}
	for _, c := range []struct {
		text         string
		line, column int
		want         string
	}{
		{"SELECT 'é',\n  nope FROM x", 2, 3, "nope"},
		{"-- é\nSELECT $day, /* ü */ 'é', nope FROM x", 2, 27, "nope"},
		{"SELECT id,\n  FROM x WHERE", 2, 15, "syntax error"},
		{"SELECT id FROM x\nWHERE s + 1 = 'x'", 2, 9, "+"},
		{"SELECT id,\n   lower(id, 2) FROM x", 2, 4, "lower"},
		{"SELECT\n CAST(s AS INT) AS n FROM x", 2, 2, "'x'"},
		{"SELECT b.id FROM x\nJOIN x AS b USING (idd)", 2, 20, "idd"},
	} {
		j := newJob(t, "out.csv", c.text, x)
		j.Params = []Param{{"day", "DATE", "2017-06-15"}}
		_, err := Run(t.Context(), j)
		p := expect(t, err, c.want)
		if p.Range.File != "p/out.sql" || p.Range.Start.Line != c.line || p.Range.Start.Column != c.column {
			t.Errorf("%q: %v: %+v", c.text, err, p.Range)
		}
		t.Logf("%d:%d %s", p.Range.Start.Line, p.Range.Start.Column, err)
	}
}

func TestOutOfMemory(t *testing.T) {
	j := newJob(t, "o.parquet", "SELECT list(range::VARCHAR) AS l FROM range(20000000)")
	j.Memory = 64 << 20
	_, err := Run(t.Context(), j)
	expect(t, err, "memory", `memory = "`)
	t.Log(err)
}

func TestCancel(t *testing.T) {
	j := newJob(t, "o.parquet", "SELECT a.range + b.range AS n FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	_, err := Run(ctx, j)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
	if left, _ := os.ReadDir(j.Scratch); len(left) > 0 {
		t.Errorf("scratch holds %v", left)
	}
}

func TestSeveralStatements(t *testing.T) {
	j := newJob(t, "a.csv", "SELECT 1 AS n")
	b := output("sub/b.csv")
	b.Name = "b"
	j.Statements = append(j.Statements, Statement{statement("SELECT 2 AS n"), b})
	r, err := Run(t.Context(), j)
	if err != nil || len(r.Outputs) != 2 || r.Outputs[1].Name != "b" || read(t, filepath.Join(j.OutDir, "sub", "b.csv")) != "n\n2\n" {
		t.Errorf("%v %v", r, err)
	}
}

func TestInputsAreNotWritten(t *testing.T) {
	blob := parquet(t, "SELECT 1 AS n")
	before := read(t, blob)
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", blob)}}
	for _, text := range []string{"COPY (SELECT 2 AS n) TO '" + blob + "' (FORMAT parquet)", "SELECT 1 AS n; COPY (SELECT 2 AS n) TO '" + blob + "'",
		"SELECT * FROM '" + blob + "'", "SELECT * FROM query('COPY x TO ''" + blob + "''')"} {
		if _, err := Run(t.Context(), newJob(t, "o.csv", text, x)); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
	if read(t, blob) != before {
		t.Error("the input changed")
	}
}

func TestColumns(t *testing.T) {
	late := "id,s,d\n" + strings.Repeat("1,2,2017-06-15\n", 50000) + "5000000000,x,\n"
	var gz bytes.Buffer
	g := gzip.NewWriter(&gz)
	io.WriteString(g, late)
	g.Close()
	for name, c := range map[string]struct{ text, want string }{
		"a.csv":     {late, "id BIGINT, s VARCHAR, d DATE"},
		"a.csv.gz":  {gz.String(), "id BIGINT, s VARCHAR, d DATE"},
		"a.ndjson":  {strings.Repeat("{\"id\":1,\"t\":\"2017-06-15 10:00:00\"}\n", 30000) + "{\"id\":1.5,\"l\":[1]}\n", "id DOUBLE, t TIMESTAMP, l BIGINT[]"},
		"a.parquet": {read(t, parquet(t, "SELECT 1 AS id, 'x' AS s")), "id INTEGER, s VARCHAR"},
	} {
		columns, err := Columns(t.Context(), write(t, name, c.text))
		if err != nil || list(columns) != c.want {
			t.Errorf("%s: %s, %v", name, list(columns), err)
		}
	}
	if _, err := Columns(t.Context(), write(t, "a.txt", "x")); err == nil {
		t.Error("a.txt has columns")
	}
}

// TestHidden shows that a statement sees the declared columns and nothing of how they are read.
func TestHidden(t *testing.T) {
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS n"))}}
	for _, column := range []string{"filename", "file_index", "file_row_number", "rowid"} {
		_, err := Run(t.Context(), newJob(t, "o.csv", "SELECT "+column+" FROM x", x))
		expect(t, err, column)
	}
}

func TestManyAtOnce(t *testing.T) {
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT range AS n FROM range(1000)"))}}
	for i := range 6 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			if got := csvOf(t, fmt.Sprintf("SELECT sum(n) + %d AS s FROM x", i), x); got != fmt.Sprintf("s\n%d\n", 499500+i) {
				t.Errorf("got %q", got)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	r, err := Run(t.Context(), newJob(t, "o.csv", "SELECT *\nFROM range(3)\nLIMIT 2"))
	if err != nil || len(r.Warnings) != 1 || r.Warnings[0].Range.Start.Line != 3 {
		t.Errorf("%+v %v", r, err)
	}
}

// TestForms runs what a query can begin with, in the place where dpb puts it.
func TestForms(t *testing.T) {
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS a, 2 AS b"))}}
	for text, want := range map[string]string{
		"TABLE x":                               "a,b\n1,2\n",
		"VALUES (1, 2)":                         "col0,col1\n1,2\n",
		"(SELECT a FROM x)":                     "a\n1\n",
		"(SELECT a FROM x) UNION (SELECT 3)":    "a\n1\n3\n",
		"UNPIVOT x ON a, b INTO NAME n VALUE v": "n,v\na,1\nb,2\n",
		"FROM x SELECT a AS \"$day -- 'x\"":     "$day -- 'x\n1\n",
		"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3) FROM c": "n\n1\n2\n3\n",
		"SELECT 'a' -- x\n'b' AS s": "s\nab\n",
	} {
		if got := csvOf(t, text, x); got != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	for b.Loop() {
		dir := b.TempDir()
		j := Job{OutDir: dir, Scratch: filepath.Join(dir, "scratch"), Statements: []Statement{{statement("SELECT range AS n FROM range(10000)"), output("o.parquet")}}}
		if _, err := Run(b.Context(), j); err != nil {
			b.Fatal(err)
		}
	}
}
