package fingerprint

import (
	"bytes"
	"compress/gzip"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// TestCompressedBomb: a small file that stands for one endless record is given up, before it takes the memory.
func TestCompressedBomb(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		format engine.Format
		start  string
	}{"a.csv.gz": {engine.CSV, "a\n\""}, "a.ndjson.gz": {engine.NDJSON, `{"a":"`}} {
		file := filepath.Join(t.TempDir(), name)
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		w, _ := gzip.NewWriterLevel(f, gzip.BestSpeed)
		_, err = w.Write([]byte(c.start))
		piece := bytes.Repeat([]byte("x"), 1<<20)
		for range 2 * longestRecord >> 20 {
			_, more := w.Write(piece)
			err = errors.Join(err, more)
		}
		if err := errors.Join(err, w.Close(), f.Close()); err != nil {
			t.Fatal(err)
		}
		table := Table{Format: c.format, Compression: "gzip", Columns: []engine.Column{{Name: "a", Type: "VARCHAR"}}, Files: []File{{Name: name, Path: file}}}
		_, _, err = Compute(t.Context(), table, 2)
		var unreadable *UnreadableError
		if !errors.As(err, &unreadable) || unreadable.Why != "a record has more than 64 MiB" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
