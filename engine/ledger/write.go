package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Tx adds records, all or none.
type Tx struct {
	conn *sqlite.Conn
	l    *Ledger
	// What is new to the ledger's ids and chunks: known to others once the transaction is committed.
	ids    map[string]int64
	chunks map[cache.SectionDigest]bool
}

// Write runs f in one transaction. When it returns nil all is on disk.
func (l *Ledger) Write(ctx context.Context, f func(*Tx) error) error {
	err := l.write(ctx, f)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // SQLite says only that it was interrupted
	}
	if err != nil {
		return fmt.Errorf("ledger: %w", explain(l.file, err))
	}
	return nil
}

func (l *Ledger) write(ctx context.Context, f func(*Tx) error) error {
	tx := &Tx{l: l, ids: map[string]int64{}, chunks: map[cache.SectionDigest]bool{}}
	err := l.conns.write(ctx, func(c *sqlite.Conn) error {
		tx.conn = c
		return tx.run(f)
	})
	if err != nil {
		return err
	}
	l.ids.add(tx.ids)
	l.chunks.add(tx.chunks)
	return fault.At(fault.Recorded)
}

func (tx *Tx) run(f func(*Tx) error) (err error) {
	done, err := sqlitex.ImmediateTransaction(tx.conn)
	if err != nil {
		return err
	}
	defer done(&err)
	if err := f(tx); err != nil {
		return err
	}
	return fault.At(fault.Recording)
}

func (tx *Tx) exec(q string, args ...any) error {
	return sqlitex.Execute(tx.conn, q, &sqlitex.ExecOptions{Args: args})
}

// PutResult records what a job made. The first for a key counts, unless replace says that its bytes are gone or it has expired.
// kept is the result that counts if that is another one with other trees. A replaced one with other trees takes all pointers at it along.
func (tx *Tx) PutResult(r engine.Result, replace bool) (kept *engine.Result, err error) {
	b, err := encode(r)
	if err != nil {
		return nil, err
	}
	if err := tx.exec("INSERT OR IGNORE INTO result (key, body) VALUES (?, ?)", r.Key[:], string(b)); err != nil || tx.conn.Changes() > 0 {
		return nil, err // nearly always it is new
	}
	old, found, err := findResult(tx.conn, r.Key)
	if err != nil {
		return nil, err
	}
	differs := found && !slices.EqualFunc(old.Outputs, r.Outputs, sameTree)
	switch {
	case differs && !replace:
		return &old, nil
	case found && !replace:
		return nil, nil
	case differs:
		if err := tx.exec("DELETE FROM pointer WHERE key = ?", r.Key[:]); err != nil {
			return nil, err
		}
	}
	return nil, tx.exec("INSERT OR REPLACE INTO result (key, body) VALUES (?, ?)", r.Key[:], string(b))
}

func sameTree(a, b engine.OutputResult) bool { return a.Name == b.Name && a.Tree == b.Tree }

// PutRun records an attempt that was made in a workspace.
func (tx *Tx) PutRun(workspace string, r engine.Run) error {
	target, err := tx.target(workspace, r.Label)
	if err != nil {
		return err
	}
	return put(tx, "INSERT INTO run (key, target, partition, started, build, body) VALUES (?, ?, ?, ?, ?, ?)", r, r.Key[:], target, r.Partition, r.Started.UnixMilli(), r.Build)
}

// PutVersion records a version, unless it is known.
func (tx *Tx) PutVersion(v engine.Version) error {
	target, err := tx.target(v.Workspace, v.Label)
	if err != nil {
		return err
	}
	return put(tx, `INSERT OR IGNORE INTO version (id, target, partition, sequence, body)
		VALUES (?, ?, ?, (SELECT coalesce(max(sequence), 0) + 1 FROM version), ?)`, v, v.ID[:], target, v.Partition)
}

// Point makes current name a version that was accepted under the rules of a shape. outputs are the version's, as consumers read them.
func (tx *Tx) Point(environment string, v engine.Version, shape cache.SectionDigest, outputs []engine.OutputResult) error {
	env, err := tx.environment(environment)
	if err != nil {
		return err
	}
	target, err := tx.target(v.Workspace, v.Label)
	if err != nil {
		return err
	}
	return tx.exec("INSERT OR REPLACE INTO pointer (environment, target, partition, version, key, shape, outputs) VALUES (?, ?, ?, ?, ?, ?, ?)",
		env, target, v.Partition, v.ID[:], v.Key[:], shape[:], encodeOutputs(outputs))
}

// Withdraw takes a pointer back; the versions stay.
func (tx *Tx) Withdraw(workspace, environment string, label engine.Label, partition string) error {
	return tx.exec(`DELETE FROM pointer WHERE environment = (SELECT id FROM environment WHERE name = ?)
		AND target = (SELECT id FROM target WHERE workspace = ? AND label = ?) AND partition = ?`, environment, workspace, label.String(), partition)
}

func (tx *Tx) target(workspace string, label engine.Label) (int64, error) {
	return tx.id("t\x00"+workspace+"\x00"+label.String(), "INSERT OR IGNORE INTO target (workspace, label) VALUES (?, ?)",
		"SELECT id FROM target WHERE workspace = ? AND label = ?", workspace, label.String())
}

func (tx *Tx) environment(name string) (int64, error) {
	return tx.id("e\x00"+name, "INSERT OR IGNORE INTO environment (name) VALUES (?)", "SELECT id FROM environment WHERE name = ?", name)
}

// id finds or gives the number of a name.
func (tx *Tx) id(name, insert, find string, args ...any) (int64, error) {
	if id, ok := tx.ids[name]; ok {
		return id, nil
	}
	if id, ok := tx.l.ids.get(name); ok {
		return id, nil
	}
	if err := tx.exec(insert, args...); err != nil {
		return 0, err
	}
	var id int64
	err := sqlitex.Execute(tx.conn, find, &sqlitex.ExecOptions{Args: args, ResultFunc: func(s *sqlite.Stmt) error {
		id = s.ColumnInt64(0)
		return nil
	}})
	if err == nil {
		tx.ids[name] = id
	}
	return id, err
}

// onDisk remembers what is known to be committed.
type onDisk[K comparable, V any] struct {
	mu sync.Mutex
	m  map[K]V
}

func (x *onDisk[K, V]) get(k K) (V, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	v, ok := x.m[k]
	return v, ok
}

func (x *onDisk[K, V]) add(more map[K]V) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.m == nil {
		x.m = map[K]V{}
	}
	maps.Copy(x.m, more)
}
