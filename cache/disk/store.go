// Package disk keeps blobs and trees as read-only files in a directory that several processes may share.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
)

// ErrNoStore says that there is no store at a place.
var ErrNoStore = errors.New("there is no store")

const (
	formatFile = "format"
	format     = "dpb store 1\n"
)

// Store is a directory of blobs and trees. It is safe for concurrent use, also by several processes.
type Store struct {
	Dir string
	// Warn is told of damage that was found and set aside.
	Warn func(string)
	// Me is told to those who wait for a lock of this process.
	Me Holder

	private *Private
	once    sync.Once
	err     error
	smalls  atomic.Int64 // small files that were made to get a place here

	pins     pins
	syncEach bool     // what is put is made durable file by file
	files    *os.File // the directory, open since before anything was written; nil if nothing is to be
	mu       sync.Mutex
	unsynced map[string]bool // files that may not be durable yet, since the last Sync; true: this process put them there

	lending  atomic.Bool // some files outside serve as blobs
	verified sync.Map    // by digest: the statEntry of a blob when this process checked its bytes
}

var (
	_ cache.Blobs = (*Store)(nil)
	_ cache.Trees = (*Store)(nil)
)

// Open opens the store in dir and makes it if there is none.
func Open(dir string) (*Store, error) {
	_, err := OpenExisting(dir)
	if err != nil && !errors.Is(err, ErrNoStore) {
		return nil, err
	}
	if err == nil && Writable(dir) != nil {
		return nil, fmt.Errorf("store %s can't be written: %w; status, why, show, log and diff read it, and build -n says what there is to do", dir, Writable(dir))
	}
	for _, d := range []string{"blobs", "trees", "jobs", "checkouts", "damaged"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o777); err != nil {
			return nil, fmt.Errorf("store: %w", NoRoom(err, dir, 0))
		}
	}
	if errors.Is(err, ErrNoStore) {
		if err := writeFormat(dir); err != nil {
			return nil, fmt.Errorf("store: %w", NoRoom(err, dir, 0))
		}
	}
	s, err := OpenExisting(dir)
	if err != nil {
		return nil, err
	}
	s.pins.on = true
	s.files, err = os.Open(dir)
	return s, err
}

// writeFormat marks a new store. Of two who come at once the second writes the same.
func writeFormat(dir string) error {
	tmp, err := os.CreateTemp(dir, ".format-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.WriteString(format)
	if err = errors.Join(err, tmp.Chmod(0o444), tmp.Sync(), tmp.Close(), fault.At(fault.FormatWritten)); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, formatFile)); err != nil {
		return err
	}
	return errors.Join(syncDir(dir), syncDir(filepath.Dir(dir)))
}

// OpenExisting opens a store without writing; its error is or wraps ErrNoStore if there is none.
func OpenExisting(dir string) (*Store, error) {
	b, err := os.ReadFile(filepath.Join(dir, formatFile))
	if errors.Is(err, fs.ErrNotExist) {
		return storeAt(dir), ErrNoStore
	}
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if strings.HasPrefix(format, string(b)) && string(b) != format {
		return nil, fmt.Errorf("store %s is damaged: %s holds %q and was cut off; if you know that dpb wrote the store, put the line %q there", dir, formatFile, b, bytes.TrimSpace([]byte(format)))
	}
	if string(b) != format {
		return nil, fmt.Errorf("store %s has format %q, and this dpb knows %q only: use the dpb that wrote it, or another store", dir,
			bytes.TrimSpace(b), bytes.TrimSpace([]byte(format)))
	}
	return storeAt(dir), nil
}

func storeAt(dir string) *Store {
	return &Store{Dir: dir, Warn: func(string) {}, syncEach: syncEach, unsynced: map[string]bool{}}
}

// BlobsDir is the folder in which the store's own blobs lie, each in a folder named by its first two characters.
func (s *Store) BlobsDir() string { return filepath.Join(s.Dir, "blobs") }

func (s *Store) path(kind, hex string) string { return filepath.Join(s.Dir, kind, hex[:2], hex) }

