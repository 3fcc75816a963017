// Package cachetest holds what every implementation of the cache's interfaces must do. Each implementation's own tests run it.
package cachetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/dpb-build/dpb/cache"
)

// Blobs tests an implementation of cache.Blobs. open returns one that holds nothing.
func Blobs(t *testing.T, open func(testing.TB) cache.Blobs) {
	for name, test := range map[string]func(*testing.T, cache.Blobs){
		"what is put comes back":              blobsComeBack,
		"what was not put is missing":         blobsAreMissing,
		"a second put changes nothing":        blobsPutTwice,
		"a reader that fails stores nothing":  blobsOfFailingReader,
		"a context that ended stores nothing": blobsOfEndedContext,
		"a reader may stop early":             blobsReadInPart,
		"many may put and read at once":       blobsAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func blobsComeBack(t *testing.T, b cache.Blobs) {
	for _, content := range []string{"", "x", "two\nlines\n", "\x00\xff", strings.Repeat("0123456789abcdef", 200_000)} {
		d, n, err := b.Put(t.Context(), iotest.OneByteReader(strings.NewReader(content[:min(len(content), 100)])))
		if err != nil || n != int64(min(len(content), 100)) || d != cache.Sum([]byte(content[:n])) {
			t.Fatalf("Put of %d bytes: %s, %d, %v", min(len(content), 100), d, n, err)
		}
		checkBlob(t, b, mustPut(t, b, content), content)
	}
	if err := b.Sync(t.Context()); err != nil {
		t.Errorf("Sync: %v", err)
	}
}

func mustPut(t testing.TB, b cache.Blobs, content string) cache.Digest {
	t.Helper()
	d, n, err := b.Put(t.Context(), strings.NewReader(content))
	if err != nil || n != int64(len(content)) || d != cache.Sum([]byte(content)) {
		t.Fatalf("Put of %d bytes: %s, %d, %v", len(content), d, n, err)
	}
	return d
}

func checkBlob(t testing.TB, b cache.Blobs, d cache.Digest, want string) {
	t.Helper()
	r, err := b.Open(t.Context(), d)
	if err != nil {
		t.Errorf("Open: %v", err)
		return
	}
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		t.Errorf("read %d bytes, %v; want %d", len(got), err, len(want))
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if n, err := b.Stat(t.Context(), d); err != nil || n != int64(len(want)) {
		t.Errorf("Stat: %d, %v; want %d", n, err, len(want))
	}
}

func blobsAreMissing(t *testing.T, b cache.Blobs) {
	mustPut(t, b, "something else")
	for _, d := range []cache.Digest{{}, cache.Sum([]byte("never put"))} {
		checkMissing(t, b, d)
	}
}

func checkMissing(t testing.TB, b cache.Blobs, d cache.Digest) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	if r, err := b.Open(ctx, d); !errors.Is(err, cache.ErrMissing) || r != nil {
		t.Errorf("Open: %v, %v; want nil and ErrMissing", r, err)
	}
	if _, err := b.Stat(ctx, d); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("Stat: %v; want ErrMissing", err)
	}
}

func blobsPutTwice(t *testing.T, b cache.Blobs) {
	d := mustPut(t, b, "twice")
	if again := mustPut(t, b, "twice"); again != d {
		t.Errorf("%s, then %s", d, again)
	}
	checkBlob(t, b, d, "twice")
}

