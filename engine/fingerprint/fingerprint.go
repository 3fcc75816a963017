// Package fingerprint computes and merges summaries of tables, in one pass and bounded memory.
package fingerprint

import (
	"context"
	"fmt"
	"iter"
	"os"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dpb-build/dpb/engine"
)

// Table is what a fingerprint is computed of.
type Table struct {
	Format      engine.Format
	Compression string // "", "gzip" or "zstd", of text
	// Columns are those that the reader declares. Of Parquet, others are read too, by the types of their files. Of CSV, others are VARCHAR. Of NDJSON, only these are
	// read; without any only rows are counted.
	Columns []engine.Column
	Files   []File // in order
}

// File is one file of a table.
type File struct {
	Name string // what messages call it
	Path string // where its bytes lie
}

// UnreadableError says which row of a table can't be read.
type UnreadableError struct {
	Name   string
	Line   int64  // from 1; of Parquet, the row; 0: not known
	Column string // "" if it is about the whole row
	Text   string // the value, "" if there is none
	Why    string // "is no BIGINT"
}

func (e *UnreadableError) Error() string {
	where := e.Name
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.Name, e.Line)
	}
	return where + ": " + e.reason()
}

func (e *UnreadableError) reason() string {
	switch {
	case e.Column == "":
		return e.Why
	case e.Text == "":
		return e.Column + " " + e.Why
	}
	return fmt.Sprintf("%s is %q, which %s", e.Column, cut(e.Text), e.Why)
}

// Compute reads a table once, with at most so many threads. Its error is an *UnreadableError if a row can't be read.
func Compute(ctx context.Context, t Table, threads int) (*engine.Fingerprint, State, error) {
	s := &summary{files: int64(len(t.Files))}
	for _, f := range t.Files {
		info, err := os.Stat(f.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		s.bytes += info.Size()
	}
	if t.Format == engine.Opaque {
		return s.document(), s.encode(), nil
	}
	s.table = true
	read := computeText
	if t.Format == engine.Parquet {
		read = computeParquet
	}
	if err := read(ctx, t, max(threads, 1), s); err != nil {
		return nil, nil, err
	}
	return s.document(), s.encode(), nil
}

// piece is what must be put together in the order of a table's rows.
type piece struct {
	rows    int64
	digests []sequence
	err     error
}

// gather is what one goroutine learned of its pieces.
type gather struct {
	columns []*column
	sum     rowSum
}

func newGather(of []*column) *gather {
	g := &gather{}
	for _, c := range of {
		g.columns = append(g.columns, newColumn(c.name, c.kind))
	}
	return g
}

// take moves the digests of what was read into a piece.
func (g *gather) take(rows int64) piece {
	p := piece{rows: rows, digests: make([]sequence, len(g.columns))}
	for k, c := range g.columns {
		p.digests[k], c.digest = c.digest, sequence{}
	}
	return p
}

// assemble puts together what the goroutines learned, in whatever order, and the digests of the pieces, in theirs.
func (s *summary) assemble(columns []*column, gathers []*gather, pieces []piece) error {
	s.columns = columns
	for _, g := range gathers {
		for k, c := range g.columns {
			s.columns[k].merge(c)
		}
		s.rowSum.add(&g.sum)
	}
	for _, c := range s.columns {
		c.digest = sequence{}
	}
	for _, p := range pieces {
		if p.err != nil {
			return p.err
		}
		s.rows += p.rows
		for k, c := range s.columns {
			c.digest.follow(p.digests[k], p.rows)
		}
	}
	return nil
}

// each runs tasks, which come in order, on so many goroutines. Each goroutine gets a function of start, which is called with nil at the end. After a piece with an error no more
// tasks are begun; those before it are done.
func each[T any](threads int, tasks iter.Seq[T], start func() func(*T) piece) (pieces []piece) {
	if threads == 1 {
		run := start()
		defer run(nil)
		for t := range tasks {
			p := run(&t)
			if pieces = append(pieces, p); p.err != nil {
				break
			}
		}
		return pieces
	}
	type numbered struct {
		k    int
		task T
	}
	var (
		queue  = make(chan numbered)
		failed atomic.Bool
		lock   sync.Mutex
		wait   sync.WaitGroup
	)
	for range threads {
		run := start()
		wait.Go(func() {
			defer run(nil)
			for n := range queue {
				p := run(&n.task)
				if p.err != nil {
					failed.Store(true)
				}
				lock.Lock()
				pieces[n.k] = p
				lock.Unlock()
			}
		})
	}
	k := 0
	for t := range tasks {
		if failed.Load() {
			break
		}
		lock.Lock()
		pieces = append(pieces, piece{})
		lock.Unlock()
		queue <- numbered{k, t}
		k++
	}
	close(queue)
	wait.Wait()
	return pieces
}

func computeParquet(ctx context.Context, t Table, threads int, s *summary) error {
	p, err := planParquet(t)
	if err != nil {
		return err
	}
	var gathers []*gather
	pieces := each(min(threads, max(1, len(p.tasks))), slices.Values(p.tasks), func() func(*parquetTask) piece {
		g := newGather(p.columns)
		gathers = append(gathers, g)
		r := &parquetReader{parquetTable: p, worker: newWorker(), at: -1, sets: make([]bool, step)}
		return func(task *parquetTask) piece {
			if task == nil {
				r.close()
				return piece{}
			}
			err := r.read(ctx, *task, g.columns, &g.sum)
			out := g.take(task.rows)
			out.err = err
			return out
		}
	})
	return s.assemble(p.columns, gathers, pieces)
}
