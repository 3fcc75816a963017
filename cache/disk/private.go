package disk

import (
	"errors"
	"os"
	"path/filepath"
)

// own makes this process's private directory, and removes those of processes that are gone: nothing stays behind a kill -9.
func (s *Store) own() error {
	s.once.Do(func() { s.err = s.makeOwn() })
	return s.err
}

func (s *Store) makeOwn() error {
	jobs := filepath.Join(s.Dir, "jobs")
	// Held while directories come and go, so that nobody takes one for abandoned that is not locked yet.
	gate, err := lockFile(filepath.Join(jobs, ".lock"), true)
	if err != nil {
		return err
	}
	defer gate.Close()
	dirs, err := os.ReadDir(jobs)
	if err != nil {
		return err
	}
	for _, d := range dirs {
		if d.IsDir() {
			removeAbandoned(filepath.Join(jobs, d.Name()))
		}
	}
	if s.private, err = os.MkdirTemp(jobs, "p-"); err != nil {
		return err
	}
	s.lock, err = lockFile(filepath.Join(s.private, ".lock"), true)
	return errors.Join(err, os.Mkdir(filepath.Join(s.private, "tmp"), 0o777))
}

func removeAbandoned(dir string) {
	lock, err := lockFile(filepath.Join(dir, ".lock"), false)
	if err != nil {
		return // its process lives
	}
	defer lock.Close()
	_ = RemoveAll(dir) // what can't be removed now is tried again by the next process
}

// Close removes what this process had for itself.
func (s *Store) Close() error {
	if s.private == "" {
		return nil
	}
	err := RemoveAll(s.private)
	return errors.Join(err, s.lock.Close())
}

func (s *Store) temp() (*os.File, error) {
	if err := s.own(); err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Join(s.private, "tmp"), "")
}

// JobDir makes an empty directory for a job, on the store's file system.
func (s *Store) JobDir(name string) (string, error) {
	if err := s.own(); err != nil {
		return "", err
	}
	return os.MkdirTemp(s.private, name+"-")
}

// RemoveAll removes a directory also where a job took the right to write from a folder in it.
func RemoveAll(dir string) error {
	if os.RemoveAll(dir) == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
