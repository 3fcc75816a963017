package run

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/git"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// locked answers from pipeline.lock what a checkout without a store does not know: what was accepted, what is held, and what tools and sources that are not here were.
type locked struct {
	*lock.Set
	lookOutside bool // sources outside of the repository are looked at all the same

	outside func(n *graph.Node) bool
	ignored func(path string) bool // by git

	mu      sync.Mutex
	parts   map[string]bool                    // the beginnings of the digests of which keys are made; nil until it is asked for
	taken   map[string]bool                    // what was taken from the lock although it is no result, for people
	results map[cache.ActionKey]*engine.Result // by key: of what is held and, after a merge, of what one side has
}

// locks reads the locks of the workspace, once.
func (s *Session) locks() (*lock.Set, error) {
	s.lockOnce.Do(func() {
		if s.lockSet = s.Locks; s.lockSet != nil {
			return
		}
		if s.lockSet, s.lockErr = lock.Read(s.Root, s.Graph.Workspace.Packages); s.lockErr == nil && !s.ResolveLock {
			s.lockErr = s.lockSet.Whole()
		}
	})
	return s.lockSet, s.lockErr
}

// locksOf reads the lock of one package, once.
func (s *Session) locksOf(pkg string) (*lock.Set, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lockSet != nil || s.Locks != nil {
		return s.locks()
	}
	if set := s.lockByPkg[pkg]; set != nil {
		return set, nil
	}
	set, err := lock.Read(s.Root, []*engine.Package{{Path: pkg}})
	if err == nil && !s.ResolveLock {
		err = set.Whole()
	}
	if err != nil {
		return nil, err
	}
	if s.lockByPkg == nil {
		s.lockByPkg = map[string]*lock.Set{}
	}
	s.lockByPkg[pkg] = set
	return set, nil
}

// openLocked has the session decide by the locks alone.
func (s *Session) openLocked() error {
	set, err := s.locks()
	if err != nil {
		return err
	}
	s.locked = &locked{Set: set, lookOutside: s.LookOutside, outside: s.outside(), ignored: func(path string) bool { return ignoredByGit(s.Root, path+"\x00", 1)[0] }, taken: map[string]bool{}, results: map[cache.ActionKey]*engine.Result{}}
	for k := range set.Entries {
		e := &set.Entries[k]
		seeds := e.Kind == lock.Fresh && e.Action.Observed.IsZero() && len(set.Of(e.Place, lock.Fresh)) == 1
		if e.Kind == lock.Held || e.Kind == lock.Fresh && !seeds {
			s.locked.results[e.Action.Key] = &engine.Result{Key: e.Action.Key, Outputs: outputsOf(e.Action), Observed: e.Action.Observed}
		}
	}
	return nil
}

// take notes what is taken from the lock as it is not here.
func (l *locked) take(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[text] = true
}

// has says whether the locks know of a key with this part. Of two parts whose digests begin alike it can't tell which.
func (l *locked) has(d cache.SectionDigest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.parts == nil {
		l.parts = map[string]bool{}
		for _, e := range l.Entries {
			if e.Action == nil {
				continue
			}
			for _, part := range e.Action.Parts {
				l.parts[part] = true
			}
		}
	}
	return l.parts[lock.Short(d[:])]
}

// TakenFromLock says what was not here, and stands for what the locks say of it.
func (s *Session) TakenFromLock() (out []string) {
	if s.locked == nil {
		return nil
	}
	for text := range s.locked.taken {
		out = append(out, text)
	}
	slices.Sort(out)
	return out
}

// outside says which sources the repository does not hold: those that lie elsewhere, and those that git ignores.
func (s *Session) outside() func(*graph.Node) bool {
	elsewhere := map[*graph.Node]bool{}
	var inside []*graph.Node
	var paths strings.Builder
	for _, n := range s.Graph.Nodes {
		if isJob(n) || n.Set.Len() == 0 {
			continue
		}
		glob, err := n.Target.Path.At(n.Set.Partition(0), nil)
		if err != nil {
			continue
		}
		rel := path.Join(n.Target.Label.Pkg, glob)
		if path.IsAbs(glob) {
			below, err := filepath.Rel(s.Root, glob)
			if rel = filepath.ToSlash(below); err != nil {
				rel = ".."
			}
		}
		if elsewhere[n] = !filepath.IsLocal(rel); !elsewhere[n] {
			inside = append(inside, n)
			paths.WriteString(rel + "\x00")
		}
	}
	for k, ignored := range ignoredByGit(s.Root, paths.String(), len(inside)) {
		elsewhere[inside[k]] = ignored && !s.tracked(inside[k])
	}
	return func(n *graph.Node) bool { return elsewhere[n] }
}

