package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// Private is a directory that belongs to this process while it lives. Whoever makes the next one beside it removes those of processes that are gone, so
// nothing stays behind a kill -9.
type Private struct {
	Dir  string
	lock *os.File // on the directory itself
}

// MakePrivate makes a private directory in parent, named with a prefix.
func MakePrivate(parent, prefix string) (*Private, error) { return makePrivate(parent, prefix, true) }

func makePrivate(parent, prefix string, tidy bool) (*Private, error) {
	// Held while directories come and go, so that nobody takes one for abandoned that is not locked yet.
	gate, err := lockDir(parent, true)
	if err != nil {
		return nil, err
	}
	defer gate.Close()
	if tidy {
		if err := removeAllAbandoned(parent, prefix); err != nil {
			return nil, err
		}
	}
	p := &Private{}
	if p.Dir, err = os.MkdirTemp(parent, prefix); err != nil {
		return nil, err
	}
	p.lock, err = lockDir(p.Dir, true)
	return p, err
}

func removeAllAbandoned(parent, prefix string) error {
	entries, err := os.ReadDir(parent)
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), prefix) {
			removeAbandoned(filepath.Join(parent, e.Name()))
		}
	}
	return err
}

func removeAbandoned(dir string) {
	lock, err := lockDir(dir, false)
	if err != nil {
		return // its process lives
	}
	defer lock.Close()
	_ = RemoveAll(dir) // what can't be removed now is tried again by the next process
}

// Close removes the directory.
func (p *Private) Close() error {
	if p == nil {
		return nil
	}
	return errors.Join(RemoveAll(p.Dir), p.lock.Close())
}

const privatePrefix = "p-"

// own makes this process's private directory in the store.
func (s *Store) own() error {
	s.once.Do(func() {
		quiet := s.quiet()
		if quiet != nil {
			defer quiet.Close()
		}
		if s.private, s.err = makePrivate(filepath.Join(s.Dir, "jobs"), privatePrefix, quiet != nil); s.err == nil {
			s.err = os.Mkdir(filepath.Join(s.private.Dir, "tmp"), 0o777)
		}
	})
	return s.err
}

// Process names this process in the store for as long as it lives; "" if that can't be.
func (s *Store) Process() string {
	if s.own() != nil {
		return ""
	}
	return filepath.Base(s.private.Dir)
}

// Lives says whether the process that has this name in the store lives still.
func (s *Store) Lives(process string) bool {
	if process == "" || process != filepath.Base(process) {
		return false
	}
	lock, err := lockDir(filepath.Join(s.Dir, "jobs", process), false)
	if err == nil {
		lock.Close()
	}
	return errors.Is(err, errHeld)
}

// Close removes what this process had for itself.
func (s *Store) Close() error {
	if s.files != nil {
		defer s.files.Close()
	}
	return s.leave()
}

func (s *Store) temp() (*os.File, error) {
	if err := s.own(); err != nil {
		return nil, err
	}
	return os.CreateTemp(filepath.Join(s.private.Dir, "tmp"), "")
}

// JobDir makes an empty directory for a job, on the store's file system.
func (s *Store) JobDir(name string) (string, error) {
	if err := s.own(); err != nil {
		return "", err
	}
	return os.MkdirTemp(s.private.Dir, name+"-")
}

// RemoveAll removes a directory also where a job took the right to write from a folder in it.
func RemoveAll(dir string) error {
	if removeBelow(dir) || os.RemoveAll(dir) == nil {
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
