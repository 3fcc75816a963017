package engine

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
)

// covered says of each field of what makes an action whether it enters the key ("hashed"), or why it does not.
var covered = map[string]string{
	"Recipe.Target": "hashed", "Recipe.Code": "hashed", "Recipe.Tools": "hashed", "Recipe.Tokens": "hashed", "Recipe.Engine": "hashed",
	"Recipe.Writer": "hashed",

	"CodeFile.Path": "hashed", "CodeFile.Exec": "hashed", "CodeFile.Digest": "hashed",
	"CodeFile.Size": "follows from the content",
	"Tool.Name":     "hashed", "Tool.Identity": "hashed",

	"Target.Label":       "hashed", // its package, for commands: the folder that the job runs in
	"Target.Kind":        "hashed",
	"Target.Description": "text for people",
	"Target.Owner":       "who may act, not what comes out",
	"Target.Visibility":  "who may read, not what comes out",
	"Target.Tags":        "text for people",
	"Target.Range":       "place in a file",
	"Target.PartitionBy": "the partition's values are hashed instead",
	"Target.Start":       "which partitions exist, not what is in one",
	"Target.End":         "which partitions exist, not what is in one",
	"Target.Due":         "a promise on time",
	"Target.Freeze":      "when to stop building, not what comes out",
	"Target.Inputs":      "hashed",
	"Target.Outputs":     "hashed",
	"Target.SQL":         "hashed",
	"Target.Command":     "hashed",
	"Target.Code":        "the files that it selects are hashed instead, in Recipe.Code",
	"Target.Env":         "hashed",
	"Target.Secrets":     "hashed",
	"Target.Tools":       "what they resolve to is hashed instead, in Recipe.Tools",
	"Target.Image":       "hashed",
	"Target.Timeout":     "a job that is cut short has no result",
	"Target.Network":     "hashed",
	"Target.ValidFor":    "when a result expires, not what it is",
	"Target.Threads":     "results do not depend on it",
	"Target.Memory":      "hashed", // of SQL: spilling can change the order of evaluation
	"Target.Path":        "of a source: what was observed is hashed instead",
	"Target.InPlace":     "of a source: what was observed is hashed instead",

	"Statement.Output": "hashed",
	"Statement.Text":   "its tokens are hashed instead, in Recipe.Tokens",
	"Statement.File":   "place in a file",
	"Statement.Range":  "place in a file",
	"EnvVar.Name":      "hashed", "EnvVar.Value": "hashed",
	"Secret.Name": "hashed", "Secret.Identity": "hashed",

	"Input.Name":     "hashed",
	"Input.From":     "the trees that enter are hashed instead",
	"Input.Files":    "the trees that enter are hashed instead",
	"Input.Columns":  "hashed in the input's part, as the reader's schema",
	"Input.Window":   "the partitions that it selects are hashed instead",
	"Input.Slice":    "the partitions that it selects are hashed instead",
	"Input.TakeLast": "the partitions that it selects are hashed instead",
	"Input.Missing":  "the partitions that it selects are hashed instead",
	"Input.Waive":    "which versions may enter, whose trees are hashed",
	"Input.Expects":  "a rule",
	"Input.Range":    "place in a file",

	"Output.Name": "hashed", "Output.Path": "hashed", "Output.Format": "hashed", "Output.Compression": "hashed", "Output.PartSize": "hashed",
	"Output.Shape":      "hashed", // follows from the path
	"Output.Columns":    "hashed", // SQL casts to them, and no job succeeds without them
	"Output.Key":        "a rule",
	"Output.References": "a rule",
	"Output.Metrics":    "a rule's number",
	"Output.Expects":    "a rule",
	"Output.Rejects":    "splits what the job wrote",
	"Output.Range":      "place in a file",
}

func sampleRecipe() *Recipe {
	return &Recipe{
		Target: &Target{
			Label: Label{"spam", "classified"}, Kind: Command, Command: []Text{Literal("python3"), {{Dimension: "day"}}},
			Inputs:  []*Input{{Name: "plays"}},
			Outputs: []*Output{{Name: "classified", Path: "c/*.csv", Shape: Parts, Format: CSV, PartSize: 1}},
			SQL:     []*Statement{{Output: "classified"}},
			Env:     []EnvVar{{"SEED", Literal("7")}}, Secrets: []Secret{{"TOKEN", "v1"}},
		},
		Code:   []CodeFile{{Path: "spam/c.py", Digest: cache.Sum([]byte("x"))}},
		Tools:  []Tool{{"python3", "abc"}},
		Tokens: [][]string{{"SELECT", "1"}},
	}
}

