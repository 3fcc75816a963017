package watch

import "golang.org/x/sys/unix"

const limit = "kern.maxfilesperproc, and ulimit -n"

// remote says "a network" if a directory lies on a file system that is not this machine's; else "".
func remote(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Flags&unix.MNT_LOCAL != 0 {
		return ""
	}
	return "a network"
}
