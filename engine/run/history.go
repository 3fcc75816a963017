package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// Entry is one version in the history of an action.
type Entry struct {
	Version    string            `json:"version"`
	Created    time.Time         `json:"created"`
	Key        string            `json:"key"`
	Provenance engine.Provenance `json:"provenance"`
	Standing
	Verified *Verified `json:"verified,omitempty"`
}

// Verdicts of a version.
const (
	VerdictPassed   = "passed"
	VerdictHeld     = "held"
	VerdictAccepted = "accepted"   // rules hold it, and a person took it for good
	VerdictNone     = "not judged" // in this checkout
)

// Standing is what a version counts for in this checkout.
type Standing struct {
	Current  bool               `json:"current"`
	Verdict  string             `json:"verdict"`
	Failing  []string           `json:"failing,omitempty"`  // the rules that hold it, or did before it was accepted
	Outdated bool               `json:"outdated,omitempty"` // it was judged by rules that have changed since
	Accepted *engine.Acceptance `json:"accepted,omitempty"`

	judgement *engine.Judgement // nil: not judged
}

// String says in a few words whether a version is held, and why not although rules fail; "" of what simply passed.
func (st Standing) String() string {
	switch st.Verdict {
	case VerdictHeld:
		return "held by " + strings.Join(st.Failing, ", ")
	case VerdictAccepted:
		return "accepted by " + st.Accepted.By.User + ": " + st.Accepted.Reason
	}
	return ""
}

// History lists the versions of an action, newest first.
func (s *Session) History(n *graph.Node, i int) ([]Entry, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	versions, err := s.Ledger.VersionsOf(s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(versions))
	for k, v := range versions {
		st, err := s.standingOf(v)
		if err != nil {
			return nil, err
		}
		verified, err := s.verifiedOf(v.Key)
		if err != nil {
			return nil, err
		}
		entries[k] = Entry{v.ID.String(), v.Created, v.Key.String(), v.Provenance, st, verified}
	}
	return entries, nil
}

// standingOf looks up what a version counts for.
func (s *Session) standingOf(v engine.Version) (Standing, error) {
	st := Standing{Verdict: VerdictNone}
	current, _, err := s.Ledger.Pointer(v.Workspace, s.Environment, v.Label, v.Partition)
	if err != nil {
		return st, err
	}
	st.Current = v.ID == current
	if st.judgement, st.Outdated, err = s.judgementOf(v.Label, v.ID); err != nil || st.judgement == nil {
		return st, err
	}
	st.Verdict = VerdictPassed
	failing := st.judgement.Failing()
	for _, f := range failing {
		if !slices.Contains(st.Failing, f.Rule) {
			st.Failing = append(st.Failing, f.Rule)
		}
	}
	if len(failing) == 0 {
		return st, nil
	}
	if st.Accepted, err = s.acceptance(v.Label, v.Partition, "", engine.ContentOf(v.Outputs), failing); st.Accepted == nil {
		st.Verdict = VerdictHeld
	} else {
		st.Verdict = VerdictAccepted
	}
	return st, err
}

// judgementOf finds what the rules of a target say of a subject, as they are now or, if that is not known, as they were when it was last judged. nil: it never was.
func (s *Session) judgementOf(label engine.Label, subject engine.VersionID) (j *engine.Judgement, outdated bool, err error) {
	n := s.Graph.Node(label)
	if n != nil {
		found, ok, err := s.Ledger.Judgement(s.Environment, subject, s.Shape(n))
		if err != nil || ok {
			return &found, false, err
		}
	}
	found, ok, err := s.Ledger.LastJudgement(s.Environment, subject)
	if err != nil || !ok {
		return nil, false, err
	}
	return &found, n == nil || !n.Target.RulesSeeBeyond(n.InputOutputs()), nil // else nobody knows here which results the rules saw
}

// ErrNoRun says that an action has no job whose log could be shown.
var ErrNoRun = errors.New("no job has run yet")

