package fingerprint

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// randomColumns are those of the tables that these tests make: by name, type and how a value is made. A quarter of the values of the second half are NULL.
var randomColumns = []struct {
	name, typ string
	value     func(r *rand.Rand) string
}{
	{"few", "INTEGER", func(r *rand.Rand) string { return fmt.Sprint(r.IntN(7) - 3) }},
	{"many", "BIGINT", func(r *rand.Rand) string { return fmt.Sprint(r.Int64N(1<<60) - 1<<58) }},
	{"small", "UTINYINT", func(r *rand.Rand) string { return fmt.Sprint(r.IntN(256)) }},
	{"big", "UBIGINT", func(r *rand.Rand) string { return fmt.Sprint(r.Uint64()) }},
	{"real", "DOUBLE", func(r *rand.Rand) string { return fmt.Sprint(r.NormFloat64() * 1e3) }},
	{"odd", "DOUBLE", func(r *rand.Rand) string {
		return []string{"nan", "inf", "-inf", "-0.0", "0.0", "1e308", "-1e308", "5e-324", "1.5"}[r.IntN(9)]
	}},
	{"single", "FLOAT", func(r *rand.Rand) string { return fmt.Sprint(float32(r.Float64())) }},
	{"price", "DECIMAL(9,2)", func(r *rand.Rand) string { return fmt.Sprintf("%.2f", r.Float64()*1e5) }},
	{"wealth", "DECIMAL(38,10)", func(r *rand.Rand) string { return fmt.Sprintf("-%d.%010d", r.Uint64(), r.Int64N(1e10)) }},
	{"flag", "BOOLEAN", func(r *rand.Rand) string { return fmt.Sprint(r.IntN(3) == 0) }},
	{"day", "DATE", func(r *rand.Rand) string { return dateText(int64(r.IntN(20000) - 5000)) }},
	{"time", "TIMESTAMP", func(r *rand.Rand) string { return kindOf("TIMESTAMP").timestampText(r.Int64N(1e15)) }},
	{"name", "VARCHAR", func(r *rand.Rand) string { return []string{"a", "ä", "日本語", "", `"`, "x,y", "z\nz"}[r.IntN(7)] }},
	{"long", "VARCHAR", func(r *rand.Rand) string { return strings.Repeat("ä", r.IntN(90)) + fmt.Sprint(r.IntN(1e6)) }},
}

// null is NULL in the rows of these tests.
const null = "\x00"

// randomTable makes rows with one value a column.
func randomTable(r *rand.Rand, rows int) [][]string {
	out := make([][]string, rows)
	for k := range out {
		for i, c := range randomColumns {
			v := c.value(r)
			if i >= len(randomColumns)/2 && r.IntN(4) == 0 {
				v = null
			}
			out[k] = append(out[k], v)
		}
	}
	return out
}

func declared() (out []engine.Column) {
	for _, c := range randomColumns {
		out = append(out, engine.Column{Name: c.name, Type: c.typ})
	}
	return out
}

// writeRows writes rows to files of CSV or NDJSON, which are cut at these rows.
func writeRows(t testing.TB, format engine.Format, rows [][]string, cuts ...int) Table {
	t.Helper()
	dir := t.TempDir()
	table := Table{Format: format, Columns: declared()}
	from := 0
	for k, to := range append(cuts, len(rows)) {
		path := filepath.Join(dir, fmt.Sprint(k))
		if err := os.WriteFile(path, []byte(textOf(format, rows[from:to])), 0o666); err != nil {
			t.Fatal(err)
		}
		table.Files = append(table.Files, File{fmt.Sprintf("raw/%d", k), path})
		from = to
	}
	return table
}

