package source

import (
	"io/fs"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
)

// dirs lists directories, each once: many globs look into one folder, a glob a partition. It is safe for concurrent use.
type dirs struct {
	mu   sync.Mutex
	seen map[string]*listing
}

type listing struct {
	once   sync.Once
	byName []fs.DirEntry
	err    error

	turn  sync.Once
	byEnd []fs.DirEntry // by their names read backwards
}

// readDir is os.ReadDir, but for tests.
var readDir = os.ReadDir

// list gives the entries of a directory, in order, that a part of a pattern may match: perhaps more. It is the caller's to change.
func (d *dirs) list(dir, part string) ([]fs.DirEntry, error) {
	d.mu.Lock()
	if d.seen == nil {
		d.seen = map[string]*listing{}
	}
	l := d.seen[dir]
	if l == nil {
		l = &listing{}
		d.seen[dir] = l
	}
	d.mu.Unlock()
	l.once.Do(func() { l.byName, l.err = readDir(dir) })
	return l.narrow(part), l.err
}

const wildcards = `*?[]{}\`

// narrow goes by how a name has to begin or to end, whichever leaves fewer.
func (l *listing) narrow(part string) []fs.DirEntry {
	begin, end := part, part
	if k := strings.IndexAny(part, wildcards); k >= 0 {
		begin, end = part[:k], part[strings.LastIndexAny(part, wildcards)+1:]
	}
	out := span(l.byName, func(e fs.DirEntry) int { return strings.Compare(cut(e.Name(), len(begin)), begin) })
	if end == "" || len(out) < 32 {
		return slices.Clone(out)
	}
	l.turn.Do(func() {
		l.byEnd = slices.SortedFunc(slices.Values(l.byName), func(a, b fs.DirEntry) int { return backwards(a.Name(), b.Name()) })
	})
	from := span(l.byEnd, func(e fs.DirEntry) int { return backwards(cutEnd(e.Name(), len(end)), end) })
	if len(from) >= len(out) {
		return slices.Clone(out)
	}
	return slices.SortedFunc(slices.Values(from), func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}

// span finds the entries that are neither before nor after what is looked for.
func span(entries []fs.DirEntry, compare func(fs.DirEntry) int) []fs.DirEntry {
	lo := sort.Search(len(entries), func(i int) bool { return compare(entries[i]) >= 0 })
	hi := sort.Search(len(entries), func(i int) bool { return compare(entries[i]) > 0 })
	return entries[lo:hi]
}

func cut(name string, n int) string    { return name[:min(n, len(name))] }
func cutEnd(name string, n int) string { return name[max(0, len(name)-n):] }

// backwards compares from the end on.
func backwards(a, b string) int {
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0; i, j = i-1, j-1 {
		if a[i] != b[j] {
			return int(a[i]) - int(b[j])
		}
	}
	return len(a) - len(b)
}

// part is what of the pattern the names in a directory below have to match; "*" where that can't be told from how deep it lies.
func (p place) part(dir string) string {
	parts, deep := strings.Split(p.pattern, "/"), 0
	if dir != "." {
		deep = strings.Count(dir, "/") + 1
	}
	if deep >= len(parts) || strings.Contains(p.pattern, `\`) {
		return "*"
	}
	for _, part := range parts[:deep+1] {
		if strings.Contains(part, "**") || strings.Count(part, "{") != strings.Count(part, "}") {
			return "*"
		}
	}
	return parts[deep]
}
