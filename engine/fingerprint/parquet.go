package fingerprint

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/parquet-go/parquet-go"

	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// groupRows is how many rows of a row group are read at a time: each of its columns, one after the other.
const groupRows = 1 << 20

// parquetTable is a table whose files are open one at a time.
type parquetTable struct {
	Table
	columns []*column // of all files
	notNull []bool
	tasks   []parquetTask
	files   []parquetFile
}

type parquetTask struct {
	file, group int
	row, rows   int64 // the group's first row in the file, and how many it has
}

// parquetFile tells for each of the table's columns which of the file's it is; nil: none.
type parquetFile struct{ nodes []*node }

// planParquet learns from the footers which columns there are.
func planParquet(t Table) (*parquetTable, error) {
	p := &parquetTable{Table: t, files: make([]parquetFile, len(t.Files))}
	for k := range t.Files {
		if err := p.planFile(k); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Files[k].Name, err)
		}
	}
	for k := range p.files {
		p.files[k].nodes = append(p.files[k].nodes, make([]*node, len(p.columns)-len(p.files[k].nodes))...)
	}
	if len(t.Files) == 0 {
		for _, d := range t.Columns {
			p.columns = append(p.columns, newColumn(d.Name, kindOf(d.Type)))
		}
	}
	return p, p.declare()
}

func (p *parquetTable) planFile(k int) (err error) {
	defer recovered(&err)
	f, file, err := openParquet(p.Files[k].Path)
	if err != nil {
		return err
	}
	defer file.Close()
	root, err := schemaTree(f.Metadata().Schema)
	if err != nil {
		return err
	}
	row := int64(0)
	for g, group := range f.RowGroups() {
		p.tasks = append(p.tasks, parquetTask{k, g, row, group.NumRows()})
		row += group.NumRows()
	}
	used := map[string]bool{}
	for _, n := range root.children {
		if err := p.planColumn(k, n, unused(n.Name, used)); err != nil {
			return err
		}
	}
	return nil
}

// unused gives a name that occurs again a number, as the SQL engine does.
func unused(name string, used map[string]bool) string {
	own := name
	for n := 1; used[strings.ToLower(own)]; n++ {
		own = fmt.Sprintf("%s_%d", name, n)
	}
	used[strings.ToLower(own)] = true
	return own
}

func (p *parquetTable) planColumn(file int, n *node, name string) error {
	found, k := n.kind(nil), p.find(name)
	if k < 0 {
		k = len(p.columns)
		p.columns = append(p.columns, newColumn(name, found))
	}
	nodes := p.files[file].nodes
	nodes = append(nodes, make([]*node, max(0, k+1-len(nodes)))...)
	nodes[k] = n
	p.files[file].nodes = nodes
	c := p.columns[k]
	switch {
	case dpbsql.Widens(found.name, c.kind.name):
	case dpbsql.Widens(c.kind.name, found.name):
		c.kind = found
	default:
		return fmt.Errorf("column %q is %s here and %s in other files; make them alike where the files are made", name, found.name, c.kind.name)
	}
	return nil
}

func (p *parquetTable) find(name string) int {
	return slices.IndexFunc(p.columns, func(c *column) bool { return strings.EqualFold(c.name, name) })
}

// declare gives columns their declared types.
func (p *parquetTable) declare() error {
	p.notNull = make([]bool, len(p.columns))
	for _, d := range p.Columns {
		k := p.find(d.Name)
		if k < 0 {
			return fmt.Errorf("%s: there is no column %q, which is declared; its columns are %s", p.Files[0].Name, d.Name, names(p.columns))
		}
		c, declared := p.columns[k], kindOf(d.Type)
		if !dpbsql.Widens(c.kind.name, declared.name) {
			return fmt.Errorf("%s: column %q is declared %s and is %s; declare it %s", p.Files[0].Name, d.Name, declared.name, c.kind.name, c.kind.name)
		}
		c.kind, c.name, p.notNull[k] = declared, d.Name, d.NotNull
	}
	return nil
}

func names(columns []*column) string {
	var list []string
	for _, c := range columns {
		list = append(list, c.name)
	}
	return strings.Join(list, ", ")
}

