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
	frozen  frozen // in this checkout
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
	if err := r.acceptances(); err != nil {
		return nil, err
	}
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

// KeepLocked is Relock after a build, spared where nothing was recorded since the last time, all is in order, and nobody touched the locks.
func (s *Session) KeepLocked(ctx context.Context, built Summary) (changed []string, err error) {
	stamp := filepath.Join(s.checkoutDir(s.Environment), "locked")
	now, err := s.lockStamp()
	if err != nil {
		return nil, err
	}
	if before, err := os.ReadFile(stamp); err == nil && string(before) == now && built.Failures == nil {
		return nil, nil
	}
	if changed, err = s.Relock(ctx, false); err != nil {
		return nil, err
	}
	if now, err = s.lockStamp(); err != nil {
		return changed, err
	}
	return changed, os.WriteFile(stamp, []byte(now), 0o666)
}

// lockStamp tells the locks, and what they were made from, from those of another time: builds that recorded nothing have no number.
func (s *Session) lockStamp() (string, error) {
	var b strings.Builder
	last, err := s.Ledger.LastBuild()
	fmt.Fprintf(&b, "build %d\n", last)
	for _, p := range s.Graph.Workspace.Packages {
		if d, _, err := s.stat.Digest(lock.File(s.Root, p.Path)); err == nil {
			fmt.Fprintf(&b, "%s %s\n", p.Path, d)
		}
	}
	return b.String(), err
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
	if err := r.closedTwice(); err != nil {
		return err
	}
	if r.frozen, err = s.frozen(nil); err != nil {
		return err
	}
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
	config.ReadOnly, config.FromLock, config.ResolveLock, config.Locks = true, true, true, r.before
	if r.locked, err = Open(config); err != nil {
		return err
	}
	r.there, _, err = r.locked.decideAll(ctx, all, false)
	return err
}

// closedTwice refuses a merge of which both sides froze a partition, with other content: only people know which of them was acted upon.
func (r *relocking) closedTwice() error {
	for _, n := range r.s.Graph.Nodes {
		for i := range n.Set.Len() {
			if !n.Target.Freeze.Reached(n.Set.End(i), r.s.Now) {
				continue
			}
			at := lock.Place{Label: n.Target.Label, Partition: n.Set.Text(i)}
			if lines := r.before.Of(at, lock.Fresh); len(lines) > 1 && !sameTrees(lines[0].Action, lines[1].Action) {
				return &lock.Error{File: lock.File(r.s.Root, n.Target.Label.Pkg), Err: fmt.Errorf("both sides of the merge closed %s, with other content: take one of its two lines away", at)}
			}
		}
	}
	return nil
}

func sameTrees(a, b *lock.Action) bool {
	return slices.EqualFunc(a.Outputs, b.Outputs, func(x, y lock.Output) bool { return x.Name == y.Name && x.Tree == y.Tree })
}

// target writes the lines of all partitions of a target.
func (r *relocking) target(n *graph.Node) error {
	pkg, label := n.Target.Label.Pkg, n.Target.Label
	recipes := map[string]bool{}
	for i := range n.Set.Len() {
		for _, e := range r.action(n, i) {
			if e.Kind == lock.Fresh {
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
	if isJob(n) && len(recipes) > 0 || n.Target.HasRules() {
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
	if out == nil || r.missing(n, i) {
		out = append(out, lock.Entry{Place: at, Kind: lock.Absent, Action: &lock.Action{}})
	}
	return out
}

// missing says whether a source has no files, be that what the locks say of one that is not here.
func (r *relocking) missing(n *graph.Node, i int) bool {
	d := r.here
	if d == nil {
		d = r.there
	}
	return !isJob(n) && d.State(n, i) == engine.MissingState
}

// accepted is the line of what is fresh in this checkout; else of what the locks have of the wanted key; else of what current names, and else whatever the locks have.
func (r *relocking) accepted(n *graph.Node, i int, at lock.Place) *lock.Entry {
	c, built := r.pointed[at]
	mine := func() *lock.Entry {
		return &lock.Entry{Place: at, Kind: lock.Fresh, Action: &lock.Action{Key: c.Key, Rules: c.Shape, Outputs: lockedOutputs(c.Outputs)}}
	}
	if built && settled(r.here.State(n, i)) && c.Key == r.here.Key(n, i) { // else no build has made it current yet
		if e := r.frozen.instead(n, i); e != nil {
			return e
		}
		return mine()
	}
	lines := r.before.Of(at, lock.Fresh)
	if r.here != nil && (r.here.State(n, i) == engine.Held || r.here.State(n, i) == engine.Refused) { // it was accepted once, and is not any more
		lines = slices.DeleteFunc(lines, func(e *lock.Entry) bool { return e.Action.Key == r.here.Key(n, i) })
	}
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
	a.Outputs = lockedOutputs(plan.Visible(p.Result, p.Outputs))
	return &lock.Entry{Place: at, Kind: lock.Held, Action: a}
}

// complete adds to a line what explains it: from the line of before, if that is about the same, else from the ledger.
func (r *relocking) complete(n *graph.Node, i int, e *lock.Entry) error {
	if e.Action.Parts != nil {
		return nil
	}
	for _, old := range r.before.Of(e.Place, lock.Fresh) {
		if old.Action.Key == e.Action.Key && old.Action.Rules == e.Action.Rules && sameTrees(old.Action, e.Action) {
			e.Action.Parts, e.Action.Facts, e.Action.Observed = old.Action.Parts, old.Action.Facts, old.Action.Observed
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
	if n.Target.ValidFor > 0 {
		e.Action.Observed = result.Observed.UTC()
	}
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
	if !isJob(n) { // rules that the SQL engine computes
		return &lock.Entry{Place: lock.Place{Label: n.Target.Label}, Kind: lock.Recipe, Recipe: &lock.TargetRecipe{Engine: r.s.engineOf(n.Target)}}
	}
	recipe, err := d.Recipe(n)
	if err != nil {
		return nil
	}
	var s engine.Section
	recipe.Describe(&s)
	digest := s.Digest()
	entries, _ := engine.DecodeSection(s.Bytes()) // what Add wrote can be read
	x := &lock.TargetRecipe{Digest: lock.Short(digest[:]), Entries: map[string]string{}, Engine: r.s.engineOf(n.Target)}
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

// acceptances writes a line for each word that stands, and for each newest one that takes back what was said before: to be silent would bring that back with a merge.
func (r *relocking) acceptances() error {
	said, err := r.s.allWords()
	if err != nil {
		return err
	}
	for _, a := range lastWords(said) {
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
	return nil
}

// lastWords are the acceptances that stand, and the revocations that nothing newer is said after.
func lastWords(list []engine.Acceptance) (out []engine.Acceptance) {
	out = standing(list)
	seen := map[string]bool{}
	for _, a := range list {
		if about := aboutOf(a); !seen[about] {
			seen[about] = true
			if a.Revoked {
				out = append(out, a)
			}
		}
	}
	return out
}

// sameWord says whether two acceptances are about the same, be one of them in a lock.
func sameWord(a, b engine.Acceptance) bool {
	return a.Label == b.Label && a.Partition == b.Partition && a.Input == b.Input && a.Subject == b.Subject &&
		slices.EqualFunc(a.Findings, b.Findings, engine.Finding.Same)
}
