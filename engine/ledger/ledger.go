// Package ledger keeps all records, for ever, in one SQLite database that several processes may share.
package ledger

import (
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

var (
	// ErrNone says that there is no ledger yet.
	ErrNone = errors.New("there is no ledger")
	// ErrLocked says that another process held the ledger's lock for as long as this one was to wait.
	ErrLocked = errors.New("another process keeps it locked")

	// ErrDamaged says that the database is not as SQLite left it.
	ErrDamaged = errors.New("it is damaged: put back a copy, or delete ledger.db together with ledger.db-wal and ledger.db-shm, after which all history is gone and everything runs again")
)

// olderError says that a ledger has a format of before.
type olderError struct{ format int64 }

func (e *olderError) Error() string {
	return "it was written by an older dpb; any dpb build brings it up to date"
}

// LockTimeout is how long a writer waits for another process if nothing else is said. A commit takes milliseconds. Tests make it shorter, before they open a ledger.
var LockTimeout = time.Minute

var (
	//go:embed schema.sql
	schema string
	//go:embed contracts.sql
	contracts string
	//go:embed builds.sql
	builds string
	//go:embed revision.sql
	revision string
	//go:embed from1.sql
	from1 string
	//go:embed from2.sql
	from2 string
)

// upgrades bring a ledger from format 1 to 2, from 2 to 3, and so on.
var upgrades = []string{
	from1 + contracts + "INSERT INTO pointer SELECT environment, target, partition, version, key, x'', outputs FROM pointer1; DROP TABLE pointer1;",
	from2 + builds + `INSERT INTO run SELECT id, key, target, partition,
		coalesce(CASE WHEN json_valid(body) THEN CAST(1000 * unixepoch(body ->> 'Started', 'subsec') AS INTEGER) END, 0), 0, body FROM run2; DROP TABLE run2;`,
	revision + "INSERT INTO revision SELECT environment, randomblob(16) FROM pointer GROUP BY environment;",
}

const (
	fileName      = "ledger.db"
	applicationID = 0x64706231 // "dpb1"
	formatVersion = 4
	readers       = 4
)

// Ledger is an open ledger. It is safe for concurrent use, also by several processes: readers never wait.
type Ledger struct {
	file   string
	conns  *conns
	ids    onDisk[string, int64]
	chunks onDisk[cache.SectionDigest, bool]
}

// Open opens the ledger in a directory and makes it if there is none.
func Open(dir string) (*Ledger, error) { return OpenWaiting(dir, LockTimeout) }

// OpenWaiting is Open for a process that waits for others that long.
func OpenWaiting(dir string, wait time.Duration) (l *Ledger, err error) {
	file := filepath.Join(dir, fileName)
	headers.enter(file)
	defer func() {
		if err != nil {
			headers.leave(file)
		}
	}()
	if err := mayWrite(file); err != nil {
		return nil, err
	}
	before, err := look(file)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, explain(file, err))
	}
	conn.SetBusyTimeout(wait)
	if err = errors.Join(before.createOrWait(conn, file, wait), conn.Close()); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, explain(file, err))
	}
	if l, err = open(file, sqlite.OpenReadWrite, wait); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, explain(file, err))
	}
	return l, nil
}

// mayWrite says, before SQLite touches anything, that the files belong to somebody else: what it leaves beside them would keep their owner out.
func mayWrite(file string) error {
	for _, name := range []string{file, file + "-wal", file + "-shm"} {
		if err := disk.Writable(name); errors.Is(err, fs.ErrPermission) { // not opened: to close it would take the locks of this process
			return fmt.Errorf("ledger %s can't be written: it belongs to another user; those who share a store build as one user, or each has a store of its own", name)
		}
	}
	return nil
}

