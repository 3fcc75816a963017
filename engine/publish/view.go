// Package publish makes versions visible where people and other programs look for them: in dpb-out.
package publish

import (
	"bytes"
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
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
)

// Dir is the folder below the root that shows what is current.
const Dir = engine.OutputDir

// View is dpb-out of one checkout. What people change or delete there comes back with the next build. It is safe for concurrent use.
type View struct {
	root   string
	store  *disk.Store
	opened time.Time // by the clock that people set

	mu    sync.RWMutex
	shown *disk.Table           // by place
	known map[engine.Label]bool // targets whose earlier outputs were looked for

	out     atomic.Pointer[disk.Dir] // dpb-out; nil until it was looked at
	glances sync.Pool

	making  sync.Mutex
	made    int           // folders in it
	private *disk.Private // where folders are made before they take their place
}

// shown is what lies at one place: a version's output at a partition.
type shown struct {
	version engine.VersionID
	files   []file // in order of name
}

// file tells whether somebody touched what dpb wrote.
type file struct {
	name  string
	stamp disk.Stamp
}

// OpenView returns the view of a checkout. State that is missing or damaged means that all is shown anew.
func OpenView(root, stateFile string, store *disk.Store) *View {
	return &View{root: root, store: store, opened: time.Now().Round(0), shown: disk.OpenTable(stateFile, magic), known: map[engine.Label]bool{},
		glances: sync.Pool{New: func() any { return &glance{} }}}
}

// place is where an output lies, below dpb-out: //p:t at p/t, and of several outputs each at p/t.OUTPUT; then a folder a dimension.
func place(label engine.Label, output string, p engine.Partition) string {
	return string(appendPlace(nil, label, output, p))
}

func appendPlace(b []byte, label engine.Label, output string, p engine.Partition) []byte {
	if label.Pkg != "" {
		b = append(append(b, label.Pkg...), '/')
	}
	b = append(b, label.Name...)
	if output != "" {
		b = append(append(b, '.'), output...)
	}
	for _, v := range p {
		b = append(append(append(append(b, '/'), v.Dimension...), '='), v.Text...)
	}
	return b
}

// places lists where a target's outputs lie, in the order of the outputs.
func places(t *engine.Target, p engine.Partition) []string {
	if len(t.Outputs) == 1 {
		return []string{place(t.Label, "", p)}
	}
	var out []string
	for _, o := range t.Outputs {
		out = append(out, place(t.Label, o.Name, p))
	}
	return out
}

// Current says whether dpb-out shows that version, untouched.
func (v *View) Current(t *engine.Target, p engine.Partition, id engine.VersionID) bool {
	g := v.glances.Get().(*glance)
	defer v.glances.Put(g)
	for _, o := range t.Outputs {
		name := o.Name
		if len(t.Outputs) == 1 {
			name = ""
		}
		g.at = appendPlace(g.at[:0], t.Label, name, p)
		if !g.shows(v, id) {
			return false
		}
	}
	return true
}

// lstat looks at a file below dpb-out. That is opened once, and again where somebody put another one in its place.
func (v *View) lstat(name []byte) (disk.Stamp, error) {
	if d := v.out.Load(); d != nil {
		if s, err := d.Lstat(name); err == nil {
			return s, nil
		}
	}
	d, err := disk.OpenDir(filepath.Join(v.root, Dir))
	if err != nil {
		return disk.Stamp{}, err
	}
	v.out.Store(d)
	return d.Lstat(name)
}

// Point makes dpb-out show a version: each output's folder is made beside the old one and then takes its place.
func (v *View) Point(ctx context.Context, t *engine.Target, p engine.Partition, version engine.Version) error {
	if err := v.forget(t); err != nil {
		return err
	}
	for k, at := range places(t, p) {
		name := t.Outputs[k].Name
		i := slices.IndexFunc(version.Outputs, func(o engine.VersionOutput) bool { return o.Name == name })
		if i < 0 {
			return fmt.Errorf("version %s has no output %s", version.ID.Short(), name)
		}
		tree, err := v.store.GetTree(ctx, version.Outputs[i].Visible)
		if err == nil {
			err = v.show(ctx, at, tree, version.ID)
		}
		if errors.Is(err, cache.ErrMissing) {
			err = v.withdraw(at) // evicted: what lies there is another version
		}
		if err != nil {
			return fmt.Errorf("%s/%s: %w", Dir, filepath.ToSlash(at), err)
		}
	}
	return nil
}

func (v *View) show(ctx context.Context, at string, tree cache.Tree, id engine.VersionID) error {
	out := filepath.Join(v.root, Dir)
	full := filepath.Join(out, at)
	if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
		return err
	}
	tmp, err := v.temp(out)
	if err != nil {
		return err
	}
	defer disk.RemoveAll(tmp)
	// Stamps are taken here, where nobody else writes: at its place another process may already have put its own. To move a folder changes nothing about its files.
	stamps, err := v.store.Materialize(ctx, tree, tmp)
	if err != nil {
		return err
	}
	files := make([]file, len(stamps))
	for k, e := range tree.Entries {
		files[k] = file{filepath.FromSlash(e.Path), stamps[k]}
	}
	if err := v.replace(at, full, tmp); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.shown.Put(at, shown{id, files}.encode())
	return nil
}

