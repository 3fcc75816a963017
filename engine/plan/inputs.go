package plan

import (
	"path"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// Binding is one input of an action with the content that enters.
type Binding struct {
	Input *engine.Input
	Edge  *graph.Edge // nil for a glob of files
	File  string      // base name of the one file that the job sees; "" if it sees a directory
	engine.Reading
	Parts    []engine.InputPart
	Producer []int // partition of the producer, for each part; nil for a glob
}

// InputFile is the base name under which a job sees an input that is one file, or "" if the job sees a directory. It is decided by
// declarations alone: one partition of a one-file output is a file named like the input, with the output's ending.
func InputFile(n *graph.Node, k int) string {
	in := n.Target.Inputs[k]
	if e := n.Edges[k]; e != nil {
		if e.Output.Shape != engine.OneFile || !e.Single() {
			return ""
		}
		return in.Name + ending(e.Output.Path)
	}
	if last := in.Files[len(in.Files)-1]; !slices.ContainsFunc(in.Files, func(s engine.Segment) bool { return engine.IsGlob(s.Literal) }) {
		return in.Name + ending(last.Literal)
	}
	return ""
}

// InputPath is where the job sees an input.
func InputPath(n *graph.Node, k int) string {
	return engine.JobPath(n.Target.Label.Pkg, engine.JobInputs, n.Target.Inputs[k].Name, InputFile(n, k))
}

// ending is all from the first dot of the base name: .csv.gz.
func ending(name string) string {
	base := path.Base(name)
	if at := strings.IndexByte(base, '.'); at >= 0 {
		return base[at:]
	}
	return ""
}

// obstacle is why an action can't be decided, with the action at which that begins.
type obstacle struct {
	state engine.State
	cause graph.ActionID
}

// worse keeps the state that comes first in the order of states, and of equal ones the first found.
func (o *obstacle) worse(state engine.State, cause graph.ActionID) {
	if o.state == 0 || state < o.state {
		o.state, o.cause = state, cause
	}
}

// bind fills b with the partitions of input k that enter the action, or reports what stands in the way.
func (w *Worker) bind(n *graph.Node, k, i int, b *Binding, o *obstacle) error {
	in, e := n.Target.Inputs[k], n.Edges[k]
	*b = Binding{Input: in, Edge: e, Reading: w.d.nodes[n.Index].readings[k], Parts: b.Parts[:0], Producer: b.Producer[:0]}
	if e == nil {
		return w.bindFiles(n, k, i, b, o)
	}
	b.Format = e.Output.Format
	p := &w.d.nodes[e.From.Index]
	output := OutputIndex(e)
	lacking := lacking{edge: e}
	if in.Missing == engine.Block && e.Lack() != "" {
		o.worse(engine.MissingState, n.Base+graph.ActionID(i))
	}
	for j := range e.Inputs(i).All() {
		id := e.From.Base + graph.ActionID(j)
		switch state := p.state[j]; state {
		case engine.Fresh, engine.Frozen:
			b.add(e, p, j, output)
			lacking.present(j)
		case engine.MissingState:
			if in.Missing == engine.Block {
				o.worse(engine.MissingState, p.cause[j])
			} else {
				lacking.absent(j, p.cause[j])
			}
		case engine.Blocked:
			o.worse(engine.Blocked, p.cause[j])
		case engine.Held:
			if !w.waived(in, id) {
				o.worse(engine.Blocked, id)
				continue
			}
			b.add(e, p, j, output)
			lacking.present(j)
		case engine.Failed, engine.Refused:
			o.worse(engine.Blocked, id)
		case engine.Undecided:
			o.worse(engine.Undecided, p.cause[j])
		default:
			o.worse(engine.Undecided, id)
		}
	}
	if in.Missing == engine.SkipNewer && lacking.older() {
		o.worse(engine.MissingState, lacking.cause)
	}
	b.Columns = w.readerColumns(n, k, b)
	return nil
}

// add lets a partition enter.
func (b *Binding) add(e *graph.Edge, p *node, j, output int) {
	t := p.trees[j*p.outputs+output]
	if e.Quarantine {
		if t = p.aside[j*p.outputs+output]; t.IsZero() { // of a table without files
			return
		}
	}
	b.Parts = append(b.Parts, engine.InputPart{Partition: e.From.Set.Text(j), Tree: t})
	b.Producer = append(b.Producer, j)
}

// waived says whether an input takes a held version: it is held by nothing but rules that the input waives.
func (w *Worker) waived(in *engine.Input, id graph.ActionID) bool {
	if in.Waive == nil {
		return false
	}
	p, ok := w.d.Pending(id)
	return ok && p.Outputs != nil && !slices.ContainsFunc(p.Failing, func(f engine.Finding) bool { return !slices.Contains(in.Waive, f.Rule) })
}

// lacking tells whether a partition without content has a newer one with content.
type lacking struct {
	edge                    *graph.Edge
	oldestAbsent, newest    int // positions in time
	someAbsent, somePresent bool
	cause                   graph.ActionID
}

func (l *lacking) present(j int) {
	if t := l.edge.From.Set.TimeIndex(j); !l.somePresent || t > l.newest {
		l.newest, l.somePresent = t, true
	}
}

func (l *lacking) absent(j int, cause graph.ActionID) {
	if t := l.edge.From.Set.TimeIndex(j); !l.someAbsent || t < l.oldestAbsent {
		l.oldestAbsent, l.someAbsent, l.cause = t, true, cause
	}
}

func (l *lacking) older() bool { return l.someAbsent && l.somePresent && l.oldestAbsent < l.newest }

func (w *Worker) bindFiles(n *graph.Node, k, i int, b *Binding, o *obstacle) error {
	b.Format, _ = engine.FormatOf(b.Input.Files[len(b.Input.Files)-1].Literal)
	b.Columns = b.Input.Columns
	t, ok, err := w.d.world.Files(n, k, i)
	if err != nil {
		return err
	}
	if !ok {
		o.worse(engine.MissingState, n.Base+graph.ActionID(i))
		return nil
	}
	b.Parts = append(b.Parts, engine.InputPart{Tree: t})
	return nil
}

// OutputIndex is the place of the output that an edge reads among its producer's.
func OutputIndex(e *graph.Edge) int {
	for k, o := range e.From.Target.Outputs {
		if o.Name == e.Output.Name {
			return k
		}
	}
	return 0
}

// readerColumns is the schema with which SQL reads an input: the edge's, else what the producer promises, else, of text written by SQL,
// the types of that SQL.
func (w *Worker) readerColumns(n *graph.Node, k int, b *Binding) []engine.Column {
	e := b.Edge
	switch {
	case n.Target.Kind != engine.SQL:
		return nil
	case b.Input.Columns != nil:
		return b.Input.Columns
	case len(b.Parts) == 0:
		return e.Output.Columns
	case e.Output.Format == engine.Parquet:
		return nil
	}
	// SQL may write more than it promises, so its own types come first.
	if c := w.producedColumns(b); c != nil {
		return c
	}
	return e.Output.Columns
}

// producedColumns are the types of the SQL that wrote the parts; nil if a command wrote them or the parts differ.
func (w *Worker) producedColumns(b *Binding) []engine.Column {
	p, output := &w.d.nodes[b.Edge.From.Index], OutputIndex(b.Edge)
	if p.columns == nil {
		return nil
	}
	first := p.columns[b.Producer[0]*p.outputs+output]
	for _, j := range b.Producer[1:] {
		if !slices.Equal(p.columns[j*p.outputs+output], first) {
			return nil
		}
	}
	return first
}
