package ledger

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// pointed are the versions that the pointers of a ledger of format 1 name, by environment.
func pointed() map[string][]engine.Version {
	next := sampleVersion(3)
	next.Partition = "day=2017-06-16"
	return map[string][]engine.Version{"here": {sampleVersion(1), next}, "there": {sampleVersion(2)}}
}

// format1 makes a ledger as dpb made it before there were contracts, and returns its file.
func format1(t *testing.T, dir string) string { return formatBefore(t, dir, 1, fill1) }

// formatBefore makes a ledger of a format of before, fills it and returns its file.
func formatBefore(t *testing.T, dir string, format int, fill func(*Tx) error) string {
	t.Helper()
	script, err := os.ReadFile(fmt.Sprintf("../../testdata/format/ledger%d.sql", format))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, fileName)
	c := connect(t, file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	must(t, pragmas(c, "journal_mode = WAL", "foreign_keys = ON"))
	must(t, sqlitex.ExecScript(c, string(script)+fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d;", applicationID, format)))
	must(t, fill(&Tx{conn: c, l: &Ledger{}, ids: map[string]int64{}, chunks: map[cache.SectionDigest]bool{}}))
	must(t, c.Close())
	return file
}

// putRun2 is PutRun as it was up to format 2.
func putRun2(tx *Tx, workspace string, r engine.Run) error {
	target, err := tx.target(workspace, r.Label)
	if err != nil {
		return err
	}
	return put(tx, "INSERT INTO run (key, target, partition, body) VALUES (?, ?, ?, ?)", r, r.Key[:], target, r.Partition)
}

// fill1 writes records with the statements that have not changed since, and pointers with those of that time.
func fill1(tx *Tx) error {
	if err := putResult(tx, sampleResult(), false); err != nil {
		return err
	}
	if err := putRun2(tx, "soundcloud", sampleRun()); err != nil {
		return err
	}
	if err := tx.PutSection(sampleSection()); err != nil {
		return err
	}
	for environment, versions := range pointed() {
		for _, v := range versions {
			if err := point1(tx, environment, v); err != nil {
				return err
			}
		}
	}
	return nil
}

func point1(tx *Tx, environment string, v engine.Version) error {
	if err := tx.PutVersion(v); err != nil {
		return err
	}
	env, err := tx.environment(environment)
	if err != nil {
		return err
	}
	target, err := tx.target(v.Workspace, v.Label)
	if err != nil {
		return err
	}
	return tx.exec("INSERT INTO pointer (environment, target, partition, version, key, outputs) VALUES (?, ?, ?, ?, ?, ?)",
		env, target, v.Partition, v.ID[:], v.Key[:], encodeOutputs(visible(v)))
}

func sampleSection() []byte {
	var s engine.Section
	s.Add("code c.py", "file 3ae7")
	return s.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func connect(t *testing.T, file string, flags ...sqlite.OpenFlags) *sqlite.Conn {
	t.Helper()
	c, err := sqlite.OpenConn(file, flags...)
	must(t, err)
	return c
}

// checkUpgraded: all that the ledger of format 1 held is there, and what contracts add can be written.
func checkUpgraded(t *testing.T, l *Ledger) {
	t.Helper()
	result, _, err := l.Result(sampleResult().Key)
	same(t, "result", result, sampleResult(), err)
	run, _, err := l.LastRun(sampleRun().Key)
	same(t, "run", run, sampleRun(), err)
	section, err := l.Section(engine.SectionDigest(sampleSection()))
	same(t, "section", section, []engine.Entry{{Name: "code c.py", Value: "file 3ae7"}}, err)
	for environment, versions := range pointed() {
		var want []Current
		for _, v := range versions {
			got, _, err := l.Version(v.ID)
			same(t, "version", got, v, err)
			want = append(want, Current{Label: v.Label, Partition: v.Partition, Version: v.ID, Key: v.Key, Outputs: visible(v)}) // without a shape
		}
		same(t, "pointers "+environment, currents(t, l, environment), want, nil)
	}
	v := sampleVersion(1)
	write(t, l, func(tx *Tx) error { return tx.Point("here", v, shape, visible(v)) })
	same(t, "shape", currents(t, l, "here")[0].Shape, shape, nil)
	write(t, l, func(tx *Tx) error { return tx.PutFingerprint(cache.SectionDigest{1}, sampleFingerprint(), nil) })
	write(t, l, func(tx *Tx) error { return tx.PutJudgement("there", v.ID, rules, sampleJudgement()) })
	write(t, l, func(tx *Tx) error { return tx.PutAcceptance("soundcloud", "there", sampleAcceptance()) })
}

func TestUpgrade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	format1(t, dir)
	_, err := OpenReadOnly(dir)
	if err == nil || !strings.HasSuffix(err.Error(), "it was written by an older dpb; any dpb build brings it up to date") {
		t.Errorf("reading before: %v", err)
	}
	l := openLedger(t, dir)
	checkUpgraded(t, l)
	fresh, _ := newLedger(t)
	same(t, "tables", schemaOf(t, l), schemaOf(t, fresh), nil)
	again := openLedger(t, dir) // nothing is left to do
	same(t, "shape", currents(t, again, "here")[0].Shape, shape, nil)
	readOnly, err := OpenReadOnly(dir)
	must(t, err)
	same(t, "shape", currents(t, readOnly, "here")[0].Shape, shape, readOnly.Close())
}

// TestUpgradeKeepsKeys: names keep their numbers, and pointers still go with the results that they came from.
func TestUpgradeKeepsKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	format1(t, dir)
	l := openLedger(t, dir)
	other := sampleResult()
	other.Outputs[0].Tree = cache.TreeDigest{99}
	write(t, l, func(tx *Tx) error { return putResult(tx, other, true) })
	same(t, "pointers at a result that was replaced", len(currents(t, l, "here"))+len(currents(t, l, "there")), 0, nil)
	for q, want := range map[string]string{"PRAGMA integrity_check": "ok", "PRAGMA foreign_key_check": "", "PRAGMA user_version": "4"} {
		same(t, q, ask(t, l, q), want, nil)
	}
}

func ask(t *testing.T, l *Ledger, q string) (out string) {
	t.Helper()
	must(t, l.query(q, func(s *sqlite.Stmt) error {
		out += s.ColumnText(0)
		return nil
	}))
	return out
}

// schemaOf are the tables and indexes of a ledger, by name.
func schemaOf(t *testing.T, l *Ledger) map[string]string {
	t.Helper()
	out := map[string]string{}
	must(t, l.query("SELECT name, coalesce(sql, 'automatic') FROM sqlite_schema", func(s *sqlite.Stmt) error {
		out[s.ColumnText(0)] = s.ColumnText(1)
		return nil
	}))
	return out
}

// TestUpgradePowerCut: while the last byte of the upgrade is not on disk, the ledger has format 1, whole, and the next build begins again.
func TestUpgradePowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := format1(t, dir)
	keeper := connect(t, file, sqlite.OpenReadWrite) // as long as it is open, the log stays beside the database
	defer keeper.Close()
	must(t, sqlitex.ExecuteTransient(keeper, "SELECT count(*) FROM target", nil))
	db, err := os.ReadFile(file)
	must(t, err)
	l, err := Open(dir)
	must(t, err)
	must(t, l.Close())
	wal, err := os.ReadFile(file + "-wal")
	must(t, err)
	const header, frame = 32, 24 + 4096
	if (len(wal)-header)%frame != 0 || len(wal) < header+5*frame {
		t.Fatalf("the log has %d bytes", len(wal))
	}
	for size := header; size <= len(wal); size += frame {
		checkCut(t, db, wal[:size], size == len(wal))
	}
	checkCut(t, db, wal[:len(wal)-1], false)
}

