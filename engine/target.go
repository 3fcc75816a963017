package engine

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Workspace is all that the dpb.hcl and pipeline.hcl files of one tree say.
type Workspace struct {
	Name       string // "" if dpb.hcl gives none
	Requires   string // constraint on dpb's version, as written
	Teams      []*Team
	Dimensions []*Dimension
	StorePath  string // as written; relative to the root unless absolute
	Lock       bool   // builds write pipeline.lock
	Retention  Retention
	Events     Events
	Packages   []*Package
	Targets    []*Target // targets and sources, ordered by label
}

// Retention says what dpb gc leaves of a checkout's versions in the store.
type Retention struct {
	KeepVersions int   // of a partition: current, and the accepted ones before it
	KeepDays     int   // younger versions stay too; 0: none for their age
	MaxSize      int64 // bytes, beyond which KeepDays keeps nothing; 0: no limit
	UnseenDays   int   // how long a checkout counts that is not where it was
}

// Events says where the events of runs go, as OpenLineage: at most one of both is set.
type Events struct {
	URL  string // of an endpoint; without a path, that is the usual one
	File string // relative to the root unless absolute
}

// DefaultRetention holds where dpb.hcl says nothing.
var DefaultRetention = Retention{KeepVersions: 2, UnseenDays: 30}

// Team owns targets; Contact is what a message tells people to use.
type Team struct {
	Name, Contact string
	// Notify is a webhook's URL, or a command with its arguments; nil: nobody is called.
	Notify []string
	Range  Range
}

// Target finds a target or source by its label; nil if there is none.
func (w *Workspace) Target(l Label) *Target {
	for _, t := range w.Targets {
		if t.Label == l {
			return t
		}
	}
	return nil
}

// OwnerText names a team with how to reach it, as messages do: royalties (royalties@example.com).
func (w *Workspace) OwnerText(owner string) string {
	for _, team := range w.Teams {
		if team.Name == owner && team.Contact != "" {
			return fmt.Sprintf("%s (%s)", team.Name, team.Contact)
		}
	}
	return owner
}

// Package is one pipeline.hcl: the defaults of what it declares.
type Package struct {
	Path       string
	Owner      string
	Visibility []Pattern // nil: the whole workspace
	Range      Range
}

// Kind says how a target comes by its content.
type Kind uint8

const (
	Source  Kind = iota + 1 // dpb observes it and does not make it
	SQL                     // SELECT statements on the embedded engine
	Command                 // a program
)

func (k Kind) String() string { return [...]string{"", "source", "sql", "command"}[k] }

// Target is a declared unit of the pipeline: a target or a source. It is plain data and is not changed after it was loaded.
type Target struct {
	Label       Label
	Kind        Kind
	Description string
	Owner       string // a team's name; the package's if the block gives none
	Visibility  []Pattern
	Tags        []string
	Range       Range // the block's header

	PartitionBy []string
	Start, End  string // narrow the time dimension for this target; "" keeps the dimension's
	Due         Due
	Freeze      Freeze

	Inputs  []*Input
	Outputs []*Output // a source has one, named like itself

	SQL     []*Statement // one an output, in the outputs' order
	Command []Text
	Code    []CodeRef
	Env     []EnvVar // ordered by name
	Secrets []Secret // ordered by name
	Tools   []string
	Image   string
	Timeout time.Duration // 0: none
	Network bool
	// ValidFor is how long a result with network access holds; 0: no limit was given.
	ValidFor time.Duration
	Threads  int   // 0: dpb decides
	Memory   int64 // bytes; 0: dpb decides

	Path    Text // of a source: a glob, relative to the package unless absolute
	InPlace bool // of a source: keep = false, its bytes don't enter the store
}

// Output returns the output of that name.
func (t *Target) Output(name string) *Output {
	for _, o := range t.Outputs {
		if o.Name == name {
			return o
		}
	}
	return nil
}

// Statement is the SQL of one output.
type Statement struct {
	Output string
	Text   string
	File   string // the .sql file, relative to the root; "" if the text stands in the pipeline.hcl
	Range  Range  // where it was given; of the text itself if it stands in the pipeline.hcl and is a plain literal
}

