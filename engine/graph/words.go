package graph

import (
	"fmt"
	"strings"

	"github.com/dpb-build/dpb/engine"
)

// Words says what the edge reads: "28 to 31 days, the same country".
func (e *Edge) Words() string {
	var parts []string
	for k := range e.dims {
		parts = append(parts, e.dimensionWords(k))
	}
	for _, sp := range e.To.Set.spans {
		if !e.uses(sp) {
			parts = append(parts, fmt.Sprintf("the same for all %s", count(sp.n, sp.dimension.Name)))
		}
	}
	if len(parts) == 0 {
		return "all of it"
	}
	return strings.Join(parts, ", ")
}

// Mapping says by which rule the edge selects, whatever partitions there are.
func (e *Edge) Mapping() string {
	var parts []string
	for k, m := range e.dims {
		sp := e.From.Set.spans[k]
		name, consumer := sp.dimension.Name, ""
		if m.consumer >= 0 {
			consumer = e.To.Set.spans[m.consumer].dimension.Name
		}
		words := map[relation]string{all: "all " + plural(name), same: "the same " + name, finer: "the " + plural(name) + " of the " + consumer,
			coarser: "the " + name + " that holds the " + consumer, overlaps: "the " + plural(name) + " that overlap the " + consumer}[m.relation]
		switch {
		case m.relation == fixed:
			words = fmt.Sprintf("%s %s only", name, sp.texts[sp.from+m.value])
		case m.window != nil && m.window.FromStart:
			words += fmt.Sprintf(", from the first to %+d", m.window.To)
		case m.window != nil && (m.window.From != 0 || m.window.To != 0):
			words += fmt.Sprintf(", from %+d to %+d", m.window.From, m.window.To)
		}
		if m.last {
			words += ", the newest of them"
		}
		parts = append(parts, words)
	}
	if parts == nil {
		return "all of it"
	}
	return strings.Join(parts, "; ")
}

// uses says whether the consumer's dimension has a part in the selection.
func (e *Edge) uses(sp span) bool {
	for _, m := range e.dims {
		if m.consumer >= 0 && e.To.Set.spans[m.consumer].axis == sp.axis {
			return true
		}
	}
	return false
}

func (e *Edge) dimensionWords(k int) string {
	m, sp := e.dims[k], e.From.Set.spans[k]
	name := sp.dimension.Name
	words := ""
	switch {
	case m.relation == fixed && m.value < 0:
		return "a " + name + " that is not there"
	case m.relation == fixed:
		return fmt.Sprintf("%s %s only", name, sp.texts[sp.from+m.value])
	case m.window != nil:
		words = e.windowWords(k)
		switch {
		case sp.dimension.FromSource.IsZero():
		case e.From == e.To:
			words += ", counting those that are there"
		default:
			words += ", as far as there are any"
		}
	case m.relation == same:
		return "the same " + name
	case m.relation == coarser:
		return fmt.Sprintf("the %s that holds the %s", name, e.To.Set.spans[m.consumer].dimension.Name)
	case m.relation == finer:
		words = e.countWords(k)
	default:
		words = "all " + count(sp.n, name)
	}
	if m.last {
		return "the newest of " + words
	}
	return words
}

// countWords tells how many partitions the consumer's partitions read: "28 to 31 days".
func (e *Edge) countWords(k int) string {
	m, sp := e.dims[k], e.From.Set.spans[k]
	to := e.To.Set.spans[m.consumer]
	least, most := -1, 0
	for c := range to.n {
		lo, hi := e.stretch(k, c)
		n := hi - lo + 1
		if m.last { // count what it is taken from
			lo, hi := e.windowed(k, c)
			n = hi - lo + 1
		}
		if most = max(most, n); least < 0 || n < least {
			least = n
		}
	}
	if least == most || least < 0 {
		return count(most, sp.dimension.Name)
	}
	return fmt.Sprintf("%d to %s", least, count(most, sp.dimension.Name))
}

func (e *Edge) windowWords(k int) string {
	m, name := e.dims[k], e.From.Set.spans[k].dimension.Name
	w := m.window
	first, last := "the first "+name+" of the "+e.To.Set.spans[m.consumer].dimension.Name, "its last"
	if m.relation == same || m.relation == coarser {
		first, last = "the same "+name, "the same "+name
		if m.relation == coarser {
			first = fmt.Sprintf("the %s that holds the %s", name, e.To.Set.spans[m.consumer].dimension.Name)
			last = first
		}
	}
	switch {
	case w.FromStart:
		if first != last {
			last = "the last " + name + " of the " + e.To.Set.spans[m.consumer].dimension.Name
		}
		return fmt.Sprintf("all %s up to %s", plural(name), shifted(w.To, name, last))
	case w.From == w.To && first == last:
		return shifted(w.From, name, first)
	case w.To == 0 && first == last && m.relation == same:
		return fmt.Sprintf("the %s up to the same one", count(1-w.From, name))
	}
	return fmt.Sprintf("from %s to %s", shifted(w.From, name, first), shifted(w.To, name, last))
}

// shifted says "2 days before it".
func shifted(n int, name, what string) string {
	switch {
	case n < 0:
		return fmt.Sprintf("%s before %s", count(-n, name), what)
	case n > 0:
		return fmt.Sprintf("%s after %s", count(n, name), what)
	}
	return what
}

// count writes a number with its noun.
func count(n int, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %s", n, plural(name))
}

// plural of a dimension's name, which is a noun in the singular.
func plural(name string) string {
	switch {
	case strings.HasSuffix(name, "y") && !strings.HasSuffix(name, "ay") && !strings.HasSuffix(name, "ey"):
		return strings.TrimSuffix(name, "y") + "ies"
	case strings.HasSuffix(name, "s") || strings.HasSuffix(name, "x"):
		return name + "es"
	}
	return name + "s"
}

// Describe says in words how a target is cut: "14 partitions by day (2017-06-01 to 2017-06-14)".
func (s *Set) Describe() string {
	if len(s.spans) == 0 {
		return "one partition"
	}
	words := fmt.Sprintf("%s by %s", count(s.size, "partition"), s.dimensions())
	var ranges []string
	for _, sp := range s.spans {
		switch {
		case sp.n == 0:
			return words
		case sp.dimension.Unit == engine.NoUnit:
			ranges = append(ranges, count(sp.n, "value"))
		default:
			ranges = append(ranges, sp.texts[sp.from]+" to "+sp.texts[sp.from+sp.n-1])
		}
	}
	words = fmt.Sprintf("%s (%s", words, strings.Join(ranges, ", "))
	for _, sp := range s.spans {
		if from := sp.dimension.FromSource; !from.IsZero() {
			words += fmt.Sprintf(", %s from %s", plural(sp.dimension.Name), from)
		}
	}
	if gaps := s.Gaps(0, s.size-1); gaps != nil {
		words += "; " + GapWords(gaps)
	}
	return words + ")"
}
