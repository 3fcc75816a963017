package hcl

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/dpb-build/dpb/engine"
)

// newTarget reads what sources and targets have in common.
func (b *block) newTarget() *engine.Target {
	t := &engine.Target{Label: engine.Label{Pkg: b.pkg, Name: b.name}, Range: place(b.header)}
	t.Description, _ = b.textAttr("description")
	t.Owner, t.Visibility = b.pack.Owner, b.pack.Visibility
	if b.attr("owner") != nil {
		t.Owner = b.owner()
	}
	if b.attr("visibility") != nil {
		t.Visibility = b.visibility()
	}
	t.PartitionBy = plain(b.partitionBy())
	b.narrow(t)
	t.Due = b.due(t)
	return t
}

func (b *block) source() *engine.Target {
	t := b.newTarget()
	t.Kind = engine.Source
	t.InPlace = !b.flag("keep", true)
	o := &engine.Output{Name: b.name, Columns: b.columns(), Range: t.Range}
	t.Outputs = []*engine.Output{o}
	if e := b.require("path"); e != nil {
		b.sourcePath(t, o, e)
	}
	for _, r := range b.rules(t, o) {
		r.check(t, o, nil)
	}
	return t
}

// sourcePath reads the glob of a source, and what its ending says of the files.
func (b *block) sourcePath(t *engine.Target, o *engine.Output, e hclsyntax.Expression) {
	text, ok := b.dynamic(e, "path", &names{dims: t.PartitionBy, loose: b.loose})
	if !ok {
		return
	}
	glob, ok := b.sample(text, e)
	if !ok {
		return
	}
	if scheme, _, isURL := strings.Cut(glob, "://"); isURL {
		b.report(e.Range(), "", "sources by %s URL are not available yet", scheme)
		return
	}
	if strings.HasPrefix(glob, "~") {
		b.report(e.Range(), "write the path out", "~ means nothing here")
		return
	}
	if !b.validGlob(e, glob) || !b.usesDimensions(t, e) {
		return
	}
	t.Path = text
	o.Path, o.Shape, o.Format, o.Compression = sourceOutput(b.name, glob, baseByPartition(text))
}

// sample is a text at an example partition.
func (b *block) sample(text engine.Text, e hclsyntax.Expression) (string, bool) {
	var p engine.Partition
	for name, d := range b.shared.dims {
		p = append(p, engine.Value{Dimension: name, Text: d.example()})
	}
	s, err := text.At(p, nil)
	if err != nil {
		b.report(e.Range(), "", "%s", err)
		return "", false
	}
	return s, true
}

// validGlob reports a glob that can't match.
func (b *block) validGlob(e hclsyntax.Expression, glob string) bool {
	switch {
	case glob == "":
		b.report(e.Range(), `write a path such as "raw/*.csv"`, "the path is empty")
	case strings.Contains(glob, `\`):
		b.report(e.Range(), fmt.Sprintf("write %q", strings.ReplaceAll(glob, `\`, "/")), "paths have slashes, not backslashes")
	case !doublestar.ValidatePattern(glob):
		b.report(e.Range(), "[ and { must be closed", "%q is no glob", glob)
	default:
		return true
	}
	return false
}

// usesDimensions checks that a source's path tells its partitions apart.
func (b *block) usesDimensions(t *engine.Target, e hclsyntax.Expression) bool {
	var used []string
	for _, x := range e.Variables() {
		if name, _, ok := second(x); ok && x.RootName() == "partition" {
			used = append(used, name)
		}
	}
	good := true
	for _, name := range t.PartitionBy {
		if !slices.Contains(used, name) {
			b.report(e.Range(), fmt.Sprintf("put ${partition.%s} into the path", name), "the path is the same for each %s", name)
			good = false
		}
	}
	return good
}

// sourceOutput says how a source's files look to those who read them.
func sourceOutput(name, glob string, varies bool) (string, engine.Shape, engine.Format, string) {
	base := path.Base(glob)
	format, compression := engine.FormatOf(base)
	if format == engine.Opaque {
		compression = ""
	}
	switch {
	case engine.IsGlob(glob) && format == engine.Opaque || strings.HasSuffix(glob, "/"):
		return name + "/", engine.Folder, engine.Opaque, ""
	case engine.IsGlob(glob):
		if strings.Count(base, "*") != 1 || strings.ContainsAny(base, "?[]{}") || varies {
			base = "*" + ending(base)
		}
		return name + "/" + base, engine.Parts, format, compression
	case varies:
		return name + ending(base), engine.OneFile, format, compression
	}
	return base, engine.OneFile, format, compression
}

// ending is .csv.gz of a path's last part.
func ending(base string) string {
	last := path.Ext(base)
	if last == ".gz" || last == ".zst" {
		return path.Ext(strings.TrimSuffix(base, last)) + last
	}
	return last
}

// baseByPartition says whether the last part of a path depends on the partition.
func baseByPartition(t engine.Text) bool {
	for _, s := range slices.Backward(t) {
		if !isLiteral(s) {
			return true
		}
		if strings.Contains(s.Literal, "/") {
			return false
		}
	}
	return false
}
