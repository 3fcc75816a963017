package run

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/plan"
)

// relocking writes the locks anew: from what this checkout built and, of what it did not, from the locks as they are.
type relocking struct {
	s       *Session
	before  *lock.Set
	here    *plan.Decider // by the store; nil if there is none
	there   *plan.Decider // by the locks alone
	locked  *Session
	pointed map[lock.Place]ledger.Current
	entries map[string][]lock.Entry // by package
}

// Relock brings the locks of all packages up to date and lists those that changed. With pretend it writes nothing. A merge conflict is resolved: of two lines about one
// partition that stays which the working tree asks for.
func (s *Session) Relock(ctx context.Context, pretend bool) (changed []string, err error) {
	r := &relocking{s: s, pointed: map[lock.Place]ledger.Current{}, entries: map[string][]lock.Entry{}}
	if r.before, err = s.locks(); err != nil {
		return nil, err
	}
	all := allActions(s.Graph)
	if err := r.look(ctx, all); err != nil {
		return nil, err
	}
	defer r.locked.Close()
	for _, n := range s.Graph.Nodes {
		if err := r.target(n); err != nil {
			return nil, err
		}
	}
	r.acceptances()
	for _, p := range s.Graph.Workspace.Packages {
		wrote, err := lock.Write(s.Root, p.Path, r.entries[p.Path], pretend)
		if err != nil {
			return changed, err
		}
		if wrote {
			changed = append(changed, strings.TrimPrefix(p.Path+"/"+lock.FileName, "/"))
		}
	}
	return changed, nil
}

// KeepLocked is Relock after a build, which a build that recorded nothing spares unless somebody else touched the locks.
func (s *Session) KeepLocked(ctx context.Context, built Summary) error {
	stamp := filepath.Join(s.checkoutDir(s.Environment), "locked")
	if before, err := os.ReadFile(stamp); err == nil && !built.Recorded && string(before) == s.lockStamp() {
		return nil
	}
	if _, err := s.Relock(ctx, false); err != nil {
		return err
	}
	return os.WriteFile(stamp, []byte(s.lockStamp()), 0o666)
}

// lockStamp tells the locks from those of another time.
func (s *Session) lockStamp() string {
	var b strings.Builder
	for _, p := range s.Graph.Workspace.Packages {
		if d, _, err := s.stat.Digest(lock.File(s.Root, p.Path)); err == nil {
			fmt.Fprintf(&b, "%s %s\n", p.Path, d)
		}
	}
	return b.String()
}

// allActions selects all actions.
func allActions(g *graph.Graph) (all []graph.Selected) {
	for _, n := range g.Nodes {
		sel := graph.Selected{Node: n}
		for i := range n.Set.Len() {
			sel.Partitions = append(sel.Partitions, i)
		}
		all = append(all, sel)
	}
	return all
}

// look decides all actions twice: by the store, and by the locks.
func (r *relocking) look(ctx context.Context, all []graph.Selected) (err error) {
	s := r.s
	if s.Ledger != nil {
		if r.here, _, err = s.Foresee(ctx, all); err != nil {
			return err
		}
		err = s.Ledger.Currents(s.Graph.Workspace.Name, s.Environment, func(c ledger.Current) error {
			r.pointed[lock.Place{Label: c.Label, Partition: c.Partition}] = c
			return nil
		})
		if err != nil {
			return err
		}
	}
	config := s.Config
	config.ReadOnly, config.FromLock, config.ResolveLock = true, true, true
	if r.locked, err = Open(config); err != nil {
		return err
	}
	r.there, _, err = r.locked.decideAll(ctx, all, false)
	return err
}

// target writes the lines of all partitions of a target.
func (r *relocking) target(n *graph.Node) error {
	pkg, label := n.Target.Label.Pkg, n.Target.Label
	recipes := map[string]bool{}
	for i := range n.Set.Len() {
		for _, e := range r.action(n, i) {
			if e.Kind == lock.Fresh || e.Kind == lock.Frozen {
				if err := r.complete(n, i, &e); err != nil {
					return err
				}
				recipes[e.Action.Parts["target"]] = true
			}
			r.entries[pkg] = append(r.entries[pkg], e)
		}
	}
	for k := range r.before.Entries {
		if e := r.before.Entries[k]; e.Label == label && e.Recipe == nil && e.Accepted == nil && (n.Set.Later(e.Partition) || n.Set.Lack() != "") {
			r.entries[pkg] = append(r.entries[pkg], e) // somebody else's clock went on, or the files that name it are not here
			recipes[e.Action.Parts["target"]] = true
		}
	}
	if isJob(n) && len(recipes) > 0 {
		if e := r.recipe(n, recipes); e != nil {
			r.entries[pkg] = append(r.entries[pkg], *e)
		}
	}
	return nil
}

