//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

const parquetOptions = "FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 3, ROW_GROUP_SIZE 122880, PARQUET_VERSION v1, USE_TMP_FILE false"

// writer writes one output.
type writer struct {
	*job
	session *session
	output  *engine.Output
	command *command
	report  *dpbsql.Report
	columns []bound
	raw     string // the file that the engine writes
}

// bound is a column of the statement's result.
type bound struct {
	engine.Column        // as it is written
	item          string // what is selected for it
	notNull       bool
}

func (j *job) writer(st Statement, report *dpbsql.Report) (*writer, error) {
	c, err := newCommand(st.Source, j.Params, nil)
	if err != nil {
		return nil, err
	}
	w := &writer{job: j, output: st.Output, command: c, report: report, raw: filepath.Join(j.OutDir, filepath.FromSlash(st.Output.Path))}
	if st.Output.Shape == engine.Parts || st.Output.Compression != "" {
		w.raw = filepath.Join(j.Scratch, "whole")
	}
	return w, os.MkdirAll(filepath.Dir(filepath.Join(j.OutDir, filepath.FromSlash(st.Output.Path))), 0o777)
}

// files are those that the engine must be let write.
func (w *writer) files() []string { return []string{w.raw} }

// bind learns the result's columns and holds them against what the format can hold and what was promised.
func (w *writer) bind(ctx context.Context) error {
	rows, err := w.session.texts(ctx, w.command.within("DESCRIBE (\n", "\n)"))
	if err != nil {
		return w.explain(ctx, err)
	}
	found := columnsOf(rows)
	var errs []error
	for i, c := range found {
		if has(found[:i], c.Name) {
			errs = append(errs, w.problem(fmt.Sprintf("two columns of the result are called %q", c.Name), "name them apart with AS, or leave one out with * EXCLUDE"))
			continue
		}
		b, err := w.bindColumn(ctx, c)
		if err != nil {
			errs = append(errs, err)
		}
		w.columns = append(w.columns, b)
	}
	for _, c := range w.output.Columns {
		if !has(found, c.Name) {
			errs = append(errs, w.promised(fmt.Sprintf("column %q is promised, and the SELECT has none of that name", c.Name), didYouMeanColumn(c.Name, found)))
		}
	}
	return join(errs)
}

func join(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

func didYouMeanColumn(missing string, columns []engine.Column) string {
	var names []string
	for _, c := range columns {
		names = append(names, c.Name)
	}
	hint := "its columns are " + strings.Join(names, ", ")
	if s := engine.Suggest(missing, names); s != "" {
		hint = fmt.Sprintf("did you mean %q? %s", s, hint)
	}
	return hint
}

// problem is about the statement, promised about what its output promises.
func (w *writer) problem(what, hint string) error {
	st := w.command.source
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("output %q: %s", w.output.Name, what), Hint: hint, Range: dpbsql.Place(st, 0, 0)}}
}

func (w *writer) promised(what, hint string) error {
	if w.output.Range.File == "" {
		return w.problem(what, hint)
	}
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("output %q: %s", w.output.Name, what), Hint: hint, Range: w.output.Range}}
}

var wide = regexp.MustCompile(`\bU?HUGEINT\b`)

// narrow writes BIGINT for integers of 128 bits in a type.
func narrow(typ string) string {
	var b strings.Builder
	at := 0
	for _, m := range wide.FindAllStringIndex(bare(typ), -1) {
		b.WriteString(typ[at:m[0]] + "BIGINT")
		at = m[1]
	}
	return b.String() + typ[at:]
}

