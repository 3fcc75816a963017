package run

import "testing"

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
