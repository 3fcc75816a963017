//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	sqldriver "database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	driver "github.com/duckdb/duckdb-go/v2"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// quarantined are the columns that a quarantine has beside those of the data.
var quarantined = []string{"dpb_rule", "dpb_file", "dpb_line", "dpb_text"}

// CheckReject says what a where does that it may not, without any data. table is the name of the output.
func CheckReject(ctx context.Context, r *engine.Reject, table string, params []string) []engine.Problem {
	what := fmt.Sprintf("reject %q", r.Name)
	source := &engine.Statement{Text: "SELECT (\n" + r.Where + "\n) FROM " + name(table), Range: r.Range}
	var report *dpbsql.Report
	tokens, err := dpbsql.Tokens(r.Where)
	if err == nil {
		err = onePiece(tokens)
	}
	if err == nil && len(tokens) == 0 {
		err = errors.New("where is empty")
	}
	if err == nil {
		report, err = inspect(ctx, source, []string{table}, params)
	}
	if err == nil && !report.Refused() {
		err = ofOneRow(ctx, source.Text)
	}
	if err != nil {
		return []engine.Problem{{Summary: fmt.Sprintf("%s: %s", what, err), Range: r.Range, Hint: "where is a condition on the columns of one row, as in amount < 0 OR country IS NULL"}}
	}
	return placed(what, r.Range, source, report)
}

// ofOneRow refuses an expression, the only item of a SELECT, that depends on more than the row that it is computed for.
func ofOneRow(ctx context.Context, text string) error {
	p, err := planner()
	if err != nil {
		return err
	}
	text, err = dpbsql.Blank(text)
	if err != nil {
		return err
	}
	tree, err := p.tree(ctx, text)
	if err != nil {
		return err
	}
	var doc struct {
		Statements []struct {
			Node struct {
				List []any `json:"select_list"`
			}
		}
	}
	if err := json.Unmarshal(tree, &doc); err != nil {
		return err
	}
	if len(doc.Statements) != 1 || len(doc.Statements[0].Node.List) != 1 {
		return errors.New("where is more than one expression")
	}
	return p.ofOneRow(doc.Statements[0].Node.List[0])
}

func (p *plan) ofOneRow(node any) error {
	switch n := node.(type) {
	case []any:
		for _, child := range n {
			if err := p.ofOneRow(child); err != nil {
				return err
			}
		}
	case map[string]any:
		called, _ := n["function_name"].(string)
		called = strings.ToLower(called)
		switch class := n["class"]; {
		case class == "SUBQUERY":
			return errors.New("where can't hold a SELECT of its own")
		case class == "STAR":
			return errors.New("where can't hold * or COLUMNS")
		case class == "WINDOW":
			return fmt.Errorf("where can't look at other rows, as %s() OVER does", called)
		case class == "FUNCTION" && (p.functions[called].Aggregate || called == "unnest" || called == "unlist"):
			return fmt.Errorf("where can't hold %s(), which is not of one row", called)
		}
		for _, child := range n {
			if err := p.ofOneRow(child); err != nil {
				return err
			}
		}
	}
	return nil
}

// Split finds the rows of a table for which a where is true, writes them to the quarantine, and says or writes what is left of the files. If nothing is rejected the quarantine has no rows, and
// the table was read once, on all threads; else it reads the table again from one end to the other, and, of Parquet, the files that lost rows.
func Split(ctx context.Context, spec SplitJob) (*SplitResult, error) {
	j := &job{Job: Job{Inputs: []Table{spec.Table}, Params: spec.Params, Threads: spec.Threads, Memory: spec.Memory}, spill: filepath.Join(spec.Scratch, "spill")}
	defer os.RemoveAll(j.spill)
	j.Inputs[0].Dimensions = nil
	var files []string
	for _, p := range spec.Table.Parts {
		files = append(files, p.Files...)
	}
	if len(files) != len(spec.FileNames) {
		return nil, fmt.Errorf("%s: %d files have %d names", &spec.Table, len(files), len(spec.FileNames))
	}
	x := &split{job: j, spec: spec, files: files}
	if err := x.check(ctx); err != nil {
		return nil, err
	}
	return eitherWay(func(sequential bool) (*SplitResult, error) {
		r, err := x.split(ctx, sequential)
		return r, spec.Table.wrong(ctx, nil, err, j.memory())
	})
}

