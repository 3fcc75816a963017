package engine

import "time"

// Freeze says from when on an accepted partition is no longer rebuilt. The zero value never freezes.
type Freeze struct {
	Set    bool
	Offset // after the partition's end; zero: as soon as it is accepted
}

// ParseFreeze reads "built", or "+5d": so long after the partition's end.
func ParseFreeze(s string) (Freeze, bool) {
	if s == "built" {
		return Freeze{Set: true}, true
	}
	o, ok := ParseOffset(s)
	return Freeze{Set: ok, Offset: o}, ok
}

// NeedsTime says that it counts from the end of a partition of time.
func (f Freeze) NeedsTime() bool { return f.Offset != Offset{} }

// From is the instant from which an accepted partition is frozen, of one that ends at end; zero if it is as soon as it is accepted.
func (f Freeze) From(end time.Time) time.Time {
	if !f.NeedsTime() || end.IsZero() {
		return time.Time{}
	}
	return f.After(end)
}

// Reached says whether an accepted partition is frozen by now. end is that of its interval, in the timezone of its dimension.
func (f Freeze) Reached(end, now time.Time) bool {
	return f.Set && (!f.NeedsTime() || !end.IsZero() && !now.Before(f.From(end)))
}
