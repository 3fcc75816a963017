package hcl

import (
	"slices"
	"strconv"
	"time"
	_ "time/tzdata" // a dimension's timezone must mean the same on every machine

	"github.com/hashicorp/hcl/v2"

	"github.com/dpb-build/dpb/engine"
)

// dimension is a partition block. With ok unset it went wrong, and nothing is checked against it.
type dimension struct {
	*engine.Dimension
	loc *time.Location
	ok  bool
}

// example is one of the dimension's values.
func (d *dimension) example() string {
	switch {
	case d.Start != "":
		return d.Start
	case len(d.Values) > 0:
		return d.Values[0]
	case d.Unit != engine.NoUnit:
		return d.Unit.Example()
	}
	return "2017-06-15"
}

// dimension reads a partition block.
func (b *block) dimension() *dimension {
	d := &dimension{Dimension: &engine.Dimension{Name: b.name, Range: place(b.header)}, loc: time.UTC}
	before := len(b.problems)
	every, values, source := b.attr("every"), b.attr("values"), b.attr("from_source")
	if source != nil {
		b.fromSource(d)
	}
	switch {
	case every != nil && values != nil:
		b.report(values.Range(), "keep one of them", "every and values can't stand together")
	case source != nil && values != nil:
		b.report(values.Range(), "keep one of them", "from_source and values can't stand together")
	case every != nil:
		b.timeDimension(d)
	case values != nil:
		b.listDimension(d)
	case source != nil:
		b.noTime()
	default:
		b.report(b.header, `add every = "day", or values = ["DE", "FR"]`, "partition %q needs every or values", b.name)
	}
	d.ok = len(b.problems) == before
	return d
}

// fromSource reads the source whose files say which values there are.
func (b *block) fromSource(d *dimension) {
	text, ok := b.textAttr("from_source")
	if !ok {
		return
	}
	at := b.attr("from_source").Range()
	label, err := engine.ParseLabel(text, "")
	if err != nil {
		b.report(at, `write from_source = "//package:name"`, "%s", err)
		return
	}
	d.FromSource, d.FromRange = label, place(at)
}

// noTime reports what only a dimension of time has.
func (b *block) noTime() {
	for _, name := range []string{"start", "end", "timezone"} {
		if a := b.body.Attributes[name]; a != nil {
			b.report(a.NameRange, "", "%s is for partitions of time, those with every", name)
		}
	}
}

func (b *block) listDimension(d *dimension) {
	b.noTime()
	before := len(b.problems)
	for _, w := range b.texts("values") {
		if err := engine.CheckValue(w.text); err != nil {
			b.report(w.at, "", "%s", err)
			continue
		}
		d.Values = append(d.Values, w.text)
	}
	if len(d.Values) == 0 && len(b.problems) == before {
		b.report(b.attr("values").Range(), "", "a partition needs at least one value")
	}
}

func (b *block) timeDimension(d *dimension) {
	unit, ok := engine.ParseUnit(b.choice("every", engine.Units()...))
	if !ok {
		return
	}
	d.Unit = unit
	if zone, ok := b.textAttr("timezone"); ok {
		loc, err := time.LoadLocation(zone)
		if err != nil || zone == "Local" || zone == "" {
			b.report(b.attr("timezone").Range(), `write a name of the IANA list, such as "Europe/Berlin" or "UTC"`, "there is no timezone %q", zone)
			return
		}
		d.Timezone, d.loc = zone, loc
	}
	if b.attr("start") == nil && b.attr("from_source") == nil {
		b.report(b.header, "add start = "+strconv.Quote(unit.Example()), "partition %q needs a start", b.name)
		return
	}
	from, ok := b.boundary("start", d, &d.Start)
	to, okEnd := b.boundary("end", d, &d.End)
	if ok && okEnd && to.Before(from) {
		b.report(b.attr("end").Range(), "", "end %s is before start %s", d.End, d.Start)
	}
	if unit == engine.Hour && (ok || b.attr("start") == nil) && !fixedOffset(d.loc, from) {
		b.report(b.attr("timezone").Range(), `write "UTC", or a fixed one such as "Etc/GMT-1"`, "hours need a timezone without daylight saving time").Detail =
			"In " + d.Timezone + " some hours occur twice."
	}
}

