package hcl

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// zone is the timezone of times that say none: the partition's.
func (ev *evaluation) zone() *time.Location { return ev.Interval.Start.Location() }

// name is what a name at the start of a reference stands for.
func (ev *evaluation) name(root string) (value, error) {
	switch root {
	case "prior":
		return ev.each(ev.Prior, root), nil
	case "parts":
		return ev.each(ev.Parts, root), nil
	case "replaced":
		if ev.Replaced == nil {
			return absent{engine.NotYet, "there is no version before"}, nil
		}
		return ev.facts(ev.Replaced, root), nil
	case "input":
		return ev.others(ev.Inputs, root), nil
	case "output":
		return ev.others(ev.Outputs, root), nil
	}
	return ev.facts(ev.Self, "").part(root)
}

func (ev *evaluation) each(fs []*engine.Facts, path string) value {
	out := make([]value, len(fs))
	for i, f := range fs {
		out[i] = ev.facts(f, fmt.Sprintf("%s[%d]", path, i))
	}
	return out
}

func (ev *evaluation) others(fs map[string]*engine.Facts, path string) *group {
	return &group{path: path, names: sortedNames(fs), part: func(name string) (value, error) {
		f := fs[name]
		if f == nil {
			return nil, violated("%s.%s is not known", path, name)
		}
		return ev.facts(f, path+"."+name), nil
	}}
}

func sortedNames[V any](m map[string]V) func() []string {
	return func() []string { return slices.Sorted(maps.Keys(m)) }
}

func under(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// facts are the names that are known of one table. Path is how a rule writes them, "" for the rule's own.
func (ev *evaluation) facts(f *engine.Facts, path string) *group {
	g := &group{path: path, names: func() []string { return []string{"bytes", "column", "files", "metric", "rejected", "rows"} }}
	g.part = func(name string) (value, error) {
		at := under(path, name)
		switch {
		case name == "metric" && f != nil:
			return ev.metrics(f, path), nil
		case name == "rejected" && f != nil:
			return rejects(f, at), nil
		case f == nil || f.Fingerprint == nil:
			return nil, violated("%s is not known: the content is gone", at)
		case name == "rows" && f.Rows < 0:
			return nullOf(at + " is null: this is no table, or one whose columns are not declared"), nil
		case name == "rows":
			return numberOf(f.Rows), nil
		case name == "bytes":
			return numberOf(f.Bytes), nil
		case name == "files":
			return numberOf(f.Files), nil
		case name == "column":
			return columns(f.Fingerprint, path), nil
		}
		return nil, violated("there is no name %q", name)
	}
	return g
}

// metrics are the metrics of one table. Those that lack are declared, which was checked when the files were loaded.
func (ev *evaluation) metrics(f *engine.Facts, path string) *group {
	return &group{path: under(path, "metric"), names: sortedNames(f.Metrics), part: func(name string) (value, error) {
		at := under(path, "metric") + accessor(name)
		m, ok := f.Metrics[name]
		switch {
		case path == "" && len(ev.Parts) > 1:
			return nullOf(fmt.Sprintf("%s is not known of several partitions together: write parts[*].metric%s", at, accessor(name))), nil
		case !ok:
			return nullOf(at + " is not known: what it is computed from is gone, or several partitions were merged"), nil
		}
		return optional(m, at, "there was nothing to compute it from"), nil
	}}
}

func rejects(f *engine.Facts, path string) *group {
	return &group{path: path, names: sortedNames(f.Rejected), part: func(name string) (value, error) {
		at := path + accessor(name)
		r, ok := f.Rejected[name]
		if !ok {
			return nullOf(at + " is not known"), nil
		}
		return fixed(at, object{"rows": numberOf(r.Rows), "share": optional(&r.Share, at+".share", "")}), nil
	}}
}

// fixed is a group whose parts are few and known.
func fixed(path string, parts object) *group {
	return &group{path: path, names: sortedNames(parts), part: func(name string) (value, error) {
		if v, ok := parts[name]; ok {
			return v, nil
		}
		return nil, violated("%s has no part %q", path, name)
	}}
}

func columns(f *engine.Fingerprint, path string) *group {
	names := func() []string {
		out := make([]string, len(f.Columns))
		for i, c := range f.Columns {
			out[i] = c.Name
		}
		return out
	}
	return &group{path: under(path, "column"), names: names, part: func(name string) (value, error) {
		c := f.Column(name)
		if c == nil {
			return nil, noColumn(name, path, names())
		}
		s := &stats{c, f.Rows, under(path, "column") + accessor(name)}
		return s.group(), nil
	}}
}

func noColumn(name, path string, known []string) error {
	text := fmt.Sprintf("there is no column %q", name)
	if path != "" {
		text += " in " + path
	}
	if hint := didYouMean(name, known); hint != "" {
		text += "; " + hint
	}
	return violated("%s", text)
}

// stats are what is known of one column.
type stats struct {
	*engine.ColumnStats
	rows int64 // of the table
	path string
}

var statNames = []string{"distinct", "entropy", "max", "mean", "min", "nulls", "quantile", "stddev", "top"}

func (s *stats) group() *group {
	return &group{path: s.path, part: s.part, names: func() []string { return statNames }}
}

func (s *stats) part(name string) (value, error) {
	at := s.path + "." + name
	switch name {
	case "nulls":
		return numberOf(s.Nulls), nil
	case "distinct":
		return numberOf(s.Distinct), nil
	case "min":
		return s.typed(s.Min, at), nil
	case "max":
		return s.typed(s.Max, at), nil
	case "mean":
		return optional(s.Mean, at, s.whyNull()), nil
	case "stddev":
		return optional(s.Stddev, at, s.whyNull()), nil
	case "entropy":
		return optional(s.Entropy, at, s.whyUncounted()), nil
	case "quantile":
		return s.quantiles(at), nil
	case "top":
		return s.top(at), nil
	}
	return nil, violated("there is no statistic %q of a column", name)
}

// whyNull says why a statistic is null.
func (s *stats) whyNull() string {
	switch {
	case s.Distinct == 0:
		return "the column has no values"
	case s.NaNs+s.Infinities > 0:
		return "the column has no finite values"
	}
	return fmt.Sprintf("the column is of type %s, which has none", s.Type)
}

func (s *stats) whyUncounted() string {
	if s.Distinct == 0 {
		return "the column has no values"
	}
	return "there are too many different values to count each"
}

// optional is a number that may be null.
func optional(f *float64, at, why string) value {
	if f == nil {
		return nullOf(at + " is null: " + why)
	}
	n, ok := numberOfFloat(*f)
	if !ok {
		return nullOf(at + " is NaN")
	}
	return n
}

// typed is a value of the column.
func (s *stats) typed(text *string, at string) value {
	if text == nil {
		return nullOf(at + " is null: " + s.whyNull())
	}
	switch shapeOfType(s.Type).kind {
	case number:
		n, ok := parseNumber(strings.TrimSpace(*text))
		if !ok {
			return nullOf(at + " is NaN")
		}
		return n
	case instant:
		m, ok := parseMoment(*text)
		if !ok {
			return nullOf(fmt.Sprintf("%s is %s, which can't be compared", at, *text))
		}
		return m
	case boolean:
		return *text == "true"
	}
	return *text
}

// quantilePoints are the shares whose quantiles a fingerprint holds.
var quantilePoints = []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99}

