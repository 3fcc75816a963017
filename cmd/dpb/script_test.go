package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"github.com/rogpeppe/go-internal/testscript"
)

// asProgram makes the test binary run as dpb, for tests that start and kill it.
const asProgram = "DPB_TEST_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		setFault()
		os.Exit(dpb(os.Args[1:]))
	}
	testscript.Main(m, map[string]func(){"dpb": func() { os.Exit(dpb(os.Args[1:])) }})
}

// TestScripts runs testdata/script: what dpb does, as a manual that can fail. Besides testscript's own, they have these commands:
//
//	ran [LABEL@PARTITION...]   the last dpb build ran exactly these jobs
//	told FILE [TYPE JOB@PARTITION...]   the file holds exactly these events of runs; they are moved to the file told
//	edit FILE OLD NEW          replaces a text in a file, which must be there
//	example NAME               copies examples/NAME into the script's directory
//	workflow FILE JOB          runs the commands of a job of examples/ci, with what they print in workflow.out
//	await FILE REGEXP          waits until a file that a program writes holds a match, after the last one awaited; what came till then is the stderr
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "../../testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		Condition: func(cond string) (bool, error) {
			if cond == "duckdb" {
				return duckdb.Version() != "", nil
			}
			if cond == "root" {
				return os.Getuid() == 0, nil
			}
			_, err := exec.LookPath(cond)
			return err == nil, nil
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			for _, who := range []string{"AUTHOR", "COMMITTER"} {
				e.Setenv("GIT_"+who+"_NAME", "t")
				e.Setenv("GIT_"+who+"_EMAIL", "t@example.com")
			}
			e.Setenv("USER", "tester")
			e.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"ran": ran, "judged": judged, "told": told, "version": aVersion, "edit": edit, "example": example, "await": await, "workflow": workflow},
	})
}

var (
	ranLine    = regexp.MustCompile(`(?m)^(?:ran|failed|held) (//\S+) in `)
	judgedLine = regexp.MustCompile(`(?m)^(?:judged|held) (//\S+) \(`)
	versionID  = regexp.MustCompile(`//\S*#[0-9a-f]{12}`)
)

func ran(ts *testscript.TestScript, neg bool, want []string) { listed(ts, neg, ranLine, want) }

// judged lists what was judged anew without a job.
func judged(ts *testscript.TestScript, neg bool, want []string) { listed(ts, neg, judgedLine, want) }

// aVersion sets a variable to the first version that the last command named.
func aVersion(ts *testscript.TestScript, _ bool, args []string) {
	found := versionID.FindString(ts.ReadFile("stdout") + ts.ReadFile("stderr"))
	if len(args) != 1 || found == "" {
		ts.Fatalf("usage: version VARIABLE, after a command that names a version")
	}
	ts.Setenv(args[0], found)
}

func listed(ts *testscript.TestScript, neg bool, line *regexp.Regexp, want []string) {
	if neg {
		ts.Fatalf("it can't be negated: without labels it says that nothing ran")
	}
	got := []string{}
	for _, m := range line.FindAllStringSubmatch(ts.ReadFile("stderr"), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		ts.Fatalf("these jobs ran:\n  %s\nexpected:\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func edit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, args[1], args[2])), 0o666))
}

func example(ts *testscript.TestScript, _ bool, args []string) {
	from, err := filepath.Abs(filepath.Join(os.Getenv("DPB_EXAMPLES"), args[0]))
	ts.Check(err)
	ts.Check(os.CopyFS(ts.MkAbs("."), os.DirFS(from)))
}

// patience is how long scripts wait for programs. None that works takes as long.
const patience = time.Minute

func await(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: await FILE REGEXP")
	}
	file, want, offset := ts.MkAbs(args[0]), regexp.MustCompile("(?m)"+args[1]+".*\n"), "AWAITED_"+args[0]
	from, _ := strconv.Atoi(ts.Getenv(offset))
	var text string
	for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		b, _ := os.ReadFile(file) // it may not be there yet
		text = string(b[min(from, len(b)):])
		if at := want.FindStringIndex(text); at != nil {
			text = text[:at[1]]
			break
		}
		if time.Now().After(end) {
			ts.Fatalf("%s does not say %q:\n%s", args[0], args[1], text)
		}
	}
	ts.Setenv(offset, strconv.Itoa(from+len(text)))
	ts.Check(os.WriteFile(ts.MkAbs(".awaited"), []byte(text), 0o666))
	ts.Check(ts.Exec("sh", "-c", "cat .awaited >&2"))
}

func init() {
	if dir, err := filepath.Abs("../../examples"); err == nil && os.Getenv("DPB_EXAMPLES") == "" {
		_ = os.Setenv("DPB_EXAMPLES", dir)
	}
}
