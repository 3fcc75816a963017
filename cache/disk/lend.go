package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/cache"
)

// Lend makes a file outside of the store serve as a blob for this process. It is read where it lies, under a name of the store's: others may hold characters
// that mean something to who reads them.
func (s *Store) Lend(d cache.Digest, file string) error {
	if err := s.own(); err != nil {
		return err
	}
	link := s.lentPath(d)
	if err := os.MkdirAll(filepath.Dir(link), 0o777); err != nil {
		return err
	}
	s.lending.Store(true)
	if err := os.Symlink(file, link); !errors.Is(err, fs.ErrExist) { // else another file with the same bytes serves already
		return err
	}
	return nil
}

func (s *Store) lentPath(d cache.Digest) string {
	return filepath.Join(s.private.Dir, "lent", d.String())
}

// BlobPath is where a blob lies, whether or not it is there.
func (s *Store) BlobPath(d cache.Digest) string {
	own := s.path("blobs", d.String())
	if !s.lending.Load() {
		return own
	}
	if _, err := os.Lstat(own); err == nil {
		return own
	}
	if _, err := os.Lstat(s.lentPath(d)); err == nil {
		return s.lentPath(d)
	}
	return own
}
