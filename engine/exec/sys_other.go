//go:build !linux

package exec

import "syscall"

func maxRSS(u *syscall.Rusage) int64 { return u.Maxrss }

func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
