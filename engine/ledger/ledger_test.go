package ledger

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("DPB_TEST_LEDGER"); dir != "" {
		if err := writeMany(dir, os.Getenv("DPB_TEST_NAME")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newLedger(t testing.TB) (*Ledger, string) {
	t.Helper()
	dir := t.TempDir()
	return openLedger(t, dir), dir
}

func openLedger(t testing.TB, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func write(t testing.TB, l *Ledger, f func(*Tx) error) {
	t.Helper()
	if err := l.Write(t.Context(), f); err != nil {
		t.Fatal(err)
	}
}

// same compares what a query gave, and fails at once if it gave an error.
func same[T any](t testing.TB, what string, got, want T, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

var (
	label   = engine.Label{Pkg: "spam", Name: "classified"}
	day     = "day=2017-06-15"
	started = time.Date(2017, 6, 16, 1, 2, 3, 4, time.UTC)
	shape   = cache.SectionDigest{7}
	columns = []engine.Column{{Name: "id", Type: "BIGINT", NotNull: true}, {Name: "größe", Type: "DOUBLE"}}
)

func sampleResult() engine.Result {
	return engine.Result{Key: cache.ActionKey{1}, Parts: []engine.Part{{Name: "target", Digest: cache.SectionDigest{2}}, {Name: "input plays", Digest: cache.SectionDigest{3}}},
		Outputs: []engine.OutputResult{{Name: "classified", Tree: cache.TreeDigest{4}, Bytes: 5, Files: 1, Rows: 6, Columns: columns}},
		Log:     cache.Digest{7}, Metrics: cache.Digest{8}, Started: started, Observed: started.Add(-time.Second), Wall: 9 * time.Second, CPU: 10, MaxRSS: 11, Isolation: "directory", Writer: "dpb 0.1",
		Uncovered: []string{"programs in /bin"}}
}

func sampleRun() engine.Run {
	return engine.Run{Key: cache.ActionKey{1}, Label: label, Partition: day, Started: started, Wall: time.Second, Failure: "exit code 3", ExitCode: 3, Log: cache.Digest{7}}
}

func sampleVersion(tree byte) engine.Version {
	v := engine.Version{Workspace: "soundcloud", Label: label, Partition: day, Key: cache.ActionKey{1}, Created: started,
		Outputs:    []engine.VersionOutput{{Name: "classified", Raw: cache.TreeDigest{tree}, Visible: cache.TreeDigest{tree}}},
		Provenance: engine.Provenance{Commit: "7705cf4", Dirty: true, User: "ada", Host: "laptop"}}
	v.ID = engine.NewVersionID(v.Workspace, v.Label, v.Partition, v.Key, v.Outputs)
	return v
}

// visible are a version's outputs as a pointer keeps them.
func visible(v engine.Version) []engine.OutputResult {
	return []engine.OutputResult{{Name: v.Outputs[0].Name, Tree: v.Outputs[0].Visible, Rows: -1, Columns: columns}}
}

func putResult(tx *Tx, r engine.Result, replace bool) error {
	_, err := tx.PutResult(r, replace)
	return err
}

func TestResults(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	first := sampleResult()
	second := first
	second.Writer = "dpb 0.2"
	got, ok, err := l.Result(first.Key)
	same(t, "before", got, engine.Result{}, err)
	same(t, "before", ok, false, nil)
	for _, step := range []struct {
		put     engine.Result
		replace bool
		want    engine.Result
	}{{first, false, first}, {second, false, first}, {second, true, second}, {first, false, second}} {
		write(t, l, func(tx *Tx) error { return putResult(tx, step.put, step.replace) })
		for _, x := range []*Ledger{l, openLedger(t, dir)} {
			got, ok, err := x.Result(first.Key)
			same(t, "result", got, step.want, err)
			same(t, "found", ok, true, nil)
		}
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	failed := sampleRun()
	good := failed
	good.Failure, good.ExitCode, good.Outputs = "", 0, sampleResult().Outputs
	other := failed
	other.Partition, other.Key = "day=2017-06-16", cache.ActionKey{2}
	write(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutRun("soundcloud", failed), tx.PutRun("soundcloud", good), tx.PutRun("soundcloud", other))
	})
	last, ok, err := l.LastRun(failed.Key)
	same(t, "the last run of the key", last, good, err)
	same(t, "found", ok, true, nil)
	write(t, l, func(tx *Tx) error { return tx.PutRun("another", failed) })
	runs, err := l.Runs("soundcloud", label, day)
	same(t, "runs, newest first", runs, []engine.Run{good, failed}, err)
	runs, err = l.Runs("another", label, day)
	same(t, "runs of another workspace", runs, []engine.Run{failed}, err)
	_, ok, err = l.LastRun(cache.ActionKey{9})
	same(t, "of a key that never ran", ok, false, err)
}

// TestDamagedRuns: a run that can't be read never keeps a job from running.
func TestDamagedRuns(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	failed, newer := sampleRun(), sampleRun()
	newer.ExitCode = 4
	write(t, l, func(tx *Tx) error {
		return errors.Join(tx.PutRun("soundcloud", failed), tx.PutRun("soundcloud", newer))
	})
	damage := func(id int) {
		execute(t, filepath.Join(dir, fileName), fmt.Sprintf(`UPDATE run SET body = '{"Key":' WHERE id = %d`, id))
	}
	damage(2)
	got, ok, err := l.LastRun(failed.Key)
	same(t, "the last that can be read", got, failed, err)
	same(t, "found", ok, true, nil)
	_, last, err := l.Lookup(failed.Key)
	same(t, "failed", last, true, err)
	damage(1)
	_, ok, err = l.LastRun(failed.Key)
	same(t, "found", ok, false, err)
	_, last, err = l.Lookup(failed.Key)
	same(t, "failed", last, false, err)
}

func TestLookup(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	r, failed, good := sampleResult(), sampleRun(), sampleRun()
	good.Failure = ""
	run := func(x engine.Run) func(*Tx) error { return func(tx *Tx) error { return tx.PutRun("soundcloud", x) } }
	for _, step := range []struct {
		what   string
		do     func(*Tx) error
		result *engine.Result
		failed bool
	}{
		{"nothing", func(*Tx) error { return nil }, nil, false},
		{"failed", run(failed), nil, true},
		{"made, by a run that another process has yet to record", func(tx *Tx) error { return putResult(tx, r, false) }, &r, true},
		{"made", run(good), &r, false},
		{"failed again", run(failed), &r, true},
	} {
		write(t, l, step.do)
		got, failed, err := l.Lookup(r.Key)
		same(t, step.what, got, step.result, err)
		same(t, step.what+": failed", failed, step.failed, nil)
	}
}

// TestOtherTrees: who comes second with other trees is told; when they replace those of before, no pointer says that it knows them.
func TestOtherTrees(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	first := sampleResult()
	sameTrees, other := first, sampleResult()
	sameTrees.Writer = "dpb 0.2"
	other.Outputs[0].Tree = cache.TreeDigest{99}
	v, unrelated := sampleVersion(4), sampleVersion(5)
	unrelated.Key, unrelated.Partition = cache.ActionKey{2}, "day=2017-06-16"
	write(t, l, func(tx *Tx) error {
		return errors.Join(tx.Point("here", v, shape, visible(v)), tx.Point("there", v, shape, visible(v)),
			tx.Point("there", unrelated, shape, visible(unrelated)))
	})
	for _, step := range []struct {
		what     string
		put      engine.Result
		replace  bool
		kept     *engine.Result
		pointers int
	}{
		{"the first", first, false, nil, 2}, {"the same again", sameTrees, false, nil, 2}, {"the loser of a race", other, false, &first, 2},
		{"the same, as its bytes were gone", sameTrees, true, nil, 2}, {"another, as its bytes were gone", other, true, nil, 1},
	} {
		write(t, l, func(tx *Tx) error {
			kept, err := tx.PutResult(step.put, step.replace)
			same(t, step.what+": kept", kept, step.kept, err)
			return nil
		})
		same(t, step.what+": pointers", len(currents(t, l, "there")), step.pointers, nil)
	}
	same(t, "pointers here", currents(t, l, "here"), nil, nil)
	w := sampleVersion(99)
	write(t, l, func(tx *Tx) error { return tx.Point("here", w, shape, visible(w)) })
	checkPointer(t, l, "here", w)
}

func TestVersions(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	a, b, c := sampleVersion(1), sampleVersion(2), sampleVersion(3)
	elsewhere := sampleVersion(4)
	elsewhere.Workspace = "another"
	for _, v := range []engine.Version{b, a, b, elsewhere, c} { // b is known the second time
		write(t, l, func(tx *Tx) error { return tx.PutVersion(v) })
	}
	got, err := l.VersionsOf("soundcloud", label, day)
	same(t, "newest first", got, []engine.Version{c, a, b}, err)
	got, err = l.VersionsOf("soundcloud", label, "day=2017-06-16")
	same(t, "of another day", got, nil, err)
	one, ok, err := l.Version(elsewhere.ID)
	same(t, "by its id, of whatever workspace", one, elsewhere, err)
	same(t, "found", ok, true, nil)
	one, ok, err = l.Version(engine.VersionID{9})
	same(t, "of an id that nothing has", one, engine.Version{}, err)
	same(t, "found", ok, false, nil)
}

func TestFindVersions(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	var versions []engine.Version
	for k, first := range []byte{0x00, 0x4f, 0x4f, 0xff} {
		v := sampleVersion(byte(k))
		v.ID = engine.VersionID{first, byte(k) << 4}
		versions = append(versions, v)
		write(t, l, func(tx *Tx) error { return tx.PutVersion(v) })
	}
	for prefix, want := range map[string][]engine.Version{
		"4f1": versions[1:2], "4f2": versions[2:3], "4f": versions[1:3], "4": versions[1:3], "f": versions[3:], "0": versions[:1], "5": nil,
		versions[1].ID.String(): versions[1:2], versions[1].ID.String() + "0": nil,
	} {
		got, err := l.FindVersions(prefix, "", engine.Label{}, "")
		same(t, prefix, got, want, err)
	}
	if got, err := l.FindVersions("", "", engine.Label{}, ""); len(got) != 2 || err != nil {
		t.Errorf("no prefix: %d versions, %v; want two, which is ambiguous", len(got), err)
	}
	if _, err := l.FindVersions("x", "", engine.Label{}, ""); err == nil {
		t.Error("x is no prefix of an id")
	}
}

// TestFindVersionsOf: a prefix is ambiguous only among what is asked for.
func TestFindVersionsOf(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	other := engine.Label{Pkg: "spam", Name: "other"}
	versions := make([]engine.Version, 4)
	for k := range versions {
		versions[k] = sampleVersion(1)
		versions[k].ID = engine.VersionID{0x4f, byte(k)}
	}
	versions[1].Workspace, versions[2].Label, versions[3].Partition = "another", other, "day=2017-06-16"
	write(t, l, func(tx *Tx) error {
		for _, v := range versions {
			if err := tx.PutVersion(v); err != nil {
				return err
			}
		}
		return nil
	})
	for _, x := range []struct {
		workspace string
		label     engine.Label
		partition string
		want      []engine.Version
	}{
		{"soundcloud", label, day, versions[:1]}, {"another", label, day, versions[1:2]}, {"another", engine.Label{}, "", versions[1:2]},
		{"soundcloud", other, day, versions[2:3]}, {"soundcloud", label, "day=2017-06-16", versions[3:]}, {"", label, day, versions[:2]},
		{"soundcloud", label, "", nil}, {"nowhere", label, day, nil},
	} {
		got, err := l.FindVersions("4f0", x.workspace, x.label, x.partition)
		same(t, fmt.Sprint(x.workspace, x.label, x.partition), got, x.want, err)
	}
}

func TestPointers(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	v, w := sampleVersion(1), sampleVersion(2)
	point := func(environment string, v engine.Version) {
		write(t, l, func(tx *Tx) error { return errors.Join(tx.PutVersion(v), tx.Point(environment, v, shape, visible(v))) })
	}
	point("here", v)
	point("there", w)
	checkPointer(t, l, "here", v)
	checkPointer(t, l, "there", w)
	point("here", w)
	checkPointer(t, l, "here", w)
	point("here", v) // an older one: back to an old commit
	checkPointer(t, l, "here", v)
	write(t, l, func(tx *Tx) error { return tx.Withdraw("soundcloud", "here", label, day) })
	write(t, l, func(tx *Tx) error { return tx.Withdraw("soundcloud", "nowhere", label, day) })
	_, ok, err := l.Pointer("soundcloud", "here", label, day)
	same(t, "withdrawn", ok, false, err)
	checkPointer(t, l, "there", w)
	versions, err := l.VersionsOf("soundcloud", label, day)
	same(t, "versions stay", versions, []engine.Version{w, v}, err)
}

func checkPointer(t *testing.T, l *Ledger, environment string, want engine.Version) {
	t.Helper()
	id, ok, err := l.Pointer(want.Workspace, environment, want.Label, want.Partition)
	same(t, environment, id, want.ID, err)
	same(t, environment, ok, true, nil)
	same(t, environment, currents(t, l, environment), []Current{{Label: want.Label, Partition: want.Partition, Version: want.ID, Key: want.Key, Shape: shape, Outputs: visible(want)}}, nil)
}

func currents(t *testing.T, l *Ledger, environment string) (out []Current) {
	t.Helper()
	err := l.Currents("soundcloud", environment, func(c Current) error {
		out = append(out, c)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCurrents lists the pointers of one environment and workspace, target by target.
func TestCurrents(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	for _, x := range []struct{ workspace, environment, target, partition string }{
		{"soundcloud", "here", "b", "day=2"}, {"soundcloud", "here", "a", ""}, {"soundcloud", "here", "b", "day=1"}, {"another", "here", "b", "day=1"},
		{"soundcloud", "there", "b", "day=1"},
	} {
		v := sampleVersion(1)
		v.Workspace, v.Label.Name, v.Partition = x.workspace, x.target, x.partition
		write(t, l, func(tx *Tx) error { return tx.Point(x.environment, v, shape, visible(v)) })
	}
	var got []string
	for _, c := range currents(t, l, "here") {
		got = append(got, c.Label.Name+" "+c.Partition)
	}
	same(t, "pointers", got, []string{"b day=1", "b day=2", "a "}, nil)
	same(t, "of an environment that is not there", currents(t, l, "nowhere"), nil, nil)
	stop := errors.New("stop")
	if err := l.Currents("soundcloud", "here", func(Current) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error %v; want that of the function", err)
	}
}

func TestSections(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	var s engine.Section
	s.Add("code c.py", "file 3ae7")
	s.Add("env SEED", "\x00\xff")
	write(t, l, func(tx *Tx) error { return errors.Join(tx.PutSection(s.Bytes()), tx.PutSection(s.Bytes())) })
	got, err := l.Section(s.Digest())
	same(t, "entries", got, []engine.Entry{{Name: "code c.py", Value: "file 3ae7"}, {Name: "env SEED", Value: "\x00\xff"}}, err)
	if _, err := l.Section(cache.SectionDigest{9}); err == nil {
		t.Error("a section that was not recorded was found")
	}
}

// TestRollback: an error leaves nothing, neither records nor numbers of names.
func TestRollback(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	v := sampleVersion(1)
	wrong := errors.New("wrong")
	err := l.Write(t.Context(), func(tx *Tx) error {
		return errors.Join(putResult(tx, sampleResult(), false), tx.PutRun("soundcloud", sampleRun()), tx.PutVersion(v), tx.Point("here", v, shape, visible(v)), wrong)
	})
	if !errors.Is(err, wrong) {
		t.Errorf("error %v", err)
	}
	_, ok, err := l.Result(v.Key)
	same(t, "result", ok, false, err)
	_, ok, err = l.LastRun(v.Key)
	same(t, "run", ok, false, err)
	same(t, "pointers", currents(t, l, "here"), nil, nil)
	another := sampleVersion(2) // takes the numbers that were given back
	another.Label.Name = "another"
	write(t, openLedger(t, dir), func(tx *Tx) error { return tx.Point("there", another, shape, visible(another)) })
	write(t, l, func(tx *Tx) error { return errors.Join(tx.PutVersion(v), tx.Point("here", v, shape, visible(v))) })
	checkPointer(t, l, "here", v)
}

func TestWriteAfterTheContextEnded(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Write(ctx, func(*Tx) error { t.Error("it ran"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// writeMany is what several processes and goroutines do at once.
func writeMany(dir, name string) error {
	l, err := Open(dir)
	if err != nil {
		return err
	}
	defer l.Close()
	for k := range 20 {
		v := sampleVersion(byte(k))
		v.Label.Name = name
		v.ID = engine.NewVersionID(v.Workspace, v.Label, v.Partition, v.Key, v.Outputs)
		err := l.Write(context.Background(), func(tx *Tx) error { return errors.Join(tx.PutVersion(v), tx.Point(name, v, shape, visible(v))) })
		if err != nil {
			return err
		}
		if _, err := l.VersionsOf(v.Workspace, v.Label, v.Partition); err != nil {
			return err
		}
	}
	return nil
}

// TestSeveralProcesses open and write one new ledger at once.
func TestSeveralProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var all sync.WaitGroup
	for k := range 4 {
		all.Go(func() {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), "DPB_TEST_LEDGER="+dir, fmt.Sprintf("DPB_TEST_NAME=process%d", k))
			if out, err := c.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
		all.Go(func() {
			if err := writeMany(dir, fmt.Sprintf("routine%d", k)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	l := openLedger(t, dir)
	for _, kind := range []string{"process", "routine"} {
		for k := range 4 {
			versions, err := l.VersionsOf("soundcloud", engine.Label{Pkg: label.Pkg, Name: fmt.Sprint(kind, k)}, day)
			same(t, "versions", len(versions), 20, err)
		}
	}
}

// TestOpenAtOnce: one makes the ledger, and the others wait for it.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	for range 20 {
		dir := t.TempDir()
		var all sync.WaitGroup
		for range 6 {
			all.Go(func() {
				l, err := Open(dir)
				if err != nil {
					t.Error(err)
					return
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
}

func TestOpenReadOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrNone) {
		t.Errorf("nothing there: %v; want ErrNone", err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Error("reading made a ledger")
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenReadOnly(dir); !errors.Is(err, ErrNone) {
		t.Errorf("an empty file, as a process that was killed leaves it: %v; want ErrNone", err)
	}
	write(t, openLedger(t, dir), func(tx *Tx) error { return putResult(tx, sampleResult(), false) })
	l, err := OpenReadOnly(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got, _, err := l.Result(sampleResult().Key)
	same(t, "result", got, sampleResult(), err)
	if l.Write(t.Context(), func(tx *Tx) error { return tx.PutRun("soundcloud", sampleRun()) }) == nil {
		t.Error("it could be written")
	}
}

// TestLocked is not parallel: it makes the timeout short for all.
func TestLocked(t *testing.T) {
	defer func(d time.Duration) { LockTimeout = d }(LockTimeout)
	LockTimeout = 10 * time.Millisecond
	l, dir := newLedger(t)
	empty := t.TempDir()
	lock(t, filepath.Join(dir, fileName), "BEGIN IMMEDIATE")
	lock(t, filepath.Join(empty, fileName), "BEGIN EXCLUSIVE")
	err := l.Write(t.Context(), func(*Tx) error { return nil })
	if !errors.Is(err, ErrLocked) || !strings.HasPrefix(err.Error(), "ledger: another process keeps it locked: ") {
		t.Errorf("writing: %v", err)
	}
	for _, open := range []func(string) (*Ledger, error){Open, OpenReadOnly} {
		if _, err := open(empty); !errors.Is(err, ErrLocked) {
			t.Errorf("opening: %v", err)
		}
	}
	if _, _, err := l.Result(cache.ActionKey{1}); err != nil {
		t.Errorf("reading waits for a writer: %v", err)
	}
}

// lock is another process in a transaction.
func lock(t *testing.T, file, begin string) {
	t.Helper()
	c, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := sqlitex.ExecuteTransient(c, begin, nil); err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsNoLedger is refused, and left as it is.
func TestWhatIsNoLedger(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, want string }{
		"a newer format":     {"PRAGMA application_id = 1685086769; PRAGMA user_version = 5; CREATE TABLE t (x)", "it has format 5, and this dpb knows 4 only: use the dpb that wrote it"},
		"another database":   {"CREATE TABLE t (x)", "this database is no ledger of dpb"},
		"no database at all": {"", "file is not a database"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, fileName)
			if c.script == "" {
				if err := os.WriteFile(file, []byte(strings.Repeat("all work and no play\n", 100)), 0o666); err != nil {
					t.Fatal(err)
				}
			} else {
				execute(t, file, c.script)
			}
			before, _ := os.ReadFile(file)
			for _, open := range []func(string) (*Ledger, error){Open, OpenReadOnly} {
				_, err := open(dir)
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "ledger "+file+": ") {
					t.Errorf("error %v, want %q", err, c.want)
				}
			}
			if after, _ := os.ReadFile(file); !slices.Equal(before, after) {
				t.Error("it was changed")
			}
		})
	}
}

func execute(t *testing.T, file, script string) {
	t.Helper()
	c, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for statement := range strings.SplitSeq(script, ";") {
		if err := sqlitex.ExecuteTransient(c, statement, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestPowerCut: files as they lie in the middle of the work, also with a log that was cut short, open with all that was committed before.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	l, dir := newLedger(t)
	write(t, l, func(tx *Tx) error { return putResult(tx, sampleResult(), false) })
	db, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile(filepath.Join(dir, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, func(tx *Tx) error { return tx.PutRun("soundcloud", sampleRun()) })
	wal, err := os.ReadFile(filepath.Join(dir, fileName+"-wal"))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{len(committed), len(committed) + 1, len(wal) - 1, len(wal)} {
		cut := t.TempDir()
		err := errors.Join(os.WriteFile(filepath.Join(cut, fileName), db, 0o666), os.WriteFile(filepath.Join(cut, fileName+"-wal"), wal[:size], 0o666))
		if err != nil {
			t.Fatal(err)
		}
		again := openLedger(t, cut)
		got, _, err := again.Result(sampleResult().Key)
		same(t, "result", got, sampleResult(), err)
		_, ok, err := again.LastRun(sampleRun().Key)
		same(t, fmt.Sprintf("the run, with %d of %d bytes", size, len(wal)), ok, size == len(wal), err)
		write(t, again, func(tx *Tx) error { return tx.PutVersion(sampleVersion(1)) })
	}
}
