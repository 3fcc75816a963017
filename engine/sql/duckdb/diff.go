//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// Diff compares the rows of two tables. Nulls are equal to each other, and so are NaNs; 0 and -0 are equal too, and intervals of the same length.
func Diff(ctx context.Context, spec DiffJob) (*compare.RowDiff, error) {
	j := &job{Job: Job{Inputs: []Table{spec.A, spec.B}, Scratch: spec.Scratch, Threads: spec.Threads, Memory: spec.Memory}, spill: filepath.Join(spec.Scratch, "spill")}
	if err := os.MkdirAll(j.spill, 0o700); err != nil {
		return nil, err
	}
	defer empty(j.Scratch)
	var err error
	if j.Inputs, err = withoutMarks(j.Inputs, j.spill); err != nil {
		return nil, err
	}
	out, err := j.diff(ctx, spec, false)
	if notParallel(err) {
		out, err = j.diff(ctx, spec, true)
	}
	return out, err
}

func (j *job) diff(ctx context.Context, spec DiffJob, sequential bool) (*compare.RowDiff, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.sequential = sequential
	d := &differ{session: s, samples: cmp.Or(spec.Samples, DefaultSamples), out: &compare.RowDiff{Key: spec.Key}}
	if err := j.sides(ctx, s, d); err != nil {
		return nil, err
	}
	if err := d.match(spec.Key); err != nil {
		return nil, err
	}
	compareRows := d.keyed
	if len(spec.Key) == 0 {
		compareRows = d.whole
	}
	if err := compareRows(ctx); err != nil {
		return nil, err
	}
	return d.out, nil
}

// sides confines the session to the files of both tables and makes their views.
func (j *job) sides(ctx context.Context, s *session, d *differ) error {
	var files []string
	for k := range j.Inputs {
		for _, p := range j.Inputs[k].Parts {
			files = append(files, p.Files...)
			for _, f := range p.Files {
				s.names[f] = describe(&j.Inputs[k], p)
			}
		}
	}
	if err := s.exec(ctx, fmt.Sprintf("SET threads=%d", j.threads())); err != nil {
		return err
	}
	if err := s.limit(ctx, j.memory(), j.spill); err != nil {
		return err
	}
	if err := s.confine(ctx, files); err != nil {
		return err
	}
	for k, title := range []string{"A", "B"} {
		t := &j.Inputs[k]
		if err := s.exec(ctx, "CREATE SCHEMA side_"+title, "USE side_"+title); err != nil { // both tables may have the same name
			return err
		}
		if err := s.view(ctx, t); err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
		side := diffSide{title: title, table: t, view: "side_" + title + "." + name(t.Name) + " x"}
		var err error
		if side.columns, err = s.describe(ctx, side.view); err != nil {
			return fmt.Errorf("%s: %w", title, err)
		}
		d.sides[k] = side
	}
	return s.lock(ctx)
}

// differ compares two tables of a session.
type differ struct {
	session *session
	samples int
	sides   [2]diffSide
	keys    []diffColumn // of the key
	others  []diffColumn // all others that both have, in B's order
	out     *compare.RowDiff
}

type diffSide struct {
	title   string // A or B
	table   *Table
	view    string // to stand in FROM, with the name x
	columns []engine.Column
}

// diffColumn is a column that both sides have: what is selected for it on each, so that the two can be compared.
type diffColumn struct {
	name  string    // B's
	items [2]string // x is the side
	texts [2]string // the values as texts, of their own type
}

// match finds the columns that both sides have, and the key's among them.
func (d *differ) match(key []string) error {
	var errs []error
	for n, k := range key {
		if slices.ContainsFunc(key[:n], func(other string) bool { return strings.EqualFold(k, other) }) {
			errs = append(errs, fmt.Errorf("the key names column %q twice", k))
		}
		for i := range d.sides {
			if s := &d.sides[i]; !has(s.columns, k) {
				errs = append(errs, s.problem(fmt.Sprintf("there is no column %q, which is in the key", k), didYouMeanColumn(k, s.columns)))
			}
		}
	}
	if errs != nil {
		return join(errs)
	}
	d.keys = make([]diffColumn, len(key))
	for _, c := range d.sides[1].columns {
		o := column(d.sides[0].columns, c.Name)
		if o == nil {
			continue
		}
		if i := slices.IndexFunc(key, func(k string) bool { return strings.EqualFold(k, c.Name) }); i >= 0 {
			d.keys[i] = d.pair(*o, c)
		} else {
			d.others = append(d.others, d.pair(*o, c))
		}
	}
	if len(d.keys)+len(d.others) == 0 {
		return errors.New("there is no column that both A and B have, so nothing to compare rows by")
	}
	return nil
}

