//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

func metric(name, sql string) *engine.Metric {
	return &engine.Metric{Name: name, SQL: sql, Range: engine.Range{File: "p/pipeline.hcl", Start: engine.Pos{Line: 7, Column: 3}}}
}

func metricsOf(t *testing.T, metrics []*engine.Metric, tables ...Table) ([]*float64, error) {
	t.Helper()
	return Metrics(t.Context(), MetricsJob{Tables: tables, Metrics: metrics, Scratch: t.TempDir(), Params: []Param{{"day", "DATE", "2017-06-15"}}, Threads: 2})
}

// numbers writes values as a test wants them.
func numbers(values []*float64) string {
	var out []string
	for _, v := range values {
		if v == nil {
			out = append(out, "null")
			continue
		}
		out = append(out, fmt.Sprint(*v))
	}
	return strings.Join(out, " ")
}

func TestMetrics(t *testing.T) {
	o := outputOf(t, `SELECT range AS id, range % 10 = 0 AS is_spam, range / 3 AS d, DATE '2017-06-14' + (range % 3)::INT AS day, range AS "select",
		CASE WHEN range > 500 THEN 1 END AS gap FROM range(1000)`)
	plays := Table{Name: "plays", Format: engine.CSV, Columns: []engine.Column{{Name: "n", Type: "BIGINT"}}, Parts: []Part{part("day=2017-06-01", write(t, "blob", "n\n1\n2\n3\n4\n"))}}
	for text, want := range map[string]string{
		"avg(is_spam::INT)":                       "0.1",
		"count(*)":                                "1000",
		"max(id) > 10":                            "1",
		"bool_and(is_spam) -- a comment":          "0",
		"sum(d)":                                  "166500",
		"sum(id) / 7":                             "71357.1429",
		"sum(gap)":                                "499",
		"max(NULL::INT)":                          "null",
		"count(*) FILTER (WHERE day = $day)":      "333",
		`max("select")`:                           "999",
		"max(o.id)":                               "999",
		"(count(*) - count(gap)) / count(*)":      "0.501",
		"min(-0.0::DOUBLE)":                       "0",
		"sum(id::DECIMAL(38,0)) * 1000000":        "4.995e+11",
		"max(0.1::FLOAT)":                         "0.1",
		"count(*) / (SELECT count(*) FROM plays)": "250",
		"count(DISTINCT day)":                     "3",
		"median(id)":                              "499.5",
		"1":                                       "1",
		"SELECT count(*) FROM o JOIN plays ON n = id":        "4",
		"WITH a AS (FROM plays) SELECT sum(n) FROM a":        "10",
		"FROM plays SELECT max(n)":                           "4",
		"SELECT NULL":                                        "null",
		"SELECT max(n) AS \"a \"\" b\" FROM plays;":          "4",
		"SELECT count(*) FROM o WHERE day < $day":            "334",
		"SELECT n FROM Plays ORDER BY n DESC LIMIT 1":        "4",
		"quantile_cont(d, 0.9) FILTER (WHERE id % 2 = 0)":    "299.4",
		"string_agg(id::VARCHAR, '' ORDER BY id)[:5]::INT":   "1234",
		"max(id) FILTER (WHERE id < 0)":                      "null",
		"sum(CASE WHEN \"d\" > 1 THEN 1 ELSE 0 END)::DOUBLE": "996",
	} {
		got, err := metricsOf(t, []*engine.Metric{metric("m", text)}, o, plays)
		if err != nil || numbers(got) != want {
			t.Errorf("%s: %s %v", text, numbers(got), err)
		}
	}
	empty := o
	empty.Parts, empty.Columns = nil, []engine.Column{{Name: "id", Type: "BIGINT"}}
	if got, err := metricsOf(t, []*engine.Metric{metric("a", "avg(id)"), metric("n", "count(*)")}, empty); err != nil || numbers(got) != "null 0" {
		t.Errorf("of no rows: %s %v", numbers(got), err)
	}
	if got, err := metricsOf(t, nil, o); err != nil || len(got) != 0 {
		t.Errorf("none: %v %v", got, err)
	}
}

