package hcl

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"

	"github.com/dpb-build/dpb/engine"
)

// pure are the functions of all expressions. None reads a clock, an environment or chance.
var pure = bounded(map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "floor": stdlib.FloorFunc, "log": stdlib.LogFunc, "max": stdlib.MaxFunc, "min": stdlib.MinFunc,
	"parseint": stdlib.ParseIntFunc, "pow": stdlib.PowFunc, "signum": stdlib.SignumFunc,

	"chomp": stdlib.ChompFunc, "format": stdlib.FormatFunc, "formatlist": stdlib.FormatListFunc, "indent": stdlib.IndentFunc, "join": stdlib.JoinFunc,
	"lower": stdlib.LowerFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc, "regexreplace": stdlib.RegexReplaceFunc, "replace": stdlib.ReplaceFunc,
	"split": stdlib.SplitFunc, "strlen": stdlib.StrlenFunc, "strrev": stdlib.ReverseFunc, "substr": stdlib.SubstrFunc, "title": stdlib.TitleFunc,
	"trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc, "trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc,
	"upper": stdlib.UpperFunc,

	"chunklist": stdlib.ChunklistFunc, "coalesce": stdlib.CoalesceFunc, "coalescelist": stdlib.CoalesceListFunc, "compact": stdlib.CompactFunc,
	"concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "distinct": stdlib.DistinctFunc, "element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc,
	"keys": stdlib.KeysFunc, "length": stdlib.LengthFunc, "lookup": stdlib.LookupFunc, "merge": stdlib.MergeFunc, "reverse": stdlib.ReverseListFunc,
	"setintersection": stdlib.SetIntersectionFunc, "setproduct": stdlib.SetProductFunc, "setsubtract": stdlib.SetSubtractFunc, "setunion": stdlib.SetUnionFunc,
	"slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,

	"csvdecode": stdlib.CSVDecodeFunc, "jsondecode": stdlib.JSONDecodeFunc, "jsonencode": stdlib.JSONEncodeFunc, "yamldecode": ctyyaml.YAMLDecodeFunc,
	"yamlencode": ctyyaml.YAMLEncodeFunc,

	"tobool": stdlib.MakeToFunc(cty.Bool), "tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
	"tomap":    stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
	"tonumber": stdlib.MakeToFunc(cty.Number), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tostring": stdlib.MakeToFunc(cty.String),

	"can": tryfunc.CanFunc, "try": tryfunc.TryFunc, "date": dateFunc, "formatdate": dateFunc,
})

var pureContext = &hcl.EvalContext{Functions: pure}

// functionNames lists all functions of constant expressions, in order.
func functionNames() []string {
	return slices.Sorted(maps.Keys(pure))
}

// dateFunc writes the time that a partition's text names in a layout of YYYY, MM, DD, hh and so on.
var dateFunc = function.New(&function.Spec{
	Description: "Writes a partition's time in a layout such as YYYY/MM/DD/hh.",
	Params:      []function.Parameter{{Name: "layout", Type: cty.String}, {Name: "time", Type: cty.String}},
	Type:        function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		text := args[1].AsString()
		if t, ok := partitionTime(text); ok {
			text = t.Format(time.RFC3339)
		} else if _, err := time.Parse(time.RFC3339, text); err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "%q is no time of a partition, such as 2017-06-15", text)
		}
		return stdlib.FormatDate(args[0], cty.StringVal(text))
	},
})

func partitionTime(text string) (time.Time, bool) {
	for _, u := range []engine.Unit{engine.Hour, engine.Day, engine.Week, engine.Month, engine.Quarter, engine.Year} {
		if t, err := u.Parse(text, time.UTC); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// fileFunc is file(), relative to the package's folder.
func (d *decoder) fileFunc() function.Function {
	return function.New(&function.Spec{
		Description: "Reads a text file.",
		Params:      []function.Parameter{{Name: "path", Type: cty.String}},
		Type:        function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			_, src, err := d.readText(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgError(0, err)
			}
			return cty.StringVal(src), nil
		},
	})
}

// readText reads a file that a package names, and returns its path from the root too.
func (d *decoder) readText(name string) (rel, text string, err error) {
	if path.IsAbs(name) || strings.Contains(name, `\`) {
		return "", "", fmt.Errorf("the path of a file is relative to its package, with slashes")
	}
	rel = path.Join(d.pkg, name)
	if name == "" || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", "", fmt.Errorf("%q lies outside of the workspace", name)
	}
	src, err := d.read(rel)
	if err != nil {
		return "", "", fmt.Errorf("can't read %s: %w", rel, err)
	}
	if invalidUTF8(src) >= 0 {
		return "", "", fmt.Errorf("%s is not UTF-8 text", rel)
	}
	return rel, string(src), nil
}
