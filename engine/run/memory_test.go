package run

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// remembering is a small pipeline whose last build is remembered: s0 by day, and s1, read by t0 by day, that by t1.
type remembering struct {
	*pipeline
	t     *testing.T
	store string
}

func newRemembering(t *testing.T, days int) *remembering {
	t.Helper()
	input := func(name string) *engine.Input {
		return &engine.Input{Name: name, From: engine.Ref{Label: engine.Label{Name: name}}}
	}
	day := []string{"day"}
	p := &pipeline{root: memoryDir(t), days: days, files: map[string]string{"s1.txt": "a\n"}, targets: []*randomTarget{
		{name: "s0", source: true, by: day}, {name: "s1", source: true},
		{name: "t0", by: day, script: scripts[0], inputs: []*engine.Input{input("s0")}},
		{name: "t1", script: scripts[0], inputs: []*engine.Input{input("s1"), input("t0")}},
	}}
	for d := range days {
		p.files[p.dayFile(d)] = "x\n"
	}
	p.write(t)
	return &remembering{p, t, filepath.Join(memoryDir(t), "store")}
}

// ran builds all and compares how many jobs ran; whatever is remembered, all is fresh then.
func (r *remembering) ran(what string, want int) {
	r.t.Helper()
	if got := r.build(r.t, r.store, 2).ran; got != want {
		r.t.Errorf("%s: %d jobs ran, want %d", what, got, want)
	}
}

// opened is a session, with what it remembers.
func (r *remembering) opened(change func(*Config)) *Session {
	r.t.Helper()
	c := r.config(r.t, r.store)
	c.ReadOnly = true
	if change != nil {
		change(&c)
	}
	s, err := Open(c)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = s.Close() })
	return s
}

// counts says of how many actions keys are remembered, of how many partitions of sources files, and of how many targets all pointers.
func (r *remembering) counts(change func(*Config)) (keys, files, pointed int) {
	r.t.Helper()
	s := r.opened(change)
	if s.memory == nil {
		return 0, 0, 0
	}
	for _, m := range s.memory.nodes {
		for _, w := range m.Wanted {
			if w {
				keys++
			}
		}
		for _, f := range m.files {
			if f != nil {
				files++
			}
		}
		if m.pointed {
			pointed++
		}
	}
	return keys, files, pointed
}

func (r *remembering) do(errs ...error) {
	r.t.Helper()
	if err := errors.Join(errs...); err != nil {
		r.t.Fatal(err)
	}
}

// TestMemory: a build with nothing to do goes by what is remembered of all actions.
func TestMemory(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	if keys, files, pointed := r.counts(nil); keys != 8 || files != 4 || pointed != 4 {
		t.Errorf("%d keys, files of %d, and pointers of %d are remembered", keys, files, pointed)
	}
	s := r.opened(nil)
	all, _ := s.Graph.Select([]engine.Pattern{{Below: true}})
	d, err := s.Status(t.Context(), all)
	r.do(err)
	for _, n := range s.Graph.Nodes {
		for i := range n.Set.Len() {
			if !d.Same(n, i) {
				t.Errorf("%s is not what is remembered", n.Target.Label.At(n.Set.Text(i)))
			}
			if looks := s.memory.nodes[n.Index].looks; looks != nil && looks[i] != unchanged {
				t.Errorf("%s: its files are not those that are remembered", n.Target.Label.At(n.Set.Text(i)))
			}
		}
	}
	if got := s.files.Newest(); !got.IsZero() {
		t.Error("files were read")
	}
}

