//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package fingerprint

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// runSQL writes what a statement gives to a Parquet file and returns its path. The input is called t.
func runSQL(t *testing.T, statement string, inputs ...duckdb.Table) (string, error) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	if err := os.Mkdir(out, 0o777); err != nil {
		t.Fatal(err)
	}
	_, err := duckdb.Run(t.Context(), duckdb.Job{Label: "//p:t", OutDir: out, Scratch: filepath.Join(dir, "scratch"), Inputs: inputs, Threads: 2, Statements: []duckdb.Statement{{
		Source: &engine.Statement{Output: "out", Text: statement, File: "p/out.sql", Range: engine.Range{File: "p/pipeline.hcl"}},
		Output: &engine.Output{Name: "out", Path: "out.parquet", Format: engine.Parquet, Range: engine.Range{File: "p/pipeline.hcl"}},
	}}})
	return filepath.Join(out, "out.parquet"), err
}

// asInput is a table as the SQL engine's input t.
func asInput(t Table) duckdb.Table {
	in := duckdb.Table{Name: "t", Format: t.Format, Compression: t.Compression, Columns: t.Columns, Parts: []duckdb.Part{{}}}
	for _, f := range t.Files {
		in.Parts[0].Files = append(in.Parts[0].Files, f.Path)
	}
	return in
}

