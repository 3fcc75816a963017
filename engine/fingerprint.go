package engine

// FingerprintSchema changes when the meaning of a fingerprint's fields changes, or how they are computed: all are then made anew.
const FingerprintSchema = "1"

// Fingerprint is a summary of a table, or of several that were merged: a pure function of the content and the reader's schema. Of what is no table, only
// Bytes and Files are known. It is written as JSON with its fields in this order, the same to the byte for the same content.
type Fingerprint struct {
	Schema string `json:"schema"` // FingerprintSchema
	Rows   int64  `json:"rows"`   // -1: no table
	Bytes  int64  `json:"bytes"`
	Files  int64  `json:"files"`
	// Digest is the sum modulo 2^256 of a 256-bit hash of each row, in hexadecimal: equal for equal rows in any order. "" if no table.
	Digest  string        `json:"digest,omitempty"`
	Columns []ColumnStats `json:"columns,omitempty"` // in the order of the table
	// Unreadable says why a table has no rows here: the first that is not what the reader's schema says. "" if it can be read, or is no table.
	Unreadable string `json:"unreadable,omitempty"`
}

// Column returns the statistics of a column, nil if there is none of that name.
func (f *Fingerprint) Column(name string) *ColumnStats {
	for k := range f.Columns {
		if f.Columns[k].Name == name {
			return &f.Columns[k]
		}
	}
	return nil
}

// ColumnStats summarizes one column. Values are texts as SQL writes them (2017-06-15, 2017-06-15 10:00:00, true, 1.50), whose kind Type tells; texts longer than
// 100 bytes are cut there, at a character, and end in "…". Statistics that make no sense for the type, or of no values, are null. Computed floats have at most 9 significant digits.
type ColumnStats struct {
	Name     string `json:"name"`
	Type     string `json:"type"` // in the SQL engine's spelling
	Nulls    int64  `json:"nulls"`
	Distinct int64  `json:"distinct"` // different values, null not counted
	// DistinctError is the relative standard error of Distinct; 0: it is exact.
	DistinctError float64 `json:"distinct_error,omitempty"`
	// NaNs and Infinities of a floating point column take no part in Mean, Stddev and Quantiles; as values they are values like others.
	NaNs       int64      `json:"nans,omitempty"`
	Infinities int64      `json:"infinities,omitempty"`
	Min        *string    `json:"min"`
	Max        *string    `json:"max"`
	Mean       *float64   `json:"mean"`   // of numbers; of texts, the mean length in bytes; of booleans, the share of true
	Stddev     *float64   `json:"stddev"` // of the population, likewise
	Quantiles  []Quantile `json:"quantiles,omitempty"`
	// QuantileError is how far a quantile may be off: relative to its value, of dates and times in seconds; 0: they are exact.
	QuantileError float64 `json:"quantile_error,omitempty"`
	// Entropy is Shannon's, in bits, of the distribution of values; null where there are too many different values to count each.
	Entropy *float64   `json:"entropy"`
	Top     []Frequent `json:"top,omitempty"` // the most frequent values, most frequent first, then by value; none where there are too many to count each
	// Digest tells columns apart by their values in row order, in hexadecimal.
	Digest string `json:"digest"`
}

// Quantile is the least value that is not exceeded by a share P of the values.
type Quantile struct {
	P     float64 `json:"p"`
	Value string  `json:"value"`
}

// Frequent is a value with the number of its rows.
type Frequent struct {
	Value string `json:"value"`
	Rows  int64  `json:"rows"`
}
