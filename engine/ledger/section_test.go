package ledger

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
)

// TestSectionsShareChunks: the sections of a target that reads all so far grow the ledger by what is new in each.
func TestSectionsShareChunks(t *testing.T) {
	l, _ := newLedger(t)
	const partitions = 1000
	var digests []cache.SectionDigest
	var all [][]engine.Entry
	err := l.Write(t.Context(), func(tx *Tx) error {
		var s engine.Section
		var entries []engine.Entry
		for i := range partitions {
			e := engine.Entry{Name: fmt.Sprintf("@day=%04d", i), Value: fmt.Sprintf("%032d", i)}
			s.Add(e.Name, e.Value)
			entries = append(entries, e)
			if err := tx.PutSection(s.Bytes()); err != nil {
				return err
			}
			digests, all = append(digests, s.Digest()), append(all, entries[:len(entries):len(entries)])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 62, 63, 64, 127, 128, 500, partitions - 1} {
		got, err := l.Section(digests[i])
		if err != nil || !reflect.DeepEqual(got, all[i]) {
			t.Errorf("section %d is read as %d entries: %v", i, len(got), err)
		}
	}
	var size int64
	if err := l.query("SELECT sum(length(body)) FROM section", func(s *sqlite.Stmt) error { size = s.ColumnInt64(0); return nil }); err != nil {
		t.Fatal(err)
	}
	whole := int64(partitions * partitions / 2 * 43)
	if size > whole/8 {
		t.Errorf("%d bytes of sections, where whole ones would be %d", size, whole)
	}
}
