// Package sandbox runs programs in Linux namespaces of their own, where they see what they are given and nothing else.
package sandbox

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// UnavailableError says why programs can't be isolated here, and what would let them be.
type UnavailableError struct {
	Reason  string
	lasting bool // the next try would end likewise
}

func (e *UnavailableError) Error() string { return e.Reason }

// Mount shows a file or folder of the machine at an absolute path of the sandbox, which may be the same. Without Writable nothing below it can be changed.
type Mount struct {
	From, At string
	Writable bool
}

// Program is what to run. All paths but those of Mount.From are those that the program sees.
type Program struct {
	Path    string // "" means this very program, for parts of it that run apart
	Args    []string
	Env     []string
	Dir     string
	Mounts  []Mount // those inside of others come after them
	Network bool    // it shares the machine's network; else it has a loopback interface of its own and nothing else
}

// Exit is how a program ended.
type Exit struct {
	Status    syscall.WaitStatus
	User, Sys time.Duration
	MaxRSS    int64 // bytes
}

// Process is a program that runs. When it ends, all that it started is ended too.
type Process struct {
	box   *Box
	ended chan exited

	mu   sync.Mutex // of signals, which come from anywhere
	over bool       // the box may run another program
}

type exited struct {
	Exit
	err error
}

// Wait returns when the program and all that it started are gone. Its error says that the sandbox itself was lost.
func (p *Process) Wait() (Exit, error) {
	e := <-p.ended
	p.ended <- e // for who asks again
	return e.Exit, e.err
}

// StartError says that a program could not be started: it may not be there, or be no program.
type StartError struct{ Err syscall.Errno }

func (e *StartError) Error() string { return e.Err.Error() }
func (e *StartError) Unwrap() error { return e.Err }

// errLost says that the process that keeps the namespaces is gone.
var errLost = errors.New("the process that isolates jobs is gone: something killed it, or the machine has too little memory")

// setupError says what could not be laid out for a program.
type setupError struct{ text string }

func (e *setupError) Error() string { return e.text }

// IsTrouble says of an error that it is about isolation itself, and not about a program.
func IsTrouble(err error) bool {
	var none *UnavailableError
	var setup *setupError
	return errors.Is(err, errLost) || errors.As(err, &none) || errors.As(err, &setup)
}

// Root says what of the machine stays out of sight even where it lies in a system directory.
type Root struct {
	Hidden []string // absolute paths: the workspace, the store, the home
}

// real names what is hidden where it lies, without what lies in others of it: these are covered one by one.
func (r Root) real() (out Root) {
	var all []string
	for _, path := range r.Hidden {
		all = append(all, realPath(path))
	}
	slices.Sort(all)
	for _, path := range all {
		if !slices.ContainsFunc(out.Hidden, func(dir string) bool { return within(path, dir) }) {
			out.Hidden = append(out.Hidden, path)
		}
	}
	return out
}

// systemDirs are the directories that programs are installed to. All programs see them, read-only.
var systemDirs = []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu"}

// IsSystem says whether a path lies in a directory that all programs see.
func IsSystem(path string) bool {
	return slices.ContainsFunc(systemDirs, func(dir string) bool { return within(path, dir) })
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }

// Home is where the user's home directory really lies, "" if there is none.
func Home() string {
	home, err := os.UserHomeDir()
	if err != nil || home == "/" {
		return ""
	}
	home = realPath(home)
	if home == realPath("/bin") || home == realPath("/sbin") || slices.Contains(systemDirs, home) { // accounts of services have such homes, which are nobody's
		return ""
	}
	return home
}

// realPath is a path without links, as far as it is there.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	return path
}
