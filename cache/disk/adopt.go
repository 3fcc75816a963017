package disk

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// adopt moves a large file of this process's own into the store, which saves a copy. It does so only where the system vouches, from before the bytes are hashed until the
// blob has its place, that nobody has the file open or mapped to write, and where the file has no other name. Else ok is false, and the bytes are still to be had from f.
func (s *Store) adopt(ctx context.Context, root *os.Root, file string, f *os.File, info fs.FileInfo) (d cache.Digest, ok bool, err error) {
	if info.Size() < big || !isLone(info) || !lease(f) {
		return d, false, nil
	}
	defer endLease(f)
	tmp, err := s.temp()
	if err != nil {
		return d, false, err
	}
	name := tmp.Name()
	tmp.Close()
	defer os.Remove(name)
	before, ok := s.take(root, file, f, info, name)
	if !ok {
		return d, false, nil
	}
	d, n, err := cache.SumReader(contextReader{ctx, f})
	if err != nil {
		return d, false, err
	}
	after, err := f.Stat()
	if err == nil && (n != info.Size() || entryOf(after) != entryOf(before) || !isLone(after) || !isLeased(f)) {
		err = errUnsettled
	}
	if err = errors.Join(err, s.syncOne(f), fault.At(fault.BlobWritten)); err != nil {
		return d, false, err
	}
	return d, true, s.keep(ctx, name, d)
}

// take makes a file read-only and gives it a name of the store's in place of its own. It is the file that is open, whatever has its name meanwhile.
func (s *Store) take(root *os.Root, file string, f *os.File, was fs.FileInfo, name string) (now fs.FileInfo, ok bool) {
	if os.Remove(name) != nil || f.Chmod(0o444) != nil || linkOpen(f, name) != nil || root.Remove(file) != nil {
		return nil, false
	}
	now, err := f.Stat()
	return now, err == nil && isLone(now) && now.Size() == was.Size() && now.ModTime().Equal(was.ModTime())
}

// isLone says whether a file belongs to this process's user, has one name, and no holes: with these it may be larger than there is room for.
func isLone(info fs.FileInfo) bool {
	st, ok := info.Sys().(*unixStat)
	return ok && st.Nlink == 1 && int(st.Uid) == os.Geteuid() && st.Blocks*512 >= info.Size()
}