// TestMemoryNotices what changed, whatever was done to hide it.
func TestMemoryNotices(t *testing.T) {
	t.Parallel()
	for what, x := range map[string]struct {
		change func(r *remembering, file string) error
		want   int
	}{
		"nothing": {func(*remembering, string) error { return nil }, 0},
		"an edit of the same size, with the time of before": {func(_ *remembering, file string) error {
			info, err := os.Stat(file)
			return errors.Join(err, os.WriteFile(file, []byte("y\n"), 0o666), os.Chtimes(file, info.ModTime(), info.ModTime()))
		}, 2},
		"another file in its place, of the same size and time": {func(_ *remembering, file string) error {
			info, err := os.Stat(file)
			other := file + ".other"
			return errors.Join(err, os.WriteFile(other, []byte("y\n"), 0o666), os.Chtimes(other, info.ModTime(), info.ModTime()), os.Rename(other, file))
		}, 2},
		"another folder in its folder's place": {func(_ *remembering, file string) error {
			dir := filepath.Dir(file)
			entries, err := os.ReadDir(dir)
			errs := []error{err, os.Mkdir(dir+".other", 0o777)}
			for _, e := range entries {
				info, err := e.Info()
				other := filepath.Join(dir+".other", e.Name())
				errs = append(errs, err, os.WriteFile(other, []byte("z\n"), 0o666), os.Chtimes(other, info.ModTime(), info.ModTime()))
			}
			return errors.Join(append(errs, os.Rename(dir, dir+".before"), os.Rename(dir+".other", dir))...)
		}, 4},
		"a link in its place": {func(_ *remembering, file string) error {
			return errors.Join(os.WriteFile(file+".other", []byte("y\n"), 0o666), os.Remove(file), os.Symlink(file+".other", file))
		}, 2},
		"a touch": {func(_ *remembering, file string) error { return os.Chtimes(file, time.Now(), time.Now()) }, 0},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRemembering(t, 3)
			r.ran("first", 4)
			r.do(x.change(r, filepath.Join(r.root, r.dayFile(1))))
			r.ran(what, x.want)
			r.ran("once more", 0)
		})
	}
}

// TestMemoryCounts only for what it was made of.
func TestMemoryCounts(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	for what, change := range map[string]func(*Config){
		"another word in a file that declares, be it in a comment": func(c *Config) { c.Declared[0]++ },
		"another dpb":                             func(c *Config) { c.Program = "other" },
		"a dpb that can't be told from others":    func(c *Config) { c.Program = "" },
		"files that declare, which are not known": func(c *Config) { c.Declared = cache.Digest{} },
		"a clock that was set back, so that a change may have the times of before": func(c *Config) { c.ahead = -time.Hour },
		"a day more": func(c *Config) {
			longer := *r.pipeline
			longer.days++
			c.Graph = longer.config(t, r.store).Graph
		},
	} {
		if keys, files, pointed := r.counts(change); keys+files+pointed != 0 {
			t.Errorf("%s: %d keys, files of %d, and pointers of %d count", what, keys, files, pointed)
		}
	}
	if keys, _, _ := r.counts(nil); keys != 8 {
		t.Errorf("%d keys are remembered", keys)
	}
}

// TestMemoryIsRacy: of files that changed a moment ago nothing is remembered, as they may change again and have the same times.
func TestMemoryIsRacy(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 4) // not ahead of the clock
	r.ran("first", 5)
	if keys, files, _ := r.counts(nil); keys != 10 || files != 0 {
		t.Errorf("%d keys, and files of %d are remembered", keys, files)
	}
	r.files[r.dayFile(0)] = "y\n"
	r.write(t)
	r.ran("an edit of the same size, perhaps in the same tick", 2)
}

// TestMemoryOfAPart: what a build of a part changes does not let keys count that followed from what was before.
func TestMemoryOfAPart(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	r.files[r.dayFile(1)] = "y\n"
	r.write(t)
	c := r.config(t, r.store)
	n := c.Graph.Node(engine.Label{Name: "t0"})
	if ran := r.make(t, c, []graph.Selected{{Node: n, Partitions: []int{1}}}, 1); ran != 1 {
		t.Errorf("%d jobs ran for the part", ran)
	}
	r.ran("what reads it", 1)
	r.do(os.Remove(filepath.Join(r.root, r.dayFile(1))))
	r.files[r.dayFile(1)] = "x\n"
	r.write(t)
	r.ran("back to what it was", 0)
}

// TestMemoryOfTwo: pointers that another command moved are read, and what two commands found at the same time is not mixed.
func TestMemoryOfTwo(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	waiting, err := Open(r.config(t, r.store))
	r.do(err)
	r.files[r.dayFile(2)] = "y\n"
	r.write(t)
	r.ran("another command", 2)
	all, _ := waiting.Graph.Select([]engine.Pattern{{Below: true}})
	summary, err := waiting.Build(t.Context(), all, Options{Jobs: 1, Events: silent{}})
	r.do(err, waiting.Close())
	if summary.Ran != 0 {
		t.Errorf("%d jobs ran for what the other had made", summary.Ran)
	}
	r.ran("after both", 0)
	r.files[r.dayFile(2)] = "x\n"
	r.write(t)
	r.ran("back", 0)
}

