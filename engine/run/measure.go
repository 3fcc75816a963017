package run

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// measuring is all that it takes to measure what an action made, so that it can be done beside other work.
type measuring struct {
	node       *graph.Node
	i          int
	key        cache.ActionKey
	result     *engine.Result
	bindings   []plan.Binding    // the inputs, for metrics and rules that use them; nil for sources
	inputs     []brought         // likewise, by input
	references [][]plan.Made     // the tables that are looked up, by reference edge
	unknown    []string          // why a table can't be looked up, likewise; "" if it can
	sources    []source.Snapshot // whose bytes have to be in the store
	inPlace    []source.Snapshot // whose bytes stay where they are
	threads    int
	*reader
}

// brought is what one input brings, as fingerprints know it.
type brought struct {
	edge *graph.Edge
	made []plan.Made
}

// measurement is what became of a result: what consumers would see of it, and what rules go by.
type measurement struct {
	outputs   []engine.VersionOutput // by the target's outputs
	facts     []*engine.Facts        // likewise; nil of what is no table and has no rules
	findings  [][]engine.Finding     // likewise
	looked    cache.Digest
	gone      bool                     // something could not be measured, as its bytes are gone
	puts      []func(*ledger.Tx) error // what to record of it
	unwritten []any                    // what is at hand until then
}

// measure splits, measures and looks up what a result holds. What was done before is found in the ledger.
func (s *Session) measure(ctx context.Context, m *measuring) (out *measurement, err error) {
	if t := m.node.Target; !isJudged(t) && !slices.ContainsFunc(t.Outputs, isTable) {
		return unmeasurable(m), nil
	}
	for _, snapshot := range m.sources {
		if err := s.files.Ingest(ctx, s.Store, snapshot); err != nil {
			return nil, err
		}
	}
	for _, snapshot := range m.inPlace {
		if err := s.files.Lend(ctx, s.Store, snapshot); err != nil {
			return nil, err
		}
		defer func() { err = errors.Join(s.files.Check(snapshot), err) }()
	}
	r, err := s.reader("measure-"+m.key.Short(), m.node.Target.Memory, m.inPlace)
	if err != nil {
		return nil, err
	}
	defer r.close()
	for _, o := range m.node.Target.Outputs {
		r.Names = append(r.Names, "output "+strconv.Quote(o.Name))
	}
	m.reader = r
	out = &measurement{looked: m.lookedUp()}
	outputs := make([]*outputMeasure, len(m.node.Target.Outputs))
	for k, o := range m.node.Target.Outputs {
		if outputs[k], err = s.measureOutput(ctx, m, o, out); err != nil {
			return nil, fmt.Errorf("output %s: %w", o.Name, err)
		}
	}
	for _, x := range outputs {
		if err := x.lookUp(ctx, outputs); err != nil {
			return nil, fmt.Errorf("output %s: %w", x.output.Name, err)
		}
		out.facts, out.findings = append(out.facts, x.facts), append(out.findings, x.found)
	}
	return out, nil
}

// unmeasurable is the measurement of files that nobody has rules for: what a consumer may ask of them follows from their trees.
func unmeasurable(m *measuring) *measurement {
	out := &measurement{}
	for _, o := range m.node.Target.Outputs {
		tree := outputOf(m.result, o.Name).Tree
		out.outputs = append(out.outputs, engine.VersionOutput{Name: o.Name, Raw: tree, Visible: tree})
		out.facts, out.findings = append(out.facts, &engine.Facts{}), append(out.findings, nil)
	}
	return out
}

// lookedUp identifies the tables that references look up; zero if there are none.
func (m *measuring) lookedUp() cache.Digest {
	if m.references == nil {
		return cache.Digest{}
	}
	var section engine.Section
	for k, made := range m.references {
		section.Add("reference", m.unknown[k])
		for _, t := range made {
			section.Add("@"+t.Partition, string(t.Tree[:]))
		}
	}
	return cache.Sum(section.Bytes())
}

// outputMeasure is the measuring of one output.
type outputMeasure struct {
	*measuring
	s       *Session
	out     *measurement
	output  *engine.Output
	content engine.Content // as consumers see it
	facts   *engine.Facts
	found   []engine.Finding
}

