//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// digest is that of all files below a folder, with their names.
func digest(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(dir, path)
		fmt.Fprintf(h, "%s %d\n", rel, len(b))
		h.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil)[:8])
}

// TestSameBytes runs statements with different numbers of threads, and those whose value can't depend on it with so little memory that they spill.
func TestSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("200,000 rows, many times")
	}
	plays := parquet(t, `SELECT range AS id, hash(range) % 5000 AS user_id, ['DE', 'FR', 'ÅX', '日本'][1 + (hash(range * 3) % 4)::INT] AS country,
		(hash(range * 7) % 100000) / 997.0::DOUBLE AS score, TIMESTAMP '2017-06-15 00:00:00' + INTERVAL (range % 86400) SECOND AS played,
		CASE WHEN range % 11 = 0 THEN NULL ELSE 'tïtle ' || hash(range * 5) % 40000 END AS title FROM range(200000)`)
	inputs := []Table{{Name: "plays", Format: engine.Parquet, Dimensions: []Dimension{{"day", "DATE"}},
		Parts: []Part{part("day=2017-06-15", plays), part("day=2017-06-16", plays)}}}
	for _, c := range []struct {
		path, text string
		spill      bool
	}{
		{"o.parquet", "SELECT * FROM plays WHERE user_id % 3 = 1", true},
		{"o/*.parquet", "SELECT id, title, score FROM plays WHERE user_id % 3 = 1", false},
		{"o.csv", "SELECT title, country, count(*) AS n, sum(id) AS s, min(score) AS m FROM plays GROUP BY ALL", true},
		{"o.ndjson.gz", "SELECT title, day, count(*) AS n FROM plays GROUP BY ALL ORDER BY n DESC", true},
		{"o.parquet", "SELECT a.user_id, b.title, count(*) AS n FROM plays a JOIN plays b ON a.id = b.id + 1 GROUP BY ALL", true},
		{"o.parquet", "SELECT user_id, rank() OVER (PARTITION BY user_id ORDER BY played) AS r, sum(id) OVER (PARTITION BY user_id ORDER BY played) AS s FROM plays", true},
		{"o.parquet", "SELECT user_id, string_agg(title, ',' ORDER BY title) AS l, list(id ORDER BY id) AS ids FROM plays GROUP BY ALL", false},
		{"o.csv.zst", "SELECT DISTINCT title, score FROM plays", true},
		{"o.parquet", "SELECT user_id, avg(score) AS a, stddev(score) AS d, entropy(country) AS e FROM plays GROUP BY ALL", false},
		{"o.parquet", "SELECT user_id, list(title) AS l, any_value(id) AS i, arg_max(id, score) AS b FROM plays GROUP BY ALL", false},
		{"o.csv", "SELECT id, title, row_number() OVER (PARTITION BY user_id ORDER BY title) AS n FROM plays QUALIFY n = 1", false},
		{"o.parquet", "SELECT * FROM plays ORDER BY country LIMIT 1000", false},
	} {
		want := ""
		for _, run := range []struct {
			threads int
			memory  int64
		}{{1, 0}, {4, 0}, {2, 80 << 20}} {
			if run.memory > 0 && !c.spill {
				continue
			}
			j := newJob(t, c.path, c.text, inputs...)
			j.Threads, j.Memory = run.threads, run.memory
			j.Statements[0].Output.PartSize = 1 << 20
			mustRun(t, j)
			got := digest(t, j.OutDir)
			if want == "" {
				want = got
			}
			if got != want {
				t.Errorf("%s: other bytes with %d threads and %d MB", c.text, run.threads, run.memory>>20)
			}
			os.RemoveAll(j.OutDir)
		}
	}
}