// problem is a problem with one side.
func (s *diffSide) problem(what, hint string) error {
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("%s, %s: %s", s.title, s.table, what), Hint: hint}}
}

// pair makes two columns comparable, and notes how if their types differ.
func (d *differ) pair(a, b engine.Column) diffColumn {
	c := diffColumn{name: b.Name, items: [2]string{"x." + name(a.Name), "x." + name(b.Name)}}
	for k := range c.items {
		c.texts[k] = "CAST(" + c.items[k] + " AS VARCHAR)"
	}
	if a.Type == b.Type {
		return c
	}
	as := commonType(a.Type, b.Type)
	d.out.Converted = append(d.out.Converted, compare.Conversion{Name: b.Name, TypeA: a.Type, TypeB: b.Type, As: as})
	for k := range c.items {
		c.items[k] = "CAST(" + c.items[k] + " AS " + as + ")"
	}
	return c
}

// commonType is a type that values of two others can be compared as: without loss if there is one, DOUBLE for numbers, and else VARCHAR.
func commonType(a, b string) string {
	switch {
	case dpbsql.Widens(a, b) && !isHuge(a):
		return b
	case dpbsql.Widens(b, a) && !isHuge(b):
		return a
	}
	x, isX := digitsOf(a)
	y, isY := digitsOf(b)
	switch whole, scale := max(x.whole, y.whole), max(x.scale, y.scale); {
	case !isX || !isY:
		return "VARCHAR"
	case x.float || y.float || whole+scale > 38:
		return "DOUBLE"
	default:
		return fmt.Sprintf("DECIMAL(%d,%d)", whole+scale, scale)
	}
}

func isHuge(typ string) bool { return typ == "HUGEINT" || typ == "UHUGEINT" }

// digitCount is how many digits the numbers of a type can have before and after the point.
type digitCount struct {
	whole, scale int
	float        bool
}

func digitsOf(typ string) (digitCount, bool) {
	switch typ {
	case "FLOAT", "DOUBLE":
		return digitCount{float: true}, true
	}
	var p, s int
	if n, err := fmt.Sscanf(typ, "DECIMAL(%d,%d)", &p, &s); err == nil && n == 2 && strings.HasSuffix(typ, ")") {
		return digitCount{whole: p - s, scale: s}, true
	}
	n := map[string]int{"TINYINT": 3, "SMALLINT": 5, "INTEGER": 10, "BIGINT": 19, "HUGEINT": 39}[strings.TrimPrefix(typ, "U")]
	if typ == "UBIGINT" {
		n = 20
	}
	return digitCount{whole: n}, n > 0
}

// keyed compares rows that have the same key.
func (d *differ) keyed(ctx context.Context) error {
	for k, into := range []*int64{&d.out.RowsA, &d.out.RowsB} {
		n, err := d.unique(ctx, k)
		if err != nil {
			return err
		}
		*into = n
	}
	if err := d.session.exec(ctx, d.keyedQuery()); err != nil {
		return err
	}
	counts, err := d.counts(ctx, 3+len(d.others))
	if err != nil {
		return err
	}
	o := d.out
	o.Added, o.Removed, o.Changed = counts[0], counts[1], counts[2]
	o.Same = o.RowsA - o.Removed - o.Changed
	for k, c := range d.others {
		if n := counts[3+k]; n > 0 {
			o.Columns = append(o.Columns, compare.ColumnDiff{Name: c.name, Rows: n})
		}
	}
	if o.Same != o.RowsB-o.Added-o.Changed {
		return fmt.Errorf("comparing rows: %d and %d rows don't make %d added, %d removed and %d changed", o.RowsA, o.RowsB, o.Added, o.Removed, o.Changed)
	}
	return d.keyedSamples(ctx)
}

