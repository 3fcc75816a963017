package hcl

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// fullText is a workspace that uses every attribute.
const fullText = `
-- dpb.hcl --
workspace "soundcloud" {
  requires = ">= 0.1, < 3"
}
team "trust-and-safety" { contact = "#trust-safety" }
team "royalties" {
  contact = "royalties@example.com"
  notify  = ["./page.sh", "--now"]
}
team "hooks" { notify = "https://hooks.example.com/x" }

partition "day" {
  every = "day"
  start = "2017-06-01"
  end   = "2017-06-14"
}
partition "hour" {
  every    = "hour"
  start    = "2017-06-01T00"
  timezone = "Etc/GMT-1"
}
partition "country" { values = ["DE", "FR"] }
store {
  path          = "../store"
  keep_versions = 3
  keep_days     = 14
  max_size      = "200GB"
}
events { openlineage = "http://marquez:5000" }
locals {
  minimum = local.base * 10
  base    = 100
  unused  = [for c in ["a", "b"] : upper(c)]
}
-- spam/score.py --
-- spam/lib/a/b.py --
-- spam/pipeline.hcl --
package {
  owner      = "trust-and-safety"
  visibility = ["//reports/...", "//recommend:all", ":classified"]
}
locals {
  limits = { low = 0.01, high = 0.30 }
  args   = ["--fast", "--level=${local.base}"]
}

source "raw" {
  partition_by = ["day"]
  path    = "raw/${partition.day}/*.ndjson"
  columns = { event_id = "BIGINT NOT NULL", "User Id" = "int8", COUNTRY = "text", played_at = "TIMESTAMP", p = "decimal(18, 2)" }
  due     = "+6h"
  expect "some" { that = rows > 0 && column.played_at.min >= "2017-06-01" }
}
source "hourly" {
  partition_by = ["hour", "country"]
  path  = "/data/${lower(partition.country)}/${date("YYYY/MM/DD/hh", partition.hour)}.csv.gz"
  start = "2017-06-01T10"
  keep  = false
}

target "classified" {
  description  = "Every play with the probability that it is spam"
  partition_by = ["day"]

  input "plays" {
    from = "//plays:plays"
    expect "volume" {
      that    = rows >= local.minimum && length([for p in parts : p if p.metric.x > 1]) == 0
      message = "too few plays to score"
    }
  }

  sql = file("classify.sql")

  output "classified" {
    path    = "classified.ndjson"
    key     = ["event_id"]
    columns = { event_id = "BIGINT NOT NULL", is_spam = "BOOLEAN", confidence = "DOUBLE" }
    references = { event_id = "//plays:plays.events" }

    metric "spam_rate" { sql = "avg(is_spam::INT)" }

    reject "unscored" {
      where = "confidence IS NULL"
      limit = "0.1%"
    }
    reject "broken" {
      unreadable = true
      limit      = 5
    }
    expect "plausible" {
      that    = range(metric.spam_rate, local.limits.low, local.limits.high)
      message = "share of spam outside 1 to 30 %"
    }
    expect "no_jump" {
      prior    = 7
      that     = abs(metric.spam_rate - mean(prior[*].metric.spam_rate)) < 0.05
      severity = "warn"
    }
  }
}

target "two" {
  inputs = [":classified", "//x:y.out"]
  sql = {
    b = <<-SQL
      SELECT 1 AS b
    SQL
    a = "SELECT 2 AS a"
  }
  output "a" {
    path      = "a/*.parquet"
    part_size = "1 GiB"
  }
  output "b" { path = "b.csv.gz" }
  freeze     = "built"
  visibility = []
}

target "scores" {
  partition_by = ["day", "country"]
  owner        = "royalties"
  tags         = ["daily", "ml"]
  start        = "2017-06-03"
  end          = "2017-06-10"
  freeze       = "built"
  timeout      = "1h30m"
  network      = true
  valid_for    = "7d"
  threads      = 4
  memory       = "2GB"
  inputs       = { rates = "rates/${partition.country}/*.csv", old = ":classified" }
  input "history" {
    from    = ":hourly"
    window  = ["first", 0]
    slice   = { hour = "2017-06-01T10", country = "DE" }
    take    = "last"
    missing = "skip_newer"
    waive   = ["plausible"]
    columns = { z = "INT[]", a = "STRUCT(x int, y MAP(TEXT, BOOL[3]))" }
  }
  command = ["python3", "score.py", input.rates, "--out=${output.scores}", partition.day, local.args[1], "${date("YYYY", partition.day)}/${partition.country}"]
  code    = ["score.py", "lib/**/*.py", "//lib:py"]
  env     = { SEED = 7, B = "x-${partition.day}", A = true, YEAR = substr(partition.day, 0, 4) }
  secrets = { TOKEN = { identity = "v1" }, OTHER = "v2" }
  tools   = ["python3", ".venv/"]

  output "features" { path = "features/" }
  output "scores" {
    path = "scores.csv"
    metric "auc" {}
    expect "good" {
      that = (
        metric.auc > 0.5 &&
        output.features.files > 0 && input.old.rows == rows && replaced != null
      )
    }
  }
}
-- spam/classify.sql --
SELECT * FROM plays
-- reports/deep/pipeline.hcl --
target "deep" {
  sql = "SELECT 1"
}
-- .hidden/pipeline.hcl --
broken {
-- dpb-out/pipeline.hcl --
broken {
-- node_modules/pipeline.hcl --
broken {
-- nested/dpb.hcl --
-- nested/pipeline.hcl --
broken {
`

