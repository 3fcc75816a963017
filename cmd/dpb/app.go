package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/hcl"
	"github.com/dpb-build/dpb/hcl/diag"
	"github.com/fatih/color"
	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// app is what all commands share: the flags of the root command, and the workspace once it is loaded.
type app struct {
	stdout, stderr *os.File
	caught         func() os.Signal // which signal ended the command, if it looks

	dir      string // -C
	color    string
	nowText  string
	progress string
	sandbox  string
	json     bool
	lockWait time.Duration // --lock-timeout
	existing bool          // the command is about a store that is there
	warns    bool          // the command tells warnings although it only reads

	byLock      byLock
	until       *lockView // what a build that reproduces the locks builds
	observe     bool      // then it looks at sources outside of the repository all the same
	resolveLock bool      // a merge conflict in a lock is what the command is for
	view        *lockView // where the locks answer

	root    string
	now     time.Time
	sources hcl.Sources // of the workspace, for snippets
	kept    *hcl.Kept   // its packages, for the next command
}

func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:     "dpb",
		Version: version,
		Short:   "a build tool for data",
		Long: `dpb builds data pipelines. Teams declare sources and targets in pipeline.hcl files; dpb build runs exactly what is stale,
keeps every version with the code that made it, and dpb status says in which state each partition is.`,
		Example:           "  dpb init\n  dpb build //...\n  dpb why //reports:royalties@month=2017-06",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.prepare() },
	}
	needsSubcommand(root)
	f := root.PersistentFlags()
	f.StringVarP(&a.dir, "directory", "C", "", "run as if dpb was started in this directory")
	f.StringVar(&a.color, "color", "auto", "colours: auto, always or never")
	f.StringVar(&a.nowText, "now", "", "the time that decides which partitions have ended, such as 2017-06-15T00:00:00Z; default: the clock")
	root.AddCommand(a.initCmd(), a.buildCmd(), a.watchCmd(), a.planCmd(), a.statusCmd(), a.whyCmd(), a.logCmd(), a.showCmd(), a.exportCmd(), a.acceptCmd(), a.diffCmd(), a.lockCmd(), a.ciCmd(), a.verifyCmd(), a.gcCmd(), a.fsckCmd(), a.queryCmd(), a.graphCmd(), a.columnsCmd(),
		a.fmtCmd(), a.validateCmd(), a.versionCmd())
	usageErrors(root)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	return root
}

// prepare reads the flags that all commands have.
func (a *app) prepare() error {
	switch a.color {
	case "auto":
		color.NoColor = os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isatty.IsTerminal(a.stderr.Fd())
	case "always", "never":
		color.NoColor = a.color == "never"
	default:
		return usagef("--color is auto, always or never, not %q", a.color)
	}
	if a.lockWait < 0 {
		return usagef("--lock-timeout %s: want a positive time, such as 10m", a.lockWait)
	}
	a.now = time.Now()
	if a.nowText != "" {
		var err error
		if a.now, err = time.Parse(time.RFC3339, a.nowText); err != nil {
			return usagef("--now: want a time such as 2017-06-15T00:00:00Z, not %q", a.nowText)
		}
	}
	return nil
}

// start is the directory that dpb works from.
func (a *app) start() (string, error) {
	if a.dir == "" {
		return os.Getwd()
	}
	dir, err := filepath.Abs(a.dir)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return "", usagef("-C %s: there is no such directory", a.dir)
	}
	return dir, nil
}

// fromStart is a path of the command line, which is relative to the start directory.
func (a *app) fromStart(start, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(start, path)
}

// argPath is fromStart for commands that have not asked for the start directory.
func (a *app) argPath(path string) string {
	start, err := a.start()
	if err != nil {
		return path
	}
	return a.fromStart(start, path)
}

// shortPath writes a path relative to the current directory where that is shorter.
func shortPath(path string) string {
	cwd, err := os.Getwd()
	if err != nil {
		return path
	}
	if rel, err := filepath.Rel(cwd, path); err == nil && len(rel) < len(path) {
		return rel
	}
	return path
}

