package fingerprint

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// naive is what a column's values are by a calculation that shares no code with this package: from the texts, with big.Rat.
type naive struct {
	typ     string
	nulls   int64
	texts   []string   // of the values, as SQL writes them
	numbers []*big.Rat // of those that are numbers
	parsed  map[string]*big.Rat
}

// number is what a text stands for, nil if it is no number.
func (n *naive) number(text string) *big.Rat {
	x, known := n.parsed[text]
	if !known {
		x, _ = new(big.Rat).SetString(text)
		n.parsed[text] = x
	}
	return x
}

func naiveColumn(rows [][]string, k int) *naive {
	n := &naive{typ: randomColumns[k].typ, parsed: map[string]*big.Rat{}}
	for _, row := range rows {
		if row[k] == null {
			n.nulls++
			continue
		}
		text := row[k]
		if f, err := strconv.ParseFloat(text, widthOf(n.typ)); n.typ == "DOUBLE" || n.typ == "FLOAT" {
			if err != nil {
				panic(err)
			}
			text = naiveFloat(f, n.typ)
			if x := new(big.Rat).SetFloat64(f); x != nil {
				n.numbers = append(n.numbers, x)
			}
		} else if x, ok := new(big.Rat).SetString(text); ok && n.typ != "VARCHAR" {
			n.numbers = append(n.numbers, x)
		}
		n.texts = append(n.texts, text)
	}
	return n
}

func widthOf(typ string) int {
	if typ == "FLOAT" {
		return 32
	}
	return 64
}

func naiveFloat(f float64, typ string) string {
	switch {
	case f == 0:
		return "0.0"
	case f != f:
		return "nan"
	case math.IsInf(f, 0):
		return strings.TrimPrefix(strings.ToLower(fmt.Sprint(f)), "+")
	}
	s := strconv.FormatFloat(f, 'g', -1, widthOf(typ))
	if !strings.ContainsAny(s, ".e") {
		s += ".0"
	}
	return s
}

// order compares two values as SQL does.
func (n *naive) order(a, b string) int {
	if n.typ == "VARCHAR" || n.typ == "DATE" || n.typ == "TIMESTAMP" || n.typ == "BOOLEAN" {
		return cmp.Compare(a, b)
	}
	rank := map[string]int{"-inf": -1, "inf": 1, "nan": 2}
	x, y := n.number(a), n.number(b)
	if x == nil || y == nil {
		return cmp.Compare(rank[a], rank[b])
	}
	return x.Cmp(y)
}

func (n *naive) check(t *testing.T, c *engine.ColumnStats) {
	t.Helper()
	counts := map[string]int64{}
	for _, text := range n.texts {
		counts[text]++
	}
	if c.Nulls != n.nulls || c.Type != n.typ {
		t.Errorf("%s: %d nulls of %s, want %d of %s", c.Name, c.Nulls, c.Type, n.nulls, n.typ)
	}
	if c.DistinctError == 0 && c.Distinct != int64(len(counts)) || math.Abs(float64(c.Distinct)-float64(len(counts))) > 5*c.DistinctError*float64(len(counts)) {
		t.Errorf("%s: %d different values, want %d", c.Name, c.Distinct, len(counts))
	}
	if (len(counts) > limit) != (c.DistinctError > 0) {
		t.Errorf("%s: %d values and an error of %g", c.Name, len(counts), c.DistinctError)
	}
	if len(n.texts) == 0 {
		if c.Min != nil || c.Max != nil || c.Mean != nil || c.Stddev != nil || c.Entropy != nil || c.Top != nil || c.Quantiles != nil {
			t.Errorf("%s has statistics of no values", c.Name)
		}
		return
	}
	low, high := slices.MinFunc(n.texts, n.order), slices.MaxFunc(n.texts, n.order)
	if *c.Min != cut(low) || *c.Max != cut(high) {
		t.Errorf("%s: from %s to %s, want %s to %s", c.Name, *c.Min, *c.Max, low, high)
	}
	n.checkMoments(t, c)
	if c.DistinctError == 0 {
		n.checkTop(t, c, counts)
	}
	n.checkQuantiles(t, c)
}

