// Package engine is the vocabulary of dpb: labels, targets, partitions, actions, versions and problems, as plain values without I/O.
package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// Label names a target or a source: the package's path from the workspace root and a name in it.
type Label struct {
	Pkg  string // slash-separated, "" for the workspace root
	Name string
}

// String writes the one full form, //pkg:name.
func (l Label) String() string { return "//" + l.Pkg + ":" + l.Name }

// At writes the label with a partition: //plays:plays@day=2017-06-15; without one, the label alone.
func (l Label) At(partition string) string {
	if partition == "" {
		return l.String()
	}
	return l.String() + "@" + partition
}

// Short writes the label as it would be written in package from.
func (l Label) Short(from string) string {
	if l.Pkg == from {
		return ":" + l.Name
	}
	return l.String()
}

// IsZero says that no label was set.
func (l Label) IsZero() bool { return l == Label{} }

// Compare orders labels by package, then name.
func (l Label) Compare(m Label) int {
	return cmp.Or(cmp.Compare(l.Pkg, m.Pkg), cmp.Compare(l.Name, m.Name))
}

// Ref is a label with the output of it that is meant: //pkg:target.output. Output is "" where the text named none.
type Ref struct {
	Label
	Output     string
	Quarantine bool // the rows that were rejected of the output: //pkg:target.output.quarantine
}

func (r Ref) String() string {
	s := r.Label.String()
	if r.Output != "" {
		s += "." + r.Output
	}
	if r.Quarantine {
		s += quarantineSuffix
	}
	return s
}

const quarantineSuffix = ".quarantine"

// reserved names stand for something else in patterns and references.
var reserved = map[string]string{"all": "a pattern for every target of a package", "quarantine": "the rejected rows of an output"}

// BuiltinRules are the names of rules that need no expect block, and which no expect block on an output may have.
var BuiltinRules = []string{RuleColumns, RuleKey, RuleMetric, RuleReferences, RuleRejected}

// CheckName says why name can't name a target, source, input, output, partition or rule, or nil.
func CheckName(name string) error {
	if !isName(name) {
		return fmt.Errorf("%q is no name: want a lower-case letter, then lower-case letters, digits and underscores", name)
	}
	if why, ok := reserved[name]; ok {
		return fmt.Errorf("%q is reserved: it means %s", name, why)
	}
	return nil
}

func isName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_'):
		default:
			return false
		}
	}
	return s != ""
}

// ParseLabel reads //pkg:name, //pkg (= //pkg:last part of pkg) and :name, the last relative to package from.
func ParseLabel(s, from string) (Label, error) {
	r, err := ParseRef(s, from)
	switch {
	case err == nil && r.Quarantine:
		return Label{}, fmt.Errorf("label %q: a quarantine can't be named here", s)
	case err == nil && r.Output != "":
		return Label{}, fmt.Errorf("label %q: an output can't be named here", s)
	}
	return r.Label, err
}

// ParseRef reads a label that may name one output, //pkg:target.output, or what was rejected of it, //pkg:target.output.quarantine.
func ParseRef(s, from string) (Ref, error) {
	bad := func(why string) (Ref, error) { return Ref{}, fmt.Errorf("label %q: %s", s, why) }
	pkg, name, found := from, "", false
	switch {
	case strings.HasPrefix(s, "//"):
		pkg, name, found = strings.Cut(s[2:], ":")
		if !found {
			if pkg == "" {
				return bad("a name is missing after //")
			}
			name = pkg[strings.LastIndexByte(pkg, '/')+1:]
		}
	case strings.HasPrefix(s, ":"):
		name = s[1:]
	default:
		return bad("want //package:name, or :name in the same package")
	}
	if err := checkPackage(pkg); err != nil {
		return bad(err.Error())
	}
	name, quarantine := strings.CutSuffix(name, quarantineSuffix)
	name, output, dotted := strings.Cut(name, ".")
	if err := CheckName(name); err != nil {
		return bad(err.Error())
	}
	if dotted && !isName(output) {
		return bad(fmt.Sprintf("%q is no output's name", output))
	}
	return Ref{Label{pkg, name}, output, quarantine}, nil
}

func checkPackage(pkg string) error {
	if pkg == "" {
		return nil
	}
	for _, part := range strings.Split(pkg, "/") {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("package path %q has an empty or dotted part", pkg)
		}
		if strings.ContainsAny(part, ":@#*=,\\ \t\n") || part == "..." {
			return fmt.Errorf("package path %q: %q can't name a package", pkg, part)
		}
	}
	return nil
}

// Pattern selects labels: one label, every target of a package (//p:all), or all below a folder (//p/..., //...).
type Pattern struct {
	Label             // Name is "" for all of a package
	Below    bool     // also packages below Pkg
	Subtract bool     // -//p/...
	Output   string   // //p:t.output
	Subset   []Subset // after @
	Version  string   // after #, the first characters of a version's id
}

// Subset restricts a dimension to one value or to an inclusive range of them; an open side of a range is "".
type Subset struct {
	Dimension string
	From, To  string // From == To for one value
}

