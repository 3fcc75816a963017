package bench

import (
	"strconv"
	"strings"
)

// These cases need what only tests of their own packages see: Go benchmarks, which put the figures of dpb and of the peer on one line.

// benchmark runs one, so many times, and returns what it reported: by the benchmark's name and unit, the repetitions.
func benchmark(b *bench, times int, each, pkg, name string) map[string][]float64 {
	_, out := capture(".", []string{"BENCH_DIR=" + b.dir}, "go", "test", "-tags", "peer", "-run", "^$", "-bench", name, "-benchtime", each, "-count", strconv.Itoa(times), "-timeout", "1h", pkg)
	found := map[string][]float64{}
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		_, sub, _ := strings.Cut(words[0], "/")
		sub, _, _ = strings.Cut(sub, "-")
		for k := 2; k+1 < len(words); k += 2 {
			if x, err := strconv.ParseFloat(words[k], 64); err == nil {
				unit := strings.TrimPrefix(sub+" "+words[k+1], " ")
				found[unit] = append(found[unit], x)
			}
		}
	}
	return found
}

func fingerprint(b *bench) {
	m := benchmark(b, of(b, 3, 1), "1x", "./engine/fingerprint", "BesideSummarize")
	b.rows = append(b.rows,
		row{What: "fingerprint of 20,000,000 rows of 10 columns, Parquet", Unit: "s", DPB: m["own-s"], Peer: "DuckDB's SUMMARIZE", Beside: m["SUMMARIZE-s"]},
		row{What: "memory of that", Unit: "MB", DPB: m["MB-of-Go"]},
		row{What: "fingerprint of what a SQL stage wrote, 5,000,000 rows", Unit: "s", DPB: m["share-s"], Peer: "the stage", Beside: m["stage-s"]})
}

func diff(b *bench) {
	m := benchmark(b, 1, "1x", "./engine/sql/duckdb", of(b, "Diff", "Diff/5000000"))
	for _, rows := range of(b, []int{5_000_000, 10_000_000}, []int{5_000_000}) {
		name := strconv.Itoa(rows)
		b.rows = append(b.rows,
			row{What: "difference of two versions of " + thousands(rows) + " rows by key", Unit: "s", DPB: m[name+" key-s"]},
			row{What: "memory of that", Unit: "MiB", DPB: m[name+" key-MiB"]},
			row{What: "the same over whole rows", Unit: "s", DPB: m[name+" whole-s"], Peer: "by key", Beside: m[name+" key-s"]})
	}
}

func sandboxed(b *bench) {
	m := benchmark(b, of(b, 5, 2), of(b, "300x", "50x"), "./engine/sandbox", "Start$")
	ms := func(x float64) float64 { return x / 1000 }
	wrapped := mapped(m["bubblewrap-µs"], ms)
	b.rows = append(b.rows,
		row{What: "start of an isolated program that does nothing", Unit: "ms", DPB: mapped(m["isolated-µs"], ms), Peer: "not isolated", Beside: mapped(m["plain-µs"], ms)},
		row{What: "the same", Unit: "ms", DPB: mapped(m["isolated-µs"], ms), Peer: "bubblewrap", Beside: wrapped, Note: absent(wrapped)})
}
