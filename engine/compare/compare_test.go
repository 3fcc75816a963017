package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

func ptr[T any](v T) *T { return &v }

func columns(text string) (out []engine.Column) {
	for _, c := range strings.Split(text, ", ") {
		name, typ, _ := strings.Cut(c, " ")
		typ, notNull := strings.CutSuffix(typ, " NOT NULL")
		out = append(out, engine.Column{Name: name, Type: typ, NotNull: notNull})
	}
	return out
}

func TestSchema(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []SchemaChange
	}{
		{"id BIGINT NOT NULL, s VARCHAR", "id BIGINT NOT NULL, s VARCHAR", nil},
		{"id INTEGER, s VARCHAR, gone DATE", "fresh DOUBLE, id BIGINT NOT NULL, s VARCHAR", []SchemaChange{{"fresh", Added, "", "DOUBLE"}, {"id", Type, "INTEGER", "BIGINT"},
			{"id", Nullability, "NULL", "NOT NULL"}, {"gone", Removed, "DATE", ""}}},
		{"id BIGINT, s VARCHAR", "S VARCHAR, id BIGINT", []SchemaChange{{"S", Spelling, "s", "S"}, {Change: Order}}},
	} {
		if got := Versions(Side{Columns: columns(c.a)}, Side{Columns: columns(c.b)}).Schema; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s; %s:\n got %v\nwant %v", c.a, c.b, got, c.want)
		}
	}
	found := &engine.Facts{Fingerprint: &engine.Fingerprint{Columns: []engine.ColumnStats{{Name: "id", Type: "BIGINT"}}}}
	if got := Versions(Side{Columns: columns("id BIGINT NOT NULL")}, Side{Facts: found}).Schema; got != nil {
		t.Errorf("%v, and nobody knows whether the new one can be null", got)
	}
	if got := Versions(Side{Columns: columns("id BIGINT")}, Side{}).Schema; got != nil {
		t.Errorf("%v, and nobody knows the new columns", got)
	}
}

func TestSameness(t *testing.T) {
	facts := func(digest string, digests ...string) *engine.Facts {
		f := &engine.Fingerprint{Rows: 2, Digest: digest}
		for i, d := range digests {
			f.Columns = append(f.Columns, engine.ColumnStats{Name: fmt.Sprint("c", i), Type: "BIGINT", Digest: d})
		}
		return &engine.Facts{Fingerprint: f}
	}
	files := &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1}}
	for _, c := range []struct {
		name    string
		a, b    Side
		want    Sameness
		equal   bool
		columns []string
	}{
		{"content", Side{"x", nil, facts("d", "1")}, Side{"x", nil, facts("d", "1")}, SameContent, true, nil},
		{"content without facts", Side{"x", nil, nil}, Side{"x", nil, nil}, SameContent, true, nil},
		{"other bytes", Side{"x", nil, facts("d", "1", "2")}, Side{"y", nil, facts("d", "1", "2")}, SameRows, true, nil},
		{"other order", Side{"x", nil, facts("d", "1", "2")}, Side{"y", nil, facts("d", "1", "3")}, OtherOrder, false, []string{"c1"}},
		{"other rows", Side{"x", nil, facts("d", "1", "2")}, Side{"y", nil, facts("e", "4", "3")}, Different, false, []string{"c0", "c1"}},
		{"another column", Side{"x", nil, facts("d", "1", "2")}, Side{"y", nil, facts("d", "1")}, Different, false, nil},
		{"another promise", Side{"x", columns("c0 BIGINT"), facts("d", "1")}, Side{"x", columns("c0 BIGINT NOT NULL"), facts("d", "1")}, SameContent, false, nil},
		{"no table", Side{"x", nil, files}, Side{"y", nil, files}, Different, false, nil},
		{"no content known", Side{"", nil, files}, Side{"", nil, files}, Different, false, nil},
		{"no fingerprint", Side{"x", nil, nil}, Side{"y", nil, facts("d", "1")}, Unknown, false, nil},
		{"only metrics", Side{"x", nil, &engine.Facts{}}, Side{"y", nil, facts("d", "1")}, Unknown, false, nil},
	} {
		if got := Versions(c.a, c.b); got.Sameness != c.want || got.Equal != c.equal || !slices.Equal(got.ChangedColumns, c.columns) {
			t.Errorf("%s: %v, %t, columns %v", c.name, got.Sameness, got.Equal, got.ChangedColumns)
		}
	}
}

