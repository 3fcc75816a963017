package run

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
)

// Why bytes of a version are not kept.
const (
	GoneOlder   = "older than what is kept"
	GonePointer = "no registered checkout has a version of it as current"
	GoneSize    = "kept for its age only, and the store is over max_size"
)

// GCOptions of a collection.
type GCOptions struct {
	DryRun     bool
	Unregister []string // absolute paths, of which the last part may be an environment instead
	Waiting    func()   // called if another collector is at work
}

// GCTarget is what goes of one target for one reason.
type GCTarget struct {
	Target   string `json:"target"`
	Why      string `json:"why"`
	Versions int    `json:"versions"`
	disk.Amount
}

// GCReport is what went, or would go.
type GCReport struct {
	DryRun    bool        `json:"dry_run"`
	Targets   []GCTarget  `json:"targets"`
	Unnamed   disk.Amount `json:"unnamed"`   // no version names it
	Damaged   disk.Amount `json:"damaged"`   // was set aside earlier
	Abandoned disk.Amount `json:"abandoned"` // processes left it that were killed
	Deleted   disk.Amount `json:"deleted"`   // of blobs and trees
	Kept      int64       `json:"kept_bytes"`
	Over      int64       `json:"over_max_size_bytes,omitempty"` // by so much is what has to be kept more than max_size
	Checkouts []Checkout  `json:"checkouts"`
}

// ErrUnregister says that a name is none of a checkout that can be unregistered.
var ErrUnregister = errors.New("it can't be unregistered")

// collector decides what a store keeps: what registered checkouts need, as far as this one knows their ledger.
type collector struct {
	*disk.Collection
	s       *Session
	live    map[string]engine.Retention // by environment
	kept    map[engine.VersionID]bool
	visited map[cache.SectionDigest]bool
	inputs  map[cache.TreeDigest]bool // what entered keys of versions that are kept
	young   []youngVersion
	evicted map[engine.VersionID]bool // of young ones, for max_size
	decided *plan.Decider
	report  *GCReport
}

// youngVersion is kept for its age if the size allows.
type youngVersion struct {
	id      engine.VersionID
	created time.Time
	trees   []cache.TreeDigest
	blobs   []cache.Digest
}

// GC deletes what no registered checkout needs. It works beside builds: what these rely on is pinned. Records stay.
func (s *Session) GC(ctx context.Context, all []graph.Selected, opts GCOptions) (*GCReport, error) {
	report := &GCReport{DryRun: opts.DryRun, Targets: []GCTarget{}, Checkouts: []Checkout{}}
	if s.Ledger == nil {
		return report, nil // there is no store yet
	}
	collection, err := s.collect(ctx, !opts.DryRun, opts.Waiting)
	if err != nil {
		return nil, err
	}
	defer collection.Close()
	c := &collector{Collection: collection, s: s, live: map[string]engine.Retention{}, kept: map[engine.VersionID]bool{}, visited: map[cache.SectionDigest]bool{},
		inputs: map[cache.TreeDigest]bool{}, evicted: map[engine.VersionID]bool{}, report: report}
	if err := c.register(opts); err != nil {
		return nil, err
	}
	if err := c.mark(ctx, all); err != nil {
		return nil, err
	}
	if err := c.Find(ctx); err != nil {
		return nil, err
	}
	if err := c.keepYoung(); err != nil {
		return nil, err
	}
	if err := s.Ledger.Actions(c.count); err != nil {
		return nil, err
	}
	report.Unnamed, report.Deleted, report.Kept = c.Left(false), c.Left(true), c.Kept()
	if limit := s.Graph.Workspace.Retention.MaxSize; limit > 0 {
		report.Over = max(report.Kept-limit, 0)
	}
	return report, c.sweep(ctx)
}

// collect begins a collection when no other is under way, or gives up after the lock timeout.
func (s *Session) collect(ctx context.Context, deletes bool, waiting func()) (*disk.Collection, error) {
	if s.LockTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, s.LockTimeout, fmt.Errorf("another dpb gc or dpb fsck works on this store: %w for longer than the lock timeout of %s",
			ledger.ErrLocked, s.LockTimeout))
		defer cancel()
	}
	return s.Store.Collect(ctx, deletes, waiting)
}