func fullWorkspace(t *testing.T) *engine.Workspace { return load(t, fullText) }

func TestWorkspaceFile(t *testing.T) {
	w := fullWorkspace(t)
	equal(t, "name", w.Name, "soundcloud")
	equal(t, "requires", w.Requires, ">= 0.1, < 3")
	equal(t, "store", w.StorePath, "../store")
	equal(t, "retention", fmt.Sprint(w.Retention), fmt.Sprint(engine.Retention{KeepVersions: 3, KeepDays: 14, MaxSize: 200e9, UnseenDays: 30}))
	equal(t, "events", w.Events.URL, "http://marquez:5000")
	equal(t, "team", w.Teams[0].Name+" "+w.Teams[0].Contact, "trust-and-safety #trust-safety")
	equal(t, "notify", fmt.Sprintf("%q %q %q", w.Teams[0].Notify, w.Teams[1].Notify, w.Teams[2].Notify), `[] ["./page.sh" "--now"] ["https://hooks.example.com/x"]`)
	equal(t, "hour", fmt.Sprint(w.Dimensions[1].Unit, " ", w.Dimensions[1].Timezone, " ", w.Dimensions[1].Start), "hour Etc/GMT-1 2017-06-01T00")
	equal(t, "country", fmt.Sprint(w.Dimensions[2].Values), "[DE FR]")
	var labels []string
	for _, x := range w.Targets {
		labels = append(labels, x.Label.String())
	}
	equal(t, "labels", strings.Join(labels, " "), "//reports/deep:deep //spam:classified //spam:hourly //spam:raw //spam:scores //spam:two")
	var packages []string
	for _, p := range w.Packages {
		packages = append(packages, p.Path+"="+p.Owner)
	}
	equal(t, "packages", strings.Join(packages, " "), "reports/deep= spam=trust-and-safety")
}

func TestSources(t *testing.T) {
	w := fullWorkspace(t)
	raw := find(t, w, "raw")
	equal(t, "path", expand(t, raw.Path, engine.Partition{{Dimension: "day", Text: "2017-06-02"}}), "raw/2017-06-02/*.ndjson")
	o := raw.Outputs[0]
	equal(t, "output", fmt.Sprint(o.Name, " ", o.Path, " ", o.Shape, " ", o.Format), fmt.Sprint("raw raw/*.ndjson ", engine.Parts, " ", engine.NDJSON))
	equal(t, "columns", fmt.Sprint(o.Columns), "[{event_id BIGINT true} {User Id BIGINT false} {COUNTRY VARCHAR false} {played_at TIMESTAMP false} {p DECIMAL(18,2) false}]")
	hourly := find(t, w, "hourly")
	at := engine.Partition{{Dimension: "hour", Text: "2017-06-15T13"}, {Dimension: "country", Text: "DE"}}
	equal(t, "path", expand(t, hourly.Path, at), "/data/de/2017/06/15/13.csv.gz")
	o = hourly.Outputs[0]
	equal(t, "output", fmt.Sprint(o.Path, " ", o.Format, " ", o.Compression, " ", hourly.InPlace, " ", hourly.Start), "hourly.csv.gz csv gzip true 2017-06-01T10")
}

func TestSQLTargets(t *testing.T) {
	w := fullWorkspace(t)
	c := find(t, w, "classified")
	equal(t, "sql", c.SQL[0].File+": "+c.SQL[0].Text, "spam/classify.sql: SELECT * FROM plays\n")
	equal(t, "visibility", fmt.Sprint(c.Visibility[0], c.Visibility[1], c.Visibility[2]), "//reports/... //recommend:all //spam:classified")
	equal(t, "edge rule", c.Inputs[0].Expects[0].That, "rows >= 1000 && length([for p in parts : p if p.metric.x > 1]) == 0")
	o := c.Outputs[0]
	equal(t, "rule", o.Expects[0].That, "range(metric.spam_rate, 0.01, 0.3)")
	equal(t, "warn", fmt.Sprint(o.Expects[1].Warn, o.Expects[1].Prior), "true 7")
	equal(t, "reference", fmt.Sprint(o.References[0].Column, o.References[0].To), "event_id//plays:plays.events")
	equal(t, "share", fmt.Sprint(o.Rejects[0].IsShare, o.Rejects[0].LimitShare), "true 0.001")
	equal(t, "rows", fmt.Sprint(o.Rejects[1].IsShare, o.Rejects[1].LimitRows, o.Rejects[1].Unreadable), "false 5 true")

	two := find(t, w, "two")
	equal(t, "statements", two.SQL[0].Output+": "+two.SQL[0].Text+"; "+two.SQL[1].Output+": "+two.SQL[1].Text, "a: SELECT 2 AS a; b: SELECT 1 AS b\n")
	equal(t, "part size", fmt.Sprint(two.Outputs[0].PartSize, " ", two.Outputs[1].PartSize), "1073741824 0")
	equal(t, "inputs", fmt.Sprint(two.Inputs[0].Name, two.Inputs[0].From, two.Inputs[1].Name, two.Inputs[1].From), "classified//spam:classifiedout//x:y.out")
	if two.Visibility == nil || len(two.Visibility) != 0 {
		t.Errorf("visibility is %v, want an empty list", two.Visibility)
	}
	deep := find(t, w, "deep")
	equal(t, "default output", fmt.Sprint(deep.Outputs[0].Name, " ", deep.Outputs[0].Path, " ", deep.Outputs[0].Format), "deep deep.parquet parquet")
}