// CopyLog writes the log of the last run of an action in a build, or in dpb verify. It returns ErrNoRun if there was none.
func (s *Session) CopyLog(ctx context.Context, w io.Writer, n *graph.Node, i int, verify bool) error {
	if s.Ledger == nil {
		return ErrNoRun
	}
	runs, err := s.Ledger.Runs(s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i))
	runs = slices.DeleteFunc(runs, func(r engine.Run) bool { return r.Verifies != verify })
	switch {
	case err != nil:
		return err
	case len(runs) == 0:
		return ErrNoRun
	}
	if runs[0].Failure != "" {
		fmt.Fprintf(w, "failed: %s\n", runs[0].Failure)
	}
	if runs[0].Log.IsZero() {
		return nil // it wrote none
	}
	r, err := s.Store.Open(ctx, runs[0].Log)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// Details is all that is known of one version.
type Details struct {
	Version   string    `json:"version"`
	Target    string    `json:"target"`
	Partition string    `json:"partition,omitempty"`
	Created   time.Time `json:"created"`
	Standing
	Judgement  *engine.Judgement `json:"judgement,omitempty"`
	Inputs     []DetailedInput   `json:"inputs,omitempty"` // those that have rules
	Provenance engine.Provenance `json:"provenance"`
	Wall       time.Duration     `json:"wall_ns,omitempty"`
	CPU        time.Duration     `json:"cpu_ns,omitempty"`
	MaxRSS     int64             `json:"max_rss_bytes,omitempty"`
	Isolation  string            `json:"isolation,omitempty"`
	Writer     string            `json:"writer,omitempty"`
	Uncovered  []string          `json:"uncovered,omitempty"`
	Outputs    []DetailedOutput  `json:"outputs"`
	Key        string            `json:"key"`
	Parts      []DetailedPart    `json:"parts,omitempty"`
	Verified   *Verified         `json:"verified,omitempty"`
}

// DetailedInput is what the rules on an input said of what it brought to a version.
type DetailedInput struct {
	Name      string             `json:"name"`
	Judgement *engine.Judgement  `json:"judgement"`
	Accepted  *engine.Acceptance `json:"accepted,omitempty"`
}

// DetailedOutput is an output of a version, as consumers see it. Files, Bytes and Rows are -1 where they are not known.
type DetailedOutput struct {
	Name        string                      `json:"name"`
	Tree        string                      `json:"tree"`
	Quarantine  string                      `json:"quarantine,omitempty"` // the tree of what was rejected
	Format      string                      `json:"format,omitempty"`
	Files       int64                       `json:"files"`
	Bytes       int64                       `json:"bytes"`
	Rows        int64                       `json:"rows"`
	Columns     []engine.Column             `json:"columns,omitempty"` // by which it is read; none where the files hold them
	Evicted     bool                        `json:"evicted,omitempty"` // the store no longer has the bytes of what a job made
	Fingerprint *engine.Fingerprint         `json:"fingerprint,omitempty"`
	Metrics     map[string]*float64         `json:"metrics,omitempty"`
	Rejected    map[string]DetailedRejected `json:"rejected,omitempty"`
}

// DetailedRejected is what one reject took out.
type DetailedRejected struct {
	engine.Rejected
	Samples []string `json:"samples,omitempty"` // some of the rows, as JSON or as the line that can't be read
}

// DetailedPart is a section of a version's key.
type DetailedPart struct {
	Name    string         `json:"name"`
	Entries []engine.Entry `json:"entries"`
}

// Details looks up all that the ledger knows of a version. It needs none of the version's bytes.
func (s *Session) Details(ctx context.Context, v engine.Version) (*Details, error) {
	d := &Details{Version: v.ID.String(), Target: v.Label.At(v.Partition), Partition: v.Partition, Created: v.Created, Provenance: v.Provenance, Key: v.Key.String()}
	r, ok, err := s.Ledger.Result(v.Key)
	if err != nil {
		return nil, err
	}
	if ok {
		d.Wall, d.CPU, d.MaxRSS, d.Isolation, d.Writer, d.Uncovered = r.Wall, r.CPU, r.MaxRSS, r.Isolation, r.Writer, r.Uncovered
	}
	if d.Standing, err = s.standingOf(v); err != nil {
		return nil, err
	}
	if d.Verified, err = s.verifiedOf(v.Key); err != nil {
		return nil, err
	}
	d.Judgement = d.Standing.judgement
	if d.Inputs, err = s.detailedInputs(v); err != nil {
		return nil, err
	}
	if err := s.detailedParts(d, r); err != nil {
		return nil, err
	}
	declared := s.declared(v, d.Parts)
	for _, o := range v.Outputs {
		detailed, err := s.detailedOutput(ctx, v, o, &r, declared, evidenceOf(d.Judgement, o.Name))
		if err != nil {
			return nil, err
		}
		d.Outputs = append(d.Outputs, detailed)
	}
	return d, nil
}