func (s *Session) measureOutput(ctx context.Context, m *measuring, o *engine.Output, out *measurement) (*outputMeasure, error) {
	made := outputOf(m.result, o.Name)
	x := &outputMeasure{measuring: m, s: s, out: out, output: o, content: s.content(m.node, m.i, o, made), facts: &engine.Facts{}}
	version := engine.VersionOutput{Name: o.Name, Raw: made.Tree, Visible: made.Tree}
	if o.Rejects != nil {
		split, err := x.split(ctx)
		if err != nil {
			return nil, err
		}
		version.Visible, version.Quarantine, x.facts.Rejected = split.Visible, split.Quarantine, split.Rejected
		x.content.Tree = split.Visible
	}
	for _, step := range []func(context.Context) error{x.fingerprint, x.metrics, x.keys} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	out.outputs = append(out.outputs, version)
	return x, nil
}

// record notes what the ledger is to hold, and has it at hand until then.
func (x *outputMeasure) record(key, value any, put func(*ledger.Tx) error) {
	x.s.unwritten.add(key, value)
	x.out.unwritten, x.out.puts = append(x.out.unwritten, key), append(x.out.puts, put)
}

func (x *outputMeasure) violated(rule, text, reason string) {
	x.found = append(x.found, contract.Measured(x.output, engine.Violated, rule, text, reason))
}

// broken notes a rule that can't be applied, with the place of the mistake where the engine tells it.
func (x *outputMeasure) broken(rule, text string, err error) {
	reason := oneLine(err)
	if text != "" {
		reason = strings.TrimPrefix(reason, fmt.Sprintf("%s %q: ", rule, text))
	}
	f := contract.Measured(x.output, engine.Violated, rule, text, reason)
	f.Broken = true
	if problems := duckdb.Problems(err); len(problems) > 0 && problems[0].Range.File != "" {
		f.File, f.Line = problems[0].Range.File, problems[0].Range.Start.Line
	}
	x.found = append(x.found, f)
}

func (x *outputMeasure) passed(rule, text string) {
	x.found = append(x.found, contract.Measured(x.output, engine.Passed, rule, text, ""))
}

// isGone says of an error that bytes are gone, and notes it.
func (x *outputMeasure) isGone(err error) bool {
	gone := errors.Is(err, cache.ErrMissing)
	x.out.gone = x.out.gone || gone
	return gone
}

// readable says whether the output can be read at all.
func (x *outputMeasure) readable() bool {
	return isTable(x.output) && x.facts.Fingerprint != nil && x.facts.Rows >= 0
}

// fingerprint computes the fingerprint, unless the ledger has it. Where bytes are gone it stays unknown.
func (x *outputMeasure) fingerprint(ctx context.Context) error {
	id := x.content.FingerprintID()
	if known, ok, err := x.s.fingerprint(id); err != nil || ok {
		x.facts.Fingerprint = &known.Fingerprint
		x.cannotRead()
		return err
	}
	var elsewhere *reader
	if x.inPlace != nil {
		elsewhere = x.reader
	}
	f, state, err := x.s.count(ctx, elsewhere, x.content, x.threads)
	if x.isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	x.facts.Fingerprint = f
	x.cannotRead()
	x.record(fingerprintKey(id), measured{*f, state}, func(tx *ledger.Tx) error { return tx.PutFingerprint(id, *f, state) })
	return nil
}

// count computes the fingerprint of a content whose bytes are there, and what merges of it: in a process that sees the store, or in one that sees more.
func (s *Session) count(ctx context.Context, r *reader, c engine.Content, threads int) (*engine.Fingerprint, fingerprint.State, error) {
	tree, err := s.Store.GetTree(ctx, c.Tree)
	if err != nil {
		return nil, nil, err
	}
	f, state := fingerprint.Opaque(tree.Files(), tree.Size())
	if !isTable(c.Output) {
		return f, state, nil
	}
	files, err := s.tableFiles(ctx, tree)
	if err != nil {
		return nil, nil, err
	}
	table := fingerprint.Table{Format: c.Output.Format, Compression: c.Output.Compression, Columns: c.Columns, Files: files}
	compute := s.fingerprintOf
	if r != nil { // it sees what lies elsewhere
		compute = r.Fingerprint
	}
	counted, counts, err := compute(ctx, table, threads)
	switch {
	case err == nil:
		return counted, counts, nil
	case unanswered(ctx, err) || duckdb.IsLimit(err):
		return nil, nil, err
	}
	f.Unreadable = oneLine(err)
	return f, state, nil
}