// ready is the writer of a statement that is about to run.
func ready(t *testing.T, text string, inputs ...Table) *writer {
	t.Helper()
	j := &job{Job: newJob(t, "o.parquet", text, inputs...)}
	j.Params = []Param{{"day", "DATE", "2017-06-15"}}
	reports, _, err := j.check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	w, err := j.writer(j.Statements[0], reports[0])
	if err != nil {
		t.Fatal(err)
	}
	w.session = s
	if err := j.prepare(t.Context(), s, j.Statements[0].Source, reports[0], w.files()); err != nil {
		t.Fatal(err)
	}
	if err := w.bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestIntegerSums looks at how a statement is run: sums of integers on all threads, others not.
func TestIntegerSums(t *testing.T) {
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS i, 1.5::DOUBLE AS d, 2.5::DECIMAL(5,2) AS c, 'a' AS s"))}}
	for text, want := range map[string]bool{
		"SELECT sum(i) AS a, avg(i * 2) AS b FROM x":                                     true,
		"SELECT s, sum(CASE WHEN s = 'a' THEN 1 ELSE 0 END) AS n FROM x GROUP BY s":      true,
		"SELECT sum(i) OVER (PARTITION BY s) AS a FROM x WHERE $day > DATE '2017-01-01'": true,
		"SELECT sum(d) AS a FROM x":                                                      false,
		"SELECT sum(i) AS a, avg(d) AS b FROM x":                                         false,
		"SELECT sum(i / 2) AS a FROM x":                                                  false,
		"SELECT sum(CASE WHEN s = 'a' THEN '0.1' ELSE '0.2' END::DOUBLE) AS a FROM x":    false,
	} {
		w := ready(t, text, x)
		if got := w.sumsIntegers(t.Context()); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// TestSerial looks at how a statement is run: on one thread where a type makes it depend on their number.
func TestSerial(t *testing.T) {
	x := Table{Name: "x", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS i, 'a' AS s"))}}
	d := Table{Name: "d", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS i, '-0'::DOUBLE AS d"))}}
	v := Table{Name: "v", Format: engine.CSV, Columns: []engine.Column{{Name: "v", Type: "INTERVAL"}}, Parts: []Part{part("", write(t, "v", "v\n1 month\n"))}}
	u := Table{Name: "u", Format: engine.CSV, Columns: []engine.Column{{Name: "u", Type: "UHUGEINT"}}, Parts: []Part{part("", write(t, "u", "u\n1\n"))}}
	for text, want := range map[string]bool{
		"SELECT DISTINCT s FROM x": false,
		"SELECT s, count(*) AS n, sum(i) AS t, max(i) AS m FROM x GROUP BY s":      false,
		"SELECT i FROM x UNION SELECT 2":                                           false,
		"SELECT d FROM d WHERE d > 1":                                              false,
		"SELECT d FROM d UNION ALL SELECT 1":                                       false,
		"SELECT DISTINCT d FROM d":                                                 true,
		"SELECT max(d)::VARCHAR AS m FROM d":                                       true,
		"SELECT d FROM d UNION SELECT 1":                                           true,
		"SELECT d FROM d EXCEPT SELECT 1":                                          true,
		"SELECT median(d) AS m FROM d":                                             true,
		"SELECT DISTINCT (v)::VARCHAR AS v FROM v":                                 true,
		"SELECT CAST(k AS VARCHAR) AS k FROM (SELECT DISTINCT i / -1 AS k FROM x)": true,
		"SELECT CAST(k AS VARCHAR) AS k FROM (SELECT DISTINCT sin(i) AS k FROM x)": true,
		"SELECT CAST(min(s::REAL) AS VARCHAR) AS k FROM x":                         true,
		"SELECT CAST(min(s::\"double\") AS VARCHAR) AS k FROM x":                   true,
		"SELECT CAST(min(INTERVAL (i) DAY) AS VARCHAR) AS k FROM x":                true,
		"SELECT CAST(sum(u) AS VARCHAR) AS n FROM u":                               true,
		"SELECT CAST(sum(i::UHUGEINT) AS VARCHAR) AS n FROM x":                     true,
		"SELECT CAST(sum(md5_number(s)) AS VARCHAR) AS n FROM x":                   true,
	} {
		w := ready(t, text, x, d, v, u)
		if got, err := w.serial(t.Context()); got != want || err != nil || w.report.Serial {
			t.Errorf("%s: %t %v", text, got, err)
		}
	}
}
