package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/cache/fault"
)

// toSync notes a file that has its place and may not be durable; put says that this process put it there. One that was there already counts too: the process
// that put it may have been killed before it was durable.
func (s *Store) toSync(file string, put bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unsynced[file] = s.unsynced[file] || put
}

// Sync implements cache.Blobs. On Linux one call serves all files that were written since the last; elsewhere their bytes were made durable one by one, and
// their names follow here. Where nothing was put it does nothing.
func (s *Store) Sync(context.Context) error {
	s.mu.Lock()
	files := s.unsynced
	s.unsynced = map[string]bool{}
	s.mu.Unlock()
	if len(files) == 0 {
		return nil
	}
	err := s.makeDurable(files)
	if err != nil {
		s.takeOut(files)
		return err
	}
	return fault.At(fault.Synced)
}

func (s *Store) makeDurable(files map[string]bool) error {
	if s.syncEach {
		return s.syncNames(files)
	}
	if err := fault.At(fault.Syncing); err != nil {
		return err
	}
	return syncAll(s.files)
}

// syncNames makes the folders durable that hold the files, and those around them.
func (s *Store) syncNames(files map[string]bool) error {
	dirs := map[string]bool{s.Dir: true}
	for f := range files {
		dir := filepath.Dir(f)
		dirs[dir], dirs[filepath.Dir(dir)] = true, true
	}
	for dir := range dirs {
		if err := errors.Join(fault.At(fault.Syncing), syncDir(dir)); err != nil {
			return err
		}
	}
	return nil
}

// syncOne makes a file's bytes durable where that is done one by one.
func (s *Store) syncOne(f *os.File) error {
	if !s.syncEach {
		return nil
	}
	return errors.Join(fault.At(fault.Syncing), f.Sync())
}

// takeOut removes what could not be made durable. The system may show it for sound until the next start, and say so once only: the next build must not build on it.
func (s *Store) takeOut(files map[string]bool) {
	for f, put := range files {
		if !put {
			continue
		}
		if err := os.Remove(f); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.Warn(f + " could not be made durable, and not be removed: remove it")
		}
	}
}

func syncDir(name string) error {
	dir, err := os.Open(name)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
