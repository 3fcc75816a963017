package run

import (
	"bytes"
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// checkers wait for the engine together, which answers all that wait at once.
const checkers = 200

// CheckSQL asks the engine, if there is one, whether the statements, metrics and rejects of targets read what they may and nothing else. What is known to be right is not asked about again.
func CheckSQL(ctx context.Context, targets []*engine.Target, known *CheckedSQL) []engine.Problem {
	if duckdb.Version() == "" {
		return nil
	}
	found := make([][]engine.Problem, len(targets))
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(len(targets), checkers) {
		all.Go(func() {
			for k := next.Add(1) - 1; k < int64(len(targets)); k = next.Add(1) - 1 {
				found[k] = known.check(ctx, targets[k])
			}
		})
	}
	all.Wait()
	return engine.SortProblems(slices.Concat(found...))
}

func checkSQL(ctx context.Context, t *engine.Target) (problems []engine.Problem) {
	var inputs []string
	for _, in := range t.Inputs {
		inputs = append(inputs, in.Name)
	}
	if t.Kind == engine.SQL {
		problems = duckdb.Check(ctx, t.SQL, inputs, t.PartitionBy)
	}
	for _, o := range t.Outputs {
		for _, m := range o.Metrics {
			if m.SQL != "" {
				problems = append(problems, duckdb.CheckMetric(ctx, m, append([]string{o.Name}, inputs...), t.PartitionBy)...)
			}
		}
		for _, r := range o.Rejects {
			if r.Where != "" {
				problems = append(problems, duckdb.CheckReject(ctx, r, o.Name, t.PartitionBy)...)
			}
		}
	}
	return problems
}

// describeSQL writes all that checkSQL looks at, but for places in files; nothing if there is no SQL.
func describeSQL(s *engine.Section, t *engine.Target) {
	if t.Kind == engine.SQL {
		for _, st := range t.SQL {
			s.Add("statement "+st.Output, st.Text)
		}
	}
	for _, o := range t.Outputs {
		for _, m := range o.Metrics {
			if m.SQL != "" {
				s.Add("metric of "+o.Name, m.Name)
				s.Add("sql", m.SQL)
			}
		}
		for _, r := range o.Rejects {
			if r.Where != "" {
				s.Add("reject of "+o.Name, r.Name)
				s.Add("where", r.Where)
			}
		}
	}
	if len(s.Bytes()) == 0 {
		return
	}
	for _, in := range t.Inputs {
		s.Add("input", in.Name)
	}
	for _, name := range t.PartitionBy {
		s.Add("partition", name)
	}
}

const checkedMagic = "dpb checked 1\n"

// CheckedSQL remembers between processes of which targets the SQL was checked and nothing was wrong with it, not even worth a warning. It is safe for concurrent use.
type CheckedSQL struct {
	file   string
	header string // dpb and the engine: another one may find something

	known map[cache.SectionDigest]bool // in the file
	mu    sync.Mutex
	good  map[cache.SectionDigest]bool // of what was asked for
}

// OpenCheckedSQL reads what an earlier process left. The program identifies the dpb that runs; without it nothing is known, and nothing left.
func OpenCheckedSQL(file, program string) *CheckedSQL {
	if program == "" || file == "" {
		return nil
	}
	var s engine.Section
	s.Add("program", program)
	s.Add("engine", duckdb.Version())
	header := s.Digest()
	c := &CheckedSQL{file: file, header: checkedMagic + string(header[:]), known: map[cache.SectionDigest]bool{}, good: map[cache.SectionDigest]bool{}}
	b, err := os.ReadFile(file)
	if body, ok := disk.Unseal(c.header, b); err == nil && ok && len(body)%len(header) == 0 {
		for digest := range slices.Chunk(body, len(header)) {
			c.known[cache.SectionDigest(digest)] = true
		}
	}
	return c
}

func (c *CheckedSQL) check(ctx context.Context, t *engine.Target) []engine.Problem {
	var s engine.Section
	if describeSQL(&s, t); len(s.Bytes()) == 0 {
		return nil
	}
	if c == nil {
		return checkSQL(ctx, t)
	}
	digest := s.Digest()
	if !c.known[digest] {
		if problems := checkSQL(ctx, t); len(problems) > 0 {
			return problems
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.good[digest] = true
	return nil
}

// Save writes for the next process which of what was asked for is right, if that is anything new and the folder is there.
func (c *CheckedSQL) Save() error {
	if c == nil || maps.Equal(c.good, c.known) {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(c.file)); err != nil {
		return nil
	}
	var b []byte
	for _, digest := range slices.SortedFunc(maps.Keys(c.good), func(x, y cache.SectionDigest) int { return bytes.Compare(x[:], y[:]) }) {
		b = append(b, digest[:]...)
	}
	return disk.WriteFile(c.file, disk.Seal(c.header, b))
}
