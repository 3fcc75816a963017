package graph

import (
	"fmt"
	"math"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// MaxDimensions bounds partition_by, so that a selection has a fixed size.
const MaxDimensions = 4

// maxValues bounds a dimension, and maxPartitions what several of them make: a start that is off by centuries should be a message, not an hour of work.
const maxValues, maxPartitions = 1_000_000, 5_000_000

// axis is a dimension with all its values, in order.
type axis struct {
	dimension *engine.Dimension
	loc       *time.Location
	texts     []string
	// Of a time dimension: the calendar from the first value to the last, as the first instant of each of its positions, and the end of the last.
	starts []time.Time
	// slots are the values' positions in the calendar where that has gaps; nil: each position has its value.
	slots []int
	over  time.Time // of a dimension from a source's files: what begins before it is over by now
}

func newAxis(d *engine.Dimension, now time.Time) (*axis, error) {
	a := &axis{dimension: d, loc: time.UTC, texts: d.Values}
	if d.Unit == engine.NoUnit {
		return a, nil
	}
	a.texts = nil
	var err error
	if a.loc, err = d.Location(); err != nil {
		return nil, err
	}
	if !d.FromSource.IsZero() {
		return a, a.fillListed(now)
	}
	start, err := d.Unit.Parse(d.Start, a.loc)
	if err != nil {
		return nil, err
	}
	a.starts = []time.Time{start}
	// A partition is in the set when it has ended.
	for text := d.Start; d.Admits(text, start, now); text = d.Unit.Text(start) {
		if len(a.texts) == maxValues {
			return nil, fmt.Errorf("more than %d partitions since %s", maxValues, d.Start)
		}
		start = d.Unit.Next(start)
		a.texts, a.starts = append(a.texts, text), append(a.starts, start)
	}
	return a, nil
}

// fillListed takes the values from those that a source's files have, and makes the calendar between them.
func (a *axis) fillListed(now time.Time) error {
	d := a.dimension
	a.over = d.Unit.Floor(now.In(a.loc))
	for _, text := range slices.Sorted(slices.Values(d.Values)) { // in the order of time
		t, err := d.Unit.Parse(text, a.loc)
		if err != nil || !d.Admits(text, t, now) || len(a.texts) > 0 && a.texts[len(a.texts)-1] == text {
			continue
		}
		if a.starts == nil {
			a.starts = []time.Time{t}
		}
		for last := a.starts[len(a.starts)-1]; !last.After(t); a.starts = append(a.starts, last) {
			if last = d.Unit.Next(last); len(a.starts) > maxValues {
				return fmt.Errorf("from %s to %s, which the files of %s have, are more than %d positions; set its start", a.texts[0], text, d.FromSource, maxValues)
			}
		}
		a.texts, a.slots = append(a.texts, text), append(a.slots, len(a.starts)-2)
	}
	switch len(a.texts) {
	case 0:
		a.starts = []time.Time{a.over}
	case len(a.starts) - 1:
		a.slots = nil
	}
	return nil
}

// describe writes all values with their times.
func (a *axis) describe(s *engine.Section) {
	s.Add("dimension", a.dimension.Name)
	for _, text := range a.texts {
		s.Add("value", text)
	}
	for _, t := range a.starts {
		s.Add("start", strconv.FormatInt(t.Unix(), 10))
	}
	for _, slot := range a.slots {
		s.Add("slot", strconv.Itoa(slot))
	}
}

// slot is the position in the calendar of value i.
func (a *axis) slot(i int) int {
	if a.slots == nil {
		return i
	}
	return a.slots[i]
}

// atOrAfter is the first value that is not before a position of the calendar; how many there are, if all are.
func (a *axis) atOrAfter(slot int) int {
	if a.slots == nil {
		return slot
	}
	return sort.SearchInts(a.slots, slot)
}

// atOrBefore is the last value that is not after a position of the calendar; -1 if all are.
func (a *axis) atOrBefore(slot int) int {
	if a.slots == nil {
		return slot
	}
	return sort.SearchInts(a.slots, slot+1) - 1
}

// start and end are the first instant of value i, and the first one after it.
func (a *axis) start(i int) time.Time { return a.starts[a.slot(i)] }
func (a *axis) end(i int) time.Time   { return a.starts[a.slot(i)+1] }

// ordinal counts the dimension's values in civil time, also where the axis has none.
func (a *axis) ordinal(t time.Time) int {
	y, m, d := t.In(a.loc).Date()
	days := int(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400)
	switch a.dimension.Unit {
	case engine.Hour:
		_, offset := t.In(a.loc).Zone()
		return int(math.Floor(float64(t.Unix()+int64(offset)) / 3600))
	case engine.Week:
		return int(math.Floor(float64(days+3) / 7)) // 1970-01-01 was a Thursday
	case engine.Month:
		return 12*y + int(m) - 1
	case engine.Quarter:
		return 4*y + (int(m)-1)/3
	case engine.Year:
		return y
	}
	return days
}

// position in the calendar of the one that holds t; below 0 or past the end for one that lies outside. Inside it is looked up, for a timezone may leave out a day.
func (a *axis) position(t time.Time) int {
	n := len(a.starts) - 1
	switch first, end := a.starts[0], a.starts[n]; {
	case t.Before(first):
		return a.ordinal(t) - a.ordinal(first)
	case !t.Before(end):
		return n + a.ordinal(t) - a.ordinal(end)
	}
	return sort.Search(n, func(i int) bool { return a.starts[i].After(t) }) - 1
}

// find returns the position of a value's text.
func (a *axis) find(text string) (int, bool) {
	if a.dimension.Unit == engine.NoUnit {
		i := slices.Index(a.texts, text)
		return i, i >= 0
	}
	t, err := a.dimension.Unit.Parse(text, a.loc)
	if err != nil {
		return 0, false
	}
	i := a.atOrAfter(a.position(t))
	return i, i >= 0 && i < len(a.texts) && a.texts[i] == text
}

// span is a stretch of an axis: the values of one target.
type span struct {
	*axis
	from, n int
}

// Set is all partitions of a target: the product of its dimensions, the last one varying fastest. Targets with the same partitions share one.
type Set struct {
	spans []span
	size  int
	once  sync.Once
	texts []string
}

func newSet(spans []span) (*Set, error) {
	s := &Set{spans: spans, size: 1}
	for _, sp := range spans {
		if sp.n > 0 && s.size > maxPartitions/sp.n {
			return nil, fmt.Errorf("more than %d partitions", maxPartitions)
		}
		s.size *= sp.n
	}
	return s, nil
}

// Len is the number of partitions.
func (s *Set) Len() int { return s.size }

// split gives the position along each dimension of partition i.
func (s *Set) split(i int) (at [MaxDimensions]int) {
	for k := len(s.spans) - 1; k >= 0; k-- {
		at[k] = i % s.spans[k].n
		i /= s.spans[k].n
	}
	return at
}

// Partition returns the values of partition i.
func (s *Set) Partition(i int) engine.Partition {
	if len(s.spans) == 0 {
		return nil
	}
	at := s.split(i)
	p := make(engine.Partition, len(s.spans))
	for k, sp := range s.spans {
		p[k] = engine.Value{Dimension: sp.dimension.Name, Text: sp.texts[sp.from+at[k]]}
	}
	return p
}

// Text writes partition i: day=2017-06-15.
func (s *Set) Text(i int) string {
	s.once.Do(func() {
		s.texts = make([]string, s.size)
		for i := range s.texts {
			s.texts[i] = s.Partition(i).String()
		}
	})
	return s.texts[i]
}

// Index finds a partition by its values; their order does not matter.
func (s *Set) Index(p engine.Partition) (int, bool) {
	if len(p) != len(s.spans) {
		return 0, false
	}
	i := 0
	for _, sp := range s.spans {
		text, ok := p.Get(sp.dimension.Name)
		if !ok {
			return 0, false
		}
		at, ok := sp.find(text)
		if !ok || at < sp.from || at >= sp.from+sp.n {
			return 0, false
		}
		i = i*sp.n + at - sp.from
	}
	return i, true
}

// IndexText finds a partition by its text.
func (s *Set) IndexText(text string) (int, bool) {
	if text == "" {
		return 0, len(s.spans) == 0
	}
	var p engine.Partition
	for part := range strings.SplitSeq(text, ",") {
		name, value, _ := strings.Cut(part, "=")
		p = append(p, engine.Value{Dimension: name, Text: value})
	}
	return s.Index(p)
}

// Later says whether a text names a partition that will be in the set when its time has ended.
func (s *Set) Later(text string) bool {
	parts := strings.Split(text, ",")
	if len(parts) != len(s.spans) {
		return false
	}
	later := false
	for k, sp := range s.spans {
		value, ok := strings.CutPrefix(parts[k], sp.dimension.Name+"=")
		at, known := sp.find(value)
		switch {
		case !ok:
			return false
		case known && at >= sp.from && at < sp.from+sp.n:
		case sp.dimension.Unit == engine.NoUnit:
			return false
		default:
			t, err := sp.dimension.Unit.Parse(value, sp.loc)
			if err != nil || sp.n > 0 && t.Before(sp.end(sp.from+sp.n-1)) || t.Before(sp.over) {
				return false
			}
			if start, err := sp.dimension.Unit.Parse(sp.dimension.Start, sp.loc); err == nil && t.Before(start) {
				return false
			}
			later = true
		}
	}
	return later
}

// time is the index of the time dimension among the spans, -1 if there is none.
func (s *Set) time() int {
	return slices.IndexFunc(s.spans, func(sp span) bool { return sp.dimension.Unit != engine.NoUnit })
}

// TimeIndex is the position in time of partition i; 0 without a time dimension.
func (s *Set) TimeIndex(i int) int {
	if k := s.time(); k >= 0 {
		return s.spans[k].from + s.split(i)[k]
	}
	return 0
}

// Intervals gives for each dimension of partition i its stretch of time; zero for listed values.
func (s *Set) Intervals(i int) []engine.Interval {
	if len(s.spans) == 0 {
		return nil
	}
	at := s.split(i)
	out := make([]engine.Interval, len(s.spans))
	for k, sp := range s.spans {
		if sp.starts != nil {
			out[k] = engine.Interval{Start: sp.start(sp.from + at[k]), End: sp.end(sp.from + at[k])}
		}
	}
	return out
}

// End is the last instant of partition i's interval of time, exclusive, in the timezone of its dimension; zero without one.
func (s *Set) End(i int) time.Time {
	if k := s.time(); k >= 0 {
		return s.spans[k].end(s.spans[k].from + s.split(i)[k])
	}
	return time.Time{}
}

// Match lists the partitions that lie in all subsets, in order.
func (s *Set) Match(subsets []engine.Subset) ([]int, error) {
	sel := s.all()
	for _, sub := range subsets {
		k := slices.IndexFunc(s.spans, func(sp span) bool { return sp.dimension.Name == sub.Dimension })
		if k < 0 {
			return nil, &NoDimensionError{Dimension: sub.Dimension, Set: s}
		}
		lo, hi, err := s.spans[k].within(sub)
		if err != nil {
			return nil, err
		}
		lo, hi = max(lo, int(sel.lo[k])), min(hi, int(sel.lo[k]+sel.n[k]))
		if lo >= hi {
			return nil, fmt.Errorf("nothing is left of %s: several restrictions of it have nothing in common", sub.Dimension)
		}
		sel.lo[k], sel.n[k] = int32(lo), int32(hi-lo)
	}
	return slices.AppendSeq(make([]int, 0, sel.Len()), sel.All()), nil
}

// NoDimensionError says that a target is not partitioned by a dimension.
type NoDimensionError struct {
	Dimension string
	Set       *Set
}

func (e *NoDimensionError) Error() string {
	return fmt.Sprintf("it is not partitioned by %s, but by %s", e.Dimension, e.Set.dimensions())
}

func (s *Set) dimensions() string {
	if len(s.spans) == 0 {
		return "nothing"
	}
	var names []string
	for _, sp := range s.spans {
		names = append(names, sp.dimension.Name)
	}
	return strings.Join(names, " and ")
}

// within gives the stretch, relative to the span, that a subset selects. One that selects nothing is an error.
func (sp span) within(sub engine.Subset) (lo, hi int, err error) {
	single := sub.From == sub.To
	if sp.dimension.Unit == engine.NoUnit && !single {
		return 0, 0, fmt.Errorf("%s has listed values, which have no ranges", sp.dimension.Name)
	}
	lo, hi = 0, sp.n-1
	if sub.From != "" {
		if lo, _, err = sp.bound(sub.From); err != nil {
			return 0, 0, err
		}
	}
	if sub.To != "" {
		if _, hi, err = sp.bound(sub.To); err != nil {
			return 0, 0, err
		}
	}
	if sub.From > sub.To && sub.From != "" && sub.To != "" { // texts of one unit are in the order of time
		return 0, 0, fmt.Errorf("%s: the first value lies after the last", sub)
	}
	if lo, hi = max(lo, 0), min(hi, sp.n-1); lo > hi || single && sp.texts[sp.from+lo] != sub.From {
		_, wanted, _ := strings.Cut(sub.String(), "=")
		return 0, 0, fmt.Errorf("there is no %s %s: %s", sp.dimension.Name, wanted, sp.describe())
	}
	return lo, hi + 1, nil
}

// bound finds the positions, relative to the span, of the first value that is not before a text, and of the last that is not after it; of a time dimension they may lie outside.
func (sp span) bound(text string) (lo, hi int, err error) {
	if sp.dimension.Unit != engine.NoUnit {
		t, err := sp.dimension.Unit.Parse(text, sp.loc)
		if err != nil {
			return 0, 0, err
		}
		at := sp.position(t)
		return sp.atOrAfter(at) - sp.from, sp.atOrBefore(at) - sp.from, nil
	}
	if at, ok := sp.find(text); ok {
		return at - sp.from, at - sp.from, nil
	}
	if near := engine.Suggest(text, sp.texts); near != "" {
		return 0, 0, fmt.Errorf("there is no %s %q; did you mean %q?", sp.dimension.Name, text, near)
	}
	return 0, 0, fmt.Errorf("there is no %s %q: %s", sp.dimension.Name, text, sp.describe())
}

// describe says which values a span has.
func (sp span) describe() string {
	texts, listed := sp.texts[sp.from:sp.from+sp.n], sp.dimension.FromSource
	switch {
	case len(texts) == 0 && !listed.IsZero():
		return fmt.Sprintf("%s has no files of any", listed)
	case len(texts) == 0:
		return "it has no partition that has ended yet"
	case sp.dimension.Unit == engine.NoUnit && len(texts) <= 10:
		return "its values are " + strings.Join(texts, ", ")
	}
	if len(texts) == 1 {
		return "its one value is " + texts[0]
	}
	words := fmt.Sprintf("its %d values run from %s to %s", len(texts), texts[0], texts[len(texts)-1])
	if !listed.IsZero() {
		words += fmt.Sprintf(", and are those of which %s has files", listed)
	}
	return words
}

func (s *Set) all() Selection {
	sel := Selection{set: s}
	for k, sp := range s.spans {
		sel.n[k] = int32(sp.n)
	}
	return sel
}

// searchRange finds the stretch of 0..n-1 whose elements are neither below nor above, for tests that hold for a prefix and a suffix.
func searchRange(n int, below, above func(int) bool) (lo, hi int) {
	lo = sort.Search(n, func(i int) bool { return !below(i) })
	hi = sort.Search(n, above)
	return lo, max(lo, hi)
}

// Before is the partition k places before partition i along the time dimension, all else equal; false if there is none.
func (s *Set) Before(i, k int) (int, bool) {
	t := s.time()
	if t < 0 || s.split(i)[t] < k {
		return 0, false
	}
	stride := 1
	for _, sp := range s.spans[t+1:] {
		stride *= sp.n
	}
	return i - k*stride, true
}
