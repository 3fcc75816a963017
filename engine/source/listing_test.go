package source

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// workspace has a source whose files say which days and countries there are; countries could also be listed in it.
func workspace(path engine.Text, countries ...string) *engine.Workspace {
	from := engine.Label{Pkg: "p", Name: "raw"}
	ws := &engine.Workspace{Dimensions: []*engine.Dimension{{Name: "day", Unit: engine.Day, FromSource: from, End: "2017-06-20"}, {Name: "country", Values: countries}},
		Targets: []*engine.Target{{Label: from, Kind: engine.Source, PartitionBy: []string{"day", "country"}, Path: path}}}
	if countries == nil {
		ws.Dimensions[1].FromSource = from
	}
	return ws
}

func TestList(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{
		"p/raw/2017-06-01/DE/a.csv", "p/raw/2017-06-01/FR/b/a.csv", "p/raw/2017-06-03/DE/a.csv",
		"p/raw/2017-06-04/DE/a.txt",                             // not what the path matches
		"p/raw/2017-06-05/.hidden/a.csv", "p/raw/.2017-06-05/a", // hidden
		"p/raw/2017-06-06/D E/a.csv", "p/raw/2017-06-0x/DE/a.csv", // no values
		"p/raw/2017-06-14/ES/a.csv", "p/raw/2017-06-13/FR/a.csv", // of the day that is not over, and the last one that is
		"p/raw/2017-06-30/IT/a.csv", // after the end
		"dpb-out/raw/2017-06-07/DE/a.csv",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "p/raw/2017-06-08/DE"), 0o777); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2017, 6, 14, 12, 0, 0, 0, time.UTC)
	list := func(ws *engine.Workspace) string {
		t.Helper()
		if err := List(root, ws, now); err != nil {
			t.Fatal(err)
		}
		return strings.Join(ws.Dimensions[0].Values, " ") + ", " + strings.Join(ws.Dimensions[1].Values, " ")
	}
	below := func(folder, files string) engine.Text {
		return engine.Text{{Literal: folder}, {Dimension: "day"}, {Literal: "/"}, {Dimension: "country"}, {Literal: files}}
	}
	for _, c := range []struct {
		ws   *engine.Workspace
		want string
	}{
		{workspace(below("raw/", "/*.csv")), "2017-06-01 2017-06-03 2017-06-13, DE FR"},
		{workspace(below("raw/", "/**/*.csv")), "2017-06-01 2017-06-03 2017-06-13, DE FR"},
		{workspace(below("raw/", "/b/a.csv")), "2017-06-01, FR"},
		{workspace(below("raw/", "/*.csv"), "DE", "XX"), "2017-06-01 2017-06-03, DE XX"},
		{workspace(below("../**/raw/", "/a.csv")), "2017-06-01 2017-06-03 2017-06-13, DE FR"},  // not dpb-out
		{workspace(below(filepath.ToSlash(root)+"/dpb-out/raw/", "/a.csv")), "2017-06-07, DE"}, // but by name
		{workspace(below("none/", "/*.csv")), ", "},
	} {
		if got := list(c.ws); got != c.want {
			t.Errorf("%v: %s, want %s", c.ws.Targets[0].Path, got, c.want)
		}
	}

	known := workspace(below("raw/", "/*.csv"))
	known.Dimensions[0].Values = []string{"2017-01-01"} // known from elsewhere
	if got := list(known); got != "2017-01-01, DE FR" {
		t.Errorf("values that are known are looked for: %s", got)
	}
	narrowed := workspace(below("raw/", "/*.csv"))
	narrowed.Targets[0].Start = "2017-06-02"
	if got := list(narrowed); got != "2017-06-03 2017-06-13, DE FR" {
		t.Errorf("narrowed: %s", got)
	}
}

// TestListTrouble: what can't be looked at might hold a partition.
func TestListTrouble(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "p/raw"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("2017-06-01", filepath.Join(root, "p/raw/2017-06-01")); err != nil {
		t.Fatal(err)
	}
	ws := workspace(engine.Text{{Literal: "raw/"}, {Dimension: "day"}, {Literal: "/"}, {Dimension: "country"}, {Literal: ".csv"}})
	err := List(root, ws, time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC))
	if err == nil || !strings.Contains(err.Error(), `partition "day": the files of //p:raw can't be listed`) || slices.ContainsFunc(ws.Dimensions, func(d *engine.Dimension) bool { return d.Values != nil }) {
		t.Errorf("%v, %v", err, ws.Dimensions)
	}
}
