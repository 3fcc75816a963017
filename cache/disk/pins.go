package disk

import (
	"errors"
	"os"
	"path/filepath"
	"sync"

	"github.com/dpb-build/dpb/cache"
)

// A process that writes pins what it relies on before it looks whether that is there, and the collector deletes nothing that is pinned. Neither waits for the other but
// for moments: both hold the gate, a process shared while it writes pins down, the collector alone while it reads them and deletes a few files. So what is found after it
// was pinned stays, and what the collector deleted before it could know is seen to be gone.
//
// Pins of a process that ended while a collector was at work stay until that has ended: its records may be younger than what the collector knows of the ledger.

const (
	gateFile    = "pins.lock"    // the gate
	collectFile = "collect.lock" // held by the collector while it works, and shared by who removes pins
	pinsFile    = "pins"         // of a process, in its private directory: digests, 32 bytes each
)

// pins are those of this process.
type pins struct {
	on bool // the store was opened to write

	mu    sync.Mutex
	gate  *os.File
	file  *os.File
	known map[[32]byte]bool
}

// Pin keeps blobs and trees, and the blobs of these, from being collected while this process lives.
func (s *Store) Pin(trees ...cache.TreeDigest) error {
	digests := make([][32]byte, len(trees))
	for k, d := range trees {
		digests[k] = d
	}
	return s.pin(digests...)
}

// pin comes before each look at what it pins.
func (s *Store) pin(digests ...[32]byte) error {
	p := &s.pins
	if !p.on {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var b []byte
	for _, d := range digests {
		if !p.known[d] {
			b = append(b, d[:]...)
		}
	}
	if len(b) == 0 {
		return nil
	}
	if err := s.openPins(); err != nil {
		return err
	}
	if err := flockShared(p.gate, true); err != nil {
		return err
	}
	defer unlock(p.gate)
	if n, err := p.file.Write(b); err != nil {
		if info, statErr := p.file.Stat(); statErr == nil { // a pin that was cut off would shift all that follow
			err = errors.Join(err, p.file.Truncate(info.Size()-int64(n%len(cache.Digest{}))))
		}
		return NoRoom(err, s.Dir, int64(len(b)))
	}
	for _, d := range digests {
		p.known[d] = true
	}
	return nil
}

func (s *Store) openPins() (err error) {
	p := &s.pins
	if p.file != nil {
		return nil
	}
	if err := s.own(); err != nil {
		return err
	}
	if p.gate, err = s.openLock(gateFile); err != nil {
		return err
	}
	p.known = map[[32]byte]bool{}
	p.file, err = os.OpenFile(filepath.Join(s.private.Dir, pinsFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	return err
}

func (p *pins) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file != nil {
		p.file.Close()
		p.gate.Close()
	}
	p.on = false
}

func (s *Store) openLock(name string) (*os.File, error) {
	return os.OpenFile(filepath.Join(s.Dir, "jobs", name), os.O_RDWR|os.O_CREATE, 0o666)
}

// quiet keeps a collector from starting until what it returns is closed; nil while one is at work.
func (s *Store) quiet() *os.File {
	f, err := s.openLock(collectFile)
	if err != nil {
		return nil
	}
	if flockShared(f, false) != nil {
		f.Close()
		return nil
	}
	return f
}

// leave ends this process's use of its private directory. A collector that is at work still reads its pins.
func (s *Store) leave() error {
	if s.private == nil {
		return nil
	}
	s.pins.close()
	if f := s.quiet(); f != nil {
		defer f.Close()
		return s.private.Close()
	}
	entries, err := os.ReadDir(s.private.Dir)
	for _, e := range entries {
		if e.Name() != pinsFile && err == nil {
			err = RemoveAll(filepath.Join(s.private.Dir, e.Name()))
		}
	}
	s.private.lock.Close()
	return err
}
