package bench

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// load measures the load and check of many targets, at first and again, beside HCL's own parse of the same files.
func load(b *bench) {
	scale := growth{}
	targets := counted(b, []int{1000, 10_000, 100_000}, []int{200, 1000})
	for _, n := range targets {
		b.loaded(n, &scale)
	}
	if !b.small {
		scale.note = "not more: the files of 1,000,000 targets take 40 GB of memory once HCL has read them"
	}
	b.rows = append(b.rows, scale.rows()...)
}

func (b *bench) loaded(targets int, scale *growth) {
	dir := mkdir(b.dir, fmt.Sprint("load", targets))
	writeMonorepo(dir, targets)
	put(dir, "start/pipeline.hcl", "target \"start\" { sql = \"SELECT 1 AS id\" }\n")
	timed(dir, b.dpb, "build", "//start") // makes the store
	b.settled()
	first := func() usage {
		for _, name := range []string{"packages", "checked"} { // all that a load leaves for the next
			left, err := filepath.Glob(filepath.Join(dir, ".dpb/checkouts/*", name))
			try(err)
			for _, file := range left {
				try(os.Remove(file))
			}
		}
		return timed(dir, b.dpb, "validate", "--json")
	}
	if targets > 10_000 { // how it grows is all that is asked of so many
		scale.add("load and check", targets, inTurn(2, false, first)[0])
		return
	}
	s := inTurn(of(b, 5, 3), true, first,
		func() usage { return timed(dir, b.dpb, "validate", "--json") },
		func() usage { return b.act(dir, "parse", dir) })
	scale.add("load and check", targets, s[0])
	name := fmt.Sprintf("%s targets in %s packages", thousands(targets), thousands(targets/perPackage))
	var atFirst, again aim
	if targets == 10_000 {
		atFirst, again = aim{AtMost: 1.5}, aim{AtMost: 0.3}
	}
	b.rows = append(b.rows,
		row{What: "load and check of " + name, Unit: "s", DPB: s[0].wall(), Peer: "HCL's parse", Beside: s[2].wall(), Aim: atFirst},
		row{What: "the same, when nothing has changed since", Unit: "s", DPB: s[1].wall(), Peer: "HCL's parse", Beside: s[2].wall(), Aim: again})
}

const perPackage = 20

// writeMonorepo writes packages of targets such as teams have them: half of them SQL, half commands, with promised columns, rules, and inputs from their own package and the one before.
func writeMonorepo(dir string, targets int) {
	put(dir, "dpb.hcl", "team \"a\" { contact = \"#a\" }\npartition \"day\" {\n  every = \"day\"\n  start = \"2024-01-01\"\n  end = \"2024-01-31\"\n}\n")
	for p := range targets / perPackage {
		var t bytes.Buffer
		fmt.Fprintf(&t, "package {\n  owner = \"a\"\n}\nsource \"raw\" {\n  partition_by = [\"day\"]\n  path = \"raw/${partition.day}/*.csv\"\n  columns = { id = \"BIGINT NOT NULL\", name = \"VARCHAR\", amount = \"DECIMAL(12,2)\", made_at = \"TIMESTAMP\" }\n}\n")
		for k := range perPackage {
			from := "raw"
			if k > 0 {
				from = fmt.Sprintf("t%d", k-1)
			}
			in := fmt.Sprintf("  input \"x\" { from = %q }\n", ":"+from)
			if p > 0 && k%4 == 0 {
				in += fmt.Sprintf("  input \"other\" {\n    from = \"//g%d/p%d:t%d\"\n    expect \"some\" { that = rows > 0 }\n  }\n", (p-1)%20, p-1, k+1)
			}
			if k%2 == 1 {
				fmt.Fprintf(&t, target, k, "sums per name, "+fmt.Sprint(k), in, "  sql = <<-SQL\n    SELECT id, name, amount, made_at FROM x WHERE amount > 0 AND name <> 'nobody'\n  SQL\n", k, "parquet")
			} else {
				fmt.Fprintf(&t, target, k, "cleaned, "+fmt.Sprint(k), in, fmt.Sprintf("  command = [\"sh\", \"-c\", \"clean < $1 > $2\", \"clean\", input.x, output.t%d]\n  env = { SEED = %d }\n", k, k), k, "csv")
			}
		}
		put(dir, fmt.Sprintf("g%d/p%d/pipeline.hcl", p%20, p), t.String())
	}
}

const target = `
target "t%d" {
  description  = %q
  partition_by = ["day"]
%s%s
  output "t%d" {
    path    = "out.%s"
    key     = ["id"]
    columns = { id = "BIGINT NOT NULL", name = "VARCHAR", amount = "DECIMAL(12,2)", made_at = "TIMESTAMP" }
    expect "plausible" {
      that    = rows >= 1 && column.amount.nulls == 0
      message = "no rows, or amounts are missing"
    }
  }
}
`

// parseAlone has HCL parse all files below a folder, as many at once as there are processors, and does no more.
func parseAlone(args []string) error {
	var files []string
	err := filepath.WalkDir(args[0], func(path string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".hcl" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		return err
	}
	next := make(chan string)
	var wrong sync.Map
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for file := range next {
				text, err := os.ReadFile(file)
				if err != nil {
					wrong.Store(file, err)
				} else if _, problems := hclsyntax.ParseConfig(text, file, hcl.InitialPos); problems.HasErrors() {
					wrong.Store(file, problems)
				}
			}
		})
	}
	for _, file := range files {
		next <- file
	}
	close(next)
	all.Wait()
	wrong.Range(func(file, problem any) bool { err = fmt.Errorf("%v: %v", file, problem); return false })
	return err
}
