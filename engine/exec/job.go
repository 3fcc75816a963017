// Package exec runs programs: it finds and identifies them, stages a directory that holds what a job declares, runs the job and collects its outputs.
package exec

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// How far a job is kept from what it did not declare, as it is recorded with a result.
const (
	Isolated  = "namespaces"          // it sees what it declares, and system directories
	Connected = "namespaces, network" // likewise, and it shares the machine's network, as it declares
	Separate  = "directory"           // it has a directory and an environment of its own, and can reach all that its user can
)

// Job is a command at one partition.
type Job struct {
	Target    *engine.Target
	Partition engine.Partition
	Dir       string // empty, the job's own
	Code      []engine.CodeFile
	Inputs    []Input
	Programs  Programs
	Kill      context.Context // when it is done, the job is killed without being asked to end
	Secret    func(name string) (string, bool)
	Box       *sandbox.Box // nil: the job is not isolated
	Root      string       // of the workspace, to tell what a job misses

	large []sandbox.Mount // files of inputs that are shown, and not copied
}

// Isolation says how far a job of a target is kept from what it did not declare. Without a box it is not.
func Isolation(t *engine.Target, box *sandbox.Box) string {
	switch {
	case box == nil:
		return Separate
	case t.Network:
		return Connected
	}
	return Isolated
}

// Input is what a job reads under one name.
type Input struct {
	Name  string
	File  string // base name if the job sees one file, else ""
	Parts []Part
}

// Part is one partition of an input.
type Part struct {
	Partition engine.Partition
	Tree      cache.Tree
}

// tempDir is a job's place for scratch, and logFile what it says, beside ws, in and out.
const tempDir, logFile = "tmp", "log"

// Stage fills a job's directory with code and inputs, from the store.
func Stage(ctx context.Context, store *disk.Store, j *Job) error {
	for _, d := range []string{engine.JobInputs, engine.JobOutputs, tempDir, path.Dir(engine.JobMetrics), path.Join(engine.JobWorkspace, j.Target.Label.Pkg)} {
		if err := mkdir(filepath.Join(j.Dir, filepath.FromSlash(d))); err != nil {
			return err
		}
	}
	if err := j.Programs.stage(j.Dir); err != nil {
		return err
	}
	for _, c := range j.Code {
		mode := fs.FileMode(0o444)
		if c.Exec {
			mode = 0o555
		}
		if err := place(ctx, store, c.Digest, filepath.Join(j.Dir, engine.JobWorkspace, filepath.FromSlash(c.Path)), mode); err != nil {
			return err
		}
	}
	for _, in := range j.Inputs {
		if err := stageInput(ctx, store, j, in); err != nil {
			return fmt.Errorf("input %s: %w", in.Name, err)
		}
	}
	return makeOutputFolders(j)
}

// mkdir is MkdirAll of a folder that most likely is not there, in one that is: it takes fewer calls.
func mkdir(dir string) error {
	if os.Mkdir(dir, 0o777) == nil {
		return nil
	}
	return os.MkdirAll(dir, 0o777)
}

func place(ctx context.Context, store *disk.Store, d cache.Digest, file string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
		return err
	}
	return store.CopyTo(ctx, d, file, mode)
}

func stageInput(ctx context.Context, store *disk.Store, j *Job, in Input) error {
	dir := filepath.Join(j.Dir, engine.JobInputs, in.Name)
	if err := mkdir(dir); err != nil {
		return err
	}
	for _, p := range in.Parts {
		tree, at := p.Tree, filepath.Join(dir, filepath.FromSlash(p.Partition.Path()))
		if in.File != "" {
			file := tree.Entries[0]
			file.Path, file.Kind = in.File, cache.File
			tree, at = cache.Tree{Entries: []cache.Entry{file}}, dir
		}
		tree, err := j.show(ctx, store, tree, at)
		if err != nil {
			return err
		}
		if _, err := store.Materialize(ctx, tree, at); err != nil {
			return err
		}
	}
	return nil
}

// A file of an input that has largeSize bytes or more is shown to an isolated job where it lies in the store, up to maxLarge of them a job. Others are copied, which
// takes less time.
const largeSize, maxLarge = 256 << 10, 2000

