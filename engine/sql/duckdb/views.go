//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// scan is a call of a reader function over some files of an input that are alike.
type scan struct {
	call    string
	columns []engine.Column // what it gives, as the files have it
	files   []file
	again   func(files []file) string // makes the call for some of the files
	full    bool                      // of Parquet: what is declared NOT NULL was found to have a value in each row
	typed   string                    // of text: a call that reads each column as its type, and so tells the line of what is none
}

// file is one file of one partition. The same path may occur in many partitions.
type file struct {
	path      string
	partition engine.Partition
}

// view makes the one view that SQL knows an input by. There, a partition's values are found by the index of the file that a row came from: that works alike for one
// file and for ten thousand, keeps the rows in order, and can tell two partitions that share a file.
func (s *session) view(ctx context.Context, t *Table) error {
	declared, err := s.spellings(ctx, t)
	if err != nil {
		return err
	}
	scans, err := s.scans(ctx, t, declared)
	if err != nil {
		return err
	}
	if scans, err = s.apart(ctx, t, scans); err != nil {
		return err
	}
	var queries []string
	for _, sc := range scans {
		if sc.typed != "" {
			s.typed[t.Name] = append(s.typed[t.Name], sc.typed)
		}
		list, err := t.selectList(sc, declared)
		if err != nil {
			return err
		}
		queries = append(queries, "SELECT "+list+" FROM "+sc.call)
	}
	if len(scans) == 0 {
		q, err := t.nothing()
		if err != nil {
			return err
		}
		queries = []string{q}
	}
	return s.exec(ctx, "CREATE VIEW "+name(t.Name)+" AS "+strings.Join(queries, " UNION ALL BY NAME "))
}

// apart makes one scan for each partition where the data has a column by the name of the engine's own, file_index, which that column hides.
func (s *session) apart(ctx context.Context, t *Table, scans []scan) ([]scan, error) {
	var out []scan
	for _, sc := range scans {
		if !has(sc.columns, "file_index") || len(t.missing(sc.columns)) == 0 {
			out = append(out, sc)
			continue
		}
		var order []string
		groups := map[string][]file{}
		for _, f := range sc.files {
			id := fmt.Sprint(f.partition)
			if groups[id] == nil {
				order = append(order, id)
			}
			groups[id] = append(groups[id], f)
		}
		for i, id := range order {
			one := sc
			one.files = groups[id]
			one.call = sc.again(one.files)
			if t.Format == engine.Parquet {
				var err error
				if one.call, err = s.alike(ctx, one.call, sc.columns); err != nil {
					return nil, err
				}
			}
			if i > 0 {
				one.typed = "" // that of the first reads all
			}
			out = append(out, one)
		}
	}
	return out, nil
}

// alike gives a scan of some files the columns that all files have together.
func (s *session) alike(ctx context.Context, call string, columns []engine.Column) (string, error) {
	found, err := s.describe(ctx, call)
	if err != nil {
		return "", err
	}
	var items []string
	for _, c := range columns {
		text := "NULL"
		if own := column(found, c.Name); own != nil {
			text = name(own.Name)
		}
		items = append(items, fmt.Sprintf("CAST(%s AS %s) AS %s", text, c.Type, name(c.Name)))
	}
	return fmt.Sprintf("(SELECT %s FROM %s)", strings.Join(items, ", "), call), nil
}

// spellings gives the declared types, by column, as the engine spells them: INT is INTEGER.
func (s *session) spellings(ctx context.Context, t *Table) (map[string]string, error) {
	out := map[string]string{}
	for _, c := range t.Columns {
		if err := dpbsql.CheckType(c.Type); err != nil {
			return nil, t.problem(fmt.Sprintf("column %q: %s", c.Name, err), "write a type such as BIGINT, DOUBLE, VARCHAR, DATE or TIMESTAMP")
		}
		spelled, err := s.spelling(ctx, c.Type)
		if err != nil {
			return nil, t.problem(fmt.Sprintf("column %q: %s", c.Name, err), "write a type such as BIGINT, DOUBLE, VARCHAR, DATE or TIMESTAMP")
		}
		out[strings.ToLower(c.Name)] = spelled
	}
	return out, nil
}

