package disk

import (
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/cachetest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DPB_TEST_STORE"); dir != "" {
		holdJob(dir)
	}
	os.Exit(m.Run())
}

// newStore opens a store of its own; warned collects what it warns of.
func newStore(t testing.TB) (s *Store, warned *[]string) {
	t.Helper()
	return openStore(t, filepath.Join(t.TempDir(), "store"))
}

func openStore(t testing.TB, dir string) (s *Store, warned *[]string) {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	warned = new([]string)
	var mu sync.Mutex
	s.Warn = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		*warned = append(*warned, text)
	}
	return s, warned
}

func put(t testing.TB, s *Store, content string) cache.Digest {
	t.Helper()
	d, _, err := s.Put(t.Context(), strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func read(s *Store, d cache.Digest) (string, error) {
	r, err := s.Open(context.Background(), d)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func write(t testing.TB, name, content string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("blobs", func(t *testing.T) {
		cachetest.Blobs(t, func(t testing.TB) cache.Blobs { s, _ := newStore(t); return s })
	})
	t.Run("trees", func(t *testing.T) {
		cachetest.Trees(t, func(t testing.TB) cache.Trees { s, _ := newStore(t); return s })
	})
}

func TestTwoStoresInOneDirectory(t *testing.T) {
	t.Parallel()
	a, _ := newStore(t)
	b, _ := openStore(t, a.Dir)
	var all sync.WaitGroup
	for k := range 20 {
		all.Go(func() {
			for _, s := range []*Store{a, b}[k%2:] {
				if _, _, err := s.Put(t.Context(), strings.NewReader(strings.Repeat("same", 5000))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	d := put(t, a, "from a")
	if got, err := read(b, d); got != "from a" || err != nil {
		t.Errorf("the other store reads %q, %v", got, err)
	}
	if info, err := os.Stat(a.BlobPath(d)); err != nil || info.Mode() != 0o444 {
		t.Errorf("the blob is %v, %v; want it read-only", info.Mode(), err)
	}
}

// damages are what may happen to a file.
var damages = map[string]func([]byte) []byte{
	"a byte flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
	"cut short":      func(b []byte) []byte { return b[:len(b)-1] },
	"longer":         func(b []byte) []byte { return append(b, 'x') },
	"empty":          func([]byte) []byte { return nil },
}

func damage(t *testing.T, name string, how func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Chmod(name, 0o666), os.WriteFile(name, how(b), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedBlob: a damaged blob is a miss, is warned of and set aside, and the next Put replaces it: at once in a process that has not seen it yet, and
// in the one that wrote it.
func TestDamagedBlob(t *testing.T) {
	t.Parallel()
	for name, how := range damages {
		for _, use := range []string{"Open", "Verify", "CopyTo", "Put"} {
			for _, same := range []bool{true, false} {
				t.Run(name+" "+use, func(t *testing.T) {
					t.Parallel()
					s, warned := newStore(t)
					d := put(t, s, "some content")
					damage(t, s.BlobPath(d), how)
					if !same {
						s, warned = openStore(t, s.Dir)
					}
					useDamaged(t, s, d, use)
					if len(*warned) != 1 || !strings.Contains((*warned)[0], "was damaged; it was moved to") {
						t.Errorf("warned of %q", *warned)
					}
					if _, err := os.Stat(filepath.Join(s.Dir, "damaged", "blobs-"+d.String())); err != nil {
						t.Error(err)
					}
					put(t, s, "some content")
					if got, err := read(s, d); got != "some content" || err != nil {
						t.Errorf("after Put: %q, %v", got, err)
					}
				})
			}
		}
	}
}

func useDamaged(t *testing.T, s *Store, d cache.Digest, use string) {
	t.Helper()
	var err error
	switch use {
	case "Open":
		_, err = read(s, d)
	case "Verify":
		err = s.Verify(t.Context(), d)
	case "CopyTo":
		copied := filepath.Join(t.TempDir(), "copy")
		err = s.CopyTo(t.Context(), d, copied, 0o444)
		if _, err := os.Lstat(copied); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("it left a copy: %v", err)
		}
	case "Put":
		put(t, s, "some content")
		return
	}
	if !errors.Is(err, cache.ErrMissing) {
		t.Errorf("%s: %v; want ErrMissing", use, err)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("Verify afterwards: %v; want ErrMissing", err)
	}
}

// TestDamageFoundLate: who reads a damaged file to its end after a sound one took its place leaves that one alone.
func TestDamageFoundLate(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	d := put(t, s, "some content")
	damage(t, s.BlobPath(d), damages["cut short"])
	late, err := s.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	put(t, s, "some content")
	if _, err := io.ReadAll(late); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("the late reader: %v; want ErrMissing", err)
	}
	if got, err := read(s, d); got != "some content" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

// TestBlobRemovedByAnother: a blob that this process has seen may be gone when it is put again.
func TestBlobRemovedByAnother(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	d := put(t, s, "x")
	if err := os.Remove(s.BlobPath(d)); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), d); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("Verify: %v; want ErrMissing", err)
	}
	put(t, s, "x")
	if got, err := read(s, d); got != "x" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestDamagedTree(t *testing.T) {
	t.Parallel()
	tree, err := cache.NewTree([]cache.Entry{{Path: "a", Kind: cache.Dir}, {Path: "b", Kind: cache.Dir}})
	if err != nil {
		t.Fatal(err)
	}
	for name, how := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, warned := newStore(t)
			d, err := s.PutTree(t.Context(), tree)
			if err != nil {
				t.Fatal(err)
			}
			damage(t, s.path("trees", d.String()), how)
			if _, err := s.GetTree(t.Context(), d); !errors.Is(err, cache.ErrMissing) || len(*warned) != 1 {
				t.Errorf("GetTree: %v, warned of %q", err, *warned)
			}
			if _, err := s.PutTree(t.Context(), tree); err != nil {
				t.Fatal(err)
			}
			if got, err := s.GetTree(t.Context(), d); err != nil || got.Digest() != d {
				t.Errorf("after PutTree: %v, %v", got, err)
			}
		})
	}
}

// TestTreeOfAnother: sound bytes under another tree's name are damage too.
// TestTreeCutOff: a tree that was cut off at any byte is gone, with a warning, and never another tree.
func TestTreeCutOff(t *testing.T) {
	t.Parallel()
	s, warned := newStore(t)
	tree, err := s.putEntries(t.Context(), []cache.Entry{{Path: "a", Kind: cache.File, Digest: put(t, s, "x"), Size: 1}, {Path: "b/c", Kind: cache.Link, Target: "../a"}, {Path: "d", Kind: cache.Dir}})
	if err != nil {
		t.Fatal(err)
	}
	good := tree.Encode()
	for n := range good {
		if err := os.Chmod(s.path("trees", tree.Digest().String()), 0o644); err != nil {
			t.Fatal(err)
		}
		write(t, s.path("trees", tree.Digest().String()), string(good[:n]))
		if _, err := s.GetTree(t.Context(), tree.Digest()); !errors.Is(err, cache.ErrMissing) {
			t.Errorf("%d of %d bytes: %v", n, len(good), err)
		}
		if _, err := s.PutTree(t.Context(), tree); err != nil {
			t.Fatal(err)
		}
	}
	if len(*warned) != len(good) {
		t.Errorf("%d warnings for %d cuts", len(*warned), len(good))
	}
}

// TestFormatCutOff: a format that was cut off is told as such, not as that of another dpb.
func TestFormatCutOff(t *testing.T) {
	t.Parallel()
	for n := range len(format) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, formatFile), format[:n])
		for _, open := range []func(string) (*Store, error){Open, OpenExisting} {
			if _, err := open(dir); err == nil || !strings.Contains(err.Error(), "is damaged") {
				t.Errorf("%q: %v", format[:n], err)
			}
		}
	}
}

func TestTreeOfAnother(t *testing.T) {
	t.Parallel()
	s, _ := newStore(t)
	d, err := s.PutTree(t.Context(), cache.Tree{})
	if err != nil {
		t.Fatal(err)
	}
	damage(t, s.path("trees", d.String()), func([]byte) []byte { return []byte("dpb tree 1\ndir\ta\n") })
	if _, err := s.GetTree(t.Context(), d); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("GetTree: %v; want ErrMissing", err)
	}
}

