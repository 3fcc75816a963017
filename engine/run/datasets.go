package run

import (
	"context"
	"encoding/json"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/git"
	"github.com/dpb-build/dpb/engine/openlineage"
	"github.com/dpb-build/dpb/engine/plan"
)

// What events hold is made here, on the sender's goroutine.

// ofRun fills an event of a job.
func (l *lineage) ofRun(e *openlineage.Event, r *toldRun, end runEnd) (err error) {
	from, n, state := l.provenance(r.where), r.node, ""
	if end.trial != nil {
		state = end.state.String()
	}
	e.Run = openlineage.Run{ID: r.run}
	e.Run.Facets.With(l.engine(n.Target.Kind == engine.SQL), &openlineage.Parent{Run: openlineage.Run{ID: l.build}, Job: l.buildJob()},
		l.tags(from, "partition", n.Set.Text(r.i), "key", r.key.String(), "why", r.job.Why, "state", state))
	if t := intervalOf(n, r.i); !t.IsZero() {
		e.Run.Facets.With(&openlineage.NominalTime{Start: openlineage.Time(t.Start), End: openlineage.Time(t.End)})
	}
	if end.failure != "" {
		e.Run.Facets.With(&openlineage.ErrorMessage{Message: end.failure, Language: language(n.Target)})
	}
	e.Job = l.job(n.Target, from)
	if r.inputs == nil {
		if r.inputs, err = l.inputs(r); err != nil {
			return err
		}
	}
	e.Inputs, e.Outputs = r.inputs, l.outputs(r, end)
	return nil
}

// language is what a job is written in, as far as its declaration tells: a command's program.
func language(t *engine.Target) string {
	if t.Kind == engine.SQL {
		return "SQL"
	}
	if program, err := t.Command[0].At(nil, nil); err == nil && !strings.Contains(program, "\x00") {
		return path.Base(program)
	}
	return "command"
}

func (l *lineage) job(t *engine.Target, from engine.Provenance) openlineage.Job {
	j := openlineage.Job{Namespace: l.s.Graph.Workspace.Name, Name: t.Label.String()}
	j.Facets.With(&openlineage.JobType{Processing: "BATCH", Integration: "DPB", Type: "JOB"})
	if t.Description != "" {
		j.Facets.With(&openlineage.JobDocumentation{Description: t.Description})
	}
	if owners := l.owners(t); owners != nil {
		j.Facets.With(&openlineage.JobOwners{Owners: owners})
	}
	file := t.Range.File
	if t.Kind == engine.SQL {
		var texts []string
		for _, st := range t.SQL {
			texts = append(texts, st.Text)
		}
		j.Facets.With(&openlineage.SQL{Query: strings.Join(texts, ";\n"), Dialect: "duckdb"})
		if len(t.SQL) == 1 && t.SQL[0].File != "" {
			file = t.SQL[0].File
		}
	}
	if code := l.code(file, from.Commit); code != nil {
		j.Facets.With(code)
	}
	return j
}

// owners are the team that can act, and how to reach it.
func (l *lineage) owners(t *engine.Target) []openlineage.Owner {
	if t.Owner == "" {
		return nil
	}
	out := []openlineage.Owner{{Name: "team:" + t.Owner, Type: "TEAM"}}
	for _, team := range l.s.Graph.Workspace.Teams {
		if team.Name == t.Owner && team.Contact != "" {
			out = append(out, openlineage.Owner{Name: team.Contact, Type: "CONTACT"})
		}
	}
	return out
}

// datasetName is the label by which an input names an output.
func datasetName(t *engine.Target, o *engine.Output, quarantine bool) string {
	name := t.Label.String()
	if len(t.Outputs) > 1 {
		name += "." + o.Name
	}
	if quarantine {
		name += ".quarantine"
	}
	return name
}

func (l *lineage) dataset(name, version string) openlineage.Dataset {
	d := openlineage.Dataset{Namespace: l.s.Graph.Workspace.Name, Name: name}
	if version != "" {
		d.Facets.With(&openlineage.Version{Version: version})
	}
	return d
}

