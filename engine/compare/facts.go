package compare

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// FactChange is one fact of two versions.
type FactChange struct {
	Name   string `json:"name"`             // as rules write it: rows, metric.spam_rate, rejected.unscored.share, column.confidence.mean
	Column string `json:"column,omitempty"` // of a fact about a column
	// Old and New are an int64, a float64 or a string; nil is null, or not known. The least and greatest value of a column, and its quantiles, are strings, as SQL writes them.
	Old any `json:"old"`
	New any `json:"new"`
	// Unknown is "old", "new" or "both" where a side does not have the fact, or nobody can tell it any more.
	Unknown string `json:"unknown,omitempty"`
	Changed bool   `json:"changed"` // false only where both are known, and alike
	// Change is New - Old, and Relative is Change / |Old|; null where they make no sense, Relative also where Old is 0. Strings of numeric columns count as numbers.
	Change   *float64 `json:"change"`
	Relative *float64 `json:"relative"`
	// Error is the relative standard error of the two values, or how far they may be off; 0: they are exact.
	Error float64 `json:"error,omitempty"`
}

// TopChange says which values entered and left the most frequent ones of a column. A value that entered has its rows in B, one that left those in A.
type TopChange struct {
	Column  string            `json:"column"`
	Entered []engine.Frequent `json:"entered,omitempty"`
	Left    []engine.Frequent `json:"left,omitempty"`
}

// facts compares what is known of the tables as a whole.
func facts(a, b *engine.Facts) []FactChange {
	var out []FactChange
	if a.Rows >= 0 || b.Rows >= 0 {
		out = append(out, fact("rows", rows(a.Rows), rows(b.Rows)))
	}
	out = append(out, fact("bytes", a.Bytes, b.Bytes), fact("files", a.Files, b.Files))
	for _, name := range names(a.Metrics, b.Metrics) {
		x, knownX := a.Metrics[name]
		y, knownY := b.Metrics[name]
		out = append(out, fact("metric."+name, number(x), number(y)).known(knownX, knownY))
	}
	for _, name := range names(a.Rejected, b.Rejected) {
		x, knownX := a.Rejected[name]
		y, knownY := b.Rejected[name]
		for _, f := range []FactChange{fact("rejected."+name+".rows", x.Rows, y.Rows), fact("rejected."+name+".share", finite(x.Share), finite(y.Share))} {
			out = append(out, f.known(knownX, knownY))
		}
	}
	return out
}

func names[V any](a, b map[string]V) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

// rows is nil of what is no table.
func rows(n int64) any {
	if n < 0 {
		return nil
	}
	return n
}

func number(x *float64) any {
	if x == nil {
		return nil
	}
	return finite(*x)
}

// finite gives a text for what JSON has no number for.
func finite(x float64) any {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return strings.ToLower(strings.TrimPrefix(fmt.Sprint(x), "+"))
	}
	return x
}

func text(s *string) any {
	if s == nil {
		return nil
	}
	return *s
}

// known marks the sides that do not have the fact.
func (f FactChange) known(a, b bool) FactChange {
	switch {
	case a && b:
		return f
	case a:
		f.Unknown, f.New = "new", nil
	case b:
		f.Unknown, f.Old = "old", nil
	default:
		f.Unknown, f.Old, f.New = "both", nil, nil
	}
	f.Changed, f.Change, f.Relative = true, nil, nil
	return f
}

// fact compares two values, of which numbers have a difference.
func fact(name string, a, b any) FactChange {
	f := FactChange{Name: name, Old: a, New: b, Changed: a != b}
	x, isX := float(a)
	y, isY := float(b)
	if isX && isY {
		f.differ(x, y)
	}
	return f
}

func float(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case float64:
		return v, true
	}
	return 0, false
}

func (f *FactChange) differ(x, y float64) {
	d := nine(y - x)
	if math.IsInf(d, 0) || math.IsNaN(d) {
		return
	}
	f.Change = &d
	if r := nine(d / math.Abs(x)); x != 0 && !math.IsInf(r, 0) {
		f.Relative = &r
	}
}