func TestUnknownFormat(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "format"), "dpb store 2\n")
	for _, open := range []func(string) (*Store, error){Open, OpenExisting} {
		_, err := open(dir)
		if err == nil || !strings.Contains(err.Error(), `has format "dpb store 2", and this dpb knows "dpb store 1" only: use the dpb that wrote it`) {
			t.Errorf("error %v", err)
		}
	}
	if entries, err := os.ReadDir(dir); len(entries) != 1 || err != nil {
		t.Errorf("it was written to: %v, %v", entries, err)
	}
}

func TestOpenExisting(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "none")
	s, err := OpenExisting(dir)
	if !errors.Is(err, ErrNoStore) {
		t.Errorf("error %v", err)
	}
	if _, err := s.GetTree(t.Context(), cache.TreeDigest{1}); !errors.Is(err, cache.ErrMissing) {
		t.Errorf("a store that is not there has a tree: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("reading made the store")
	}
	made, _ := openStore(t, dir)
	if _, err := OpenExisting(made.Dir); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, "format")); err != nil || info.Mode() != 0o444 {
		t.Errorf("others can't read the store's format: %v, %v", info.Mode(), err)
	}
}

// holdJob is a process that works in a job's directory until it is killed.
func holdJob(dir string) {
	s, err := Open(dir)
	if err != nil {
		panic(err)
	}
	job, err := s.JobDir("job")
	if err != nil {
		panic(err)
	}
	if err := errors.Join(os.WriteFile(filepath.Join(job, "half"), nil, 0o666), os.Mkdir(filepath.Join(job, "locked"), 0o777),
		os.WriteFile(filepath.Join(job, "locked", "file"), nil, 0o444), os.Chmod(filepath.Join(job, "locked"), 0o500)); err != nil {
		panic(err)
	}
	println(job)
	_, _ = os.Stdin.Read(make([]byte, 1))
	select {}
}

// TestAbandonedDirectories: what a killed process leaves behind goes with the next that opens the store; that of a live one stays.
func TestAbandonedDirectories(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "store")
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), "DPB_TEST_STORE="+dir)
	out, err := child.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	job := strings.TrimSpace(line)
	use := func() {
		s, _ := openStore(t, dir)
		put(t, s, "x")
	}
	use()
	if _, err := os.Stat(filepath.Join(job, "half")); err != nil {
		t.Errorf("the directory of a live process is gone: %v", err)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	use()
	if _, err := os.Stat(filepath.Dir(job)); !os.IsNotExist(err) {
		t.Errorf("the directory of a killed process is still there: %v", err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // nothing was used yet
		t.Error(err)
	}
	put(t, s, "x")
	job, err := s.JobDir("name")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(job, "f"), "")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Dir, "jobs", "p-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