// temp makes an empty folder for what is to take its place in dpb-out. Somebody may have deleted dpb-out since the last one was made.
func (v *View) temp(out string) (string, error) {
	v.making.Lock()
	defer v.making.Unlock()
	if v.private != nil {
		dir, err := v.numbered()
		if !errors.Is(err, fs.ErrNotExist) {
			return dir, err
		}
		_ = v.private.Close() // nothing is left of it
		v.private = nil
	}
	private, err := disk.MakePrivate(out, ".new-")
	if err != nil {
		return "", err
	}
	v.private = private
	return v.numbered()
}

// numbered makes a folder in that of this process.
func (v *View) numbered() (string, error) {
	v.made++
	dir := filepath.Join(v.private.Dir, strconv.Itoa(v.made))
	return dir, os.Mkdir(dir, 0o777)
}

// replace puts the new folder where the old one lies.
func (v *View) replace(at, full, tmp string) error {
	if err := fault.At(fault.FolderMade); err != nil {
		return err
	}
	err := os.Rename(tmp, full)
	if err == nil || !errors.Is(err, fs.ErrExist) && !isNotEmpty(err) {
		return err
	}
	if err := errors.Join(exchange(tmp, full), fault.At(fault.FolderExchanged)); err != nil {
		return err
	}
	return v.keepOthers(at, tmp, full)
}

