//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// outputOf is an output that holds the rows of a SELECT.
func outputOf(t *testing.T, text string) Table {
	t.Helper()
	return Table{Name: "o", IsOutput: true, Format: engine.Parquet, Parts: []Part{part("", parquet(t, text))}}
}

func TestCheckKey(t *testing.T) {
	odd := `"a ""b"", 'c'"`
	for _, c := range []struct {
		text string
		key  []string
		want KeyReport
	}{
		{"SELECT range AS id FROM range(1000)", []string{"id"}, KeyReport{Rows: 1000}},
		{"SELECT 1 AS id WHERE false", []string{"id"}, KeyReport{}},
		{"SELECT range % 900 AS id FROM range(1000)", []string{"ID"}, KeyReport{1000, 100, 0, []string{"(ID = 0)", "(ID = 1)", "(ID = 2)"}}},
		{"SELECT range // 2 AS a, DATE '2017-06-01' + (range % 2)::INT AS b FROM range(10)", []string{"a", "b"}, KeyReport{Rows: 10}},
		{"SELECT 5 AS id, DATE '2017-06-01' AS day FROM range(3)", []string{"id", "day"}, KeyReport{3, 2, 0, []string{"(id = 5, day = 2017-06-01)"}}},
		{"SELECT CASE WHEN range > 2 THEN range END AS id, 'x' AS s FROM range(5)", []string{"s", "id"},
			KeyReport{5, 0, 3, []string{"(s = x, id = NULL)"}}},
		{"SELECT unnest(['', '', 'b' || chr(10), 'b' || chr(10)]) AS s", []string{"s"}, KeyReport{4, 2, 0, []string{"(s = )", `(s = "b\n")`}}},
		{"SELECT 1 AS " + odd + " FROM range(2)", []string{`a "b", 'c'`}, KeyReport{2, 1, 0, []string{`(a "b", 'c' = 1)`}}},
	} {
		for _, threads := range []int{1, 2} {
			got, err := CheckKey(t.Context(), outputOf(t, c.text), c.key, t.TempDir(), threads, 0)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %+v %v", c.text, got, err)
			}
		}
	}
	_, err := CheckKey(t.Context(), outputOf(t, "SELECT 1 AS event_id"), []string{"evnt_id"}, t.TempDir(), 0, 0)
	expect(t, err, `output "o": there is no column "evnt_id"`, `did you mean "event_id"?`)
}

func TestCheckReference(t *testing.T) {
	customers := outputOf(t, "SELECT range AS id, range::INTEGER AS small, 'c' || range AS s FROM range(100)")
	for _, c := range []struct {
		text, to string
		want     OrphanReport
	}{
		{"SELECT range % 100 AS c FROM range(1000)", "id", OrphanReport{}},
		{"SELECT (range % 50)::INTEGER AS c FROM range(1000)", "ID", OrphanReport{}},
		{"SELECT range % 50 AS c FROM range(1000)", "small", OrphanReport{}},
		{"SELECT CASE WHEN range % 2 = 0 THEN NULL ELSE range END AS c FROM range(110)", "id", OrphanReport{5, []string{"101", "103", "105"}}},
		{"SELECT 'c' || range AS c FROM range(98, 103)", "s", OrphanReport{3, []string{"c100", "c101", "c102"}}},
		{"SELECT 200 AS c FROM range(7)", "id", OrphanReport{7, []string{"200"}}},
		{"SELECT 200 AS c WHERE false", "id", OrphanReport{}},
	} {
		for _, threads := range []int{1, 2} {
			got, err := CheckReference(t.Context(), outputOf(t, c.text), "c", customers, c.to, t.TempDir(), threads, 0)
			if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("%s: %+v %v", c.text, got, err)
			}
		}
	}
	self := outputOf(t, "SELECT range AS id, range + 1 AS next FROM range(10)")
	if got, err := CheckReference(t.Context(), self, "next", self, "id", t.TempDir(), 0, 0); err != nil || got.Rows != 1 || !slices.Equal(got.Samples, []string{"10"}) {
		t.Errorf("the table itself: %+v %v", got, err)
	}
	none := Table{Name: "none", Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}}
	if got, err := CheckReference(t.Context(), self, "id", none, "id", t.TempDir(), 0, 0); err != nil || got.Rows != 10 {
		t.Errorf("an empty table: %+v %v", got, err)
	}
	check := func(t2 Table, column, other string) error {
		_, err := CheckReference(t.Context(), t2, column, customers, other, t.TempDir(), 0, 0)
		return err
	}
	expect(t, check(self, "nxt", "id"), `there is no column "nxt"`, `did you mean "next"?`)
	expect(t, check(self, "next", "nope"), `there is no column "nope"`)
	expect(t, check(self, "next", "s"), `column "next" is BIGINT`, `column "s"`, "is VARCHAR")
}

// TestLargeKeys has more keys than fit into memory at once.
func TestLargeKeys(t *testing.T) {
	if testing.Short() {
		t.Skip("3,000,000 rows")
	}
	big := outputOf(t, "SELECT 'a long prefix of a key ' || range AS id FROM range(3000000) UNION ALL SELECT 'a long prefix of a key 7'")
	want := KeyReport{3000001, 1, 0, []string{"(id = a long prefix of a key 7)"}}
	for _, threads := range []int{1, 2} {
		got, err := CheckKey(t.Context(), big, []string{"id"}, t.TempDir(), threads, 150<<20)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v %v", got, err)
		}
		if r, err := CheckReference(t.Context(), big, "id", big, "id", t.TempDir(), threads, 150<<20); err != nil || r.Rows != 0 {
			t.Errorf("%+v %v", r, err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := CheckKey(ctx, big, []string{"id"}, t.TempDir(), 2, 0); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 2*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

func TestKeyOfText(t *testing.T) {
	d := Table{Name: "o", IsOutput: true, Format: engine.CSV, Columns: []engine.Column{{Name: "d", Type: "DOUBLE"}}, Parts: []Part{part("", write(t, "blob", "d\n0\n-0\nnan\n1\nnan\n"))}}
	got, err := CheckKey(t.Context(), d, []string{"d"}, t.TempDir(), 2, 0)
	if want := (KeyReport{5, 2, 0, []string{"(d = -0.0)", "(d = nan)"}}); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v %v", got, err)
	}
	x := Table{Name: "o", IsOutput: true, Format: engine.CSV, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}}, Parts: []Part{part("", write(t, "blob", "id\n1\nx\n"))}}
	_, err = CheckKey(t.Context(), x, []string{"id"}, t.TempDir(), 0, 0)
	expect(t, err, `output "o", line 3`)
}
