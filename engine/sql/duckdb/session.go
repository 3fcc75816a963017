//go:build cgo && !noduckdb && ((linux && (amd64 || arm64)) || (darwin && (amd64 || arm64)) || (windows && amd64))

package duckdb

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	driver "github.com/duckdb/duckdb-go/v2"
	"github.com/duckdb/duckdb-go/v2/mapping"

	dpbsql "github.com/dpb-build/dpb/engine/sql"
)

// Version is the engine's version, as it enters keys.
func Version() string { return mapping.LibraryVersion() }

// session is one in-memory instance with one connection.
type session struct {
	db    *sql.DB
	conn  *sql.Conn
	names map[string]string   // what messages call a file instead of its path
	typed map[string][]string // calls that find the line of what is wrong in an input

	scratch    int64 // how many bytes it may use as scratch
	littleRoom bool  // the disk is what limits scratch

	sequential bool // CSV is read from one end to the other: there is some that the engine can't read otherwise
}

// open starts an instance that can load nothing and reads and writes only the files that it is told of afterwards.
func open(ctx context.Context) (*session, error) {
	connector, err := driver.NewConnector("", nil)
	if err != nil {
		return nil, fmt.Errorf("starting DuckDB: %w", err)
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("starting DuckDB: %w", err)
	}
	s := &session{db: db, conn: conn, names: map[string]string{}, typed: map[string][]string{}}
	err = s.exec(ctx, "SET errors_as_json=true", "SET autoinstall_known_extensions=false", "SET autoload_known_extensions=false",
		"SET allow_community_extensions=false", "SET TimeZone='UTC'", "SET preserve_insertion_order=true")
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	s.conn.Close()
	s.db.Close()
}

// confine takes away the file system but for the files given and the folder that the engine spills to. A file may be both read and written: that it
// is only read is for the gate to see to.
func (s *session) confine(ctx context.Context, files []string) error {
	return s.exec(ctx, "SET allowed_paths=["+quoteAll(files)+"]", "SET enable_external_access=false")
}

func (s *session) lock(ctx context.Context) error { return s.exec(ctx, "SET lock_configuration=true") }

func (s *session) exec(ctx context.Context, statements ...string) error {
	for _, text := range statements {
		if _, err := s.conn.ExecContext(ctx, text); err != nil {
			return s.failure(ctx, err)
		}
	}
	return nil
}

// texts runs a query and returns its rows as texts; NULL is "".
func (s *session) texts(ctx context.Context, query string, args ...any) ([][]string, error) {
	rows, err := s.conn.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, s.failure(ctx, err)
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out [][]string
	for rows.Next() {
		values := make([]sql.NullString, len(columns))
		into := make([]any, len(columns))
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make([]string, len(columns))
		for i, v := range values {
			row[i] = v.String
		}
		out = append(out, row)
	}
	if err := rows.Err(); err != nil {
		return nil, s.failure(ctx, err)
	}
	return out, nil
}

// plan is what the gate asks of the engine: the trees of statements and the catalog of functions. No data is near it.
type plan struct {
	mu        sync.Mutex // the session has one connection
	session   *session
	serialize *sql.Stmt // of the session; prepared when first needed
	waiting   waiting   // for trees
	functions map[string]dpbsql.Function
	made      made
	ask       func(text string) ([]byte, error) // for trees, where there is no session
}

// planner is the plan of this process: the one that it was given, or its own.
func planner() (*plan, error) {
	if p := given.Load(); p != nil {
		return p, nil
	}
	return ownPlan()
}

var given atomic.Pointer[plan]

// Catalog lists what the engine can do, as the gate wants to know it.
type Catalog struct {
	Functions  map[string]dpbsql.Function
	Ties, Huge map[string]bool
}

// PlanCatalog is the catalog of this process's engine.
func PlanCatalog() (Catalog, error) {
	p, err := planner()
	if err != nil {
		return Catalog{}, err
	}
	return Catalog{p.functions, p.made.ties, p.made.huge}, nil
}

// PlanTree is the syntax tree of a statement, as JSON.
func PlanTree(ctx context.Context, text string) ([]byte, error) {
	p, err := planner()
	if err != nil {
		return nil, err
	}
	return p.tree(ctx, text)
}

// UsePlan gives this process the catalog of another one, which it also asks for trees: it takes an engine several times as long to start and to tell what it can do as many a
// statement to run.
func UsePlan(c Catalog, tree func(text string) ([]byte, error)) {
	given.Store(&plan{functions: c.Functions, made: made{c.Ties, c.Huge}, ask: tree})
}

// ownPlan is one instance for the whole process, started when first needed.
var ownPlan = sync.OnceValues(func() (*plan, error) {
	ctx := context.Background()
	s, err := open(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.exec(ctx, "SET temp_directory=''", "SET threads=1", "SET enable_external_access=false"); err != nil {
		s.close()
		return nil, err
	}
	p := &plan{session: s}
	if err := p.load(ctx); err != nil {
		s.close()
		return nil, err
	}
	return p, s.lock(ctx)
})

func (p *plan) load(ctx context.Context) error {
	rows, err := p.session.texts(ctx, `SELECT lower(function_name), function_type, coalesce(stability, 'CONSISTENT'), coalesce(macro_definition, '')
		FROM duckdb_functions() WHERE function_type <> 'pragma'`)
	if err != nil {
		return err
	}
	p.functions = map[string]dpbsql.Function{}
	for _, r := range rows {
		f := p.functions[r[0]]
		if strings.HasPrefix(r[1], "table") {
			f.Table = true
		} else {
			f.Scalar = true
			f.Aggregate = f.Aggregate || r[1] == "aggregate"
			f.Unstable = f.Unstable || r[2] != "CONSISTENT"
			f.Calls = append(f.Calls, words(r[3])...)
		}
		p.functions[r[0]] = f
	}
	closeCalls(p.functions)
	return p.loadMakers(ctx)
}

// overLists call an aggregate over one list, whose order is given.
var overLists = []string{"list_aggr", "list_aggregate", "array_aggr", "array_aggregate", "aggregate"}

// closeCalls adds to the names in a macro's definition those in the macros that it calls, and so on. It stops at aggregates over one list.
func closeCalls(functions map[string]dpbsql.Function) {
	stops := func(name string) bool {
		isOver := func(c string) bool { return slices.Contains(overLists, c) }
		return isOver(name) || slices.ContainsFunc(functions[name].Calls, isOver)
	}
	for more := true; more; {
		more = false
		for _, name := range slices.Sorted(maps.Keys(functions)) {
			f := functions[name]
			for i := 0; i < len(f.Calls); i++ {
				if c := f.Calls[i]; c == name || stops(c) {
					continue
				}
				for _, called := range functions[f.Calls[i]].Calls {
					if !slices.Contains(f.Calls, called) {
						f.Calls = append(f.Calls, called)
						more = true
					}
				}
			}
			functions[name] = f
		}
	}
}

// words are the names in a macro's definition.
func words(definition string) []string {
	tokens, _ := dpbsql.Tokens(definition)
	var out []string
	for _, t := range tokens {
		if t.Kind == dpbsql.Word || t.Kind == dpbsql.Quoted || t.Kind == dpbsql.String {
			out = append(out, strings.ToLower(strings.Trim(t.Text, `"'`)))
		}
	}
	return out
}

// quote writes a text literal.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func quoteAll(texts []string) string {
	var b strings.Builder
	for i, s := range texts {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(quote(s))
	}
	return b.String()
}

// name writes an identifier.
func name(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }
