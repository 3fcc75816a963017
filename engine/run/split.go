package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/dpb-build/dpb/engine/worker"
)

// quarantineFile is the one file of a quarantine: Parquet, whatever the output's format, as it has columns that say why.
const quarantineFile = "quarantine.parquet"

// maxSamples bounds how many rejected rows of a rule are kept with a split's record.
const maxSamples = 3

// split moves the rows that reject rules name aside, unless that was done before. Rules that can't be applied reject nothing and hold the version.
func (x *outputMeasure) split(ctx context.Context) (engine.Split, error) {
	id := x.content.SplitID(duckdb.Version())
	split, ok, err := x.s.split(id)
	if err != nil {
		return split, err
	}
	if !ok || x.splitAgain(ctx, split) {
		made, err := x.makeSplit(ctx)
		switch {
		case err == nil:
			split = *made
		case unanswered(ctx, err) || duckdb.IsLimit(err): // with more memory it may well be split
			return split, err
		default:
			split = engine.Split{Visible: x.content.Tree, Problem: oneLine(err), Broken: duckdb.Problems(err) != nil}
		}
		x.record(splitKey(id), split, func(tx *ledger.Tx) error { return tx.PutSplit(id, split) })
	}
	if split.Problem != "" {
		f := contract.Measured(x.output, engine.Violated, engine.RuleRejected, "", split.Problem)
		f.Broken, f.File, f.Line = split.Broken, x.output.Rejects[0].Range.File, x.output.Rejects[0].Range.Start.Line
		x.found = append(x.found, f)
	}
	return split, nil
}

// splitAgain says whether bytes that a known split left are gone, and can be made again.
func (x *outputMeasure) splitAgain(ctx context.Context, known engine.Split) bool {
	gone := !x.s.Store.Present(ctx, known.Visible) || !known.Quarantine.IsZero() && !x.s.Store.Present(ctx, known.Quarantine)
	return gone && known.Problem == "" && x.s.Store.Present(ctx, x.content.Tree)
}

// splitting is the split of one output under way.
type splitting struct {
	*outputMeasure
	tree       cache.Tree
	files      []fingerprint.File // of the tree, or what is left of them without unreadable rows
	entries    []int              // the entry of the tree that each file is
	unreadable []duckdb.UnreadableRow
	dir        string
}

func (x *outputMeasure) makeSplit(ctx context.Context) (*engine.Split, error) {
	sp := &splitting{outputMeasure: x, dir: filepath.Join(x.dir, "split")}
	if err := os.MkdirAll(sp.dir, 0o777); err != nil {
		return nil, err
	}
	var err error
	if sp.tree, err = x.s.Store.GetTree(ctx, x.content.Tree); err != nil {
		return nil, err
	}
	for k, e := range sp.tree.Entries {
		if e.Kind.IsFile() {
			sp.entries = append(sp.entries, k)
		}
	}
	if sp.files, err = x.s.tableFiles(ctx, sp.tree); err != nil {
		return nil, err
	}
	var where []*engine.Reject
	split := &engine.Split{Rejected: map[string]engine.Rejected{}, Samples: map[string][]string{}}
	for _, r := range x.output.Rejects {
		if r.Where != "" {
			where = append(where, r)
		} else if err := sp.readableOnly(ctx, r, split); err != nil {
			return nil, err
		}
	}
	if err := sp.rejectWhere(ctx, where, split); err != nil {
		return nil, err
	}
	for name, r := range split.Rejected {
		if split.Rows > 0 {
			r.Share = float64(r.Rows) / float64(split.Rows)
		}
		split.Rejected[name] = r
	}
	if split.Quarantine, err = sp.quarantine(ctx); err != nil {
		return nil, err
	}
	split.Visible, err = sp.visible(ctx)
	return split, err
}

// readableOnly leaves out the rows that can't be read.
func (sp *splitting) readableOnly(ctx context.Context, r *engine.Reject, split *engine.Split) error {
	bad, err := sp.filter(ctx, nil, true)
	if err != nil {
		return err
	}
	for _, u := range bad {
		u.Text = strings.TrimRight(u.Text, "\r\n")
		sp.unreadable = append(sp.unreadable, duckdb.UnreadableRow{Rule: r.Name, File: u.Name, Line: u.Line, Text: u.Text, Why: u.Why})
		if len(split.Samples[r.Name]) < maxSamples {
			split.Samples[r.Name] = append(split.Samples[r.Name], fmt.Sprintf("%s:%d: %s: %s", u.Name, u.Line, u.Why, u.Text))
		}
	}
	n := int64(len(sp.unreadable))
	split.Rejected[r.Name] = engine.Rejected{Rows: n}
	split.Rows += n
	return nil
}

