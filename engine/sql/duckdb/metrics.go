//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// Metrics computes metrics and returns their values in order, rounded to 9 significant digits; nil is NULL. It fails with all metrics that have no value.
func Metrics(ctx context.Context, spec MetricsJob) ([]*float64, error) {
	j := &metricsJob{job: &job{Job: Job{Params: spec.Params, Threads: spec.Threads, Memory: spec.Memory}, spill: filepath.Join(spec.Scratch, "spill")}, spec: spec}
	if err := j.check(ctx); err != nil || len(spec.Metrics) == 0 {
		return nil, err
	}
	defer os.RemoveAll(j.spill)
	return eitherWay(func(sequential bool) ([]*float64, error) {
		s, err := j.open(ctx, j.measures, sequential)
		if err != nil {
			return nil, err
		}
		defer s.close()
		batches, err := j.batches(ctx, s)
		if err != nil {
			return nil, err
		}
		values := make([]*float64, len(spec.Metrics))
		var errs []error
		for i, b := range batches {
			if i == 0 && (!b[0].serial || j.threads() == 1) && j.computeIn(ctx, s, b, values) == nil {
				continue // where the metrics were bound, and nothing else was done
			}
			errs = append(errs, j.run(ctx, b, sequential, values)...)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return values, join(errs)
	})
}

// CheckMetric says what a metric does that it may not, without any data. tables are the names of the output and of the target's inputs, the output's first.
func CheckMetric(ctx context.Context, m *engine.Metric, tables, params []string) []engine.Problem {
	_, problems := measureOf(ctx, m, tables, params)
	return problems
}

// measure is a metric as a statement.
type measure struct {
	*engine.Metric
	index      int
	source     *engine.Statement
	report     *dpbsql.Report
	expression bool
	serial     bool
}

// String is what messages call the metric.
func (d *measure) String() string { return fmt.Sprintf("metric %q", d.Name) }

func (d *measure) reads(table string) bool {
	return slices.ContainsFunc(d.report.Inputs, func(t dpbsql.Token) bool { return strings.EqualFold(t.Text, table) })
}

// alone says whether the metric is computed by itself: it reads more than the output's rows in their order, or keeps what may be spilled, and then its
// value could depend on what else is computed.
func (d *measure) alone() bool {
	if !d.expression {
		return true
	}
	tokens, _ := dpbsql.Tokens(d.SQL)
	return slices.ContainsFunc(tokens, func(t dpbsql.Token) bool {
		return t.Is("SELECT") || d.serial && (t.Is("DISTINCT") || t.Is("ORDER") || t.Is("OVER"))
	})
}

// measureOf runs the gate over a metric. It is nil if the metric is refused; there may be warnings if not.
func measureOf(ctx context.Context, m *engine.Metric, tables, params []string) (*measure, []engine.Problem) {
	d := &measure{Metric: m, source: &engine.Statement{Output: m.Name, Text: m.SQL, Range: m.Range}}
	tokens, err := dpbsql.Tokens(m.SQL)
	if d.expression = len(tokens) > 0 && !tokens[0].Is("SELECT") && !tokens[0].Is("WITH") && !tokens[0].Is("FROM"); d.expression {
		// With the count beside it the expression must be an aggregate.
		d.source.Text = "SELECT (\n" + m.SQL + "\n), count(*) FROM " + name(tables[0])
		if err == nil {
			err = onePiece(tokens)
		}
	}
	if err == nil {
		d.report, err = inspect(ctx, d.source, tables, params)
	}
	if err != nil {
		return nil, []engine.Problem{{Summary: fmt.Sprintf("%s: %s", d, err), Range: m.Range}}
	}
	ps := placed(d.String(), m.Range, d.source, d.report)
	if d.report.Refused() {
		return nil, ps
	}
	return d, ps
}

// placed are the findings about a piece of SQL that stands in a block, all at the block's place.
func placed(what string, at engine.Range, source *engine.Statement, report *dpbsql.Report) []engine.Problem {
	ps := problems(source, report)
	for i := range ps {
		ps[i].Summary = what + ": " + notAnInput.Replace(ps[i].Summary)
		ps[i].Hint = notAnInput.Replace(ps[i].Hint)
		ps[i].Range = at
	}
	return engine.SortProblems(ps)
}

// notAnInput rewrites what the gate says of the SQL of targets.
var notAnInput = strings.NewReplacer("there is no input ", "there is no table ", "the target's inputs are ", "the tables are ",
	"write one SELECT for each output; WITH names intermediate tables", "write one", "write one SELECT for each output", "write one")

// onePiece refuses a text that would end the brackets that it is put into.
func onePiece(tokens []dpbsql.Token) error {
	depth := 0
	for _, t := range tokens {
		switch {
		case t.Kind == dpbsql.Operator && t.Text == "(":
			depth++
		case t.Kind == dpbsql.Operator && t.Text == ")":
			depth--
		case t.Kind == dpbsql.Operator && t.Text == ";":
			return errors.New(`an expression does not hold ";"`)
		}
		if depth < 0 {
			return errors.New("it closes a bracket that it did not open")
		}
	}
	if depth > 0 {
		return errors.New("it does not close a bracket")
	}
	return nil
}

// metricsJob is a MetricsJob under way.
type metricsJob struct {
	*job
	spec     MetricsJob
	measures []*measure
}

// check runs the gate over all metrics and fails with all that it refuses.
func (j *metricsJob) check(ctx context.Context) error {
	var tables, params []string
	for _, t := range j.spec.Tables {
		tables = append(tables, t.Name)
	}
	for _, p := range j.Params {
		params = append(params, p.Name)
	}
	var errs []error
	for i, m := range j.spec.Metrics {
		d, ps := measureOf(ctx, m, tables, params)
		if d == nil {
			for _, p := range ps {
				if p.Severity == engine.Error {
					errs = append(errs, &ProblemError{p})
				}
			}
			continue
		}
		d.index = i
		j.measures = append(j.measures, d)
	}
	return join(errs)
}

// open opens a session that sees what some metrics read.
func (j *metricsJob) open(ctx context.Context, measures []*measure, sequential bool) (*session, error) {
	part := *j.job
	for _, t := range j.spec.Tables {
		known := slices.ContainsFunc(part.Inputs, func(o Table) bool { return strings.EqualFold(o.Name, t.Name) })
		if !known && slices.ContainsFunc(measures, func(d *measure) bool { return d.reads(t.Name) }) {
			part.Inputs = append(part.Inputs, t)
		}
	}
	if measures[0].serial {
		part.Threads = 1
	}
	s, err := part.confined(ctx, sequential, nil)
	if err != nil {
		return nil, err
	}
	for i := range part.Inputs {
		t := &part.Inputs[i]
		if err = s.view(ctx, t); err != nil {
			first := slices.IndexFunc(measures, func(d *measure) bool { return d.reads(t.Name) })
			err = measures[first].unreadable(t, err)
			break
		}
	}
	if err == nil {
		err = s.lock(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// unreadable writes an error about a table as one of the metric that reads it.
func (d *measure) unreadable(t *Table, err error) error {
	err = t.unreadable(err, d.source, dpbsql.Token{})
	var p *ProblemError
	if errors.As(err, &p) {
		p.Summary, p.Range = d.String()+": "+p.Summary, d.Range
	}
	return err
}

// batches are the metrics that are computed together: expressions over the output share one scan, those that need one thread another.
func (j *metricsJob) batches(ctx context.Context, s *session) ([][]*measure, error) {
	var shared, single [][]*measure
	var parallel, serial []*measure
	var errs []error
	for _, d := range j.measures {
		if err := j.bind(ctx, s, d); err != nil {
			errs = append(errs, err)
			continue
		}
		switch {
		case d.alone():
			single = append(single, []*measure{d})
		case d.serial:
			serial = append(serial, d)
		default:
			parallel = append(parallel, d)
		}
	}
	for _, b := range [][]*measure{parallel, serial} {
		if len(b) > 0 {
			shared = append(shared, b)
		}
	}
	return append(shared, single...), join(errs)
}

var numeric = regexp.MustCompile(`^(U?(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT)|FLOAT|DOUBLE|DECIMAL\(\d+,\d+\)|BIGNUM|BOOLEAN|"?NULL"?)$`)

// bind learns whether a metric is one number, and whether it needs one thread.
func (j *metricsJob) bind(ctx context.Context, s *session, d *measure) error {
	c, err := newCommand(d.source, j.Params, nil)
	if err != nil {
		return err
	}
	rows, err := s.texts(ctx, c.within("DESCRIBE (\n", "\n)"))
	if err != nil {
		return j.explain(ctx, s, d, err)
	}
	columns := columnsOf(rows)
	wanted := 1
	if d.expression {
		wanted = 2 // and the count
	}
	if len(columns) != wanted {
		return d.problem(fmt.Sprintf("it has %d columns", len(columns)-wanted+1), "a metric is one number: write one aggregate, or a SELECT that gives one row with one column")
	}
	if !numeric.MatchString(columns[0].Type) {
		return d.problem("its type is "+columns[0].Type+", which is no number", "write an aggregate that is a number or a boolean, or cast it, as in CAST(… AS DOUBLE)")
	}
	w := &writer{job: j.job, session: s, command: c, report: d.report, columns: []bound{{Column: columns[0]}}}
	if d.serial = d.report.Serial; !d.serial {
		d.serial, err = w.serial(ctx)
	}
	return err
}

func (d *measure) problem(what, hint string) error {
	return &ProblemError{engine.Problem{Summary: fmt.Sprintf("%s: %s", d, what), Hint: hint, Range: d.Range}}
}

var ungrouped = regexp.MustCompile(`^column "(.*)" must appear in the GROUP BY clause`)

// explain writes an error of the engine as one of the metric. Other errors stay as they are.
func (j *metricsJob) explain(ctx context.Context, s *session, d *measure, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	p := s.problem(ctx, f, j.memory())
	if m := ungrouped.FindStringSubmatch(f.Message); m != nil && d.expression {
		p.Summary, p.Detail, p.Hint = fmt.Sprintf("column %q stands outside of an aggregate", m[1]), "", "a metric is one number for all rows, as in avg("+m[1]+") or max("+m[1]+")"
	}
	p.Summary, p.Range = d.String()+": "+p.Summary, d.Range
	return &ProblemError{p}
}

// run computes a batch in an instance of its own. If that fails, each metric is computed by itself, so that the one that fails is known.
func (j *metricsJob) run(ctx context.Context, batch []*measure, sequential bool, values []*float64) []error {
	err := j.compute(ctx, batch, sequential, values)
	if err == nil || len(batch) == 1 || ctx.Err() != nil || notParallel(err) {
		return []error{err}
	}
	var errs []error
	for _, d := range batch {
		errs = append(errs, j.compute(ctx, []*measure{d}, sequential, values))
	}
	return errs
}

func (j *metricsJob) compute(ctx context.Context, batch []*measure, sequential bool, values []*float64) error {
	s, err := j.open(ctx, batch, sequential)
	if err != nil {
		return err
	}
	defer s.close()
	return j.computeIn(ctx, s, batch, values)
}

func (j *metricsJob) computeIn(ctx context.Context, s *session, batch []*measure, values []*float64) error {
	query, err := j.query(batch)
	if err != nil {
		return err
	}
	rows, err := s.texts(ctx, query)
	if err != nil {
		return j.explain(ctx, s, batch[0], err)
	}
	if len(rows) != 1 {
		return batch[0].problem(fmt.Sprintf("it gives %s", [...]string{"no row", "", "more than one row"}[len(rows)]), "a metric is one number: aggregate")
	}
	for i, d := range batch {
		if values[d.index], err = d.value(rows[0][i]); err != nil {
			return err
		}
	}
	return nil
}

// query gives the values of a batch as texts.
func (j *metricsJob) query(batch []*measure) (string, error) {
	if !batch[0].expression {
		c, err := newCommand(batch[0].source, j.Params, nil)
		if err != nil {
			return "", err
		}
		return c.within("SELECT CAST(COLUMNS(*) AS VARCHAR) FROM (\n", "\n) LIMIT 2"), nil
	}
	var items []string
	for _, d := range batch {
		c, err := newCommand(&engine.Statement{Text: d.SQL}, j.Params, nil)
		if err != nil {
			return "", err
		}
		items = append(items, c.within("CAST((\n", "\n) AS VARCHAR)"))
	}
	return fmt.Sprintf("SELECT %s, count(*) FROM %s LIMIT 2", strings.Join(items, ", "), name(j.spec.Tables[0].Name)), nil
}

// value reads a metric's value, "" of NULL.
func (d *measure) value(text string) (*float64, error) {
	var v float64
	switch text {
	case "":
		return nil, nil
	case "true":
		v = 1
	case "false":
	default:
		var err error
		if v, err = strconv.ParseFloat(text, 64); math.IsNaN(v) || math.IsInf(v, 0) || err != nil {
			return nil, d.problem("its value is "+text, "leave such values out, as in avg(x) FILTER (WHERE isfinite(x)), or give NULL with nullif()")
		}
	}
	v, _ = strconv.ParseFloat(strconv.FormatFloat(v, 'g', 9, 64), 64)
	if v == 0 {
		v = 0 // and not -0
	}
	return &v, nil
}
