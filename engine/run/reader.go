package run

import (
	"context"
	"path/filepath"
	"sync"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/worker"
)

// reader is a process that reads what lies in the store, with a folder of its own to write to.
type reader struct {
	*worker.Worker
	dir   string
	boxes *sandbox.Pool
}

func (s *Session) reader(name string, memory int64, inPlace []source.Snapshot) (r *reader, err error) {
	r = &reader{boxes: s.boxes}
	if r.dir, err = s.Store.JobDir(name); err != nil {
		return nil, err
	}
	r.Worker = &worker.Worker{Read: []string{s.Store.BlobsDir()}, Write: []string{r.dir}, Memory: memory, Log: filepath.Join(r.dir, "log")}
	for _, snapshot := range inPlace {
		for _, e := range snapshot.Tree.Entries {
			r.Read = append(r.Read, s.Store.BlobPath(e.Digest))
		}
	}
	if r.Box, err = s.boxes.Get(); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reader) close() {
	r.Close()
	r.boxes.Put(r.Box)
	_ = disk.RemoveAll(r.dir)
}

// counters are processes that compute fingerprints, one after the other. They run dpb's own code, which is safe with its memory and keeps nothing, over what is in the
// store, which they can't write to: so unlike those that run SQL they serve any action.
type counters struct {
	mu   sync.Mutex
	idle []*reader
}

func (s *Session) counter() (*reader, error) {
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	if n := len(s.counters.idle); n > 0 {
		r := s.counters.idle[n-1]
		s.counters.idle = s.counters.idle[:n-1]
		return r, nil
	}
	return s.reader("count", 0, nil)
}

// fingerprintOf computes the fingerprint of a table that lies in the store.
func (s *Session) fingerprintOf(ctx context.Context, t fingerprint.Table, threads int) (*engine.Fingerprint, fingerprint.State, error) {
	r, err := s.counter()
	if err != nil {
		return nil, nil, err
	}
	f, state, err := r.Fingerprint(ctx, t, threads)
	if err != nil {
		r.close()
		return nil, nil, err
	}
	s.counters.mu.Lock()
	defer s.counters.mu.Unlock()
	s.counters.idle = append(s.counters.idle, r)
	return f, state, nil
}

func (c *counters) close() {
	for _, r := range c.idle {
		r.close()
	}
}
