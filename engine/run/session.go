package run

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/publish"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
)

// Config is what a session is opened with.
type Config struct {
	Root      string // of the workspace, absolute
	Graph     *graph.Graph
	Now       time.Time // that the command goes by, see Session.Time
	ReadOnly  bool
	Version   string // dpb's own
	Program   string // identifies the binary that runs; "": it is not known, and nothing is remembered from one command to the next
	SecretEnv func(name string) (string, bool)
	PathEnv   string // where programs are looked up
	Command   string // the command line, for those who wait for this process
	// LockTimeout is how long to wait for other processes; 0: for jobs as long as they take, to write to the ledger as long as it does by itself.
	LockTimeout time.Duration
	Sandbox     sandbox.Mode
	// Declared names the content of all files that declare the workspace; zero: it is not known, and likewise.
	Declared cache.Digest

	// Of pipeline.lock:
	FromLock    bool      // decide by pipeline.lock and the working tree alone: there is no store
	LookOutside bool      // with FromLock: look at sources outside of the repository, too
	Locks       *lock.Set // if they were read already
	ResolveLock bool      // take both sides of a merge conflict in pipeline.lock

	ahead time.Duration // of tests, to which no file is to look new
}

// Session is one checkout with its store and ledger, for the length of one command.
type Session struct {
	Config
	Environment string // names the pointers of this checkout
	Store       *disk.Store
	Ledger      *ledger.Ledger // nil if there is none yet and the session only reads
	View        *publish.View

	opened   time.Time
	looked   time.Time // no later than this command first looked at a file, by the clock that people set
	boxes    *sandbox.Pool
	counters counters
	files    *source.Files
	stat     *disk.StatCache // of data
	programs *disk.StatCache // of code and tools, which each command looks at
	toolsets toolsets
	memory   *memory // nil: nothing is remembered

	setsOnce   sync.Once
	setsDigest cache.SectionDigest // see sets

	current []pointers       // by node
	shapes  []shape          // by node
	retired []ledger.Current // pointers at partitions and targets that are no more

	took         map[*graph.Node]Took
	begun        map[*graph.Node]time.Time // see began
	mu           sync.Mutex
	recipes      map[*graph.Node]*recipe
	judged       []judgement                            // not recorded yet
	declarations map[cache.SectionDigest]*engine.Target // as they were, by the target section of a key

	unwritten unwritten

	lockOnce  sync.Once
	lockSet   *lock.Set
	lockByPkg map[string]*lock.Set
	lockErr   error
	locked    *locked // decides, where there is no store
}

// pointers are the versions that current points to, by partition; nil if there are none.
type pointers struct {
	version []engine.VersionID
	key     []cache.ActionKey
	rules   []cache.SectionDigest // that it was accepted under
	shared  bool                  // somebody else counts on what they are
}

// Files in a checkout's folder: digests of files, and what dpb-out holds, see publish.View.
const (
	dataFiles    = "files"
	programFiles = "programs"
	viewFile     = "view"
)

// StoreDir is where a workspace keeps its store.
func StoreDir(root, storePath string) string {
	if storePath == "" {
		storePath = ".dpb"
	}
	if filepath.IsAbs(storePath) {
		return storePath
	}
	return filepath.Join(root, filepath.FromSlash(storePath))
}

// EnvironmentOf names the environment that a checkout has by default: one for each place.
func EnvironmentOf(root string) (string, error) {
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return "", err
	}
	return "checkout-" + cache.Sum([]byte(real)).Short(), nil
}

// Open opens the store of a workspace. A session that only reads works without a store, and then knows of no result.
func Open(c Config) (*Session, error) {
	s := &Session{Config: c, opened: time.Now(), looked: time.Now().Round(0).Add(c.ahead), current: make([]pointers, len(c.Graph.Nodes)), shapes: make([]shape, len(c.Graph.Nodes)), recipes: map[*graph.Node]*recipe{}, declarations: map[cache.SectionDigest]*engine.Target{}}
	var err error
	if s.Environment, err = EnvironmentOf(c.Root); err != nil {
		return nil, err
	}
	dir := StoreDir(c.Root, c.Graph.Workspace.StorePath)
	if c.FromLock {
		if s.Store, err = disk.OpenExisting(dir); err == nil || errors.Is(err, disk.ErrNoStore) {
			err = s.openLocked()
		}
	} else if c.ReadOnly {
		err = s.openForReading(dir)
	} else {
		err = s.openForWriting(dir)
	}
	if err != nil {
		return nil, err
	}
	checkout := filepath.Join(dir, "checkouts", s.Environment)
	s.stat, s.programs = disk.OpenStatCache(filepath.Join(checkout, dataFiles)), disk.OpenStatCache(filepath.Join(checkout, programFiles))
	s.files = &source.Files{Root: c.Root, Stat: s.stat, Code: s.programs}
	s.boxes = &sandbox.Pool{Mode: cmp.Or(c.Sandbox, sandbox.Auto), Root: sandbox.Root{Hidden: []string{c.Root, dir, sandbox.Home()}}}
	s.remembers(checkout)
	s.View = publish.OpenView(c.Root, filepath.Join(checkout, viewFile), s.Store)
	return s, nil
}

