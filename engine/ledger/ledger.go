// Package ledger keeps all records, for ever, in one SQLite database that several processes may share.
package ledger

import (
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// ErrNone says that there is no ledger yet.
var ErrNone = errors.New("there is no ledger")

//go:embed schema.sql
var schema string

const (
	fileName      = "ledger.db"
	applicationID = 0x64706231 // "dpb1"
	formatVersion = 1

	// lockTimeout is how long a writer waits for another process. A commit takes milliseconds.
	lockTimeout = time.Minute
	readers     = 4
)

// Ledger is an open ledger. It is safe for concurrent use, also by several processes: readers never wait.
type Ledger struct {
	pool *sqlitex.Pool
	ids  ids
}

// Open opens the ledger in a directory and makes it if there is none.
func Open(dir string) (*Ledger, error) {
	file := filepath.Join(dir, fileName)
	conn, err := sqlite.OpenConn(file, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	conn.SetBusyTimeout(lockTimeout)
	if err = errors.Join(create(conn), conn.Close()); err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	return open(file, sqlite.OpenReadWrite)
}

// OpenReadOnly opens a ledger that nothing is written to; its error is or wraps ErrNone if there is none.
func OpenReadOnly(dir string) (*Ledger, error) {
	file := filepath.Join(dir, fileName)
	if _, err := os.Stat(file); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	l, err := open(file, sqlite.OpenReadOnly)
	if err != nil {
		return nil, err
	}
	err = l.read(func(c *sqlite.Conn) error { return check(c) })
	if err != nil {
		l.Close()
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	return l, nil
}

func open(file string, flags sqlite.OpenFlags) (*Ledger, error) {
	pool, err := sqlitex.NewPool(file, sqlitex.PoolOptions{Flags: flags, PoolSize: readers, PrepareConn: func(c *sqlite.Conn) error {
		c.SetBusyTimeout(lockTimeout)
		return pragmas(c, "synchronous = FULL", "foreign_keys = ON", "cache_size = -20000")
	}})
	if err != nil {
		return nil, fmt.Errorf("ledger %s: %w", file, err)
	}
	return &Ledger{pool: pool}, nil
}

func pragmas(c *sqlite.Conn, list ...string) error {
	for _, p := range list {
		if err := sqlitex.ExecuteTransient(c, "PRAGMA "+p, nil); err != nil {
			return err
		}
	}
	return nil
}

// create makes the tables in one transaction, or checks that they are of a known format.
func create(c *sqlite.Conn) (err error) {
	if err := check(c); !errors.Is(err, ErrNone) {
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
	if err := check(c); !errors.Is(err, ErrNone) {
		return err
	}
	if err := sqlitex.ExecScript(c, schema); err != nil {
		return err
	}
	return pragmas(c, fmt.Sprintf("application_id = %d", applicationID), fmt.Sprintf("user_version = %d", formatVersion))
}

// check says ErrNone of an empty database, and refuses formats that this dpb does not know.
func check(c *sqlite.Conn) error {
	var got [3]int64
	for k, q := range []string{"PRAGMA application_id", "PRAGMA user_version", "SELECT count(*) FROM sqlite_schema"} {
		err := sqlitex.ExecuteTransient(c, q, &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			got[k] = s.ColumnInt64(0)
			return nil
		}})
		if err != nil {
			return err
		}
	}
	switch {
	case got[2] == 0:
		return ErrNone
	case got[0] != applicationID:
		return errors.New("this database is no ledger of dpb")
	case got[1] != formatVersion:
		return fmt.Errorf("it has format %d, and this dpb knows %d only: use the dpb that wrote it, or another store", got[1], formatVersion)
	}
	return nil
}

// Close ends all use of the ledger.
func (l *Ledger) Close() error { return l.pool.Close() }

func (l *Ledger) read(f func(*sqlite.Conn) error) error {
	c, err := l.pool.Take(context.Background())
	if err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	defer l.pool.Put(c)
	return f(c)
}

// query calls row for each row of a query.
func (l *Ledger) query(q string, row func(*sqlite.Stmt) error, args ...any) error {
	return l.read(func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, q, &sqlitex.ExecOptions{Args: args, ResultFunc: row})
	})
}

