package cache

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/bits"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
)

// TestWide compares digests that are computed sixteen chunks at once with those of a library, for every number of chunks in a piece, for chunks that end anywhere, and for parts of
// every number of pieces and spans. Where the processor can't do it there is nothing to compare.
func TestWide(t *testing.T) {
	t.Parallel()
	if !isWide {
		t.Skip("this processor has no AVX-512")
	}
	data := make([]byte, 5*spanSize)
	rand.NewChaCha8([32]byte{3}).Read(data)
	p := new(piece)
	for n := chunkSize + 1; n <= pieceSize; n += 509 {
		p.n = copy(p.b[:], data[:n])
		if digestOf(p.values(0)) != Sum(data[:n]) {
			t.Fatalf("%d bytes: another digest", n)
		}
	}
	for n := 2 * chunkSize; n <= 3*chunkSize+1; n++ {
		p.n = copy(p.b[:], data[:n])
		if digestOf(p.values(0)) != Sum(data[:n]) {
			t.Fatalf("%d bytes: another digest", n)
		}
	}
	for _, pieces := range []int{1, 2, 3, 31, 32, 33, 63, 64, 65, 100, 159} {
		for _, n := range []int{pieces*pieceSize - 1, pieces * pieceSize, pieces*pieceSize + 1, pieces*pieceSize + rand.IntN(pieceSize)} {
			d, m, err := SumReader(bytes.NewReader(data[:n]))
			if d != Sum(data[:n]) || m != int64(n) || err != nil {
				t.Fatalf("%d bytes: got %s, %d, %v", n, d.Short(), m, err)
			}
			if d, m, err = SumFile(bytes.NewReader(data[:n]), int64(n)); d != Sum(data[:n]) || m != int64(n) || err != nil {
				t.Fatalf("%d bytes of a file: got %s, %d, %v", n, d.Short(), m, err)
			}
		}
	}
}

// TestWideFar compares values of chunks whose numbers take more than 32 bits, which no blob in a test has, with what the paper says.
func TestWideFar(t *testing.T) {
	t.Parallel()
	if !isWide {
		t.Skip("this processor has no AVX-512")
	}
	p := &piece{n: lanes * chunkSize}
	rand.NewChaCha8([32]byte{6}).Read(p.b[:p.n])
	for _, before := range []uint64{0, 1<<32 - 16, 1 << 32, 1<<32 + 16, 3 << 40} {
		for k, v := range p.values(before) {
			if want := chunkValue(p.b[k*chunkSize:][:chunkSize], before+uint64(k)); v != want {
				t.Errorf("chunk %d: got %x, want %x", before+uint64(k), v, want)
			}
		}
	}
}

// chunkValue is section 2.4 of the paper on BLAKE3, word by word.
func chunkValue(b []byte, counter uint64) (v value) {
	iv := [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	h := iv
	for k := range len(b) / blockSize {
		var m [16]uint32
		for w := range m {
			m[w] = binary.LittleEndian.Uint32(b[k*blockSize+4*w:])
		}
		flags := uint32(0)
		if k == 0 {
			flags |= chunkFirst
		}
		if k == len(b)/blockSize-1 {
			flags |= chunkLast
		}
		s := [16]uint32{8: iv[0], iv[1], iv[2], iv[3], uint32(counter), uint32(counter >> 32), blockSize, flags}
		copy(s[:], h[:])
		for range 7 {
			for g, at := range [8][4]int{{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15}, {0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}} {
				x, y, z, w := &s[at[0]], &s[at[1]], &s[at[2]], &s[at[3]]
				for half, turn := range [2][2]int{{16, 12}, {8, 7}} {
					*x += *y + m[2*g+half]
					*w = bits.RotateLeft32(*w^*x, -turn[0])
					*z += *w
					*y = bits.RotateLeft32(*y^*z, -turn[1])
				}
			}
			old := m
			for to, from := range [16]int{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8} {
				m[to] = old[from]
			}
		}
		for w := range h {
			h[w] = s[w] ^ s[w+8]
		}
	}
	for w := range h {
		binary.LittleEndian.PutUint32(v[4*w:], h[w])
	}
	return v
}

// TestSumFileOtherSize has files that are shorter or longer than was thought: the digest is that of all their bytes.
func TestSumFileOtherSize(t *testing.T) {
	t.Parallel()
	data := make([]byte, 4*spanSize+5)
	rand.NewChaCha8([32]byte{4}).Read(data)
	want := Sum(data)
	for _, size := range []int{0, 1, spanSize, 4*spanSize + 4, 4*spanSize + 5, 4*spanSize + 6, 9 * spanSize} {
		d, n, err := SumFile(bytes.NewReader(data), int64(size))
		if d != want || n != int64(len(data)) || err != nil {
			t.Errorf("taken for %d bytes: got %s, %d, %v", size, d.Short(), n, err)
		}
	}
}

// TestSumFileFails passes an error on wherever it comes, and leaves nobody at work.
func TestSumFileFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	const size = 6 * spanSize
	for _, at := range []int64{0, 1, spanSize - 1, spanSize, 3*spanSize + 7, size - 1} {
		r := readerAt(func(p []byte, off int64) (int, error) {
			if off <= at && at < off+int64(len(p)) {
				return int(at - off), broken
			}
			return len(p), nil
		})
		if d, _, err := SumFile(r, size); !errors.Is(err, broken) || !d.IsZero() {
			t.Errorf("at %d: got %s, %v", at, d.Short(), err)
		}
	}
}

type readerAt func(p []byte, off int64) (int, error)

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r(p, off) }

// TestSumFileBeside has many files at once, more than there are processors.
func TestSumFileBeside(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("0123456789abcdef", 3*spanSize/16)
	want := Sum([]byte(text))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if d, _, err := SumFile(strings.NewReader(text), int64(len(text))); d != want || err != nil {
				t.Errorf("got %s, %v, want %s", d.Short(), err, want.Short())
			}
		})
	}
	all.Wait()
}

// TestSumNarrow is for processors that can't hash sixteen chunks at once.
func TestSumNarrow(t *testing.T) {
	was := isWide
	isWide = false
	defer func() { isWide = was }()
	data := make([]byte, 2*spanSize+3)
	rand.NewChaCha8([32]byte{5}).Read(data)
	for _, n := range []int{0, 5, pieceSize, pieceSize + 1, spanSize + 1, len(data)} {
		r, size := bytes.NewReader(data[:n]), int64(n)
		if d, m, err := SumFile(r, size); d != Sum(data[:n]) || m != size || err != nil {
			t.Errorf("%d bytes of a file: got %s, %d, %v", n, d.Short(), m, err)
		}
		if d, m, err := SumReader(io.NewSectionReader(r, 0, size)); d != Sum(data[:n]) || m != size || err != nil {
			t.Errorf("%d bytes: got %s, %d, %v", n, d.Short(), m, err)
		}
	}
}