// unique counts the rows of a side, and fails if its key does not tell them apart.
func (d *differ) unique(ctx context.Context, k int) (int64, error) {
	side := &d.sides[k]
	var items, nulls, texts []string
	for i, c := range d.keys {
		items = append(items, fmt.Sprintf("%s AS k%d", c.items[k], i))
		nulls = append(nulls, fmt.Sprintf("k%d IS NULL", i))
		texts = append(texts, fmt.Sprintf("CAST(s.k%d AS VARCHAR)", i))
	}
	query := fmt.Sprintf(`WITH g AS (SELECT %[1]s, count(*) AS n FROM %[2]s GROUP BY ALL), t AS (
		SELECT coalesce(sum(n), 0)::BIGINT AS n, coalesce(sum(n) FILTER (WHERE %[3]s), 0)::BIGINT AS nulls, count(*) FILTER (WHERE NOT (%[3]s) AND n > 1) AS twice,
			min(%[4]s, 3) FILTER (WHERE NOT (%[3]s) AND n > 1) AS found FROM g)
		SELECT n, nulls, twice, %[5]s FROM t LEFT JOIN (SELECT unnest(found) AS s FROM t) ON true ORDER BY s`,
		strings.Join(items, ", "), side.view, strings.Join(nulls, " OR "), d.keyStruct(""), strings.Join(texts, ", "))
	rows, err := d.session.texts(ctx, query)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil || rows[0][1] == "0" && rows[0][2] == "0" {
		return n, err
	}
	return n, d.notUnique(side, rows)
}

func (d *differ) notUnique(side *diffSide, rows [][]string) error {
	var what []string
	if twice := rows[0][2]; twice != "0" {
		var found []string
		for _, r := range rows {
			found = append(found, strings.Join(r[3:], ", "))
		}
		what = append(what, fmt.Sprintf("%s there more than once, such as %s", times(twice, "value is", "values are"), strings.Join(found, "; ")))
	}
	if nulls := rows[0][1]; nulls != "0" {
		what = append(what, times(nulls, "row has", "rows have")+" a null in it")
	}
	return side.problem(fmt.Sprintf("the key (%s) does not tell rows apart: %s", strings.Join(d.out.Key, ", "), strings.Join(what, ", and ")),
		"compare by other columns, or whole rows")
}

func times(n, one, many string) string {
	if n == "1" {
		return "1 " + one
	}
	return n + " " + many
}

// keyStruct is the key as one value.
func (d *differ) keyStruct(from string) string {
	var fields []string
	for i := range d.keys {
		fields = append(fields, fmt.Sprintf("k%d := %sk%d", i, from, i))
	}
	return "struct_pack(" + strings.Join(fields, ", ") + ")"
}

// keyedQuery counts what differs in one pass, and keeps the smallest keys of each sort.
func (d *differ) keyedQuery() string {
	var on, differ, counts []string
	for i := range d.keys {
		on = append(on, fmt.Sprintf("a.k%[1]d = b.k%[1]d", i))
	}
	for i := range d.others {
		differ = append(differ, fmt.Sprintf("a.c%[1]d IS DISTINCT FROM b.c%[1]d AS d%[1]d", i))
		counts = append(counts, fmt.Sprintf(", count(*) FILTER (WHERE held AND d%d) AS n%d", i, 3+i))
	}
	n := max(1, d.samples)
	return fmt.Sprintf(`CREATE TEMP TABLE found AS WITH j AS (
		SELECT %[1]s AS ka, %[2]s AS kb, a.k0 IS NULL AS added, b.k0 IS NULL AS removed, NOT added AND NOT removed AS held, %[3]s
		FROM (%[4]s) a FULL JOIN (%[5]s) b ON %[6]s)
		SELECT count(*) FILTER (WHERE added) AS n0, count(*) FILTER (WHERE removed) AS n1, count(*) FILTER (WHERE held AND changed) AS n2%[7]s,
			min(kb, %[8]d) FILTER (WHERE added) AS added, min(ka, %[8]d) FILTER (WHERE removed) AS removed, min(kb, %[8]d) FILTER (WHERE held AND changed) AS changed
		FROM j`, d.keyStruct("a."), d.keyStruct("b."), strings.Join(append(differ, d.anyDiffers()+" AS changed"), ", "), d.selected(0), d.selected(1),
		strings.Join(on, " AND "), strings.Join(counts, ""), n)
}

