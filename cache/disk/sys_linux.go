package disk

import (
	"bytes"
	"fmt"
	"os"
	"unsafe"

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

// removeBelow removes a folder and all in it with few calls of the system, and says whether nothing is left. What it can't it leaves to os.RemoveAll.
func removeBelow(dir string) bool { return removeAt(unix.AT_FDCWD, dir) }

// removeAt removes a folder, which is empty most of the time, by its name in another one. No link is followed.
func removeAt(parent int, name string) bool {
	err := unix.Unlinkat(parent, name, unix.AT_REMOVEDIR)
	if err == nil || err == unix.ENOENT {
		return true
	}
	fd, err := unix.Openat(parent, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	more, emptied := true, true
	for more && emptied {
		more, emptied = removeListed(fd)
	}
	_ = unix.Close(fd)
	return emptied && unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) == nil
}

// removeListed removes what the system lists of a folder in one go. more says that it may have more to list; if it says no and there was more, the folder can't be
// removed after it.
func removeListed(fd int) (more, ok bool) {
	var buffer [4096]byte
	n, err := unix.ReadDirent(fd, buffer[:])
	if err != nil {
		return false, false
	}
	for b := buffer[:n]; len(b) > 0; {
		entry := (*unix.Dirent)(unsafe.Pointer(&b[0]))
		name := b[unsafe.Offsetof(entry.Name):entry.Reclen]
		name = name[:bytes.IndexByte(name, 0)]
		b = b[entry.Reclen:]
		switch text := string(name); {
		case text == "." || text == "..":
		case entry.Type == unix.DT_DIR:
			if !removeAt(fd, text) {
				return false, false
			}
		case unix.Unlinkat(fd, text, 0) != nil:
			return false, false
		}
	}
	return n > len(buffer)/2, true
}