// Put implements cache.Blobs.
func (s *Store) Put(ctx context.Context, r io.Reader) (cache.Digest, int64, error) {
	tmp, err := s.temp()
	if err != nil {
		return cache.Digest{}, 0, err
	}
	defer os.Remove(tmp.Name())
	d, n, err := cache.SumReader(io.TeeReader(contextReader{ctx, r}, tmp))
	if err == nil {
		err = tmp.Chmod(0o444)
	}
	if err == nil {
		err = s.syncOne(tmp)
	}
	if err = errors.Join(err, tmp.Close(), fault.At(fault.BlobWritten)); err != nil {
		return cache.Digest{}, 0, err
	}
	return d, n, s.keep(ctx, tmp.Name(), d)
}

// keep moves a finished file to its place, unless a sound copy is there already.
func (s *Store) keep(ctx context.Context, tmp string, d cache.Digest) error {
	if has, err := s.has(ctx, d); has || err != nil {
		return err
	}
	to := s.path("blobs", d.String())
	if err := s.rename(tmp, to); err != nil {
		return err
	}
	return s.placed(d, to)
}

// has says whether a sound copy of a blob is there, which is then to be made durable with what is put.
func (s *Store) has(ctx context.Context, d cache.Digest) (bool, error) {
	if err := s.pin(d); err != nil {
		return false, err
	}
	to := s.path("blobs", d.String())
	if _, err := os.Lstat(to); err != nil {
		return false, nil
	}
	if err := s.Verify(ctx, d); err != nil {
		if errors.Is(err, cache.ErrMissing) {
			err = nil
		}
		return false, err
	}
	s.toSync(to, false)
	return true, nil
}

// placed notes that a blob is sound that has just got its place.
func (s *Store) placed(d cache.Digest, to string) error {
	info, err := os.Stat(to)
	if err == nil {
		s.verified.Store(d, entryOf(info))
	}
	return errors.Join(err, fault.At(fault.BlobKept))
}

// rename moves a finished file to its place.
func (s *Store) rename(tmp, to string) error {
	err := renameFile(tmp, to)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(filepath.Dir(to), 0o777); err == nil {
			err = renameFile(tmp, to)
		}
	}
	if err == nil {
		s.toSync(to, true)
	}
	return err
}

// PutFile stores a file's content.
func (s *Store) PutFile(ctx context.Context, path string) (cache.Digest, int64, error) {
	f, info, err := openFile(path)
	if err != nil {
		return cache.Digest{}, 0, err
	}
	defer f.Close()
	return s.putSized(ctx, f, info.Size())
}

// putSized stores what has a size that is known, if there is room for it: a file with holes may have any size.
func (s *Store) putSized(ctx context.Context, r io.Reader, size int64) (d cache.Digest, n int64, err error) {
	if err := Room(s.Dir, size); err != nil {
		return d, 0, err
	}
	if size <= small {
		d, n, err = s.putSmall(ctx, r)
	} else {
		d, n, err = s.Put(ctx, r)
	}
	return d, n, NoRoom(err, s.Dir, size)
}

// Open implements cache.Blobs.
func (s *Store) Open(_ context.Context, d cache.Digest) (io.ReadCloser, error) {
	r, err := s.open(d)
	if err != nil {
		return nil, err
	}
	r.h = cache.NewHasher()
	return r, nil
}

func (s *Store) open(d cache.Digest) (*checkedReader, error) {
	path := s.BlobPath(d)
	f, err := openPlain(path, os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d.Short(), cache.ErrMissing)
	}
	if err != nil {
		return nil, err
	}
	return &checkedReader{s: s, f: f, want: d, lent: path != s.path("blobs", d.String())}, nil
}

// checkedReader fails at the end if the bytes were not those of the digest.
type checkedReader struct {
	s    *Store
	f    *os.File
	h    cache.Hasher // of who calls Read
	want cache.Digest
	lent bool
}

func (r *checkedReader) Read(p []byte) (int, error) {
	n, err := faultyReader{r.f}.Read(p)
	_, _ = r.h.Write(p[:n]) // a hash takes all
	if err == io.EOF && r.h.Digest() != r.want {
		err = r.unsound()
	}
	return n, err
}

func (r *checkedReader) unsound() error {
	if r.lent {
		return r.s.changed(r.want)
	}
	return r.s.damaged("blobs", r.want.String(), r.f)
}

