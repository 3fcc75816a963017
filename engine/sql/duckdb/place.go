//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/dpb-build/dpb/engine"
)

// place makes the output's files from what the engine wrote.
func (w *writer) place(ctx context.Context, rows int64) error {
	switch {
	case w.output.Shape == engine.Parts && w.output.Format == engine.Parquet:
		return w.cutParquet(ctx, rows)
	case w.output.Shape == engine.Parts || w.output.Compression != "":
		return w.cutText(ctx)
	}
	return nil
}

// part is the path of the output's i-th file.
func (w *writer) part(i int) string {
	path := strings.Replace(w.output.Path, "*", fmt.Sprintf("part-%05d", i), 1)
	return filepath.Join(w.OutDir, filepath.FromSlash(path))
}

// cutParquet cuts by rows: as many a part as the average says will fit, and fewer if they do not. Sizes of files are the same on each run, and so are
// the cuts. It runs in an instance of its own, which no foreign SQL ever reached.
func (w *writer) cutParquet(ctx context.Context, rows int64) error {
	size, err := fileSize(w.raw)
	if err != nil {
		return err
	}
	limit := w.output.PartSize
	if limit <= 0 || size <= limit {
		return move(w.raw, w.part(0))
	}
	s, err := open(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	if err := s.exec(ctx, fmt.Sprintf("SET threads=%d", w.threads())); err != nil {
		return err
	}
	if err := s.limit(ctx, w.memory(), w.spill); err != nil {
		return err
	}
	// A column of this name would hide the engine's own. Then rows are counted, which is the same on each run with one thread only.
	rank := !has(w.asWritten(), "file_row_number")
	if !rank {
		if err := s.exec(ctx, "SET threads=1"); err != nil {
			return err
		}
	}
	guess := max(1, rows*limit/size)
	total := int64(0)
	for i, from := 0, int64(0); from < rows; i++ {
		n := min(guess, rows-from)
		for {
			copied, err := w.copyRows(ctx, s, from, n, rank, w.part(i))
			if err != nil {
				return err
			}
			made, err := fileSize(w.part(i))
			if err != nil {
				return err
			}
			if made <= limit || n == 1 {
				total += copied
				break
			}
			n = max(1, min(n-1, n*limit/made*9/10))
		}
		from += n
	}
	if total != rows {
		return fmt.Errorf("output %q: its parts hold %d rows of %d", w.output.Name, total, rows)
	}
	return os.Remove(w.raw)
}

// copyRows writes n rows, by their numbers in the file if rank is set, and returns how many there were.
func (w *writer) copyRows(ctx context.Context, s *session, from, n int64, rank bool, to string) (int64, error) {
	which := fmt.Sprintf("LIMIT %d OFFSET %d", n, from)
	if rank {
		which = fmt.Sprintf("WHERE file_row_number >= %d AND file_row_number < %d ORDER BY file_row_number", from, from+n)
	}
	rows, err := s.texts(ctx, fmt.Sprintf("COPY (SELECT * FROM read_parquet([%s], hive_partitioning=false) %s) TO %s (%s)",
		quote(w.raw), which, quote(to), parquetOptions))
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(rows[0][0], 10, 64)
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// move renames, or copies where the two folders are on different file systems.
func move(from, to string) error {
	if os.Rename(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}

// cutText copies rows, compressed if need be, and begins a new part where the next row would make the text of one, before compression, longer than it may
// be. dpb compresses by itself, so that bytes don't depend on how many threads the engine had.
func (w *writer) cutText(ctx context.Context) error {
	f, err := os.Open(w.raw)
	if err != nil {
		return err
	}
	defer f.Close()
	r := &rowReader{r: bufio.NewReaderSize(f, 1<<20), quotes: w.output.Format == engine.CSV}
	var header []byte
	if r.quotes {
		if header, err = r.next(); err != nil {
			return err
		}
		header = append([]byte(nil), header...)
	}
	limit := w.output.PartSize
	if w.output.Shape != engine.Parts {
		limit = 0
	}
	row, err := r.next()
	for i := 0; i == 0 || err == nil; i++ {
		p, openErr := w.textPart(i)
		if openErr != nil {
			return openErr
		}
		size := int64(len(header))
		_, writeErr := p.Write(header)
		for n := 0; err == nil && writeErr == nil && (n == 0 || limit <= 0 || size+int64(len(row)) <= limit); n++ {
			size += int64(len(row))
			_, writeErr = p.Write(row)
			if n%4096 == 0 && ctx.Err() != nil {
				writeErr = ctx.Err()
			} else if writeErr == nil {
				row, err = r.next()
			}
		}
		if closeErr := p.Close(); writeErr == nil {
			writeErr = closeErr
		}
		if writeErr != nil {
			return writeErr
		}
	}
	if err != io.EOF {
		return err
	}
	return os.Remove(w.raw)
}

// rowReader gives rows of text with their line break. In CSV a line break between quotes is a part of the row.
type rowReader struct {
	r      *bufio.Reader
	quotes bool
	row    []byte
}

func (r *rowReader) next() ([]byte, error) {
	r.row = r.row[:0]
	open := false
	for {
		line, err := r.r.ReadSlice('\n')
		r.row = append(r.row, line...)
		if r.quotes {
			for _, c := range line {
				open = open != (c == '"')
			}
		}
		switch {
		case err == bufio.ErrBufferFull, err == nil && open:
		case err == io.EOF && len(r.row) > 0:
			return r.row, nil
		default:
			return r.row, err
		}
	}
}

// textPart opens a part for writing.
func (w *writer) textPart(i int) (io.WriteCloser, error) {
	f, err := os.Create(w.part(i))
	if err != nil {
		return nil, err
	}
	return compressTo(f, w.output.Compression)
}

// compressTo writes to a file and closes it.
func compressTo(f *os.File, compression string) (io.WriteCloser, error) {
	var err error
	c := &compressed{file: f, buffer: bufio.NewWriterSize(f, 1<<18)}
	switch compression {
	case "gzip":
		c.encoder, err = gzip.NewWriterLevel(c.buffer, 6)
	case "zstd":
		c.encoder, err = zstd.NewWriter(c.buffer, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1))
	default:
		c.encoder = nopCloser{c.buffer}
	}
	if err != nil {
		f.Close()
	}
	return c, err
}

type compressed struct {
	file    *os.File
	buffer  *bufio.Writer
	encoder io.WriteCloser
}

func (c *compressed) Write(b []byte) (int, error) { return c.encoder.Write(b) }

func (c *compressed) Close() error {
	err := c.encoder.Close()
	if flush := c.buffer.Flush(); err == nil {
		err = flush
	}
	if closing := c.file.Close(); err == nil {
		err = closing
	}
	return err
}

type nopCloser struct{ io.Writer }

func (nopCloser) Close() error { return nil }
