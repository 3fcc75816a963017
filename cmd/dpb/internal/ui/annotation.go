package ui

import (
	"fmt"
	"io"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/run"
)

// Annotation is a remark on a line of a file. Place is relative to the repository.
type Annotation struct {
	Severity engine.Severity
	Place    run.Place
	Title    string
	Text     string
}

// Annotations are what a report has to say of places.
func (r *Report) Annotations() (out []Annotation) {
	severity := engine.Error
	if r.Lenient {
		severity = engine.Warning
	}
	add := func(place run.Place, title, text string) {
		if place.File != "" {
			place.File = r.Prefix + place.File
		}
		out = append(out, Annotation{severity, place, title, text})
	}
	for _, x := range r.Roots {
		title := x.Target + " is " + x.State
		if x.Findings == nil {
			add(x.Place, title, because(x)+counted(x)+asking(x))
		}
		for _, f := range x.Findings {
			text := contract.Text(f) + counted(x) + asking(x)
			if command := acceptance(x); command != "" {
				text += "; if it is right: " + command
			}
			add(run.Place{File: f.File, Line: f.Line}, title, text)
		}
	}
	return out
}

// counted says how many partitions a root has, and how many wait.
func counted(x run.Root) (text string) {
	if x.First != "" {
		text = "; " + x.First
		if x.Partitions > 1 {
			text = fmt.Sprintf("; %s from %s", plural(x.Partitions, "partition"), x.First)
		}
	}
	waits := 0
	for _, f := range x.Followers {
		waits += f.Partitions
	}
	if waits > 0 {
		text += "; " + plural(waits, "action") + waitFor(waits)
	}
	return text
}

func waitFor(n int) string {
	if n == 1 {
		return " waits for it"
	}
	return " wait for it"
}

func asking(x run.Root) string {
	if who := owners(x); who != "" {
		return "; owner " + who
	}
	return ""
}

// ProblemAnnotations are what is wrong with the files of a workspace, which lies at prefix in its repository.
func ProblemAnnotations(problems []engine.Problem, prefix string) (out []Annotation) {
	for _, p := range problems {
		a := Annotation{Severity: p.Severity, Title: "dpb: " + p.Severity.String(), Text: p.Summary}
		if p.Range.File != "" {
			a.Place = run.Place{File: prefix + p.Range.File, Line: p.Range.Start.Line}
		}
		if p.Hint != "" {
			a.Text += "\n" + p.Hint
		}
		out = append(out, a)
	}
	return out
}

// GitHub shows no more annotations of a severity than these of one step.
const mostAnnotations = 10

// GitHubAnnotations writes annotations as commands of a workflow (docs.github.com, Workflow commands for GitHub Actions). Those that it would not show are counted in the last.
func GitHubAnnotations(w io.Writer, list []Annotation) {
	for _, severity := range []engine.Severity{engine.Error, engine.Warning} {
		var these []Annotation
		for _, a := range list {
			if a.Severity == severity {
				these = append(these, a)
			}
		}
		if more := len(these) - mostAnnotations; more > 0 {
			these = append(these[:mostAnnotations-1:mostAnnotations-1], Annotation{Severity: severity, Title: "dpb", Text: fmt.Sprintf("%d more: see the summary", more+1)})
		}
		for _, a := range these {
			var properties []string
			if a.Place.File != "" {
				properties = append(properties, "file="+property(a.Place.File), fmt.Sprintf("line=%d", a.Place.Line))
			}
			properties = append(properties, "title="+property(Line(a.Title)))
			writeLines(w, fmt.Sprintf("::%s %s::%s", a.Severity, strings.Join(properties, ","), message(Text(a.Text))))
		}
	}
}

var (
	message  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A").Replace
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C").Replace
)

// Annotated writes annotations for people and editors: pipeline.hcl:12: //:total is stale: sql changed.
func Annotated(w io.Writer, list []Annotation) {
	for _, a := range list[:min(len(list), mostRows)] {
		text := clean(a.Title) + ": " + Line(a.Text)
		if a.Place.File != "" {
			text = fmt.Sprintf("%s:%d: %s", clean(a.Place.File), a.Place.Line, text)
		}
		writeLines(w, text)
	}
	if more := len(list) - mostRows; more > 0 {
		writeLines(w, fmt.Sprintf("… and %d more", more))
	}
}
