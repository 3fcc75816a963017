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
		c, err := s.diffOutput(ctx, diffSide{s, from, old, a}, diffSide{s, to, o, b}, opts)
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

// diffSide is one output of one of two versions.
type diffSide struct {
	s *Session
	n *graph.Node
	o *engine.Output
	v engine.Version
}

func (s *Session) diffOutput(ctx context.Context, a, b diffSide, opts DiffOptions) (*compare.Comparison, error) {
	x, err := a.side()
	if err != nil {
		return nil, err
	}
	y, err := b.side()
	if err != nil {
		return nil, err
	}
	c := compare.Versions(x, y)
	if opts.NoRows || c.Sameness == compare.SameContent || c.Sameness == compare.SameRows || !isTable(a.o) || !isTable(b.o) {
		return c, nil
	}
	c.Rows, err = a.rows(ctx, b, opts)
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

// side is what fingerprints know of a version's output.
func (d diffSide) side() (compare.Side, error) {
	made, ok, err := d.s.madeOf(d.v.ID, d.n, d.o)
	if err != nil || !ok {
		return compare.Side{}, err
	}
	side := compare.Side{Content: made.Tree.String(), Columns: made.Columns}
	side.Facts, err = d.s.factsOf(made)
	return side, err
}

func (d diffSide) table(ctx context.Context) (duckdb.Table, error) {
	made, _, err := d.s.madeOf(d.v.ID, d.n, d.o)
	if err != nil {
		return duckdb.Table{}, err
	}
	files, err := d.s.blobPaths(ctx, made.Tree)
	return duckdb.Table{Name: d.o.Name + "#" + d.v.ID.Short(), IsOutput: true, Format: d.o.Format, Compression: d.o.Compression, Columns: made.Columns,
		Parts: []duckdb.Part{{Files: files}}}, err
}

func (d diffSide) rows(ctx context.Context, b diffSide, opts DiffOptions) (*compare.RowDiff, error) {
	x, err := d.table(ctx)
	if err != nil {
		return nil, err
	}
	y, err := b.table(ctx)
	if err != nil {
		return nil, err
	}
	scratch, err := os.MkdirTemp("", "dpb-diff-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(scratch)
	key := opts.Key
	if key == nil {
		key = b.o.Key
	}
	return duckdb.Diff(ctx, duckdb.DiffJob{A: x, B: y, Key: key, Samples: opts.Samples, Scratch: scratch})
}

// Before is the version that one replaced; false if there is none.
func (s *Session) Before(v engine.Version) (engine.Version, bool, error) {
	before, err := s.before(v)
	return before, !before.ID.IsZero(), err
}

// Rebuild makes the version that the working tree gives of one action, with all that it needs, and leaves current and dpb-out as they are. What ran is not lost: a build
// takes the results. State is Fresh or Held; else the summary says why there is no version.
func (s *Session) Rebuild(ctx context.Context, n *graph.Node, i int, opts Options) (v engine.Version, state engine.State, summary Summary, err error) {
	opts.preview = true
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