// action picks what to say of an action: one line of what was accepted, and one of what is not, if there is that.
func (r *relocking) action(n *graph.Node, i int) (out []lock.Entry) {
	at := lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}
	if e := r.accepted(n, i, at); e != nil {
		out = append(out, *e)
	}
	if e := r.open(n, i, at); e != nil {
		out = append(out, *e)
	}
	return out
}

// accepted is the line of what is fresh in this checkout; else of what the locks have of the wanted key; else of what current names, and else whatever the locks have.
func (r *relocking) accepted(n *graph.Node, i int, at lock.Place) *lock.Entry {
	c, built := r.pointed[at]
	mine := func() *lock.Entry {
		kind := lock.Fresh
		if r.here.State(n, i) == engine.Frozen {
			kind = lock.Frozen
		}
		a := &lock.Action{Key: c.Key, Rules: c.Shape}
		for _, o := range c.Outputs {
			a.Outputs = append(a.Outputs, lock.Output{Name: o.Name, Tree: o.Tree, Columns: o.Columns})
		}
		return &lock.Entry{Place: at, Kind: kind, Action: a}
	}
	if built && settled(r.here.State(n, i)) {
		return mine()
	}
	lines := r.before.Of(at, lock.Fresh, lock.Frozen)
	if state := r.there.State(n, i); settled(state) {
		for _, e := range lines {
			if e.Action.Key == r.there.Key(n, i) && (state == engine.Frozen || e.Action.Rules == r.there.Rules(n, i)) {
				return e
			}
		}
	}
	switch {
	case built:
		return mine()
	case len(lines) > 0:
		return lines[0]
	}
	return nil
}

func settled(s engine.State) bool { return s == engine.Fresh || s == engine.Frozen }

// open is the line of what rules hold or refuse, by this checkout or, of what it does not know, by the locks.
func (r *relocking) open(n *graph.Node, i int, at lock.Place) *lock.Entry {
	if r.here != nil {
		switch r.here.State(n, i) {
		case engine.Held, engine.Refused:
			return openEntry(r.here, n, i, at)
		case engine.Fresh, engine.Frozen:
			return nil
		}
	}
	switch r.there.State(n, i) {
	case engine.Held, engine.Refused:
		return openEntry(r.there, n, i, at)
	}
	return nil
}

func openEntry(d *plan.Decider, n *graph.Node, i int, at lock.Place) *lock.Entry {
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	a := &lock.Action{Key: d.Key(n, i), Rules: d.Rules(n, i)}
	for _, f := range p.Failing {
		f.File, f.Line = "", 0 // lines move
		a.Findings = append(a.Findings, f)
	}
	if p.Input != nil {
		a.Input = p.Input.Name
		return &lock.Entry{Place: at, Kind: lock.Refused, Action: a}
	}
	for _, o := range plan.Visible(p.Result, p.Outputs) {
		a.Outputs = append(a.Outputs, lock.Output{Name: o.Name, Tree: o.Tree, Columns: o.Columns})
	}
	return &lock.Entry{Place: at, Kind: lock.Held, Action: a}
}

// complete adds to a line what explains it: from the line of before, if that is about the same, else from the ledger.
func (r *relocking) complete(n *graph.Node, i int, e *lock.Entry) error {
	if e.Action.Parts != nil {
		return nil
	}
	for _, old := range r.before.Of(e.Place, lock.Fresh, lock.Frozen) {
		if old.Action.Key == e.Action.Key && slices.EqualFunc(old.Action.Outputs, e.Action.Outputs, func(x, y lock.Output) bool { return x.Name == y.Name && x.Tree == y.Tree }) {
			e.Action.Parts, e.Action.Facts = old.Action.Parts, old.Action.Facts
			return nil
		}
	}
	if !isJob(n) {
		return nil
	}
	result, ok, err := r.s.result(e.Action.Key)
	if err != nil || !ok {
		return err
	}
	e.Action.Parts = map[string]string{}
	for _, p := range result.Parts {
		e.Action.Parts[p.Name] = lock.Short(p.Digest[:])
	}
	e.Action.Facts, err = r.facts(n, r.s.versionOf(n, i, e.Action.Key, versionOutputs(n, e.Action)).ID)
	return err
}

