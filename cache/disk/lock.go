package disk

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Holder is who holds a lock, as it says itself in the lock's file. All is empty if it could not say so.
type Holder struct {
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	For     string    `json:"for"` // what it does under the lock
	Since   time.Time `json:"since"`
}

// String is how people tell one process from others.
func (h Holder) String() string {
	if h.PID == 0 {
		return "another process"
	}
	who := h.User
	if here, _ := os.Hostname(); h.Host != here {
		who += " on " + h.Host
	}
	return fmt.Sprintf("pid %d (%s, %s)", h.PID, who, h.Command)
}

const (
	longestCommand = 200
	longestHolder  = 4096 // bytes of a lock's file that are read

	moment   = 200 * time.Millisecond // who waits longer is told for whom
	firstTry = 5 * time.Millisecond   // how long to wait before a lock is tried again, and the most
	lastTry  = 100 * time.Millisecond
)

// Commandline makes a line of a program's name and arguments that is fit to be shown: bounded, and nothing in it steers a terminal.
func Commandline(args []string) string {
	words := make([]string, len(args))
	for k, a := range args {
		if k == 0 {
			a = filepath.Base(a)
		}
		plain := func(r rune) bool { return r == utf8.RuneError || unicode.IsSpace(r) || !unicode.IsPrint(r) }
		if words[k] = a; a == "" || strings.ContainsFunc(a, plain) {
			words[k] = strconv.Quote(a)
		}
	}
	line := []rune(strings.Join(words, " "))
	if len(line) > longestCommand {
		line = append(line[:longestCommand-1], '…')
	}
	return string(line)
}

func (s *Store) lockFile(name string) string { return filepath.Join(s.Dir, "jobs", name+".lock") }

// TryLock takes the lock of a name, unless another process, or another goroutine, holds it: then release is nil. Others are told what it is for.
func (s *Store) TryLock(name, what string) (release func(), err error) {
	path := s.lockFile(name)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	if err = flock(f, false); err == nil && isAt(f, path) {
		s.signIn(f, what)
		return func() { _ = os.Remove(path); f.Close() }, nil
	}
	f.Close()
	if err != nil && !errors.Is(err, errHeld) {
		return nil, err
	}
	return nil, nil
}

// isAt says whether a file has the name by which it was opened: a holder removes it in the end, and a lock on what has no name keeps nobody out.
func isAt(f *os.File, path string) bool {
	held, err := f.Stat()
	named, namedErr := os.Stat(path)
	return err == nil && namedErr == nil && os.SameFile(held, named)
}

// signIn says in a lock's file who holds it. A lock whose file can't be written, say on a full disk, holds all the same.
func (s *Store) signIn(f *os.File, what string) {
	h := s.Me
	h.For, h.Since = what, time.Now().UTC().Round(time.Second)
	b, _ := json.Marshal(h) // plain values: it can't fail
	if f.Truncate(0) == nil {
		_, _ = f.WriteAt(append(b, '\n'), 0)
	}
}

// Lock waits until nobody else holds the lock of a name, and takes it.
func (s *Store) Lock(ctx context.Context, name string) (release func(), err error) {
	for {
		if release, err := s.TryLock(name, ""); release != nil || err != nil {
			return release, err
		}
		if err := s.AwaitLock(ctx, name, func(Holder) {}); err != nil {
			return nil, err
		}
	}
}

// AwaitLock waits until nobody holds the lock of a name, without taking it. If that takes more than a moment, or longer than ctx lets it, it tells who does, and again when that
// is another one. A lock whose holder died is free.
func (s *Store) AwaitLock(ctx context.Context, name string, tell func(Holder)) error {
	var told *Holder
	began := time.Now()
	for pause := firstTry; ; pause = min(2*pause, lastTry) {
		holder, held, err := s.peek(name)
		if err != nil || !held {
			return err
		}
		if time.Since(began) >= moment && (told == nil || *told != holder) {
			told = &holder
			tell(holder)
		}
		select {
		case <-ctx.Done():
			if told == nil {
				tell(holder)
			}
			return context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// peek tells who holds the lock of a name; false if nobody does.
func (s *Store) peek(name string) (h Holder, held bool, err error) {
	f, err := os.Open(s.lockFile(name))
	if errors.Is(err, fs.ErrNotExist) {
		return h, false, nil
	}
	if err != nil {
		return h, false, err
	}
	defer f.Close()
	if err = flock(f, false); !errors.Is(err, errHeld) {
		return h, false, err
	}
	b, _ := io.ReadAll(io.LimitReader(f, longestHolder))
	if err := json.NewDecoder(bytes.NewReader(b)).Decode(&h); err != nil {
		h = Holder{} // it is about to be written
	}
	return h, true, nil
}
