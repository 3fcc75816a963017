package hcl

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/dpb-build/dpb/engine"
)

// workspace is what dpb.hcl declares and each package needs. It does not change once dpb.hcl was read.
type workspace struct {
	*decoder // of dpb.hcl
	root     string
	teams    map[string]bool
	dims     map[string]*dimension
	dimNames []string
	open     bool // dpb.hcl can't be read: what it declares is not known, and not missed
	openDims bool // nor are partitions, because one of them can't be read
}

func (ws *workspace) newDecoder(file, pkg string) *decoder {
	d := &decoder{shared: ws, file: file, pkg: pkg, sources: Sources{}}
	ctx := pureContext.NewChild()
	ctx.Functions = map[string]function.Function{"file": d.fileFunc()}
	d.scope = &scope{locals: map[string]cty.Value{}, ctx: ctx}
	return d
}

// load reads dpb.hcl, which may be absent.
func (ws *workspace) load(version string) *engine.Workspace {
	w := &engine.Workspace{StorePath: ".dpb", Retention: engine.DefaultRetention}
	ws.decoder = ws.newDecoder(WorkspaceFile, "")
	if _, err := os.Lstat(filepath.Join(ws.root, WorkspaceFile)); errors.Is(err, fs.ErrNotExist) {
		return w
	}
	body := ws.parse()
	if body == nil {
		ws.open, ws.openDims, ws.scope.open = true, true, true
		return w
	}
	file := ws.whole(body, workspaceKind)
	file.declareLocals()
	if b := file.only("workspace"); b != nil {
		w.Name, w.Requires, w.Lock = b.name, b.requires(version), b.flag("lock", false)
	}
	for _, b := range file.children("team") {
		contact, _ := b.textAttr("contact")
		w.Teams = append(w.Teams, &engine.Team{Name: b.name, Contact: contact, Notify: b.notify(), Range: place(b.header)})
		ws.teams[b.name] = true
	}
	for _, b := range file.children("partition") {
		dim := b.dimension()
		w.Dimensions = append(w.Dimensions, dim.Dimension)
		ws.dims[b.name], ws.dimNames = dim, append(ws.dimNames, b.name)
	}
	ws.openDims = len(ws.dims) < file.count("partition")
	if b := file.only("store"); b != nil {
		w.StorePath, w.Retention = b.storePath(), b.retention()
	}
	if b := file.only("events"); b != nil {
		w.Events = b.events(w.Name)
	}
	return w
}

