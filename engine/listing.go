package engine

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Listing is the path of a source turned around: it tells from the path of a file which partition that may belong to.
type Listing struct {
	// Glob matches what may tell a partition: the path up to its last part that depends on one, with all that depends on one left open.
	Glob  string
	parts []listedPart
	dims  []*Dimension // that the path depends on
}

// listedPart is what stands between two slashes.
type listedPart struct {
	glob   string
	read   *regexp.Regexp // nil if it tells nothing
	fields []field        // by group of read
}

// field is what a group of characters says of a dimension: its value, or a part of the time at which that begins.
type field struct {
	dim  *Dimension
	what byte // wholeValue, or the letter of date() for a year, month, day or hour; others say nothing
}

const wholeValue = '='

// NewListing turns a path around. The error says what in it does not tell which partition a file belongs to.
func NewListing(t Text, dims []*Dimension) (*Listing, error) {
	r := &pathReader{}
	for _, s := range t {
		if err := r.segment(s, dims); err != nil {
			return nil, err
		}
	}
	if err := r.endPart(); err != nil {
		return nil, err
	}
	for len(r.parts) > 0 && r.parts[len(r.parts)-1].read == nil { // what follows is matched with the values in place
		r.parts = r.parts[:len(r.parts)-1]
	}
	l := &Listing{parts: r.parts}
	if err := l.check(); err != nil {
		return nil, err
	}
	var globs []string
	for _, p := range l.parts {
		globs = append(globs, p.glob)
	}
	if l.Glob = path.Join(globs...); r.absolute {
		l.Glob = "/" + l.Glob
	}
	return l, nil
}

// check makes sure that each dimension can be read, and that it is clear which part of a path is which.
func (l *Listing) check() error {
	deep, told := 0, map[*Dimension]string{}
	for _, p := range l.parts {
		switch {
		case p.glob == "**":
			deep++
		case p.read == nil && strings.Count(p.glob, "{") != strings.Count(p.glob, "}"):
			return errors.New("a slash stands in its braces")
		}
		for _, f := range p.fields {
			if !slices.Contains(l.dims, f.dim) {
				l.dims = append(l.dims, f.dim)
			}
			told[f.dim] += string(f.what)
		}
	}
	if deep > 1 {
		return errors.New("** stands in it more than once before what depends on the partition")
	}
	for _, d := range l.dims {
		for _, letter := range fieldsOf[d.Unit] {
			if !strings.ContainsAny(told[d], string([]rune{wholeValue, letter})) {
				return fmt.Errorf("it does not tell the whole %s", d.Name)
			}
		}
	}
	return nil
}

// fieldsOf are the letters of date() that name a partition of each unit: those of the time at which it begins.
var fieldsOf = [...]string{NoUnit: string(wholeValue), Hour: "YMDh", Day: "YMD", Week: "YMD", Month: "YM", Quarter: "YM", Year: "Y"}

// pathReader reads a path segment by segment, and cuts it at its slashes.
type pathReader struct {
	parts    []listedPart
	absolute bool
	// Of the part whose end is not reached yet:
	glob, source strings.Builder
	fields       []field
	loose        int // how many pieces may be of any length
}

func (r *pathReader) segment(s Segment, dims []*Dimension) error {
	switch {
	case s.Eval != nil && s.Layout == "":
		return errors.New(`it is computed in a way that can't be read back; ${partition.NAME} and date("YYYY/MM/DD", partition.NAME) can`)
	case s.Dimension == "":
		return r.literal(s.Literal)
	}
	k := slices.IndexFunc(dims, func(d *Dimension) bool { return d.Name == s.Dimension })
	if k < 0 {
		return fmt.Errorf("there is no partition %q", s.Dimension)
	}
	if s.Layout != "" {
		return r.layout(dims[k], s.Layout)
	}
	r.value(dims[k])
	return nil
}

func (r *pathReader) literal(text string) error {
	for _, c := range text {
		switch c {
		case '/':
			if err := r.endPart(); err != nil {
				return err
			}
			continue
		case '*':
			r.loose++
			r.source.WriteString(".*")
		default:
			r.source.WriteString(regexp.QuoteMeta(string(c)))
		}
		r.glob.WriteRune(c)
	}
	return nil
}

var digit = regexp.MustCompile("[0-9]")

