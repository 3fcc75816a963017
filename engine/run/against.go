package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/source"
)

// Past is the workspace as it was in a revision of git.
type Past struct {
	Revision string // as people name it
	Commit   string
	Root     string // where its files lie, absolute
	Graph    *graph.Graph
	Changed  []string // files that differ between it and the working tree, by path from the root; those that git does not know are the same in both
}

// Against is how the working tree differs from a revision, and what that makes a build run which has built the revision.
type Against struct {
	Revision string         `json:"revision"`
	Commit   string         `json:"commit"`
	Changes  []TargetChange `json:"changes"` // producers before consumers, what was removed last
	Owners   []OwnerChange  `json:"owners"`  // ordered by name
	Forecast *Forecast      `json:"forecast"`
}

// The kinds of TargetChange.
const (
	ChangeAdded     = "added"
	ChangeRemoved   = "removed"
	ChangeOwn       = "changed"  // itself: jobs run anew, or rules judge anew
	ChangeDescribed = "said"     // only what it says of itself: owner, description, promises. Nothing runs
	ChangeConsumer  = "consumer" // not itself; something that it reads may give something else
)

// TargetChange is how one target or source differs.
type TargetChange struct {
	Target     string   `json:"target"`
	Owner      string   `json:"owner,omitempty"` // with how to reach them
	Change     string   `json:"change"`
	What       []string `json:"what,omitempty"`    // in words, one for each thing that differs
	Details    []Change `json:"details,omitempty"` // entries of the key that differ, with old and new values
	Because    []string `json:"because,omitempty"` // of a consumer: the targets that changed themselves, and that it needs
	Partitions int      `json:"partitions"`        // whose content changes for certain: jobs run, or files differ
	May        int      `json:"may"`               // whose content may change
	Of         int      `json:"of"`                // all that it has
}

// OwnerChange is what is touched of what belongs to a team.
type OwnerChange struct {
	Owner     string   `json:"owner"`     // with how to reach them; "" for what has none
	Changed   []string `json:"changed"`   // targets that changed themselves
	Consumers []string `json:"consumers"` // targets that may give something else
}

// Against compares the working tree with a revision. Of targets that are not selected nothing is told; removed tells those that are no more.
func (s *Session) Against(ctx context.Context, past Past, selected []graph.Selected, removed bool, places int) (*Against, error) {
	c, err := s.compareWith(ctx, &past)
	if err != nil {
		return nil, err
	}
	c.confine(selected)
	out := &Against{Revision: past.Revision, Commit: past.Commit, Changes: c.changes()}
	if removed {
		out.Changes = append(out.Changes, c.removed()...)
	}
	out.Owners = ownerChanges(out.Changes)
	out.Forecast, err = c.outlook.Forecast(ctx, places)
	return out, err
}

