package fingerprint

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
)

const (
	// chunkSize is how much text is handed to a goroutine at a time.
	chunkSize = 1 << 20
	// longestRecord is how many bytes a record may have: a few compressed bytes may stand for any number of them.
	longestRecord = 64 << 20
)

// textTable is a table of CSV or NDJSON.
type textTable struct {
	Table
	columns []*column
	notNull []bool
	headers []csvHeader // of CSV, by file
}

// chunk is a part of a file that ends where a record ends.
type chunk struct {
	file int
	data []byte
	line int64 // of its begin, from 1
	err  error // instead of data: why the file can't be read on
}

// unreadable says what is wrong with a record.
type unreadable struct {
	column, text, why string
}

// records reads the records of a chunk.
type records interface {
	// next adds the record that data begins with to the builders. It returns the record's length, and whether it is a row: empty lines are none.
	next(data []byte) (n int, row bool, bad *unreadable)
	builders() []*builder
}

func planText(t Table) (*textTable, error) {
	p := &textTable{Table: t}
	if t.Format == engine.CSV {
		if err := p.planCSV(); err != nil {
			return nil, err
		}
	}
	for _, d := range t.Columns {
		if k := p.find(d.Name); k >= 0 {
			p.columns[k].kind, p.columns[k].name, p.notNull[k] = kindOf(d.Type), d.Name, d.NotNull
			continue
		}
		p.columns, p.notNull = append(p.columns, newColumn(d.Name, kindOf(d.Type))), append(p.notNull, d.NotNull)
	}
	return p, nil
}

func (p *textTable) find(name string) int {
	return slices.IndexFunc(p.columns, func(c *column) bool {
		return c.name == name || p.Format == engine.CSV && strings.EqualFold(c.name, name)
	})
}

func (p *textTable) reader(file int) records {
	if p.Format == engine.CSV {
		return p.csvRecords(file)
	}
	return p.jsonRecords()
}

func newBuilders(p *textTable) (out []*builder) {
	for k, c := range p.columns {
		b := &builder{kind: c.kind, notNull: p.notNull[k]}
		b.reset()
		out = append(out, b)
	}
	return out
}

// decompressed opens a file's text.
func decompressed(path, compression string) (io.Reader, func(), error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	var r io.Reader = f
	done := func() { f.Close() }
	switch compression {
	case "gzip":
		r, err = gzip.NewReader(f)
	case "zstd":
		var d *zstd.Decoder
		if d, err = zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<28)); err == nil {
			r, done = d, func() { d.Close(); f.Close() }
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return r, done, nil
}

// openText opens a file's text, without a byte order mark.
func openText(path, compression string) (io.Reader, func(), error) {
	r, done, err := decompressed(path, compression)
	if err != nil {
		return nil, nil, err
	}
	var mark [3]byte
	n, err := readFull(r, mark[:])
	if noEOF(err) != nil {
		done()
		return nil, nil, err
	}
	if string(mark[:n]) == "\ufeff" {
		n = 0
	}
	return io.MultiReader(bytes.NewReader(mark[:n]), r), done, nil
}

// readFull fills b as far as the text goes. At its end the error is io.EOF; a compressed text that breaks off has another.
func readFull(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var more int
		more, err = r.Read(b[n:])
		n += more
	}
	return n, err
}

// chunks reads a file's text in parts that end where a record ends. An error is the last of them. It says whether yield wants more.
func (p *textTable) chunks(file int, yield func(chunk) bool) bool {
	r, done, err := openText(p.Files[file].Path, p.Compression)
	if err != nil {
		return yield(chunk{file: file, err: fmt.Errorf("%s: %w", p.Files[file].Name, err)})
	}
	defer done()
	cut, skip := func(b []byte) int { return bytes.LastIndexByte(b, '\n') + 1 }, 0
	if p.Format == engine.CSV {
		cut, skip = csvCut, p.headers[file].size
	}
	var rest []byte
	line, size := int64(1), chunkSize
	if info, err := os.Stat(p.Files[file].Path); err == nil && p.Compression == "" {
		size = int(min(chunkSize, info.Size()+1))
	}
	for more := true; more; {
		buf := make([]byte, len(rest), max(size, len(rest)+1))
		copy(buf, rest)
		n, err := readFull(r, buf[len(rest):cap(buf)])
		buf, more = buf[:len(rest)+n], err == nil
		if noEOF(err) != nil {
			return yield(chunk{file: file, err: fmt.Errorf("%s: %w", p.Files[file].Name, err)})
		}
		at := len(buf)
		if more {
			at = cut(buf)
		}
		rest = buf[at:]
		if size = chunkSize; at == 0 {
			if size = 2 * len(buf); size > longestRecord {
				return yield(chunk{file: file, err: &UnreadableError{Name: p.Files[file].Name, Line: line, Why: "a record has more than 64 MiB"}})
			}
			continue
		}
		data := buf[:at]
		if skip > 0 {
			// The header is in the first chunk.
			line += countLines(data[:skip])
			data, skip = data[skip:], 0
		}
		if !yield(chunk{file: file, data: data, line: line}) {
			return false
		}
		line += countLines(data)
	}
	return true
}

func countLines(b []byte) int64 { return int64(bytes.Count(b, []byte{'\n'})) }

// textReader adds chunks to columns, for one goroutine.
type textReader struct {
	*textTable
	*worker
	file   int
	reader records
	vector vector
}

// read parses a chunk. After its rows come those of others.
func (r *textReader) read(ctx context.Context, c *chunk, g *gather) (rows int64, err error) {
	if c.err != nil {
		return 0, c.err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if r.reader == nil || r.file != c.file {
		r.file, r.reader = c.file, r.textTable.reader(c.file)
	}
	builders := r.reader.builders()
	for _, b := range builders {
		b.reset()
	}
	valid := utf8.Valid(c.data)
	for at := 0; at < len(c.data); {
		n, row, bad := r.reader.next(c.data[at:])
		if !valid && !utf8.Valid(c.data[at:at+n]) {
			bad = &unreadable{why: "is no valid UTF-8"}
		}
		if bad != nil {
			return 0, &UnreadableError{Name: r.Files[c.file].Name, Line: c.line + countLines(c.data[:at]), Column: bad.column, Text: bad.text, Why: bad.why}
		}
		if row {
			rows++
		}
		at += n
	}
	r.add(g, builders, int(rows))
	return rows, nil
}

func (r *textReader) add(g *gather, builders []*builder, rows int) {
	if len(g.columns) == 0 {
		return
	}
	r.begin(rows)
	for k, c := range g.columns {
		b := builders[k]
		value := 0
		for row := 0; row < rows; row += step {
			b.vector(&r.vector, row, min(step, rows-row), value)
			value += r.vector.values
			r.worker.add(c, &r.vector, row)
		}
		r.finish(c)
	}
	r.end(&g.sum)
}

func computeText(ctx context.Context, t Table, threads int, s *summary) error {
	p, err := planText(t)
	if err != nil {
		return err
	}
	var gathers []*gather
	all := func(yield func(chunk) bool) {
		for k := range p.Files {
			if !p.chunks(k, yield) {
				return
			}
		}
	}
	pieces := each(threads, all, func() func(*chunk) piece {
		g := newGather(p.columns)
		gathers = append(gathers, g)
		r := &textReader{textTable: p, worker: newWorker()}
		return func(c *chunk) piece {
			if c == nil {
				return piece{}
			}
			rows, err := r.read(ctx, c, g)
			out := g.take(rows)
			out.err = err
			return out
		}
	})
	return s.assemble(p.columns, gathers, pieces)
}