// boundary reads start or end. It is false if there is none that can be used.
func (b *block) boundary(name string, d *dimension, into *string) (time.Time, bool) {
	text, ok := b.textAttr(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := d.Unit.Parse(text, d.loc)
	if err != nil {
		b.report(b.attr(name).Range(), "", "%s: %s", name, err)
		return time.Time{}, false
	}
	*into = text
	return t, true
}

// fixedOffset says whether clocks are never changed in loc from t on.
func fixedOffset(loc *time.Location, t time.Time) bool {
	_, end := t.In(loc).ZoneBounds()
	return end.IsZero() || end.Year() >= 2100
}

// partitionBy reads the dimensions of a source or target.
func (b *block) partitionBy() []word {
	var out []word
	timed, before := "", len(b.problems)
	defer func() { b.loose = b.shared.openDims || len(b.problems) > before }()
	for _, w := range b.texts("partition_by") {
		d := b.shared.dims[w.text]
		if d == nil {
			b.unknownDimension(w.text, w.at)
			continue
		}
		if d.Unit != engine.NoUnit {
			if timed != "" {
				b.report(w.at, "keep one of them", "%s and %s are both partitions of time", timed, w.text)
				continue
			}
			timed = w.text
		}
		out = append(out, w)
	}
	return out
}

func (b *block) unknownDimension(name string, at hcl.Range) {
	if b.shared.openDims {
		return
	}
	hint := didYouMean(name, b.shared.dimNames)
	if hint == "" {
		hint = "declare a block partition " + strconv.Quote(name) + " in " + WorkspaceFile
	}
	b.report(at, hint, "there is no partition %q", name)
}

// timeOf returns the one time dimension among names, or nil.
func (b *block) timeOf(names []string) *dimension {
	i := slices.IndexFunc(names, func(n string) bool { d := b.shared.dims[n]; return d != nil && d.Unit != engine.NoUnit })
	if i < 0 {
		return nil
	}
	return b.shared.dims[names[i]]
}

// narrow reads the start and end of a source or target, which narrow its time dimension.
func (b *block) narrow(t *engine.Target) {
	d := b.timeOf(t.PartitionBy)
	for _, name := range []string{"start", "end"} {
		if a := b.body.Attributes[name]; a != nil && d == nil && !b.loose {
			b.report(a.NameRange, `add partition_by = ["day"]`, "%s needs a partition of time in partition_by", name)
		}
	}
	if d == nil || !d.ok {
		return
	}
	from, hasStart := b.boundary("start", d, &t.Start)
	to, hasEnd := b.boundary("end", d, &t.End)
	if hasStart && hasEnd && to.Before(from) {
		b.report(b.attr("end").Range(), "", "end %s is before start %s", t.End, t.Start)
		return
	}
	b.warnOutside(d, "start", from, hasStart)
	b.warnOutside(d, "end", to, hasEnd)
}

// warnOutside warns of a boundary that lies outside of the dimension's own, where it does nothing or leaves no partition.
func (b *block) warnOutside(d *dimension, name string, t time.Time, has bool) {
	if !has {
		return
	}
	if start, err := d.Unit.Parse(d.Start, d.loc); err == nil && t.Before(start) {
		b.warn(b.attr(name).Range(), "", "%s is before the start of partition %s, %s", name, d.Name, d.Start)
	}
	if end, err := d.Unit.Parse(d.End, d.loc); err == nil && t.After(end) {
		b.warn(b.attr(name).Range(), "", "%s is after the end of partition %s, %s", name, d.Name, d.End)
	}
}
