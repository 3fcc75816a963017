package disk

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// syncEach is false where one call makes all files of the store durable.
const syncEach = false

// syncAll makes all files on a file system durable. It tells of what could not be written since the directory was opened.
func syncAll(dir *os.File) error { return os.NewSyscallError("syncfs", unix.Syncfs(int(dir.Fd()))) }

// clone shares the blocks of from with to, where the file system can.
func clone(to, from *os.File) bool { return unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil }

// ChangeTime returns what tells a change that leaves size and mtime as they were: ctime in nanoseconds, and the inode.
func ChangeTime(info os.FileInfo) (ctime int64, inode uint64) {
	if st, ok := info.Sys().(*unixStat); ok {
		return st.Ctim.Nano(), st.Ino
	}
	return 0, 0
}

// lease asks the system to hold off whoever opens a file to write, or cuts it, and to tell of that. It is refused while anybody has it open or mapped to write.
func lease(f *os.File) bool {
	_, err := unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_RDLCK)
	return err == nil
}

// isLeased says whether nobody tried since lease.
func isLeased(f *os.File) bool {
	kind, err := unix.FcntlInt(f.Fd(), unix.F_GETLEASE, 0)
	return err == nil && kind == unix.F_RDLCK
}

func endLease(f *os.File) { _, _ = unix.FcntlInt(f.Fd(), unix.F_SETLEASE, unix.F_UNLCK) }

// linkOpen gives an open file another name.
func linkOpen(f *os.File, name string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW)
}
