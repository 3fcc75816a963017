package run

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
)

// paceRuns is how many of a target's newest runs are asked how long its jobs take.
const paceRuns = 200

// Took says how long the newest jobs of a target took: nine of ten no longer than P90, one of ten no longer than P10.
type Took struct {
	Runs   int           `json:"runs"`
	Median time.Duration `json:"median_ns"`
	P10    time.Duration `json:"p10_ns"`
	P90    time.Duration `json:"p90_ns"`
}

// pace is what the ledger knows of the jobs of a target.
type pace struct {
	took  Took
	own   map[string]ledger.Took // by partition, the newest
	mean  ledger.Took            // over all; of sums that is a better guess than the median
	bytes map[string]int64       // of outputs, by name, in the mean
}

// pace asks the ledger for the newest runs of a target.
func (s *Session) pace(label engine.Label) (*pace, error) {
	p := &pace{own: map[string]ledger.Took{}, bytes: map[string]int64{}}
	if s.Ledger == nil {
		return p, nil
	}
	runs, err := s.Ledger.Took(s.Graph.Workspace.Name, label, paceRuns)
	if err != nil || len(runs) == 0 {
		return p, err
	}
	var walls []time.Duration
	var measured, outputs = 0, map[string]int64{}
	for _, r := range runs {
		if _, known := p.own[r.Partition]; !known {
			p.own[r.Partition] = r
		}
		walls = append(walls, r.Wall)
		p.mean.Wall += r.Wall
		if r.CPU > 0 {
			p.mean.CPU += r.CPU
			measured++
		}
		for _, o := range r.Outputs {
			p.bytes[o.Name] += o.Bytes
			outputs[o.Name]++
		}
	}
	p.mean.Wall /= time.Duration(len(runs))
	p.mean.CPU /= time.Duration(max(1, measured))
	for name, n := range outputs {
		p.bytes[name] /= n
	}
	slices.Sort(walls)
	p.took = Took{len(walls), quantile(walls, 0.5), quantile(walls, 0.1), quantile(walls, 0.9)}
	return p, nil
}

// quantile is the nearest rank of a sorted list that is not empty.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(q*float64(len(sorted)-1)+0.5)]
}

// load is what the job of a partition is expected to take: as its own last one, else as the others in the mean.
func (p *pace) load(partition string) Load {
	l := Load{Jobs: 1}
	if p.took.Runs == 0 {
		l.NoWall, l.NoCPU = 1, 1
		return l
	}
	like := p.mean
	if own, ok := p.own[partition]; ok {
		like = own
	}
	l.Wall, l.CPU = like.Wall, cmp.Or(like.CPU, p.mean.CPU)
	if l.CPU == 0 {
		l.NoCPU = 1
	}
	return l
}

// forecaster estimates what an outlook means.
type forecaster struct {
	*Outlook
	paces   []*pace // by node; nil: not asked yet
	sizes   map[cache.TreeDigest]size
	moments [][]moment         // by node and partition; nil of nodes of which no job runs
	before  [][]graph.ActionID // likewise: the job for which it waited longest, plus one; 0 if there is none
	err     error              // the first that a fold met
}

// size of a tree in bytes, or of several; unknown counts those that nobody can tell.
type size struct {
	bytes   int64
	unknown int
}

func newForecaster(o *Outlook) *forecaster {
	n := len(o.s.Graph.Nodes)
	return &forecaster{Outlook: o, paces: make([]*pace, n), sizes: map[cache.TreeDigest]size{}, moments: make([][]moment, n), before: make([][]graph.ActionID, n)}
}

func (f *forecaster) pace(n *graph.Node) (*pace, error) {
	p := f.paces[n.Index]
	if p != nil {
		return p, nil
	}
	p, err := f.s.pace(n.Target.Label)
	f.paces[n.Index] = p
	return p, err
}

// readings tells how much jobs of a target read.
type readings struct {
	f     *forecaster
	n     *graph.Node
	folds []*graph.Fold[size]
}

func (f *forecaster) reads(n *graph.Node) *readings {
	r := &readings{f: f, n: n}
	for _, e := range n.Edges {
		if e != nil {
			r.folds = append(r.folds, graph.NewFold(e, size{}, func(j int) size { return f.size(e, j) }, func(a, b size) size { return size{a.bytes + b.bytes, a.unknown + b.unknown} }))
		}
	}
	return r
}

