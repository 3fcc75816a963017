package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// StatCache remembers digests of files by size, times and inode. A file that changed so shortly before it was read that another change could leave the same
// times is read again (git's racy rule). Where the clock went back all are read again: a change may then have the times of before. It is safe for concurrent use.
type StatCache struct {
	// Context, when it is done, ends the reading of files; nil never ends it.
	Context context.Context

	file string
	now  func() time.Time

	mu      sync.RWMutex
	load    sync.Once
	saved   *Table               // what an earlier process left
	entries map[string]statEntry // what this one found
	dirty   map[string]bool      // of entries: not saved yet; those without an entry are forgotten
	latest  time.Time            // that the clock showed, here or when the file was written
	first   time.Time            // that it showed here

	of *StatCache // a watching cache goes on with this one, and its entries are what it was asked for
}

// ErrChanging says that somebody writes to a file just now.
var ErrChanging = errors.New("changed while it was read; run again when nobody writes to it")

type statEntry struct {
	Size, Mtime, Ctime int64
	Inode              uint64
	Digest             cache.Digest
}

// racy is how old a file's times must be when it is read. It covers file systems that count whole seconds, or two.
const racy = 2 * time.Second

const statMagic = "dpb files 2\n"

// OpenStatCache takes up what an earlier process saved, when it is first asked for. A file that is missing or damaged is an empty cache.
func OpenStatCache(file string) *StatCache {
	return &StatCache{file: file, now: time.Now, entries: map[string]statEntry{}, dirty: map[string]bool{}}
}

