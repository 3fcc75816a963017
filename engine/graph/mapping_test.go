package graph

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

var update = flag.Bool("update", false, "write the expected results in testdata anew")

// TestMapping reads testdata/mapping.txt, whose head explains it.
func TestMapping(t *testing.T) {
	t.Parallel()
	const file = "testdata/mapping.txt"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n\n")
	for k, block := range blocks[1:] {
		c := parseCase(t, block)
		got := strings.Join(append(c.said, c.results(t)...), "\n")
		if *update {
			blocks[k+1] = got
		} else if got != block {
			t.Errorf("got\n%s\n\nwant\n%s", got, block)
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(strings.Join(blocks, "\n\n")+"\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// mappingCase is one block of the table.
type mappingCase struct {
	said       []string // the lines that describe the case
	dimensions []*engine.Dimension
	now        time.Time
	producer   *engine.Target
	consumer   *engine.Target
	input      *engine.Input
	at         []string // consumer's partitions to show; all if empty
}

func parseCase(t *testing.T, block string) *mappingCase {
	c := &mappingCase{now: instant(t, "2030-01-01T00:00:00Z"), input: &engine.Input{Name: "x", From: engine.Ref{Label: engine.Label{Name: "producer"}}}}
	for line := range strings.SplitSeq(block, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "partition":
			c.dimensions = append(c.dimensions, parseDimension(rest))
		case "now":
			c.now = instant(t, rest)
		case "producer":
			c.producer = parseTarget(word, rest)
		case "consumer":
			c.consumer = parseTarget(word, rest)
			c.consumer.Inputs = []*engine.Input{c.input}
		case "itself":
			c.producer = parseTarget("producer", rest)
			c.producer.Inputs = []*engine.Input{c.input}
		case "window", "take", "slice", "missing":
			setInput(t, c.input, word, rest)
		case "at":
			c.at = strings.Fields(rest)
		default:
			return c
		}
		c.said = append(c.said, line)
	}
	return c
}

// parseDimension reads "day every day 2017-06-01..2017-06-14 Europe/Berlin" and "country DE FR".
func parseDimension(s string) *engine.Dimension {
	f := strings.Fields(s)
	d := &engine.Dimension{Name: f[0], Values: f[1:]}
	if f[1] == "every" {
		d.Values = nil
		d.Unit, _ = engine.ParseUnit(f[2])
		d.Start, d.End, _ = strings.Cut(f[3], "..")
		d.Timezone = strings.Join(f[4:], "")
	}
	return d
}

// parseTarget reads "day country from 2017-06-03 to 2017-06-05".
func parseTarget(name, s string) *engine.Target {
	x := &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Outputs: []*engine.Output{{Name: name}}}
	f := strings.Fields(s)
	for k := 0; k < len(f); k++ {
		switch f[k] {
		case "from":
			k++
			x.Start = f[k]
		case "to":
			k++
			x.End = f[k]
		default:
			x.PartitionBy = append(x.PartitionBy, f[k])
		}
	}
	return x
}

func setInput(t *testing.T, in *engine.Input, word, s string) {
	switch word {
	case "take":
		in.TakeLast = true
	case "missing":
		in.Missing = engine.SkipNewer
	case "slice":
		for _, v := range strings.Fields(s) {
			name, value, _ := strings.Cut(v, "=")
			in.Slice = append(in.Slice, engine.Value{Dimension: name, Text: value})
		}
	case "window":
		from, to, _ := strings.Cut(s, " ")
		in.Window = &engine.Window{FromStart: from == "first", From: 0}
		if !in.Window.FromStart {
			in.Window.From = number(t, from)
		}
		in.Window.To = number(t, to)
	}
}

func number(t *testing.T, s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func instant(t testing.TB, s string) time.Time {
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// results says what the edge reads in words and for each partition, or what is wrong.
func (c *mappingCase) results(t *testing.T) (out []string) {
	ws := &engine.Workspace{Dimensions: c.dimensions, Targets: []*engine.Target{c.producer}}
	if c.consumer != nil {
		ws.Targets = append(ws.Targets, c.consumer)
	}
	g, problems := New(ws, c.now)
	for _, p := range problems {
		out = append(out, fmt.Sprintf("%s: %s", p.Severity, p.Summary))
		for _, more := range []string{p.Detail, p.Hint} {
			if more != "" {
				out = append(out, "  "+more)
			}
		}
	}
	if engine.HasErrors(problems) {
		return out
	}
	last := g.Nodes[len(g.Nodes)-1]
	e := last.Edges[0]
	out = append(out, fmt.Sprintf("words: %s", e.Words()), "rule: "+e.Mapping(), "producer has "+e.From.Set.Describe(), "consumer has "+last.Set.Describe())
	for i := range last.Set.Len() {
		if text := last.Set.Text(i); c.at == nil || slices.Contains(c.at, text) {
			out = append(out, fmt.Sprintf("%s reads %s", nameOf(text), describe(t, e.Inputs(i))))
		}
	}
	return out
}

func nameOf(partition string) string {
	if partition == "" {
		return "its one partition"
	}
	return partition
}

// describe writes a selection by its stretch along each dimension, and checks that it is the product of these.
func describe(t *testing.T, s Selection) string {
	values := make([][]string, len(s.set.spans))
	n := 0
	for i := range s.All() {
		n++
		for k, v := range s.set.Partition(i) {
			if !slices.Contains(values[k], v.Text) {
				values[k] = append(values[k], v.Text)
			}
		}
	}
	if n == 0 {
		return "nothing"
	}
	product := 1
	var parts []string
	for k, sp := range s.set.spans {
		product *= len(values[k])
		text := strings.Join(values[k], " ")
		if m := len(values[k]); m > 3 {
			text = fmt.Sprintf("%s..%s (%d)", values[k][0], values[k][m-1], m)
		}
		parts = append(parts, sp.dimension.Name+"="+text)
	}
	if n != product || n != s.Len() {
		t.Errorf("%v: %d partitions, a product of %d, Len %d", parts, n, product, s.Len())
	}
	if parts == nil {
		return "its one partition"
	}
	return strings.Join(parts, ", ")
}
