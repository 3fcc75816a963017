package cache

import (
	"io"
	"runtime"
	"sync"
	"sync/atomic"
)

// SumReader reads r to its end and returns the digest and the number of bytes. Of much data, what was read last is hashed while more is read, if a processor is
// free for that.
func SumReader(r io.Reader) (Digest, int64, error) {
	first := pieces.Get().(*piece)
	err := first.fill(r)
	n := int64(first.n)
	if err == io.EOF {
		d := Sum(first.b[:n])
		pieces.Put(first)
		return d, n, nil
	}
	h := NewHasher()
	_, _ = h.Write(first.b[:n]) // a hash takes all
	pieces.Put(first)
	var more int64
	if err == nil {
		more, err = sumRest(h, r)
	}
	if err == io.EOF {
		err = nil
	}
	return h.Digest(), n + more, err
}

func sumRest(h Hasher, r io.Reader) (n int64, err error) {
	if n, err = sumAlone(h, r, little); err != nil {
		return n, err
	}
	var more int64
	if summing.Add(1) < int32(runtime.GOMAXPROCS(0)) {
		more, err = sumTogether(h, r)
	} else {
		more, err = sumAlone(h, r, 1<<62)
	}
	summing.Add(-1)
	return n + more, err
}

// Data is read in pieces that stay in a processor's cache until they are hashed. little is what takes no longer than to share the work.
const pieceSize, little = 256 << 10, 1 << 20

type piece struct {
	b [pieceSize]byte
	n int
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// summing counts who reads much data just now.
var summing atomic.Int32

// sumAlone hashes what it reads until it is most or there is an error, which is io.EOF at the end.
func sumAlone(h Hasher, r io.Reader, most int64) (n int64, err error) {
	p := pieces.Get().(*piece)
	defer pieces.Put(p)
	for n < most && err == nil {
		err = p.fill(r)
		n += int64(p.n)
		_, _ = h.Write(p.b[:p.n])
	}
	return n, err
}

// fill reads until the piece is full or there is an error.
func (p *piece) fill(r io.Reader) (err error) {
	for p.n = 0; p.n < pieceSize && err == nil; {
		var k int
		k, err = r.Read(p.b[p.n:])
		p.n += k
	}
	return err
}

// ahead is how many pieces are under way from who reads to who hashes.
const ahead = 4

// sumTogether is sumAlone until there is an error, with another goroutine that hashes.
func sumTogether(h Hasher, r io.Reader) (n int64, err error) {
	read, free := make(chan *piece, ahead), make(chan *piece, ahead)
	for range ahead {
		free <- pieces.Get().(*piece)
	}
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for p := range read {
			_, _ = h.Write(p.b[:p.n])
			free <- p
		}
	})
	for err == nil {
		p := <-free
		err = p.fill(r)
		n += int64(p.n)
		read <- p
	}
	close(read)
	hashing.Wait()
	for range ahead {
		pieces.Put(<-free)
	}
	return n, err
}
