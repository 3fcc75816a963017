package run

import (
	"fmt"
	"maps"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/openlineage"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// lineage tells of the jobs of a build as OpenLineage events: that they start, and how they end. What needs no job is not told. nil tells nobody.
//
// What the scheduler knows is gathered on its goroutine; the events are made of it on the sender's.
type lineage struct {
	s        *Session
	sender   *openlineage.Sender
	seed     string // makes the ids of runs
	build    string // the id of the build's own run
	start    sync.Once
	runs     map[graph.ActionID]*toldRun
	admitted map[engine.VersionID]*engine.Judgement // what was said of inputs in this build, by subject

	// Of the sender's goroutine.
	origin *engine.Provenance
	repo   *repository
	sizes  map[cache.SectionDigest]openlineage.Statistics // of contents
}

// toldRun is a job whose start is told.
type toldRun struct {
	began bool
	run   string // its id
	job   Job
	node  *graph.Node
	i     int
	key   cache.ActionKey
	reads []read
	where func() engine.Provenance

	made runEnd // of a success; the scheduler's

	inputs []openlineage.Dataset // made with the first event, by the sender
}

// runEnd is how a job ended; nothing as it starts.
type runEnd struct {
	*trial  // of a success, which became a version
	version engine.VersionID
	state   engine.State
	failure string
}

// read is what a job reads through one input.
type read struct {
	*engine.Input
	edge   *graph.Edge // nil for a glob of files
	name   string
	which  string // the version
	parts  []engine.Partition
	made   []plan.Made
	files  []cache.Tree // what was observed, of files and sources
	rules  cache.SectionDigest
	about  engine.VersionID  // the subject of what the rules say of it
	judged *engine.Judgement // nil: it has to be looked up
}

// Variables that clients of OpenLineage know: a key for the endpoint, and whether to be silent.
const apiKey, disabled = "OPENLINEAGE_API_KEY", "OPENLINEAGE_DISABLED"

// startLineage begins to deliver what earlier builds left; nil where nothing is to be told.
func (b *build) startLineage() (*lineage, error) {
	s, events := b.s, b.s.Graph.Workspace.Events
	if events == (engine.Events{}) || b.opts.preview || s.SecretEnv == nil {
		return nil, nil
	}
	if off, _ := s.SecretEnv(disabled); strings.EqualFold(off, "true") || off == "1" {
		return nil, nil
	}
	c := openlineage.Config{URL: events.URL, File: events.File, Name: events.File, Dir: filepath.Join(s.checkoutDir(s.Environment), eventsDir),
		Lock: func() (func(), error) { return s.Store.TryLock("events-"+s.Environment, "run events") }}
	if c.File != "" && !filepath.IsAbs(c.File) {
		c.File = filepath.Join(s.Root, filepath.FromSlash(c.File))
	}
	key, _ := s.SecretEnv(apiKey)
	c.Key = strings.TrimSpace(key)
	sender, err := openlineage.Open(c)
	if err != nil {
		return nil, fmt.Errorf("run events are not sent: %w", err)
	}
	l := &lineage{s: s, sender: sender, seed: uuid.NewString(), runs: map[graph.ActionID]*toldRun{}, admitted: map[engine.VersionID]*engine.Judgement{},
		sizes: map[cache.SectionDigest]openlineage.Statistics{}}
	l.build = openlineage.RunID(s.Time(), l.seed)
	return l, nil
}

// eventsDir holds what waits to be delivered, in the folder of a checkout.
const eventsDir = "events"

// starting gathers what is told of a job. It returns what tells that the job begins, for the job's own goroutine: another dpb may have made the result meanwhile.
func (l *lineage) starting(b *build, id graph.ActionID, p *prepared) func() {
	if l == nil {
		return func() {}
	}
	job := b.jobs[id]
	r := &toldRun{run: openlineage.RunID(l.s.Time(), l.seed, fmt.Sprint(job.Number)), job: job, node: p.node, i: p.i, key: p.key, reads: l.reads(b, p), where: b.log.where}
	l.runs[id] = r
	return func() {
		r.began = true
		at := l.s.Time()
		l.start.Do(func() {
			l.send(at, openlineage.Start, func(e *openlineage.Event) error { return l.ofBuild(e, r.where, "") })
		})
		l.send(at, openlineage.Start, func(e *openlineage.Event) error { return l.ofRun(e, r, runEnd{}) })
	}
}

// judged notes what became of a job's result.
func (l *lineage) judged(t *trial, v engine.VersionID, state engine.State) {
	if l == nil || l.runs[t.id] == nil || !t.ran {
		return
	}
	l.runs[t.id].made = runEnd{trial: t, version: v, state: state}
}

// admit notes what was said of inputs, before it can be looked up.
func (l *lineage) admit(list []judgement) {
	if l == nil {
		return
	}
	for _, j := range list {
		l.admitted[j.subject] = &j.Judgement
	}
}

// ended tells how a job ended. A held version is complete: its job did what it was to do.
func (l *lineage) ended(id graph.ActionID, o Outcome) {
	if l == nil || l.runs[id] == nil {
		return
	}
	r := l.runs[id]
	delete(l.runs, id)
	kind, end := openlineage.Complete, r.made
	if o.State == 0 {
		kind, end = openlineage.Fail, runEnd{failure: o.Failure}
	}
	if r.began {
		l.send(l.s.Time(), kind, func(e *openlineage.Event) error { return l.ofRun(e, r, end) })
	}
}

// abandon tells of the jobs that came to no end: they were interrupted, found their inputs gone and run again, or have no verdict yet.
func (l *lineage) abandon() {
	if l == nil {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(l.runs)) {
		if r := l.runs[id]; r.began {
			l.send(l.s.Time(), openlineage.Abort, func(e *openlineage.Event) error { return l.ofRun(e, r, runEnd{}) })
		}
	}
	clear(l.runs)
}

// end tells how the build ended, if it told of any job, and returns what people should know.
func (l *lineage) end(sum Summary, err error) []error {
	if l == nil {
		return nil
	}
	kind, failure := openlineage.Complete, ""
	switch {
	case sum.Interrupted:
		kind = openlineage.Abort
	case err != nil:
		kind, failure = openlineage.Fail, oneLine(err)
	case sum.Failed > 0:
		kind, failure = openlineage.Fail, fmt.Sprintf("%d failed", sum.Failed)
	}
	begun := true
	l.start.Do(func() { begun = false })
	if begun {
		l.send(l.s.Time(), kind, func(e *openlineage.Event) error { return l.ofBuild(e, l.s.where, failure) })
	}
	return l.sender.Close()
}

// send hands in an event that is made later.
func (l *lineage) send(at time.Time, kind string, fill func(*openlineage.Event) error) {
	l.sender.Send(func() (*openlineage.Event, error) {
		e := &openlineage.Event{Time: at, Type: kind, Producer: "https://github.com/dpb-build/dpb/tree/" + url.PathEscape(l.s.Version)}
		return e, fill(e)
	})
}

// reads gathers what a job reads.
func (l *lineage) reads(b *build, p *prepared) (out []read) {
	for _, binding := range p.bindings {
		in, e := binding.Input, binding.Edge
		r := read{Input: in, edge: e}
		if len(binding.Parts) > 0 {
			r.which = l.which(b, binding)
		}
		if e == nil {
			r.name, r.files = l.observed(p.node, in.Files, p.i)
		} else {
			r.name = datasetName(e.From.Target, e.Output, e.Quarantine)
		}
		for _, j := range binding.Producer {
			r.parts, r.made = append(r.parts, e.From.Set.Partition(j)), append(r.made, made(b.decider, e, j))
			if e.From.Target.Kind == engine.Source {
				_, files := l.observed(e.From, e.From.Target.Path, j)
				r.files = append(r.files, files...)
			}
		}
		if e != nil && in.Expects != nil {
			r.rules = b.decider.Rules(p.node, p.i)
			r.about = engine.InputSubject(l.s.Graph.Workspace.Name, p.node.Target.Label, p.node.Set.Text(p.i), in.Name, binding.Parts)
			r.judged = l.admitted[r.about]
		}
		out = append(out, r)
	}
	return out
}

// which is the version that an input brings: that of the producer, or of several partitions the hash of all their trees.
func (l *lineage) which(b *build, in plan.Binding) string {
	switch {
	case len(in.Parts) > 1:
		return engine.InputContent(in.Parts).String()
	case in.Edge == nil:
		return in.Parts[0].Tree.String()
	}
	from, j := in.Edge.From, in.Producer[0]
	id := l.s.Current(from, j)
	if b.decider.State(from, j) == engine.Held { // and waived
		id = l.s.HeldVersion(b.decider, from, j)
	}
	if id.IsZero() || in.Edge.Quarantine {
		return in.Parts[0].Tree.String()
	}
	return id.String()
}

// observed names the files that a glob selects, with what was found there.
func (l *lineage) observed(n *graph.Node, glob engine.Text, i int) (string, []cache.Tree) {
	text, err := glob.At(n.Set.Partition(i), nil)
	if err != nil {
		return "", nil
	}
	if !path.IsAbs(text) {
		text = path.Join(n.Target.Label.Pkg, text)
	}
	snapshot, err := l.s.snapshot(n, glob, i)
	if err != nil {
		return text, nil
	}
	return text, []cache.Tree{snapshot.Tree}
}

// ofBuild fills an event of the build itself, the parent of its jobs.
func (l *lineage) ofBuild(e *openlineage.Event, where func() engine.Provenance, failure string) error {
	e.Run = openlineage.Run{ID: l.build}
	e.Run.Facets.With(l.engine(false), l.tags(l.provenance(where)))
	if failure != "" {
		e.Run.Facets.With(&openlineage.ErrorMessage{Message: failure, Language: "dpb"})
	}
	e.Job = l.buildJob()
	e.Job.Facets.With(&openlineage.JobType{Processing: "BATCH", Integration: "DPB", Type: "BUILD"})
	return nil
}

// buildJob names what all builds of a workspace are runs of. No label is like it.
func (l *lineage) buildJob() openlineage.Job {
	return openlineage.Job{Namespace: l.s.Graph.Workspace.Name, Name: "build"}
}

func (l *lineage) engine(sql bool) *openlineage.Engine {
	if sql {
		return &openlineage.Engine{Name: "DuckDB", Version: duckdb.Version(), Adapter: l.s.Version}
	}
	return &openlineage.Engine{Name: "dpb", Version: l.s.Version, Adapter: l.s.Version}
}

// tags say what has no facet of its own.
func (l *lineage) tags(from engine.Provenance, more ...string) *openlineage.Tags {
	dirty := ""
	if from.Dirty {
		dirty = "true"
	}
	pairs := append([]string{"environment", l.s.Environment, "commit", from.Commit, "dirty", dirty}, more...)
	out := &openlineage.Tags{Tags: []openlineage.Tag{}}
	for k := 0; k < len(pairs); k += 2 {
		if pairs[k+1] != "" {
			out.Tags = append(out.Tags, openlineage.Tag{Key: pairs[k], Value: pairs[k+1], Source: "DPB"})
		}
	}
	return out
}
