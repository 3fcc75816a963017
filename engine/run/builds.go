package run

import (
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/ledger"
)

// Asked says which builds or jobs of the past are asked for.
type Asked struct {
	ledger.Period
	Patterns []engine.Pattern // none: of all targets. They are taken by their words, so what the workspace has no more is found too
	Build    int64            // only jobs of this one; 0: of all
	Failed   bool             // only what did not end well
	Limit    int              // at most so many, the newest; 0: all
}

// full says that a list has all that was asked for.
func (q Asked) full(n int) bool { return q.Limit > 0 && n >= q.Limit }

// PastBuild is a build as it was recorded.
type PastBuild struct {
	Number int64 `json:"build"`
	engine.Build
	Running bool `json:"running,omitempty"` // its process lives; else one without end was killed
}

// Failed says that not all became fresh, or that the build never came to its end.
func (p *PastBuild) Failed() bool { return p.ExitCode != 0 || p.Ended.IsZero() && !p.Running }

// How a job of the past ended.
const (
	PastOK     = "ok"
	PastFailed = "failed"
	PastHeld   = "held" // rules held what it made, when its build judged it
)

// PastRun is a job as it was recorded.
type PastRun struct {
	Target    string        `json:"target"`
	Partition string        `json:"partition,omitempty"`
	Build     int64         `json:"build,omitempty"`
	Started   time.Time     `json:"started"`
	Wall      time.Duration `json:"wall_ns"`
	Waited    time.Duration `json:"waited_ns,omitempty"` // for a place, or for another dpb, since it could have started
	After     string        `json:"after,omitempty"`     // the job in the same build whose end let it start
	Why       string        `json:"why,omitempty"`
	Result    string        `json:"result"`
	Reason    string        `json:"reason,omitempty"` // one line; "" if it is ok
	Verifies  bool          `json:"verifies,omitempty"`
	Key       string        `json:"key"`
}

// Builds lists builds of the workspace, newest first; with patterns, those that ran a job of these. more says that the limit left some out.
func (s *Session) Builds(q Asked) (list []PastBuild, more bool, err error) {
	if s.Ledger == nil {
		return nil, false, nil
	}
	err = s.Ledger.Builds(s.Graph.Workspace.Name, q.Period, func(b engine.Build) (bool, error) {
		p := s.past(b)
		ran, err := s.ranAny(b.ID, q.Patterns)
		if err != nil || !ran || q.Failed && !p.Failed() {
			return true, err
		}
		if err := s.countSoFar(&p); err != nil {
			return false, err
		}
		if more = q.full(len(list)); !more {
			list = append(list, p)
		}
		return !more, nil
	})
	return list, more, err
}

func (s *Session) past(b engine.Build) PastBuild {
	return PastBuild{b.ID, b, b.Ended.IsZero() && s.Store.Lives(b.Process)}
}

// countSoFar counts the jobs of a build without end, which has not recorded what it came to.
func (s *Session) countSoFar(p *PastBuild) error {
	if !p.Ended.IsZero() {
		return nil
	}
	runs, err := s.Ledger.RunsOfBuild(p.ID)
	ended := map[string]bool{} // by action, whether its last job succeeded
	for _, r := range runs {
		ended[r.Label.At(r.Partition)] = r.Failure == ""
	}
	for _, ok := range ended {
		if ok {
			p.Counts.Ran++
		} else {
			p.Counts.Failed++
		}
	}
	return err
}

// ranAny says whether a build ran a job that patterns mean; with none, each build counts.
func (s *Session) ranAny(build int64, patterns []engine.Pattern) (found bool, err error) {
	if len(patterns) == 0 {
		return true, nil
	}
	err = s.Ledger.Ran(build, func(label engine.Label, partition string) bool {
		found = engine.Selects(patterns, label, partition)
		return !found
	})
	return found, err
}

