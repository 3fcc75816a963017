package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// follow finds which partitions of a target are touched by what it reads, and notes what a build makes of that. Of the target itself all is known.
func (c *comparison) follow(n, old *graph.Node, x *compared) {
	own := slices.Clone(x.differs)
	reached := make([]bool, len(n.Edges))
	step := func(k int, of func(i int) bool) func(i int) { return func(i int) { reached[k] = of(i) || reached[k] } }
	var itself []func(i int)
	for k, e := range n.Edges {
		switch {
		case e == nil:
		case e.From == n:
			itself = append(itself, step(k, c.followEdge(n, old, k, x)))
		default:
			inTurn(inTime(n, allOf(n)), step(k, c.followEdge(n, old, k, x)))
		}
	}
	inTurn(inTime(n, allOf(n)), itself...) // last: a partition passes on to later ones what all its inputs brought
	if x.change == "" || x.change == ChangeDescribed {
		if slices.Contains(x.differs, true) || slices.Contains(x.may, true) {
			x.change = ChangeConsumer
		}
	}
	for k, e := range n.Edges {
		if reached[k] && e.From != n {
			c.blame(e.From, x)
		}
	}
	if isJob(n) {
		c.plan(n, old, x, own)
	}
}

func inTurn(partitions []int, steps ...func(i int)) {
	for _, i := range partitions {
		for _, step := range steps {
			step(i)
		}
	}
}

// followEdge gives what passes on to a partition what one input brings, and says whether that is anything. It goes by partitions in the order of time.
func (c *comparison) followEdge(n, old *graph.Node, k int, x *compared) func(i int) bool {
	e := n.Edges[k]
	from := &c.nodes[e.From.Index]
	files := e.From.Target.Kind == engine.Source && !e.From.Target.Splits() // what is read is what lies there
	certain := graph.NewFold(e, false, func(j int) bool { return files && from.differs[j] || c.isNew(e.From, j) }, either)
	may := graph.NewFold(e, false, func(j int) bool { return from.differs[j] || from.may[j] }, either)
	gone := c.gone(n, old, k)
	return func(i int) bool {
		switch {
		case certain.At(i) || gone(i):
			x.differs[i] = true
		case may.At(i):
			x.may[i] = true
		default:
			return false
		}
		return true
	}
}

func allOf(n *graph.Node) []int {
	out := make([]int, n.Set.Len())
	for i := range out {
		out[i] = i
	}
	return out
}

// isNew says of a partition that it was not there in the revision, and that there is something.
func (c *comparison) isNew(n *graph.Node, j int) bool {
	x := &c.nodes[n.Index]
	return x.added != nil && x.added[j] && c.outlook.Decider.State(n, j) != engine.MissingState
}

// gone says of a consumer's partitions whether one that they read in the revision is no more.
func (c *comparison) gone(n, old *graph.Node, k int) func(i int) bool {
	never := func(int) bool { return false }
	was := slices.IndexFunc(old.Target.Inputs, func(in *engine.Input) bool { return in.Name == n.Target.Inputs[k].Name })
	if was < 0 || was >= len(old.Edges) || old.Edges[was] == nil {
		return never
	}
	e := old.Edges[was]
	now := c.s.Graph.Node(e.From.Target.Label)
	if now == nil || now.Set.Describe() == e.From.Set.Describe() {
		return never
	}
	fold := graph.NewFold(e, false, func(j int) bool { _, ok := now.Set.IndexText(e.From.Set.Text(j)); return !ok }, either)
	return func(i int) bool {
		j, ok := old.Set.IndexText(n.Set.Text(i))
		return ok && fold.At(j)
	}
}

// blame names, as the reason why a consumer is touched, the targets at which that begins.
func (c *comparison) blame(from *graph.Node, x *compared) {
	y := &c.nodes[from.Index]
	names := y.because
	if y.change == ChangeOwn || y.change == ChangeAdded {
		names = []string{from.Target.Label.String()}
	}
	for _, name := range names {
		if !slices.Contains(x.because, name) {
			x.because = append(x.because, name)
		}
	}
}

