package disk

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// small is the size of files up to which they are read whole and written in one go.
const small = 64 << 10

// buffers hold a small file, and tell when a file is larger.
var buffers = sync.Pool{New: func() any { return new([small + 1]byte) }}

// putSmall stores what is most likely small: it is hashed before anything is written, for the store may have it.
func (s *Store) putSmall(ctx context.Context, r io.Reader) (cache.Digest, int64, error) {
	buffer := buffers.Get().(*[small + 1]byte)
	defer buffers.Put(buffer)
	n, err := io.ReadFull(contextReader{ctx, r}, buffer[:])
	switch {
	case err == nil: // it grew
		return s.Put(ctx, io.MultiReader(bytes.NewReader(buffer[:n]), r))
	case err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF):
		return cache.Digest{}, 0, err
	}
	b := buffer[:n]
	d := cache.Sum(b)
	if has, err := s.has(ctx, d); has || err != nil {
		return d, int64(n), err
	}
	return d, int64(n), s.placeSmall(b, s.path("blobs", d.String()), fault.BlobWritten, func(to string) error { return s.placed(d, to) })
}

// placeSmall gives a small file its place in the store, and then calls done.
func (s *Store) placeSmall(b []byte, to string, written fault.Point, done func(to string) error) error {
	if err := s.own(); err != nil {
		return err
	}
	tmp := filepath.Join(s.private.Dir, "tmp", "s"+strconv.FormatInt(s.smalls.Add(1), 10))
	err := s.writeSmall(tmp, b)
	if err == nil {
		if err = fault.At(written); err == nil {
			err = s.rename(tmp, to)
		}
		if err != nil {
			_ = os.Remove(tmp)
		}
	}
	if err != nil {
		return NoRoom(err, s.Dir, int64(len(b)))
	}
	return done(to)
}

// writeSmall writes a file that is to get a place in the store, and makes its bytes durable where that is done one by one.
func (s *Store) writeSmall(name string, b []byte) error {
	if !s.syncEach {
		return writeNew(name, b, 0o444, true)
	}
	f, err := openPlain(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = s.syncOne(f)
	}
	if err = errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		_ = os.Remove(name)
	}
	return err
}

// copySmall writes a small blob to a new file of that mode.
func (s *Store) copySmall(ctx context.Context, from *checkedReader, info fs.FileInfo, sound bool, path string, mode fs.FileMode) error {
	buffer := buffers.Get().(*[small + 1]byte)
	defer buffers.Put(buffer)
	var r io.Reader = from.f
	if !sound {
		r = contextReader{ctx, faultyReader{from.f}}
	}
	b := buffer[:info.Size()] // if it has more bytes than that it is not what was checked, or is checked here
	if n, err := io.ReadFull(r, b); err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
		b = b[:n]
	} else if err != nil {
		return err
	}
	if !sound {
		if cache.Sum(b) != from.want {
			return from.unsound()
		}
		s.verified.Store(from.want, entryOf(info))
	}
	return NoRoom(writeNew(path, b, mode, true), path, info.Size())
}

// page is the size of blobs up to which to hash them takes less than to look whether that was done.
const page = 4 << 10

// copyPage writes a blob of a page at most to a new file, with few calls of the system. It checks it each time. Where anything is not as it should be ok is false and
// there is no file, and CopyTo finds out what it is.
func (s *Store) copyPage(e cache.Entry, path string, mode fs.FileMode) (stamp Stamp, ok bool) {
	buffer := buffers.Get().(*[small + 1]byte)
	defer buffers.Put(buffer)
	n, err := readOnce(s.path("blobs", e.Digest.String()), buffer[:e.Size+1]) // one more shows whether there is more
	if err != nil || int64(n) != e.Size || cache.Sum(buffer[:n]) != e.Digest || writeNew(path, buffer[:n], mode, false) != nil {
		return stamp, false
	}
	if stamp, err = stampAs(path, mode); err != nil {
		_ = os.Remove(path)
	}
	return stamp, err == nil
}
