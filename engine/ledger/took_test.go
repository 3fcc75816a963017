package ledger

import (
	"fmt"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

// The newest runs that succeeded are a target's history; those that failed, and those of other targets, are none of it.
func TestTook(t *testing.T) {
	l, _ := newLedger(t)
	none, err := l.Took("w", label, 3)
	same(t, "history of a target that never ran", none, nil, err)
	write(t, l, func(tx *Tx) error {
		for k := range 6 {
			r := engine.Run{Key: cache.ActionKey{byte(k)}, Label: label, Partition: fmt.Sprint(k), Wall: time.Duration(k) * time.Second}
			if k == 4 {
				r.Failure = "exit code 1"
			}
			if err := tx.PutRun("w", r); err != nil {
				return err
			}
			r.Label.Name, r.Failure = "other", ""
			if err := tx.PutRun("w", r); err != nil {
				return err
			}
		}
		_, err := tx.PutResult(engine.Result{Key: cache.ActionKey{5}, CPU: time.Minute}, false)
		return err
	})
	got, err := l.Took("w", label, 3)
	same(t, "newest first", got, []Took{{Partition: "5", Wall: 5 * time.Second, CPU: time.Minute}, {Partition: "3", Wall: 3 * time.Second}, {Partition: "2", Wall: 2 * time.Second}}, err)
}

func TestHasSection(t *testing.T) {
	l, _ := newLedger(t)
	var s engine.Section
	s.Add("a", "b")
	write(t, l, func(tx *Tx) error { return tx.PutSection(s.Bytes()) })
	found, err := l.HasSection(s.Digest())
	same(t, "recorded", found, true, err)
	found, err = l.HasSection(cache.SectionDigest{1})
	same(t, "not recorded", found, false, err)
}
