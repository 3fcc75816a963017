package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// FullError says that a file system has no room for what was to be written there.
type FullError struct {
	Needed int64 // bytes that were wanted at least; 0: not known
	Free   int64
	Path   string // of what was to be written, or of the folder that holds it
	Mount  string // the folder at which its file system begins; "" if it can't be asked
	err    error
}

func (e *FullError) Unwrap() error { return e.err }

func (e *FullError) Error() string {
	free := "what is free there can't be told"
	if e.Mount != "" {
		free = fmt.Sprintf("%s are free on the file system at %s", inBytes(e.Free), e.Mount)
	}
	if e.Needed > 0 {
		free = fmt.Sprintf("needs %s, and %s", inBytes(e.Needed), free)
	} else {
		free = "has no room: " + free
	}
	what := e.Path
	if strings.Contains(e.err.Error(), what) {
		what = "it"
	}
	return fmt.Sprintf("%v: %s %s; make room and build again, what is done stays done", e.err, what, free)
}

// NoRoom adds to an error that says that a file system is full which one, how much is free there, and how much was needed; 0 if that isn't known. path is used
// where the error names none. Other errors stay as they are.
func NoRoom(err error, path string, needed int64) error {
	var known *FullError
	if !IsFull(err) || errors.As(err, &known) {
		return err
	}
	var named *fs.PathError
	if errors.As(err, &named) && filepath.IsAbs(named.Path) {
		path = named.Path
	}
	return Full(err, path, needed)
}

// Full is NoRoom for errors of which the caller knows that they come from a file system that is full.
func Full(err error, path string, needed int64) error {
	full := &FullError{Needed: needed, Path: path, err: err}
	if at, free, err := room(path); err == nil {
		full.Free, full.Mount = free, mount(at)
	}
	return full
}

// IsFull says whether an error is that there is no room, or that a person's quota is used up.
func IsFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// low is how much has to be free where things work.
const low = 1 << 20

// Low says whether there is next to no room where a file lies, or is to lie.
func Low(path string) bool {
	_, free, err := room(path)
	return err == nil && free < low
}

// Free says how much may be written where a file lies, or is to lie; 0 if that can't be told.
func Free(path string) int64 {
	_, free, err := room(path)
	if err != nil {
		return 0
	}
	return free
}

// big is how much is asked for before it is written: else that costs more than the attempt.
const big = low

// Room fails if there is no room for a big file. That there is some now promises nothing.
func Room(path string, needed int64) error {
	if needed < big {
		return nil
	}
	if _, free, err := room(path); err == nil && free < needed {
		return Full(syscall.ENOSPC, path, needed)
	}
	return nil
}

// room says how much is free where a file lies, or is to lie, and which of the folders around it is there.
func room(path string) (dir string, free int64, err error) {
	for dir = path; ; dir = filepath.Dir(dir) {
		if free, err = freeAt(dir); !errors.Is(err, os.ErrNotExist) || dir == filepath.Dir(dir) {
			return dir, free, err
		}
	}
}

// mount is the folder at which the file system of a file begins.
func mount(path string) string {
	for {
		above := filepath.Dir(path)
		if above == path || device(above) != device(path) {
			return path
		}
		path = above
	}
}

func inBytes(n int64) string {
	if n < 1000 {
		return fmt.Sprintf("%d B", n)
	}
	f, k := float64(n)/1000, 0
	for ; f >= 999.95 && k < 4; k++ {
		f /= 1000
	}
	return fmt.Sprintf("%.1f %cB", f, "kMGTP"[k])
}