func openParquet(path string) (*parquet.File, *os.File, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err == nil {
		var f *parquet.File
		if f, err = parquet.OpenFile(file, info.Size(), parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true), parquet.ReadBufferSize(1<<16)); err == nil {
			return f, file, nil
		}
	}
	file.Close()
	return nil, nil, fmt.Errorf("it is no readable Parquet file: %w", err)
}

// recovered makes an error of a panic: the library's answer to some damage.
func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("the file is damaged: %v", r)
	}
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// parquetReader reads row groups for one worker.
type parquetReader struct {
	*parquetTable
	*worker
	at     int // the file that is open; -1: none
	open   *parquet.File
	file   *os.File
	vector vector
	sets   []bool // room for a vector's
	text   []byte
}

func (r *parquetReader) close() {
	if r.at >= 0 {
		r.file.Close()
	}
	r.at = -1
}

func (r *parquetReader) openFile(k int) error {
	if r.at == k {
		return nil
	}
	r.close()
	f, file, err := openParquet(r.Files[k].Path)
	if err != nil {
		return err
	}
	r.at, r.open, r.file = k, f, file
	return nil
}

// read adds a row group to columns.
func (r *parquetReader) read(ctx context.Context, task parquetTask, columns []*column, sum *rowSum) (err error) {
	name := r.Files[task.file].Name
	defer func() {
		var unreadable *UnreadableError
		if err != nil && !errors.As(err, &unreadable) && ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}()
	defer recovered(&err)
	if err := r.openFile(task.file); err != nil {
		return err
	}
	groups := r.open.RowGroups()
	if task.group >= len(groups) {
		return fmt.Errorf("it was changed while it was read")
	}
	g := &group{parquetReader: r, task: task, chunks: groups[task.group].ColumnChunks(), rows: groups[task.group].NumRows(), cursors: make([]*cursor, len(columns))}
	defer g.close()
	for from := int64(0); from < g.rows; from += groupRows {
		rows := int(min(groupRows, g.rows-from))
		r.begin(rows)
		for k, c := range columns {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := g.column(k, c, from, rows); err != nil {
				return err
			}
		}
		r.end(sum)
	}
	return nil
}

// group is a row group that is being read.
type group struct {
	*parquetReader
	task    parquetTask
	chunks  []parquet.ColumnChunk
	rows    int64
	cursors []*cursor // by column, between two portions of a group
}

func (g *group) close() {
	for _, c := range g.cursors {
		if c != nil {
			c.close()
		}
	}
}

// column adds a portion of one column.
func (g *group) column(k int, c *column, from int64, rows int) error {
	n := g.files[g.task.file].nodes[k]
	if n == nil {
		if g.notNull[k] && rows > 0 {
			return g.missing(c, from)
		}
		c.skip(int64(rows))
		return nil
	}
	cur := g.cursors[k]
	if cur == nil {
		cur = newCursor(g.chunks, n)
		g.cursors[k] = cur
	}
	w := g.worker
	for done := 0; done < rows; {
		v, err := g.next(cur, min(step, rows-done), c.kind)
		if err != nil {
			w.dict = nil
			return fmt.Errorf("column %q: %w", c.name, err)
		}
		if g.notNull[k] && v.values < v.rows {
			w.dict = nil
			return g.missing(c, from+int64(done+slices.Index(v.set, false)))
		}
		w.add(c, v, done)
		done += v.rows
	}
	w.finish(c)
	if from+int64(rows) == g.rows {
		cur.close()
		g.cursors[k] = nil
	}
	return nil
}

func (g *group) missing(c *column, row int64) error {
	return &UnreadableError{Name: g.Files[g.task.file].Name, Line: g.task.row + row + 1, Column: c.name, Why: "is NOT NULL and has no value"}
}

// cursor is where a column of a row group is being read.
type cursor struct {
	node   *node
	pages  parquet.Pages
	page   parquet.Page
	defs   []byte // definition levels; nil: each row has a value
	all    vector // the page's values
	row    int
	value  int
	nested []*levels
	dicts  map[parquet.Dictionary]*vector
}

func newCursor(chunks []parquet.ColumnChunk, n *node) *cursor {
	c := &cursor{node: n, dicts: map[parquet.Dictionary]*vector{}}
	if n.Type.Valid && n.rep == 0 {
		c.pages = chunks[n.leaf].Pages()
		return c
	}
	for _, leaf := range n.leaves(nil) {
		c.nested = append(c.nested, &levels{pages: chunks[leaf].Pages(), values: make([]parquet.Value, 256)})
	}
	return c
}

