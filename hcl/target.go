package hcl

import (
	"fmt"

	"github.com/dpb-build/dpb/engine"
)

const maxThreads = 4096

// target reads a target block.
func (b *block) target() *engine.Target {
	t := b.newTarget()
	t.Kind = b.kindOf()
	t.Tags = plain(b.texts("tags"))
	t.Freeze = b.freeze(t)
	in := b.inputs(t)
	rules := b.outputs(t)
	switch t.Kind {
	case engine.SQL:
		b.statements(t)
		b.commandOnly()
	case engine.Command:
		b.needOutputs(t)
		b.command(t)
	}
	b.resources(t)
	for _, r := range in.rules {
		r.check(t, nil, r.input)
	}
	for _, r := range rules {
		r.check(t, outputOf(t, r), nil)
	}
	return t
}

// outputOf finds the output whose block holds a rule.
func outputOf(t *engine.Target, r *rule) *engine.Output { return t.Output(r.parent.name) }

// kindOf says how the target is made; 0 if that is not clear, which is reported.
func (b *block) kindOf() engine.Kind {
	sql, command := b.attr("sql"), b.attr("command")
	switch {
	case sql != nil && command != nil:
		b.report(command.Range(), "make two targets of it", "sql and command can't stand together")
	case sql != nil:
		return engine.SQL
	case command != nil:
		return engine.Command
	default:
		hint := fmt.Sprintf(`add sql = file("%s.sql"), or command = ["python3", "%s.py", output.%s]`, b.name, b.name, b.name)
		b.report(b.header, hint, "target %q does not say how it is made", b.name)
	}
	return 0
}

// commandOnly reports attributes that mean nothing to SQL.
func (b *block) commandOnly() {
	for _, name := range []string{"code", "env", "secrets", "tools", "image", "network"} {
		if a := b.body.Attributes[name]; a != nil {
			b.report(a.NameRange, "remove it, or run a program with command", "%s means nothing to sql, which reads only its inputs", name)
		}
	}
}

// needOutputs reports a command that does not say what it writes.
func (b *block) needOutputs(t *engine.Target) {
	if len(t.Outputs) > 0 || b.count("output") > 0 {
		return
	}
	hint := fmt.Sprintf("output %q {\n  path = %q\n}", b.name, b.name+".csv")
	b.report(b.header, "add\n"+hint, "target %q has no output", b.name).Detail = "A command must say what it writes."
}

// resources reads limits of time and space, and what a job may reach.
func (b *block) resources(t *engine.Target) {
	t.Timeout, t.ValidFor = b.duration("timeout"), b.duration("valid_for")
	t.Network = b.flag("network", false)
	t.Threads = int(b.integerAttr("threads", 1, maxThreads))
	t.Memory = b.size("memory", 0)
	if t.Network && b.attr("valid_for") == nil && b.attr("freeze") == nil {
		b.report(b.body.Attributes["network"].NameRange, `add valid_for = "7d", or freeze = "built"`, "network needs valid_for or freeze").Detail =
			"What a job reads from the network is in no key, so dpb can't see when it changes."
	}
	if image := b.body.Attributes["image"]; image != nil && t.Kind == engine.Command {
		b.report(image.NameRange, "name the programs with tools = [...] instead", "images are not available yet")
	}
}