// OpenReadOnly opens a ledger that nothing is written to; its error is or wraps ErrNone if there is none.
func OpenReadOnly(dir string) (l *Ledger, err error) {
	file := filepath.Join(dir, fileName)
	headers.enter(file)
	defer func() {
		if err != nil {
			headers.leave(file)
		}
	}()
	before, err := look(file)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	if !before.there {
		return nil, ErrNone
	}
	l, err = before.open(file, sqlite.OpenReadOnly)
	if code := sqlite.ErrCode(err).ToPrimary(); (code == sqlite.ResultCantOpen || code == sqlite.ResultReadOnly) && atRest(file) {
		// The folder is read-only, so SQLite can't make the file by which readers tell writers of themselves. There is no writer.
		uri := "file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() + "?immutable=1"
		l, err = before.open(uri, sqlite.OpenReadOnly|sqlite.OpenURI)
	} else if code == sqlite.ResultCantOpen || code == sqlite.ResultReadOnly {
		err = fmt.Errorf("%w; %s-wal has records, which SQLite reads only where it can write: run dpb status once where it can, or on a copy", err, fileName)
	}
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, explain(file, err))
	}
	l.file = file
	return l, nil
}

// atRest says that all of a database is in its one file: the last writer closed it.
func atRest(file string) bool {
	wal, err := os.Stat(file + "-wal")
	return errors.Is(err, fs.ErrNotExist) || err == nil && wal.Size() == 0
}

// open opens the ledger to read and checks it.
func (f found) open(name string, flags sqlite.OpenFlags) (*Ledger, error) {
	l, err := open(name, flags, LockTimeout)
	if err != nil {
		return nil, err
	}
	if err := l.read(f.check); err != nil {
		_ = l.conns.close()
		return nil, err
	}
	return l, nil
}

func open(name string, flags sqlite.OpenFlags, wait time.Duration) (*Ledger, error) {
	c, err := openConns(name, flags, readers, func(c *sqlite.Conn) error {
		c.SetBusyTimeout(wait)
		return pragmas(c, "synchronous = FULL", "foreign_keys = ON", "cache_size = -20000", "wal_autocheckpoint = 4000")
	})
	return &Ledger{conns: c, file: name}, err
}

// orLocked adds ErrLocked, and who is to blame, to what SQLite says when it waited for a lock in vain.
func orLocked(err error, file string) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked:
		if who := heldBy(file); who != "" {
			return fmt.Errorf("%w (%s): %w", ErrLocked, who, err)
		}
		return fmt.Errorf("%w: %w", ErrLocked, err)
	}
	return err
}

// explain says what to do about what SQLite says, once.
func explain(file string, err error) error {
	var full *disk.FullError
	switch code := sqlite.ErrCode(err).ToPrimary(); {
	case err == nil || errors.As(err, &full) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrLocked):
		return err
	case code == sqlite.ResultFull || code == sqlite.ResultIOErr && disk.Low(file):
		return disk.Full(err, file, 0)
	case code == sqlite.ResultCorrupt || code == sqlite.ResultNotADB:
		return fmt.Errorf("%w (%w)", ErrDamaged, err)
	}
	return disk.NoRoom(orLocked(err, file), file, 0)
}

func pragmas(c *sqlite.Conn, list ...string) error {
	for _, p := range list {
		if err := sqlitex.ExecuteTransient(c, "PRAGMA "+p, nil); err != nil {
			return err
		}
	}
	return nil
}

// createOrWait is create, once more while another process does the same: SQLite itself doesn't wait when it changes the mode of the journal.
func (f found) createOrWait(c *sqlite.Conn, file string, wait time.Duration) error {
	for end := time.Now().Add(wait); ; time.Sleep(5 * time.Millisecond) {
		if err := orLocked(f.create(c), file); !errors.Is(err, ErrLocked) || time.Now().After(end) {
			return err
		}
	}
}

// create makes the tables in one transaction, brings those of the format before up to date, or checks that they are of a known format.
func (f found) create(c *sqlite.Conn) (err error) {
	if err := f.whole(c); err != nil {
		return err
	}
	var older *olderError
	if err := check(c); !errors.Is(err, ErrNone) && !errors.As(err, &older) {
		return err // nothing is changed of what is there
	}
	if err := pragmas(c, "journal_mode = WAL", "synchronous = FULL"); err != nil {
		return err
	}
	done, err := sqlitex.ImmediateTransaction(c)
	if err != nil {
		return err
	}
	defer done(&err)
	script := schema + contracts + builds + revision
	switch err := f.check(c); {
	case errors.As(err, &older):
		script = strings.Join(upgrades[older.format-1:], "\n")
	case !errors.Is(err, ErrNone):
		return err
	}
	if err := sqlitex.ExecScript(c, script); err != nil {
		return err
	}
	if err := pragmas(c, fmt.Sprintf("application_id = %d", applicationID), fmt.Sprintf("user_version = %d", formatVersion)); err != nil {
		return err
	}
	return fault.At(fault.LedgerMade)
}

