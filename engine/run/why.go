package run

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// Change is one entry of a key that differs between two actions' keys.
type Change struct {
	Part string `json:"part"`          // "target", "partition", "input plays", "source"
	Name string `json:"name"`          // of the entry: "code spam/classify.py", "@day=2017-06-15"
	Old  string `json:"old,omitempty"` // "" where the entry was added or is gone; many entries of one name are joined
	New  string `json:"new,omitempty"` // likewise
}

// section is a part of a key with its entries in order.
type section struct {
	part    engine.Part
	entries []engine.Entry
}

// empty stands for a section that the other key does not have.
func empty(name string) section { return section{part: engine.Part{Name: name}} }

// compareKeys lists the entries that differ, in the order of the new key.
func compareKeys(old, new []section) (changes []Change) {
	find := func(list []section, name string) int {
		return slices.IndexFunc(list, func(s section) bool { return s.part.Name == name })
	}
	for _, s := range new {
		before := empty(s.part.Name)
		if k := find(old, s.part.Name); k >= 0 {
			before = old[k]
		}
		changes = append(changes, compareSection(before, s)...)
	}
	for _, s := range old {
		if find(new, s.part.Name) < 0 {
			changes = append(changes, compareSection(s, empty(s.part.Name))...)
		}
	}
	return changes
}

func compareSection(old, new section) (changes []Change) {
	before, after := byName(old), byName(new)
	seen := map[string]bool{}
	for _, e := range slices.Concat(new.entries, old.entries) {
		if seen[e.Name] {
			continue
		}
		seen[e.Name] = true
		if o, n := before[e.Name], after[e.Name]; o != n {
			changes = append(changes, Change{Part: new.part.Name, Name: e.Name, Old: o, New: n})
		}
	}
	return changes
}

// byName joins the values of entries that have one name, as the tokens of a statement do.
func byName(s section) map[string]string {
	out := map[string]string{}
	for _, e := range s.entries {
		v := readable(e)
		if o, ok := out[e.Name]; ok {
			v = o + " " + v
		}
		out[e.Name] = v
	}
	return out
}

// readable is an entry's value as people read it: trees in hexadecimal, and paths that a job is given by the names that they have in the HCL.
func readable(e engine.Entry) string {
	switch {
	case strings.HasPrefix(e.Name, "@"):
		return hex.EncodeToString([]byte(e.Value))
	case strings.HasPrefix(e.Name, "command["), strings.HasPrefix(e.Name, "env "):
		return strings.ReplaceAll(strings.TrimPrefix(e.Value, "="), "\x00", "")
	}
	return e.Value
}

// Cause is why an action is as it is, with the same for the producers that brought the change.
type Cause struct {
	Label     engine.Label `json:"-"`
	Target    string       `json:"target"`
	Partition string       `json:"partition,omitempty"`
	State     string       `json:"state,omitempty"` // "" for a change in the past
	Owner     string       `json:"owner,omitempty"`
	Text      string       `json:"text"` // one line
	Changes   []Change     `json:"changes,omitempty"`
	From      []*Cause     `json:"from,omitempty"`
	More      int          `json:"more,omitempty"`    // changed inputs that are not followed up
	Skipped   int          `json:"skipped,omitempty"` // partitions of the same target left out before this one, each changed by the one before it
}

// collapse leaves out all but the ends of a chain of partitions of one target, each of which reads the one before.
func (c *Cause) collapse() {
	for k, child := range c.From {
		last := child
		for next := last.own(); child.Target == c.Target && next != nil; next = last.own() {
			next.Skipped = last.Skipped + 1
			last = next
		}
		c.From[k] = last
		last.collapse()
	}
}

// own is the cause that lies in another partition of the same target, if there is one.
func (c *Cause) own() *Cause {
	for _, from := range c.From {
		if from.Target == c.Target {
			return from
		}
	}
	return nil
}

// explainer asks for the causes of one action; no action is explained twice.
type explainer struct {
	s    *Session
	d    *plan.Decider
	seen map[graph.ActionID]bool
}

// Why explains the state of an action, back to the root causes. d comes from Status. Of a fresh one it tells why it was last built.
func (s *Session) Why(d *plan.Decider, n *graph.Node, i int) (*Cause, error) {
	e := &explainer{s, d, map[graph.ActionID]bool{}}
	c, err := e.state(n, i)
	if err != nil {
		return nil, err
	}
	c.collapse()
	return c, nil
}

