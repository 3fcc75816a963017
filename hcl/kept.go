package hcl

import (
	"encoding/binary"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// Kept are packages as they were loaded, in a file, so that the next process need not parse what has not changed. One that has errors is not kept. What is kept of a package is taken
// only if the same dpb would read the same bytes: of its pipeline.hcl, of every file that this reads, of dpb.hcl; and if each glob still matches. File times play no part.
type Kept struct {
	// Program identifies the dpb that runs: another one may read the same files differently. "" keeps nothing.
	Program string
	// File is where packages are kept, by the path of the store as written; "" is nowhere.
	File func(store string) string

	file    string
	header  string
	entries map[string]string // by package
	pending []byte            // what the file is to hold
}

const keptMagic = "dpb packages 1\n"

// keptEntry is a package as it was loaded, and all that this followed from beside dpb.hcl.
type keptEntry struct {
	Files    []keptFile
	Asked    []question
	Package  *engine.Package
	Targets  []*engine.Target
	Warnings []engine.Problem
}

// keptFile is a file that was read, by its path from the root, and its digest.
type keptFile struct{ Name, Digest string }

// question is what loading a package asked about the files around it, and the answer.
type question struct {
	Glob string // whether it matches a file of the package
	File string // whether it is a regular file of the package
	Yes  bool
}

// ask answers a question, and notes it.
func (d *decoder) ask(q question) bool {
	q.Yes = d.answer(q)
	d.asked = append(d.asked, q)
	return q.Yes
}

func (d *decoder) answer(q question) bool {
	dir := filepath.Join(d.shared.root, filepath.FromSlash(d.pkg))
	if q.Glob != "" {
		return matches(dir, q.Glob)
	}
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(q.File)))
	return err == nil && info.Mode().IsRegular()
}

// open reads what an earlier process kept of the workspace that ws has read the dpb.hcl of.
func (k *Kept) open(ws *workspace, store string) {
	if k == nil || k.Program == "" || ws.unsure || engine.HasErrors(ws.problems) {
		return
	}
	if k.file = k.File(store); k.file == "" {
		return
	}
	var s engine.Section
	s.Add("program", k.Program)
	for _, name := range slices.Sorted(maps.Keys(ws.sources)) {
		s.Add(name, string(ws.sources[name]))
	}
	sum := s.Digest()
	k.header = string(sum[:])
	k.entries = map[string]string{}
	b, err := os.ReadFile(k.file)
	if err != nil {
		return
	}
	body, ok := disk.Unseal(keptMagic, b)
	rest, same := strings.CutPrefix(string(body), k.header)
	if ok && same {
		k.entries = cutEntries(rest)
	}
}

// cutEntries reads the entries of packages, by path.
func cutEntries(rest string) map[string]string {
	u := &unpacking{rest: rest}
	out := map[string]string{}
	for u.rest != "" {
		pkg := u.cut(u.number())
		if out[pkg] = u.cut(u.number()); u.bad {
			return map[string]string{}
		}
	}
	return out
}

// load takes a package from what was kept, or loads it. The entry is how it is to be kept, "" if it is not.
func (k *Kept) load(ws *workspace, pkg string) (d *decoder, entry string) {
	if k == nil || k.entries == nil {
		return ws.loadPackage(pkg), ""
	}
	if kept, ok := k.entries[pkg]; ok {
		if d := ws.restore(pkg, kept); d != nil {
			return d, kept
		}
	}
	d = ws.loadPackage(pkg)
	if entry = d.entry(); entry == "" {
		return d, ""
	}
	slim := ws.packageDecoder(pkg)
	slim.sources = d.sources
	return slim, entry
}

// fill gives a package what its entry holds. Until all are loaded they are held as entries, which are small and have nothing in them that the garbage collector would look at again and again.
func (d *decoder) fill(entry string) *decoder {
	if d.pack != nil {
		return d
	}
	var e keptEntry
	if !unpacked(entry, &e, d.complete) {
		return d.shared.loadPackage(d.pkg) // can't be: it was packed just now
	}
	d.pack, d.targets, d.problems = e.Package, e.Targets, e.Warnings
	return d
}

// loadAll loads packages, and returns their entries.
func (k *Kept) loadAll(ws *workspace, packages []string) ([]*decoder, []string) {
	loaded, entries := make([]*decoder, len(packages)), make([]string, len(packages))
	if k != nil && k.entries != nil {
		defer debug.SetGCPercent(debug.SetGCPercent(parsing))
	}
	each(len(packages), func(i int) { loaded[i], entries[i] = k.load(ws, packages[i]) })
	return loaded, entries
}

// parsing is by how many percent what lasts may grow before garbage is collected. A parser makes a hundred times as much as an entry takes.
const parsing = 400

// entry is how a package is kept; "" if it can't be.
func (d *decoder) entry() string {
	if d.unsure || engine.HasErrors(d.problems) {
		return ""
	}
	e := &keptEntry{Asked: d.asked, Package: d.pack, Targets: d.targets, Warnings: d.problems}
	for _, name := range slices.Sorted(maps.Keys(d.sources)) {
		e.Files = append(e.Files, keptFile{name, digestOf(d.sources[name])})
	}
	return string(packed(e))
}

func digestOf(b []byte) string {
	sum := cache.Sum(b)
	return string(sum[:])
}

// restore is a package as it was kept; nil if it may be another one by now.
func (ws *workspace) restore(pkg, kept string) *decoder {
	d := ws.packageDecoder(pkg)
	var e keptEntry
	if !unpacked(kept, &e, d.complete) {
		return nil
	}
	for _, f := range e.Files {
		if b, err := d.read(f.Name); err != nil || digestOf(b) != f.Digest {
			return nil
		}
	}
	for _, q := range e.Asked {
		if d.answer(q) != q.Yes {
			return nil
		}
	}
	d.pack, d.targets, d.problems = e.Package, e.Targets, e.Warnings
	return d
}

// complete gives a value that was kept its function, which is worked out when it is first called: most never are.
func (d *decoder) complete(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *engine.Segment:
		if x.Source != "" {
			x.Eval = d.evaluator(x.Source)
		}
	case *engine.Expect:
		if x.That != "" {
			x.Judge = judge(x)
		}
	}
}

// close finds out what is to be kept of packages, given their entries.
func (k *Kept) close(packages, entries []string) {
	if k == nil || k.entries == nil {
		return
	}
	next := map[string]string{}
	for i, pkg := range packages {
		if entries[i] != "" {
			next[pkg] = entries[i]
		}
	}
	if !maps.Equal(next, k.entries) {
		k.pending = []byte(k.header)
		for _, pkg := range packages {
			if entry, ok := next[pkg]; ok {
				k.pending = appendText(appendText(k.pending, pkg), entry)
			}
		}
	}
	k.entries = nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// Save writes what the last Load left for the next process, if that is anything new and the folder is there.
func (k *Kept) Save() error {
	if k == nil || k.pending == nil {
		return nil
	}
	if _, err := os.Stat(filepath.Dir(k.file)); err != nil {
		return nil // there is no store yet: it can be asked again when there is
	}
	b := k.pending
	k.pending = nil
	return disk.WriteFile(k.file, disk.Seal(keptMagic, b))
}