// bindColumn decides how a column is written. No file holds integers of 128 bits, and sum() makes them: they become BIGINT, or the statement fails where
// one does not fit.
func (w *writer) bindColumn(ctx context.Context, c engine.Column) (bound, error) {
	b := bound{Column: c, item: name(c.Name)}
	want := narrow(c.Type)
	if p := column(w.output.Columns, c.Name); p != nil {
		if err := dpbsql.CheckType(p.Type); err != nil {
			return b, w.promised(fmt.Sprintf("column %q: %s", c.Name, err), "")
		}
		spelled, err := w.session.spelling(ctx, p.Type)
		if err != nil {
			return b, w.promised(fmt.Sprintf("column %q: %s", c.Name, err), "")
		}
		if !dpbsql.Widens(c.Type, spelled) && want != spelled {
			return b, w.promised(fmt.Sprintf("column %q is promised as %s and is %s", c.Name, spelled, c.Type),
				fmt.Sprintf("write CAST(… AS %s) AS %s in the SELECT", spelled, c.Name))
		}
		want, b.Name, b.notNull, b.NotNull = spelled, p.Name, p.NotNull, p.NotNull
	}
	if hint := w.unfit(want); hint != "" {
		return b, w.problem(fmt.Sprintf("%s can't hold column %q of type %s", w.output.Format, c.Name, want), hint)
	}
	if want != c.Type {
		b.item = fmt.Sprintf("CAST(%s AS %s)", b.item, want)
	}
	b.Type = want
	b.item += " AS " + name(b.Name)
	return b, nil
}

var (
	nested    = regexp.MustCompile(`[\[(]`)
	decimal   = regexp.MustCompile(`DECIMAL\(\d+,\d+\)`)
	lossyText = "write it as text, as in CAST(… AS VARCHAR)"
)

// unfit says what to write instead where a format would change a value of the type, or can't hold it.
func (w *writer) unfit(typ string) string {
	if w.output.Format == engine.Opaque {
		return "end the output's path in .parquet, .csv, .ndjson or .jsonl"
	}
	if typ = bare(typ); lossy[w.output.Format].MatchString(typ) || w.output.Format == engine.NDJSON && manyDigits(typ) {
		return lossyText
	}
	if w.output.Format == engine.CSV && nested.MatchString(decimal.ReplaceAllString(typ, "")) && !strings.HasPrefix(typ, "ENUM(") {
		return "write to_json(…) AS …, or choose Parquet or NDJSON for the output"
	}
	return ""
}

// sumsIntegers says whether all sums and averages are over integers, and so exact in any order: then they can be exchanged for an aggregate that
// takes nothing else.
func (w *writer) sumsIntegers(ctx context.Context) bool {
	replace := map[int]string{}
	for _, t := range w.report.Sums {
		if t.Kind != dpbsql.Word || strings.Contains(t.Text, ".") {
			return false
		}
		replace[t.Offset] = "bit_xor"
	}
	c, err := newCommand(w.command.source, w.Params, replace)
	if err != nil {
		return false
	}
	_, err = w.session.texts(ctx, c.within("DESCRIBE (\n", "\n)"))
	return err == nil
}

// query is the statement with its rows in a total order: by its own ORDER BY, if that names columns of the result only, and then by all columns.
func (w *writer) query() (before, after string) {
	var items []string
	for _, c := range w.columns {
		items = append(items, c.item)
	}
	return "SELECT " + strings.Join(items, ", ") + " FROM (\n", "\n) ORDER BY " + strings.Join(w.order(), ", ")
}

func (w *writer) order() []string {
	var terms []string
	used := map[string]bool{}
	for _, o := range w.ownOrder() {
		terms = append(terms, name(o.Column)+o.Direction+o.Nulls)
		used[o.Column] = true
	}
	for _, c := range w.columns {
		if !used[c.Name] {
			terms = append(terms, name(c.Name))
		}
	}
	for _, c := range w.columns {
		terms = append(terms, tieBreak(c)...)
	}
	return terms
}

// ownOrder is the statement's ORDER BY in terms of the result's columns; nil if it has other terms: a later one would then order too much.
func (w *writer) ownOrder() []dpbsql.Order {
	var out []dpbsql.Order
	for _, o := range w.report.Orders {
		i := o.Position - 1
		if o.Column != "" {
			i = slices.IndexFunc(w.columns, func(c bound) bool { return strings.EqualFold(c.Name, o.Column) })
		}
		if i < 0 || i >= len(w.columns) {
			return nil
		}
		o.Column = w.columns[i].Name
		out = append(out, o)
	}
	return out
}

