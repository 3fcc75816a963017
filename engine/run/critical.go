package run

import (
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// trail keeps what let each action go on, from which the critical path of a build is told afterwards. Only the scheduler's goroutine touches it.
type trail struct {
	after  map[graph.ActionID]graph.ActionID // the job whose end let an action go on that had to wait in this pass
	ready  map[graph.ActionID]time.Time      // since when an action could start
	ran    map[graph.ActionID]bool           // jobs of this pass that have ended
	last   graph.ActionID                    // the job that ended last
	before graph.ActionID                    // the last one of the pass before: this pass had to wait for it
}

const noAction = ^graph.ActionID(0)

func newTrail() trail { return trail{}.next(noAction) }

// next is the trail of another pass.
func (trail) next(last graph.ActionID) trail {
	return trail{after: map[graph.ActionID]graph.ActionID{}, ready: map[graph.ActionID]time.Time{}, ran: map[graph.ActionID]bool{}, last: last, before: last}
}

// follow notes that an action waited for another one. If that had no job to run, it is what that one waited for which counts.
func (t *trail) follow(id, from graph.ActionID) {
	if !t.ran[from] {
		var ok bool
		if from, ok = t.after[from]; !ok {
			delete(t.after, id)
			return
		}
	}
	t.after[id] = from
}

// cause is the job that let an action start; noAction if it could at once.
func (t *trail) cause(id graph.ActionID) graph.ActionID {
	if from, ok := t.after[id]; ok {
		return from
	}
	return t.before
}

// traced fills in what the build knows of a run that has ended: why, after what, and how late it began.
func (b *build) traced(id graph.ActionID, r *engine.Run) *engine.Run {
	job := b.jobs[id]
	r.Why, r.Waited = job.Why, max(0, job.Started.Sub(b.trail.ready[id]))
	if from := b.trail.cause(id); from != noAction {
		n, i := b.s.Graph.Action(from)
		r.After = n.Target.Label.At(n.Set.Text(i))
	}
	b.trail.ran[id], b.trail.last = true, id
	return r
}

// CriticalPath is the chain of jobs of a build that decided when it was done, in the order in which they ran: the one that ended last, the one whose end let that start, and so
// on.
func CriticalPath(runs []engine.Run) (path []engine.Run) {
	byName := map[string][]int{}
	at := -1
	for k, r := range runs {
		name := r.Label.At(r.Partition)
		byName[name] = append(byName[name], k)
		if at < 0 || end(r).After(end(runs[at])) {
			at = k
		}
	}
	for at >= 0 {
		r := runs[at]
		path = append(path, r)
		at = latest(runs, byName[r.After], r.Started)
	}
	for i, j := 0, len(path)-1; i < j; i, j = i+1, j-1 {
		path[i], path[j] = path[j], path[i]
	}
	return path
}

func end(r engine.Run) time.Time { return r.Started.Add(r.Wall) }

// latest is, of some runs of one action, the one that began last before a time; -1 if none did. So the way back always ends.
func latest(runs []engine.Run, among []int, before time.Time) int {
	found := -1
	for _, k := range among {
		if runs[k].Started.Before(before) && (found < 0 || runs[found].Started.Before(runs[k].Started)) {
			found = k
		}
	}
	return found
}
