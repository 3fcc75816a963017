// Package plan decides the state of one action from the working tree and its inputs alone.
package plan

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
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

// Court answers what contracts make of results and of inputs. Its methods are called from several goroutines at once.
type Court interface {
	// Shape identifies the rules on a target and on what it reads.
	Shape(n *graph.Node) cache.SectionDigest
	// Judge looks up what became of a result under the rules of an action, see Decider.Rules. It measures nothing.
	Judge(n *graph.Node, i int, r *engine.Result, rules cache.SectionDigest) (Verdict, error)
	// Admit judges what an input brings by the rules on it.
	Admit(d *Decider, n *graph.Node, input, i int, b *Binding) (Verdict, error)
}

// Verdict is what contracts make of a result or of an input.
type Verdict struct {
	// State is Fresh or Held, of an input Fresh or Refused; Stale where something has to be measured or judged first, for which no job runs.
	State   engine.State
	Outputs []engine.VersionOutput // of a result: by the target's outputs; nil if it is not split yet
	Failing []engine.Finding       // what holds or refuses it
	Measure bool                   // of a result: it is fresh, and has no fingerprint yet
	Again   bool                   // of a held one: what it was compared with may have changed
	// Judgement is what holds it; nil of all others.
	Judgement  *engine.Judgement
	Unmeasured bool // of a result: something could not be measured, as its bytes were gone
}

// Decider holds what is decided so far. Arrays by action, no object an edge: 100,000 actions take some 15 MB.
type Decider struct {
	graph *graph.Graph
	world World
	court Court
	now   time.Time // against which results expire
	drift bool      // frozen actions are compared with what they would be
	nodes []node
	// settling: actions of which others are decided already change in the course of a build
	settling bool

	mu       sync.Mutex
	problems map[graph.ActionID]error
	pending  map[graph.ActionID]Pending
}

// Pending is what is known of an action that is not simply fresh, or whose consumers don't see what its job wrote.
type Pending struct {
	Result  *engine.Result // of the wanted key; nil if there is none
	Verdict                // of the result
	Input   *engine.Input  // that is refused, or has to be judged; nil if none is
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
	trees   []cache.TreeDigest // outputs of a partition side by side, as consumers see them
	columns [][]engine.Column  // likewise; nil unless an output's reader needs them
	raw     []cache.TreeDigest // likewise as the job wrote them; nil if no output has a reject
	aside   []cache.TreeDigest // likewise what was rejected

	shape  cache.SectionDigest
	beyond bool                  // rules name what does not follow from the content of inputs
	seed   []cache.ActionKey     // the key that trees belong to, where a result is known beforehand
	rules  []cache.SectionDigest // those that it was accepted under

	remembered *Remembered             // nil if nothing is
	others     atomic.Pointer[[]int32] // see countOthers

	frozen map[int]frozen // by partition; nil if none is
	drifts []engine.State // by partition, where some are frozen
}

// frozen is a version that stays, whatever would be built now.
type frozen struct {
	key   cache.ActionKey
	rules cache.SectionDigest
	err   error // why it can't be used
}

// New returns a decider that has decided nothing.
func New(g *graph.Graph, w World, c Court, now time.Time) *Decider {
	return &Decider{graph: g, world: w, court: c, now: now, nodes: make([]node, len(g.Nodes)), problems: map[graph.ActionID]error{},
		pending: map[graph.ActionID]Pending{}}
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
	if writesText(n.Target) {
		s.columns = make([][]engine.Column, size*s.outputs)
	}
	if n.Target.Splits() {
		s.raw, s.aside = make([]cache.TreeDigest, size*s.outputs), make([]cache.TreeDigest, size*s.outputs)
	}
	s.shape, s.beyond = d.court.Shape(n), n.Target.RulesSeeBeyond(n.InputOutputs())
}

// Prepared says whether there is room for a node's actions: whether they take part.
func (d *Decider) Prepared(n *graph.Node) bool { return d.nodes[n.Index].state != nil }

// writesText says whether the target is SQL, and readers of its outputs need column types that the files don't hold.
func writesText(t *engine.Target) bool {
	if t.Kind != engine.SQL {
		return false
	}
	for _, o := range t.Outputs {
		if o.Format == engine.CSV || o.Format == engine.NDJSON {
			return true
		}
	}
	return false
}

