//go:build peer && cgo && !noduckdb

package fingerprint

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// BenchmarkBesideSummarize computes the fingerprint of a table of 20 million rows and lets DuckDB SUMMARIZE it, with two threads each. BENCH_DIR is where the table is written.
func BenchmarkBesideSummarize(b *testing.B) {
	const rows = 20_000_000
	dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "fingerprint")
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	db := openDuckDB(b)
	path := filepath.Join(dir, "plays")
	if _, err := db.Exec(fmt.Sprintf("SET threads=2; COPY ("+plays+") TO '%s' (FORMAT parquet, COMPRESSION zstd)", rows, path)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		runtime.GC()
		start := time.Now()
		if _, _, err := Compute(b.Context(), Table{Format: engine.Parquet, Files: []File{{"plays", path}}}, 2); err != nil {
			b.Fatal(err)
		}
		own := time.Since(start)
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		start = time.Now()
		list, err := db.Query(fmt.Sprintf("SUMMARIZE SELECT * FROM read_parquet('%s')", path))
		if err != nil {
			b.Fatal(err)
		}
		for list.Next() {
		}
		if list.Close() != nil || list.Err() != nil {
			b.Fatal(list.Err())
		}
		summarize := time.Since(start)
		b.ReportMetric(rows/own.Seconds(), "rows/s")
		b.ReportMetric(own.Seconds()/summarize.Seconds(), "of-SUMMARIZE")
		b.ReportMetric(float64(memory.Sys)/1e6, "MB-of-Go")
		b.Logf("fingerprint %v, SUMMARIZE %v, Go's memory %d MB", own, summarize, memory.Sys>>20)
	}
}
