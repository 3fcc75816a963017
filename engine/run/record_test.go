package run

import (
	"testing"
	"testing/synctest"
	"time"
)

// What is decided faster than it can be recorded waits, so that a million records are not held at once.
func TestKeepUp(t *testing.T) {
	r := &recorder{out: make(chan *record)}
	r.more.L = &r.mu
	for range 2*mostRecords + 3 {
		r.keep(&record{})
	}
	go func() {
		defer close(r.out)
		for batch := r.next(); len(batch) > 0; batch = r.next() {
			for _, rec := range batch {
				r.out <- rec
			}
		}
	}()
	b := &build{pass: pass{recorder: r}}
	b.keepUp()
	if n := r.behind(); n > 2*mostRecords {
		t.Errorf("%d records wait", n)
	}
	r.close()
	if err := b.finishRecording(); err != nil {
		t.Error(err)
	}
}

// Records wait for those that follow them, but not beyond a time, nor where many wait or nothing more comes.
func TestRecordsRest(t *testing.T) {
	for name, x := range map[string]struct {
		rested time.Duration
		kept   int
		closed bool
		rests  time.Duration
	}{
		"a while":        {rested: maxRest, kept: 2, rests: maxRest},
		"after the time": {rested: -maxRest, kept: 2},
		"many":           {rested: maxRest, kept: mostRecords},
		"the last":       {rested: maxRest, kept: 2, closed: true},
		"the end":        {rested: maxRest, closed: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			r := &recorder{rested: began.Add(x.rested)}
			r.more.L = &r.mu
			go func() {
				for range x.kept {
					r.keep(&record{})
				}
				if x.closed {
					r.close()
				}
			}()
			if batch := r.next(); len(batch) == 0 && x.kept > 0 || time.Since(began) != x.rests {
				t.Errorf("%s: %d records after %v", name, len(batch), time.Since(began))
			}
		})
	}
}