// plan notes the jobs that run for certain, with why, and those that may. What is frozen stays.
func (c *comparison) plan(n, old *graph.Node, x *compared, own []bool) {
	o := &c.outlook.nodes[n.Index]
	asNew, itself, inputs := c.outlook.reason([]string{"new"}), c.outlook.reason(x.words()), c.outlook.reason([]string{"input"})
	after := c.outlook.reason([]string{"after " + strings.Join(x.because, ", ")})
	if x.because == nil {
		after = itself
	}
	frozen := 0
	for i := range x.differs {
		if c.outlook.Decider.State(n, i) == engine.Frozen {
			if x.differs[i] || x.may[i] {
				frozen++
			}
			x.differs[i], x.may[i] = false, false
			continue
		}
		switch {
		case old == nil, x.added != nil && x.added[i]:
			o.fate[i], o.why[i] = Runs, asNew
		case own[i]:
			o.fate[i], o.why[i] = Runs, itself
		case x.differs[i]:
			o.fate[i], o.why[i] = Runs, inputs
		case x.may[i]:
			o.fate[i], o.why[i] = MayRun, after
		}
	}
	if frozen > 0 {
		x.say(fmt.Sprintf("frozen here, and kept as they are: %d", frozen))
	}
}

// words are, in short, what differs of a target itself.
func (x *compared) words() []string {
	details := slices.Clone(x.details)
	for k := range details {
		if details[k].Part == "reading" {
			details[k].Name = "declaration"
		}
	}
	if words := inOrder(details); words != nil {
		return words
	}
	return []string{"input"}
}

// confine forgets what is not selected.
func (c *comparison) confine(selected []graph.Selected) {
	keep := make([][]bool, len(c.nodes))
	for _, sel := range selected {
		keep[sel.Node.Index] = make([]bool, sel.Node.Set.Len())
		for _, i := range sel.Partitions {
			keep[sel.Node.Index][i] = true
		}
	}
	for k := range c.nodes {
		x, o := &c.nodes[k], &c.outlook.nodes[k]
		if keep[k] == nil {
			x.change = ""
		}
		for i := range x.differs {
			if keep[k] == nil || !keep[k][i] {
				x.differs[i], x.may[i] = false, false
				if o.fate != nil {
					o.fate[i] = Idle
				}
			}
		}
	}
}

// changes lists the targets that are touched.
func (c *comparison) changes() []TargetChange {
	out := []TargetChange{}
	for _, n := range c.s.Graph.Nodes {
		x := &c.nodes[n.Index]
		if x.change == "" {
			continue
		}
		t := TargetChange{Target: n.Target.Label.String(), Owner: c.s.Graph.Workspace.OwnerText(n.Target.Owner), Change: x.change, What: x.what, Details: x.details,
			Because: x.because, Of: n.Set.Len()}
		for i := range x.differs {
			if x.differs[i] {
				t.Partitions++
			} else if x.may[i] {
				t.May++
			}
		}
		out = append(out, t)
	}
	return out
}

// removed lists the targets that are no more.
func (c *comparison) removed() (out []TargetChange) {
	for _, n := range c.past.Graph.Nodes {
		if c.s.Graph.Node(n.Target.Label) == nil {
			out = append(out, TargetChange{Target: n.Target.Label.String(), Owner: c.past.Graph.Workspace.OwnerText(n.Target.Owner), Change: ChangeRemoved,
				What: []string{"it is no more: its versions stay, and dpb-out shows it no longer"}, Of: n.Set.Len()})
		}
	}
	return out
}

// ownerChanges sorts changes by who has to know of them.
func ownerChanges(changes []TargetChange) []OwnerChange {
	out := []OwnerChange{}
	for _, t := range changes {
		k := slices.IndexFunc(out, func(o OwnerChange) bool { return o.Owner == t.Owner })
		if k < 0 {
			k = len(out)
			out = append(out, OwnerChange{Owner: t.Owner, Changed: []string{}, Consumers: []string{}})
		}
		if t.Change == ChangeConsumer {
			out[k].Consumers = append(out[k].Consumers, t.Target)
		} else {
			out[k].Changed = append(out[k].Changed, t.Target)
		}
	}
	slices.SortFunc(out, func(a, b OwnerChange) int { return strings.Compare(a.Owner, b.Owner) })
	return out
}
