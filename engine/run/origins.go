package run

import (
	"fmt"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
)

// Origin is why one version of an action was made: what changed against the version that was current before it.
type Origin struct {
	Version    string            `json:"version"`
	Created    time.Time         `json:"created"`
	Build      int64             `json:"build,omitempty"` // 0: not known
	Current    bool              `json:"current,omitempty"`
	Provenance engine.Provenance `json:"provenance"`
	Cause      *Cause            `json:"cause"`
}

// Origins explains each version of an action, newest first. d comes from Status.
func (s *Session) Origins(d *plan.Decider, n *graph.Node, i int) ([]Origin, error) {
	if s.Ledger == nil {
		return nil, nil
	}
	versions, err := s.Ledger.VersionsOf(s.Graph.Workspace.Name, n.Target.Label, n.Set.Text(i))
	if err != nil {
		return nil, err
	}
	current := s.Current(n, i)
	out := make([]Origin, len(versions))
	for k, v := range versions {
		e := &explainer{s, d, map[graph.ActionID]bool{n.Base + graph.ActionID(i): true}}
		c := e.cause(n, i)
		c.Text = "its first version"
		if old := predecessor(versions, k); old != nil {
			if err := e.origin(c, n, *old, v); err != nil {
				return nil, fmt.Errorf("version %s: %w", v.ID.Short(), err)
			}
		}
		c.collapse()
		out[k] = Origin{v.ID.String(), v.Created, v.Build, v.ID == current, v.Provenance, c}
	}
	return out, nil
}

// predecessor is the version that current named when that at k was made; of one that does not say so, the one that was made before it. nil: there was none.
func predecessor(versions []engine.Version, k int) *engine.Version {
	for j := range versions {
		if id := versions[j].ID; id == versions[k].Replaced && !id.IsZero() {
			return &versions[j]
		}
	}
	if k+1 == len(versions) {
		return nil
	}
	return &versions[k+1]
}

// origin says how a version came to follow another one. Two of one key differ in what the job gave, or in which rows were rejected.
func (e *explainer) origin(c *Cause, n *graph.Node, old, new engine.Version) error {
	switch {
	case n.Target.Kind == engine.Source:
		return e.files(c, old, new)
	case old.Key != new.Key:
		return e.between(c, n, old, new)
	}
	c.Text = "the same key, and other rows are rejected: the rules that reject changed"
	for k, o := range new.Outputs {
		if k >= len(old.Outputs) || old.Outputs[k].Raw != o.Raw {
			c.Text = "the same key, and the job gave something else: its result had expired or lost its bytes, and it is not reproducible"
		}
	}
	return nil
}
