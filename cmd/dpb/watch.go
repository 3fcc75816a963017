package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/engine/watch"
	"github.com/dpb-build/dpb/hcl"
	"github.com/spf13/cobra"
)

type watchFlags struct {
	jobs       int
	verbose    bool
	once       bool
	partitions []string

	poll, debounce, retry time.Duration
	noEvents              bool

	log              string
	logSize, logKeep int
}

const (
	pollSeldom = 5 * time.Minute  // the default of --poll
	pollOften  = 30 * time.Second // likewise, where events don't tell all

	longestDebounce = 10 * time.Second // files that change all the time don't keep a build off
	longestRetry    = 10 * time.Minute

	// restless is after how many builds in a row that each found something to do a watcher takes a rest.
	restless = 10
)

func (a *app) watchCmd() *cobra.Command {
	var f watchFlags
	c := &cobra.Command{
		Use:   "watch [PATTERN...]",
		Short: "Build whenever something changes, until stopped",
		Long: `Build whenever something changes, until stopped: files of sources, code, SQL and pipeline.hcl, a partition that ends, a result that expires. Each time it builds, as
with build --keep-going, until a build finds nothing to do, and says in one line what ran and the lag: how old the newest change was by then.

Events of the file system say when to look; what to do is decided by looking at everything, as build does, and everything is looked at every --poll in any case. So
an event that is lost, or never comes (network file systems, files behind symbolic links, tools), delays a build and loses nothing. --no-events relies on --poll alone.

What is held, refused, missing or failed is said once. A job that failed runs again when what it reads changes, and after --retry, then twice that, up to 10 minutes;
so does a build that had trouble with this machine. While the workspace's files have errors it waits for them to be mended, and builds nothing.

One watcher is enough for a workspace: a second one ends with code 9 and names the first. --once builds until a build finds nothing to do, and ends with the exit code of
build: for cron. Without it, watch ends when it is interrupted or terminated, and finishes what it must: a second signal ends running jobs at once.` +
			exits(exitOK, exitFailed, exitUsage, exitHeld, exitStale, exitLocked, exitLocal, exitInterrupted, exitTerminated),
		Example:           "  dpb watch //...\n  dpb watch //reports/... --log /var/log/dpb.log\n  dpb watch --once //...",
		ValidArgsFunction: a.completeLabels,
		RunE:              func(c *cobra.Command, args []string) error { return a.watch(c, args, f) },
	}
	c.Flags().BoolVar(&f.once, "once", false, "build until there is nothing more to do, and end")
	c.Flags().IntVarP(&f.jobs, "jobs", "j", 0, "how many jobs run at once; default: one a core")
	c.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "show every job")
	c.Flags().StringArrayVarP(&f.partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	c.Flags().DurationVar(&f.poll, "poll", 0, "how often to look at everything whatever events say; default 5m, and 30s where events don't tell all")
	c.Flags().BoolVar(&f.noEvents, "no-events", false, "look every --poll and at no other time")
	c.Flags().DurationVar(&f.debounce, "debounce", 500*time.Millisecond, "how long files have to be quiet before a build")
	c.Flags().DurationVar(&f.retry, "retry", 15*time.Second, "when to try again first what failed")
	c.Flags().StringVar(&f.log, "log", "", "write everything to this file instead of the terminal")
	c.Flags().IntVar(&f.logSize, "log-size", 10, "begin a new log file after so many megabytes")
	c.Flags().IntVar(&f.logKeep, "log-keep", 5, "how many older log files to keep, as FILE.1 and so on")
	a.progressFlag(c)
	a.lockFlag(c)
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func (f watchFlags) check(changed func(string) bool) error {
	switch {
	case f.jobs < 1 && changed("jobs"):
		return usagef("-j %d: want a positive number", f.jobs)
	case f.poll < 0 || f.poll == 0 && changed("poll"):
		return usagef("--poll %s: want a positive time, such as 30s", f.poll)
	case f.debounce < 0:
		return usagef("--debounce %s: want a time, such as 500ms", f.debounce)
	case f.retry <= 0:
		return usagef("--retry %s: want a positive time, such as 15s", f.retry)
	case f.logSize < 1 || f.logKeep < 0:
		return usagef("--log-size wants a positive number, and --log-keep 0 or more")
	}
	return nil
}

func (a *app) watch(c *cobra.Command, args []string, f watchFlags) error {
	if err := f.check(c.Flags().Changed); err != nil {
		return err
	}
	w := &watcher{app: a, args: args, flags: f, began: time.Now(), startedAs: a.now}
	if err := w.prepare(); err != nil {
		return err
	}
	defer w.close()
	ctx, kill, caught, stop := interruptible()
	defer stop()
	a.caught, w.kill = caught, kill
	if f.once {
		return w.once(ctx)
	}
	return w.loop(ctx)
}

// prepare opens what a watcher has for its whole life. The lock on the workspace comes once its files say where the store is.
func (w *watcher) prepare() (err error) {
	if w.mode, err = ui.ParseMode(w.progress); err != nil {
		return usagef("--progress: %w", err)
	}
	if w.json {
		w.mode = ui.JSON
	}
	start, err := w.start()
	if err != nil {
		return err
	}
	if w.home, err = hcl.FindRoot(start); err != nil {
		return err
	}
	if w.flags.log != "" {
		w.log = &logFile{path: w.argPath(w.flags.log), most: int64(w.flags.logSize) << 20, keep: w.flags.logKeep}
	}
	if err := w.openLog(); err != nil {
		return usagef("--log: %w", err)
	}
	if !w.flags.once && !w.flags.noEvents {
		w.files = watch.New(w.skips)
	}
	return nil
}

func (w *watcher) close() {
	if w.files != nil {
		_ = w.files.Close()
	}
	if w.release != nil {
		w.release()
	}
}

// openLog has everything be written to the log file, if there is one, and to a new one if that is full.
func (w *watcher) openLog() error {
	if w.log != nil {
		began, err := w.log.open()
		if err != nil {
			return err
		}
		if began {
			w.stdout, w.stderr = w.log.file, w.log.file
		}
	}
	w.lines = ui.NewWatching(ui.Options{Mode: w.mode, Out: w.stderr, JSON: w.stdout, Color: w.color, Verbose: w.flags.verbose})
	return nil
}

// once is for cron: it builds until there is nothing more to do.
func (w *watcher) once(ctx context.Context) error {
	c, err := w.converge(ctx, true)
	if unfit := (*brokenError)(nil); errors.As(err, &unfit) {
		w.tellProblems(ui.WatchBroken, unfit.text, unfit.problems)
		return &exitError{code: exitUsage}
	}
	if errors.Is(err, errRestless) {
		return &exitError{exitStale, err}
	}
	if err == nil && ctx.Err() == nil {
		w.tell(c)
	}
	return outcome(c.last.summary, err)
}

// loop builds, tells what came of it and waits for the next change, until it is stopped.
func (w *watcher) loop(ctx context.Context) error {
	r := retries{first: w.flags.retry}
	for begun := false; ; begun = true {
		again := !begun || r.due(time.Now())
		c, err := w.converge(ctx, again)
		var watched *run.WatchedError
		var usage *exitError
		switch {
		case ctx.Err() != nil:
			w.lines.Say(w.clock(), ui.WatchStopped, "stopped")
			return nil
		case errors.As(err, &watched), !begun && errors.As(err, &usage):
			return err
		}
		w.came(c, err, &r, again)
		if !begun {
			w.greet()
		}
		w.wait(ctx, c.last.next, r.at)
	}
}

// came tells what came of a convergence, and says when to try again what failed; tried says whether that was done just now.
func (w *watcher) came(c convergence, err error, r *retries, tried bool) {
	unfit := (*brokenError)(nil)
	switch {
	case errors.As(err, &unfit):
		r.none()
		w.said.rest = false
		w.tellProblems(ui.WatchBroken, unfit.text+": nothing is built until that is mended", unfit.problems)
	case err != nil:
		w.said.rest = false
		if r.failed(time.Now(), err.Error(), tried) {
			w.lines.Say(w.clock(), ui.WatchTrouble, fmt.Sprintf("%v; trying again in %s, and then at longer and longer intervals", err, r.pause))
		}
	default:
		w.tell(c)
		if failed := namesOf(c.last.summary.Failures, triable); failed != "" {
			r.failed(time.Now(), failed, tried)
		} else {
			r.none()
		}
	}
}

// greet says at the beginning what is watched, and where events don't tell all.
func (w *watcher) greet() {
	patterns := strings.Join(w.args, " ")
	if patterns == "" {
		patterns = "//..."
	}
	text := fmt.Sprintf("watching %s: events say when to look, and everything is looked at every %s", patterns, w.every())
	if w.flags.noEvents {
		text = fmt.Sprintf("watching %s: everything is looked at every %s", patterns, w.every())
	}
	w.lines.Say(w.clock(), ui.WatchBegan, text)
}

// every is how often to look at everything.
func (w *watcher) every() time.Duration {
	switch {
	case w.flags.poll > 0:
		return w.flags.poll
	case w.flags.noEvents || len(w.blind) > 0:
		return pollOften
	}
	return pollSeldom
}

// wait ends when something changes, when the clock brings something (by the session's clock), when it is time to try again, and when it is time to look anyway.
func (w *watcher) wait(ctx context.Context, next, retry time.Time) {
	until := w.every()
	if !next.IsZero() {
		until = min(until, next.Sub(w.clock()))
	}
	if !retry.IsZero() {
		until = min(until, time.Until(retry))
	}
	timer := time.NewTimer(until)
	defer timer.Stop()
	var news <-chan struct{}
	if w.files != nil {
		news = w.files.Wait()
	}
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-news:
		w.files.Settle(ctx, w.flags.debounce, max(w.flags.debounce, longestDebounce))
	}
}

// retries says when to try again what failed: after a while that doubles, until it fails in another way, or not at all.
type retries struct {
	first time.Duration
	pause time.Duration
	at    time.Time // zero: never
	what  string    // failed
}

func (r *retries) due(now time.Time) bool { return !r.at.IsZero() && !now.Before(r.at) }

func (r *retries) none() { *r = retries{first: r.first} }

// failed notes what failed, and whether it was tried again just now. It says whether that is news.
func (r *retries) failed(now time.Time, what string, tried bool) bool {
	news := what != r.what
	switch {
	case news:
		r.what, r.pause = what, r.first
	case tried:
		r.pause = min(2*r.pause, max(longestRetry, r.first))
	default:
		return false
	}
	r.at = now.Add(r.pause)
	return news
}

// triable says of a failure that it may go away without any change of what dpb sees.
func triable(f run.Failure) bool {
	return f.Local || f.Locked || f.State != engine.Held && f.State != engine.Refused && f.State != engine.MissingState
}
