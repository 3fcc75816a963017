//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// parquetScan reads all files at once, by the names of their columns. Files that lack a column have NULL there.
func (s *session) parquetScan(ctx context.Context, t *Table, files []file) ([]scan, error) {
	alike, err := s.schemas(ctx, files)
	if err != nil {
		return nil, err
	}
	var columns []engine.Column
	for _, example := range alike {
		found, err := s.describe(ctx, readParquet([]file{example}, false))
		if err != nil {
			return nil, err
		}
		for _, c := range found {
			known := column(columns, c.Name)
			switch {
			case known == nil:
				columns = append(columns, c)
			case dpbsql.Widens(c.Type, known.Type):
			case dpbsql.Widens(known.Type, c.Type):
				known.Type = c.Type
			default:
				return nil, t.problem(fmt.Sprintf("column %q is %s in some files and %s in others", c.Name, known.Type, c.Type),
					fmt.Sprintf("the types of %s and %s differ; make them alike where the files are made", s.names[alike[0].path], s.names[example.path]))
			}
		}
	}
	again := func(files []file) string { return readParquet(files, len(alike) > 1) }
	sc := scan{call: again(files), again: again, columns: columns, files: files}
	if len(alike) == 1 {
		sc.full, err = s.full(ctx, t, files)
	}
	return []scan{sc}, err
}

// full learns from the files' footers that what is declared NOT NULL has a value in each row. Without a proof, false, each value is looked at when it is
// read, which keeps the engine from skipping what a filter leaves out.
func (s *session) full(ctx context.Context, t *Table, files []file) (bool, error) {
	var names []string
	for _, c := range t.Columns {
		if c.NotNull {
			names = append(names, strings.ToLower(c.Name))
		}
	}
	if len(names) == 0 {
		return true, nil
	}
	rows, err := s.texts(ctx, `SELECT path_in_schema, CAST(sum(stats_null_count) AS BIGINT), count(*) - count(stats_null_count)
		FROM parquet_metadata([`+paths(files)+`]) WHERE lower(path_in_schema) IN (`+quoteAll(names)+`) GROUP BY ALL ORDER BY ALL`)
	if err != nil {
		return false, err
	}
	proved := 0
	for _, r := range rows {
		if r[2] == "0" && r[1] != "0" {
			return false, t.problem(fmt.Sprintf("column %q is declared NOT NULL, and %s rows have no value there", r[0], r[1]), "")
		}
		if r[2] == "0" {
			proved++
		}
	}
	return proved == len(names), nil
}

// schemas returns one file for each of the schemas that occur, the first file's first.
func (s *session) schemas(ctx context.Context, files []file) ([]file, error) {
	if len(files) == 1 {
		return files, nil
	}
	once := map[string]bool{}
	var distinct []file
	for _, f := range files {
		if !once[f.path] {
			once[f.path] = true
			distinct = append(distinct, f)
		}
	}
	rows, err := s.texts(ctx, `SELECT file_name, md5(string_agg(concat_ws(chr(31), name, type, duckdb_type, num_children), chr(30) ORDER BY column_id))
		FROM parquet_schema([`+paths(distinct)+`]) WHERE column_id > 0 GROUP BY file_name`)
	if err != nil {
		return nil, err
	}
	shapes := map[string]string{}
	for _, r := range rows {
		shapes[r[0]] = r[1]
	}
	seen := map[string]bool{}
	var out []file
	for _, f := range distinct {
		if shape := shapes[f.path]; !seen[shape] {
			seen[shape] = true
			out = append(out, f)
		}
	}
	return out, nil
}

func readParquet(files []file, union bool) string {
	return fmt.Sprintf("read_parquet([%s], hive_partitioning=false, union_by_name=%t)", paths(files), union)
}

// describe gives the columns of something that can stand in FROM.
func (s *session) describe(ctx context.Context, from string) ([]engine.Column, error) {
	rows, err := s.texts(ctx, "DESCRIBE SELECT * FROM "+from)
	if err != nil {
		return nil, err
	}
	return columnsOf(rows), nil
}

