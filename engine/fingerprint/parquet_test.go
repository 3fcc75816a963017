//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package fingerprint

import (
	"database/sql"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// allTypes has a column of each type that Parquet has, and rows with values, without, and with odd ones.
const allTypes = `SELECT 1::TINYINT a, 2::SMALLINT b, 3::INTEGER c, 4::BIGINT d, 5::HUGEINT e, 1::UTINYINT f, 2::USMALLINT g, 3::UINTEGER h, 4::UBIGINT i, 1.5::FLOAT k, 1.5::DOUBLE l, 1.5::DECIMAL(4,1) m, 1.5::DECIMAL(9,2) m9,
	1.5::DECIMAL(18,2) m18, -1.5::DECIMAL(38,2) m38, 'a' n, 'a'::BLOB o, UUID '00112233-4455-6677-8899-aabbccddeeff' p, DATE '2017-01-01' q, TIME '10:00' r, TIMESTAMP '2017-01-01' s, TIMESTAMP_S '2017-01-01' t, TIMESTAMP_MS '2017-01-01 00:00:00.001' u,
	TIMESTAMP_NS '2017-01-01 00:00:00.000000001' v, TIMESTAMPTZ '2017-01-01' w, INTERVAL 3 DAY x, 'a'::ENUM('a','b') y, '{"a":1}'::JSON z, [1,2] aa, {'a':1,'B c':'x','select':2} ab, MAP{'a':1} ac, [[1],[]] ad, true ae, '10:00:00+01'::TIMETZ af,
	TIME_NS '10:00:00.123456789' ah, [{'x':1},NULL] ai, [1,2]::INTEGER[2] aj
	UNION ALL BY NAME SELECT NULL a, (-128)::TINYINT a2
	UNION ALL BY NAME SELECT 127::TINYINT a, 18446744073709551615::UBIGINT i, 'nan'::DOUBLE l, 'inf'::FLOAT k, (-99999999999999.99)::DECIMAL(18,2) m18, 'infinity'::TIMESTAMP s, '\x00\xFF'::BLOB o, 255::UTINYINT f, 4294967295::UINTEGER h, 65535::USMALLINT g, [] aa, [NULL] ad, '-infinity'::DATE q`

// TestParquetTypes holds that types are called, and values written, as the SQL engine does.
func TestParquetTypes(t *testing.T) {
	t.Parallel()
	db := openDuckDB(t)
	path := writeTable(t, db, allTypes, "FORMAT parquet")
	f, _ := mustCompute(t, Table{Format: engine.Parquet, Files: []File{{"x", path}}}, 1)
	rows, err := db.Query(fmt.Sprintf("SELECT column_name, column_type FROM (DESCRIBE SELECT * FROM read_parquet('%s'))", path))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for k := 0; rows.Next(); k++ {
		var name, typ string
		if err := rows.Scan(&name, &typ); err != nil {
			t.Fatal(err)
		}
		c := &f.Columns[k]
		if c.Name != name || c.Type != typ {
			t.Errorf("column %s is %s, and the SQL engine's %s %s", c.Name, c.Type, name, typ)
			continue
		}
		if again := kindOf(typ); again.name != typ {
			t.Errorf("%s is read as %s", typ, again.name)
		}
		compareColumn(t, db, path, c)
	}
}

// compareColumn holds a column against the SQL engine's exact aggregates.
func compareColumn(t *testing.T, db *sql.DB, path string, c *engine.ColumnStats) {
	t.Helper()
	k := kindOf(c.Type)
	var nulls, distinct int64
	var low, high, mean, stddev sql.NullString
	name := `"` + c.Name + `"`
	numbers := "NULL::DOUBLE"
	if k.is == integer || k.is == decimal || k.is == float {
		numbers = fmt.Sprintf("CASE WHEN isfinite(%[1]s::DOUBLE) THEN %[1]s::DOUBLE END", name)
	}
	if err := db.QueryRow(fmt.Sprintf("SELECT count(*) - count(%[1]s), count(DISTINCT %[1]s), min(%[1]s)::VARCHAR, max(%[1]s)::VARCHAR, avg(%[2]s), stddev_pop(%[2]s) FROM read_parquet('%[3]s')", name, numbers, path)).
		Scan(&nulls, &distinct, &low, &high, &mean, &stddev); err != nil {
		t.Fatal(err)
	}
	if c.Nulls != nulls || c.Distinct != distinct {
		t.Errorf("%s: %d nulls, %d values; the SQL engine %d, %d", c.Name, c.Nulls, c.Distinct, nulls, distinct)
	}
	if c.Min != nil && (*c.Min != low.String || *c.Max != high.String) {
		t.Errorf("%s %s: from %s to %s; the SQL engine %s to %s", c.Name, c.Type, *c.Min, *c.Max, low.String, high.String)
	}
	if c.Min == nil && k.bounded() && distinct > 0 {
		t.Errorf("%s has no least value", c.Name)
	}
	if mean.Valid && (!near(*c.Mean, mean.String) || !near(*c.Stddev, stddev.String)) {
		t.Errorf("%s: mean %v, stddev %v; the SQL engine %s, %s", c.Name, *c.Mean, *c.Stddev, mean.String, stddev.String)
	}
}

func near(f float64, text string) bool {
	g, err := strconv.ParseFloat(text, 64)
	return err == nil && math.Abs(f-g) <= 1e-8*math.Abs(g)
}

// TestParquetDamage holds that damaged and hostile files are errors, and no panics or endless work.
func TestParquetDamage(t *testing.T) {
	t.Parallel()
	path := writeTable(t, openDuckDB(t), allTypes, "FORMAT parquet, COMPRESSION zstd")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := mustCompute(t, Table{Format: engine.Parquet, Files: []File{{"x", path}}}, 1)
	damaged := filepath.Join(t.TempDir(), "x")
	table := Table{Format: engine.Parquet, Files: []File{{"raw/x.parquet", damaged}}}
	r := rand.New(rand.NewPCG(8, 8))
	try := func(b []byte) error {
		if err := os.WriteFile(damaged, b, 0o666); err != nil {
			t.Fatal(err)
		}
		f, _, err := Compute(t.Context(), table, 2)
		if err == nil && len(f.Columns) == 0 {
			t.Errorf("a damaged file has no columns")
		}
		return err
	}
	for n := 0; n < len(whole); n += 1 + r.IntN(1000) {
		if err := try(whole[:n]); err == nil || !strings.HasPrefix(err.Error(), "raw/x.parquet: ") {
			t.Errorf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
	for range 300 {
		b := append([]byte(nil), whole...)
		for range 1 + r.IntN(3) {
			b[r.IntN(len(b))] ^= byte(1 << r.IntN(8))
		}
		try(b)
	}
	if err := try(whole); err != nil {
		t.Error(err)
	}
	again, _ := mustCompute(t, table, 2)
	if content(again, false) != content(want, false) {
		t.Error("the whole file reads otherwise than before")
	}
}

// TestParquetDeclared holds what declared columns do to Parquet.
func TestParquetDeclared(t *testing.T) {
	db := openDuckDB(t)
	path := writeTable(t, db, "SELECT 1::INTEGER a, 2.5::DECIMAL(4,1) b, DATE '2017-06-05' c, 1.5::FLOAT d UNION ALL SELECT 2, NULL, DATE '2017-06-06', 2", "FORMAT parquet")
	of := func(columns ...engine.Column) (*engine.Fingerprint, error) {
		f, _, err := Compute(t.Context(), Table{Format: engine.Parquet, Columns: columns, Files: []File{{"raw/x.parquet", path}}}, 1)
		return f, err
	}
	f, err := of(engine.Column{Name: "A", Type: "bigint", NotNull: true}, engine.Column{Name: "b", Type: "DECIMAL(20,3)"}, engine.Column{Name: "c", Type: "TIMESTAMP"}, engine.Column{Name: "d", Type: "DOUBLE"})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, c := range f.Columns {
		got += fmt.Sprintf("%s %s %s\n", c.Name, c.Type, *c.Max)
	}
	if want := "A BIGINT 2\nb DECIMAL(20,3) 2.500\nc TIMESTAMP 2017-06-06 00:00:00\nd DOUBLE 2.0\n"; got != want {
		t.Errorf("declared columns are\n%swant\n%s", got, want)
	}
	for want, c := range map[string]engine.Column{
		"raw/x.parquet:2: b is NOT NULL and has no value":                                                 {Name: "b", Type: "DECIMAL(4,1)", NotNull: true},
		`raw/x.parquet: column "a" is declared VARCHAR and is INTEGER; declare it INTEGER`:                {Name: "a", Type: "VARCHAR"},
		`raw/x.parquet: there is no column "e", which is declared; its columns are a, b, c, d`:            {Name: "e", Type: "VARCHAR"},
		`raw/x.parquet: column "b" is declared DECIMAL(3,1) and is DECIMAL(4,1); declare it DECIMAL(4,1)`: {Name: "b", Type: "DECIMAL(3,1)"},
	} {
		if _, err := of(c); err == nil || err.Error() != want {
			t.Errorf("%v: %v, want %s", c, err, want)
		} else if unreadable := new(UnreadableError); errors.As(err, &unreadable) != c.NotNull {
			t.Errorf("%v: %T", c, err)
		}
	}
}

// TestParquetParts holds that row groups, files, their sizes and encodings don't show, and that files which lack a column have NULL there.
func TestParquetParts(t *testing.T) {
	t.Parallel()
	db := openDuckDB(t)
	query := fmt.Sprintf(plays, 20_000)
	one := writeTable(t, db, query, "FORMAT parquet")
	want, _ := mustCompute(t, Table{Format: engine.Parquet, Files: []File{{"x", one}}}, 2)
	for _, options := range []string{"FORMAT parquet, ROW_GROUP_SIZE 2048", "FORMAT parquet, PARQUET_VERSION v2, COMPRESSION gzip", "FORMAT parquet, DICTIONARY_SIZE_LIMIT 1, COMPRESSION snappy"} {
		f, _ := mustCompute(t, Table{Format: engine.Parquet, Files: []File{{"x", writeTable(t, db, query, options)}}}, 2)
		if content(f, false) != content(want, false) {
			t.Errorf("%s: it differs", options)
		}
	}
	halves := []File{{"x", writeTable(t, db, query+" WHERE i < 7777", "FORMAT parquet")}, {"y", writeTable(t, db, query+" WHERE i >= 7777", "FORMAT parquet")}}
	if f, _ := mustCompute(t, Table{Format: engine.Parquet, Files: halves}, 2); content(f, false) != content(want, false) {
		t.Error("in two files it differs")
	}
	csv := writeTable(t, db, query, "FORMAT csv, HEADER true")
	columns := append([]engine.Column(nil), playsColumns...)
	columns[0].NotNull = false
	if f, _ := mustCompute(t, Table{Format: engine.CSV, Columns: columns, Files: []File{{"x", csv}}}, 2); content(f, false) != content(want, false) {
		t.Errorf("as CSV it differs:\n%s\n%s", content(f, false), content(want, false))
	}
	mixed := []File{{"x", writeTable(t, db, "SELECT 1::INTEGER a", "FORMAT parquet")}, {"y", writeTable(t, db, "SELECT 'z' b, 2::BIGINT A", "FORMAT parquet")}}
	f, _ := mustCompute(t, Table{Format: engine.Parquet, Files: mixed}, 2)
	if len(f.Columns) != 2 || f.Columns[0].Type != "BIGINT" || *f.Columns[0].Max != "2" || f.Columns[1].Nulls != 1 || f.Rows != 2 {
		t.Errorf("files with other columns: %s", documentOf(f))
	}
}

// TestWide holds that a table of 2,000 columns is read, with nested ones.
func TestWide(t *testing.T) {
	t.Parallel()
	var list []string
	for k := range 2000 {
		list = append(list, fmt.Sprintf("CASE WHEN i %% %d > 0 THEN i * %d END c%d", k%7+2, k, k))
	}
	path := writeTable(t, openDuckDB(t), "SELECT "+strings.Join(list, ", ")+" FROM range(300) t(i)", "FORMAT parquet")
	f, s := mustCompute(t, Table{Format: engine.Parquet, Files: []File{{"x", path}}}, 2)
	if len(f.Columns) != 2000 || f.Columns[1999].Nulls != 50 || *f.Columns[1999].Max != fmt.Sprint(1999*299) {
		t.Errorf("the last column is %+v", f.Columns[1999])
	}
	if again, _, err := Merge(s); err != nil || documentOf(again) != documentOf(f) {
		t.Errorf("its state does not read: %v", err)
	}
}
