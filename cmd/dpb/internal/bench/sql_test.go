package bench

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// playsQuery makes the rows that the models read.
const playsQuery = `SELECT range AS event_id, range * 7919 %% 1700000 AS user_id, range * 104729 %% 50000 AS track_id, chr((65 + range %% 6)::INT) || chr((65 + range %% 10)::INT) AS country,
  TIMESTAMP '2024-01-01 00:00:00' + to_milliseconds(range * 864) AS played_at, range * 31 %% 300000 AS ms FROM range(%d)`

// models are three, each of which reads the one before; %s is what the first reads.
var models = []struct{ name, reads, sql string }{
	{"stg_plays", "plays", "SELECT event_id, user_id, track_id, lower(country) AS country, CAST(played_at AS DATE) AS day, ms FROM %s WHERE ms >= 30000"},
	{"tracks", "stg_plays", "SELECT track_id, country, count(*) AS plays, CAST(sum(ms) AS BIGINT) AS ms, count(DISTINCT user_id) AS listeners FROM %s GROUP BY track_id, country"},
	{"countries", "tracks", "SELECT country, CAST(sum(plays) AS BIGINT) AS plays, CAST(sum(ms) AS BIGINT) AS ms, count(*) AS tracks FROM %s GROUP BY country"},
}

// pipelines measures three models, from nothing and with nothing to do, beside dbt and SQLMesh on DuckDB, which make tables of a database of them.
func pipelines(b *bench) {
	rows := counted(b, []int{10_000_000}, []int{100_000})[0]
	plays := b.plays(rows)
	each := b.inDPB(plays)
	peers := []struct {
		name string
		each []func() usage
	}{{"dbt-duckdb", b.inDBT(plays)}, {"SQLMesh", b.inSQLMesh(plays)}}
	for _, p := range peers {
		each = append(each, p.each...)
	}
	s := inTurnOrdered(of(b, 3, 1), each...)
	for k, what := range []string{fmt.Sprintf("three SQL models over %s rows, from nothing", thousands(rows)), "the same, nothing to do"} {
		next := 2
		for _, p := range peers {
			var beside series
			if p.each != nil {
				beside = s[next+k]
				next += 2
			}
			b.rows = append(b.rows, row{What: what, Unit: "s", DPB: s[k].wall(), Peer: p.name, Beside: beside.wall(), Note: absent(beside), Aim: []aim{{AtMost: 1}, {AtMost: 1.0 / 20}}[k]})
		}
	}
}

// inTurnOrdered is inTurn where what follows builds on what came before.
func inTurnOrdered(times int, each ...func() usage) []series {
	out := make([]series, len(each))
	for range times {
		for k := range each {
			out[k] = append(out[k], each[k]())
		}
	}
	return out
}

// plays writes the rows, by dpb, and returns the file.
func (b *bench) plays(rows int) string {
	dir := mkdir(b.dir, "plays")
	put(dir, "pipeline.hcl", "target \"plays\" {\n  sql = <<-SQL\n"+fmt.Sprintf(playsQuery, rows)+"\n  SQL\n  output \"plays\" { path = \"plays.parquet\" }\n}\n")
	timed(dir, b.dpb, "build", "--progress", "quiet")
	found, err := filepath.Glob(filepath.Join(dir, "dpb-out/*/plays.parquet"))
	try(err)
	if len(found) != 1 {
		try(fmt.Errorf("no file in %s", dir))
	}
	return found[0]
}

func (b *bench) inDPB(plays string) []func() usage {
	dir := mkdir(b.dir, "sql")
	text := fmt.Sprintf("source \"plays\" { path = %q }\n", plays)
	for _, m := range models {
		text += fmt.Sprintf("target %q {\n  inputs = [%q]\n  sql    = <<-SQL\n%s\n  SQL\n  output %q { path = \"%s.parquet\" }\n}\n", m.name, ":"+m.reads, fmt.Sprintf(m.sql, m.reads), m.name, m.name)
	}
	put(dir, "pipeline.hcl", text)
	build := func() usage { return timed(dir, b.dpb, "build", "--progress", "quiet") }
	return []func() usage{func() usage {
		try(errors.Join(os.RemoveAll(filepath.Join(dir, ".dpb")), os.RemoveAll(filepath.Join(dir, "dpb-out"))))
		return build()
	}, build}
}

// inDBT has dbt make tables of all models, and then of those that changed since, of which there are none.
func (b *bench) inDBT(plays string) []func() usage {
	dbt := lookFor("dbt")
	if dbt == "" {
		return nil
	}
	dir := mkdir(b.dir, "dbt")
	put(dir, "dbt_project.yml", "name: bench\nversion: '1.0.0'\nprofile: bench\nflags:\n  send_anonymous_usage_stats: false\nmodels:\n  +materialized: table\n")
	put(dir, "profiles.yml", "bench:\n  target: dev\n  outputs:\n    dev:\n      type: duckdb\n      path: bench.duckdb\n      threads: 2\n")
	for _, m := range models {
		from := fmt.Sprintf("{{ ref('%s') }}", m.reads)
		if m.reads == "plays" {
			from = fmt.Sprintf("read_parquet('%s')", plays)
		}
		put(dir, "models/"+m.name+".sql", fmt.Sprintf(m.sql, from))
	}
	return []func() usage{func() usage {
		for _, name := range []string{"bench.duckdb", "target", "before"} {
			try(os.RemoveAll(filepath.Join(dir, name)))
		}
		u := b.quietly(dir, dbt, "run", "--profiles-dir", ".")
		mkdir(dir, "before")
		timed(dir, "cp", "target/manifest.json", "before/")
		return u
	}, func() usage {
		return b.quietly(dir, dbt, "run", "--profiles-dir", ".", "--select", "state:modified+", "--state", "before")
	}}
}

// inSQLMesh has SQLMesh plan and apply, twice.
func (b *bench) inSQLMesh(plays string) []func() usage {
	sqlmesh := lookFor("sqlmesh")
	if sqlmesh == "" {
		return nil
	}
	dir := mkdir(b.dir, "sqlmesh")
	put(dir, "config.yaml", "gateways:\n  local:\n    connection:\n      type: duckdb\n      database: bench.duckdb\ndefault_gateway: local\nmodel_defaults:\n  dialect: duckdb\n  start: 2024-01-01\n")
	for _, m := range models {
		from := "bench." + m.reads
		if m.reads == "plays" {
			from = fmt.Sprintf("read_parquet('%s')", plays)
		}
		put(dir, "models/"+m.name+".sql", fmt.Sprintf("MODEL (name bench.%s, kind FULL);\n%s;\n", m.name, fmt.Sprintf(m.sql, from)))
	}
	apply := func() usage { return b.quietly(dir, sqlmesh, "plan", "--auto-apply", "--no-prompts") }
	return []func() usage{func() usage {
		for _, name := range []string{"bench.duckdb", ".cache", "logs"} {
			try(os.RemoveAll(filepath.Join(dir, name)))
		}
		return apply()
	}, apply}
}
