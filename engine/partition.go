package engine

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Unit is the length of a time dimension's partitions. NoUnit is that of a dimension of listed values.
type Unit uint8

const (
	NoUnit Unit = iota
	Hour
	Day
	Week // from Monday, named by ISO 8601: 2017-W24
	Month
	Quarter
	Year
)

var unitNames = [...]string{NoUnit: "", Hour: "hour", Day: "day", Week: "week", Month: "month", Quarter: "quarter", Year: "year"}

// Units lists the units that a partition block's every accepts.
func Units() []string { return unitNames[Hour:] }

func (u Unit) String() string { return unitNames[u] }

// ParseUnit reads the value of every.
func ParseUnit(s string) (Unit, bool) {
	for u, name := range unitNames {
		if name == s && s != "" {
			return Unit(u), true
		}
	}
	return NoUnit, false
}

// Text names the partition that starts at t: 2017-06-15T13, 2017-06-15, 2017-W24, 2017-06, 2017-Q2 or 2017.
func (u Unit) Text(t time.Time) string {
	switch u {
	case Hour:
		return t.Format("2006-01-02T15")
	case Day:
		return t.Format("2006-01-02")
	case Week:
		y, w := t.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", y, w)
	case Month:
		return t.Format("2006-01")
	case Quarter:
		return fmt.Sprintf("%04d-Q%d", t.Year(), (int(t.Month())+2)/3)
	case Year:
		return t.Format("2006")
	}
	return ""
}

// Example is a text that Parse accepts, for messages.
func (u Unit) Example() string { return u.Text(time.Date(2017, 6, 15, 13, 0, 0, 0, time.UTC)) }

// Parse returns the first instant of the partition that text names, in loc. Only the form that Text writes is accepted.
func (u Unit) Parse(text string, loc *time.Location) (time.Time, error) {
	y, m, d, h, ok := u.civil(text)
	if ok {
		t := startOf(y, m, d, h, loc)
		if u.Text(time.Date(y, m, d, h, 0, 0, 0, time.UTC)) == text {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no %s; write it like %q", text, u, u.Example())
}

func (u Unit) civil(text string) (y int, m time.Month, d, h int, ok bool) {
	layout := map[Unit]string{Hour: "2006-01-02T15", Day: "2006-01-02", Month: "2006-01", Year: "2006"}[u]
	if layout != "" {
		t, err := time.Parse(layout, text)
		return t.Year(), t.Month(), t.Day(), t.Hour(), err == nil
	}
	var n int
	switch u {
	case Quarter:
		c, err := fmt.Sscanf(text, "%4d-Q%1d", &y, &n)
		return y, time.Month(3*n - 2), 1, 0, c == 2 && err == nil && n >= 1 && n <= 4
	case Week:
		c, err := fmt.Sscanf(text, "%4d-W%2d", &y, &n)
		if c != 2 || err != nil || n < 1 || n > 53 {
			return 0, 0, 0, 0, false
		}
		// ISO 8601: week 1 is the one that holds January 4th.
		t := monday(time.Date(y, 1, 4, 0, 0, 0, 0, time.UTC)).AddDate(0, 0, 7*(n-1))
		return t.Year(), t.Month(), t.Day(), 0, true
	}
	return 0, 0, 0, 0, false
}

func monday(t time.Time) time.Time { return t.AddDate(0, 0, -(int(t.Weekday())+6)%7) }

// startOf is the first instant of a civil hour. Where clocks go forward at midnight the day starts later, at the jump.
func startOf(y int, m time.Month, d, h int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, h, 0, 0, 0, loc)
	if want := time.Date(y, m, d, h, 0, 0, 0, time.UTC); t.Hour() != want.Hour() || t.Day() != want.Day() {
		if start, end := t.ZoneBounds(); t.Day() != want.Day() {
			t = end
		} else {
			t = start
		}
	}
	return t
}

// Floor is the first instant of the partition that holds t, in t's location.
func (u Unit) Floor(t time.Time) time.Time {
	loc := t.Location()
	y, m, d := t.Date()
	switch u {
	case Hour:
		return startOf(y, m, d, t.Hour(), loc)
	case Week:
		y, m, d = monday(time.Date(y, m, d, 0, 0, 0, 0, time.UTC)).Date()
	case Month:
		d = 1
	case Quarter:
		m, d = (m-1)/3*3+1, 1
	case Year:
		m, d = 1, 1
	}
	return startOf(y, m, d, 0, loc)
}

// Next is the first instant after the partition that starts at t: the start of the one that follows.
func (u Unit) Next(t time.Time) time.Time { return u.Add(t, 1) }

// Add is the start of the partition n positions after the one that holds t; n may be negative.
func (u Unit) Add(t time.Time, n int) time.Time {
	if u == Hour {
		return u.Floor(t).Add(time.Duration(n) * time.Hour)
	}
	// Counted in civil time from the named day, because a day may start late.
	y, m, d, _, _ := u.civil(u.Text(t))
	switch u {
	case Day:
		d += n
	case Week:
		d += 7 * n
	case Month:
		m += time.Month(n)
	case Quarter:
		m += time.Month(3 * n)
	case Year:
		y += n
	}
	civil := time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
	return startOf(civil.Year(), civil.Month(), civil.Day(), 0, t.Location())
}

// Value is a partition's value along one dimension, as text.
type Value struct{ Dimension, Text string }

// Partition is one value for each of a target's dimensions, in the order of its partition_by. A target without dimensions has the one
// partition nil.
type Partition []Value

// String writes day=2017-06-15,country=DE; "" for the partition of a target without dimensions.
func (p Partition) String() string { return p.join(",") }

// Path writes the partition in Hive style, a folder a dimension: day=2017-06-15/country=DE.
func (p Partition) Path() string { return p.join("/") }

func (p Partition) join(sep string) string {
	var b strings.Builder
	for i, v := range p {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(v.Dimension + "=" + v.Text)
	}
	return b.String()
}

// Get returns the value along a dimension.
func (p Partition) Get(dimension string) (string, bool) {
	for _, v := range p {
		if v.Dimension == dimension {
			return v.Text, true
		}
	}
	return "", false
}

// CheckValue says why text can't be a value of a dimension of listed values, or nil. Values stand in paths and on command lines.
func CheckValue(text string) error {
	if text == "" || text == "." || len(text) > 100 || strings.Contains(text, "..") {
		return fmt.Errorf("%q can't be a partition's value: want 1 to 100 characters, without \"..\"", text)
	}
	for _, c := range []byte(text) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' || c == '.' || c == '+') {
			return fmt.Errorf("%q can't be a partition's value: use letters, digits and _ - . + only", text)
		}
	}
	return nil
}