func (e *explainer) cause(n *graph.Node, i int) *Cause {
	return &Cause{Label: n.Target.Label, Target: n.Target.Label.String(), Partition: n.Set.Text(i), Owner: e.s.Graph.Workspace.OwnerText(n.Target.Owner)}
}

func (e *explainer) state(n *graph.Node, i int) (*Cause, error) {
	c, id, state := e.cause(n, i), n.Base+graph.ActionID(i), e.d.State(n, i)
	c.State = state.String()
	if e.seen[id] {
		c.Text = "told above"
		return c, nil
	}
	e.seen[id] = true
	if err := e.d.Problem(id); err != nil {
		c.Text = "unknown, so it counts as stale: " + err.Error()
		return c, nil
	}
	switch state {
	case engine.Fresh:
		return c, e.lastBuilt(c, n, i)
	case engine.Frozen:
		return c, e.drift(c, n, i)
	case engine.MissingState, engine.Blocked, engine.Undecided:
		return c, e.upstream(c, n, i)
	case engine.Held, engine.Refused:
		c.Text = e.s.contractText(e.d, n, i)
		return c, e.inputs(c, n, nil)
	}
	return c, e.stale(c, n, i, state)
}

// contractText says what rules hold an action, or what it refuses.
func (s *Session) contractText(d *plan.Decider, n *graph.Node, i int) string {
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	if p.Input == nil {
		return contract.Texts(p.Failing)
	}
	return fmt.Sprintf("input %s: %s", p.Input.Name, contract.Texts(p.Failing))
}

// unjudgedText says what has to be done without a job before a known result counts; "" if that is not why.
func (s *Session) unjudgedText(d *plan.Decider, n *graph.Node, i int) string {
	const text = "it has to be measured and judged; no job runs"
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	switch {
	case p.Input != nil:
		return fmt.Sprintf("input %s has to be judged", p.Input.Name)
	case p.Result == nil && s.locked != nil && s.ruledAnew(d, n, i): // the lock does not say what the job gave
		return "rules changed: " + text
	case p.Result == nil:
		return ""
	case p.Again:
		return "what it was compared with may have changed; no job runs"
	case p.Outputs == nil:
		return "its rows have to be split by the rules that reject; no job runs"
	}
	if s.ruledAnew(d, n, i) {
		return "rules changed: " + text
	}
	return text
}

// ruledAnew says whether current names a version of the wanted key that was judged by other rules.
func (s *Session) ruledAnew(d *plan.Decider, n *graph.Node, i int) bool {
	p := s.current[n.Index]
	return p.key != nil && p.key[i] == d.Key(n, i) && p.rules[i] != d.Rules(n, i)
}

// stale compares the wanted key with that of the version that current names.
func (e *explainer) stale(c *Cause, n *graph.Node, i int, state engine.State) (err error) {
	current := e.s.Current(n, i)
	unjudged := e.s.unjudgedText(e.d, n, i)
	switch {
	case unjudged != "":
		c.Text = unjudged
	case current.IsZero():
		c.Text = "never built here"
	default:
		if c.Changes, err = e.s.wantedChanges(e.d, n, i); err != nil {
			return err
		}
		if c.Text = Reason(c.Changes); len(c.Changes) == 0 {
			c.Text = "its result has expired"
		}
	}
	if state == engine.Failed {
		c.Text += "; the last run failed: " + e.lastFailure(n, i)
	}
	return e.inputs(c, n, nil)
}

// lastBuilt compares the version that current names with the one before it.
func (e *explainer) lastBuilt(c *Cause, n *graph.Node, i int) error {
	if e.s.Ledger == nil {
		c.Text = "nothing to do"
		return nil
	}
	versions, err := e.s.Ledger.VersionsOf(e.s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return err
	}
	at := slices.IndexFunc(versions, func(v engine.Version) bool { return v.Key == e.d.Key(n, i) })
	if at < 0 {
		c.Text = "its result is known from elsewhere; build makes it the current one"
		return nil
	}
	old := predecessor(versions, at)
	if old == nil {
		c.Text = "its first version"
		return nil
	}
	return e.origin(c, n, *old, versions[at])
}

