package run

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// TestCheckedSQL holds that what was found to be right is known again by all that it was checked by, and by the same dpb, and that nothing else is.
func TestCheckedSQL(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("this dpb has no SQL engine")
	}
	file := filepath.Join(t.TempDir(), "checked")
	target := func(change func(*engine.Target)) *engine.Target {
		t := &engine.Target{Label: engine.Label{Name: "t"}, Kind: engine.SQL, PartitionBy: []string{"day"}, Inputs: []*engine.Input{{Name: "x"}},
			SQL:     []*engine.Statement{{Output: "t", Text: "SELECT id, $day AS day FROM x"}},
			Outputs: []*engine.Output{{Name: "t", Metrics: []*engine.Metric{{Name: "m", SQL: "count(*)"}}, Rejects: []*engine.Reject{{Name: "r", Where: "id < 0"}}}}}
		change(t)
		return t
	}
	same := func(*engine.Target) {}
	good, bad := target(same), target(func(t *engine.Target) { t.SQL[0].Text = "SELECT now() AS id FROM x" })
	check := func(program string, targets ...*engine.Target) (problems, known int) {
		t.Helper()
		c := OpenCheckedSQL(file, program)
		problems = len(CheckSQL(context.Background(), targets, c))
		if c != nil {
			for d := range c.good {
				if c.known[d] {
					known++
				}
			}
		}
		if err := c.Save(); err != nil {
			t.Fatal(err)
		}
		return problems, known
	}
	want := func(what string, problems, known, wantProblems, wantKnown int) {
		t.Helper()
		if problems != wantProblems || known != wantKnown {
			t.Errorf("%s: %d problems and %d known, want %d and %d", what, problems, known, wantProblems, wantKnown)
		}
	}
	p, k := check("a", good, bad)
	want("first", p, k, 1, 0)
	p, k = check("a", good, bad)
	want("again", p, k, 1, 1)
	for what, change := range map[string]func(*engine.Target){
		"statement": func(t *engine.Target) { t.SQL[0].Text = "SELECT random() AS id FROM x" },
		"input":     func(t *engine.Target) { t.Inputs[0].Name = "y" },
		"partition": func(t *engine.Target) { t.PartitionBy[0] = "month" },
		"metric":    func(t *engine.Target) { t.Outputs[0].Metrics[0].SQL = "avg(random())" },
		"reject":    func(t *engine.Target) { t.Outputs[0].Rejects[0].Where = "random() < 0.5" },
		"output":    func(t *engine.Target) { t.Outputs[0].Metrics[0].SQL = "count(*) + (SELECT max(id) FROM z)" },
	} {
		if p, k := check("a", good, target(change)); p == 0 || k != 1 {
			t.Errorf("with another %s there are %d problems, and %d are known", what, p, k)
		}
	}
	p, k = check("a", good)
	want("places play no part", p, k, 0, 1)
	p, k = check("a", target(func(t *engine.Target) { t.SQL[0].Range.Start.Line, t.Label.Name, t.Description = 7, "u", "x" }))
	want("nor do names", p, k, 0, 1)
	p, k = check("b", good)
	want("another dpb", p, k, 0, 0)
	p, k = check("", good)
	want("one that can't be told", p, k, 0, 0)
	p, k = check("b", good)
	want("that left nothing", p, k, 0, 1)

	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for n := range whole {
		for _, b := range [][]byte{whole[:n], append(bytes.Clone(whole[:n]), append([]byte{whole[n] ^ 1}, whole[n+1:]...)...)} {
			if err := os.WriteFile(file, b, 0o666); err != nil {
				t.Fatal(err)
			}
			if c := OpenCheckedSQL(file, "b"); len(c.known) > 0 {
				t.Fatalf("damage at byte %d was taken for good", n)
			}
		}
	}
}
