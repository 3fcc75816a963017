// Package source looks at the files of a checkout: what sources and globs match, and what code is.
package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// ErrChanged says that a file is not what was observed at the start of the run.
var ErrChanged = errors.New("it changed while dpb was running; build again")

// ChangedError is ErrChanged of a file.
type ChangedError struct {
	File string
	Err  error // why it can't be looked at; nil if it can
}

func (e *ChangedError) Error() string {
	text := e.File + ": " + ErrChanged.Error()
	if e.Err != nil {
		text += " (" + e.Err.Error() + ")"
	}
	return text
}

func (e *ChangedError) Unwrap() []error { return []error{ErrChanged, e.Err} }

// Files observes the files below a workspace's root, each glob once: what was seen first holds for the run. It is safe for concurrent use.
type Files struct {
	Root string          // absolute
	Stat *disk.StatCache // of data
	Code *disk.StatCache // of code: it is looked at by each command, data mostly is not

	mu       sync.Mutex
	observed map[place]*observation
	listed   *dirs
	ingested map[cache.TreeDigest]bool
}

// place is a folder and a pattern below it.
type place struct{ dir, pattern string }

type observation struct {
	once     sync.Once
	snapshot Snapshot
	err      error
}

// Snapshot is what a glob matched: the files, by their path below its fixed part. A tree without entries says that nothing did.
type Snapshot struct {
	Tree   cache.Tree
	digest cache.TreeDigest // of the tree
	base   string           // absolute path of the fixed part
	stamps []disk.Stamp     // of the files, as the tree's entries
}

// Observe returns what a glob matches. It is relative to package pkg unless absolute.
func (f *Files) Observe(_ context.Context, pkg, glob string) (Snapshot, error) {
	at := f.split(pkg, glob)
	f.mu.Lock()
	if f.observed == nil {
		f.observed = map[place]*observation{}
	}
	o := f.observed[at]
	if o == nil {
		o = &observation{}
		f.observed[at] = o
	}
	f.mu.Unlock()
	o.once.Do(func() { o.snapshot, o.err = twice(f, func(d *dirs) (Snapshot, error) { return f.observe(at, d) }) })
	return o.snapshot, o.err
}

// twice looks once more at what changed while it was looked at.
func twice[T any](f *Files, look func(*dirs) (T, error)) (T, error) {
	t, err := look(f.dirs())
	if errors.Is(err, disk.ErrChanging) || errors.Is(err, fs.ErrNotExist) {
		return look(&dirs{})
	}
	return t, err
}

// dirs are the directories that were listed since all was forgotten.
func (f *Files) dirs() *dirs {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.listed == nil {
		f.listed = &dirs{}
	}
	return f.listed
}

// Forget has all be observed anew.
func (f *Files) Forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observed, f.listed = nil, nil
}

