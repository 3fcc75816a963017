// Package cache holds digests, the canonical encoding of trees and the interfaces of content-addressed storage; it knows
// nothing of targets.
package cache

import (
	"encoding/hex"
	"fmt"

	"github.com/zeebo/blake3"
)

// Digest names a blob: the plain BLAKE3-256 of its bytes, so that b3sum checks it.
type Digest [32]byte

// TreeDigest names a tree: the BLAKE3 derive-key hash of its canonical encoding (see Tree).
type TreeDigest [32]byte

// ActionKey is the hash of all that may influence an action's result.
type ActionKey [32]byte

// SectionDigest names one section of an action's key: entries that are hashed, stored and compared together.
type SectionDigest [32]byte

func (d Digest) String() string        { return hex.EncodeToString(d[:]) }
func (d TreeDigest) String() string    { return hex.EncodeToString(d[:]) }
func (k ActionKey) String() string     { return hex.EncodeToString(k[:]) }
func (d SectionDigest) String() string { return hex.EncodeToString(d[:]) }

// Short gives the first 12 hexadecimal characters, for messages.
func (d Digest) Short() string     { return hex.EncodeToString(d[:6]) }
func (d TreeDigest) Short() string { return hex.EncodeToString(d[:6]) }
func (k ActionKey) Short() string  { return hex.EncodeToString(k[:6]) }

// IsZero says that no digest was set; no content has the zero digest.
func (d Digest) IsZero() bool     { return d == Digest{} }
func (d TreeDigest) IsZero() bool { return d == TreeDigest{} }
func (k ActionKey) IsZero() bool  { return k == ActionKey{} }

func (d Digest) MarshalText() ([]byte, error)        { return []byte(d.String()), nil }
func (d TreeDigest) MarshalText() ([]byte, error)    { return []byte(d.String()), nil }
func (k ActionKey) MarshalText() ([]byte, error)     { return []byte(k.String()), nil }
func (d SectionDigest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

func (d *Digest) UnmarshalText(b []byte) error        { return decodeHex(d[:], b) }
func (d *TreeDigest) UnmarshalText(b []byte) error    { return decodeHex(d[:], b) }
func (k *ActionKey) UnmarshalText(b []byte) error     { return decodeHex(k[:], b) }
func (d *SectionDigest) UnmarshalText(b []byte) error { return decodeHex(d[:], b) }

// decodeHex accepts lower-case hexadecimal only, so that each digest has one spelling.
func decodeHex(dst, src []byte) error {
	if len(src) != 2*len(dst) {
		return fmt.Errorf("digest %q: want %d hexadecimal characters, got %d", src, 2*len(dst), len(src))
	}
	for _, c := range src {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return fmt.Errorf("digest %q: not lower-case hexadecimal", src)
		}
	}
	_, err := hex.Decode(dst, src)
	return err
}

// ParseDigest reads the 64 characters that Digest.String writes.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	err := d.UnmarshalText([]byte(s))
	return d, err
}

// Sum returns the digest of b.
func Sum(b []byte) Digest { return blake3.Sum256(b) }

// Hasher computes a blob's digest while bytes are written to it.
type Hasher struct{ h *blake3.Hasher }

// NewHasher returns a hasher for one blob.
func NewHasher() Hasher { return Hasher{blake3.New()} }

func (h Hasher) Write(p []byte) (int, error) { return h.h.Write(p) }

// Digest returns the digest of what was written so far.
func (h Hasher) Digest() (d Digest) {
	h.h.Sum(d[:0])
	return d
}