// keepOthers moves to the new folder what other targets show below the old one: //a/b:c lies below //a:b. A folder of a partition is no other target's.
func (v *View) keepOthers(at, old, new string) error {
	entries, err := os.ReadDir(old)
	if isNotEmpty(err) {
		return nil // a file lay there
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() || isPartition(e.Name()) || !v.showsIn(filepath.Join(at, e.Name())) {
			continue
		}
		if err := os.Rename(filepath.Join(old, e.Name()), filepath.Join(new, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// showsIn says whether something is shown at a place or below it.
func (v *View) showsIn(place string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	for at := range v.shown.All() {
		if rest, ok := strings.CutPrefix(at, place); ok && (rest == "" || rest[0] == filepath.Separator) {
			return true
		}
	}
	return false
}

// Retire takes away the partitions of a target that keep refuses. It goes by what lies in dpb-out, for no state tells of what was shown by a process that
// was killed. Of a target without partitions it takes nothing. set names all that keep follows from: where that is what it was, folders that nobody changed need not be listed again; a
// zero one names nothing.
func (v *View) Retire(t *engine.Target, set cache.SectionDigest, keep func(partition string) bool) error {
	for _, at := range places(t, nil) {
		if v.isTidy(at, set) {
			continue
		}
		listed, err := v.retire(at, t.PartitionBy, keep)
		if err != nil {
			return err
		}
		v.noteTidy(at, set, listed)
	}
	return nil
}

// retire takes away the partitions at an output's place that keep refuses. It returns the folders that it read, as they were before, if it found nothing to take away.
func (v *View) retire(at string, dimensions []string, keep func(partition string) bool) (listed []file, err error) {
	if len(dimensions) == 0 {
		return nil, nil
	}
	folders, listed, err := v.folders(at, dimensions)
	if err != nil {
		return nil, err
	}
	for _, folder := range folders {
		if keep(strings.ReplaceAll(folder, string(filepath.Separator), ",")) {
			continue
		}
		if err := v.withdraw(filepath.Join(at, folder)); err != nil {
			return nil, err
		}
		listed = nil
	}
	return listed, nil
}

// tidyName is where the state of what was tidied is kept: no place begins so.
func tidyName(at string) string { return "/" + at }

// isTidy says whether the folders at an output's place are those that were found to hold nothing but partitions of the set.
func (v *View) isTidy(at string, set cache.SectionDigest) bool {
	v.mu.RLock()
	b, ok := v.shown.Get(tidyName(at))
	v.mu.RUnlock()
	b, same := bytes.CutPrefix(b, set[:])
	if !ok || !same || set == (cache.SectionDigest{}) || len(b) == 0 || v.opened.Before(v.shown.Written()) { // where the clock went back a change may have the times of before
		return false
	}
	for len(b) > 0 {
		name, stamp, rest, ok := disk.CutStamped(b)
		if !ok {
			return false
		}
		if now, err := v.lstat(name); err != nil || now != stamp {
			return false
		}
		b = rest
	}
	return true
}

// noteTidy keeps the stamps of folders, if they are old enough that a later change shows.
func (v *View) noteTidy(at string, set cache.SectionDigest, listed []file) {
	settled := listed != nil && set != (cache.SectionDigest{})
	for _, f := range listed {
		settled = settled && f.stamp.Settled(v.opened)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if settled {
		v.shown.Put(tidyName(at), shown{engine.VersionID(set), listed}.encode())
	} else {
		v.shown.Delete(tidyName(at))
	}
}

// folders lists the folders of partitions at an output's place, relative to it, whoever made them, and all that it read, as it was before.
func (v *View) folders(at string, dimensions []string) (found []string, listed []file, err error) {
	found = []string{""}
	for _, dimension := range dimensions {
		var deeper []string
		for _, folder := range found {
			name := filepath.Join(at, folder)
			switch info, err := os.Lstat(filepath.Join(v.root, Dir, name)); {
			case err == nil && info.IsDir():
				listed = append(listed, file{name, disk.StampOf(info)})
			case !errors.Is(err, fs.ErrNotExist): // behind a link it may change without a trace
				listed = append(listed, file{name, disk.Stamp{}})
			}
			entries, err := v.list(name)
			if err != nil {
				return nil, nil, err
			}
			for _, e := range entries {
				if e.IsDir() && strings.HasPrefix(e.Name(), dimension+"=") {
					deeper = append(deeper, filepath.Join(folder, e.Name()))
				}
			}
		}
		found = deeper
	}
	return found, listed, nil
}

// list reads a folder below dpb-out; one that is not there is empty.
func (v *View) list(at string) ([]fs.DirEntry, error) {
	entries, err := os.ReadDir(filepath.Join(v.root, Dir, at))
	if errors.Is(err, fs.ErrNotExist) || isNotEmpty(err) {
		return nil, nil
	}
	return entries, err
}

// Withdraw takes away what dpb-out shows of a label's partition, for all outputs that the label ever had there.
func (v *View) Withdraw(label engine.Label, partition string) error {
	bases, err := v.bases(label)
	if err != nil {
		return err
	}
	folder := filepath.FromSlash(strings.ReplaceAll(partition, ",", "/"))
	for _, at := range bases {
		if err := v.withdraw(filepath.Join(at, folder)); err != nil {
			return err
		}
	}
	return nil
}

// bases lists where outputs of a label may lie: at its own place, and beside that wherever the name of an output follows.
func (v *View) bases(label engine.Label) ([]string, error) {
	out := []string{place(label, "", nil)}
	entries, err := v.list(filepath.FromSlash(label.Pkg))
	for _, e := range entries {
		if output, ok := strings.CutPrefix(e.Name(), label.Name+"."); ok {
			out = append(out, place(label, output, nil))
		}
	}
	return out, err
}

// forget takes away what a target showed of outputs that it no longer has. It is looked for once a command.
func (v *View) forget(t *engine.Target) error {
	v.mu.Lock()
	known := v.known[t.Label]
	v.known[t.Label] = true
	v.mu.Unlock()
	if known {
		return nil
	}
	bases, err := v.bases(t.Label)
	if err != nil {
		return err
	}
	has := places(t, nil)
	for _, at := range bases {
		if slices.Contains(has, at) {
			continue
		}
		_, err := v.retire(at, t.PartitionBy, func(string) bool { return false })
		if err := errors.Join(v.withdraw(at), err); err != nil {
			return err
		}
	}
	return nil
}

// drop forgets what is shown at a place, and returns it.
func (v *View) drop(at string) shown {
	v.mu.Lock()
	defer v.mu.Unlock()
	b, _ := v.shown.Get(at)
	s, _ := decode(b)
	v.shown.Delete(at)
	return s
}

// withdraw takes away what lies at a place. A partition's folder goes as a whole, as when a version takes its place. Of others only the files that dpb put
// there: what lies beside them is another target's, or somebody's.
func (v *View) withdraw(at string) error {
	s, full := v.drop(at), filepath.Join(v.root, Dir, at)
	if isPartition(at) {
		err := disk.RemoveAll(full)
		v.prune(full)
		return err
	}
	for _, f := range s.files {
		name := filepath.Join(full, f.name)
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !isNotEmpty(err) { // what people put in its place is theirs
			return err
		}
		v.prune(filepath.Dir(name))
	}
	v.prune(full)
	return nil
}

// isPartition says whether a place is that of a partition: no package, target or output has such a name.
func isPartition(at string) bool { return strings.Contains(filepath.Base(at), "=") }

// prune removes a folder below dpb-out and those around it, as long as they are empty.
func (v *View) prune(dir string) {
	for ; dir != filepath.Join(v.root, Dir); dir = filepath.Dir(dir) {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return
		}
	}
}

// Close writes the state for the next command: what this one changed goes over what others saved meanwhile.
func (v *View) Close() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return errors.Join(v.private.Close(), v.shown.Save())
}

// Paths lists where a target's outputs lie at a partition, relative to the root: the file of a one-file output, else the folder.
func Paths(t *engine.Target, p engine.Partition) []string {
	out := places(t, p)
	for k, at := range out {
		name := ""
		if t.Outputs[k].Shape == engine.OneFile {
			name = path.Base(t.Outputs[k].Path)
		}
		out[k] = path.Join(Dir, filepath.ToSlash(at), name)
	}
	return out
}

// Places lists where a target's outputs lie, for all partitions: the folders that hold them, or of a target without partitions what Paths lists.
func Places(t *engine.Target) []string {
	if len(t.PartitionBy) == 0 {
		return Paths(t, nil)
	}
	out := places(t, nil)
	for k, at := range out {
		out[k] = path.Join(Dir, filepath.ToSlash(at))
	}
	return out
}
