package diag

import (
	"strings"
	"testing"

	"github.com/fatih/color"

	"github.com/dpb-build/dpb/engine"
)

// at is a problem about the text between the marks « and » of src, which are taken out.
func at(src string, p engine.Problem) ([]engine.Problem, map[string][]byte) {
	before, rest, _ := strings.Cut(src, "«")
	inside, after, _ := strings.Cut(rest, "»")
	p.Range = engine.Range{File: "a.hcl", Start: position(before), End: position(before + inside)}
	return []engine.Problem{p}, map[string][]byte{"a.hcl": []byte(before + inside + after)}
}

func position(before string) engine.Pos {
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return engine.Pos{Line: 1 + strings.Count(before, "\n"), Column: 1 + len([]rune(line)), Byte: len(before)}
}

func TestText(t *testing.T) {
	color.NoColor = true
	sentence := strings.Repeat("word ", 30)
	for name, c := range map[string]struct {
		src     string
		problem engine.Problem
		want    string
	}{
		"plain": {"a = «b»\n", engine.Problem{Summary: "no b", Hint: "write c"}, `
error: no b
  a.hcl:1:5
   |
 1 | a = b
   |     ^
   = write c
`},
		"tabs and wide characters": {"x\n\t曲 = \"é«曲曲»\"\r\n", engine.Problem{Summary: "no", Severity: engine.Warning}, `
warning: no
  a.hcl:2:8
   |
 2 |     曲 = "é曲曲"
   |            ^^^^
`},
		"several lines": {"a = «[\n  1\n]»\n", engine.Problem{Summary: "no"}, `
error: no
  a.hcl:1:5
   |
 1 | a = [
   |     ^
`},
		"end of the file": {"a = «»", engine.Problem{Summary: "no"}, `
error: no
  a.hcl:1:5
   |
 1 | a =
   |     ^
`},
		"long line": {strings.Repeat("x", 200) + "«bad»" + strings.Repeat("y", 200), engine.Problem{Summary: "no"}, `
error: no
  a.hcl:1:201
   |
 1 | ...xxxxxxxxxxxxxxxbadyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy...
   |                   ^^^
`},
		"wrapped": {"«a»", engine.Problem{Summary: "no", Hint: sentence[:39], Detail: sentence}, `
error: no
  a.hcl:1:1
   |
 1 | a
   | ^
   = word word word word word word word word
     word word word word word word word word word word word
     word word word word word word word word word word word
     word word word word word word word word
`},
		"pasted": {"«a»", engine.Problem{Summary: "no", Hint: "add\noutput \"x\" {\n  path = \"a very long path that must not be wrapped anywhere at all\"\n}", Detail: "Why."}, `
error: no
  a.hcl:1:1
   |
 1 | a
   | ^
     Why.
   = add
     output "x" {
       path = "a very long path that must not be wrapped anywhere at all"
     }
`},
		"control characters": {"«\x1b[31m»", engine.Problem{Summary: "no \x1b[0m"}, "\nerror: no \ufffd[0m\n  a.hcl:1:1\n   |\n 1 | \ufffd[31m\n   | ^^^^^\n"},
	} {
		t.Run(name, func(t *testing.T) {
			ps, sources := at(c.src, c.problem)
			var b strings.Builder
			Text(&b, ps, sources, 60)
			if got := "\n" + b.String(); got != c.want {
				t.Errorf("got:%s\nwant:%s", got, c.want)
			}
		})
	}
}

func TestTextWithoutSnippet(t *testing.T) {
	color.NoColor = true
	var b strings.Builder
	Text(&b, []engine.Problem{
		{Summary: "no workspace", Hint: "run dpb init"},
		{Summary: "can't read this file", Range: engine.Range{File: "b.hcl"}},
		{Summary: "beyond", Range: engine.Range{File: "a.hcl", Start: engine.Pos{Line: 9, Column: 1, Byte: 99}, End: engine.Pos{Line: 9, Column: 2, Byte: 100}}},
	}, map[string][]byte{"a.hcl": []byte("x\n")}, 0)
	const want = "error: no workspace\n   = run dpb init\n\nerror: can't read this file\n  b.hcl\n\nerror: beyond\n  a.hcl:9:1\n"
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestHeaderOfTheBlock(t *testing.T) {
	color.NoColor = true
	ps, sources := at("target \"x\" {\n  a = 1\n  b = «2»\n}\n", engine.Problem{Summary: "no", Context: engine.Range{File: "a.hcl", Start: engine.Pos{Line: 1, Column: 1}}})
	var b strings.Builder
	Text(&b, ps, sources, 80)
	const want = "error: no\n  a.hcl:3:7\n   |\n 1 | target \"x\" {\n   ...\n 3 |   b = 2\n   |       ^\n"
	if b.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", b.String(), want)
	}
}

func TestJSON(t *testing.T) {
	ps, _ := at("a = «b»\n", engine.Problem{Summary: "no <b>", Severity: engine.Warning})
	var b strings.Builder
	if err := JSON(&b, append(ps, engine.Problem{Summary: "x", Hint: "y", Detail: "z"})); err != nil {
		t.Fatal(err)
	}
	const want = `[
  {
    "severity": "warning",
    "summary": "no <b>",
    "file": "a.hcl",
    "start": {
      "line": 1,
      "column": 5,
      "byte": 4
    },
    "end": {
      "line": 1,
      "column": 6,
      "byte": 5
    }
  },
  {
    "severity": "error",
    "summary": "x",
    "detail": "z",
    "hint": "y"
  }
]
`
	if b.String() != want {
		t.Errorf("got %s", b.String())
	}
	b.Reset()
	if err := JSON(&b, nil); err != nil || b.String() != "[]\n" {
		t.Errorf("no problems are %q, %v", b.String(), err)
	}
}

func BenchmarkText(b *testing.B) {
	src := []byte(strings.Repeat("target \"x\" {\n", 20_000))
	var ps []engine.Problem
	for i := range 1000 {
		p := engine.Pos{Line: 1 + 20*i, Column: 1, Byte: 13 * 20 * i}
		ps = append(ps, engine.Problem{Summary: "no", Range: engine.Range{File: "a", Start: p, End: p}})
	}
	for b.Loop() {
		var out strings.Builder
		Text(&out, ps, map[string][]byte{"a": src}, 80)
	}
}