// CodeRef is one element of code: a glob in the package, or a source's label.
type CodeRef struct {
	Glob   string
	Source Label
	Range  Range
}

// EnvVar is one declared environment variable.
type EnvVar struct {
	Name  string
	Value Text
}

// Secret is a variable whose value enters no key; Identity is what does in its stead.
type Secret struct{ Name, Identity string }

// Missing says what a consumer does about a producer's partition, inside its set, that has nothing.
type Missing uint8

const (
	Block Missing = iota
	Skip
	SkipNewer // only the newest may lack
)

func (m Missing) String() string { return [...]string{"block", "skip", "skip_newer"}[m] }

// Input is an edge: what a target reads, under the name that its job knows.
type Input struct {
	Name string
	// One of From (a target or source, perhaps one of its outputs) and Files (a glob in the package) is set.
	From    Ref
	Files   Text
	Columns []Column
	Window  *Window
	Slice   []Value
	// TakeLast selects only the newest of the mapped partitions.
	TakeLast bool
	Missing  Missing
	Waive    []string
	Expects  []*Expect
	Range    Range
}

// Window widens a mapped selection by positions along its time dimension, both ends inclusive.
type Window struct {
	FromStart bool // "first" instead of From
	From, To  int
	Range     Range
}

// Format is how a table's rows are stored. Opaque outputs are no tables.
type Format uint8

const (
	Opaque Format = iota
	Parquet
	CSV
	NDJSON
)

func (f Format) String() string { return [...]string{"files", "parquet", "csv", "ndjson"}[f] }

// Shape says how an output lies in its directory.
type Shape uint8

const (
	OneFile Shape = iota // NAME.parquet
	Parts                // plays/*.parquet: one table in several files
	Folder               // features/: any tree of files
)

// Output is what a target makes under one name.
type Output struct {
	Name        string
	Path        string // clean, relative: "x.parquet", "plays/*.parquet", "features/"
	Shape       Shape
	Format      Format
	Compression string // "", "gzip" or "zstd", of CSV and NDJSON
	PartSize    int64  // bytes; of Parts
	Columns     []Column
	Key         []string
	References  []Reference
	Metrics     []*Metric
	Expects     []*Expect
	Rejects     []*Reject
	Range       Range
}

// Column is a promised or read column. Type is in the SQL engine's spelling.
type Column struct {
	Name    string `json:"name"`
	Type    string `json:"type"`
	NotNull bool   `json:"not_null,omitempty"`
}

// Reference says that a column's values occur in the key of another table.
type Reference struct {
	Column string
	To     Ref
	Range  Range
}

// Metric is a number that belongs to an output's fingerprint. Without SQL the job writes it to $DPB_METRICS.
type Metric struct {
	Name, SQL string
	Range     Range
}

var selects = regexp.MustCompile(`(?i)\b(SELECT|FROM)\b`)

// ReadsInputs says whether the SQL may read inputs: it has a SELECT or FROM, be it within an expression.
func (m *Metric) ReadsInputs() bool { return selects.MatchString(m.SQL) }

// Expect is a rule over fingerprints. That is its source text, whose names and types were checked when it was loaded.
type Expect struct {
	Name, That, Message string
	Warn                bool
	Prior               int
	Range               Range
	Uses                []Use
	Judge               func(Scope) Judged // evaluates That
}

// Use is a name in a rule, taken apart: metric, spam_rate. What a rule over lists names of each element follows the list's name: parts, metric, spam_rate.
type Use struct {
	Path  []string
	Range Range
}

// UsesRoot says whether the rule names anything that begins with root.
func (x *Expect) UsesRoot(root string) bool {
	return slices.ContainsFunc(x.Uses, func(u Use) bool { return u.Path[0] == root })
}

// Reject moves rows aside. Where is empty if Unreadable.
type Reject struct {
	Name, Where string
	Unreadable  bool
	LimitRows   int64
	LimitShare  float64 // 0 to 1; used if IsShare
	IsShare     bool
	Range       Range
}
