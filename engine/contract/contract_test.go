package contract

import (
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/dpb-build/dpb/engine"
)

var place = engine.Range{File: "spam/pipeline.hcl", Start: engine.Pos{Line: 7, Column: 3}}

// expects makes a rule that always comes to the same.
func expects(name string, judged engine.Judged) *engine.Expect {
	return &engine.Expect{Name: name, That: "\n  rows\n    >= 1000 ", Message: "too few plays", Range: place, Judge: func(engine.Scope) engine.Judged { return judged }}
}

func warns(x *engine.Expect) *engine.Expect {
	x.Warn = true
	return x
}

var (
	passed   = engine.Judged{Status: engine.Passed, Observed: "rows = 2000"}
	notYet   = engine.Judged{Status: engine.NotYet, Reason: "there is no version before"}
	violated = engine.Judged{Status: engine.Violated, Observed: "rows = 7", Bound: "at least 1000"}
	isNull   = engine.Judged{Status: engine.Violated, Reason: "column.x.mean is null"}
)

// none is what rules that need nothing are judged by.
func none(*engine.Expect) (engine.Scope, error) { return engine.Scope{}, nil }

func same[T any](t *testing.T, what string, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// TestExpect: what a rule came to, with its words and its place.
func TestExpect(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		*engine.Expect
		want engine.Finding
	}{
		"passed":                  {expects("volume", passed), engine.Finding{Status: engine.Passed, Observed: "rows = 2000"}},
		"passed, and might warn":  {warns(expects("volume", passed)), engine.Finding{Status: engine.Passed, Observed: "rows = 2000"}},
		"too little to compare":   {expects("volume", notYet), engine.Finding{Status: engine.NotYet, Reason: "there is no version before"}},
		"too little, and warns":   {warns(expects("volume", notYet)), engine.Finding{Status: engine.NotYet, Reason: "there is no version before"}},
		"violated":                {expects("volume", violated), engine.Finding{Status: engine.Violated, Observed: "rows = 7", Bound: "at least 1000"}},
		"violated, and warns":     {warns(expects("volume", violated)), engine.Finding{Status: engine.Warned, Observed: "rows = 7", Bound: "at least 1000"}},
		"null in the wrong place": {expects("volume", isNull), engine.Finding{Status: engine.Violated, Reason: "column.x.mean is null"}},
		"null, and warns":         {warns(expects("volume", isNull)), engine.Finding{Status: engine.Warned, Reason: "column.x.mean is null"}},
	} {
		want := c.want
		want.Rule, want.Text, want.Message, want.File, want.Line = c.Expect.Name, "rows >= 1000", "too few plays", place.File, 7
		want.Output = "classified"
		got, err := Output(&engine.Output{Name: "classified", Expects: []*engine.Expect{c.Expect}}, &engine.Facts{}, nil, none)
		same(t, what+", of an output", got, []engine.Finding{want})
		same(t, what, err, nil)
		want.Output, want.Input = "", "plays"
		got, err = Input(&engine.Input{Name: "plays", Expects: []*engine.Expect{c.Expect}}, &engine.Facts{}, none)
		same(t, what+", of an input", got, []engine.Finding{want})
		same(t, what, err, nil)
	}
}

// TestScopes: each rule is judged by its own scope, in the order in which they stand there, and an error ends it.
func TestScopes(t *testing.T) {
	t.Parallel()
	facts := map[string]*engine.Facts{"a": {}, "b": {}, "c": {}}
	var judged []string
	var list []*engine.Expect
	for _, name := range []string{"b", "a", "c"} {
		x := &engine.Expect{Name: name}
		x.Judge = func(s engine.Scope) engine.Judged {
			if s.Self != facts[name] {
				t.Errorf("%s is judged by another's scope", name)
			}
			judged = append(judged, name)
			return passed
		}
		list = append(list, x)
	}
	wrong := errors.New("the ledger can't be read")
	scopes := func(bad string) Scopes {
		return func(x *engine.Expect) (engine.Scope, error) {
			if x.Name == bad {
				return engine.Scope{}, wrong
			}
			return engine.Scope{Self: facts[x.Name]}, nil
		}
	}
	for bad, want := range map[string][]string{"": {"b", "a", "c"}, "a": {"b"}, "b": nil} {
		for _, judge := range []func(Scopes) ([]engine.Finding, error){
			func(s Scopes) ([]engine.Finding, error) {
				return Output(&engine.Output{Expects: list}, &engine.Facts{}, nil, s)
			},
			func(s Scopes) ([]engine.Finding, error) {
				return Input(&engine.Input{Expects: list}, &engine.Facts{}, s)
			},
		} {
			judged = nil
			found, err := judge(scopes(bad))
			same(t, "judged until "+bad, judged, want)
			if bad == "" && (err != nil || len(found) != 3) || bad != "" && (!errors.Is(err, wrong) || found != nil) {
				t.Errorf("until %q: %v, %v", bad, found, err)
			}
		}
	}
}

