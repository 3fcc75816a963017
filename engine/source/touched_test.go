package source

import (
	"strings"
	"testing"
)

// Changed files are found by the globs that match them, be they there or not.
func TestTouched(t *testing.T) {
	f := &Files{Root: "/w"}
	changed := f.Touched([]string{"plays/raw/2017-06-01/a.ndjson", "lib/x.py", "top.txt"})
	for _, c := range []struct {
		pkg, glob string
		want      bool
	}{
		{"plays", "raw/2017-06-01/*.ndjson", true},
		{"plays", "raw/2017-06-02/*.ndjson", false},
		{"plays", "raw/2017-06-01/*.csv", false},
		{"plays", "raw/**/*.ndjson", true},
		{"plays", "raw/2017-06-01/a.ndjson", true},
		{"plays", "../lib/*.py", true},
		{"", "top.txt", true},
		{"", "*.txt", true},
		{"lib", "x", false},
		{"lib", "/w/lib/x.py", true},
		{"lib", "/elsewhere/x.py", false},
	} {
		if got := changed.Has(c.pkg, c.glob); got != c.want {
			t.Errorf("package %q, glob %q: %v", c.pkg, c.glob, got)
		}
	}
	if !changed.Below("plays", "raw/") || changed.Below("plays", "cooked/") || !changed.Below("lib", "../plays") {
		t.Error("folders")
	}
}

// Files are found through links too: of a folder, of one among others, and of a file; and so is what a link leads to elsewhere.
func TestTouchedThroughLinks(t *testing.T) {
	t.Parallel()
	f := checkout(t, "store/v1/a.csv", "store/v1/b.csv", "p/data -> ../store/v1", "p/raw/one -> ../../store/v1", "p/raw/two/a.csv -> ../../../store/v1/b.csv", "p/own/a.csv")
	for changed, want := range map[string]string{
		"store/v1/a.csv":    "data/*.csv data/a.csv raw/*/a.csv raw/one/*.csv raw/**",
		"store/v1/b.csv":    "data/*.csv raw/*/a.csv raw/one/*.csv raw/two/* raw/**",
		"store/v1/gone.csv": "data/*.csv raw/one/*.csv",
		"p/data":            "data/*.csv data/a.csv",
		"p/raw/one":         "raw/*/a.csv raw/one/*.csv raw/**",
		"p/own/a.csv":       "own/*",
	} {
		touched, got := f.Touched([]string{changed}), []string{}
		for _, glob := range []string{"data/*.csv", "data/a.csv", "raw/*/a.csv", "raw/one/*.csv", "raw/two/*", "raw/**", "own/*"} {
			if touched.Has("p", glob) {
				got = append(got, glob)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", changed, got, want)
		}
	}
	if !f.Touched([]string{"store/v1/a.csv"}).Below("p", "data/") {
		t.Error("a folder behind a link")
	}
}
