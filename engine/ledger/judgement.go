package ledger

import (
	"fmt"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/klauspost/compress/zstd"
	"zombiezen.com/go/sqlite"
)

// PutSplit records what reject rules made of a raw tree.
func (tx *Tx) PutSplit(id cache.SectionDigest, split engine.Split) error {
	return put(tx, "INSERT OR REPLACE INTO split (id, body) VALUES (?, ?)", split, id[:])
}

// Split finds what reject rules made of a raw tree.
func (l *Ledger) Split(id cache.SectionDigest) (engine.Split, bool, error) {
	return find[engine.Split](l, "SELECT body FROM split WHERE id = ?", id[:])
}

// PutFingerprint records a fingerprint with the state that merges.
func (tx *Tx) PutFingerprint(id cache.SectionDigest, f engine.Fingerprint, state []byte) error {
	return put(tx, "INSERT OR IGNORE INTO fingerprint (id, state, body) VALUES (?, ?, ?)", f, id[:], pack(state))
}

var (
	packer, _   = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1)) // can't fail: there is nothing to write to
	unpacker, _ = zstd.NewReader(nil, zstd.WithDecoderConcurrency(0), zstd.WithDecoderMaxMemory(1<<30))
)

// pack compresses a state, which is mostly the values of columns.
func pack(state []byte) []byte { return packer.EncodeAll(state, nil) }

// Fingerprint finds a fingerprint.
func (l *Ledger) Fingerprint(id cache.SectionDigest) (engine.Fingerprint, bool, error) {
	return find[engine.Fingerprint](l, "SELECT body FROM fingerprint WHERE id = ?", id[:])
}

// FingerprintState finds what merges of a fingerprint; nil if there is none.
func (l *Ledger) FingerprintState(id cache.SectionDigest) (state []byte, err error) {
	err = l.query("SELECT state FROM fingerprint WHERE id = ?", func(s *sqlite.Stmt) (err error) {
		if state, err = unpacker.DecodeAll(columnBytes(s, 0), nil); err != nil {
			err = fmt.Errorf("damaged state of fingerprint %s: %w", id, err)
		}
		return err
	}, id[:])
	return state, err
}

// PutMetric records a metric's value; nil is null.
func (tx *Tx) PutMetric(id cache.SectionDigest, value *float64) error {
	return put(tx, "INSERT OR IGNORE INTO metric (id, body) VALUES (?, ?)", value, id[:])
}

// Metric finds a metric's value; nil is null.
func (l *Ledger) Metric(id cache.SectionDigest) (*float64, bool, error) {
	return find[*float64](l, "SELECT body FROM metric WHERE id = ?", id[:])
}

// PutJudgement records what rules said of a subject. The newest counts.
func (tx *Tx) PutJudgement(environment string, subject engine.VersionID, rules cache.SectionDigest, j engine.Judgement) error {
	env, err := tx.environment(environment)
	if err != nil {
		return err
	}
	return put(tx, "INSERT INTO judgement (environment, subject, rules, body) VALUES (?, ?, ?, ?)", j, env, subject[:], rules[:])
}

const judgements = `SELECT j.body FROM judgement j JOIN environment e ON e.id = j.environment WHERE e.name = ? AND j.subject = ?`

// Judgement finds what rules said of a subject.
func (l *Ledger) Judgement(environment string, subject engine.VersionID, rules cache.SectionDigest) (engine.Judgement, bool, error) {
	return find[engine.Judgement](l, judgements+" AND j.rules = ? ORDER BY j.id DESC LIMIT 1", environment, subject[:], rules[:])
}

// Judgements lists all that rules said of a subject, the oldest first.
func (l *Ledger) Judgements(environment string, subject engine.VersionID) ([]engine.Judgement, error) {
	return many[engine.Judgement](l, judgements+" ORDER BY j.id", environment, subject[:])
}

// LastJudgement finds the newest judgement of a subject, under whatever rules.
func (l *Ledger) LastJudgement(environment string, subject engine.VersionID) (engine.Judgement, bool, error) {
	return find[engine.Judgement](l, judgements+" ORDER BY j.id DESC LIMIT 1", environment, subject[:])
}

// JudgementOfBuild finds the newest judgement of a subject that a build made which went by that time.
func (l *Ledger) JudgementOfBuild(environment string, subject engine.VersionID, now time.Time) (engine.Judgement, bool, error) {
	all, err := many[engine.Judgement](l, judgements+" ORDER BY j.id DESC", environment, subject[:])
	for _, j := range all {
		if j.Made.Equal(now) {
			return j, true, err
		}
	}
	return engine.Judgement{}, false, err
}

// PutAcceptance records a person's word, or that it is taken back.
func (tx *Tx) PutAcceptance(workspace, environment string, a engine.Acceptance) error {
	env, err := tx.environment(environment)
	if err != nil {
		return err
	}
	target, err := tx.target(workspace, a.Label)
	if err != nil {
		return err
	}
	return put(tx, "INSERT INTO acceptance (environment, target, partition, body) VALUES (?, ?, ?, ?)", a, env, target, a.Partition)
}

// Acceptances lists what was accepted, and taken back, of an action, newest first.
func (l *Ledger) Acceptances(workspace, environment string, label engine.Label, partition string) ([]engine.Acceptance, error) {
	return many[engine.Acceptance](l, `SELECT a.body FROM acceptance a JOIN target t ON t.id = a.target JOIN environment e ON e.id = a.environment
		WHERE t.workspace = ? AND e.name = ? AND t.label = ? AND a.partition = ? ORDER BY a.id DESC`, workspace, environment, label.String(), partition)
}

// AllAcceptances lists what was accepted, and taken back, in an environment, newest first.
func (l *Ledger) AllAcceptances(workspace, environment string) ([]engine.Acceptance, error) {
	return many[engine.Acceptance](l, `SELECT a.body FROM acceptance a JOIN target t ON t.id = a.target JOIN environment e ON e.id = a.environment
		WHERE t.workspace = ? AND e.name = ? ORDER BY a.id DESC`, workspace, environment)
}

// Version finds a version by its id.
func (l *Ledger) Version(id engine.VersionID) (engine.Version, bool, error) {
	return find[engine.Version](l, "SELECT body FROM version WHERE id = ?", id[:])
}

// put encodes a record, which is the last argument of the statement.
func put[T any](tx *Tx, q string, v T, args ...any) error {
	b, err := encode(v)
	if err != nil {
		return err
	}
	return tx.exec(q, append(args, string(b))...)
}

// find is one, on a connection of the pool.
func find[T any](l *Ledger, q string, args ...any) (v T, ok bool, err error) {
	err = l.read(func(c *sqlite.Conn) (err error) {
		v, ok, err = one[T](c, q, args...)
		return err
	})
	return v, ok, err
}
