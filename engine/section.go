package engine

import (
	"encoding/binary"
	"errors"

	"github.com/dpb-build/dpb/cache"
	"github.com/zeebo/blake3"
)

// Section is a list of named entries that belong to an action's key. Its bytes are at once what is hashed, what is stored and what is
// explained, so an explanation can't differ from the key. Each name and value is preceded by its length.
type Section struct{ body []byte }

// Entry is one name and value of a section.
type Entry struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Add appends an entry.
func (s *Section) Add(name, value string) {
	s.body = binary.AppendUvarint(s.body, uint64(len(name)))
	s.body = append(s.body, name...)
	s.body = binary.AppendUvarint(s.body, uint64(len(value)))
	s.body = append(s.body, value...)
}

// Reset empties the section and keeps its memory.
func (s *Section) Reset() { s.body = s.body[:0] }

// Bytes is the canonical encoding.
func (s *Section) Bytes() []byte { return s.body }

var sectionHasher = blake3.NewDeriveKey("dpb section v1")

// Digest names the section.
func (s *Section) Digest() cache.SectionDigest { return SectionDigest(s.body) }

// SectionDigest names the section of these bytes.
func SectionDigest(body []byte) (d cache.SectionDigest) {
	h := *sectionHasher
	h.Write(body)
	h.Sum(d[:0])
	return d
}

var errSection = errors.New("damaged section of a key")

// DecodeSection reads the bytes of a section. It accepts the canonical encoding only.
func DecodeSection(b []byte) ([]Entry, error) {
	var out []Entry
	for len(b) > 0 {
		var e Entry
		var err error
		if e.Name, b, err = cutString(b); err != nil {
			return nil, err
		}
		if e.Value, b, err = cutString(b); err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

func cutString(b []byte) (string, []byte, error) {
	n, w := binary.Uvarint(b)
	if w <= 0 || n > uint64(len(b)-w) || w > 1 && b[w-1] == 0 {
		return "", nil, errSection
	}
	return string(b[w : w+int(n)]), b[w+int(n):], nil
}

// Part is one section of an action's key, by name: "target", "partition", or "input plays".
type Part struct {
	Name   string
	Digest cache.SectionDigest
}

var keyHasher = blake3.NewDeriveKey("dpb action key v1")

// Key hashes the parts of an action, in their order.
func Key(parts []Part) (k cache.ActionKey) {
	h := *keyHasher
	var buf [64]byte
	for _, p := range parts {
		h.Write(binary.AppendUvarint(buf[:0], uint64(len(p.Name))))
		h.WriteString(p.Name)
		h.Write(p.Digest[:])
	}
	h.Sum(k[:0])
	return k
}