// cannotRead notes that rows are not what the columns say. Where nobody said which columns there are, and no rules on them, it is only told.
func (x *outputMeasure) cannotRead() {
	if x.facts.Unreadable == "" {
		return
	}
	f := contract.Measured(x.output, engine.Violated, engine.RuleColumns, "", x.facts.Unreadable)
	if x.output.Columns == nil || x.node.Target.Kind == engine.Source && !x.node.Target.HasRules() {
		f.Status = engine.Warned
	}
	x.found = append(x.found, f)
}

// tableFiles lists the files of a tree in their order, each checked.
func (s *Session) tableFiles(ctx context.Context, t cache.Tree) (out []fingerprint.File, err error) {
	for _, e := range t.Entries {
		if !e.Kind.IsFile() {
			continue
		}
		if err := s.Store.Verify(ctx, e.Digest); err != nil {
			return nil, err
		}
		out = append(out, fingerprint.File{Name: e.Path, Path: s.Store.BlobPath(e.Digest)})
	}
	return out, nil
}

// table is the output as the engine reads it.
func (x *outputMeasure) table(ctx context.Context) (duckdb.Table, error) {
	return x.s.contentTable(ctx, x.content)
}

// contentTable is the content of an output as the engine reads it.
func (s *Session) contentTable(ctx context.Context, c engine.Content) (duckdb.Table, error) {
	files, err := s.blobPaths(ctx, c.Tree)
	return tableOf(c, files), err
}

// tableOf is the content of an output, or what is left of it, in files.
func tableOf(c engine.Content, files []string) duckdb.Table {
	return duckdb.Table{Name: c.Output.Name, IsOutput: true, Format: c.Output.Format, Compression: c.Output.Compression, Columns: c.Columns,
		Parts: []duckdb.Part{{Files: files}}}
}

func (x *outputMeasure) scratch() string { return filepath.Join(x.dir, "scratch") }

// params are the partition's values, as SQL knows them.
func (s *Session) params(n *graph.Node, i int) (out []duckdb.Param) {
	for _, v := range n.Set.Partition(i) {
		out = append(out, duckdb.ParamOf(s.Graph.Dimension(v.Dimension), v.Text))
	}
	return out
}

// metrics computes those that the ledger doesn't have, and reads those that the job wrote.
func (x *outputMeasure) metrics(ctx context.Context) error {
	if x.output.Metrics == nil {
		return nil
	}
	x.facts.Metrics = map[string]*float64{}
	var missing []*engine.Metric
	for _, m := range x.output.Metrics {
		v, ok, err := x.s.metric(x.metricID(m))
		switch {
		case err != nil:
			return err
		case ok:
			x.facts.Metrics[m.Name] = v
		default:
			missing = append(missing, m)
		}
	}
	var written map[string]*float64
	if len(missing) > 0 {
		var err error
		if written, err = x.writtenMetrics(ctx); err != nil {
			return err
		}
	}
	for _, m := range missing {
		if m.SQL == "" {
			x.writtenMetric(m, written)
		}
	}
	return x.computeMetrics(ctx, missing)
}

func (x *outputMeasure) metricID(m *engine.Metric) cache.SectionDigest {
	return x.content.MetricID(m, x.key, x.result.Metrics, duckdb.Version())
}

func (x *outputMeasure) setMetric(m *engine.Metric, v *float64) {
	x.facts.Metrics[m.Name] = v
	id := x.metricID(m)
	x.record(metricKey(id), v, func(tx *ledger.Tx) error { return tx.PutMetric(id, v) })
}

// maxMetrics bounds the file at $DPB_METRICS, in bytes.
const maxMetrics = 1 << 20