// at is how many bytes the job of a partition reads; unknown is 1 if that can't be told.
func (r *readings) at(i int) (bytes int64, unknown int, err error) {
	var all size
	for _, fold := range r.folds {
		x := fold.At(i)
		all.bytes, all.unknown = all.bytes+x.bytes, all.unknown+x.unknown
	}
	for k, e := range r.n.Edges {
		if e != nil {
			continue
		}
		snapshot, err := r.f.s.snapshot(r.n, r.n.Target.Inputs[k].Files, i)
		if err != nil {
			return 0, 0, err
		}
		all.bytes += snapshot.Tree.Size()
	}
	if all.unknown > 0 {
		return 0, 1, r.f.err
	}
	return all.bytes, 0, r.f.err
}

// size is that of what an edge reads of one partition: as it is, or was, else as others of that output are in the mean.
func (f *forecaster) size(e *graph.Edge, j int) size {
	if f.Decider.State(e.From, j) == engine.MissingState {
		if e.Input.Missing == engine.Block { // in the outlook of another state of things it may be there
			return size{unknown: 1}
		}
		return size{}
	}
	if x := f.treeSize(made(f.Decider, e, j).Tree); x.unknown == 0 {
		return x
	}
	if !isJob(e.From) {
		snapshot, err := f.s.snapshot(e.From, e.From.Target.Path, j)
		if err != nil {
			return size{unknown: 1}
		}
		return size{bytes: snapshot.Tree.Size()}
	}
	p, err := f.pace(e.From)
	if f.err == nil {
		f.err = err
	}
	if bytes, ok := p.bytes[e.Output.Name]; ok {
		return size{bytes: bytes}
	}
	return size{unknown: 1}
}

func (f *forecaster) treeSize(d cache.TreeDigest) size {
	if d.IsZero() {
		return size{unknown: 1}
	}
	x, known := f.sizes[d]
	if !known {
		if t, err := f.s.Store.GetTree(context.Background(), d); err == nil {
			x.bytes = t.Size()
		} else {
			x.unknown = 1
		}
		f.sizes[d] = x
	}
	return x
}

// moment is when an action is done, were there a place for every job: without those that may be spared, and with them.
type moment struct {
	sure, most time.Duration
	jobs       int            // on the way to most, where times are not known
	last       graph.ActionID // the last of them, plus one; 0 if there is none
}

// later joins two moments: what waits for both goes on then. Of two chains that take equally long it keeps that of more jobs, else the first.
func later(a, b moment) moment {
	out := a
	if b.most > a.most || b.most == a.most && b.jobs > a.jobs {
		out = b
	}
	out.sure = max(a.sure, b.sure)
	return out
}

// pass goes over the actions of a target and notes when they are done.
func (f *forecaster) pass(sel graph.Selected) {
	n := sel.Node
	moments, before := make([]moment, n.Set.Len()), make([]graph.ActionID, n.Set.Len())
	f.moments[n.Index], f.before[n.Index] = moments, before
	var folds []*graph.Fold[moment]
	for _, e := range f.b.nodes[n.Index].producers {
		if of := f.moments[e.From.Index]; of != nil {
			folds = append(folds, graph.NewFold(e, moment{}, func(j int) moment { return of[j] }, later))
		}
	}
	for _, i := range inTime(n, sel.Partitions) {
		fate := f.Fate(n, i)
		if fate == Idle || fate == Halted {
			continue
		}
		var at moment
		for _, fold := range folds {
			at = later(at, fold.At(i))
		}
		before[i] = at.last
		if fate == Runs || fate == MayRun {
			wall := f.paces[n.Index].load(n.Set.Text(i)).Wall
			at.most, at.jobs, at.last = at.most+wall, at.jobs+1, n.Base+graph.ActionID(i)+1
			if fate == Runs {
				at.sure += wall
			}
		}
		moments[i] = at
	}
}

// timing finds the longest chain of jobs, and what it means for the time of all.
func (f *forecaster) timing(out *Forecast) {
	var end moment
	for _, moments := range f.moments {
		for _, m := range moments {
			end = later(end, m)
		}
	}
	out.Least, out.Most = span(end.sure, out.Run.Wall, out.Places), span(end.most, out.Run.Wall+out.MayRun.Wall, out.Places)
	for id := end.last; id != 0; {
		n, i := f.s.Graph.Action(id - 1)
		step := Step{Target: n.Target.Label.String(), Partition: n.Set.Text(i), May: f.Fate(n, i) == MayRun}
		if p := f.paces[n.Index]; p.took.Runs > 0 {
			wall := p.load(step.Partition).Wall
			step.Wall = &wall
		}
		out.Critical = append(out.Critical, step)
		id = f.before[n.Index][i]
	}
	slices.Reverse(out.Critical)
}