func (n *naive) checkMoments(t *testing.T, c *engine.ColumnStats) {
	t.Helper()
	numbers := n.numbers
	if n.typ == "VARCHAR" || n.typ == "BOOLEAN" {
		numbers = nil
		for _, text := range n.texts {
			x := int64(len(text))
			if n.typ == "BOOLEAN" {
				x = map[string]int64{"true": 1}[text]
			}
			numbers = append(numbers, big.NewRat(x, 1))
		}
	}
	if len(numbers) == 0 || n.typ == "DATE" || n.typ == "TIMESTAMP" {
		if c.Mean != nil || c.Stddev != nil {
			t.Errorf("%s has a mean", c.Name)
		}
		return
	}
	sum, squares, count := new(big.Rat), new(big.Rat), big.NewRat(int64(len(numbers)), 1)
	for _, x := range numbers {
		sum.Add(sum, x)
	}
	sum.Quo(sum, count)
	for _, x := range numbers {
		d := new(big.Rat).Sub(x, sum)
		squares.Add(squares, d.Mul(d, d))
	}
	squares.Quo(squares, count)
	root := new(big.Float).SetPrec(300).SetRat(squares)
	mean, _ := sum.Float64()
	stddev, _ := root.Sqrt(root).Float64()
	if *c.Mean != nine(mean) || *c.Stddev != nine(stddev) {
		t.Errorf("%s: mean %v, stddev %v, want %v, %v", c.Name, *c.Mean, *c.Stddev, mean, stddev)
	}
}

func nine(f float64) float64 {
	g, _ := strconv.ParseFloat(strconv.FormatFloat(f, 'e', 8, 64), 64)
	return g
}

func (n *naive) checkTop(t *testing.T, c *engine.ColumnStats, counts map[string]int64) {
	t.Helper()
	entropy := 0.0
	var top []engine.Frequent
	for text, rows := range counts {
		share := float64(rows) / float64(len(n.texts))
		entropy -= share * math.Log2(share)
		top = append(top, engine.Frequent{Value: text, Rows: rows})
	}
	if math.Abs(*c.Entropy-entropy) > 1e-8*max(1, entropy) {
		t.Errorf("%s: entropy %v, want %v", c.Name, *c.Entropy, entropy)
	}
	slices.SortFunc(top, func(a, b engine.Frequent) int { return cmp.Or(cmp.Compare(b.Rows, a.Rows), n.order(a.Value, b.Value)) })
	top = top[:min(len(top), 10)]
	for k := range top {
		top[k].Value = cut(top[k].Value)
	}
	if !slices.Equal(c.Top, top) {
		t.Errorf("%s: top %v, want %v", c.Name, c.Top, top)
	}
}

// checkQuantiles holds a quantile against the value of its rank.
func (n *naive) checkQuantiles(t *testing.T, c *engine.ColumnStats) {
	t.Helper()
	sorted := slices.DeleteFunc(slices.Clone(n.texts), func(s string) bool { return n.typ != "VARCHAR" && (strings.HasSuffix(s, "inf") || s == "nan") })
	slices.SortFunc(sorted, n.order)
	if n.typ == "BOOLEAN" || n.typ == "VARCHAR" && c.DistinctError > 0 || len(sorted) == 0 {
		if c.Quantiles != nil {
			t.Errorf("%s has quantiles", c.Name)
		}
		return
	}
	for k, p := range []float64{0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99} {
		want := sorted[max(1, int(math.Ceil(math.Round(p*100)*float64(len(sorted))/100)))-1]
		q := c.Quantiles[k]
		x, y := naiveNumber(q.Value, n.typ), naiveNumber(want, n.typ)
		off := math.Abs(x - y)
		switch {
		case q.P != p:
			t.Errorf("%s: quantile %d is that of %g", c.Name, k, q.P)
		case c.QuantileError == 0 && q.Value != cut(want):
			t.Errorf("%s: quantile %g is %s, want %s", c.Name, p, q.Value, want)
		case c.QuantileError > 0 && n.typ == "TIMESTAMP" && off > c.QuantileError, c.QuantileError > 0 && n.typ != "TIMESTAMP" && off > c.QuantileError*math.Abs(y)*(1+1e-9):
			t.Errorf("%s: quantile %g is %s, want %s", c.Name, p, q.Value, want)
		}
	}
}