// between compares the keys of two versions.
func (e *explainer) between(c *Cause, n *graph.Node, old, new engine.Version) error {
	after, err := e.recorded(new.Key)
	if err != nil {
		return err
	}
	if c.Changes, err = e.changes(old.Key, after); err != nil {
		return err
	}
	c.Text = Reason(c.Changes)
	return e.inputs(c, n, &new)
}

// changes compares a recorded key with the sections of another. Only sections that differ are read from the ledger.
func (e *explainer) changes(old cache.ActionKey, new []section) ([]Change, error) {
	r, ok, err := e.s.Ledger.Result(old)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("the ledger has no result for key %s", old.Short())
	}
	var before, after []section
	for _, p := range r.Parts {
		if !hasPart(new, p) {
			s, err := e.section(p)
			if err != nil {
				return nil, fmt.Errorf("key %s: %w", old.Short(), err)
			}
			before = append(before, s)
		}
	}
	for _, s := range new {
		if !slices.Contains(r.Parts, s.part) {
			after = append(after, s)
		}
	}
	return compareKeys(before, after), nil
}

func hasPart(sections []section, p engine.Part) bool {
	return slices.ContainsFunc(sections, func(s section) bool { return s.part == p })
}

func (e *explainer) section(p engine.Part) (section, error) {
	entries, err := e.s.Ledger.Section(p.Digest)
	if err != nil {
		return section{}, fmt.Errorf("part %q: %w", p.Name, err)
	}
	return section{p, entries}, nil
}