// check says ErrNone of an empty database, and refuses formats that this dpb does not know.
func check(c *sqlite.Conn) error {
	var id, format, tables int64
	// One statement sees one state, also while another process makes the tables.
	err := sqlitex.ExecuteTransient(c, `SELECT a.application_id, v.user_version, (SELECT count(*) FROM sqlite_schema)
		FROM pragma_application_id a, pragma_user_version v`, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		id, format, tables = s.ColumnInt64(0), s.ColumnInt64(1), s.ColumnInt64(2)
		return nil
	}})
	switch {
	case err != nil:
		return err
	case tables == 0:
		return ErrNone
	case id != applicationID:
		return errors.New("this database is no ledger of dpb")
	case format >= 1 && format < formatVersion:
		return &olderError{format}
	case format != formatVersion:
		return fmt.Errorf("it has format %d, and this dpb knows %d only: use the dpb that wrote it, or another store", format, formatVersion)
	}
	return nil
}

// Close ends all use of the ledger.
func (l *Ledger) Close() error {
	defer headers.leave(l.file)
	return l.conns.close()
}

func (l *Ledger) read(f func(*sqlite.Conn) error) (err error) {
	defer func() { err = explain(l.file, err) }()
	c, err := l.conns.reader()
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer l.conns.done(c)
	return f(c)
}

// query calls row for each row of a query.
func (l *Ledger) query(q string, row func(*sqlite.Stmt) error, args ...any) error {
	return l.read(func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, q, &sqlitex.ExecOptions{Args: args, ResultFunc: row})
	})
}

// one reads one record by the column body; false if there is none.
func one[T any](c *sqlite.Conn, q string, args ...any) (v T, ok bool, err error) {
	err = sqlitex.Execute(c, q, &sqlitex.ExecOptions{Args: args, ResultFunc: func(s *sqlite.Stmt) error {
		ok = true
		v, err = decode[T](columnBytes(s, 0))
		return err
	}})
	return v, ok, err
}

// many reads records by the column body.
func many[T any](l *Ledger, q string, args ...any) (out []T, err error) {
	err = l.query(q, func(s *sqlite.Stmt) error {
		v, err := decode[T](columnBytes(s, 0))
		out = append(out, v)
		return err
	}, args...)
	return out, err
}

func columnBytes(s *sqlite.Stmt, k int) []byte {
	b := make([]byte, s.ColumnLen(k))
	s.ColumnBytes(k, b)
	return b
}

// Result finds what a job with that key made.
func (l *Ledger) Result(k cache.ActionKey) (r engine.Result, ok bool, err error) {
	err = l.read(func(c *sqlite.Conn) (err error) {
		r, ok, err = findResult(c, k)
		return err
	})
	return r, ok, err
}

func findResult(c *sqlite.Conn, k cache.ActionKey) (engine.Result, bool, error) {
	return one[engine.Result](c, "SELECT body FROM result WHERE key = ?", k[:])
}

// LastRun finds the last attempt at a key of which the record can be read: runs are evidence only, and never keep a job from running. Those of dpb verify are not asked.
func (l *Ledger) LastRun(k cache.ActionKey) (r engine.Run, ok bool, err error) {
	err = l.read(func(c *sqlite.Conn) (err error) {
		r, ok, err = findLastRun(c, k)
		return err
	})
	return r, ok, err
}

func findLastRun(c *sqlite.Conn, k cache.ActionKey) (r engine.Run, ok bool, err error) {
	runs := runsByID{}
	err = sqlitex.Execute(c, "SELECT id, body FROM run WHERE key = ?", &sqlitex.ExecOptions{Args: []any{k[:]}, ResultFunc: runs.add})
	r, ok = runs.last()
	return r, ok, err
}

