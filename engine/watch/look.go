package watch

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
)

// Look is a digest of what lies in folders: names, sizes and times, of no content. Two that are the same say that nobody wrote there between them, as far as the
// times of files tell. Of paths that skip takes nothing counts.
func Look(folders []Folder, skip func(path string) bool) cache.Digest {
	l := look{hash: cache.NewHasher(), skip: skip, seen: map[string]bool{}}
	for _, f := range folders {
		l.dir(filepath.Clean(f.Dir), f.Deep)
	}
	return l.hash.Digest()
}

// Calm looks until two looks that lie quiet apart are the same, or most is over, and returns the last one. Where nothing changed since the look before, one is enough.
func Calm(ctx context.Context, before cache.Digest, look func() cache.Digest, quiet, most time.Duration) cache.Digest {
	end := time.Now().Add(most)
	now := look()
	for now != before && time.Now().Before(end) && ctx.Err() == nil {
		select {
		case <-time.After(quiet):
		case <-ctx.Done():
		}
		before, now = now, look()
	}
	return now
}

type look struct {
	hash cache.Hasher
	skip func(path string) bool
	seen map[string]bool // real paths of directories, so that links make no circle
}

func (l *look) dir(dir string, deep bool) {
	real, err := filepath.EvalSymlinks(dir)
	if key := fmt.Sprint(real, deep); err == nil && !l.seen[key] {
		l.seen[key] = true
		l.entries(dir, deep)
	}
}

func (l *look) entries(dir string, deep bool) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		l.note(dir, err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() && strings.HasPrefix(e.Name(), ".") || l.skip(path) {
			continue
		}
		info, err := os.Stat(path) // of a link, what it leads to
		switch {
		case err != nil:
			l.note(path, err)
		case !info.IsDir():
			l.note(path, disk.StampOf(info))
		case deep:
			l.dir(path, deep)
		}
	}
}

func (l *look) note(path string, what any) {
	_, _ = fmt.Fprintf(l.hash, "%q %v\n", path, what) // a hash takes all
}
