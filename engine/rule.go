package engine

import "fmt"

// Facts are what a rule may name of one table: its fingerprint, its metrics, and what was rejected.
type Facts struct {
	*Fingerprint
	// Metrics by name; nil is null. A declared one that lacks here is unknown: its bytes are gone, or several partitions were merged.
	Metrics  map[string]*float64
	Rejected map[string]Rejected
}

// Rejected counts the rows that one reject took out.
type Rejected struct {
	Rows  int64   `json:"rows"`
	Share float64 `json:"share"` // of the rows before; 0 of none
}

// Scope is what an expectation is judged by.
type Scope struct {
	Self *Facts
	// Prior are the accepted versions of the preceding partitions, the nearest first; fewer than the rule asks for where there are no more.
	Prior    []*Facts
	Replaced *Facts // the version that current points to; nil: none
	// Inputs and Outputs, by name, are those that the rule uses: of rules on a target's output.
	Inputs, Outputs map[string]*Facts
	Parts           []*Facts // of rules on an input: each partition, in order
	Interval        Interval // the partition's time; zero if it has none
}

// Status is what a rule came to.
type Status uint8

const (
	Passed   Status = iota + 1
	NotYet          // there is too little to compare with; not holding
	Warned          // violated, and only a warning
	Violated        // holds the version
)

var statusNames = [...]string{Passed: "passed", NotYet: "not yet", Warned: "warned", Violated: "violated"}

func (s Status) String() string { return statusNames[s] }

// MarshalText refuses what is no status: it could not be read again.
func (s Status) MarshalText() ([]byte, error) {
	if s == 0 || int(s) >= len(statusNames) {
		return nil, fmt.Errorf("there is no status %d", s)
	}
	return []byte(s.String()), nil
}

func (s *Status) UnmarshalText(b []byte) error {
	for k, name := range statusNames {
		if name == string(b) && name != "" {
			*s = Status(k)
			return nil
		}
	}
	return fmt.Errorf("there is no status %q", b)
}

// Judged is what the expression of a rule came to: Passed, NotYet or Violated.
type Judged struct {
	Status Status
	// Observed says what was found, as in "metric.spam_rate = 0.42"; Bound what would have passed, as in "between 0.01 and 0.4"; "" where that is the rule's text.
	Observed, Bound string
	Reason          string // why nothing could be compared, of NotYet and of a null in the wrong place: "column.x.mean is null"
}
