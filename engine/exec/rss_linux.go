package exec

import "syscall"

// maxRSS is in bytes; Linux counts kilobytes.
func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss << 10 }
