package engine

import "time"

// Build is one command that ran jobs, or changed what is recorded otherwise.
type Build struct {
	ID          int64        `json:"-"` // numbers them from 1, through all workspaces of a store
	Workspace   string       `json:"workspace"`
	Environment string       `json:"environment"`
	Command     string       `json:"command"`           // the command line
	Process     string       `json:"process,omitempty"` // names the process in the store while it lives
	Provenance  Provenance   `json:"provenance"`
	Now         time.Time    `json:"now"` // by which it decided what partitions there are
	Started     time.Time    `json:"started"`
	Ended       time.Time    `json:"ended,omitzero"` // zero: it goes on, or was killed
	Interrupted bool         `json:"interrupted,omitempty"`
	ExitCode    int          `json:"exit_code"`
	Counts      BuildCounts  `json:"counts"`
	Failures    []Unfinished `json:"failures,omitempty"` // root causes of what did not become fresh, the first MaxUnfinished
	More        int          `json:"more_failures,omitempty"`
	Error       string       `json:"error,omitempty"` // why dpb itself broke it off, one line
}

// MaxUnfinished bounds how many root causes are kept with a build.
const MaxUnfinished = 20

// BuildCounts says how many actions of a build came to which end.
type BuildCounts struct {
	Total    int `json:"total"` // sources not counted
	Ran      int `json:"ran"`   // jobs that succeeded
	Same     int `json:"same"`  // of these: their outputs were what was there before
	UpToDate int `json:"up_to_date"`
	Judged   int `json:"judged"` // anew, without a job
	Failed   int `json:"failed"`
	Held     int `json:"held"`
	Refused  int `json:"refused"`
	Blocked  int `json:"blocked"`
}

// Unfinished is an action that a build did not bring to fresh.
type Unfinished struct {
	Target string `json:"target"` // label@partition
	State  string `json:"state"`
	Reason string `json:"reason,omitempty"` // one line
}
