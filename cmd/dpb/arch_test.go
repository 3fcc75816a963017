package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/dpb-build/dpb/"

// layers lists the packages from the lowest layer up. A package imports only packages of lower layers, and the children listed in siblings.
var layers = [][]string{
	{"cache", "cache/disk", "cache/cachetest", "cache/fault"},
	{"engine", "engine/graph"},
	{"engine/plan", "engine/exec", "engine/sandbox", "engine/worker", "engine/compare", "engine/contract", "engine/sql", "engine/sql/duckdb", "engine/source", "engine/publish", "engine/notify", "engine/git", "engine/lock", "engine/openlineage", "engine/ledger", "engine/fingerprint", "engine/watch"},
	{"hcl", "hcl/diag", "engine/run"},
	{"cmd/dpb", "cmd/dpb/internal/ui", "cmd/dpb/internal/bench", "cmd/dpb/internal/bench/seed"},
}

// siblings are the arrows inside a layer, from a package to what lies below it.
var siblings = map[string][]string{
	"cache/disk": {"cache", "cache/fault"}, "cache/cachetest": {"cache"}, "engine/graph": {"engine"}, "engine/sql/duckdb": {"engine/sql", "engine/compare"}, "cmd/dpb": {"cmd/dpb/internal/ui"},
	"engine/fingerprint": {"engine/sql"}, "engine/exec": {"engine/sandbox"}, "engine/worker": {"engine/sandbox", "engine/sql/duckdb", "engine/fingerprint"},
}

// only lists which packages may import a library that is to stay in one place.
var only = map[string][]string{
	"github.com/hashicorp/hcl/v2":      {"hcl"},
	"github.com/zclconf/go-cty":        {"hcl"},
	"github.com/zclconf/go-cty-yaml":   {"hcl"},
	"github.com/duckdb/duckdb-go/v2":   {"engine/sql/duckdb"},
	"zombiezen.com/go/sqlite":          {"engine/ledger"},
	"github.com/spf13/cobra":           {"cmd/dpb"},
	"github.com/spf13/pflag":           {"cmd/dpb"},
	"github.com/bmatcuk/doublestar":    {"engine/source", "hcl", "cmd/dpb"},
	"github.com/klauspost/compress":    {"engine/sql/duckdb", "engine/fingerprint", "engine/ledger"},
	"github.com/parquet-go/parquet-go": {"engine/fingerprint"},
	"github.com/zeebo/xxh3":            {"engine/fingerprint"},
	"github.com/fatih/color":           {"hcl/diag", "cmd/dpb", "cmd/dpb/internal/ui"},
	"github.com/agext/levenshtein":     {"engine"},
	"github.com/fsnotify/fsnotify":     {"engine/watch"},
	"github.com/mattn/go-isatty":       {"cmd/dpb", "cmd/dpb/internal/ui", "cmd/dpb/internal/bench", "cmd/dpb/internal/bench/seed"},
	"net/http":                         {"engine/notify", "engine/openlineage"},
	"github.com/google/uuid":           {"engine/openlineage", "engine/run"},
	"math/rand":                        {},
	"github.com/rogpeppe/go-internal":  {},
	"go.yaml.in/yaml":                  {},
}

func layerOf(pkg string) int {
	return slices.IndexFunc(layers, func(l []string) bool { return slices.Contains(l, pkg) })
}

type sourceFile struct {
	path, pkg string
	test      bool
	syntax    *ast.File
	set       *token.FileSet
}

func sourceFiles(t *testing.T) (out []sourceFile) {
	t.Helper()
	root := "../.."
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil || strings.HasPrefix(rel, "examples") {
			return err
		}
		set := token.NewFileSet()
		f, err := parser.ParseFile(set, path, nil, parser.ParseComments)
		out = append(out, sourceFile{rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(path, "_test.go"), f, set})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestArrows holds the layers of DESIGN: who may import whom.
func TestArrows(t *testing.T) {
	for _, f := range sourceFiles(t) {
		at := layerOf(f.pkg)
		if at < 0 {
			t.Errorf("%s: package %s has no layer", f.path, f.pkg)
		}
		for _, spec := range f.syntax.Imports {
			path, _ := strconv.Unquote(spec.Path.Value)
			if to, ok := strings.CutPrefix(path, module); ok && !f.test && layerOf(to) >= at && !slices.Contains(siblings[f.pkg], to) {
				t.Errorf("%s imports %s, which is not below it", f.path, to)
			}
			for lib, packages := range only {
				if !f.test && (path == lib || strings.HasPrefix(path, lib+"/")) && !slices.Contains(packages, f.pkg) {
					t.Errorf("%s imports %s, which belongs into %v", f.path, path, packages)
				}
			}
		}
	}
}

// TestSizes holds how long a file and a function may be, and that each package says in a sentence what it is.
func TestSizes(t *testing.T) {
	documented := map[string]bool{}
	var lengths []int
	for _, f := range sourceFiles(t) {
		lines := f.set.Position(f.syntax.FileEnd).Line
		if lines > 800 {
			t.Errorf("%s has %d lines", f.path, lines)
		}
		if f.test {
			continue
		}
		documented[f.pkg] = documented[f.pkg] || f.syntax.Doc != nil
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1
			if lengths = append(lengths, n); n > 120 {
				t.Errorf("%s: %s has %d lines", f.path, fn.Name.Name, n)
			}
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no comment", pkg)
		}
	}
	slices.Sort(lengths)
	if median := lengths[len(lengths)/2]; median > 12 {
		t.Errorf("the median function has %d lines", median)
	} else {
		t.Logf("%d functions, median %d lines, longest %d", len(lengths), median, lengths[len(lengths)-1])
	}
}

// TestFaults holds that nothing but tests makes operations fail.
func TestFaults(t *testing.T) {
	for _, f := range sourceFiles(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && !f.test && s.Sel.Name == "Set" {
				if pkg, ok := s.X.(*ast.Ident); ok && pkg.Name == "fault" {
					t.Errorf("%s sets faults", f.path)
				}
			}
			return true
		})
	}
}

// TestInterfaces holds that exported interfaces have at most four methods.
func TestInterfaces(t *testing.T) {
	for _, f := range sourceFiles(t) {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || !spec.Name.IsExported() {
				return true
			}
			if i, ok := spec.Type.(*ast.InterfaceType); ok && len(i.Methods.List) > 4 {
				t.Errorf("%s: interface %s has %d methods", f.path, spec.Name.Name, len(i.Methods.List))
			}
			return true
		})
	}
}
