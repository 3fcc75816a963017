//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/dpb-build/dpb/engine"
)

const (
	longRow   = 16_000_000 // what a row of CSV may be long where the engine reads at many places at once
	csvBuffer = 32 << 20
	chunk     = 1 << 20
)

// buffers are options of the engine's reader of CSV. Where a row is longer than its buffer, the reader can leave it out and say nothing; so where one may
// be that long, by what the files hold, the buffer is made to fit and the files are read from one end to the other.
func (s *session) buffers(files []file, compression string) (string, error) {
	longest := int64(0)
	known := map[string]bool{}
	for _, f := range files {
		if known[f.path] {
			continue
		}
		known[f.path] = true
		size, err := fileSize(f.path)
		if err != nil {
			return "", err
		}
		if compression == "" && size <= longRow {
			continue
		}
		n, err := longestRow(f.path, compression)
		if err != nil {
			return "", err
		}
		longest = max(longest, n)
	}
	if longest <= longRow {
		return fmt.Sprintf("max_line_size=%d, buffer_size=%d, parallel=%t", longRow, csvBuffer, !s.sequential), nil
	}
	return fmt.Sprintf("max_line_size=%d, buffer_size=%d, parallel=false", longest, max(csvBuffer, 2*longest)), nil
}

// longestRow is a length that no row of a file exceeds. It looks for one end of a row in each block and not for all.
func longestRow(path, compression string) (int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r, err := decompress(f, compression)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	b := make([]byte, chunk)
	open, run, longest := false, int64(0), int64(0)
	for {
		n, err := io.ReadFull(r, b)
		ends, odd := rowEnds(b[:n], open)
		open = odd
		run++
		longest = max(longest, (run+1)*chunk)
		if ends {
			run = 0
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return longest, nil
		default:
			return 0, err
		}
	}
}

// rowEnds says whether a row ends in a stretch of text, which begins between quotes if open is set, and whether the stretch ends between quotes.
func rowEnds(text []byte, open bool) (ends, stillOpen bool) {
	flip := func(b []byte) { open = open != (bytes.Count(b, []byte{'"'})%2 == 1) }
	end := byte('\n')
	if bytes.IndexByte(text, end) < 0 {
		end = '\r'
	}
	for {
		i := bytes.IndexByte(text, end)
		if i < 0 || ends {
			flip(text)
			return ends, open
		}
		flip(text[:i])
		ends = !open
		text = text[i+1:]
	}
}

// withoutMarks replaces files of NDJSON that begin with a byte order mark, which the engine does not take, by copies without.
func withoutMarks(inputs []Table, dir string) ([]Table, error) {
	inputs = slices.Clone(inputs)
	copies := map[string]string{}
	for i := range inputs {
		t := &inputs[i]
		if t.Format != engine.NDJSON {
			continue
		}
		t.Parts = slices.Clone(t.Parts)
		for k := range t.Parts {
			p := &t.Parts[k]
			p.Files = slices.Clone(p.Files)
			for n, path := range p.Files {
				if copies[path] == "" {
					made, err := withoutMark(path, t.Compression, filepath.Join(dir, fmt.Sprintf("input-%d", len(copies))))
					if err != nil {
						return nil, err
					}
					copies[path] = made
				}
				p.Files[n] = copies[path]
			}
		}
	}
	return inputs, nil
}

// withoutMark returns the path of a file that holds the same without a byte order mark. A file that can't be read is for the engine to tell of.
func withoutMark(path, compression, to string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return path, nil
	}
	defer f.Close()
	r, err := decompress(f, compression)
	if err != nil {
		return path, nil
	}
	defer r.Close()
	mark := make([]byte, 3)
	if n, _ := io.ReadFull(r, mark); n < 3 || string(mark) != "\ufeff" {
		return path, nil
	}
	out, err := os.Create(to)
	if err != nil {
		return "", err
	}
	c, err := compressTo(out, compression)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(c, r)
	if closing := c.Close(); err == nil {
		err = closing
	}
	return to, err
}
