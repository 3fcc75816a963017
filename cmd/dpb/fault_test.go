package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/dpb-build/dpb/cache/fault"
)

// faultAt makes a dpb that a test started die or fail: "blob kept/3/kill" kills it when it comes there for the third time, "…/3/EIO" and "…/3/ENOSPC" fail the operation.
const faultAt = "DPB_TEST_FAULT"

var faults = map[string]syscall.Errno{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}

// setFault does what faultAt asks for. It says so before it happens.
func setFault() {
	words := strings.Split(os.Getenv(faultAt), "/")
	if len(words) != 3 {
		return
	}
	number, err := strconv.ParseInt(words[1], 10, 64)
	if err != nil {
		panic(err)
	}
	var hits atomic.Int64
	fault.Set(func(p fault.Point) error {
		if string(p) != words[0] || hits.Add(1) != number {
			return nil
		}
		fmt.Fprintf(os.Stderr, "fault: %s\n", os.Getenv(faultAt))
		if errno, ok := faults[words[2]]; ok {
			return &os.PathError{Op: "write", Path: "faulty", Err: errno}
		}
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	})
}
