package hcl

import (
	"time"
)

// moment is a date or a time. One without a timezone is what clocks show: which instant that is follows from the timezone of those it is compared with.
type moment struct {
	text  string
	at    time.Time // if it has no timezone, as if in UTC
	zoned bool
	daily bool // a time of day
}

var (
	zonedLayouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05-07", "2006-01-02 15:04:05-07:00"}
	civilLayouts = []string{time.DateOnly, time.DateTime, "2006-01-02T15:04:05"}
	dailyLayouts = map[string]bool{time.TimeOnly: false, "15:04:05-07": true, "15:04:05-07:00": true}
)

// parseMoment reads a time as SQL writes it, in RFC 3339, or as a partition is written.
func parseMoment(s string) (moment, bool) {
	for _, layout := range civilLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return moment{text: s, at: t}, true
		}
	}
	for _, layout := range zonedLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return moment{text: s, at: t, zoned: true}, true
		}
	}
	for layout, zoned := range dailyLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return moment{text: s, at: t, zoned: zoned, daily: true}, true
		}
	}
	t, ok := partitionTime(s)
	return moment{text: s, at: t}, ok
}

// compare orders two times; those without a timezone are read in zone, if the other has one.
func (i moment) compare(j moment, zone *time.Location) (int, error) {
	if i.daily != j.daily {
		return 0, violated("%s and %s can't be compared: one is a time of day", i.text, j.text)
	}
	if i.zoned != j.zoned {
		i, j = i.in(zone), j.in(zone)
	}
	return i.at.Compare(j.at), nil
}

// in gives a time without a timezone the one of zone.
func (i moment) in(zone *time.Location) moment {
	if !i.zoned {
		y, m, d := i.at.Date()
		i.at = time.Date(y, m, d, i.at.Hour(), i.at.Minute(), i.at.Second(), i.at.Nanosecond(), zone)
	}
	return i
}
