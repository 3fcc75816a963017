package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// runEvent is what tests read of an event.
type runEvent struct {
	Type string `json:"eventType"`
	Run  struct {
		ID     string                     `json:"runId"`
		Facets map[string]json.RawMessage `json:"facets"`
	} `json:"run"`
	Job struct {
		Name string `json:"name"`
	} `json:"job"`
	Outputs []struct{ Facets map[string]json.RawMessage }
}

func readEvents(t testing.TB, lines string) (out []runEvent) {
	t.Helper()
	for line := range strings.Lines(lines) {
		out = append(out, readEvent(t, line))
	}
	return out
}

func readEvent(t testing.TB, line string) (e runEvent) {
	t.Helper()
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return e
}

// String is the event's type with its job and partition.
func (e runEvent) String() string {
	var f struct{ Tags []struct{ Key, Value string } }
	_ = json.Unmarshal(e.Run.Facets["tags"], &f)
	for _, tag := range f.Tags {
		if tag.Key == "partition" {
			return e.Type + " " + e.Job.Name + "@" + tag.Value
		}
	}
	return e.Type + " " + e.Job.Name
}

// told says what events a file holds, in any order, and takes them away.
func told(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args)%2 == 0 {
		ts.Fatalf("usage: told FILE [TYPE JOB@PARTITION]...")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	if err != nil && !os.IsNotExist(err) {
		ts.Check(err)
	}
	var got, want []string
	for line := range strings.Lines(string(text)) {
		var e runEvent
		ts.Check(json.Unmarshal([]byte(line), &e))
		got = append(got, e.String())
	}
	for pair := range slices.Chunk(args[1:], 2) {
		want = append(want, strings.Join(pair, " "))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		ts.Fatalf("these events were told:\n  %s\nexpected:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	ts.Check(os.WriteFile(ts.MkAbs("told"), text, 0o666))
	ts.Check(os.RemoveAll(ts.MkAbs(args[0])))
}

// published are the schemas that OpenLineage publishes. Tests that need them skip where they are not to be had.
type published struct {
	t        testing.TB
	compiler *jsonschema.Compiler
	docs     map[string]map[string]any // by id
}

const schemasVar = "DPB_OPENLINEAGE"

func openSchemas(t testing.TB) *published {
	t.Helper()
	dir := os.Getenv(schemasVar)
	if dir == "" {
		dir = "../../../shared/openlineage"
	}
	files, err := filepath.Glob(filepath.Join(dir, "facets", "*.json"))
	if err != nil || len(files) == 0 {
		t.Skipf("the schemas of OpenLineage are not here: %s names the folder of OpenLineage.json", schemasVar)
	}
	p := &published{t, jsonschema.NewCompiler(), map[string]map[string]any{}}
	p.compiler.AssertFormat()
	for _, file := range append(files, filepath.Join(dir, "OpenLineage.json")) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		id := doc.(map[string]any)["$id"].(string)
		p.docs[id] = doc.(map[string]any)
		if err := p.compiler.AddResource(id, doc); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// check validates an event, and each of its facets by the schema that it names.
func (p *published) check(line string) {
	p.t.Helper()
	e, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
	if err != nil {
		p.t.Fatal(err)
	}
	event := e.(map[string]any)
	p.valid(event["schemaURL"].(string), event)
	all := []any{event["run"], event["job"]}
	for _, list := range []any{event["inputs"], event["outputs"]} {
		if list != nil {
			all = append(all, list.([]any)...)
		}
	}
	for _, x := range all {
		for _, kind := range []string{"facets", "inputFacets", "outputFacets"} {
			if facets, ok := x.(map[string]any)[kind]; ok {
				p.checkFacets(facets.(map[string]any))
			}
		}
	}
}

func (p *published) checkFacets(facets map[string]any) {
	p.t.Helper()
	for _, name := range slices.Sorted(maps.Keys(facets)) {
		facet := facets[name].(map[string]any)
		at := facet["_schemaURL"].(string)
		p.valid(at, facet)
		id, pointer, _ := strings.Cut(at, "#")
		doc := p.docs[id]
		if doc == nil || doc["properties"].(map[string]any)[name] == nil {
			p.t.Errorf("%s is no name for a facet of %s", name, at)
			continue
		}
		// Schemas allow what they don't name, so a name that is misspelt would be valid.
		text, _ := json.Marshal(doc["$defs"])
		for key := range facet {
			if !strings.HasPrefix(key, "_") && !bytes.Contains(text, []byte(`"`+key+`":{`)) {
				p.t.Errorf("%s: %s does not know %s", pointer, id, key)
			}
		}
	}
}

func (p *published) valid(schema string, x any) {
	p.t.Helper()
	s, err := p.compiler.Compile(schema)
	if err == nil {
		err = s.Validate(x)
	}
	if err != nil {
		text, _ := json.MarshalIndent(x, "", "  ")
		p.t.Errorf("%v\n%s", err, text)
	}
}

// fates is a workspace whose jobs come to all ends: they succeed, fail, are held, and one waits at a gate.
func fates(g gate, events string) map[string]string {
	return map[string]string{
		"raw/2017-06-01.csv": "id,amount,name\n1,2.5,ann\n2,,bob\n3,9,eve\n",
		"raw/2017-06-02.csv": "id,amount,name\n1,0.5,zoe\n",
		"dpb.hcl": fmt.Sprintf(`
workspace "shop" {}
team "ops" { contact = "ops@example.com" }
partition "day" {
  every = "day"
  start = "2017-06-01"
  end   = "2017-06-02"
}
events { openlineage = %q }
`, events),
		"pipeline.hcl": fmt.Sprintf(`
package { owner = "ops" }
source "raw" {
  partition_by = ["day"]
  path         = "raw/${partition.day}.csv"
  columns      = { id = "BIGINT NOT NULL", amount = "DECIMAL(18,2)", name = "VARCHAR" }
}
target "good" {
  description  = "What is not too much"
  partition_by = ["day"]
  input "raw" {
    from = ":raw"
    expect "some" { that = rows > 0 }
  }
  sql = "SELECT * FROM raw"
  output "good" {
    key = ["id"]
    expect "cheap" {
      that     = column.amount.max < 2
      severity = "warn"
    }
    expect "like_before" {
      prior = 5
      that  = rows > prior[0].rows
    }
    reject "dear" {
      where = "amount > 5"
      limit = "50%%"
    }
  }
}
target "held" {
  inputs = [":good"]
  sql = {
    big   = "SELECT * FROM good"
    small = "SELECT 1 AS one"
  }
  output "big" {
    expect "many" {
      that    = rows > 1000
      message = "too few"
    }
  }
  output "small" {}
}
target "bad" {
  inputs  = { files = "raw/*.csv" }
  command = ["sh", "-c", "exit 3"]
  output "bad" { path = "bad/" }
}
target "gated" {
  inputs  = [":good"]
  command = ["sh", "-c", %q]
  output "gated" { path = "gated.txt" }
}
`, g.script()+"; exit 4")}
}

// TestLineageEvents validates the events of jobs that come to all ends.
func TestLineageEvents(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("it needs the SQL engine")
	}
	schemas := openSchemas(t)
	g, dir := newGate(t), t.TempDir()
	write(t, dir, fates(g, "events.ndjson"))
	p := start(t, dir, unboxed("-k", "-j", "2")...)
	g.await()
	p.until(t, "^held //:held", 1)
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for p.stderr.Scan() { // to its end
	}
	if code := exitCodeOf(p.Wait()); code != 130 {
		t.Errorf("the exit code is %d", code)
	}
	text, err := os.ReadFile(filepath.Join(dir, "events.ndjson"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	ids := map[string][]string{}
	for _, e := range readEvents(t, string(text)) {
		got = append(got, e.String())
		ids[e.Run.ID] = append(ids[e.Run.ID], e.Type)
	}
	for line := range strings.Lines(string(text)) {
		schemas.check(line)
	}
	slices.Sort(got)
	want := []string{"ABORT //:gated", "ABORT build", "COMPLETE //:good@day=2017-06-01", "COMPLETE //:good@day=2017-06-02", "COMPLETE //:held", "FAIL //:bad", "START //:bad", "START //:gated",
		"START //:good@day=2017-06-01", "START //:good@day=2017-06-02", "START //:held", "START build"}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n  %s", strings.Join(got, "\n  "))
	}
	for id, types := range ids {
		if len(types) != 2 || types[0] != "START" {
			t.Errorf("run %s has %v", id, types)
		}
	}
}
