package bench

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	got := table([]row{
		{What: "hashing", Unit: "GB/s", DPB: []float64{3, 5, 4}, Peer: "b3sum", Beside: []float64{2, 8, 5}, Aim: aim{AtLeast: 1}},
		{What: "no-op", Unit: "s", DPB: []float64{0.5}, Peer: "DVC", Beside: []float64{100}, Aim: aim{AtMost: 1.0 / 50}},
		{What: "no-op", Unit: "s", DPB: []float64{0.5}, Peer: "ninja", Note: "not installed", Aim: aim{AtMost: 1}},
		{What: "start", Unit: "ms", DPB: []float64{14}, Peer: "hello", Beside: []float64{2}, Aim: aim{More: 10}},
		{What: "growth", DPB: []float64{1.04}, Aim: aim{Itself: 1.1}, Note: "no room for more"},
	})
	want := `| | dpb | beside | ratio | aim | |
| --- | --- | --- | --- | --- | --- |
| hashing | 4.00 GB/s | b3sum 5.00 GB/s | 0.80 | ≥ 1 | **not met** |
| no-op | 500 ms | DVC 100 s | 1/200 | ≤ 1/50 | met |
| no-op | 500 ms | ninja: not installed |  | ≤ 1 |  |
| start | 14.0 ms | hello 2.00 ms | 7.00 | ≤ 10 more | **not met** |
| growth | 1.04 | no room for more |  | itself ≤ 1.1 | met |
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestInTurn(t *testing.T) {
	var order []string
	does := func(name string) func() usage {
		return func() usage { order = append(order, name); return usage{Wall: float64(len(order))} }
	}
	s := inTurn(3, true, does("a"), does("b"))
	if want := "a b a b b a a b"; strings.Join(order, " ") != want {
		t.Errorf("they ran in the order %v, want %s", order, want)
	}
	if want := []float64{3, 6, 7}; !slices.Equal(s[0].wall(), want) {
		t.Errorf("a took %v, want %v: what runs to warm up counts for nothing", s[0].wall(), want)
	}
}

// TestInTurnPatience has one thing that takes long and one that takes far too long: they run less often, and the other as often as it is to.
func TestInTurnPatience(t *testing.T) {
	var order []string
	takes := func(name string, seconds float64) func() usage {
		return func() usage { order = append(order, name); return usage{Wall: seconds} }
	}
	for _, c := range []struct {
		warm bool
		want string
	}{{true, "q l t q l l q q q"}, {false, "q l t l q q q"}} {
		order = nil
		s := inTurn(4, c.warm, takes("q", 1), takes("l", patience/2.5), takes("t", patience+1))
		if got := strings.Join(order, " "); got != c.want {
			t.Errorf("warm %v: they ran in the order %s, want %s", c.warm, got, c.want)
		}
		if len(s[0]) != 4 || len(s[1]) != 2 || len(s[2]) != 1 {
			t.Errorf("warm %v: %d, %d and %d repetitions, want 4, 2 and 1", c.warm, len(s[0]), len(s[1]), len(s[2]))
		}
	}
}

func TestFigures(t *testing.T) {
	if m := median([]float64{9, 1, 4, 2}); m != 3 {
		t.Errorf("median %v, want 3", m)
	}
	if m := median(nil); !math.IsNaN(m) {
		t.Errorf("the median of nothing is %v", m)
	}
	// what a start costs makes the first step flat; the second is quadratic
	if e := steepest([]float64{10, 100, 1000}, []float64{1, 2, 200}); math.Abs(e-2) > 1e-9 {
		t.Errorf("exponent %v, want 2", e)
	}
	for x, want := range map[float64]string{0.0123: "12.3 ms", 1.5: "1.50 s", 15.2: "15.2 s", 1234.5: "1234 s"} {
		if got := figure(x, "s"); got != want {
			t.Errorf("%v s: %q, want %q", x, got, want)
		}
	}
}

// TestKeep measures a case twice and another once: of each there is what was measured last, in the order of the scenarios, in one line for each figure.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	if err := os.WriteFile(readme, []byte("# Before\n"+begin+"old\n"+end+"after\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for k, name := range []string{"hash", "start", "hash"} {
		rows := []row{{What: name, Unit: "s", DPB: []float64{float64(k + 1), float64(k + 1)}, Others: 0.2}}
		if err := keep(dir, caseRecord{Case: name, Measured: time.Date(2024, 1, 2, 0, 0, 0, 0, time.UTC), Machine: "m", DPB: "dpb 1", Versions: map[string]string{"b3sum": "1.2"}, Rows: rows}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	want := "# Before\n" + begin + `
Measured on m, with dpb 1, on 2024-01-02. Beside b3sum 1.2.

| | dpb | beside | ratio | aim | |
| --- | --- | --- | --- | --- | --- |
| start (*others had 20 % of the processors*) | 2.00 s |  |  |  |  |
| hash (*others had 20 % of the processors*) | 3.00 s |  |  |  |  |

` + end + "after\n"
	if string(text) != want {
		t.Errorf("got\n%s\nwant\n%s", text, want)
	}
	recorded, err := os.ReadFile(filepath.Join(dir, recordFile))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(recorded), "\"DPB\": [3,3],\n") || strings.Contains(string(recorded), "[1,1]") {
		t.Errorf("recorded\n%s", recorded)
	}
}