func (s *session) spelling(ctx context.Context, typ string) (string, error) {
	rows, err := s.texts(ctx, "DESCRIBE SELECT CAST(NULL AS "+typ+")")
	if err != nil {
		return "", err
	}
	return rows[0][1], nil
}

// problem is a problem with an input. Where a statement reads it is added later.
func (t *Table) problem(what, hint string) error {
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("%s: %s", t, what), Hint: hint}}
}

func (t *Table) files() []file {
	var out []file
	for _, p := range t.Parts {
		for _, path := range p.Files {
			out = append(out, file{path, p.Partition})
		}
	}
	return out
}

func (s *session) scans(ctx context.Context, t *Table, declared map[string]string) ([]scan, error) {
	files := t.files()
	if len(files) == 0 {
		return nil, nil
	}
	switch {
	case t.Format == engine.Opaque:
		return nil, t.problem("its files are no table", "SQL reads .parquet, .csv, .ndjson and .jsonl, the last three also with .gz or .zst")
	case t.Format == engine.Parquet:
		return s.parquetScan(ctx, t, files)
	case len(t.Columns) == 0:
		return nil, s.undeclared(ctx, t, files[0].path)
	case t.Format == engine.NDJSON:
		for _, c := range t.Columns {
			if manyDigits(declared[strings.ToLower(c.Name)]) {
				return nil, t.problem(fmt.Sprintf("column %q is %s, and numbers in NDJSON are read with 15 digits", c.Name, c.Type), "declare it DOUBLE or DECIMAL(15, …)")
			}
		}
		again := func(files []file) string { return readJSON(files, asText(t.Columns, declared), t.Compression) }
		return []scan{{call: again(files), again: again, columns: t.Columns, files: files, typed: readJSON(files, t.Columns, t.Compression)}}, nil
	}
	return s.csvScans(t, files, declared)
}

// undeclared prints the columns block that a text input lacks.
func (s *session) undeclared(ctx context.Context, t *Table, path string) error {
	hint := "declare its columns"
	if columns, err := propose(ctx, path, t.Format, t.Compression); err == nil {
		hint = "declare them where the data is made or on the input, as in\n" + block(columns)
	}
	return t.problem(t.Format.String()+" does not tell the types of its columns", hint)
}

func block(columns []engine.Column) string {
	var names, types []string
	for _, c := range columns {
		names, types = append(names, c.Name), append(types, c.Type)
	}
	return dpbsql.Block(names, types)
}

func (t *Table) nothing() (string, error) {
	if len(t.Columns) == 0 {
		return "", t.problem("there is nothing to read, so nothing to take its columns from",
			`declare them where the data is made or on the input, as in columns = { id = "BIGINT", name = "VARCHAR" }`)
	}
	var list []string
	for _, c := range t.Columns {
		list = append(list, fmt.Sprintf("CAST(NULL AS %s) AS %s", c.Type, name(c.Name)))
	}
	for _, d := range t.missing(t.Columns) {
		list = append(list, fmt.Sprintf("CAST(NULL AS %s) AS %s", d.Type, name(d.Name)))
	}
	return "SELECT " + strings.Join(list, ", ") + " WHERE false", nil
}

// missing are the dimensions that the data has no column for.
func (t *Table) missing(columns []engine.Column) []Dimension {
	var out []Dimension
	for _, d := range t.Dimensions {
		if !has(columns, d.Name) {
			out = append(out, d)
		}
	}
	return out
}

func has(columns []engine.Column, name string) bool { return column(columns, name) != nil }

func column(columns []engine.Column, name string) *engine.Column {
	i := slices.IndexFunc(columns, func(c engine.Column) bool { return strings.EqualFold(c.Name, name) })
	if i < 0 {
		return nil
	}
	return &columns[i]
}