func (s *Session) detailedParts(d *Details, r engine.Result) error {
	for _, p := range r.Parts {
		entries, err := s.Ledger.Section(p.Digest)
		if err != nil {
			return err
		}
		for k, e := range entries {
			entries[k].Value = readable(e)
		}
		d.Parts = append(d.Parts, DetailedPart{p.Name, joined(entries)})
	}
	return nil
}

// detailedInputs looks up the judgements of what a version was made from.
func (s *Session) detailedInputs(v engine.Version) (out []DetailedInput, err error) {
	n := s.Graph.Node(v.Label)
	if n == nil {
		return nil, nil
	}
	for _, in := range n.Target.Inputs {
		if !in.HasRules() {
			continue
		}
		parts, err := s.inputOf(v, in.Name)
		if err != nil {
			return nil, err
		}
		j, ok, err := s.Ledger.LastJudgement(s.Environment, engine.InputSubject(v.Workspace, v.Label, v.Partition, in.Name, parts))
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		d := DetailedInput{Name: in.Name, Judgement: &j}
		if failing := j.Failing(); len(failing) > 0 {
			if d.Accepted, err = s.acceptance(v.Label, v.Partition, in.Name, engine.InputContent(parts), failing); err != nil {
				return nil, err
			}
		}
		out = append(out, d)
	}
	return out, nil
}

// declared is the target of a version with its outputs as they were declared when it was made; of a source, as they are now. nil: nobody knows.
func (s *Session) declared(v engine.Version, parts []DetailedPart) *engine.Target {
	k := slices.IndexFunc(parts, func(p DetailedPart) bool { return p.Name == "target" })
	if k < 0 {
		if n := s.Graph.Node(v.Label); n != nil {
			return n.Target
		}
		return nil
	}
	return declaration(parts[k].Entries)
}

// declaration is what the target section of a key says of a target: its kind and its outputs.
func declaration(entries []engine.Entry) *engine.Target {
	t := &engine.Target{}
	for _, e := range entries {
		word, rest, _ := strings.Cut(e.Name, " ")
		switch {
		case e.Name == "kind" && e.Value == engine.SQL.String():
			t.Kind = engine.SQL
		case word == "output":
			declareOutput(t, rest, e.Value)
		}
	}
	return t
}

// declareOutput reads an entry of a key that describes an output: its path, which comes first, and then its format, compression and columns.
func declareOutput(t *engine.Target, entry, value string) {
	name, what, more := strings.Cut(entry, " ")
	if !more {
		t.Outputs = append(t.Outputs, &engine.Output{Name: name, Path: value})
		return
	}
	o := t.Output(name)
	column, isColumn := strings.CutPrefix(what, "column ")
	switch {
	case isColumn:
		o.Columns = append(o.Columns, engine.ReadColumn(column, value))
	case what == "format":
		for _, f := range []engine.Format{engine.Parquet, engine.CSV, engine.NDJSON} {
			if f.String() == value {
				o.Format = f
			}
		}
	case what == "compression":
		o.Compression = value
	}
}

// evidenceOf finds what a judgement went by of an output; nil if there is none.
func evidenceOf(j *engine.Judgement, output string) *engine.Evidence {
	if j == nil {
		return nil
	}
	for k := range j.Outputs {
		if j.Outputs[k].Name == output {
			return &j.Outputs[k]
		}
	}
	return nil
}