// describe adds what declarations say of an output, and its columns: those that were found, or those that are declared.
func (l *lineage) describe(d *openlineage.Dataset, t *engine.Target, o *engine.Output, found *engine.Fingerprint) {
	if t.Description != "" {
		d.Facets.With(&openlineage.DatasetDocumentation{Description: t.Description})
	}
	if owners := l.owners(t); owners != nil {
		d.Facets.With(&openlineage.DatasetOwners{Owners: owners})
	}
	var fields []openlineage.Field
	if found != nil && found.Columns != nil {
		for k, c := range found.Columns {
			fields = append(fields, openlineage.Field{Name: c.Name, Type: c.Type, Position: k + 1})
		}
	} else {
		for k, c := range o.Columns {
			fields = append(fields, openlineage.Field{Name: c.Name, Type: c.Type, Position: k + 1})
		}
	}
	if fields != nil {
		d.Facets.With(&openlineage.Schema{Fields: fields})
	}
}

// inputs describes what a job reads, with what was measured and what rules said of it. It is the same for all events of a run.
func (l *lineage) inputs(r *toldRun) ([]openlineage.Dataset, error) {
	out := []openlineage.Dataset{}
	for _, in := range r.reads {
		d := l.dataset(in.name, in.which)
		if in.edge == nil {
			d.InputFacets.With(&openlineage.InputStatistics{Statistics: statisticsOf(in.files)})
			out = append(out, d)
			continue
		}
		if partitions := partitionsOf(in.parts); partitions != nil {
			d.InputFacets.With(&openlineage.Subset{Input: partitions})
		}
		found, err := l.measured(&d, in)
		if err != nil {
			return nil, err
		}
		l.describe(&d, in.edge.From.Target, in.edge.Output, found)
		if err := l.assertInput(&d, in); err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

// measured adds sizes, and of one partition what was measured; it returns the fingerprint of that.
func (l *lineage) measured(d *openlineage.Dataset, in read) (found *engine.Fingerprint, err error) {
	var sum openlineage.Statistics
	for k, m := range in.made {
		one, err := l.size(m)
		if err != nil {
			return nil, err
		}
		if k == 0 {
			sum = one
		} else {
			sum = openlineage.Statistics{Rows: plus(sum.Rows, one.Rows), Size: plus(sum.Size, one.Size), Files: plus(sum.Files, one.Files)}
		}
	}
	if in.files != nil {
		observed := statisticsOf(in.files)
		sum.Size, sum.Files = observed.Size, observed.Files
	}
	if sum != (openlineage.Statistics{}) {
		d.InputFacets.With(&openlineage.InputStatistics{Statistics: sum})
	}
	if len(in.made) != 1 {
		return nil, nil
	}
	f, ok, err := l.s.known(in.made[0].Content)
	if err != nil || !ok || f.Rows < 0 {
		return nil, err
	}
	d.InputFacets.With(&openlineage.InputQuality{Quality: quality(&f.Fingerprint)})
	return &f.Fingerprint, nil
}

// size looks up how much a content is. A job may read thousands of partitions, and the next one nearly the same.
func (l *lineage) size(m plan.Made) (openlineage.Statistics, error) {
	id := m.FingerprintID()
	if known, ok := l.sizes[id]; ok {
		return known, nil
	}
	f, ok, err := l.s.known(m.Content)
	if err != nil || !ok {
		return openlineage.Statistics{}, err
	}
	l.sizes[id] = sizeOf(&f.Fingerprint)
	return l.sizes[id], nil
}

func sizeOf(f *engine.Fingerprint) openlineage.Statistics {
	out := openlineage.Statistics{Size: &f.Bytes, Files: &f.Files}
	if f.Rows >= 0 {
		out.Rows = &f.Rows
	}
	return out
}

func statisticsOf(trees []cache.Tree) (out openlineage.Statistics) {
	var size, files int64
	for _, t := range trees {
		size, files = size+t.Size(), files+t.Files()
	}
	return openlineage.Statistics{Size: &size, Files: &files}
}

// plus is unknown where one of both is.
func plus(a, b *int64) *int64 {
	if a == nil || b == nil {
		return nil
	}
	return new(*a + *b)
}

// assertInput adds what the rules on an input said.
func (l *lineage) assertInput(d *openlineage.Dataset, in read) error {
	if in.Expects == nil {
		return nil
	}
	if in.judged == nil {
		j, ok, err := l.s.Ledger.Judgement(l.s.Environment, in.about, in.rules)
		if err != nil || !ok {
			return err
		}
		in.judged = &j
	}
	if list := assertions(in.judged.Findings, in.Expects); list != nil {
		d.InputFacets.With(&openlineage.Assertions{Assertions: list})
	}
	return nil
}

// outputs describes what a job is to write, or has written.
func (l *lineage) outputs(r *toldRun, end runEnd) (out []openlineage.Dataset) {
	t, at := r.node.Target, partitionsOf([]engine.Partition{r.node.Set.Partition(r.i)})
	for k, o := range t.Outputs {
		d := l.dataset(datasetName(t, o, false), "")
		if at != nil {
			d.OutputFacets.With(&openlineage.Subset{Output: at})
		}
		if end.trial == nil {
			l.describe(&d, t, o, nil)
			out = append(out, d)
			continue
		}
		d.Facets.With(&openlineage.Version{Version: end.version.String()})
		l.made(&d, end.trial, k)
		out = append(out, d)
		if aside := end.outputs[k].Quarantine; !aside.IsZero() {
			d := l.dataset(datasetName(t, o, true), aside.String())
			if at != nil {
				d.OutputFacets.With(&openlineage.Subset{Output: at})
			}
			out = append(out, d)
		}
	}
	return out
}

// made adds what was measured of an output, and what its rules said.
func (l *lineage) made(d *openlineage.Dataset, t *trial, k int) {
	o, found := t.node.Target.Outputs[k], t.facts[k].Fingerprint
	l.describe(d, t.node.Target, o, found)
	if found == nil { // files that nobody has rules for
		made := outputOf(t.result, o.Name)
		found = &engine.Fingerprint{Rows: -1, Bytes: made.Bytes, Files: made.Files}
	}
	d.OutputFacets.With(&openlineage.OutputStatistics{Statistics: sizeOf(found)})
	if found.Rows >= 0 {
		d.Facets.With(&openlineage.DatasetQuality{Quality: quality(found)})
	}
	own := slices.DeleteFunc(slices.Clone(t.verdict.Findings), func(f engine.Finding) bool { return f.Output != o.Name })
	if list := assertions(own, o.Expects); list != nil {
		d.Facets.With(&openlineage.Assertions{Assertions: list})
	}
}

// mostPartitions bounds how many partitions an event lists; of more it lists none.
const mostPartitions = 400

// partitionsOf lists partitions; nil of what has none.
func partitionsOf(list []engine.Partition) *openlineage.Partitions {
	if len(list) == 0 || len(list) > mostPartitions || list[0] == nil {
		return nil
	}
	out := &openlineage.Partitions{Type: "partition"}
	for _, p := range list {
		one := openlineage.Partition{Identifier: p.String(), Dimensions: map[string]string{}}
		for _, v := range p {
			one.Dimensions[v.Dimension] = v.Text
		}
		out.Partitions = append(out.Partitions, one)
	}
	return out
}

func quality(f *engine.Fingerprint) openlineage.Quality {
	q := openlineage.Quality{Rows: f.Rows, Bytes: f.Bytes, Files: f.Files, Columns: map[string]openlineage.ColumnQuality{}}
	for _, c := range f.Columns {
		column := openlineage.ColumnQuality{Nulls: c.Nulls, Distinct: c.Distinct, Count: f.Rows - c.Nulls}
		if numeric.MatchString(c.Type) {
			column.Min, column.Max = numberOf(c.Min), numberOf(c.Max)
			for _, p := range c.Quantiles {
				if n := numberOf(&p.Value); n != nil {
					if column.Quantiles == nil {
						column.Quantiles = map[string]json.Number{}
					}
					column.Quantiles[strconv.FormatFloat(p.P, 'g', -1, 64)] = *n
				}
			}
		}
		q.Columns[c.Name] = column
	}
	return q
}

// numeric are the types whose values are numbers.
var numeric = regexp.MustCompile(`^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL\(.*\))$`)

// numberOf is a value with all its digits, as JSON writes it; nil of what JSON has no number for.
func numberOf(text *string) *json.Number {
	if text == nil {
		return nil
	}
	n := json.Number(*text)
	if b, err := json.Marshal(n); err != nil || *text == "" || !json.Valid(b) {
		return nil
	}
	return &n
}

// kindsOfRules classifies the rules that need no expect block, in words that OpenLineage suggests where it has one.
var kindsOfRules = map[string]string{engine.RuleColumns: "schema", engine.RuleKey: "unique", engine.RuleReferences: "references", engine.RuleRejected: "rejected", engine.RuleMetric: "metric"}

// assertions lists what rules came to. One that had too little to compare with did not succeed and did not fail: it is left out.
func assertions(findings []engine.Finding, expects []*engine.Expect) (out []openlineage.Assertion) {
	for _, f := range findings {
		if f.Status == engine.NotYet {
			continue
		}
		a := openlineage.Assertion{Kind: kindsOfRules[f.Rule], Name: f.Rule, Success: f.Status == engine.Passed, Severity: "error", Description: f.Message, Expected: f.Bound, Actual: f.Observed, Content: f.Text}
		if f.Reason != "" {
			a.Actual = f.Reason
		}
		if a.Kind == "" {
			a.Kind, a.ContentType = "expression", "expression"
		}
		if f.Status == engine.Warned || slices.ContainsFunc(expects, func(x *engine.Expect) bool { return x.Name == f.Rule && x.Warn }) {
			a.Severity = "warn"
		}
		out = append(out, a)
	}
	return out
}

// repository is where others find the code.
type repository struct {
	url    string // https://host/path; "": nobody knows
	prefix string // of the workspace's root
}

// provenance is asked for once a build.
func (l *lineage) provenance(where func() engine.Provenance) engine.Provenance {
	if l.origin == nil {
		from := where()
		l.origin = &from
	}
	return *l.origin
}

// code tells where a file of the workspace lies in its repository; nil where that is not known.
func (l *lineage) code(file, commit string) *openlineage.SourceCode {
	if commit == "" || file == "" {
		return nil
	}
	if l.repo == nil {
		l.repo = l.s.repository()
	}
	if l.repo.url == "" {
		return nil
	}
	file = path.Join(l.repo.prefix, file)
	return &openlineage.SourceCode{Type: "git", URL: l.repo.url + "/blob/" + commit + "/" + escapePath(file), RepoURL: l.repo.url, Path: file, Version: commit}
}

// repository asks git where the checkout came from.
func (s *Session) repository() *repository {
	ask := func(args ...string) string {
		text, err := git.Text(context.Background(), s.Root, args...)
		if err != nil {
			return ""
		}
		return text
	}
	return &repository{url: webAddress(ask("remote", "get-url", "origin")), prefix: ask("rev-parse", "--show-prefix")}
}

// scp is how git also writes a remote by SSH: git@host:path.
var scp = regexp.MustCompile(`^(?:[^/@]+@)?([^/:@]+):([^/].*)$`)

// webAddress is where people see a remote repository, without the user or password that its URL may hold; "" of one that is no other machine's.
func webAddress(remote string) string {
	host, repo := "", ""
	if m := scp.FindStringSubmatch(remote); m != nil && !strings.Contains(remote, "://") {
		host, repo = m[1], m[2]
	} else if u, err := url.Parse(remote); err == nil && slices.Contains([]string{"http", "https", "ssh", "git"}, u.Scheme) {
		host, repo = u.Hostname(), u.Path
		if strings.HasPrefix(u.Scheme, "http") {
			host = u.Host
		}
	}
	repo = strings.Trim(strings.TrimSuffix(strings.TrimRight(repo, "/"), ".git"), "/")
	if host == "" || repo == "" {
		return ""
	}
	return "https://" + host + "/" + escapePath(repo)
}

func escapePath(p string) string { return (&url.URL{Path: p}).EscapedPath() }
