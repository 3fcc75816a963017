package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
	"github.com/dpb-build/dpb/engine/plan"
)

// Difference is how an output that a job made again differs from what is recorded.
type Difference struct {
	Output string `json:"output"`
	// Comparison is that of the tables; of what is no table only its sameness is known.
	*compare.Comparison
	Files []string `json:"files,omitempty"` // of what is no table: the names that differ, or are on one side only
}

// difference compares an output as it is recorded with what came of the same job, both as the job left them.
func (s *Session) difference(ctx context.Context, r *rerun, o *engine.Output, was, is engine.OutputResult) Difference {
	d := Difference{Output: o.Name, Comparison: &compare.Comparison{Sameness: compare.Different}}
	if !isTable(o) {
		d.Files = s.differentFiles(ctx, was.Tree, is.Tree)
		return d
	}
	content := *o
	content.Metrics, content.Rejects = nil, nil // they say nothing of the job
	sides := make([]diffSide, 2)
	for k, made := range []engine.OutputResult{was, is} {
		c := engine.Content{Output: &content, Tree: made.Tree, Columns: r.node.Target.ReaderColumns(o, made.Columns), Partition: r.node.Set.Text(r.i)}
		sides[k] = diffSide{Made: plan.Made{Content: c, Raw: made.Tree, Key: r.recorded.Key}, name: []string{"recorded", "again"}[k], known: true}
		forget, err := s.countOnce(ctx, c)
		defer forget()
		if err != nil {
			d.Sameness, d.RowsUnknown = compare.Unknown, oneLine(err)
			return d
		}
	}
	c, err := s.diffOutput(ctx, sides[0], sides[1], o.Key, DiffOptions{Samples: -1})
	if err != nil {
		d.Sameness, d.RowsUnknown = compare.Unknown, oneLine(err)
		return d
	}
	d.Comparison = c
	return d
}

// countOnce has the fingerprint of a content at hand, which is in no ledger, until it is forgotten. Where the bytes are gone it stays unknown.
func (s *Session) countOnce(ctx context.Context, c engine.Content) (forget func(), err error) {
	key := fingerprintKey(c.FingerprintID())
	if _, ok, err := s.fingerprint(c.FingerprintID()); ok || err != nil {
		return func() {}, err
	}
	f, state, err := s.count(ctx, nil, c, 1)
	if errors.Is(err, cache.ErrMissing) {
		return func() {}, nil
	}
	if err != nil {
		return func() {}, err
	}
	s.unwritten.add(key, measured{*f, state})
	return func() { s.unwritten.remove([]any{key}) }, nil
}

// differentFiles names what is not the same in two trees; nil if the recorded one is not known any more.
func (s *Session) differentFiles(ctx context.Context, was, is cache.TreeDigest) (names []string) {
	before, err := s.Store.GetTree(ctx, was)
	after, err2 := s.Store.GetTree(ctx, is)
	if err != nil || err2 != nil {
		return nil
	}
	entries := map[string]cache.Entry{}
	for _, e := range before.Entries {
		entries[e.Path] = e
	}
	for _, e := range after.Entries {
		if entries[e.Path] != e {
			names = append(names, e.Path)
		}
		delete(entries, e.Path)
	}
	for name := range entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// reasonOf says in one line what differs; "" if nothing does.
func reasonOf(outputs []Difference, metrics bool) string {
	var parts []string
	for _, d := range outputs {
		parts = append(parts, "output "+d.Output+": "+d.text())
	}
	if metrics {
		parts = append(parts, "what it wrote to $DPB_METRICS differs")
	}
	return strings.Join(parts, "; ")
}

func (d Difference) text() string {
	switch d.Sameness {
	case compare.SameRows:
		return "the same rows in the same order, in other bytes"
	case compare.OtherOrder:
		return "the same rows in another order"
	case compare.Unknown:
		return "its bytes differ, and of what is recorded there is no fingerprint"
	}
	if d.Facts == nil {
		return "its content differs" + listed(" in ", d.Files)
	}
	var parts []string
	for _, c := range d.Schema {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%s of column %s", c.Change, c.Column)))
	}
	for _, f := range d.Facts {
		if f.Name == "rows" && f.Changed {
			parts = append(parts, fmt.Sprintf("%v rows instead of %v", f.New, f.Old))
		}
	}
	return strings.Join(append(parts, d.values()...), ", ")
}

// values says which columns differ: of tables with a key in how many rows, else as read from the first row to the last.
func (d Difference) values() (parts []string) {
	if d.Rows == nil || d.Rows.Key == nil {
		if len(d.ChangedColumns) > 0 {
			parts = append(parts, "differs in"+listed(" ", d.ChangedColumns))
		}
	} else {
		for _, c := range d.Rows.Columns {
			parts = append(parts, fmt.Sprintf("%s differs in %s", c.Name, of(c.Rows, d.Rows.RowsA)))
		}
	}
	if d.Rows != nil && d.Rows.Removed > 0 {
		parts = append(parts, of(d.Rows.Removed, d.Rows.RowsA)+" are not there")
	}
	if d.Rows != nil && d.Rows.Added > 0 {
		parts = append(parts, of(d.Rows.Added, d.Rows.RowsB)+" are new")
	}
	if parts == nil {
		parts = []string{"its content differs"}
	}
	return parts
}

func of(n, all int64) string { return fmt.Sprintf("%d of %s", n, count(all, "row")) }

// listed names a few of many, with the text before them; "" if there are none.
func listed(before string, names []string) string {
	const most = 5
	if len(names) == 0 {
		return ""
	}
	more := ""
	if n := len(names) - most; n > 0 {
		names, more = names[:most], fmt.Sprintf(" and %d more", n)
	}
	return before + strings.Join(names, ", ") + more
}

// Verified is what dpb verify found of a version's job.
type Verified struct {
	Times   int       `json:"times"`
	Differs int       `json:"differs,omitempty"` // of these: it gave something else than what is recorded
	Failed  int       `json:"failed,omitempty"`
	Last    time.Time `json:"last"`
	Outputs []string  `json:"outputs,omitempty"` // that differed
}

// String says it in a few words.
func (v *Verified) String() string {
	text := "verified"
	switch {
	case v == nil:
		return ""
	case v.Differs > 0:
		text = "not reproducible"
	case v.Failed == v.Times:
		text = "failed when it was verified"
	}
	return text
}

// verifiedOf looks up what dpb verify found of the result of a key; nil if it never looked.
func (s *Session) verifiedOf(key cache.ActionKey) (*Verified, error) {
	runs, err := s.Ledger.Verifications(key)
	if err != nil || len(runs) == 0 {
		return nil, err
	}
	r, _, err := s.Ledger.Result(key)
	if err != nil {
		return nil, err
	}
	v := &Verified{Times: len(runs), Last: runs[0].Started}
	for _, run := range runs {
		if run.Failure != "" {
			v.Failed++
			continue
		}
		differs := run.Metrics != r.Metrics
		for _, o := range run.Outputs {
			if outputOf(&r, o.Name).Tree == o.Tree {
				continue
			}
			if differs = true; !slices.Contains(v.Outputs, o.Name) {
				v.Outputs = append(v.Outputs, o.Name)
			}
		}
		if differs {
			v.Differs++
		}
	}
	return v, nil
}