// runsByID are records of runs by their number. SQLite does not sort them: it would compile the statement anew for each key.
type runsByID map[int64][]byte

func (a runsByID) add(s *sqlite.Stmt) error {
	a[s.ColumnInt64(0)] = columnBytes(s, 1)
	return nil
}

// last is the last of those that can be read and are none of dpb verify.
func (a runsByID) last() (r engine.Run, ok bool) {
	for _, id := range slices.Backward(slices.Sorted(maps.Keys(a))) {
		if r, err := decode[engine.Run](a[id]); err == nil && !r.Verifies {
			return r, true
		}
	}
	return r, false
}

// Lookup finds what a job with that key made, nil if there is nothing, and says whether the last attempt at the key failed, be it after that.
func (l *Ledger) Lookup(k cache.ActionKey) (result *engine.Result, failed bool, err error) {
	runs := runsByID{}
	err = l.query("SELECT 0, body FROM result WHERE key = ?1 UNION ALL SELECT id, body FROM run WHERE key = ?1", func(s *sqlite.Stmt) error {
		if s.ColumnInt64(0) > 0 {
			return runs.add(s)
		}
		r, err := decode[engine.Result](columnBytes(s, 1))
		result = &r
		return err
	}, k[:])
	if err != nil {
		return nil, false, err
	}
	last, ok := runs.last()
	return result, ok && last.Failure != "", nil
}

// Runs lists the attempts at an action, newest first.
func (l *Ledger) Runs(workspace string, label engine.Label, partition string) ([]engine.Run, error) {
	return many[engine.Run](l, `SELECT r.body FROM run r JOIN target t ON t.id = r.target WHERE t.workspace = ? AND t.label = ? AND r.partition = ?
		ORDER BY r.id DESC`, workspace, label.String(), partition)
}

// Verifications lists the attempts that dpb verify made at a key, newest first.
func (l *Ledger) Verifications(k cache.ActionKey) ([]engine.Run, error) {
	runs, err := many[engine.Run](l, "SELECT body FROM run WHERE key = ? ORDER BY id DESC", k[:])
	return slices.DeleteFunc(runs, func(r engine.Run) bool { return !r.Verifies }), err
}

// VersionsOf lists the versions of an action, newest first.
func (l *Ledger) VersionsOf(workspace string, label engine.Label, partition string) ([]engine.Version, error) {
	return many[engine.Version](l, `SELECT v.body FROM version v JOIN target t ON t.id = v.target WHERE t.workspace = ? AND t.label = ? AND v.partition = ?
		ORDER BY v.sequence DESC`, workspace, label.String(), partition)
}

// FindVersions lists the versions whose id starts with the hexadecimal prefix, two at most: enough to tell that it is ambiguous.
// An empty workspace means any, and a zero label any action.
func (l *Ledger) FindVersions(prefix, workspace string, label engine.Label, partition string) ([]engine.Version, error) {
	const size = 2 * len(engine.VersionID{})
	if len(prefix) > size {
		return nil, nil
	}
	first, err := hex.DecodeString(prefix + strings.Repeat("0", size-len(prefix)))
	if err != nil {
		return nil, err
	}
	last, err := hex.DecodeString(prefix + strings.Repeat("f", size-len(prefix)))
	if err != nil {
		return nil, err
	}
	return many[engine.Version](l, `SELECT v.body FROM version v JOIN target t ON t.id = v.target WHERE v.id BETWEEN ? AND ?
		AND (? OR t.workspace = ?) AND (? OR t.label = ? AND v.partition = ?) ORDER BY v.id LIMIT 2`,
		first, last, workspace == "", workspace, label.IsZero(), label.String(), partition)
}

// Pointer finds the version that current names.
func (l *Ledger) Pointer(workspace, environment string, label engine.Label, partition string) (id engine.VersionID, ok bool, err error) {
	err = l.query(`SELECT p.version FROM pointer p JOIN target t ON t.id = p.target JOIN environment e ON e.id = p.environment
		WHERE t.workspace = ? AND t.label = ? AND e.name = ? AND p.partition = ?`, func(s *sqlite.Stmt) error {
		ok = s.ColumnBytes(0, id[:]) == len(id)
		return nil
	}, workspace, label.String(), environment, partition)
	return id, ok, err
}

