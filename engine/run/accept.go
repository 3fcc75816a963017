package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
)

// ErrNothingHeld says that there is nothing to accept, or to take back.
var ErrNothingHeld = errors.New("nothing to accept")

// AcceptVersion records that a person takes a held version for good. The next build goes on from there.
func (s *Session) AcceptVersion(ctx context.Context, v engine.Version, reason string) (engine.Acceptance, error) {
	at := v.Label.At(v.Partition) + "#" + v.ID.Short()
	j, _, err := s.judgementOf(v.Label, v.ID)
	switch {
	case err != nil:
		return engine.Acceptance{}, err
	case j == nil:
		return engine.Acceptance{}, fmt.Errorf("%s was not judged in this checkout: %w", at, ErrNothingHeld)
	case len(j.Failing()) == 0:
		return engine.Acceptance{}, fmt.Errorf("no rule holds %s: %w", at, ErrNothingHeld)
	}
	if slices.ContainsFunc(j.Failing(), func(f engine.Finding) bool { return f.Broken }) {
		return engine.Acceptance{}, fmt.Errorf("a rule on %s can't be applied, which says nothing of the data: mend the rule: %w", at, ErrNothingHeld)
	}
	content := engine.ContentOf(v.Outputs)
	if already, err := s.accepted(v.Label, v.Partition, "", content, j.Failing()); err != nil || already {
		return engine.Acceptance{}, cmp.Or(err, fmt.Errorf("%s is accepted already: %w", at, ErrNothingHeld))
	}
	return s.accept(ctx, engine.Acceptance{Label: v.Label, Partition: v.Partition, Subject: content, Version: v.ID, Findings: j.Failing(), Reason: reason})
}

// AcceptInput records that a person takes for good what an input brings and its rules refuse. d comes from Status.
func (s *Session) AcceptInput(ctx context.Context, d *plan.Decider, n *graph.Node, i int, input, reason string) (engine.Acceptance, error) {
	at := n.Target.Label.At(n.Set.Text(i))
	k := slices.IndexFunc(n.Target.Inputs, func(in *engine.Input) bool { return in.Name == input })
	if k < 0 {
		return engine.Acceptance{}, fmt.Errorf("%s has no input %q: %w", at, input, ErrNothingHeld)
	}
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	if d.State(n, i) != engine.Refused || p.Input != n.Target.Inputs[k] {
		return engine.Acceptance{}, fmt.Errorf("%s does not refuse input %s, it is %s: %w", at, input, d.State(n, i), ErrNothingHeld)
	}
	bindings, err := d.Worker().Bindings(n, i)
	if err != nil {
		return engine.Acceptance{}, err
	}
	return s.accept(ctx, engine.Acceptance{Label: n.Target.Label, Partition: n.Set.Text(i), Input: input, Subject: engine.InputContent(bindings[k].Parts),
		Findings: p.Failing, Reason: reason})
}

func (s *Session) accept(ctx context.Context, a engine.Acceptance) (engine.Acceptance, error) {
	a.By, a.Time = s.where(), s.Now
	if !a.Revoked {
		var err error
		if a.Current, _, err = s.Ledger.Pointer(s.Graph.Workspace.Name, s.Environment, a.Label, a.Partition); err != nil {
			return a, err
		}
	}
	return a, s.Ledger.Write(ctx, func(tx *ledger.Tx) error { return tx.PutAcceptance(s.Graph.Workspace.Name, s.Environment, a) })
}

// Accepted lists what is accepted in this checkout, newest first: said here or, by pipeline.lock, elsewhere.
func (s *Session) Accepted() ([]engine.Acceptance, error) {
	list, err := s.allWords()
	return standing(list), err
}

// standing leaves out revocations and what they took back.
func standing(list []engine.Acceptance) (out []engine.Acceptance) {
	revoked := map[string]bool{}
	for _, a := range list {
		about := aboutOf(a)
		switch {
		case a.Revoked:
			revoked[about] = true
		case !revoked[about]:
			out = append(out, a)
		}
	}
	return out
}

// aboutOf tells apart what words are about.
func aboutOf(a engine.Acceptance) string { return fmt.Sprint(a.Label, a.Partition, a.Input, a.Subject) }

// Revoked is an acceptance that was taken back, and what followed from it.
type Revoked struct {
	engine.Acceptance
	Current engine.VersionID // what current names now; zero: nothing
	Moved   bool             // current named what had been accepted
	Derived []string         // actions whose current version was made from it
}

// Revoke takes back what was accepted of an action: of one version, of one input, or, without either, whatever stands. Current goes back to the version before.
func (s *Session) Revoke(ctx context.Context, label engine.Label, partition string, version engine.VersionID, input, reason string) ([]Revoked, error) {
	list, err := s.words(s.Graph.Workspace.Name, s.Environment, label, partition)
	if err != nil {
		return nil, err
	}
	var out []Revoked
	for _, a := range standing(list) {
		if a.Input != input || !version.IsZero() && a.Version != version {
			continue
		}
		a.Revoked, a.Reason = true, reason
		if a, err = s.accept(ctx, a); err != nil {
			return out, err
		}
		r := Revoked{Acceptance: a}
		if n := s.Graph.Node(label); n != nil {
			if i, ok := n.Set.IndexText(partition); ok { // else current names nothing there any more
				if r, err = s.goBack(ctx, n, i, a); err != nil {
					return out, err
				}
			}
		}
		out = append(out, r)
	}
	if out == nil {
		return nil, fmt.Errorf("nothing of %s is accepted here: %w", label.At(partition), ErrNothingHeld)
	}
	return out, nil
}