func naiveNumber(s, typ string) float64 {
	if v, ok := kindOf("TIMESTAMP").parseTime(s); ok && typ == "TIMESTAMP" {
		return float64(v) / 1e6
	}
	f, _ := strconv.ParseFloat(s, 64)
	return f
}

// TestValues holds every statistic against a calculation of another kind.
func TestValues(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(4, 4))
	for _, n := range sizes {
		rows := randomTable(r, n)
		f, _ := mustCompute(t, writeRows(t, engine.NDJSON, rows), 2)
		if f.Rows != int64(n) {
			t.Errorf("%d rows, want %d", f.Rows, n)
		}
		for k := range randomColumns {
			naiveColumn(rows, k).check(t, &f.Columns[k])
		}
	}
}

// TestEqualZeros holds that 0 and -0 are one value in the statistics and two in the digests.
func TestEqualZeros(t *testing.T) {
	of := func(text string) *engine.Fingerprint {
		f, _ := mustCompute(t, Table{Format: engine.NDJSON, Columns: []engine.Column{{Name: "x", Type: "DOUBLE"}}, Files: []File{writeFile(t, text)}}, 1)
		return f
	}
	plus, minus := of("{\"x\":0.0}\n{\"x\":0.0}\n"), of("{\"x\":0.0}\n{\"x\":-0.0}\n")
	if minus.Columns[0].Distinct != 1 || minus.Columns[0].Top[0] != (engine.Frequent{Value: "0.0", Rows: 2}) {
		t.Errorf("0 and -0 are %+v", minus.Columns[0])
	}
	if plus.Digest == minus.Digest || plus.Columns[0].Digest == minus.Columns[0].Digest {
		t.Error("the digests don't tell 0 from -0")
	}
}

// TestDigestsTellApart holds that what is not the same has other digests.
func TestDigestsTellApart(t *testing.T) {
	seen := map[string]string{}
	for _, text := range []string{"", "{}\n", "{}\n{}\n", `{"a":"x"}`, `{"b":"x"}`, `{"a":""}`, `{"a":"x","b":"y"}`, `{"a":"y","b":"x"}`, "{\"a\":\"x\"}\n{}", `{"a":"x"}` + "\n" + `{"a":"x"}`, `{"a":"x"}` + "\n" + `{"b":"x"}`, `{"a":"xx"}`} {
		f, _ := mustCompute(t, Table{Format: engine.NDJSON, Columns: []engine.Column{{Name: "a", Type: "VARCHAR"}, {Name: "b", Type: "VARCHAR"}}, Files: []File{writeFile(t, text)}}, 1)
		id := fmt.Sprint(f.Digest, f.Rows)
		if seen[id] != "" {
			t.Errorf("%q and %q have the digest %s", text, seen[id], f.Digest)
		}
		seen[id] = text + " "
	}
	_, ordered := mustCompute(t, Table{Format: engine.CSV, Files: []File{writeFile(t, "a\n1\n\n2\n")}}, 1)
	for _, other := range []string{"a\n\n1\n2\n", "a\n1\n2\n\n", "a\n2\n\n1\n", "a\n1\n2\n"} {
		if _, s := mustCompute(t, Table{Format: engine.CSV, Files: []File{writeFile(t, other)}}, 1); string(s) == string(ordered) {
			t.Errorf("%q is as in another order", other)
		}
	}
}

// TestGolden notices a change of what a fingerprint says: such a change needs another engine.FingerprintSchema.
func TestGolden(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{0, 5, 5000} {
		f, state := mustCompute(t, writeRows(t, engine.CSV, randomTable(r, n), n/2), 2)
		golden(t, fmt.Sprintf("table-%d.json", n), documentOf(f)+fmt.Sprintf("%x\n", rowSumOf(state)))
	}
	f, _ := Opaque(2, 123)
	golden(t, "opaque.json", documentOf(f))
}

// rowSumOf stands for a whole state in a golden file.
func rowSumOf(s State) []byte {
	a, b := hashText(s)
	return fmt.Appendf(nil, "%016x%016x", a, b)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; run with -update if that is meant, and change engine.FingerprintSchema\n%s", path, got)
	}
}