// show takes the large files out of a tree that is to lie at a place, puts an empty file in the place of each, and notes what is to be seen there.
func (j *Job) show(ctx context.Context, store *disk.Store, t cache.Tree, at string) (cache.Tree, error) {
	if j.Box == nil {
		return t, nil
	}
	var rest []cache.Entry
	for _, e := range t.Entries {
		if e.Kind != cache.File || e.Size < largeSize || len(j.large) == maxLarge {
			rest = append(rest, e)
			continue
		}
		if err := store.Verify(ctx, e.Digest); err != nil {
			return t, err
		}
		file := filepath.Join(at, filepath.FromSlash(e.Path))
		if err := os.MkdirAll(filepath.Dir(file), 0o777); err != nil {
			return t, err
		}
		if err := os.WriteFile(file, nil, 0o444); err != nil {
			return t, err
		}
		rel, err := filepath.Rel(j.Dir, file)
		if err != nil {
			return t, err
		}
		j.large = append(j.large, sandbox.Mount{From: store.BlobPath(e.Digest), At: path.Join(boxDir, filepath.ToSlash(rel))})
	}
	return cache.Tree{Entries: rest}, nil
}

// makeOutputFolders makes the folders that a job may write into, so that it need not.
func makeOutputFolders(j *Job) error {
	for _, o := range j.Target.Outputs {
		dir := outputPath(j, o)
		if o.Shape == engine.OneFile {
			dir = filepath.Dir(dir)
		}
		if err := os.MkdirAll(dir, 0o777); err != nil {
			return err
		}
	}
	return nil
}

// outputPath is the file of a one-file output, else the folder.
func outputPath(j *Job, o *engine.Output) string {
	return filepath.Join(j.Dir, engine.JobOutputs, filepath.FromSlash(pathInOutputs(o)))
}

func pathInOutputs(o *engine.Output) string {
	if o.Shape == engine.Parts {
		return path.Dir(o.Path)
	}
	return path.Clean(o.Path)
}

// paths says where the job finds inputs and outputs, relative to the folder that it starts in.
func (j *Job) paths() engine.Paths {
	p := engine.Paths{}
	for _, in := range j.Inputs {
		p["input."+in.Name] = engine.JobPath(j.Target.Label.Pkg, engine.JobInputs, in.Name, in.File)
	}
	for _, o := range j.Target.Outputs {
		p["output."+o.Name] = engine.JobPath(j.Target.Label.Pkg, engine.JobOutputs, pathInOutputs(o))
	}
	return p
}

// Collect stores a job's outputs and the file at $DPB_METRICS. An output that is not there, and a file that no output declares, are errors.
func Collect(ctx context.Context, store *disk.Store, j *Job) ([]engine.OutputResult, cache.Digest, error) {
	out, metrics, err := collectAll(ctx, store, j)
	return out, metrics, j.masked(err)
}

func collectAll(ctx context.Context, store *disk.Store, j *Job) ([]engine.OutputResult, cache.Digest, error) {
	var metrics cache.Digest
	root, err := os.OpenRoot(j.Dir) // what the job left is not trusted: nothing outside is looked at
	if err != nil {
		return nil, metrics, err
	}
	defer root.Close()
	for _, o := range append([]*engine.Output{{}}, j.Target.Outputs...) {
		if err := inPlace(root, path.Dir(inJob(o))); err != nil {
			return nil, metrics, err
		}
	}
	if err := undeclared(j); err != nil {
		return nil, metrics, err
	}
	var out []engine.OutputResult
	for _, o := range j.Target.Outputs {
		t, err := collect(ctx, store, root, o)
		if err != nil {
			return nil, metrics, fmt.Errorf("output %s: %w", o.Name, jobsFault(err))
		}
		out = append(out, engine.OutputResult{Name: o.Name, Tree: t.Digest(), Bytes: t.Size(), Files: t.Files(), Rows: -1})
	}
	if _, err := root.Lstat(engine.JobMetrics); err != nil {
		return out, metrics, nil
	}
	if metrics, _, err = store.PutBelow(ctx, root, engine.JobMetrics); err != nil {
		err = fmt.Errorf("$DPB_METRICS: %w", jobsFault(err))
	}
	return out, metrics, err
}

// jobsFault is an error without what makes it this machine's, where the job is to blame.
func jobsFault(err error) error {
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.ELOOP) || errors.Is(err, fs.ErrNotExist) {
		return errors.New(err.Error())
	}
	return err
}

// inPlace fails if a folder that dpb made for outputs, or one above it, is none any more.
func inPlace(root *os.Root, dir string) error {
	for at := dir; at != "."; at = path.Dir(at) {
		if info, err := root.Lstat(at); err != nil || !info.IsDir() {
			return fmt.Errorf("%s, which dpb made for outputs, is no folder any more: write into it, and put no link in its place", at)
		}
	}
	return nil
}

