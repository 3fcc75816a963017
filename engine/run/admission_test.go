package run

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// told says of each field where a comparison with a revision sees that it changed, or why it need not. What is in the key or in the shape, tests of package engine hold;
// what is said or admits, TestSaidOtherwise.
var told = map[string]string{
	"Target.Label":       "by it the two are found",
	"Target.Kind":        "compare",
	"Target.Description": "said",
	"Target.Owner":       "said",
	"Target.Visibility":  "said",
	"Target.Tags":        "said",
	"Target.Range":       "place in a file",
	"Target.PartitionBy": "comparePartitions",
	"Target.Start":       "comparePartitions, as the set",
	"Target.End":         "comparePartitions, as the set",
	"Target.Due":         "said",
	"Target.Freeze":      "said",
	"Target.Inputs":      "compareKeys, compareInputs, compareAdmission",
	"Target.Outputs":     "compareKeys, compareRules",
	"Target.SQL":         "compareKeys",
	"Target.Command":     "compareKeys, comparePartitions",
	"Target.Code":        "compareKeys, as the files",
	"Target.Env":         "compareKeys, comparePartitions",
	"Target.Secrets":     "compareKeys",
	"Target.Tools":       "compareKeys, as what they resolve to",
	"Target.Image":       "compareKeys",
	"Target.Timeout":     "said",
	"Target.Network":     "compareKeys",
	"Target.ValidFor":    "said",
	"Target.Threads":     "said",
	"Target.Memory":      "compareKeys",
	"Target.Path":        "comparePartitions",
	"Target.InPlace":     "said",

	"Input.Name":     "compareKeys",
	"Input.From":     "compareInputs",
	"Input.Files":    "compareInputs, compareFiles",
	"Input.Columns":  "compareInputs",
	"Input.Window":   "compareInputs, as the mapping",
	"Input.Slice":    "compareInputs, as the mapping",
	"Input.TakeLast": "compareInputs, as the mapping",
	"Input.Missing":  "admits",
	"Input.Waive":    "admits",
	"Input.Expects":  "compareRules",
	"Input.Range":    "place in a file",

	"Output.Name":        "compareKeys, compareRules",
	"Output.Path":        "compareKeys; a source has its own",
	"Output.Shape":       "follows from the path",
	"Output.Format":      "compareKeys; follows from the path of a source",
	"Output.Compression": "compareKeys; follows from the path of a source",
	"Output.PartSize":    "compareKeys",
	"Output.Columns":     "compareKeys, compareRules",
	"Output.Key":         "compareRules",
	"Output.References":  "compareRules",
	"Output.Metrics":     "compareRules",
	"Output.Expects":     "compareRules",
	"Output.Rejects":     "compareRules",
	"Output.Range":       "place in a file",
}

func TestEveryFieldIsComparedOrExempt(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range []any{engine.Target{}, engine.Input{}, engine.Output{}} {
		typ := reflect.TypeOf(v)
		for f := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(f).Name
			seen[name] = true
			if told[name] == "" {
				t.Errorf("%s: plan --against does not see it: compare it, or add it to this table with a reason", name)
			}
		}
	}
	for name := range told {
		if !seen[name] {
			t.Errorf("%s is in the table and nowhere else", name)
		}
	}
}

// TestSaidOtherwise sets each field to another value, and wants that told where the table says so.
func TestSaidOtherwise(t *testing.T) {
	fields := func(v reflect.Value, same func() bool, where string) {
		for f := range v.NumField() {
			name, was := v.Type().Name()+"."+v.Type().Field(f).Name, reflect.ValueOf(v.Field(f).Interface())
			if vary(v.Field(f)); !same() != (told[name] == where) {
				t.Errorf("%s: table says %q, that it changed is %s: %v", name, told[name], where, !same())
			}
			v.Field(f).Set(was)
		}
	}
	now, old := &engine.Target{}, &engine.Target{}
	fields(reflect.ValueOf(now).Elem(), func() bool { return saidOtherwise(now, old) == nil && saidOtherwise(old, now) == nil }, "said")
	in, before := &engine.Input{}, &engine.Input{}
	fields(reflect.ValueOf(in).Elem(), func() bool {
		what, _ := admission(in, before)
		back, _ := admission(before, in)
		return what == nil && back == nil
	}, "admits")
}

// vary gives v a value that it did not have.
func vary(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *engine.Due:
		x.Text += "x"
	case *engine.Freeze:
		*x = engine.Freeze{Set: true}
	case *time.Duration:
		*x++
	case *[]string:
		*x = append(slices.Clone(*x), "x")
	default:
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Uint8:
			v.SetUint(v.Uint() + 1)
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
	}
}