// before and after are a day of plays, scored by two classifiers.
func before() *engine.Facts {
	return &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: 1000, Bytes: 5000, Files: 1, Columns: []engine.ColumnStats{
		{Name: "day", Type: "DATE", Distinct: 1, Min: ptr("2017-06-15"), Max: ptr("2017-06-15"), Top: []engine.Frequent{{Value: "2017-06-15", Rows: 1000}}, Digest: "a"},
		{Name: "Score", Type: "DECIMAL(9,2)", Nulls: 0, Distinct: 100, DistinctError: 0.01, Min: ptr("0.50"), Max: ptr("9223372036854775807"), Mean: ptr(0.12), Digest: "b",
			Quantiles: []engine.Quantile{{P: 0.5, Value: "0.10"}, {P: 0.9, Value: "0.60"}}, QuantileError: 0.02, Top: []engine.Frequent{{Value: "0.50", Rows: 7}, {Value: "1.00", Rows: 6}}},
		{Name: "gone", Type: "VARCHAR", Digest: "c"}}},
		Metrics:  map[string]*float64{"spam_rate": ptr(0.12), "zero": ptr(0.0), "empty": nil, "old": ptr(1.0), "odd": ptr(math.NaN())},
		Rejected: map[string]engine.Rejected{"unscored": {Rows: 1, Share: 0.001}}}
}

func after() *engine.Facts {
	return &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: 1010, Bytes: 5000, Files: 2, Columns: []engine.ColumnStats{
		{Name: "fresh", Type: "VARCHAR", Digest: "f"},
		{Name: "score", Type: "DECIMAL(9,2)", Nulls: 101, Distinct: 90, Min: ptr("0.25"), Max: ptr("1.00"), Digest: "g", NaNs: 2,
			Quantiles: []engine.Quantile{{P: 0.5, Value: "0.20"}}, Top: []engine.Frequent{{Value: "1.00", Rows: 9}, {Value: "0.75", Rows: 8}}},
		{Name: "day", Type: "DATE", Distinct: 5000, Min: ptr("2017-06-14"), Max: ptr("2017-06-15"), Digest: "a"}}},
		Metrics:  map[string]*float64{"spam_rate": ptr(0.42), "zero": ptr(1.0), "empty": nil, "new": nil, "odd": ptr(math.Inf(-1))},
		Rejected: map[string]engine.Rejected{}}
}

func num(x *float64) string {
	if x == nil {
		return "-"
	}
	return fmt.Sprint(*x)
}

func TestFacts(t *testing.T) {
	c := Versions(Side{Facts: before()}, Side{Facts: after()})
	var got []string
	for _, f := range c.Facts {
		line := fmt.Sprintf("%s: %v > %v, %s, %s", f.Name, f.Old, f.New, num(f.Change), num(f.Relative))
		if f.Error > 0 {
			line += fmt.Sprintf(" within %v", f.Error)
		}
		if f.Unknown != "" {
			line += " unknown " + f.Unknown
		}
		if !f.Changed {
			line += " same"
		}
		got = append(got, line)
	}
	want := `rows: 1000 > 1010, 10, 0.01
bytes: 5000 > 5000, 0, 0 same
files: 1 > 2, 1, 1
metric.empty: <nil> > <nil>, -, - same
metric.new: <nil> > <nil>, -, - unknown old
metric.odd: nan > -inf, -, -
metric.old: 1 > <nil>, -, - unknown new
metric.spam_rate: 0.12 > 0.42, 0.3, 2.5
metric.zero: 0 > 1, 1, -
rejected.unscored.rows: 1 > <nil>, -, - unknown new
rejected.unscored.share: 0.001 > <nil>, -, - unknown new
column.score.nulls: 0 > 101, 101, -
column.score.null_share: 0 > 0.1, 0.1, -
column.score.distinct: 100 > 90, -10, -0.1 within 0.01
column.score.nans: 0 > 2, 2, -
column.score.min: 0.50 > 0.25, -0.25, -0.5
column.score.max: 9223372036854775807 > 1.00, -9.22337204e+18, -1
column.score.mean: 0.12 > <nil>, -, -
column.score.quantile[0.5]: 0.10 > 0.20, 0.1, 1 within 0.02
column.score.quantile[0.9]: 0.60 > <nil>, -, - within 0.02 unknown new
column.day.nulls: 0 > 0, 0, - same
column.day.null_share: 0 > 0, 0, - same
column.day.distinct: 1 > 5000, 4999, 4999
column.day.min: 2017-06-15 > 2017-06-14, -, -
column.day.max: 2017-06-15 > 2017-06-15, -, - same`
	if s := strings.Join(got, "\n"); s != want {
		t.Errorf("got\n%s\nwant\n%s", s, want)
	}
	if want := []TopChange{{"score", []engine.Frequent{{Value: "0.75", Rows: 8}}, []engine.Frequent{{Value: "0.50", Rows: 7}}}}; !reflect.DeepEqual(c.Top, want) {
		t.Errorf("top %v: of day there are too many now", c.Top)
	}
	if !slices.Equal(c.ChangedColumns, []string{"score"}) {
		t.Errorf("columns %v", c.ChangedColumns)
	}
	if _, err := json.Marshal(c); err != nil {
		t.Error(err)
	}
}

