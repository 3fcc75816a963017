//go:build !linux

package sandbox

import (
	"os"
	"syscall"
)

// Box is there on Linux only.
type Box struct{}

// New returns an *UnavailableError.
func New(Root) (*Box, error) {
	return nil, &UnavailableError{"only Linux has the namespaces that it takes", true}
}

// Start is never called.
func (*Box) Start(Program, ...*os.File) (*Process, error) { return nil, errLost }

// Signal is never called.
func (*Process) Signal(syscall.Signal) {}

func (*Box) lost() bool { return false }

// Close does nothing.
func (*Box) Close() {}
