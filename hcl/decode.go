package hcl

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// decoder turns one file into engine values. It collects problems and goes on, so that all are reported at once.
type decoder struct {
	shared   *workspace // what dpb.hcl declares
	file     string     // relative to the root
	pkg      string
	src      []byte
	scope    *scope
	mu       sync.Mutex // of sources: what texts compute may read files later on
	sources  Sources
	problems []engine.Problem
	asked    []question
	unsure   bool // a file could not be read: what was loaded may be another the next time, although no file has changed

	pack    *engine.Package
	targets []*engine.Target
}

// block is one block of a file, or the whole file.
type block struct {
	*decoder
	kind   *kind
	body   *hclsyntax.Body
	name   string // its label
	header hcl.Range
	label  hcl.Range // the label's range
	parent *block
	read   map[string][]*block // what children returned
	loose  bool                // its partition_by is wrong, so any partition may be meant
}

// report adds an error about r in this block. The result may be completed until the next call.
func (b *block) report(r hcl.Range, hint, format string, args ...any) *engine.Problem {
	b.problems = append(b.problems, engine.Problem{Summary: fmt.Sprintf(format, args...), Hint: hint, Range: place(r), Context: place(b.header)})
	return &b.problems[len(b.problems)-1]
}

// warn is report for what is no error.
func (b *block) warn(r hcl.Range, hint, format string, args ...any) {
	b.report(r, hint, format, args...).Severity = engine.Warning
}

func place(r hcl.Range) engine.Range {
	if r == (hcl.Range{}) {
		return engine.Range{}
	}
	pos := func(p hcl.Pos) engine.Pos { return engine.Pos{Line: p.Line, Column: p.Column, Byte: p.Byte} }
	return engine.Range{File: r.Filename, Start: pos(r.Start), End: pos(r.End)}
}

// whole wraps the file's body and checks what stands in it.
func (d *decoder) whole(body *hclsyntax.Body, k *kind) *block {
	b := &block{decoder: d, kind: k, body: body}
	b.check()
	return b
}

// children returns the blocks of one kind, in the order written, after checking their labels and what stands in them. Those that can't be
// used are left out.
func (b *block) children(name string) []*block {
	out, done := b.read[name]
	if !done {
		out = b.readChildren(name)
		if b.read == nil {
			b.read = map[string][]*block{}
		}
		b.read[name] = out
	}
	return out
}

// count is how many blocks of a kind were written, usable or not.
func (b *block) count(name string) int {
	n := 0
	for _, c := range b.body.Blocks {
		if c.Type == name {
			n++
		}
	}
	return n
}

func (b *block) readChildren(name string) []*block {
	k := kinds[name]
	var out []*block
	first := map[string]hcl.Range{}
	for _, syn := range b.body.Blocks {
		if syn.Type != name {
			continue
		}
		c := &block{decoder: b.decoder, kind: k, body: syn.Body, header: syn.DefRange(), label: syn.TypeRange, parent: b}
		ok := c.readLabel(syn)
		c.check()
		if !ok {
			continue
		}
		id := c.name
		if k.once {
			id = ""
		}
		if at, twice := first[id]; twice && (k.label != "" || k.once) {
			c.twice(at)
			continue
		}
		first[id] = c.header
		out = append(out, c)
	}
	return out
}

// twice reports a second block of the same kind and name.
func (b *block) twice(first hcl.Range) {
	if b.kind.once {
		b.report(b.header, "put all into one block", "there are two %s blocks", b.kind.name).Detail = fmt.Sprintf("The first is in line %d.", first.Start.Line)
		return
	}
	b.report(b.label, "rename one of them", "%s %q is declared twice", b.kind.name, b.name).Detail = fmt.Sprintf("The first is in line %d.", first.Start.Line)
}

// only returns the one block of a kind, or nil.
func (b *block) only(name string) *block {
	if all := b.children(name); len(all) > 0 {
		return all[0]
	}
	return nil
}

// readLabel checks that a block has the labels of its kind.
func (b *block) readLabel(syn *hclsyntax.Block) bool {
	k := b.kind
	switch {
	case k.label == "" && len(syn.Labels) == 0:
		return true
	case k.label == "":
		b.report(syn.LabelRanges[0], fmt.Sprintf("write %s { ... }", k.name), "%s has no name", k.article())
		return false
	case len(syn.Labels) == 0:
		b.report(syn.TypeRange, fmt.Sprintf("write %s %q { ... }", k.name, k.label), "%s needs a name", k.article())
		return false
	case len(syn.Labels) > 1:
		b.report(syn.LabelRanges[1], fmt.Sprintf("write %s %q { ... }", k.name, syn.Labels[0]), "%s has one name only", k.article())
		return false
	}
	b.name, b.label = syn.Labels[0], syn.LabelRanges[0]
	if !strings.HasPrefix(b.sourceOf(b.label), `"`) {
		b.report(b.label, fmt.Sprintf("write %s %q { ... }", k.name, b.name), "the name %s needs quotes", b.name)
	}
	return b.checkName(b.name, b.label)
}