// split is a SplitJob under way.
type split struct {
	*job
	spec    SplitJob
	files   []string
	rules   []string // the where of each reject, as it is run
	columns []engine.Column
	own     string // what the names of dpb's own columns begin with, and no column of the data
}

// check runs the gate over all rules and fails with all that it refuses.
func (x *split) check(ctx context.Context) error {
	var params []string
	for _, p := range x.Params {
		params = append(params, p.Name)
	}
	var errs []error
	for _, r := range x.spec.Rejects {
		for _, p := range CheckReject(ctx, r, x.spec.Table.Name, params) {
			if p.Severity == engine.Error {
				errs = append(errs, &ProblemError{p})
			}
		}
		if c, err := newCommand(&engine.Statement{Text: r.Where}, x.Params, nil); err == nil {
			x.rules = append(x.rules, "(\n"+c.text+"\n)")
		} else if len(errs) == 0 {
			return err
		}
	}
	return join(errs)
}

func (x *split) split(ctx context.Context, sequential bool) (*SplitResult, error) {
	t := &x.Inputs[0]
	r := &SplitResult{ByRule: make([]int64, len(x.rules)), Samples: make([][]string, len(x.rules))}
	if t.Format == engine.Parquet {
		r.Kept = make([]string, len(x.files))
	} else {
		r.Drop = make([][]int64, len(x.files))
	}
	if len(x.files) == 0 && len(x.spec.Unreadable) == 0 {
		return r, nil
	}
	if err := x.count(ctx, r, sequential); err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(r.ByRule, func(n int64) bool { return n > 0 }) {
		x.rules = nil // nothing to look for again
	}
	return r, x.write(ctx, r, sequential)
}

// count learns the columns and how many rows there are and each rule takes out.
func (x *split) count(ctx context.Context, r *SplitResult, sequential bool) error {
	s, err := x.reader(ctx, sequential, nil)
	if err != nil {
		return err
	}
	defer s.close()
	t := &x.Inputs[0]
	if x.columns, err = s.describe(ctx, name(t.Name)); err != nil {
		return err
	}
	if err := x.bind(ctx, s); err != nil {
		return err
	}
	items := []string{"count(*)"}
	for _, rule := range x.rules {
		items = append(items, "count(*) FILTER (WHERE "+rule+")")
	}
	from := " FROM " + name(t.Name)
	rows, err := s.texts(ctx, "SELECT "+strings.Join(items, ", ")+from)
	if err != nil {
		return x.blame(ctx, s, err)
	}
	if r.Rows, err = strconv.ParseInt(rows[0][0], 10, 64); err != nil {
		return err
	}
	for i := range x.rules {
		if r.ByRule[i], err = strconv.ParseInt(rows[0][i+1], 10, 64); err != nil {
			return err
		}
	}
	return nil
}

// bind holds the names of the columns against those of the quarantine, and the rules against the columns.
func (x *split) bind(ctx context.Context, s *session) error {
	for _, q := range quarantined {
		if c := column(x.columns, q); c != nil {
			return x.Inputs[0].problem(fmt.Sprintf("it has a column %q, which is what the quarantine calls one of its own", c.Name), "give the column another name, or reject no rows")
		}
	}
	x.own = "dpb__"
	for slices.ContainsFunc(x.columns, func(c engine.Column) bool { return strings.HasPrefix(strings.ToLower(c.Name), x.own) }) {
		x.own += "_"
	}
	var errs []error
	for i, rule := range x.rules {
		found, err := s.describe(ctx, "(SELECT "+rule+" FROM "+name(x.Inputs[0].Name)+")")
		if err == nil && found[0].Type != "BOOLEAN" {
			err = x.problem(i, "where is "+found[0].Type+", and not true or false", "compare it, as in amount < 0 or country IS NULL")
		}
		if err != nil {
			errs = append(errs, x.ofRule(ctx, s, i, err))
		}
	}
	return join(errs)
}

