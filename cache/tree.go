package cache

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/zeebo/blake3"
)

// Kind says what a tree's entry is.
type Kind uint8

const (
	File Kind = iota + 1 // a regular file
	Exec                 // a regular file that its owner may execute
	Link                 // a relative symbolic link that stays inside the tree
	Dir                  // a directory with nothing in it; others follow from their files
)

var kindNames = [...]string{File: "file", Exec: "exec", Link: "link", Dir: "dir"}

func (k Kind) String() string { return kindNames[k] }

// IsFile says whether an entry of the kind has bytes.
func (k Kind) IsFile() bool { return k == File || k == Exec }

// Entry is one name in a tree.
type Entry struct {
	Path   string // slash-separated, relative, clean, valid UTF-8 without control characters
	Kind   Kind
	Digest Digest // of File and Exec
	Size   int64  // bytes, of File and Exec
	Target string // of Link
}

// Tree is an output's content: its names in the order of their bytes. File times, owners and the other mode bits are no part of it.
type Tree struct{ Entries []Entry }

const treeHeader = "dpb tree 1\n"

var treeHasher = blake3.NewDeriveKey("dpb tree v1")

// NewTree sorts entries and checks that they form a tree.
func NewTree(entries []Entry) (Tree, error) {
	t := Tree{slices.Clone(entries)}
	slices.SortFunc(t.Entries, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return t, t.Validate()
}

// Size is the sum of the sizes of the files, in bytes.
func (t Tree) Size() (n int64) {
	for _, e := range t.Entries {
		n += e.Size
	}
	return n
}

// Files counts the regular files.
func (t Tree) Files() (n int64) {
	for _, e := range t.Entries {
		if e.Kind.IsFile() {
			n++
		}
	}
	return n
}

// Digest names the tree.
func (t Tree) Digest() TreeDigest { return sumTree(t.Encode()) }

func sumTree(encoded []byte) (d TreeDigest) {
	h := treeHasher.Clone()
	h.Write(encoded)
	h.Sum(d[:0])
	return d
}

// Encode writes the canonical form: a header line, then one line an entry with its fields separated by tabs. Names hold no tabs
// or line ends (Validate), so the form is unambiguous.
func (t Tree) Encode() []byte {
	var b bytes.Buffer
	b.WriteString(treeHeader)
	for _, e := range t.Entries {
		b.WriteString(e.Kind.String())
		b.WriteByte('\t')
		switch e.Kind {
		case File, Exec:
			b.WriteString(e.Digest.String())
			b.WriteByte('\t')
			b.WriteString(strconv.FormatInt(e.Size, 10))
			b.WriteByte('\t')
		case Link:
			b.WriteString(e.Target)
			b.WriteByte('\t')
		}
		b.WriteString(e.Path)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// DecodeTree reads what Encode wrote and refuses any other bytes.
func DecodeTree(b []byte) (Tree, error) {
	rest, ok := bytes.CutPrefix(b, []byte(treeHeader))
	if !ok {
		return Tree{}, errors.New("not a tree of format 1")
	}
	var t Tree
	for len(rest) > 0 {
		line, tail, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return Tree{}, errors.New("tree: last line has no end")
		}
		e, err := decodeEntry(string(line))
		if err != nil {
			return Tree{}, err
		}
		t.Entries = append(t.Entries, e)
		rest = tail
	}
	return t, t.Validate()
}

func decodeEntry(line string) (Entry, error) {
	f := strings.Split(line, "\t")
	kind := Kind(slices.Index(kindNames[:], f[0]))
	switch {
	case kind.IsFile() && len(f) == 4:
		d, err := ParseDigest(f[1])
		if err != nil {
			return Entry{}, err
		}
		size, err := strconv.ParseInt(f[2], 10, 64)
		if err != nil || size < 0 || strconv.FormatInt(size, 10) != f[2] {
			return Entry{}, badLine(line)
		}
		return Entry{Path: f[3], Kind: kind, Digest: d, Size: size}, nil
	case kind == Link && len(f) == 3:
		return Entry{Path: f[2], Kind: Link, Target: f[1]}, nil
	case kind == Dir && len(f) == 2:
		return Entry{Path: f[1], Kind: Dir}, nil
	}
	return Entry{}, badLine(line)
}

func badLine(line string) error { return fmt.Errorf("tree: bad line %q", line) }

// Validate checks names, order, that no name lies below a file or link, and that links stay inside.
func (t Tree) Validate() error {
	names := map[string]bool{} // those seen: what lies below a name sorts after it
	last := ""
	for _, e := range t.Entries {
		if err := e.validate(); err != nil {
			return err
		}
		if last >= e.Path {
			return fmt.Errorf("tree: %q is out of order or twice there", e.Path)
		}
		last = e.Path
		for d := path.Dir(e.Path); d != "."; d = path.Dir(d) {
			if names[d] {
				return fmt.Errorf("tree: %q lies below %q, which is no directory", e.Path, d)
			}
		}
		names[e.Path] = true
	}
	return nil
}

// validate checks an entry by itself: what its kind does not have must be zero, so that equal encodings are equal trees.
func (e Entry) validate() error {
	if err := CheckName(e.Path); err != nil {
		return err
	}
	file := e.Kind.IsFile()
	switch {
	case e.Kind < File || e.Kind > Dir:
		return fmt.Errorf("tree: %q has no valid kind", e.Path)
	case e.Size < 0 || !file && (e.Size != 0 || !e.Digest.IsZero()):
		return fmt.Errorf("tree: %q has no valid size or digest", e.Path)
	case e.Kind == Link:
		return CheckLink(e.Path, e.Target)
	case e.Target != "":
		return fmt.Errorf("tree: %q is no link and leads to %q", e.Path, e.Target)
	}
	return nil
}

// maxPath bounds names and targets of links, so that a tree can be written below any folder: systems take 4096 bytes for a path. maxPart is what file systems take for a
// part of it.
const maxPath, maxPart = 2000, 255

// CheckName says why name can't stand in a tree, or nil.
func CheckName(name string) error {
	switch {
	case len(name) > maxPath:
		return fmt.Errorf("name %q… has %d bytes, and %d is the most: use shorter names, or fewer folders", name[:100], len(name), maxPath)
	case longestPart(name) > maxPart:
		return fmt.Errorf("name %q… has a part of %d bytes, and %d is the most", name[:100], longestPart(name), maxPart)
	case name == "" || name == "." || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("name %q: want a clean relative path inside the tree", name)
	case !utf8.ValidString(name):
		return fmt.Errorf("name %q: not valid UTF-8; rename the file", name)
	case strings.IndexFunc(name, isControl) >= 0:
		return fmt.Errorf("name %q: holds a control character; rename the file", name)
	}
	return nil
}

func longestPart(name string) (longest int) {
	for part := range strings.SplitSeq(name, "/") {
		longest = max(longest, len(part))
	}
	return longest
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

// CheckLink says why a link at name with this target can't stand in a tree, or nil: it must be relative and lead to a place inside.
func CheckLink(name, target string) error {
	if len(target) > maxPath {
		return fmt.Errorf("link %q leads to a target of %d bytes, and %d is the most", name, len(target), maxPath)
	}
	if target == "" || path.IsAbs(target) {
		return fmt.Errorf("link %q leads to %q: only relative links that stay inside the output are kept", name, target)
	}
	if !utf8.ValidString(target) || strings.IndexFunc(target, isControl) >= 0 {
		return fmt.Errorf("link %q: target %q holds a control character or invalid UTF-8", name, target)
	}
	// ".." is allowed at the front only: after a name, which may be a link itself, it need not lead back to where it seems to.
	up, descending := 0, false
	for _, part := range strings.Split(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if up++; descending || up > strings.Count(name, "/") {
				return fmt.Errorf("link %q leads outside the output, to %q", name, target)
			}
		default:
			descending = true
		}
	}
	return nil
}
