package engine

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/cache"
)

// Shape identifies the rules on a target: all but the key that decides what becomes of a result. An action is fresh while key and shape are those that
// current was judged by. Messages and owners are no part of it. producers lists, by input, the outputs that inputs come from, nil of files, and lookups the columns that references
// look values up in; engine is the SQL engine's version.
func (t *Target) Shape(producers []*Output, lookups []Column, engine string) cache.SectionDigest {
	var s Section
	s.Add("fingerprint", FingerprintSchema)
	usesEngine := false
	for _, o := range t.Outputs {
		o.describeRules(&s)
		usesEngine = usesEngine || len(o.Metrics) > 0 || len(o.Rejects) > 0 || o.Key != nil || o.References != nil
	}
	for _, c := range lookups {
		s.Add("lookup "+c.Name, c.spell())
	}
	for k, in := range t.Inputs {
		if !in.HasRules() && !t.namesInputs() {
			continue
		}
		s.Add("input", in.Name)
		for _, c := range in.Columns {
			s.Add("column "+c.Name, c.spell())
		}
		if from := producers[k]; from != nil {
			describeMetrics(&s, from.Metrics)
			for _, c := range from.Columns {
				s.Add("producer's column "+c.Name, c.spell())
			}
		}
		describeExpects(&s, in.Expects)
	}
	if usesEngine {
		s.Add("engine", engine)
	}
	return s.Digest()
}

func (o *Output) describeRules(s *Section) {
	s.Add("output", o.Name)
	for _, c := range o.Columns {
		s.Add("column "+c.Name, c.spell())
	}
	for _, name := range o.Key {
		s.Add("key", name)
	}
	for _, r := range o.References {
		s.Add("references "+r.Column, r.To.String())
	}
	for _, r := range o.Rejects {
		r.describe(s)
		s.Add("limit", r.LimitText())
	}
	describeMetrics(s, o.Metrics)
	describeExpects(s, o.Expects)
}

func describeMetrics(s *Section, metrics []*Metric) {
	for _, m := range metrics {
		s.Add("metric "+m.Name, m.SQL)
	}
}

func describeExpects(s *Section, expects []*Expect) {
	for _, x := range expects {
		s.Add("expect "+x.Name, x.That)
		s.Add("prior", strconv.Itoa(x.Prior))
		s.Add("warn", strconv.FormatBool(x.Warn))
	}
}

// describe writes which rows a reject takes out, without the agreed limit.
func (r *Reject) describe(s *Section) {
	s.Add("reject "+r.Name, r.Where)
	s.Add("unreadable", strconv.FormatBool(r.Unreadable))
}

// LimitText writes the agreed limit: a number of rows, or a share.
func (r *Reject) LimitText() string {
	if r.IsShare {
		return strconv.FormatFloat(r.LimitShare*100, 'g', 9, 64) + "%"
	}
	return strconv.FormatInt(r.LimitRows, 10)
}

// HasRules says whether a result has to be measured before it is known to be good: of what a person wrote, not of the columns.
func (t *Target) HasRules() bool {
	for _, o := range t.Outputs {
		if len(o.Expects) > 0 || len(o.Rejects) > 0 || o.Key != nil || o.References != nil || len(o.Metrics) > 0 {
			return true
		}
	}
	return false
}

// Splits says whether consumers may see something else than what was made: an output has rejects.
func (t *Target) Splits() bool {
	return slices.ContainsFunc(t.Outputs, func(o *Output) bool { return o.Rejects != nil })
}

// ReaderColumns is the schema with which a target's own output is read: of text, the types of the SQL that wrote it, else what is declared; of Parquet that SQL
// wrote, the file's own.
func (t *Target) ReaderColumns(o *Output, made []Column) []Column {
	switch {
	case t.Kind == SQL && o.Format == Parquet:
		return nil
	case t.Kind == SQL && made != nil:
		return made
	}
	return o.Columns
}

// namesInputs says whether a rule on an output names an input.
func (t *Target) namesInputs() bool {
	return slices.ContainsFunc(t.Outputs, func(o *Output) bool {
		return slices.ContainsFunc(o.Expects, func(x *Expect) bool { return x.UsesRoot("input") })
	})
}

// HasRules says whether what a producer brings has to be judged for this consumer.
func (in *Input) HasRules() bool {
	return len(in.Expects) > 0 || in.Columns != nil && len(in.Files) == 0 && !in.From.Quarantine
}

// Content is one output's tree as its reader takes it: what fingerprints and metrics are functions of.
type Content struct {
	Output    *Output
	Tree      cache.TreeDigest
	Columns   []Column // the reader's schema; nil if the files hold it
	Partition string   // the action's, which SQL may name
}