// clock reads the time. If it is earlier than it was before, nothing is known of any file any more.
func (c *StatCache) clock() time.Time {
	c.load.Do(func() {
		c.saved = OpenTable(c.file, statMagic)
		c.latest = c.saved.Written()
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now().Round(0) // without the reading that never goes back
	if now.Before(c.latest) {
		clear(c.entries)
		clear(c.dirty)
		c.saved.Clear()
	}
	c.latest = now
	if c.first.IsZero() || now.Before(c.first) {
		c.first = now
	}
	return now
}

// known is what is remembered of a file.
func (c *StatCache) known(path string) (statEntry, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if e, ok := c.entries[path]; ok {
		return e, true
	}
	if c.dirty[path] {
		return statEntry{}, false
	}
	b, ok := c.saved.Get(path)
	if !ok {
		return statEntry{}, false
	}
	return decodeStat(b)
}

// Digest returns the digest of a regular file, following links. It reads the file only if it may have changed.
func (c *StatCache) Digest(path string) (cache.Digest, os.FileInfo, error) {
	if c.of != nil {
		return c.watch(path)
	}
	now := c.clock()
	f, err := os.Stat(path)
	if err != nil {
		return cache.Digest{}, nil, err
	}
	if !f.Mode().IsRegular() {
		return cache.Digest{}, f, fmt.Errorf("%s is not a regular file", path)
	}
	e := entryOf(f)
	known, ok := c.known(path)
	if ok && known.Size == e.Size && known.Mtime == e.Mtime && known.Ctime == e.Ctime && known.Inode == e.Inode {
		return known.Digest, f, nil
	}
	return c.read(path, now)
}

func entryOf(f os.FileInfo) statEntry {
	e := statEntry{Size: f.Size(), Mtime: f.ModTime().UnixNano()}
	e.Ctime, e.Inode = ChangeTime(f)
	return e
}

// read hashes a file and remembers it if it did not change meanwhile and its times are old enough to tell a later change.
func (c *StatCache) read(path string, now time.Time) (cache.Digest, os.FileInfo, error) {
	f, before, err := openFile(path)
	if err != nil {
		return cache.Digest{}, nil, err
	}
	defer f.Close()
	d, n, err := cache.SumReader(c.interruptible(f))
	if err != nil {
		return d, before, err
	}
	after, err := f.Stat()
	if err != nil {
		return d, before, err
	}
	e := entryOf(after)
	if e != entryOf(before) || n != e.Size {
		return d, before, fmt.Errorf("%s %w", path, ErrChanging)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.stamp().Settled(now) {
		e.Digest = d
		c.entries[path], c.dirty[path] = e, true
	}
	return d, after, nil
}

// Forget makes the next look at a file read it.
func (c *StatCache) Forget(path string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.entries, path)
	c.dirty[path] = true
}

// Watching returns a cache that goes on with this one, and can tell whether the files that it was asked for are what they were.
func (c *StatCache) Watching() *StatCache { return &StatCache{of: c, entries: map[string]statEntry{}} }

func (c *StatCache) watch(path string) (cache.Digest, os.FileInfo, error) {
	d, info, err := c.of.Digest(path)
	if err == nil {
		e := entryOf(info)
		e.Digest = d
		c.mu.Lock()
		defer c.mu.Unlock()
		c.entries[path] = e
	}
	return d, info, err
}

// Watched counts the files that a watching cache was asked for.
func (c *StatCache) Watched() int { return len(c.entries) }

// Changed names one of them that is not what it was; "" if all are.
func (c *StatCache) Changed() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for path, e := range c.entries {
		if !c.of.Still(path, e.stamp(), e.Digest) {
			return path
		}
	}
	return ""
}

// Stamp tells by size, times and inode whether somebody wrote to a file.
type Stamp struct {
	size, mtime, ctime int64
	inode              uint64
}

// StampOf is the stamp of a file as it was looked at.
func StampOf(f os.FileInfo) Stamp { return entryOf(f).stamp() }

// Changed is when somebody wrote to the file last, to its times or its name: ctime, or mtime where the system keeps none.
func (s Stamp) Changed() time.Time {
	if s.ctime != 0 {
		return time.Unix(0, s.ctime)
	}
	return time.Unix(0, s.mtime)
}

// Settled says that a file with this stamp, looked at at that time or later, can't change without another stamp: its times were old enough then.
func (s Stamp) Settled(at time.Time) bool {
	limit := at.Add(-racy).UnixNano()
	return s.mtime < limit && s.ctime < limit
}

func (e statEntry) stamp() Stamp { return Stamp{e.Size, e.Mtime, e.Ctime, e.Inode} }

// Still says whether a file holds what it held when this process saw that stamp. It reads the file only if somebody wrote to it, or to its times, or may have
// done so without another stamp, as it was not settled when this process first looked at anything.
func (c *StatCache) Still(path string, s Stamp, d cache.Digest) bool {
	f, err := os.Stat(path)
	if err != nil {
		return false
	}
	if StampOf(f) == s && s.Settled(c.began()) {
		return true
	}
	now, _, err := c.Digest(path)
	return err == nil && now == d
}

// began is the earliest time that the clock showed to this process.
func (c *StatCache) began() time.Time {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.first
}

func (c *StatCache) interruptible(r io.Reader) io.Reader {
	if c.Context == nil {
		return r
	}
	return contextReader{c.Context, r}
}

// Save writes what was found for the next process.
func (c *StatCache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.saved == nil {
		return nil
	}
	for path := range c.dirty {
		if e, ok := c.entries[path]; ok {
			c.saved.Put(path, e.encode())
		} else {
			c.saved.Delete(path)
		}
	}
	if err := c.saved.Save(); err != nil {
		return err
	}
	clear(c.dirty)
	return nil
}

// WriteFile replaces a file in one step, so that a reader finds the old or the new content.
func WriteFile(name string, b []byte) error {
	return writeFile(name, int64(len(b)), func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

// writeFile is WriteFile of so many bytes, which write hands over.
func writeFile(name string, size int64, write func(io.Writer) error) error {
	tmp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	err = write(tmp)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = fault.At(fault.StateWritten)
	}
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return NoRoom(err, name, size)
	}
	return fault.At(fault.StateReplaced)
}

func (e statEntry) encode() []byte { return append(e.stamp().Append(nil), e.Digest[:]...) }

// decodeStat reads what encode wrote; false of anything else.
func decodeStat(b []byte) (statEntry, bool) {
	s, rest, ok := CutStamp(b)
	if !ok || len(rest) != len(cache.Digest{}) {
		return statEntry{}, false
	}
	return statEntry{s.size, s.mtime, s.ctime, s.inode, cache.Digest(rest)}, true
}

// Seal frames what a process leaves for the next: a header, the body, and the digest of both.
func Seal(header string, body []byte) []byte {
	b := append([]byte(header), body...)
	sum := cache.Sum(b)
	return append(b, sum[:]...)
}

// Unseal returns the body that Seal framed; false for any other bytes.
func Unseal(header string, b []byte) ([]byte, bool) {
	end := len(b) - len(cache.Digest{})
	if end < len(header) || cache.Sum(b[:end]) != cache.Digest(b[end:]) {
		return nil, false
	}
	return bytes.CutPrefix(b[:end], []byte(header))
}
