package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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
	Inputs, Outputs []struct{ Facets map[string]json.RawMessage }
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

// listener is an OpenLineage server that keeps what it is told.
type listener struct {
	*httptest.Server
	mu     sync.Mutex
	lines  []string
	keys   map[string]int // what was sent as Authorization
	paths  map[string]int
	answer int
}

func listen(t *testing.T) *listener {
	t.Helper()
	l := &listener{keys: map[string]int{}, paths: map[string]int{}, answer: http.StatusCreated}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.keys[r.Header.Get("Authorization")]++
		l.paths[r.Method+" "+r.URL.Path]++
		if l.answer/100 == 2 {
			l.lines = append(l.lines, string(body))
		}
		w.WriteHeader(l.answer)
	}))
	t.Cleanup(l.Close)
	return l
}

func (l *listener) heard() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

// awaitAll builds until all that waited is delivered: what a build does not deliver, the next ones do. An event whose answer a build did not await comes again.
func (l *listener) awaitAll(t *testing.T, dir string, want int) (out []runEvent) {
	t.Helper()
	for len(slices.Compact(l.heard())) < want {
		lineageBuild(t, dir)
	}
	return readEvents(t, strings.Join(slices.Compact(l.heard()), ""))
}

const lineageKey = "S3CRET"

// lineageBuild builds and returns what was said.
func lineageBuild(t *testing.T, dir string) string {
	t.Helper()
	c := command(t, dir, unboxed("-j", "1")...)
	c.Env = append(c.Env, "OPENLINEAGE_API_KEY="+lineageKey)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), lineageKey) {
		t.Errorf("the key is shown: %s", out)
	}
	return string(out)
}

// chain is a workspace of two jobs that tells url of its runs.
func chain(url string) map[string]string {
	return map[string]string{
		"dpb.hcl": fmt.Sprintf("workspace \"shop\" {}\nevents { openlineage = %q }\n", url),
		"pipeline.hcl": `
target "a" {
  command = ["sh", "-c", "echo 1 > $DPB_OUTPUT_A"]
  output "a" { path = "a.txt" }
}
target "b" {
  inputs  = [":a"]
  command = ["sh", "-c", "echo 2 > $DPB_OUTPUT_B"]
  output "b" { path = "b.txt" }
}
`}
}

func texts(events []runEvent) string {
	var out []string
	for _, e := range events {
		out = append(out, e.String())
	}
	return strings.Join(out, ", ")
}

// TestLineageServer tells a server of a build: all events, in order, with the key. The version that a reads by b is the one that a's run made.
func TestLineageServer(t *testing.T) {
	l, dir := listen(t), t.TempDir()
	write(t, dir, chain(l.URL))
	lineageBuild(t, dir)
	events := l.awaitAll(t, dir, 6)
	if got, want := texts(events), "START build, START //:a, COMPLETE //:a, START //:b, COMPLETE //:b, COMPLETE build"; got != want && got != swapped(want) {
		t.Errorf("it heard %s", got)
	}
	if len(l.keys) != 1 || len(l.paths) != 1 || l.keys["Bearer "+lineageKey] < 6 || l.paths["POST /api/v1/lineage"] < 6 {
		t.Errorf("it was asked by %v with %v", l.paths, l.keys)
	}
	made, read := "", ""
	for _, e := range events {
		if e.Type == "COMPLETE" && e.Job.Name == "//:a" {
			made = string(e.Outputs[0].Facets["version"])
		}
		if e.Type == "START" && e.Job.Name == "//:b" {
			read = string(e.Inputs[0].Facets["version"])
		}
	}
	if made == "" || made != read {
		t.Errorf("a made %s, and b read %s", made, read)
	}
}

// swapped is the order where b starts before the result of a is recorded.
func swapped(s string) string {
	return strings.Replace(s, "COMPLETE //:a, START //:b", "START //:b, COMPLETE //:a", 1)
}

// TestLineageHangs builds while the server keeps the first request and answers nothing. The build ends all the same, and the next ones deliver what it had to tell.
func TestLineageHangs(t *testing.T) {
	g, dir := newGate(t), t.TempDir()
	asked, gone, end := make(chan struct{}, 100), make(chan struct{}, 100), make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.ReadAll(r.Body)
		asked <- struct{}{}
		select {
		case <-r.Context().Done(): // dpb went
			gone <- struct{}{}
		case <-end:
		}
	}))
	defer hanging.Close()
	defer close(end)
	files := gated(g, ".dpb")
	files["dpb.hcl"] = chain(hanging.URL)["dpb.hcl"]
	write(t, dir, files)
	c := command(t, dir, unboxed("-j", "2")...)
	var said bytes.Buffer
	c.Stderr = &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	g.await()
	<-asked // the server has a request, and never answers it
	g.open("on")
	if err := c.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	<-gone
	if waiting := spooled(t, dir); len(waiting) != 6 {
		t.Errorf("%d events wait", len(waiting))
	}
	l := listen(t)
	write(t, dir, map[string]string{"dpb.hcl": chain(l.URL)["dpb.hcl"]})
	events := l.awaitAll(t, dir, 6)
	if got := texts(events); !strings.HasPrefix(got, "START build, START //:") || !strings.HasSuffix(got, "COMPLETE build") {
		t.Errorf("it heard %s", got)
	}
	if waiting := spooled(t, dir); len(waiting) != 0 {
		t.Errorf("%v still wait", waiting)
	}
}

// spooled lists what waits in the store, and looks for the key there.
func spooled(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ".dpb", "checkouts", "*", "events", "*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if text, err := os.ReadFile(file); err != nil || bytes.Contains(text, []byte(lineageKey)) {
			t.Errorf("%s: %v: %s", file, err, text)
		}
	}
	return files
}

// TestLineageDead tells a port where nobody listens, and servers that refuse.
func TestLineageDead(t *testing.T) {
	l, dir := listen(t), t.TempDir()
	l.Close()
	write(t, dir, chain(l.URL+"/T0KEN"))
	host := strings.TrimPrefix(l.URL, "http://")
	out := lineageBuild(t, dir)
	for !strings.Contains(out, "warning run events are not delivered to "+host+": dial tcp") { // a build may end before the first attempt does
		if strings.Contains(out, "T0KEN") || len(spooled(t, dir)) != 6 {
			t.Fatal(out)
		}
		out = lineageBuild(t, dir)
	}

	// A server that has no right answer gets them again, one that finds an event wrong does not.
	l = listen(t)
	l.answer = http.StatusForbidden
	write(t, dir, chain(l.URL))
	for !strings.Contains(out, "it answered 403 Forbidden") {
		out = lineageBuild(t, dir)
	}
	if n := len(spooled(t, dir)); n != 6 {
		t.Errorf("%d events wait", n)
	}
	l.mu.Lock()
	l.answer = http.StatusUnprocessableEntity
	l.mu.Unlock()
	all := ""
	for len(spooled(t, dir)) > 0 {
		all += lineageBuild(t, dir)
	}
	if !strings.Contains(all, "run events are lost: ") || !strings.Contains(all, "it answered 422 Unprocessable Entity") {
		t.Error(all)
	}
}
