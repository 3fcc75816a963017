package run

import (
	"errors"
	"path/filepath"
	"slices"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/source"
)

// What is observed of files holds for a run, and for all who read them. Where a file is found to be another by then, nothing is recorded under the key that named it: what
// runs comes to its end, and another pass begins with a new look at everything. An action may ask for that once.

// watchedTools bounds how many files of tools are looked at after each job. More, as of a whole installation, are looked at when the build is over.
const watchedTools = 256

// used is what jobs of this build read of the checkout.
type used struct {
	trees map[cache.TreeDigest]bool
	nodes map[*graph.Node]bool
}

func (u *used) add(p *prepared) {
	if u.trees == nil {
		u.trees, u.nodes = map[cache.TreeDigest]bool{}, map[*graph.Node]bool{}
	}
	for _, s := range slices.Concat(p.sources, p.inPlace) {
		u.trees[s.Digest()] = true
	}
	u.nodes[p.node] = true
}

// looksAgain says whether an action whose inputs changed under it gets another look at them.
func (b *build) looksAgain(id graph.ActionID, err error) bool {
	var changed *source.ChangedError
	if !errors.As(err, &changed) || b.looked[id] {
		return false
	}
	b.looked[id], b.again, b.anew = true, true, true
	b.s.stat.Forget(changed.File) // if its times did not tell
	b.s.programs.Forget(changed.File)
	b.tellChanged(changed.File, "it changed while dpb was running; what reads it was decided anew")
	return true
}

func (b *build) tellChanged(file, text string) {
	if rel, err := filepath.Rel(b.s.Root, file); err == nil && filepath.IsLocal(rel) {
		file = filepath.ToSlash(rel)
	}
	b.warnings = append(b.warnings, engine.Problem{Severity: engine.Warning, Summary: text, Range: engine.Range{File: file}})
}

// changedMeanwhile warns of what changed after jobs of this build had read it. Their records are right: they name what was read.
func (b *build) changedMeanwhile() {
	const text = "it changed while dpb was running, after it was read: the next build takes it up"
	if b.used.nodes == nil {
		return
	}
	files := b.s.files.Changed(func(t cache.TreeDigest) bool { return b.used.trees[t] })
	for n := range b.used.nodes {
		recipe := b.s.recipes[n]
		files = append(files, b.s.files.ChangedCode(recipe.Code)...)
		if file := recipe.changedTool(0); file != "" {
			files = append(files, file)
		}
	}
	slices.Sort(files)
	for _, file := range slices.Compact(files) {
		b.tellChanged(file, text)
	}
}

// changedTool names a file of the tools that is not what the key says; "" if all are, or if they are more than most.
func (r *recipe) changedTool(most int) string {
	if r.tools == nil || most > 0 && r.tools.Watched() > most {
		return ""
	}
	return r.tools.Changed()
}
