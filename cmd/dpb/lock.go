package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

func (a *app) lockCmd() *cobra.Command {
	var check bool
	c := &cobra.Command{
		Use:   "lock",
		Short: "Write down beside each pipeline.hcl what was accepted, for clones and CI",
		Long: `Write a pipeline.lock beside each pipeline.hcl: of each target and partition the key, the rules, the trees that consumers see, the verdict, and what people accepted. Commit them: a clone without a
store and without data then answers dpb status --check. What this checkout did not build stays as the locks have it. A merge conflict in a lock is resolved: of two lines about
one partition that stays which the working tree asks for. With lock = true in the workspace block of dpb.hcl each build does this.` + exits(exitOK, exitUsage, exitStale, exitLocal),
		Example: "  dpb lock\n  dpb lock --check", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			a.resolveLock = true
			return a.withSession(true, func(s *run.Session) error {
				changed, err := s.Relock(c.Context(), check)
				if err != nil {
					return err
				}
				return a.relocked(changed, check)
			})
		},
	}
	c.Flags().BoolVar(&check, "check", false, "write nothing, and exit with 4 if something would change")
	a.jsonFlag(c)
	return c
}

// relocked says which locks changed, or would.
func (a *app) relocked(changed []string, check bool) error {
	switch {
	case a.json:
		if changed == nil {
			changed = []string{}
		}
		if err := a.printJSON(changed); err != nil {
			return err
		}
	case changed == nil:
		fmt.Fprintln(a.stderr, "the locks are up to date")
	case check:
		fmt.Fprintf(a.stderr, "out of date: %s; dpb lock brings it up to date\n", strings.Join(changed, ", "))
	default:
		fmt.Fprintf(a.stderr, "wrote %s\n", strings.Join(changed, ", "))
	}
	if check && changed != nil {
		return &exitError{code: exitStale}
	}
	return nil
}

// byLock says when a command goes by pipeline.lock instead of a store.
type byLock uint8

const (
	lockNever byLock = iota
	lockWithoutStore
	lockAlways
)

// withLocks opens a session that goes by the locks.
func (a *app) withLocks(config run.Config, f func(*run.Session) error) error {
	if !lock.There(a.root, config.Graph.Workspace.Packages) {
		return usagef("there is no %s to build by: build without --locked, run dpb lock and commit", lock.FileName)
	}
	v, err := a.asOfLock(config.Graph)
	if err != nil {
		return err
	}
	a.view = v
	config.Graph, config.Locks, config.ReadOnly, config.FromLock, config.LookOutside = v.graph, v.set, true, true, a.observe
	return a.open(config, func(s *run.Session) error {
		err := f(s)
		if a.byLock == lockWithoutStore {
			a.tellLock(v, s)
		}
		return err
	})
}

// lockView is what a command that has no store goes by.
type lockView struct {
	graph *graph.Graph // as far as the locks go
	until time.Time    // where they end
	set   *lock.Set
	newer []string // partitions that came into being since, the first of each target
	count int      // of all of them
}

// news says what the clock brought since the locks were written; "" if nothing.
func (v *lockView) news() string {
	if v.count == 0 {
		return ""
	}
	return fmt.Sprintf("new since: %s, from %s on; they don't count without --now", plural(v.count, "partition"), strings.Join(v.newer[:min(len(v.newer), 3)], ", "))
}

// asOfLock has time stand still where the locks end, unless a time is given: what the clock brought since is new, and nobody's fault.
func (a *app) asOfLock(g *graph.Graph) (*lockView, error) {
	set, err := lock.Read(a.root, g.Workspace.Packages)
	if err == nil {
		err = set.Whole()
	}
	if err != nil {
		return nil, err
	}
	ws := *g.Workspace
	ws.Dimensions = nil
	for _, d := range g.Workspace.Dimensions {
		listed := *d
		if !a.observe {
			listed.Values = valuesOf(d, set)
		}
		ws.Dimensions = append(ws.Dimensions, &listed)
	}
	v := &lockView{until: a.now, set: set}
	whole, _ := graph.New(&ws, a.now) // its problems are those of g
	if a.nowText == "" {
		v.until = endOf(set, whole, a.now)
	}
	v.graph, _ = graph.New(&ws, v.until)
	for _, n := range whole.Nodes {
		old := v.graph.Node(n.Target.Label)
		if old.Set.Len() == n.Set.Len() {
			continue
		}
		first := true
		for i := range n.Set.Len() {
			if _, ok := old.Set.IndexText(n.Set.Text(i)); ok {
				continue
			}
			if v.count++; first {
				v.newer, first = append(v.newer, n.Target.Label.At(n.Set.Text(i))), false
			}
		}
	}
	return v, nil
}

