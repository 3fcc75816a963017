package engine

import (
	"testing"
	"time"
)

// TestExpired: what was made later than now, as the clock went back, may be of any age.
func TestExpired(t *testing.T) {
	t.Parallel()
	r := &Result{Observed: time.Unix(1000, 0)}
	for now, want := range map[int64]bool{0: true, 999: true, 1000: false, 1059: false, 1060: true, 5000: true} {
		if got := r.Expired(time.Minute, time.Unix(now, 0)); got != want {
			t.Errorf("at %d: %v", now, got)
		}
		if r.Expired(0, time.Unix(now, 0)) {
			t.Errorf("at %d without valid_for it is expired", now)
		}
	}
}
