package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/publish"
)

// FsckReport is what was found.
type FsckReport struct {
	DryRun     bool         `json:"dry_run"`
	Blobs      int          `json:"blobs"`
	Trees      int          `json:"trees"`
	Bytes      int64        `json:"bytes"`
	Records    int          `json:"records"`
	Pointers   int          `json:"pointers"`
	Incomplete int          `json:"incomplete_trees"`
	Faults     []disk.Fault `json:"faults"`
	Gone       []Gone       `json:"gone"`
}

// Gone is a version of which bytes are gone that should be there: current names it, or they were found damaged.
type Gone struct {
	Version string `json:"version"` // as label@partition#id
	Current bool   `json:"current"`
	Again   bool   `json:"again"` // a build can make them again
	How     string `json:"how"`
}

// Sound says whether nothing is left to be done by hand.
func (r *FsckReport) Sound() bool {
	return !slices.ContainsFunc(r.Faults, func(f disk.Fault) bool { return f.Done == "" }) && !slices.ContainsFunc(r.Gone, func(g Gone) bool { return !g.Again && g.Current })
}

// checker is one check of a store.
type checker struct {
	s      *Session
	repair bool
	report *FsckReport
	disk   disk.Check
}

// Fsck checks every blob, tree, record and pointer. A session that writes repairs what can be repaired.
func (s *Session) Fsck(ctx context.Context, waiting func()) (*FsckReport, error) {
	c := &checker{s: s, repair: !s.ReadOnly, report: &FsckReport{DryRun: s.ReadOnly, Faults: []disk.Fault{}, Gone: []Gone{}}}
	c.disk = disk.Check{Store: s.Store, Repair: c.repair, Fault: c.tell}
	if err := c.disk.Run(ctx); err != nil {
		return nil, err
	}
	slices.SortFunc(c.report.Faults, func(a, b disk.Fault) int { return strings.Compare(a.What, b.What) })
	c.report.Blobs, c.report.Trees, c.report.Bytes, c.report.Incomplete = c.disk.Blobs, c.disk.Trees, c.disk.Bytes, c.disk.Incomplete
	steps := []func(context.Context) error{c.remains(waiting), c.caches}
	if s.Ledger != nil {
		steps = append(steps, c.records, c.pointers, c.gone)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return c.report, nil
}

func (c *checker) tell(f disk.Fault) { c.report.Faults = append(c.report.Faults, f) }

// records checks the ledger. What is damaged is written to damaged/ and taken out.
func (c *checker) records(ctx context.Context) error {
	var faults []ledger.Fault
	var err error
	if c.report.Records, err = c.s.Ledger.Check(ctx, func(f ledger.Fault) { faults = append(faults, f) }); err != nil {
		return err
	}
	for _, f := range faults {
		fault := disk.Fault{What: fmt.Sprintf("ledger: %v", f.Err)}
		if f.Table != "" {
			fault.What = fmt.Sprintf("ledger: %s: %v", f.Name(), f.Err)
		}
		if c.repair && f.Table != "" {
			if fault.Done, err = c.takeOut(ctx, f); err != nil {
				return err
			}
		}
		c.tell(fault)
	}
	return nil
}

func (c *checker) takeOut(ctx context.Context, f ledger.Fault) (string, error) {
	id := fmt.Sprint(f.Row)
	if f.ID != nil {
		id = fmt.Sprintf("%x", f.ID)
	}
	to := filepath.Join(c.s.Store.Dir, "damaged", f.Table+"-"+id)
	if err := os.WriteFile(to, f.Body, 0o666); err != nil {
		return "", err
	}
	return "moved to " + to, c.s.Ledger.Write(ctx, func(tx *ledger.Tx) error { return tx.TakeOut(f) })
}

// pointers compares what pointers say of their versions with these. One whose version is no more is withdrawn: the next build decides by results.
func (c *checker) pointers(ctx context.Context) error {
	var wrong []ledger.Pointing
	err := c.s.Ledger.CheckPointers(func(p ledger.Pointing) error {
		c.report.Pointers++
		if !c.agrees(p) {
			wrong = append(wrong, p)
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, p := range wrong {
		if err := c.repairPointer(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// agrees says whether key and outputs of a pointer are those of its version.
func (c *checker) agrees(p ledger.Pointing) bool {
	if p.Version == nil || p.Broken != nil || p.Key != p.Version.Key {
		return false
	}
	want, known := c.outputs(p.Version)
	return slices.EqualFunc(p.Outputs, want, func(a, b engine.OutputResult) bool {
		return a.Name == b.Name && a.Tree == b.Tree && (!known || slices.Equal(a.Columns, b.Columns))
	})
}

// outputs are what a pointer says of a version; not known are columns of a result that is no more, or can't be read, which was told.
func (c *checker) outputs(v *engine.Version) (out []engine.OutputResult, known bool) {
	r, known, err := c.s.Ledger.Result(v.Key)
	known = known && err == nil
	for _, o := range v.Outputs {
		known = known && slices.ContainsFunc(r.Outputs, func(made engine.OutputResult) bool { return made.Name == o.Name && made.Tree == o.Raw })
	}
	return plan.Visible(&r, v.Outputs), known
}

func (c *checker) repairPointer(ctx context.Context, p ledger.Pointing) error {
	name := fmt.Sprintf("current of %s in %s", p.Label.At(p.Partition), p.Environment)
	if p.Version == nil {
		fault := disk.Fault{What: fmt.Sprintf("%s names version %s, of which there is no record", name, p.Current.Version.Short())}
		if c.repair {
			fault.Done = "withdrawn: the next build finds what is current"
		}
		c.tell(fault)
		return c.write(ctx, func(tx *ledger.Tx) error { return tx.Withdraw(p.Workspace, p.Environment, p.Label, p.Partition) })
	}
	fault := disk.Fault{What: fmt.Sprintf("%s says something else of version %s than its record", name, p.Current.Version.Short())}
	want, _ := c.outputs(p.Version)
	if c.repair {
		fault.Done = "written anew"
	}
	c.tell(fault)
	return c.write(ctx, func(tx *ledger.Tx) error { return tx.Point(p.Environment, *p.Version, p.Shape, want) })
}

func (c *checker) write(ctx context.Context, f func(*ledger.Tx) error) error {
	if !c.repair {
		return nil
	}
	return c.s.Ledger.Write(ctx, f)
}

// kept is a file of a checkout that a build writes anew where it is missing.
type kept struct {
	name  string
	sound func(file string) (bool, error) // a file that is not there is sound
}

var (
	caches = []kept{{dataFiles, disk.StatsSound}, {programFiles, disk.StatsSound}, {memoryFile, memorySound}, {PackagesFile, sealed}, {CheckedFile, sealed}}
	// facts can't be found out again without work: that versions are kept for it, and that dpb-out holds what it should.
	facts = []kept{{checkoutFile, registrationSound}, {viewFile, publish.Sound}}
)

// caches checks what checkouts keep beside the ledger.
func (c *checker) caches(context.Context) error {
	entries, err := os.ReadDir(filepath.Join(c.s.Store.Dir, "checkouts"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		for _, k := range slices.Concat(facts, caches) {
			if err := c.cache(filepath.Join(c.s.checkoutDir(e.Name()), k.name), k.sound); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *checker) cache(file string, sound func(string) (bool, error)) error {
	if ok, err := sound(file); ok || err != nil {
		return err
	}
	fault := disk.Fault{What: file + " is damaged"}
	if c.repair && os.Remove(file) == nil {
		fault.Done = "removed: the next build writes it anew"
	}
	c.tell(fault)
	return nil
}

// sealed says whether a file of any kind is as it was written.
func sealed(file string) (bool, error) { return disk.CheckSealed(file, "") }

func registrationSound(file string) (bool, error) {
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	_, damage := decodeCheckout("", b)
	return damage == nil, err
}

// remains removes what processes left that were killed.
func (c *checker) remains(waiting func()) func(context.Context) error {
	return func(ctx context.Context) error {
		collection, err := c.s.collect(ctx, c.repair, waiting)
		if err != nil {
			return err
		}
		defer collection.Close()
		amount, err := collection.Abandoned()
		if amount.Files > 0 {
			fault := disk.Fault{What: fmt.Sprintf("%d temporary files (%d bytes) were left by processes that were killed", amount.Files, amount.Bytes)}
			if c.repair {
				fault.Done = "removed"
			}
			c.tell(fault)
		}
		return err
	}
}

// gone lists the versions that lack bytes: those that current names, and all that a damaged blob belonged to.
func (c *checker) gone(context.Context) error {
	err := c.s.Ledger.Actions(func(a ledger.Action) error {
		for _, v := range a.Versions {
			current := slices.ContainsFunc(a.Pointers, func(p ledger.Pointer) bool { return p.Version == v.ID })
			if !current && len(c.disk.Lost) == 0 {
				continue
			}
			if err := c.goneOf(v, current); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil && c.report.DryRun && !c.report.Sound() {
		return nil // the records that stand in the way are reported
	}
	return err
}

func (c *checker) goneOf(v engine.Version, current bool) error {
	_, job, err := c.s.Ledger.Result(v.Key)
	if err != nil {
		return nil // it is damaged, and was told
	}
	lacks := false
	for _, d := range treesOf(v.Outputs) {
		if d.IsZero() {
			continue
		}
		lost, there := c.disk.Look(d)
		lacks = lacks || lost || current && job && !there
	}
	if !lacks {
		return nil
	}
	g := Gone{Version: v.Label.At(v.Partition) + "#" + v.ID.Short(), Current: current}
	switch {
	case job && current && c.frozen(v):
		g.How = "it is frozen, and no build makes it again: restore the store from a copy, or thaw it (dpb build --thaw)"
	case job && current:
		g.Again, g.How = true, "a build makes it again when somebody needs it"
	case job:
		g.Again, g.How = true, "a build of what it was made from makes it again"
	case c.observes(v):
		g.Again, g.How = true, "its files are in the checkout, and a build takes them from there"
	default:
		g.How = "its files are not in this checkout any more: nothing can make it again"
	}
	c.report.Gone = append(c.report.Gone, g)
	return nil
}

// frozen says of a version that current names whether it is frozen by now.
func (c *checker) frozen(v engine.Version) bool {
	n := c.s.Graph.Node(v.Label)
	if n == nil || v.Workspace != c.s.Graph.Workspace.Name {
		return false
	}
	i, ok := n.Set.IndexText(v.Partition)
	return ok && n.Target.Freeze.Reached(n.Set.End(i), c.s.Now)
}

// observes says whether a source's files are still what they were in a version.
func (c *checker) observes(v engine.Version) bool {
	n := c.s.Graph.Node(v.Label)
	if n == nil || isJob(n) || v.Workspace != c.s.Graph.Workspace.Name {
		return false
	}
	i, ok := n.Set.IndexText(v.Partition)
	if !ok {
		return false
	}
	snapshot, err := c.s.snapshot(n, n.Target.Path, i)
	return err == nil && snapshot.Digest() == v.Outputs[0].Raw
}
