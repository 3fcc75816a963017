package source

import (
	"fmt"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

// TestFolders: a glob's folder is where what is the same for all partitions ends, and what lies below it counts where the rest can reach there.
func TestFolders(t *testing.T) {
	day := engine.Segment{Dimension: "day"}
	eval := engine.Segment{Eval: func(engine.Partition) (string, error) { return "2017/06/01", nil }}
	text := func(s string) engine.Segment { return engine.Segment{Literal: s} }
	for want, glob := range map[string]engine.Text{
		"/ws/p false":          engine.Literal("one.csv"),
		"/ws/p/raw false":      engine.Literal("raw/*.csv"),
		"/ws/p/raw true":       engine.Literal("raw/**/*.csv"),
		"/ws/raw false":        engine.Literal("../raw/x.csv"),
		"/data/raw false":      engine.Literal("/data/raw/x.csv"),
		"/ws/p/days true":      {text("days/"), day, text("/x.csv")},
		"/ws/p/daily false":    {text("daily/d-"), day, text(".csv")},
		"/ws/p/computed true":  {text("computed/"), eval, text(".csv")},
		"/ws/p/.cache/x false": engine.Literal(".cache/x/y.csv"),
	} {
		label := engine.Label{Pkg: "p", Name: "x"}
		folders := Folders("/ws", []*engine.Target{{Label: label, Kind: engine.Source, Path: glob}, {Label: label, Kind: engine.Command, Inputs: []*engine.Input{{Files: glob}}}})
		if len(folders) != 1 || fmt.Sprintf("%s %v", folders[0].Dir, folders[0].Deep) != want {
			t.Errorf("got %v, want %s", folders, want)
		}
	}
	code := Folders("/ws", []*engine.Target{{Label: engine.Label{Pkg: "p", Name: "x"}, Kind: engine.Command, Code: []engine.CodeRef{{Glob: "lib/**/*.py"}, {Source: engine.Label{Name: "y"}}}}})
	if len(code) != 1 || code[0] != (Folder{"/ws/p/lib", true}) {
		t.Errorf("code: %v", code)
	}
}
