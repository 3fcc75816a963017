package run

import (
	"errors"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// factsOf looks up what was measured of an output; nil if it was not. What is known of metrics and rejects is taken along.
func (s *Session) factsOf(m plan.Made) (*engine.Facts, error) {
	f, ok, err := s.fingerprint(m.FingerprintID())
	if err != nil || !ok {
		return nil, err
	}
	facts := &engine.Facts{Fingerprint: &f.Fingerprint}
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
		list[k] = made(d, e, j)
	}
	return s.merge(list)
}

// merge looks up the facts of several contents and merges them, without reading data again. Metrics and shares of rejects are those of one partition only.
func (s *Session) merge(made []plan.Made) (*engine.Facts, []*engine.Facts, bool, error) {
	parts := make([]*engine.Facts, len(made))
	states := make([]fingerprint.State, len(made))
	for k, m := range made {
		var err error
		if parts[k], err = s.factsOf(m); err != nil || parts[k] == nil {
			return nil, nil, false, err
		}
		if len(made) == 1 {
			return parts[k], parts, true, nil
		}
		if states[k], err = s.mergeable(m); err != nil {
			return nil, nil, false, err
		}
	}
	merged, _, err := fingerprint.Merge(states...)
	if err != nil {
		return nil, nil, false, err
	}
	return &engine.Facts{Fingerprint: merged, Rejected: sumRejected(parts)}, parts, true, nil
}

// mergeable is the state of a content's fingerprint.
func (s *Session) mergeable(m plan.Made) (fingerprint.State, error) {
	f, _, err := s.fingerprint(m.FingerprintID())
	if err != nil {
		return nil, err
	}
	return s.state(m.FingerprintID(), f)
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

// factsOfVersion looks up the facts of one output of a version; nil if it was not measured, or has no such output.
func (s *Session) factsOfVersion(id engine.VersionID, n *graph.Node, o *engine.Output) (*engine.Facts, error) {
	made, ok, err := s.madeOf(id, n, o)
	if err != nil || !ok {
		return nil, err
	}
	return s.factsOf(made)
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
	for _, out := range v.Outputs {
		if out.Name == o.Name {
			m = plan.Made{Content: engine.Content{Output: o, Tree: out.Visible, Columns: n.Target.ReaderColumns(o, outputOf(&r, o.Name).Columns), Partition: v.Partition},
				Raw: out.Raw, Key: v.Key}
			return m, true, nil
		}
	}
	return m, false, nil
}

// priorOfInput are the merged facts of what the consumer's preceding partitions select over an edge, of the versions that current names, the nearest first. Partitions of
// which something was never accepted, or not measured, don't count.
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
		if ok {
			facts, read = append(facts, merged), append(read, ids...)
		}
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
	output := e.From.Target.Outputs[plan.OutputIndex(e)]
	var made []plan.Made
	for _, p := range r.Parts {
		if p.Name != "input "+e.Input.Name {
			continue
		}
		entries, err := s.Ledger.Section(p.Digest)
		if err != nil {
			return nil, err
		}
		made = append(made, contents(entries, output, e.From.Target)...)
	}
	facts, _, _, err := s.merge(made)
	return facts, err
}

// contents reads the partitions and trees of an input from its section of a key, with the columns that it was read by.
func contents(entries []engine.Entry, o *engine.Output, from *engine.Target) (out []plan.Made) {
	var columns []engine.Column
	for _, entry := range entries {
		if name, ok := strings.CutPrefix(entry.Name, "column "); ok {
			c := engine.Column{Name: name, Type: entry.Value}
			c.Type, c.NotNull = strings.CutSuffix(c.Type, " NOT NULL")
			columns = append(columns, c)
		}
		partition, ok := strings.CutPrefix(entry.Name, "@")
		if !ok || len(entry.Value) != len(cache.TreeDigest{}) {
			continue
		}
		c := engine.Content{Output: o, Tree: cache.TreeDigest([]byte(entry.Value)), Columns: from.ReaderColumns(o, columns), Partition: partition}
		out = append(out, plan.Made{Content: c, Raw: c.Tree})
	}
	return out
}

// errUnmeasured says that something has no fingerprint.
var errUnmeasured = errors.New("it was not measured while its bytes were there")