// Seed tells of a version that was accepted under rules: if the key of the action turns out to be k, and the rules are the same, its outputs are
// these, and nobody needs to be asked.
func (d *Decider) Seed(n *graph.Node, i int, k cache.ActionKey, rules cache.SectionDigest, outputs []engine.OutputResult) {
	s := &d.nodes[n.Index]
	if n.Target.ValidFor > 0 { // when it was made decides, and that stands in the result
		return
	}
	if s.seed == nil {
		s.seed, s.rules = make([]cache.ActionKey, len(s.state)), make([]cache.SectionDigest, len(s.state))
	}
	if !s.setOutputs(n, i, outputs) {
		return
	}
	s.intern(i)
	s.seed[i], s.rules[i] = k, rules
}

// SeedAll is Seed of all actions of a target, from what is remembered of them: its keys are those of the versions, and zero where there is none.
func (d *Decider) SeedAll(n *graph.Node, keys []cache.ActionKey, rules []cache.SectionDigest, r *Remembered) {
	s := &d.nodes[n.Index]
	if n.Target.ValidFor > 0 {
		return
	}
	s.seed, s.rules = keys, rules
	copy(s.trees, r.Trees)
	copy(s.columns, r.Columns)
	for at := range s.raw {
		if s.raw[at], s.aside[at] = s.trees[at], r.Aside[at]; !r.Aside[at].IsZero() {
			s.raw[at] = r.Raw[at]
		}
	}
}

var errLacksOutput = errors.New("its frozen version lacks an output that is declared now: thaw it (dpb build --thaw), or declare the output on a target of its own")

// Freeze tells of a version that stays what the action gives, whatever would be built now. With err it can't be used all the same, and is not made anew either.
func (d *Decider) Freeze(n *graph.Node, i int, k cache.ActionKey, rules cache.SectionDigest, outputs []engine.OutputResult, err error) {
	s := &d.nodes[n.Index]
	if s.frozen == nil {
		s.frozen, s.drifts = map[int]frozen{}, make([]engine.State, len(s.state))
	}
	if !s.setOutputs(n, i, outputs) {
		err = cmp.Or(err, errLacksOutput)
	}
	s.intern(i)
	s.frozen[i] = frozen{k, rules, err}
}

// Drift is the state that a frozen action would have if it were not: Fresh if it would be the same version, Stale if another would be built; what stands in the way of
// telling; 0 if nobody looked, as in a build.
func (d *Decider) Drift(n *graph.Node, i int) engine.State {
	if s := &d.nodes[n.Index]; s.drifts != nil {
		return s.drifts[i]
	}
	return 0
}

// LookForDrift has frozen actions be compared with what they would be now. Their producers have to be decided then.
func (d *Decider) LookForDrift() { d.drift = true }

// seeded says whether the seed of an action answers for its key and rules.
func (d *Decider) seeded(n *graph.Node, i int) bool {
	s := &d.nodes[n.Index]
	return s.seed != nil && s.seed[i] == s.key[i] && s.rules[i] == d.Rules(n, i)
}

// RawName is the name under which Visible lists what a job wrote, where consumers see less.
func RawName(output string) string { return output + ".raw" }

// QuarantineName is the name under which Visible lists what was rejected.
func QuarantineName(output string) string { return output + ".quarantine" }

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
				s.columns[i*s.outputs+o] = r.Columns
			}
		}
		if !found {
			return false
		}
		if s.raw != nil {
			s.setSplit(i*s.outputs+o, declared.Name, outputs)
		}
	}
	return true
}

// setSplit stores what a split left beside an output: without one, the raw tree is what consumers see.
func (s *node) setSplit(at int, name string, outputs []engine.OutputResult) {
	s.raw[at], s.aside[at] = s.trees[at], cache.TreeDigest{}
	for _, r := range outputs {
		switch r.Name {
		case RawName(name):
			s.raw[at] = r.Tree
		case QuarantineName(name):
			s.aside[at] = r.Tree
		}
	}
}

// intern shares the schemas of a partition with the one before, which nearly always has the same ones. Not while workers decide, as it looks at what another may write.
func (s *node) intern(i int) {
	if s.columns == nil || i == 0 {
		return
	}
	for at := i * s.outputs; at < (i+1)*s.outputs; at++ {
		if before := s.columns[at-s.outputs]; slices.Equal(before, s.columns[at]) {
			s.columns[at] = before
		}
	}
}