// sweep deletes, after it is written down which checkouts don't count any more.
func (c *collector) sweep(ctx context.Context) (err error) {
	if !c.report.DryRun {
		if err := c.saveCheckouts(); err != nil {
			return err
		}
		if c.report.Deleted, err = c.Delete(ctx); err != nil {
			return err
		}
	}
	if c.report.Damaged, err = c.Damaged(); err != nil {
		return err
	}
	c.report.Abandoned, err = c.Abandoned()
	return err
}

// register finds out for which checkouts versions are kept.
func (c *collector) register(opts GCOptions) (err error) {
	list, err := c.s.checkouts()
	if err != nil {
		return err
	}
	for _, name := range opts.Unregister {
		if err := c.unregister(list, name); err != nil {
			return err
		}
	}
	now := c.s.Now.UTC().Truncate(time.Second)
	for k := range list {
		x := &list[k]
		unseen := now.Sub(x.Seen)
		switch {
		case !x.Unregistered.IsZero():
		case x.Here:
			x.Seen = time.Now()
		case unseen > time.Duration(x.retention.UnseenDays)*24*time.Hour:
			x.Unregistered, x.Just = now, true
		}
		if x.Unregistered.IsZero() {
			c.live[x.Environment] = x.retention
		}
	}
	c.report.Checkouts = list
	return nil
}

func (c *collector) unregister(list []Checkout, name string) error {
	k := slices.IndexFunc(list, func(x Checkout) bool {
		return x.Environment == filepath.Base(name) || x.Root != "" && x.Root == realPath(name)
	})
	switch {
	case k < 0:
		return fmt.Errorf("%s: %w: no checkout is registered under that path or environment; dpb gc --dry-run --json lists all", name, ErrUnregister)
	case list[k].Environment == c.s.Environment:
		return fmt.Errorf("%s: %w: it is this checkout, which counts as long as it uses the store", name, ErrUnregister)
	case list[k].Unregistered.IsZero():
		list[k].Unregistered, list[k].Just = c.s.Now, true
	}
	return nil
}

// realPath follows links as far as there is something.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	dir := filepath.Dir(path)
	if dir == path {
		return path
	}
	return filepath.Join(realPath(dir), filepath.Base(path))
}

// saveCheckouts writes down who was seen, and who doesn't count any more.
func (c *collector) saveCheckouts() error {
	for _, x := range c.report.Checkouts {
		if x.Environment == c.s.Environment || !x.Unregistered.IsZero() && !x.Just {
			continue
		}
		if err := c.s.writeCheckout(x); err != nil {
			return err
		}
		if x.Just {
			for _, k := range caches {
				_ = os.Remove(filepath.Join(c.s.checkoutDir(x.Environment), k.name))
			}
		}
	}
	return nil
}

// mark keeps what is needed: what this checkout wants as it is now, and what current names anywhere, with what it was made of.
func (c *collector) mark(ctx context.Context, all []graph.Selected) error {
	var needed []graph.Selected
	var err error
	if c.decided, needed, err = c.s.Foresee(ctx, all); err != nil {
		return err
	}
	for _, sel := range needed {
		for _, i := range sel.Partitions {
			if err := c.keepWanted(sel.Node, i); err != nil {
				return err
			}
		}
	}
	if err := c.s.Ledger.Actions(c.keepAction); err != nil {
		return err
	}
	if err := c.keepLocked(); err != nil {
		return err
	}
	return c.keepSources()
}

// keepLocked keeps what the locks of this workspace name, as far as it is there: others may have it from this store.
func (c *collector) keepLocked() error {
	set, err := c.s.locks()
	if err != nil {
		return err
	}
	for _, e := range set.Entries {
		if e.Action == nil {
			continue
		}
		for _, o := range e.Action.Outputs {
			if err := c.Keep([]cache.TreeDigest{o.Tree}); err != nil {
				return err
			}
		}
	}
	return nil
}

// keepWanted keeps what is known of an action under its wanted key: what it made, be it held or not judged yet, and the log of a failure.
func (c *collector) keepWanted(n *graph.Node, i int) error {
	var trees []cache.TreeDigest
	for k := range n.Target.Outputs {
		trees = append(trees, c.decided.Tree(n, i, k), c.decided.Made(n, i, k).Raw, c.decided.Quarantine(n, i, k))
	}
	p, _ := c.decided.Pending(n.Base + graph.ActionID(i))
	trees = append(trees, treesOf(p.Outputs)...)
	if err := c.Keep(trees); err != nil {
		return err
	}
	if p.Result != nil {
		if err := c.keepResult(p.Result); err != nil {
			return err
		}
	}
	if c.decided.State(n, i) != engine.Failed {
		return nil
	}
	last, _, err := c.s.Ledger.LastRun(c.decided.Key(n, i))
	return errors.Join(err, c.Keep(nil, last.Log))
}