func (s *Session) detailedOutput(ctx context.Context, v engine.Version, o engine.VersionOutput, r *engine.Result, declared *engine.Target,
	evidence *engine.Evidence) (d DetailedOutput, err error) {
	made := outputOf(r, o.Name)
	d = DetailedOutput{Name: o.Name, Tree: o.Visible.String(), Files: -1, Bytes: -1, Rows: -1, Columns: made.Columns}
	d.Evicted = (declared == nil || declared.Kind != engine.Source) && !s.Store.Present(ctx, o.Visible)
	if !o.Quarantine.IsZero() {
		d.Quarantine = o.Quarantine.String()
	}
	if o.Visible == o.Raw && made.Tree == o.Raw {
		d.Files, d.Bytes, d.Rows = made.Files, made.Bytes, made.Rows
	} else if t, err := s.Store.GetTree(ctx, o.Visible); err == nil {
		d.Files, d.Bytes = t.Files(), t.Size()
	}
	if declared != nil && declared.Output(o.Name) != nil {
		output := declared.Output(o.Name)
		d.Format, d.Columns = output.Format.String(), declared.ReaderColumns(output, made.Columns)
		content := engine.Content{Output: output, Tree: o.Visible, Columns: d.Columns, Partition: v.Partition}
		if f, ok, err := s.fingerprint(content.FingerprintID()); err != nil {
			return d, err
		} else if ok {
			d.Fingerprint, d.Files, d.Bytes, d.Rows = &f.Fingerprint, f.Files, f.Bytes, f.Rows
		}
	}
	return d, s.detailedFacts(v, o, evidence, &d)
}

// detailedFacts adds metrics and what was rejected: as the verdict went by them or, of what was not judged here, as far as they are known.
func (s *Session) detailedFacts(v engine.Version, o engine.VersionOutput, evidence *engine.Evidence, d *DetailedOutput) error {
	var facts engine.Evidence
	var split engine.Split
	if n := s.Graph.Node(v.Label); n != nil && n.Target.Output(o.Name) != nil {
		made, _, err := s.madeOf(v.ID, n, n.Target.Output(o.Name))
		if err != nil {
			return err
		}
		if facts.Metrics, err = s.metricsOf(made); err != nil {
			return err
		}
		made.Tree = made.Raw
		if split, _, err = s.split(made.SplitID(duckdb.Version())); err != nil {
			return err
		}
		if split.Quarantine != o.Quarantine { // by rules of another time
			split = engine.Split{}
		}
		facts.Rejected = split.Rejected
	}
	if evidence != nil {
		facts = *evidence
	}
	d.Metrics = facts.Metrics
	for name, r := range facts.Rejected {
		if d.Rejected == nil {
			d.Rejected = map[string]DetailedRejected{}
		}
		d.Rejected[name] = DetailedRejected{r, split.Samples[name]}
	}
	return nil
}

// joined puts entries of one name on one line: the tokens of a statement.
func joined(entries []engine.Entry) (out []engine.Entry) {
	for _, e := range entries {
		if n := len(out); n > 0 && out[n-1].Name == e.Name {
			out[n-1].Value += " " + e.Value
			continue
		}
		out = append(out, e)
	}
	return out
}

// ErrNoQuarantine says that nothing can have been rejected of a version.
var ErrNoQuarantine = errors.New("no reject rule has split it")

// Export writes what consumers see of a version, or what was rejected, to a new directory: a folder an output if there are several.
func (s *Session) Export(ctx context.Context, v engine.Version, dir string, quarantine bool) error {
	outputs := v.Outputs
	if quarantine {
		outputs = nil
		for _, o := range v.Outputs {
			if !o.Quarantine.IsZero() {
				outputs = append(outputs, engine.VersionOutput{Name: o.Name, Visible: o.Quarantine})
			}
		}
		if outputs == nil {
			return ErrNoQuarantine
		}
	}
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	for _, o := range outputs {
		to := dir
		if len(v.Outputs) > 1 {
			to = filepath.Join(dir, o.Name)
			if err := os.Mkdir(to, 0o777); err != nil {
				return err
			}
		}
		if err := s.exportTree(ctx, o.Visible, to); err != nil {
			return fmt.Errorf("output %s of %s: %w", o.Name, v.ID.Short(), err)
		}
	}
	return nil
}

func (s *Session) exportTree(ctx context.Context, tree cache.TreeDigest, dir string) error {
	t, err := s.Store.GetTree(ctx, tree)
	if err != nil {
		return fmt.Errorf("%w; build it again to have its bytes", err)
	}
	if _, err := s.Store.Materialize(ctx, t, dir); err != nil {
		return err
	}
	return writable(dir, t)
}

// writable gives an exported copy to its owner.
func writable(dir string, t cache.Tree) error {
	for _, e := range t.Entries {
		mode := map[cache.Kind]os.FileMode{cache.File: 0o644, cache.Exec: 0o755}[e.Kind]
		if mode == 0 {
			continue
		}
		if err := os.Chmod(filepath.Join(dir, filepath.FromSlash(e.Path)), mode); err != nil {
			return err
		}
	}
	return nil
}
