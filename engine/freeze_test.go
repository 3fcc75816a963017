package engine

import (
	"testing"
	"time"
)

func TestFreeze(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	utc := time.Date(2017, 7, 1, 0, 0, 0, 0, time.UTC)
	spring := time.Date(2017, 3, 26, 0, 0, 0, 0, berlin) // a day of 23 hours follows
	for _, c := range []struct {
		text string
		end  time.Time
		at   time.Time // from then on it is frozen
	}{
		{"+5d", utc, utc.Add(5 * 24 * time.Hour)}, {"+2w", utc, utc.Add(14 * 24 * time.Hour)}, {"+90m", utc, utc.Add(90 * time.Minute)},
		{"+36h", utc, utc.Add(36 * time.Hour)}, {"+1d", spring, spring.Add(23 * time.Hour)}, {"+24h", spring, spring.Add(24 * time.Hour)},
	} {
		f, ok := ParseFreeze(c.text)
		if !ok || f.Reached(c.end, c.at.Add(-1)) || !f.Reached(c.end, c.at) {
			t.Errorf("%s after %s: want frozen from %s on (%v, %+v)", c.text, c.end, c.at, ok, f)
		}
	}
	built, ok := ParseFreeze("built")
	if !ok || !built.Reached(time.Time{}, utc) || built.NeedsTime() {
		t.Errorf("built: %+v, %v", built, ok)
	}
	if (Freeze{}).Reached(utc, utc.AddDate(9, 0, 0)) {
		t.Error("what has no freeze is frozen")
	}
	for _, bad := range []string{"", "Built", "5d", "+d", "+5", "+5y", "+5M", "+-5d", "+1234567d", "+ 5d", "+5d "} {
		if f, ok := ParseFreeze(bad); ok {
			t.Errorf("%q is read as %+v", bad, f)
		}
	}
}
