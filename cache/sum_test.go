package cache

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// TestSumReader compares digests of readers with those of their bytes, around the sizes at which the work is done differently.
func TestSumReader(t *testing.T) {
	t.Parallel()
	data := make([]byte, little+5*pieceSize+17)
	rand.NewChaCha8([32]byte{1}).Read(data)
	for _, size := range []int{0, 1, 1024, pieceSize - 1, pieceSize, pieceSize + 1, little - 1, little, little + 1, little + ahead*pieceSize, len(data)} {
		for name, r := range map[string]io.Reader{
			"at once":        bytes.NewReader(data[:size]),
			"in parts":       iotest.HalfReader(bytes.NewReader(data[:size])),
			"end with bytes": iotest.DataErrReader(bytes.NewReader(data[:size])),
		} {
			d, n, err := SumReader(r)
			if d != Sum(data[:size]) || n != int64(size) || err != nil {
				t.Errorf("%d bytes, %s: got %s, %d, %v", size, name, d.Short(), n, err)
			}
		}
	}
}

// TestSumReaderFails passes every error on, also one that looks like an end, wherever it comes.
func TestSumReaderFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for _, size := range []int{0, 100, pieceSize, little + pieceSize + 1} {
		for _, want := range []error{broken, io.ErrUnexpectedEOF} {
			r := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(want))
			if _, n, err := SumReader(r); !errors.Is(err, want) || n != int64(size) {
				t.Errorf("after %d bytes: got %d, %v, want %v", size, n, err, want)
			}
		}
	}
}

// TestSumReaderBeside has many readers at once, more than there are processors.
func TestSumReaderBeside(t *testing.T) {
	t.Parallel()
	data := make([]byte, 2*little)
	rand.NewChaCha8([32]byte{2}).Read(data)
	want := Sum(data)
	sums := make(chan Digest)
	for range 16 {
		go func() {
			d, _, _ := SumReader(iotest.HalfReader(bytes.NewReader(data)))
			sums <- d
		}()
	}
	for range 16 {
		if d := <-sums; d != want {
			t.Fatalf("got %s, want %s", d.Short(), want.Short())
		}
	}
	if n := summing.Load(); n < 0 {
		t.Errorf("%d readers are left", n)
	}
}
