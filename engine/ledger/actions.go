package ledger

import (
	"fmt"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// Action is what the ledger knows of one label at one partition, in all environments.
type Action struct {
	Workspace string
	Label     engine.Label
	Partition string
	Versions  []engine.Version // newest first
	Pointers  []Pointer
}

// Pointer is what current names in one environment.
type Pointer struct {
	Environment string
	Version     engine.VersionID
}

// place is where pointers and versions are, as the tables number it.
type place struct {
	target    int64
	partition string
}

// Environments lists all that ever pointed, judged or accepted.
func (l *Ledger) Environments() (out []string, err error) {
	err = l.query("SELECT name FROM environment ORDER BY name", func(s *sqlite.Stmt) error {
		out = append(out, s.ColumnText(0))
		return nil
	})
	return out, err
}

// Actions calls f for each action that has a version. Whoever decides by it what is not needed must know of all: a record that can't be read is an error.
func (l *Ledger) Actions(f func(Action) error) error {
	pointers, err := l.pointers()
	if err != nil {
		return err
	}
	var a Action
	var at place
	end := func() error {
		if a.Versions == nil {
			return nil
		}
		a.Pointers = pointers[at]
		return f(a)
	}
	err = l.query(`SELECT v.target, v.partition, v.body, t.workspace, t.label FROM version v JOIN target t ON t.id = v.target
		ORDER BY v.target, v.partition, v.sequence DESC`, func(s *sqlite.Stmt) error {
		if here := (place{s.ColumnInt64(0), s.ColumnText(1)}); here != at {
			if err := end(); err != nil {
				return err
			}
			label, err := engine.ParseLabel(s.ColumnText(4), "")
			if err != nil {
				return err
			}
			at, a = here, Action{Workspace: s.ColumnText(3), Label: label, Partition: here.partition}
		}
		v, err := decode[engine.Version](columnBytes(s, 2))
		if err != nil {
			return fmt.Errorf("ledger: version of %s: %w; dpb fsck repairs it", a.Label.At(a.Partition), err)
		}
		a.Versions = append(a.Versions, v)
		return nil
	})
	if err != nil {
		return err
	}
	return end()
}

func (l *Ledger) pointers() (map[place][]Pointer, error) {
	out := map[place][]Pointer{}
	names := map[int64]string{}
	err := l.read(func(c *sqlite.Conn) error {
		err := sqlitex.Execute(c, "SELECT id, name FROM environment", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			names[s.ColumnInt64(0)] = s.ColumnText(1)
			return nil
		}})
		if err != nil {
			return err
		}
		return sqlitex.Execute(c, "SELECT environment, target, partition, version FROM pointer", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
			at := place{s.ColumnInt64(1), s.ColumnText(2)}
			p := Pointer{Environment: names[s.ColumnInt64(0)]}
			s.ColumnBytes(3, p.Version[:])
			out[at] = append(out[at], p)
			return nil
		}})
	})
	return out, err
}

// EachEntry calls f for the entries of a recorded section, but for those of chunks that were visited before: sections that share chunks are read once. What is not recorded
// has none.
func (l *Ledger) EachEntry(d cache.SectionDigest, visited map[cache.SectionDigest]bool, f func(engine.Entry)) error {
	if visited[d] {
		return nil
	}
	visited[d] = true
	body, chunks, err := l.sectionBody(d)
	if err == ErrNoSection {
		return nil
	}
	if err != nil {
		return err
	}
	if chunks > 0 {
		for ; len(body) >= len(d); body = body[len(d):] {
			if err := l.EachEntry(cache.SectionDigest(body[:len(d)]), visited, f); err != nil {
				return err
			}
		}
		return nil
	}
	entries, err := engine.DecodeSection(body)
	for _, e := range entries {
		f(e)
	}
	return err
}
