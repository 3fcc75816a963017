package engine

import (
	"strings"
	"testing"
)

// text writes a path as the language does: {day} is a value, <YYYY/MM day> what date() gives.
func text(s string) (t Text) {
	for s != "" {
		at := strings.IndexAny(s, "{<")
		if at < 0 {
			at = len(s)
		}
		if at > 0 {
			t, s = append(t, Segment{Literal: s[:at]}), s[at:]
			continue
		}
		inside, rest, _ := strings.Cut(s[1:], map[byte]string{'{': "}", '<': ">"}[s[0]])
		if s[0] == '{' {
			t = append(t, Segment{Dimension: inside})
		} else {
			k := strings.LastIndexByte(inside, ' ')
			t = append(t, Segment{Layout: inside[:k], Dimension: inside[k+1:], Eval: func(Partition) (string, error) { return "", nil }})
		}
		s = rest
	}
	return t
}

func TestListing(t *testing.T) {
	dims := []*Dimension{{Name: "hour", Unit: Hour}, {Name: "day", Unit: Day}, {Name: "week", Unit: Week}, {Name: "quarter", Unit: Quarter}, {Name: "country"}, {Name: "genre"}}
	for _, c := range []struct{ path, glob, file, want string }{
		{"raw/{day}.csv", "raw/*.csv", "raw/2017-06-01.csv", "day=2017-06-01"},
		{"raw/{day}.csv", "raw/*.csv", "raw/2017-6-1.csv", ""},
		{"raw/{day}.csv", "raw/*.csv", "raw/2017-06-31.csv", ""},
		{"raw/{day}.csv", "raw/*.csv", "raw/x2017-06-01.csv", ""},
		{"./raw//{day}/**/x-*.csv", "raw/*", "raw/2017-06-01", "day=2017-06-01"},
		{"/data/{day}/*", "/data/*", "/data/2017-06-01", "day=2017-06-01"},
		{"../data/{day}/*", "../data/*", "../data/2017-06-01", "day=2017-06-01"},
		{"raw/{country}/{day}.csv", "raw/*/*.csv", "raw/DE/2017-06-01.csv", "country=DE,day=2017-06-01"},
		{"raw/{country}-{day}.csv", "raw/*-*.csv", "raw/a-b-2017-06-01.csv", "country=a-b,day=2017-06-01"},
		{"raw/{country}.csv", "raw/*.csv", "raw/a b.csv", ""},
		{"raw/{country}.csv", "raw/*.csv", "raw/a..b.csv", ""},
		{"raw/{day}*", "raw/*", "raw/2017-06-01T12.csv", "day=2017-06-01"},
		{"raw/{day}/{day}.csv", "raw/*/*.csv", "raw/2017-06-01/2017-06-01.csv", "day=2017-06-01"},
		{"raw/{day}/{day}.csv", "raw/*/*.csv", "raw/2017-06-01/2017-06-02.csv", ""},
		{"raw/**/{day}.csv", "raw/**/*.csv", "raw/2017-06-01.csv", "day=2017-06-01"},
		{"raw/**/{day}.csv", "raw/**/*.csv", "raw/a/b/2017-06-01.csv", "day=2017-06-01"},
		{"{country}/**/{day}/*", "*/**/*", "DE/x/y/2017-06-01", "country=DE,day=2017-06-01"},
		{"{country}/**/{day}/*", "*/**/*", "DE", ""},
		{"raw/[ab]?/{day}.csv", "raw/[ab]?/*.csv", "raw/a1/2017-06-01.csv", "day=2017-06-01"},
		{"{week}", "*", "2017-W24", "week=2017-W24"},
		{"{quarter}", "*", "2017-Q5", ""},
		{"<YYYY/MM/DD/hh hour>/*", "*/*/*/*", "2017/06/01/13", "hour=2017-06-01T13"},
		{"<YYYYMMDD day>.csv", "*.csv", "20170601.csv", "day=2017-06-01"},
		{"<'y='YYYY/'q'MM quarter>/*", "y=*/q*", "y=2017/q04", "quarter=2017-Q2"},
		{"<YYYY day>/<MM day>/<DD day>.csv", "*/*/*.csv", "2017/02/29.csv", "day=2017-03-01"}, // its own glob matches another file
		{"<YYYY day>/{day}.csv", "*/*.csv", "2017/2017-06-01.csv", "day=2017-06-01"},
		{"a*/x/{day}", "a*/x/*", "a1/x/2017-06-01", "day=2017-06-01"},
	} {
		l, err := NewListing(text(c.path), dims)
		if err != nil {
			t.Errorf("%s: %v", c.path, err)
			continue
		}
		p, ok := l.Partition(c.file)
		if l.Glob != c.glob || ok != (c.want != "") || ok && p.String() != c.want {
			t.Errorf("%s: glob %s; %s tells %s, %v, want %s, %s", c.path, l.Glob, c.file, p, ok, c.glob, c.want)
		}
	}
	for path, want := range map[string]string{
		"raw/{country}*.csv":        "where the country ends",
		"raw/{country}-{genre}.csv": "where the country ends",
		"raw/*{day}*.csv":           "where the day ends",
		"raw/x?{day}.csv":           "where the day ends",
		"**/a/**/{day}":             "** stands in it more than once",
		"<YYYY-MM day>/*":           "does not tell the whole day",
		"<YYYY-MM-DD hour>/*":       "does not tell the whole hour",
		"<EEEE day>":                "EEEE in the layout",
		"<D day>":                   "D in the layout",
	} {
		if _, err := NewListing(text(path), dims); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	computed := Text{{Literal: "raw/"}, {Eval: func(Partition) (string, error) { return "", nil }}}
	if _, err := NewListing(computed, dims); err == nil || !strings.Contains(err.Error(), "can't be read back") {
		t.Error(err)
	}
	if _, err := NewListing(Text{{Literal: "{a/b}/"}, {Dimension: "day"}}, dims); err == nil || !strings.Contains(err.Error(), "a slash stands in its braces") {
		t.Error(err)
	}
}
