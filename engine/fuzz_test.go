package engine

import (
	"bytes"
	"testing"
	"time"
)

// Accepted text is written again as what was read: there is one form.

func FuzzLabel(f *testing.F) {
	for _, s := range []string{"//a/b:c", "//a", ":c", "//a:b.c", "//", "a", "//a:", "//a//b:c", "//ä:b", "//a:b.quarantine", ":b.c.quarantine", ":quarantine", "//a/b.quarantine"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := ParseRef(s, "from/here")
		if err != nil {
			return
		}
		again, err := ParseRef(ref.String(), "")
		if err != nil || again != ref {
			t.Errorf("%q is %v, and that is %v (%v)", s, ref, again, err)
		}
	})
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"//...", "//a/...", "-//a:all", ":all", "//a:b.c@day=2017-06-01..2017-06-07,country=DE", "//a:b#4f1c9a", "//a@day=..2017", "@", "#", "//a:b.quarantine"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePattern(s, "from/here")
		if err != nil {
			return
		}
		again, err := ParsePattern(p.String(), "")
		if err != nil || again.String() != p.String() {
			t.Errorf("%q is %s, and that is %s (%v)", s, p, again, err)
		}
	})
}

func FuzzPartition(f *testing.F) {
	for _, s := range []string{"2017-06-15T13", "2017-06-15", "2017-W24", "2017-06", "2017-Q2", "2017", "2017-W54", "0000", "2017-02-30"} {
		f.Add(s, byte(Day))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, unit byte) {
		u := Unit(unit%byte(Year)) + 1
		for _, loc := range []*time.Location{time.UTC, berlin} {
			start, err := u.Parse(s, loc)
			if err != nil {
				continue
			}
			if u == Hour && loc != time.UTC {
				continue // hours need a fixed offset
			}
			if got := u.Text(start); got != s {
				t.Errorf("%s %q starts at %v, which is in %q", u, s, start, got)
			}
			next := u.Next(start)
			if !next.After(start) || u.Text(next.Add(-1)) != s || !u.Floor(next.Add(-1)).Equal(start) || !u.Add(next, -1).Equal(start) {
				t.Errorf("%s %q is from %v to %v", u, s, start, next)
			}
		}
	})
}

func FuzzSection(f *testing.F) {
	var s Section
	s.Add("name", "value")
	s.Add("", "\x00")
	f.Add(s.Bytes())
	f.Add([]byte{0x80, 0x00, 0x00})
	f.Fuzz(func(t *testing.T, b []byte) {
		entries, err := DecodeSection(b)
		if err != nil {
			return
		}
		var again Section
		for _, e := range entries {
			again.Add(e.Name, e.Value)
		}
		if !bytes.Equal(again.Bytes(), b) {
			t.Errorf("%x is read as what is written %x", b, again.Bytes())
		}
	})
}
