package source

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dpb-build/dpb/engine"
)

// List finds which values the dimensions with FromSource have that have none yet: those of partitions of which the source has files, as of now. It reads directories
// below root; what can't be read is an error. What is declared wrongly is left alone: the graph tells it.
func List(root string, ws *engine.Workspace, now time.Time) error {
	files := &Files{Root: root}
	found := map[*engine.Target][]engine.Partition{}
	for _, d := range ws.Dimensions {
		if d.FromSource.IsZero() || d.Values != nil {
			continue
		}
		t := ws.Target(d.FromSource)
		if t == nil || t.Kind != engine.Source || !slices.Contains(t.PartitionBy, d.Name) {
			continue
		}
		if _, done := found[t]; !done {
			var err error
			if found[t], err = files.partitions(ws, t, now); err != nil {
				return fmt.Errorf("partition %q: the files of %s can't be listed: %w", d.Name, t.Label, err)
			}
		}
		d.Values = []string{}
		for _, p := range found[t] {
			text, _ := p.Get(d.Name)
			d.Values = append(d.Values, text)
		}
		slices.Sort(d.Values)
		d.Values = slices.Compact(d.Values)
	}
	return nil
}

// partitions lists those of a source of which there are files.
func (f *Files) partitions(ws *engine.Workspace, t *engine.Target, now time.Time) (out []engine.Partition, err error) {
	listing, err := engine.NewListing(t.Path, ws.Dimensions)
	if err != nil {
		return nil, nil
	}
	may, err := admits(ws, t, now)
	if err != nil {
		return nil, nil
	}
	dir, _ := doublestar.SplitPattern(listing.Glob)
	names, err := twice(f, func(d *dirs) ([]string, error) { return f.split(t.Label.Pkg, listing.Glob).list(f.Root, d) })
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, name := range names {
		p, ok := listing.Partition(path.Join(dir, name))
		if !ok || seen[p.String()] || !may(p) {
			continue
		}
		seen[p.String()] = true
		has, err := twice(f, func(d *dirs) (bool, error) { return f.has(t, p, d) })
		if err != nil {
			return nil, err
		}
		if has {
			out = append(out, p)
		}
	}
	return out, nil
}

// has says whether a partition of a source has files, as Observe would find them.
func (f *Files) has(t *engine.Target, p engine.Partition, d *dirs) (bool, error) {
	glob, err := t.Path.At(p, nil)
	if err != nil {
		return false, err
	}
	names, err := f.split(t.Label.Pkg, glob).match(f.Root, d)
	return len(names) > 0, err
}

// admits gives a test of whether a partition could be one of a source as of now. Values of a dimension that has its own from elsewhere are not asked for.
func admits(ws *engine.Workspace, t *engine.Target, now time.Time) (func(engine.Partition) bool, error) {
	tests := map[string]func(string) bool{}
	for _, d := range ws.Dimensions {
		loc, err := d.Location()
		switch {
		case err != nil:
			return nil, err
		case d.Unit == engine.NoUnit:
			tests[d.Name] = func(text string) bool { return !d.FromSource.IsZero() || slices.Contains(d.Values, text) }
		default:
			tests[d.Name] = func(text string) bool {
				at, err := d.Unit.Parse(text, loc)
				return err == nil && d.Admits(text, at, now) && text >= t.Start && (t.End == "" || text <= t.End)
			}
		}
	}
	return func(p engine.Partition) bool {
		return !slices.ContainsFunc(p, func(v engine.Value) bool { return !tests[v.Dimension](v.Text) })
	}, nil
}
