package publish

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

var day = engine.Partition{{Dimension: "day", Text: "2017-06-15"}}

// checkout is a workspace with a view of it.
type checkout struct {
	*View
	state string               // the file of its state
	sets  *cache.SectionDigest // what TestTidy asks for
	t     *testing.T
}

func newCheckout(t *testing.T) checkout {
	t.Helper()
	store, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	root := t.TempDir()
	state := filepath.Join(root, ".dpb", "view")
	return checkout{OpenView(root, state, store), state, nil, t}
}

// next ends the command and starts the one that follows.
func (c checkout) next() checkout {
	c.t.Helper()
	c.do(c.Close())
	return checkout{OpenView(c.root, c.state, c.store), c.state, nil, c.t}
}

// killed starts the next command after one that was killed: its state was never saved.
func (c checkout) killed() checkout {
	return checkout{OpenView(c.root, c.state, c.store), c.state, nil, c.t}
}

func target(label string, outputs ...string) *engine.Target {
	l, err := engine.ParseLabel(label, "")
	if err != nil {
		panic(err)
	}
	t := &engine.Target{Label: l}
	for _, name := range outputs {
		t.Outputs = append(t.Outputs, &engine.Output{Name: name})
	}
	return t
}

// daily is a target with a partition a day.
func daily(label string, outputs ...string) *engine.Target {
	t := target(label, outputs...)
	t.PartitionBy = []string{"day"}
	return t
}

// version stores one: its outputs by name, each with its files by name; a name that ends in a slash is a folder.
func (c checkout) version(number byte, outputs map[string]map[string]string) engine.Version {
	v := engine.Version{ID: engine.VersionID{number}}
	for name, files := range outputs {
		var entries []cache.Entry
		for path, content := range files {
			if dir, ok := strings.CutSuffix(path, "/"); ok {
				entries = append(entries, cache.Entry{Path: dir, Kind: cache.Dir})
				continue
			}
			d, n, err := c.store.Put(c.t.Context(), strings.NewReader(content))
			if err != nil {
				c.t.Fatal(err)
			}
			entries = append(entries, cache.Entry{Path: path, Kind: cache.File, Digest: d, Size: n})
		}
		tree, err := cache.NewTree(entries)
		if err == nil {
			_, err = c.store.PutTree(c.t.Context(), tree)
		}
		if err != nil {
			c.t.Fatal(err)
		}
		v.Outputs = append(v.Outputs, engine.VersionOutput{Name: name, Raw: tree.Digest(), Visible: tree.Digest()})
	}
	return v
}

// one is a version of one output x.
func (c checkout) one(number byte, files map[string]string) engine.Version {
	return c.version(number, map[string]map[string]string{"x": files})
}

func (c checkout) point(t *engine.Target, p engine.Partition, v engine.Version) {
	c.t.Helper()
	if err := c.Point(c.t.Context(), t, p, v); err != nil {
		c.t.Fatal(err)
	}
	if !c.Current(t, p, v.ID) {
		c.t.Errorf("%s@%s does not show version %s", t.Label, p, v.ID.Short())
	}
}

func (c checkout) file(name string) string { return filepath.Join(c.root, Dir, name) }