// filter replaces the files by copies without some of their rows, and lists those that can't be read if they are left out too. A file that loses none stays as it is.
func (sp *splitting) filter(ctx context.Context, drop [][]int64, unreadable bool) ([]fingerprint.Unreadable, error) {
	table := fingerprint.Table{Format: sp.output.Format, Compression: sp.output.Compression, Columns: sp.content.Columns, Files: sp.files}
	f, err := sp.reader.Filter(ctx, worker.FilterJob{Table: table, Drop: drop, Unreadable: unreadable, Dir: sp.dir})
	if err != nil {
		return nil, err
	}
	for k, c := range f.Counts {
		if c.Dropped+c.Bad > 0 {
			sp.files[k].Path = f.Copies[k]
		} else if f.Copies[k] != "" {
			os.Remove(f.Copies[k])
		}
	}
	return f.Bad, nil
}

// rejectWhere finds the rows that conditions name, writes the quarantine and leaves them out.
func (sp *splitting) rejectWhere(ctx context.Context, rejects []*engine.Reject, split *engine.Split) error {
	var files, names []string
	for _, f := range sp.files {
		files, names = append(files, f.Path), append(names, f.Name)
	}
	job := duckdb.SplitJob{Table: tableOf(sp.content, files), FileNames: names, Rejects: rejects, Params: sp.s.params(sp.node, sp.i), Unreadable: sp.unreadable,
		Quarantine: filepath.Join(sp.dir, quarantineFile), KeptDir: filepath.Join(sp.dir, "kept"), Scratch: sp.scratch(), Threads: sp.threads,
		Memory: sp.node.Target.Memory}
	if err := os.MkdirAll(job.KeptDir, 0o777); err != nil {
		return err
	}
	result, err := sp.reader.Split(ctx, job)
	if err != nil {
		return err
	}
	split.Rows += result.Rows
	for k, r := range rejects {
		split.Rejected[r.Name] = engine.Rejected{Rows: result.ByRule[k]}
		split.Samples[r.Name] = result.Samples[k]
	}
	switch {
	case result.Rejected == 0:
		return nil
	case sp.output.Format == engine.Parquet:
		for k, kept := range result.Kept {
			if kept != "" {
				sp.files[k].Path = filepath.Join(job.KeptDir, kept)
			}
		}
		return nil
	}
	_, err = sp.filter(ctx, result.Drop, false)
	return err
}

// quarantine stores the one file of what was rejected. It is there, and empty, where nothing was.
func (sp *splitting) quarantine(ctx context.Context) (cache.TreeDigest, error) {
	d, size, err := sp.s.Store.PutFile(ctx, filepath.Join(sp.dir, quarantineFile))
	if errors.Is(err, fs.ErrNotExist) { // of a table without files
		return cache.TreeDigest{}, nil
	}
	if err != nil {
		return cache.TreeDigest{}, err
	}
	t, err := cache.NewTree([]cache.Entry{{Path: quarantineFile, Kind: cache.File, Digest: d, Size: size}})
	if err != nil {
		return cache.TreeDigest{}, err
	}
	return sp.s.Store.PutTree(ctx, t)
}

// visible stores the tree with the files that lost rows in the place of those that they were.
func (sp *splitting) visible(ctx context.Context) (cache.TreeDigest, error) {
	entries := append([]cache.Entry(nil), sp.tree.Entries...)
	for k, f := range sp.files {
		if !strings.HasPrefix(f.Path, sp.dir) {
			continue
		}
		e := &entries[sp.entries[k]]
		var err error
		if e.Digest, e.Size, err = sp.s.Store.PutFile(ctx, f.Path); err != nil {
			return cache.TreeDigest{}, err
		}
	}
	t, err := cache.NewTree(entries)
	if err != nil {
		return cache.TreeDigest{}, err
	}
	return sp.s.Store.PutTree(ctx, t)
}
