package hcl

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/dpb-build/dpb/engine"
)

// loaded is what Load returned, with the functions taken out of the values after all of them were called.
type loaded struct {
	Workspace *engine.Workspace
	Sources   Sources
	Problems  []engine.Problem
	Called    []string
}

func loadBare(root string, k *Kept) loaded {
	var l loaded
	l.Workspace, l.Sources, l.Problems = Load(root, Options{Version: "0.5.0", Kept: k})
	l.bare(reflect.ValueOf(l.Workspace))
	return l
}

// bare calls the functions in a value, and takes them out.
func (l *loaded) bare(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			l.bare(v.Elem())
		}
	case reflect.Slice:
		for k := range v.Len() {
			l.bare(v.Index(k))
		}
	case reflect.Struct:
		switch x := v.Addr().Interface().(type) {
		case *engine.Segment:
			for _, day := range []string{"2017-06-15", "2031-12-01"} {
				if x.Eval != nil {
					text, err := x.Eval(engine.Partition{{Dimension: "day", Text: day}, {Dimension: "month", Text: day[:7]}, {Dimension: "country", Text: "DE"}})
					l.Called = append(l.Called, fmt.Sprint(text, err))
				}
			}
			x.Eval = nil
		case *engine.Expect:
			if x.Judge != nil {
				l.Called = append(l.Called, fmt.Sprint(x.Judge(engine.Scope{Self: table(100)})))
			}
			x.Judge = nil
		}
		for k := range v.NumField() {
			l.bare(v.Field(k))
		}
	}
}

func keptIn(t testing.TB, program string) func() *Kept {
	file := filepath.Join(t.TempDir(), "packages")
	return func() *Kept { return &Kept{Program: program, File: func(string) string { return file }} }
}

func save(t testing.TB, k *Kept) bool {
	t.Helper()
	anew := k.pending != nil
	if err := k.Save(); err != nil {
		t.Fatal(err)
	}
	return anew
}

func differ(t *testing.T, what string, got, want loaded) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: what was kept gives\n%s\nand loading anew\n%s", what, spellLoaded(got), spellLoaded(want))
	}
}

func spellLoaded(l loaded) string {
	var b strings.Builder
	for _, t := range l.Workspace.Targets {
		fmt.Fprintf(&b, "%+v\n", *t)
	}
	fmt.Fprintf(&b, "%v\n%q\n%d files", l.Problems, l.Called, len(l.Sources))
	return b.String()
}

// TestKept loads every workspace of the tests and examples from what was kept, and compares it with what is loaded anew, warnings and what functions give included.
func TestKept(t *testing.T) {
	var roots []string
	for _, pattern := range []string{goldenFiles, "../testdata/script/*.txtar"} {
		files, _ := filepath.Glob(pattern)
		for _, file := range files {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			roots = append(roots, unpack(t, a))
		}
	}
	examples, _ := filepath.Glob("../examples/*/dpb.hcl")
	for _, file := range examples {
		roots = append(roots, filepath.Dir(file))
	}
	restored, called := 0, 0
	for _, root := range roots {
		kept, fresh := keptIn(t, "a"), loadBare(root, nil)
		first := kept()
		differ(t, root, loadBare(root, first), fresh)
		save(t, first)
		again := kept()
		differ(t, root+", the second time", loadBare(root, again), fresh)
		if again.pending != nil {
			t.Errorf("%s: nothing has changed, and the second time it is kept anew", root)
		}
		again.open(&workspace{decoder: &decoder{}}, "")
		if b, err := os.ReadFile(again.file); err == nil {
			restored += len(cutEntries(string(b[len(keptMagic)+32 : len(b)-32])))
			called += len(fresh.Called)
		}
	}
	if restored < 80 || called < 30 {
		t.Errorf("only %d packages were kept, and %d functions called", restored, called)
	}
}

