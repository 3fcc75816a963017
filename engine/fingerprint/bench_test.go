//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package fingerprint

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "github.com/duckdb/duckdb-go/v2"

	"github.com/dpb-build/dpb/engine"
)

// plays is a table as pipelines have them: ids, a time, texts of few and of many values, numbers, NULLs.
const plays = `SELECT i::BIGINT event_id, (hash(i)%%1700000)::BIGINT user_id, 'c'||(hash(i*7)%%60) country, 'Mozilla/5.0 (agent '||(hash(i*11)%%200)||') AppleWebKit/537.36' user_agent,
	(hash(i*3)%%223)||'.'||(hash(i*5)%%256)||'.'||(hash(i*13)%%256)||'.'||(hash(i*17)%%256) ip, TIMESTAMP '2017-06-15' + to_microseconds((i*4321 + hash(i)%%100000)::BIGINT) played_at,
	(hash(i*19)%%300000)::INTEGER duration_ms, (hash(i*23)%%1000000)/1000000.0::DOUBLE score, hash(i*29)%%10=0 is_spam, CASE WHEN hash(i*31)%%20<>0 THEN ((hash(i*37)%%100000)/100.0)::DECIMAL(18,2) END price
	FROM range(%d) t(i)`

var playsColumns = []engine.Column{{Name: "event_id", Type: "BIGINT", NotNull: true}, {Name: "user_id", Type: "BIGINT"}, {Name: "country", Type: "VARCHAR"}, {Name: "user_agent", Type: "VARCHAR"}, {Name: "ip", Type: "VARCHAR"},
	{Name: "played_at", Type: "TIMESTAMP"}, {Name: "duration_ms", Type: "INTEGER"}, {Name: "score", Type: "DOUBLE"}, {Name: "is_spam", Type: "BOOLEAN"}, {Name: "price", Type: "DECIMAL(18,2)"}}

func openDuckDB(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// writeTable writes what a query gives with options of COPY, and returns the path.
func writeTable(t testing.TB, db *sql.DB, query, options string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table")
	if _, err := db.Exec(fmt.Sprintf("COPY (%s) TO '%s' (%s)", query, path, options)); err != nil {
		t.Fatal(err)
	}
	return path
}

func BenchmarkCompute(b *testing.B) {
	const rows = 500_000
	db := openDuckDB(b)
	for _, f := range []struct {
		name    string
		table   Table
		options string
	}{
		{"parquet", Table{Format: engine.Parquet}, "FORMAT parquet, COMPRESSION zstd"},
		{"csv", Table{Format: engine.CSV, Columns: playsColumns}, "FORMAT csv, HEADER true"},
		{"ndjson", Table{Format: engine.NDJSON, Columns: playsColumns}, "FORMAT json"},
	} {
		path := writeTable(b, db, fmt.Sprintf(plays, rows), f.options)
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		f.table.Files = []File{{f.name, path}}
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/threads=%d", f.name, threads), func(b *testing.B) {
				b.SetBytes(info.Size())
				for b.Loop() {
					if _, _, err := Compute(b.Context(), f.table, threads); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			})
		}
	}
}
