package ledger

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/dpb-build/dpb/cache/disk"
	"golang.org/x/sys/unix"
)

// heldBy names the processes that have a file of the database locked to write, where the system tells (Linux); "" if it does not.
func heldBy(file string) string {
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	var found []string
	for _, name := range []string{file, file + "-shm"} {
		for _, pid := range writers(locks, name) {
			cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			args := strings.Split(strings.TrimRight(string(cmdline), "\x00"), "\x00")
			found = append(found, strings.TrimSpace(fmt.Sprintf("pid %d %s", pid, disk.Commandline(args))))
		}
	}
	return strings.Join(slices.Compact(found), ", ")
}

// writers lists the other processes that /proc/locks says have a file locked to write. The file itself is not opened: SQLite's own locks would go when it is closed.
func writers(locks []byte, name string) (pids []int) {
	info, err := os.Stat(name)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	dev := uint64(st.Dev)
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(dev), unix.Minor(dev), st.Ino)
	for line := range bytes.Lines(locks) {
		f := strings.Fields(string(line)) // 1: POSIX ADVISORY WRITE 4711 08:01:1234 120 120
		if len(f) < 6 || f[1] != "POSIX" || f[3] != "WRITE" || f[5] != want {
			continue
		}
		if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}