func (x *split) problem(i int, what, hint string) error {
	r := x.spec.Rejects[i]
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("reject %q: %s", r.Name, what), Hint: hint, Range: r.Range}}
}

// ofRule writes an error of the engine as one of the i-th rule. Other errors stay as they are.
func (x *split) ofRule(ctx context.Context, s *session, i int, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	p := s.problem(ctx, f, x.memory())
	p.Summary, p.Range = fmt.Sprintf("reject %q: %s", x.spec.Rejects[i].Name, p.Summary), x.spec.Rejects[i].Range
	return &ProblemError{p}
}

// blame finds the rules that fail, unless the table can't be read.
func (x *split) blame(ctx context.Context, s *session, err error) error {
	if ctx.Err() != nil || notParallel(err) {
		return err
	}
	t := &x.Inputs[0]
	if _, err := s.texts(ctx, "SELECT count(COLUMNS(*)) FROM "+name(t.Name)); err != nil {
		return t.wrong(ctx, s, err, x.memory())
	}
	var errs []error
	for i, rule := range x.rules {
		if _, err := s.texts(ctx, "SELECT count(*) FILTER (WHERE "+rule+") FROM "+name(t.Name)); err != nil {
			errs = append(errs, x.ofRule(ctx, s, i, err))
		}
	}
	if len(errs) == 0 {
		return err
	}
	return join(errs)
}

// write collects the rejected rows in their order and writes the quarantine and what is left of Parquet. It runs on one thread, which keeps rows in order from reader to writer.
func (x *split) write(ctx context.Context, r *SplitResult, sequential bool) error {
	one := *x.job
	one.Threads = 1
	s, err := one.confined(ctx, sequential, append(x.keptFiles(), x.spec.Quarantine))
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.lock(ctx); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(x.spec.Quarantine), 0o777); err != nil {
		return err
	}
	if err := x.collect(ctx, s); err != nil {
		return err
	}
	if err := x.addUnreadable(ctx, s); err != nil {
		return err
	}
	dropped, err := x.dropped(ctx, s)
	if err != nil {
		return err
	}
	for _, rows := range dropped {
		r.Rejected += int64(len(rows))
	}
	if err := x.samples(ctx, s, r); err != nil {
		return err
	}
	if _, err := s.texts(ctx, x.quarantine()); err != nil {
		return err
	}
	if r.Drop != nil {
		r.Drop = dropped
		return nil
	}
	return x.keep(ctx, s, r, dropped)
}

// The tables that the session holds. A view has the name of the data, which is shorter.
func (x *split) rejected() string   { return name(x.spec.Table.Name + " rejected") }
func (x *split) unreadable() string { return name(x.spec.Table.Name + " unreadable") }

// file, row and hit are columns of the table of rejected rows: the index of a row's file, the row's number in it, from 0, and whether a rule holds.
func (x *split) file() string     { return x.own + "file" }
func (x *split) row() string      { return x.own + "row" }
func (x *split) hit(i int) string { return fmt.Sprintf("%shit%d", x.own, i) }

// collect fills the table of rejected rows, from one file after the other.
func (x *split) collect(ctx context.Context, s *session) error {
	for i := range max(1, len(x.files)) {
		into := "INSERT INTO " + x.rejected() + " "
		if i == 0 {
			into = "CREATE TABLE " + x.rejected() + " AS "
		}
		if err := x.fileView(ctx, s, i); err != nil {
			return err
		}
		if err := s.exec(ctx, into+x.hits(i), "DROP VIEW "+name(x.spec.Table.Name)); err != nil || len(x.rules) == 0 {
			return err
		}
	}
	return nil
}

// fileView makes the table's view over its i-th file alone, with the columns that all files have together.
func (x *split) fileView(ctx context.Context, s *session, i int) error {
	t := x.Inputs[0]
	if i == len(x.files) {
		return s.view(ctx, &t) // there is none
	}
	path := t.files()[i].path
	if t.Format == engine.Parquet {
		call, err := s.alike(ctx, readParquet([]file{{path: path}}, false), x.columns)
		if err != nil {
			return err
		}
		return s.exec(ctx, "CREATE VIEW "+name(t.Name)+" AS FROM "+call)
	}
	t.Parts = []Part{{Files: []string{path}}}
	return s.view(ctx, &t)
}

