package run

import (
	"slices"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Review tells people who look at a change in which states partitions are, and where what is not fresh begins.
type Review struct {
	States []StateCount `json:"states"` // in the order in which states are decided
	Roots  []Root       `json:"roots"`  // producers before consumers
}

// StateCount is how many partitions are in a state.
type StateCount struct {
	State      string `json:"state"`
	Partitions int    `json:"partitions"`
}

// Root is where a state begins that is not fresh: partitions of one target of which the same is to be said.
type Root struct {
	Target     string     `json:"target"`
	Owner      string     `json:"owner,omitempty"` // with how to reach them
	State      string     `json:"state"`
	Partitions int        `json:"partitions"`
	First      string     `json:"first,omitempty"` // partition; of it are Reason, Findings and Version
	Reason     string     `json:"reason"`
	Why        []Why      `json:"why,omitempty"` // of jobs that have to run
	Place      Place      `json:"place"`         // where somebody can do something about it
	Followers  []Follower `json:"followers,omitempty"`

	Findings      []engine.Finding `json:"findings,omitempty"` // the rules that fail, with their places, of what is held or refused
	Version       string           `json:"version,omitempty"`  // that they hold
	Input         string           `json:"input,omitempty"`    // that they refuse, and where it comes from
	Producer      string           `json:"producer,omitempty"`
	ProducerOwner string           `json:"producer_owner,omitempty"`
}

// Place is a line of a file. File is relative to the workspace's root; "" means no place.
type Place struct {
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Follower is a target whose partitions wait for a root.
type Follower struct {
	Target     string `json:"target"`
	Owner      string `json:"owner,omitempty"`
	Partitions int    `json:"partitions"`
}

// Review tells it of the selected actions.
func (o *Outlook) Review(selected []graph.Selected) (*Review, error) {
	r := &reviewer{o: o, roots: map[rootKey]*rootOf{}, group: map[graph.ActionID]*rootOf{}}
	counts := map[engine.State]int{}
	for _, sel := range selected {
		for _, i := range sel.Partitions {
			state := o.Decider.State(sel.Node, i)
			if counts[state]++; state == engine.Fresh || state == engine.Frozen {
				continue
			}
			r.note(sel.Node, i)
		}
	}
	out := &Review{States: []StateCount{}, Roots: []Root{}}
	for _, state := range engine.States() {
		if counts[state] > 0 {
			out.States = append(out.States, StateCount{state.String(), counts[state]})
		}
	}
	slices.SortStableFunc(r.ordered, func(a, b *rootOf) int { return a.node.Index - b.node.Index })
	for _, x := range r.ordered {
		root, err := r.root(x)
		if err != nil {
			return nil, err
		}
		out.Roots = append(out.Roots, root)
	}
	return out, nil
}

// reviewer gathers what begins where.
type reviewer struct {
	o       *Outlook
	roots   map[rootKey]*rootOf
	ordered []*rootOf
	group   map[graph.ActionID]*rootOf
}

// rootKey is what the partitions of a root have in common.
type rootKey struct {
	node         *graph.Node
	state        engine.State
	input, rules string
}

type rootOf struct {
	node       *graph.Node
	partitions []int
	waiting    map[*graph.Node]int
}

// note counts an action at its root: itself, or one upstream, which may be one that is not selected.
func (r *reviewer) note(n *graph.Node, i int) {
	id := n.Base + graph.ActionID(i)
	root := r.o.root(n, i)
	if root == id && r.o.Decider.State(n, i) == engine.Undecided {
		root = r.o.Decider.Cause(n, i)
	}
	x := r.at(r.o.s.Graph.Action(root))
	if root != id {
		x.waiting[n]++
	}
}

func (r *reviewer) at(n *graph.Node, i int) *rootOf {
	id := n.Base + graph.ActionID(i)
	if x := r.group[id]; x != nil {
		return x
	}
	p, _ := r.o.Decider.Pending(id)
	key := rootKey{node: n, state: r.o.Decider.State(n, i)}
	for _, f := range p.Failing {
		key.rules += f.Output + " " + f.Rule + " " + f.Text + "\n"
	}
	if p.Input != nil {
		key.input = p.Input.Name
	}
	x := r.roots[key]
	if x == nil {
		x = &rootOf{node: n, waiting: map[*graph.Node]int{}}
		r.roots[key] = x
		r.ordered = append(r.ordered, x)
	}
	x.partitions = append(x.partitions, i)
	r.group[id] = x
	return x
}

// root says of a group what there is to say.
func (r *reviewer) root(x *rootOf) (root Root, err error) {
	slices.Sort(x.partitions)
	s, d, n, first := r.o.s, r.o.Decider, x.node, x.partitions[0]
	state, owner := d.State(n, first), s.Graph.Workspace.OwnerText
	root = Root{Target: n.Target.Label.String(), Owner: owner(n.Target.Owner), State: state.String(), Partitions: len(x.partitions), First: n.Set.Text(first), Why: r.why(x),
		Place: placeOf(n.Target.Range)}
	if root.Reason, err = s.Brief(d, n, first); err != nil {
		return root, err
	}
	for _, m := range s.Graph.Nodes {
		if waiting := x.waiting[m]; waiting > 0 {
			root.Followers = append(root.Followers, Follower{m.Target.Label.String(), owner(m.Target.Owner), waiting})
		}
	}
	switch state {
	case engine.Stale:
		err = r.changed(&root, n, first)
	case engine.Held, engine.Refused:
		r.ruled(&root, n, first)
	}
	return root, err
}

// why counts what has to run, or to be judged, by reasons.
func (r *reviewer) why(x *rootOf) []Why {
	var out []Why
	for _, i := range x.partitions {
		words := r.o.Why(x.node, i)
		if r.o.Fate(x.node, i) == Judged {
			words = []string{"rules"}
		}
		if words == nil {
			continue
		}
		k := slices.IndexFunc(out, func(w Why) bool { return slices.Equal(w.Reasons, words) })
		if k < 0 {
			k = len(out)
			out = append(out, Why{Reasons: words})
		}
		out[k].Jobs++
	}
	slices.SortStableFunc(out, func(a, b Why) int { return b.Jobs - a.Jobs })
	return out
}

// changed finds the place of what changed: the file, where it is one of code or SQL.
func (r *reviewer) changed(root *Root, n *graph.Node, i int) error {
	s := r.o.s
	if !isJob(n) || s.Current(n, i).IsZero() || r.o.Decider.Problem(n.Base+graph.ActionID(i)) != nil {
		return nil
	}
	changes, err := s.wantedChanges(r.o.Decider, n, i)
	if err != nil {
		return err
	}
	for _, c := range changes {
		if file, ok := strings.CutPrefix(c.Name, "code "); ok && c.New != "" {
			root.Place = Place{file, 1}
			return nil
		}
		if at, ok := strings.CutPrefix(c.Name, "sql["); ok {
			k, err := strconv.Atoi(strings.TrimSuffix(at, "]"))
			if err != nil || k >= len(n.Target.SQL) {
				continue
			}
			if file := n.Target.SQL[k].File; file != "" {
				root.Place = Place{file, 1}
			} else if where := placeOf(n.Target.SQL[k].Range); where.File != "" {
				root.Place = where
			}
			return nil
		}
	}
	return nil
}

// ruled says what rules found, and where they stand now.
func (r *reviewer) ruled(root *Root, n *graph.Node, i int) {
	p, _ := r.o.Decider.Pending(n.Base + graph.ActionID(i))
	for _, f := range p.Failing {
		where := findingPlace(n.Target, f)
		f.File, f.Line = where.File, where.Line
		root.Findings = append(root.Findings, f)
	}
	if root.Findings != nil {
		root.Place = Place{root.Findings[0].File, root.Findings[0].Line}
	}
	if id := r.o.s.HeldVersion(r.o.Decider, n, i); !id.IsZero() {
		root.Version = id.Short()
	}
	if p.Input == nil {
		return
	}
	root.Input = p.Input.Name
	if e := n.Edges[slices.Index(n.Target.Inputs, p.Input)]; e != nil {
		root.Producer, root.ProducerOwner = e.From.Target.Label.String(), r.o.s.Graph.Workspace.OwnerText(e.From.Target.Owner)
	}
}

func placeOf(r engine.Range) Place { return Place{r.File, r.Start.Line} }

// findingPlace is where the rule of a finding is declared; where it has no block, where that is which it is about.
func findingPlace(t *engine.Target, f engine.Finding) Place {
	for _, in := range t.Inputs {
		if in.Name == f.Input {
			return expectPlace(in.Expects, f.Rule, in.Range)
		}
	}
	o := t.Output(f.Output)
	if o == nil {
		return placeOf(t.Range)
	}
	for _, x := range o.Rejects {
		if f.Rule == engine.RuleRejected && f.Text == x.Name {
			return placeOf(x.Range)
		}
	}
	for _, x := range o.Metrics {
		if f.Rule == engine.RuleMetric && f.Text == x.Name {
			return placeOf(x.Range)
		}
	}
	return expectPlace(o.Expects, f.Rule, o.Range)
}

func expectPlace(rules []*engine.Expect, name string, other engine.Range) Place {
	for _, x := range rules {
		if x.Name == name {
			return placeOf(x.Range)
		}
	}
	return placeOf(other)
}