// selectList names what the view shows of a scan: of text, the declared columns; of Parquet, all. Then the partition's values.
func (t *Table) selectList(sc scan, declared map[string]string) (string, error) {
	shown := t.Columns
	if t.Format == engine.Parquet {
		shown = sc.columns
		for _, c := range t.Columns {
			if !has(sc.columns, c.Name) {
				return "", t.problem(fmt.Sprintf("its files have no column %q, which is declared", c.Name), "their columns are "+list(sc.columns))
			}
		}
	}
	var items []string
	for _, c := range shown {
		item, err := t.item(*column(sc.columns, c.Name), declared[strings.ToLower(c.Name)], sc.full)
		if err != nil {
			return "", err
		}
		items = append(items, item)
	}
	for _, d := range t.missing(shown) {
		value, err := d.value(sc.files)
		if err != nil {
			return "", err
		}
		items = append(items, value+" AS "+name(d.Name))
	}
	return strings.Join(items, ", "), nil
}

// item is one column of the data, as it was declared to be.
func (t *Table) item(c engine.Column, declared string, full bool) (string, error) {
	text, promised := name(c.Name), column(t.Columns, c.Name)
	if promised == nil {
		return text, nil
	}
	if t.Format == engine.Parquet && c.Type != declared {
		if !dpbsql.Widens(c.Type, declared) {
			return "", t.problem(fmt.Sprintf("column %q is declared %s and is %s in its files", c.Name, declared, c.Type),
				fmt.Sprintf("declare it %s, and cast it in the SELECT", c.Type))
		}
		text = fmt.Sprintf("CAST(%s AS %s)", text, promised.Type)
	}
	if t.Format != engine.Parquet && textType(declared) != "" {
		text = t.exactly(text, declared)
	}
	if promised.NotNull && !full {
		text = fmt.Sprintf("coalesce(%s, error(%s))", text,
			quote(fmt.Sprintf("%s: column %q is declared NOT NULL, and a row has no value there", t, c.Name)))
	}
	return text + " AS " + name(promised.Name), nil
}

// exactly reads a text as a type, and fails where the type can't hold it. The engine's own readers would make 2 of 1.5, and of 2017-06-15 23:59:59 a
// date, and say nothing.
func (t *Table) exactly(column, typ string) string {
	has := fmt.Sprintf("%s || CAST(%s AS VARCHAR)", quote(fmt.Sprintf("%s: column %s is %s, and a row has ", t, column, typ)), column)
	read, lost, why := fmt.Sprintf("TRY_CAST(%s AS %s)", column, typ), "", ""
	exponent := fmt.Sprintf("(contains(%[1]s, 'e') OR contains(%[1]s, 'E'))", column)
	var p, q int
	switch n, _ := fmt.Sscanf(typ, "DECIMAL(%d,%d)", &p, &q); {
	case typ == "DATE":
		lost = fmt.Sprintf("TRY_CAST(%s AS TIMESTAMP) IS DISTINCT FROM TRY_CAST(%s AS TIMESTAMP)", column, read)
		lost = fmt.Sprintf("%s IS NOT NULL AND %s", read, lost)
		why = ", which has a time; declare it TIMESTAMP"
	case textType(typ) != "VARCHAR":
		lost = fmt.Sprintf("CAST(%s AS %s) IS DISTINCT FROM %s", read, textType(typ), column)
		why = "; where fractions are meant, declare DOUBLE"
	case n == 2:
		wider := fmt.Sprintf("TRY_CAST(%s AS DECIMAL(38,%d))", column, 38-(p-q))
		lost = fmt.Sprintf(`regexp_matches(%s, '\.[0-9]{%d}[0-9]*[1-9]') OR %s AND %s IS DISTINCT FROM %s`, column, q, exponent, wider, read)
		lost = fmt.Sprintf("%s IS NOT NULL AND (%s)", read, lost)
		why = ", which has more digits than " + typ + " holds"
	default:
		exact := fmt.Sprintf("TRY_CAST(%s AS DECIMAL(38, 18))", column)
		lost = fmt.Sprintf("(contains(%s, '.') OR %s) AND (%[3]s IS NULL OR %[3]s <> trunc(%[3]s))", column, exponent, exact)
	}
	return fmt.Sprintf("CASE WHEN %s THEN error(%s || %s) ELSE coalesce(%s, CASE WHEN %s IS NOT NULL THEN error(%s) END) END", lost, has, quote(why), read, column, has)
}