// Dimension is a partition block: the values along which targets are cut into partitions.
type Dimension struct {
	Name     string
	Unit     Unit     // NoUnit for listed values
	Values   []string // of NoUnit, in the order written; with FromSource what the source's files say, nil if nobody has looked
	Start    string   // text of the first partition of a time dimension; with FromSource it may be "": the first one found
	End      string   // text of the last; "" for the last complete one
	Timezone string   // IANA name; "" is UTC
	// FromSource is the source whose files say which values there are; zero if the files of the workspace do.
	FromSource Label
	FromRange  Range
	Range      Range
}

// Location is the timezone of a time dimension.
func (d *Dimension) Location() (*time.Location, error) {
	if d.Timezone == "" {
		return time.UTC, nil
	}
	loc, err := time.LoadLocation(d.Timezone)
	if err != nil {
		return nil, fmt.Errorf("timezone %q is not known: %w", d.Timezone, err)
	}
	return loc, nil
}

// Admits says whether the partition of that text, which begins at t, belongs into a time dimension: not before its start, not after its end, and over by now.
func (d *Dimension) Admits(text string, t, now time.Time) bool {
	return text >= d.Start && (d.End == "" || text <= d.End) && !d.Unit.Next(t).After(now) // texts of one unit are in the order of time
}

// Text is a string that may depend on the partition and on where a job finds its inputs and outputs.
type Text []Segment

// Segment is a piece of a Text: a literal, a dimension's value, a path, or what Eval computes from the partition.
type Segment struct {
	Literal   string
	Dimension string
	Path      string // "input.NAME" or "output.NAME"
	Eval      func(Partition) (string, error)
	Source    string // of an Eval: the expression that it computes, which stands for itself; "" if there is none that does
	Layout    string // of an Eval that writes the time of Dimension: how, as date() takes it
}

// Paths holds where a job finds what a Segment's Path names.
type Paths map[string]string

// Literal is a Text that is the same everywhere.
func Literal(s string) Text { return Text{{Literal: s}} }

// ByPartition says whether the text depends on the partition.
func (t Text) ByPartition() bool {
	return slices.ContainsFunc(t, func(s Segment) bool { return s.Dimension != "" || s.Eval != nil })
}

// At gives the string for one partition. With nil paths a path is written as its name between NUL bytes, which no literal holds.
func (t Text) At(p Partition, paths Paths) (string, error) {
	if len(t) == 1 && t[0].Literal != "" {
		return t[0].Literal, nil
	}
	var b strings.Builder
	for _, s := range t {
		v, err := s.at(p, paths)
		if err != nil {
			return "", err
		}
		b.WriteString(v)
	}
	return b.String(), nil
}

func (s Segment) at(p Partition, paths Paths) (string, error) {
	switch {
	case s.Eval != nil:
		return s.Eval(p)
	case s.Dimension != "":
		if v, ok := p.Get(s.Dimension); ok {
			return v, nil
		}
		return "", fmt.Errorf("partition %q has no dimension %q", p, s.Dimension)
	case s.Path != "" && paths == nil:
		return "\x00" + s.Path + "\x00", nil
	case s.Path != "":
		if v, ok := paths[s.Path]; ok {
			return v, nil
		}
		return "", fmt.Errorf("no path for %s", s.Path)
	}
	return s.Literal, nil
}
