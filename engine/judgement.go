package engine

import (
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// Names of the rules that need no expect block. A waive may name them.
const (
	RuleColumns    = "columns"    // the content can be read as the columns say
	RuleKey        = "key"        // the key is unique and complete
	RuleReferences = "references" // values occur in another table
	RuleRejected   = "rejected"   // no more is rejected than was agreed
	RuleMetric     = "metric"     // a metric could be computed
)

// Finding is what one rule said.
type Finding struct {
	Output   string `json:"output,omitempty"` // whose rule it is; one of Output and Input is set
	Input    string `json:"input,omitempty"`
	Rule     string `json:"rule"` // its name
	Status   Status `json:"status"`
	Text     string `json:"text,omitempty"` // the rule as it is written
	Observed string `json:"observed,omitempty"`
	Bound    string `json:"bound,omitempty"`
	Reason   string `json:"reason,omitempty"`  // why nothing could be compared
	Message  string `json:"message,omitempty"` // the author's words
	Broken   bool   `json:"broken,omitempty"`  // the rule itself can't be applied: nothing is said of the data
	File     string `json:"file,omitempty"`    // where it is declared
	Line     int    `json:"line,omitempty"`
}

// Same says whether two findings are of one rule and of the same value: what was accepted of one then holds for the other.
func (f Finding) Same(g Finding) bool {
	return f.Output == g.Output && f.Input == g.Input && f.Rule == g.Rule && f.Text == g.Text && f.Observed == g.Observed && f.Reason == g.Reason
}

// Judgement is what all rules said of a version, or of what an input brings. It is frozen when made.
type Judgement struct {
	Findings []Finding    `json:"findings,omitempty"`
	Outputs  []Evidence   `json:"outputs,omitempty"`  // of a version, in the order of its outputs
	Prior    []VersionID  `json:"prior,omitempty"`    // the versions that were read as prior
	Replaced VersionID    `json:"replaced,omitzero"`  // likewise; zero: there was none
	Looked   cache.Digest `json:"looked_up,omitzero"` // identifies the tables that references looked up
	// Unmeasured says that there was something to measure, and that its bytes were gone.
	Unmeasured bool      `json:"unmeasured,omitempty"`
	Made       time.Time `json:"made"`
}

// Evidence is what rules went by, beside the fingerprint.
type Evidence struct {
	Name     string              `json:"name"`
	Metrics  map[string]*float64 `json:"metrics,omitempty"`
	Rejected map[string]Rejected `json:"rejected,omitempty"`
}

// Failing lists the findings that hold a version, or keep a consumer from it.
func (j *Judgement) Failing() []Finding {
	return slices.DeleteFunc(slices.Clone(j.Findings), func(f Finding) bool { return f.Status != Violated })
}

// SameReads says whether another judgement read the same versions and tables.
func (j *Judgement) SameReads(k *Judgement) bool {
	return slices.Equal(j.Prior, k.Prior) && j.Replaced == k.Replaced && j.Looked == k.Looked
}

// Acceptance is a person's word that what rules held is good. It covers the same content with the same failing rules, or fewer.
type Acceptance struct {
	Label     Label        `json:"label"`
	Partition string       `json:"partition,omitempty"`
	Input     string       `json:"input,omitempty"` // of what a consumer refused
	Subject   cache.Digest `json:"subject"`         // the content: see ContentOf
	Version   VersionID    `json:"version,omitzero"`
	Findings  []Finding    `json:"findings"`
	Current   VersionID    `json:"current,omitzero"` // what current named when it was accepted; zero: nothing
	By        Provenance   `json:"by"`
	Time      time.Time    `json:"time"`
	Reason    string       `json:"reason"`
	// Revoked says that this record takes an earlier one back.
	Revoked bool `json:"revoked,omitempty"`
}

// Covers says whether all failing findings were accepted.
func (a *Acceptance) Covers(failing []Finding) bool {
	return !a.Revoked && !slices.ContainsFunc(failing, func(f Finding) bool { return !slices.ContainsFunc(a.Findings, f.Same) })
}

// Split is what reject rules made of one output: a pure function of the raw tree, its reader's schema and the rules.
type Split struct {
	Visible    cache.TreeDigest    `json:"visible"`
	Quarantine cache.TreeDigest    `json:"quarantine,omitzero"`
	Rows       int64               `json:"rows"` // before
	Rejected   map[string]Rejected `json:"rejected"`
	Samples    map[string][]string `json:"samples,omitempty"` // some rows of each rule, as JSON or as the line that can't be read
	// Problem says why the rules could not be applied: nothing was rejected then. "" if they were.
	Problem string `json:"problem,omitempty"`
	// Broken says that the mistake is in a rule, and not in the data.
	Broken bool `json:"broken,omitempty"`
}
