//go:build !linux && !darwin

package watch

const limit = "open files: ulimit -n"

// remote names the kind of file system that a directory lies on, if its changes aren't all told; "" where that can't be said.
func remote(string) string { return "" }