// ignoredByGit asks which of some paths, each ended by a NUL byte, git ignores. Where there is no git, or no repository, it ignores none.
func ignoredByGit(root, paths string, count int) []bool {
	out := make([]bool, count)
	if count == 0 {
		return out
	}
	cmd := git.Command(context.Background(), root, "check-ignore", "--no-index", "-z", "--stdin", "--verbose", "--non-matching")
	cmd.Stdin = strings.NewReader(paths)
	text, _ := cmd.Output() // its exit code says whether there is any
	for k, fields := 0, strings.Split(string(text), "\x00"); k < count && len(fields) >= 4; k, fields = k+1, fields[4:] {
		out[k] = fields[2] != "" && !strings.HasPrefix(fields[2], "!") // the pattern that decides
	}
	return out
}

// tracked says whether git has files where a source that it ignores lies: they were added all the same.
func (s *Session) tracked(n *graph.Node) bool {
	glob, _ := n.Target.Path.At(n.Set.Partition(0), nil)
	out, err := git.Command(context.Background(), filepath.Join(s.Root, filepath.FromSlash(n.Target.Label.Pkg)), "ls-files", "-z", "--", ":(glob)"+glob).Output()
	return err == nil && len(out) > 0
}

// observed is the tree of a source that lies outside, as the lock has it; false if it is to be looked at.
func (l *locked) observed(n *graph.Node, i int) (t cache.TreeDigest, there, taken bool) {
	if l.lookOutside || !l.outside(n) {
		return t, false, false
	}
	l.take(n.Target.Label.String() + ", which lies outside of the repository (--observe looks at it)")
	at := lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}
	if len(l.Of(at, lock.Absent)) > 0 {
		return t, false, true
	}
	for _, e := range slices.Concat(l.Of(at, lock.Held), l.Of(at, lock.Fresh)) { // what is held was seen after what was accepted
		name := n.Target.Outputs[0].Name
		for _, want := range []string{plan.RawName(name), name} {
			for _, o := range e.Action.Outputs {
				if o.Name == want {
					return o.Tree, true, true
				}
			}
		}
	}
	return t, false, true
}

// tool is the identity of a program as the lock has it.
func (l *locked) tool(t *engine.Target, name string) (string, bool) {
	if strings.HasSuffix(name, "/") && !path.IsAbs(name) && !l.ignored(path.Join(t.Label.Pkg, name)+"/") {
		return "", false // a folder of the repository that is not there was taken away
	}
	for _, e := range l.Of(lock.Place{Label: t.Label}, lock.Recipe) {
		if id, ok := e.Recipe.Tools[name]; ok {
			l.take("the program " + name + " of " + t.Label.String())
			return id, true
		}
	}
	return "", false
}

// engine is the version of the SQL engine that made a target.
func (s *Session) engineOf(t *engine.Target) string {
	if v := duckdb.Version(); v != "" || s.locked == nil {
		return v
	}
	for _, e := range s.locked.Of(lock.Place{Label: t.Label}, lock.Recipe) {
		if e.Recipe.Engine != "" {
			s.locked.take("the SQL engine")
			return e.Recipe.Engine
		}
	}
	return ""
}

