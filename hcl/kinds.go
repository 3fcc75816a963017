package hcl

import (
	"maps"
	"slices"
	"strings"
)

// kind says what may stand in a block.
type kind struct {
	name   string
	label  string // an example of its label; "" for a block without
	once   bool   // at most one of it without label
	attrs  []string
	blocks []string
}

// article is the kind as it stands in a sentence: "an output block".
func (k *kind) article() string {
	if k.name == "" {
		return "this file"
	}
	if strings.ContainsAny(k.name[:1], "aeiou") {
		return "an " + k.name + " block"
	}
	return "a " + k.name + " block"
}

var ruleBlocks = []string{"metric", "expect", "reject"}

// What stands in a file outside of any block.
var (
	workspaceKind = &kind{blocks: []string{"workspace", "team", "partition", "store", "events", "locals"}}
	packageKind   = &kind{blocks: []string{"package", "locals", "source", "target"}}
)

var kinds = byName(
	&kind{name: "workspace", label: "name", once: true, attrs: []string{"requires", "lock"}},
	&kind{name: "team", label: "name", attrs: []string{"contact", "notify"}},
	&kind{name: "partition", label: "day", attrs: []string{"every", "start", "end", "timezone", "values", "from_source"}},
	&kind{name: "store", once: true, attrs: []string{"path", "keep_versions", "keep_days", "max_size", "unseen_days"}},
	&kind{name: "events", once: true, attrs: []string{"openlineage"}},
	&kind{name: "locals"},
	&kind{name: "package", once: true, attrs: []string{"owner", "visibility"}},
	&kind{
		name: "source", label: "name", blocks: ruleBlocks,
		attrs: []string{"path", "partition_by", "columns", "owner", "description", "start", "end", "due", "keep"},
	},
	&kind{
		name: "target", label: "name", blocks: []string{"input", "output"},
		attrs: []string{
			"inputs", "sql", "command", "code", "env", "secrets", "tools", "image", "timeout", "network", "valid_for", "partition_by", "start", "end",
			"due", "freeze", "owner", "visibility", "description", "tags", "threads", "memory",
		},
	},
	&kind{
		name: "input", label: "name", blocks: []string{"expect"},
		attrs: []string{"from", "path", "columns", "window", "slice", "take", "missing", "waive"},
	},
	&kind{name: "output", label: "name", attrs: []string{"path", "columns", "key", "references", "part_size"}, blocks: ruleBlocks},
	&kind{name: "expect", label: "name", attrs: []string{"that", "message", "severity", "prior"}},
	&kind{name: "metric", label: "name", attrs: []string{"sql"}},
	&kind{name: "reject", label: "name", attrs: []string{"where", "unreadable", "limit"}},
)

func byName(ks ...*kind) map[string]*kind {
	m := map[string]*kind{}
	for _, k := range ks {
		m[k.name] = k
	}
	return m
}

// kindsWith lists the kinds of block that have an attribute or a block of that name, in order.
func kindsWith(name string) (attr, block []string) {
	for _, k := range slices.Sorted(maps.Keys(kinds)) {
		if slices.Contains(kinds[k].attrs, name) {
			attr = append(attr, k)
		}
		if slices.Contains(kinds[k].blocks, name) {
			block = append(block, k)
		}
	}
	return attr, block
}

// values says how the value of an attribute is written, for hints.
var values = map[string]string{
	"columns": `{ id = "BIGINT NOT NULL" }`, "env": `{ SEED = 7 }`, "references": `{ customer_id = ":customers" }`, "slice": `{ country = "DE" }`,
	"inputs": `[":orders"]`, "partition_by": `["day"]`, "key": `["id"]`, "code": `["job.py"]`, "secrets": `["TOKEN"]`, "tools": `["python3"]`,
	"command": `["python3", "job.py", output.name]`, "sql": `file("query.sql")`, "window": `[-6, 0]`, "values": `["DE", "FR"]`, "tags": `["daily"]`,
	"visibility": `["//reports/..."]`, "waive": `["plausible"]`, "that": `rows > 0`, "network": "true", "keep": "false", "unreadable": "true",
	"prior": "7", "threads": "4", "limit": `"0.1%"`, "memory": `"2GB"`, "part_size": `"256MB"`, "timeout": `"30m"`, "valid_for": `"7d"`,
	"path": `"raw/*.csv"`, "from": `"//package:name"`, "from_source": `"//package:name"`, "every": `"day"`, "due": `"+6h"`, "freeze": `"built"`, "take": `"last"`,
	"missing": `"skip"`, "severity": `"warn"`, "start": `"2017-06-01"`, "end": `"2017-06-14"`, "timezone": `"Europe/Berlin"`,
	"keep_versions": "2", "keep_days": "30", "max_size": `"200GB"`, "unseen_days": "30", "requires": `">= 0.1"`, "lock": "true", "notify": `["./page.sh"]`, "openlineage": `"https://lineage.example.com"`, "where": `"amount IS NULL"`,
}

// example is how an attribute may be written.
func example(attr string) string {
	if v, ok := values[attr]; ok {
		return attr + " = " + v
	}
	return attr + ` = "..."`
}
