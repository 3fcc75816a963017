package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// when is a stretch of time that a text names: a day, a minute, or a moment, of no length.
type when struct{ from, to time.Time }

// layouts of times that name a stretch, and how long it is. Those without an offset are in UTC.
var layouts = []struct {
	layout string
	length func(time.Time) time.Time
}{
	{"2006", func(t time.Time) time.Time { return t.AddDate(1, 0, 0) }},
	{"2006-01", func(t time.Time) time.Time { return t.AddDate(0, 1, 0) }},
	{time.DateOnly, nextDay},
	{"2006-01-02T15", func(t time.Time) time.Time { return t.Add(time.Hour) }},
	{"2006-01-02T15:04", nextMinute},
	{"2006-01-02T15:04Z07:00", nextMinute},
	{"2006-01-02T15:04:05", nextSecond},
	{time.RFC3339, nextSecond},
}

func nextDay(t time.Time) time.Time    { return t.AddDate(0, 0, 1) }
func nextMinute(t time.Time) time.Time { return t.Add(time.Minute) }
func nextSecond(t time.Time) time.Time { return t.Truncate(time.Second).Add(time.Second) }

var ago = regexp.MustCompile(`^([0-9]{1,6})(w|d|h|m|min|s)$`)

var units = map[string]time.Duration{"w": 7 * 24 * time.Hour, "d": 24 * time.Hour, "h": time.Hour, "m": time.Minute, "min": time.Minute, "s": time.Second}

// parseWhen reads a date, a time, how long ago (7d, 2h), today, yesterday, or a weekday: the last one before today.
func parseWhen(text string, now time.Time) (when, error) {
	lower := strings.ToLower(strings.TrimSpace(text))
	if m := ago.FindStringSubmatch(lower); m != nil {
		n, _ := strconv.Atoi(m[1]) // digits, and few
		t := now.Add(-time.Duration(n) * units[m[2]])
		return when{t, t}, nil
	}
	today := now.UTC().Truncate(24 * time.Hour)
	for back, name := range []string{"today", "yesterday"} {
		if lower == name {
			return day(today.AddDate(0, 0, -back)), nil
		}
	}
	for back := 1; back <= 7; back++ {
		t := today.AddDate(0, 0, -back)
		if name := strings.ToLower(t.Weekday().String()); lower == name || lower == name[:3] {
			return day(t), nil
		}
	}
	spelled := strings.Replace(strings.TrimSpace(text), " ", "T", 1)
	for _, l := range layouts {
		if t, err := time.Parse(l.layout, spelled); err == nil {
			return when{t, l.length(t)}, nil
		}
	}
	return when{}, fmt.Errorf("want a date or time such as 2017-06-15, 2017-06-15T08:00 or 2017-06-15T08:00+02:00, how long ago such as 7d or 2h, today, yesterday or a weekday; not %q", text)
}

func day(t time.Time) when { return when{t, nextDay(t)} }
