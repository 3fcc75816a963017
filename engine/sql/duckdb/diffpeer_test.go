//go:build peer && linux && (amd64 || arm64) && cgo && !noduckdb

package duckdb

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
)

// playsQuery are plays in ten columns, of which the new version has one in a hundred changed, one in a thousand removed and three in a thousand added.
const playsQuery = `SELECT i AS event_id, (i * 7919) %% 1700000 AS user_id, chr((65 + i %% 6)::INT) || chr((65 + i %% 10)::INT) AS country, 'agent ' || (i * 31) %% 200 AS user_agent,
	format('{}.{}.{}.{}', (hash(i) >> 3) & 255, (hash(i) >> 11) & 255, (hash(i) >> 19) & 255, (hash(i) >> 27) & 255) AS ip, (i * 104729) %% 500000 AS track_id,
	TIMESTAMP '2017-06-15 00:00:00' + to_microseconds(i * 8640) AS played_at, (hash(i, 1) %% 300000)::INT AS ms,
	(hash(i, 2) %% 1000000) / 1e6 + CASE WHEN %[1]d = 1 AND i %% 100 = 0 THEN 1 ELSE 0 END AS confidence, hash(i, 3) %% 10 = 0 AS is_spam
	FROM range(%[2]d) t(i) WHERE NOT (%[1]d = 1 AND i %% 1000 = 1) AND NOT (%[1]d = 0 AND i %% 1000 IN (2, 3, 4))`

func playsFile(b *testing.B, dir string, version, rows int) Table {
	b.Helper()
	s, err := open(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	defer s.close()
	path := filepath.Join(dir, fmt.Sprint(version))
	if err := s.exec(context.Background(), "COPY ("+fmt.Sprintf(playsQuery, version, rows)+") TO "+quote(path)+" ("+parquetOptions+")"); err != nil {
		b.Fatal(err)
	}
	return Table{Name: fmt.Sprintf("plays %d", version), IsOutput: true, Format: engine.Parquet, Parts: []Part{{Files: []string{path}}}}
}

// TestDiffAlone is the process that BenchmarkDiff measures.
func TestDiffAlone(t *testing.T) {
	var job DiffJob
	if err := json.Unmarshal([]byte(os.Getenv("DPB_DIFF_JOB")), &job); err != nil {
		t.Skip("BenchmarkDiff gives the job")
	}
	d, err := Diff(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(job.Scratch, "..", "diff.json"), out, 0o666); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkDiff tells how long a diff takes and how much memory, by key and over whole rows. BENCH_DIR is where it works; DIFF_MEMORY is the limit in bytes, if not
// the default.
func BenchmarkDiff(b *testing.B) {
	for _, rows := range []int{5_000_000, 10_000_000} {
		b.Run(fmt.Sprint(rows), func(b *testing.B) {
			dir, err := os.MkdirTemp(os.Getenv("BENCH_DIR"), "dpb-diff-")
			if err != nil {
				b.Fatal(err)
			}
			defer os.RemoveAll(dir)
			job := DiffJob{A: playsFile(b, dir, 0, rows), B: playsFile(b, dir, 1, rows), Scratch: filepath.Join(dir, "scratch")}
			fmt.Sscan(os.Getenv("DIFF_MEMORY"), &job.Memory)
			b.ReportMetric(0, "ns/op")
			for name, key := range map[string][]string{"key": {"event_id"}, "whole": nil} {
				job.Key = key
				d := measured(b, name, dir, job)
				n := int64(rows)
				want := compare.RowDiff{RowsA: n - n/1000*3, RowsB: n - n/1000, Added: n / 1000 * 3, Removed: n / 1000, Changed: n / 100}
				if key == nil {
					want.Added, want.Removed, want.Changed = want.Added+want.Changed, want.Removed+want.Changed, 0
				}
				if want.RowsA != d.RowsA || want.RowsB != d.RowsB || want.Added != d.Added || want.Removed != d.Removed || want.Changed != d.Changed {
					b.Errorf("%s: got %+v, want %+v", name, d, want)
				}
			}
		})
	}
}

// measured compares in a process of its own, as memory is known of whole processes.
func measured(b *testing.B, name, dir string, job DiffJob) (d compare.RowDiff) {
	b.Helper()
	spec, err := json.Marshal(job)
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(os.Args[0], "-test.run", "^TestDiffAlone$")
	c.Env = append(os.Environ(), "DPB_DIFF_JOB="+string(spec))
	start := time.Now()
	if out, err := c.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	b.ReportMetric(time.Since(start).Seconds(), name+"-s")
	rss := c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	b.ReportMetric(float64(rss)/(1<<20), name+"-MiB")
	if limit := job.Memory; rss > max(limit, DefaultMemory)+1<<29 {
		b.Errorf("%s: %d bytes of memory at a limit of %d", name, rss, max(limit, DefaultMemory))
	}
	out, err := os.ReadFile(filepath.Join(dir, "diff.json"))
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(out, &d); err != nil {
		b.Fatal(err)
	}
	return d
}
