package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/engine/watch"
	"github.com/dpb-build/dpb/hcl/diag"
)

// watcher builds again and again. What it keeps from one build to the next takes no more room with time.
type watcher struct {
	*app
	args  []string
	flags watchFlags
	mode  ui.Mode
	home  string // the workspace's root, which is to stay
	kill  context.Context

	began     time.Time // and what the clock showed then, by --now
	startedAs time.Time

	files   *watch.Watcher // nil: without events
	folders []watch.Folder
	blind   []watch.Blind
	seen    cache.Digest // of the folders, where not every change is heard of
	log     *logFile
	lines   *ui.Watching

	release func() // of the lock in store
	store   atomic.Value

	looked time.Time // when the last build began; zero before the first
	next   time.Time // what it knew of: when the clock brings something
	said   said
}

// said is what people know already.
type said struct {
	problems string          // of the workspace's files
	isolated string          // why jobs are not isolated
	warnings map[string]bool // of the last build
	rest     bool            // how the last convergence ended
	failures string          // of that
	failedAs map[string]string
}

// turn is one look at everything, and what it led to.
type turn struct {
	retry bool // what failed before under the same key is tried again
	again bool // it comes without any change: what fails as before is not said again

	looked, ended time.Time
	changed       time.Time // the newest change that it could see; zero if none is known
	atMost        bool      // the change came after that
	next          time.Time // see Session.NextChange
	failed        int       // jobs that failed otherwise than people know
	summary       run.Summary
}

// moved says whether a build did something: then another one follows.
func (t turn) moved() bool { return moved(t.summary) }

func moved(s run.Summary) bool { return s.Ran+s.Judged+s.HeldRan+s.Restored > 0 }

// convergence is as many turns as it took until one found nothing more to do.
type convergence struct {
	ran, judged, same, failed int
	took                      time.Duration
	worked, last              turn // the last that did something, and the last
}

func (c *convergence) add(t turn) {
	c.last = t
	c.failed += t.failed
	if t.moved() || t.failed > 0 {
		c.ran, c.judged, c.same = c.ran+t.summary.Ran, c.judged+t.summary.Judged, c.same+t.summary.Same
		c.took += t.ended.Sub(t.looked)
		c.worked = t
	}
}

// errRestless says that build after build finds something to do.
var errRestless = fmt.Errorf("%d builds in a row each found something to do: sources keep changing, perhaps by what jobs do outside of their outputs", restless)

// brokenError says that the workspace's files don't let anything be built.
type brokenError struct {
	text     string
	problems []engine.Problem
}

func (e *brokenError) Error() string { return e.text }

// broken is an error if there are errors among problems.
func broken(problems []engine.Problem) error {
	errs := 0
	for _, p := range problems {
		if p.Severity == engine.Error {
			errs++
		}
	}
	if errs == 0 {
		return nil
	}
	return &brokenError{plural(errs, "error") + " in the workspace's files", problems}
}

// converge builds until a build finds nothing to do. What failed before is tried again if retry says so.
func (w *watcher) converge(ctx context.Context, retry bool) (c convergence, err error) {
	for builds := 1; ; builds++ {
		if err := w.openLog(); err != nil {
			return c, err
		}
		w.calm(ctx, builds)
		t, err := w.turn(ctx, turn{retry: retry, again: retry || builds > 1})
		c.add(t)
		switch {
		case err != nil, ctx.Err() != nil, !t.moved():
			return c, err
		case builds == restless:
			return c, errRestless
		}
		retry = false
	}
}

// calm waits until files are quiet, as far as it has not been waited for: before the first build wait did that where there are events, and --once does not wait.
func (w *watcher) calm(ctx context.Context, builds int) {
	quiet, most := w.flags.debounce, max(w.flags.debounce, longestDebounce)
	switch {
	case w.flags.once || quiet == 0 || w.folders == nil:
	case w.polls():
		w.seen = watch.Calm(ctx, w.seen, w.look, quiet, most)
	case builds > 1:
		select {
		case <-w.files.Wait():
			w.files.Settle(ctx, quiet, most)
		default:
		}
	}
}

// polls says that not every change is heard of.
func (w *watcher) polls() bool { return w.files == nil || len(w.blind) > 0 }

func (w *watcher) look() cache.Digest { return watch.Look(w.folders, w.skips) }

// turn looks at everything and builds. Folders are followed before they are looked at, so that of what happens later there is news.
func (w *watcher) turn(ctx context.Context, t turn) (_ turn, err error) {
	t.looked = time.Now()
	w.now = w.clock()
	if err := w.claimFirst(); err != nil {
		return t, err
	}
	heard := w.listen()
	g, err := w.read()
	if err != nil {
		return t, err
	}
	w.follow(w.foldersOf(g))
	if err := w.claim(run.StoreDir(w.root, g.Workspace.StorePath)); err != nil {
		return t, err
	}
	var newest time.Time
	err = w.inSession(g, false, func(s *run.Session) error {
		selected, err := w.selectPatterns(g, w.args, w.flags.partitions)
		if err != nil {
			return w.noTarget(err)
		}
		if err = w.build(ctx, s, selected, &t); err == nil {
			err = w.keepLocked(ctx, s, t.summary)
		}
		if err != nil {
			return err
		}
		newest = s.NewestSource()
		t.next, err = s.NextChange()
		return err
	})
	t.ended = time.Now()
	if refused := (*run.RefusedError)(nil); errors.As(err, &refused) {
		return t, broken(refused.Problems)
	}
	if err != nil {
		return t, err
	}
	t.changed, t.atMost = w.change(heard, newest, t)
	w.looked, w.next = t.looked, t.next
	return t, nil
}

