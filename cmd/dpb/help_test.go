package main

import (
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// TestHelp: each command says what it does, shows an example and names its exit codes.
func TestHelp(t *testing.T) {
	a := &app{stdout: os.Stdout, stderr: os.Stderr}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		if c.Short == "" || !strings.Contains(c.Example, "dpb") {
			t.Errorf("%s has no description or no example", c.CommandPath())
		}
		if c.HasParent() && !strings.Contains(c.Long, "Exit codes:") {
			t.Errorf("%s does not name its exit codes", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(a.command())
}