// Changed lists what is no longer as it was observed, of what used says: files, and globs that match others.
func (f *Files) Changed(used func(cache.TreeDigest) bool) (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := &dirs{}
	for at, o := range f.observed {
		if o.err == nil && used(o.snapshot.Digest()) {
			out = append(out, f.changed(at, o.snapshot, now)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (f *Files) changed(at place, s Snapshot, d *dirs) (out []string) {
	for k, e := range s.Tree.Entries {
		if file := s.file(e); !f.Stat.Still(file, s.stamps[k], e.Digest) {
			out = append(out, file)
		}
	}
	now, err := at.match(f.Root, d)
	if err == nil && out == nil && !slices.EqualFunc(now, s.Tree.Entries, func(name string, e cache.Entry) bool { return name == e.Path }) {
		out = append(out, path.Join(at.dir, at.pattern))
	}
	return out
}

// Match lists the files that a glob matches now: without looking at them, by their path below the root, or absolute where they lie elsewhere. It is for those who know what the files were.
func (f *Files) Match(pkg, glob string) ([]string, error) {
	at := f.split(pkg, glob)
	names, err := at.match(f.Root, f.dirs())
	for k, name := range names {
		names[k] = f.rel(filepath.Join(at.dir, filepath.FromSlash(name)))
	}
	return names, err
}

// Stamps calls look for each file of a snapshot, by the path that Match gives it.
func (f *Files) Stamps(s Snapshot, look func(name string, stamp disk.Stamp)) {
	for k, e := range s.Tree.Entries {
		look(f.rel(s.file(e)), s.stamps[k])
	}
}

func (f *Files) rel(file string) string {
	if rest, ok := strings.CutPrefix(file, f.Root+string(filepath.Separator)); ok {
		return rest
	}
	return file
}

// Digest is that of the tree.
func (s Snapshot) Digest() cache.TreeDigest { return s.digest }

func (s Snapshot) file(e cache.Entry) string {
	return filepath.Join(s.base, filepath.FromSlash(e.Path))
}

// split cuts a glob into the folder where its wildcards begin and the rest, which without a wildcard is one name.
func (f *Files) split(pkg, glob string) place {
	dir, pattern := doublestar.SplitPattern(path.Clean(glob))
	if !path.IsAbs(dir) {
		dir = path.Join(filepath.ToSlash(f.Root), pkg, dir)
	}
	return place{dir, pattern}
}

func (f *Files) observe(at place, d *dirs) (Snapshot, error) {
	names, err := at.match(f.Root, d)
	if err != nil {
		return Snapshot{}, fmt.Errorf("%s: %w", path.Join(at.dir, at.pattern), err)
	}
	entries, stamps := make([]cache.Entry, len(names)), make([]disk.Stamp, len(names))
	err = onAll(len(names), func(k int) error {
		digest, info, err := f.Stat.Digest(filepath.Join(at.dir, filepath.FromSlash(names[k])))
		if err == nil {
			entries[k] = cache.Entry{Path: names[k], Kind: cache.File, Digest: digest, Size: info.Size()}
			stamps[k] = disk.StampOf(info)
		}
		return err
	})
	if err != nil {
		return Snapshot{}, err
	}
	t, err := cache.NewTree(entries) // in order of path, as the names are
	return Snapshot{t, t.Digest(), at.dir, stamps}, err
}

// onAll calls one for each of n files, on all processors. Its error is that of the first, in order, of those that failed.
func onAll(n int, one func(k int) error) error {
	workers := min(n, runtime.GOMAXPROCS(0))
	if workers < 2 {
		for k := range n {
			if err := one(k); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var failed atomic.Bool
	errs := make([]error, n)
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for k := int(next.Add(1)) - 1; k < n && !failed.Load(); k = int(next.Add(1)) - 1 {
				if errs[k] = one(k); errs[k] != nil {
					failed.Store(true)
				}
			}
		})
	}
	all.Wait()
	for _, err := range errs { // those before it were begun before it, and ended
		if err != nil {
			return err
		}
	}
	return nil
}

// match lists the regular files that the pattern matches, in order. What can't be read is an error: it might have matched.
func (p place) match(root string, d *dirs) (names []string, err error) {
	if !strings.ContainsAny(p.pattern, `*?[{\`) {
		info, err := os.Stat(filepath.Join(p.dir, filepath.FromSlash(p.pattern)))
		switch {
		case isAbsent(err):
			return nil, nil
		case err != nil:
			return nil, err
		case !info.Mode().IsRegular():
			return nil, errors.New("not a regular file; for the files in a folder write folder/**")
		}
		return []string{p.pattern}, nil
	}
	return p.list(root, d, doublestar.WithFilesOnly())
}

// list gives what the pattern, which has a wildcard, matches of files and folders, in order.
func (p place) list(root string, d *dirs, options ...doublestar.GlobOption) ([]string, error) {
	if info, err := os.Stat(p.dir); isAbsent(err) || err == nil && !info.IsDir() {
		return nil, nil
	}
	names, err := doublestar.Glob(p.files(root, d), p.pattern, append(options, doublestar.WithFailOnIOErrors(), doublestar.WithNoHidden())...)
	slices.Sort(names)
	return slices.Compact(names), err
}

// files is the file system below a glob's fixed part, where the outputs of the workspace at root are out of sight: wildcards match what people keep, and what
// dpb shows comes and goes.
func (p place) files(root string, d *dirs) fs.FS {
	all := without{files: os.DirFS(p.dir).(files), place: p, dirs: d}
	outputs, err := filepath.Rel(p.dir, filepath.Join(root, engine.OutputDir))
	if err == nil && outputs != "." && filepath.IsLocal(outputs) {
		all.hidden = filepath.ToSlash(outputs)
	}
	return all
}

type files interface {
	fs.StatFS
	fs.ReadDirFS
}

// without is a file system of which locks and one folder are not listed; they are there for who names them. A lock tells what was made, and is no part of what that is made from.
type without struct {
	files
	place
	dirs   *dirs
	hidden string // "" for none
}

func (w without) ReadDir(dir string) ([]fs.DirEntry, error) {
	entries, err := w.dirs.list(path.Join(w.dir, dir), w.part(dir))
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return e.Name() == engine.LockFile || w.hidden != "" && dir == path.Dir(w.hidden) && e.Name() == path.Base(w.hidden)
	}), err
}

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// Ingest brings a snapshot's bytes into the store. It fails if a file is no longer what was observed.
func (f *Files) Ingest(ctx context.Context, store *disk.Store, s Snapshot) error {
	d := s.Digest()
	f.mu.Lock()
	done := f.ingested[d]
	f.mu.Unlock()
	if done {
		return nil
	}
	for _, e := range s.Tree.Entries {
		if err := ingest(ctx, store, s.file(e), e.Digest); err != nil {
			return err
		}
	}
	if _, err := store.PutTree(ctx, s.Tree); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ingested == nil {
		f.ingested = map[cache.TreeDigest]bool{}
	}
	f.ingested[d] = true
	return nil
}

// Lend lets a store read a snapshot's files where they lie. After their use Check tells whether they were what was observed.
func (f *Files) Lend(ctx context.Context, store *disk.Store, s Snapshot) error {
	if err := f.Check(s); err != nil {
		return err
	}
	for _, e := range s.Tree.Entries {
		if err := store.Lend(e.Digest, s.file(e)); err != nil {
			return err
		}
	}
	_, err := store.PutTree(ctx, s.Tree)
	return err
}

// Check fails if a file is no longer what was observed.
func (f *Files) Check(s Snapshot) error {
	for _, e := range s.Tree.Entries {
		if d, _, err := f.Stat.Digest(s.file(e)); err != nil || d != e.Digest {
			return &ChangedError{s.file(e), err}
		}
	}
	return nil
}

func ingest(ctx context.Context, store *disk.Store, file string, want cache.Digest) error {
	if err := store.Keeps(ctx, want); !errors.Is(err, cache.ErrMissing) {
		return err
	}
	got, _, err := store.PutFile(ctx, file)
	if errors.Is(err, fs.ErrNotExist) || err == nil && got != want {
		return &ChangedError{file, err}
	}
	return err
}

// CodeFiles lists the files that globs of a package match, by path from the root. A glob that matches nothing is an error.
func (f *Files) CodeFiles(ctx context.Context, pkg string, globs ...string) ([]engine.CodeFile, error) {
	var out []engine.CodeFile
	for _, glob := range globs {
		files, err := twice(f, func(d *dirs) ([]engine.CodeFile, error) { return f.code(f.split(pkg, glob), d) })
		if err != nil {
			return nil, fmt.Errorf("code %q: %w", glob, err)
		}
		if len(files) == 0 {
			return nil, fmt.Errorf("code %q matches no file in //%s", glob, pkg)
		}
		out = append(out, files...)
	}
	slices.SortFunc(out, func(a, b engine.CodeFile) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(out, func(a, b engine.CodeFile) bool { return a.Path == b.Path }), nil
}

func (f *Files) code(at place, d *dirs) (out []engine.CodeFile, err error) {
	names, err := at.match(f.Root, d)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		file := filepath.Join(at.dir, filepath.FromSlash(name))
		rel, err := filepath.Rel(f.Root, file)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, fmt.Errorf("%s lies outside of the workspace, where code has no place of its own", file)
		}
		d, info, err := f.Code.Digest(file)
		if err != nil {
			return nil, err
		}
		out = append(out, engine.CodeFile{Path: filepath.ToSlash(rel), Exec: disk.KindOf(info) == cache.Exec, Digest: d, Size: info.Size()})
	}
	return out, nil
}

// ChangedCode lists the files of code that are no longer what they were.
func (f *Files) ChangedCode(files []engine.CodeFile) (out []string) {
	for _, c := range files {
		file := filepath.Join(f.Root, filepath.FromSlash(c.Path))
		if d, info, err := f.Code.Digest(file); err != nil || d != c.Digest || (disk.KindOf(info) == cache.Exec) != c.Exec {
			out = append(out, file)
		}
	}
	return out
}

// IngestCode brings code into the store.
func (f *Files) IngestCode(ctx context.Context, store *disk.Store, files []engine.CodeFile) error {
	for _, c := range files {
		if err := ingest(ctx, store, filepath.Join(f.Root, filepath.FromSlash(c.Path)), c.Digest); err != nil {
			return err
		}
	}
	return nil
}