// goBack moves current away from what is no longer accepted.
func (s *Session) goBack(ctx context.Context, n *graph.Node, i int, a engine.Acceptance) (Revoked, error) {
	r := Revoked{Acceptance: a}
	ws, partition := s.Graph.Workspace.Name, n.Set.Text(i)
	id, ok, err := s.Ledger.Pointer(ws, s.Environment, n.Target.Label, partition)
	if err != nil || !ok {
		return r, err
	}
	r.Current = id
	current, _, err := s.version(id)
	if err != nil {
		return r, err
	}
	if r.Moved, err = s.madeFrom(n, current, a); err != nil || !r.Moved || a.Input != "" && id == a.Current {
		r.Moved = false // what was current before its input was accepted is not so by the acceptance
		return r, err
	}
	if r.Derived, err = s.derived(n, i, current, map[graph.ActionID]bool{}); err != nil {
		return r, err
	}
	before, err := s.lastAccepted(a.Current)
	if err != nil {
		return r, err
	}
	r.Current = before.ID
	if before.ID.IsZero() {
		if err := s.View.Withdraw(n.Target.Label, partition); err != nil {
			return r, err
		}
		return r, s.Ledger.Write(ctx, func(tx *ledger.Tx) error { return tx.Withdraw(ws, s.Environment, n.Target.Label, partition) })
	}
	result, _, err := s.result(before.Key)
	if err != nil {
		return r, err
	}
	s.pin(before.Outputs)
	// Under no shape: it is judged anew should it be wanted again.
	err = s.Ledger.Write(ctx, func(tx *ledger.Tx) error {
		return tx.Point(s.Environment, before, cache.SectionDigest{}, plan.Visible(&result, before.Outputs))
	})
	if err != nil || !isJob(n) {
		return r, err
	}
	return r, s.View.Point(ctx, n.Target, n.Set.Partition(i), before)
}

// madeFrom says whether a version is what was accepted, or was made from the input that was.
func (s *Session) madeFrom(n *graph.Node, v engine.Version, a engine.Acceptance) (bool, error) {
	if a.Input == "" {
		return engine.ContentOf(v.Outputs) == a.Subject, nil
	}
	parts, err := s.inputOf(v, a.Input)
	return engine.InputContent(parts) == a.Subject, err
}

// inputOf lists the partitions and trees of an input that a version was made from.
func (s *Session) inputOf(v engine.Version, input string) (out []engine.InputPart, err error) {
	r, _, err := s.result(v.Key)
	if err != nil {
		return nil, err
	}
	entries, err := s.inputEntries(&r, input)
	for _, e := range entries {
		if part, ok := enters(e); ok {
			out = append(out, part)
		}
	}
	return out, err
}

// lastAccepted is a version, or the newest of those that it replaced, one after the other, that no rule holds. Zero: there is none.
func (s *Session) lastAccepted(id engine.VersionID) (engine.Version, error) {
	for seen := map[engine.VersionID]bool{{}: true}; !seen[id]; {
		seen[id] = true
		v, _, err := s.version(id)
		if err != nil {
			return v, err
		}
		j, _, err := s.Ledger.LastJudgement(s.Environment, id)
		if err != nil {
			return v, err
		}
		good := len(j.Failing()) == 0
		if !good {
			if good, err = s.accepted(v.Label, v.Partition, "", engine.ContentOf(v.Outputs), j.Failing()); err != nil {
				return v, err
			}
		}
		if good {
			return v, nil
		}
		before, err := s.before(v)
		if err != nil {
			return v, err
		}
		id = before.ID
	}
	return engine.Version{}, nil
}

// before is the version that one replaced: as its judgement says, or of what is never judged the next older one. Zero: there was none.
func (s *Session) before(v engine.Version) (engine.Version, error) {
	j, ok, err := s.Ledger.LastJudgement(s.Environment, v.ID)
	if err != nil {
		return engine.Version{}, err
	}
	if ok {
		before, _, err := s.version(j.Replaced)
		return before, err
	}
	list, err := s.Ledger.VersionsOf(v.Workspace, v.Label, v.Partition)
	at := slices.IndexFunc(list, func(x engine.Version) bool { return x.ID == v.ID })
	if err != nil || at < 0 || at+1 == len(list) {
		return engine.Version{}, err
	}
	return list[at+1], nil
}

// derived names the actions whose current version was made from a version, and from what was made of that.
func (s *Session) derived(n *graph.Node, i int, v engine.Version, seen map[graph.ActionID]bool) (out []string, err error) {
	for _, e := range n.Consumers {
		for k := range e.Readers(i).All() {
			id := e.To.Base + graph.ActionID(k)
			if seen[id] {
				continue
			}
			current, reads, err := s.readsVersion(e, k, n.Set.Text(i), v)
			if err != nil {
				return nil, err
			}
			if !reads {
				continue
			}
			seen[id] = true
			out = append(out, e.To.Target.Label.At(e.To.Set.Text(k)))
			more, err := s.derived(e.To, k, current, seen)
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}

// readsVersion says whether the current version of a consumer was made from a version, and which one that is.
func (s *Session) readsVersion(e *graph.Edge, k int, partition string, v engine.Version) (engine.Version, bool, error) {
	id, ok, err := s.Ledger.Pointer(s.Graph.Workspace.Name, s.Environment, e.To.Target.Label, e.To.Set.Text(k))
	if err != nil || !ok {
		return engine.Version{}, false, err
	}
	current, _, err := s.version(id)
	if err != nil {
		return current, false, err
	}
	parts, err := s.inputOf(current, e.Input.Name)
	return current, slices.ContainsFunc(parts, func(p engine.InputPart) bool {
		return p.Partition == partition && slices.ContainsFunc(v.Outputs, func(o engine.VersionOutput) bool { return o.Visible == p.Tree || o.Quarantine == p.Tree })
	}), err
}