const keptWorkspace = `
-- dpb.hcl --
team "a" { contact = "#a" }
partition "day" {
  every = "day"
  start = "2017-06-01"
}
locals {
  rows = 5
  list = file("list.txt")
}
-- list.txt --
one
-- p/pipeline.hcl --
package { owner = "a" }
locals {
  prefix = "of"
  kinds  = toset(["x"])
  maybe  = try(file("maybe.txt"), "none")
}
source "raw" {
  partition_by = ["day"]
  path         = "${local.prefix}/${date("YYYY/MM", partition.day)}/${upper(format("%s-%s", local.prefix, partition.day))}.csv"
  columns      = { id = "BIGINT" }
}
target "t" {
  description = local.list
  inputs      = [":raw"]
  sql         = file("t.sql")
  output "t" {
    expect "some" { that = rows > local.rows }
  }
}
target "c" {
  inputs  = { files = "data/**/*.csv" }
  command = ["sh", "run.sh", "job.sh", input.files, output.c]
  code    = ["run.sh"]
  output "c" { path = "c.txt" }
}
-- p/t.sql --
SELECT 1 AS id
-- p/run.sh --
exit 0
-- p/data/a/1.csv --
id
-- q/pipeline.hcl --
target "u" { sql = "SELECT 2 AS id" }
`

// TestKeptSeesChanges changes a workspace in ways that a look at times and sizes would miss. What was kept must not show.
func TestKeptSeesChanges(t *testing.T) {
	replace := func(file, from, to string) func(string) error {
		return func(root string) error {
			name := filepath.Join(root, file)
			info, err := os.Stat(name)
			if err != nil {
				return err
			}
			b, err := os.ReadFile(name)
			if err != nil || !bytes.Contains(b, []byte(from)) {
				return fmt.Errorf("%s holds no %q: %v", file, from, err)
			}
			if err := os.WriteFile(name, bytes.Replace(b, []byte(from), []byte(to), 1), 0o666); err != nil {
				return err
			}
			return os.Chtimes(name, info.ModTime(), info.ModTime()) // as if nothing had happened
		}
	}
	write := func(file, text string) func(string) error {
		return func(root string) error {
			writeFile(t, filepath.Join(root, file), []byte(text))
			return nil
		}
	}
	do := func(steps ...func(root string) error) func(string) error {
		return func(root string) error {
			for _, step := range steps {
				if err := step(root); err != nil {
					return err
				}
			}
			return nil
		}
	}
	rename := func(from, to string) func(string) error {
		return func(root string) error { return os.Rename(filepath.Join(root, from), filepath.Join(root, to)) }
	}
	remove := func(file string) func(string) error {
		return func(root string) error { return os.RemoveAll(filepath.Join(root, file)) }
	}
	link := func(to, file string) func(string) error {
		return func(root string) error { return os.Symlink(to, filepath.Join(root, file)) }
	}
	outside := filepath.Join(t.TempDir(), "t.sql")
	writeFile(t, outside, []byte("SELECT 1 AS id\n"))

	for what, change := range map[string]func(root string) error{
		"a comment only, which moves what follows":           replace("p/pipeline.hcl", "target \"t\"", "# a comment\ntarget \"t\""),
		"as many bytes, with the time of before":             replace("p/pipeline.hcl", "rows > local.rows", "rows < local.rows"),
		"white space that moves nothing but itself":          replace("p/pipeline.hcl", "that = rows", "that =  rows"),
		"the SQL, with the time of before":                   replace("p/t.sql", "1", "2"),
		"the SQL is gone":                                    remove("p/t.sql"),
		"the SQL is another file":                            do(write("p/new", "SELECT 3 AS id\n"), rename("p/new", "p/t.sql")),
		"the SQL is a link that leads out":                   do(remove("p/t.sql"), link(outside, "p/t.sql")),
		"the folder has another name":                        rename("p", "r"),
		"two folders change places":                          do(rename("p", "x"), rename("q", "p"), rename("x", "q")),
		"a package is gone":                                  remove("q/pipeline.hcl"),
		"a package is new":                                   write("n/pipeline.hcl", "target \"n\" { sql = \"SELECT 1\" }\n"),
		"a folder is a workspace of its own":                 write("p/dpb.hcl", ""),
		"a file that was missing is there":                   write("p/maybe.txt", "some"),
		"a glob matches nothing any more":                    remove("p/data/a/1.csv"),
		"code is gone":                                       remove("p/run.sh"),
		"an argument is a file that the job won't see":       write("p/job.sh", ""),
		"an argument is a folder":                            func(root string) error { return os.Mkdir(filepath.Join(root, "p/job.sh"), 0o777) },
		"dpb.hcl has another local":                          replace("dpb.hcl", "rows = 5", "rows = 6"),
		"dpb.hcl has another team":                           replace("dpb.hcl", `team "a"`, `team "b"`),
		"dpb.hcl has another start":                          replace("dpb.hcl", "06-01", "06-02"),
		"dpb.hcl is gone":                                    remove("dpb.hcl"),
		"a file that dpb.hcl reads, with the time of before": replace("list.txt", "one", "two"),
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			root, kept := unpack(t, txtar.Parse([]byte(keptWorkspace))), keptIn(t, "a")
			k := kept()
			before := loadBare(root, k)
			if engine.HasErrors(before.Problems) || !save(t, k) {
				t.Fatalf("nothing was kept: %v", before.Problems)
			}
			if err := change(root); err != nil {
				t.Fatal(err)
			}
			fresh := loadBare(root, nil)
			if reflect.DeepEqual(fresh, before) && what != "an argument is a folder" {
				t.Fatal("the change changes nothing")
			}
			k = kept()
			differ(t, "after the change", loadBare(root, k), fresh)
			save(t, k)
			differ(t, "and again", loadBare(root, kept()), fresh)
		})
	}
}

