//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	"github.com/dpb-build/dpb/cache/disk"
)

// scratchPerMemory is how many times its memory a job may use as scratch. A sort of as much is reasonable; far more comes from a join that multiplies its rows.
var scratchPerMemory int64 = 100

// limit bounds what the session takes: memory, and scratch below a folder. Of a disk with less room than that it leaves a tenth to others. These limits decide whether a job
// succeeds, never what it writes.
func (s *session) limit(ctx context.Context, memory int64, spill string) error {
	s.scratch = scratchPerMemory * memory
	if free := disk.Free(spill); free > 0 && free-free/10 < s.scratch {
		s.scratch, s.littleRoom = free-free/10, true
	}
	return s.exec(ctx, fmt.Sprintf("SET memory_limit='%dKiB'", memory>>10), "SET temp_directory="+quote(spill),
		fmt.Sprintf("SET max_temp_directory_size='%dKiB'", s.scratch>>10)) // the last is not enforced where it is given with the connection
}

// noScratch says whether the limit of scratch was met.
func noScratch(message string) bool { return strings.Contains(message, "max_temp_directory_size") }

// scratchFailure tells a job that wants too much scratch from a disk that has too little room for it.
func (s *session) scratchFailure() error {
	size := fmt.Sprintf("%.1f GB", float64(s.scratch)/1e9)
	if s.scratch < 1e9 {
		size = fmt.Sprintf("%.1f MB", float64(s.scratch)/1e6)
	}
	if s.littleRoom {
		return &noRoomError{"it needed more scratch space than " + size + ", which leaves a tenth of what was free to others"}
	}
	return &failure{Kind: outOfScratch, Message: fmt.Sprintf("it needed more scratch space than %s, %d times its memory", size, scratchPerMemory)}
}

// outOfScratch is the kind of a failure that is not the engine's own.
const outOfScratch = "Out of Scratch"

// noRoomError is a disk with too little room for scratch: the system never said so, as the engine stopped before.
type noRoomError struct{ text string }

func (e *noRoomError) Error() string { return e.text }
func (e *noRoomError) Unwrap() error { return syscall.ENOSPC }