func (r *pathReader) value(d *Dimension) {
	if d.Unit == NoUnit {
		r.loose++
		r.field(field{d, wholeValue}, "[A-Za-z0-9_.+-]+") // as CheckValue takes them
		return
	}
	r.field(field{d, wholeValue}, digit.ReplaceAllString(regexp.QuoteMeta(d.Unit.Example()), "[0-9]"))
}

func (r *pathReader) field(f field, pattern string) {
	r.glob.WriteByte('*')
	r.source.WriteString("(" + pattern + ")")
	r.fields = append(r.fields, f)
}

// layout reads what date() is to write: runs of one letter, text in single quotes, and signs that stand for themselves.
func (r *pathReader) layout(d *Dimension, layout string) error {
	for rest := layout; rest != ""; {
		c, n := rest[0], 1
		switch {
		case c == '\'':
			quoted, _, closed := strings.Cut(rest[1:], "'")
			if !closed || quoted == "" {
				return fmt.Errorf("the layout %q can't be read back", layout)
			}
			if err := r.literal(quoted); err != nil {
				return err
			}
			n = len(quoted) + 2
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
			n = len(rest) - len(strings.TrimLeft(rest, string(c)))
			if !slices.Contains([]string{"YYYY", "MM", "DD", "hh", "mm", "ss"}, rest[:n]) {
				return fmt.Errorf("%s in the layout %q can't be read back; YYYY, MM, DD, hh, mm and ss can", rest[:n], layout)
			}
			r.field(field{d, c}, fmt.Sprintf("[0-9]{%d}", n))
		default:
			if err := r.literal(rest[:1]); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

var stars = regexp.MustCompile(`\*+`)

// endPart notes what stands before a slash, or before the end.
func (r *pathReader) endPart() error {
	p := listedPart{glob: r.glob.String(), fields: r.fields}
	switch {
	case p.fields != nil && (r.loose > 1 || strings.ContainsAny(p.glob, "?[]{}")):
		return fmt.Errorf("where the %s ends and a wildcard or another value begins is not clear; it needs a folder of its own", p.fields[0].dim.Name)
	case p.fields != nil:
		p.glob = stars.ReplaceAllString(p.glob, "*") // ** would be something else
		p.read = regexp.MustCompile("^(?s:" + r.source.String() + ")$")
		r.parts = append(r.parts, p)
	case p.glob == "" && r.parts == nil:
		r.absolute = true
	case p.glob != "" && p.glob != ".":
		r.parts = append(r.parts, p)
	}
	r.glob.Reset()
	r.source.Reset()
	r.fields, r.loose = nil, 0
	return nil
}

// Partition reads the partition from a path that Glob matches; false if there is none in it. Whether files of it are there, only its own glob can tell.
func (l *Listing) Partition(name string) (Partition, bool) {
	elements := strings.Split(strings.TrimPrefix(name, "/"), "/")
	deep := slices.IndexFunc(l.parts, func(p listedPart) bool { return p.glob == "**" })
	if len(elements) != len(l.parts) && deep < 0 || len(elements) < len(l.parts)-1 {
		return nil, false
	}
	told := map[field]string{}
	for k, p := range l.parts {
		if p.read == nil {
			continue
		}
		at := k
		if deep >= 0 && k > deep {
			at = len(elements) - len(l.parts) + k
		}
		groups := p.read.FindStringSubmatch(elements[at])
		if groups == nil {
			return nil, false
		}
		for g, f := range p.fields {
			if was, twice := told[f]; twice && was != groups[g+1] {
				return nil, false
			}
			told[f] = groups[g+1]
		}
	}
	var out Partition
	for _, d := range l.dims {
		text, ok := d.read(told)
		if !ok {
			return nil, false
		}
		out = append(out, Value{d.Name, text})
	}
	return out, true
}

// read puts a value together from what a path tells.
func (d *Dimension) read(told map[field]string) (string, bool) {
	text, whole := told[field{d, wholeValue}]
	if d.Unit == NoUnit {
		return text, CheckValue(text) == nil
	}
	if !whole {
		at := [...]int{0, 1, 1, 0}
		for k, letter := range "YMDh" {
			if digits := told[field{d, byte(letter)}]; digits != "" {
				at[k], _ = strconv.Atoi(digits)
			}
		}
		text = d.Unit.Text(time.Date(at[0], time.Month(at[1]), at[2], at[3], 0, 0, 0, time.UTC))
	}
	_, err := d.Unit.Parse(text, time.UTC)
	return text, err == nil
}
