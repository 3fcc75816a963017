package source

import (
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dpb-build/dpb/engine"
)

// Folder is a directory in which globs find files.
type Folder struct {
	Dir  string // absolute
	Deep bool   // and below it
}

// Folders lists where the files lie that targets name: those of sources, of inputs and of code, whatever the partition.
func Folders(root string, targets []*engine.Target) (out []Folder) {
	add := func(pkg string, glob engine.Text) {
		if f := folderOf(root, pkg, glob); !slices.Contains(out, f) {
			out = append(out, f)
		}
	}
	for _, t := range targets {
		if t.Kind == engine.Source {
			add(t.Label.Pkg, t.Path)
		}
		for _, in := range t.Inputs {
			if in.From.Label.IsZero() {
				add(t.Label.Pkg, in.Files)
			}
		}
		for _, c := range t.Code {
			if c.Glob != "" {
				add(t.Label.Pkg, engine.Literal(c.Glob))
			}
		}
	}
	return out
}

// folderOf is the folder that a glob's fixed part names: what depends on the partition is taken for a wildcard.
func folderOf(root, pkg string, glob engine.Text) Folder {
	var b strings.Builder
	deep := false
	for _, s := range glob {
		switch {
		case s.Eval != nil: // it may hold slashes
			b.WriteByte('*')
			deep = true
		case s.Dimension != "":
			b.WriteByte('*')
		default:
			b.WriteString(s.Literal)
		}
	}
	dir, pattern := doublestar.SplitPattern(path.Clean(b.String()))
	if !path.IsAbs(dir) {
		dir = path.Join(filepath.ToSlash(root), pkg, dir)
	}
	return Folder{filepath.FromSlash(dir), deep || strings.Contains(pattern, "/")}
}

// Newest is when the newest of the files changed that were observed: by the system's record of it, which nobody sets, where there is one. It is zero if there are none.
func (f *Files) Newest() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	var newest time.Time
	for _, o := range f.observed {
		for _, stamp := range o.snapshot.stamps {
			if at := stamp.Changed(); at.After(newest) {
				newest = at
			}
		}
	}
	return newest
}
