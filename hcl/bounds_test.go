package hcl

import (
	"strings"
	"testing"
)

// TestBombs: a few lines can't fill the memory or take for ever. Each is told at load, with its place.
func TestBombs(t *testing.T) {
	t.Parallel()
	const chars = "\n  l = split(\"\", format(\"%01000d\", 0))"
	deep := strings.Repeat("[", 300) + strings.Repeat("]", 300)
	double := "\n  b0 = \"aaaaaaaaaaaaaaaa\""
	for k := range 9 {
		from := "${local.b" + string(rune('0'+k)) + "}"
		double += "\n  b" + string(rune('1'+k)) + " = \"" + strings.Repeat(from, 10) + "\""
	}
	for _, c := range []struct{ locals, want string }{
		{chars + "\n  x = length([for i in local.l: [for j in local.l: 1]])", "the loops of an expression may take 131072 steps, and these take more"},
		{chars + "\n  x = length({for i in local.l: i => [for j in local.l: [for k in local.l: k]]...})", "the loops of an expression may take 131072 steps"},
		{chars + "\n  x = [for i in local.l: join(\"\", [for j in local.l: format(\"%01000d\", 1)])]", "the loops of an expression may take 131072 steps"},
		{chars + "\n  x = length(setproduct(local.l, local.l, local.l))", "setproduct: what it gives is larger than 4 MB"},
		{chars + "\n  y = join(\"\", local.l)\n  z = replace(local.y, \"0\", local.y)\n  x = replace(local.z, \"0\", local.y)", "replace: what it gives is larger than 4 MB"},
		{"\n  x = regexreplace(format(\"%09999d\", 0), \"0\", format(\"%09999d\", 0))", "regexreplace: what it gives is larger than 4 MB"},
		{"\n  x = format(\"%01000000000d\", 1)", "format: a width is at most 9999"},
		{"\n  x = format(\"%*d\", 1000000000, 1)", "format: a width is at most 9999"},
		{"\n  x = format(\"%.1000000000f\", 1)", "format: a width is at most 9999"},
		{"\n  x = formatlist(\"%1000000000d\", [1])", "formatlist: a width is at most 9999"},
		{"\n  x = indent(1000000000, \"a\\nb\")", "indent: an indentation is at most 1000"},
		{"\n  x = yamldecode(\"a: &a [x, x]\\nb: [*a, *a]\")", "yamldecode: aliases such as *name are not read"},
		{"\n  x = \"${1e99999999}\"", "a number has at most 1000 digits"},
		{"\n  x = \"${tonumber(\"1e99999999\")}\"", "tonumber: what it gives is larger than 4 MB"},
		{"\n  x = \"${pow(10, 1e9)}\"", "pow: what it gives is larger than 4 MB"},
		{"\n  y = 1e300 * 1e300 * 1e300 * 1e300\n  x = \"${local.y}\"", "this is too large"},
		{double + "\n  x = local.b9", "is too large"},
		{"\n  x = " + deep, "brackets nest more than 200 deep"},
		{"\n  x = 1" + strings.Repeat(" + 1", 3000), "an expression has more than 2000 operators"},
	} {
		src := "locals {" + c.locals + "\n}\ntarget \"t\" {\n  command = [\"true\"]\n  env     = { X = local.x }\n  output \"o\" { path = \"o.txt\" }\n}\n"
		problems := problemsOf(t, []byte(src))
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.Summary+" "+p.Detail, c.want) && p.Range.Start.Line > 0
		}
		if !found {
			t.Errorf("%.200s\ngives %v\nwant %q", c.locals, problems, c.want)
		}
	}
}
