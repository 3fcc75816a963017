package exec

import "syscall"

// maxRSS is in bytes; Linux counts kilobytes.
func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss << 10 }

// attributes give a job a process group, and let the kernel kill it when dpb is gone without having ended it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
