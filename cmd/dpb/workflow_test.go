package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"go.yaml.in/yaml/v3"
)

// step is what a workflow of GitHub or a job of GitLab has a shell do.
type step struct {
	Name string `yaml:"name"`
	If   string `yaml:"if"`
	Run  string `yaml:"run"`
}

// installs is the step that a script has done already.
const installs = "install dpb"

// workflow runs the commands of a job in examples/ci as the runner does, less those that install dpb. What they print is in the file workflow.out.
func workflow(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: workflow github.yml|gitlab.yml JOB")
	}
	text, err := os.ReadFile(filepath.Join(os.Getenv("DPB_EXAMPLES"), "ci", args[0]))
	ts.Check(err)
	failed, out := false, ""
	for _, s := range stepsOf(ts, text, args[1]) {
		switch {
		case s.Run == "" || s.Name == installs, failed && s.If == "":
			continue
		case s.If != "" && s.If != "!cancelled()":
			ts.Fatalf("if: %s: the test knows !cancelled() only", s.If)
		case strings.Contains(s.Run, "${{"):
			ts.Fatalf("the test knows no expressions: %s", s.Run)
		}
		failed = ts.Exec("bash", "-e", "-c", s.Run) != nil || failed
		out += ts.ReadFile("stdout") + ts.ReadFile("stderr")
	}
	ts.Check(os.WriteFile(filepath.Join(ts.Getenv("WORK"), "workflow.out"), []byte(out), 0o666))
	if failed != neg {
		ts.Fatalf("failed: %v", failed)
	}
}

// stepsOf reads a job. A job of GitLab is a step: its commands end with the first that fails.
func stepsOf(ts *testscript.TestScript, text []byte, job string) []step {
	var github struct {
		Jobs map[string]struct{ Steps []step }
	}
	ts.Check(yaml.Unmarshal(text, &github))
	if github.Jobs != nil {
		steps := github.Jobs[job].Steps
		if !slices.ContainsFunc(steps, func(s step) bool { return s.Name == installs }) {
			ts.Fatalf("no step of the job %q is called %q", job, installs)
		}
		return steps
	}
	var gitlab map[string]yaml.Node
	ts.Check(yaml.Unmarshal(text, &gitlab))
	var body struct{ Script []string }
	node := gitlab[job]
	ts.Check(node.Decode(&body))
	if body.Script == nil {
		ts.Fatalf("there is no job %q", job)
	}
	return []step{{Run: strings.Join(body.Script, "\n")}}
}
