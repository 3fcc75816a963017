package fingerprint

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
)

// csvHeader is a CSV file's first record.
type csvHeader struct {
	size    int   // its bytes, with the line break
	crlf    bool  // its line breaks, and so all of the file's, are \r\n
	columns []int // of each field, the table's column
}

// longestHeader is how many bytes a header may have.
const longestHeader = 1 << 20

// planCSV learns the columns from the headers.
func (p *textTable) planCSV() error {
	p.headers = make([]csvHeader, len(p.Files))
	for k, f := range p.Files {
		names, err := readHeader(f.Path, p.Compression, &p.headers[k])
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		for i, name := range names {
			if name == "" || slices.ContainsFunc(names[:i], func(other string) bool { return strings.EqualFold(other, name) }) {
				return fmt.Errorf("%s: its header has the column %q twice or without a name", f.Name, name)
			}
			c := p.find(name)
			if c < 0 {
				c = len(p.columns)
				p.columns, p.notNull = append(p.columns, newColumn(name, kindOf("VARCHAR"))), append(p.notNull, false)
			}
			p.headers[k].columns = append(p.headers[k].columns, c)
		}
		for _, d := range p.Columns {
			if !slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(d.Name, name) }) {
				return fmt.Errorf("%s: there is no column %q; its columns are %s", f.Name, d.Name, strings.Join(names, ", "))
			}
		}
	}
	return nil
}

func readHeader(path, compression string, h *csvHeader) ([]string, error) {
	r, done, err := openText(path, compression)
	if err != nil {
		return nil, err
	}
	defer done()
	b, err := io.ReadAll(io.LimitReader(r, longestHeader))
	switch {
	case err != nil:
		return nil, err
	case len(b) == 0:
		return nil, fmt.Errorf("it is empty; a CSV file begins with the names of its columns")
	case b[0] == '\n' || b[0] == '\r':
		return nil, fmt.Errorf("its first line is empty; a CSV file begins with the names of its columns")
	}
	end, breakAt := len(b), csvBreak(b)
	switch {
	case breakAt < 0 && len(b) == longestHeader:
		return nil, fmt.Errorf("its first line has more than 1 MB")
	case breakAt >= 0 && b[breakAt] == '\n':
		end = breakAt + 1
	case breakAt >= 0 && bytes.HasPrefix(b[breakAt:], []byte("\r\n")):
		end, h.crlf = breakAt+2, true
	case breakAt >= 0:
		return nil, fmt.Errorf("its first line ends in a carriage return alone; lines end in a line feed")
	}
	h.size = end
	return csv.NewReader(bytes.NewReader(append(bytes.TrimRight(b[:end:end], "\r\n"), '\n'))).Read()
}

// csvBreak returns where the first line break outside quotes is, -1 if there is none.
func csvBreak(b []byte) int {
	open := false
	for k, c := range b {
		switch {
		case c == '"':
			open = !open
		case !open && (c == '\n' || c == '\r'):
			return k
		}
	}
	return -1
}

// csvCut returns where the last whole record of b ends. b begins with a record.
func csvCut(b []byte) int {
	last, at := 0, 0
	for {
		q := bytes.IndexByte(b[at:], '"')
		if q < 0 {
			q = len(b) - at
		}
		if k := bytes.LastIndexByte(b[at:at+q], '\n'); k >= 0 {
			last = at + k + 1
		}
		if at += q; at == len(b) {
			return last
		}
		if !opens(b, at) {
			at++
			continue
		}
		if at = closing(b, at); at < 0 {
			return last
		}
	}
}

// opens says whether a quote begins a field: nothing but spaces are before it.
func opens(b []byte, at int) bool {
	for at > 0 && b[at-1] == ' ' {
		at--
	}
	return at == 0 || b[at-1] == ',' || b[at-1] == '\n'
}

// closing returns what follows the quote that closes the field whose opening quote is given; -1 if none is known to.
func closing(b []byte, at int) int {
	for at++; ; at += 2 {
		q := bytes.IndexByte(b[at:], '"')
		if at += q; q < 0 || at+1 == len(b) {
			return -1
		}
		if b[at+1] != '"' {
			return at + 1
		}
	}
}

// csvRecords reads records of CSV by RFC 4180, with what DuckDB also takes: quotes inside a field that does not begin with one, spaces around quotes, empty fields too many.
type csvRecords struct {
	*csvHeader
	table   *textTable
	columns []*builder // by field
	all     []*builder
	lacking []*builder // which the file has no field for
	room    []byte
}