func blobsOfFailingReader(t *testing.T, b cache.Blobs) {
	broken := errors.New("broken")
	_, _, err := b.Put(t.Context(), io.MultiReader(strings.NewReader("half"), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("Put: %v; want the reader's error", err)
	}
	checkMissing(t, b, cache.Sum([]byte("half")))
}

func blobsOfEndedContext(t *testing.T, b cache.Blobs) {
	ctx, cancel := context.WithCancel(t.Context())
	first := strings.Repeat("a", 100)
	r := io.MultiReader(strings.NewReader(first), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, nil
	}), strings.NewReader("b"))
	if _, _, err := b.Put(ctx, r); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v; want context.Canceled", err)
	}
	for _, content := range []string{first, first + "b"} {
		checkMissing(t, b, cache.Sum([]byte(content)))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func blobsReadInPart(t *testing.T, b cache.Blobs) {
	content := strings.Repeat("x", 1<<20)
	d := mustPut(t, b, content)
	r, err := b.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Error(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	checkBlob(t, b, d, content)
}

func blobsAtOnce(t *testing.T, b cache.Blobs) {
	content := func(k int) string { return strings.Repeat(string(rune('a'+k%4)), 10_000) }
	var all sync.WaitGroup
	for k := range 32 {
		all.Go(func() {
			d, _, err := b.Put(t.Context(), strings.NewReader(content(k)))
			if err != nil {
				t.Errorf("Put: %v", err)
			}
			checkBlob(t, b, d, content(k))
		})
	}
	all.Wait()
}

// Trees tests an implementation of cache.Trees. open returns one that holds nothing.
func Trees(t *testing.T, open func(testing.TB) cache.Trees) {
	for name, test := range map[string]func(*testing.T, cache.Trees){
		"what is put comes back":        treesComeBack,
		"what was not put is missing":   treesAreMissing,
		"what is no tree is refused":    treesAreValid,
		"many may put the same at once": treesAtOnce,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open(t))
		})
	}
}

func trees(t testing.TB) []cache.Tree {
	var out []cache.Tree
	for _, entries := range [][]cache.Entry{
		nil,
		{{Path: "a.csv", Kind: cache.File, Digest: cache.Sum([]byte("a")), Size: 1}},
		{{Path: "b/run", Kind: cache.Exec, Digest: cache.Sum(nil)}, {Path: "b/up", Kind: cache.Link, Target: "../c"}, {Path: "c", Kind: cache.Dir}},
	} {
		tree, err := cache.NewTree(entries)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, tree)
	}
	return out
}

func treesComeBack(t *testing.T, s cache.Trees) {
	for _, tree := range trees(t) {
		for range 2 {
			if d, err := s.PutTree(t.Context(), tree); err != nil || d != tree.Digest() {
				t.Fatalf("PutTree: %s, %v; want %s", d, err, tree.Digest())
			}
		}
		got, err := s.GetTree(t.Context(), tree.Digest())
		if err != nil || !bytes.Equal(got.Encode(), tree.Encode()) {
			t.Errorf("GetTree: %v, %v; want %v", got, err, tree)
		}
	}
}

func treesAreMissing(t *testing.T, s cache.Trees) {
	for _, d := range []cache.TreeDigest{{}, {1, 2, 3}, trees(t)[0].Digest()} {
		if got, err := s.GetTree(t.Context(), d); !errors.Is(err, cache.ErrMissing) || !reflect.ValueOf(got).IsZero() {
			t.Errorf("GetTree(%s): %v, %v; want ErrMissing", d, got, err)
		}
	}
}

func treesAreValid(t *testing.T, s cache.Trees) {
	bad := cache.Tree{Entries: []cache.Entry{{Path: "../a", Kind: cache.Dir}}}
	if _, err := s.PutTree(t.Context(), bad); err == nil {
		t.Error("PutTree took a tree that leads outside")
	}
	if _, err := s.GetTree(t.Context(), bad.Digest()); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("GetTree: %v; want ErrMissing", err)
	}
}

func treesAtOnce(t *testing.T, s cache.Trees) {
	tree := trees(t)[2]
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			if _, err := s.PutTree(t.Context(), tree); err != nil {
				t.Errorf("PutTree: %v", err)
			}
			if got, err := s.GetTree(t.Context(), tree.Digest()); err != nil || got.Digest() != tree.Digest() {
				t.Errorf("GetTree: %v, %v", got, err)
			}
		})
	}
	all.Wait()
}
