// Package plan decides the state of one action from the working tree and its inputs alone.
package plan

import (
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// World answers what a decision needs to know from outside. Its methods are called from several goroutines at once.
type World interface {
	// Recipe looks up code, tools and engine of a target.
	Recipe(n *graph.Node) (*engine.Recipe, error)
	// Observe returns the tree of a source at a partition; ok is false if it has no files.
	Observe(n *graph.Node, i int) (t cache.TreeDigest, ok bool, err error)
	// Files returns the tree that the glob of an input matches; ok is false if it matches nothing.
	Files(n *graph.Node, input, i int) (t cache.TreeDigest, ok bool, err error)
	// Lookup finds the result of a key, or nil and whether the last run of the key failed.
	Lookup(k cache.ActionKey) (r *engine.Result, failed bool, err error)
}

// Decider holds what is decided so far. Arrays by action, no object an edge: 100,000 actions take some 15 MB.
type Decider struct {
	graph *graph.Graph
	world World
	now   time.Time // against which results expire
	nodes []node

	mu       sync.Mutex
	problems map[graph.ActionID]error
}

// node is the state of a target's actions, by partition.
type node struct {
	once     sync.Once
	recipe   *engine.Recipe
	err      error // why there is no recipe
	target   engine.Part
	body     []byte           // of target
	readings []engine.Reading // by input, without columns
	outputs  int

	state   []engine.State
	cause   []graph.ActionID
	key     []cache.ActionKey
	trees   []cache.TreeDigest // outputs of a partition side by side
	columns [][]engine.Column  // likewise; nil unless an output's reader needs them

	seed []cache.ActionKey // the key that trees belong to, where a result is known beforehand
}

// New returns a decider that has decided nothing.
func New(g *graph.Graph, w World, now time.Time) *Decider {
	return &Decider{graph: g, world: w, now: now, nodes: make([]node, len(g.Nodes)), problems: map[graph.ActionID]error{}}
}

// Prepare makes room for a node's actions. It must come before any other call for that node.
func (d *Decider) Prepare(n *graph.Node) {
	s := &d.nodes[n.Index]
	if s.state != nil {
		return
	}
	size := n.Set.Len()
	s.outputs = len(n.Target.Outputs)
	s.state = make([]engine.State, size)
	s.cause = make([]graph.ActionID, size)
	s.key = make([]cache.ActionKey, size)
	s.trees = make([]cache.TreeDigest, size*s.outputs)
	if n.Target.Kind == engine.SQL && writesText(n.Target) {
		s.columns = make([][]engine.Column, size*s.outputs)
	}
}

// Prepared says whether there is room for a node's actions: whether they take part.
func (d *Decider) Prepared(n *graph.Node) bool { return d.nodes[n.Index].state != nil }

// writesText says whether readers of the target's outputs need column types that the files don't hold.
func writesText(t *engine.Target) bool {
	for _, o := range t.Outputs {
		if o.Format == engine.CSV || o.Format == engine.NDJSON {
			return true
		}
	}
	return false
}

// Seed tells of a result that is known: if the key of the action turns out to be k, its outputs are these, and nobody needs to be asked.
func (d *Decider) Seed(n *graph.Node, i int, k cache.ActionKey, outputs []engine.OutputResult) {
	s := &d.nodes[n.Index]
	if len(outputs) != s.outputs || n.Target.ValidFor > 0 { // when it was made decides, and that stands in the result
		return
	}
	if s.seed == nil {
		s.seed = make([]cache.ActionKey, len(s.state))
	}
	if s.setOutputs(n, i, outputs) {
		s.seed[i] = k
	}
}

// setOutputs stores trees by the order of the target's outputs; false if the names differ.
func (s *node) setOutputs(n *graph.Node, i int, outputs []engine.OutputResult) bool {
	for o, declared := range n.Target.Outputs {
		found := false
		for _, r := range outputs {
			if r.Name != declared.Name {
				continue
			}
			found = true
			s.trees[i*s.outputs+o] = r.Tree
			if s.columns != nil {
				s.columns[i*s.outputs+o] = s.intern(i*s.outputs+o, r.Columns)
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// intern shares a schema with the partition before, which nearly always has the same one.
func (s *node) intern(at int, columns []engine.Column) []engine.Column {
	if before := at - s.outputs; before >= 0 && slices.Equal(s.columns[before], columns) {
		return s.columns[before]
	}
	return columns
}

// Accept records that the action is fresh with this result.
func (d *Decider) Accept(n *graph.Node, i int, outputs []engine.OutputResult) {
	s := &d.nodes[n.Index]
	s.setOutputs(n, i, outputs)
	s.state[i], s.cause[i] = engine.Fresh, 0
}

// Fail records that the last run of the action failed.
func (d *Decider) Fail(n *graph.Node, i int) { d.nodes[n.Index].state[i] = engine.Failed }

// State is what was decided; 0 if nothing was.
func (d *Decider) State(n *graph.Node, i int) engine.State {
	s := &d.nodes[n.Index]
	if s.state == nil {
		return 0
	}
	return s.state[i]
}

// Known says whether outputs equal the trees that were seeded for the action: a new result that is the one from before.
func (d *Decider) Known(n *graph.Node, i int, outputs []engine.OutputResult) bool {
	s := &d.nodes[n.Index]
	if s.seed == nil || s.seed[i].IsZero() {
		return false
	}
	for o, declared := range n.Target.Outputs {
		for _, r := range outputs {
			if r.Name == declared.Name && r.Tree != s.trees[i*s.outputs+o] {
				return false
			}
		}
	}
	return true
}

// Key is the wanted key; zero where it is not known yet: missing, blocked or undecided.
func (d *Decider) Key(n *graph.Node, i int) cache.ActionKey { return d.nodes[n.Index].key[i] }

// Cause is the action at which a missing, blocked or undecided state begins: itself if nothing upstream is to blame.
func (d *Decider) Cause(n *graph.Node, i int) graph.ActionID { return d.nodes[n.Index].cause[i] }

// Tree is an output's tree of a fresh action.
func (d *Decider) Tree(n *graph.Node, i, output int) cache.TreeDigest {
	s := &d.nodes[n.Index]
	return s.trees[i*s.outputs+output]
}

// Outputs are the outputs of a fresh action as its readers see them: names, trees and columns.
func (d *Decider) Outputs(n *graph.Node, i int) []engine.OutputResult {
	s := &d.nodes[n.Index]
	out := make([]engine.OutputResult, s.outputs)
	for k, o := range n.Target.Outputs {
		out[k] = engine.OutputResult{Name: o.Name, Tree: s.trees[i*s.outputs+k], Rows: -1}
		if s.columns != nil {
			out[k].Columns = s.columns[i*s.outputs+k]
		}
	}
	return out
}

// Problem says why an action could not be looked at, or nil. Such an action counts as stale.
func (d *Decider) Problem(id graph.ActionID) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.problems[id]
}

func (d *Decider) setProblem(id graph.ActionID, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.problems[id] = err
}

// Recipe returns what the actions of a target have in common, looked up once.
func (d *Decider) Recipe(n *graph.Node) (*engine.Recipe, error) {
	s := &d.nodes[n.Index]
	s.once.Do(func() {
		if s.recipe, s.err = d.world.Recipe(n); s.err != nil {
			return
		}
		var section engine.Section
		s.recipe.Describe(&section)
		s.body = section.Bytes()
		s.target = engine.Part{Name: "target", Digest: section.Digest()}
		s.readings = make([]engine.Reading, len(n.Target.Inputs))
		for k := range n.Target.Inputs {
			s.readings[k] = engine.Reading{Path: InputPath(n, k), Units: d.units(n, k)}
		}
	})
	return s.recipe, s.err
}

// units lists the producer's dimensions with their units, of an input that SQL reads.
func (d *Decider) units(n *graph.Node, k int) (out []engine.Value) {
	e := n.Edges[k]
	if e == nil || n.Target.Kind != engine.SQL {
		return nil
	}
	for _, name := range e.From.Target.PartitionBy {
		out = append(out, engine.Value{Dimension: name, Text: d.graph.Dimension(name).Unit.String()})
	}
	return out
}
