package sandbox

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Namespaces don't cover all that reaches out of a program: keys live with the user, also of other programs, and sockets of the family vsock lead to the host of a virtual
// machine. io_uring would get around a filter on sockets. These are as if the kernel did not have them.
var absentCalls = []uint32{unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_KEYCTL, unix.SYS_IO_URING_SETUP}

// architectures are those that the filter is written for. Calls of another one, such as those of 32-bit programs, have other numbers and are refused.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

const (
	x32Calls = 0x40000000 // from here on the numbers are those of x32, on amd64

	// Where the kernel shows a filter what is called: struct seccomp_data.
	callAt, archAt, firstArgumentAt = 0, 4, 16
)

// filterCalls makes what the thread starts run without some system calls.
func filterCalls() error {
	arch, ok := architectures[runtime.GOARCH]
	if !ok {
		return nil
	}
	program := filter(arch)
	prog := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
	return unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0)
}

func filter(arch uint32) []unix.SockFilter {
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	unless := func(test uint16, value uint32, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: value, Jf: skip}
	}
	answer := func(what uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: what} }
	absent, noFamily := answer(unix.SECCOMP_RET_ERRNO|uint32(unix.ENOSYS)), answer(unix.SECCOMP_RET_ERRNO|uint32(unix.EAFNOSUPPORT))
	out := []unix.SockFilter{load(archAt), {Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: arch, Jt: 1}, absent, load(callAt)}
	if arch == unix.AUDIT_ARCH_X86_64 {
		out = append(out, unless(unix.BPF_JGE, x32Calls, 1), absent)
	}
	for _, call := range absentCalls {
		out = append(out, unless(unix.BPF_JEQ, call, 1), absent)
	}
	return append(out, unless(unix.BPF_JEQ, unix.SYS_SOCKET, 3), load(firstArgumentAt), unless(unix.BPF_JEQ, unix.AF_VSOCK, 1), noFamily, answer(unix.SECCOMP_RET_ALLOW))
}