// keepResult keeps what a job made, its log, and what entered its key.
func (c *collector) keepResult(r *engine.Result) error {
	var trees []cache.TreeDigest
	for _, o := range r.Outputs {
		trees = append(trees, o.Tree)
	}
	if err := c.Keep(trees, r.Log, r.Metrics); err != nil {
		return err
	}
	for _, part := range r.Parts {
		err := c.s.Ledger.EachEntry(part.Digest, c.visited, func(e engine.Entry) {
			if in, ok := enters(e); ok {
				c.inputs[in.Tree] = true
			}
			if d, ok := codeOf(e); ok {
				_ = c.Keep(nil, d) // a blob is only noted
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// codeOf is the content of a code file that entered a key.
func codeOf(e engine.Entry) (cache.Digest, bool) {
	_, digest, ok := strings.Cut(e.Value, " ")
	if !ok || !strings.HasPrefix(e.Name, "code ") {
		return cache.Digest{}, false
	}
	d, err := cache.ParseDigest(digest)
	return d, err == nil
}

func (c *collector) keepVersion(v engine.Version) error {
	if c.kept[v.ID] {
		return nil
	}
	c.kept[v.ID] = true
	if err := c.Keep(treesOf(v.Outputs)); err != nil {
		return err
	}
	last, _, err := c.s.Ledger.LastRun(v.Key)
	if err != nil {
		return err
	}
	if err := c.Keep(nil, last.Log); err != nil {
		return err
	}
	r, ok, err := c.s.Ledger.Result(v.Key)
	if err != nil || !ok {
		return err
	}
	return c.keepResult(&r)
}

func treesOf(outputs []engine.VersionOutput) (out []cache.TreeDigest) {
	for _, o := range outputs {
		out = append(out, o.Raw, o.Visible, o.Quarantine)
	}
	return out
}

// keepAction keeps for each checkout the version that is current there, and accepted ones beside it; and what its rules hold, if nothing is newer.
func (c *collector) keepAction(a ledger.Action) error {
	for environment, retention := range c.live {
		k := slices.IndexFunc(a.Pointers, func(p ledger.Pointer) bool { return p.Environment == environment })
		if k >= 0 {
			if err := c.keepCurrent(a, a.Pointers[k], retention.KeepVersions); err != nil {
				return err
			}
		}
		if c.graphTells(environment, a) {
			continue
		}
		held, err := c.held(environment, a.Versions[0])
		if err == nil && held {
			err = c.keepVersion(a.Versions[0])
		}
		if err != nil {
			return err
		}
	}
	return c.noteYoung(a)
}

// keepCurrent keeps the version that current names and the newest others that are accepted, first of all the one that it replaced.
func (c *collector) keepCurrent(a ledger.Action, p ledger.Pointer, count int) error {
	var replaced engine.VersionID
	if count > 1 {
		j, _, err := c.s.Ledger.LastJudgement(p.Environment, p.Version)
		if err != nil {
			return err
		}
		replaced = j.Replaced
	}
	rank := func(v engine.Version) int {
		switch v.ID {
		case p.Version:
			return 0
		case replaced:
			return 1
		}
		return 2
	}
	ordered := slices.SortedStableFunc(slices.Values(a.Versions), func(v, w engine.Version) int { return cmp.Compare(rank(v), rank(w)) })
	for _, v := range ordered {
		if count == 0 {
			break
		}
		held, err := c.held(p.Environment, v)
		if err != nil {
			return err
		}
		if held && v.ID != p.Version { // a changed rule may hold what is current
			continue
		}
		if err := c.keepVersion(v); err != nil {
			return err
		}
		count--
	}
	return nil
}

// graphTells says whether this checkout's own graph told what it wants of an action.
func (c *collector) graphTells(environment string, a ledger.Action) bool {
	if environment != c.s.Environment || a.Workspace != c.s.Graph.Workspace.Name {
		return false
	}
	n := c.s.Graph.Node(a.Label)
	if n == nil {
		return true // it wants nothing of it
	}
	i, ok := n.Set.IndexText(a.Partition)
	if !ok {
		return true
	}
	switch c.decided.State(n, i) {
	case engine.MissingState, engine.Blocked, engine.Undecided:
		return false
	}
	return true
}

// held says whether rules hold a version in an environment.
func (c *collector) held(environment string, v engine.Version) (bool, error) {
	j, ok, err := c.s.Ledger.LastJudgement(environment, v.ID)
	failing := j.Failing()
	if err != nil || !ok || len(failing) == 0 {
		return false, err
	}
	a, err := c.s.acceptanceIn(v.Workspace, environment, v.Label, v.Partition, "", engine.ContentOf(v.Outputs), failing)
	return a == nil, err
}

// keepSources keeps what entered keys of kept versions and was made by no job: it can't be made again.
func (c *collector) keepSources() error {
	err := c.s.Ledger.Actions(func(a ledger.Action) error {
		for _, v := range a.Versions {
			trees := slices.DeleteFunc(treesOf(v.Outputs), func(d cache.TreeDigest) bool { return !c.inputs[d] || c.Keeps(d) })
			if len(trees) == 0 {
				continue
			}
			_, made, err := c.s.Ledger.Result(v.Key)
			if err != nil {
				return err
			}
			for _, d := range trees {
				if made {
					delete(c.inputs, d)
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for d := range c.inputs {
		if err := c.Keep([]cache.TreeDigest{d}); err != nil {
			return err
		}
	}
	return nil
}

// noteYoung notes the versions of an action that are kept for their age, if the size allows.
func (c *collector) noteYoung(a ledger.Action) error {
	days := 0
	for _, r := range c.live {
		days = max(days, r.KeepDays)
	}
	for _, v := range a.Versions {
		if days == 0 || !v.Created.After(c.s.Now.AddDate(0, 0, -days)) {
			continue
		}
		y := youngVersion{id: v.ID, created: v.Created, trees: treesOf(v.Outputs)}
		r, ok, err := c.s.Ledger.Result(v.Key)
		if err != nil {
			return err
		}
		if ok {
			y.blobs = []cache.Digest{r.Log, r.Metrics}
		}
		c.young = append(c.young, y)
	}
	return nil
}

// keepYoung keeps young versions, the newest first, up to the size that the store may have.
func (c *collector) keepYoung() error {
	slices.SortStableFunc(c.young, func(a, b youngVersion) int { return b.created.Compare(a.created) })
	limit, full := c.s.Graph.Workspace.Retention.MaxSize, false
	for _, y := range c.young {
		cost, err := c.Cost(y.trees, y.blobs...)
		if err != nil {
			return err
		}
		if full = full || limit > 0 && cost > 0 && c.Kept()+cost > limit; full {
			c.evicted[y.id] = true
			continue
		}
		c.kept[y.id] = true
		if err := c.Keep(y.trees, y.blobs...); err != nil {
			return err
		}
	}
	return nil
}

// count tells of which versions bytes go, and why.
func (c *collector) count(a ledger.Action) error {
	why := GonePointer
	if slices.ContainsFunc(a.Pointers, func(p ledger.Pointer) bool { _, live := c.live[p.Environment]; return live }) {
		why = GoneOlder
	}
	for _, v := range a.Versions {
		if c.kept[v.ID] {
			continue
		}
		amount, err := c.Count(treesOf(v.Outputs))
		if err != nil {
			return err
		}
		if amount.Files == 0 {
			continue
		}
		r, _, err := c.s.Ledger.Result(v.Key)
		if err != nil {
			return err
		}
		more, err := c.Count(nil, r.Log, r.Metrics)
		if err != nil {
			return err
		}
		amount.Add(more)
		if c.evicted[v.ID] {
			c.tell(a, GoneSize, amount)
		} else {
			c.tell(a, why, amount)
		}
	}
	return nil
}

func (c *collector) tell(a ledger.Action, why string, amount disk.Amount) {
	name := a.Label.String()
	if a.Workspace != c.s.Graph.Workspace.Name {
		name += " of workspace " + fmt.Sprintf("%q", a.Workspace)
	}
	list := &c.report.Targets
	k := slices.IndexFunc(*list, func(t GCTarget) bool { return t.Target == name && t.Why == why })
	if k < 0 {
		k = len(*list)
		*list = append(*list, GCTarget{Target: name, Why: why})
	}
	(*list)[k].Versions++
	(*list)[k].Add(amount)
}