// load reads the workspace around the start directory and prints all problems. Its error is silent: everything was said.
func (a *app) load(warnings bool) (*graph.Graph, error) {
	g, problems, err := a.resolve()
	if err != nil {
		return nil, err
	}
	if !warnings && !engine.HasErrors(problems) {
		return g, nil // build and validate tell them
	}
	return g, a.report(problems, a.sources)
}

// resolve reads the workspace around the start directory, with all that is wrong with it.
func (a *app) resolve() (*graph.Graph, []engine.Problem, error) {
	ws, _, problems, err := a.loadWorkspace()
	if err != nil || engine.HasErrors(problems) {
		return nil, problems, err
	}
	g, more, err := a.graphOf(ws, a.root)
	return g, engine.SortProblems(append(problems, more...)), err
}

// graphOf resolves a workspace without errors, at root. Its sources are looked at for the partitions that their files name.
func (a *app) graphOf(ws *engine.Workspace, root string) (*graph.Graph, []engine.Problem, error) {
	if err := source.List(root, ws, a.now); err != nil {
		return nil, nil, err
	}
	if a.resolveLock {
		if err := a.listLocked(ws); err != nil {
			return nil, nil, err
		}
	}
	g, problems := graph.New(ws, a.now)
	return g, problems, nil
}

func (a *app) loadWorkspace() (*engine.Workspace, hcl.Sources, []engine.Problem, error) {
	dir, err := a.start()
	if err != nil {
		return nil, nil, nil, err
	}
	if a.root, err = hcl.FindRoot(dir); err != nil {
		return nil, nil, nil, err
	}
	var ws *engine.Workspace
	var problems []engine.Problem
	a.kept = a.keeping()
	ws, a.sources, problems = hcl.Load(a.root, hcl.Options{Version: version, Kept: a.kept})
	_ = a.kept.Save() // it only saves time
	return ws, a.sources, problems, nil
}

// keeping says where packages are kept between commands: beside what else the store holds of this checkout.
func (a *app) keeping() *hcl.Kept {
	return &hcl.Kept{Program: thisProgram(), File: func(storePath string) string { return a.checkoutFile(storePath, run.PackagesFile) }}
}

// checkoutFile is where the store, or one that will be there, keeps a file of this checkout; "" if that can't be told.
func (a *app) checkoutFile(storePath, name string) string {
	environment, err := run.EnvironmentOf(a.root)
	if err != nil {
		return ""
	}
	return filepath.Join(run.CheckoutDir(run.StoreDir(a.root, storePath), environment), name)
}

// thisProgram identifies the binary that runs; "" if it can't be told from one that was there a moment ago, or is no longer there.
var thisProgram = sync.OnceValue(func() string {
	file, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(file)
	if err != nil {
		return ""
	}
	stamp := disk.StampOf(info)
	if !stamp.Settled(time.Now()) {
		return ""
	}
	return fmt.Sprint(version, file, stamp)
})