func checkCut(t *testing.T, db, wal []byte, whole bool) {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, fileName)
	must(t, os.WriteFile(file, db, 0o666))
	must(t, os.WriteFile(file+"-wal", wal, 0o666))
	c := connect(t, file, sqlite.OpenReadWrite)
	want := int64(1)
	if whole {
		want = formatVersion
	}
	format, err := sqlitex.ResultInt64(c.Prep("PRAGMA user_version"))
	same(t, fmt.Sprintf("format, with %d bytes of the log", len(wal)), format, want, err)
	n, err := sqlitex.ResultInt64(c.Prep("SELECT count(*) FROM pragma_table_info('pointer') WHERE name = 'shape'"))
	same(t, "columns named shape", n == 1, whole, err)
	must(t, c.Close())
	l, err := Open(dir)
	must(t, err)
	checkUpgraded(t, l)
	must(t, l.Close())
}

// TestUpgradeAtOnce: one process brings the ledger up to date, and the others wait for it.
func TestUpgradeAtOnce(t *testing.T) {
	t.Parallel()
	for range 2 {
		dir := t.TempDir()
		format1(t, dir)
		var all sync.WaitGroup
		for k := range 3 {
			all.Go(func() {
				c := exec.Command(os.Args[0])
				c.Env = append(os.Environ(), "DPB_TEST_LEDGER="+dir, fmt.Sprintf("DPB_TEST_NAME=process%d", k))
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
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
		l := openLedger(t, dir)
		checkUpgraded(t, l)
		for k := range 3 {
			name := fmt.Sprintf("process%d", k)
			versions, err := l.VersionsOf("soundcloud", engine.Label{Pkg: label.Pkg, Name: name}, day)
			same(t, name, len(versions), 20, err)
		}
	}
}

// TestUpgradeFails: of what can't be brought up to date nothing is changed.
func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := format1(t, dir)
	execute(t, file, "DROP TABLE acceptance")
	if _, err := Open(dir); err == nil || !strings.HasPrefix(err.Error(), "ledger "+file+": ") {
		t.Errorf("error %v", err)
	}
	c := connect(t, file, sqlite.OpenReadWrite)
	format, err := sqlitex.ResultInt64(c.Prep("PRAGMA user_version"))
	same(t, "format", format, int64(1), err)
	tables, err := sqlitex.ResultInt64(c.Prep("SELECT count(*) FROM sqlite_schema WHERE name IN ('fingerprint', 'judgement', 'pointer', 'pointer_by_key')"))
	same(t, "tables and indexes of before", tables, int64(4), err)
	must(t, c.Close())
}

// fill2 writes records of which one run can't be read.
func fill2(tx *Tx) error {
	later := sampleRun()
	later.Started = started.Add(time.Hour).In(time.FixedZone("", 2*60*60))
	v := sampleVersion(1)
	for _, err := range []error{putResult(tx, sampleResult(), false), putRun2(tx, "soundcloud", sampleRun()), putRun2(tx, "soundcloud", later), tx.PutVersion(v),
		tx.Point("here", v, shape, visible(v)), tx.PutJudgement("here", v.ID, rules, sampleJudgement())} {
		if err != nil {
			return err
		}
	}
	return tx.exec("INSERT INTO run (key, target, partition, body) SELECT x'09', target, 'damaged', 'no JSON' FROM run WHERE id = 1")
}

// TestUpgradeFrom2: runs have their times beside them, all else is as it was, and the builds of then are not known.
func TestUpgradeFrom2(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	formatBefore(t, dir, 2, fill2)
	if _, err := OpenReadOnly(dir); err == nil || !strings.HasSuffix(err.Error(), "it was written by an older dpb; any dpb build brings it up to date") {
		t.Errorf("reading before: %v", err)
	}
	l := openLedger(t, dir)
	fresh, _ := newLedger(t)
	same(t, "tables", schemaOf(t, l), schemaOf(t, fresh), nil)
	same(t, "times and builds", ask(t, l, "SELECT group_concat(id || ' ' || started || ' ' || build, ', ') FROM run"),
		fmt.Sprintf("1 %d 0, 2 %d 0, 3 0 0", started.UnixMilli(), started.Add(time.Hour).UnixMilli()), nil)
	same(t, "shape", currents(t, l, "here")[0].Shape, shape, nil)
	judged, _, err := l.Judgement("here", sampleVersion(1).ID, rules)
	same(t, "judgement", judged, sampleJudgement(), err)
	var found []time.Time
	must(t, l.RunsIn("soundcloud", []engine.Label{label}, Period{Since: started.Add(time.Minute)}, func(r engine.Run) (bool, error) {
		found = append(found, r.Started.UTC())
		return true, nil
	}))
	same(t, "runs later than a minute after the first", found, []time.Time{started.Add(time.Hour)}, nil)
	for q, want := range map[string]string{"PRAGMA integrity_check": "ok", "PRAGMA foreign_key_check": "", "PRAGMA user_version": "4", "SELECT count(*) FROM build": "0"} {
		same(t, q, ask(t, l, q), want, nil)
	}
}

// TestUpgradeFrom3: all is as it was, and the pointers of each environment have a revision.
func TestUpgradeFrom3(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	formatBefore(t, dir, 3, func(tx *Tx) error {
		return errors.Join(tx.PutVersion(sampleVersion(1)), tx.Point("here", sampleVersion(1), shape, nil))
	})
	l := openLedger(t, dir)
	fresh, _ := newLedger(t)
	same(t, "tables", schemaOf(t, l), schemaOf(t, fresh), nil)
	same(t, "pointer", currents(t, l, "here")[0].Version, sampleVersion(1).ID, nil)
	if r, err := l.Revision("here"); err != nil || r == (Revision{}) {
		t.Errorf("revision %v, %v", r, err)
	}
	same(t, "format", ask(t, l, "PRAGMA user_version"), "4", nil)
}

// TestRevision: each change of a pointer gives its environment another revision, and nothing else does.
func TestRevision(t *testing.T) {
	t.Parallel()
	l, _ := newLedger(t)
	seen := map[Revision]bool{{}: true}
	before := map[string]Revision{}
	step := func(what, changes string, f func(*Tx) error) {
		t.Helper()
		must(t, l.Write(t.Context(), f))
		for _, environment := range []string{"here", "there"} {
			r, err := l.Revision(environment)
			must(t, err)
			if changed := r != before[environment]; changed != (changes == environment) || changed && seen[r] {
				t.Errorf("%s: the revision of %s was %x and is %x", what, environment, before[environment], r)
			}
			before[environment], seen[r] = r, true
		}
	}
	v, w := sampleVersion(1), sampleVersion(2)
	point := func(environment string, v engine.Version) func(*Tx) error {
		return func(tx *Tx) error {
			return errors.Join(tx.PutVersion(v), tx.Point(environment, v, shape, nil))
		}
	}
	step("a version", "", func(tx *Tx) error { return tx.PutVersion(v) })
	step("a pointer", "here", point("here", v))
	step("one of another environment", "there", point("there", v))
	step("the same again", "here", point("here", v))
	step("another version", "here", point("here", w))
	step("back", "here", point("here", v))
	step("withdrawn", "here", func(tx *Tx) error { return tx.Withdraw(v.Workspace, "here", v.Label, v.Partition) })
	step("withdrawn again", "", func(tx *Tx) error { return tx.Withdraw(v.Workspace, "here", v.Label, v.Partition) })
	step("moved by hand", "there", func(tx *Tx) error { return tx.exec("UPDATE pointer SET partition = 'x'") })
}
