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
	fd, err := again(func() (int, error) { return unix.Open(name, flags|unix.O_CLOEXEC, mode) })
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// writeNew writes a new file of that mode, or of what the system leaves of it unless it is to be exact. If it fails, there is no file.
func writeNew(name string, b []byte, mode os.FileMode, exact bool) error {
	fd, err := again(func() (int, error) {
		return unix.Open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, uint32(mode.Perm()))
	})
	if err != nil {
		return &os.PathError{Op: "open", Path: name, Err: err}
	}
	for err == nil && len(b) > 0 {
		var n int
		if n, err = again(func() (int, error) { return unix.Write(fd, b) }); err == nil {
			b = b[n:]
		}
	}
	if err == nil && exact {
		err = unix.Fchmod(fd, uint32(mode.Perm()))
	}
	if closed := unix.Close(fd); err == nil {
		err = closed
	}
	if err != nil {
		_ = unix.Unlink(name)
		return &os.PathError{Op: "write", Path: name, Err: err}
	}
	return nil
}

// readOnce reads a file into b with one call, which gives all of a file that is shorter than b.
func readOnce(name string, b []byte) (n int, err error) {
	fd, err := again(func() (int, error) { return unix.Open(name, unix.O_RDONLY|unix.O_CLOEXEC, 0) })
	if err != nil {
		return 0, err
	}
	n, err = again(func() (int, error) { return unix.Read(fd, b) })
	_ = unix.Close(fd)
	return n, err
}

// stampAs is the stamp of a file after it was made sure that it has a mode.
func stampAs(name string, mode os.FileMode) (Stamp, error) {
	for tries := 0; ; tries++ {
		var st unix.Stat_t
		_, err := again(func() (int, error) { return 0, unix.Lstat(name, &st) })
		if err != nil || tries > 0 || os.FileMode(st.Mode).Perm() == mode {
			return stampOf(&st), err
		}
		if err := unix.Chmod(name, uint32(mode)); err != nil {
			return Stamp{}, err
		}
	}
}

// again repeats a call of the system that a signal interrupts.
func again(f func() (int, error)) (n int, err error) {
	for {
		if n, err = f(); err != unix.EINTR {
			return n, err
		}
	}
}

// renameFile is os.Rename without the look whether there is a folder at the new place.
func renameFile(from, to string) error {
	_, err := again(func() (int, error) { return 0, unix.Rename(from, to) })
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
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