// tieBreak orders values that the engine takes for equal and that have different bytes: 0 and -0, one month and thirty days.
func tieBreak(c bound) []string {
	switch {
	case c.Type == "DOUBLE" || c.Type == "FLOAT":
		return []string{"signbit(" + name(c.Name) + ")"}
	case tying.MatchString(bare(c.Type)):
		return []string{"CAST(" + name(c.Name) + " AS VARCHAR)"}
	}
	return nil
}

// write runs the statement and puts the output in place.
func (w *writer) write(ctx context.Context) (*Output, error) {
	before, after := w.query()
	rows, err := w.session.texts(ctx, w.command.within("COPY (\n"+before, after+"\n) TO "+quote(w.raw)+" ("+w.options()+")"))
	if err != nil {
		return nil, w.explain(ctx, err)
	}
	out := &Output{Name: w.output.Name}
	if out.Rows, err = strconv.ParseInt(rows[0][0], 10, 64); err != nil {
		return nil, err
	}
	if out.Columns, err = w.written(ctx); err != nil {
		return nil, err
	}
	if err := w.checkNulls(ctx); err != nil {
		return nil, err
	}
	return out, w.place(ctx, out.Rows)
}

func (w *writer) options() string {
	switch w.output.Format {
	case engine.CSV:
		return `FORMAT csv, HEADER true, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR '', COMPRESSION none, USE_TMP_FILE false`
	case engine.NDJSON:
		return "FORMAT json, ARRAY false, COMPRESSION none, USE_TMP_FILE false"
	}
	return parquetOptions
}

// reader is a call that reads what was written.
func (w *writer) reader() (string, error) {
	f, columns := []file{{path: w.raw}}, w.asWritten()
	switch w.output.Format {
	case engine.CSV:
		buffers, err := w.session.buffers(f, "")
		return readCSV(f, columns, "", buffers), err
	case engine.NDJSON:
		return readJSON(f, columns, ""), nil
	}
	return readParquet(f, false), nil
}

func (w *writer) asWritten() []engine.Column {
	var out []engine.Column
	for _, c := range w.columns {
		out = append(out, c.Column)
	}
	return out
}

// written are the columns as a reader finds them.
func (w *writer) written(ctx context.Context) ([]engine.Column, error) {
	columns := w.asWritten()
	for i := range columns {
		if strings.HasPrefix(columns[i].Type, "ENUM(") {
			columns[i].Type = "VARCHAR" // files don't hold the list of its values
		}
	}
	if w.output.Format != engine.Parquet {
		return columns, nil
	}
	reader, err := w.reader()
	if err != nil {
		return nil, err
	}
	found, err := w.session.describe(ctx, reader)
	for i := range found {
		found[i].NotNull = columns[i].NotNull
	}
	return found, err
}

// checkNulls counts, in what was written, what must not be there.
func (w *writer) checkNulls(ctx context.Context) error {
	var items []string
	var checked []string
	for _, c := range w.columns {
		if c.notNull {
			items = append(items, "count(*) - count("+name(c.Name)+")")
			checked = append(checked, c.Name)
		}
	}
	if len(items) == 0 {
		return nil
	}
	reader, err := w.reader()
	if err != nil {
		return err
	}
	rows, err := w.session.texts(ctx, "SELECT "+strings.Join(items, ", ")+" FROM "+reader)
	if err != nil {
		return err
	}
	var errs []error
	for i, n := range rows[0] {
		if n != "0" {
			errs = append(errs, w.promised(fmt.Sprintf("column %q is promised NOT NULL, and %s rows have no value there", checked[i], n),
				"leave those rows out, give them a value with coalesce(), or reject them"))
		}
	}
	return join(errs)
}
