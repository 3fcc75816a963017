package disk

import (
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
