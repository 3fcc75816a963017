package run

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// factsOf looks up what was measured of an output; nil if it was not.
func (s *Session) factsOf(m plan.Made) (*engine.Facts, error) {
	f, ok, err := s.known(m.Content)
	if err != nil || !ok {
		return nil, err
	}
	return s.factsBy(m, &f.Fingerprint)
}

// factsBy adds what is known of metrics and rejects to a fingerprint.
func (s *Session) factsBy(m plan.Made, f *engine.Fingerprint) (facts *engine.Facts, err error) {
	facts = &engine.Facts{Fingerprint: f}
	if facts.Metrics, err = s.metricsOf(m); err != nil {
		return nil, err
	}
	facts.Rejected, err = s.rejectedOf(m)
	return facts, err
}

// metricsOf looks up the metrics of an output that are known.
func (s *Session) metricsOf(m plan.Made) (map[string]*float64, error) {
	var written cache.Digest
	out := map[string]*float64{}
	for _, metric := range m.Output.Metrics {
		if metric.SQL == "" && written.IsZero() {
			r, _, err := s.result(m.Key)
			if err != nil {
				return nil, err
			}
			written = r.Metrics
		}
		v, ok, err := s.metric(m.MetricID(metric, m.Key, written, duckdb.Version()))
		if err != nil {
			return nil, err
		}
		if ok {
			out[metric.Name] = v
		}
	}
	return out, nil
}

func (s *Session) rejectedOf(m plan.Made) (map[string]engine.Rejected, error) {
	if m.Output.Rejects == nil {
		return nil, nil
	}
	raw := m.Content
	raw.Tree = m.Raw
	split, _, err := s.split(raw.SplitID(duckdb.Version()))
	return split.Rejected, err
}

// mergedFacts are the facts of what an edge selects, and of each partition. It is false where one was not measured.
func (s *Session) mergedFacts(d *plan.Decider, e *graph.Edge, producer []int) (*engine.Facts, []*engine.Facts, bool, error) {
	list := make([]plan.Made, len(producer))
	for k, j := range producer {
		if err := s.observed(e, j); err != nil {
			return nil, nil, false, err
		}
		list[k] = made(d, e, j)
	}
	return s.mergeSelected(e, list)
}

// mergeSelected merges what an edge selects, which may be nothing.
func (s *Session) mergeSelected(e *graph.Edge, made []plan.Made) (*engine.Facts, []*engine.Facts, bool, error) {
	if len(made) == 0 {
		return nothing(e), nil, true, nil
	}
	return s.merge(made)
}

// observed makes the fingerprint of a source that is no table known: its tree is that of the files, which nobody may have read yet.
func (s *Session) observed(e *graph.Edge, j int) error {
	if e.From.Target.Kind != engine.Source || isTable(e.Output) {
		return nil
	}
	snapshot, err := s.snapshot(e.From, e.From.Target.Path, j)
	if err != nil {
		return err
	}
	f, state := fingerprint.Opaque(snapshot.Tree.Files(), snapshot.Tree.Size())
	c := engine.Content{Output: e.Output, Tree: snapshot.Digest()}
	s.unwritten.add(fingerprintKey(c.FingerprintID()), measured{*f, state})
	return nil
}

// nothing are the facts of an empty selection: an empty table with the columns that are declared.
func nothing(e *graph.Edge) *engine.Facts {
	f, _, _ := fingerprint.Merge() // can't fail: there is nothing to merge
	columns := e.Input.Columns
	if columns == nil {
		columns = e.Output.Columns
	}
	for _, c := range columns {
		f.Columns = append(f.Columns, engine.ColumnStats{Name: c.Name, Type: c.Type})
	}
	return &engine.Facts{Fingerprint: f}
}

// merge looks up the facts of several contents and merges them, without reading data again. Metrics and shares of rejects are those of one partition only.
func (s *Session) merge(made []plan.Made) (*engine.Facts, []*engine.Facts, bool, error) {
	parts := make([]*engine.Facts, len(made))
	states := make([]fingerprint.State, len(made))
	for k, m := range made {
		f, ok, err := s.known(m.Content)
		if err != nil || !ok {
			return nil, nil, false, err
		}
		if parts[k], err = s.factsBy(m, &f.Fingerprint); err != nil || len(made) == 1 {
			return parts[k], parts, err == nil, err
		}
		if states[k], err = s.state(m.FingerprintID(), f); err != nil {
			return nil, nil, false, err
		}
	}
	merged, _, err := fingerprint.Merge(states...)
	if err != nil {
		return nil, nil, false, err
	}
	return &engine.Facts{Fingerprint: merged, Rejected: sumRejected(parts)}, parts, true, nil
}

// known finds the fingerprint of a content. That of what is no table follows from its tree.
func (s *Session) known(c engine.Content) (measured, bool, error) {
	f, ok, err := s.fingerprint(c.FingerprintID())
	if err != nil || ok || isTable(c.Output) {
		return f, ok, err
	}
	t, err := s.Store.GetTree(context.Background(), c.Tree)
	if errors.Is(err, cache.ErrMissing) {
		return f, false, nil
	}
	doc, state := fingerprint.Opaque(t.Files(), t.Size())
	return measured{*doc, state}, err == nil, err
}

// sumRejected adds up what was rejected of several partitions.
func sumRejected(parts []*engine.Facts) map[string]engine.Rejected {
	out := map[string]engine.Rejected{}
	before := map[string]float64{} // rows
	for _, p := range parts {
		for name, r := range p.Rejected {
			sum := out[name]
			sum.Rows += r.Rows
			out[name] = sum
			if r.Share > 0 {
				before[name] += float64(r.Rows) / r.Share
			} else {
				before[name] += float64(max(p.Rows, 0))
			}
		}
	}
	for name, sum := range out {
		if before[name] > 0 {
			sum.Share = float64(sum.Rows) / before[name]
			out[name] = sum
		}
	}
	return out
}