// hits selects the rejected rows of the i-th file. Rows are numbered as they are read.
func (x *split) hits(i int) string {
	items := []string{fmt.Sprintf("row_number() OVER () - 1 AS %s", name(x.row()))}
	outer := []string{fmt.Sprintf("CAST(%d AS BIGINT) AS %s", i, name(x.file())), name(x.row())}
	or := []string{"false"}
	for k, rule := range x.rules {
		items = append(items, rule+" AS "+name(x.hit(k)))
		outer = append(outer, name(x.hit(k)))
		or = append(or, name(x.hit(k)))
	}
	for _, c := range x.columns {
		items = append(items, name(c.Name))
		outer = append(outer, name(c.Name))
	}
	return fmt.Sprintf("SELECT %s FROM (SELECT %s FROM %s) WHERE %s", strings.Join(outer, ", "), strings.Join(items, ", "), name(x.spec.Table.Name), strings.Join(or, " OR "))
}

// addUnreadable fills the table of what was no row.
func (x *split) addUnreadable(ctx context.Context, s *session) error {
	utf8 := func(s string) string { return strings.ToValidUTF8(s, "\ufffd") }
	err := s.exec(ctx, fmt.Sprintf("CREATE TABLE %s (%s BIGINT, %s BIGINT, dpb_rule VARCHAR, dpb_file VARCHAR, dpb_line BIGINT, dpb_text VARCHAR)",
		x.unreadable(), name(x.file()), name(x.row())))
	if err != nil || len(x.spec.Unreadable) == 0 {
		return err
	}
	err = s.conn.Raw(func(conn any) error {
		a, err := driver.NewAppenderFromConn(conn.(sqldriver.Conn), "", x.spec.Table.Name+" unreadable")
		if err != nil {
			return err
		}
		for i, u := range x.spec.Unreadable {
			if err := a.AppendRow(int64(len(x.files)), int64(i), u.Rule, utf8(u.File), u.Line, utf8(u.Text)); err != nil {
				a.Close()
				return err
			}
		}
		return a.CloseWithCancel(ctx)
	})
	if err != nil {
		return s.failure(ctx, err)
	}
	return nil
}

// dropped are the numbers of the rejected rows of each file.
func (x *split) dropped(ctx context.Context, s *session) ([][]int64, error) {
	rows, err := s.conn.QueryContext(ctx, fmt.Sprintf("SELECT %s, %s FROM %s ORDER BY ALL", name(x.file()), name(x.row()), x.rejected()))
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	defer rows.Close()
	out := make([][]int64, len(x.files))
	for rows.Next() {
		var file, row int64
		if err := rows.Scan(&file, &row); err != nil {
			return nil, err
		}
		out[file] = append(out[file], row)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failure(ctx, err)
	}
	return out, nil
}

// samples shows the first rows that each rule takes out.
func (x *split) samples(ctx context.Context, s *session, r *SplitResult) error {
	var items []string
	for _, c := range x.columns {
		value := name(c.Name)
		switch {
		case c.Type == "DOUBLE" || c.Type == "FLOAT":
			value = fmt.Sprintf("CASE WHEN isfinite(%[1]s) THEN to_json(%[1]s) WHEN %[1]s IS NOT NULL THEN to_json(CAST(%[1]s AS VARCHAR)) END", value)
		case tying.MatchString(bare(c.Type)):
			value = fmt.Sprintf("CAST(%s AS VARCHAR)", value) // NaN is no JSON
		}
		items = append(items, name(c.Name)+" := "+value)
	}
	for i, n := range r.ByRule {
		if n == 0 {
			continue
		}
		rows, err := s.texts(ctx, fmt.Sprintf("SELECT CAST(to_json(struct_pack(%s)) AS VARCHAR) FROM %s WHERE %s ORDER BY %s, %s LIMIT %d",
			strings.Join(items, ", "), x.rejected(), name(x.hit(i)), name(x.file()), name(x.row()), sampled))
		if err != nil {
			return err
		}
		for _, row := range rows {
			r.Samples[i] = append(r.Samples[i], row[0])
		}
	}
	return nil
}