// verify reads a blob that was not read yet to its end and notes that it is sound. to, unless it is nil, gets a copy, which is to be used only if there is no error.
func (r *checkedReader) verify(ctx context.Context, to io.Writer) error {
	info, err := r.f.Stat()
	if err != nil {
		return err
	}
	var from io.Reader = contextReader{ctx, faultyReader{r.f}}
	if to != nil {
		from = io.TeeReader(from, to)
	}
	got, _, err := cache.SumReader(from)
	switch {
	case err != nil:
		return err
	case got != r.want:
		return r.unsound()
	}
	r.s.verified.Store(r.want, entryOf(info))
	return nil
}

func (r *checkedReader) Close() error { return r.f.Close() }

// faultyReader fails where a test wants it to.
type faultyReader struct{ r io.Reader }

func (r faultyReader) Read(p []byte) (int, error) {
	if err := fault.At(fault.BlobRead); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

// damaged sets a file aside whose content is not what its name says, unless a sound one has taken its place already.
func (s *Store) damaged(kind, hex string, f *os.File) error {
	from := s.path(kind, hex)
	to := filepath.Join(s.Dir, "damaged", kind+"-"+hex)
	text := fmt.Sprintf("%s was damaged", from)
	if sameFile(f, from) && os.Rename(from, to) == nil {
		text += "; it was moved to " + to
	}
	s.Warn(text)
	return fmt.Errorf("%s %s is damaged: %w", kind[:4], hex[:12], cache.ErrMissing)
}

func sameFile(f *os.File, name string) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(name)
	return err == nil && os.SameFile(open, named)
}

// Stat implements cache.Blobs.
func (s *Store) Stat(_ context.Context, d cache.Digest) (int64, error) {
	info, err := os.Stat(s.BlobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("blob %s: %w", d.Short(), cache.ErrMissing)
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Verify checks that a blob is there and sound. Each process reads a blob once for this, and again if the file was touched since.
func (s *Store) Verify(ctx context.Context, d cache.Digest) error {
	if s.isVerified(d) {
		return nil
	}
	if err := s.pin(d); err != nil {
		return err
	}
	r, err := s.open(d)
	if err != nil {
		return err
	}
	defer r.Close()
	return r.verify(ctx, nil)
}

// isVerified says whether this process found a blob sound that nobody touched since.
func (s *Store) isVerified(d cache.Digest) bool {
	known, ok := s.verified.Load(d)
	if !ok {
		return false
	}
	info, err := os.Stat(s.BlobPath(d))
	return err == nil && entryOf(info) == known
}

// Present says whether a tree and all its blobs are there. It reads no blob: damage shows when one is read.
func (s *Store) Present(ctx context.Context, d cache.TreeDigest) bool {
	t, err := s.GetTree(ctx, d)
	if err != nil {
		return false
	}
	for _, e := range t.Entries {
		if !e.Kind.IsFile() {
			continue
		}
		if size, err := s.Stat(ctx, e.Digest); err != nil || size != e.Size {
			return false
		}
	}
	return true
}

// PutTree implements cache.Trees.
func (s *Store) PutTree(_ context.Context, t cache.Tree) (cache.TreeDigest, error) {
	if err := t.Validate(); err != nil {
		return cache.TreeDigest{}, err
	}
	b := t.Encode()
	d := t.Digest()
	to := s.path("trees", d.String())
	if err := s.Pin(d); err != nil {
		return d, err
	}
	if old, err := os.ReadFile(to); err == nil && bytes.Equal(old, b) {
		s.toSync(to, false)
		return d, nil
	}
	return d, s.placeSmall(b, to, fault.TreeWritten, func(string) error { return fault.At(fault.TreeKept) })
}

// GetTree implements cache.Trees.
func (s *Store) GetTree(_ context.Context, d cache.TreeDigest) (cache.Tree, error) {
	if err := s.Pin(d); err != nil {
		return cache.Tree{}, err
	}
	return s.readTree(d)
}

func (s *Store) readTree(d cache.TreeDigest) (cache.Tree, error) {
	f, err := openPlain(s.path("trees", d.String()), os.O_RDONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return cache.Tree{}, fmt.Errorf("tree %s: %w", d.Short(), cache.ErrMissing)
	}
	if err != nil {
		return cache.Tree{}, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return cache.Tree{}, err
	}
	t, err := cache.DecodeTree(b)
	if err != nil || t.Digest() != d {
		return cache.Tree{}, s.damaged("trees", d.String(), f)
	}
	return t, nil
}

// contextReader stops reading when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
