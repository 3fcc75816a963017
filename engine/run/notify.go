package run

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/notify"
)

// notify tells teams of the root causes and of the missed promises that are new, and of those that are resolved. What can't be delivered is a warning.
func (b *build) notify(ctx context.Context, s *Summary) {
	ws := b.s.Graph.Workspace
	if !slices.ContainsFunc(ws.Teams, func(t *engine.Team) bool { return t.Notify != nil }) {
		return
	}
	var causes []notify.Cause
	for _, f := range s.Failures {
		if c, ok := b.cause(f); ok {
			causes = append(causes, c)
		}
	}
	missed, err := b.missed()
	if err != nil {
		s.Warnings = append(s.Warnings, engine.Problem{Severity: engine.Warning, Summary: "who missed a promise on time is not known: " + err.Error()})
	}
	causes = append(causes, missed...)
	dir := filepath.Join(StoreDir(b.s.Root, ws.StorePath), "checkouts", b.s.Environment)
	n := &notify.Notifier{Workspace: ws.Name, Environment: b.s.Environment, Root: b.s.Root, File: filepath.Join(dir, "notified.json"), Teams: ws.Teams, Store: b.s.Store, Now: b.s.Time()}
	s.warn(n.Report(ctx, causes, b.inOrder)...)
}

// cause is a failure as a team is told of it. A missing file, trouble of this machine and a lock are nobody's who could be called.
func (b *build) cause(f Failure) (notify.Cause, bool) {
	c := notify.Cause{Target: f.Label.At(f.Partition), State: f.State.String(), Reason: f.Reason, Owner: f.Owner, Blocked: f.Blocked, Log: f.Log}
	if f.Local || f.Locked || f.State != engine.Held && f.State != engine.Refused && f.State != engine.Failed {
		return c, false
	}
	if f.State == engine.Held {
		c.Version = f.Version.String()
	}
	for _, label := range []engine.Label{f.Label, f.Producer} {
		if n := b.s.Graph.Node(label); n != nil && n.Target.Owner != "" && !slices.Contains(c.Teams, n.Target.Owner) {
			c.Teams = append(c.Teams, n.Target.Owner)
		}
	}
	return c, true
}

// missed lists the promises on time that are broken, of what this build looked at.
func (b *build) missed() (out []notify.Cause, err error) {
	promises := b.s.promisesAt(b.decider, b.s.Time())
	for _, n := range b.s.Graph.Nodes {
		if n.Target.Due.IsZero() || n.Target.Owner == "" {
			continue
		}
		for i, wanted := range b.nodes[n.Index].wanted {
			if !wanted || b.nodes[n.Index].phase[i] == done {
				continue
			}
			p, err := promises.Of(n, i)
			if err != nil {
				return out, err
			}
			if p.Overdue() {
				out = append(out, b.miss(n, i, p))
			}
		}
	}
	return out, nil
}

// miss is what a team is told of a promise that it did not keep. Who can act may be another one, whom the reason names.
func (b *build) miss(n *graph.Node, i int, p Promise) notify.Cause {
	ws := b.s.Graph.Workspace
	c := notify.Cause{Target: n.Target.Label.At(n.Set.Text(i)), State: notify.Overdue, Due: p.Due, Owner: ws.OwnerText(n.Target.Owner), Teams: []string{n.Target.Owner}}
	c.Blocked = b.waitingFor(n, i)
	c.Reason = "it was due " + engine.ShowInstant(p.Due)
	id, state := n.Base+graph.ActionID(i), b.decider.State(n, i)
	from, j := n, i
	if state == engine.Blocked || state == engine.MissingState || state == engine.Undecided {
		from, j = b.s.Graph.Action(b.decider.Cause(n, i))
	}
	switch root := b.decider.State(from, j); {
	case root == 0 || isGood(root):
	case from.Base+graph.ActionID(j) == id:
		c.Reason += ", and is " + root.String()
	default:
		c.Reason += fmt.Sprintf(", and waits for %s, which is %s", from.Target.Label.At(from.Set.Text(j)), root)
		if owner := from.Target.Owner; owner != "" && owner != n.Target.Owner {
			c.Reason += "; ask " + ws.OwnerText(owner)
		}
	}
	return c
}

// waitingFor counts the actions that can't go on before this one does, through any number of stages.
func (b *build) waitingFor(n *graph.Node, i int) int {
	id := n.Base + graph.ActionID(i)
	seen, queue := map[graph.ActionID]bool{id: true}, []graph.ActionID{id}
	for k := 0; k < len(queue); k++ {
		n, i := b.s.Graph.Action(queue[k])
		for _, e := range b.nodes[n.Index].readers {
			phases := b.nodes[e.To.Index].phase
			for j := range e.Readers(i).All() {
				id := e.To.Base + graph.ActionID(j)
				if phases != nil && (phases[j] == waiting || phases[j] == blocked) && !seen[id] {
					seen[id] = true
					queue = append(queue, id)
				}
			}
		}
	}
	return len(queue) - 1
}

// inOrder says whether this build found an action fresh, or it is no more: only then can what was told of it be resolved.
func (b *build) inOrder(target string) bool {
	name, partition, _ := strings.Cut(target, "@")
	label, err := engine.ParseLabel(name, "")
	n := b.s.Graph.Node(label)
	if err != nil || n == nil {
		return true
	}
	i, ok := n.Set.IndexText(partition)
	return !ok || b.nodes[n.Index].phase != nil && b.nodes[n.Index].phase[i] == done
}
