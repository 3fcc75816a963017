package sql

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	for src, want := range map[string]string{
		"select a.b, c::int from t -- end":    "select|a|.|b|,|c|::|int|from|t",
		"a/* x /* y */ z */b":                 "a|b",
		"'a''b' \"x\"\"y\" e'a\\'b' x'00'":    "'a''b'|\"x\"\"y\"|e'a\\'b'|x'00'",
		"'a'\n  'b'":                          "'ab'",
		"'a' -- c\n 'b'":                      "'ab'",
		"'a' 'b'":                             "'a'|'b'",
		"$$a$b$$ $x$ $$ $x$ $day $1":          "$$a$b$$|$x$ $$ $x$|$day|$1",
		"1_000 1.5e-3 .5 1. 2..3":             "1_000|1.5e-3|.5|1.|2|..|3",
		"a->>'b' c->d e||f g:=h i=>j":         "a|->>|'b'|c|->|d|e||||f|g|:=|h|i|=>|j",
		"a<-1 b@-1 c--d\n-1":                  "a|<|-|1|b|@-|1|c|-|1",
		"a*/*x*/b":                            "a|*|b",
		"ü\u00a0é\u3000x\ufeff":               "ü|é|x",
		"[x for x in l] {'a':1} l[1:-1] #1 ?": "[|x|for|x|in|l|]|{|'a'|:|1|}|l|[|1|:|-|1|]|#|1|?",
		"a$b a$$b":                            "a$b|a$$b",
	} {
		tokens, err := Tokens(src)
		var got []string
		for _, x := range tokens {
			got = append(got, x.Text)
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %s, %v", src, strings.Join(got, "|"), err)
		}
	}
	for _, src := range []string{"'a", "\"a", "/* a", "$$a", "$x$a", "e'a\\'", "$", "0xff", "1a", "u&'x'", "a\x00"} {
		if _, err := Tokens(src); err == nil {
			t.Errorf("%q has tokens", src)
		}
	}
}

func TestCanonical(t *testing.T) {
	got, err := Canonical("-- the\nSELECT 1;\n ; /* end */")
	if err != nil || !slices.Equal(got, []string{"SELECT", "1"}) {
		t.Errorf("%q %v", got, err)
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range Seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		tokens, err := Tokens(src)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(src) {
				t.Fatalf("%v", err)
			}
			return
		}
		at := 0
		for _, x := range tokens {
			if x.Offset < at || x.Len <= 0 || x.Text == "" {
				t.Fatalf("%q: token %+v begins before %d", src, x, at)
			}
			between := scanner{src: src[:x.Offset], at: at}
			if err := between.skip(); err != nil || between.at != x.Offset {
				t.Fatalf("%q: between %d and %d is more than space", src, at, x.Offset)
			}
			at = x.Offset + x.Len
		}
		want, err := Canonical(src)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Canonical(strings.Join(want, " "))
		if err != nil || !slices.Equal(want, again) {
			t.Fatalf("%q: %q, then %q, %v", src, want, again, err)
		}
		if blank, err := Blank(src); err != nil || len(blank) > len(src) {
			t.Fatalf("%q: %q %v", src, blank, err)
		}
	})
}
