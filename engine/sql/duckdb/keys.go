//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

const (
	sampled    = 3   // how many samples a report has
	sampleText = 100 // bytes that a sample shows of one value
)

// CheckKey counts the rows of a table that keep some columns from being a key: no two rows have the same values there, and none a null.
func CheckKey(ctx context.Context, t Table, key []string, scratch string, threads int, memory int64) (KeyReport, error) {
	j := &job{Job: Job{Inputs: []Table{t}, Threads: threads, Memory: memory}, spill: filepath.Join(scratch, "spill")}
	defer os.RemoveAll(j.spill)
	return eitherWay(func(sequential bool) (KeyReport, error) {
		s, err := j.reader(ctx, sequential, nil)
		if err != nil {
			return KeyReport{}, t.wrong(ctx, nil, err, j.memory())
		}
		defer s.close()
		r, err := s.checkKey(ctx, &t, key)
		return r, t.wrong(ctx, s, err, j.memory())
	})
}

// wrong writes an error of the engine about a table as a problem. Other errors stay as they are.
func (t *Table) wrong(ctx context.Context, s *session, err error, memory int64) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	p := engine.Problem{Hint: f.hint(memory)}
	if p.Summary, p.Detail = f.split(); s != nil {
		p = s.problem(ctx, f, memory)
	}
	if !strings.HasPrefix(p.Summary, t.String()) {
		p.Summary = t.String() + ": " + p.Summary
	}
	return &ProblemError{p}
}

func (s *session) checkKey(ctx context.Context, t *Table, key []string) (KeyReport, error) {
	var r KeyReport
	var items, nulls, terms []string
	for _, k := range key {
		c, err := s.columnOf(ctx, t, k)
		if err != nil {
			return r, err
		}
		items, nulls = append(items, name(c.Name)), append(nulls, name(c.Name)+" IS NULL")
		terms = append(terms, fmt.Sprintf("coalesce(%s, 'NULL')", shown(c)))
	}
	columns, null := strings.Join(items, ", "), strings.Join(nulls, " OR ")
	rows, err := s.texts(ctx, fmt.Sprintf(`SELECT coalesce(sum(n), 0)::VARCHAR, coalesce(sum(n - 1) FILTER (NOT gap), 0)::VARCHAR, coalesce(sum(n) FILTER (gap), 0)::VARCHAR
		FROM (SELECT count(*) AS n, %s AS gap FROM %s GROUP BY %s)`, null, name(t.Name), columns))
	if err != nil {
		return r, err
	}
	for i, into := range []*int64{&r.Rows, &r.Duplicates, &r.Nulls} {
		if *into, err = strconv.ParseInt(rows[0][i], 10, 64); err != nil {
			return r, err
		}
	}
	if r.Duplicates+r.Nulls == 0 {
		return r, nil
	}
	rows, err = s.texts(ctx, fmt.Sprintf("SELECT %s FROM %s GROUP BY %s HAVING count(*) > 1 OR %s ORDER BY %s LIMIT %d",
		strings.Join(terms, ", "), name(t.Name), columns, null, columns, sampled))
	for _, row := range rows {
		for i, k := range key {
			row[i] = k + " = " + plain(row[i])
		}
		r.Samples = append(r.Samples, "("+strings.Join(row, ", ")+")")
	}
	return r, err
}

// shown is a column that rows are grouped by, as text: the smallest, where values that are equal can have different ones.
func shown(c engine.Column) string {
	text := fmt.Sprintf("CAST(%s AS VARCHAR)", name(c.Name))
	if tying.MatchString(bare(c.Type)) {
		return "min(" + text + ")"
	}
	return text
}

// plain is a value as one short line.
func plain(text string) string {
	if len(text) > sampleText {
		text = strings.ToValidUTF8(text[:sampleText], "") + "…"
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}

// columnOf finds a column of a table's view.
func (s *session) columnOf(ctx context.Context, t *Table, wanted string) (engine.Column, error) {
	columns, err := s.describe(ctx, name(t.Name))
	if err != nil {
		return engine.Column{}, err
	}
	if c := column(columns, wanted); c != nil {
		return *c, nil
	}
	return engine.Column{}, t.problem(fmt.Sprintf("there is no column %q", wanted), didYouMeanColumn(wanted, columns))
}

// CheckReference counts the rows of a table with a value that a column of the other table lacks. The tables may be one and have the same name.
func CheckReference(ctx context.Context, t Table, column string, other Table, otherColumn, scratch string, threads int, memory int64) (OrphanReport, error) {
	j := &job{Job: Job{Inputs: []Table{t, other}, Threads: threads, Memory: memory}, spill: filepath.Join(scratch, "spill")}
	defer os.RemoveAll(j.spill)
	return eitherWay(func(sequential bool) (OrphanReport, error) {
		s, err := j.confined(ctx, sequential, nil)
		if err != nil {
			return OrphanReport{}, err
		}
		defer s.close()
		r, err := j.checkReference(ctx, s, column, otherColumn)
		return r, t.wrong(ctx, s, err, j.memory())
	})
}

// checkReference holds the column of the job's first table against that of its second.
func (j *job) checkReference(ctx context.Context, s *session, column, otherColumn string) (OrphanReport, error) {
	var r OrphanReport
	t, other := &j.Inputs[0], &j.Inputs[1]
	to, err := s.viewed(ctx, other, otherColumn)
	if err != nil {
		return r, other.wrong(ctx, s, err, j.memory())
	}
	renamed := name(t.Name + " " + other.Name)
	if err := s.exec(ctx, "ALTER VIEW "+name(other.Name)+" RENAME TO "+renamed); err != nil {
		return r, err
	}
	from, err := s.viewed(ctx, t, column)
	if err != nil {
		return r, err
	}
	if !dpbsql.Widens(from.Type, to.Type) && !dpbsql.Widens(to.Type, from.Type) {
		return r, t.problem(fmt.Sprintf("column %q is %s, and column %q of %s, which it refers to, is %s", from.Name, from.Type, to.Name, other, to.Type), "make their types alike")
	}
	if err := s.lock(ctx); err != nil {
		return r, err
	}
	orphans := fmt.Sprintf("FROM %s AS a WHERE a.%s IS NOT NULL AND NOT EXISTS (FROM %s AS b WHERE b.%s = a.%[2]s)", name(t.Name), name(from.Name), renamed, name(to.Name))
	rows, err := s.texts(ctx, "SELECT count(*) "+orphans)
	if err != nil {
		return r, err
	}
	if r.Rows, err = strconv.ParseInt(rows[0][0], 10, 64); err != nil || r.Rows == 0 {
		return r, err
	}
	rows, err = s.texts(ctx, fmt.Sprintf("SELECT %s %s GROUP BY %s ORDER BY %[3]s LIMIT %d", shown(from), orphans, name(from.Name), sampled))
	for _, row := range rows {
		r.Samples = append(r.Samples, plain(row[0]))
	}
	return r, err
}

// viewed makes a table's view and finds a column of it.
func (s *session) viewed(ctx context.Context, t *Table, wanted string) (engine.Column, error) {
	if err := s.view(ctx, t); err != nil {
		return engine.Column{}, err
	}
	return s.columnOf(ctx, t, wanted)
}