// compareWith compares all targets.
func (s *Session) compareWith(ctx context.Context, past *Past) (*comparison, error) {
	all := make([]graph.Selected, len(s.Graph.Nodes))
	for k, n := range s.Graph.Nodes {
		all[k] = graph.Selected{Node: n, Partitions: allOf(n)}
	}
	b, needed, err := s.survey(ctx, all, Options{}, false)
	if err != nil {
		return nil, err
	}
	c := newComparison(s, past, b, needed)
	for _, n := range s.Graph.Nodes {
		if err := c.compare(n); err != nil {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return c, nil
}

// comparison is under way.
type comparison struct {
	s       *Session
	past    *Session // as far as it takes to describe keys
	touched *source.Touched
	outlook *Outlook
	nodes   []compared // by node
}

// compared is what is known of one target.
type compared struct {
	change  string
	what    []string
	details []Change
	because []string
	differs []bool // by partition: what it gives differs for certain, of a source; its job runs, of a target
	may     []bool // likewise: it may
	added   []bool // likewise: it was not there; nil if all were
}

func newComparison(s *Session, p *Past, b *build, needed []graph.Selected) *comparison {
	past := &Session{Config: s.Config, Store: s.Store, stat: s.stat, programs: s.programs, boxes: s.boxes, locked: s.locked, files: &source.Files{Root: p.Root, Stat: s.stat, Code: s.programs}, shapes: make([]shape, len(p.Graph.Nodes)),
		recipes: map[*graph.Node]*recipe{}}
	past.Graph = p.Graph // its code lies in the past, its tools are those of this machine
	return &comparison{s: s, past: past, touched: s.files.Touched(p.Changed), nodes: make([]compared, len(s.Graph.Nodes)), outlook: newOutlook(s, b, needed)}
}

// compare finds how a target differs. Its producers come before it.
func (c *comparison) compare(n *graph.Node) error {
	x := &c.nodes[n.Index]
	x.differs, x.may = make([]bool, n.Set.Len()), make([]bool, n.Set.Len())
	old := c.past.Graph.Node(n.Target.Label)
	if old == nil {
		x.change, x.what = ChangeAdded, []string{"new"}
		fill(x.differs)
		if isJob(n) {
			c.plan(n, nil, x, x.differs)
		}
		return nil
	}
	if n.Target.Kind != old.Target.Kind {
		x.say("it was a " + old.Target.Kind.String() + ", and is a " + n.Target.Kind.String())
		fill(x.differs)
	}
	for _, look := range []func(n, old *graph.Node, x *compared) error{c.compareKeys, c.compareInputs, c.comparePartitions, c.compareFiles} {
		if err := look(n, old, x); err != nil {
			return err
		}
	}
	c.compareRules(n, old, x)
	c.compareAdmission(n, old, x)
	if x.what != nil {
		x.change = ChangeOwn
	}
	if said := saidOtherwise(n.Target, old.Target); said != nil {
		if x.what = append(x.what, said...); x.change == "" {
			x.change = ChangeDescribed
		}
	}
	c.follow(n, old, x)
	return nil
}

func (x *compared) say(text string) { x.what = append(x.what, text) }

func fill(list []bool) {
	for i := range list {
		list[i] = true
	}
}

// compareKeys compares the section of the target in all keys.
func (c *comparison) compareKeys(n, old *graph.Node, x *compared) error {
	if !isJob(n) || !isJob(old) {
		return nil
	}
	now, err := c.section(c.s, n)
	before, oldErr := c.section(c.past, old)
	if err = errors.Join(err, oldErr); err != nil {
		x.say("its key can't be compared: " + err.Error())
		fill(x.differs)
		return nil
	}
	changes := compareSection(before, now)
	for _, name := range n.Target.Tools {
		if isFolder := strings.HasSuffix(name, "/"); isFolder && c.touched.Below(n.Target.Label.Pkg, name) {
			changes = append(changes, Change{Part: "target", Name: "tool " + name, Old: "as it was", New: "as it is"})
		}
	}
	if len(changes) > 0 {
		x.details = append(x.details, changes...)
		x.say(Reason(changes))
		fill(x.differs)
	}
	return nil
}

// section describes what all keys of a target have in common.
func (c *comparison) section(s *Session, n *graph.Node) (section, error) {
	r, err := s.Recipe(n)
	if err != nil {
		return section{}, err
	}
	var body engine.Section
	r.Describe(&body)
	entries, err := engine.DecodeSection(body.Bytes())
	return section{engine.Part{Name: "target", Digest: body.Digest()}, entries}, err
}

// compareInputs compares what is read, and how, as it is declared.
func (c *comparison) compareInputs(n, old *graph.Node, x *compared) error {
	for k, in := range n.Target.Inputs {
		was := slices.IndexFunc(old.Target.Inputs, func(o *engine.Input) bool { return o.Name == in.Name })
		if was < 0 {
			continue // a new name stands in the target's section
		}
		now, before := reading(n, k), reading(old, was)
		if changes := compareSection(before, now); len(changes) > 0 {
			x.details = append(x.details, changes...)
			x.say("input " + in.Name + " is read otherwise: " + Reason(changes))
			fill(x.differs)
		}
	}
	return nil
}

// reading describes what a target reads through an input, less the content.
func reading(n *graph.Node, k int) section {
	in, e := n.Target.Inputs[k], n.Edges[k]
	r := engine.Reading{Path: plan.InputPath(n, k), Columns: in.Columns}
	s := section{part: engine.Part{Name: "reading"}}
	add := func(name, value string) { s.entries = append(s.entries, engine.Entry{Name: name, Value: value}) }
	if e == nil {
		add("glob", globText(in.Files))
	} else {
		add("from", in.From.String())
		add("partitions", e.Mapping())
		if r.Format = e.Output.Format; n.Target.Kind == engine.SQL && r.Columns == nil && r.Format != engine.Parquet {
			r.Columns = e.Output.Columns
		}
	}
	var body engine.Section
	in.DescribeInput(&body, r, nil)
	entries, _ := engine.DecodeSection(body.Bytes()) // what Add wrote can be read
	s.entries = append(s.entries, entries...)
	return s
}

// globText is a glob with what depends on the partition named.
func globText(t engine.Text) string {
	var b strings.Builder
	for _, s := range t {
		switch {
		case s.Dimension != "":
			b.WriteString("${partition." + s.Dimension + "}")
		case s.Eval != nil:
			b.WriteString("${…}")
		default:
			b.WriteString(s.Literal)
		}
	}
	return b.String()
}

// comparePartitions compares the section of the partition in keys, of those that are in both, and finds those that are new.
func (c *comparison) comparePartitions(n, old *graph.Node, x *compared) error {
	added, changed := 0, 0
	for i := range n.Set.Len() {
		j, ok := old.Set.IndexText(n.Set.Text(i))
		if !ok {
			if added++; added == 1 {
				x.added = make([]bool, n.Set.Len())
			}
			x.differs[i], x.added[i] = true, true
			continue
		}
		now, before := section{part: engine.Part{Name: "partition"}}, section{part: engine.Part{Name: "partition"}}
		var err error
		if now.entries, err = partitionEntries(n, i); err == nil {
			before.entries, err = partitionEntries(old, j)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", n.Target.Label.At(n.Set.Text(i)), err)
		}
		if slices.Equal(now.entries, before.entries) {
			continue
		}
		if changed++; changed == 1 {
			changes := compareSection(before, now)
			x.details = append(x.details, changes...)
			x.say(Reason(changes))
		}
		x.differs[i] = true
	}
	switch gone := old.Set.Len() - (n.Set.Len() - added); {
	case !slices.Equal(n.Target.PartitionBy, old.Target.PartitionBy):
		x.say(fmt.Sprintf("partitioned by %s, was by %s", byText(n.Target), byText(old.Target)))
	case added > 0 && gone > 0:
		x.say(fmt.Sprintf("%d partitions are new, %d are no more", added, gone))
	case added > 0:
		x.say(fmt.Sprintf("partitions that are new: %d", added))
	case gone > 0:
		x.say(fmt.Sprintf("partitions that are no more: %d", gone))
	}
	return nil
}

func byText(t *engine.Target) string {
	if len(t.PartitionBy) == 0 {
		return "nothing"
	}
	return strings.Join(t.PartitionBy, ", ")
}

// partitionEntries is the section of a partition in its key; of a source, the glob that it observes.
func partitionEntries(n *graph.Node, i int) ([]engine.Entry, error) {
	if n.Target.Kind == engine.Source {
		glob, err := n.Target.Path.At(n.Set.Partition(i), nil)
		return []engine.Entry{{Name: "path", Value: glob}}, err
	}
	var s engine.Section
	if err := n.Target.DescribePartition(&s, n.Set.Partition(i), n.Set.Intervals(i)); err != nil {
		return nil, err
	}
	return engine.DecodeSection(s.Bytes())
}

// compareFiles finds the partitions whose data is among the files that differ: of a source, and of globs that a target reads.
func (c *comparison) compareFiles(n, _ *graph.Node, x *compared) error {
	var globs []engine.Text
	if n.Target.Kind == engine.Source {
		globs = append(globs, n.Target.Path)
	}
	for _, in := range n.Target.Inputs {
		if len(in.Files) > 0 {
			globs = append(globs, in.Files)
		}
	}
	touched, first := 0, ""
	for i := range n.Set.Len() {
		for _, g := range globs {
			glob, err := g.At(n.Set.Partition(i), nil)
			if err != nil {
				return fmt.Errorf("%s: %w", n.Target.Label.At(n.Set.Text(i)), err)
			}
			if c.touched.Has(n.Target.Label.Pkg, glob) {
				if touched++; touched == 1 {
					first = n.Set.Text(i)
				}
				x.differs[i] = true
				break
			}
		}
	}
	switch {
	case touched == 0:
	case first == "":
		x.say("its files changed")
	case touched == 1:
		x.say("the files of " + first + " changed")
	default:
		x.say(fmt.Sprintf("the files of %d partitions changed, from %s on", touched, first))
	}
	return nil
}

// compareRules compares what results are judged by. That runs no job; but where rows are rejected otherwise, consumers may see others.
func (c *comparison) compareRules(n, old *graph.Node, x *compared) {
	if !isJudged(n.Target) && !isJudged(old.Target) || c.s.Shape(n) == c.past.Shape(old) {
		return
	}
	x.say("rules changed: it is judged anew, and no job runs for that")
	if n.Target.Splits() || old.Target.Splits() {
		fill(x.may)
	}
}
