package fingerprint

import (
	"fmt"
	"strings"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"
)

// node is one element of a Parquet file's schema.
type node struct {
	*format.SchemaElement
	children []*node
	leaf     int // of a leaf, its column's index
	def, rep int // the levels of what is there
}

// schemaTree makes a tree of the flat list in a file's footer. DuckDB's rules decide what type each is.
func schemaTree(elements []format.SchemaElement) (*node, error) {
	t := &treeReader{elements: elements}
	root := t.read(0, 0, 0)
	if root == nil || t.at != len(elements) {
		return nil, fmt.Errorf("its schema is damaged")
	}
	return root, nil
}

type treeReader struct {
	elements []format.SchemaElement
	at, leaf int
}

const deepest = 100

func (t *treeReader) read(depth, def, rep int) *node {
	if t.at >= len(t.elements) || depth > deepest {
		return nil
	}
	n := &node{SchemaElement: &t.elements[t.at]}
	t.at++
	if depth > 0 && n.repetition() != format.Required {
		def++
	}
	if depth > 0 && n.repetition() == format.Repeated {
		rep++
	}
	n.def, n.rep = def, rep
	if n.Type.Valid {
		n.leaf = t.leaf
		t.leaf++
		return n
	}
	for range n.NumChildren.V {
		child := t.read(depth+1, def, rep)
		if child == nil {
			return nil
		}
		n.children = append(n.children, child)
	}
	return n
}

func (n *node) repetition() format.FieldRepetitionType { return n.RepetitionType.V }

// converted says whether the node has the old annotation, or logical is its new one.
func (n *node) converted(t deprecated.ConvertedType, logical bool) bool {
	return logical || n.LogicalType.Value == nil && n.ConvertedType.Valid && n.ConvertedType.V == t
}

// kind is the type that the SQL engine gives the node; parent is nil for a column.
func (n *node) kind(parent *node) kind {
	k := n.leafKind()
	if !n.Type.Valid {
		k = n.groupKind(parent)
	}
	if n.repetition() == format.Repeated && !n.isEntry(parent) {
		k = kind{name: k.name + "[]", class: texts, is: nested, parts: []kind{k}}
	}
	return k
}

func (n *node) groupKind(parent *node) kind {
	isList, isMap := n.isList(), n.isMap()
	if n.isEntry(parent) {
		return nestedKindOf("MAP", n)
	}
	if len(n.children) == 1 && (isList || isMap || n.repetition() == format.Repeated) {
		return n.children[0].kind(n)
	}
	return nestedKindOf("STRUCT", n)
}

// isEntry says whether the node is a key with its value, of a map.
func (n *node) isEntry(parent *node) bool {
	return len(n.children) == 2 && (n.converted(deprecated.MapKeyValue, false) || parent != nil && parent.isMap())
}

func (n *node) isList() bool {
	_, logical := n.LogicalType.Value.(*format.ListType)
	return n.converted(deprecated.List, logical)
}

func (n *node) isMap() bool {
	_, logical := n.LogicalType.Value.(*format.MapType)
	return n.converted(deprecated.Map, logical)
}

func nestedKindOf(head string, n *node) kind {
	k := kind{class: texts, is: nested}
	var list []string
	for _, child := range n.children {
		part := child.kind(n)
		k.parts = append(k.parts, part)
		if head == "STRUCT" {
			k.names = append(k.names, child.Name)
			list = append(list, quoteName(child.Name)+" "+part.name)
		} else {
			list = append(list, part.name)
		}
	}
	k.name = head + "(" + strings.Join(list, ", ") + ")"
	return k
}

// leafKind is the type of a leaf's values.
func (n *node) leafKind() kind {
	if k := n.logicalKind(); k != "" {
		return kindOf(k)
	}
	if n.ConvertedType.Valid {
		if k := n.convertedKind(); k != "" {
			return kindOf(k)
		}
	}
	switch n.Type.V {
	case format.Boolean:
		return kindOf("BOOLEAN")
	case format.Int32:
		return kindOf("INTEGER")
	case format.Int64:
		return kindOf("BIGINT")
	case format.Int96:
		return kindOf("TIMESTAMP")
	case format.Float:
		return kindOf("FLOAT")
	case format.Double:
		return kindOf("DOUBLE")
	}
	return kindOf("BLOB")
}

func (n *node) logicalKind() string {
	switch l := n.LogicalType.Value.(type) {
	case *format.StringType, *format.EnumType:
		return "VARCHAR"
	case *format.UUIDType:
		return "UUID"
	case *format.DateType:
		return "DATE"
	case *format.Float16Type:
		return "FLOAT"
	case *format.JsonType:
		return "JSON"
	case *format.DecimalType:
		return fmt.Sprintf("DECIMAL(%d,%d)", l.Precision, l.Scale)
	case *format.IntType:
		return integerName(int(l.BitWidth), l.IsSigned)
	case *format.TimeType:
		return timeName(l)
	case *format.TimestampType:
		_, nanos := l.Unit.Value.(*format.NanoSeconds)
		switch {
		case l.IsAdjustedToUTC:
			return "TIMESTAMP WITH TIME ZONE"
		case nanos:
			return "TIMESTAMP_NS"
		}
		return "TIMESTAMP"
	}
	return ""
}

func timeName(l *format.TimeType) string {
	_, nanos := l.Unit.Value.(*format.NanoSeconds)
	switch {
	case l.IsAdjustedToUTC:
		return "TIME WITH TIME ZONE"
	case nanos:
		return "TIME_NS"
	}
	return "TIME"
}

func integerName(width int, signed bool) string {
	name := map[int]string{8: "TINYINT", 16: "SMALLINT", 32: "INTEGER", 64: "BIGINT"}[width]
	if !signed && name != "" {
		name = "U" + name
	}
	return name
}

var convertedNames = map[deprecated.ConvertedType]string{
	deprecated.UTF8: "VARCHAR", deprecated.Enum: "VARCHAR", deprecated.Json: "JSON", deprecated.Date: "DATE", deprecated.TimeMillis: "TIME", deprecated.TimeMicros: "TIME",
	deprecated.TimestampMillis: "TIMESTAMP", deprecated.TimestampMicros: "TIMESTAMP", deprecated.Interval: "INTERVAL",
	deprecated.Int8: "TINYINT", deprecated.Int16: "SMALLINT", deprecated.Int32: "INTEGER", deprecated.Int64: "BIGINT",
	deprecated.Uint8: "UTINYINT", deprecated.Uint16: "USMALLINT", deprecated.Uint32: "UINTEGER", deprecated.Uint64: "UBIGINT",
}

func (n *node) convertedKind() string {
	if n.ConvertedType.V == deprecated.Decimal {
		return fmt.Sprintf("DECIMAL(%d,%d)", n.Precision.V, n.Scale.V)
	}
	return convertedNames[n.ConvertedType.V]
}

// timeScale says in which parts of a second, as a power of ten, the leaf has its times.
func (n *node) timeScale() int {
	var unit format.TimeUnitValue
	switch l := n.LogicalType.Value.(type) {
	case *format.TimeType:
		unit = l.Unit.Value
	case *format.TimestampType:
		unit = l.Unit.Value
	default:
		if n.ConvertedType.Valid && (n.ConvertedType.V == deprecated.TimeMillis || n.ConvertedType.V == deprecated.TimestampMillis) {
			return 3
		}
		return 6
	}
	switch unit.(type) {
	case *format.MilliSeconds:
		return 3
	case *format.NanoSeconds:
		return 9
	}
	return 6
}
