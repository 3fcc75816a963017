// Package contract judges what was measured by the rules that producers and consumers declare.
package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Scopes gives an expectation what it is judged by. It is asked only for what the rule uses.
type Scopes func(*engine.Expect) (engine.Scope, error)

// Output judges an output by its rejects and expectations. measured are the findings of measuring it; if one of them says that it can't be read, there is nothing
// to judge by, and where there is a rule that could hold the version, that does.
func Output(o *engine.Output, facts *engine.Facts, measured []engine.Finding, scopes Scopes) ([]engine.Finding, error) {
	out := slices.Clone(measured)
	for _, r := range o.Rejects {
		if rejected, ok := facts.Rejected[r.Name]; ok {
			out = append(out, limit(o, r, rejected))
		}
	}
	if at := slices.IndexFunc(out, func(f engine.Finding) bool { return f.Rule == engine.RuleColumns }); at >= 0 {
		if holds(o) {
			out[at].Status = engine.Violated
		}
		return out, nil
	}
	return expectations(out, o.Expects, scopes, func(f *engine.Finding) { f.Output = o.Name })
}

// holds says whether an output has a rule that needs rows and may hold a version.
func holds(o *engine.Output) bool {
	return o.Key != nil || o.References != nil || o.Rejects != nil || slices.ContainsFunc(o.Expects, func(x *engine.Expect) bool { return !x.Warn })
}

// Input judges what an input brings by the columns that the consumer asks for and by its expectations. Types are for who reads the data to hold against them.
func Input(in *engine.Input, facts *engine.Facts, scopes Scopes) ([]engine.Finding, error) {
	var out []engine.Finding
	if facts.Fingerprint != nil && facts.Unreadable != "" && in.Columns != nil {
		out = append(out, engine.Finding{Input: in.Name, Rule: engine.RuleColumns, Status: engine.Violated, Reason: facts.Unreadable,
			File: in.Range.File, Line: in.Range.Start.Line})
	}
	for _, c := range in.Columns {
		if reason := lacking(c, facts); reason != "" {
			out = append(out, engine.Finding{Input: in.Name, Rule: engine.RuleColumns, Status: engine.Violated, Text: c.Name, Reason: reason,
				File: in.Range.File, Line: in.Range.Start.Line})
		}
	}
	return expectations(out, in.Expects, scopes, func(f *engine.Finding) { f.Input = in.Name })
}

// lacking says what of a column is not there; "" if all is, or nothing is known of columns.
func lacking(c engine.Column, facts *engine.Facts) string {
	if facts.Fingerprint == nil || facts.Columns == nil {
		return ""
	}
	k := slices.IndexFunc(facts.Columns, func(s engine.ColumnStats) bool { return strings.EqualFold(s.Name, c.Name) })
	switch {
	case k < 0:
		return fmt.Sprintf("there is no column %q", c.Name)
	case c.NotNull && facts.Columns[k].Nulls > 0:
		return fmt.Sprintf("column %q is wanted NOT NULL, and %d of %d rows have no value", c.Name, facts.Columns[k].Nulls, facts.Rows)
	}
	return ""
}

func expectations(out []engine.Finding, expects []*engine.Expect, scopes Scopes, of func(*engine.Finding)) ([]engine.Finding, error) {
	for _, x := range expects {
		scope, err := scopes(x)
		if err != nil {
			return nil, err
		}
		f := expect(x, scope)
		of(&f)
		out = append(out, f)
	}
	return out, nil
}

func expect(x *engine.Expect, scope engine.Scope) engine.Finding {
	judged := x.Judge(scope)
	if judged.Status == engine.Violated && x.Warn {
		judged.Status = engine.Warned
	}
	return engine.Finding{Rule: x.Name, Status: judged.Status, Text: strings.Join(strings.Fields(x.That), " "), Observed: judged.Observed, Bound: judged.Bound,
		Reason: judged.Reason, Message: x.Message, File: x.Range.File, Line: x.Range.Start.Line}
}

// limit judges what a reject took out by the agreed limit, which is inclusive.
func limit(o *engine.Output, r *engine.Reject, got engine.Rejected) engine.Finding {
	f := engine.Finding{Output: o.Name, Rule: engine.RuleRejected, Status: engine.Passed, Text: r.Name,
		Observed: fmt.Sprintf("rejected.%s.rows = %d, share = %s", r.Name, got.Rows, percent(got.Share)), Bound: "at most " + limitText(r), File: r.Range.File, Line: r.Range.Start.Line}
	within := got.Rows <= r.LimitRows
	if r.IsShare {
		within = got.Share <= r.LimitShare
	}
	if !within {
		f.Status = engine.Violated
	}
	return f
}

func limitText(r *engine.Reject) string {
	if r.IsShare {
		return percent(r.LimitShare)
	}
	if r.LimitRows == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", r.LimitRows)
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 9, 64) + " %" }

// Measured is a finding of measuring an output, on a rule that needs no expect block. reason says why it does not hold.
func Measured(o *engine.Output, status engine.Status, rule, text, reason string) engine.Finding {
	return engine.Finding{Output: o.Name, Rule: rule, Status: status, Text: text, Reason: reason, File: o.Range.File, Line: o.Range.Start.Line}
}

// Text says in one line what a finding found.
func Text(f engine.Finding) string {
	name := f.Rule
	if f.Text != "" && (f.Rule == engine.RuleRejected || f.Rule == engine.RuleKey || f.Rule == engine.RuleReferences || f.Rule == engine.RuleMetric) {
		name += " " + f.Text
	}
	var parts []string
	if f.Message != "" {
		parts = append(parts, f.Message)
	}
	switch {
	case f.Reason != "":
		parts = append(parts, f.Reason)
	case f.Observed != "" && f.Bound != "":
		parts = append(parts, f.Observed+", want "+f.Bound)
	case f.Observed != "":
		parts = append(parts, f.Observed)
	}
	switch {
	case parts == nil && name != f.Rule:
		return name
	case parts == nil:
		parts = []string{f.Text}
	}
	return name + ": " + strings.Join(parts, ": ")
}

// Texts joins what several findings found.
func Texts(findings []engine.Finding) string {
	var out []string
	for _, f := range findings {
		out = append(out, Text(f))
	}
	return strings.Join(out, "; ")
}