func textOf(format engine.Format, rows [][]string) string {
	var b strings.Builder
	for i, c := range randomColumns {
		if format == engine.CSV {
			b.WriteString(c.name + map[bool]string{true: "\n", false: ","}[i+1 == len(randomColumns)])
		}
	}
	for _, row := range rows {
		var cells []string
		for i, v := range row {
			switch {
			case format == engine.CSV && v == null:
				cells = append(cells, "")
			case format == engine.CSV:
				cells = append(cells, csvCell(v))
			case v != null:
				cells = append(cells, jsonCell(randomColumns[i].name)+":"+jsonCell(v))
			}
		}
		if format == engine.CSV {
			b.WriteString(strings.Join(cells, ",") + "\n")
		} else {
			b.WriteString("{" + strings.Join(cells, ",") + "}\n")
		}
	}
	return b.String()
}

// csvCell writes a text as a field in quotes.
func csvCell(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

func jsonCell(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

func mustCompute(t testing.TB, table Table, threads int) (*engine.Fingerprint, State) {
	t.Helper()
	f, s, err := Compute(t.Context(), table, threads)
	if err != nil {
		t.Fatal(err)
	}
	return f, s
}

func documentOf(f *engine.Fingerprint) string {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		panic(err)
	}
	return string(b) + "\n"
}

// content is a fingerprint's document without what tells files apart, and without the order of rows if sorted is set.
func content(f *engine.Fingerprint, sorted bool) string {
	g := *f
	g.Bytes, g.Files = 0, 0
	g.Columns = slices.Clone(f.Columns)
	for k := range g.Columns {
		if sorted {
			g.Columns[k].Digest = ""
		}
	}
	return documentOf(&g)
}

// sizes of random tables: about the limit of counting each value, the size of what is computed at a time, and nothing.
var sizes = []int{0, 1, 2, 100, step + 1, 3 * limit}

// TestSameOnEachRun holds that a fingerprint is the same to the byte on each run and for each number of threads.
func TestSameOnEachRun(t *testing.T) {
	t.Parallel()
	rows := randomTable(rand.New(rand.NewPCG(1, 1)), 6000)
	for _, format := range []engine.Format{engine.CSV, engine.NDJSON} {
		table := writeRows(t, format, rows, 1000, 1000, 2500)
		first, state := mustCompute(t, table, 1)
		for run := range 9 {
			f, s := mustCompute(t, table, 1+run%3)
			if documentOf(f) != documentOf(first) || string(s) != string(state) {
				t.Fatalf("%s: run %d differs", format, run)
			}
		}
	}
}

// TestOrderAndParts holds that the order of rows shows in the columns' digests alone, and other sizes of parts nowhere.
func TestOrderAndParts(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(2, 2))
	for _, n := range sizes {
		rows := randomTable(r, n)
		one, _ := mustCompute(t, writeRows(t, engine.CSV, rows), 2)
		var cuts []int
		for range 6 {
			cuts = append(cuts, r.IntN(n+1))
		}
		slices.Sort(cuts)
		seven, _ := mustCompute(t, writeRows(t, engine.CSV, rows, cuts...), 2)
		if content(one, false) != content(seven, false) {
			t.Fatalf("%d rows in 7 files differ from 1 file", n)
		}
		if asJSON, _ := mustCompute(t, writeRows(t, engine.NDJSON, rows, cuts...), 1); content(one, false) != content(asJSON, false) {
			t.Fatalf("%d rows of NDJSON differ from CSV:\n%s\n%s", n, content(one, false), content(asJSON, false))
		}
		r.Shuffle(n, func(i, k int) { rows[i], rows[k] = rows[k], rows[i] })
		shuffled, _ := mustCompute(t, writeRows(t, engine.CSV, rows, cuts...), 2)
		if content(one, true) != content(shuffled, true) {
			t.Fatalf("%d shuffled rows differ", n)
		}
		if n >= 100 && one.Columns[1].Digest == shuffled.Columns[1].Digest {
			t.Errorf("the order of %d rows does not show in a column's digest", n)
		}
	}
}