// Settle records what became of an action in a build: Fresh or Held with what its consumers see, or Failed.
func (d *Decider) Settle(n *graph.Node, i int, state engine.State, p Pending) {
	s, id := &d.nodes[n.Index], n.Base+graph.ActionID(i)
	d.settling = true
	s.state[i], s.cause[i] = state, 0
	if state != engine.Fresh {
		s.cause[i] = id
	}
	if p.Verdict.Outputs != nil {
		s.see(n, i, p.Result, p.Verdict.Outputs)
	}
	d.setPending(id, p)
}

// see stores the outputs of a result as consumers see them.
func (s *node) see(n *graph.Node, i int, r *engine.Result, outputs []engine.VersionOutput) bool {
	return s.setOutputs(n, i, Visible(r, outputs))
}

// Visible lists the outputs of a version as consumers read them: names, trees and columns, and what was rejected under names of its own.
func Visible(r *engine.Result, outputs []engine.VersionOutput) (out []engine.OutputResult) {
	for _, o := range outputs {
		v := engine.OutputResult{Name: o.Name, Tree: o.Visible, Rows: -1}
		for _, made := range r.Outputs {
			if made.Name == o.Name {
				v.Columns = made.Columns
			}
		}
		out = append(out, v)
		if !o.Quarantine.IsZero() {
			out = append(out, engine.OutputResult{Name: RawName(o.Name), Tree: o.Raw, Rows: -1},
				engine.OutputResult{Name: QuarantineName(o.Name), Tree: o.Quarantine, Rows: -1})
		}
	}
	return out
}

// Pending is what is known of an action that is not simply fresh; false if that is nothing.
func (d *Decider) Pending(id graph.ActionID) (Pending, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	p, ok := d.pending[id]
	return p, ok
}

func (d *Decider) setPending(id graph.ActionID, p Pending) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending[id] = p
}

// Recorded tells that a fresh action has nothing pending any more: what its consumers see is known.
func (d *Decider) Recorded(id graph.ActionID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.pending, id)
}

// Rules identifies what an action is judged by, beside the content: the shape of its target, and, where rules name what does not follow from the content of inputs,
// the keys of the results behind them. Its producers have to be decided.
func (d *Decider) Rules(n *graph.Node, i int) cache.SectionDigest {
	s := &d.nodes[n.Index]
	if !s.beyond {
		return s.shape
	}
	var keys []cache.ActionKey
	for _, e := range n.Edges {
		if e == nil {
			continue
		}
		for j := range e.Inputs(i).All() {
			keys = append(keys, d.Key(e.From, j))
		}
	}
	return engine.RulesWith(s.shape, keys)
}

// State is what was decided; 0 if nothing was.
func (d *Decider) State(n *graph.Node, i int) engine.State {
	s := &d.nodes[n.Index]
	if s.state == nil {
		return 0
	}
	return s.state[i]
}

// Known says whether outputs equal the trees that were seeded for the action: a new result that is the one from before.
func (d *Decider) Known(n *graph.Node, i int, outputs []engine.VersionOutput) bool {
	s := &d.nodes[n.Index]
	if s.seed == nil || s.seed[i].IsZero() {
		return false
	}
	for o, declared := range n.Target.Outputs {
		for _, r := range outputs {
			if r.Name == declared.Name && (r.Visible != s.trees[i*s.outputs+o] || s.aside != nil && r.Quarantine != s.aside[i*s.outputs+o]) {
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

// Made is one output of a decided action, as readers of fingerprints need to know it.
type Made struct {
	engine.Content
	Raw cache.TreeDigest // as the job wrote it
	Key cache.ActionKey
}

// Made describes an output of an action that has one.
func (d *Decider) Made(n *graph.Node, i, output int) Made {
	s := &d.nodes[n.Index]
	at := i*s.outputs + output
	o := n.Target.Outputs[output]
	m := Made{Content: engine.Content{Output: o, Tree: s.trees[at], Partition: n.Set.Text(i)}, Raw: s.trees[at], Key: s.key[i]}
	if s.raw != nil {
		m.Raw = s.raw[at]
	}
	var columns []engine.Column
	if s.columns != nil {
		columns = s.columns[at]
	}
	m.Columns = n.Target.ReaderColumns(o, columns)
	return m
}

// Quarantine is the tree of what was rejected of an output; zero if it has no reject.
func (d *Decider) Quarantine(n *graph.Node, i, output int) cache.TreeDigest {
	s := &d.nodes[n.Index]
	if s.aside == nil {
		return cache.TreeDigest{}
	}
	return s.aside[i*s.outputs+output]
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