// sameInSQL holds that the SQL engine reads the same rows of a text.
func sameInSQL(t *testing.T, table Table) {
	t.Helper()
	ours, _, err := Compute(t.Context(), table, 2)
	if err != nil {
		t.Error(err)
		return
	}
	path, err := runSQL(t, "SELECT * FROM t", asInput(table))
	if err != nil {
		t.Errorf("the SQL engine refuses what is read: %v", err)
		return
	}
	theirs, _, err := Compute(t.Context(), Table{Format: engine.Parquet, Files: []File{{"out.parquet", path}}}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if ours.Rows != theirs.Rows || ours.Digest != theirs.Digest && (!coarse(table) || sketchOf(ours) != sketchOf(theirs)) {
		t.Errorf("the SQL engine reads other values:\nours   %s\ntheirs %s", sketchOf(ours), sketchOf(theirs))
	}
}

// coarse says whether a table has a column that Parquet has no type for: its times are in microseconds there, and only their texts are the same.
func coarse(t Table) bool {
	return slices.ContainsFunc(t.Columns, func(c engine.Column) bool { return c.Type == "TIMESTAMP_S" || c.Type == "TIMESTAMP_MS" })
}

// sketchOf is what a person needs to see how two fingerprints differ.
func sketchOf(f *engine.Fingerprint) string {
	var b strings.Builder
	for _, c := range f.Columns {
		c.Quantiles, c.Digest, c.Type = nil, "", ""
		text, _ := json.Marshal(c)
		b.Write(text)
	}
	return b.String()
}

// spellings are texts by the types that they are read as. -0.0 is not among them: the dictionaries that DuckDB writes to Parquet make 0.0 of it.
var spellings = map[string][]string{
	"BIGINT": {" 12", "12 ", "+5", "-5", "--5", "+-5", "1e3", "1E3", "1e-3", "1e+3", "12.0", "12.", ".5", ".", "-.5", "12.5", "12.50", "1_000", "_1", "1_", "1__0", "0x1F", "0X1f", "0x1E", "0b101", "", "  ", "9223372036854775807",
		"9223372036854775808", "-9223372036854775808", "1e18", "1e19", "1.5e1", "1.55e1", "00012", "1 2", "\t12", "\v12", "١", "12e", "12e+", "e3", "1.e3", "1.0.0", "+ 5", "1e3.0", "123e-2", "1200e-2", "0e5", "-0", "0x", "1e0", "1'000", "1,000", "true",
		"1.0e3", "922337203685477580.7e1", "0.0000000000000000001", "1.00000000000000000000000", "+", "-", "12.0_0", "-0x1F", "0o17", " +5 ", "inf", "nan", "١٢"},
	"UTINYINT": {"255", "256", "-1", "-0", "1e2", "2.55e2", "254.5", "0xff", "0x100"},
	"SMALLINT": {"32767", "32768", "-32768", "-32769"}, "UINTEGER": {"4294967295", "4294967296"}, "UBIGINT": {"18446744073709551615", "18446744073709551616", "-1", "0", "0x10"},
	"DOUBLE": {" 1.5", "1.5 ", "+1.5", "1e3", "1E3", "inf", "Infinity", "-inf", "+inf", "INF", "infinit", "nan", "NaN", "-nan", "+nan", ".5", "5.", ".", "1_000.5", "1_0e1", "0x1p3", "0x1F", "1e400", "-1e400", "1e-400", "", "1d", "1f", "1.5.5", "1e",
		"1e+", "1,5", "true", "  ", "\t1", "١", "1e5_0", "1._5", "1_.5", "+", "-", "--1", "1 e5", "infinity ", " nan", "1e309", "4.9e-324", "2e-324", "+ 1", "0b1", "1e1.5", "0.1", "123456789.123456789", "1234567890123456789012345678901234567890"},
	"FLOAT":   {"1e39", "3.5e38", "1e-46", "0.1", "16777217", "nan", "1_0", "123456.789"},
	"BOOLEAN": {"true", "TRUE", "True", "tRuE", "t", "T", "1", "0", "f", "F", "false", "yes", "no", "y", "n", "on", "off", " true", "true ", "2", "", "1.0", "tr", "Y", "N"},
	"DATE": {"2017-06-05", "2017-6-5", "2017/6/5", "2017.6.5", "2017 6 5", "20170605", "2017-06-05 ", "  2017-06-05", "2017-06-05 10:00:00", "2017-06-05T10:00", "2017-06-05T", "05-06-2017", "2017-13-01", "2017-02-29", "2016-02-29", "17-6-5",
		"0001-01-01", "10000-01-01", "infinity", "-infinity", "epoch", "INFINITY", "2017-06-05 (BC)", "-2017-01-01", "2017-006-05", "2017-06-005", "2017-06", "2017", "+2017-01-01", "2017-06-05Z", "2017-06-05 00:00:00", "2017-06-05x", "2017-06/05",
		"5881580-07-10", "5881580-07-11", "99999999-01-01", "inf", "Epoch", "0-1-1", "0000-01-01", "2017-06-5 10", "2017-06-05 00:00:00Z", "2017-06-05T00:00:00+00", "today", "2017-6-05 (bc)"},
	"TIMESTAMP": {"2017-06-05", "2017-06-05 10:00:00", "2017-06-05T10:00:00", "2017-06-05T10:00:00Z", "2017-06-05 10:00:00+02", "2017-06-05 10:00:00 +02:30", "2017-06-05 10:00:00-0230", "2017-06-05 10:00:00+2", "2017-06-05 10:00:00.5",
		"2017-06-05 10:00:00.123456789", "2017-06-05 10:00:00.1234567", "2017-06-05 10:00:00.", "2017-06-05 10:00", "2017-06-05 10", "2017-06-05 1:2:3", "2017-06-05 24:00:00", "2017-06-05 23:59:60", "2017-06-05 25:00:00", "2017-6-5 10:00:00",
		"2017/06/05 10:00:00", "  2017-06-05 10:00:00  ", "2017-06-05  10:00:00", "2017-06-05t10:00:00", "2017-06-05T10:00:00z", "infinity", "-infinity", "epoch", "2017-06-05 10:00:00 UTC", "2017-06-05 10:00:00 Europe/Berlin", "2017-06-05 10:00:00 EST",
		"2017-06-05 10:00:00+02:00:30", "0044-03-15 (BC) 10:00:00", "2017-06-05 10:00:00 Z", "1496656800", "20170605", "2017-06-05Z", "2017-06-05+02", "294247-01-10 04:00:54.775806", "294247-01-10 04:00:54.775807", "290309-12-22 (BC) 00:00:00",
		"290308-12-21 (BC) 00:00:00", "2017-06-05 10:00:00.5Z", "2017-06-05 10:00:00.5+01", "2017-06-05 10:00Z", "2017-06-05 10:00+02", "2017-06-05T10:00:00+0000", "2017-06-05 10:00:00+16", "2017-06-05 10:00:00+02:60", "2017-06-05 10:00:00utc",
		"2017-06-05 10:00:00 utc", "2017-06-05 10:00:00GMT", "2017-06-05 10:00:00,5", "2017-06-05-10:00:00", "2017-06-05 100:00:00", "2017-06-05 10:0:0", "2017-06-05 10:000:00", "2017-06-05 10:60:00", "2017-06-05T", "2017-06-05 ", "inf", "",
		"2017-06-05 10:00:00+", "2017-06-05 10:00:00 +", "2017-06-05 10:00:00.9999995", "2017-06-05 10:00:00  Z", "2017-06-05 10:00:00 +02 ", "2017-06-05 10:00 ", "2017-06-05 10:00:00Z ", " 2017-06-05", "2017-06-05 10:00:", "2017 6 5 10:00:00"},
	"TIMESTAMP WITH TIME ZONE": {"2017-06-05 10:00:00", "2017-06-05 10:00:00+02", "2017-06-05", "2017-06-05T10:00:00Z", "infinity", "2017-06-05 10:00:00 UTC", "2017-06-05 10:00:00.5+01:30", "2017-06-05 10:00:00-08"},
	"TIMESTAMP_NS":             {"2017-06-05 10:00:00.123456789", "2017-06-05 10:00:00.1234567899", "2017-06-05 10:00:00.1", "2500-01-01", "infinity", "1677-09-22", "2262-04-11 23:47:16.854775806", "2017-06-05 10:00:00.123456789+01", "2017-06-05"},
	"TIMESTAMP_S":              {"2017-06-05 10:00:00.5", "2017-06-05 10:00:00.7", "1969-12-31 23:59:59.5"},
	"TIMESTAMP_MS":             {"2017-06-05 10:00:00.1234", "2017-06-05 10:00:00.1239", "1969-12-31 23:59:59.9995"},
	"TIME": {"10:00:00", "10:00", "1:2:3", "10:00:00.5", "10:00:00.123456789", "24:00:00", "25:00:00", "10", "10:00:00+02", "10:00:00Z", " 10:00:00 ", "2017-06-05 10:00:00", "10:00:60", "100000", "10:60:00", "10:00:", "T10:00:00", "2017-06-05T10:00:00Z",
		"23:59:59.9999999", "24:00:00.1", "2017-06-05"},
	"UUID": {"00112233-4455-6677-8899-aabbccddeeff", "00112233445566778899AABBCCDDEEFF", "{00112233-4455-6677-8899-aabbccddeeff}", "0011-2233-4455-6677-8899-aabb-ccdd-eeff", "00112233-4455-6677-8899-aabbccddeef", " 00112233-4455-6677-8899-aabbccddeeff",
		"00112233-4455-6677-8899-aabbccddeeffx", "0-0112233-4455-6677-8899-aabbccddeeff", "{00112233-4455-6677-8899-aabbccddeeff", "00112233--4455-6677-8899-aabbccddeeff", "00112233-4455-6677-8899-aabbccddeefg", "-00112233-4455-6677-8899-aabbccddeeff"},
	"BLOB":    {"abc", "\\xAB", "\\xab\\x00", "\\x", "\\xA", "\\q", "ä", "\\\\", "a\"b"},
	"VARCHAR": {"", " ", "a", "ä", "NULL", "null", "a\"b", "'", "a,b", "\\N"},
	"DECIMAL(9,2)": {"1.5", "1.50", "1.500", "1.505", "1.005", "12", "+12.5", "-0.05", ".5", "5.", "1e3", "1e-2", "1.5e1", "1e7", "9999999.99", "9999999.999", "10000000", "99999999", "", "1_000.5", "nan", "inf", " 1.5 ", "1.5.5", "0x1F", "1e", "15e-1",
		"1234e-2", "1234e-3", "1e-50", "1e50", ".", "-", "-.5", "+.5", "0000000000001.5", "1.5_5", "1.00000000000000000000", "0.00000000000000000005e20", "1e6", "1E6", "1e+6", " 1 5", "1.505e1", "-1e-3"},
	"DECIMAL(15,0)": {"1", "1.0", "1.5", "123456789012345", "1234567890123456", "1e14"},
}

// TestReadsAsSQL holds that text has the values that the SQL engine reads of it, and that both refuse the same.
func TestReadsAsSQL(t *testing.T) {
	for _, f := range []struct {
		format engine.Format
		head   string
		quoted bool
		line   func(string) string
	}{
		{engine.CSV, "a,b\n", true, func(s string) string { return "1," + csvCell(s) + "\n" }},
		{engine.CSV, "a,b\n", false, func(s string) string { return "1," + s + "\n" }},
		{engine.NDJSON, "", false, func(s string) string { return `{"a":1,"b":` + jsonCell(s) + "}\n" }},
	} {
		for typ, list := range spellings {
			if f.quoted && typ != "BIGINT" && typ != "DOUBLE" && typ != "VARCHAR" {
				continue // that quotes make no difference is seen by these
			}
			columns := []engine.Column{{Name: "a", Type: "BIGINT"}, {Name: "b", Type: typ}}
			var lines []string
			for _, s := range list {
				lines = append(lines, f.line(s))
			}
			// In NDJSON the engine is stricter about some types than in CSV; for the others it is enough to try what is readable.
			refused := f.format == engine.CSV || typ == "DOUBLE" || typ == "BOOLEAN"
			t.Run(f.format.String()+" "+typ, func(t *testing.T) { agree(t, f.format, f.head, lines, columns, refused) })
		}
	}
}

// agree holds that this package and the SQL engine read the same of lines and, if asked, refuse the same ones.
func agree(t *testing.T, format engine.Format, head string, lines []string, columns []engine.Column, refused bool) {
	t.Helper()
	t.Parallel()
	dir := t.TempDir()
	readable := head
	one := func(k int, text string) Table {
		path := filepath.Join(dir, fmt.Sprint(k))
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return Table{Format: format, Columns: columns, Files: []File{{"raw/x", path}}}
	}
	for k, line := range lines {
		table := one(k, head+line)
		if _, _, err := Compute(t.Context(), table, 1); err == nil {
			readable += line
		} else if !refused {
			continue
		} else if _, err := countInSQL(t, table); err == nil {
			t.Errorf("the SQL engine reads %q", line)
		}
	}
	sameInSQL(t, one(len(lines), readable))
}

// TestTextsAsSQL holds that odd files are read as the SQL engine reads them.
func TestTextsAsSQL(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	check := func(format engine.Format, k int, text string, columns []engine.Column) {
		t.Helper()
		path := filepath.Join(dir, fmt.Sprintf("%s-%d", format, k))
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		table := Table{Format: format, Columns: columns, Files: []File{{"raw/x", path}}}
		ours, _, err := Compute(t.Context(), table, 1)
		rows, sqlErr := countInSQL(t, table)
		if (err == nil) != (sqlErr == nil) {
			t.Errorf("%q: %v, and the SQL engine: %v", text, err, sqlErr)
		} else if err == nil && ours.Rows != rows {
			t.Errorf("%q: %d rows, and the SQL engine %d", text, ours.Rows, rows)
		} else if err == nil && rows > 0 {
			sameInSQL(t, table)
		}
	}
	a, b := engine.Column{Name: "a", Type: "VARCHAR"}, engine.Column{Name: "b", Type: "VARCHAR"}
	for k, text := range csvTexts {
		columns := []engine.Column{a, b, {Name: "c", Type: "VARCHAR"}}
		fields := strings.Count(strings.Split(text, "\n")[0], ",") + 1
		check(engine.CSV, k, text, columns[:min(fields, 3)])
	}
	for k, text := range jsonTexts {
		check(engine.NDJSON, k, text, []engine.Column{a})
	}
}

// TestJSONValuesAsSQL holds that values of JSON are read by each type as the SQL engine reads them.
func TestJSONValuesAsSQL(t *testing.T) {
	for _, typ := range []string{"VARCHAR", "BIGINT", "DOUBLE", "FLOAT", "BOOLEAN", "TIMESTAMP", "BLOB", "JSON", "DECIMAL(9,2)"} {
		var lines []string
		for _, v := range jsonValues {
			if end, ok := skipJSON([]byte(v), 0, 0); typ == "VARCHAR" || ok && end == len(v) {
				lines = append(lines, `{"a":1,"b":`+v+"}\n")
			}
		}
		t.Run(typ, func(t *testing.T) {
			agree(t, engine.NDJSON, "", lines, []engine.Column{{Name: "a", Type: "BIGINT"}, {Name: "b", Type: typ}}, true)
		})
	}
}

// TestNestedAsSQL holds which values of JSON can be read as lists, structs and maps. What is told of them is their number and whether they are the same.
func TestNestedAsSQL(t *testing.T) {
	for _, typ := range []string{"INTEGER[]", "STRUCT(a INTEGER, b VARCHAR[])", "MAP(VARCHAR, INTEGER)", "DOUBLE[][]"} {
		t.Run(typ, func(t *testing.T) {
			t.Parallel()
			for _, v := range []string{"null", "[]", "[1,2]", "[1,null]", `["1"]`, `["x"]`, `{"a":"1","b":["x"]}`, `{"b":[1]}`, `{"a":"x"}`, "[[1]]", `{"x":1}`, `{"x":"y"}`, `{"b":null}`, "[1.5]", "1", `"x"`, "true", "{}"} {
				table := Table{Format: engine.NDJSON, Columns: []engine.Column{{Name: "a", Type: typ}}, Files: []File{writeFile(t, `{"a":`+v+"}\n")}}
				_, _, err := Compute(t.Context(), table, 1)
				if _, sqlErr := countInSQL(t, table); (err == nil) != (sqlErr == nil) {
					t.Errorf("%s: %v, and the SQL engine: %v", v, err, sqlErr)
				}
			}
		})
	}
}

// countInSQL has the SQL engine read all values of a table.
func countInSQL(t *testing.T, table Table) (int64, error) {
	t.Helper()
	var names []string
	for _, c := range table.Columns {
		names = append(names, c.Name)
	}
	r, err := duckdb.CheckKey(t.Context(), asInput(table), names, filepath.Join(t.TempDir(), "scratch"), 1, 0)
	return r.Rows, err
}