var integers = regexp.MustCompile(`\bU?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)\b`)

// textType is what a column of text is read as first, for exactly to look at: VARCHAR, or the type with texts for the integers in it. It is "" where the
// engine's reader loses nothing.
func textType(typ string) string {
	plain := bare(typ)
	if plain == "DATE" || regexp.MustCompile(`^DECIMAL\(\d+,\d+\)$`).MatchString(plain) {
		return "VARCHAR"
	}
	found := integers.FindAllStringIndex(plain, -1)
	if found == nil {
		return ""
	}
	var b strings.Builder
	at := 0
	for _, m := range found {
		b.WriteString(typ[at:m[0]] + "VARCHAR")
		at = m[1]
	}
	return b.String() + typ[at:]
}

var digits = regexp.MustCompile(`\bDECIMAL\((\d+),`)

// manyDigits says whether a type has decimals that a double can't hold, which is what the engine's reader of JSON makes of every fraction.
func manyDigits(typ string) bool {
	return slices.ContainsFunc(digits.FindAllStringSubmatch(typ, -1), func(m []string) bool { return len(m[1]) > 1 && m[1] > "15" })
}

// asText makes texts of the columns that exactly reads.
func asText(columns []engine.Column, declared map[string]string) []engine.Column {
	out := slices.Clone(columns)
	for i, c := range out {
		out[i].Type = cmp.Or(textType(declared[strings.ToLower(c.Name)]), c.Type)
	}
	return out
}

func list(columns []engine.Column) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.Name + " " + c.Type)
	}
	return b.String()
}

// value is the dimension's value of the partition that a row's file belongs to.
func (d Dimension) value(files []file) (string, error) {
	same := true
	texts := make([]string, len(files))
	for i, f := range files {
		v, ok := f.partition.Get(d.Name)
		if !ok {
			return "", fmt.Errorf("partition %q has no dimension %q", f.partition, d.Name)
		}
		text, err := Param{d.Name, d.Type, v}.text()
		if err != nil {
			return "", err
		}
		texts[i] = text
		same = same && text == texts[0]
	}
	if same {
		return fmt.Sprintf("CAST(%s AS %s)", quote(texts[0]), d.Type), nil
	}
	return fmt.Sprintf("(CAST([%s] AS %s[]))[CAST(file_index AS BIGINT) + 1]", quoteAll(texts), d.Type), nil
}

func paths(files []file) string {
	texts := make([]string, len(files))
	for i, f := range files {
		texts[i] = f.path
	}
	return quoteAll(texts)
}

func readJSON(files []file, columns []engine.Column, compression string) string {
	return fmt.Sprintf("read_json([%s], format='newline_delimited', records='true', hive_partitioning=false, auto_detect=false, compression=%s, columns=%s)",
		paths(files), quote(cmp.Or(compression, "uncompressed")), columnsOption(columns))
}

// readCSV reads by the order of columns in the files, so columns are all that the header names. A text in quotes is never NULL, so that ” and NULL differ.
func readCSV(files []file, columns []engine.Column, compression, buffers string) string {
	return fmt.Sprintf(`read_csv([%s], auto_detect=false, header=true, delim=',', quote='"', escape='"', nullstr='', allow_quoted_nulls=false,
		hive_partitioning=false, compression=%s, columns=%s, %s)`, paths(files), quote(cmp.Or(compression, "none")), columnsOption(columns), buffers)
}

func columnsOption(columns []engine.Column) string {
	var items []string
	for _, c := range columns {
		items = append(items, quote(c.Name)+": "+quote(c.Type))
	}
	return "{" + strings.Join(items, ", ") + "}"
}
