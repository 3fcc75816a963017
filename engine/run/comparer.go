package run

import (
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// comparer finds out why jobs would run, by what their keys are made of. Mostly the same changed for thousands of partitions: so it first tries whether undoing what it
// found before gives the key of the current version, and asks the ledger only where that fails.
type comparer struct {
	o    *Outlook
	w    *plan.Worker
	past []exchange                          // the newest last
	said map[[2]cache.SectionDigest][]string // what entryWords said, of sections as they were and as they are
	err  error                               // the first that the ledger met
}

// exchange is what once made one key of another: sections by name, as they are and as they were.
type exchange struct {
	parts    []string
	new, old []cache.SectionDigest
	why      uint16
}

// maxExchanges bounds how many are tried.
const maxExchanges = 8

// foresee tells what becomes of an action by what was decided of it.
func (c *comparer) foresee(n *graph.Node, i int) (Fate, uint16) {
	o, id := c.o, n.Base+graph.ActionID(i)
	p, _ := o.Decider.Pending(id)
	if o.Decider.Problem(id) != nil {
		return Halted, 0
	}
	switch state := o.Decider.State(n, i); {
	case state == engine.Frozen, state == engine.Fresh && !p.Measure && !p.Again:
		return Idle, 0
	case state == engine.Failed:
		return Runs, o.reason([]string{"failed"})
	case state == engine.Undecided:
		return c.undecided(n, i)
	case state == engine.Blocked:
		return c.blocked(n, i)
	case state == engine.Stale && p.Input != nil:
		return MayRun, o.reason([]string{"input " + p.Input.Name + " has to be judged"})
	case p.Result != nil && (state == engine.Fresh || state == engine.Stale || p.Again):
		return c.judged(n, p.Result)
	case state == engine.Stale && o.s.locked != nil && o.s.ruledAnew(o.Decider, n, i):
		return Judged, 0
	case state == engine.Stale && isJob(n):
		return Runs, c.stale(n, i)
	case state == engine.Stale:
		return Judged, 0
	}
	return Halted, 0
}

// judged is of an action whose result has to be split, measured or judged. That takes its bytes, unless all that is asked was measured.
func (c *comparer) judged(n *graph.Node, r *engine.Result) (Fate, uint16) {
	for _, out := range r.Outputs {
		if isJob(n) && c.o.s.locked == nil && !c.o.present(out.Tree) {
			return MayRun, c.o.reason([]string{"evicted"})
		}
	}
	return Judged, 0
}

// blocked is of an action that has to wait for another. One that failed is tried again in each build, and what is held may be judged again.
func (c *comparer) blocked(n *graph.Node, i int) (Fate, uint16) {
	root := c.o.Decider.Cause(n, i)
	from, j := c.o.s.Graph.Action(root)
	if c.o.Fate(from, j) == Halted {
		return Halted, 0
	}
	return MayRun, c.after(n, i)
}

// after says on which other target it depends whether a job runs.
func (c *comparer) after(n *graph.Node, i int) uint16 {
	from, _ := c.o.s.Graph.Action(c.o.Decider.Cause(n, i))
	return c.o.reason([]string{"after " + from.Target.Label.String()})
}

// undecided is of an action with a producer that is not fresh. Its job runs for certain if no result can be known: none that is known has the target's section, or the
// partition's, in its key. Neither depends on inputs.
func (c *comparer) undecided(n *graph.Node, i int) (Fate, uint16) {
	parts, err := c.w.OwnParts(n, i, nil)
	if err != nil {
		return Halted, 0
	}
	for _, p := range parts {
		if !c.has(p.Digest) {
			if c.o.nodes[n.Index].common {
				return MayRun, c.after(n, i)
			}
			return Runs, c.why(n, i, parts)
		}
	}
	return MayRun, c.after(n, i)
}

// has says whether the ledger has a section, or the locks.
func (c *comparer) has(d cache.SectionDigest) bool {
	if c.o.s.locked != nil {
		return c.o.s.locked.has(d)
	}
	c.o.mu.Lock()
	has, known := c.o.sections[d]
	c.o.mu.Unlock()
	if known || c.o.s.Ledger == nil {
		return has
	}
	has, err := c.o.s.Ledger.HasSection(d)
	c.note(err)
	c.o.mu.Lock()
	defer c.o.mu.Unlock()
	c.o.sections[d] = has
	return has
}

func (c *comparer) note(err error) {
	if c.err == nil {
		c.err = err
	}
}

// stale says why the job of an action runs whose key is known.
func (c *comparer) stale(n *graph.Node, i int) uint16 {
	parts, err := c.w.Parts(n, i, nil)
	c.note(err)
	return c.why(n, i, parts)
}

// why compares the parts of a wanted key, all or those that are known, with those of the version that current names.
func (c *comparer) why(n *graph.Node, i int, parts []engine.Part) uint16 {
	s := c.o.s
	if s.Current(n, i).IsZero() {
		return c.o.reason([]string{"new"})
	}
	if s.locked != nil {
		return c.o.reason(c.lockedWords(n, i))
	}
	old := s.current[n.Index].key[i]
	for _, x := range slices.Backward(c.past) {
		if x.undoes(parts, old) {
			return x.why
		}
	}
	r, ok, err := s.Ledger.Result(old)
	if err != nil || !ok {
		return c.o.reason([]string{"unknown"})
	}
	x := exchange{}
	words := c.words(n, i, r.Parts, parts, &x)
	if words == nil {
		words = []string{s.unchangedWord(c.o.Decider, n, i)}
	}
	if x.why = c.o.reason(words); len(x.parts) > 0 && len(parts) == len(r.Parts) {
		if len(c.past) == maxExchanges {
			c.past = c.past[1:]
		}
		c.past = append(c.past, x)
	}
	return x.why
}

// lockedWords says what differs between a wanted key and that of the lock.
func (c *comparer) lockedWords(n *graph.Node, i int) []string {
	var wanted []section
	describe, all := c.w.Parts, true
	if c.o.Decider.State(n, i) == engine.Undecided {
		describe, all = c.w.OwnParts, false
	}
	_, err := describe(n, i, func(p engine.Part, body []byte) {
		entries, _ := engine.DecodeSection(body) // what Add wrote can be read
		wanted = append(wanted, section{p, entries})
	})
	if err != nil {
		return []string{"unknown"}
	}
	if words := inOrder(c.o.s.sinceLocked(n, i, wanted, all)); words != nil {
		return words
	}
	return []string{c.o.s.unchangedWord(c.o.Decider, n, i)}
}

// inOrder are the words for changes, each once.
func inOrder(changes []Change) (words []string) {
	for _, ch := range changes {
		words = append(words, ch.Word())
	}
	slices.SortStableFunc(words, func(a, b string) int { return wordOrder(a) - wordOrder(b) })
	return slices.Compact(words)
}

// undoes says whether a key had these parts but for the exchange.
func (x *exchange) undoes(parts []engine.Part, key cache.ActionKey) bool {
	was := slices.Clone(parts)
	for k, name := range x.parts {
		at := slices.IndexFunc(was, func(p engine.Part) bool { return p.Name == name })
		if at < 0 || was[at].Digest != x.new[k] {
			return false
		}
		was[at].Digest = x.old[k]
	}
	return engine.Key(was) == key
}

// words says what differs between two keys. Of inputs that is the input; the other sections are looked into.
func (c *comparer) words(n *graph.Node, i int, old, new []engine.Part, x *exchange) []string {
	var words []string
	for _, p := range new {
		at := slices.IndexFunc(old, func(o engine.Part) bool { return o.Name == p.Name })
		switch {
		case at >= 0 && old[at].Digest == p.Digest:
			continue
		case at >= 0:
			x.parts, x.new, x.old = append(x.parts, p.Name), append(x.new, p.Digest), append(x.old, old[at].Digest)
		}
		if strings.HasPrefix(p.Name, "input ") {
			words = append(words, p.Name)
		} else if at >= 0 {
			words = append(words, c.entryWords(n, i, old[at], p)...)
		}
	}
	slices.SortStableFunc(words, func(a, b string) int { return wordOrder(a) - wordOrder(b) })
	return slices.Compact(words)
}

// entryWords says what differs between two sections of one name, and remembers it: the section of a target is the same for all of its partitions.
func (c *comparer) entryWords(n *graph.Node, i int, old, new engine.Part) []string {
	both := [2]cache.SectionDigest{old.Digest, new.Digest}
	words, known := c.said[both]
	if !known {
		words = c.compareEntries(n, i, old, new)
		if c.said == nil || len(c.said) > 1000 {
			c.said = map[[2]cache.SectionDigest][]string{}
		}
		c.said[both] = words
	}
	return words
}

func (c *comparer) compareEntries(n *graph.Node, i int, old, new engine.Part) (words []string) {
	after := section{part: new}
	_, err := c.w.OwnParts(n, i, func(p engine.Part, body []byte) {
		if p.Name == new.Name {
			after.entries, _ = engine.DecodeSection(body) // what Add wrote can be read
		}
	})
	before := section{part: old}
	if err == nil {
		before.entries, err = c.o.s.Ledger.Section(old.Digest)
	}
	if err != nil {
		return []string{"unknown"}
	}
	for _, ch := range compareSection(before, after) {
		words = append(words, ch.Word())
	}
	return words
}

// changeWords are what a change of a key's entry is called in short, in the order in which they are said.
var changeWords = []string{"code", "arguments", "env", "tool", "declaration"}

func wordOrder(word string) int {
	if k := slices.Index(changeWords, word); k >= 0 {
		return k
	}
	return len(changeWords)
}

// Word says in one word what changed: code, arguments, env, tool, declaration, or the input.
func (c Change) Word() string {
	if strings.HasPrefix(c.Part, "input ") {
		return c.Part
	}
	name := c.Name
	if end := strings.IndexAny(name, " ["); end >= 0 {
		name = name[:end]
	}
	switch name {
	case "sql", "code":
		return "code"
	case "command":
		return "arguments"
	case "env", "secret":
		return "env"
	case "tool", "image", "engine", "writer", "schema":
		return "tool"
	}
	return "declaration"
}
