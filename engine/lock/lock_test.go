package lock

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

func entries() []Entry {
	label := engine.Label{Pkg: "a/b", Name: "plays"}
	at := Place{label, "day=2017-06-01,country=DE"}
	return []Entry{
		{Place: at, Kind: Fresh, Action: &Action{Key: cache.ActionKey{1}, Rules: cache.SectionDigest{2}, Outputs: []Output{{Name: "plays", Tree: cache.TreeDigest{3}, Columns: []engine.Column{{Name: "a b", Type: "BIGINT", NotNull: true}}}},
			Parts: map[string]string{"target": "00", "input x": "01"}, Facts: map[string]string{"rows": "7"}}},
		{Place: at, Kind: Held, Action: &Action{Key: cache.ActionKey{4}, Findings: []engine.Finding{{Output: "plays", Rule: "enough", Status: engine.Violated, Text: "rows > 1 && \"<x>\" != \"\n\""}}}},
		{Place: at, Kind: Accepted, Accepted: &engine.Acceptance{Label: label, Partition: at.Partition, Subject: cache.Digest{5}, Reason: "as agreed"}},
		{Place: Place{Label: label}, Kind: Recipe, Recipe: &TargetRecipe{Digest: "00", Entries: map[string]string{"sql[0]": "01"}, Tools: map[string]string{"sort": "x"}, Engine: "v1"}},
		{Place: Place{Label: engine.Label{Pkg: "a/b", Name: "total"}}, Kind: Refused, Action: &Action{Key: cache.ActionKey{6}, Input: "plays"}},
	}
}

func format(t *testing.T, list []Entry) []byte {
	t.Helper()
	body, err := Format(list)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestRoundTrip: what is written is read, a line each, sorted whatever the order was.
func TestRoundTrip(t *testing.T) {
	list := entries()
	body := format(t, list)
	var s Set
	if err := s.Parse("a/b", body); err != nil {
		t.Fatal(err)
	}
	if len(s.Entries) != len(list) || bytes.Count(body, []byte("\n")) != len(list)+1 || s.Whole() != nil {
		t.Fatalf("%d entries of %d, from\n%s", len(s.Entries), len(list), body)
	}
	for _, want := range list {
		got := s.Of(want.Place, want.Kind)
		if len(got) != 1 || !reflect.DeepEqual(*got[0], want) {
			t.Errorf("%s %s: got %+v", want.Place, want.Kind, got)
		}
	}
	list[0], list[3] = list[3], list[0]
	if !bytes.Equal(format(t, append(list, list[1])), body) {
		t.Error("another order, and a line twice, make another file")
	}
	if got := slices.Concat(s.Values("day"), s.Values("country"), s.Values("month")); !slices.Equal(got, []string{"2017-06-01", "DE"}) {
		t.Errorf("values: %q", got)
	}
}

// TestConflict: of a merge both sides are read, and not what both come from.
func TestConflict(t *testing.T) {
	line := func(key byte) string {
		body := string(format(t, []Entry{{Place: Place{Label: engine.Label{Name: "x"}}, Kind: Fresh, Action: &Action{Key: cache.ActionKey{key}}}}))
		return body[strings.Index(body, "\n")+1:]
	}
	var s Set
	body := header + "\n<<<<<<< HEAD\n" + line(1) + "||||||| base\n" + line(2) + "=======\n" + line(3) + ">>>>>>> other\n" + line(4)
	if err := s.Parse("", []byte(body)); err != nil {
		t.Fatal(err)
	}
	var keys []byte
	for _, e := range s.Entries {
		keys = append(keys, e.Action.Key[0])
	}
	if !bytes.Equal(keys, []byte{1, 3, 4}) {
		t.Errorf("keys %v", keys)
	}
	if err := s.Whole(); err == nil || !strings.Contains(err.Error(), "pipeline.lock: a merge left both sides") {
		t.Error(err)
	}
}

// TestDamaged: what can't be read is told with its line.
func TestDamaged(t *testing.T) {
	for text, want := range map[string]string{
		"x":                             "line 2: it is no line of a lock",
		"x fresh":                       "line 2: it is no line of a lock",
		"X fresh {}":                    "line 2: it is no line of a lock",
		"x good {}":                     `line 2: "good" is nothing that a lock says`,
		"x fresh {":                     "line 2: what it says of //p:x can't be read",
		"x@day=1 fresh {\"unknown\":1}": "line 2: what it says of //p:x@day=1 can't be read",
		"x fresh {\"key\":\"00\"}":      "line 2: what it says of //p:x can't be read",
		"x fresh {} {}":                 "line 2: what it says of //p:x can't be read",
		"# dpb lock 2: newer":           "line 2: it was written by a newer dpb",
	} {
		var s Set
		if err := s.Parse("p", []byte(header+"\n"+text+"\n")); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}

// TestWrite: a file is replaced in one step, left alone where nothing changes, and gone where there is nothing to say.
func TestWrite(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "a/b"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		entries       []Entry
		pretend, want bool
	}{{entries(), true, true}, {entries(), false, true}, {entries(), false, false}, {entries(), true, false}, {nil, true, true}, {nil, false, true}, {nil, false, false}} {
		if got, err := Write(root, "a/b", c.entries, c.pretend); got != c.want || err != nil {
			t.Errorf("%d entries, pretending: %v: %v, %v", len(c.entries), c.pretend, got, err)
		}
	}
	if left, _ := os.ReadDir(filepath.Join(root, "a/b")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func FuzzParse(f *testing.F) {
	body, _ := Format(entries())
	f.Add(body)
	f.Add([]byte(header + "\n<<<<<<< a\nx fresh {}\n=======\nx fresh {\"key\":\"\"}\n>>>>>>> b\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var s Set
		if s.Parse("p", body) != nil {
			return
		}
		again := format(t, s.Entries)
		var twice Set
		if err := twice.Parse("p", again); err != nil {
			t.Fatalf("%v, of what was written:\n%s", err, again)
		}
		if !bytes.Equal(format(t, twice.Entries), again) {
			t.Fatalf("it is not stable:\n%s", again)
		}
	})
}