func TestMetricsTogether(t *testing.T) {
	o := outputOf(t, "SELECT range AS id, (hash(range) % 1000) / 7.0::DOUBLE AS d FROM range(300000)")
	in := Table{Name: "O", Format: engine.Parquet, Parts: []Part{part("", parquet(t, "SELECT 1 AS x"))}}
	metrics := []*engine.Metric{metric("a", "sum(d)"), metric("b", "count(*)"), metric("c", "SELECT max(id) FROM o"), metric("d", "avg(DISTINCT d)"), metric("e", "max(id)"),
		metric("f", "stddev(d)"), metric("g", "max(d)"), metric("h", "SELECT sum(s) FROM (SELECT avg(d) AS s FROM o GROUP BY id % 100)")}
	want := ""
	for _, threads := range []int{1, 2, 4, 4} {
		j := MetricsJob{Tables: []Table{o, in}, Metrics: metrics, Scratch: t.TempDir(), Threads: threads}
		got, err := Metrics(t.Context(), j)
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = numbers(got)
			for i, m := range metrics {
				alone, err := metricsOf(t, []*engine.Metric{m}, o)
				if err != nil || *alone[0] != *got[i] {
					t.Errorf("%s alone: %s %v, want %s", m.SQL, numbers(alone), err, numbers(got))
				}
			}
		}
		if numbers(got) != want {
			t.Errorf("with %d threads: %s, want %s", threads, numbers(got), want)
		}
	}
}