// recorded reads the sections of a recorded key.
func (e *explainer) recorded(k cache.ActionKey) (out []section, err error) {
	r, _, err := e.s.Ledger.Result(k)
	for _, p := range r.Parts {
		s, err := e.section(p)
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, err
}

// wantedSections describes an action whose producers are decided.
func wantedSections(d *plan.Decider, n *graph.Node, i int) ([]section, error) {
	var out []section
	_, err := d.Worker().Parts(n, i, func(p engine.Part, body []byte) {
		entries, _ := engine.DecodeSection(body) // what Add wrote can be read
		out = append(out, section{p, entries})
	})
	return out, err
}

// wantedChanges compares the wanted key of an action with that of the version that current names.
func (s *Session) wantedChanges(d *plan.Decider, n *graph.Node, i int) ([]Change, error) {
	if s.locked != nil {
		return s.lockedChanges(d, n, i)
	}
	wanted, err := wantedSections(d, n, i)
	if err != nil {
		return nil, err
	}
	return (&explainer{s, d, nil}).changes(s.current[n.Index].key[i], wanted)
}

// upstream names the action where a missing, blocked or undecided state begins.
func (e *explainer) upstream(c *Cause, n *graph.Node, i int) error {
	root := e.d.Cause(n, i)
	from, j := e.s.Graph.Action(root)
	if from == n && i == j {
		c.Text = e.s.missingText(n, i)
		return nil
	}
	c.Text = fmt.Sprintf("%s is %s", from.Target.Label.At(from.Set.Text(j)), e.d.State(from, j))
	if e.d.State(n, i) == engine.Undecided {
		c.Text += "; if it gives the same result, this stays as it is"
	}
	below, err := e.state(from, j)
	if err == nil {
		c.From = append(c.From, below)
	}
	return err
}

// maxInputs bounds how many changed partitions of one input are followed up.
const maxInputs = 3

// inputs follows changed inputs to the versions that brought the change: those that were there when reader was made, or nil for now.
func (e *explainer) inputs(c *Cause, n *graph.Node, reader *engine.Version) error {
	if e.s.Ledger == nil {
		return nil // nobody here knows how they came about
	}
	followed := map[string]int{}
	for _, ch := range c.Changes {
		partition, isPartition := strings.CutPrefix(ch.Name, "@")
		name, isInput := strings.CutPrefix(ch.Part, "input ")
		if !isInput || !isPartition {
			continue
		}
		if followed[name] == maxInputs {
			c.More++
			continue
		}
		k := slices.IndexFunc(n.Target.Inputs, func(in *engine.Input) bool { return in.Name == name })
		if k < 0 || n.Edges[k] == nil {
			continue
		}
		followed[name]++
		from, err := e.change(n.Edges[k], partition, ch, reader)
		if err != nil {
			return err
		}
		if from != nil {
			c.From = append(c.From, from)
		}
	}
	return nil
}

// change explains how a producer came from one tree to another by the time that reader was made, or by now.
func (e *explainer) change(edge *graph.Edge, partition string, ch Change, reader *engine.Version) (*Cause, error) {
	n := edge.From
	i, ok := n.Set.IndexText(partition)
	if !ok || e.seen[n.Base+graph.ActionID(i)] {
		return nil, nil
	}
	e.seen[n.Base+graph.ActionID(i)] = true
	c := e.cause(n, i)
	versions, err := e.s.Ledger.VersionsOf(e.s.Graph.Workspace.Name, n.Target.Label, partition)
	if err != nil {
		return nil, err
	}
	before, after := turned(beforeThat(versions, reader), edge.Output.Name, ch.Old, ch.New)
	if after == nil { // its job ran for another build, which was the first to record what this one read too
		before, after = turned(versions, edge.Output.Name, ch.Old, ch.New)
	}
	switch {
	case ch.Old == "":
		c.Text = "new among the inputs"
	case ch.New == "":
		c.Text = "no longer among the inputs"
	case after == nil && n.Target.Kind == engine.Source:
		c.Text = "its files changed"
		if before != nil {
			new := engine.Version{Outputs: []engine.VersionOutput{{Visible: e.d.Tree(n, i, 0)}}}
			return c, e.files(c, *before, new)
		}
	case before == nil || after == nil:
		c.Text = "it was made by another checkout or build"
	case n.Target.Kind == engine.Source:
		return c, e.files(c, *before, *after)
	default:
		return c, e.between(c, n, *before, *after)
	}
	return c, nil
}

// beforeThat leaves out versions that came after their reader; none if that is nil.
func beforeThat(versions []engine.Version, reader *engine.Version) []engine.Version {
	if reader == nil {
		return versions
	}
	return slices.DeleteFunc(slices.Clone(versions), func(v engine.Version) bool {
		if v.Build > 0 && reader.Build > 0 {
			return v.Build > reader.Build
		}
		return v.Created.After(reader.Created)
	})
}

// turned finds where an output last came from one tree to another: the version that brought the new one, which later versions may have kept, and the one
// before it with the old one. versions are the newest first; nil is what they don't have.
func turned(versions []engine.Version, output, old, new string) (before, after *engine.Version) {
	has := func(tree string) func(engine.Version) bool {
		return func(v engine.Version) bool { return treeOf(v, output) == tree }
	}
	at := func(from int, tree string) (int, *engine.Version) {
		k := slices.IndexFunc(versions[from:], has(tree))
		if k < 0 {
			return from, nil
		}
		return from + k, &versions[from+k]
	}
	k, after := at(0, new)
	for after != nil && k+1 < len(versions) && has(new)(versions[k+1]) {
		k++
		after = &versions[k]
	}
	if _, before = at(k, old); before == nil { // it went back to what there had been before
		_, before = at(0, old)
	}
	return before, after
}

// treeOf is what consumers see of an output of a version, in hexadecimal; "" if the version has no such output.
func treeOf(v engine.Version, output string) string {
	for _, o := range v.Outputs {
		if o.Name == output {
			return o.Visible.String()
		}
	}
	return ""
}

// files compares what was observed of a source, file by file.
func (e *explainer) files(c *Cause, old, new engine.Version) error {
	before, after := e.tree(c, old), e.tree(c, new)
	var s, o section
	for _, entry := range after.Entries {
		s.entries = append(s.entries, engine.Entry{Name: entry.Path, Value: entry.Digest.Short()})
	}
	for _, entry := range before.Entries {
		o.entries = append(o.entries, engine.Entry{Name: entry.Path, Value: entry.Digest.Short()})
	}
	s.part.Name = "source"
	c.Changes = compareSection(o, s)
	c.Text = Reason(c.Changes)
	return nil
}

// tree loads a source's tree from the store, or as it was observed just now. A tree that is gone is empty.
func (e *explainer) tree(c *Cause, v engine.Version) cache.Tree {
	want := v.Outputs[0].Visible
	if t, err := e.s.Store.GetTree(context.Background(), want); err == nil {
		return t
	}
	n := e.s.Graph.Node(c.Label)
	if i, ok := n.Set.IndexText(c.Partition); ok {
		if snapshot, err := e.s.snapshot(n, n.Target.Path, i); err == nil && snapshot.Digest() == want {
			return snapshot.Tree
		}
	}
	return cache.Tree{}
}

// Brief says in one line why an action is not fresh.
func (s *Session) Brief(d *plan.Decider, n *graph.Node, i int) (string, error) {
	id, state := n.Base+graph.ActionID(i), d.State(n, i)
	if err := d.Problem(id); err != nil {
		return "unknown: " + err.Error(), nil
	}
	switch state {
	case engine.Fresh:
		return "", nil
	case engine.Frozen:
		return s.driftText(d, n, i), nil
	case engine.Stale:
		return s.reason(d, n, i), nil
	case engine.Held, engine.Refused:
		return s.contractText(d, n, i), nil
	}
	e := &explainer{s, d, map[graph.ActionID]bool{}}
	c := e.cause(n, i)
	if state == engine.Failed {
		return "the last run failed: " + e.lastFailure(n, i), nil
	}
	from, j := s.Graph.Action(d.Cause(n, i))
	if from == n && i == j {
		err := e.upstream(c, n, i)
		return c.Text, err
	}
	text := fmt.Sprintf("%s is %s", from.Target.Label.At(from.Set.Text(j)), d.State(from, j))
	if owner := s.Graph.Workspace.OwnerText(from.Target.Owner); owner != "" && state != engine.Undecided {
		text += "; ask " + owner
	}
	return text, nil
}

func (e *explainer) lastFailure(n *graph.Node, i int) string {
	run, ok, err := e.s.Ledger.LastRun(e.d.Key(n, i))
	if err != nil || !ok {
		return "its record can't be read"
	}
	return run.Failure
}

// reason says in a few words why a job runs.
func (s *Session) reason(d *plan.Decider, n *graph.Node, i int) string {
	if text := s.unjudgedText(d, n, i); text != "" {
		return text
	}
	if s.Current(n, i).IsZero() {
		return "new"
	}
	changes, err := s.wantedChanges(d, n, i)
	if err != nil {
		return "its history can't be read"
	}
	if len(changes) > 0 {
		return Reason(changes)
	}
	switch s.unchangedWord(d, n, i) {
	case "expired":
		return fmt.Sprintf("its result has expired: it was valid for %s", n.Target.ValidFor)
	case "not isolated":
		return "its result was made without isolation"
	}
	return "its bytes are gone, and are needed"
}

// unchangedWord says in a word why a job runs although its key is that of the current version.
func (s *Session) unchangedWord(d *plan.Decider, n *graph.Node, i int) string {
	switch {
	case n.Target.ValidFor > 0:
		return "expired"
	case s.boxes.Mode == sandbox.Require && !s.madeIsolated(d.Key(n, i)):
		return "not isolated"
	}
	return "evicted"
}

// madeIsolated says whether the result of a key, if there is one, was made by an isolated job.
func (s *Session) madeIsolated(key cache.ActionKey) bool {
	r, ok, err := s.Ledger.Result(key)
	return err != nil || !ok || s.accepts(&r)
}

// Reason sums changes up in one line: the first two, and how many more.
func Reason(changes []Change) string {
	var parts []string
	seen := map[string]bool{}
	for _, ch := range changes {
		text := ch.String()
		if !seen[text] {
			parts = append(parts, text)
		}
		seen[text] = true
	}
	switch {
	case len(parts) == 0:
		return "no change"
	case len(parts) > 2:
		return fmt.Sprintf("%s, %s and %d more", parts[0], parts[1], len(parts)-2)
	}
	return strings.Join(parts, ", ")
}

// String says what changed, without the values.
func (c Change) String() string {
	verb := "changed"
	if c.Old == "" {
		verb = "added"
	} else if c.New == "" {
		verb = "removed"
	}
	name := c.Name
	if c.Part == "source" {
		return "file " + name + " " + verb
	}
	if input, ok := strings.CutPrefix(c.Part, "input "); ok {
		if p, ok := strings.CutPrefix(name, "@"); ok && p != "" {
			return "input " + input + "@" + p + " " + verb
		}
		if name == "@" {
			return "input " + input + " " + verb
		}
		return "input " + input + ": " + name + " " + verb
	}
	if strings.HasPrefix(name, "sql[") {
		return "sql " + verb
	}
	return name + " " + verb
}
