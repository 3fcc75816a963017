package fingerprint

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
)

// Unreadable is a record that can't be read.
type Unreadable struct {
	File int
	Name string // the file's
	Line int64  // from 1
	Text string // the record, at most 1000 bytes of it
	Why  string
}

// Counts tells of one file how many records its copy has, and how many were left out: by drop and because they can't be read.
type Counts struct{ Kept, Dropped, Bad int64 }

// Filter copies text without some of its records, each kept byte as it is; compressed text is compressed again. drop says which of the readable records, numbered from 0 in each file as the SQL
// engine would give them, are left out; nil: none. Records that can't be read are left out and handed to bad; where that is nil they are an *UnreadableError. out opens the copy of a file.
func Filter(ctx context.Context, t Table, drop func(file int, record int64) bool, bad func(Unreadable) error, out func(file int) (io.WriteCloser, error)) ([]Counts, error) {
	if t.Format != engine.CSV && t.Format != engine.NDJSON {
		return nil, fmt.Errorf("only text can be filtered by record")
	}
	p, err := planText(t)
	if err != nil {
		return nil, err
	}
	counts := make([]Counts, len(t.Files))
	for k := range t.Files {
		f := &filter{textTable: p, file: k, drop: drop, bad: bad, Counts: &counts[k]}
		if err := f.copy(ctx, out); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// filter copies one file.
type filter struct {
	*textTable
	*Counts
	file    int
	drop    func(file int, record int64) bool
	bad     func(Unreadable) error
	records int64 // readable ones so far
}

func (f *filter) copy(ctx context.Context, out func(int) (io.WriteCloser, error)) error {
	to, err := out(f.file)
	if err != nil {
		return err
	}
	w, finish, err := compressor(to, f.Compression)
	if err == nil {
		err = f.copyTo(ctx, w)
	}
	if err == nil {
		err = finish()
	}
	if closeErr := to.Close(); err == nil {
		err = closeErr
	}
	return err
}

// compressor compresses what is written, with one thread: to the same bytes each time.
func compressor(to io.Writer, compression string) (w *bufio.Writer, finish func() error, err error) {
	var encoder io.WriteCloser
	switch compression {
	case "gzip":
		encoder, err = gzip.NewWriterLevel(to, 6)
	case "zstd":
		encoder, err = zstd.NewWriter(to, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	default:
		w = bufio.NewWriterSize(to, 1<<16)
		return w, w.Flush, nil
	}
	w = bufio.NewWriterSize(encoder, 1<<16)
	return w, func() error {
		if err := w.Flush(); err != nil {
			return err
		}
		return encoder.Close()
	}, err
}

func (f *filter) copyTo(ctx context.Context, w io.Writer) (err error) {
	if err := f.copyHead(w); err != nil {
		return err
	}
	r := f.reader(f.file)
	f.chunks(f.file, func(c chunk) bool {
		if err = c.err; err == nil {
			if err = ctx.Err(); err == nil {
				err = f.copyChunk(c, r, w)
			}
		}
		return err == nil
	})
	return err
}

// copyHead copies the byte order mark and the header.
func (f *filter) copyHead(w io.Writer) error {
	r, done, err := decompressed(f.Files[f.file].Path, f.Compression)
	if err != nil {
		return err
	}
	defer done()
	var mark [3]byte
	n, err := readFull(r, mark[:])
	if noEOF(err) != nil {
		return err
	}
	size := 0
	if f.Format == engine.CSV {
		size = f.headers[f.file].size
	}
	if string(mark[:n]) == "\ufeff" {
		if _, err := w.Write(mark[:n]); err != nil {
			return err
		}
	} else if size > 0 {
		n = min(n, size)
		if _, err := w.Write(mark[:n]); err != nil {
			return err
		}
		size -= n
	}
	_, err = io.CopyN(w, r, int64(size))
	return err
}

func (f *filter) copyChunk(c chunk, r records, w io.Writer) error {
	valid, line := utf8.Valid(c.data), c.line
	for at := 0; at < len(c.data); {
		for _, b := range r.builders() {
			b.reset()
		}
		n, row, wrong := r.next(c.data[at:])
		record := c.data[at : at+n]
		if !valid && !utf8.Valid(record) {
			wrong = &unreadable{why: "is no valid UTF-8"}
		}
		keep := true
		switch {
		case wrong != nil:
			keep = false
			if err := f.report(wrong, record, line); err != nil {
				return err
			}
			f.Bad++
		case row:
			keep = f.drop == nil || !f.drop(f.file, f.records)
			if f.records++; keep {
				f.Kept++
			} else {
				f.Dropped++
			}
		}
		if keep {
			if _, err := w.Write(record); err != nil {
				return err
			}
		}
		at += n
		line += countLines(record)
	}
	return nil
}

// longestShown is how many bytes of an unreadable record are handed on.
const longestShown = 1000

func (f *filter) report(wrong *unreadable, record []byte, line int64) error {
	name := f.Files[f.file].Name
	e := &UnreadableError{Name: name, Line: line, Column: wrong.column, Text: wrong.text, Why: wrong.why}
	if f.bad == nil {
		return e
	}
	return f.bad(Unreadable{File: f.file, Name: name, Line: line, Text: string(record[:min(len(record), longestShown)]), Why: e.reason()})
}
