package cache

// BLAKE3 is a tree: a blob's chunks of 1 KiB have values, and so have two parts of equal size that lie side by side, up to the whole. A part's value depends on its place and its bytes
// alone, so parts are hashed in any order, on all processors, and sixteen chunks or pairs at once on each.
const (
	chunkSize  = 1 << 10
	blockSize  = 64
	lanes      = 16
	chunkFirst = 1 << 0
	chunkLast  = 1 << 1
	parent     = 1 << 2
	root       = 1 << 3
)

// value is the chaining value of a part of a blob.
type value [32]byte

// values returns those of a piece's chunks, if that many are before it. They are gone when it is filled again.
func (p *piece) values(before uint64) []value {
	whole := p.n / chunkSize
	for k := 0; k < whole; k += lanes { // those beyond the end mean nothing
		compress16((*[lanes]value)(p.v[k:]), &p.b[k*chunkSize], chunkSize, chunkSize/blockSize, before+uint64(k), 1, 0, chunkFirst, chunkLast, blockSize)
	}
	rest := p.n % chunkSize
	if rest == 0 {
		return p.v[:whole]
	}
	var last [chunkSize]byte
	copy(last[:], p.b[whole*chunkSize:p.n])
	blocks := (rest + blockSize - 1) / blockSize
	var v [lanes]value
	compress16(&v, &last[0], 0, uintptr(blocks), before+uint64(whole), 0, 0, chunkFirst, chunkLast, uint32(rest-(blocks-1)*blockSize))
	p.v[whole] = v[0]
	return p.v[:whole+1]
}

// halve replaces each two values by that of both, and keeps one that is alone at the end.
func halve(v []value, flags uint32) []value {
	pairs, last := len(v)/2, v[len(v)-1]
	for k := 0; k < pairs; k += lanes {
		var in [2 * lanes]value
		var out [lanes]value
		copy(in[:], v[2*k:])
		compress16(&out, &in[0][0], blockSize, 1, 0, 0, flags, 0, 0, blockSize)
		copy(v[k:pairs], out[:])
	}
	if len(v)%2 == 1 {
		v[pairs] = last
		pairs++
	}
	return v[:pairs]
}

// join returns the value of parts that lie side by side, each but the last of the same size, a power of two. It writes to them.
func join(v []value) value {
	for len(v) > 1 {
		v = halve(v, parent)
	}
	return v[0]
}

// digestOf is join for all parts of a blob, of which there are two at least.
func digestOf(v []value) Digest {
	for len(v) > 2 {
		v = halve(v, parent)
	}
	return Digest(halve(v, parent|root)[0])
}

// few is of how many bytes it takes less time to hash the chunks eight at once, and the rest alone.
const few = 32 << 10

// sum returns the digest of a blob of one piece.
func (p *piece) sum() Digest {
	if isWide && p.n >= few {
		return digestOf(p.values(0))
	}
	return Sum(p.b[:p.n])
}

// A span is as many pieces as one processor hashes at a time.
const inSpan, spanSize = 32, 32 * pieceSize

// parts computes the digest of a blob to which pieces are added, all full but the last.
type parts struct {
	first  Digest  // of the first piece, if there are no more
	pieces []value // of the span
	spans  []value // before it
	chunks uint64
}

func (s *parts) add(p *piece) {
	if p.n == 0 {
		return
	}
	v := p.values(s.chunks)
	for len(v) > 2 {
		v = halve(v, parent)
	}
	if s.chunks == 0 {
		s.first = digestOf([]value{v[0], v[1]})
	}
	if len(s.pieces) == inSpan {
		s.spans, s.pieces = append(s.spans, join(s.pieces)), s.pieces[:0]
	}
	s.pieces = append(s.pieces, join(v))
	s.chunks += pieceSize / chunkSize
}

func (s *parts) digest() Digest {
	switch {
	case len(s.spans) > 0:
		return digestOf(append(s.spans, join(s.pieces)))
	case len(s.pieces) > 1:
		return digestOf(s.pieces)
	}
	return s.first
}
