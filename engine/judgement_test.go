package engine

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
)

func finding(rule string, status Status) Finding {
	return Finding{Output: "classified", Rule: rule, Status: status, Text: "rows >= 1000", Observed: "rows = 7", Bound: "at least 1000", Message: "too few", File: "p/pipeline.hcl", Line: 7}
}

// TestFindingSame: what was accepted holds for the same rule and the same value, wherever it stands and however it is said.
func TestFindingSame(t *testing.T) {
	differs := map[string]bool{"Output": true, "Input": true, "Rule": true, "Text": true, "Observed": true, "Reason": true,
		"Status": false, "Bound": false, "Message": false, "File": false, "Line": false, "Broken": false}
	typ := reflect.TypeOf(Finding{})
	if typ.NumField() != len(differs) {
		t.Errorf("a finding has %d fields, and the table %d", typ.NumField(), len(differs))
	}
	for f := range typ.NumField() {
		x, y := finding("volume", Violated), finding("volume", Violated)
		field := reflect.ValueOf(&y).Elem().Field(f)
		switch field.Kind() {
		case reflect.String:
			field.SetString(field.String() + "x")
		case reflect.Int:
			field.SetInt(field.Int() + 1)
		case reflect.Bool:
			field.SetBool(!field.Bool())
		default:
			field.Set(reflect.ValueOf(Warned))
		}
		want, known := differs[typ.Field(f).Name]
		if !known || x == y || x.Same(y) == want || y.Same(x) == want || !y.Same(y) {
			t.Errorf("with another %s it is the same: %v, %v", typ.Field(f).Name, x.Same(y), y.Same(x))
		}
	}
}

func TestFailing(t *testing.T) {
	all := []Finding{finding("a", Passed), finding("b", Violated), finding("c", Warned), finding("d", NotYet), finding("e", Violated)}
	j := Judgement{Findings: slices.Clone(all)}
	if got := j.Failing(); !slices.Equal(got, []Finding{all[1], all[4]}) {
		t.Errorf("failing: %v", got)
	}
	if !slices.Equal(j.Findings, all) {
		t.Error("the findings were changed")
	}
	for _, j := range []Judgement{{}, {Findings: all[:1]}, {Findings: all[2:4]}} {
		if got := j.Failing(); len(got) != 0 {
			t.Errorf("failing: %v", got)
		}
	}
}

func TestSameReads(t *testing.T) {
	sample := func() Judgement {
		return Judgement{Findings: []Finding{finding("a", Passed)}, Prior: []VersionID{{1}, {2}}, Replaced: VersionID{3}, Looked: cache.Digest{4}, Made: time.Unix(1, 0)}
	}
	for what, c := range map[string]struct {
		change func(*Judgement)
		want   bool
	}{
		"nothing":            {func(*Judgement) {}, true},
		"what rules said":    {func(j *Judgement) { j.Findings, j.Outputs, j.Made = nil, []Evidence{{}}, time.Unix(2, 0) }, true},
		"another prior":      {func(j *Judgement) { j.Prior[1] = VersionID{9} }, false},
		"the order of prior": {func(j *Judgement) { slices.Reverse(j.Prior) }, false},
		"one prior less":     {func(j *Judgement) { j.Prior = j.Prior[:1] }, false},
		"replaced":           {func(j *Judgement) { j.Replaced = VersionID{} }, false},
		"looked up":          {func(j *Judgement) { j.Looked = cache.Digest{} }, false},
	} {
		j, k := sample(), sample()
		c.change(&k)
		if j.SameReads(&k) != c.want || k.SameReads(&j) != c.want {
			t.Errorf("%s changed: same reads %v", what, j.SameReads(&k))
		}
	}
	if !(&Judgement{}).SameReads(&Judgement{Prior: []VersionID{}}) {
		t.Error("nothing read and nothing read differ")
	}
}

// TestCovers: an acceptance is for the failing rules that were there, or fewer of them.
func TestCovers(t *testing.T) {
	a, b, c := finding("a", Violated), finding("b", Violated), finding("c", Violated)
	moved, other := a, a
	moved.Line, moved.Message = 99, "said otherwise"
	other.Observed = "rows = 8"
	for what, x := range map[string]struct {
		accepted, failing []Finding
		want              bool
	}{
		"the same": {[]Finding{a, b}, []Finding{a, b}, true}, "in another order": {[]Finding{a, b}, []Finding{b, a}, true}, "fewer": {[]Finding{a, b}, []Finding{b}, true},
		"none any more": {[]Finding{a}, nil, true}, "one more": {[]Finding{a, b}, []Finding{a, b, c}, false}, "another": {[]Finding{a}, []Finding{b}, false},
		"moved": {[]Finding{a}, []Finding{moved}, true}, "another value": {[]Finding{a}, []Finding{other}, false}, "nothing was accepted": {nil, []Finding{a}, false},
	} {
		if got := (&Acceptance{Findings: x.accepted}).Covers(x.failing); got != x.want {
			t.Errorf("%s: covered %v", what, got)
		}
		if (&Acceptance{Findings: x.accepted, Revoked: true}).Covers(x.failing) {
			t.Errorf("%s: covered by what takes it back", what)
		}
	}
}

// TestStatusText: what is written is read again, and nothing else.
func TestStatusText(t *testing.T) {
	for want, s := range map[string]Status{"passed": Passed, "not yet": NotYet, "warned": Warned, "violated": Violated} {
		b, err := json.Marshal(s)
		var read Status
		if err != nil || string(b) != `"`+want+`"` || s.String() != want || json.Unmarshal(b, &read) != nil || read != s {
			t.Errorf("%s is written %s (%v), and read %d", want, b, err, read)
		}
	}
	for _, s := range []Status{0, Violated + 1, 255} {
		if b, err := json.Marshal(s); err == nil {
			t.Errorf("%d is written %s", s, b)
		}
	}
	for _, text := range []string{"", "Passed", "perhaps"} {
		s := Violated
		if err := s.UnmarshalText([]byte(text)); err == nil || s != Violated || !strings.Contains(err.Error(), "there is no status") {
			t.Errorf("%q is read as %d, %v", text, s, err)
		}
	}
}