// shows checks what lies in dpb-out: files with their content, and folders that are empty.
func (c checkout) shows(want map[string]string) {
	c.t.Helper()
	got := map[string]string{}
	err := filepath.WalkDir(c.file(""), func(path string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(c.file(""), path)
		switch {
		case err != nil || rel == ".":
			return err
		case strings.HasPrefix(rel, ".new-"): // where folders are made
			return filepath.SkipDir
		case !d.IsDir():
			b, err := os.ReadFile(path)
			got[rel] = string(b)
			return err
		}
		children, err := os.ReadDir(path)
		if len(children) == 0 {
			got[rel+"/"] = ""
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		c.t.Errorf("dpb-out holds %v\nwant %v", got, want)
	}
}

func (c checkout) do(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//reports:royalties", "x")
	first, second := c.one(1, map[string]string{"a.csv": "1", "sub/b.csv": "2"}), c.one(2, map[string]string{"a.csv": "3", "empty/": ""})
	if c.Current(x, day, first.ID) {
		t.Error("it is current before it was shown")
	}
	c.point(x, day, first)
	c.shows(map[string]string{"reports/royalties/day=2017-06-15/a.csv": "1", "reports/royalties/day=2017-06-15/sub/b.csv": "2"})
	c.point(x, day, second)
	if c.Current(x, day, first.ID) {
		t.Error("the version of before is still current")
	}
	c.shows(map[string]string{"reports/royalties/day=2017-06-15/a.csv": "3", "reports/royalties/day=2017-06-15/empty/": ""})
	info, err := os.Stat(c.file("reports/royalties/day=2017-06-15/a.csv"))
	if err != nil || info.Mode() != 0o444 {
		t.Errorf("the file is %v, %v; want it read-only", info.Mode(), err)
	}
}

func TestPaths(t *testing.T) {
	t.Parallel()
	two := append(engine.Partition{{Dimension: "country", Text: "DE"}}, day...)
	for _, c := range []struct {
		target *engine.Target
		p      engine.Partition
		want   []string
	}{
		{target("//a/b:t", "x"), day, []string{"dpb-out/a/b/t/day=2017-06-15"}},
		{target("//:t", "x"), nil, []string{"dpb-out/t"}},
		{target("//a:t", "good", "bad"), two, []string{"dpb-out/a/t.good/country=DE/day=2017-06-15", "dpb-out/a/t.bad/country=DE/day=2017-06-15"}},
	} {
		if got := Paths(c.target, c.p); !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

// TestTouched: what people do to a file or folder is noticed, and undone by the next Point.
func TestTouched(t *testing.T) {
	t.Parallel()
	for what, touch := range map[string]func(c checkout) error{
		"edited": func(c checkout) error {
			return errors.Join(os.Chmod(c.file("t/a"), 0o666), os.WriteFile(c.file("t/a"), []byte("2"), 0o666))
		},
		"deleted":     func(c checkout) error { return os.Remove(c.file("t/sub/b")) },
		"all deleted": func(c checkout) error { return os.RemoveAll(c.file("")) },
		"replaced": func(c checkout) error {
			return errors.Join(os.WriteFile(c.file("new"), []byte("1"), 0o444), os.Rename(c.file("new"), c.file("t/a")))
		},
		"a folder for a file": func(c checkout) error {
			return errors.Join(os.Remove(c.file("t/a")), os.MkdirAll(c.file("t/a/b"), 0o777))
		},
		"a file for its place": func(c checkout) error {
			return errors.Join(os.RemoveAll(c.file("t")), os.WriteFile(c.file("t"), nil, 0o666))
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c, x := newCheckout(t), target("//:t", "x")
			v := c.one(1, map[string]string{"a": "1", "sub/b": "2"})
			c.point(x, nil, v)
			c = c.next()
			c.do(touch(c))
			if c.Current(x, nil, v.ID) {
				t.Error("it was not noticed")
			}
			c.point(x, nil, v)
			c.shows(map[string]string{"t/a": "1", "t/sub/b": "2"})
		})
	}
}

// TestNestedPackages: //a/b:c lies below //a:b, and stays when that is shown anew or withdrawn.
func TestNestedPackages(t *testing.T) {
	t.Parallel()
	c, outer, inner := newCheckout(t), target("//a:b", "x"), target("//a/b:c", "x")
	below := c.one(2, map[string]string{"f": "inner"})
	c.point(outer, nil, c.one(1, map[string]string{"f": "1", "old/f": "1"}))
	c.point(inner, nil, below)
	c.point(outer, nil, c.one(3, map[string]string{"f": "2"}))
	if !c.Current(inner, nil, below.ID) {
		t.Error("the inner one was touched")
	}
	c.shows(map[string]string{"a/b/f": "2", "a/b/c/f": "inner"})
	c.do(c.Withdraw(outer.Label, ""))
	c.shows(map[string]string{"a/b/c/f": "inner"})
	c.do(c.Withdraw(inner.Label, ""))
	c.shows(map[string]string{})
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	one, two, longer := target("//p:t", "x"), target("//p:u", "x", "y"), target("//p:tt", "x")
	next := engine.Partition{{Dimension: "day", Text: "2017-06-16"}}
	c.point(one, day, c.one(1, map[string]string{"a": "1", "deep/er/b": "2", "empty/": ""}))
	c.point(one, next, c.one(2, map[string]string{"a": "3"}))
	c.point(longer, day, c.one(3, map[string]string{"a": "4"}))
	both := map[string]map[string]string{"x": {"a": "5"}, "y": {"a": "6"}}
	c.point(two, day, c.version(4, both))
	c.point(two, next, c.version(5, both))
	c.do(c.Withdraw(one.Label, day.String()))
	c.do(c.Withdraw(two.Label, day.String()))
	c.do(c.Withdraw(two.Label, "day=2017-06-17")) // never shown
	c.shows(map[string]string{"p/t/day=2017-06-16/a": "3", "p/tt/day=2017-06-15/a": "4", "p/u.x/day=2017-06-16/a": "5", "p/u.y/day=2017-06-16/a": "6"})
	if c.Current(one, day, engine.VersionID{1}) {
		t.Error("what was withdrawn is current")
	}
}

// TestWithdrawLeavesWhatIsNotOurs: files that people put there stay.
func TestWithdrawLeavesWhatIsNotOurs(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//:t", "x")
	c.point(x, nil, c.one(1, map[string]string{"a": "1", "b": "2", "empty/": "", "sub/c": "3"}))
	c.do(os.WriteFile(c.file("t/mine"), []byte("m"), 0o666))
	c.do(os.WriteFile(c.file("t/empty/mine"), []byte("m"), 0o666))
	c.do(errors.Join(os.Remove(c.file("t/b")), os.Mkdir(c.file("t/b"), 0o777), os.WriteFile(c.file("t/b/mine"), []byte("m"), 0o666)))
	c.do(errors.Join(os.RemoveAll(c.file("t/sub")), os.WriteFile(c.file("t/sub"), []byte("m"), 0o666)))
	c.do(c.Withdraw(x.Label, ""))
	c.shows(map[string]string{"t/mine": "m", "t/empty/mine": "m", "t/b/mine": "m", "t/sub": "m"})
}

// TestRetire goes by what lies there: a build that was killed left it, and the pointers are gone.
func TestRetire(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//p:t", "x", "y")
	x.PartitionBy = []string{"day", "country"}
	for k, text := range []string{"DE", "FR", "IT"} {
		p := append(slices.Clone(day), engine.Value{Dimension: "country", Text: text})
		c.point(x, p, c.version(byte(k), map[string]map[string]string{"x": {"a": text, "deep/b": text}, "y": {"a": text}}))
	}
	c.point(target("//p/t.x:below", "x"), nil, c.one(9, map[string]string{"day=1/a": "below"}))
	c.do(os.RemoveAll(c.file("p/t.y/day=2017-06-15/country=FR")))
	for _, name := range []string{"p/t.x/mine/a", "p/t.x/day=2017-06-15/mine", "p/t.x/week=2/country=DE/a", "p/t.x/day=2017-06-16/country=XX"} {
		c.do(errors.Join(os.MkdirAll(filepath.Dir(c.file(name)), 0o777), os.WriteFile(c.file(name), nil, 0o666)))
	}
	c.do(os.Symlink("mine", c.file("p/t.x/day=2017-06-17")))
	c = c.killed()
	var asked []string
	c.do(c.Retire(x, cache.SectionDigest{}, func(partition string) bool {
		asked = append(asked, partition)
		return partition == "day=2017-06-15,country=DE"
	}))
	c.do(os.Remove(c.file("p/t.x/day=2017-06-17")))
	c.shows(map[string]string{
		"p/t.x/day=2017-06-15/country=DE/a": "DE", "p/t.x/day=2017-06-15/country=DE/deep/b": "DE", "p/t.y/day=2017-06-15/country=DE/a": "DE",
		"p/t.x/below/day=1/a": "below",
		"p/t.x/mine/a":        "", "p/t.x/day=2017-06-15/mine": "", "p/t.x/week=2/country=DE/a": "", "p/t.x/day=2017-06-16/country=XX": "",
	})
	de, fr, it := "day=2017-06-15,country=DE", "day=2017-06-15,country=FR", "day=2017-06-15,country=IT"
	if want := []string{de, fr, it, de, it}; !slices.Equal(asked, want) {
		t.Errorf("asked for %q, want %q", asked, want)
	}
	c.do(c.Retire(daily("//p:none", "x"), cache.SectionDigest{}, nil)) // never shown
}

// TestRetireNothing: what looks like partitions in the output of a target that has none is that output.
func TestRetireNothing(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//p:t", "x")
	c.point(x, nil, c.one(1, map[string]string{"day=1/a": "1"}))
	c.do(c.Retire(x, cache.SectionDigest{}, func(string) bool { return false }))
	c.shows(map[string]string{"p/t/day=1/a": "1"})
}

// TestAfterAKill: partitions go by their places, also those that no state tells of.
func TestAfterAKill(t *testing.T) {
	t.Parallel()
	c, x, two := newCheckout(t), daily("//p:t", "x"), daily("//p:u", "x", "y")
	both := c.version(2, map[string]map[string]string{"x": {"a": "2"}, "y": {"a": "3"}})
	c.point(x, day, c.one(1, map[string]string{"a": "1"}))
	c.point(two, day, both)
	c = c.killed()
	c.do(c.Withdraw(x.Label, day.String()))
	c.shows(map[string]string{"p/u.x/day=2017-06-15/a": "2", "p/u.y/day=2017-06-15/a": "3"})
	c.point(daily("//p:u", "x", "z"), day, c.version(3, map[string]map[string]string{"x": {"a": "4"}, "z": {"a": "5"}}))
	c.shows(map[string]string{"p/u.x/day=2017-06-15/a": "4", "p/u.z/day=2017-06-15/a": "5"})
	gone := c.one(4, map[string]string{"a": "6"})
	gone.Outputs[0].Visible = cache.TreeDigest{1}
	c = c.killed()
	c.do(c.Point(t.Context(), daily("//p:u", "x"), day, gone))
	c.shows(map[string]string{})
}

// TestNoLongerPartitioned: the partitions of before do not stay below a version that has none.
func TestNoLongerPartitioned(t *testing.T) {
	t.Parallel()
	c := newCheckout(t)
	c.point(daily("//p:t", "x"), day, c.one(1, map[string]string{"a": "1"}))
	c = c.next()
	c.point(target("//p:t", "x"), nil, c.one(2, map[string]string{"a": "2"}))
	c.shows(map[string]string{"p/t/a": "2"})
}

// TestTidy: folders that were found to hold nothing but partitions of the set are not listed again, until somebody changes them, the set is another one, or the clock was set back.
func TestTidy(t *testing.T) {
	t.Parallel()
	set := cache.SectionDigest{1}
	x := daily("//p:t", "x")
	x.PartitionBy = []string{"country", "day"}
	at := engine.Partition{{Dimension: "country", Text: "DE"}, {Dimension: "day", Text: "2017-06-15"}}
	for what, change := range map[string]struct {
		do    func(c *checkout, dir string) error
		lists bool
	}{
		"nothing": {func(*checkout, string) error { return nil }, false},
		"a file in a partition": {func(_ *checkout, dir string) error {
			return os.WriteFile(filepath.Join(dir, "country=DE/day=2017-06-15/b"), nil, 0o666)
		}, false},
		"a folder more": {func(_ *checkout, dir string) error {
			return os.Mkdir(filepath.Join(dir, "country=DE/day=1999-01-01"), 0o777)
		}, true},
		"a folder renamed": {func(_ *checkout, dir string) error {
			return os.Rename(filepath.Join(dir, "country=DE"), filepath.Join(dir, "country=FR"))
		}, true},
		"another folder in its place": {func(_ *checkout, dir string) error {
			return errors.Join(os.Rename(dir, dir+".before"), os.MkdirAll(filepath.Join(dir, "country=DE/day=2017-06-15"), 0o777))
		}, true},
		"a link in its place": {func(_ *checkout, dir string) error {
			return errors.Join(os.Rename(dir, dir+".before"), os.Symlink(dir+".before", dir))
		}, true},
		"the clock":        {func(c *checkout, _ string) error { c.opened = c.opened.Add(-2 * time.Hour); return nil }, true},
		"the set":          {func(c *checkout, _ string) error { set := cache.SectionDigest{2}; c.sets = &set; return nil }, true},
		"no word of a set": {func(c *checkout, _ string) error { c.sets = &cache.SectionDigest{}; return nil }, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			c := newCheckout(t)
			c.point(x, at, c.one(1, map[string]string{"a": "1"}))
			retire := func(set cache.SectionDigest) (listed bool) {
				c.do(c.Retire(x, set, func(string) bool { listed = true; return true }))
				return listed
			}
			first, again := retire(set), retire(set)
			if !first || !again {
				t.Error("folders that were just made were not listed again")
			}
			c = c.next()
			c.opened = c.opened.Add(time.Hour) // they are old by now
			retire(set)
			c = c.next()
			c.opened = c.opened.Add(time.Hour)
			c.do(change.do(&c, filepath.Join(c.root, Dir, "p/t")))
			now := set
			if c.sets != nil {
				now = *c.sets
			}
			if got := retire(now); got != change.lists {
				t.Errorf("listed again: %v, want %v", got, change.lists)
			}
		})
	}
}

// TestTwoCommands at once: what each showed is known afterwards, whoever ends last.
func TestTwoCommands(t *testing.T) {
	t.Parallel()
	c, x, y, z := newCheckout(t), target("//:x", "x"), target("//:y", "x"), target("//:z", "x")
	v := c.one(1, map[string]string{"a": "1"})
	c.point(z, nil, v)
	c = c.next()
	other := c.killed()
	c.point(x, nil, v)
	c.do(c.Withdraw(z.Label, ""))
	other.point(y, nil, v)
	c.do(c.Close())
	c = other.next()
	if !c.Current(x, nil, v.ID) || !c.Current(y, nil, v.ID) || c.Current(z, nil, v.ID) {
		t.Errorf("the next command knows of %v", slices.Collect(maps.Keys(maps.Collect(c.shown.All()))))
	}
}

// TestTwoCommandsAtOnePlace: neither takes for its own version what the other one put there.
func TestTwoCommandsAtOnePlace(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//:t", "x")
	views := []checkout{c, c.killed()}
	for range 100 {
		var both sync.WaitGroup
		for k, c := range views {
			v := c.one(byte(k), map[string]string{"a": strconv.Itoa(k)})
			both.Go(func() {
				if err := c.Point(t.Context(), x, nil, v); err != nil {
					t.Error(err)
				}
			})
		}
		both.Wait()
		content, err := os.ReadFile(c.file("t/a"))
		c.do(err)
		for k, c := range views {
			if c.Current(x, nil, engine.VersionID{byte(k)}) && string(content) != strconv.Itoa(k) {
				t.Fatalf("version %d is said to be current, and %s is there", k, content)
			}
		}
	}
}

// TestDeletedMeanwhile: dpb-out comes back also if it is deleted while a command runs.
func TestDeletedMeanwhile(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//p:t", "x")
	v := c.one(1, map[string]string{"a": "1"})
	for range 2 {
		c.point(x, nil, v)
		c.shows(map[string]string{"p/t/a": "1"})
		c.do(os.RemoveAll(c.file("")))
	}
	c.do(c.Close())
}

func TestSeveralOutputs(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//p:t", "good", "bad")
	v := c.version(1, map[string]map[string]string{"bad": {"b": "1"}, "good": {"g": "2"}})
	c.point(x, nil, v)
	c.shows(map[string]string{"p/t.good/g": "2", "p/t.bad/b": "1"})
	c.do(os.Remove(c.file("p/t.bad/b")))
	if c.Current(x, nil, v.ID) {
		t.Error("a file of the second output is gone, and that was not noticed")
	}
	err := c.Point(t.Context(), target("//p:t", "good", "other"), nil, v)
	if err == nil || !strings.Contains(err.Error(), "has no output other") {
		t.Errorf("error %v", err)
	}
}

// TestChangedOutputs: what a target showed under the name of an output that it no longer has goes with the next version, for all partitions.
func TestChangedOutputs(t *testing.T) {
	t.Parallel()
	c, next := newCheckout(t), engine.Partition{{Dimension: "day", Text: "2017-06-16"}}
	c.point(daily("//p:t", "x"), day, c.one(1, map[string]string{"a": "1"}))
	c.point(daily("//p:t", "x"), next, c.one(2, map[string]string{"a": "2"}))
	c.point(target("//p/t:below", "x"), nil, c.one(3, map[string]string{"a": "3"}))
	c.point(target("//p:tt", "x"), nil, c.one(4, map[string]string{"a": "4"}))
	c = c.next()
	c.point(daily("//p:t", "x", "y"), day, c.version(5, map[string]map[string]string{"x": {"a": "5"}, "y": {"a": "6"}}))
	c.shows(map[string]string{"p/t.x/day=2017-06-15/a": "5", "p/t.y/day=2017-06-15/a": "6", "p/t/below/a": "3", "p/tt/a": "4"})
	c = c.next()
	c.point(daily("//p:t", "x", "z"), day, c.version(6, map[string]map[string]string{"x": {"a": "7"}, "z": {"a": "8"}}))
	c = c.next()
	c.shows(map[string]string{"p/t.x/day=2017-06-15/a": "7", "p/t.z/day=2017-06-15/a": "8", "p/t/below/a": "3", "p/tt/a": "4"})
	c.point(daily("//p:t", "x"), day, c.one(7, map[string]string{"a": "9"}))
	c.shows(map[string]string{"p/t/day=2017-06-15/a": "9", "p/t/below/a": "3", "p/tt/a": "4"})
}

// TestEvicted: where the bytes of a version are gone, dpb-out shows nothing rather than another version.
func TestEvicted(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//:t", "x")
	c.point(x, nil, c.one(1, map[string]string{"a": "1"}))
	v := c.one(2, map[string]string{"a": "2"})
	c.do(os.Remove(c.store.BlobPath(cache.Sum([]byte("2")))))
	c.do(c.Point(t.Context(), x, nil, v))
	if c.Current(x, nil, v.ID) || c.Current(x, nil, engine.VersionID{1}) {
		t.Error("it is current")
	}
	c.shows(map[string]string{})
}

func TestState(t *testing.T) {
	t.Parallel()
	c, x := newCheckout(t), target("//:t", "x")
	v := c.one(1, map[string]string{"a": "1"})
	c.point(x, nil, v)
	c = c.next()
	if !c.Current(x, nil, v.ID) {
		t.Error("the next command does not know what is shown")
	}
	file := c.state
	good, err := os.ReadFile(file)
	c.do(err)
	for k := range good {
		damaged := slices.Clone(good)
		damaged[k] ^= 1
		for _, b := range [][]byte{damaged, good[:k]} {
			c.do(os.WriteFile(file, b, 0o666))
			if n := disk.OpenTable(file, magic).Len(); n != 0 {
				t.Fatalf("byte %d: damaged state was taken: %d places", k, n)
			}
		}
	}
	c.do(os.WriteFile(file, good[:len(good)-1], 0o666))
	anew := c.next()
	if anew.Current(x, nil, v.ID) {
		t.Error("damaged state was taken")
	}
	anew.point(x, nil, v)
	anew.shows(map[string]string{"t/a": "1"})
}

// BenchmarkWithdraw takes away 10,000 partitions.
func BenchmarkWithdraw(b *testing.B) {
	root, label := b.TempDir(), engine.Label{Pkg: "p", Name: "t"}
	for b.Loop() {
		b.StopTimer()
		v := OpenView(root, filepath.Join(root, "view"), nil)
		for k := range 10_000 {
			at := place(label, "", engine.Partition{{Dimension: "day", Text: strconv.Itoa(k)}})
			v.shown.Put(at, shown{files: []file{{name: "a"}}}.encode())
			if err := errors.Join(os.MkdirAll(filepath.Join(root, Dir, at), 0o777), os.WriteFile(filepath.Join(root, Dir, at, "a"), nil, 0o444)); err != nil {
				b.Fatal(err)
			}
		}
		b.StartTimer()
		for k := range 10_000 {
			if err := v.Withdraw(label, "day="+strconv.Itoa(k)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(shown{engine.VersionID{1}, []file{{name: "a"}, {name: "sub/b"}}}.encode())
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, ok := decode(b)
		if again, sound := decode(got.encode()); ok && (!sound || !reflect.DeepEqual(got, again)) {
			t.Errorf("%v came back as %v", got, again)
		}
	})
}