// TestLimit: the agreed limit is inclusive, a number of rows or a share.
func TestLimit(t *testing.T) {
	t.Parallel()
	share := func(rows, of int64) engine.Rejected {
		return engine.Rejected{Rows: rows, Share: float64(rows) / float64(max(of, 1))}
	}
	byRows := func(n int64) engine.Reject { return engine.Reject{LimitRows: n} }
	byShare := func(x float64) engine.Reject { return engine.Reject{IsShare: true, LimitShare: x} }
	for _, c := range []struct {
		engine.Reject
		got             engine.Rejected
		want            engine.Status
		observed, bound string
	}{
		{byRows(0), share(0, 10), engine.Passed, "rejected.unscored.rows = 0, share = 0 %", "at most 0 rows"},
		{byRows(0), share(0, 0), engine.Passed, "rejected.unscored.rows = 0, share = 0 %", "at most 0 rows"},
		{byRows(0), share(1, 1000), engine.Violated, "rejected.unscored.rows = 1, share = 0.1 %", "at most 0 rows"},
		{byRows(3), share(3, 3), engine.Passed, "rejected.unscored.rows = 3, share = 100 %", "at most 3 rows"},
		{byRows(3), share(4, 1<<40), engine.Violated, "rejected.unscored.rows = 4, share = 3.63797881e-10 %", "at most 3 rows"},
		{byShare(0), share(0, 0), engine.Passed, "rejected.unscored.rows = 0, share = 0 %", "at most 0 %"},
		{byShare(0), share(1, 1<<40), engine.Violated, "rejected.unscored.rows = 1, share = 9.09494702e-11 %", "at most 0 %"},
		{byShare(0.001), share(1, 1000), engine.Passed, "rejected.unscored.rows = 1, share = 0.1 %", "at most 0.1 %"},
		{byShare(0.007), share(7, 1000), engine.Passed, "rejected.unscored.rows = 7, share = 0.7 %", "at most 0.7 %"},
		{byShare(0.001), share(2, 1000), engine.Violated, "rejected.unscored.rows = 2, share = 0.2 %", "at most 0.1 %"},
		{byShare(0.5), share(1, 1), engine.Violated, "rejected.unscored.rows = 1, share = 100 %", "at most 50 %"},
		{byShare(1), share(1, 1), engine.Passed, "rejected.unscored.rows = 1, share = 100 %", "at most 100 %"},
	} {
		c.Reject.Name, c.Reject.Range = "unscored", place
		o := &engine.Output{Name: "classified", Rejects: []*engine.Reject{&c.Reject}}
		got, err := Output(o, &engine.Facts{Rejected: map[string]engine.Rejected{"unscored": c.got, "other": {Rows: 99, Share: 1}}}, nil, none)
		same(t, c.bound, got, []engine.Finding{{Output: "classified", Rule: engine.RuleRejected, Status: c.want, Text: "unscored", Observed: c.observed, Bound: c.bound,
			File: place.File, Line: 7}})
		same(t, c.bound, err, nil)
	}
}