// build runs one build, and lets nothing be said of one that does nothing.
func (w *watcher) build(ctx context.Context, s *run.Session, selected []graph.Selected, t *turn) (err error) {
	known := func(j run.Job, o run.Outcome) bool {
		return t.again && w.said.failedAs[j.Label.At(j.Partition)] == o.Failure
	}
	events, done := ui.New(ui.Options{Mode: w.mode, Out: w.stderr, JSON: w.stdout, Verbose: w.flags.verbose, Color: w.color, Known: known})
	defer done()
	shown := &unsummed{events, w.json, func(j run.Job, o run.Outcome) {
		if !known(j, o) {
			t.failed++
		}
		w.said.noteFailed(j.Label.At(j.Partition), o.Failure)
	}}
	t.summary, err = s.Build(ctx, selected, run.Options{Jobs: w.flags.jobs, KeepGoing: true, KeepFailed: !t.retry, Events: shown, Kill: w.kill, ExitCode: w.exitOfBuild})
	done()
	w.lines.Built(w.said.news(t.summary))
	return err
}

// news leaves out of a summary what was said of the build before as well.
func (t *said) news(s run.Summary) run.Summary {
	warnings := map[string]bool{}
	s.Warnings = slices.DeleteFunc(slices.Clone(s.Warnings), func(p engine.Problem) bool {
		text := fmt.Sprintln(p.Summary, p.Range)
		warnings[text] = true
		return t.warnings[text]
	})
	if s.NotIsolated == t.isolated {
		s.NotIsolated = ""
	} else {
		t.isolated = s.NotIsolated
	}
	t.warnings = warnings
	return s
}

// unsummed leaves it to the watcher to tell how a build ended. Programs hear of those that did something.
type unsummed struct {
	run.Events
	json   bool
	failed func(run.Job, run.Outcome)
}

func (u *unsummed) Finished(j run.Job, o run.Outcome) {
	u.Events.Finished(j, o)
	if o.Failure != "" {
		u.failed(j, o)
	}
}

func (u *unsummed) Done(s run.Summary) {
	if u.json && moved(s) {
		u.Events.Done(s)
	}
}

// noteFailed notes what people were told of a failure.
func (t *said) noteFailed(name, failure string) {
	if t.failedAs == nil {
		t.failedAs = map[string]string{}
	}
	t.failedAs[name] = failure
}

// forgetMended forgets failures that are none any more.
func (t *said) forgetMended(failures []run.Failure) {
	names := map[string]bool{}
	for _, f := range failures {
		names[f.Label.At(f.Partition)] = true
	}
	for name := range t.failedAs {
		if !names[name] {
			delete(t.failedAs, name)
		}
	}
}

// clock is the time by --now.
func (w *watcher) clock() time.Time {
	if w.nowText == "" {
		return time.Now() // which somebody may have set meanwhile
	}
	return w.startedAs.Add(time.Since(w.began))
}

// change is when the newest change came that a turn could see: by the events, or by the clock that ended a partition; else by the files' own record, if that lies after
// the last look, for a file may be older than its arrival; else at some time after that look.
func (w *watcher) change(heard, newest time.Time, t turn) (at time.Time, atMost bool) {
	at = heard
	if !w.next.IsZero() && !w.next.After(w.now) {
		if ended := t.looked.Add(w.next.Sub(w.now)); ended.After(at) {
			at = ended
		}
	}
	switch {
	case !at.IsZero():
		return at, false
	case newest.After(w.looked) && !newest.After(t.ended):
		return newest, false
	}
	return w.looked, true
}

// claimFirst finds out where the store is before anything is followed, for what dpb writes there is no news, and walking through it takes long.
func (w *watcher) claimFirst() error {
	if w.files == nil || w.store.Load() != nil {
		return nil
	}
	g, err := w.read()
	if err != nil {
		return nil // the turn says so
	}
	return w.claim(run.StoreDir(w.root, g.Workspace.StorePath))
}

// claim takes the lock of the one watcher, where the workspace's files say that the store is.
func (w *watcher) claim(store string) error {
	if w.store.Load() == store {
		if run.Watches(w.root, store) {
			return nil
		}
		w.release = nil // what it would remove is another's by now
	}
	release, err := run.Watch(w.root, store, disk.Commandline(os.Args), strings.Join(w.args, " "))
	if err != nil {
		return err
	}
	if w.release != nil {
		w.release()
	}
	w.release = release
	w.store.Store(store)
	return nil
}