// writtenMetrics reads what the job wrote to $DPB_METRICS: one JSON object of numbers by the names of metrics, or of OUTPUT.METRIC.
func (x *outputMeasure) writtenMetrics(ctx context.Context) (map[string]*float64, error) {
	if x.result.Metrics.IsZero() || !slices.ContainsFunc(x.output.Metrics, func(m *engine.Metric) bool { return m.SQL == "" }) {
		return nil, nil
	}
	r, err := x.s.Store.Open(ctx, x.result.Metrics)
	if x.isGone(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxMetrics+1))
	if err != nil {
		return nil, err
	}
	if len(b) > maxMetrics {
		x.violated(engine.RuleMetric, "", fmt.Sprintf("what the job wrote to $DPB_METRICS is longer than %d bytes", maxMetrics))
		return nil, nil
	}
	var written map[string]json.RawMessage
	if err := json.Unmarshal(b, &written); err != nil {
		x.violated(engine.RuleMetric, "", fmt.Sprintf("what the job wrote to $DPB_METRICS is no JSON object of numbers: %s", err))
		return nil, nil
	}
	return x.numbers(written), nil
}

// numbers leaves out what is neither a number nor null: a rule on it then has nothing to go by.
func (x *outputMeasure) numbers(written map[string]json.RawMessage) map[string]*float64 {
	values := map[string]*float64{}
	for _, name := range slices.Sorted(maps.Keys(written)) {
		var v *float64
		if err := json.Unmarshal(written[name], &v); err != nil {
			x.violated(engine.RuleMetric, "", fmt.Sprintf("what the job wrote to $DPB_METRICS for %q is no number: %.40s", name, written[name]))
			continue
		}
		values[name] = v
	}
	return values
}

func (x *outputMeasure) writtenMetric(m *engine.Metric, written map[string]*float64) {
	for _, name := range []string{x.output.Name + "." + m.Name, m.Name} {
		if v, ok := written[name]; ok {
			x.setMetric(m, v)
			return
		}
	}
	if x.out.gone {
		x.violated(engine.RuleMetric, m.Name, errUnmeasured.Error())
		return
	}
	x.violated(engine.RuleMetric, m.Name, "the job did not write it to $DPB_METRICS")
}

