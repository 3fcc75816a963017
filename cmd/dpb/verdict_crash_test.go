package main

import (
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/ledger"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// endless is a metric that nobody waits for.
const endless = "SELECT count(*) FROM range(10000000) a, range(10000000) b, big WHERE hash(a.range, b.range) = 7"

var judgedSlowly = map[string]string{
	"dpb.hcl": "",
	"pipeline.hcl": `
target "big" {
  command = ["sh", "-c", "printf 'n\\n1\\n2\\n' > $DPB_OUTPUT_BIG; echo ran >> $COUNTED"]
  env     = { COUNTED = "COUNT" }
  output "big" {
    path    = "big.csv"
    columns = { n = "BIGINT" }
    metric "slow" { sql = "` + endless + `" }
    expect "known" { that = metric.slow >= 0 }
  }
}
target "after" {
  inputs = [":big"]
  sql    = "SELECT sum(n) AS n FROM big"
  output "after" { path = "after.csv" }
}
`}

// TestKilledBeforeTheVerdict kills dpb after the job and before the verdict: the job is not run again, and the verdict is made.
func TestKilledBeforeTheVerdict(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("without DuckDB")
	}
	dir := t.TempDir()
	counter := filepath.Join(t.TempDir(), "jobs")
	files := map[string]string{"dpb.hcl": judgedSlowly["dpb.hcl"], "pipeline.hcl": strings.Replace(judgedSlowly["pipeline.hcl"], "COUNT\"", counter+"\"", 1)}
	write(t, dir, files)
	p := start(t, dir, "build", "--sandbox", "off", "-v")
	defer p.Wait()
	p.until(t, "^running //:big", 1)
	for !recorded(t, dir) { // the ledger tells when the job's result is safe
		if p.ProcessState != nil {
			t.Fatal("dpb ended before the verdict")
		}
	}
	if err := p.Process.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	p.Wait()
	if out, _ := command(t, dir, "status", "//:big").Output(); !strings.Contains(string(out), "has to be measured and judged") {
		t.Errorf("after the kill: %s", out)
	}
	files["pipeline.hcl"] = strings.Replace(files["pipeline.hcl"], endless, "count(*)", 1)
	write(t, dir, files)
	out, err := command(t, dir, "build", "--sandbox", "off").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if got := jobsIn(strings.Split(string(out), "\n")); !slices.Equal(got, []string{"//:after"}) {
		t.Errorf("these jobs ran: %v\n%s", got, out)
	}
	if got := contents(t, filepath.Dir(counter)); got != "jobs: \"ran\\n\"\n" {
		t.Errorf("the job ran more than once: %s", got)
	}
}

// recorded says whether the ledger has a run of //:big.
func recorded(t *testing.T, dir string) bool {
	t.Helper()
	l, err := ledger.OpenReadOnly(filepath.Join(dir, ".dpb"))
	if err != nil {
		return false
	}
	defer l.Close()
	runs, err := l.Runs("", engine.Label{Name: "big"}, "")
	if err != nil {
		t.Fatal(err)
	}
	return len(runs) > 0
}
