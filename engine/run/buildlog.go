package run

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
)

// buildLog is the ledger's record of the build itself. Its beginning is written with the first that there is to record, or when the first job starts, so that a build that was
// killed is known; a build that has nothing to record leaves none, and waits for nobody who writes.
type buildLog struct {
	engine.Build
	where func() engine.Provenance // asked for once, and only if there is something to record or to tell
	asked bool                     // a job started
	begun bool                     // it is in the ledger
}

func (s *Session) newBuildLog() *buildLog {
	return &buildLog{where: sync.OnceValue(s.where), Build: engine.Build{Workspace: s.Graph.Workspace.Name, Environment: s.Environment, Command: s.Command, Now: s.Now, Started: s.Time()}}
}

// describe finds out where the build runs; before the transaction, for that takes a moment.
func (l *buildLog) describe(s *Session) {
	if l != nil && !l.begun {
		l.Provenance, l.Process = l.where(), s.Store.Process()
	}
}

func (l *buildLog) begin(tx *ledger.Tx) (err error) {
	if l != nil && !l.begun {
		l.ID, err = tx.BeginBuild(l.Build)
	}
	return err
}

// committed says that the beginning is in the ledger.
func (l *buildLog) committed() {
	if l != nil {
		l.begun = true
	}
}

// id is the build's number; 0 of what belongs to none.
func (l *buildLog) id() int64 {
	if l == nil {
		return 0
	}
	return l.ID
}

// logStart has the ledger know of the build now that its first job starts.
func (b *build) logStart() {
	if !b.log.asked {
		b.log.asked = true
		b.recorder.keep(&record{begins: true})
	}
}

// logEnd completes the record. What keeps it from that is a warning: all else is recorded.
func (b *build) logEnd(ctx context.Context, s *Summary, err error) {
	l := b.log
	if !l.begun {
		return
	}
	l.Ended, l.Interrupted = b.s.Time(), s.Interrupted
	c := b.counts
	l.Counts = engine.BuildCounts{Total: c.Total, Ran: c.Ran, Same: c.Same, UpToDate: c.UpToDate, Judged: c.Judged, Failed: c.Failed, Held: c.Held, Refused: c.Refused, Blocked: c.Blocked}
	for k, f := range s.Failures {
		if k == engine.MaxUnfinished {
			l.More = len(s.Failures) - k
			break
		}
		reason, _, _ := strings.Cut(f.Reason, "\n")
		l.Failures = append(l.Failures, engine.Unfinished{Target: f.Label.At(f.Partition), State: f.State.String(), Reason: reason})
	}
	if err != nil {
		l.Error = oneLine(err)
	}
	switch {
	case b.opts.ExitCode != nil:
		l.ExitCode = b.opts.ExitCode(*s, err)
	case err != nil || len(s.Failures) > 0:
		l.ExitCode = 1
	}
	if err := b.s.Ledger.Write(context.WithoutCancel(ctx), func(tx *ledger.Tx) error { return tx.EndBuild(l.Build) }); err != nil {
		s.Warnings = append(s.Warnings, engine.Problem{Severity: engine.Warning, Summary: fmt.Sprintf("the end of build %d could not be recorded: %v", l.ID, err)})
	}
}
