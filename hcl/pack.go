package hcl

import (
	"encoding/binary"
	"fmt"
	"math"
	"reflect"
	"sync"

	"github.com/dpb-build/dpb/engine"
)

// A packing writes plain values compactly: each text once, numbers in as few bytes as they need. It goes by their types alone, so that no field is forgotten.
type packing struct {
	texts map[string]uint64
	list  []string
	body  []byte
	lost  bool // a function that follows from no text
}

// packed writes the value that a pointer points to; nil if it holds a function that can't be had again. Unpacked reads it into one of the same type.
func packed(from any) []byte {
	p := &packing{texts: map[string]uint64{}}
	v := reflect.ValueOf(from).Elem()
	layoutOf(v.Type()).put(p, v)
	if p.lost {
		return nil
	}
	out := binary.AppendUvarint(nil, uint64(len(p.list)))
	for _, text := range p.list {
		out = binary.AppendUvarint(out, uint64(len(text)))
		out = append(out, text...)
	}
	return append(out, p.body...)
}

func (p *packing) number(n uint64) { p.body = binary.AppendUvarint(p.body, n) }

func (p *packing) text(s string) {
	n, known := p.texts[s]
	if !known {
		n = uint64(len(p.list))
		p.texts[s] = n
		p.list = append(p.list, s)
	}
	p.number(n)
}

// An unpacking reads what a packing wrote; anything else makes it bad, and what was read worthless. Texts are parts of what it reads from.
type unpacking struct {
	texts []string
	rest  string
	bad   bool
	made  func(v reflect.Value) // is told of each value of a type that holds a function, once its other fields are set
}

// unpacked says whether b holds exactly one value of the type that into points to.
func unpacked(b string, into any, made func(v reflect.Value)) bool {
	u := &unpacking{rest: b, made: made}
	n := u.count(1)
	u.texts = make([]string, n)
	for k := range u.texts {
		u.texts[k] = u.cut(u.number())
	}
	v := reflect.ValueOf(into).Elem()
	layoutOf(v.Type()).get(u, v)
	return !u.bad && u.rest == ""
}

func (u *unpacking) number() (n uint64) {
	for k := 0; k < len(u.rest) && k < binary.MaxVarintLen64; k++ {
		c := u.rest[k]
		n |= uint64(c&0x7f) << (7 * k)
		if c < 0x80 {
			u.rest = u.rest[k+1:]
			return n
		}
	}
	u.bad = true
	return 0
}

// count reads how many values follow, each of which takes so many bytes at least.
func (u *unpacking) count(least int) int {
	n := u.number()
	if u.bad || n > uint64(len(u.rest)/least) {
		u.bad = true
		return 0
	}
	return int(n)
}

func (u *unpacking) cut(n uint64) string {
	if n > uint64(len(u.rest)) {
		u.bad = true
		return ""
	}
	s := u.rest[:n]
	u.rest = u.rest[n:]
	return s
}

func (u *unpacking) text() string {
	n := u.number()
	if n >= uint64(len(u.texts)) {
		u.bad = true
		return ""
	}
	return u.texts[n]
}

// layout is how values of a type are packed.
type layout struct {
	put   func(*packing, reflect.Value)
	get   func(*unpacking, reflect.Value)
	least int // bytes that any of them takes
}

// layouts are those of the types that packages consist of, by type. They are worked out when first needed.
var layouts sync.Map

func layoutOf(t reflect.Type) layout {
	if l, ok := layouts.Load(t); ok {
		return l.(layout)
	}
	var l layout
	switch t.Kind() {
	case reflect.Struct:
		l = structLayout(t)
	case reflect.Slice:
		l = sliceLayout(t)
	case reflect.Pointer:
		l = pointerLayout(t)
	default:
		l = scalarLayout(t)
	}
	layouts.Store(t, l)
	return l
}

func scalarLayout(t reflect.Type) layout {
	switch t.Kind() {
	case reflect.String:
		return layout{func(p *packing, v reflect.Value) { p.text(v.String()) }, func(u *unpacking, v reflect.Value) { v.SetString(u.text()) }, 1}
	case reflect.Bool:
		return layout{func(p *packing, v reflect.Value) { p.number(uint64(b2i(v.Bool()))) }, func(u *unpacking, v reflect.Value) { v.SetBool(u.number() != 0) }, 1}
	case reflect.Int, reflect.Int64:
		return layout{
			func(p *packing, v reflect.Value) { p.number(uint64(v.Int())<<1 ^ uint64(v.Int()>>63)) },
			func(u *unpacking, v reflect.Value) { n := u.number(); v.SetInt(int64(n>>1) ^ -int64(n&1)) }, 1}
	case reflect.Uint8:
		return layout{func(p *packing, v reflect.Value) { p.number(v.Uint()) }, func(u *unpacking, v reflect.Value) { v.SetUint(u.number()) }, 1}
	case reflect.Float64:
		return layout{
			func(p *packing, v reflect.Value) { p.number(math.Float64bits(v.Float())) },
			func(u *unpacking, v reflect.Value) { v.SetFloat(math.Float64frombits(u.number())) }, 1}
	}
	panic(fmt.Sprintf("a %s can't be packed", t)) // a test packs all that packages consist of
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// functions are the fields of functions, each with that of the text from which it can be had again.
var functions = map[reflect.Type][2]string{
	reflect.TypeFor[engine.Segment](): {"Eval", "Source"}, reflect.TypeFor[engine.Expect](): {"Judge", "That"},
}

func structLayout(t reflect.Type) layout {
	type field struct {
		layout
		index int
	}
	var fields []field
	least := 0
	names, function := functions[t]
	for k := range t.NumField() {
		if function && t.Field(k).Name == names[0] {
			continue
		}
		f := field{layoutOf(t.Field(k).Type), k}
		fields, least = append(fields, f), least+f.least
	}
	return layout{
		func(p *packing, v reflect.Value) {
			for _, f := range fields {
				f.put(p, v.Field(f.index))
			}
			p.lost = p.lost || function && !v.FieldByName(names[0]).IsNil() && v.FieldByName(names[1]).IsZero()
		},
		func(u *unpacking, v reflect.Value) {
			for _, f := range fields {
				f.get(u, v.Field(f.index))
			}
			if function && !u.bad {
				u.made(v)
			}
		}, max(1, least)}
}

// sliceLayout tells one that is nil from one that is empty.
func sliceLayout(t reflect.Type) layout {
	elem := layoutOf(t.Elem())
	return layout{
		func(p *packing, v reflect.Value) {
			p.number(uint64(b2i(!v.IsNil())))
			if v.IsNil() {
				return
			}
			p.number(uint64(v.Len()))
			for k := range v.Len() {
				elem.put(p, v.Index(k))
			}
		},
		func(u *unpacking, v reflect.Value) {
			if u.number() == 0 {
				return
			}
			n := u.count(elem.least)
			v.Set(reflect.MakeSlice(t, n, n))
			for k := 0; k < n && !u.bad; k++ {
				elem.get(u, v.Index(k))
			}
		}, 1}
}

func pointerLayout(t reflect.Type) layout {
	elem := layoutOf(t.Elem())
	return layout{
		func(p *packing, v reflect.Value) {
			p.number(uint64(b2i(!v.IsNil())))
			if !v.IsNil() {
				elem.put(p, v.Elem())
			}
		},
		func(u *unpacking, v reflect.Value) {
			if u.number() != 0 && !u.bad {
				v.Set(reflect.New(t.Elem()))
				elem.get(u, v.Elem())
			}
		}, 1}
}