func recipeDigest(r *Recipe) cache.SectionDigest {
	var s Section
	r.Describe(&s)
	return s.Digest()
}

func TestEveryFieldIsHashedOrExempt(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range []any{Recipe{}, CodeFile{}, Tool{}, Target{}, Statement{}, EnvVar{}, Secret{}, Input{}, Output{}} {
		typ := reflect.TypeOf(v)
		for f := range typ.NumField() {
			name := typ.Name() + "." + typ.Field(f).Name
			seen[name] = true
			if covered[name] == "" {
				t.Errorf("%s is neither hashed nor exempt: add it to Describe, or to this table with a reason", name)
			}
		}
	}
	for name := range covered {
		if !seen[name] {
			t.Errorf("%s is in the table and nowhere else", name)
		}
	}
}

// TestHashedFieldsChangeTheKey sets each field that the table calls hashed to another value and wants another digest.
func TestHashedFieldsChangeTheKey(t *testing.T) {
	base := recipeDigest(sampleRecipe())
	change := func(what string, edit func(r *Recipe) reflect.Value) {
		r := sampleRecipe()
		v := edit(r)
		if typ := v.Type(); typ.Kind() == reflect.Struct {
			for f := range typ.NumField() {
				name := typ.Name() + "." + typ.Field(f).Name
				r := sampleRecipe()
				field := edit(r).Field(f)
				other(field)
				changed := recipeDigest(r) != base
				if hashed := strings.HasPrefix(covered[name], "hashed"); name == "Output.Shape" || strings.HasPrefix(covered[name], "hashed in") || field.Kind() == reflect.Pointer {
					continue
				} else if hashed != changed {
					t.Errorf("%s: table says %q, a change of it changes the key: %v", name, covered[name], changed)
				}
			}
		}
	}
	change("recipe", func(r *Recipe) reflect.Value { return reflect.ValueOf(r).Elem() })
	change("target", func(r *Recipe) reflect.Value { return reflect.ValueOf(r.Target).Elem() })
	change("code", func(r *Recipe) reflect.Value { return reflect.ValueOf(&r.Code[0]).Elem() })
	change("tool", func(r *Recipe) reflect.Value { return reflect.ValueOf(&r.Tools[0]).Elem() })
	change("input", func(r *Recipe) reflect.Value { return reflect.ValueOf(r.Target.Inputs[0]).Elem() })
	change("output", func(r *Recipe) reflect.Value { return reflect.ValueOf(r.Target.Outputs[0]).Elem() })
	change("statement", func(r *Recipe) reflect.Value { return reflect.ValueOf(r.Target.SQL[0]).Elem() })
	change("env", func(r *Recipe) reflect.Value { return reflect.ValueOf(&r.Target.Env[0]).Elem() })
	change("secret", func(r *Recipe) reflect.Value { return reflect.ValueOf(&r.Target.Secrets[0]).Elem() })
}

// other gives v a value that it did not have.
func other(v reflect.Value) {
	switch x := v.Addr().Interface().(type) {
	case *string:
		*x += "x"
	case *int:
		*x++
	case *int64:
		*x++
	case *bool:
		*x = !*x
	case *time.Duration:
		*x++
	case *Kind:
		*x = SQL
	case *Format:
		*x = NDJSON
	case *Label:
		x.Pkg += "x"
	case *cache.Digest:
		x[0]++
	case *Text:
		*x = Literal("other")
	case *[][]string:
		*x = append(*x, []string{"x"})
	case *[]string:
		*x = append(*x, "x")
	default:
		if v.Kind() == reflect.Slice {
			e := reflect.New(v.Type().Elem()).Elem()
			if e.Kind() == reflect.Pointer {
				e.Set(reflect.New(e.Type().Elem()))
			}
			v.Set(reflect.Append(v, e))
		}
	}
}

func TestSectionEntriesCannotShift(t *testing.T) {
	var a, b Section
	a.Add("ab", "c")
	b.Add("a", "bc")
	if a.Digest() == b.Digest() {
		t.Error("moving a character between name and value keeps the digest")
	}
	p := func(name string, d byte) Part { return Part{name, cache.SectionDigest{d}} }
	keys := []cache.ActionKey{Key([]Part{p("target", 1)}), Key([]Part{p("target", 2)}), Key([]Part{p("targe", 1)}), Key([]Part{p("target", 1), p("x", 1)})}
	if len(slices.Compact(keys)) != 4 {
		t.Error("different parts have the same key")
	}
}
