package source

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

// TestFoldersAreReadOnce: many partitions lie in one folder, and each has a glob; the folder is read once for all of them, and once more after all was forgotten.
func TestFoldersAreReadOnce(t *testing.T) {
	reads := 0
	readDir = func(dir string) ([]fs.DirEntry, error) { reads++; return os.ReadDir(dir) }
	t.Cleanup(func() { readDir = os.ReadDir })
	f := checkout(t)
	if err := os.MkdirAll(filepath.Join(f.Root, "p/raw"), 0o777); err != nil {
		t.Fatal(err)
	}
	const days = 300
	first := time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)
	day := func(k int) string { return first.AddDate(0, 0, k).Format(time.DateOnly) }
	for k := range days {
		if err := os.WriteFile(filepath.Join(f.Root, "p/raw", day(k)+"-a.csv"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	ws := workspace(engine.Text{{Literal: "raw/"}, {Dimension: "day"}, {Literal: "-*.csv"}}, "DE")
	ws.Targets[0].PartitionBy, ws.Dimensions[0].End = []string{"day"}, ""
	if err := List(f.Root, ws, first.AddDate(1, 0, 0)); err != nil || len(ws.Dimensions[0].Values) != days || reads != 1 {
		t.Errorf("%d directories read to list %d partitions: %v", reads, len(ws.Dimensions[0].Values), err)
	}
	observe := func() {
		t.Helper()
		for k := range days {
			if got, want := matched(t, f, "raw/"+day(k)+"-*.csv"), day(k)+"-a.csv"; got != want {
				t.Errorf("%s: %s", want, got)
			}
		}
	}
	for what, look := range map[string]func(){
		"to observe": observe,
		"to look whether they changed": func() {
			if changed := f.Changed(func(cache.TreeDigest) bool { return true }); changed != nil {
				t.Error(changed)
			}
		},
	} {
		if f.Forget(); what != "to observe" {
			observe()
		}
		if reads = 0; true {
			look()
		}
		if reads != 1 {
			t.Errorf("%d directories read %s", reads, what)
		}
	}
}

// TestNarrow: what is left out of a listing matches nothing, and what is left is in order; what a name has to begin or end with is made use of.
func TestNarrow(t *testing.T) {
	f := checkout(t)
	for _, dir := range []string{"p/a", "p/b", "p/b/a"} {
		if err := os.MkdirAll(filepath.Join(f.Root, dir), 0o777); err != nil {
			t.Fatal(err)
		}
		for k := range 60 {
			for _, name := range []string{"%02d-x.csv", "x-%02d.csv", "x-%02d", "x%02d{y}"} {
				if err := os.WriteFile(filepath.Join(f.Root, dir, fmt.Sprintf(name, k)), nil, 0o666); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, pattern := range []string{"a/*-07.csv", "a/07-*", "a/*7", "a/*", "*/07-*.csv", "*/*-07.csv", "**/*-07.csv", "**/a/*-07.csv", "{a,b}/*-07.csv", "{a/x,b/a/x}-0*.csv", "{**,a}/07-*",
		`a/x07\{y\}`, "a/{x-07,*-08}.csv", "*/*/07-*", "a/*none", "a/none*"} {
		var want []string
		all := matched(t, f, "**")
		for _, name := range strings.Fields(all) {
			if matches(pattern, name) {
				want = append(want, name)
			}
		}
		dir := f.split("p", pattern).dir
		var got []string
		for _, name := range strings.Fields(matched(t, f, pattern)) {
			rel, _ := filepath.Rel(filepath.Join(f.Root, "p"), path.Join(dir, name))
			got = append(got, rel)
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
	for part, most := range map[string]int{"07-*.csv": 1, "*-07.csv": 1, "x-0*": 20, "*": 240} {
		d := &dirs{}
		entries, err := d.list(filepath.Join(f.Root, "p/a"), part)
		if err != nil || len(entries) == 0 || len(entries) > most {
			t.Errorf("%s: %d entries, %v", part, len(entries), err)
		}
	}
}
