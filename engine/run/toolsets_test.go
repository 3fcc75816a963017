package run

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// TestToolsOncePerPass: targets that call the same program get what one look at it found, and the next pass of the same command looks anew.
func TestToolsOncePerPass(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(bin, "tool"), []byte(text), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	calls := func(name string) *engine.Target {
		return &engine.Target{Label: engine.Label{Name: name}, Kind: engine.Command, Outputs: []*engine.Output{{Name: name, Path: name + ".txt"}},
			Command: []engine.Text{engine.Literal("tool"), {{Path: "output." + name}}}}
	}
	write("#!/bin/sh\necho 1 > $1\n")
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	g, problems := graph.New(&engine.Workspace{StorePath: filepath.Join(memoryDir(t), "store"), Packages: []*engine.Package{{}}, Targets: []*engine.Target{calls("x"), calls("y")}}, now)
	if engine.HasErrors(problems) {
		t.Fatal(problems)
	}
	s, err := Open(Config{Root: memoryDir(t), Graph: g, Now: now, Version: "test", PathEnv: bin})
	if err != nil {
		t.Fatal(err)
	}
	all, _ := g.Select([]engine.Pattern{{Below: true}})
	identities := func() (out []string) {
		t.Helper()
		_, err := s.Status(t.Context(), all)
		for _, n := range g.Nodes {
			r, rerr := s.Recipe(n)
			if err = errors.Join(err, rerr); err == nil {
				out = append(out, r.Tools[0].Identity)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	first := identities()
	if s.recipes[g.Nodes[0]].tools != s.recipes[g.Nodes[1]].tools || first[0] != first[1] {
		t.Error("the program was looked at for each target")
	}
	write("#!/bin/sh\necho 2 > $1\n")
	if second := identities(); second[0] == first[0] || second[1] != second[0] {
		t.Errorf("it was %s, and after it changed %s", first, second)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
