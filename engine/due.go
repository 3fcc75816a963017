package engine

import (
	"strconv"
	"strings"
	"time"
)

// Offset is a stretch of time after a partition's end. Days are those of the timezone of its dimension, and may have 23 or 25 hours.
type Offset struct {
	Days int
	Time time.Duration
}

// ParseOffset reads "+5d": so many minutes, hours, days or weeks.
func ParseOffset(s string) (o Offset, ok bool) {
	number, signed := strings.CutPrefix(s, "+")
	if !signed || len(number) < 2 || len(number) > 7 {
		return Offset{}, false
	}
	n, err := strconv.ParseUint(number[:len(number)-1], 10, 31)
	switch number[len(number)-1] {
	case 'm':
		o.Time = time.Duration(n) * time.Minute
	case 'h':
		o.Time = time.Duration(n) * time.Hour
	case 'd':
		o.Days = int(n)
	case 'w':
		o.Days = 7 * int(n)
	default:
		return Offset{}, false
	}
	return o, err == nil
}

// After is the instant that lies so long after t, in t's timezone.
func (o Offset) After(t time.Time) time.Time { return t.AddDate(0, 0, o.Days).Add(o.Time) }

// Due is a promise on time: when a partition is to be there, counted from its end. The zero value promises nothing.
type Due struct {
	Text string // as written
	Offset
	Clock        bool // at a time of day: the first one after the offset
	Hour, Minute int
	Range        Range
}

// ParseDue reads "06:00", "+6h" and "+1d 09:00".
func ParseDue(s string) (Due, bool) {
	d, clock := Due{Text: s}, s
	if strings.HasPrefix(s, "+") {
		offset, rest, both := strings.Cut(s, " ")
		var ok bool
		if d.Offset, ok = ParseOffset(offset); !ok || !both {
			return d, ok
		}
		clock = rest
	}
	t, err := time.Parse("15:04", clock)
	d.Clock, d.Hour, d.Minute = true, t.Hour(), t.Minute()
	return d, err == nil && len(clock) == len("15:04")
}

// IsZero says that nothing is promised.
func (d Due) IsZero() bool { return d.Text == "" }

// At is when a partition that ends at that instant is due, in the instant's timezone. A time of day is the first of that name at or after the end and the offset.
func (d Due) At(end time.Time) time.Time {
	from := d.After(end)
	if !d.Clock {
		return from
	}
	y, m, day := from.Date()
	at := timeOfDay(y, m, day, d.Hour, d.Minute, from.Location())
	if at.Before(from) {
		at = timeOfDay(y, m, day+1, d.Hour, d.Minute, from.Location())
	}
	return at
}

// ShowInstant writes a time in its timezone, for messages: 2017-06-16 06:00 CEST.
func ShowInstant(t time.Time) string { return t.Format("2006-01-02 15:04 MST") }

// timeOfDay is when clocks show a time: the first time that they do where they are put back, and the moment at which they are put forward where they skip it. time.Date
// leaves open which of the two it gives.
func timeOfDay(y int, m time.Month, d, hour, minute int, loc *time.Location) time.Time {
	t := time.Date(y, m, d, hour, minute, 0, 0, loc)
	want := time.Date(y, m, d, hour, minute, 0, 0, time.UTC)
	_, offset := t.Zone()
	shown := t.UTC().Add(time.Duration(offset) * time.Second)
	start, end := t.ZoneBounds()
	switch {
	case shown.Before(want):
		return end
	case shown.After(want):
		return start
	case start.IsZero():
		return t
	}
	_, before := start.Add(-time.Second).Zone()
	if earlier := t.Add(time.Duration(offset-before) * time.Second); before > offset && earlier.Before(start) {
		return earlier
	}
	return t
}