func (s *Session) openForReading(dir string) (err error) {
	if s.Store, err = disk.OpenExisting(dir); err != nil && !errors.Is(err, disk.ErrNoStore) {
		return err
	}
	if s.Ledger, err = ledger.OpenReadOnly(dir); err != nil && !errors.Is(err, ledger.ErrNone) {
		return err
	}
	return nil
}

func (s *Session) openForWriting(dir string) (err error) {
	if s.Store, err = disk.Open(dir); err != nil {
		return err
	}
	s.Store.Me = disk.Holder{PID: os.Getpid(), Command: s.Command}
	s.Store.Me.User, s.Store.Me.Host = userAndHost()
	if s.Ledger, err = ledger.OpenWaiting(dir, cmp.Or(s.LockTimeout, ledger.LockTimeout)); err != nil {
		return err
	}
	return s.register()
}

// NotIsolated says why jobs ran without isolation although they were to have it; "" if none did.
func (s *Session) NotIsolated() string { return s.boxes.Reason() }

// Time is what clock the session goes by: it runs on from Now. All that is recorded has its time from here.
func (s *Session) Time() time.Time { return s.Now.Add(time.Since(s.opened)) }

// Close saves what speeds up the next command, and closes the ledger.
func (s *Session) Close() error {
	s.counters.close()
	s.boxes.Close()
	var errs []error
	if !s.ReadOnly {
		errs = append(errs, s.stat.Save(), s.programs.Save(), s.View.Close(), s.Store.Close())
		if s.memory != nil {
			errs = append(errs, s.memory.table.SaveAlone())
		}
	}
	if s.Ledger != nil {
		errs = append(errs, s.Ledger.Close())
	}
	return errors.Join(errs...)
}

// seed reads all pointers of the environment and tells the decider of the results behind them.
func (s *Session) seed(d *plan.Decider, frozen frozen) error {
	if s.locked != nil {
		s.seedLocked(d)
	}
	if s.Ledger == nil {
		return nil
	}
	s.retired = nil
	clear(s.current)
	s.recall(d)
	others, ok, err := s.seedRemembered(d, frozen)
	if err != nil {
		return err
	}
	guesses := make([]int, len(s.Graph.Nodes))
	if ok {
		for _, n := range others {
			if err := s.Ledger.CurrentsOf(s.Graph.Workspace.Name, s.Environment, n.Target.Label, func(c ledger.Current) error {
				return s.seedFound(d, frozen, n, guesses, c)
			}); err != nil {
				return err
			}
		}
		return nil
	}
	nodes := map[engine.Label]*graph.Node{}
	for _, n := range s.Graph.Nodes {
		nodes[n.Target.Label] = n
	}
	return s.Ledger.Currents(s.Graph.Workspace.Name, s.Environment, func(c ledger.Current) error {
		return s.seedFound(d, frozen, nodes[c.Label], guesses, c)
	})
}

// seedFound takes up a pointer that the ledger has; n is nil if its target is no more.
func (s *Session) seedFound(d *plan.Decider, frozen frozen, n *graph.Node, guesses []int, c ledger.Current) error {
	if n == nil {
		s.retired = append(s.retired, c)
		return nil
	}
	i, ok := next(n.Set, &guesses[n.Index], c.Partition)
	switch {
	case !ok && n.Set.Lack() != "": // where all files are gone at once something else is wrong: what there was stays
		return nil
	case !ok:
		s.retired = append(s.retired, c)
		return nil
	case !d.Prepared(n):
		return nil
	}
	return s.seedOne(d, n, i, frozen, c)
}

// seedOne takes up a pointer of an action that takes part.
func (s *Session) seedOne(d *plan.Decider, n *graph.Node, i int, frozen frozen, c ledger.Current) error {
	p := &s.current[n.Index]
	p.prepare(n)
	p.version[i], p.key[i], p.rules[i] = c.Version, c.Key, c.Shape
	if frozen.has(n, i) {
		var err error
		if s.boxes.Mode == sandbox.Require && !s.madeIsolated(c.Key) {
			err = errNotIsolated
		}
		d.Freeze(n, i, c.Key, c.Shape, c.Outputs, err)
		return nil
	}
	if isJob(n) && s.boxes.Mode == sandbox.Require {
		return nil // how its result was made has to be looked up
	}
	d.Seed(n, i, c.Key, c.Shape, c.Outputs)
	return nil
}

func (p *pointers) prepare(n *graph.Node) {
	if p.version == nil {
		p.version = make([]engine.VersionID, n.Set.Len())
		p.key = make([]cache.ActionKey, n.Set.Len())
		p.rules = make([]cache.SectionDigest, n.Set.Len())
	}
}