// TestBatches looks at which metrics are computed together.
func TestBatches(t *testing.T) {
	o := outputOf(t, "SELECT range AS id, range / 2 AS d FROM range(10)")
	spec := MetricsJob{Tables: []Table{o}, Metrics: []*engine.Metric{metric("a", "sum(d)"), metric("b", "sum(id)"), metric("c", "avg(d)"), metric("d", "count(id)"),
		metric("e", "avg(DISTINCT d)"), metric("f", "SELECT count(*) FROM o"), metric("g", "SELECT sum(d) FROM o")}}
	j := &metricsJob{job: &job{spill: t.TempDir()}, spec: spec}
	if err := j.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	s, err := j.open(t.Context(), j.measures, false)
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	batches, err := j.batches(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, b := range batches {
		for _, d := range b {
			got += d.Name
			if d.serial {
				got += "!"
			}
		}
		got += " "
	}
	if got != "bd a!c! e! f g! " {
		t.Errorf("%s", got)
	}
}

func TestMetricErrors(t *testing.T) {
	o := outputOf(t, "SELECT range AS id, 'x' AS s, CASE WHEN range = 1 THEN 'nan' ELSE '1' END::DOUBLE AS d FROM range(3)")
	bad := Table{Name: "bad", Format: engine.CSV, Columns: []engine.Column{{Name: "n", Type: "BIGINT"}}, Parts: []Part{part("day=2017-06-01", write(t, "blob", "n\n1\nx\n"))}}
	for text, want := range map[string]string{
		"avg(nope)":                           "nope",
		"avg(d)":                              "its value is nan",
		"sum(d * 'inf'::DOUBLE)":              "its value is nan",
		"max(1e308::DOUBLE) * 'inf'::DOUBLE":  "its value is inf",
		"max(s)":                              "its type is VARCHAR, which is no number",
		"list(id)":                            "its type is BIGINT[]",
		"id":                                  `column "id" stands outside of an aggregate`,
		"sum(id) OVER ()":                     "outside of an aggregate",
		"max(s::INT)":                         "'x'",
		"unnest([1, 2])":                      "more than one row",
		"max(id), min(id)":                    "which is no number",
		"sum(COLUMNS('id|d'))":                "it has 2 columns",
		"SELECT id FROM o":                    "more than one row",
		"SELECT id FROM o WHERE id > 5":       "no row",
		"SELECT min(id), max(id) FROM o":      "it has 2 columns",
		"SELECT max(n) FROM bad":              `input "bad" at day=2017-06-01, line 3`,
		"SELECT max(n) FROM nope":             `there is no table "nope"`,
		"1) FROM range(3) UNION SELECT (2":    "closes a bracket",
		"max((id)":                            "does not close a bracket",
		"max(id); SELECT 1":                   `does not hold ";"`,
		"SELECT 1; SELECT 2":                  "more than one statement",
		"max('x":                              "has no end",
		"avg(id) /* x":                        "has no end",
		"":                                    "no statement",
		"max(random())":                       "random() is not allowed",
		"SELECT count(*) FROM read_csv('x')":  "read_csv() is not allowed",
		"SELECT count(*) FROM '/etc/passwd'":  "can't be read by its path",
		"max($dya)":                           `did you mean "$day"?`,
		"approx_count_distinct(id)":           "count(DISTINCT",
		"COPY o TO 'x'":                       "syntax error",
		"FROM o SELECT count(*) AS n, 1 AS m": "it has 2 columns",
		"avg(id) FROM o WHERE now() > 1":      "syntax error",
	} {
		// The metrics beside it have a value, and are not what is named.
		_, err := metricsOf(t, []*engine.Metric{metric("good", "max(id)"), metric("wrong", text), metric("fine", "avg(id)")}, o, bad)
		if err == nil {
			t.Errorf("%s: no error", text)
			continue
		}
		ps := Problems(err)
		if len(ps) != 1 || !strings.HasPrefix(ps[0].Summary, `metric "wrong": `) || ps[0].Range.Start.Line != 7 || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	_, err := metricsOf(t, []*engine.Metric{metric("a", "max(s::INT)"), metric("b", "min(id)"), metric("c", "avg(d)")}, o)
	if ps := Problems(err); len(ps) != 2 || !strings.HasPrefix(ps[0].Summary, `metric "a"`) || !strings.HasPrefix(ps[1].Summary, `metric "c"`) {
		t.Errorf("%v", err)
	}
	missing := Table{Name: "bad", Format: engine.Parquet, Parts: []Part{part("", write(t, "junk", "junk"))}}
	_, err = metricsOf(t, []*engine.Metric{metric("good", "max(id)"), metric("wrong", "SELECT count(*) FROM bad")}, o, missing)
	expect(t, err, `metric "wrong": input "bad" can't be read`)
}

func TestCheckMetric(t *testing.T) {
	for text, want := range map[string]string{
		"avg(x)":                            "",
		"SELECT count(*) FROM plays, o":     "",
		"max(x) FILTER (WHERE day = $day)":  "",
		"max(now())":                        "7:3 error",
		"SELECT x FROM plays LIMIT 1":       "7:3 warning",
		"SELECT now(), random() FROM nope":  "7:3 error, 7:3 error, 7:3 error",
		"SELECT x FROM nope.plays, \"o\" u": "7:3 error",
	} {
		var got []string
		for _, p := range CheckMetric(t.Context(), metric("m", text), []string{"o", "plays"}, []string{"day"}) {
			got = append(got, fmt.Sprintf("%d:%d %s", p.Range.Start.Line, p.Range.Start.Column, p.Severity))
			if !strings.HasPrefix(p.Summary, `metric "m": `) || strings.Contains(p.Summary+p.Hint, "target") {
				t.Errorf("%s: %+v", text, p)
			}
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

func TestMetricsLimits(t *testing.T) {
	o := outputOf(t, "SELECT range AS id FROM range(10)")
	j := MetricsJob{Tables: []Table{o}, Scratch: t.TempDir(), Threads: 2, Memory: 64 << 20, Metrics: []*engine.Metric{
		metric("good", "count(*)"), metric("wrong", "len(list(id)) + (SELECT len(list(a.range::VARCHAR)) FROM range(20000000) a)")}}
	_, err := Metrics(t.Context(), j)
	expect(t, err, `metric "wrong": out of memory`)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	j.Metrics[1].SQL = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 1"
	start := time.Now()
	if _, err := Metrics(ctx, j); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