// quarantine writes all that was taken out. What Parquet can't hold is written as text.
func (x *split) quarantine() string {
	var items, names []string
	for _, c := range x.columns {
		text := name(c.Name)
		if typ := bare(c.Type); wide.MatchString(typ) || lossy[engine.Parquet].MatchString(typ) {
			text = fmt.Sprintf("CAST(%s AS VARCHAR) AS %[1]s", text)
		}
		items, names = append(items, text), append(names, name(c.Name))
	}
	rules := []string{quote(", ")}
	for i := range x.rules {
		rules = append(rules, fmt.Sprintf("CASE WHEN %s THEN %s END", name(x.hit(i)), quote(x.spec.Rejects[i].Name)))
	}
	items = append(items, name(x.file()), name(x.row()), "concat_ws("+strings.Join(append(rules, "NULL"), ", ")+") AS dpb_rule",
		fmt.Sprintf("(CAST([%s] AS VARCHAR[]))[%s + 1] AS dpb_file", strings.ToValidUTF8(quoteAll(x.spec.FileNames), "\ufffd"), name(x.file())))
	return fmt.Sprintf("COPY (SELECT %s FROM (SELECT %s FROM %s UNION ALL BY NAME FROM %s) ORDER BY %s, %s) TO %s (%s)", strings.Join(append(names, quarantined...), ", "),
		strings.Join(items, ", "), x.rejected(), x.unreadable(), name(x.file()), name(x.row()), quote(x.spec.Quarantine), parquetOptions)
}

// keptFile is what is left of the i-th file, below KeptDir.
func keptFile(i int) string { return fmt.Sprintf("kept-%05d.parquet", i) }

func (x *split) keptFiles() []string {
	var out []string
	for i := range x.files {
		out = append(out, filepath.Join(x.spec.KeptDir, keptFile(i)))
	}
	return out
}

// keep writes what is left of the files that lost rows, as they were, by their numbers: rules may see a file's columns as wider types.
func (x *split) keep(ctx context.Context, s *session, r *SplitResult, dropped [][]int64) error {
	if err := os.MkdirAll(x.spec.KeptDir, 0o777); err != nil {
		return err
	}
	for i, rows := range dropped {
		if len(rows) == 0 {
			continue
		}
		r.Kept[i] = keptFile(i)
		if err := x.keepFile(ctx, s, i, int64(len(rows))); err != nil {
			return err
		}
	}
	return nil
}

func (x *split) keepFile(ctx context.Context, s *session, i int, lost int64) error {
	call := readParquet([]file{{path: x.files[i]}}, false)
	rows, err := s.texts(ctx, "SELECT count(*) FROM "+call)
	if err != nil {
		return err
	}
	total, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return err
	}
	err = s.exec(ctx, fmt.Sprintf("SET VARIABLE dropped = (SELECT bitstring_agg(%s, 0, %d) FROM %s WHERE %s = %d)", name(x.row()), total-1, x.rejected(), name(x.file()), i))
	if err != nil {
		return err
	}
	rows, err = s.texts(ctx, fmt.Sprintf("COPY (SELECT * EXCLUDE (%[1]s) FROM (SELECT *, row_number() OVER () AS %[1]s FROM %[2]s) WHERE get_bit(getvariable('dropped'), CAST(%[1]s - 1 AS INTEGER)) = 0) TO %[3]s (%[4]s)",
		name(x.row()), call, quote(filepath.Join(x.spec.KeptDir, keptFile(i))), parquetOptions))
	if err != nil {
		return err
	}
	kept, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err == nil && kept+lost != total {
		err = fmt.Errorf("%s: %d rows are left of %d, and %d were rejected", x.spec.FileNames[i], kept, total, lost)
	}
	return err
}
