// Package lock reads and writes pipeline.lock files: what was accepted of each partition, a line each, so that version control can merge them and a clone can be judged
// without any data.
package lock

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/engine"
)

// FileName is what a lock is called, beside the pipeline.hcl of its package.
const FileName = engine.LockFile

// header is the first line of each lock. Its number changes with the meaning of the others.
const header = "# dpb lock 1: what was accepted of each partition. Written by dpb lock, which also resolves a merge conflict."

const headerPrefix = "# dpb lock "

// Kind is what a line says of its target or partition.
type Kind string

// The kinds of lines.
const (
	Recipe   Kind = "recipe"   // of a target: what its key is made of, the same for all partitions
	Fresh    Kind = "fresh"    // what current names: a version that passed, or was accepted
	Absent   Kind = "absent"   // there is nothing: a source has no files, a target no accepted version
	Held     Kind = "held"     // a version that rules hold, beside the one that current names
	Refused  Kind = "refused"  // an input that rules refuse, likewise
	Accepted Kind = "accepted" // a person's word on what rules held or refused
)

// Place is a target at a partition; of a recipe, without one.
type Place struct {
	Label     engine.Label
	Partition string
}

func (p Place) String() string { return p.Label.At(p.Partition) }

// Action is what a lock says of an action: of one version, or of an input that is refused.
type Action struct {
	Key   cache.ActionKey     `json:"key,omitzero"`
	Rules cache.SectionDigest `json:"rules,omitzero"` // that it was judged by
	// Outputs are the trees as consumers read them; what was rejected, and what was made before that, under names of their own.
	Outputs []Output `json:"outputs,omitempty"`
	// Parts are the beginnings of the digests that the key is made of, by name: enough to say what changed, and nothing else.
	Parts map[string]string `json:"parts,omitempty"`
	Facts map[string]string `json:"facts,omitempty"` // rows and metrics, which dpb ci compares
	Input string            `json:"input,omitempty"` // that is refused
	// Observed is when a result with network access was made, from which valid_for counts; zero of others.
	Observed time.Time        `json:"observed,omitzero"`
	Findings []engine.Finding `json:"findings,omitempty"`
}

// Output is one tree of an action. Columns are given where its reader needs them.
type Output struct {
	Name    string           `json:"name"`
	Tree    cache.TreeDigest `json:"tree"`
	Columns []engine.Column  `json:"columns,omitempty"`
}

// TargetRecipe is what a lock says of a target.
type TargetRecipe struct {
	Digest  string            `json:"digest"`  // the beginning of that of the key's part, as in Action.Parts
	Entries map[string]string `json:"entries"` // beginnings of the digests of what that part is made of, by name
	Tools   map[string]string `json:"tools,omitempty"`
	Engine  string            `json:"engine,omitempty"`
}

// Entry is what one line says: one of its three bodies is set, by the kind.
type Entry struct {
	Place
	Kind     Kind
	Action   *Action
	Recipe   *TargetRecipe
	Accepted *engine.Acceptance
}

// Set is what all locks of a workspace say.
type Set struct {
	Entries    []Entry // in the order of files and lines
	Conflicted []string
	at         map[Place][]int
}

// Short is the beginning of a digest, as locks write those that explain and don't decide.
func Short(digest []byte) string { return fmt.Sprintf("%x", digest[:min(len(digest), 6)]) }

// Of lists the entries of a kind at a place. There are several only after a merge.
func (s *Set) Of(p Place, kinds ...Kind) (out []*Entry) {
	for _, k := range s.at[p] {
		if e := &s.Entries[k]; slices.Contains(kinds, e.Kind) {
			out = append(out, e)
		}
	}
	return out
}

// add appends an entry, unless it is there already.
func (s *Set) add(e Entry) {
	if s.at == nil {
		s.at = map[Place][]int{}
	}
	s.at[e.Place] = append(s.at[e.Place], len(s.Entries))
	s.Entries = append(s.Entries, e)
}

// There says whether any package has a lock.
func There(root string, packages []*engine.Package) bool {
	return slices.ContainsFunc(packages, func(p *engine.Package) bool {
		_, err := os.Lstat(File(root, p.Path))
		return err == nil
	})
}

// File is where the lock of a package lies.
func File(root, pkg string) string { return filepath.Join(root, filepath.FromSlash(pkg), FileName) }