func (p *textTable) csvRecords(file int) records {
	r := &csvRecords{csvHeader: &p.headers[file], table: p, all: newBuilders(p)}
	for k, b := range r.all {
		if !slices.Contains(r.csvHeader.columns, k) {
			r.lacking = append(r.lacking, b)
		}
	}
	for _, k := range r.csvHeader.columns {
		r.columns = append(r.columns, r.all[k])
	}
	return r
}

func (r *csvRecords) builders() []*builder { return r.all }

func (r *csvRecords) next(data []byte) (n int, row bool, bad *unreadable) {
	if n := r.lineBreak(data, 0); n > 0 {
		if len(r.columns) > 1 {
			return n, false, nil
		}
		return n, true, r.null(0)
	}
	at := 0
	for k := 0; ; k++ {
		field, quoted, next, ok := r.field(data, at)
		if !ok && bad == nil {
			bad = &unreadable{why: "text follows a value in quotes, or its quotes are not closed"}
		}
		end := next >= len(data)
		n := 0
		if !end {
			n = r.lineBreak(data, next)
		}
		switch {
		case bad != nil:
		case k < len(r.columns):
			bad = r.value(k, field, quoted)
		case quoted || len(field) > 0:
			bad = &unreadable{why: fmt.Sprintf("it has more values than the header's %d columns", len(r.columns))}
		}
		if !end && n == 0 && data[next] != ',' {
			if bad == nil {
				bad = &unreadable{why: "its line break is another than the header's"}
			}
			next = r.endOfLine(data, next)
			return next, true, bad
		}
		if end || n > 0 {
			if bad == nil && k+1 < len(r.columns) {
				bad = &unreadable{why: fmt.Sprintf("it has %d values and the header %d columns", k+1, len(r.columns))}
			}
			for _, b := range r.lacking {
				b.null()
			}
			return next + n, true, bad
		}
		at = next + 1
	}
}

// lineBreak returns the length of the line break at some place, 0 if there is none.
func (r *csvRecords) lineBreak(data []byte, at int) int {
	switch {
	case r.crlf && data[at] == '\r' && at+1 < len(data) && data[at+1] == '\n':
		return 2
	case !r.crlf && data[at] == '\n':
		return 1
	}
	return 0
}

func (r *csvRecords) endOfLine(data []byte, at int) int {
	if k := bytes.IndexByte(data[at:], '\n'); k >= 0 {
		return at + k + 1
	}
	return len(data)
}

// field reads the field at some place, up to what follows it.
func (r *csvRecords) field(data []byte, at int) (field []byte, quoted bool, next int, ok bool) {
	begin := at
	for at < len(data) && data[at] == ' ' {
		at++
	}
	if at < len(data) && data[at] == '"' {
		return r.quoted(data, at+1)
	}
	for at < len(data) && data[at] != ',' && data[at] != '\n' && data[at] != '\r' {
		at++
	}
	return data[begin:at], false, at, true
}

func (r *csvRecords) quoted(data []byte, begin int) (field []byte, quoted bool, next int, ok bool) {
	end := closing(data, begin-1)
	if end < 0 {
		if end = len(data); end == begin || data[end-1] != '"' {
			return nil, true, len(data), false
		}
		if n := bytes.Count(data[begin:], []byte(`"`)); n%2 == 0 {
			return nil, true, len(data), false
		}
	}
	field = data[begin : end-1]
	if bytes.IndexByte(field, '"') >= 0 {
		r.room = r.room[:0]
		for k := 0; k < len(field); k++ {
			if r.room = append(r.room, field[k]); field[k] == '"' {
				k++
			}
		}
		field = r.room
	}
	for next = end; next < len(data) && data[next] == ' '; {
		next++
	}
	ok = next == len(data) || data[next] == ',' || data[next] == '\n' || data[next] == '\r'
	for !ok && next < len(data) && data[next] != ',' && data[next] != '\n' && data[next] != '\r' {
		next++
	}
	return field, true, next, ok
}

func (r *csvRecords) null(k int) *unreadable {
	if b := r.columns[k]; b.notNull {
		return &unreadable{column: r.name(k), why: "is NOT NULL and has no value"}
	}
	r.columns[k].null()
	return nil
}

func (r *csvRecords) name(k int) string { return r.table.columns[r.csvHeader.columns[k]].name }

func (r *csvRecords) value(k int, field []byte, quoted bool) *unreadable {
	if len(field) == 0 && !quoted {
		return r.null(k)
	}
	if b := r.columns[k]; !b.parse(field) {
		return &unreadable{column: r.name(k), text: string(field), why: "is no " + b.kind.name}
	}
	return nil
}
