package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/dpb-build/dpb/cache"
)

// errUnsettled says that something else is there than a moment before.
var errUnsettled = errors.New("it changed while it was stored: whatever writes to it has to end before the job does")

// Capture stores all that lies in a directory below a root and returns its tree. Whoever filled it is not trusted: no link is followed, nothing outside of the root
// is read, and nothing is waited for. Large files may be moved.
func (s *Store) Capture(ctx context.Context, root *os.Root, dir string) (cache.Tree, error) {
	c := capture{s, root, dir, nil}
	if err := c.walk(ctx, ""); err != nil {
		return cache.Tree{}, err
	}
	return s.putEntries(ctx, c.entries)
}

// CaptureFile stores one regular file below a root and returns the tree that has it under a name.
func (s *Store) CaptureFile(ctx context.Context, root *os.Root, file, name string) (cache.Tree, error) {
	d, info, err := s.PutBelow(ctx, root, file)
	if err != nil {
		return cache.Tree{}, err
	}
	return s.putEntries(ctx, []cache.Entry{{Path: name, Kind: KindOf(info), Digest: d, Size: info.Size()}})
}

// PutBelow stores a regular file below a root, as it is at one moment. A large one may be moved: it need not be there any more.
func (s *Store) PutBelow(ctx context.Context, root *os.Root, file string) (d cache.Digest, info fs.FileInfo, err error) {
	f, info, err := openBelow(root, file)
	if err != nil {
		return d, nil, err
	}
	defer f.Close()
	d, moved, err := s.adopt(ctx, root, file, f, info)
	if moved || err != nil {
		return d, info, err
	}
	before, err := f.Stat() // it may be read-only by now
	if err != nil {
		return d, nil, err
	}
	d, n, err := s.putSized(ctx, f, before.Size())
	if err != nil {
		return d, nil, err
	}
	after, err := f.Stat()
	if err == nil && (n != info.Size() || entryOf(after) != entryOf(before)) {
		err = errUnsettled
	}
	return d, info, err
}

// openBelow opens a regular file that is no link.
func openBelow(root *os.Root, file string) (*os.File, fs.FileInfo, error) {
	was, err := root.Lstat(file)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrAbsent, err)
	}
	if !was.Mode().IsRegular() {
		return nil, nil, ErrNoFile
	}
	f, err := root.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // should it be a pipe by now, nobody waits for who writes to it
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && (!os.SameFile(was, info) || !info.Mode().IsRegular()) {
		err = errUnsettled
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// openFile opens a regular file, following links. It waits for nobody, should a pipe have taken its place.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, ErrNoFile)
	}
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// What a job left is not there, or no file.
var (
	ErrAbsent = errors.New("it is not there")
	ErrNoFile = errors.New("it is not a regular file")
)

// capture is the way through a directory.
type capture struct {
	s       *Store
	root    *os.Root
	dir     string
	entries []cache.Entry
}

// walk stores what lies in a folder below the directory, which is "" for itself.
func (c *capture) walk(ctx context.Context, name string) error {
	f, err := c.root.Open(path.Join(c.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return err
	}
	if len(list) == 0 && name != "" { // else it follows from its files
		c.entries = append(c.entries, cache.Entry{Path: name, Kind: cache.Dir})
	}
	for _, d := range list {
		if err := c.add(ctx, path.Join(name, d.Name()), d.Type()); err != nil {
			return err
		}
	}
	return nil
}

func (c *capture) add(ctx context.Context, name string, kind fs.FileMode) error {
	if err := cache.CheckName(name); err != nil {
		return err
	}
	at := path.Join(c.dir, name)
	switch kind {
	case fs.ModeDir:
		return c.walk(ctx, name)
	case fs.ModeSymlink:
		target, err := c.root.Readlink(at)
		if err != nil {
			return err
		}
		target = filepath.ToSlash(target)
		c.entries = append(c.entries, cache.Entry{Path: name, Kind: cache.Link, Target: target})
		return cache.CheckLink(name, target)
	case 0:
		d, info, err := c.s.PutBelow(ctx, c.root, at)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		c.entries = append(c.entries, cache.Entry{Path: name, Kind: KindOf(info), Digest: d, Size: info.Size()})
		return nil
	}
	return fmt.Errorf("%s is neither a file, a directory nor a link", name)
}

func (s *Store) putEntries(ctx context.Context, entries []cache.Entry) (cache.Tree, error) {
	t, err := cache.NewTree(entries)
	if err != nil {
		return t, err
	}
	_, err = s.PutTree(ctx, t)
	return t, err
}

// KindOf says which kind of file a regular file is.
func KindOf(info fs.FileInfo) cache.Kind {
	if info.Mode()&0o100 != 0 {
		return cache.Exec
	}
	return cache.File
}
