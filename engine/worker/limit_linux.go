package worker

import "golang.org/x/sys/unix"

// limitData bounds what the process may allocate, and keeps it from leaving a core file.
func limitData(bytes int64) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return err
	}
	return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: uint64(bytes), Max: uint64(bytes)})
}

// rssUnit is in what the system counts the memory of a process, in bytes.
const rssUnit = 1 << 10 // Linux counts kilobytes