// checkName reports a name that can't be one. Teams and workspaces are not part of labels and may have dashes.
func (b *block) checkName(name string, r hcl.Range) bool {
	check := engine.CheckName
	if b.kind.name == "team" || b.kind.name == "workspace" {
		check = checkTeamName
	}
	if err := check(name); err != nil {
		b.report(r, spellName(name, check), "%s", err)
		return false
	}
	return true
}

func checkTeamName(name string) error {
	if strings.Contains(name, "--") || strings.HasSuffix(name, "-") || engine.CheckName(strings.ReplaceAll(name, "-", "_")) != nil {
		return fmt.Errorf("%q is no name: want a lower-case letter, then lower-case letters, digits, _ and -", name)
	}
	return nil
}

// spellName hints at the nearest name that check accepts.
func spellName(name string, check func(string) error) string {
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '_':
			return r
		}
		return '_'
	}, name)
	clean = strings.Trim(clean, "_")
	if len(clean) > 60 || clean == name || check(clean) != nil {
		return ""
	}
	return fmt.Sprintf("write %q", clean)
}

// sourceOf is the text of r in the file.
func (d *decoder) sourceOf(r hcl.Range) string {
	if r.Filename != d.file || r.Start.Byte > r.End.Byte || r.End.Byte > len(d.src) {
		return ""
	}
	return string(d.src[r.Start.Byte:r.End.Byte])
}

// check reports attributes and blocks that don't belong into b.
func (b *block) check() {
	if b.kind.name == "locals" {
		for _, c := range b.body.Blocks {
			b.report(c.TypeRange, fmt.Sprintf("write %s = { ... }", c.Type), "locals holds no blocks")
		}
		return
	}
	for _, a := range b.body.Attributes {
		if !slices.Contains(b.kind.attrs, a.Name) {
			b.unknownAttr(a)
		}
	}
	for _, c := range b.body.Blocks {
		if !slices.Contains(b.kind.blocks, c.Type) {
			b.unknownBlock(c)
		}
	}
}

func (b *block) unknownAttr(a *hclsyntax.Attribute) {
	if slices.Contains(b.kind.blocks, a.Name) {
		b.report(a.NameRange, "write "+blockExample(a.Name), "%s is a block, not an attribute", a.Name)
		return
	}
	p := b.report(a.NameRange, "", "there is no attribute %q in %s", a.Name, b.kind.article())
	in, _ := kindsWith(a.Name)
	switch near := engine.Suggest(a.Name, slices.Concat(b.kind.attrs, b.kind.blocks)); {
	case len(in) > 0:
		p.Hint = fmt.Sprintf("%s belongs into a block %s", a.Name, strings.Join(in, " or "))
	case near != "":
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(b.kind.attrs) > 0:
		p.Hint = "it has " + strings.Join(b.kind.attrs, ", ")
	}
}

func (b *block) unknownBlock(c *hclsyntax.Block) {
	if slices.Contains(b.kind.attrs, c.Type) {
		b.report(c.TypeRange, "write "+example(c.Type), "%s is an attribute, not a block", c.Type)
		return
	}
	p := b.report(c.TypeRange, "", "there is no block %q in %s", c.Type, b.kind.article())
	_, in := kindsWith(c.Type)
	switch near := engine.Suggest(c.Type, slices.Concat(b.kind.blocks, b.kind.attrs)); {
	case slices.Contains(workspaceKind.blocks, c.Type):
		p.Hint = fmt.Sprintf("%s stands in %s, in the workspace's root folder, outside of other blocks", c.Type, WorkspaceFile)
	case slices.Contains(packageKind.blocks, c.Type):
		p.Hint = fmt.Sprintf("%s stands in a %s, outside of other blocks", c.Type, PackageFile)
	case len(in) > 0:
		p.Hint = fmt.Sprintf("%s belongs into a block %s", c.Type, strings.Join(in, " or "))
	case near != "":
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	case len(b.kind.blocks) > 0:
		p.Hint = "it has " + strings.Join(b.kind.blocks, ", ")
	}
}

func blockExample(name string) string {
	if k := kinds[name]; k != nil && k.label != "" {
		return fmt.Sprintf("%s %q { ... }", name, k.label)
	}
	return name + " { ... }"
}

// attr is the expression of an attribute, or nil.
func (b *block) attr(name string) hclsyntax.Expression {
	if a := b.body.Attributes[name]; a != nil {
		return a.Expr
	}
	return nil
}

// require is attr for what must be there.
func (b *block) require(name string) hclsyntax.Expression {
	e := b.attr(name)
	if e == nil {
		b.report(b.header, "add "+example(name), "%s is missing in %s %q", name, b.kind.name, b.name)
	}
	return e
}
