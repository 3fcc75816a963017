package engine

import (
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
)

var update = flag.Bool("update", false, "write the pinned formats anew; a change of them needs a new KeySchema")

// TestPinnedKeys holds keys and ids still: a store that was written yesterday must be understood today.
func TestPinnedKeys(t *testing.T) {
	r := sampleRecipe()
	r.Target.Inputs[0].From = Ref{Label: Label{"plays", "plays"}}
	var target, partition, input Section
	r.Describe(&target)
	day := Partition{{"day", "2017-06-15"}}
	start := time.Date(2017, 6, 15, 0, 0, 0, 0, time.UTC)
	if err := r.Target.DescribePartition(&partition, day, []Interval{{start, start.AddDate(0, 0, 1)}}); err != nil {
		t.Fatal(err)
	}
	tree := cache.TreeDigest{1, 2, 3}
	r.Target.Inputs[0].DescribeInput(&input, Reading{"../../in/plays/plays.csv", CSV, []Column{{"id", "BIGINT", true}}, []Value{{"day", "day"}}}, []InputPart{{day.String(), tree}})
	key := Key([]Part{{"target", target.Digest()}, {"partition", partition.Digest()}, {"input plays", input.Digest()}})
	outputs := []VersionOutput{{Name: "classified", Raw: tree, Visible: tree}}
	id := NewVersionID("soundcloud", r.Target.Label, day.String(), key, outputs)
	got := fmt.Sprintf("target    %q\npartition %q\ninput     %q\nkey       %s\nversion   %s\n", target.Bytes(), partition.Bytes(), input.Bytes(), key, id)

	const file = "../testdata/format/keys.txt"
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("keys are not what they were.\n got:\n%s\nwant:\n%s", got, want)
	}
}