func (s *Session) madeOf(id engine.VersionID, n *graph.Node, o *engine.Output) (m plan.Made, ok bool, err error) {
	v, ok, err := s.version(id)
	if err != nil || !ok {
		return m, false, err
	}
	r, _, err := s.result(v.Key)
	if err != nil {
		return m, false, err
	}
	t, declared, err := s.declaredThen(n.Target, o, &r)
	if err != nil {
		return m, false, err
	}
	for _, out := range v.Outputs {
		if out.Name == o.Name {
			m = plan.Made{Content: engine.Content{Output: declared, Tree: out.Visible, Columns: t.ReaderColumns(declared, outputOf(&r, o.Name).Columns), Partition: v.Partition},
				Raw: out.Raw, Key: v.Key}
			return m, true, nil
		}
	}
	return m, false, nil
}

// declaredThen is an output as it was declared when a result was made, with the metrics and rejects of now: what is read otherwise now was not written so. Of sources,
// and of results that are not recorded yet, it is what is declared now.
func (s *Session) declaredThen(t *engine.Target, o *engine.Output, r *engine.Result) (*engine.Target, *engine.Output, error) {
	k := slices.IndexFunc(r.Parts, func(p engine.Part) bool { return p.Name == "target" })
	if k < 0 {
		return t, o, nil
	}
	then, err := s.declarationOf(r.Parts[k].Digest)
	if err != nil || then == nil || then.Output(o.Name) == nil {
		return t, o, err
	}
	declared := *then.Output(o.Name)
	declared.Metrics, declared.Rejects = o.Metrics, o.Rejects
	return then, &declared, nil
}

// declarationOf reads a target section of the ledger, once; nil if it is not there yet.
func (s *Session) declarationOf(d cache.SectionDigest) (*engine.Target, error) {
	s.mu.Lock()
	t, ok := s.declarations[d]
	s.mu.Unlock()
	if ok {
		return t, nil
	}
	entries, err := s.Ledger.Section(d)
	if errors.Is(err, ledger.ErrNoSection) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	t = declaration(entries)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.declarations[d] = t
	return t, nil
}

// priorOfInput are the merged facts of what the consumer's preceding partitions select over an edge, of the versions that current names, the nearest first. Partitions of
// which something was never accepted don't count.
func (s *Session) priorOfInput(e *graph.Edge, i, want int) (facts []*engine.Facts, read []engine.VersionID, err error) {
	for k := 1; len(facts) < want; k++ {
		before, ok := e.To.Set.Before(i, k)
		if !ok {
			return facts, read, nil
		}
		var made []plan.Made
		var ids []engine.VersionID
		whole := true
		for j := range e.Inputs(before).All() {
			id := s.Current(e.From, j)
			m, ok, err := s.madeOf(id, e.From, e.From.Target.Outputs[plan.OutputIndex(e)])
			if err != nil {
				return nil, nil, err
			}
			whole = whole && ok
			made, ids = append(made, m), append(ids, id)
		}
		if !whole || made == nil {
			continue
		}
		merged, _, ok, err := s.merge(made)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			merged = &engine.Facts{} // known to be there, and not measured as it is read now
		}
		facts, read = append(facts, merged), append(read, ids...)
	}
	return facts, read, nil
}

// replacedInput are the facts of what a version read over an edge; nil if that is not known. Metrics that read the producer's own inputs are left out.
func (s *Session) replacedInput(e *graph.Edge, id engine.VersionID) (*engine.Facts, error) {
	v, ok, err := s.version(id)
	if err != nil || !ok {
		return nil, err
	}
	r, _, err := s.result(v.Key)
	if err != nil {
		return nil, err
	}
	entries, err := s.inputEntries(&r, e.Input.Name)
	if err != nil {
		return nil, err
	}
	facts, _, _, err := s.merge(contents(entries, e.From.Target.Outputs[plan.OutputIndex(e)], e.From.Target))
	return facts, err
}

// inputEntries are those of an input's section in the key of a result; none if it has no such input.
func (s *Session) inputEntries(r *engine.Result, input string) ([]engine.Entry, error) {
	k := slices.IndexFunc(r.Parts, func(p engine.Part) bool { return p.Name == "input "+input })
	if k < 0 {
		return nil, nil
	}
	return s.Ledger.Section(r.Parts[k].Digest)
}

// enters reads the partition and tree of an entry, if it is one of those.
func enters(e engine.Entry) (engine.InputPart, bool) {
	partition, ok := strings.CutPrefix(e.Name, "@")
	if !ok || len(e.Value) != len(cache.TreeDigest{}) {
		return engine.InputPart{}, false
	}
	return engine.InputPart{Partition: partition, Tree: cache.TreeDigest([]byte(e.Value))}, true
}

// contents reads the partitions and trees of an input from its section of a key, with the columns that it was read by.
func contents(entries []engine.Entry, o *engine.Output, from *engine.Target) (out []plan.Made) {
	var columns []engine.Column
	for _, entry := range entries {
		if name, ok := strings.CutPrefix(entry.Name, "column "); ok {
			columns = append(columns, engine.ReadColumn(name, entry.Value))
		}
		part, ok := enters(entry)
		if !ok {
			continue
		}
		c := engine.Content{Output: o, Tree: part.Tree, Columns: from.ReaderColumns(o, columns), Partition: part.Partition}
		out = append(out, plan.Made{Content: c, Raw: c.Tree})
	}
	return out
}

// errUnmeasured says that something has no fingerprint.
var errUnmeasured = errors.New("it was not measured while its bytes were there")
