package hcl

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fatih/color"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/hcl/diag"
)

var update = flag.Bool("update", false, "write the wanted messages anew")

const goldenFiles = "../testdata/diag/*.txtar"

// TestMessages holds what is said about each mistake.
func TestMessages(t *testing.T) {
	color.NoColor = true
	files, _ := filepath.Glob(goldenFiles)
	if len(files) < 45 {
		t.Fatalf("only %d files match %s", len(files), goldenFiles)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := messages(t, a)
			if *update {
				writeWant(t, file, a, got)
			}
			if want := section(a, "want"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// messages loads the workspace of an archive and renders its problems: those of the graph, if the files have none.
func messages(t *testing.T, a *txtar.Archive) string {
	root := unpack(t, a)
	w, sources, problems := Load(root, Options{Version: "0.5.0"})
	if len(problems) == 0 {
		_, problems = graph.New(w, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	}
	for _, p := range problems {
		if strings.Contains(p.Summary+p.Detail+p.Hint, root) {
			t.Errorf("%q names a path of the machine", p.Summary)
		}
	}
	var b bytes.Buffer
	diag.Text(&b, problems, sources, 120)
	return b.String()
}

// unpack writes the files of an archive, less what a test wants, to a new folder.
func unpack(t testing.TB, a *txtar.Archive) string {
	root := t.TempDir()
	for _, f := range a.Files {
		if f.Name == "want" {
			continue
		}
		writeFile(t, filepath.Join(root, f.Name), f.Data)
	}
	return root
}

func writeFile(t testing.TB, name string, data []byte) {
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func writeWant(t *testing.T, file string, a *txtar.Archive, got string) {
	var kept []txtar.File
	for _, f := range a.Files {
		if f.Name != "want" {
			kept = append(kept, f)
		}
	}
	a.Files = append(kept, txtar.File{Name: "want", Data: []byte(got)})
	if err := os.WriteFile(file, txtar.Format(a), 0o666); err != nil {
		t.Fatal(err)
	}
}

// load loads the files of an archive that must be right.
func load(t *testing.T, files string) *engine.Workspace {
	t.Helper()
	w, sources, problems := Load(unpack(t, txtar.Parse([]byte(files))), Options{Version: "dev"})
	if len(problems) > 0 {
		var b bytes.Buffer
		diag.Text(&b, problems, sources, 120)
		t.Fatalf("unexpected problems:\n%s", b.String())
	}
	return w
}
