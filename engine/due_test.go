package engine

import (
	"testing"
	"time"
	_ "time/tzdata"
)

// TestDueAt: when a partition is due. The end is written as its dimension's clocks show it.
func TestDueAt(t *testing.T) {
	for _, c := range []struct {
		due, zone, unit, partition, want string
	}{
		{"06:00", "", "day", "2017-06-15", "2017-06-16T06:00:00Z"},
		{"00:00", "", "day", "2017-06-15", "2017-06-16T00:00:00Z"},
		{"+6h", "", "day", "2017-06-15", "2017-06-16T06:00:00Z"},
		{"+90m", "", "day", "2017-06-15", "2017-06-16T01:30:00Z"},
		{"+1d 09:00", "", "day", "2017-06-15", "2017-06-17T09:00:00Z"},
		{"+6h 06:00", "", "day", "2017-06-15", "2017-06-16T06:00:00Z"},
		{"+7h 06:00", "", "day", "2017-06-15", "2017-06-17T06:00:00Z"},
		{"+1w", "", "day", "2017-06-15", "2017-06-23T00:00:00Z"},
		{"+0d", "", "day", "2017-06-15", "2017-06-16T00:00:00Z"},

		// Of an hour, a week, a month and a year, the first time of day after the end.
		{"06:00", "", "hour", "2017-06-15T05", "2017-06-15T06:00:00Z"},
		{"06:00", "", "hour", "2017-06-15T06", "2017-06-16T06:00:00Z"},
		{"+20m", "", "hour", "2017-06-15T23", "2017-06-16T00:20:00Z"},
		{"06:00", "", "week", "2017-W24", "2017-06-19T06:00:00Z"},
		{"+2d 12:00", "", "month", "2017-01", "2017-02-03T12:00:00Z"},
		{"+4w", "", "month", "2017-01", "2017-03-01T00:00:00Z"},
		{"+31d", "", "year", "2016", "2017-02-01T00:00:00Z"},

		// In the timezone of the dimension, in summer and in winter.
		{"06:00", "Europe/Berlin", "day", "2017-06-15", "2017-06-16T04:00:00Z"},
		{"06:00", "Europe/Berlin", "day", "2017-12-15", "2017-12-16T05:00:00Z"},
		{"06:00", "America/New_York", "day", "2017-06-15", "2017-06-16T10:00:00Z"},
		{"06:00", "Asia/Kolkata", "day", "2017-06-15", "2017-06-16T00:30:00Z"},

		// Clocks go forward at 2 on 2017-03-26: that day has 23 hours, 02:30 is skipped, and a day is no 24 hours.
		{"02:30", "Europe/Berlin", "day", "2017-03-25", "2017-03-26T01:00:00Z"},
		{"06:00", "Europe/Berlin", "day", "2017-03-25", "2017-03-26T04:00:00Z"},
		{"+6h", "Europe/Berlin", "day", "2017-03-25", "2017-03-26T05:00:00Z"},
		{"+1d", "Europe/Berlin", "day", "2017-03-25", "2017-03-26T22:00:00Z"},
		{"+24h", "Europe/Berlin", "day", "2017-03-25", "2017-03-26T23:00:00Z"},
		{"02:30", "America/New_York", "day", "2017-03-11", "2017-03-12T07:00:00Z"},
		// They go back at 3 on 2017-10-29: 02:30 comes twice, and the first counts.
		{"02:30", "Europe/Berlin", "day", "2017-10-28", "2017-10-29T00:30:00Z"},
		{"03:00", "Europe/Berlin", "day", "2017-10-28", "2017-10-29T02:00:00Z"},
		{"01:30", "America/New_York", "day", "2017-11-04", "2017-11-05T05:30:00Z"},
		// Here they go forward at midnight.
		{"00:00", "America/Sao_Paulo", "day", "2017-10-14", "2017-10-15T03:00:00Z"},
		{"+1d 00:00", "America/Sao_Paulo", "day", "2017-10-13", "2017-10-15T03:00:00Z"},
	} {
		loc, err := time.LoadLocation(c.zone)
		if err != nil {
			t.Fatal(err)
		}
		unit, _ := ParseUnit(c.unit)
		start, err := unit.Parse(c.partition, loc)
		if err != nil {
			t.Fatal(err)
		}
		due, ok := ParseDue(c.due)
		if got := due.At(unit.Next(start)).UTC().Format(time.RFC3339); !ok || got != c.want {
			t.Errorf("%s of %s in %q: %s, want %s", c.due, c.partition, c.zone, got, c.want)
		}
	}
}

func TestParseDueRefuses(t *testing.T) {
	for _, s := range []string{"", " ", "6h", "+6", "+h", "6:00", "24:00", "12:60", "06:00 ", " 06:00", "+1d  06:00", "+1d 06:00:00", "06:00 +1d", "+1d +1d", "-1d", "+1234567d", "+1y", "+1d ", "+1d06:00", "noon"} {
		if d, ok := ParseDue(s); ok {
			t.Errorf("%q is taken as %+v", s, d)
		}
	}
}