// TestMirror swaps the sides: all that has a sign changes it.
func TestMirror(t *testing.T) {
	there, back := Versions(Side{Facts: before()}, Side{Facts: after()}), Versions(Side{Facts: after()}, Side{Facts: before()})
	byName := map[string]FactChange{}
	for _, f := range back.Facts {
		byName[strings.ToLower(f.Name)] = f
	}
	if len(byName) != len(there.Facts) {
		t.Errorf("%d and %d facts", len(there.Facts), len(byName))
	}
	for _, f := range there.Facts {
		b := byName[f.Name]
		if f.Old != b.New || f.New != b.Old || f.Changed != b.Changed || (f.Change == nil) != (b.Change == nil) || f.Change != nil && *f.Change != -*b.Change {
			t.Errorf("%+v and %+v", f, b)
		}
	}
	if !reflect.DeepEqual(there.Top[0].Entered, back.Top[0].Left) || !reflect.DeepEqual(there.Top[0].Left, back.Top[0].Entered) {
		t.Errorf("%v and %v", there.Top, back.Top)
	}
	if same := Versions(Side{Facts: after()}, Side{Facts: after()}); slices.ContainsFunc(same.Facts, func(f FactChange) bool { return f.Changed }) || same.Top != nil {
		t.Errorf("%+v", same.Facts)
	}
}

// TestJSON holds the document that programs read.
func TestJSON(t *testing.T) {
	c := Versions(Side{"x", columns("id INTEGER"), &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1, Bytes: 4}}},
		Side{"y", columns("id BIGINT"), &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1, Bytes: 5}}})
	c.Rows = &RowDiff{Key: []string{"id"}, RowsA: 2, RowsB: 2, Added: 1, Removed: 1, Changed: 1, Columns: []ColumnDiff{{"s", 1}}, Converted: []Conversion{{"id", "INTEGER", "BIGINT", "BIGINT"}},
		AddedRows:   []Row{{{"id", ptr("3")}, {"s", nil}}},
		ChangedRows: []ChangedRow{{Row{{"id", ptr("1")}}, []ValueChange{{"s", nil, ptr("")}}}}}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"equal":false,"sameness":"different","schema":[{"column":"id","change":"type","old":"INTEGER","new":"BIGINT"}],` +
		`"facts":[{"name":"bytes","old":4,"new":5,"changed":true,"change":1,"relative":0.25},{"name":"files","old":0,"new":0,"changed":false,"change":0,"relative":null}],` +
		`"rows":{"key":["id"],"rows_a":2,"rows_b":2,"added":1,"removed":1,"changed":1,"same":0,"columns":[{"name":"s","rows":1}],` +
		`"converted":[{"name":"id","type_a":"INTEGER","type_b":"BIGINT","as":"BIGINT"}],"added_rows":[[{"column":"id","value":"3"},{"column":"s","value":null}]],` +
		`"changed_rows":[{"key":[{"column":"id","value":"1"}],"changes":[{"column":"s","old":null,"new":""}]}]}}`
	if string(b) != want {
		t.Errorf("got  %s\nwant %s", b, want)
	}
}
