package run

import (
	"context"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/exec"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/sql"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// writerVersion changes when dpb's own code writes other bytes for the same SQL.
const writerVersion = "1"

// recipe is what the jobs of a target have in common, with what a job needs beyond the key.
type recipe struct {
	engine.Recipe
	toolset
}

// toolset is what was found of the tools of a target, beyond their identities.
type toolset struct {
	programs  exec.Programs
	tools     *disk.StatCache // the files that tools are made of; nil of SQL
	uncovered []string
}

// toolsets are those that were looked up in this pass, with the identities: many targets call the same programs, which take a hundred looks at files each.
type toolsets struct {
	mu    sync.Mutex
	known map[string]foundTools
}

type foundTools struct {
	toolset
	identities []engine.Tool
}

// Recipe looks up code, tools and engine of a target. It implements plan.World, as do the three methods below.
func (s *Session) Recipe(n *graph.Node) (*engine.Recipe, error) {
	t := n.Target
	r := &recipe{Recipe: engine.Recipe{Target: t}}
	switch t.Kind {
	case engine.SQL:
		if r.Engine, r.Writer = s.engineOf(t), writerVersion; r.Engine == "" {
			return nil, duckdb.ErrAbsent
		}
		for _, st := range t.SQL {
			tokens, err := sql.Canonical(st.Text)
			if err != nil {
				return nil, err
			}
			r.Tokens = append(r.Tokens, tokens)
		}
	case engine.Command:
		if err := s.lookUp(n, r); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recipes[n] = r
	return &r.Recipe, nil
}

func (s *Session) lookUp(n *graph.Node, r *recipe) (err error) {
	if r.Code, err = s.codeFiles(n); err != nil {
		return err
	}
	var instead func(string) (string, bool)
	if s.locked != nil {
		instead = func(name string) (string, bool) { return s.locked.tool(n.Target, name) }
	}
	found, err := s.toolsets.find(exec.ToolNames(n.Target), instead == nil, func() (f foundTools, err error) {
		f.tools = s.programs.Watching()
		f.identities, f.programs, f.uncovered, err = exec.Tools(n.Target, s.Root, f.tools, s.PathEnv, instead)
		return f, err
	})
	r.Tools, r.toolset = found.identities, found.toolset
	return err
}

// find takes what was found for another target, if the answer can be the same one, or looks.
func (s *toolsets) find(names string, shared bool, look func() (foundTools, error)) (foundTools, error) {
	if !shared {
		return look()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.known[names]; ok {
		return f, nil
	}
	f, err := look()
	if err == nil {
		if s.known == nil {
			s.known = map[string]foundTools{}
		}
		s.known[names] = f
	}
	return f, err
}

// forget has all be looked up anew.
func (s *toolsets) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
}

// codeFiles lists what code selects: globs in the package, and files of sources.
func (s *Session) codeFiles(n *graph.Node) ([]engine.CodeFile, error) {
	var globs []string
	for _, c := range n.Target.Code {
		if c.Glob != "" {
			globs = append(globs, c.Glob)
		}
	}
	files, err := s.files.CodeFiles(context.Background(), n.Target.Label.Pkg, globs...)
	if err != nil {
		return nil, err
	}
	for _, from := range n.CodeFrom {
		glob, err := from.Target.Path.At(nil, nil)
		if err != nil {
			return nil, err
		}
		more, err := s.files.CodeFiles(context.Background(), from.Target.Label.Pkg, glob)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	slices.SortFunc(files, func(a, b engine.CodeFile) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(files, func(a, b engine.CodeFile) bool { return a.Path == b.Path }), nil
}

// Observe looks at a source's files, once a run.
func (s *Session) Observe(n *graph.Node, i int) (cache.TreeDigest, bool, error) {
	if s.locked != nil {
		if t, ok, taken := s.locked.observed(n, i); taken {
			return t, ok, nil
		}
	}
	if t, ok := s.remembered(n, i); ok {
		return t, true, nil
	}
	return s.observe(n, n.Target.Path, i)
}

// Files looks at the files that the glob of an input matches.
func (s *Session) Files(n *graph.Node, input, i int) (cache.TreeDigest, bool, error) {
	return s.observe(n, n.Target.Inputs[input].Files, i)
}

func (s *Session) observe(n *graph.Node, glob engine.Text, i int) (cache.TreeDigest, bool, error) {
	snapshot, err := s.snapshot(n, glob, i)
	if err != nil || len(snapshot.Tree.Entries) == 0 {
		return cache.TreeDigest{}, false, err
	}
	return snapshot.Digest(), true, nil
}

func (s *Session) snapshot(n *graph.Node, glob engine.Text, i int) (source.Snapshot, error) {
	text, err := glob.At(n.Set.Partition(i), nil)
	if err != nil {
		return source.Snapshot{}, err
	}
	snapshot, err := s.files.Observe(context.Background(), n.Target.Label.Pkg, text)
	if err == nil {
		err = s.holdsFor(n, i, snapshot)
	}
	return snapshot, err
}

// Lookup finds the result of a key in the ledger.
func (s *Session) Lookup(k cache.ActionKey) (*engine.Result, bool, error) {
	if s.locked != nil {
		return s.locked.results[k], false, nil
	}
	if s.Ledger == nil {
		return nil, false, nil
	}
	r, failed, err := s.Ledger.Lookup(k)
	if r != nil && !s.accepts(r) {
		r = nil
	}
	return r, failed, err
}

// accepts says whether a result counts: one of a job of which it is not known that it was isolated does not, where only isolated ones are taken.
func (s *Session) accepts(r *engine.Result) bool {
	return s.boxes.Mode != sandbox.Require || r.Isolation == exec.Isolated || r.Isolation == exec.Connected
}

// userAndHost are recorded with versions.
func userAndHost() (name, host string) {
	host, _ = os.Hostname()
	if name = os.Getenv("USER"); name == "" {
		name = fmt.Sprintf("uid %d", os.Getuid())
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	return name, host
}