// nine rounds to nine significant digits, as the fingerprint does: 0.42 - 0.12 is 0.3.
func nine(x float64) float64 {
	y, _ := strconv.ParseFloat(strconv.FormatFloat(x, 'g', 9, 64), 64)
	return y
}

// columnFacts compares a column's statistics. rowsA and rowsB are those of the tables.
func columnFacts(a, b *engine.ColumnStats, rowsA, rowsB int64) []FactChange {
	out := []FactChange{
		fact("nulls", a.Nulls, b.Nulls), fact("null_share", share(a.Nulls, rowsA), share(b.Nulls, rowsB)),
		fact("distinct", a.Distinct, b.Distinct).within(max(a.DistinctError, b.DistinctError)),
	}
	if a.NaNs+b.NaNs > 0 {
		out = append(out, fact("nans", a.NaNs, b.NaNs))
	}
	if a.Infinities+b.Infinities > 0 {
		out = append(out, fact("infinities", a.Infinities, b.Infinities))
	}
	numeric := isNumber(a.Type) && isNumber(b.Type)
	out = append(out, value("min", a.Min, b.Min, numeric), value("max", a.Max, b.Max, numeric), fact("mean", number(a.Mean), number(b.Mean)),
		fact("stddev", number(a.Stddev), number(b.Stddev)))
	for _, p := range shares(a.Quantiles, b.Quantiles) {
		x, y := quantile(a.Quantiles, p), quantile(b.Quantiles, p)
		f := value(fmt.Sprintf("quantile[%s]", strconv.FormatFloat(p, 'g', -1, 64)), x, y, numeric)
		out = append(out, f.within(max(a.QuantileError, b.QuantileError)).known(x != nil || len(a.Quantiles) == 0, y != nil || len(b.Quantiles) == 0))
	}
	out = append(out, fact("entropy", number(a.Entropy), number(b.Entropy)))
	for k := range out {
		out[k].Column, out[k].Name = b.Name, "column."+b.Name+"."+out[k].Name
	}
	return slices.DeleteFunc(out, func(f FactChange) bool { return f.Old == nil && f.New == nil && f.Unknown == "" }) // the type has no such statistic
}

func share(part, whole int64) any {
	if whole <= 0 {
		return nil
	}
	return nine(float64(part) / float64(whole))
}

func (f FactChange) within(e float64) FactChange {
	f.Error = e
	return f
}

var numbers = []string{"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE"}

func isNumber(typ string) bool {
	return slices.Contains(numbers, typ) || strings.HasPrefix(typ, "DECIMAL(") && !strings.HasSuffix(typ, "]")
}

// value compares two of a column's values.
func value(name string, a, b *string, numeric bool) FactChange {
	f := fact(name, text(a), text(b))
	if !numeric || a == nil || b == nil {
		return f
	}
	x, errX := strconv.ParseFloat(*a, 64)
	y, errY := strconv.ParseFloat(*b, 64)
	if errX == nil && errY == nil {
		f.differ(x, y)
	}
	return f
}

// shares are the P of two lists of quantiles, ordered.
func shares(a, b []engine.Quantile) []float64 {
	var out []float64
	for _, q := range slices.Concat(a, b) {
		out = append(out, q.P)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func quantile(list []engine.Quantile, p float64) *string {
	i := slices.IndexFunc(list, func(q engine.Quantile) bool { return q.P == p })
	if i < 0 {
		return nil
	}
	return &list[i].Value
}

// top compares the most frequent values; nil if they are the same, or a side has too many different values to tell.
func top(a, b *engine.ColumnStats) *TopChange {
	counted := func(s *engine.ColumnStats) bool { return len(s.Top) > 0 || s.Distinct == 0 }
	if !counted(a) || !counted(b) {
		return nil
	}
	t := &TopChange{b.Name, without(b.Top, a.Top), without(a.Top, b.Top)}
	if t.Entered == nil && t.Left == nil {
		return nil
	}
	return t
}

func without(list, others []engine.Frequent) (out []engine.Frequent) {
	for _, f := range list {
		if !slices.ContainsFunc(others, func(o engine.Frequent) bool { return o.Value == f.Value }) {
			out = append(out, f)
		}
	}
	return out
}