// TestOutput: what was measured comes first, then rejects, then expectations, and what can't be read has no expectations to judge.
func TestOutput(t *testing.T) {
	t.Parallel()
	o := &engine.Output{Name: "classified", Range: place, Rejects: []*engine.Reject{{Name: "unscored"}, {Name: "future"}}, Expects: []*engine.Expect{expects("volume", passed)}}
	facts := &engine.Facts{Rejected: map[string]engine.Rejected{"unscored": {Rows: 3}, "future": {}}}
	rules := func(found []engine.Finding) (out []string) {
		for _, f := range found {
			out = append(out, f.Rule+" "+f.Text+" "+f.Status.String())
		}
		return out
	}
	limits := []string{"rejected unscored violated", "rejected future passed"}
	for what, c := range map[string]struct {
		measured []engine.Finding
		facts    *engine.Facts
		want     []string
	}{
		"nothing": {nil, facts, append(slices.Clone(limits), "volume rows >= 1000 passed")},
		"a duplicate key, and a metric that has no value": {
			[]engine.Finding{Measured(o, engine.Violated, engine.RuleKey, "(id)", "2 rows"), Measured(o, engine.Violated, engine.RuleMetric, "rate", "no such column")}, facts,
			append([]string{"key (id) violated", "metric rate violated"}, append(slices.Clone(limits), "volume rows >= 1000 passed")...)},
		"it can't be read": {[]engine.Finding{Measured(o, engine.Violated, engine.RuleColumns, "", "line 3")}, facts, append([]string{"columns  violated"}, limits...)},
		"rows can't be told apart": {[]engine.Finding{Measured(o, engine.Violated, engine.RuleRejected, "", "no such column")}, &engine.Facts{},
			[]string{"rejected  violated", "volume rows >= 1000 passed"}},
		"rejects were not counted": {nil, &engine.Facts{}, []string{"volume rows >= 1000 passed"}},
	} {
		before := slices.Clone(c.measured)
		got, err := Output(o, c.facts, c.measured, none)
		same(t, what, rules(got), c.want)
		same(t, what, err, nil)
		same(t, what+": what was measured", c.measured, before)
	}
}

// TestUnreadable: what can't be read is only told of where no rule needs its rows; no rule passes because nobody could look.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct {
		engine.Output
		want engine.Status
	}{
		"no rules":         {engine.Output{}, engine.Warned},
		"a metric":         {engine.Output{Metrics: []*engine.Metric{{}}}, engine.Warned},
		"a warning":        {engine.Output{Expects: []*engine.Expect{warns(expects("volume", passed))}}, engine.Warned},
		"an expectation":   {engine.Output{Expects: []*engine.Expect{warns(expects("volume", passed)), expects("volume", passed)}}, engine.Violated},
		"a key":            {engine.Output{Key: []string{"id"}}, engine.Violated},
		"a reference":      {engine.Output{References: []engine.Reference{{Column: "id"}}}, engine.Violated},
		"a reject":         {engine.Output{Rejects: []*engine.Reject{{Name: "future"}}}, engine.Violated},
		"promised columns": {engine.Output{Columns: []engine.Column{{Name: "id"}}}, engine.Warned}, // of a source: who measured says so
	} {
		found := Measured(&c.Output, engine.Violated, engine.RuleColumns, "", "line 3")
		found.Status = engine.Warned
		measured := []engine.Finding{found}
		got, err := Output(&c.Output, &engine.Facts{}, measured, func(*engine.Expect) (engine.Scope, error) {
			t.Errorf("%s: an expectation was judged", what)
			return engine.Scope{}, nil
		})
		same(t, what, measured, []engine.Finding{found})
		found.Status = c.want
		same(t, what, got, []engine.Finding{found})
		same(t, what, err, nil)
	}
}

