package ui

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
)

// hostile is what a message or a value of data may hold.
const hostile = "a|b\n::error::x\r\n# y `c` \\| <script> @team [l](http://x) 100% *b* \x1b[31m"

// TestMarkdownEscapes: what others wrote stays in its cell, and is text.
func TestMarkdownEscapes(t *testing.T) {
	f := engine.Finding{Output: "x", Rule: hostile, Observed: hostile, Bound: hostile, Message: hostile}
	r := &Report{Review: &run.Review{Roots: []run.Root{
		{Target: "//p:x", State: "stale", Partitions: 1, Owner: hostile, Reason: hostile, First: "k=" + hostile},
		{Target: "//p:y", State: "held", Partitions: 1, Owner: hostile, Findings: []engine.Finding{f}},
	}}, Forecast: &run.Forecast{}, Notes: []string{hostile}, Prefix: hostile + "/"}
	var b bytes.Buffer
	Markdown(&b, r)
	columns := 0
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "<script>") || strings.Contains(line, "\x1b") || strings.HasPrefix(line, "::") || strings.HasPrefix(line, "# ") {
			t.Errorf("not escaped: %q", line)
		}
		if strings.Contains(strings.ReplaceAll(line, "@<!-- -->", ""), "@team") {
			t.Errorf("somebody is called: %q", line)
		}
		if !strings.HasPrefix(line, "|") {
			columns = 0
			continue
		}
		got := strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\|`, ""), "|")
		if columns == 0 {
			columns = got
		}
		if got != columns {
			t.Errorf("%d columns, the header has %d: %q", got, columns, line)
		}
	}
}

// TestGitHubAnnotations: one line each, with what would end it or its properties escaped, and no more than are shown.
func TestGitHubAnnotations(t *testing.T) {
	var b bytes.Buffer
	GitHubAnnotations(&b, []Annotation{{engine.Error, run.Place{File: "a,b:c%.hcl", Line: 7}, "t: x,y", "50%\nof it::"}})
	if got, want := b.String(), "::error file=a%2Cb%3Ac%25.hcl,line=7,title=t%3A x%2Cy::50%25%0Aof it::\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	b.Reset()
	many := make([]Annotation, 12)
	many[11].Severity = engine.Warning
	GitHubAnnotations(&b, many)
	if lines := strings.Split(strings.TrimSpace(b.String()), "\n"); len(lines) != 11 || lines[9] != "::error title=dpb::2 more: see the summary" || !strings.HasPrefix(lines[10], "::warning") {
		t.Errorf("got %d lines:\n%s", len(lines), b.String())
	}
}

// TestMarkdownIsAPage: however much there is to tell.
func TestMarkdownIsAPage(t *testing.T) {
	r := &Report{Review: &run.Review{}, Forecast: &run.Forecast{}, Against: &run.Against{Revision: "main", Forecast: &run.Forecast{}}, Data: &run.DataChanges{}}
	for k := range 5000 {
		name := fmt.Sprintf("//p:t%d", k)
		label, _ := engine.ParseLabel(name, "")
		f := engine.Finding{Output: "x", Rule: "r", Message: strings.Repeat("long ", 1000)}
		r.Roots = append(r.Roots, run.Root{Target: name, State: "stale", Partitions: 9, Reason: strings.Repeat("long ", 1000), Followers: make([]run.Follower, 1000)},
			run.Root{Target: name, State: "held", Partitions: 9, Findings: []engine.Finding{f, f}})
		r.Against.Changes = append(r.Against.Changes, run.TargetChange{Target: name, Change: run.ChangeOwn, What: []string{strings.Repeat("long ", 1000)}})
		r.Against.Owners = append(r.Against.Owners, run.OwnerChange{Owner: name, Changed: []string{name}})
		r.Data.Targets = append(r.Data.Targets, run.DataChange{Target: name, Changed: 1})
		r.Data.Accepted = append(r.Data.Accepted, engine.Acceptance{Label: label, Findings: make([]engine.Finding, 1000), Reason: strings.Repeat("long ", 1000)})
	}
	var b bytes.Buffer
	Markdown(&b, r)
	if lines := strings.Count(b.String(), "\n"); lines > 150 || b.Len() > 60_000 { // GitHub takes comments of 65,536 characters
		t.Errorf("%d lines, %d bytes", lines, b.Len())
	}
	if got := strings.Count(b.String(), "… and 4,985 more"); got != 5 {
		t.Errorf("%d lists say how much they leave out:\n%s", got, b.String())
	}
}
