//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"errors"
	"strings"
	"syscall"
	"testing"
)

// TestScratchLimit sorts more than memory and scratch hold: the job is to blame, and says what would help. With scratch enough the same job succeeds.
func TestScratchLimit(t *testing.T) {
	const sorts = "SELECT hash(range) AS h, repeat(md5(CAST(range AS VARCHAR)), 2) AS s FROM range(1000000) ORDER BY h"
	j := newJob(t, "out.csv", sorts)
	j.Memory, j.Threads = 64<<20, 1
	mustRun(t, j)
	defer func(n int64) { scratchPerMemory = n }(scratchPerMemory)
	scratchPerMemory = 1
	j = newJob(t, "out.csv", sorts)
	j.Memory, j.Threads = 64<<20, 1
	_, err := Run(t.Context(), j)
	if ps := Problems(err); err == nil || len(ps) != 1 || ps[0].Summary != "it needed more scratch space than 67.1 MB, 1 times its memory" || ps[0].Hint != `give the target more, as in memory = "1GB"` || ps[0].Range.File != "p/out.sql" {
		t.Errorf("%v\n%+v", err, ps)
	}
	if errors.Is(err, syscall.ENOSPC) {
		t.Error("the disk is to blame")
	}
}

// TestNoRoomForScratch tells a disk with little room from a job that wants too much.
func TestNoRoomForScratch(t *testing.T) {
	s := &session{scratch: 1800_000_000, littleRoom: true}
	err := s.failure(t.Context(), errors.New(`x: {"exception_type":"Out of Memory","exception_message":"failed to offload.\nThis limit was set by the 'max_temp_directory_size' setting."}`))
	if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "it needed more scratch space than 1.8 GB") {
		t.Error(err)
	}
}