// ParsePattern reads what a user writes on the command line or in visibility; from is the package that ":name" is relative to.
func ParsePattern(s, from string) (Pattern, error) {
	var p Pattern
	rest, version, versioned := strings.Cut(s, "#")
	if versioned && !isHex(version) {
		return p, fmt.Errorf("pattern %q: after # come the first characters of a version's id (0-9, a-f)", s)
	}
	p.Version = version
	rest, subset, hasSubset := strings.Cut(rest, "@")
	if hasSubset {
		var err error
		if p.Subset, err = ParseSubset(subset); err != nil {
			return p, fmt.Errorf("pattern %q: %w", s, err)
		}
	}
	rest, p.Subtract = strings.CutPrefix(rest, "-")
	if pkg, ok := strings.CutSuffix(rest, "..."); ok && strings.HasPrefix(pkg, "//") && (pkg == "//" || strings.HasSuffix(pkg, "/")) {
		p.Pkg, p.Below = strings.TrimSuffix(pkg[2:], "/"), true
		if err := checkPackage(p.Pkg); err != nil {
			return p, fmt.Errorf("pattern %q: %w", s, err)
		}
		return p, nil
	}
	if pkg, ok := strings.CutSuffix(rest, ":all"); ok {
		p.Pkg = from
		if pkg != "" {
			var found bool
			if p.Pkg, found = strings.CutPrefix(pkg, "//"); !found {
				return p, fmt.Errorf("pattern %q: want //package:all or :all", s)
			}
		}
		if err := checkPackage(p.Pkg); err != nil {
			return p, fmt.Errorf("pattern %q: %w", s, err)
		}
		return p, nil
	}
	ref, err := ParseRef(rest, from)
	if err == nil && ref.Quarantine {
		err = fmt.Errorf("pattern %q: a quarantine is read by inputs, and can't be selected", s)
	}
	p.Label, p.Output = ref.Label, ref.Output
	return p, err
}

func isHex(s string) bool {
	return s != "" && strings.Trim(s, "0123456789abcdef") == ""
}

// Match says whether the pattern selects l, regardless of Subtract and Subset.
func (p Pattern) Match(l Label) bool {
	switch {
	case p.Below:
		return p.Pkg == "" || l.Pkg == p.Pkg || strings.HasPrefix(l.Pkg, p.Pkg+"/")
	case p.Name == "":
		return l.Pkg == p.Pkg
	}
	return l == p.Label
}

// String writes the pattern in its one form.
func (p Pattern) String() string {
	var b strings.Builder
	if p.Subtract {
		b.WriteByte('-')
	}
	switch {
	case p.Below && p.Pkg == "":
		b.WriteString("//...")
	case p.Below:
		b.WriteString("//" + p.Pkg + "/...")
	case p.Name == "":
		b.WriteString("//" + p.Pkg + ":all")
	default:
		b.WriteString(Ref{Label: p.Label, Output: p.Output}.String())
	}
	for i, s := range p.Subset {
		b.WriteByte("@,"[min(i, 1)])
		b.WriteString(s.String())
	}
	if p.Version != "" {
		b.WriteString("#" + p.Version)
	}
	return b.String()
}

func (s Subset) String() string {
	if s.From == s.To {
		return s.Dimension + "=" + s.From
	}
	return s.Dimension + "=" + s.From + ".." + s.To
}

// Selects says whether patterns mean a partition, by the words alone: all that match less what is subtracted, as graph.Select does with those that there are.
func Selects(patterns []Pattern, label Label, partition string) bool {
	selected := false
	for _, p := range patterns {
		if p.Match(label) && p.holds(partition) {
			if p.Subtract {
				return false
			}
			selected = true
		}
	}
	return selected
}

// holds says whether a partition lies in all subsets. Texts of one unit of time are in the order of time.
func (p Pattern) holds(partition string) bool {
	for _, s := range p.Subset {
		found := false
		for value := range strings.SplitSeq(partition, ",") {
			name, text, _ := strings.Cut(value, "=")
			found = found || name == s.Dimension && s.From <= text && (s.To == "" || text <= s.To)
		}
		if !found {
			return false
		}
	}
	return true
}

// ParseSubset reads what stands after @: day=2017-06-01..2017-06-07,country=DE.
func ParseSubset(s string) ([]Subset, error) {
	var out []Subset
	for _, part := range strings.Split(s, ",") {
		dim, value, ok := strings.Cut(part, "=")
		if !ok || !isName(dim) || value == "" {
			return nil, fmt.Errorf("%q: want dimension=value or dimension=first..last", part)
		}
		for _, o := range out {
			if o.Dimension == dim {
				return nil, fmt.Errorf("%q: dimension %s is given twice", s, dim)
			}
		}
		from, to, ranged := strings.Cut(value, "..")
		if !ranged {
			to = from
		}
		if ranged && from == to {
			return nil, fmt.Errorf("%q: a range needs two different ends; write %s=%s for one value", part, dim, from)
		}
		out = append(out, Subset{dim, from, to})
	}
	return out, nil
}

// Suggest returns the candidate that a person most likely meant by name, or "" if none is near: one that differs in few letters, in case, or in their order.
func Suggest(name string, candidates []string) string {
	if len(name) < 2 {
		return ""
	}
	best, distance := "", min(4, 2+len(name)/3)
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		d := levenshtein.Distance(strings.ToLower(name), strings.ToLower(c), nil)
		if sameLetters(name, c) {
			d = min(d, 1)
		}
		if d < distance {
			best, distance = c, d
		}
	}
	return best
}

// sameLetters is for letters that changed places: "dya" for "day".
func sameLetters(a, b string) bool {
	x, y := []byte(a), []byte(b)
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}