// TestKeptByOthers holds that only the same dpb takes what was kept, and for one package of two what has not changed.
func TestKeptByOthers(t *testing.T) {
	root := unpack(t, txtar.Parse([]byte(keptWorkspace)))
	file := filepath.Join(t.TempDir(), "packages")
	by := func(program string) *Kept {
		return &Kept{Program: program, File: func(string) string { return file }}
	}
	entries := func(k *Kept) (out []string) {
		ws := &workspace{root: root, teams: map[string]bool{}, dims: map[string]*dimension{}}
		w := ws.load("0.5.0")
		k.open(ws, w.StorePath)
		for pkg, entry := range k.entries {
			if ws.restore(pkg, entry) != nil {
				out = append(out, pkg)
			}
		}
		slices.Sort(out)
		return out
	}
	k := by("a")
	loadBare(root, k)
	save(t, k)
	want := func(what, program, packages string) {
		t.Helper()
		equal(t, what, strings.Join(entries(by(program)), " "), packages)
	}
	want("package p asks for a file that is not there", "a", "q")
	want("another dpb", "b", "")
	want("one that can't be told", "", "")
	writeFile(t, filepath.Join(root, "p/maybe.txt"), nil)
	k = by("a")
	loadBare(root, k)
	save(t, k)
	want("both packages", "a", "p q")
	b, _ := os.ReadFile(filepath.Join(root, "p", PackageFile))
	writeFile(t, filepath.Join(root, "p", PackageFile), bytes.Replace(b, []byte(`"%s-%s", local.prefix`), []byte(`"%s-%s", join("", local.kinds)`), 1))
	k = by("a")
	loadBare(root, k)
	save(t, k)
	want("a path is computed of a set, which can't be written as it is", "a", "q")
}

