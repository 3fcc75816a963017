package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// logFile is a file that grows up to a size. Then it becomes FILE.1, what was that FILE.2, and so on up to the number that is kept.
type logFile struct {
	path string
	most int64 // bytes
	keep int   // older ones
	file *os.File
}

// open begins a new file where the old one is full, or is not there any more because somebody else moved it away, and says whether it did. It is called between builds,
// so that no line is torn; a long build may write more.
func (l *logFile) open() (bool, error) {
	if l.file != nil && l.isAt() {
		if info, err := l.file.Stat(); err == nil && info.Size() < l.most {
			return false, nil
		}
	}
	if err := l.rotate(); err != nil {
		return false, err
	}
	file, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return false, err
	}
	if l.file != nil {
		_ = l.file.Close()
	}
	l.file = file
	return true, nil
}

// isAt says whether the path still names the file.
func (l *logFile) isAt() bool {
	open, err := l.file.Stat()
	named, namedErr := os.Stat(l.path)
	return err == nil && namedErr == nil && os.SameFile(open, named)
}

// rotate moves a full file away, and those before it.
func (l *logFile) rotate() error {
	info, err := os.Stat(l.path)
	if err != nil || info.Size() < l.most {
		return ignoreAbsent(err)
	}
	for k := l.keep; k > 0; k-- {
		if err := ignoreAbsent(os.Rename(l.name(k-1), l.name(k))); err != nil {
			return err
		}
	}
	return ignoreAbsent(os.Remove(l.path)) // if none is kept
}

// name of the file that is so many rotations old.
func (l *logFile) name(k int) string {
	if k == 0 {
		return l.path
	}
	return fmt.Sprintf("%s.%d", l.path, k)
}

// writes says whether a path is the file's, or that of an older one.
func (l *logFile) writes(path string) bool {
	rest, ok := strings.CutPrefix(path, l.path)
	if !ok || rest == "" {
		return ok
	}
	digits, ok := strings.CutPrefix(rest, ".")
	return ok && digits != "" && strings.Trim(digits, "0123456789") == ""
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