// notify reads whom to call: the URL of a webhook, or a command.
func (b *block) notify() []string {
	e := b.attr("notify")
	if e == nil {
		return nil
	}
	v, ok := b.value(e, "notify")
	if !ok {
		return nil
	}
	if v.Type() == cty.String {
		return b.webhook(e, v.AsString())
	}
	elements, ok := b.elements(e, "notify")
	if !ok {
		return nil
	}
	var out []string
	for _, x := range elements {
		s, ok := b.text(x, "notify")
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	switch {
	case len(out) == 0 || out[0] == "":
		b.report(e.Range(), `write notify = ["./page.sh"], or the URL of a webhook`, "notify names no program")
		return nil
	case strings.Contains(out[0], "://"):
		b.report(e.Range(), fmt.Sprintf("write notify = %q", out[0]), "a webhook is written without brackets")
		return nil
	}
	return out
}

// webhook checks the URL of a webhook.
func (b *block) webhook(e hclsyntax.Expression, s string) []string {
	u, err := url.Parse(s)
	switch {
	case err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "":
		return []string{s}
	case err == nil && (u.Scheme == "http" || u.Scheme == "https"):
		b.report(e.Range(), `write notify = "https://hooks.example.com/x"`, "%q names no host", s)
	case err == nil && u.Scheme != "" && strings.Contains(s, "://"):
		b.report(e.Range(), `write a URL that begins with https://, or a command: notify = ["./page.sh"]`, "notify can't call %s URLs", u.Scheme)
	default:
		b.report(e.Range(), fmt.Sprintf("for a command write notify = [%q]", s), "%q is no URL of a webhook", s)
	}
	return nil
}

func (b *block) storePath() string {
	const byDefault = ".dpb"
	p, ok := b.textAttr("path")
	switch {
	case !ok:
		return byDefault
	case p == "" || filepath.Clean(p) == ".":
		b.report(b.attr("path").Range(), `write path = ".dpb"`, "the store needs a folder of its own")
		return byDefault
	case strings.HasPrefix(p, "~"):
		b.report(b.attr("path").Range(), "write the path out", "~ means nothing here")
		return byDefault
	}
	return p
}

// retention reads what dpb gc leaves in the store.
func (b *block) retention() engine.Retention {
	r := engine.DefaultRetention
	for _, a := range []struct {
		name string
		low  int64
		into *int
	}{{"keep_versions", 1, &r.KeepVersions}, {"keep_days", 0, &r.KeepDays}, {"unseen_days", 0, &r.UnseenDays}} {
		if e := b.attr(a.name); e != nil {
			if n, ok := b.integer(e, a.name, a.low, maxRetained); ok {
				*a.into = int(n)
			}
		}
	}
	r.MaxSize = b.size("max_size", 0)
	return r
}

// maxRetained bounds numbers of versions and days.
const maxRetained = 1_000_000

// requires checks dpb's version against the constraint, and returns that as written.
func (b *block) requires(version string) string {
	s, ok := b.textAttr("requires")
	if !ok {
		return ""
	}
	at := b.attr("requires").Range()
	have, known := parseVersion(strings.TrimPrefix(version, "v"))
	for part := range strings.SplitSeq(s, ",") {
		op, want, ok := parseConstraint(strings.TrimSpace(part))
		if !ok {
			b.report(at, `write requires = ">= 0.1"`, "%q is no constraint on a version", strings.TrimSpace(part))
			return s
		}
		if known && !op(compareVersions(have, want)) {
			b.report(at, "install another version of dpb", "this is dpb %s, and the workspace requires %s", version, s)
			return s
		}
	}
	return s
}

func parseConstraint(s string) (op func(int) bool, want []int, ok bool) {
	ops := []struct {
		sign string
		op   func(int) bool
	}{
		{">=", func(c int) bool { return c >= 0 }}, {"<=", func(c int) bool { return c <= 0 }}, {"!=", func(c int) bool { return c != 0 }},
		{">", func(c int) bool { return c > 0 }}, {"<", func(c int) bool { return c < 0 }}, {"=", func(c int) bool { return c == 0 }},
	}
	for _, o := range ops {
		if rest, found := strings.CutPrefix(s, o.sign); found {
			want, ok = parseVersion(strings.TrimSpace(rest))
			return o.op, want, ok && !strings.ContainsAny(rest, "-+")
		}
	}
	return nil, nil, false
}

// parseVersion reads 1.2.3 and ignores what follows a - or +.
func parseVersion(s string) ([]int, bool) {
	if i := strings.IndexAny(s, "-+"); i >= 0 {
		s = s[:i]
	}
	var out []int
	for part := range strings.SplitSeq(s, ".") {
		n, err := strconv.ParseUint(part, 10, 31)
		if err != nil || len(out) == 3 {
			return nil, false
		}
		out = append(out, int(n))
	}
	return append(out, make([]int, 3-len(out))...), true
}

func compareVersions(a, b []int) int {
	for i := range a {
		if a[i] != b[i] {
			return a[i] - b[i]
		}
	}
	return 0
}

// loadPackage reads the pipeline.hcl of one package.
func (ws *workspace) loadPackage(pkg string) *decoder {
	d := ws.packageDecoder(pkg)
	d.pack = &engine.Package{Path: pkg, Range: engine.Range{File: d.file}}
	if body := d.parse(); body != nil {
		d.whole(body, packageKind).decodePackage()
	}
	return d
}

func (ws *workspace) packageDecoder(pkg string) *decoder {
	file := PackageFile
	if pkg != "" {
		file = pkg + "/" + PackageFile
	}
	d := ws.newDecoder(file, pkg)
	d.scope.parent = ws.scope
	return d
}

func (b *block) decodePackage() {
	b.declareLocals()
	if p := b.only("package"); p != nil {
		b.pack.Owner, b.pack.Visibility, b.pack.Range = p.owner(), p.visibility(), place(p.header)
	}
	sources, targets := b.children("source"), b.children("target")
	for _, t := range targets {
		for _, s := range sources {
			if s.name == t.name {
				later, first := t, s
				if s.header.Start.Byte > t.header.Start.Byte {
					later, first = s, t
				}
				later.report(later.label, "rename one of them", "%q names a source and a target", t.name).Detail =
					fmt.Sprintf("The %s is in line %d.", first.kind.name, first.header.Start.Line)
			}
		}
	}
	for _, s := range sources {
		b.targets = append(b.targets, s.source())
	}
	for _, t := range targets {
		b.targets = append(b.targets, t.target())
	}
}

// owner is the team that an attribute names.
func (b *block) owner() string {
	name, ok := b.textAttr("owner")
	if !ok || b.shared.teams[name] || b.shared.open {
		return name
	}
	hint := didYouMean(name, slices.Collect(maps.Keys(b.shared.teams)))
	if hint == "" {
		hint = fmt.Sprintf("declare it in %s: team %q { contact = \"...\" }", WorkspaceFile, name)
	}
	b.report(b.attr("owner").Range(), hint, "there is no team %q", name)
	return name
}

// visibility lists who may read; nil if nothing is said, which means all.
func (b *block) visibility() []engine.Pattern {
	if b.attr("visibility") == nil {
		return nil
	}
	out := []engine.Pattern{}
	for _, w := range b.texts("visibility") {
		p, err := engine.ParsePattern(w.text, b.pkg)
		switch {
		case err != nil:
			b.report(w.at, `write a label, "//reports:all" or "//reports/..."`, "%s", err)
		case p.Subset != nil || p.Version != "" || p.Output != "":
			b.report(w.at, `write a label, "//reports:all" or "//reports/..."`, "visibility names packages and targets only, not %q", w.text)
		default:
			out = append(out, p)
		}
	}
	return out
}
