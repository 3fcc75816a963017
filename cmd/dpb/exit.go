package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/run"
)

// Exit codes. This file is the one place where they are decided.
const (
	exitOK          = 0
	exitFailed      = 1 // a job failed
	exitDiffers     = 1 // of diff --exit-code
	exitUsage       = 2 // wrong command line or configuration
	exitHeld        = 3 // held or refused by a contract
	exitStale       = 4 // stale or missing, of status --check
	exitLocked      = 9 // another dpb holds a lock for too long
	exitLocal       = 36
	exitBug         = 37
	exitInterrupted = 130
	exitTerminated  = 143
)

// exitText explains the codes in help texts.
var exitText = map[int]string{
	exitOK: "done", exitFailed: "a job failed", exitUsage: "wrong command line or configuration", exitHeld: "held or refused by a contract",
	exitStale: "stale or missing", exitLocked: "another dpb holds a lock for too long", exitLocal: "trouble on this machine, such as a full disk", exitBug: "a bug in dpb", exitInterrupted: "interrupted",
	exitTerminated: "terminated",
}

// badness lists the codes, the worst first.
var badness = []int{exitBug, exitInterrupted, exitTerminated, exitLocal, exitLocked, exitUsage, exitFailed, exitHeld, exitStale, exitOK}

// worst returns the worse of two codes.
func worst(a, b int) int { return badness[min(slices.Index(badness, a), slices.Index(badness, b))] }

// exitOfState is the code that a state stands for in status --check; root is the state at which it began.
func exitOfState(state, root engine.State) int {
	switch state {
	case engine.Fresh, engine.Frozen:
		return exitOK
	case engine.Failed:
		return exitFailed
	case engine.Held, engine.Refused:
		return exitHeld
	case engine.Blocked:
		if root != engine.Blocked && root != 0 {
			return exitOfState(root, 0)
		}
	}
	return exitStale
}

// exitError is an error with its code. Without err everything was said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is an error of the command line.
func usagef(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exit prints what went wrong, if that was not done, and returns the code.
func (a *app) exit(err error, caught os.Signal) int {
	if err != nil && caught == nil && err.Error() != "" {
		fmt.Fprintf(a.stderr, "dpb: %s\n", ui.Text(err.Error()))
	}
	return exitCode(err, caught)
}

// exitOfBuild is what code a build ends with, for its record.
func (a *app) exitOfBuild(s run.Summary, err error) int { return exitCode(outcome(s, err), a.caught()) }

// outcomeOf says in a word or two how a build of the past ended.
func outcomeOf(b run.PastBuild) string {
	switch {
	case b.Running:
		return "running"
	case b.Ended.IsZero():
		return "did not end"
	case b.Interrupted:
		return exitText[exitInterrupted]
	}
	return cmp.Or(buildText[b.ExitCode], exitText[b.ExitCode])
}

// buildText says what a build's exit code means in the list of builds, where a word does.
var buildText = map[int]string{exitOK: run.PastOK, exitFailed: "failed", exitHeld: "held", exitStale: "incomplete", exitUsage: "refused", exitLocked: "locked out", exitLocal: "trouble"}

func exitCode(err error, caught os.Signal) int {
	code := exitOK
	if err != nil {
		code = codeOf(err)
	}
	switch caught {
	case os.Interrupt:
		return worst(code, exitInterrupted)
	case syscall.SIGTERM:
		return worst(code, exitTerminated)
	}
	return code
}

func codeOf(err error) int {
	var e *exitError
	var refused *run.RefusedError
	switch {
	case errors.As(err, &e):
		return e.code
	case errors.As(err, &refused), errors.As(err, new(*lock.Error)):
		return exitUsage
	case errors.Is(err, ledger.ErrLocked), errors.As(err, new(*run.WatchedError)):
		return exitLocked
	}
	return exitLocal
}

// exits writes the exit codes of a command for its help text.
func exits(codes ...int) string { return exitsMeaning(nil, codes...) }

// exitsMeaning is exits for a command of which some codes mean something of its own.
func exitsMeaning(own map[int]string, codes ...int) string {
	var b strings.Builder
	b.WriteString("\n\nExit codes:")
	for _, c := range codes {
		fmt.Fprintf(&b, "\n  %3d  %s", c, cmp.Or(own[c], exitText[c]))
	}
	return b.String()
}
