package ui

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bytes writes a size for people: 999 B, 12.3 MB.
func Bytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	x, units := float64(n)/1000, "kMGTPE"
	for x >= 999.95 && len(units) > 1 { // else it would read 1000.0
		x, units = x/1000, units[1:]
	}
	return fmt.Sprintf("%.1f %cB", x, units[0])
}

// Duration writes a time for people: 850 ms, 1.2 s, 3 min 20 s, 2 h 5 min.
func Duration(d time.Duration) string {
	if ms := d.Round(time.Millisecond); ms < time.Second {
		if ms <= 0 {
			return "0 s"
		}
		return fmt.Sprintf("%d ms", ms.Milliseconds())
	}
	if tenths := d.Round(100 * time.Millisecond); tenths < time.Minute {
		return strconv.FormatFloat(math.Round(tenths.Seconds()*10)/10, 'f', -1, 64) + " s"
	}
	if s := d.Round(time.Second); s < time.Hour {
		return twoUnits(int(s.Seconds()), 60, "min", "s")
	}
	return twoUnits(int(d.Round(time.Minute).Minutes()), 60, "h", "min")
}

// Delay writes how late something is, or how long there is left: 40 s, 12 min, 2 h 10 min, 3 days.
func Delay(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d >= time.Minute:
		return Duration(d.Truncate(time.Minute))
	}
	return Duration(d.Truncate(time.Second))
}

func twoUnits(n, size int, big, small string) string {
	if n%size == 0 {
		return fmt.Sprintf("%d %s", n/size, big)
	}
	return fmt.Sprintf("%d %s %d %s", n/size, big, n%size, small)
}

// Count writes a number with commas between the thousands: 1,234,567.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign, digits := "", s
	if n < 0 {
		sign, digits = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// plural writes a number of things: 1 job, 1,024 jobs.
func plural(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return Count(int64(n)) + " " + thing + "s"
}
