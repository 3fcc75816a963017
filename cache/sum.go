package cache

import (
	"io"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
)

// SumReader reads r to its end and returns the digest and the number of bytes. Of much data, what was read last is hashed while more is read, if a processor is
// free for that.
func SumReader(r io.Reader) (d Digest, n int64, err error) {
	first := pieces.Get().(*piece)
	err = first.fill(r)
	n = int64(first.n)
	if err != nil {
		if err == io.EOF {
			d, err = first.sum(), nil
		}
		pieces.Put(first)
		return d, n, err
	}
	s := newSum()
	s.add(first)
	pieces.Put(first)
	more, err := sumRest(s, r)
	if n += more; err != io.EOF {
		return d, n, err
	}
	return s.digest(), n, nil
}

func sumRest(s *sum, r io.Reader) (n int64, err error) {
	if n, err = sumAlone(s, r, little); err != nil {
		return n, err
	}
	summing.Add(1)
	defer summing.Add(-1)
	var more int64
	if takeSpare() {
		defer summing.Add(-1)
		more, err = sumTogether(s, r)
	} else {
		more, err = sumAlone(s, r, math.MaxInt64)
	}
	return n + more, err
}

// Data is read in pieces that stay in a processor's cache until they are hashed. little is what takes no longer than to share the work.
const pieceSize, little = 256 << 10, 1 << 20

type piece struct {
	b [pieceSize]byte
	n int
	v [pieceSize / chunkSize]value
}

var pieces = sync.Pool{New: func() any { return new(piece) }}

// summing counts the goroutines that read or hash much data just now.
var summing atomic.Int32

// takeSpare says whether there is a processor for one more of these, and counts it if so.
func takeSpare() bool {
	if summing.Add(1) <= int32(runtime.GOMAXPROCS(0)) {
		return true
	}
	summing.Add(-1)
	return false
}

// sum computes the digest of pieces, all full but the last.
type sum struct {
	narrow Hasher
	wide   parts
}

func newSum() *sum {
	if isWide {
		return new(sum)
	}
	return &sum{narrow: NewHasher()}
}

func (s *sum) add(p *piece) {
	if isWide {
		s.wide.add(p)
	} else {
		_, _ = s.narrow.Write(p.b[:p.n]) // a hash takes all
	}
}

func (s *sum) digest() Digest {
	if isWide {
		return s.wide.digest()
	}
	return s.narrow.Digest()
}

// sumAlone hashes what it reads until it is most or there is an error, which is io.EOF at the end.
func sumAlone(s *sum, r io.Reader, most int64) (n int64, err error) {
	p := pieces.Get().(*piece)
	defer pieces.Put(p)
	for n < most && err == nil {
		err = p.fill(r)
		n += int64(p.n)
		s.add(p)
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
func sumTogether(s *sum, r io.Reader) (n int64, err error) {
	read, free := make(chan *piece, ahead), make(chan *piece, ahead)
	for range ahead {
		free <- pieces.Get().(*piece)
	}
	var hashing sync.WaitGroup
	hashing.Go(func() {
		for p := range read {
			s.add(p)
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

// SumFile is SumReader for what has a size that is known. Of much data, processors that are free read and hash parts of their own.
func SumFile(r io.ReaderAt, size int64) (Digest, int64, error) {
	if isWide && size > spanSize {
		s := split{r: r, size: size, spans: make([]value, (size+spanSize-1)/spanSize)}
		summing.Add(1)
		s.work()
		summing.Add(-1)
		s.others.Wait()
		if s.err != nil {
			return Digest{}, 0, s.err
		}
		if !s.otherSize && isEnd(r, size) {
			return digestOf(s.spans), size, nil
		}
	}
	return SumReader(io.NewSectionReader(r, 0, math.MaxInt64))
}

func isEnd(r io.ReaderAt, at int64) bool {
	n, err := r.ReadAt(make([]byte, 1), at)
	return n == 0 && err == io.EOF
}

// split is the work of SumFile. Each span of the data is read and hashed by one goroutine.
type split struct {
	r      io.ReaderAt
	size   int64
	spans  []value
	next   atomic.Int64
	others sync.WaitGroup

	mu        sync.Mutex
	err       error
	otherSize bool
}

// work hashes spans until there are no more. At each it lets a goroutine help for which there is a processor.
func (s *split) work() {
	p := pieces.Get().(*piece)
	defer pieces.Put(p)
	for {
		k := s.next.Add(1) - 1
		if k >= int64(len(s.spans)) {
			return
		}
		if k+1 < int64(len(s.spans)) && takeSpare() {
			s.others.Go(func() {
				s.work()
				summing.Add(-1)
			})
		}
		if err := s.span(p, k); err != nil {
			s.fail(err)
			return
		}
	}
}

func (s *split) span(p *piece, k int64) error {
	var all [inSpan]value
	v := all[:0]
	for at, end := k*spanSize, min((k+1)*spanSize, s.size); at < end; at += pieceSize {
		p.n = int(min(pieceSize, end-at))
		if n, err := s.r.ReadAt(p.b[:p.n], at); n < p.n {
			return err
		}
		v = append(v, join(p.values(uint64(at/chunkSize))))
	}
	s.spans[k] = join(v)
	return nil
}

// fail ends the work of all. A file that ends early is no error, but has another size.
func (s *split) fail(err error) {
	s.next.Store(int64(len(s.spans)))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == io.EOF {
		s.otherSize = true
	} else if s.err == nil {
		s.err = err
	}
}
