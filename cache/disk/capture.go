package disk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/cache"
)

// Capture stores all that lies in a directory and returns its tree.
func (s *Store) Capture(ctx context.Context, dir string) (cache.Tree, error) {
	var entries []cache.Entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		e, err := s.capture(ctx, path, filepath.ToSlash(rel), d)
		if err == nil && e.Kind != 0 {
			entries = append(entries, e)
		}
		return err
	})
	if err != nil {
		return cache.Tree{}, err
	}
	return s.putEntries(ctx, entries)
}

// CaptureFile stores one file and returns the tree that has it under a name.
func (s *Store) CaptureFile(ctx context.Context, path, name string) (cache.Tree, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return cache.Tree{}, err
	}
	e, err := s.capture(ctx, path, name, fs.FileInfoToDirEntry(info))
	if err != nil {
		return cache.Tree{}, err
	}
	if e.Kind != cache.File && e.Kind != cache.Exec {
		return cache.Tree{}, fmt.Errorf("%s is not a regular file", name)
	}
	return s.putEntries(ctx, []cache.Entry{e})
}

func (s *Store) putEntries(ctx context.Context, entries []cache.Entry) (cache.Tree, error) {
	t, err := cache.NewTree(entries)
	if err != nil {
		return t, err
	}
	_, err = s.PutTree(ctx, t)
	return t, err
}

// capture stores one name; the zero entry stands for a directory with content, which follows from its files.
func (s *Store) capture(ctx context.Context, path, name string, d fs.DirEntry) (cache.Entry, error) {
	if err := cache.CheckName(name); err != nil {
		return cache.Entry{}, err
	}
	switch d.Type() {
	case 0:
		info, err := d.Info()
		if err != nil {
			return cache.Entry{}, err
		}
		digest, size, err := s.PutFile(ctx, path)
		return cache.Entry{Path: name, Kind: KindOf(info), Digest: digest, Size: size}, err
	case fs.ModeDir:
		children, err := os.ReadDir(path)
		if err != nil || len(children) > 0 {
			return cache.Entry{}, err
		}
		return cache.Entry{Path: name, Kind: cache.Dir}, nil
	case fs.ModeSymlink:
		target, err := os.Readlink(path)
		if err != nil {
			return cache.Entry{}, err
		}
		target = filepath.ToSlash(target)
		return cache.Entry{Path: name, Kind: cache.Link, Target: target}, cache.CheckLink(name, target)
	}
	return cache.Entry{}, fmt.Errorf("%s is neither a file, a directory nor a link", name)
}

// KindOf says which kind of file a regular file is.
func KindOf(info fs.FileInfo) cache.Kind {
	if info.Mode()&0o100 != 0 {
		return cache.Exec
	}
	return cache.File
}

// Materialize writes a tree into a directory as read-only files that can be changed without harm to the store.
func (s *Store) Materialize(ctx context.Context, t cache.Tree, dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	made := map[string]bool{dir: true}
	for _, e := range t.Entries {
		path := filepath.Join(dir, filepath.FromSlash(e.Path))
		if parent := filepath.Dir(path); !made[parent] {
			if err := os.MkdirAll(parent, 0o777); err != nil {
				return err
			}
			made[parent] = true
		}
		if err := s.materialize(ctx, e, path); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) materialize(ctx context.Context, e cache.Entry, path string) error {
	switch e.Kind {
	case cache.Dir:
		return os.MkdirAll(path, 0o777)
	case cache.Link:
		return os.Symlink(filepath.FromSlash(e.Target), path)
	case cache.Exec:
		return s.CopyTo(ctx, e.Digest, path, 0o555)
	}
	return s.CopyTo(ctx, e.Digest, path, 0o444)
}

// CopyTo writes a blob to a new file of that mode.
func (s *Store) CopyTo(ctx context.Context, d cache.Digest, path string, mode fs.FileMode) error {
	if err := s.Verify(ctx, d); err != nil {
		return err
	}
	from, err := os.Open(s.BlobPath(d))
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if !clone(to, from) {
		err = copyAll(to, from)
	}
	return errors.Join(err, to.Chmod(mode), to.Close())
}

func copyAll(to, from *os.File) error {
	info, err := from.Stat()
	if err == nil {
		err = Room(to.Name(), info.Size())
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	return NoRoom(err, to.Name(), info.Size())
}