func (n *node) leaves(to []int) []int {
	if n.Type.Valid {
		return append(to, n.leaf)
	}
	for _, child := range n.children {
		to = child.leaves(to)
	}
	return to
}

func (c *cursor) close() {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	if c.pages != nil {
		c.pages.Close()
	}
	for _, l := range c.nested {
		l.close()
		l.pages.Close()
	}
}

// next returns some of the next rows, at most so many.
func (g *group) next(c *cursor, rows int, k kind) (*vector, error) {
	if c.nested != nil {
		return g.nextNested(c, rows)
	}
	for c.page == nil || int64(c.row) == c.page.NumRows() {
		if err := c.turn(k); err != nil {
			return nil, err
		}
	}
	rows = min(rows, int(c.page.NumRows())-c.row)
	v := &g.vector
	v.rows, v.values, v.set = rows, rows, nil
	if c.defs != nil {
		defs := c.defs[c.row : c.row+rows]
		v.set = g.sets[:rows]
		v.values = 0
		for i, d := range defs {
			set := d == byte(c.node.def)
			v.set[i] = set
			if set {
				v.values++
			}
		}
		if v.values == rows {
			v.set = nil
		}
	}
	c.all.slice(v, c.value)
	c.row += rows
	c.value += v.values
	return v, nil
}

// slice sets the fields of o to its number of values, from some index on.
func (v *vector) slice(o *vector, from int) {
	to := from + o.values
	o.dict, o.data, o.index = v.dict, v.data, part(v.index, from, to)
	o.ints, o.floats, o.wides = part(v.ints, from, to), part(v.floats, from, to), part(v.wides, from, to)
	if o.at = nil; len(v.at) > to {
		o.at = v.at[from : to+1]
	}
}

func part[T any](s []T, from, to int) []T {
	if len(s) == 0 {
		return nil
	}
	return s[from:to]
}

// turn goes to the next page.
func (c *cursor) turn(k kind) error {
	if c.page != nil {
		parquet.Release(c.page)
		c.page = nil
	}
	page, err := c.pages.ReadPage()
	if err != nil {
		if noEOF(err) == nil {
			err = fmt.Errorf("it has fewer rows than others")
		}
		return err
	}
	c.page, c.row, c.value = page, 0, 0
	rows := int(page.NumRows())
	if c.defs = page.DefinitionLevels(); c.node.def == 0 {
		c.defs = nil
	}
	count := rows
	if c.defs != nil {
		count -= int(page.NumNulls())
	}
	found := c.node.leafKind()
	if dict := page.Dictionary(); dict != nil {
		indexes := page.Data()
		c.all = vector{index: indexes.Int32()[:count], values: count}
		if c.all.dict = c.dicts[dict]; c.all.dict == nil {
			c.all.dict = &vector{}
			c.dicts[dict] = c.all.dict
			if err := c.node.fill(c.all.dict, found, dict.Page().Data(), dict.Len()); err != nil {
				return err
			}
			return c.all.dict.convert(found, k)
		}
		return nil
	}
	c.all = vector{}
	if err := c.node.fill(&c.all, found, page.Data(), count); err != nil {
		return err
	}
	return c.all.convert(found, k)
}

// nextNested returns rows whose values are lists, structs and maps.
func (g *group) nextNested(c *cursor, rows int) (*vector, error) {
	rows = min(rows, 256)
	v := &g.vector
	*v = vector{rows: rows, set: g.sets[:rows], at: append(v.at[:0:0], 0), data: g.text[:0]}
	for row := range rows {
		from, set := len(v.data), c.node.repetition() != 1
		for _, l := range c.nested {
			var top int
			var err error
			if v.data, top, err = l.row(v.data); err != nil {
				return nil, err
			}
			set = set || top > 0
		}
		v.set[row] = set
		if !set {
			v.data = v.data[:from]
			continue
		}
		v.values++
		v.at = append(v.at, uint32(len(v.data)))
	}
	g.text = v.data
	if v.values == rows {
		v.set = nil
	}
	return v, nil
}