// setCurrent notes the version that current is about to name.
func (s *Session) setCurrent(n *graph.Node, i int, r *record) {
	p := &s.current[n.Index]
	p.prepare(n)
	if p.shared {
		*p = pointers{version: slices.Clone(p.version), key: slices.Clone(p.key), rules: slices.Clone(p.rules)}
	}
	p.version[i], p.key[i], p.rules[i] = r.version.ID, r.version.Key, r.shape
}

// currentRules are those that the version that current names was accepted under.
func (s *Session) currentRules(n *graph.Node, i int) cache.SectionDigest {
	if p := s.current[n.Index]; p.rules != nil {
		return p.rules[i]
	}
	return cache.SectionDigest{}
}

// next finds a partition by its text. Pointers come in order, so it is mostly the one after the last.
func next(set *graph.Set, guess *int, text string) (int, bool) {
	if *guess < set.Len() && set.Text(*guess) == text {
		*guess++
		return *guess - 1, true
	}
	i, ok := set.IndexText(text)
	if ok {
		*guess = i + 1
	}
	return i, ok
}

// Status decides the selected actions, and what they need, without changing anything.
func (s *Session) Status(ctx context.Context, selected []graph.Selected) (*plan.Decider, error) {
	d, _, err := s.decideAll(ctx, selected, true)
	return d, err
}

// Foresee decides what a build of the selected actions would, and lists all of that: also what the selected ones need.
func (s *Session) Foresee(ctx context.Context, selected []graph.Selected) (*plan.Decider, []graph.Selected, error) {
	return s.decideAll(ctx, selected, false)
}

func (s *Session) decideAll(ctx context.Context, selected []graph.Selected, drift bool) (*plan.Decider, []graph.Selected, error) {
	b, needed, err := s.survey(ctx, selected, Options{}, drift)
	if err != nil {
		return nil, nil, err
	}
	return b.decider, needed, nil
}

// survey begins a build that goes no further than to decide all actions.
func (s *Session) survey(ctx context.Context, selected []graph.Selected, opts Options, drift bool) (*build, []graph.Selected, error) {
	s.stat.Context, s.programs.Context = ctx, ctx
	b := &build{s: s, opts: opts, lookForDrift: drift}
	if err := b.begin(selected); err != nil {
		return nil, nil, err
	}
	var needed []graph.Selected
	for _, n := range s.Graph.Nodes {
		sel := graph.Selected{Node: n}
		for i, wanted := range b.nodes[n.Index].wanted {
			if wanted {
				sel.Partitions = append(sel.Partitions, i)
			}
		}
		if sel.Partitions == nil {
			continue
		}
		needed = append(needed, sel)
		workers := b.workers
		if n.ReadsItself() { // in order
			workers = workers[:1]
		}
		each(workers, len(sel.Partitions), func(w *plan.Worker, at int) { w.Decide(n, sel.Partitions[at]) })
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	return b, needed, nil
}

// Current is the version that the checkout's pointer names; zero if it names none.
func (s *Session) Current(n *graph.Node, i int) engine.VersionID {
	if p := s.current[n.Index]; p.version != nil {
		return p.version[i]
	}
	return engine.VersionID{}
}

// Present says whether the store has the bytes of a fresh action.
func (s *Session) Present(ctx context.Context, d *plan.Decider, n *graph.Node, i int) bool {
	for o := range n.Target.Outputs {
		if !s.Store.Present(ctx, d.Tree(n, i, o)) {
			return false
		}
	}
	return true
}

// HeldVersion is the version that rules hold of an action; zero if none is held.
func (s *Session) HeldVersion(d *plan.Decider, n *graph.Node, i int) engine.VersionID {
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	if d.State(n, i) != engine.Held || p.Outputs == nil {
		return engine.VersionID{}
	}
	return s.versionOf(n, i, d.Key(n, i), p.Outputs).ID
}

// Known is the version that a build makes current without a job, as its result is known; zero if none is, or current names it.
func (s *Session) Known(d *plan.Decider, n *graph.Node, i int) engine.VersionID {
	if !isJob(n) || s.locked != nil || d.State(n, i) != engine.Fresh {
		return engine.VersionID{}
	}
	p, decided := d.Pending(n.Base + graph.ActionID(i))
	if !decided || p.Result == nil { // the pointer itself told so
		return engine.VersionID{}
	}
	id := s.versionOf(n, i, p.Result.Key, p.Outputs).ID
	if id == s.Current(n, i) {
		return engine.VersionID{}
	}
	return id
}

// Built says whether anything was ever built in a checkout: whether current names anything there.
func Built(c Config) (bool, error) {
	environment, err := EnvironmentOf(c.Root)
	if err != nil {
		return false, err
	}
	l, err := ledger.OpenReadOnly(StoreDir(c.Root, c.Graph.Workspace.StorePath))
	if errors.Is(err, ledger.ErrNone) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer l.Close()
	return l.HasPointers(c.Graph.Workspace.Name, environment)
}