func (s *stats) quantiles(at string) *group {
	g := &group{path: at, names: func() []string { return nil }}
	g.part = func(string) (value, error) { return nil, violated("%s wants a number in brackets", at) }
	g.index = func(key value) (value, error) {
		p, err := asNumber(key, "the share of a quantile")
		if err != nil {
			return nil, err
		}
		share, _ := p.Float64()
		if !slices.Contains(quantilePoints, share) {
			return nil, violated("there is no %s[%s], but %s", at, spellNumber(p), quantileList())
		}
		here := fmt.Sprintf("%s[%s]", at, spellNumber(p))
		for _, q := range s.Quantiles {
			if q.P == share {
				return s.typed(&q.Value, here), nil
			}
		}
		return s.typed(nil, here), nil
	}
	return g
}

func quantileList() string {
	var out []string
	for _, p := range quantilePoints {
		out = append(out, fmt.Sprint(p))
	}
	return strings.Join(out, ", ")
}

// top are the most frequent values; share is of all rows.
func (s *stats) top(at string) value {
	if s.Top == nil && s.Distinct > 0 {
		return nullOf(at + " is null: " + s.whyUncounted())
	}
	out := make([]value, len(s.Top))
	for i, f := range s.Top {
		here := fmt.Sprintf("%s[%d]", at, i)
		n := numberOf(f.Rows)
		out[i] = fixed(here, object{"value": s.typed(&f.Value, here+".value"), "rows": n, "share": newNumber().Quo(n, numberOf(max(1, s.rows)))})
	}
	return out
}