// facts are the rows and the metrics of a version, as far as they are known.
func (r *relocking) facts(n *graph.Node, id engine.VersionID) (map[string]string, error) {
	out := map[string]string{}
	for _, o := range n.Target.Outputs {
		made, ok, err := r.s.madeOf(id, n, o)
		if err != nil || !ok {
			return nil, err
		}
		facts, err := r.s.factsOf(made)
		if err != nil || facts == nil || facts.Rows < 0 {
			return nil, err
		}
		prefix := ""
		if len(n.Target.Outputs) > 1 {
			prefix = o.Name + "."
		}
		out[prefix+"rows"] = strconv.FormatInt(facts.Rows, 10)
		for name, v := range facts.Metrics {
			if v != nil {
				out[prefix+"metric."+name] = strconv.FormatFloat(*v, 'g', 9, 64)
			}
		}
	}
	return out, nil
}

// recipe is the line of a target: as it is now, if a line is about that; else as the locks have it.
func (r *relocking) recipe(n *graph.Node, used map[string]bool) *lock.Entry {
	at := lock.Place{Label: n.Target.Label}
	now := r.recipeNow(n)
	if now != nil && used[now.Recipe.Digest] {
		return now
	}
	before := r.before.Of(at, lock.Recipe)
	for _, e := range before {
		if used[e.Recipe.Digest] {
			return e
		}
	}
	if now == nil && len(before) > 0 {
		return before[0]
	}
	return now
}

func (r *relocking) recipeNow(n *graph.Node) *lock.Entry {
	d := r.here
	if d == nil {
		d = r.there
	}
	recipe, err := d.Recipe(n)
	if err != nil {
		return nil
	}
	var s engine.Section
	recipe.Describe(&s)
	digest := s.Digest()
	entries, _ := engine.DecodeSection(s.Bytes()) // what Add wrote can be read
	x := &lock.TargetRecipe{Digest: lock.Short(digest[:]), Entries: map[string]string{}, Engine: recipe.Engine}
	for _, e := range shortened(entries) {
		x.Entries[e.Name] = e.Value
	}
	for _, t := range recipe.Tools {
		if x.Tools == nil {
			x.Tools = map[string]string{}
		}
		x.Tools[t.Name] = t.Identity
	}
	return &lock.Entry{Place: lock.Place{Label: n.Target.Label}, Kind: lock.Recipe, Recipe: x}
}

// acceptances writes a line for each word that stands: said here, or elsewhere and not taken back here.
func (r *relocking) acceptances() {
	var said []engine.Acceptance
	if r.s.Ledger != nil {
		said, _ = r.s.Ledger.AllAcceptances(r.s.Graph.Workspace.Name, r.s.Environment)
	}
	for _, e := range r.before.Entries {
		if e.Accepted != nil && !slices.ContainsFunc(said, func(a engine.Acceptance) bool { return sameWord(a, *e.Accepted) }) {
			said = append(said, *e.Accepted)
		}
	}
	for _, a := range standing(said) {
		n := r.s.Graph.Node(a.Label)
		if n == nil {
			continue
		}
		if _, ok := n.Set.IndexText(a.Partition); !ok && !n.Set.Later(a.Partition) {
			continue
		}
		a.Findings = slices.Clone(a.Findings)
		for k := range a.Findings {
			a.Findings[k].File, a.Findings[k].Line = "", 0
		}
		r.entries[a.Label.Pkg] = append(r.entries[a.Label.Pkg], lock.Entry{Place: lock.Place{Label: a.Label, Partition: a.Partition}, Kind: lock.Accepted, Accepted: &a})
	}
}

// sameWord says whether two acceptances are about the same, be one of them in a lock.
func sameWord(a, b engine.Acceptance) bool {
	return a.Label == b.Label && a.Partition == b.Partition && a.Input == b.Input && a.Subject == b.Subject &&
		slices.EqualFunc(a.Findings, b.Findings, engine.Finding.Same)
}
