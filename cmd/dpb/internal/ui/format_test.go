package ui

import (
	"testing"
	"time"
)

func TestBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 12_345_678: "12.3 MB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 1 << 62: "4.6 EB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", -time.Second: "0 s", 300 * time.Microsecond: "0 s", 850 * time.Millisecond: "850 ms", 999_600 * time.Microsecond: "1 s",
		1234 * time.Millisecond: "1.2 s", 12 * time.Second: "12 s", 59_940 * time.Millisecond: "59.9 s", 59_960 * time.Millisecond: "1 min",
		200 * time.Second: "3 min 20 s", time.Hour - time.Millisecond: "1 h", 125 * time.Minute: "2 h 5 min", 49 * time.Hour: "49 h",
	} {
		if got := Duration(d); got != want {
			t.Errorf("%v: got %s, want %s", d, got, want)
		}
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -123456: "-123,456", -12: "-12"} {
		if got := Count(n); got != want {
			t.Errorf("%d: got %s, want %s", n, got, want)
		}
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		s     string
		width int
		want  string
	}{
		{"plays", 5, "plays"}, {"plays", 4, "pla…"}, {"plays", 1, "…"}, {"plays", 0, ""},
		{"再生回数", 8, "再生回数"}, {"再生回数", 7, "再生回…"},
		{"再生回数", 6, "再生…"}, {"e\u0301e\u0301e", 3, "e\u0301e\u0301e"}, {"\x1b[32mplays\x1b[0m", 5, "\x1b[32mplays\x1b[0m"},
		{"\x1b[32mplays\x1b[0m", 3, "\x1b[32mpl…\x1b[0m"},
	} {
		if got := cut(test.s, test.width); got != test.want {
			t.Errorf("%q to %d: got %q, want %q", test.s, test.width, got, test.want)
		}
	}
	if got := cutLeft("//a/b:再生@day=1", 10); got != "…生@day=1" || textWidth(got) > 10 {
		t.Errorf("got %q", got)
	}
}

func TestClean(t *testing.T) {
	for s, want := range map[string]string{
		"plain": "plain", "a\tb": "a    b", "10%\r20%\r\n": "20%", "\x1b[1;31mred\x1b[0m": "red", "\x1b]0;title\x07x": "x", "\x1b[2J\x1b[Hx": "x",
		"\x1b]8;;http://x\x1b\\link": "link", "a\x00\x08b\u009bc": "abc", "\xff": "�", "\x1b": "",
	} {
		if got := clean(s); got != want {
			t.Errorf("%q: got %q, want %q", s, got, want)
		}
	}
}

func FuzzCut(f *testing.F) {
	f.Add("\x1b[32m再生\x1b[0m", 3)
	f.Fuzz(func(t *testing.T, s string, width int) {
		width = max(0, width%300)
		c := clean(s)
		for _, got := range []string{cut(s, width), cut(c, width), cutLeft(c, max(1, width))} {
			if textWidth(got) > max(1, width) {
				t.Errorf("%q to %d columns: %q has %d", s, width, got, textWidth(got))
			}
		}
		if clean(c) != c {
			t.Errorf("%q: cleaned %q, again %q", s, c, clean(c))
		}
	})
}
