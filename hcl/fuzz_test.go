package hcl

import (
	"bytes"
	"io"
	"path/filepath"
	"testing"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/hcl/diag"
)

// FuzzLoad loads any two texts as dpb.hcl and pipeline.hcl. Nothing may panic, places lie in the text, and formatting twice changes nothing.
func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob(goldenFiles)
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(section(a, "dpb.hcl")), []byte(section(a, "plays/pipeline.hcl")))
	}
	f.Add(fullFile("dpb.hcl"), fullFile("spam/pipeline.hcl"))
	root := f.TempDir()
	f.Fuzz(func(t *testing.T, workspace, pack []byte) {
		if len(workspace)+len(pack) > 20_000 {
			t.Skip()
		}
		writeFile(t, filepath.Join(root, WorkspaceFile), workspace)
		writeFile(t, filepath.Join(root, "plays", PackageFile), pack)
		w, sources, problems := Load(root, Options{Version: "0.5.0"})
		checkPlaces(t, problems, sources)
		diag.Text(io.Discard, problems, sources, 80)
		for _, x := range w.Targets {
			if x.Kind == 0 && !engine.HasErrors(problems) {
				t.Errorf("%s has no kind", x.Label)
			}
		}
		checkFormat(t, pack)
	})
}

func checkPlaces(t *testing.T, problems []engine.Problem, sources Sources) {
	for _, p := range problems {
		r := p.Range
		if p.Summary == "" || r.Start.Byte > r.End.Byte || r.End.Byte > len(sources[r.File]) && r.Start.Line > 0 {
			t.Errorf("odd problem %+v in %d bytes", p, len(sources[r.File]))
		}
	}
}

func checkFormat(t *testing.T, src []byte) {
	once, problems := Format("x", src)
	if len(problems) > 0 {
		return
	}
	twice, problems := Format("x", once)
	if len(problems) > 0 || !bytes.Equal(once, twice) {
		t.Errorf("formatting twice differs: %q, %q, %v", once, twice, problems)
	}
}

// TestEveryTokenSpoilt takes out or replaces each word of a workspace in turn, which finds panics and cascades that fuzzing rarely reaches.
func TestEveryTokenSpoilt(t *testing.T) {
	root := unpack(t, txtar.Parse([]byte(fullText)))
	for _, name := range []string{WorkspaceFile, "spam/" + PackageFile} {
		src := fullFile(name)
		tokens, _ := hclsyntax.LexConfig(src, name, hcl.InitialPos)
		for i, token := range tokens {
			by := []string{"", "null", "x", "[5]"}[i/5%4]
			if i%5 == 0 {
				spoilt := bytes.Clone(src[:token.Range.Start.Byte])
				spoilt = append(append(spoilt, by...), src[token.Range.End.Byte:]...)
				writeFile(t, filepath.Join(root, name), spoilt)
				_, sources, problems := Load(root, Options{})
				checkPlaces(t, problems, sources)
				if len(problems) > 6 {
					t.Errorf("%s: %q in line %d replaced by %q gives %d problems", name, token.Bytes, token.Range.Start.Line, by, len(problems))
				}
			}
		}
		writeFile(t, filepath.Join(root, name), src)
	}
}