// PastBuild finds a build of the workspace with its runs, in the order in which they were recorded; number 0 is the newest that ran a job. false: there is none.
func (s *Session) PastBuild(number int64) (p PastBuild, runs []engine.Run, found bool, err error) {
	if s.Ledger == nil {
		return p, nil, false, nil
	}
	if number > 0 {
		b, ok, err := s.Ledger.Build(number)
		if err != nil || !ok || b.Workspace != s.Graph.Workspace.Name {
			return p, nil, false, err
		}
		runs, err = s.Ledger.RunsOfBuild(number)
		return s.past(b), runs, true, err
	}
	err = s.Ledger.Builds(s.Graph.Workspace.Name, ledger.Period{}, func(b engine.Build) (more bool, err error) {
		p = s.past(b)
		runs, err = s.Ledger.RunsOfBuild(b.ID)
		return len(runs) == 0, err
	})
	return p, runs, len(runs) > 0, err
}

// WhatRan lists jobs, newest first. more says that the limit left some out.
func (s *Session) WhatRan(q Asked) (list []PastRun, more bool, err error) {
	if s.Ledger == nil {
		return nil, false, nil
	}
	v := pastRuns{s, map[int64]engine.Build{}}
	err = s.runs(q, func(r engine.Run) (bool, error) {
		p, err := v.pastRun(r)
		if err != nil || q.Failed && p.Result == PastOK {
			return true, err
		}
		if more = q.full(len(list)); !more {
			list = append(list, p)
		}
		return !more, nil
	})
	return list, more, err
}

// runs calls f for the runs that are asked for, newest first, until it wants no more.
func (s *Session) runs(q Asked, f func(engine.Run) (more bool, err error)) error {
	if q.Build > 0 {
		_, runs, _, err := s.PastBuild(q.Build)
		for k := len(runs) - 1; err == nil && k >= 0; k-- {
			if more := true; q.selects(runs[k]) {
				if more, err = f(runs[k]); !more {
					break
				}
			}
		}
		return err
	}
	labels, err := s.Ledger.Labels(s.Graph.Workspace.Name)
	if err != nil {
		return err
	}
	labels = slices.DeleteFunc(labels, func(l engine.Label) bool {
		return !slices.ContainsFunc(q.Patterns, func(p engine.Pattern) bool { return p.Match(l) }) && q.Patterns != nil
	})
	return s.Ledger.RunsIn(s.Graph.Workspace.Name, labels, q.Period, func(r engine.Run) (bool, error) {
		if !q.selects(r) {
			return true, nil
		}
		return f(r)
	})
}

func (q Asked) selects(r engine.Run) bool {
	return len(q.Patterns) == 0 || engine.Selects(q.Patterns, r.Label, r.Partition)
}

// pastRuns finds out what became of what jobs made.
type pastRuns struct {
	s      *Session
	builds map[int64]engine.Build
}

func (v pastRuns) pastRun(r engine.Run) (PastRun, error) {
	p := PastRun{Target: r.Label.String(), Partition: r.Partition, Build: r.Build, Started: r.Started, Wall: r.Wall, Waited: r.Waited, After: r.After, Why: r.Why,
		Result: PastOK, Verifies: r.Verifies, Key: r.Key.String()}
	if r.Verifies {
		p.Why = "dpb verify"
	}
	if r.Failure != "" {
		p.Result = PastFailed
		p.Reason, _, _ = strings.Cut(r.Failure, "\n")
		return p, nil
	}
	failing, err := v.held(r)
	if len(failing) > 0 {
		p.Result, p.Reason = PastHeld, contract.Texts(failing)
	}
	return p, err
}

// held lists the rules that failed when the run's own build judged what it made.
func (v pastRuns) held(r engine.Run) ([]engine.Finding, error) {
	if r.Build == 0 {
		return nil, nil
	}
	b, ok := v.builds[r.Build]
	if !ok {
		var err error
		if b, _, err = v.s.Ledger.Build(r.Build); err != nil {
			return nil, err
		}
		v.builds[r.Build] = b
	}
	if b.Counts.Held == 0 && !b.Ended.IsZero() {
		return nil, nil
	}
	versions, err := v.s.Ledger.VersionsOf(v.s.Graph.Workspace.Name, r.Label, r.Partition)
	if err != nil {
		return nil, err
	}
	for _, version := range versions {
		if version.Key != r.Key {
			continue
		}
		j, ok, err := v.s.Ledger.JudgementOfBuild(b.Environment, version.ID, b.Now)
		if err != nil || ok {
			return j.Failing(), err
		}
	}
	return nil, nil
}
