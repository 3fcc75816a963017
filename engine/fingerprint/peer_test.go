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
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// BenchmarkBesideSummarize computes the fingerprint of a table of 20 million rows and lets DuckDB SUMMARIZE it, with two threads each; and the fingerprint of what a SQL stage wrote of a quarter of
// the rows, beside the stage. BENCH_DIR is where the table is written.
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
		stage, share := besideStage(b, path, rows/4)
		b.ReportMetric(own.Seconds(), "own-s")
		b.ReportMetric(summarize.Seconds(), "SUMMARIZE-s")
		b.ReportMetric(float64(memory.Sys)/1e6, "MB-of-Go")
		b.ReportMetric(share, "share-s")
		b.ReportMetric(stage, "stage-s")
	}
}

// besideStage runs a stage as dpb does, which reads the first rows of the table and writes them, and computes the fingerprint of what it wrote. It returns both times in seconds.
func besideStage(b *testing.B, path string, rows int) (stage, own float64) {
	b.Helper()
	out := b.TempDir()
	statement := &engine.Statement{Output: "clean", Text: fmt.Sprintf("SELECT * FROM plays WHERE event_id < %d AND user_id IS NOT NULL", rows)}
	job := duckdb.Job{Label: "//:clean", Statements: []duckdb.Statement{{Source: statement, Output: &engine.Output{Name: "clean", Path: "clean.parquet", Format: engine.Parquet}}},
		Inputs: []duckdb.Table{{Name: "plays", Format: engine.Parquet, Parts: []duckdb.Part{{Files: []string{path}}}}}, OutDir: out, Scratch: filepath.Join(b.TempDir(), "scratch"), Threads: 2}
	start := time.Now()
	if _, err := duckdb.Run(b.Context(), job); err != nil {
		b.Fatal(err)
	}
	stage = time.Since(start).Seconds()
	start = time.Now()
	if _, _, err := Compute(b.Context(), Table{Format: engine.Parquet, Files: []File{{"clean", filepath.Join(out, "clean.parquet")}}}, 2); err != nil {
		b.Fatal(err)
	}
	return stage, time.Since(start).Seconds()
}
