package run

import (
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/notify"
)

// notify tells teams of the root causes that are new, and of those that are resolved. What can't be delivered is a warning.
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
	dir := filepath.Join(StoreDir(b.s.Root, ws.StorePath), "checkouts", b.s.Environment)
	n := &notify.Notifier{Workspace: ws.Name, Environment: b.s.Environment, Root: b.s.Root, File: filepath.Join(dir, "notified.json"), Teams: ws.Teams, Store: b.s.Store}
	for _, err := range n.Report(ctx, causes, b.inOrder) {
		s.Warnings = append(s.Warnings, engine.Problem{Severity: engine.Warning, Summary: err.Error()})
	}
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