// one reads one record by the column body; false if there is none.
func one[T any](l *Ledger, q string, args ...any) (v T, ok bool, err error) {
	err = l.query(q, func(s *sqlite.Stmt) error {
		ok = true
		v, err = decode[T](columnBytes(s, 0))
		return err
	}, args...)
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
func (l *Ledger) Result(k cache.ActionKey) (engine.Result, bool, error) {
	return one[engine.Result](l, "SELECT body FROM result WHERE key = ?", k[:])
}

// LastRun finds the last attempt at a key.
func (l *Ledger) LastRun(k cache.ActionKey) (engine.Run, bool, error) {
	return one[engine.Run](l, "SELECT body FROM run WHERE key = ? ORDER BY id DESC LIMIT 1", k[:])
}

// Runs lists the attempts at a label's partition, newest first.
func (l *Ledger) Runs(label engine.Label, partition string) ([]engine.Run, error) {
	return many[engine.Run](l, "SELECT body FROM run WHERE label = ? AND partition = ? ORDER BY id DESC", label.String(), partition)
}

// VersionsOf lists the versions of an action, newest first.
func (l *Ledger) VersionsOf(workspace string, label engine.Label, partition string) ([]engine.Version, error) {
	return many[engine.Version](l, `SELECT v.body FROM version v JOIN target t ON t.id = v.target WHERE t.workspace = ? AND t.label = ? AND v.partition = ?
		ORDER BY v.sequence DESC`, workspace, label.String(), partition)
}

// FindVersions lists the versions whose id starts with the hexadecimal prefix, two at most: enough to tell that it is ambiguous.
func (l *Ledger) FindVersions(prefix string) ([]engine.Version, error) {
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
	return many[engine.Version](l, "SELECT body FROM version WHERE id BETWEEN ? AND ? LIMIT 2", first, last)
}

// Section reads the entries of a recorded section.
func (l *Ledger) Section(d cache.SectionDigest) (entries []engine.Entry, err error) {
	found := false
	err = l.query("SELECT body FROM section WHERE digest = ?", func(s *sqlite.Stmt) error {
		found = true
		entries, err = engine.DecodeSection(columnBytes(s, 0))
		return err
	}, d[:])
	if err == nil && !found {
		err = errors.New("not in the ledger")
	}
	return entries, err
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

// Current is a pointer with what a build wants to know of its version.
type Current struct {
	Label     engine.Label
	Partition string
	Version   engine.VersionID
	Key       cache.ActionKey
	Outputs   []engine.OutputResult // names, trees and columns only
}

// Currents calls f for each pointer of an environment, in order of target.
func (l *Ledger) Currents(workspace, environment string, f func(Current) error) error {
	return l.read(func(conn *sqlite.Conn) error {
		labels := map[int64]engine.Label{}
		err := sqlitex.Execute(conn, "SELECT id, label FROM target WHERE workspace = ?", &sqlitex.ExecOptions{Args: []any{workspace},
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				labels[s.ColumnInt64(0)], err = engine.ParseLabel(s.ColumnText(1), "")
				return err
			}})
		if err != nil {
			return err
		}
		d := outputDecoder{}
		var buf []byte
		return sqlitex.Execute(conn, `SELECT p.target, p.partition, p.version, p.key, p.outputs FROM pointer p
			WHERE p.environment = (SELECT id FROM environment WHERE name = ?) ORDER BY p.target, p.partition`, &sqlitex.ExecOptions{Args: []any{environment},
			ResultFunc: func(s *sqlite.Stmt) (err error) {
				label, ok := labels[s.ColumnInt64(0)]
				if !ok {
					return nil // of another workspace
				}
				c := Current{Label: label, Partition: s.ColumnText(1)}
				s.ColumnBytes(2, c.Version[:])
				s.ColumnBytes(3, c.Key[:])
				buf = slices.Grow(buf[:0], s.ColumnLen(4))[:s.ColumnLen(4)]
				s.ColumnBytes(4, buf)
				if c.Outputs, err = d.decode(buf); err != nil {
					return fmt.Errorf("ledger: pointer of %s@%s: %w", c.Label, c.Partition, err)
				}
				return f(c)
			}})
	})
}