// report prints problems; its error says that there were errors among them.
func (a *app) report(problems []engine.Problem, sources hcl.Sources) error {
	if a.json && engine.HasErrors(problems) {
		if err := diag.JSON(a.stdout, problems); err != nil {
			return err
		}
	} else {
		diag.Text(a.stderr, problems, sources, a.width())
	}
	if !engine.HasErrors(problems) {
		return nil
	}
	errorCount, warnings := 0, 0
	for _, p := range problems {
		if p.Severity == engine.Error {
			errorCount++
		} else {
			warnings++
		}
	}
	text := plural(errorCount, "error")
	if warnings > 0 {
		text += ", " + plural(warnings, "warning")
	}
	return &exitError{exitUsage, errors.New(text)}
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// width of the terminal for messages.
func (a *app) width() int {
	if w, _, err := term.GetSize(int(a.stderr.Fd())); err == nil && w > 40 {
		return w
	}
	return 120
}

// withGraph loads the workspace for a command that needs no store.
func (a *app) withGraph(f func(*graph.Graph) error) error {
	g, err := a.load(false)
	if err != nil {
		return err
	}
	return f(g)
}

// withSession loads the workspace and opens its store.
func (a *app) withSession(readOnly bool, f func(*run.Session) error) error {
	g, err := a.load(!readOnly || a.warns)
	if err != nil {
		return err
	}
	return a.inSession(g, readOnly, f)
}

// inSession opens the store of a workspace that is loaded.
func (a *app) inSession(g *graph.Graph, readOnly bool, f func(*run.Session) error) (err error) {
	mode, err := a.sandboxMode()
	if err != nil {
		return err
	}
	config := run.Config{Root: a.root, Graph: g, Now: a.now, ReadOnly: readOnly, Version: version, Program: thisProgram(), SecretEnv: os.LookupEnv, PathEnv: os.Getenv("PATH"),
		Command: disk.Commandline(os.Args), LockTimeout: a.lockWait, Sandbox: mode, Declared: a.sources.Digest(), ResolveLock: a.resolveLock || !readOnly && g.Workspace.Lock}
	store := run.StoreDir(a.root, g.Workspace.StorePath)
	_, err = disk.OpenExisting(store)
	absent := errors.Is(err, disk.ErrNoStore)
	if a.existing && absent {
		return usagef("there is no store at %s", shortPath(store))
	}
	switch {
	case a.byLock == lockAlways:
		return a.withLocks(config, f)
	case a.byLock == lockWithoutStore && lock.There(a.root, g.Workspace.Packages):
		built, err := run.Built(config)
		if err != nil {
			return err
		}
		if !built {
			return a.withLocks(config, f)
		}
	case a.until != nil:
		config.Graph = a.until.graph
	}
	return a.open(config, f)
}

// open opens a session for a command.
func (a *app) open(config run.Config, f func(*run.Session) error) error {
	s, err := run.Open(config)
	if err != nil {
		return err
	}
	if !config.ReadOnly {
		_ = a.kept.Save() // the first command makes the folder for it
	}
	s.Store.Warn = func(text string) { fmt.Fprintf(a.stderr, "warning: %s\n", ui.Text(text)) }
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	return f(s)
}

// withTarget opens the store to read of the one target that an argument names.
func (a *app) withTarget(arg string, f func(*run.Session, graph.Selected) error) error {
	return a.withSession(true, func(s *run.Session) error {
		sel, err := a.selectTarget(s.Graph, arg)
		if err != nil {
			return err
		}
		return f(s, sel)
	})
}

// pkg is the package that :name is relative to: that of the start directory.
func (a *app) pkg() string {
	dir, err := a.start()
	if err != nil {
		return ""
	}
	rel, err := filepath.Rel(a.root, dir)
	if err != nil || rel == "." || strings.HasPrefix(rel, "..") {
		return ""
	}
	return filepath.ToSlash(rel)
}

// selectPatterns finds what the arguments mean; none means everything. partitions is the value of --partition.
func (a *app) selectPatterns(g *graph.Graph, args, partitions []string) ([]graph.Selected, error) {
	patterns, err := a.parsePatterns(g, args, partitions)
	if err != nil {
		return nil, err
	}
	selected, err := g.Select(patterns)
	if err != nil {
		return nil, usagef("%w", err)
	}
	return selected, nil
}

// parsePatterns reads the arguments of a command; partitions is the value of --partition.
func (a *app) parsePatterns(g *graph.Graph, args, partitions []string) ([]engine.Pattern, error) {
	var subsets []engine.Subset
	for _, p := range partitions {
		s, err := engine.ParseSubset(p)
		if err != nil {
			return nil, usagef("--partition: %w", err)
		}
		subsets = append(subsets, s...)
	}
	if !slices.ContainsFunc(args, func(arg string) bool { return !strings.HasPrefix(arg, "-") }) {
		args = append([]string{"//..."}, args...) // all, less what is taken away
	}
	var patterns []engine.Pattern
	for _, arg := range args {
		p, err := engine.ParsePattern(arg, a.pkg())
		switch {
		case err != nil:
			return nil, usagef("%w%s", err, meant(g, arg))
		case p.Version != "":
			return nil, usagef("%s names a version; this command takes targets and partitions", arg)
		}
		if !p.Subtract {
			p.Subset = append(p.Subset, subsets...)
		}
		patterns = append(patterns, p)
	}
	return patterns, nil
}

// meant says what a person may have meant by an argument that is no pattern.
func meant(g *graph.Graph, arg string) string {
	name, partition, hasPartition := strings.Cut(arg, "@")
	if arg == "." || arg == "..." || arg == "./..." {
		return "; write //... for everything"
	}
	for _, n := range g.Nodes {
		switch l := n.Target.Label; {
		case !hasPartition && name == l.Name:
			return fmt.Sprintf("; did you mean %s?", l)
		case hasPartition && !strings.Contains(partition, "=") && (name == l.String() || name == ":"+l.Name) && len(n.Target.PartitionBy) == 1:
			return fmt.Sprintf("; did you mean %s@%s=%s?", l, n.Target.PartitionBy[0], partition)
		}
	}
	return ""
}

// selectTarget finds the one target that an argument names, with the partitions that it gives.
func (a *app) selectTarget(g *graph.Graph, arg string) (graph.Selected, error) {
	selected, err := a.selectPatterns(g, []string{arg}, nil)
	if err != nil {
		return graph.Selected{}, err
	}
	if len(selected) != 1 {
		return graph.Selected{}, usagef("%s means %s; name one", arg, plural(len(selected), "target"))
	}
	return selected[0], nil
}

// selectOne finds the one target and the one partition that an argument names.
func (a *app) selectOne(g *graph.Graph, arg string) (graph.Selected, error) {
	sel, err := a.selectTarget(g, arg)
	if err == nil && len(sel.Partitions) != 1 {
		err = usagef("%s means %s; name one, such as %s", arg, plural(len(sel.Partitions), "partition"), newest(sel))
	}
	return sel, err
}

// completeLabels completes labels for shells.
func (a *app) completeLabels(_ *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
	ws, _, _, err := a.loadWorkspace()
	if err != nil || ws == nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var out []string
	for _, t := range ws.Targets {
		for _, text := range []string{t.Label.String(), t.Label.Short(a.pkg())} {
			if strings.HasPrefix(text, start) {
				out = append(out, text+"\t"+t.Description)
				break
			}
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// printJSON writes one indented JSON value.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) progressFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.progress, "progress", "auto", "how to show progress: "+strings.Join(ui.Modes(), ", "))
}

// lockFlag is for commands that write to the store.
func (a *app) lockFlag(c *cobra.Command) {
	c.Flags().DurationVar(&a.lockWait, "lock-timeout", 0, "how long to wait for another dpb that works on the same, such as 10m; default: as long as its job takes")
}

func (a *app) sandboxFlag(c *cobra.Command) {
	c.Flags().StringVar(&a.sandbox, "sandbox", string(sandbox.Auto), "isolate jobs: auto (where this machine can), require (take no result made without), off")
}

// sandboxMode reads the flag, which not all commands have.
func (a *app) sandboxMode() (sandbox.Mode, error) {
	mode := cmp.Or(sandbox.Mode(a.sandbox), sandbox.Auto)
	if !slices.Contains(sandbox.Modes(), mode) {
		return "", usagef("--sandbox is auto, require or off, not %q", a.sandbox)
	}
	return mode, nil
}

func (a *app) jsonFlag(c *cobra.Command) {
	c.Flags().BoolVar(&a.json, "json", false, "print JSON for programs")
}
