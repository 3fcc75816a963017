package run

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Forecast is what a build would run, why, and how long that takes by what the ledger knows of earlier runs.
type Forecast struct {
	Targets  []TargetForecast `json:"targets"` // those with something to do, producers before consumers
	UpToDate int              `json:"up_to_date"`
	Known    int              `json:"known"`   // of them: those whose result is known, but not current
	Judged   int              `json:"judged"`  // to be judged anew, without a job
	Run      Load             `json:"run"`     // jobs that run
	MayRun   Load             `json:"may_run"` // jobs that early cutoff may spare
	Halted   []Halt           `json:"halted"`
	Places   int              `json:"places"` // how many jobs run at once
	Least    Span             `json:"least"`  // if all is spared that may be
	Most     Span             `json:"most"`   // if nothing is
	Critical []Step           `json:"critical_path"`
}

// Load sums up jobs. What is not known of a job is in no sum: the jobs of which it is not known are counted beside.
type Load struct {
	Jobs      int           `json:"jobs"`
	Wall      time.Duration `json:"wall_ns"` // one after the other
	NoWall    int           `json:"jobs_without_wall,omitempty"`
	CPU       time.Duration `json:"cpu_ns"`
	NoCPU     int           `json:"jobs_without_cpu,omitempty"`
	BytesRead int64         `json:"bytes_read"`
	NoBytes   int           `json:"jobs_without_bytes,omitempty"`
}

// Add adds another load.
func (l *Load) Add(m Load) {
	l.Jobs += m.Jobs
	l.Wall += m.Wall
	l.NoWall += m.NoWall
	l.CPU += m.CPU
	l.NoCPU += m.NoCPU
	l.BytesRead += m.BytesRead
	l.NoBytes += m.NoBytes
}

// Span is how long jobs take together.
type Span struct {
	Critical time.Duration `json:"critical_path_ns"` // the longest chain of jobs that need each other: no number of places makes it shorter
	// AtLeast and AtMost bound the time with so many places, after Graham (1969): work divided by places, and for the latter the part of the chain in which other places
	// may be idle.
	AtLeast time.Duration `json:"at_least_ns"`
	AtMost  time.Duration `json:"at_most_ns"`
}

func span(critical, work time.Duration, places int) Span {
	n := time.Duration(places)
	return Span{critical, max(critical, work/n), work/n + critical*(n-1)/n}
}

// TargetForecast is what a build would do about one target.
type TargetForecast struct {
	Target     string     `json:"target"`
	Owner      string     `json:"owner,omitempty"`
	Partitions int        `json:"partitions"` // that take part
	Run        Load       `json:"run"`
	MayRun     Load       `json:"may_run"`
	Why        []Why      `json:"why,omitempty"`   // of the jobs that run
	After      []Why      `json:"after,omitempty"` // of those that may
	Judged     int        `json:"judged,omitempty"`
	Took       *Took      `json:"took,omitempty"` // by the jobs that ran; nil: none did
	Reads      []EdgeRead `json:"reads,omitempty"`
}

// Why is how many jobs have the same reasons.
type Why struct {
	Reasons []string `json:"reasons"`
	Jobs    int      `json:"jobs"`
}

// EdgeRead says in words what a target reads through an input.
type EdgeRead struct {
	Input string `json:"input"`
	From  string `json:"from"`
	Words string `json:"words"`
}

// Halt is the root of what a build can't do anything about.
type Halt struct {
	Target     string `json:"target"`
	Partitions int    `json:"partitions"` // of the target, of which the same is to be said
	First      string `json:"first,omitempty"`
	State      string `json:"state"`
	Reason     string `json:"reason"` // of the first
	Owner      string `json:"owner,omitempty"`
	Waiting    int    `json:"waiting"` // actions that need them
}

// Step is a job on the critical path.
type Step struct {
	Target    string         `json:"target"`
	Partition string         `json:"partition,omitempty"`
	Wall      *time.Duration `json:"wall_ns,omitempty"` // nil: it is not known, and counts as nothing
	May       bool           `json:"may,omitempty"`
}

// Forecast tells what a build of the selected actions would do with so many places for jobs; 0: one a core.
func (s *Session) Forecast(ctx context.Context, selected []graph.Selected, places int) (*Forecast, error) {
	o, err := s.Outlook(ctx, selected, Options{})
	if err != nil {
		return nil, err
	}
	return o.Forecast(ctx, places)
}

