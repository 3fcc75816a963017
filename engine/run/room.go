package run

import (
	"errors"
	"strings"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine/exec"
)

// noSpace is how programs, and the SQL engine, say that a file system is full.
const noSpace = "No space left on device"

// isFull says whether an error comes from a full file system.
func isFull(err error) bool {
	var known *disk.FullError
	return disk.IsFull(err) || errors.As(err, &known) || err != nil && strings.Contains(err.Error(), noSpace)
}

// noRoom explains an error that comes from a full file system: the store's, as that holds the jobs' directories too, unless the error names another.
func (s *Session) noRoom(err error) error {
	var known *disk.FullError
	switch {
	case !isFull(err) || errors.As(err, &known):
		return err
	case disk.IsFull(err):
		return disk.NoRoom(err, s.Store.Dir, 0)
	}
	return disk.Full(err, s.Store.Dir, 0)
}

// jobError is why a job failed. Where there is no room its exit code says nothing of its key: that is this machine's trouble.
func (s *Session) jobError(o exec.Outcome) error {
	err := o.Err()
	if err == nil {
		return nil
	}
	said := len(o.Tail) > 0 && strings.Contains(strings.Join(o.Tail, "\n"), noSpace)
	if said || disk.Low(s.Store.Dir) {
		return disk.Full(err, s.Store.Dir, 0)
	}
	return err
}
