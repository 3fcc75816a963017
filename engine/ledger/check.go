package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Fault is a record that is not what it should be. It can be taken out, unless Table is empty: then it is the database that is damaged.
type Fault struct {
	Table string
	ID    []byte // of the row, if it has a digest
	Row   int64  // else its number
	Body  []byte
	Err   error
}

// Name tells which record it is.
func (f Fault) Name() string {
	if f.ID != nil {
		return fmt.Sprintf("%s %x", f.Table, f.ID)
	}
	return fmt.Sprintf("%s %d", f.Table, f.Row)
}

// table is how the records of one table are checked.
type table struct {
	name, id, more string
	check          func(l *Ledger, s *sqlite.Stmt) error // of columns id, body and more
}

var tables = []table{
	{"section", "digest", ", chunks", checkSection},
	{"result", "key", "", checkResult},
	{"build", "id", "", readable[engine.Build]},
	{"run", "id", ", key, build", checkRun},
	{"version", "id", ", partition, (SELECT label FROM target t WHERE t.id = target), (SELECT workspace FROM target t WHERE t.id = target)", checkVersion},
	{"split", "id", "", readable[engine.Split]},
	{"fingerprint", "id", ", state", checkFingerprint},
	{"metric", "id", "", readable[*float64]},
	{"judgement", "id", "", readable[engine.Judgement]},
	{"acceptance", "id", "", readable[engine.Acceptance]},
}

// Check reads every record, and tells of those that can't be read or are not what they are found by.
func (l *Ledger) Check(ctx context.Context, tell func(Fault)) (records int, err error) {
	for _, pragma := range []string{"integrity_check", "foreign_key_check"} {
		err := l.query("PRAGMA "+pragma, func(s *sqlite.Stmt) error {
			if text := s.ColumnText(0); text != "ok" {
				tell(Fault{Err: fmt.Errorf("SQLite's %s says: %s", pragma, text)})
			}
			return nil
		})
		if err != nil {
			tell(Fault{Err: err})
		}
	}
	for _, t := range tables {
		n, err := l.checkTable(ctx, t, tell)
		if records += n; err != nil {
			return records, err
		}
	}
	return records, nil
}

func (l *Ledger) checkTable(ctx context.Context, t table, tell func(Fault)) (records int, err error) {
	err = l.query(fmt.Sprintf("SELECT %s, body%s FROM %s", t.id, t.more, t.name), func(s *sqlite.Stmt) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		records++
		if err := t.check(l, s); err != nil {
			f := Fault{Table: t.name, Body: columnBytes(s, 1), Err: err}
			if s.ColumnType(0) == sqlite.TypeBlob {
				f.ID = columnBytes(s, 0)
			} else {
				f.Row = s.ColumnInt64(0)
			}
			tell(f)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil { // what SQLite can't read
		tell(Fault{Err: fmt.Errorf("table %s: %w", t.name, err)})
		err = nil
	}
	return records, err
}

func readable[T any](_ *Ledger, s *sqlite.Stmt) error {
	_, err := decode[T](columnBytes(s, 1))
	return err
}

var errOther = errors.New("damaged record: it is not what it is found by")

func checkSection(l *Ledger, s *sqlite.Stmt) error {
	want, body := cache.SectionDigest(columnDigest(s, 0)), columnBytes(s, 1)
	if s.ColumnInt64(2) > 0 {
		var whole []byte
		for ; len(body) >= len(want); body = body[len(want):] {
			part, _, err := l.sectionBody(cache.SectionDigest(body[:len(want)]))
			if err != nil {
				return fmt.Errorf("a part of it is %w", err)
			}
			whole = append(whole, part...)
		}
		body = whole
	}
	if engine.SectionDigest(body) != want {
		return errOther
	}
	return nil
}

func columnDigest(s *sqlite.Stmt, k int) (d [32]byte) {
	if s.ColumnLen(k) == len(d) {
		s.ColumnBytes(k, d[:])
	}
	return d
}

func checkResult(_ *Ledger, s *sqlite.Stmt) error {
	r, err := decode[engine.Result](columnBytes(s, 1))
	if key := cache.ActionKey(columnDigest(s, 0)); err == nil && (r.Key != key || r.Parts != nil && engine.Key(r.Parts) != key) {
		return errOther
	}
	return err
}

func checkRun(_ *Ledger, s *sqlite.Stmt) error {
	r, err := decode[engine.Run](columnBytes(s, 1))
	if err == nil && (r.Key != cache.ActionKey(columnDigest(s, 2)) || r.Build != s.ColumnInt64(3)) {
		return errOther
	}
	return err
}

func checkVersion(_ *Ledger, s *sqlite.Stmt) error {
	v, err := decode[engine.Version](columnBytes(s, 1))
	if err != nil {
		return err
	}
	id := engine.VersionID(columnDigest(s, 0))
	where := v.Partition == s.ColumnText(2) && v.Label.String() == s.ColumnText(3) && v.Workspace == s.ColumnText(4)
	if !where || v.ID != id || engine.NewVersionID(v.Workspace, v.Label, v.Partition, v.Key, v.Outputs) != id {
		return errOther
	}
	return nil
}

func checkFingerprint(l *Ledger, s *sqlite.Stmt) error {
	if _, err := unpacker.DecodeAll(columnBytes(s, 2), nil); err != nil {
		return fmt.Errorf("damaged state: %w", err)
	}
	return readable[engine.Fingerprint](l, s)
}

// TakeOut removes a damaged record. Whoever misses it makes it anew.
func (tx *Tx) TakeOut(f Fault) error {
	for _, t := range tables {
		if t.name != f.Table {
			continue
		}
		var id any = f.Row
		if f.ID != nil {
			id = f.ID
		}
		return tx.exec(fmt.Sprintf("DELETE FROM %s WHERE %s = ?", t.name, t.id), id)
	}
	return fmt.Errorf("there are no records of %s", f.Table)
}

// Pointing is a pointer as it stands, with the version that it names.
type Pointing struct {
	Environment, Workspace string
	Current
	Version *engine.Version // nil: there is none that can be read
	Broken  error           // why the outputs can't be read
}

// CheckPointers calls f for each pointer of all environments.
func (l *Ledger) CheckPointers(f func(Pointing) error) error {
	var d outputDecoder
	return l.read(func(c *sqlite.Conn) error {
		return sqlitex.Execute(c, `SELECT e.name, t.workspace, t.label, p.partition, p.version, p.key, p.shape, p.outputs, v.body FROM pointer p
			JOIN environment e ON e.id = p.environment JOIN target t ON t.id = p.target LEFT JOIN version v ON v.id = p.version`, &sqlitex.ExecOptions{
			ResultFunc: func(s *sqlite.Stmt) error {
				label, err := engine.ParseLabel(s.ColumnText(2), "")
				if err != nil {
					return err
				}
				p := Pointing{Environment: s.ColumnText(0), Workspace: s.ColumnText(1), Current: Current{Label: label, Partition: s.ColumnText(3),
					Version: columnDigest(s, 4), Key: columnDigest(s, 5), Shape: columnDigest(s, 6)}}
				p.Outputs, p.Broken = d.decode(columnBytes(s, 7))
				if v, err := decode[engine.Version](columnBytes(s, 8)); err == nil && v.ID == p.Current.Version && v.Label == label && v.Partition == p.Partition &&
					v.Workspace == p.Workspace {
					p.Version = &v
				}
				return f(p)
			}})
	})
}
