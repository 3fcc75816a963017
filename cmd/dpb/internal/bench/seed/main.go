// Command seed records in the store of a workspace what its jobs would make, so that 100,000 of them need not run before something can be measured.
//
//	seed [-current | -shown] FOLDER CONTENT
//
// Each output is a file with that content. The next build makes versions, pointers and dpb-out, and runs no job. With -current there are only pointers, which is all that tells a
// session what is fresh, and no records of what they point at: so a million of them take a minute. With -shown there is dpb-out too, and the next build has nothing to do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/hcl"
)

func main() {
	current := flag.Bool("current", false, "record pointers only")
	shown := flag.Bool("shown", false, "record pointers only, and make dpb-out")
	flag.Parse()
	if flag.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "usage: seed [-current | -shown] FOLDER CONTENT")
		os.Exit(2)
	}
	if err := seed(flag.Arg(0), flag.Arg(1), *current || *shown, *shown); err != nil {
		fmt.Fprintln(os.Stderr, "seed:", err)
		os.Exit(1)
	}
}

func seed(root, content string, current, shown bool) (err error) {
	ws, _, problems := hcl.Load(root, hcl.Options{})
	if len(problems) > 0 {
		return fmt.Errorf("%v", problems)
	}
	now := time.Now()
	g, problems := graph.New(ws, now)
	if len(problems) > 0 {
		return fmt.Errorf("%v", problems)
	}
	s, err := run.Open(run.Config{Root: root, Graph: g, Now: now, PathEnv: os.Getenv("PATH")})
	if err != nil {
		return err
	}
	defer func() {
		if closed := s.Close(); err == nil {
			err = closed
		}
	}()
	x := seeder{s: s, d: plan.New(g, empty{s}, s, now), size: int64(len(content)), current: current, shown: shown}
	x.blob, _, err = s.Store.Put(context.Background(), strings.NewReader(content))
	if err != nil {
		return err
	}
	for _, n := range g.Nodes {
		if err := x.node(n); err != nil {
			return err
		}
	}
	return nil
}

// empty is a world without results: so none is looked for.
type empty struct{ *run.Session }

func (empty) Lookup(cache.ActionKey) (*engine.Result, bool, error) { return nil, false, nil }

type seeder struct {
	s       *run.Session
	d       *plan.Decider
	blob    cache.Digest // that each output has
	size    int64
	current bool
	shown   bool
}

// node records the results of all actions of a node, whose producers are done.
func (x *seeder) node(n *graph.Node) error {
	x.d.Prepare(n)
	w := x.d.Worker()
	if n.Target.Kind == engine.Source {
		for i := range n.Set.Len() {
			if state := w.Decide(n, i); state != engine.Fresh {
				return fmt.Errorf("%s is %s: %w", n.Target.Label, state, x.d.Problem(n.Base+graph.ActionID(i)))
			}
		}
		return nil
	}
	outputs, err := x.outputs(n)
	if err != nil {
		return err
	}
	err = x.s.Ledger.Write(context.Background(), func(tx *ledger.Tx) error {
		for i := range n.Set.Len() {
			if err := x.action(tx, w, n, i, outputs); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, x.s.Store.Sync(context.Background()))
}

// outputs stores what each action of a node makes.
func (x *seeder) outputs(n *graph.Node) (out []engine.OutputResult, err error) {
	for _, o := range n.Target.Outputs {
		tree, err := cache.NewTree([]cache.Entry{{Path: o.Path, Kind: cache.File, Digest: x.blob, Size: x.size}})
		if err != nil {
			return nil, err
		}
		d, err := x.s.Store.PutTree(context.Background(), tree)
		if err != nil {
			return nil, err
		}
		out = append(out, engine.OutputResult{Name: o.Name, Tree: d, Bytes: x.size, Files: 1, Rows: -1})
	}
	return out, nil
}

func (x *seeder) action(tx *ledger.Tx, w *plan.Worker, n *graph.Node, i int, outputs []engine.OutputResult) error {
	if state := w.Decide(n, i); state != engine.Stale {
		return fmt.Errorf("%s is %s", n.Target.Label.At(n.Set.Text(i)), state)
	}
	key := x.d.Key(n, i)
	r := engine.Result{Key: key, Outputs: outputs, Started: x.s.Now, Observed: x.s.Now, Wall: 3 * time.Millisecond, Isolation: "namespaces, network", Writer: "dpb"}
	visible := make([]engine.VersionOutput, len(outputs))
	for k, o := range outputs {
		visible[k] = engine.VersionOutput{Name: o.Name, Raw: o.Tree, Visible: o.Tree}
	}
	x.d.Settle(n, i, engine.Fresh, plan.Pending{Result: &r, Verdict: plan.Verdict{State: engine.Fresh, Outputs: visible}})
	if !x.current {
		return record(tx, w, n, i, r)
	}
	name := x.s.Graph.Workspace.Name
	v := engine.Version{ID: engine.NewVersionID(name, n.Target.Label, n.Set.Text(i), key, visible), Workspace: name, Label: n.Target.Label, Partition: n.Set.Text(i), Key: key, Outputs: visible, Created: x.s.Now}
	if err := tx.Point(x.s.Environment, v, x.d.Rules(n, i), plan.Visible(&r, visible)); err != nil || !x.shown {
		return err
	}
	return x.s.View.Point(context.Background(), n.Target, n.Set.Partition(i), v)
}

// record writes a result and what its key was made of.
func record(tx *ledger.Tx, w *plan.Worker, n *graph.Node, i int, r engine.Result) error {
	var sections [][]byte
	parts, err := w.Parts(n, i, func(_ engine.Part, body []byte) { sections = append(sections, body) })
	if err != nil {
		return err
	}
	for _, body := range sections {
		if err := tx.PutSection(body); err != nil {
			return err
		}
	}
	r.Parts = parts
	_, err = tx.PutResult(r, false)
	return err
}