func (d *differ) anyDiffers() string {
	terms := []string{"false"}
	for i := range d.others {
		terms = append(terms, fmt.Sprintf("d%d", i))
	}
	return "(" + strings.Join(terms, " OR ") + ")"
}

// selected is a side's columns, ready to be compared.
func (d *differ) selected(k int) string {
	var items []string
	for i, c := range d.keys {
		items = append(items, fmt.Sprintf("%s AS k%d", c.items[k], i))
	}
	for i, c := range d.others {
		items = append(items, fmt.Sprintf("%s AS c%d", c.items[k], i))
	}
	return "SELECT " + strings.Join(items, ", ") + " FROM " + d.sides[k].view
}

// counts reads the first n columns of what was found.
func (d *differ) counts(ctx context.Context, n int) ([]int64, error) {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf("n%d", i)
	}
	rows, err := d.session.texts(ctx, "SELECT "+strings.Join(items, ", ")+" FROM temp.found")
	if err != nil {
		return nil, err
	}
	out := make([]int64, n)
	for i, text := range rows[0] {
		if out[i], err = strconv.ParseInt(text, 10, 64); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (d *differ) keyedSamples(ctx context.Context) (err error) {
	if d.samples < 0 {
		return nil
	}
	if d.out.Added > 0 {
		if d.out.AddedRows, err = d.keyedRows(ctx, "added", 1); err != nil {
			return err
		}
	}
	if d.out.Removed > 0 {
		if d.out.RemovedRows, err = d.keyedRows(ctx, "removed", 0); err != nil {
			return err
		}
	}
	if d.out.Changed > 0 {
		d.out.ChangedRows, err = d.changedRows(ctx)
	}
	return err
}

// withKeys gives a side's rows, with what is compared of them, if their key was found.
func (d *differ) withKeys(found string, k int) string {
	var on []string
	for i, c := range d.keys {
		on = append(on, fmt.Sprintf("%s = f.s.k%d", c.items[k], i))
	}
	return fmt.Sprintf("%s JOIN (SELECT unnest(%s) AS s FROM temp.found) f ON %s", d.sides[k].view, found, strings.Join(on, " AND "))
}

// keyedRows are rows of one side, whole.
func (d *differ) keyedRows(ctx context.Context, found string, k int) ([]compare.Row, error) {
	var items, names []string
	for _, c := range d.sides[k].columns {
		items = append(items, "CAST(x."+name(c.Name)+" AS VARCHAR)")
		names = append(names, c.Name)
	}
	return d.rows(ctx, "SELECT "+strings.Join(items, ", ")+" FROM "+d.withKeys(found, k)+" ORDER BY f.s", names)
}

// rows runs a query for texts and gives them the names of columns.
func (d *differ) rows(ctx context.Context, query string, names []string) ([]compare.Row, error) {
	found, err := d.nullable(ctx, query)
	if err != nil {
		return nil, err
	}
	out := make([]compare.Row, len(found))
	for i, values := range found {
		for k, v := range values {
			out[i] = append(out[i], compare.Value{Column: names[k], Text: v})
		}
	}
	return out, nil
}

// nullable is like texts and keeps NULL.
func (d *differ) nullable(ctx context.Context, query string) ([][]*string, error) {
	rows, err := d.session.conn.QueryContext(ctx, query)
	if err != nil {
		return nil, d.session.failure(ctx, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]*string
	for rows.Next() {
		values := make([]sql.Null[string], len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]*string, len(columns))
		for i := range values {
			if values[i].Valid {
				row[i] = &values[i].V
			}
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, d.session.failure(ctx, err)
	}
	return out, nil
}

// changedRows are rows that both sides have: for each, the key, and of each column whether it differs, and its two values.
func (d *differ) changedRows(ctx context.Context) ([]compare.ChangedRow, error) {
	side := func(k int) string {
		items := []string{"f.s"}
		for i, c := range d.keys {
			items = append(items, fmt.Sprintf("%s AS k%d", c.texts[k], i))
		}
		for i, c := range d.others {
			items = append(items, fmt.Sprintf("%s AS c%d, %s AS t%d", c.items[k], i, c.texts[k], i))
		}
		return "SELECT " + strings.Join(items, ", ") + " FROM " + d.withKeys("changed", k)
	}
	var items []string
	for i := range d.keys {
		items = append(items, fmt.Sprintf("b.k%d", i))
	}
	for i := range d.others {
		items = append(items, fmt.Sprintf("CASE WHEN a.c%[1]d IS DISTINCT FROM b.c%[1]d THEN '1' END, a.t%[1]d, b.t%[1]d", i))
	}
	rows, err := d.nullable(ctx, fmt.Sprintf("SELECT %s FROM (%s) a JOIN (%s) b ON a.s = b.s ORDER BY b.s", strings.Join(items, ", "), side(0), side(1)))
	if err != nil {
		return nil, err
	}
	var out []compare.ChangedRow
	for _, r := range rows {
		out = append(out, d.changedRow(r))
	}
	return out, nil
}

func (d *differ) changedRow(values []*string) compare.ChangedRow {
	var row compare.ChangedRow
	for i, c := range d.keys {
		row.Key = append(row.Key, compare.Value{Column: c.name, Text: values[i]})
	}
	for i, c := range d.others {
		if v := values[len(d.keys)+3*i:]; v[0] != nil {
			row.Changes = append(row.Changes, compare.ValueChange{Column: c.name, Old: v[1], New: v[2]})
		}
	}
	return row
}

// whole compares tables as multisets of rows.
func (d *differ) whole(ctx context.Context) error {
	var columns, fields []string
	for i := range d.others {
		columns = append(columns, fmt.Sprintf("c%d", i))
		fields = append(fields, fmt.Sprintf("c%[1]d := c%[1]d", i))
	}
	n := max(1, d.samples)
	err := d.session.exec(ctx, fmt.Sprintf(`CREATE TEMP TABLE found AS WITH g AS (
		SELECT %[1]s, count(*) FILTER (WHERE side = 'A') AS a, count(*) FILTER (WHERE side = 'B') AS b
		FROM (SELECT *, 'A' AS side FROM (%[2]s) UNION ALL SELECT *, 'B' AS side FROM (%[3]s)) GROUP BY %[1]s)
		SELECT coalesce(sum(a), 0)::BIGINT AS n0, coalesce(sum(b), 0)::BIGINT AS n1,
			coalesce(sum(greatest(b - a, 0)), 0)::BIGINT AS n2, coalesce(sum(greatest(a - b, 0)), 0)::BIGINT AS n3,
			min(%[4]s, %[5]d) FILTER (WHERE b > a) AS added, min(%[4]s, %[5]d) FILTER (WHERE a > b) AS removed FROM g`,
		strings.Join(columns, ", "), d.selected(0), d.selected(1), "struct_pack("+strings.Join(fields, ", ")+")", n))
	if err != nil {
		return err
	}
	counts, err := d.counts(ctx, 4)
	if err != nil {
		return err
	}
	o := d.out
	o.RowsA, o.RowsB, o.Added, o.Removed = counts[0], counts[1], counts[2], counts[3]
	o.Same = o.RowsA - o.Removed
	if d.samples < 0 {
		return nil
	}
	if o.AddedRows, err = d.wholeRows(ctx, "added"); err != nil {
		return err
	}
	o.RemovedRows, err = d.wholeRows(ctx, "removed")
	return err
}

func (d *differ) wholeRows(ctx context.Context, found string) ([]compare.Row, error) {
	var items, names []string
	for i, c := range d.others {
		items = append(items, fmt.Sprintf("CAST(s.c%d AS VARCHAR)", i))
		names = append(names, c.name)
	}
	return d.rows(ctx, fmt.Sprintf("SELECT %s FROM (SELECT unnest(%s) AS s FROM temp.found) ORDER BY s", strings.Join(items, ", "), found), names)
}
