package ledger

import (
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

var rules = cache.SectionDigest{8}

func number(v float64) *float64 { return &v }

func text(s string) *string { return &s }

func sampleSplit() engine.Split {
	return engine.Split{Problem: "no column spam", Broken: true, Visible: cache.TreeDigest{1}, Quarantine: cache.TreeDigest{2}, Rows: 1000,
		Rejected: map[string]engine.Rejected{"unscored": {Rows: 3, Share: 0.003}, "unreadable": {}},
		Samples:  map[string][]string{"unscored": {`{"id":1,"größe":null}`, "1,<x>"}}}
}

func sampleFingerprint() engine.Fingerprint {
	return engine.Fingerprint{Schema: engine.FingerprintSchema, Rows: 4, Bytes: 200, Files: 1, Digest: "00ff", Unreadable: "a.csv:2: no", Columns: []engine.ColumnStats{
		{Name: "größe", Type: "DOUBLE", Nulls: 1, Distinct: 3, DistinctError: 0.01, NaNs: 1, Infinities: 1, Min: text("-inf"), Max: text("0.1"), Mean: number(0.1), Stddev: number(0),
			Quantiles: []engine.Quantile{{P: 0.5, Value: "0.1"}}, QuantileError: 0.005, Entropy: number(1.5), Top: []engine.Frequent{{Value: "0.1", Rows: 2}}, Digest: "0a"},
		{Name: "empty", Type: "VARCHAR", Nulls: 4, Digest: "0b"},
	}}
}

func sampleJudgement() engine.Judgement {
	return engine.Judgement{Made: started, Prior: []engine.VersionID{{5}, {4}}, Replaced: engine.VersionID{6}, Looked: cache.Digest{7}, Unmeasured: true,
		Findings: []engine.Finding{
			{Broken: true, Output: "classified", Rule: "plausible", Status: engine.Violated, Text: "metric.spam_rate <= 0.3", Observed: "metric.spam_rate = 0.42", Bound: "at most 0.3",
				Message: "too much spam", File: "spam/pipeline.hcl", Line: 7},
			{Output: "classified", Rule: "no_jump", Status: engine.NotYet, Reason: "there is no version before"},
			{Output: "classified", Rule: "volume", Status: engine.Warned}, {Output: "classified", Rule: "rows", Status: engine.Passed},
		},
		Outputs: []engine.Evidence{{Name: "classified", Metrics: map[string]*float64{"spam_rate": number(0.42), "nothing": nil},
			Rejected: map[string]engine.Rejected{"unscored": {Rows: 3, Share: 0.003}}}}}
}

func sampleAcceptance() engine.Acceptance {
	j := sampleJudgement()
	return engine.Acceptance{Current: engine.VersionID{9}, Label: label, Partition: day, Input: "plays", Subject: cache.Digest{1}, Version: engine.VersionID{2}, Time: started, Reason: "a holiday",
		Findings: j.Failing(), By: engine.Provenance{Commit: "7705cf4", User: "ada", Host: "laptop"}}
}

func TestSplits(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	id := cache.SectionDigest{1}
	_, ok, err := l.Split(id)
	same(t, "before", ok, false, err)
	without := engine.Split{Visible: cache.TreeDigest{9}, Rejected: map[string]engine.Rejected{"unscored": {}}}
	for _, want := range []engine.Split{sampleSplit(), without} { // the last counts: what was split again, as its bytes were gone, is what is there
		write(t, l, func(tx *Tx) error {
			return errors.Join(tx.PutSplit(id, want), tx.PutSplit(cache.SectionDigest{2}, engine.Split{Rows: 7}))
		})
		for _, x := range []*Ledger{l, openLedger(t, dir)} {
			got, ok, err := x.Split(id)
			same(t, "split", got, want, err)
			same(t, "found", ok, true, nil)
		}
	}
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	id, opaque := cache.SectionDigest{1}, cache.SectionDigest{2}
	got, ok, err := l.Fingerprint(id)
	same(t, "before", got, engine.Fingerprint{}, err)
	same(t, "found", ok, false, nil)
	state, err := l.FingerprintState(id)
	same(t, "state", state, nil, err)
	later := sampleFingerprint()
	later.Rows++
	files := engine.Fingerprint{Schema: "1", Rows: -1, Bytes: 5, Files: 2}
	write(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutFingerprint(id, sampleFingerprint(), []byte("state\x00\xff")), tx.PutFingerprint(id, later, nil), tx.PutFingerprint(opaque, files, nil))
	})
	for _, x := range []*Ledger{l, openLedger(t, dir)} {
		got, ok, err := x.Fingerprint(id)
		same(t, "the first", got, sampleFingerprint(), err)
		same(t, "found", ok, true, nil)
		state, err := x.FingerprintState(id)
		same(t, "its state", state, []byte("state\x00\xff"), err)
		got, _, err = x.Fingerprint(opaque)
		same(t, "of no table", got, files, err)
		state, err = x.FingerprintState(opaque)
		same(t, "an empty state", state, []byte{}, err)
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	values := []*float64{nil, number(0), number(math.Copysign(0, -1)), number(0.1), number(-1e300), number(math.SmallestNonzeroFloat64), number(1 << 60)}
	for k, v := range values {
		write(t, l, func(tx *Tx) error {
			return errors.Join(tx.PutMetric(cache.SectionDigest{byte(k)}, v), tx.PutMetric(cache.SectionDigest{byte(k)}, number(7))) // the first counts
		})
	}
	for _, x := range []*Ledger{l, openLedger(t, dir)} {
		for k, want := range values {
			got, ok, err := x.Metric(cache.SectionDigest{byte(k)})
			same(t, "value", got, want, err)
			same(t, "found", ok, true, nil)
		}
	}
	_, ok, err := l.Metric(cache.SectionDigest{99})
	same(t, "of an id that nothing has", ok, false, err)
}

