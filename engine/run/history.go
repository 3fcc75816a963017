package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Entry is one version in the history of an action.
type Entry struct {
	Version    string            `json:"version"`
	Current    bool              `json:"current"`
	Key        string            `json:"key"`
	Created    time.Time         `json:"created"`
	Provenance engine.Provenance `json:"provenance"`
}

// History lists the versions of an action, newest first.
func (s *Session) History(n *graph.Node, i int) ([]Entry, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	ws := s.Graph.Workspace.Name
	versions, err := s.Ledger.VersionsOf(ws, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return nil, err
	}
	current, _, err := s.Ledger.Pointer(ws, s.Environment, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(versions))
	for k, v := range versions {
		entries[k] = Entry{v.ID.String(), v.ID == current, v.Key.String(), v.Created, v.Provenance}
	}
	return entries, nil
}

// CopyLog writes the log of the last run of an action: of the wanted one if it failed, else of the version that is current.
func (s *Session) CopyLog(ctx context.Context, w io.Writer, n *graph.Node, i int) error {
	if s.Ledger == nil {
		return fmt.Errorf("%s: no job has run yet", n.Target.Label.At(n.Set.Text(i)))
	}
	runs, err := s.Ledger.Runs(s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return err
	}
	if len(runs) == 0 {
		return fmt.Errorf("%s: no job has run yet", n.Target.Label.At(n.Set.Text(i)))
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
	Version    string            `json:"version"`
	Target     string            `json:"target"`
	Partition  string            `json:"partition,omitempty"`
	Created    time.Time         `json:"created"`
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
}

// DetailedOutput is an output of a version. Rows is -1 where they were not counted.
type DetailedOutput struct {
	Name    string          `json:"name"`
	Tree    string          `json:"tree"`
	Files   int64           `json:"files"`
	Bytes   int64           `json:"bytes"`
	Rows    int64           `json:"rows"`
	Columns []engine.Column `json:"columns,omitempty"`
	Evicted bool            `json:"evicted,omitempty"` // the store no longer has its tree
}

func (o DetailedOutput) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s", count(o.Files, "file"), count(o.Bytes, "byte"))
	if o.Rows >= 0 {
		b.WriteString(", " + count(o.Rows, "row"))
	}
	if o.Evicted {
		b.WriteString(", evicted")
	}
	fmt.Fprintf(&b, ", tree %s", o.Tree[:12])
	for _, c := range o.Columns {
		fmt.Fprintf(&b, "\n             %s %s", c.Name, c.Type)
	}
	return b.String()
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// DetailedPart is a section of a version's key.
type DetailedPart struct {
	Name    string         `json:"name"`
	Entries []engine.Entry `json:"entries"`
}

// Details looks up a version's result and the parts of its key.
func (s *Session) Details(ctx context.Context, v engine.Version) (*Details, error) {
	d := &Details{Version: v.ID.String(), Target: v.Label.At(v.Partition), Partition: v.Partition, Created: v.Created, Provenance: v.Provenance, Key: v.Key.String()}
	r, ok, err := s.Ledger.Result(v.Key)
	if err != nil {
		return nil, err
	}
	if ok {
		d.Wall, d.CPU, d.MaxRSS, d.Isolation, d.Writer, d.Uncovered = r.Wall, r.CPU, r.MaxRSS, r.Isolation, r.Writer, r.Uncovered
	}
	for _, o := range v.Outputs {
		d.Outputs = append(d.Outputs, s.detailed(ctx, o, r))
	}
	for _, p := range r.Parts {
		entries, err := s.Ledger.Section(p.Digest)
		if err != nil {
			return nil, err
		}
		for k, e := range entries {
			entries[k].Value = readable(e)
		}
		d.Parts = append(d.Parts, DetailedPart{p.Name, joined(entries)})
	}
	return d, nil
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

func (s *Session) detailed(ctx context.Context, o engine.VersionOutput, r engine.Result) DetailedOutput {
	d := DetailedOutput{Name: o.Name, Tree: o.Visible.String(), Rows: -1}
	if t, err := s.Store.GetTree(ctx, o.Visible); err == nil {
		d.Files, d.Bytes = t.Files(), t.Size()
	} else {
		d.Evicted = true
	}
	for _, made := range r.Outputs {
		if made.Name == o.Name {
			d.Rows, d.Columns = made.Rows, made.Columns
		}
	}
	return d
}

// Export writes what consumers see of a version to a new directory: a folder an output if there are several.
func (s *Session) Export(ctx context.Context, v engine.Version, dir string) error {
	if err := os.Mkdir(dir, 0o777); err != nil {
		return err
	}
	for _, o := range v.Outputs {
		t, err := s.Store.GetTree(ctx, o.Visible)
		if err != nil {
			return fmt.Errorf("output %s of %s: %w; build it again to have its bytes", o.Name, v.ID.Short(), err)
		}
		to := dir
		if len(v.Outputs) > 1 {
			to = filepath.Join(dir, o.Name)
			if err := os.Mkdir(to, 0o777); err != nil {
				return err
			}
		}
		if err := s.Store.Materialize(ctx, t, to); err != nil {
			return err
		}
		if err := writable(to, t); err != nil {
			return err
		}
	}
	return nil
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
