package hcl

import (
	"fmt"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// judge makes the function that evaluates a rule whose That, Uses and Prior are set. The text is parsed at the first call, as most commands judge nothing.
func judge(x *engine.Expect) func(engine.Scope) engine.Judged {
	parse := sync.OnceValues(func() (hclsyntax.Expression, hcl.Diagnostics) {
		return hclsyntax.ParseExpression([]byte(x.That), "", hcl.InitialPos)
	})
	usesPrior := x.UsesRoot("prior")
	return func(s engine.Scope) engine.Judged {
		if n := len(s.Prior); usesPrior && n < x.Prior {
			reason := fmt.Sprintf("%d of %d earlier versions", n, x.Prior)
			if x.Prior == 1 {
				reason = "there is no earlier version"
			}
			return engine.Judged{Status: engine.NotYet, Reason: reason}
		}
		s.Prior = s.Prior[:min(len(s.Prior), x.Prior)]
		e, diags := parse()
		if diags.HasErrors() {
			return engine.Judged{Status: engine.Violated, Reason: "the rule can't be read: " + diags.Error()}
		}
		return (&evaluation{Scope: s, source: x.That}).judge(e)
	}
}

// evaluation is one judging of a rule.
type evaluation struct {
	engine.Scope
	source string
	vars   map[string]value // of the for loops around
	items  map[*hclsyntax.AnonSymbolExpr]value
	looped int // steps of its loops
}

// fault says why an expression has no value.
type fault struct {
	status engine.Status // Violated or NotYet
	reason string
}

func (f *fault) Error() string { return f.reason }

func violated(format string, args ...any) error {
	return &fault{engine.Violated, fmt.Sprintf(format, args...)}
}

func (ev *evaluation) judge(e hclsyntax.Expression) (out engine.Judged) {
	defer func() {
		if r := recover(); r != nil { // arithmetic on infinity, in a function of HCL
			out = engine.Judged{Status: engine.Violated, Reason: "this can't be computed"}
		}
	}()
	holds, err := ev.truth(e)
	if f, ok := err.(*fault); ok {
		return engine.Judged{Status: f.status, Reason: f.reason}
	}
	out.Status = engine.Violated
	if holds {
		out.Status = engine.Passed
	}
	out.Observed, out.Bound = ev.explain(e, holds)
	return out
}

// text is the source of an expression in one line.
func (ev *evaluation) text(e hclsyntax.Expression) string {
	r := e.Range()
	return strings.Join(strings.Fields(ev.source[r.Start.Byte:r.End.Byte]), " ")
}
