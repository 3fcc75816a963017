package engine

import "testing"

func TestSelects(t *testing.T) {
	for _, c := range []struct {
		patterns  []string
		label     string
		partition string
		want      bool
	}{
		{[]string{"//..."}, "//a:b", "", true},
		{[]string{"//a:b"}, "//a:b", "day=2017-06-15", true},
		{[]string{"//a:b"}, "//a:c", "", false},
		{[]string{"//a/..."}, "//a/x:c", "", true},
		{[]string{"//...", "-//a/..."}, "//a/x:c", "", false},
		{[]string{"-//a:b", "//a:all"}, "//a:b", "", false},
		{[]string{"//a:b@day=2017-06-15"}, "//a:b", "day=2017-06-15", true},
		{[]string{"//a:b@day=2017-06-15"}, "//a:b", "day=2017-06-16", false},
		{[]string{"//a:b@day=2017-06-15"}, "//a:b", "month=2017-06", false},
		{[]string{"//a:b@day=2017-06-15.."}, "//a:b", "day=2017-06-16,country=DE", true},
		{[]string{"//a:b@day=..2017-06-15"}, "//a:b", "day=2017-06-16,country=DE", false},
		{[]string{"//a:b@day=2017-06-01..2017-06-30,country=DE"}, "//a:b", "day=2017-06-16,country=DE", true},
		{[]string{"//a:b@day=2017-06-01..2017-06-30,country=DE"}, "//a:b", "day=2017-06-16,country=FR", false},
		{[]string{"//a:b", "-//a:b@day=2017-06-16"}, "//a:b", "day=2017-06-16", false},
		{[]string{"//a:b", "-//a:b@day=2017-06-16"}, "//a:b", "day=2017-06-17", true},
	} {
		var patterns []Pattern
		for _, text := range c.patterns {
			p, err := ParsePattern(text, "")
			if err != nil {
				t.Fatal(err)
			}
			patterns = append(patterns, p)
		}
		label, err := ParseLabel(c.label, "")
		if err != nil {
			t.Fatal(err)
		}
		if got := Selects(patterns, label, c.partition); got != c.want {
			t.Errorf("%v of %s %s: %t", c.patterns, c.label, c.partition, got)
		}
	}
}