// TestNoNumber: what is no number never enters the ledger, as it could not be read again.
func TestNoNumber(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if err := l.Write(t.Context(), func(tx *Tx) error { return tx.PutMetric(cache.SectionDigest{1}, &v) }); err == nil {
			t.Errorf("%v was recorded", v)
		}
		_, ok, err := l.Metric(cache.SectionDigest{1})
		same(t, "found", ok, false, err)
	}
}

func TestJudgements(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	subject := engine.VersionID{1}
	first, again, stricter := sampleJudgement(), engine.Judgement{Made: started.Add(time.Hour)}, engine.Judgement{Made: started.Add(time.Minute), Replaced: engine.VersionID{9}}
	put := func(environment string, subject engine.VersionID, rules cache.SectionDigest, j engine.Judgement) {
		write(t, l, func(tx *Tx) error { return tx.PutJudgement(environment, subject, rules, j) })
	}
	check := func(what string, rules cache.SectionDigest, want, last engine.Judgement) {
		t.Helper()
		for _, x := range []*Ledger{l, openLedger(t, dir)} {
			got, ok, err := x.Judgement("here", subject, rules)
			same(t, what, got, want, err)
			same(t, what, ok, true, nil)
			got, ok, err = x.LastJudgement("here", subject)
			same(t, what+": the last", got, last, err)
			same(t, what+": the last", ok, true, nil)
		}
	}
	put("there", subject, rules, stricter)
	put("here", engine.VersionID{2}, rules, stricter)
	for _, environment := range []string{"here", "nowhere"} {
		got, ok, err := l.Judgement(environment, subject, rules)
		same(t, "before", got, engine.Judgement{}, err)
		same(t, "before", ok, false, nil)
		_, ok, err = l.LastJudgement(environment, subject)
		same(t, "before", ok, false, err)
	}
	put("here", subject, rules, first)
	check("the first", rules, first, first)
	put("here", subject, cache.SectionDigest{9}, stricter)
	check("under other rules", cache.SectionDigest{9}, stricter, stricter)
	check("the first, still", rules, first, stricter)
	put("here", subject, rules, again)
	check("made again", rules, again, again)
	check("under other rules, still", cache.SectionDigest{9}, stricter, again)
}

// TestUnreadableStatus: a finding that came to nothing is not recorded, as it could not be read again.
func TestUnreadableStatus(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	err := l.Write(t.Context(), func(tx *Tx) error {
		return tx.PutJudgement("here", engine.VersionID{1}, rules, engine.Judgement{Findings: []engine.Finding{{Rule: "volume"}}})
	})
	if err == nil {
		_, _, err := l.Judgement("here", engine.VersionID{1}, rules)
		t.Errorf("it was recorded, and is read: %v", err)
	}
}