// TestInputColumns: a consumer asks for columns by name, and for values where it says so.
func TestInputColumns(t *testing.T) {
	t.Parallel()
	table := &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: 10, Columns: []engine.ColumnStats{{Name: "ID"}, {Name: "spam", Nulls: 3}}}}
	for what, c := range map[string]struct {
		columns []engine.Column
		facts   *engine.Facts
		want    []string
	}{
		"no columns":                     {nil, table, nil},
		"there":                          {[]engine.Column{{Name: "id"}, {Name: "spam"}}, table, nil},
		"complete":                       {[]engine.Column{{Name: "id", NotNull: true}}, table, nil},
		"of another type":                {[]engine.Column{{Name: "id", Type: "VARCHAR"}}, table, nil},
		"not there":                      {[]engine.Column{{Name: "id"}, {Name: "day"}, {Name: "hour", NotNull: true}}, table, []string{`day: there is no column "day"`, `hour: there is no column "hour"`}},
		"without values":                 {[]engine.Column{{Name: "spam", NotNull: true}}, table, []string{`spam: column "spam" is wanted NOT NULL, and 3 of 10 rows have no value`}},
		"of what was not measured":       {[]engine.Column{{Name: "day"}}, &engine.Facts{}, nil},
		"of what is known to have none":  {[]engine.Column{{Name: "day"}}, &engine.Facts{Fingerprint: &engine.Fingerprint{Rows: -1}}, nil},
		"of an empty table with columns": {[]engine.Column{{Name: "spam", NotNull: true}}, &engine.Facts{Fingerprint: &engine.Fingerprint{Columns: []engine.ColumnStats{{Name: "spam"}}}}, nil},
	} {
		in := &engine.Input{Name: "plays", Columns: c.columns, Range: place, Expects: []*engine.Expect{expects("volume", passed)}}
		got, err := Input(in, c.facts, none)
		var said []string
		for _, f := range got[:len(got)-1] {
			said = append(said, f.Text+": "+f.Reason)
			f.Text, f.Reason = "", ""
			same(t, what, f, engine.Finding{Input: "plays", Rule: engine.RuleColumns, Status: engine.Violated, File: place.File, Line: 7})
		}
		same(t, what, said, c.want)
		same(t, what+": the expectation after", got[len(got)-1].Rule, "volume")
		same(t, what, err, nil)
	}
}

func TestMeasured(t *testing.T) {
	t.Parallel()
	got := Measured(&engine.Output{Name: "classified", Range: place}, engine.Violated, engine.RuleKey, "(id)", "2 rows without a key")
	same(t, "finding", got, engine.Finding{Output: "classified", Rule: "key", Status: engine.Violated, Text: "(id)", Reason: "2 rows without a key", File: place.File, Line: 7})
}

func TestText(t *testing.T) {
	t.Parallel()
	list := []struct {
		engine.Finding
		want string
	}{
		{engine.Finding{Rule: "volume", Text: "rows >= 1000"}, "volume: rows >= 1000"},
		{engine.Finding{Rule: "volume", Text: "rows >= 1000", Observed: "rows = 7"}, "volume: rows = 7"},
		{engine.Finding{Rule: "volume", Text: "rows >= 1000", Observed: "rows = 7", Bound: "at least 1000"}, "volume: rows = 7, want at least 1000"},
		{engine.Finding{Rule: "volume", Text: "rows >= 1000", Bound: "at least 1000"}, "volume: rows >= 1000"},
		{engine.Finding{Rule: "volume", Text: "rows >= 1000", Message: "too few plays"}, "volume: too few plays"},
		{engine.Finding{Rule: "volume", Text: "rows >= 1000", Message: "too few plays", Observed: "rows = 7", Bound: "at least 1000"}, "volume: too few plays: rows = 7, want at least 1000"},
		{engine.Finding{Rule: "volume", Observed: "rows = 7", Reason: "column.x.mean is null", Message: "too few plays"}, "volume: too few plays: column.x.mean is null"},
		{engine.Finding{Rule: engine.RuleRejected, Text: "unscored", Observed: "rejected.unscored.rows = 3", Bound: "at most 0 rows"},
			"rejected unscored: rejected.unscored.rows = 3, want at most 0 rows"},
		{engine.Finding{Rule: engine.RuleRejected, Reason: "no such column"}, "rejected: no such column"},
		{engine.Finding{Rule: engine.RuleKey, Text: "(id)", Reason: "2 rows without a key"}, "key (id): 2 rows without a key"},
		{engine.Finding{Rule: engine.RuleReferences, Text: "id in //p:users", Reason: "//p:users is stale"}, "references id in //p:users: //p:users is stale"},
		{engine.Finding{Rule: engine.RuleMetric, Text: "rate", Reason: "no such column"}, "metric rate: no such column"},
		{engine.Finding{Rule: engine.RuleColumns, Reason: "line 3"}, "columns: line 3"},
	}
	var all []engine.Finding
	for _, c := range list {
		same(t, "text", Text(c.Finding), c.want)
		all = append(all, c.Finding)
	}
	same(t, "two", Texts(all[:2]), "volume: rows >= 1000; volume: rows = 7")
	same(t, "none", Texts(nil), "")
}