// Read reads the locks of packages. One that is not there says nothing.
func Read(root string, packages []*engine.Package) (*Set, error) {
	s := &Set{}
	for _, p := range packages {
		body, err := os.ReadFile(File(root, p.Path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = s.Parse(p.Path, body)
		}
		if err != nil {
			return nil, &Error{File(root, p.Path), err}
		}
	}
	return s, nil
}

// Error says what is wrong with what a lock says.
type Error struct {
	File string // or several
	Err  error
}

func (e *Error) Error() string { return e.File + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Whole is nil unless a lock holds both sides of a merge.
func (s *Set) Whole() error {
	if s.Conflicted == nil {
		return nil
	}
	return &Error{strings.Join(s.Conflicted, ", "), errors.New("a merge left both sides; dpb lock resolves it")}
}

// conflictMarks begin the lines that a merge puts between the two sides, and what both come from in the style diff3.
var conflictMarks = []string{"<<<<<<<", "|||||||", "=======", ">>>>>>>"}

// Parse adds what the lock of a package says. Of a merge conflict it takes both sides, and not what they come from.
func (s *Set) Parse(pkg string, body []byte) error {
	lines := bufio.NewScanner(bytes.NewReader(body))
	lines.Buffer(nil, 1<<30)
	number, base := 0, false
	for lines.Scan() {
		number++
		text := strings.TrimSuffix(lines.Text(), "\r")
		if k := slices.IndexFunc(conflictMarks, func(mark string) bool { return strings.HasPrefix(text, mark) }); k >= 0 {
			base = k == 1
			s.conflict(pkg)
			continue
		}
		switch {
		case base || text == "":
			continue
		case strings.HasPrefix(text, "#"):
			if strings.HasPrefix(text, headerPrefix) && !strings.HasPrefix(text, headerPrefix+"1:") {
				return fmt.Errorf("line %d: it was written by a newer dpb, which this one can't read: install that", number)
			}
			continue
		}
		e, err := parseLine(pkg, text)
		if err != nil {
			return fmt.Errorf("line %d: %w; take the line away, or have the file as it was written", number, err)
		}
		s.add(e)
	}
	return lines.Err()
}

func (s *Set) conflict(pkg string) {
	file := strings.TrimPrefix(pkg+"/"+FileName, "/")
	if !slices.Contains(s.Conflicted, file) {
		s.Conflicted = append(s.Conflicted, file)
	}
}

func parseLine(pkg, text string) (Entry, error) {
	name, rest, _ := strings.Cut(text, " ")
	kind, body, ok := strings.Cut(rest, " ")
	name, partition, _ := strings.Cut(name, "@")
	e := Entry{Place: Place{engine.Label{Pkg: pkg, Name: name}, partition}, Kind: Kind(kind)}
	if err := engine.CheckName(name); err != nil || !ok {
		return e, errors.New("it is no line of a lock")
	}
	var into any
	switch e.Kind {
	case Recipe:
		e.Recipe = &TargetRecipe{}
		into = e.Recipe
	case Fresh, Absent, Held, Refused:
		e.Action = &Action{}
		into = e.Action
	case Accepted:
		e.Accepted = &engine.Acceptance{}
		into = e.Accepted
	default:
		return e, fmt.Errorf("%q is nothing that a lock says", kind)
	}
	d := json.NewDecoder(strings.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil || d.More() {
		return e, fmt.Errorf("what it says of %s can't be read", e.Place)
	}
	if a := e.Accepted; a != nil { // where it stands says what it is about
		a.Label, a.Partition = e.Label, e.Partition
	}
	return e, nil
}

// line writes an entry.
func (e Entry) line() (string, error) {
	var body any
	switch {
	case e.Recipe != nil:
		body = e.Recipe
	case e.Action != nil:
		body = e.Action
	default:
		body = e.Accepted
	}
	var b bytes.Buffer
	j := json.NewEncoder(&b)
	j.SetEscapeHTML(false)
	if err := j.Encode(body); err != nil {
		return "", err
	}
	name := e.Label.Name
	if e.Partition != "" {
		name += "@" + e.Partition
	}
	return name + " " + string(e.Kind) + " " + b.String(), nil // which ends the line
}

// Format writes the lock of one package: sorted, so that the order of entries does not matter. It is empty if there are none.
func Format(entries []Entry) ([]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	lines := make([]string, len(entries))
	for k, e := range entries {
		var err error
		if lines[k], err = e.line(); err != nil {
			return nil, err
		}
	}
	slices.Sort(lines)
	return []byte(header + "\n" + strings.Join(slices.Compact(lines), "")), nil
}

// Write puts the lock of a package in place, in one step, and says whether that changed anything. Without entries there is no file.
func Write(root, pkg string, entries []Entry, pretend bool) (changed bool, err error) {
	file := File(root, pkg)
	body, err := Format(entries)
	if err != nil {
		return false, err
	}
	before, err := os.ReadFile(file)
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, err
	case bytes.Equal(before, body):
		return false, nil
	case pretend:
		return true, nil
	case len(body) == 0:
		return true, os.Remove(file)
	}
	return true, replace(file, body)
}

func replace(file string, body []byte) error {
	tmp := filepath.Join(filepath.Dir(file), fmt.Sprintf(".%s.%d", FileName, os.Getpid()))
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(body)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), file)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// Values are those of a dimension that partitions have here, in order.
func (s *Set) Values(dimension string) (out []string) {
	for _, e := range s.Entries {
		if e.Action == nil {
			continue
		}
		for part := range strings.SplitSeq(e.Partition, ",") {
			if value, ok := strings.CutPrefix(part, dimension+"="); ok {
				out = append(out, value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
