//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
)

// tableOf is a table of Parquet with the rows of a SELECT.
func tableOf(t *testing.T, text string) Table {
	return Table{Name: "plays", IsOutput: true, Format: engine.Parquet, Parts: []Part{part("", parquet(t, text))}}
}

func mustDiff(t *testing.T, a, b Table, key ...string) *compare.RowDiff {
	t.Helper()
	scratch := t.TempDir()
	d, err := Diff(t.Context(), DiffJob{A: a, B: b, Key: key, Scratch: scratch, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(scratch); len(left) > 0 {
		t.Errorf("scratch holds %v", left)
	}
	return d
}

// short writes a diff as a person would note it down.
func short(d *compare.RowDiff) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d/%d +%d -%d ~%d =%d", d.RowsA, d.RowsB, d.Added, d.Removed, d.Changed, d.Same)
	for _, c := range d.Columns {
		fmt.Fprintf(&b, " %s:%d", c.Name, c.Rows)
	}
	for _, c := range d.Converted {
		fmt.Fprintf(&b, " %s(%s,%s as %s)", c.Name, c.TypeA, c.TypeB, c.As)
	}
	for _, r := range d.AddedRows {
		b.WriteString("\n+ " + rowText(r))
	}
	for _, r := range d.RemovedRows {
		b.WriteString("\n- " + rowText(r))
	}
	for _, r := range d.ChangedRows {
		b.WriteString("\n~ " + rowText(r.Key))
		for _, c := range r.Changes {
			b.WriteString(" " + c.Column + ":" + textOr(c.Old) + ">" + textOr(c.New))
		}
	}
	return b.String()
}

func rowText(r compare.Row) string {
	var parts []string
	for _, v := range r {
		parts = append(parts, v.Column+"="+textOr(v.Text))
	}
	return strings.Join(parts, " ")
}

func textOr(s *string) string {
	if s == nil {
		return "NULL"
	}
	return *s
}

func TestDiff(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		key        []string
		want       string
	}{
		{"changed", "FROM (VALUES (1, 'a', 0.5::DOUBLE), (2, 'b', NULL), (3, 'c', 1)) t(id, s, x)", "FROM (VALUES (4, 'd', 9::DOUBLE), (2, 'b', 2), (1, 'A', 1)) t(id, s, x)", []string{"id"},
			"3/3 +1 -1 ~2 =0 s:1 x:2\n+ id=4 s=d x=9.0\n- id=3 s=c x=1.0\n~ id=1 s:a>A x:0.5>1.0\n~ id=2 x:NULL>2.0"},
		{"same in another order", "FROM (VALUES (1, NULL, 'nan'::DOUBLE), (2, 'b', 0)) t(id, s, x)", "FROM (VALUES (2, 'b', '-0'::DOUBLE), (1, NULL, 'nan'::DOUBLE)) t(id, s, x)", []string{"id"}, "2/2 +0 -0 ~0 =2"},
		{"two keys, in their own order", "FROM (VALUES (1, 'a', 1), (1, 'b', 2), (2, 'a', 3)) t(n, s, v)", "FROM (VALUES (1, 'a', 1), (1, 'b', 3), (2, 'a', 4)) t(n, s, v)", []string{"s", "n"},
			"3/3 +0 -0 ~2 =1 v:2\n~ s=a n=2 v:3>4\n~ s=b n=1 v:2>3"},
		{"smallest by value, not by text", "FROM range(3) t(n)", "FROM range(100) t(n)", []string{"n"}, "3/100 +97 -0 ~0 =3\n+ n=3\n+ n=4\n+ n=5\n+ n=6\n+ n=7"},
		{"other columns", "FROM (VALUES (1, 2, 3)) t(id, gone, v)", "FROM (VALUES (1, 3, 5), (2, 3, 6)) t(ID, v, fresh)", []string{"id"}, "1/2 +1 -0 ~0 =1\n+ ID=2 v=3 fresh=6"},
		{"only a key", "FROM (VALUES (1), (2)) t(id)", "FROM (VALUES (2), (3)) t(id)", []string{"id"}, "2/2 +1 -1 ~0 =1\n+ id=3\n- id=1"},
		{"a key of floats and dates", "FROM (VALUES ('nan'::DOUBLE, DATE '2017-06-15', 1)) t(x, d, v)", "FROM (VALUES ('nan'::DOUBLE, DATE '2017-06-15', 2)) t(x, d, v)", []string{"x", "d"},
			"1/1 +0 -0 ~1 =0 v:1\n~ x=nan d=2017-06-15 v:1>2"},
		{"widened", "FROM (VALUES (1, 2::INT, DATE '2017-06-15')) t(id, n, d)", "FROM (VALUES (1::BIGINT, 2::BIGINT, TIMESTAMP '2017-06-15 00:00:00')) t(id, n, d)", []string{"id"},
			"1/1 +0 -0 ~0 =1 id(INTEGER,BIGINT as BIGINT) n(INTEGER,BIGINT as BIGINT) d(DATE,TIMESTAMP as TIMESTAMP)"},
		{"numbers", "FROM (VALUES (1, 2::BIGINT, 9::BIGINT, 1.50::DECIMAL(9,2))) t(id, x, u, d)", "FROM (VALUES (1, 2::DOUBLE, 9::UBIGINT, 1.5::DECIMAL(9,4))) t(id, x, u, d)", []string{"id"},
			"1/1 +0 -0 ~0 =1 x(BIGINT,DOUBLE as DOUBLE) u(BIGINT,UBIGINT as DECIMAL(20,0)) d(DECIMAL(9,2),DECIMAL(9,4) as DECIMAL(11,4))"},
		{"no common type", "FROM (VALUES (1, 7, 'x')) t(id, s, d)", "FROM (VALUES ('1', '7', DATE '2017-06-15')) t(id, s, d)", []string{"id"},
			"1/1 +0 -0 ~1 =0 d:1 id(INTEGER,VARCHAR as VARCHAR) s(INTEGER,VARCHAR as VARCHAR) d(VARCHAR,DATE as VARCHAR)\n~ id=1 d:x>2017-06-15"},
		{"nested", "SELECT 1 AS id, [1, NULL] AS l, {'a': 1, 'b': NULL} AS st, MAP {'k': 1} AS m, 'x'::BLOB AS z",
			"SELECT 1 AS id, [1, NULL] AS l, {'a': 1, 'b': 2} AS st, MAP {'k': 2} AS m, '\\xAA'::BLOB AS z", []string{"id"},
			"1/1 +0 -0 ~1 =0 st:1 m:1 z:1\n~ id=1 st:{'a': 1, 'b': NULL}>{'a': 1, 'b': 2} m:{k=1}>{k=2} z:x>\\xAA"},
		{"names of its own", `SELECT 1 AS s, 2 AS f, 3 AS x, 4 AS a, 5 AS b, 6 AS k0, 7 AS c0, 8 AS "found ""q""", {'s': 1} AS j, 1 AS side, 1 AS d0, 1 AS held`,
			`SELECT 1 AS s, 3 AS f, 3 AS x, 4 AS a, 5 AS b, 6 AS k0, 7 AS c0, 9 AS "found ""q""", {'s': 1} AS j, 1 AS side, 1 AS d0, 1 AS held`, []string{"s", "x"},
			"1/1 +0 -0 ~1 =0 f:1 found \"q\":1\n~ s=1 x=3 f:2>3 found \"q\":8>9"},
		{"whole rows", "FROM (VALUES (1, 'a'), (1, 'a'), (1, 'a'), (2, NULL), (3, 'c')) t(n, s)", "FROM (VALUES (1, 'a'), (2, NULL), (2, NULL), (NULL, NULL), (NULL, 'c')) t(n, s)", nil,
			"5/5 +3 -3 ~0 =2\n+ n=2 s=NULL\n+ n=NULL s=c\n+ n=NULL s=NULL\n- n=1 s=a\n- n=3 s=c"},
		{"whole rows of other columns", "FROM (VALUES (1, 'a')) t(n, gone)", "FROM (VALUES (1::BIGINT, 'b')) t(n, fresh)", nil, "1/1 +0 -0 ~0 =1 n(INTEGER,BIGINT as BIGINT)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := tableOf(t, c.a), tableOf(t, c.b)
			if got := short(mustDiff(t, a, b, c.key...)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestDiffText(t *testing.T) {
	columns := []engine.Column{{Name: "id", Type: "BIGINT", NotNull: true}, {Name: "s", Type: "VARCHAR"}}
	csv := Table{Name: "x", Format: engine.CSV, Columns: columns, Parts: []Part{part("", write(t, "a", "id,s\n1,\n2,b\n"))}}
	json := Table{Name: "x", Format: engine.NDJSON, Columns: columns, Parts: []Part{part("", write(t, "b", "\ufeff{\"id\":1,\"s\":\"\"}\n{\"id\":2,\"s\":\"b\"}\n"))}}
	if got := short(mustDiff(t, csv, json, "id")); got != "2/2 +0 -0 ~1 =1 s:1\n~ id=1 s:NULL>" {
		t.Error(got)
	}
	empty := Table{Name: "x", Format: engine.Parquet, Columns: columns}
	if got := short(mustDiff(t, csv, empty, "id")); got != "2/0 +0 -2 ~0 =0\n- id=1 s=NULL\n- id=2 s=b" {
		t.Error(got)
	}
	if got := short(mustDiff(t, empty, empty)); got != "0/0 +0 -0 ~0 =0" {
		t.Error(got)
	}
	csv.Parts[0].Files = []string{write(t, "c", "id,s\n1,\nx,b\n")}
	_, err := Diff(t.Context(), DiffJob{A: json, B: csv, Key: []string{"id"}, Scratch: t.TempDir()})
	if err == nil || !strings.Contains(err.Error(), `column "id" is BIGINT, and a row has x`) {
		t.Error(err)
	}
}

func TestDiffRefuses(t *testing.T) {
	one := tableOf(t, "SELECT 1 AS id, 'a' AS s")
	twice := tableOf(t, "SELECT * FROM (VALUES (1, 'a'), (1, 'b'), (2, 'c'), (12, 'd'), (12, 'e'), (12, 'e'), (NULL, 'f')) t(id, s)")
	nulls := tableOf(t, "SELECT * FROM (VALUES (1, 'a'), (1, NULL), (2, NULL)) t(id, s)")
	other := tableOf(t, "SELECT 1 AS n")
	for _, c := range []struct {
		a, b Table
		key  []string
		want string
	}{
		{one, twice, []string{"id"}, `B, output "plays": the key (id) does not tell rows apart: 2 values are there more than once, such as 1; 12, and 1 row has a null in it`},
		{twice, one, []string{"id", "s"}, `A, output "plays": the key (id, s) does not tell rows apart: 1 value is there more than once, such as 12, e, and 1 row has a null`},
		{one, nulls, []string{"id", "s"}, `B, output "plays": the key (id, s) does not tell rows apart: 2 rows have a null in it`},
		{one, one, []string{"idd"}, `A, output "plays": there is no column "idd", which is in the key (did you mean "id"?`},
		{one, other, []string{"id"}, `B, output "plays": there is no column "id"`},
		{one, one, []string{"id", "ID"}, `the key names column "ID" twice`},
		{one, other, nil, "there is no column that both A and B have"},
	} {
		d, err := Diff(t.Context(), DiffJob{A: c.a, B: c.b, Key: c.key, Scratch: t.TempDir()})
		if d != nil || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got  %v, %v\nwant %s", d, err, c.want)
		}
	}
}

func TestDiffSamples(t *testing.T) {
	a, b := tableOf(t, "SELECT range AS id, 1 AS v FROM range(100)"), tableOf(t, "SELECT range + 50 AS id, 2 AS v FROM range(100)")
	for samples, want := range map[int]int{0: DefaultSamples, 1: 1, 60: 50, -1: 0} {
		for _, key := range [][]string{{"id"}, nil} {
			d, err := Diff(t.Context(), DiffJob{A: a, B: b, Key: key, Samples: samples, Scratch: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			rows := want
			if key == nil && samples == 60 {
				rows = 60
			}
			if len(d.AddedRows) != rows || len(d.RemovedRows) != rows || key != nil && len(d.ChangedRows) != want {
				t.Errorf("%d by %v: %d added, %d removed, %d changed", samples, key, len(d.AddedRows), len(d.RemovedRows), len(d.ChangedRows))
			}
		}
	}
}

func TestDiffCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	one := tableOf(t, "SELECT 1 AS id")
	if _, err := Diff(ctx, DiffJob{A: one, B: one, Scratch: t.TempDir()}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// randomRow is a row of a small table, with few values, so that rows meet and repeat.
type randomRow struct {
	id   int
	n, s *string
}

func randomRows(r *rand.Rand, unique bool) (rows []randomRow) {
	pick := func(of string) *string {
		if i := r.IntN(len(of) + 1); i < len(of) {
			s := of[i : i+1]
			return &s
		}
		return nil
	}
	for id := range 12 {
		if !unique {
			id = r.IntN(3)
		}
		if r.IntN(3) > 0 {
			rows = append(rows, randomRow{id, pick("12"), pick("ab")})
		}
	}
	r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	return rows
}

func (r randomRow) row() compare.Row {
	id := strconv.Itoa(r.id)
	return compare.Row{{Column: "id", Text: &id}, {Column: "n", Text: r.n}, {Column: "s", Text: r.s}}
}

// asTable writes rows as NDJSON, in one to three files.
func asTable(t *testing.T, r *rand.Rand, rows []randomRow) Table {
	files := make([]strings.Builder, 1+r.IntN(3))
	for _, row := range rows {
		b, err := json.Marshal(map[string]any{"id": row.id, "n": row.n, "s": row.s})
		if err != nil {
			t.Fatal(err)
		}
		files[r.IntN(len(files))].WriteString(string(b) + "\n")
	}
	p := Part{}
	dir := t.TempDir()
	for i := range files {
		path := filepath.Join(dir, fmt.Sprint(i))
		if err := os.WriteFile(path, []byte(files[i].String()), 0o666); err != nil {
			t.Fatal(err)
		}
		p.Files = append(p.Files, path)
	}
	return Table{Name: "x", Format: engine.NDJSON, Parts: []Part{p}, Columns: []engine.Column{{Name: "id", Type: "BIGINT"}, {Name: "n", Type: "INTEGER"}, {Name: "s", Type: "VARCHAR"}}}
}

// naive compares rows by a key as one would by hand. There are fewer rows than samples.
func naive(a, b []randomRow) *compare.RowDiff {
	d := &compare.RowDiff{Key: []string{"id"}, RowsA: int64(len(a)), RowsB: int64(len(b))}
	before, after := map[int]compare.Row{}, map[int]compare.Row{}
	for _, r := range a {
		before[r.id] = r.row()
	}
	for _, r := range b {
		after[r.id] = r.row()
	}
	counts := [3]int64{}
	for _, id := range slices.Sorted(maps.Keys(after)) {
		x, y := before[id], after[id]
		if x == nil {
			d.Added++
			d.AddedRows = append(d.AddedRows, y)
			continue
		}
		row := compare.ChangedRow{Key: y[:1]}
		for k := range y {
			if textOr(x[k].Text) != textOr(y[k].Text) {
				counts[k]++
				row.Changes = append(row.Changes, compare.ValueChange{Column: y[k].Column, Old: x[k].Text, New: y[k].Text})
			}
		}
		if row.Changes == nil {
			d.Same++
			continue
		}
		d.Changed++
		d.ChangedRows = append(d.ChangedRows, row)
	}
	for _, id := range slices.Sorted(maps.Keys(before)) {
		if after[id] == nil {
			d.Removed++
			d.RemovedRows = append(d.RemovedRows, before[id])
		}
	}
	for k, column := range []string{"id", "n", "s"} {
		if counts[k] > 0 {
			d.Columns = append(d.Columns, compare.ColumnDiff{Name: column, Rows: counts[k]})
		}
	}
	return d
}

// naiveWhole compares whole rows.
func naiveWhole(a, b []randomRow) *compare.RowDiff {
	d := &compare.RowDiff{RowsA: int64(len(a)), RowsB: int64(len(b))}
	counts := map[string][2]int64{}
	rows := map[string]compare.Row{}
	for side, list := range [][]randomRow{a, b} {
		for _, r := range list {
			k := rowText(r.row())
			n := counts[k]
			n[side]++
			counts[k], rows[k] = n, r.row()
		}
	}
	nullsLast := func(s *string) string { return strings.Replace(textOr(s), "NULL", "~", 1) }
	keys := slices.SortedFunc(maps.Keys(rows), func(x, y string) int {
		return cmp.Or(cmp.Compare(*rows[x][0].Text, *rows[y][0].Text), cmp.Compare(nullsLast(rows[x][1].Text), nullsLast(rows[y][1].Text)),
			cmp.Compare(nullsLast(rows[x][2].Text), nullsLast(rows[y][2].Text)))
	})
	for _, k := range keys {
		x, y := counts[k][0], counts[k][1]
		d.Same += min(x, y)
		d.Added += max(0, y-x)
		d.Removed += max(0, x-y)
		if y > x {
			d.AddedRows = append(d.AddedRows, rows[k])
		}
		if x > y {
			d.RemovedRows = append(d.RemovedRows, rows[k])
		}
	}
	return d
}

func mirrored(d *compare.RowDiff) *compare.RowDiff {
	m := *d
	m.RowsA, m.RowsB, m.Added, m.Removed, m.AddedRows, m.RemovedRows = d.RowsB, d.RowsA, d.Removed, d.Added, d.RemovedRows, d.AddedRows
	m.ChangedRows = nil
	for _, r := range d.ChangedRows {
		r.Changes = slices.Clone(r.Changes)
		for k, c := range r.Changes {
			r.Changes[k].Old, r.Changes[k].New = c.New, c.Old
		}
		m.ChangedRows = append(m.ChangedRows, r)
	}
	return &m
}

func TestDiffRandom(t *testing.T) {
	n := 40
	if testing.Short() {
		n = 5
	}
	for seed := range n {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		keyed := seed%2 == 0
		a, b := randomRows(r, keyed), randomRows(r, keyed)
		job := DiffJob{A: asTable(t, r, a), B: asTable(t, r, b), Samples: 100, Scratch: t.TempDir(), Threads: 1 + seed%3}
		want := naiveWhole(a, b)
		if keyed {
			job.Key = []string{"id"}
			want = naive(a, b)
		}
		got, err := Diff(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		if short(got) != short(want) {
			t.Errorf("seed %d: got\n%s\nwant\n%s", seed, short(got), short(want))
		}
		job.A, job.B = job.B, job.A
		back, err := Diff(t.Context(), job)
		if err != nil {
			t.Fatal(err)
		}
		if short(back) != short(mirrored(got)) {
			t.Errorf("seed %d: the other way round\n%s\nwant\n%s", seed, short(back), short(mirrored(got)))
		}
	}
}

// TestDiffSpills has far too little memory for what it compares, and must find the same.
func TestDiffSpills(t *testing.T) {
	if testing.Short() {
		t.Skip("a million rows")
	}
	text := "SELECT range AS id, md5((range * %d)::VARCHAR) AS s, repeat('x', 40) || range AS long FROM range(%d, %d)"
	a, b := tableOf(t, fmt.Sprintf(text, 1, 0, 500_000)), tableOf(t, fmt.Sprintf(text, 1, 1000, 500_500)+" UNION ALL SELECT -1, NULL, 'y'")
	for _, key := range [][]string{{"id"}, nil} {
		var all []string
		for _, memory := range []int64{0, 180 << 20} {
			d, err := Diff(t.Context(), DiffJob{A: a, B: b, Key: key, Scratch: t.TempDir(), Threads: 2, Memory: memory})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, short(d))
		}
		if all[0] != all[1] || !strings.HasPrefix(all[0], "500000/499501 +501 -1000 ~0 =499000\n+ id=-1 s=NULL") {
			t.Errorf("%s\n%s", all[0], all[1])
		}
	}
}
