package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/compare"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// DiffOptions say how far two versions are compared.
type DiffOptions struct {
	Key     []string // tells rows apart; nil: as the output declares
	Samples int      // rows of each kind that are shown
	NoRows  bool     // compare fingerprints only
}

// ErrNoDiff says that two versions can't be set side by side.
var ErrNoDiff = errors.New("nothing to compare")

// OutputDiff is how one output of two versions differs.
type OutputDiff struct {
	Output string `json:"output"`
	*compare.Comparison
}

// Diff compares two versions, a the old one and b the new one, output by output. Versions of different targets are compared by their only outputs.
func (s *Session) Diff(ctx context.Context, a, b engine.Version, opts DiffOptions) ([]OutputDiff, error) {
	from, to := s.Graph.Node(a.Label), s.Graph.Node(b.Label)
	for _, v := range []engine.Version{a, b} {
		if s.Graph.Node(v.Label) == nil {
			return nil, fmt.Errorf("%w: the workspace has no %s any more, so nothing tells how to read its version %s", ErrNoDiff, v.Label, v.ID.Short())
		}
	}
	var out []OutputDiff
	for _, o := range to.Target.Outputs {
		old := from.Target.Output(o.Name)
		if old == nil && len(from.Target.Outputs) == 1 && len(to.Target.Outputs) == 1 {
			old = from.Target.Outputs[0]
		}
		if old == nil {
			continue
		}
		x, err := s.diffSide(from, old, a)
		if err != nil {
			return nil, err
		}
		y, err := s.diffSide(to, o, b)
		if err != nil {
			return nil, err
		}
		key := opts.Key
		if key == nil {
			key = o.Key
		}
		c, err := s.diffOutput(ctx, x, y, key, opts)
		if err != nil {
			return nil, err
		}
		out = append(out, OutputDiff{o.Name, c})
	}
	if out == nil {
		return nil, fmt.Errorf("%w: %s and %s have no output in common", ErrNoDiff, a.Label, b.Label)
	}
	return out, nil
}

// diffSide is one output of one of two versions, as it was declared when the version was made.
type diffSide struct {
	plan.Made
	name  string // tells the two apart
	known bool   // the version has the output
}

func (s *Session) diffSide(n *graph.Node, o *engine.Output, v engine.Version) (d diffSide, err error) {
	d.name = v.ID.Short()
	d.Made, d.known, err = s.madeOf(v.ID, n, o)
	return d, err
}

func (s *Session) diffOutput(ctx context.Context, a, b diffSide, key []string, opts DiffOptions) (*compare.Comparison, error) {
	x, err := s.compared(a)
	if err != nil {
		return nil, err
	}
	y, err := s.compared(b)
	if err != nil {
		return nil, err
	}
	c := compare.Versions(x, y)
	if opts.NoRows || c.Sameness == compare.SameContent || c.Sameness == compare.SameRows || !a.known || !b.known || !isTable(a.Output) || !isTable(b.Output) {
		return c, nil
	}
	c.Rows, err = s.diffRows(ctx, a, b, key, opts.Samples)
	switch {
	case errors.Is(err, cache.ErrMissing):
		c.RowsUnknown = "the bytes of a version are gone"
	case err != nil && (isLocal(err) || ctx.Err() != nil):
		return nil, err
	case err != nil && opts.Key != nil:
		return nil, fmt.Errorf("%w by that key: %s", ErrNoDiff, oneLine(err))
	case err != nil:
		c.RowsUnknown = oneLine(err)
	}
	return c, nil
}

// compared is what fingerprints know of a side.
func (s *Session) compared(d diffSide) (side compare.Side, err error) {
	if d.known {
		side = compare.Side{Content: d.Tree.String(), Columns: d.Columns}
		side.Facts, err = s.factsOf(d.Made)
	}
	return side, err
}

// diffTable is a side as the engine reads it, under a name that tells the two apart.
func (s *Session) diffTable(ctx context.Context, d diffSide) (duckdb.Table, error) {
	t, err := s.contentTable(ctx, d.Content)
	t.Name += "#" + d.name
	return t, err
}

func (s *Session) diffRows(ctx context.Context, a, b diffSide, key []string, samples int) (*compare.RowDiff, error) {
	x, err := s.diffTable(ctx, a)
	if err != nil {
		return nil, err
	}
	y, err := s.diffTable(ctx, b)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "dpb-diff-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	return duckdb.Diff(ctx, duckdb.DiffJob{A: x, B: y, Key: key, Samples: samples, Scratch: scratch})
}

// Before is the version that one replaced; false if there is none.
func (s *Session) Before(v engine.Version) (engine.Version, bool, error) {
	before, err := s.before(v)
	return before, !before.ID.IsZero(), err
}

// Rebuild makes the version that the working tree gives of one action, with all that it needs, and leaves current and dpb-out as they are. What ran is not lost: a build
// takes the results. An action that is frozen is made as it would be now. State is Fresh or Held; else the summary says why there is no version.
func (s *Session) Rebuild(ctx context.Context, n *graph.Node, i int, opts Options) (v engine.Version, state engine.State, summary Summary, err error) {
	opts.preview, opts.Thaw = true, true
	b, summary, err := s.build(ctx, []graph.Selected{{Node: n, Partitions: []int{i}}}, opts)
	if err != nil || summary.Interrupted {
		return v, 0, summary, err
	}
	state = b.decider.State(n, i)
	if !slices.Contains([]engine.State{engine.Fresh, engine.Held}, state) {
		return v, state, summary, nil
	}
	if made, ok := b.versions[n.Base+graph.ActionID(i)]; ok {
		return made, state, summary, nil
	}
	v, _, err = s.version(s.Current(n, i))
	return v, state, summary, err
}
