//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/engine"
)

// Columns proposes the columns of a file, by its ending. Text is read as a whole: what a sample shows, a later row may belie.
func Columns(ctx context.Context, path string) ([]engine.Column, error) {
	format, compression := engine.FormatOf(filepath.ToSlash(path))
	if format == engine.Opaque {
		return nil, fmt.Errorf("%s: its ending tells no format: want .parquet, .csv, .ndjson or .jsonl, the last three also with .gz or .zst", path)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, err
	}
	return propose(ctx, path, format, compression)
}

func propose(ctx context.Context, path string, format engine.Format, compression string) ([]engine.Column, error) {
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.close()
	s.names[path] = filepath.Base(path)
	if err := s.exec(ctx, "SET temp_directory=''", "SET allowed_paths=["+quote(path)+"]", "SET enable_external_access=false"); err != nil {
		return nil, err
	}
	call, err := s.sniff(path, format, compression)
	if err != nil {
		return nil, err
	}
	columns, err := s.describe(ctx, call)
	for i := range columns {
		columns[i].Type = narrow(columns[i].Type) // HUGEINT is the engine's guess for numbers of other types
	}
	return columns, err
}

func (s *session) sniff(path string, format engine.Format, compression string) (string, error) {
	switch format {
	case engine.CSV:
		buffers, err := s.buffers([]file{{path: path}}, compression)
		return fmt.Sprintf(`read_csv([%s], header=true, delim=',', quote='"', escape='"', nullstr='', sample_size=-1, hive_partitioning=false, compression=%s, %s)`,
			quote(path), quote(cmp.Or(compression, "none")), buffers), err
	case engine.NDJSON:
		return fmt.Sprintf("read_json([%s], format='newline_delimited', sample_size=-1, hive_partitioning=false, compression=%s)",
			quote(path), quote(cmp.Or(compression, "uncompressed"))), nil
	}
	return readParquet([]file{{path: path}}, false), nil
}
