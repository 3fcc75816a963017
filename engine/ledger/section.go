package ledger

import (
	"encoding/binary"
	"errors"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
)

// chunkEntries is how many entries a chunk of a long section holds. Where each partition reads all before it, the sections of an input differ in their last
// entries only: they share all chunks but one, and the ledger grows by the entries and not by their square.
const chunkEntries = 64

// PutSection records a section's bytes under their digest. A long one is kept as a list of chunks.
func (tx *Tx) PutSection(body []byte) error {
	d := engine.SectionDigest(body)
	cuts := cutSection(body)
	if len(cuts) < 2 {
		return tx.exec("INSERT OR IGNORE INTO section (digest, chunks, body) VALUES (?, 0, ?)", d[:], body)
	}
	var list []byte
	for _, chunk := range cuts {
		c := engine.SectionDigest(chunk)
		list = append(list, c[:]...)
		if _, known := tx.l.chunks.get(c); known || tx.chunks[c] {
			continue
		}
		if err := tx.exec("INSERT OR IGNORE INTO section (digest, chunks, body) VALUES (?, 0, ?)", c[:], chunk); err != nil {
			return err
		}
		tx.chunks[c] = true
	}
	return tx.exec("INSERT OR IGNORE INTO section (digest, chunks, body) VALUES (?, ?, ?)", d[:], len(cuts), list)
}

// cutSection cuts a section's bytes after every chunkEntries entries. Bytes that are no section stay whole.
func cutSection(body []byte) (chunks [][]byte) {
	start, texts := 0, 0
	for at := 0; at < len(body); {
		n, w := binary.Uvarint(body[at:])
		if w <= 0 || n > uint64(len(body)-at-w) {
			return [][]byte{body}
		}
		at += w + int(n)
		if texts++; texts == 2*chunkEntries { // a name and a value each
			chunks = append(chunks, body[start:at])
			start, texts = at, 0
		}
	}
	if start < len(body) || len(body) == 0 {
		chunks = append(chunks, body[start:])
	}
	return chunks
}

// ErrNoSection says that a section is not recorded.
var ErrNoSection = errors.New("not in the ledger")

// Section reads the entries of a recorded section.
func (l *Ledger) Section(d cache.SectionDigest) ([]engine.Entry, error) {
	body, chunks, err := l.sectionBody(d)
	if err != nil {
		return nil, err
	}
	if chunks == 0 {
		return engine.DecodeSection(body)
	}
	var whole []byte
	for ; len(body) >= len(d); body = body[len(d):] {
		part, _, err := l.sectionBody(cache.SectionDigest(body[:len(d)]))
		if err != nil {
			return nil, err
		}
		whole = append(whole, part...)
	}
	return engine.DecodeSection(whole)
}

func (l *Ledger) sectionBody(d cache.SectionDigest) (body []byte, chunks int64, err error) {
	found := false
	err = l.query("SELECT body, chunks FROM section WHERE digest = ?", func(s *sqlite.Stmt) error {
		found, body, chunks = true, columnBytes(s, 0), s.ColumnInt64(1)
		return nil
	}, d[:])
	if err == nil && !found {
		err = ErrNoSection
	}
	return body, chunks, err
}
