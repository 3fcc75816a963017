package disk

import (
	"context"
	"errors"
	"fmt"
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

// Keeps is Verify for the store's own copy of a blob: what is only lent is missing.
func (s *Store) Keeps(ctx context.Context, d cache.Digest) error {
	if s.lending.Load() {
		if _, err := os.Lstat(s.path("blobs", d.String())); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("blob %s: %w", d.Short(), cache.ErrMissing)
		}
	}
	return s.Verify(ctx, d)
}

// changed is the error of a file that was lent, and is another by now. The store is sound, and who lent it looks whether that matters.
func (s *Store) changed(d cache.Digest) error {
	file, err := os.Readlink(s.lentPath(d))
	if err != nil {
		file = "a file"
	}
	return fmt.Errorf("%s changed while it was read: %w", file, cache.ErrMissing)
}
