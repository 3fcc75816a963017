package engine

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/dpb-build/dpb/cache"
)

// KeySchema changes when the meaning of a key's entries changes; every action is then stale.
const KeySchema = "1"

// Recipe is what all actions of a target have in common: the target, and what dpb looked up for it.
type Recipe struct {
	Target *Target
	Code   []CodeFile // ordered by path
	Tools  []Tool     // ordered by name
	Tokens [][]string // of each statement, in the order of Target.SQL: its tokens without comments and white space
	Engine string     // the SQL engine's version; "" for commands
	Writer string     // the version of dpb's own code that shapes output bytes
}

// CodeFile is a file that a job may read as code, at its own path from the workspace root.
type CodeFile struct {
	Path   string
	Exec   bool
	Digest cache.Digest
	Size   int64
}

// Tool is a program that a job runs, with what identifies it.
type Tool struct{ Name, Identity string }

// InputPart is one partition of an input: its text ("" for none) and the tree that enters.
type InputPart struct {
	Partition string
	Tree      cache.TreeDigest
}

// Describe writes the target part of the key: all that may influence a result and is the same for each partition. It does not hold label, owner,
// descriptions, metrics, rules or rejects: they don't shape a job's bytes.
func (r *Recipe) Describe(s *Section) {
	t := r.Target
	s.Add("schema", KeySchema)
	s.Add("kind", t.Kind.String())
	for i, arg := range t.Command {
		addText(s, "command["+strconv.Itoa(i)+"]", arg)
	}
	for _, st := range t.SQL {
		s.Add("sql", st.Output)
	}
	for i, tokens := range r.Tokens {
		for _, token := range tokens {
			s.Add("sql["+strconv.Itoa(i)+"]", token)
		}
	}
	for _, c := range r.Code {
		s.Add("code "+c.Path, modeText(c.Exec)+" "+c.Digest.String())
	}
	for _, e := range t.Env {
		addText(s, "env "+e.Name, e.Value)
	}
	for _, x := range t.Secrets {
		s.Add("secret "+x.Name, x.Identity)
	}
	for _, x := range r.Tools {
		s.Add("tool "+x.Name, x.Identity)
	}
	addIf(s, "image", t.Image)
	if t.Memory > 0 {
		s.Add("memory", strconv.FormatInt(t.Memory, 10)) // spilling can change the order in which SQL evaluates
	}
	addIf(s, "engine", r.Engine)
	addIf(s, "writer", r.Writer)
	if t.Network {
		s.Add("network", "true")
	}
	if t.Kind == Command {
		s.Add("folder", t.Label.Pkg) // its job runs there
	}
	for _, in := range t.Inputs {
		s.Add("input", in.Name)
	}
	for _, o := range t.Outputs {
		o.describe(s)
	}
}

func (o *Output) describe(s *Section) {
	name := "output " + o.Name
	s.Add(name, o.Path)
	s.Add(name+" format", o.Format.String())
	addIf(s, name+" compression", o.Compression)
	if o.Shape == Parts {
		s.Add(name+" part_size", strconv.FormatInt(o.PartSize, 10))
	}
	for _, c := range o.Columns {
		s.Add(name+" column "+c.Name, c.spell())
	}
}

// DescribePartition writes the partition part of the key: values, intervals of time, and what the target's texts give for it.
func (t *Target) DescribePartition(s *Section, p Partition, intervals []Interval) error {
	for i, v := range p {
		s.Add("partition "+v.Dimension, v.Text)
		if i < len(intervals) && !intervals[i].IsZero() {
			s.Add("interval "+v.Dimension, intervals[i].String())
		}
	}
	for i, arg := range t.Command {
		if err := addExpanded(s, "command["+strconv.Itoa(i)+"]", arg, p); err != nil {
			return err
		}
	}
	for _, e := range t.Env {
		if err := addExpanded(s, "env "+e.Name, e.Value, p); err != nil {
			return err
		}
	}
	return nil
}

// Reading is how a job reads an input: the path that it sees, and what SQL makes of the files there.
type Reading struct {
	Path    string
	Format  Format
	Columns []Column // the reader's schema; nil if the files hold it or the reader needs none
	Units   []Value  // of the producer's dimensions, which become columns of SQL: their names and units
}

// DescribeInput writes the part of the key of one input: how it is read, and the tree of each partition, in order.
func (in *Input) DescribeInput(s *Section, r Reading, parts []InputPart) {
	s.Add("path", r.Path)
	s.Add("format", r.Format.String())
	for _, u := range r.Units {
		s.Add("dimension "+u.Dimension, u.Text)
	}
	for _, c := range r.Columns {
		s.Add("column "+c.Name, c.spell())
	}
	for _, p := range parts {
		s.Add("@"+p.Partition, string(p.Tree[:]))
	}
}

// ReadColumn reads a column as the sections of keys spell it.
func ReadColumn(name, spelled string) Column {
	c := Column{Name: name}
	c.Type, c.NotNull = strings.CutSuffix(spelled, " NOT NULL")
	return c
}

func (c Column) spell() string {
	if c.NotNull {
		return c.Type + " NOT NULL"
	}
	return c.Type
}

func addIf(s *Section, name, value string) {
	if value != "" {
		s.Add(name, value)
	}
}

// addText adds a text that is the same for all partitions; of others, only that they depend on it.
func addText(s *Section, name string, t Text) {
	v := "by partition"
	if !t.ByPartition() {
		v, _ = t.At(nil, nil) // can't fail: there is nothing to look up
		v = "=" + v
	}
	s.Add(name, v)
}

// addExpanded adds what a text that depends on the partition gives for p.
func addExpanded(s *Section, name string, t Text, p Partition) error {
	if !t.ByPartition() {
		return nil
	}
	v, err := t.At(p, nil)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.Add(name, v)
	return nil
}

func modeText(exec bool) string {
	if exec {
		return "exec"
	}
	return "file"
}
