// Package compare sets two versions side by side.
package compare

import (
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Side is one of two versions of an output.
type Side struct {
	Content string          // digest of its tree; "": not known
	Columns []engine.Column // as declared or written; nil: those of the fingerprint
	Facts   *engine.Facts   // nil, or without a fingerprint: not known
}

// Sameness is how much two versions are the same.
type Sameness string

const (
	SameContent Sameness = "same content" // the same files, to the byte
	SameRows    Sameness = "same rows"    // the same rows and columns in the same order, in other bytes
	OtherOrder  Sameness = "same rows in another order"
	Different   Sameness = "different"
	Unknown     Sameness = "unknown" // the files differ, and of a side there is no fingerprint
)

// Comparison is how version B of an output, the new one, differs from version A, the old one. As JSON it is what dpb diff --json prints; fields are only added.
type Comparison struct {
	// Equal: a reader of the table finds no difference; the content or the rows are the same, and the schema is.
	Equal    bool           `json:"equal"`
	Sameness Sameness       `json:"sameness"`
	Schema   []SchemaChange `json:"schema,omitempty"`
	// Facts are all that both or one of the sides have, also those that did not change: of the table, metrics by name, rejects by name, then of each column that both
	// have, in B's order.
	Facts []FactChange `json:"facts,omitempty"`
	Top   []TopChange  `json:"top,omitempty"`
	// ChangedColumns have, read from the first row to the last, other values than before; in B's order.
	ChangedColumns []string `json:"changed_columns,omitempty"`
	Rows           *RowDiff `json:"rows,omitempty"`         // the caller's; nil: rows were not compared
	RowsUnknown    string   `json:"rows_unknown,omitempty"` // the caller's: why they could not be
}

// SchemaChange is one change of a table's columns.
type SchemaChange struct {
	Column string `json:"column,omitempty"` // as B calls it; of a removed one, as A did; "" of Order
	Change string `json:"change"`
	Old    string `json:"old,omitempty"` // the type; NULL or NOT NULL; the name
	New    string `json:"new,omitempty"`
}

// What a SchemaChange can be.
const (
	Added       = "added"
	Removed     = "removed"
	Type        = "type"
	Nullability = "nullability"
	Spelling    = "spelling" // capitals in the name
	Order       = "order"    // columns that both have stand in another order
)

// Versions compares two versions of an output, a before and b after.
func Versions(a, b Side) *Comparison {
	c := &Comparison{Schema: schema(a, b)}
	x, y := a.fingerprint(), b.fingerprint()
	if x != nil && y != nil {
		c.Facts = facts(a.Facts, b.Facts)
		c.columns(x, y)
	}
	c.Sameness = c.sameness(a, b)
	c.Equal = len(c.Schema) == 0 && (c.Sameness == SameContent || c.Sameness == SameRows)
	return c
}

func (s Side) fingerprint() *engine.Fingerprint {
	if s.Facts == nil {
		return nil
	}
	return s.Facts.Fingerprint
}

func (c *Comparison) sameness(a, b Side) Sameness {
	x, y := a.fingerprint(), b.fingerprint()
	switch {
	case a.Content == b.Content && a.Content != "":
		return SameContent
	case x == nil || y == nil:
		return Unknown
	case x.Digest == "" || x.Digest != y.Digest || x.Rows != y.Rows || len(x.Columns) != len(y.Columns):
		return Different
	case len(c.ChangedColumns) == 0:
		return SameRows
	}
	return OtherOrder
}

// columns compares what is known of each column.
func (c *Comparison) columns(x, y *engine.Fingerprint) {
	for k := range y.Columns {
		after := &y.Columns[k]
		before := statsOf(x.Columns, after.Name)
		if before == nil {
			continue
		}
		c.Facts = append(c.Facts, columnFacts(before, after, x.Rows, y.Rows)...)
		if before.Digest != after.Digest {
			c.ChangedColumns = append(c.ChangedColumns, after.Name)
		}
		if t := top(before, after); t != nil {
			c.Top = append(c.Top, *t)
		}
	}
}

func statsOf(columns []engine.ColumnStats, name string) *engine.ColumnStats {
	i := slices.IndexFunc(columns, func(s engine.ColumnStats) bool { return strings.EqualFold(s.Name, name) })
	if i < 0 {
		return nil
	}
	return &columns[i]
}

// columns are those of a side; declared says whether it is known which of them can be null.
func (s Side) columns() (columns []engine.Column, declared bool) {
	if s.Columns != nil || s.fingerprint() == nil {
		return s.Columns, s.Columns != nil
	}
	for _, stats := range s.fingerprint().Columns {
		columns = append(columns, engine.Column{Name: stats.Name, Type: stats.Type})
	}
	return columns, false
}

// schema lists B's columns that are new or changed, in their order, then A's that are gone, then whether the others moved.
func schema(a, b Side) (out []SchemaChange) {
	before, nullsBefore := a.columns()
	after, nullsAfter := b.columns()
	if before == nil || after == nil {
		return nil // nothing is known of one side
	}
	var places []int
	for _, n := range after {
		i := place(before, n.Name)
		if i < 0 {
			out = append(out, SchemaChange{n.Name, Added, "", n.Type})
			continue
		}
		places = append(places, i)
		out = append(out, columnChanges(before[i], n, nullsBefore && nullsAfter)...)
	}
	for _, o := range before {
		if place(after, o.Name) < 0 {
			out = append(out, SchemaChange{o.Name, Removed, o.Type, ""})
		}
	}
	if !slices.IsSorted(places) {
		out = append(out, SchemaChange{Change: Order})
	}
	return out
}

func columnChanges(o, n engine.Column, nulls bool) (out []SchemaChange) {
	if o.Name != n.Name {
		out = append(out, SchemaChange{n.Name, Spelling, o.Name, n.Name})
	}
	if o.Type != n.Type {
		out = append(out, SchemaChange{n.Name, Type, o.Type, n.Type})
	}
	if nulls && o.NotNull != n.NotNull {
		out = append(out, SchemaChange{n.Name, Nullability, nullability(o), nullability(n)})
	}
	return out
}

func nullability(c engine.Column) string {
	if c.NotNull {
		return "NOT NULL"
	}
	return "NULL"
}

// place is the index of a column; the engine does not tell names apart by capitals.
func place(columns []engine.Column, name string) int {
	return slices.IndexFunc(columns, func(c engine.Column) bool { return strings.EqualFold(c.Name, name) })
}