// seedLocked is seed, from the locks.
func (s *Session) seedLocked(d *plan.Decider) {
	for k := range s.locked.Entries {
		e := &s.locked.Entries[k]
		if e.Kind != lock.Fresh {
			continue
		}
		n := s.Graph.Node(e.Label)
		if n == nil || !d.Prepared(n) {
			continue
		}
		i, ok := n.Set.IndexText(e.Partition)
		if !ok {
			continue
		}
		p := &s.current[n.Index]
		p.prepare(n)
		p.version[i], p.key[i], p.rules[i] = s.versionOf(n, i, e.Action.Key, versionOutputs(n, e.Action)).ID, e.Action.Key, e.Action.Rules
		if n.Target.Freeze.Reached(n.Set.End(i), s.Now) {
			d.Freeze(n, i, e.Action.Key, e.Action.Rules, outputsOf(e.Action), nil)
			continue
		}
		d.Seed(n, i, e.Action.Key, e.Action.Rules, outputsOf(e.Action))
	}
}

// outputsOf are the outputs of a locked action as consumers read them.
func outputsOf(a *lock.Action) (out []engine.OutputResult) {
	for _, o := range a.Outputs {
		out = append(out, engine.OutputResult{Name: o.Name, Tree: o.Tree, Rows: -1, Columns: o.Columns})
	}
	return out
}

// versionOutputs are the outputs of a locked action as its version has them.
func versionOutputs(n *graph.Node, a *lock.Action) (out []engine.VersionOutput) {
	trees := map[string]cache.TreeDigest{}
	for _, o := range a.Outputs {
		trees[o.Name] = o.Tree
	}
	for _, o := range n.Target.Outputs {
		v := engine.VersionOutput{Name: o.Name, Raw: trees[o.Name], Visible: trees[o.Name], Quarantine: trees[plan.QuarantineName(o.Name)]}
		if raw, ok := trees[plan.RawName(o.Name)]; ok {
			v.Raw = raw
		}
		out = append(out, v)
	}
	return out
}

// judgeLocked is Judge, from the locks: of what was not accepted only what is held is known.
func (s *Session) judgeLocked(n *graph.Node, i int, r *engine.Result, rules cache.SectionDigest) (plan.Verdict, error) {
	for _, e := range s.locked.Of(lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}, lock.Fresh, lock.Held) {
		if e.Action.Key != r.Key || e.Action.Rules != rules {
			continue
		}
		if e.Kind != lock.Held {
			return plan.Verdict{State: engine.Fresh, Outputs: versionOutputs(n, e.Action)}, nil
		}
		v := plan.Verdict{State: engine.Held, Outputs: versionOutputs(n, e.Action), Failing: e.Action.Findings}
		accepted, err := s.accepted(n.Target.Label, n.Set.Text(i), "", engine.ContentOf(v.Outputs), v.Failing)
		if accepted {
			v.State = engine.Stale // a build goes on from there
		}
		return v, err
	}
	v := plan.Verdict{State: engine.Stale}
	outputs, split, err := s.splits(n, i, r)
	if split {
		v.Outputs = outputs
		if !isJudged(n.Target) {
			v.State = engine.Fresh
		}
	}
	return v, err
}

// admitLocked is Admit, from the locks: an input passes unless it is known to be refused.
func (s *Session) admitLocked(d *plan.Decider, n *graph.Node, input, i int, b *plan.Binding) (plan.Verdict, error) {
	name := n.Target.Inputs[input].Name
	for _, e := range s.locked.Of(lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}, lock.Refused) {
		if e.Action.Input != name || e.Action.Key != d.Key(n, i) || e.Action.Rules != d.Rules(n, i) {
			continue
		}
		v := plan.Verdict{State: engine.Refused, Failing: e.Action.Findings}
		accepted, err := s.accepted(n.Target.Label, n.Set.Text(i), name, engine.InputContent(b.Parts), v.Failing)
		if accepted {
			v.State = engine.Fresh
		}
		return v, err
	}
	return plan.Verdict{State: engine.Fresh}, nil
}

// words lists what people said of an action, newest first: here and, by pipeline.lock, elsewhere.
func (s *Session) words(workspace, environment string, label engine.Label, partition string) (list []engine.Acceptance, err error) {
	if s.Ledger != nil {
		if list, err = s.Ledger.Acceptances(workspace, environment, label, partition); err != nil {
			return nil, err
		}
	}
	set, err := s.locksOf(label.Pkg)
	if err != nil {
		return nil, err
	}
	for _, e := range set.Of(lock.Place{Label: label, Partition: partition}, lock.Accepted) {
		list = withWord(list, *e.Accepted)
	}
	return list, nil
}