func TestCommandTargets(t *testing.T) {
	w := fullWorkspace(t)
	s := find(t, w, "scores")
	p := engine.Partition{{Dimension: "day", Text: "2017-06-15"}, {Dimension: "country", Text: "FR"}}
	var args []string
	for _, a := range s.Command {
		args = append(args, expand(t, a, p))
	}
	equal(t, "command", strings.Join(args, " "), "python3 score.py IN/rates --out=OUT/scores 2017-06-15 --level=100 2017/FR")
	var env []string
	for _, e := range s.Env {
		env = append(env, e.Name+"="+expand(t, e.Value, p))
	}
	equal(t, "env", strings.Join(env, " "), "A=true B=x-2017-06-15 SEED=7 YEAR=2017")
	equal(t, "secrets", fmt.Sprint(s.Secrets), "[{OTHER v2} {TOKEN v1}]")
	equal(t, "tools", fmt.Sprint(s.Tools), "[python3 .venv/]")
	equal(t, "code", fmt.Sprint(s.Code[1].Glob, s.Code[2].Source), "lib/**/*.py//lib:py")
	equal(t, "limits", fmt.Sprint(s.Timeout, s.ValidFor, s.Threads, s.Memory, s.Network), fmt.Sprint(90*time.Minute, 168*time.Hour, 4, 2_000_000_000, true))
	equal(t, "owner", s.Owner, "royalties")
	equal(t, "inputs", fmt.Sprint(s.Inputs[0].Name, s.Inputs[1].Name, s.Inputs[2].Name), "ratesoldhistory")
	equal(t, "glob", expand(t, s.Inputs[0].Files, p), "rates/FR/*.csv")
	h := s.Inputs[2]
	equal(t, "window", fmt.Sprint(h.Window.FromStart, h.Window.To, h.TakeLast, h.Missing, h.Waive, h.Slice), "true 0 true skip_newer [plausible] [{country DE} {hour 2017-06-01T10}]")
	equal(t, "types", h.Columns[0].Type+"; "+h.Columns[1].Type, "INTEGER[]; STRUCT(x INTEGER, y MAP(VARCHAR, BOOLEAN[3]))")
	equal(t, "folder", fmt.Sprint(s.Outputs[0].Shape == engine.Folder, s.Outputs[0].Format), "true files")
	that := s.Outputs[1].Expects[0].That
	if !strings.HasPrefix(that, "(") || !strings.HasSuffix(that, ")") {
		t.Errorf("a rule in several lines is kept as %q", that)
	}
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

func find(t *testing.T, w *engine.Workspace, name string) *engine.Target {
	t.Helper()
	i := slices.IndexFunc(w.Targets, func(x *engine.Target) bool { return x.Label.Name == name })
	if i < 0 {
		t.Fatalf("no target %s", name)
	}
	return w.Targets[i]
}

// expand gives a text with readable paths.
func expand(t *testing.T, text engine.Text, p engine.Partition) string {
	t.Helper()
	paths := engine.Paths{}
	for _, s := range text {
		if kind, name, ok := strings.Cut(s.Path, "."); ok {
			paths[s.Path] = map[string]string{"input": "IN/", "output": "OUT/"}[kind] + name
		}
	}
	got, err := text.At(p, paths)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestLoadIsDeterministic loads twice on many goroutines and compares all.
func TestLoadIsDeterministic(t *testing.T) {
	var all []string
	for range 2 {
		w := fullWorkspace(t)
		var rules strings.Builder
		for _, x := range w.Targets { // functions can't be compared
			x.Path, x.Command, x.Env = nil, nil, nil
			for _, in := range x.Inputs {
				in.Files = nil
				in.Expects = writeRules(&rules, in.Expects)
			}
			for _, o := range x.Outputs {
				o.Expects = writeRules(&rules, o.Expects)
			}
		}
		b, err := json.Marshal(w) //lint:ignore SA1026 the functions were taken out above
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(b)+rules.String())
	}
	equal(t, "workspace", all[0], all[1])
}

// writeRules writes rules without what can't be compared.
func writeRules(to *strings.Builder, xs []*engine.Expect) []*engine.Expect {
	for _, x := range xs {
		fmt.Fprintln(to, x.Name, x.That, x.Message, x.Warn, x.Prior, x.Range, x.Uses)
	}
	return nil
}
