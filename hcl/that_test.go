package hcl

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// TestRules checks which expressions are rules on an output, and what is said about others. "" means that it is right.
func TestRules(t *testing.T) {
	for that, want := range map[string]string{
		"rows > 0": "",
		"rows > 0 && bytes < 1e9 || !(files > 3)":                "",
		"column.id.nulls == 0":                                   "",
		"column.id.min >= 1 && column.id.max != null":            "",
		"column.id.quantile[0.5] < 10":                           "",
		"column.name.min > \"a\"":                                "",
		"column.at.max < \"2017-06-02\"":                         "",
		"column.spam.min == false":                               "",
		"column.name.top[0].value == \"x\"":                      "",
		"metric.rate - metric[\"rate\"] == 0":                    "",
		"rejected.bad.share <= 0.01":                             "",
		"oneof(rows, 1, 2, 3)":                                   "",
		"range(rows, 1, 10)":                                     "",
		"ratio(rows, input.raw.rows) > 0.9":                      "",
		"output.other.rows == rows":                              "",
		"zscore(rows, prior[*].rows) < 3":                        "",
		"rows > max(prior[*].rows...)":                           "",
		"rows > mean([for p in prior : p.rows if p.rows > 0])":   "",
		"median(prior[*].metric.rate) > 0 && length(prior) == 3": "",
		"replaced == null || replaced.rows <= rows":              "",
		"rows > (rows > 5 ? 1 : 2)":                              "",
		"\"n${rows}\" == \"n5\"":                                 "",
		"contains([1, 2], rows)":                                 "",
		"input.raw.metric.anything > 1":                          "",
		"true":                                                   "",
		"local.minimum < rows":                                   "",
		"try(replaced.rows, 0) > 1":                              "",

		"rows":                                   "a rule is true or false, and this is a number",
		"rows + \"a\" > 1":                       "this must be a number, and is a text",
		"-column.name.min > 1":                   "this must be a number, and is a text",
		"!rows":                                  "this must be true or false, and is a number",
		"rows > true":                            "a number is compared with true or false",
		"column.spam.min < true":                 "true and false have no order",
		"column.at.max < \"June\"":               "a time is compared with a text",
		"column.at.max < 5":                      "a time is compared with a number",
		"rows.x > 1":                             "rows is a number and has no parts",
		"prior.rows > 1":                         "prior is a list",
		"prior[3].rows > 1":                      "prior has 3 elements",
		"column[local.name].nulls > 0":           "which column is meant must be known",
		"rows[*] == 1":                           "[*] is for lists, and this is a number",
		"[for p in rows : p] == 1":               "for is for lists, and this is a number",
		"length([for rows in prior : rows]) > 0": "rows means something else already",
		"mean(prior[*].column) > 1":              "mean wants a list of numbers",
		"before(rows, column.at.min)":            "before wants a time, and this is a number",
		"before(column.at.min, end)":             "end is a function",
		"before(column.at.min, end())":           "end() needs a time dimension",
		"zscore(1)":                              "zscore has one argument",
		"start(1) == column.at.min":              "start has one argument",
		"rows > null":                            "null can't be compared with >",
		"rows == 2017-06-01":                     "a date needs quotes",
		"0 <= rows < 10 < 20":                    "comparisons can't be chained",
		"rows > local.nothing":                   "there is no local \"nothing\"",
		"var.x > 1":                              "there is no variable var",
		"upper(rows, 1) == \"x\"":                "upper: ",
		"metric.spam-rate > 1":                   "there is no metric \"spam-rate\"",
		"prior[\"a\"].rows > 1":                  "prior is a list",
		"column.id.quantile.half > 1":            "quantile wants one of 0.01,",
		"column.id.quantile[0.1] > 1":            "quantile wants one of 0.01,",
		"column.name.top[0] == \"x\"":            "a group of values can't be compared",
		"column.name.top[0].share > \"x\"":       "a number is compared with a text",
		"try() > 1":                              "try has no argument",
		"can(rows, rows)":                        "can has 2 arguments",
	} {
		t.Run(that, func(t *testing.T) {
			_, _, problems := Load(unpack(t, txtar.Parse(fmt.Appendf(nil, ruleWorkspace, that))), Options{})
			switch {
			case want == "" && len(problems) > 0:
				t.Errorf("%s: %s", that, problems[0].Summary)
			case want != "" && len(problems) != 1:
				t.Errorf("%s: %d problems: %v", that, len(problems), problems)
			case want != "" && !strings.HasPrefix(problems[0].Summary, want):
				t.Errorf("%s:\n got %s\nwant %s", that, problems[0].Summary, want)
			}
		})
	}
}

const ruleWorkspace = `
-- pipeline.hcl --
locals {
  minimum = 5
  name    = "id"
}
target "t" {
  inputs = [":raw"]
  sql    = { t = "SELECT 1", other = "SELECT 2" }
  output "other" {}
  output "t" {
    columns = { id = "BIGINT", spam = "BOOLEAN", name = "VARCHAR", at = "TIMESTAMP" }
    metric "rate" { sql = "avg(spam::INT)" }
    reject "bad" { where = "id IS NULL" }
    expect "ok" {
      prior = 3
      that  = %s
    }
  }
}
`

func TestParseType(t *testing.T) {
	for in, want := range map[string]string{
		"int": "INTEGER", "Bool": "BOOLEAN", "text": "VARCHAR", "varchar(20)": "VARCHAR", "long": "BIGINT", "real": "FLOAT",
		"numeric": "DECIMAL(18,3)", "decimal(9)": "DECIMAL(9,0)", "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
		"timestamptz": "TIMESTAMP WITH TIME ZONE", "int[][3]": "INTEGER[][3]", "map(int, text)[]": "MAP(INTEGER, VARCHAR)[]",
		`struct("a b" int, c struct(d date))`: `STRUCT("a b" INTEGER, c STRUCT(d DATE))`, "double precision": "DOUBLE",
		"uhugeint": "UHUGEINT", "timestamp_ns": "TIMESTAMP_NS",
	} {
		if got, err := parseType(in); err != nil || got != want {
			t.Errorf("%s: got %q, %v, want %q", in, got, err, want)
		} else if again, err := parseType(got); err != nil || again != got {
			t.Errorf("%s is not read as itself: %q, %v", got, again, err)
		}
	}
	for _, bad := range []string{"", "foo", "int[", "int[0]", "int[x]", "decimal(39)", "decimal(5,6)", "decimal(", "struct()", "struct(a)", "map(int)", "enum('a')",
		"int int", "(", "struct(a int", strings.Repeat("struct(a ", 50) + "int"} {
		if got, err := parseType(bad); err == nil {
			t.Errorf("%q is read as %s", bad, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]string{"30m": "30m0s", "12h": "12h0m0s", "7d": "168h0m0s", "1h30m": "1h30m0s", "2w": "336h0m0s"} {
		if got, ok := parseDuration(in); !ok || got.String() != want {
			t.Errorf("%s: got %v, %v", in, got, ok)
		}
	}
	for _, bad := range []string{"", "0s", "5", "m", "-5m", "1.5h", "5 m", "999999999w", "1y"} {
		if got, ok := parseDuration(bad); ok {
			t.Errorf("%q is read as %v", bad, got)
		}
	}
}
