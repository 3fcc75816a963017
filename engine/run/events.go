// Package run is the scheduler: it decides, runs and records actions while it goes, through one state machine with one transition function.
package run

import (
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// Events hears how a build goes. All calls come from one goroutine at a time, in the order in which things happened.
type Events interface {
	// Started says that a job began, or, of one with Waits, that it can't.
	Started(Job)
	// Finished says that a job ended.
	Finished(Job, Outcome)
	// Counted says how many actions are where; it comes after each change, perhaps many thousands of times a second.
	Counted(Counts)
	// Done says that the build is over.
	Done(Summary)
}

// Job is one run of an action.
type Job struct {
	Number    int // from 1, in the order in which jobs began
	Label     engine.Label
	Partition string // "" for none
	Kind      engine.Kind
	Why       string // the reason, a few words: "code changed: classify.sql"
	Slot      int    // which of the -j places it runs in, from 0
	Started   time.Time
	Judged    bool // no job runs: a known result is split, measured or judged anew
	Verifies  bool // its result is known: it runs to see whether it gives the same again
	// Waits is who runs it now: another dpb, or another machine's. It has no number and no place yet, and goes on when that one is done, or dead.
	Waits  *disk.Holder
	Waited bool // it began after it had waited for another dpb
}

// Outcome is how a job ended.
type Outcome struct {
	Ended    time.Time
	Wall     time.Duration
	Failure  string           // "" if it succeeded; else one line
	Problems []engine.Problem // where and why a SQL stage failed; nil if there is no place
	Log      string           // path of the whole log; "" if it wrote none
	Tail     []string         // the last lines of the log, of a failure
	Rows     int64            // -1 if unknown
	Bytes    int64
	// Local says that the machine is to blame, and not the job: a full disk, a file that changed.
	Local bool
	// Locked says that another dpb ran it for longer than this one was to wait.
	Locked bool
	// Elsewhere says that another dpb made the result while this one waited.
	Elsewhere bool
	State     engine.State     // Fresh, or Held with its rules in Failure; 0 if it failed
	Unjudged  bool             // its verdict waits for others: State is Stale, and a later pass or build judges it without a job
	Same      bool             // the outputs equal those of the version before: consumers are not affected
	Warned    []engine.Finding // rules that are violated and only warn
	Differs   bool             // of one that verifies: it gave something else, as Failure says
}

// Counts says how many actions of the build are in which condition.
type Counts struct {
	Total    int // actions known to belong to the build, sources not counted
	UpToDate int // needed no job
	Restored int // of UpToDate: those whose result was known, but was not the current one
	Reshown  int // of UpToDate: those that dpb-out lacked, or that somebody changed there
	Ran      int // jobs that succeeded
	Same     int // of Ran: those whose outputs were what was there before
	Judged   int // judged anew without a job; those that passed are among UpToDate
	Failed   int
	Held     int // by their rules
	HeldRan  int // of Held: those whose job ran in this build
	Refused  int // by their rules on an input
	Blocked  int // can't run because of something upstream
	Running  int
	Queued   int // to run, waiting for a place
}

// Summary is the end of a build.
type Summary struct {
	Counts
	Wall        time.Duration
	Interrupted bool
	Spent       bool // the budget is: what is left keeps what it had
	Failures    []Failure
	Outputs     []Output         // of what was asked for, in order of label
	Warnings    []engine.Problem // each once, in order of place
	NotIsolated string           // why jobs ran without isolation although they were to have it; "" if none did
	Warned      []Warned         // of what was judged in this build, producers before consumers
}

// Warned is an action that violates rules that only warn.
type Warned struct {
	Label     engine.Label
	Partition string
	Owner     string // the team that can act, with contact; "" if none was declared
	Findings  []engine.Finding
}

// Failure is an action that did not become fresh, by root cause.
type Failure struct {
	Label     engine.Label
	Partition string
	State     engine.State
	Reason    string           // one line
	Findings  []engine.Finding // of what is held or refused: the rules that fail
	Version   engine.VersionID // of what is held
	Preview   bool             // nothing was recorded that could be accepted
	Input     string           // of what is refused: the input
	Producer  engine.Label     // likewise: where it comes from
	Also      string           // the producer's team, with contact
	Owner     string           // the team that can act, with contact; "" if none was declared
	Log       string           // path of the whole log
	Local     bool             // the machine is to blame, and not the job
	Locked    bool             // another dpb ran it for too long
	Blocked   int              // how many actions wait for this one
}

// Output is where a target's results lie.
type Output struct {
	Label      engine.Label
	Partitions int    // that are fresh
	Of         int    // all that were asked for
	Path       string // below the workspace root
}
