package cache

import (
	"context"
	"errors"
	"io"
)

// ErrMissing says that a store has no sound copy of a blob or tree. Damage counts as missing: it is reported and never served.
var ErrMissing = errors.New("not in the store")

// Blobs keeps bytes by digest. Implementations are safe for concurrent use by many goroutines and processes.
type Blobs interface {
	// Put stores what r holds and returns its digest and size in bytes.
	Put(ctx context.Context, r io.Reader) (Digest, int64, error)
	// Open reads a blob. Its error is or wraps ErrMissing if there is none. A reader that reaches the end has checked the digest: damage
	// is an error from Read, never wrong bytes followed by io.EOF.
	Open(ctx context.Context, d Digest) (io.ReadCloser, error)
	// Stat returns a blob's size in bytes.
	Stat(ctx context.Context, d Digest) (int64, error)
	// Sync returns when all that was put before is safe from a loss of power.
	Sync(ctx context.Context) error
}

// Trees keeps trees by digest; the blobs that they name are kept apart.
type Trees interface {
	PutTree(ctx context.Context, t Tree) (TreeDigest, error)
	GetTree(ctx context.Context, d TreeDigest) (Tree, error)
}
