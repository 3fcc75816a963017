package source

import "testing"

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