// computeMetrics asks the engine for metrics in SQL, all of one output together; if that fails, one by one, so that a mistake in one does not hide the others.
func (x *outputMeasure) computeMetrics(ctx context.Context, metrics []*engine.Metric) error {
	var list []*engine.Metric
	for _, m := range metrics {
		if m.SQL != "" {
			list = append(list, m)
		}
	}
	if list == nil || !x.readable() {
		return nil
	}
	tables, err := x.metricTables(ctx, list)
	if x.isGone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	job := duckdb.MetricsJob{Tables: tables, Params: x.s.params(x.node, x.i), Metrics: list, Scratch: x.scratch(), Threads: x.threads, Memory: x.node.Target.Memory}
	values, err := x.reader.Metrics(ctx, job)
	if err == nil {
		for k, m := range list {
			x.setMetric(m, values[k])
		}
		return nil
	}
	for _, m := range list {
		job.Metrics = []*engine.Metric{m}
		switch values, err := x.reader.Metrics(ctx, job); {
		case err == nil:
			x.setMetric(m, values[0])
		case unanswered(ctx, err):
			return err
		default:
			x.broken(engine.RuleMetric, m.Name, err)
		}
	}
	return nil
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// metricTables are the output and, if a metric is a whole statement, the inputs.
func (x *outputMeasure) metricTables(ctx context.Context, metrics []*engine.Metric) ([]duckdb.Table, error) {
	own, err := x.table(ctx)
	if err != nil {
		return nil, err
	}
	tables := []duckdb.Table{own}
	for _, m := range metrics {
		if !m.ReadsInputs() {
			continue
		}
		for _, b := range x.bindings {
			if b.Format == engine.Opaque || b.Input.Name == x.output.Name {
				continue
			}
			t, err := x.s.table(ctx, b)
			if err != nil {
				return nil, err
			}
			tables = append(tables, t)
		}
		break
	}
	return tables, nil
}

// keys checks that the key is unique and complete.
func (x *outputMeasure) keys(ctx context.Context) error {
	if x.output.Key == nil {
		return nil
	}
	text := "(" + strings.Join(x.output.Key, ", ") + ")"
	if x.facts.Fingerprint == nil {
		x.violated(engine.RuleKey, text, errUnmeasured.Error())
	}
	if !x.readable() {
		return nil
	}
	if x.isKeyByCount() {
		x.passed(engine.RuleKey, text)
		return nil
	}
	t, err := x.table(ctx)
	if err == nil {
		var report duckdb.KeyReport
		if report, err = x.reader.CheckKey(ctx, t, x.output.Key, x.scratch(), x.threads, x.node.Target.Memory); err == nil {
			x.keyFindings(text, report)
			return nil
		}
	}
	return x.failed(ctx, engine.RuleKey, text, err)
}

// isKeyByCount says whether the fingerprint tells already that a key is unique and complete: one column with as many values as there are rows.
func (x *outputMeasure) isKeyByCount() bool {
	c := x.facts.Column(x.output.Key[0])
	return len(x.output.Key) == 1 && c != nil && c.Nulls == 0 && c.Distinct == x.facts.Rows && c.DistinctError == 0
}

func (x *outputMeasure) keyFindings(text string, r duckdb.KeyReport) {
	var reasons []string
	if r.Duplicates > 0 {
		reasons = append(reasons, count(r.Duplicates, "row")+" with a key that another row has")
	}
	if r.Nulls > 0 {
		reasons = append(reasons, count(r.Nulls, "row")+" without a key")
	}
	if reasons == nil {
		x.passed(engine.RuleKey, text)
		return
	}
	x.violated(engine.RuleKey, text, strings.Join(reasons, ", ")+suchAs(r.Samples))
}

func suchAs(samples []string) string {
	if len(samples) == 0 {
		return ""
	}
	return ", such as " + strings.Join(samples, ", ")
}

// failed makes a finding of what could not be checked, unless this machine is to blame.
func (x *outputMeasure) failed(ctx context.Context, rule, text string, err error) error {
	switch {
	case x.isGone(err):
		x.violated(rule, text, errUnmeasured.Error())
		return nil
	case unanswered(ctx, err):
		return err
	}
	x.broken(rule, text, err)
	return nil
}

// lookUp checks references: values that have to occur in another table.
func (x *outputMeasure) lookUp(ctx context.Context, outputs []*outputMeasure) error {
	if !x.readable() && x.facts.Fingerprint != nil { // that was said already
		return nil
	}
	for at, e := range x.node.References {
		if e.Holder != x.output {
			continue
		}
		if err := x.lookUpOne(ctx, at, outputs); err != nil {
			return err
		}
	}
	return nil
}

func (x *outputMeasure) lookUpOne(ctx context.Context, at int, outputs []*outputMeasure) error {
	e := x.node.References[at]
	column, to := e.Input.Name, e.Input.From
	text := fmt.Sprintf("%s in %s", column, to)
	if x.facts.Fingerprint == nil {
		x.violated(engine.RuleReferences, text, errUnmeasured.Error())
		return nil
	}
	if x.unknown[at] != "" {
		x.violated(engine.RuleReferences, text, x.unknown[at])
		return nil
	}
	own, err := x.table(ctx)
	if err != nil {
		return x.failed(ctx, engine.RuleReferences, text, err)
	}
	other := duckdb.Table{Name: e.Output.Name, Format: e.Output.Format, Compression: e.Output.Compression, Columns: e.Output.Columns}
	if e.From == x.node { // of the same action, as it is measured now
		k := slices.IndexFunc(outputs, func(y *outputMeasure) bool { return y.output == e.Output })
		if other, err = outputs[k].table(ctx); err != nil {
			return x.failed(ctx, engine.RuleReferences, text, err)
		}
	} else if other.Parts, other.Columns, err = x.s.parts(ctx, x.references[at]); err != nil {
		return x.failed(ctx, engine.RuleReferences, text, err)
	}
	report, err := x.reader.CheckReference(ctx, own, column, other, e.LooksUp(), x.scratch(), x.threads, x.node.Target.Memory)
	if err != nil {
		return x.failed(ctx, engine.RuleReferences, text, err)
	}
	if report.Rows == 0 {
		x.passed(engine.RuleReferences, text)
	} else {
		x.violated(engine.RuleReferences, text, fmt.Sprintf("%s with a value that %s does not have%s", count(report.Rows, "row"), to, suchAs(report.Samples)))
	}
	return nil
}

// parts are the files of several contents of one output, and the columns to read them with.
func (s *Session) parts(ctx context.Context, made []plan.Made) (parts []duckdb.Part, columns []engine.Column, err error) {
	for _, m := range made {
		files, err := s.blobPaths(ctx, m.Tree)
		if err != nil {
			return nil, nil, err
		}
		parts, columns = append(parts, duckdb.Part{Files: files}), m.Columns
	}
	return parts, columns, nil
}

// count writes a number with its noun.
func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