// TestKeptDamaged cuts what was kept at every byte and changes every byte: it is ignored, and written anew.
func TestKeptDamaged(t *testing.T) {
	root, kept := unpack(t, txtar.Parse([]byte(strings.ReplaceAll(keptWorkspace, "try(file(\"maybe.txt\"), \"none\")", "1")))), keptIn(t, "a")
	k := kept()
	fresh := loadBare(root, k)
	save(t, k)
	good, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(good); n += 7 {
		for _, bad := range [][]byte{good[:n], append(bytes.Clone(good[:n]), append([]byte{good[n] ^ 1}, good[n+1:]...)...)} {
			writeFile(t, k.file, bad)
			again := kept()
			w, _, problems := Load(root, Options{Version: "0.5.0", Kept: again})
			if len(w.Targets) != len(fresh.Workspace.Targets) || !reflect.DeepEqual(problems, fresh.Problems) || again.pending == nil {
				t.Fatalf("damage at byte %d was taken for good", n)
			}
		}
	}
	again := kept()
	loadBare(root, again)
	save(t, again)
	if b, _ := os.ReadFile(again.file); !bytes.Equal(b, good) {
		t.Error("it was not written as before")
	}
}

// TestKeptTogether loads on several goroutines at once while the workspace changes.
func TestKeptTogether(t *testing.T) {
	root, kept := unpack(t, txtar.Parse([]byte(keptWorkspace))), keptIn(t, "a")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for k := range 25 {
				k1 := kept()
				w, _, _ := Load(root, Options{Kept: k1})
				_ = k1.Save()
				if s := w.Targets[len(w.Targets)-1].SQL[0].Text; s != "SELECT 2 AS id" && s != "SELECT 4 AS id" {
					t.Errorf("%d: read %q", k, s)
				}
			}
		})
	}
	for k := range 50 {
		tmp := filepath.Join(root, "q/.next")
		writeFile(t, tmp, fmt.Appendf(nil, "target \"u\" { sql = \"SELECT %d AS id\" }\n", 2+k%2*2))
		if err := os.Rename(tmp, filepath.Join(root, "q/pipeline.hcl")); err != nil {
			t.Fatal(err)
		}
	}
	all.Wait()
	differ(t, "afterwards", loadBare(root, kept()), loadBare(root, nil))
}

// FuzzUnpacked reads any bytes as a package that was kept. Nothing may panic, and what is read is written as it was.
func FuzzUnpacked(f *testing.F) {
	ws := &workspace{root: unpack(f, txtar.Parse([]byte(keptWorkspace))), teams: map[string]bool{"a": true}, dims: map[string]*dimension{}}
	ws.load("")
	f.Add(ws.loadPackage("q").entry())
	f.Add("")
	f.Add("\xff\xff\xff\xff\xff\xff\xff\xff\x7f")
	f.Fuzz(func(t *testing.T, b string) {
		var e, again keptEntry
		if d := ws.packageDecoder("p"); !unpacked(b, &e, d.complete) {
			return
		}
		none := func(reflect.Value) {}
		text := packed(&e)
		if !unpacked(string(text), &again, none) || !bytes.Equal(packed(&again), text) {
			t.Errorf("%q is not read as it was written", b)
		}
	})
}

// BenchmarkKept loads a workspace of many packages from what was kept.
func BenchmarkKept(b *testing.B) {
	root, kept := b.TempDir(), keptIn(b, "a")
	for p := range 200 {
		text, name := fmt.Sprintf("source \"raw\" { path = \"%d.csv\" }\n", p), filepath.Join(root, fmt.Sprintf("p%d", p), PackageFile)
		for k := range 20 {
			text += fmt.Sprintf("target \"t%d\" {\n  inputs = [\":raw\"]\n  command = [\"true\", input.raw]\n  output \"t%d\" {\n    path = \"x.csv\"\n    columns = { id = \"BIGINT\", name = \"VARCHAR\" }\n    expect \"some\" { that = rows > 0 }\n  }\n}\n", k, k)
		}
		writeFile(b, name, []byte(text))
	}
	k := kept()
	Load(root, Options{Kept: k})
	save(b, k)
	for b.Loop() {
		Load(root, Options{Kept: kept()})
	}
}