func columnsOf(rows [][]string) []engine.Column {
	out := make([]engine.Column, len(rows))
	for i, r := range rows {
		out[i] = engine.Column{Name: r[0], Type: r[1]}
	}
	return out
}

// csvScans groups files by their header. The engine goes by the order of columns and never looks at the names; so dpb reads the headers.
func (s *session) csvScans(t *Table, files []file, declared map[string]string) ([]scan, error) {
	var out []scan
	groups := map[string]int{}
	for _, f := range files {
		header, err := csvHeader(f.path, t.Compression)
		if err != nil {
			return nil, t.problem(fmt.Sprintf("%s: %s", describe(t, Part{Partition: f.partition}), err),
				"a CSV file begins with the names of its columns, has commas between them and is in UTF-8")
		}
		id := strings.Join(header, "\x00")
		i, ok := groups[id]
		if !ok {
			columns, err := t.match(header, f)
			if err != nil {
				return nil, err
			}
			i = len(out)
			groups[id] = i
			out = append(out, scan{columns: columns})
		}
		out[i].files = append(out[i].files, f)
	}
	for i := range out {
		columns := asText(out[i].columns, declared)
		buffers, err := s.buffers(out[i].files, t.Compression)
		if err != nil {
			return nil, t.problem(fmt.Sprintf("it can't be read: %s", err), "")
		}
		out[i].again = func(files []file) string { return readCSV(files, columns, t.Compression, buffers) }
		out[i].call = out[i].again(out[i].files)
		out[i].typed = readCSV(out[i].files, out[i].columns, t.Compression, buffers)
	}
	return out, nil
}

// match gives the columns of a file in its own order, with the declared types; VARCHAR for those that nobody asks for.
func (t *Table) match(header []string, f file) ([]engine.Column, error) {
	var columns []engine.Column
	for _, h := range header {
		if has(columns, h) || h == "" {
			return nil, t.problem(fmt.Sprintf("its header has the column %q twice or without a name", h), "the header is "+strings.Join(header, ","))
		}
		c := engine.Column{Name: h, Type: "VARCHAR"}
		if d := column(t.Columns, h); d != nil {
			c.Type = d.Type
		}
		columns = append(columns, c)
	}
	for _, c := range t.Columns {
		if !has(columns, c.Name) {
			hint := "its columns are " + strings.Join(header, ", ")
			if s := engine.Suggest(c.Name, header); s != "" {
				hint = fmt.Sprintf("did you mean %q? %s", s, hint)
			}
			return nil, t.problem(fmt.Sprintf("there is no column %q in %s", c.Name, describe(t, Part{Partition: f.partition})), hint)
		}
	}
	return columns, nil
}

// csvHeader reads a file's first record. Its errors are about the file, "it".
func csvHeader(path, compression string) ([]string, error) {
	const wrong = "its first line can't be read: %w"
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf(wrong, err)
	}
	defer f.Close()
	r, err := decompress(f, compression)
	if err != nil {
		return nil, fmt.Errorf(wrong, err)
	}
	defer r.Close()
	text := bufio.NewReader(io.LimitReader(r, 1<<20))
	if bom, _ := text.Peek(3); string(bom) == "\ufeff" {
		text.Discard(3)
	}
	switch first, _ := text.Peek(1); string(first) {
	case "\n", "\r":
		return nil, fmt.Errorf("its first line is empty")
	}
	header, err := csv.NewReader(text).Read()
	if err == io.EOF {
		return nil, fmt.Errorf("it is empty")
	}
	if err != nil {
		return nil, fmt.Errorf(wrong, err)
	}
	return header, nil
}

func decompress(r io.Reader, compression string) (io.ReadCloser, error) {
	switch compression {
	case "gzip":
		return gzip.NewReader(r)
	case "zstd":
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(r), nil
}
