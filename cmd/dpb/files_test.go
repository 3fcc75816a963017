package main

import (
	"flag"
	"fmt"
	"strings"
	"testing"
)

var files = flag.Int("files", 2000, "how many files TestManyFiles has in one output")

// TestManyFiles: an output of many files is stored, read, shown, verified and checked without a sync or a message for each.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"pipeline.hcl": fmt.Sprintf(`
target "many" {
  command = ["sh", "-c", "cd $DPB_OUTPUT_MANY; seq %d | split -l 1 -a 5 - f"]
  output "many" { path = "f/" }
}
target "counts" {
  inputs  = [":many"]
  command = ["sh", "-c", "ls $DPB_INPUT_MANY | wc -l > $DPB_OUTPUT_COUNTS"]
  output "counts" { path = "n.txt" }
}
`, *files)})
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"build", "--progress", "plain"}, "ran 2 jobs"},
		{[]string{"status", "--check"}, "fresh"},
		{[]string{"verify"}, "2 verified, 0 differ"},
		{[]string{"show", "//:many"}, fmt.Sprintf("%d files", *files)},
		{[]string{"fsck"}, ""},
		{[]string{"gc"}, ""},
		{[]string{"build"}, "nothing to do"},
	} {
		out, err := command(t, dir, c.args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.says) || strings.Count(string(out), "\n") > 30 {
			t.Fatalf("%v: %v\n%.2000s", c.args, err, out)
		}
	}
}
