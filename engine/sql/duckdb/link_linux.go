//go:build cgo && !noduckdb && (amd64 || arm64)

package duckdb

// The engine's library is linked into dpb, and nothing else looks for its symbols. To list all of them for others would make each start of a process look through 60,000.

// #cgo LDFLAGS: -Wl,--no-export-dynamic
import "C"
