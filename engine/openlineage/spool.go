package openlineage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
)

// So much waits at most; beyond that the oldest is dropped.
const maxEvents, maxBytes = 10_000, 64 << 20

// spool keeps events on disk until they are delivered: one file each, which is removed then. The order of names is that of the events; several processes may put into one spool.
// What was put survives the process, not a loss of power.
type spool struct {
	dir    string
	limit  int
	prefix string // of what this process puts
	put    int

	mu      sync.Mutex
	waiting []spooled // as far as this process knows, the oldest first
	bytes   int64
	dropped int
}

type spooled struct {
	name string
	size int64
}

const ending = ".json"

// spooledAs reads the name of a file, which tells its size: thousands may wait, and each build looks at them.
func spooledAs(name string) (spooled, bool) {
	rest, ok := strings.CutSuffix(name, ending)
	size, err := strconv.ParseInt(rest[strings.LastIndexByte(rest, '-')+1:], 10, 64)
	return spooled{name, size}, ok && err == nil && !strings.HasPrefix(name, ".")
}

// openSpool reads what earlier builds left.
func openSpool(dir string) (*spool, error) {
	s := &spool{dir: dir, limit: maxEvents}
	err := s.list()
	var last int64
	if n := len(s.waiting); n > 0 {
		_, _ = fmt.Sscanf(s.waiting[n-1].name, "%016x", &last)
	}
	s.prefix = fmt.Sprintf("%016x-%x-", max(time.Now().UnixNano(), last+1), os.Getpid()) // a clock that went back changes no order
	return s, err
}

// list looks at what is there. A folder that is not there is empty.
func (s *spool) list() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting, s.bytes = nil, 0
	d, err := os.Open(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	slices.Sort(names)
	for _, name := range names {
		if w, ok := spooledAs(name); ok {
			s.waiting, s.bytes = append(s.waiting, w), s.bytes+w.size
		}
	}
	return err
}

// add puts an event at the end, and drops the oldest where it would be too much.
func (s *spool) add(event []byte) error {
	if err := os.MkdirAll(s.dir, 0o777); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := fmt.Sprintf("%s%010d-%d%s", s.prefix, s.put, len(event), ending)
	if err := disk.WriteFile(filepath.Join(s.dir, name), event); err != nil {
		return err
	}
	s.put++
	s.waiting, s.bytes = append(s.waiting, spooled{name, int64(len(event))}), s.bytes+int64(len(event))
	for len(s.waiting) > s.limit || s.bytes > maxBytes {
		s.drop(s.waiting[0].name)
		s.dropped++
	}
	return nil
}

// first is the oldest event; "" if none waits.
func (s *spool) first() (name string, event []byte, err error) {
	for {
		name = s.oldest()
		if name == "" {
			return "", nil, nil
		}
		event, err = os.ReadFile(filepath.Join(s.dir, name))
		if !errors.Is(err, fs.ErrNotExist) {
			return name, event, err
		}
		s.remove(name) // another process delivered it
	}
}

func (s *spool) oldest() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.waiting) == 0 {
		return ""
	}
	return s.waiting[0].name
}

func (s *spool) remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(name)
}

func (s *spool) drop(name string) {
	_ = os.Remove(filepath.Join(s.dir, name)) // what can't be removed is delivered again
	switch k := slices.IndexFunc(s.waiting, func(w spooled) bool { return w.name == name }); {
	case k == 0:
		s.bytes, s.waiting = s.bytes-s.waiting[0].size, s.waiting[1:]
	case k > 0:
		s.bytes, s.waiting = s.bytes-s.waiting[k].size, slices.Delete(s.waiting, k, k+1)
	}
}

// left says how many events wait, and how many were dropped.
func (s *spool) left() (waiting, dropped int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting), s.dropped
}
