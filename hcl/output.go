package hcl

import (
	"fmt"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"github.com/dpb-build/dpb/engine"
)

// defaultPartSize is how many bytes a part of a table in several files may have at most.
const defaultPartSize = 256_000_000

// outputs reads the output blocks of a target, and the rules in them.
func (b *block) outputs(t *engine.Target) []*rule {
	var rules []*rule
	blocks := b.children("output")
	for _, c := range blocks {
		o := &engine.Output{Name: c.name, Columns: c.columns(), Range: place(c.header)}
		c.outputPath(t, o)
		c.tableRules(o)
		rules = append(rules, c.rules(t, o)...)
		for i, other := range t.Outputs {
			if collide(o.Path, other.Path) {
				c.report(c.pathRange(), "give each output a path of its own", "outputs %q and %q would both write %s", other.Name, o.Name, shorter(o.Path, other.Path)).
					Detail = fmt.Sprintf("The first is in line %d.", t.Outputs[i].Range.Start.Line)
				break
			}
		}
		t.Outputs = append(t.Outputs, o)
	}
	return rules
}

func (b *block) pathRange() hcl.Range {
	if e := b.attr("path"); e != nil {
		return e.Range()
	}
	return b.header
}

// outputPath reads where an output lies and what its ending says.
func (b *block) outputPath(t *engine.Target, o *engine.Output) {
	if b.attr("path") == nil {
		if t.Kind == engine.Command {
			b.report(b.header, fmt.Sprintf("add path = %q, or whatever ending the program writes", o.Name+".csv"), "output %q needs a path", o.Name)
			return
		}
		o.Path = o.Name + ".parquet"
	} else {
		if mentions(b.attr("path"), "partition") {
			b.report(b.pathRange(), "leave the partition out: dpb keeps each in a folder of its own", "an output's path is the same for each partition")
			return
		}
		p, ok := b.textAttr("path")
		if !ok || !b.cleanPath(p) {
			return
		}
		o.Path = p
	}
	o.Shape, o.Format, o.Compression = describePath(o.Path)
	if strings.HasSuffix(o.Path, ".parquet.gz") || strings.HasSuffix(o.Path, ".parquet.zst") {
		b.report(b.pathRange(), `write ".parquet"`, "parquet is compressed inside, not as a whole")
		return
	}
	switch {
	case t.Kind == engine.SQL && o.Format == engine.Opaque:
		b.report(b.pathRange(), fmt.Sprintf("write %q, or .csv, .ndjson", strings.TrimSuffix(o.Path, "/")+".parquet"), "SQL writes tables, and %s is none", o.Path)
	case o.Shape == engine.Parts && o.Format == engine.Opaque:
		b.report(b.pathRange(), fmt.Sprintf("write %q for a tree of files", path.Dir(o.Path)+"/"), "parts are of a table, and %s is none", o.Path)
	}
	if o.Shape == engine.Parts {
		o.PartSize = b.size("part_size", defaultPartSize)
	} else if a := b.body.Attributes["part_size"]; a != nil {
		b.report(a.NameRange, fmt.Sprintf("write path = %q", o.Name+"/*.parquet"), "part_size is for tables in several files")
	}
}

// cleanPath reports paths of outputs that can't be.
func (b *block) cleanPath(p string) bool {
	clean := strings.TrimSuffix(p, "/")
	dir, base := path.Split(clean)
	problem, hint := "", ""
	switch {
	case path.IsAbs(p):
		problem, hint = "an output's path is relative", "dpb decides where outputs lie; write a file's name"
	case clean == "" || clean == "." || clean == ".." || strings.HasPrefix(clean, "../"):
		problem, hint = "an output's path names a file or a folder", `write a file's name, such as "plays.parquet"`
	case path.Clean(clean) != clean || strings.Contains(p, `\`) || strings.HasSuffix(p, "//"):
		problem, hint = fmt.Sprintf("the path %q is not clean", p), fmt.Sprintf("write %q", path.Clean(strings.ReplaceAll(p, `\`, "/")))
	case strings.ContainsAny(p, "\x00\n\r"):
		problem = "an output's path can't hold control characters"
	case strings.ContainsAny(p, "?[]{}") || strings.Contains(dir, "*") || strings.Count(base, "*") > 1:
		problem, hint = "an output's path has at most one *, in its last part", `write "plays/*.parquet"`
	case strings.Contains(base, "*") && dir == "":
		problem, hint = "parts need a folder of their own", `write "plays/*.parquet"`
	case strings.Contains(base, "*") && strings.HasSuffix(p, "/"):
		problem, hint = "a folder's name can't hold a *", `write "plays/*.parquet", or "plays/"`
	default:
		return true
	}
	b.report(b.pathRange(), hint, "%s", problem)
	return false
}

// describePath says what an output's path means.
func describePath(p string) (engine.Shape, engine.Format, string) {
	if strings.HasSuffix(p, "/") {
		return engine.Folder, engine.Opaque, ""
	}
	format, compression := engine.FormatOf(p)
	if format == engine.Opaque {
		compression = ""
	}
	if strings.Contains(p, "*") {
		return engine.Parts, format, compression
	}
	return engine.OneFile, format, compression
}

// collide says whether two outputs would write one file, or one of them into the other's folder.
func collide(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	a, b = root(a), root(b)
	return a == b || strings.HasPrefix(a, b+"/") || strings.HasPrefix(b, a+"/")
}

// root is the file or folder that an output has for itself.
func root(p string) string {
	if strings.Contains(p, "*") {
		p = path.Dir(p)
	}
	return strings.TrimSuffix(p, "/")
}

func shorter(a, b string) string {
	if len(b) < len(a) {
		return b
	}
	return a
}

// tableRules reads key and references.
func (b *block) tableRules(o *engine.Output) {
	for _, w := range b.texts("key") {
		if w.text == "" {
			b.report(w.at, "", "a key needs names of columns")
			continue
		}
		o.Key = append(o.Key, w.text)
	}
	e := b.attr("references")
	if e == nil {
		return
	}
	entries, _ := b.entries(e, "references")
	for _, x := range entries {
		s, ok := b.text(x.expr, "references")
		if !ok {
			continue
		}
		ref, err := engine.ParseRef(s, b.pkg)
		if err != nil {
			b.report(x.expr.Range(), `write a label, such as ":customers"`, "%s", err)
			continue
		}
		if ref.Quarantine {
			good := engine.Ref{Label: ref.Label, Output: ref.Output}
			b.report(x.expr.Range(), fmt.Sprintf("write %q", good), "values can't be looked up among rejected rows")
			continue
		}
		o.References = append(o.References, engine.Reference{Column: x.key, To: ref, Range: place(x.expr.Range())})
	}
}
