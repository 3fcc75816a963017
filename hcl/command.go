package hcl

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/dpb-build/dpb/engine"
)

// command reads what a program gets: arguments, code, environment, secrets and tools.
func (b *block) command(t *engine.Target) {
	n := &names{dims: t.PartitionBy, loose: b.loose, paths: true, scalars: true}
	for _, in := range t.Inputs {
		n.inputs = append(n.inputs, in.Name)
	}
	for _, o := range t.Outputs {
		n.outputs = append(n.outputs, o.Name)
	}
	b.arguments(t, n)
	t.Code = b.code()
	b.unseenFiles(t)
	b.environment(t, n)
	b.secrets(t)
	t.Tools = b.tools()
}

func (b *block) arguments(t *engine.Target, n *names) {
	e := b.attr("command")
	if words, ok := shellWords(e); ok {
		b.report(e.Range(), "write command = ["+words+"]", "command wants a list, not a string").Detail = "No shell takes it apart."
		return
	}
	elements, ok := b.elements(e, "command")
	if !ok {
		return
	}
	if len(elements) == 0 {
		b.report(e.Range(), "write "+example("command"), "command is empty")
	}
	for i, x := range elements {
		text, ok := b.dynamic(x, "command", n)
		if !ok {
			continue
		}
		if s, err := text.At(nil, nil); i == 0 && err == nil && strings.TrimSpace(s) == "" {
			b.report(x.Range(), "", "the program's name is empty")
		}
		t.Command = append(t.Command, text)
	}
}

// unseenFiles warns of arguments that name files of the package which the job will not see.
func (b *block) unseenFiles(t *engine.Target) {
	e, ok := unwrap(b.attr("command")).(*hclsyntax.TupleConsExpr)
	if !ok || len(e.Exprs) != len(t.Command) {
		return
	}
	for i, arg := range t.Command {
		if len(arg) != 1 || arg[0].Literal == "" || path.IsAbs(arg[0].Literal) || !strings.Contains(arg[0].Literal, ".") {
			continue
		}
		name := path.Clean(arg[0].Literal)
		seen := slices.ContainsFunc(t.Code, func(c engine.CodeRef) bool {
			return !c.Source.IsZero() || doublestar.MatchUnvalidated(path.Clean(c.Glob), name)
		})
		if !seen && b.ask(question{File: name}) {
			b.warn(e.Exprs[i].Range(), fmt.Sprintf("add code = [%q]", name), "%s is not in code, so the job does not see it", name)
		}
	}
}

// shellWords quotes the words of a command that is written as one string.
func shellWords(e hclsyntax.Expression) (string, bool) {
	t, ok := unwrap(e).(*hclsyntax.TemplateExpr)
	if !ok || !t.IsStringLiteral() {
		return "", false
	}
	v, diags := t.Value(nil)
	if diags.HasErrors() || v.Type() != cty.String {
		return "", false
	}
	var words []string
	for w := range strings.FieldsSeq(v.AsString()) {
		words = append(words, fmt.Sprintf("%q", w))
	}
	return strings.Join(words, ", "), true
}

// code reads the files that a job may read as its own: globs in the package, and sources by label.
func (b *block) code() []engine.CodeRef {
	var out []engine.CodeRef
	e := b.attr("code")
	if e == nil {
		return nil
	}
	elements, ok := b.elements(e, "code")
	if !ok {
		return nil
	}
	for _, w := range b.words(elements, "code") {
		ref := engine.CodeRef{Glob: w.text, Range: place(w.at)}
		if isLabel(w.text) {
			label, err := engine.ParseLabel(w.text, b.pkg)
			if err != nil {
				b.report(w.at, `write the label of a source, such as "//lib:py"`, "%s", err)
				continue
			}
			ref.Glob, ref.Source = "", label
		} else if !b.insideGlob(&hclsyntax.LiteralValueExpr{SrcRange: w.at}, w.text) {
			continue
		} else {
			b.needFile(w.at, w.text)
		}
		out = append(out, ref)
	}
	return out
}

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// checkVariable reports what can't name a variable of the job's environment.
func (b *block) checkVariable(name string, at hcl.Range) bool {
	switch {
	case !variableName.MatchString(name):
		b.report(at, "use letters, digits and _", "%q can't name an environment variable", name)
	case reservedVariable(name):
		b.report(at, "choose another name", "dpb itself sets %s", name)
	default:
		return true
	}
	return false
}

// reservedVariable says whether dpb sets a variable for each job.
func reservedVariable(name string) bool {
	return strings.HasPrefix(name, "DPB_") || slices.Contains([]string{"PATH", "HOME", "TMPDIR"}, name)
}

func (b *block) environment(t *engine.Target, n *names) {
	e := b.attr("env")
	if e == nil {
		return
	}
	entries, _ := b.entries(e, "env")
	for _, x := range entries {
		if !b.checkVariable(x.key, x.at) {
			continue
		}
		if v, ok := b.dynamic(x.expr, "env "+x.key, n); ok {
			t.Env = append(t.Env, engine.EnvVar{Name: x.key, Value: v})
		}
	}
	slices.SortFunc(t.Env, func(x, y engine.EnvVar) int { return strings.Compare(x.Name, y.Name) })
}

// secrets reads ["TOKEN"], { TOKEN = "v1" } and { TOKEN = { identity = "v1" } }.
func (b *block) secrets(t *engine.Target) {
	e := b.attr("secrets")
	if e == nil {
		return
	}
	if !b.isMap(e) {
		for _, w := range b.texts("secrets") {
			b.secret(t, w, "")
		}
		return
	}
	entries, _ := b.entries(e, "secrets")
	for _, x := range entries {
		if identity, ok := b.identity(x.expr); ok {
			b.secret(t, word{x.key, x.at}, identity)
		}
	}
}

func (b *block) secret(t *engine.Target, w word, identity string) {
	if !b.checkVariable(w.text, w.at) {
		return
	}
	if slices.ContainsFunc(t.Env, func(v engine.EnvVar) bool { return v.Name == w.text }) {
		b.report(w.at, "keep one of them", "%s stands in env and in secrets", w.text)
		return
	}
	i, _ := slices.BinarySearchFunc(t.Secrets, w.text, func(s engine.Secret, name string) int { return strings.Compare(s.Name, name) })
	t.Secrets = slices.Insert(t.Secrets, i, engine.Secret{Name: w.text, Identity: identity})
}

// identity is what enters the key in the secret's stead.
func (b *block) identity(e hclsyntax.Expression) (string, bool) {
	if !b.isMap(e) {
		return b.text(e, "secrets")
	}
	entries, ok := b.entries(e, "secrets")
	if !ok {
		return "", false
	}
	if len(entries) != 1 || entries[0].key != "identity" {
		b.report(e.Range(), `write { identity = "v1" }`, "a secret has an identity and nothing else")
		return "", false
	}
	return b.text(entries[0].expr, "identity")
}

// tools reads names of programs and paths of folders.
func (b *block) tools() []string {
	var out []string
	for _, w := range b.texts("tools") {
		switch clean := path.Clean(w.text); {
		case w.text == "" || strings.ContainsAny(w.text, "*?\\\n"):
			b.report(w.at, `write a program's name, or a folder such as ".venv/"`, "%q is no tool", w.text)
		case clean == ".." || strings.HasPrefix(clean, "../"):
			b.report(w.at, "", "%q leaves the package's folder", w.text)
		default:
			out = append(out, w.text)
		}
	}
	return out
}