// Forecast is that of the outlook, with so many places for jobs; 0: one a core.
func (o *Outlook) Forecast(ctx context.Context, places int) (*Forecast, error) {
	opts := Options{Jobs: places}
	opts.setDefaults()
	f := newForecaster(o)
	out := &Forecast{Targets: []TargetForecast{}, Halted: []Halt{}, Critical: []Step{}, Places: opts.Jobs}
	for _, sel := range o.Needed {
		t, err := f.target(sel)
		if err != nil {
			return nil, err
		}
		if isJob(sel.Node) {
			out.UpToDate += o.count(sel, Idle)
			out.Known += o.known(sel)
		}
		if t.Run.Jobs+t.MayRun.Jobs+t.Judged > 0 {
			out.Targets = append(out.Targets, t)
		}
		out.Run.Add(t.Run)
		out.MayRun.Add(t.MayRun)
		out.Judged += t.Judged
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	f.timing(out)
	var err error
	out.Halted, err = o.halts()
	return out, err
}

func (o *Outlook) count(sel graph.Selected, f Fate) (n int) {
	for _, i := range sel.Partitions {
		if o.Fate(sel.Node, i) == f {
			n++
		}
	}
	return n
}

// known counts the results that a build makes current without a job.
func (o *Outlook) known(sel graph.Selected) (n int) {
	for _, i := range sel.Partitions {
		if o.Fate(sel.Node, i) == Idle && !o.s.Known(o.Decider, sel.Node, i).IsZero() {
			n++
		}
	}
	return n
}

// target sums up what becomes of one target.
func (f *forecaster) target(sel graph.Selected) (TargetForecast, error) {
	n := sel.Node
	t := TargetForecast{Target: n.Target.Label.String(), Owner: f.s.Graph.Workspace.OwnerText(n.Target.Owner), Partitions: len(sel.Partitions)}
	if isJudged(n.Target) {
		t.Judged = f.count(sel, Judged)
	}
	if runs := f.count(sel, Runs) + f.count(sel, MayRun); runs == 0 {
		if isJob(n) && f.count(sel, Judged) > 0 {
			f.pass(sel)
		}
		return t, nil
	}
	p, err := f.pace(n)
	if err != nil {
		return t, err
	}
	if p.took.Runs > 0 {
		t.Took = &p.took
	}
	for k, e := range n.Edges {
		if e != nil {
			t.Reads = append(t.Reads, EdgeRead{n.Target.Inputs[k].Name, e.From.Target.Label.String(), e.Words()})
		}
	}
	f.pass(sel)
	t.Run, t.Why, err = f.loads(sel, Runs, p)
	if err != nil {
		return t, err
	}
	t.MayRun, t.After, err = f.loads(sel, MayRun, p)
	return t, err
}

// loads sums up the jobs of one fate, and counts them by their reasons: the most frequent first.
func (f *forecaster) loads(sel graph.Selected, fate Fate, p *pace) (l Load, why []Why, err error) {
	n := sel.Node
	byReason := map[uint16]int{}
	reads := f.reads(n)
	for _, i := range inTime(n, sel.Partitions) {
		if f.Fate(n, i) != fate {
			continue
		}
		byReason[f.nodes[n.Index].why[i]]++
		one := p.load(n.Set.Text(i))
		if one.BytesRead, one.NoBytes, err = reads.at(i); err != nil {
			return l, nil, err
		}
		l.Add(one)
	}
	for k, words := range f.reasons {
		if jobs := byReason[uint16(k)]; jobs > 0 {
			why = append(why, Why{words, jobs})
		}
	}
	slices.SortFunc(why, func(a, b Why) int { return cmp.Or(b.Jobs-a.Jobs, slices.Compare(a.Reasons, b.Reasons)) })
	return l, why, nil
}

// halts lists the roots of what a build can't do anything about: by target and state, in the order of the graph.
func (o *Outlook) halts() ([]Halt, error) {
	waiting := map[graph.ActionID]int{}
	var roots []graph.ActionID
	for _, sel := range o.Needed {
		for _, i := range sel.Partitions {
			if o.Fate(sel.Node, i) != Halted {
				continue
			}
			id := sel.Node.Base + graph.ActionID(i)
			if root := o.root(sel.Node, i); root == id {
				roots = append(roots, id)
			} else {
				waiting[root]++
			}
		}
	}
	out := []Halt{}
	for _, id := range roots {
		n, i := o.s.Graph.Action(id)
		if waiting[id] == 0 && o.Decider.State(n, i) == engine.MissingState && !o.b.nodes[n.Index].asked {
			continue // nobody minds
		}
		x := Halt{Target: n.Target.Label.String(), Partitions: 1, First: n.Set.Text(i), State: o.Decider.State(n, i).String(),
			Owner: o.s.Graph.Workspace.OwnerText(n.Target.Owner), Waiting: waiting[id]}
		if last := len(out) - 1; last >= 0 && out[last].Target == x.Target && out[last].State == x.State {
			out[last].Partitions++
			out[last].Waiting += x.Waiting
			continue
		}
		var err error
		if x.Reason, err = o.s.Brief(o.Decider, n, i); err != nil {
			return nil, err
		}
		if lost, _ := o.Lost(n, i); lost {
			x.Reason = Lost
		}
		out = append(out, x)
	}
	return out, nil
}

// root is the action because of which an action that is stopped can't go on: itself, or one upstream.
func (o *Outlook) root(n *graph.Node, i int) graph.ActionID {
	id := n.Base + graph.ActionID(i)
	if by, ok := o.stoppedBy[id]; ok {
		return by
	}
	if state := o.Decider.State(n, i); state == engine.Blocked || state == engine.MissingState {
		return o.Decider.Cause(n, i)
	}
	return id
}
