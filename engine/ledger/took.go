package ledger

import (
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Took is what one run of a target's job that succeeded took and made.
type Took struct {
	Partition string
	Wall      time.Duration
	CPU       time.Duration // 0: it is not known
	Outputs   []engine.OutputResult
}

// maxAttempts bounds how far Took looks back: a job that was broken for long still has a history.
const maxAttempts = 5000

// Took lists the newest runs of a target's jobs that succeeded, newest first, n at most. Those of dpb verify count too: the job was the same.
func (l *Ledger) Took(workspace string, label engine.Label, n int) (out []Took, err error) {
	err = l.read(func(c *sqlite.Conn) error {
		ids, err := attempts(c, workspace, label)
		for k := 0; k < len(ids) && len(out) < n; k++ {
			if t, ok := took(c, ids[k]); ok {
				out = append(out, t)
			}
		}
		return err
	})
	return out, err
}

// attempts lists the newest runs of a target. The index alone answers that, however large their records are.
func attempts(c *sqlite.Conn, workspace string, label engine.Label) (ids []int64, err error) {
	err = sqlitex.Execute(c, `SELECT r.id FROM run r WHERE r.target = (SELECT id FROM target WHERE workspace = ? AND label = ?) ORDER BY r.id DESC LIMIT ?`,
		&sqlitex.ExecOptions{Args: []any{workspace, label.String(), maxAttempts}, ResultFunc: func(s *sqlite.Stmt) error {
			ids = append(ids, s.ColumnInt64(0))
			return nil
		}})
	return ids, err
}

// took reads one run; false if it failed, or if its record can't be read: runs are evidence, and a damaged one keeps nothing from being planned.
func took(c *sqlite.Conn, id int64) (t Took, ok bool) {
	run, _, damaged := one[engine.Run](c, "SELECT body FROM run WHERE id = ?", id)
	if damaged != nil || run.Failure != "" {
		return t, false
	}
	t = Took{Partition: run.Partition, Wall: run.Wall, Outputs: run.Outputs}
	// The result of the key may be of another run: processor time hardly depends on the load of the machine.
	if r, ok, damaged := findResult(c, run.Key); ok && damaged == nil {
		t.CPU = r.CPU
	}
	return t, true
}

// HasSection says whether a section of some recorded key has that digest.
func (l *Ledger) HasSection(d cache.SectionDigest) (found bool, err error) {
	err = l.query("SELECT 1 FROM section WHERE digest = ?", func(*sqlite.Stmt) error { found = true; return nil }, d[:])
	return found, err
}
