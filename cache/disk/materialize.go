package disk

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// Materialize writes a tree into a directory as read-only files that can be changed without harm to the store. It returns the stamps of
// the entries.
func (s *Store) Materialize(ctx context.Context, t cache.Tree, dir string) ([]Stamp, error) {
	if err := s.pinBlobs(t); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	made := map[string]bool{"": true} // by what comes before the last slash
	for _, e := range t.Entries {
		if parent := e.Path[:strings.LastIndexByte(e.Path, '/')+1]; !made[parent] {
			if err := os.MkdirAll(filepath.Join(dir, filepath.FromSlash(parent)), 0o777); err != nil {
				return nil, err
			}
			made[parent] = true
		}
	}
	return s.materializeAll(ctx, t.Entries, dir)
}

func placeOf(e cache.Entry, dir string) string {
	return filepath.Join(dir, filepath.FromSlash(e.Path))
}

// pinBlobs pins what a tree is made of at once.
func (s *Store) pinBlobs(t cache.Tree) error {
	var all [][32]byte
	for _, e := range t.Entries {
		if e.Kind.IsFile() {
			all = append(all, e.Digest)
		}
	}
	return s.pin(all...)
}

// inRow is how many entries one goroutine takes at a time: most of them lie in one folder, in which two would wait for each other.
const inRow = 256

// materializeAll writes entries, whose folders are there, on all processors.
func (s *Store) materializeAll(ctx context.Context, entries []cache.Entry, dir string) ([]Stamp, error) {
	rows := (len(entries) + inRow - 1) / inRow
	stamps, errs := make([]Stamp, len(entries)), make([]error, rows)
	var next atomic.Int64
	var failed atomic.Bool
	one := func() {
		for k := int(next.Add(1)) - 1; k < rows && !failed.Load(); k = int(next.Add(1)) - 1 {
			for i := k * inRow; i < min((k+1)*inRow, len(entries)); i++ {
				e := entries[i]
				if stamps[i], errs[k] = s.materialize(ctx, e, placeOf(e, dir)); errs[k] != nil {
					failed.Store(true)
					break
				}
			}
		}
	}
	var others sync.WaitGroup
	for range min(rows, runtime.GOMAXPROCS(0)) - 1 {
		others.Go(one)
	}
	one()
	others.Wait()
	for _, err := range errs { // the first one says it all
		if err != nil {
			return nil, err
		}
	}
	return stamps, nil
}

func (s *Store) materialize(ctx context.Context, e cache.Entry, path string) (stamp Stamp, err error) {
	switch e.Kind {
	case cache.Dir:
		err = os.MkdirAll(path, 0o777)
	case cache.Link:
		err = os.Symlink(filepath.FromSlash(e.Target), path)
	default:
		mode := fs.FileMode(0o444)
		if e.Kind == cache.Exec {
			mode = 0o555
		}
		if e.Size <= page {
			if err := errors.Join(ctx.Err(), fault.At(fault.BlobRead)); err != nil {
				return stamp, err
			}
			if stamp, ok := s.copyPage(e, path, mode); ok {
				return stamp, nil
			}
		}
		err = s.CopyTo(ctx, e.Digest, path, mode)
	}
	if err != nil {
		return stamp, err
	}
	info, err := os.Lstat(path)
	if err != nil {
		return stamp, err
	}
	return StampOf(info), nil
}

// CopyTo writes a blob to a new file of that mode. If it fails, there is no file.
func (s *Store) CopyTo(ctx context.Context, d cache.Digest, path string, mode fs.FileMode) error {
	if err := s.pin(d); err != nil {
		return err
	}
	from, err := s.open(d)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.f.Stat()
	if err != nil {
		return err
	}
	known, ok := s.verified.Load(d)
	sound := ok && known == entryOf(info)
	if info.Size() <= small {
		return s.copySmall(ctx, from, info, sound, path, mode)
	}
	to, err := openPlain(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err = errors.Join(copyTo(ctx, to, from, info, sound), to.Chmod(mode), to.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return nil
}

// copyTo shares a blob's blocks where the file system can, and checks it before, unless it is known to be sound. Else it is checked while it is copied.
func copyTo(ctx context.Context, to *os.File, from *checkedReader, info fs.FileInfo, sound bool) (err error) {
	if info.Size() >= big && clone(to, from.f) {
		if sound {
			return nil
		}
		return from.verify(ctx, nil)
	}
	if err := Room(to.Name(), info.Size()); err != nil {
		return err
	}
	if sound {
		_, err = io.Copy(to, from.f)
	} else {
		err = from.verify(ctx, to)
	}
	return NoRoom(err, to.Name(), info.Size())
}
