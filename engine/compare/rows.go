package compare

// RowDiff says how the rows of two tables, A before and B after, differ. It looks at the columns that both have; the others are changes of the schema.
type RowDiff struct {
	// Key are the columns that tell rows apart. Without one, whole rows are compared: none is changed, and a row that is there twice and was once is added once.
	Key     []string `json:"key,omitempty"`
	RowsA   int64    `json:"rows_a"`
	RowsB   int64    `json:"rows_b"`
	Added   int64    `json:"added"`
	Removed int64    `json:"removed"`
	Changed int64    `json:"changed"`
	Same    int64    `json:"same"`
	// Columns are those with changed values, in B's order.
	Columns []ColumnDiff `json:"columns,omitempty"`
	// Converted are the columns whose types differ, in B's order.
	Converted []Conversion `json:"converted,omitempty"`
	// The samples have the smallest keys, or the smallest rows, and are in that order; an added or removed row has all columns of its table with a key, and those
	// that both tables have without one. There, equal rows are shown once.
	AddedRows   []Row        `json:"added_rows,omitempty"`
	RemovedRows []Row        `json:"removed_rows,omitempty"`
	ChangedRows []ChangedRow `json:"changed_rows,omitempty"`
}

// ColumnDiff counts the rows, among those whose keys both tables have, with another value in a column.
type ColumnDiff struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
}

// Conversion says as what a column was compared whose types differ. As DOUBLE, numbers that a DOUBLE can't tell apart are equal; as VARCHAR, values are equal that
// are written alike.
type Conversion struct {
	Name  string `json:"name"`
	TypeA string `json:"type_a"`
	TypeB string `json:"type_b"`
	As    string `json:"as"`
}

// Row has values in the order of its table's columns; of a key, in the key's order.
type Row []Value

// Value is one value of a row, as SQL writes it; nil is null.
type Value struct {
	Column string  `json:"column"`
	Text   *string `json:"value"`
}

// ChangedRow is a row that both tables have and that differs.
type ChangedRow struct {
	Key     Row           `json:"key"`
	Changes []ValueChange `json:"changes"` // in B's order of columns
}

// ValueChange is a value before and after; nil is null.
type ValueChange struct {
	Column string  `json:"column"`
	Old    *string `json:"old"`
	New    *string `json:"new"`
}