func TestAcceptances(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	first := sampleAcceptance()
	revoked := first
	revoked.Revoked, revoked.Findings, revoked.Reason = true, nil, "a mistake"
	other := sampleAcceptance()
	other.Partition, other.Input = "day=2017-06-16", ""
	whole := sampleAcceptance()
	whole.Label.Name, whole.Partition = "users", ""
	for _, x := range []struct {
		workspace, environment string
		engine.Acceptance
	}{
		{"soundcloud", "here", first}, {"soundcloud", "here", other}, {"soundcloud", "there", other}, {"another", "here", whole}, {"soundcloud", "here", whole},
		{"soundcloud", "here", revoked}, {"soundcloud", "here", first},
	} {
		write(t, l, func(tx *Tx) error { return tx.PutAcceptance(x.workspace, x.environment, x.Acceptance) })
	}
	for _, x := range []struct {
		workspace, environment string
		label                  engine.Label
		partition              string
		want, all              []engine.Acceptance // newest first
	}{
		{"soundcloud", "here", label, day, []engine.Acceptance{first, revoked, first}, []engine.Acceptance{first, revoked, whole, other, first}},
		{"soundcloud", "here", label, other.Partition, []engine.Acceptance{other}, []engine.Acceptance{first, revoked, whole, other, first}},
		{"soundcloud", "there", label, day, nil, []engine.Acceptance{other}},
		{"another", "here", whole.Label, "", []engine.Acceptance{whole}, []engine.Acceptance{whole}},
		{"another", "here", label, day, nil, []engine.Acceptance{whole}},
		{"another", "there", whole.Label, "", nil, nil},
		{"soundcloud", "nowhere", label, day, nil, nil},
		{"nowhere", "here", label, day, nil, nil},
	} {
		for _, l := range []*Ledger{l, openLedger(t, dir)} {
			got, err := l.Acceptances(x.workspace, x.environment, x.label, x.partition)
			same(t, x.workspace+" "+x.environment+" "+x.label.At(x.partition), got, x.want, err)
			got, err = l.AllAcceptances(x.workspace, x.environment)
			same(t, x.workspace+" "+x.environment, got, x.all, err)
		}
	}
}

// TestEmptyShape: a pointer of before there were shapes has none, whatever the pointer before it has.
func TestEmptyShape(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	days := []string{"day=1", "day=2", "day=3"}
	write(t, l, func(tx *Tx) error {
		for _, day := range days {
			v := sampleVersion(1)
			v.Partition = day
			if err := tx.Point("here", v, shape, visible(v)); err != nil {
				return err
			}
		}
		return tx.exec("UPDATE pointer SET shape = x'' WHERE partition = 'day=2'")
	})
	var got []cache.SectionDigest
	for _, c := range currents(t, l, "here") {
		got = append(got, c.Shape)
	}
	same(t, "shapes", got, []cache.SectionDigest{shape, {}, shape}, nil)
}

// TestContractsRollBack: an error leaves nothing of what contracts record.
func TestContractsRollBack(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	wrong := errors.New("wrong")
	id := cache.SectionDigest{1}
	err := l.Write(t.Context(), func(tx *Tx) error {
		return errors.Join(tx.PutSplit(id, sampleSplit()), tx.PutFingerprint(id, sampleFingerprint(), nil), tx.PutMetric(id, nil),
			tx.PutJudgement("here", engine.VersionID{1}, rules, sampleJudgement()), tx.PutAcceptance("soundcloud", "here", sampleAcceptance()), wrong)
	})
	if !errors.Is(err, wrong) || err.Error() != "ledger: wrong" {
		t.Errorf("error %v", err)
	}
	_, split, err1 := l.Split(id)
	_, fingerprint, err2 := l.Fingerprint(id)
	_, metric, err3 := l.Metric(id)
	_, judgement, err4 := l.LastJudgement("here", engine.VersionID{1})
	all, err5 := l.AllAcceptances("soundcloud", "here")
	got := []bool{split, fingerprint, metric, judgement, all != nil}
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || slices.Contains(got, true) {
		t.Errorf("what is there: %v, %v", got, err)
	}
}

// TestDamagedJudgement is told: what rules said is never guessed.
func TestDamagedJudgement(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	write(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutJudgement("here", engine.VersionID{1}, rules, sampleJudgement()), tx.PutAcceptance("soundcloud", "here", sampleAcceptance()),
			tx.exec(`UPDATE judgement SET body = replace(body, '"violated"', '"perhaps"')`), tx.exec(`UPDATE acceptance SET body = replace(body, '"reason"', '"because"')`))
	})
	_, _, err1 := l.Judgement("here", engine.VersionID{1}, rules)
	_, err2 := l.Acceptances("soundcloud", "here", label, day)
	for _, err := range []error{err1, err2} {
		if err == nil {
			t.Error("damage was taken for a record")
		}
	}
}

// TestSamplesAreFull: the samples that are pinned and come back set each field.
func TestSamplesAreFull(t *testing.T) {
	t.Parallel()
	j, a := sampleJudgement(), sampleAcceptance()
	a.Revoked = true // the sample is none
	j.Findings[0].Reason, j.Findings[0].Input = "x", "x"
	f := sampleFingerprint()
	for _, v := range []any{sampleSplit(), f, f.Columns[0], j, j.Findings[0], j.Outputs[0], a} {
		typ := reflect.TypeOf(v)
		for k := range typ.NumField() {
			if reflect.ValueOf(v).Field(k).IsZero() {
				t.Errorf("the sample does not set %s.%s", typ.Name(), typ.Field(k).Name)
			}
		}
	}
}
