package run

import "testing"

// TestWebAddress turns remotes of git into what people can open, without what must stay secret.
func TestWebAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/acme/data.git":           "https://github.com/acme/data",
		"https://bob:T0KEN@git.example.com:8443/a/b": "https://git.example.com:8443/a/b",
		"git@github.com:acme/data.git":               "https://github.com/acme/data",
		"github.com:acme/data/":                      "https://github.com/acme/data",
		"ssh://git@git.example.com:2222/a/b c.git":   "https://git.example.com/a/b%20c",
		"git://example.com/a.git":                    "https://example.com/a",
		"/srv/git/data.git":                          "",
		"../data":                                    "",
		"file:///srv/git/data.git":                   "",
		"":                                           "",
		"https://github.com":                         "",
	} {
		if got := webAddress(remote); got != want {
			t.Errorf("%s: got %q, want %q", remote, got, want)
		}
	}
}

// TestNumberOf keeps all digits of numbers, and takes nothing else for one.
func TestNumberOf(t *testing.T) {
	for text, want := range map[string]bool{"12345678901234567890123.450": true, "-0": true, "1e+16": true, "nan": false, "inf": false, "-inf": false, "": false, "true": false, "2017-06-15": false, "1 2": false, `"1"`: false, "null": false} {
		if n := numberOf(&text); (n != nil) != want || n != nil && n.String() != text {
			t.Errorf("%q: got %v", text, n)
		}
	}
}
