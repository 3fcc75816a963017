//go:build unix

package disk

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

type unixStat = syscall.Stat_t

// lockDir opens a directory and locks it until it is closed; without wait it fails if another process holds it.
func lockDir(name string, wait bool) (*os.File, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if err := flock(f, wait); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// openPlain is os.OpenFile for regular files, of which many are opened: it asks nobody to tell when they can be read, which takes four calls of the system more.
func openPlain(name string, flags int, mode uint32) (*os.File, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, mode)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EINTR):
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		}
	}
}

// flock locks an open file until it is closed. Without wait its error is errHeld if another holds the lock.
func flock(f *os.File, wait bool) error { return lock(f, unix.LOCK_EX, wait) }

// flockShared is flock with a lock that others may share.
func flockShared(f *os.File, wait bool) error { return lock(f, unix.LOCK_SH, wait) }

func unlock(f *os.File) { _ = lock(f, unix.LOCK_UN, true) }

func lock(f *os.File, how int, wait bool) error {
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		switch err := sysFlock(int(f.Fd()), how); err {
		case nil:
			return nil
		case unix.EINTR:
		case unix.EWOULDBLOCK:
			return errHeld
		default:
			return fmt.Errorf("%s can't be locked (%w): its file system must know locks, without which two dpb would run the same jobs; keep the store on another one",
				f.Name(), err)
		}
	}
}

// sysFlock is replaced by tests that need a file system without locks.
var sysFlock = unix.Flock

var errHeld = errors.New("another process holds the lock")

// freeAt is how many bytes people may write to a file system. One that has no room for another file has none for bytes.
func freeAt(path string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		return 0, err
	}
	if st.Ffree == 0 && st.Files > 0 {
		return 0, nil
	}
	return int64(st.Bavail) * int64(st.Bsize), nil
}

// device identifies a file system; 0 if that is not known.
func device(path string) uint64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*unixStat); ok {
		return uint64(st.Dev)
	}
	return 0
}

// Writable says why this process may not write a file, or make files in a directory; nil if it may. It opens nothing.
func Writable(dir string) error { return unix.Access(dir, unix.W_OK) }
