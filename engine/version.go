package engine

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/zeebo/blake3"
)

// Interval is a half-open stretch of time.
type Interval struct{ Start, End time.Time }

// IsZero says that there is no interval: the dimension is one of listed values.
func (i Interval) IsZero() bool { return i.Start.IsZero() }

// String writes both instants in UTC.
func (i Interval) String() string {
	return i.Start.UTC().Format(time.RFC3339) + "/" + i.End.UTC().Format(time.RFC3339)
}

// Result is what a job made, found by its key. The first that is recorded for a key counts.
type Result struct {
	Key       cache.ActionKey
	Parts     []Part // the sections that made the key
	Outputs   []OutputResult
	Log       cache.Digest `json:",omitzero"` // zero if the job wrote none
	Metrics   cache.Digest `json:",omitzero"` // the file at $DPB_METRICS; zero if there is none
	Started   time.Time
	Observed  time.Time // what the run took for now, from which valid_for counts
	Wall, CPU time.Duration
	MaxRSS    int64  // bytes; 0 if unknown
	Isolation string // how far the job was kept from what it did not declare
	Writer    string // dpb's version, and the engine's
	Uncovered []string
}

// Expired says whether the result is older than validFor allows; 0 allows any age. One from later than now counts as expired: since the clock went back nobody can
// tell how old it is.
func (r *Result) Expired(validFor time.Duration, now time.Time) bool {
	return validFor > 0 && (now.Before(r.Observed) || !now.Before(r.Observed.Add(validFor)))
}

// OutputResult is one output as the job left it.
type OutputResult struct {
	Name    string
	Tree    cache.TreeDigest
	Bytes   int64
	Files   int64
	Rows    int64    // -1 if not a table or not counted
	Columns []Column `json:",omitempty"` // of a table written by SQL
}

// VersionID names a version for ever.
type VersionID [32]byte

func (v VersionID) String() string { return hex.EncodeToString(v[:]) }

// Short gives the first 12 hexadecimal characters, for messages.
func (v VersionID) Short() string { return hex.EncodeToString(v[:6]) }

// IsZero says that no version was set.
func (v VersionID) IsZero() bool { return v == VersionID{} }

func (v VersionID) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

func (v *VersionID) UnmarshalText(b []byte) error { return (*cache.Digest)(v).UnmarshalText(b) }

// Version is an action's outputs together, as consumers may see them.
type Version struct {
	ID         VersionID
	Workspace  string
	Label      Label
	Partition  string
	Key        cache.ActionKey
	Outputs    []VersionOutput // in the order of their names
	Provenance Provenance
	Created    time.Time
	Build      int64     `json:",omitempty"` // that recorded it first; 0 if that is not known
	Replaced   VersionID `json:",omitzero"`  // what current named then; zero: nothing, or that is not known
}

// VersionOutput is one output of a version: what the job wrote, what consumers see, and what was rejected (zero if nothing was).
type VersionOutput struct {
	Name                     string
	Raw, Visible, Quarantine cache.TreeDigest
}

// Provenance says where a version comes from.
type Provenance struct {
	Commit string `json:"commit,omitempty"` // of git; "" outside a repository
	Dirty  bool   `json:"dirty,omitempty"`
	User   string `json:"user,omitempty"`
	Host   string `json:"host,omitempty"`
}

var versionHasher = blake3.NewDeriveKey("dpb version v1")

// NewVersionID hashes what a version is: where it belongs, the key that made it and its trees. Time, person and commit are no part of it.
func NewVersionID(workspace string, label Label, partition string, key cache.ActionKey, outputs []VersionOutput) (id VersionID) {
	h := *versionHasher
	var buf [16]byte
	add := func(s string) {
		h.Write(binary.AppendUvarint(buf[:0], uint64(len(s))))
		h.WriteString(s)
	}
	add(workspace)
	add(label.String())
	add(partition)
	h.Write(key[:])
	for _, o := range outputs {
		add(o.Name)
		h.Write(o.Raw[:])
		h.Write(o.Visible[:])
		h.Write(o.Quarantine[:])
	}
	h.Sum(id[:0])
	return id
}

// Run is one attempt to make a result: evidence, kept for ever, that changes nothing.
type Run struct {
	Key       cache.ActionKey
	Label     Label
	Partition string
	Started   time.Time
	Wall      time.Duration
	Failure   string         // "" if it succeeded; else why it did not, one line
	ExitCode  int            // of the command; 0 if it was not that which failed
	Log       cache.Digest   `json:",omitzero"`
	Outputs   []OutputResult // of a success: shows whether the job is reproducible
	Metrics   cache.Digest   `json:",omitzero"` // likewise
	// Verifies: dpb verify ran the job of a result that counts, and no failure takes that back.
	Verifies bool          `json:",omitempty"`
	Build    int64         `json:",omitempty"` // that it was part of; 0: of none, or from before builds were recorded
	After    string        `json:",omitempty"` // label@partition of the job in the same build whose end let this one start; "" if it could start at once
	Waited   time.Duration `json:",omitempty"` // from then on, for a place or for another dpb that had its key
	Why      string        `json:",omitempty"` // it ran, a few words
}

// State of a target at a partition. The order is that in which they are decided: the first that holds.
type State uint8

const (
	Frozen State = iota + 1
	MissingState
	Blocked
	Undecided
	Refused
	Failed
	Stale
	Held
	Fresh
)

var stateNames = [...]string{Frozen: "frozen", MissingState: "missing", Blocked: "blocked", Undecided: "undecided", Refused: "refused",
	Failed: "failed", Stale: "stale", Held: "held", Fresh: "fresh"}

func (s State) String() string { return stateNames[s] }

// States lists all states in the order in which they are decided.
func States() []State {
	return []State{Frozen, MissingState, Blocked, Undecided, Refused, Failed, Stale, Held, Fresh}
}