// HasPointers says whether current names anything in an environment.
func (l *Ledger) HasPointers(workspace, environment string) (has bool, err error) {
	err = l.query(`SELECT EXISTS (SELECT 1 FROM pointer p JOIN target t ON t.id = p.target WHERE p.environment = (SELECT id FROM environment WHERE name = ?) AND t.workspace = ?)`,
		func(s *sqlite.Stmt) error { has = s.ColumnBool(0); return nil }, environment, workspace)
	return has, err
}

// Revision names a state of all pointers of an environment: after each change it is another one, which no ledger had before. It is zero where there never was a pointer.
type Revision [16]byte

// Revision tells at which state the pointers of an environment are.
func (l *Ledger) Revision(environment string) (r Revision, err error) {
	err = l.read(func(c *sqlite.Conn) (err error) {
		r, err = findRevision(c, environment)
		return err
	})
	return r, err
}

// Revision is Ledger.Revision within the transaction.
func (tx *Tx) Revision(environment string) (Revision, error) {
	return findRevision(tx.conn, environment)
}

func findRevision(c *sqlite.Conn, environment string) (r Revision, err error) {
	err = sqlitex.Execute(c, "SELECT pointers FROM revision WHERE environment = (SELECT id FROM environment WHERE name = ?)", &sqlitex.ExecOptions{Args: []any{environment},
		ResultFunc: func(s *sqlite.Stmt) error {
			s.ColumnBytes(0, r[:])
			return nil
		}})
	return r, err
}

// Current is a pointer with what a build wants to know of its version.
type Current struct {
	Label     engine.Label
	Partition string
	Version   engine.VersionID
	Key       cache.ActionKey
	Shape     cache.SectionDigest   // of the rules that the version was accepted under
	Outputs   []engine.OutputResult // names, trees and columns only
}

// Currents calls f for each pointer of an environment, in order of target.
func (l *Ledger) Currents(workspace, environment string, f func(Current) error) error {
	return l.currents(workspace, environment, "", f)
}

// CurrentsOf calls f for each pointer of one target.
func (l *Ledger) CurrentsOf(workspace, environment string, label engine.Label, f func(Current) error) error {
	return l.currents(workspace, environment, label.String(), f)
}

// currents is Currents of one target; of all with "".
func (l *Ledger) currents(workspace, environment, only string, f func(Current) error) error {
	return l.read(func(conn *sqlite.Conn) error {
		labels := map[int64]engine.Label{}
		err := sqlitex.Execute(conn, "SELECT id, label FROM target WHERE workspace = ?1 AND (?2 = '' OR label = ?2)", &sqlitex.ExecOptions{Args: []any{workspace, only},
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				labels[s.ColumnInt64(0)], err = engine.ParseLabel(s.ColumnText(1), "")
				return err
			}})
		if err != nil {
			return err
		}
		d := outputDecoder{}
		var buf []byte
		return sqlitex.Execute(conn, `SELECT p.target, p.partition, p.version, p.key, p.outputs, p.shape FROM pointer p
			WHERE p.environment = (SELECT id FROM environment WHERE name = ?1)
			AND (?3 = '' OR p.target = (SELECT id FROM target WHERE workspace = ?2 AND label = ?3)) ORDER BY p.target, p.partition`, &sqlitex.ExecOptions{Args: []any{environment, workspace, only},
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				label, ok := labels[s.ColumnInt64(0)]
				if !ok {
					return nil // of another workspace
				}
				c := Current{Label: label, Partition: s.ColumnText(1)}
				s.ColumnBytes(2, c.Version[:])
				s.ColumnBytes(3, c.Key[:])
				s.ColumnBytes(5, c.Shape[:])
				buf = slices.Grow(buf[:0], s.ColumnLen(4))[:s.ColumnLen(4)]
				s.ColumnBytes(4, buf)
				if c.Outputs, err = d.decode(buf); err != nil {
					return fmt.Errorf("ledger: pointer of %s@%s: %w", c.Label, c.Partition, err)
				}
				return f(c)
			}})
	})
}
