package ledger

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
)

// These read no more than what they give: a ledger may hold a million runs.
const (
	buildsIn    = "SELECT id, body FROM build WHERE workspace = ? AND started BETWEEN ? AND ? ORDER BY started DESC, id DESC"
	runsOfBuild = "SELECT body FROM run WHERE build = ? ORDER BY id"
	runsIn      = `SELECT id, body FROM run WHERE started BETWEEN ? AND ?
		AND +target IN (SELECT id FROM target WHERE workspace = ? AND label IN (SELECT value FROM json_each(?))) ORDER BY started DESC, id DESC`
)

// BeginBuild records a build that has begun, and numbers it.
func (tx *Tx) BeginBuild(b engine.Build) (id int64, err error) {
	err = put(tx, "INSERT INTO build (workspace, started, body) VALUES (?, ?, ?)", b, b.Workspace, b.Started.UnixMilli())
	return tx.conn.LastInsertRowID(), err
}

// EndBuild completes the record of a build.
func (tx *Tx) EndBuild(b engine.Build) error {
	body, err := encode(b)
	if err != nil {
		return err
	}
	return tx.exec("UPDATE build SET body = ? WHERE id = ?", string(body), b.ID)
}

// LastBuild is the number of the newest build; 0 if there is none.
func (l *Ledger) LastBuild() (id int64, err error) {
	err = l.query("SELECT coalesce(max(id), 0) FROM build", func(s *sqlite.Stmt) error {
		id = s.ColumnInt64(0)
		return nil
	})
	return id, err
}

// Period is a stretch of time, half-open; a zero end of it is open.
type Period struct{ Since, Until time.Time }

// bounds are the first and the last millisecond.
func (p Period) bounds() (from, to int64) {
	from, to = -1<<62, 1<<62
	if !p.Since.IsZero() {
		from = p.Since.UnixMilli()
	}
	if !p.Until.IsZero() {
		to = p.Until.UnixMilli() - 1
	}
	return from, to
}

// errEnough ends a query of which no more is wanted.
var errEnough = errors.New("enough")

// until calls row for each row of a query until it says that it wants no more.
func (l *Ledger) until(q string, row func(*sqlite.Stmt) (more bool, err error), args ...any) error {
	err := l.query(q, func(s *sqlite.Stmt) error {
		more, err := row(s)
		if err == nil && !more {
			return errEnough
		}
		return err
	}, args...)
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// Build finds a build by its number.
func (l *Ledger) Build(id int64) (engine.Build, bool, error) {
	b, ok, err := find[engine.Build](l, "SELECT body FROM build WHERE id = ?", id)
	b.ID = id
	return b, ok, err
}

// Builds calls f for the builds of a workspace that began in a period, newest first, until f wants no more.
func (l *Ledger) Builds(workspace string, p Period, f func(engine.Build) (more bool, err error)) error {
	from, to := p.bounds()
	return l.until(buildsIn, func(s *sqlite.Stmt) (bool, error) {
		b, err := decode[engine.Build](columnBytes(s, 1))
		if err != nil {
			return false, fmt.Errorf("build %d: %w; dpb fsck repairs it", s.ColumnInt64(0), err)
		}
		b.ID = s.ColumnInt64(0)
		return f(b)
	}, workspace, from, to)
}

// Labels lists the targets and sources of a workspace of which anything was ever recorded.
func (l *Ledger) Labels(workspace string) (out []engine.Label, err error) {
	err = l.query("SELECT label FROM target WHERE workspace = ? ORDER BY label", func(s *sqlite.Stmt) error {
		label, err := engine.ParseLabel(s.ColumnText(0), "")
		out = append(out, label)
		return err
	}, workspace)
	return out, err
}

// Ran calls f with label and partition of the runs of a build, in the order in which they were recorded, until f wants no more.
func (l *Ledger) Ran(build int64, f func(label engine.Label, partition string) (more bool)) error {
	return l.until("SELECT t.label, r.partition FROM run r JOIN target t ON t.id = r.target WHERE r.build = ? ORDER BY r.id", func(s *sqlite.Stmt) (bool, error) {
		label, err := engine.ParseLabel(s.ColumnText(0), "")
		return err == nil && f(label, s.ColumnText(1)), err
	}, build)
}

// RunsOfBuild lists the runs of a build in the order in which they were recorded.
func (l *Ledger) RunsOfBuild(build int64) ([]engine.Run, error) {
	return many[engine.Run](l, runsOfBuild, build)
}

// RunsIn calls f for the runs of some labels of a workspace that began in a period, newest first, until f wants no more.
func (l *Ledger) RunsIn(workspace string, labels []engine.Label, p Period, f func(engine.Run) (more bool, err error)) error {
	texts := make([]string, len(labels))
	for k, label := range labels {
		texts[k] = label.String()
	}
	list, _ := json.Marshal(texts) // texts can't fail
	from, to := p.bounds()
	return l.until(runsIn, func(s *sqlite.Stmt) (bool, error) {
		r, err := decode[engine.Run](columnBytes(s, 1))
		if err != nil {
			return false, fmt.Errorf("run %d: %w; dpb fsck repairs it", s.ColumnInt64(0), err)
		}
		return f(r)
	}, from, to, workspace, string(list))
}