// TestMemoryHolds: what was vouched for at the start of a command holds for all of it. A job that reads the file later, and finds another one, is decided anew.
func TestMemoryHolds(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	s := r.opened(nil)
	all, _ := s.Graph.Select([]engine.Pattern{{Below: true}})
	_, err := s.Status(t.Context(), all)
	r.do(err)
	n := s.Graph.Node(engine.Label{Name: "s0"})
	if _, err := s.snapshot(n, n.Target.Path, 1); err != nil {
		t.Errorf("before: %v", err)
	}
	s.files.Forget()
	r.do(os.WriteFile(filepath.Join(r.root, r.dayFile(1)), []byte("changed\n"), 0o666))
	if _, err := s.snapshot(n, n.Target.Path, 1); err == nil || err.Error() != filepath.Join(r.root, r.dayFile(1))+": it changed while dpb was running; build again" {
		t.Errorf("after: %v", err)
	}
	s.lookAnew()
	if _, err := s.snapshot(n, n.Target.Path, 1); err != nil {
		t.Errorf("in another pass: %v", err)
	}
}

// TestMemoryGlob: of a source with wildcards other files count as a change, though all that are remembered are what they were.
func TestMemoryGlob(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.glob = true
	r.ran("first", 4)
	if _, files, _ := r.counts(nil); files != 4 {
		t.Errorf("files of %d are remembered", files)
	}
	r.ran("again", 0)
	more := filepath.Join(r.root, "s1.txt.more")
	r.do(os.WriteFile(more, []byte("b\n"), 0o666))
	r.ran("a file more", 1)
	r.ran("again", 0)
	r.do(os.Rename(more, more+"2"))
	r.ran("it has another name", 1)
	r.do(os.Remove(more + "2"))
	r.ran("a file less", 0)
}

// TestMemoryDamaged: with any byte another one, or cut off anywhere, a build runs no job, and finds all that changed.
func TestMemoryDamaged(t *testing.T) {
	t.Parallel()
	r := newRemembering(t, 3)
	r.ran("first", 4)
	s := r.opened(nil)
	file := filepath.Join(s.checkoutDir(s.Environment), memoryFile)
	good, err := os.ReadFile(file)
	r.do(err)
	for k := 0; k < len(good); k += 97 {
		other := bytes.Clone(good)
		other[k] ^= 1
		for _, b := range [][]byte{other, good[:k]} {
			r.do(os.WriteFile(file, b, 0o666))
			if keys, files, pointed := r.counts(nil); keys+files+pointed != 0 {
				t.Fatalf("byte %d: %d keys, files of %d, and pointers of %d count", k, keys, files, pointed)
			}
		}
	}
	r.ran("after damage", 0)
	if keys, _, _ := r.counts(nil); keys != 8 {
		t.Errorf("%d keys are remembered after that", keys)
	}
}

// FuzzMemory: no bytes make a chunk that is read beyond its end.
func FuzzMemory(f *testing.F) {
	target := &engine.Target{Kind: engine.SQL, Outputs: []*engine.Output{{Name: "a", Format: engine.CSV, Rejects: []*engine.Reject{{}}}}}
	g, _ := graph.New(&engine.Workspace{Targets: []*engine.Target{target}}, time.Time{})
	e := encoder{complete: true}
	var x nodeMemory
	x.prepare(g.Nodes[0])
	fi := finding{seen: true, wanted: true, version: engine.VersionID{1}, columns: [][]engine.Column{{{Name: "c", Type: "BIGINT", NotNull: true}}}}
	fi.trees, fi.raw, fi.aside = x.Trees, x.Raw, x.Aside
	e.add(fi)
	f.Add(e.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		table := disk.OpenTable("", memoryHeader)
		table.Put(chunkName(g.Nodes[0], 0), b)
		var m nodeMemory
		m.read(table, g.Nodes[0])
		if m.stale != nil && !m.stale[0] && len(m.version) != 1 {
			t.Error("it was read, and has no room")
		}
	})
}
