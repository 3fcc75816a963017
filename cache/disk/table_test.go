package disk

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/cache"
)

const tableHeader = "dpb test 1\n"

func contents(t *Table) map[string]string {
	out := map[string]string{}
	for name, value := range t.All() {
		out[name] = string(value)
	}
	return out
}

func save(t *testing.T, table *Table) {
	t.Helper()
	if err := table.Save(); err != nil {
		t.Fatal(err)
	}
}

// TestTable puts, deletes and saves in turns, and compares with a map: what is looked up, what all is, and what the next process finds.
func TestTable(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "new", "table")
	want := map[string]string{}
	table := OpenTable(file, tableHeader)
	var sizes []int64
	for turn := range 40 {
		for k := range 1 + 3000/(1+turn/2) {
			name := fmt.Sprint("name ", (k*7919+turn*104729)%5000)
			if k%3 == 2 {
				table.Delete(name)
				delete(want, name)
			} else {
				value := fmt.Sprint("value of turn ", turn)
				table.Put(name, []byte(value))
				want[name] = value
			}
		}
		for k := range 5000 {
			name := fmt.Sprint("name ", k)
			got, ok := table.Get(name)
			if value, there := want[name]; ok != there || string(got) != value {
				t.Fatalf("turn %d: %s is %q, want %q", turn, name, got, value)
			}
		}
		save(t, table)
		if turn%3 == 0 {
			table = OpenTable(file, tableHeader)
		}
		if again := OpenTable(file, tableHeader); !again.whole || !maps.Equal(contents(again), want) || again.Len() != len(want) {
			t.Fatalf("turn %d: the next process finds %d of %d", turn, again.Len(), len(want))
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, info.Size())
	}
	shrank := false
	for k := range sizes[1:] {
		shrank = shrank || sizes[k+1] < sizes[k]
	}
	if !shrank {
		t.Errorf("nothing was ever written anew: %v", sizes)
	}
}

// TestTableAppends what changed, and does not write the rest again.
func TestTableAppends(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "table")
	table := OpenTable(file, tableHeader)
	for k := range 10_000 {
		table.Put(fmt.Sprintf("%05d", k), make([]byte, 40))
	}
	save(t, table)
	before, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	table.Put("00007", []byte("x"))
	save(t, table)
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(after, before) || len(after) > len(before)+100 {
		t.Errorf("%d bytes became %d", len(before), len(after))
	}
}

// TestTableOfTwo processes: each keeps what the other saved, and the later one counts of what both changed.
func TestTableOfTwo(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "table")
	a := OpenTable(file, tableHeader)
	a.Put("x", []byte("1"))
	save(t, a)
	b := OpenTable(file, tableHeader)
	a.Put("y", []byte("a"))
	a.Put("a", []byte("a"))
	b.Put("y", []byte("b"))
	b.Delete("x")
	save(t, a)
	save(t, b)
	if got, want := contents(OpenTable(file, tableHeader)), map[string]string{"a": "a", "y": "b"}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := contents(b); !maps.Equal(got, map[string]string{"a": "a", "y": "b"}) {
		t.Errorf("after saving: %v", got)
	}
	b.Clear()
	b.Put("z", nil)
	save(t, b)
	if got := contents(OpenTable(file, tableHeader)); !maps.Equal(got, map[string]string{"z": ""}) {
		t.Errorf("after all was taken out: %v", got)
	}
}

// frames is a table's file of three frames, with what it holds after each.
func frames() (b []byte, ends []int, holds []map[string]string) {
	b = []byte(tableHeader)
	sum := cache.Sum(b)
	ends, holds = []int{0}, []map[string]string{{}}
	for k, body := range [][]byte{
		appendEntry(appendEntry(appendEntry(nil, "", []byte("empty")), "a", []byte("1")), "b", []byte{}),
		appendEntry(appendEntry(nil, "a", nil), "c", []byte("2")),
		appendEntry(nil, "a", []byte("3")),
	} {
		b, sum = appendFrame(b, sum, body)
		ends = append(ends, len(b))
		holds = append(holds, [...]map[string]string{{"": "empty", "a": "1", "b": ""}, {"": "empty", "b": "", "c": "2"}, {"": "empty", "a": "3", "b": "", "c": "2"}}[k])
	}
	return b, ends, holds
}

// TestTableCutOff: cut off at any byte, it holds what the frames before held, and can be written again; so it does when a byte is another one.
func TestTableCutOff(t *testing.T) {
	t.Parallel()
	b, ends, holds := frames()
	file := filepath.Join(t.TempDir(), "table")
	check := func(what string, at int, b []byte) {
		t.Helper()
		k := 0
		for k+1 < len(ends) && ends[k+1] <= at {
			k++
		}
		table := OpenTable(write(t, file, string(b)), tableHeader)
		if got := contents(table); !maps.Equal(got, holds[k]) {
			t.Errorf("%s %d: %v, want %v", what, at, got, holds[k])
		}
		table.Put("new", []byte("n"))
		save(t, table)
		want := maps.Clone(holds[k])
		want["new"] = "n"
		if got := contents(OpenTable(file, tableHeader)); !maps.Equal(got, want) {
			t.Errorf("%s %d, written again: %v, want %v", what, at, got, want)
		}
	}
	for at := range len(b) + 1 {
		check("cut off at", at, b[:at])
	}
	for at := range b {
		other := bytes.Clone(b)
		other[at] ^= 1
		check("another byte at", at, other)
	}
}

func FuzzTable(f *testing.F) {
	b, ends, _ := frames()
	f.Add(b[ends[0]+len(tableHeader)+8 : ends[1]-32])
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, body []byte) {
		b, sum := appendFrame([]byte(tableHeader), cache.Sum([]byte(tableHeader)), body)
		b, _ = appendFrame(b, sum, body)
		table := &Table{header: tableHeader, more: map[string][]byte{}}
		table.decode(b)
		for name, value := range table.All() {
			if got, ok := table.Get(name); !ok || !bytes.Equal(got, value) {
				t.Errorf("%q is %q, and looked up %q", name, value, got)
			}
		}
		table.decode(body)
	})
}