// read loads the workspace. Warnings are told once.
func (w *watcher) read() (*graph.Graph, error) {
	g, problems, err := w.resolve()
	if err != nil {
		return nil, err
	}
	if w.root != w.home {
		return nil, &brokenError{text: fmt.Sprintf("dpb.hcl is gone from %s", shortPath(w.home))}
	}
	if err := broken(problems); err != nil {
		return nil, err
	}
	w.tellProblems(ui.WatchWarned, "the workspace's files have "+plural(len(problems), "warning"), problems)
	return g, nil
}

// noTarget is for patterns that mean nothing. At the beginning that is a mistake of the command line; later the target is gone, and may come back.
func (w *watcher) noTarget(err error) error {
	if w.looked.IsZero() {
		return err
	}
	return &brokenError{text: err.Error()}
}

// tellProblems tells what is wrong with the workspace's files, unless it is what was told last.
func (w *watcher) tellProblems(kind, text string, problems []engine.Problem) {
	now := ""
	for _, p := range problems {
		now += fmt.Sprintln(p.Severity, p.Summary, p.Range)
	}
	if kind == ui.WatchBroken {
		now += text
	}
	if now == w.said.problems {
		return
	}
	if w.said.problems = now; now == "" {
		return
	}
	if !w.json {
		diag.Text(w.stderr, problems, w.sources, w.width())
	}
	if w.json || kind == ui.WatchBroken {
		w.lines.Say(w.clock(), kind, text, problems...)
	}
}

// tell says how a convergence ended, if it did something, or if what can't be done is no longer what was told.
func (w *watcher) tell(c convergence) {
	s := c.last.summary
	failures := namesOf(s.Failures, func(run.Failure) bool { return true })
	if c.worked.looked.IsZero() && w.said.rest && failures == w.said.failures {
		return
	}
	out := ui.Convergence{At: w.clock(), Took: c.took, Counts: s.Counts, Failures: s.Failures, New: c.failed > 0 || !w.said.rest || failures != w.said.failures}
	out.Counts.Ran, out.Counts.Judged, out.Counts.Same = c.ran, c.judged, c.same
	out.Counts.UpToDate = max(0, s.UpToDate-c.ran) // by now all that ran is
	switch {
	case c.took == 0:
		out.Took = c.last.ended.Sub(c.last.looked)
	case c.worked.moved() && !c.worked.changed.IsZero():
		out.Lag, out.AtMost = max(c.worked.ended.Sub(c.worked.changed), time.Nanosecond), c.worked.atMost
	}
	w.said.rest, w.said.failures = true, failures
	w.said.forgetMended(s.Failures)
	w.lines.Converged(out)
}

// namesOf tells one set of failures from another: by what failed and how, and not by words that may change.
func namesOf(failures []run.Failure, counts func(run.Failure) bool) string {
	var b strings.Builder
	for _, f := range failures {
		if !counts(f) {
			continue
		}
		fmt.Fprintln(&b, f.Label.At(f.Partition), f.State, f.Version, f.Input, f.Blocked)
		if f.State == engine.Refused {
			b.WriteString(contract.Texts(f.Findings))
		}
	}
	return b.String()
}

// listen returns when something changed last of what is followed, and follows what came into being since.
func (w *watcher) listen() (heard time.Time) {
	if w.files == nil {
		return heard
	}
	heard, _ = w.files.Take()
	if w.folders == nil {
		w.folders = []watch.Folder{{Dir: w.home, Deep: true}}
	}
	w.tellBlind(w.files.Follow(w.folders))
	return heard
}

// follow changes what is followed.
func (w *watcher) follow(folders []watch.Folder) {
	if slices.Equal(folders, w.folders) {
		return
	}
	w.folders = folders
	if w.files != nil {
		w.tellBlind(w.files.Follow(folders))
	}
	if !w.flags.once && w.polls() {
		w.seen = w.look()
	}
}

// foldersOf are the workspace itself, where pipeline.hcl files may come, and what its targets name elsewhere, or in folders that are hidden.
func (w *watcher) foldersOf(g *graph.Graph) []watch.Folder {
	out := []watch.Folder{{Dir: w.home, Deep: true}}
	for _, f := range source.Folders(w.root, g.Workspace.Targets) {
		out = append(out, watch.Folder(f))
	}
	return out
}

// skips says of which paths no news counts: of what dpb writes itself.
func (w *watcher) skips(path string) bool {
	base := filepath.Base(path)
	return base == engine.OutputDir || base == "node_modules" || path == w.store.Load() || w.log != nil && w.log.writes(path)
}

// tellBlind says where events don't tell all, unless that was said last.
func (w *watcher) tellBlind(blind []watch.Blind) {
	if slices.Equal(blind, w.blind) {
		return
	}
	w.blind = blind
	for _, b := range blind[:min(len(blind), 3)] {
		w.lines.Say(w.clock(), ui.WatchNote, fmt.Sprintf("note: events don't tell all of %s: %s; everything is looked at every %s", shortPath(b.Dir), b.Why, w.every()))
	}
	if more := len(blind) - 3; more > 0 {
		w.lines.Say(w.clock(), ui.WatchNote, fmt.Sprintf("note: likewise of %d more", more))
	}
}