// inJob is the place of an output in the job's directory.
func inJob(o *engine.Output) string { return path.Join(engine.JobOutputs, pathInOutputs(o)) }

func collect(ctx context.Context, store *disk.Store, root *os.Root, o *engine.Output) (cache.Tree, error) {
	at := inJob(o)
	absent := func() error {
		return fmt.Errorf("the job did not write %s: its place is output.%s, or $DPB_OUTPUT_%s", pathInOutputs(o), o.Name, strings.ToUpper(o.Name))
	}
	if o.Shape == engine.OneFile {
		t, err := store.CaptureFile(ctx, root, at, path.Base(o.Path))
		switch {
		case errors.Is(err, disk.ErrAbsent):
			err = absent()
		case errors.Is(err, disk.ErrNoFile):
			err = fmt.Errorf("%s is not a regular file", pathInOutputs(o))
		case err != nil:
			err = fmt.Errorf("%s: %w", pathInOutputs(o), err)
		}
		return t, err
	}
	if _, err := root.Lstat(at); err != nil {
		return cache.Tree{}, absent()
	}
	if err := inPlace(root, at); err != nil {
		return cache.Tree{}, err
	}
	if o.Shape == engine.Parts {
		if err := noLinks(root, at); err != nil {
			return cache.Tree{}, err
		}
	}
	t, err := store.Capture(ctx, root, at)
	if err == nil && len(t.Entries) == 0 {
		err = fmt.Errorf("the job wrote nothing into %s", pathInOutputs(o))
	}
	return t, err
}

// noLinks fails if there is a link among the parts of a table: SQL would pass over it, and a program would read it.
func noLinks(root *os.Root, dir string) error {
	f, err := root.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	for _, e := range entries {
		if e.Type()&fs.ModeSymlink != 0 {
			return fmt.Errorf("%s is a link, and the parts of a table are files: write a copy", legible(e.Name()))
		}
	}
	return err
}

// undeclared fails if there is a file in the output directory that belongs to no output.
func undeclared(j *Job) error {
	root := filepath.Join(j.Dir, engine.JobOutputs)
	found := beside(j)
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == root {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		switch belongs(j.Target.Outputs, rel, d.IsDir()) {
		case theirs:
			if d.IsDir() {
				return filepath.SkipDir
			}
		case nobodys:
			found = append(found, legible(rel))
			if d.IsDir() {
				return filepath.SkipDir
			}
		}
		return nil
	})
	if err != nil || len(found) == 0 {
		return err
	}
	more := ""
	if n := len(found) - 3; n > 0 {
		more = fmt.Sprintf(" and %d more", n)
		found = found[:3]
	}
	return fmt.Errorf("the job wrote files that no output declares: %s%s; declare an output for them, or write them to $TMPDIR", strings.Join(found, ", "), more)
}

// beside lists what a command put into its directory that has no place there.
func beside(j *Job) (found []string) {
	if j.Target.Kind != engine.Command {
		return nil
	}
	known := []string{engine.JobWorkspace, engine.JobInputs, engine.JobOutputs, path.Dir(engine.JobMetrics), tempDir, toolsDir, binDir}
	entries, _ := os.ReadDir(j.Dir)
	for _, e := range entries {
		if !slices.Contains(known, e.Name()) && !strings.HasPrefix(e.Name(), logFile) { // of which there may be a masked copy
			found = append(found, "../"+legible(e.Name()))
		}
	}
	return found
}

// legible quotes a file's name unless it is plain: messages are recorded and printed, and a name may hold any bytes.
func legible(name string) string {
	if quoted := strconv.Quote(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

type belonging uint8

const (
	nobodys belonging = iota
	theirs            // an output's, with all below
	above             // a folder in which an output lies
)

func belongs(outputs []*engine.Output, rel string, isDir bool) belonging {
	above_ := slices.ContainsFunc(outputs, func(o *engine.Output) bool { return strings.HasPrefix(o.Path, rel+"/") })
	for _, o := range outputs {
		switch at := pathInOutputs(o); o.Shape {
		case engine.OneFile, engine.Folder:
			if rel == at {
				return theirs
			}
		case engine.Parts:
			if ok, _ := path.Match(o.Path, rel); ok && !isDir {
				return theirs
			}
		}
	}
	if above_ && isDir {
		return above
	}
	return nobodys
}