// TestMergeLaws holds that merging parts gives the fingerprint of the whole, in whatever groups they are merged.
func TestMergeLaws(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	for range 12 {
		n := sizes[r.IntN(len(sizes))]
		rows := randomTable(r, n)
		cuts := []int{r.IntN(n + 1), r.IntN(n + 1), r.IntN(n + 1)}
		slices.Sort(cuts)
		table := writeRows(t, engine.CSV, rows, cuts...)
		whole, wholeState := mustCompute(t, table, 2)
		var states []State
		for _, file := range table.Files {
			part := table
			part.Files = []File{file}
			f, s := mustCompute(t, part, 1)
			if again, _, err := Merge(s); err != nil || documentOf(again) != documentOf(f) {
				t.Fatalf("the state has another document: %v", err)
			}
			states = append(states, s)
		}
		for name, grouped := range map[string][]State{
			"all": states, "left": {merged(t, merged(t, states[0], states[1]), states[2]), states[3]}, "right": {states[0], merged(t, states[1], merged(t, states[2], states[3]))}, "with none": append([]State{merged(t)}, states...),
		} {
			f, s, err := Merge(grouped...)
			if err != nil {
				t.Fatal(err)
			}
			if documentOf(f) != documentOf(whole) || string(s) != string(wholeState) {
				t.Fatalf("%s: %d rows cut at %v: merged differ from computed\n%s\n%s", name, n, cuts, documentOf(f), documentOf(whole))
			}
		}
	}
}

func merged(t *testing.T, states ...State) State {
	t.Helper()
	_, s, err := Merge(states...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestMergeColumns holds how parts with other columns merge.
func TestMergeColumns(t *testing.T) {
	of := func(text string, columns ...engine.Column) State {
		_, s := mustCompute(t, Table{Format: engine.NDJSON, Columns: columns, Files: []File{writeFile(t, text)}}, 1)
		return s
	}
	a, b := engine.Column{Name: "a", Type: "INTEGER"}, engine.Column{Name: "b", Type: "VARCHAR"}
	f, _, err := Merge(of("{\"a\":1}\n", a), of("{\"b\":\"x\"}\n", b))
	if err != nil {
		t.Fatal(err)
	}
	want, _, _ := Merge(of("{\"a\":1}\n{\"b\":\"x\"}\n", a, b))
	if f.Digest != want.Digest || fmt.Sprint(f.Columns[0].Digest, f.Columns[1].Digest) != fmt.Sprint(want.Columns[0].Digest, want.Columns[1].Digest) || f.Columns[0].Nulls != 1 || f.Columns[1].Nulls != 1 {
		t.Errorf("a column that lacks is not NULL:\n%s\n%s", documentOf(f), documentOf(want))
	}
	if f, _, err := Merge(of("{\"a\":1}\n", a), of("{\"a\":2}\n", engine.Column{Name: "a", Type: "BIGINT"})); err != nil || f.Columns[0].Type != "BIGINT" {
		t.Errorf("a wider integer does not merge: %v", err)
	}
	if _, _, err := Merge(of("{\"a\":1}\n", a), of("{\"a\":2}\n", engine.Column{Name: "a", Type: "VARCHAR"})); err == nil || !strings.Contains(err.Error(), `column "a" is INTEGER in one part and VARCHAR in another`) {
		t.Errorf("another type: %v", err)
	}
	_, opaque := Opaque(3, 1000)
	if f, _, err := Merge(of("{\"a\":1}\n", a), opaque); err != nil || f.Rows != -1 || f.Files != 4 || f.Bytes != 1008 || f.Columns != nil {
		t.Errorf("with what is no table: %+v, %v", f, err)
	}
	if f, _, err := Merge(); err != nil || f.Rows != 0 || f.Files != 0 {
		t.Errorf("of nothing: %+v, %v", f, err)
	}
}

// writeFile writes a file and returns it as raw/x.
func writeFile(t testing.TB, text string) File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	return File{"raw/x", path}
}