func (c Content) describe(s *Section) {
	s.Add("tree", string(c.Tree[:]))
	s.Add("format", c.Output.Format.String())
	s.Add("compression", c.Output.Compression)
	for _, col := range c.Columns {
		s.Add("column "+col.Name, col.spell())
	}
}

// FingerprintID is what a fingerprint is found by.
func (c Content) FingerprintID() cache.SectionDigest {
	var s Section
	s.Add("fingerprint", FingerprintSchema)
	c.describe(&s)
	return s.Digest()
}

// splitSchema changes when dpb writes other bytes for the same split.
const splitSchema = "1"

// SplitID is what the split of a raw tree is found by.
func (c Content) SplitID(engine string) cache.SectionDigest {
	var s Section
	s.Add("split", splitSchema)
	s.Add("engine", engine)
	s.Add("partition", c.Partition)
	for _, r := range c.Output.Rejects {
		r.describe(&s)
	}
	c.describe(&s)
	return s.Digest()
}

// MetricID is what a metric's value is found by. made is the result's key, which stands for all inputs, and written the file that the job wrote metrics to.
func (c Content) MetricID(m *Metric, made cache.ActionKey, written cache.Digest, engine string) cache.SectionDigest {
	var s Section
	s.Add("metric", m.SQL)
	s.Add("partition", c.Partition)
	switch {
	case m.SQL == "":
		s.Add("written "+c.Output.Name+"."+m.Name, string(written[:]))
		return s.Digest()
	case m.ReadsInputs():
		s.Add("made", string(made[:]))
	}
	s.Add("engine", engine)
	c.describe(&s)
	return s.Digest()
}

// ContentOf identifies what consumers would see of a version, whatever the order of its outputs.
func ContentOf(outputs []VersionOutput) cache.Digest {
	outputs = slices.SortedFunc(slices.Values(outputs), func(a, b VersionOutput) int { return strings.Compare(a.Name, b.Name) })
	var s Section
	for _, o := range outputs {
		s.Add(o.Name, string(o.Visible[:]))
	}
	return cache.Sum(s.Bytes())
}

// RulesSeeBeyond says whether rules name what follows from more than the content of inputs: what was rejected of them, and metrics that read inputs or that a job
// wrote. producers lists, by input, the outputs that inputs come from.
func (t *Target) RulesSeeBeyond(producers []*Output) bool {
	var all []*Metric
	for _, from := range producers {
		if from != nil {
			all = append(all, from.Metrics...)
		}
	}
	for _, in := range t.Inputs {
		for _, x := range in.Expects {
			if slices.ContainsFunc(x.Uses, func(u Use) bool { return seesBeyond(u.Path, all) }) {
				return true
			}
		}
	}
	return slices.ContainsFunc(t.Outputs, func(o *Output) bool {
		return slices.ContainsFunc(o.Expects, func(x *Expect) bool {
			return slices.ContainsFunc(x.Uses, func(u Use) bool {
				return u.Path[0] == "input" && len(u.Path) > 1 && seesBeyond(u.Path[2:], all)
			})
		})
	})
}

// seesBeyond says so of one name.
func seesBeyond(path []string, metrics []*Metric) bool {
	at := slices.Index(path, "metric")
	if at < 0 {
		return slices.Contains(path, "rejected")
	}
	return slices.ContainsFunc(metrics, func(m *Metric) bool {
		named := at+1 >= len(path) || path[at+1] == m.Name || path[at+1] == "*"
		return named && (m.SQL == "" || m.ReadsInputs())
	})
}

// RulesWith identifies rules together with the keys of the results that they see.
func RulesWith(shape cache.SectionDigest, keys []cache.ActionKey) cache.SectionDigest {
	var s Section
	s.Add("shape", string(shape[:]))
	for _, k := range keys {
		s.Add("key", string(k[:]))
	}
	return s.Digest()
}

// InputContent identifies what an input brings.
func InputContent(parts []InputPart) cache.Digest {
	var s Section
	for _, p := range parts {
		s.Add(p.Partition, string(p.Tree[:]))
	}
	return cache.Sum(s.Bytes())
}

// InputSubject names an input of an action, with what it brings, in the place of a version: judgements are found by it.
func InputSubject(workspace string, label Label, partition, input string, parts []InputPart) VersionID {
	var s Section
	for _, text := range []string{workspace, label.String(), partition, input} {
		s.Add("input", text)
	}
	content := InputContent(parts)
	s.Add("content", string(content[:]))
	return VersionID(cache.Sum(s.Bytes()))
}
