//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Count reads all of a table with its declared columns, and returns its number of rows. It fails if the files are not what the columns say.
func Count(ctx context.Context, t Table, scratch string) (int64, error) {
	n, err := count(ctx, t, scratch, false)
	if notParallel(err) {
		return count(ctx, t, scratch, true)
	}
	return n, err
}

func count(ctx context.Context, t Table, scratch string, sequential bool) (int64, error) {
	s, err := open(ctx)
	if err != nil {
		return 0, err
	}
	defer s.close()
	s.sequential = sequential
	j := &job{Job: Job{Inputs: []Table{t}}, spill: filepath.Join(scratch, "spill")}
	if err := os.MkdirAll(j.spill, 0o700); err != nil {
		return 0, err
	}
	if j.Inputs, err = withoutMarks(j.Inputs, j.spill); err != nil {
		return 0, err
	}
	if err := j.confineTo(ctx, s, &j.Inputs[0]); err != nil {
		return 0, err
	}
	list := []string{"count(*)"}
	for _, c := range t.Columns {
		list = append(list, "count("+name(c.Name)+")")
	}
	rows, err := s.texts(ctx, "SELECT "+strings.Join(list, ", ")+" FROM "+name(t.Name))
	if err != nil {
		return 0, err
	}
	total, err := strconv.ParseInt(rows[0][0], 10, 64)
	if err != nil {
		return 0, err
	}
	for k, c := range t.Columns {
		if rows[0][k+1] != rows[0][0] && c.NotNull {
			return 0, &ProblemError{engine.Problem{Summary: fmt.Sprintf("column %q is promised NOT NULL, and has a value in %s of %d rows only", c.Name, rows[0][k+1], total)}}
		}
	}
	return total, nil
}

func (j *job) confineTo(ctx context.Context, s *session, t *Table) error {
	var files []string
	for _, p := range t.Parts {
		files = append(files, p.Files...)
		for _, f := range p.Files {
			s.names[f] = t.String()
		}
	}
	if err := s.exec(ctx, fmt.Sprintf("SET memory_limit='%dKiB'", j.memory()>>10)); err != nil {
		return err
	}
	if err := s.confine(ctx, j.spill, files); err != nil {
		return err
	}
	if err := s.view(ctx, t); err != nil {
		return err
	}
	return s.lock(ctx)
}