// allWords is words of all actions.
func (s *Session) allWords() (list []engine.Acceptance, err error) {
	if s.Ledger != nil {
		if list, err = s.Ledger.AllAcceptances(s.Graph.Workspace.Name, s.Environment); err != nil {
			return nil, err
		}
	}
	set, err := s.locks()
	if err != nil {
		return nil, err
	}
	for _, e := range set.Entries {
		if e.Accepted != nil {
			list = withWord(list, *e.Accepted)
		}
	}
	return list, nil
}

// withWord adds what was said elsewhere to a list that is newest first, unless it is there. What was said here stays in its order.
func withWord(list []engine.Acceptance, a engine.Acceptance) []engine.Acceptance {
	if slices.ContainsFunc(list, func(b engine.Acceptance) bool {
		return sameWord(a, b) && a.Revoked == b.Revoked && a.Time.Equal(b.Time)
	}) {
		return list
	}
	at := slices.IndexFunc(list, func(b engine.Acceptance) bool { return b.Time.Before(a.Time) })
	if at < 0 {
		at = len(list)
	}
	return slices.Insert(slices.Clone(list), at, a)
}

// lockedChanges says what differs between what is wanted and what the lock has: which parts of the key and, of the part that all partitions share, which entries.
func (s *Session) lockedChanges(d *plan.Decider, n *graph.Node, i int) ([]Change, error) {
	wanted, err := wantedSections(d, n, i)
	if err != nil {
		return nil, err
	}
	return s.sinceLocked(n, i, wanted, true), nil
}

// sinceLocked compares the parts of a wanted key with those that the lock has, which may be all of them.
func (s *Session) sinceLocked(n *graph.Node, i int, wanted []section, all bool) (out []Change) {
	entries := s.locked.Of(lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}, lock.Fresh)
	if len(entries) == 0 {
		return nil
	}
	parts := entries[0].Action.Parts
	for _, w := range wanted {
		was, now := parts[w.part.Name], lock.Short(w.part.Digest[:])
		if was == now {
			continue
		}
		if w.part.Name == "target" {
			if more := s.lockedEntries(n.Target.Label, was, w); more != nil {
				out = append(out, more...)
				continue
			}
		}
		out = append(out, Change{Part: w.part.Name, Name: wholePart(w.part.Name), Old: was, New: now})
	}
	for name, was := range parts {
		if all && !slices.ContainsFunc(wanted, func(w section) bool { return w.part.Name == name }) {
			out = append(out, Change{Part: name, Name: wholePart(name), Old: was})
		}
	}
	slices.SortStableFunc(out, func(a, b Change) int { return strings.Compare(a.Part, b.Part) })
	return out
}

// wholePart is the name of a change of which only the part is known, as Change.String writes it.
func wholePart(part string) string {
	if strings.HasPrefix(part, "input ") {
		return "@"
	}
	return part
}

// lockedEntries compares the entries of a target's part with those that the lock has of it; nil if it has them of another time.
func (s *Session) lockedEntries(label engine.Label, digest string, wanted section) (out []Change) {
	for _, e := range s.locked.Of(lock.Place{Label: label}, lock.Recipe) {
		if e.Recipe.Digest != digest {
			continue
		}
		var before section
		for name, value := range e.Recipe.Entries {
			before.entries = append(before.entries, engine.Entry{Name: name, Value: value})
		}
		slices.SortFunc(before.entries, func(a, b engine.Entry) int { return strings.Compare(a.Name, b.Name) })
		return compareSection(before, section{part: wanted.part, entries: shortened(wanted.entries)})
	}
	return nil
}

// shortened joins the entries of one name and writes the beginnings of digests in the place of values.
func shortened(entries []engine.Entry) (out []engine.Entry) {
	for _, e := range joined(entries) {
		d := cache.Sum([]byte(e.Value))
		out = append(out, engine.Entry{Name: e.Name, Value: lock.Short(d[:])})
	}
	return out
}