// endOf is the instant that the locks were written at or after: the latest end of a partition with a line; now, if no line has a time.
func endOf(set *lock.Set, g *graph.Graph, now time.Time) (end time.Time) {
	for _, e := range set.Entries {
		n := g.Node(e.Label)
		if n == nil || e.Action == nil {
			continue
		}
		if i, ok := n.Set.IndexText(e.Partition); ok && n.Set.End(i).After(end) {
			end = n.Set.End(i)
		}
	}
	if end.IsZero() {
		return now
	}
	return end
}

// valuesOf are the values of a dimension. Of one whose values come from a source's files, those of the locks count too: the files need not be here, or not all of them.
func valuesOf(d *engine.Dimension, set *lock.Set) []string {
	if d.FromSource.IsZero() {
		return d.Values
	}
	values := slices.Concat(d.Values, set.Values(d.Name))
	slices.Sort(values)
	return slices.Compact(values)
}

// listLocked takes from the locks, which may be those of a merge, what a source that is not here would say.
func (a *app) listLocked(ws *engine.Workspace) error {
	set, err := lock.Read(a.root, ws.Packages)
	if err != nil {
		return err
	}
	_, err = disk.OpenExisting(run.StoreDir(a.root, ws.StorePath))
	for _, d := range ws.Dimensions {
		if len(d.Values) == 0 || errors.Is(err, disk.ErrNoStore) { // else the files that were here and are gone would be kept for ever
			d.Values = valuesOf(d, set)
		}
	}
	return nil
}

// tellLock says that the locks answered, and what they did not.
func (a *app) tellLock(v *lockView, s *run.Session) {
	fmt.Fprintf(a.stderr, "nothing was built here: answered from %s\n", lock.FileName)
	if text := v.news(); text != "" {
		fmt.Fprintln(a.stderr, text)
	}
	for _, text := range s.TakenFromLock() {
		fmt.Fprintf(a.stderr, "taken from %s: %s\n", lock.FileName, ui.Text(text))
	}
}

// checkLocked makes sure that the locks hold all that the working tree asks for, before anything is built by them.
func (a *app) checkLocked(c *cobra.Command, args []string, f buildFlags) error {
	a.byLock = lockAlways
	defer func() { a.byLock, a.until = lockNever, a.view }()
	stale := []string{}
	err := a.withSession(true, func(s *run.Session) error {
		selected, err := a.selectPatterns(s.Graph, args, f.partitions)
		if err != nil {
			return err
		}
		d, needed, err := s.Foresee(c.Context(), selected)
		if err != nil {
			return err
		}
		for _, sel := range needed {
			for _, i := range sel.Partitions {
				switch state := d.State(sel.Node, i); state {
				case engine.Stale, engine.MissingState, engine.Undecided:
					reason, err := s.Brief(d, sel.Node, i)
					if err != nil {
						return err
					}
					stale = append(stale, fmt.Sprintf("%s is %s: %s", sel.Node.Target.Label.At(sel.Node.Set.Text(i)), state, ui.Line(reason)))
				}
			}
		}
		return nil
	})
	if err != nil || len(stale) == 0 {
		return err
	}
	for _, line := range stale[:min(len(stale), maxListed)] {
		fmt.Fprintf(a.stderr, "  %s\n", line)
	}
	return &exitError{exitStale, fmt.Errorf("%s does not hold what this tree asks for, in %s: build without --locked, run dpb lock and commit", lock.FileName, plural(len(stale), "place"))}
}
