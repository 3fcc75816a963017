package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// CheckPromises warns of promises on time that can't hold, by those of producers and by how long jobs took before.
func (s *Session) CheckPromises() ([]engine.Problem, error) { return CheckPromises(s.Graph, s.Took) }

// CheckPromises is that of a session, with took for what its ledger knows. It looks at the newest partition of each target: when a partition is due follows from its
// time alone, so the newest that it reads of a producer are the last to come.
func CheckPromises(g *graph.Graph, took func(*graph.Node) (Took, error)) ([]engine.Problem, error) {
	c := arrivals{graph: g, took: took, ready: map[graph.ActionID]arrival{}}
	for _, n := range g.Nodes {
		if n.Target.Due.IsZero() || n.Set.Len() == 0 {
			continue
		}
		if err := c.check(n, n.Set.Len()-1); err != nil {
			return nil, err
		}
	}
	return engine.SortProblems(c.problems), nil
}

// arrivals find when actions can be there.
type arrivals struct {
	graph    *graph.Graph
	took     func(*graph.Node) (Took, error)
	ready    map[graph.ActionID]arrival
	problems []engine.Problem
}

// arrival is when an action can be there at the earliest: so long after a promise, or after the end of a partition, as the jobs in between take.
type arrival struct {
	at    time.Time   // zero: nothing is known that it would have to wait for
	from  *graph.Node // where it begins
	part  int         // at this partition
	since time.Time   // the promise there, or the end of the partition
	jobs  []step      // after it, the first one first
	// promised: it begins with a promise
	promised bool
}

// ended is an arrival that begins with the end of a partition.
func ended(n *graph.Node, i int) arrival {
	return arrival{at: n.Set.End(i), from: n, part: i, since: n.Set.End(i)}
}

type step struct {
	node *graph.Node
	Took
}

// then waits for one more job.
func (c arrival) then(n *graph.Node, t Took) arrival {
	if c.at.IsZero() || !isJob(n) {
		return c
	}
	c.at = c.at.Add(t.Median)
	c.jobs = append(c.jobs[:len(c.jobs):len(c.jobs)], step{n, t})
	return c
}

// check compares the promise of an action with when each of its inputs can be there. Where no producer's promise is to blame, the jobs alone may take too long.
func (c *arrivals) check(n *graph.Node, i int) error {
	due, before := n.Due(i), len(c.problems)
	took, err := c.took(n)
	if err != nil {
		return err
	}
	last := ended(n, i)
	for _, e := range waitingEdges(n.Edges, n.References) {
		found, err := c.through(e, i)
		if err != nil {
			return err
		}
		if found.promised && found.then(n, took).at.After(due) {
			c.problems = append(c.problems, c.problem(n, i, found.then(n, took)))
		}
		if !found.promised && found.at.After(last.at) {
			last = found
		}
	}
	if last = last.then(n, took); len(c.problems) == before && last.at.After(due) {
		c.problems = append(c.problems, c.problem(n, i, last))
	}
	return nil
}

// through is when what an edge brings can be there. What a target reads of itself came before.
func (c *arrivals) through(e *graph.Edge, i int) (arrival, error) {
	j, ok := e.Inputs(i).Last()
	if !ok || e.From == e.To {
		return arrival{}, nil
	}
	return c.readyAt(e.From, j)
}

// readyAt is when an action can be there: after the last of its inputs. A promise stands for all that lies before it.
func (c *arrivals) readyAt(n *graph.Node, i int) (arrival, error) {
	id := n.Base + graph.ActionID(i)
	if found, ok := c.ready[id]; ok {
		return found, nil
	}
	if due := n.Due(i); !due.IsZero() {
		return arrival{at: due, from: n, part: i, since: due, promised: true}, nil
	}
	last := ended(n, i)
	for _, e := range waitingEdges(n.Edges, n.References) {
		found, err := c.through(e, i)
		if err != nil {
			return arrival{}, err
		}
		// Of two that come at once the promise is told.
		if found.at.After(last.at) || found.promised && found.at.Equal(last.at) {
			last = found
		}
	}
	took, err := c.took(n)
	c.ready[id] = last.then(n, took)
	return c.ready[id], err
}

// problem says which promise can't hold, by whose promises and jobs.
func (c *arrivals) problem(n *graph.Node, i int, found arrival) engine.Problem {
	due := n.Due(i)
	at := func(t time.Time) string {
		if t = t.In(due.Location()); t.Format(time.DateOnly) == due.Format(time.DateOnly) {
			return t.Format("15:04")
		}
		return t.Format("2006-01-02 15:04")
	}
	earliest := found.at.Add(time.Minute - 1).Truncate(time.Minute)
	p := engine.Problem{Severity: engine.Warning, Range: n.Target.Due.Range, Context: n.Target.Range, Hint: "promise " + at(earliest) + " or later",
		Summary: fmt.Sprintf("%s is promised for %s, and can't be there before %s", n.Target.Label, at(due), at(earliest))}
	first := fmt.Sprintf("%s ends at %s", found.from.Set.Text(found.part), at(found.since))
	if found.promised {
		first = fmt.Sprintf("%s promises %s (%s:%d)", c.name(found.from), at(found.since), found.from.Target.Due.Range.File, found.from.Target.Due.Range.Start.Line)
		if owner := found.from.Target.Owner; owner != "" && owner != n.Target.Owner {
			p.Hint += ", or ask " + c.graph.Workspace.OwnerText(owner) + " for an earlier promise"
		}
	}
	p.Detail = strings.Join(append([]string{first}, c.steps(found.jobs)...), ", ") + "; seen at " + n.Set.Text(i) + "."
	return p
}

func (c *arrivals) name(n *graph.Node) string {
	if n.Target.Owner == "" {
		return n.Target.Label.String()
	}
	return fmt.Sprintf("%s (%s)", n.Target.Label, n.Target.Owner)
}

// steps say how long each job takes.
func (c *arrivals) steps(jobs []step) (out []string) {
	for _, j := range jobs {
		text := fmt.Sprintf("%s takes %s at the median of %d runs", c.name(j.node), roughly(j.Median), j.Runs)
		switch j.Runs {
		case 0:
			text = "how long " + c.name(j.node) + " takes is not known yet"
		case 1:
			text = fmt.Sprintf("%s took %s the one time it ran", c.name(j.node), roughly(j.Median))
		}
		out = append(out, text)
	}
	return out
}

// roughly writes how long a job takes: 40 min, 1 h 5 min, 12 s.
func roughly(d time.Duration) string {
	switch h, m := d.Round(time.Minute)/time.Hour, d.Round(time.Minute)%time.Hour/time.Minute; {
	case d < time.Second:
		return "less than a second"
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case h == 0:
		return fmt.Sprintf("%d min", m)
	case m == 0:
		return fmt.Sprintf("%d h", h)
	default:
		return fmt.Sprintf("%d h %d min", h, m)
	}
}
