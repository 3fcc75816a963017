package fingerprint

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/bits"
	"strings"

	"github.com/zeebo/xxh3"
)

// Each value has a hash of 128 bits, in two halves that don't depend on each other: of numbers, two bijections of their 64 bits; of texts, XXH3. That of a row is the sum
// of its values' hashes, each multiplied by an odd number that its column's name gives, so that NULL, which counts 0, and a column that a file lacks are alike.
// Two tables that differ have one digest by a chance of about 2^-120.

// mix is the finalizer of splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), a bijection.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// mix2 is the finalizer of MurmurHash3 over another start.
func mix2(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

func hashInt(v uint64) (uint64, uint64) { return mix(v + 0x6a09e667f3bcc909), mix2(v) }

func hashWide(v wide) (uint64, uint64) {
	h := uint64(v.hi)
	return mix(v.lo + mix(h+0xbb67ae8584caa73b)), mix2(v.lo ^ mix2(h+0x3c6ef372fe94f82b))
}

func hashText(b []byte) (uint64, uint64) {
	h := xxh3.Hash128(b)
	return h.Hi, h.Lo
}

// nan is what every NaN is hashed as.
var nan = math.Float64bits(math.NaN())

// factors are what the hashes of a column's values are multiplied by in those of rows.
func factors(name string) (uint64, uint64) {
	h := xxh3.HashString128(strings.ToLower(name))
	return h.Hi | 1, h.Lo | 1
}

// rowSum is the sum of the rows' hashes modulo 2^256, the lowest word first.
type rowSum [4]uint64

var rowSeeds = [8]uint64{0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179, 0xcbbb9d5dc1059ed8, 0x629a292a367cd507, 0x9159015a3070dd17, 0x152fecd8f70e5939}

// addRow adds the row whose values' hashes sum up to a and b.
func (s *rowSum) addRow(a, b uint64) {
	s.add(&rowSum{mix(a ^ mix(b+rowSeeds[0])), mix(b ^ mix(a+rowSeeds[1])), mix(a + mix2(b^rowSeeds[2])), mix2(b + mix(a^rowSeeds[3]))})
}

func (s *rowSum) add(o *rowSum) {
	var c uint64
	for k := range s {
		s[k], c = bits.Add64(s[k], o[k], c)
	}
}

func (s *rowSum) String() string {
	var b [32]byte
	for k, w := range s {
		binary.BigEndian.PutUint64(b[24-8*k:], w)
	}
	return hex.EncodeToString(b[:])
}

// sequence is a digest of values in their order: the polynomial of their hashes at a fixed place, once for each half, modulo the prime 2^61-1. The digest of two sequences one after
// the other follows from theirs and the second's length. Values that differ, or stand in another order, give the same by a chance of about 2^-122. NULL counts 0.
type sequence struct{ a, b uint64 }

const (
	prime = 1<<61 - 1
	baseA = 0x0d5e1c5a7b3f9e21
	baseB = 0x13198a2e03707344
	block = 32 // so many products of two numbers below the prime have a sum below 2^128
)

var powersA, powersB = powers(baseA), powers(baseB)

func powers(base uint64) (p [block + 1]uint64) {
	p[0] = 1
	for k := range block {
		p[k+1] = mulmod(p[k], base)
	}
	return p
}

func reduce(hi, lo uint64) uint64 {
	x := lo&prime + (lo>>61 | hi<<3&prime) + hi>>58
	x = x&prime + x>>61
	if x >= prime {
		x -= prime
	}
	return x
}

func mulmod(x, y uint64) uint64 { return reduce(bits.Mul64(x, y)) }

func addmod(x, y uint64) uint64 {
	if x += y; x >= prime {
		x -= prime
	}
	return x
}

func power(base uint64, n int64) uint64 {
	r := uint64(1)
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			r = mulmod(r, base)
		}
		base = mulmod(base, base)
	}
	return r
}

// add appends values by their hashes.
func (s *sequence) add(ha, hb []uint64) {
	for len(ha) > 0 {
		n := min(len(ha), block)
		s.a = addmod(mulmod(s.a, powersA[n]), dot(ha[:n], &powersA))
		s.b = addmod(mulmod(s.b, powersB[n]), dot(hb[:n], &powersB))
		ha, hb = ha[n:], hb[n:]
	}
}

func dot(h []uint64, p *[block + 1]uint64) uint64 {
	var hi, lo, c uint64
	for k, x := range h {
		ph, pl := bits.Mul64(x&prime, p[(len(h)-1-k)&(block-1)])
		lo, c = bits.Add64(lo, pl, 0)
		hi += ph + c
	}
	return reduce(hi, lo)
}

// follow appends a sequence of n values.
func (s *sequence) follow(o sequence, n int64) {
	s.a = addmod(mulmod(s.a, power(baseA, n)), o.a)
	s.b = addmod(mulmod(s.b, power(baseB, n)), o.b)
}

// text is the digest of a sequence of n values.
func (s sequence) text(n int64) string {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], mix(s.a^mix(s.b^mix(uint64(n)))))
	binary.BigEndian.PutUint64(b[8:], mix2(s.b^mix2(s.a^mix2(uint64(n)))))
	return hex.EncodeToString(b[:])
}
