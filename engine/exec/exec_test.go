package exec

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

func TestMain(m *testing.M) {
	grace = 200 * time.Millisecond
	os.Exit(m.Run())
}

// bench is a job with all that it needs.
type bench struct {
	*Job
	t     *testing.T
	store *disk.Store
}

// shell is a job of //spam:classified that runs a shell script, with an output "out" in out.csv.
func shell(t *testing.T, script string) bench {
	t.Helper()
	store, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	x := &engine.Target{Label: engine.Label{Pkg: "team/spam", Name: "classified"}, Kind: engine.Command, Outputs: []*engine.Output{output("out.csv")}}
	for _, arg := range []string{"sh", "-c", script} {
		x.Command = append(x.Command, engine.Text{{Literal: arg}})
	}
	return bench{&Job{Target: x, Dir: t.TempDir(), Programs: Programs{at: map[string]string{"sh": "/bin/sh"}}}, t, store}
}

// output reads "x.csv", "plays/*.csv" and "features/"; its name is the first part of that.
func output(path string) *engine.Output {
	o := &engine.Output{Name: strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '.' })[0], Path: path}
	switch {
	case strings.HasSuffix(path, "/"):
		o.Shape = engine.Folder
	case strings.Contains(path, "*"):
		o.Shape = engine.Parts
	}
	return o
}

func (b bench) digest(content string) cache.Digest {
	b.t.Helper()
	d, _, err := b.store.Put(b.t.Context(), strings.NewReader(content))
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}

// tree has files that hold their names.
func (b bench) tree(names ...string) cache.Tree {
	b.t.Helper()
	var entries []cache.Entry
	for _, name := range names {
		entries = append(entries, cache.Entry{Path: name, Kind: cache.File, Digest: b.digest(name), Size: int64(len(name))})
	}
	tree, err := cache.NewTree(entries)
	if err != nil {
		b.t.Fatal(err)
	}
	return tree
}

func (b bench) stage() {
	b.t.Helper()
	if err := Stage(b.t.Context(), b.store, b.Job); err != nil {
		b.t.Fatal(err)
	}
}

// run stages and runs the job.
func (b bench) run() Outcome {
	b.t.Helper()
	b.stage()
	o, err := Run(b.t.Context(), b.Job)
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

// log runs the job, which must succeed, and returns what it wrote.
func (b bench) log() string {
	b.t.Helper()
	o := b.run()
	text, err := os.ReadFile(o.Log)
	if err != nil || o.Err() != nil {
		b.t.Fatalf("%v, %v: %s", err, o.Err(), text)
	}
	return strings.TrimSpace(string(text))
}

// collect runs the job, which must succeed, and lists its outputs with their files.
func (b bench) collect() string {
	b.t.Helper()
	b.log()
	results, _, err := Collect(b.t.Context(), b.store, b.Job)
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	for _, r := range results {
		tree, err := b.store.GetTree(b.t.Context(), r.Tree)
		if err != nil {
			b.t.Fatal(err)
		}
		var names []string
		for _, e := range tree.Entries {
			names = append(names, e.Path)
		}
		out = append(out, fmt.Sprintf("%s: %s", r.Name, strings.Join(names, " ")))
	}
	return strings.Join(out, "; ")
}

func TestCollect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ outputs, script, want string }{
		{"out.csv", "echo 1 > $DPB_OUTPUT_OUT", "out: out.csv"},
		{"deep/er/out.csv", "echo 1 > $DPB_OUTPUT_DEEP", "deep: out.csv"},
		{"out.csv", "true", "error: output out: the job did not write out.csv: its place is output.out, or $DPB_OUTPUT_OUT"},
		{"out.csv", "mkdir $DPB_OUTPUT_OUT", "error: output out: out.csv is not a regular file"},
		{"out.csv", "ln -s /etc/passwd $DPB_OUTPUT_OUT", "error: output out: out.csv is not a regular file"},
		{"out.csv", "touch $DPB_OUTPUT_OUT; cd ../../../out; touch b; mkdir -p c/d; touch c/d/e", "error: the job wrote files that no output declares: b, c; declare an output for them, or write them to $TMPDIR"},
		{"out.csv", "cd ../../../out; touch out.csv a b c d", "error: the job wrote files that no output declares: a, b, c and 1 more; declare an output for them, or write them to $TMPDIR"},
		{"out.csv", "touch $DPB_OUTPUT_OUT $TMPDIR/y", "out: out.csv"},
		{"out.csv", "touch $DPB_OUTPUT_OUT ../../../x", "error: the job wrote files that no output declares: ../x; declare an output for them, or write them to $TMPDIR"},
		{"f/", "cd $DPB_OUTPUT_F; mkdir -p a/b empty; touch a/b/c d", "f: a/b/c d empty"},
		{"f/", "true", "error: output f: the job wrote nothing into f"},
		{"f/", "rmdir $DPB_OUTPUT_F", "error: output f: the job did not write f: its place is output.f, or $DPB_OUTPUT_F"},
		{"f/", "ln -s /etc $DPB_OUTPUT_F/l", `error: output f: link "l" leads to "/etc": only relative links that stay inside the output are kept`},
		{"f/", "rmdir $DPB_OUTPUT_F; ln -s /etc $DPB_OUTPUT_F", "error: output f: out/f, which dpb made for outputs, is no folder any more: write into it, and put no link in its place"},
		{"passwd", "cd ../../..; rmdir out; ln -s /etc out", "error: out, which dpb made for outputs, is no folder any more: write into it, and put no link in its place"},
		{"sub/passwd", "cd ../../../out; rmdir sub; ln -s /etc sub", "error: out/sub, which dpb made for outputs, is no folder any more: write into it, and put no link in its place"},
		{"f/", "echo > $DPB_OUTPUT_F/x; mkfifo $DPB_METRICS", "error: $DPB_METRICS: it is not a regular file"},
		{"f/", "echo > $DPB_OUTPUT_F/x; ln -s /etc/passwd $DPB_METRICS", "error: $DPB_METRICS: it is not a regular file"},
		{"f/", "mkfifo $DPB_OUTPUT_F/p", "error: output f: p is neither a file, a directory nor a link"},
		{"p/*.csv", "cd $DPB_OUTPUT_P; touch a.csv b.csv", "p: a.csv b.csv"},
		{"p/*.csv", "true", "error: output p: the job wrote nothing into p"},
		{"p/*.csv", "cd $DPB_OUTPUT_P; touch a.csv b.txt", "error: the job wrote files that no output declares: p/b.txt; declare an output for them, or write them to $TMPDIR"},
		{"p/*.csv", "cd $DPB_OUTPUT_P; mkdir a.csv; touch a.csv/b", "error: the job wrote files that no output declares: p/a.csv; declare an output for them, or write them to $TMPDIR"},
		{"p/*.csv", "cd $DPB_OUTPUT_P; touch a.csv; ln -s a.csv b.csv", "error: output p: b.csv is a link, and the parts of a table are files: write a copy"},
		{"p/*.csv", "ln -s /etc/passwd $DPB_OUTPUT_P/a.csv", "error: output p: a.csv is a link, and the parts of a table are files: write a copy"},
		{"out.csv", `cd ../../../out; touch out.csv "$(printf 'a\377')" 'b"' c\ d`, `error: the job wrote files that no output declares: "a\xff", "b\"", c d; declare an output for them, or write them to $TMPDIR`},
		{"a.csv p/*.csv f/ sub/b.csv", "cd ../../../out; touch a.csv p/1.csv f/x sub/b.csv", "a: a.csv; p: 1.csv; f: x; sub: b.csv"},
	} {
		t.Run(c.outputs+" "+c.script, func(t *testing.T) {
			t.Parallel()
			b := shell(t, c.script)
			b.Target.Outputs = nil
			for _, path := range strings.Fields(c.outputs) {
				b.Target.Outputs = append(b.Target.Outputs, output(path))
			}
			if got := b.collect(); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	b := shell(t, `touch $DPB_OUTPUT_OUT; echo '{"auc": 0.9}' > $DPB_METRICS`)
	b.log()
	_, metrics, err := Collect(t.Context(), b.store, b.Job)
	if err != nil || metrics != cache.Sum([]byte("{\"auc\": 0.9}\n")) {
		t.Errorf("metrics %s, %v", metrics, err)
	}
}

// TestEnvironment: all that a job finds there, and nothing of dpb's own.
func TestEnvironment(t *testing.T) {
	b := shell(t, "env")
	t.Setenv("LEAK", "1")
	b.Partition = engine.Partition{{Dimension: "day", Text: "2017-06-15"}, {Dimension: "country", Text: "DE"}}
	b.Inputs = []Input{{Name: "plays", File: "plays.csv", Parts: []Part{{Tree: b.tree("x.csv")}}}, {Name: "all", Parts: nil}}
	b.Programs.path = []string{"tools/0", "bin"}
	b.Target.Outputs = append(b.Target.Outputs, output("p/*.csv"), output("f/"))
	b.Target.Env = []engine.EnvVar{{Name: "SEED", Value: engine.Text{{Literal: "7-"}, {Dimension: "day"}}}}
	b.Target.Secrets = []engine.Secret{{Name: "TOKEN", Identity: "v1"}}
	b.Secret = func(name string) (string, bool) { return "[secret TOKEN]", name == "TOKEN" }
	b.stage()
	cmd, err := command(b.Job)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"PATH=../../../tools/0:../../../bin:/usr/local/bin:/usr/bin:/bin", "HOME=../../../tmp", "TMPDIR=../../../tmp", "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC",
		"PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1",
		"DPB_INPUT_ALL=../../../in/all", "DPB_INPUT_PLAYS=../../../in/plays/plays.csv",
		"DPB_OUTPUT_F=../../../out/f", "DPB_OUTPUT_OUT=../../../out/out.csv", "DPB_OUTPUT_P=../../../out/p",
		"DPB_PARTITION_DAY=2017-06-15", "DPB_PARTITION_COUNTRY=DE", "DPB_METRICS=../../../metrics/metrics.json", "SEED=7-2017-06-15", "TOKEN=[secret TOKEN]",
	}
	if !slices.Equal(cmd.Env, want) {
		t.Errorf("environment\n%s\nwant\n%s", strings.Join(cmd.Env, "\n"), strings.Join(want, "\n"))
	}
	o, err := Run(t.Context(), b.Job)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(o.Log)
	got := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(text)), "\n"), func(v string) bool {
		return strings.HasPrefix(v, "PWD=") || strings.HasPrefix(v, "OLDPWD=") || strings.HasPrefix(v, "SHLVL=") || strings.HasPrefix(v, "_=") // the shell's own
	})
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the job found\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestWhatAJobSees: its code at its own place, its inputs, and nothing else.
func TestWhatAJobSees(t *testing.T) {
	t.Parallel()
	b := shell(t, "cd ../../..; find . -type f -o -type d -empty | sort; cat ws/team/spam/lib/c.py")
	b.Code = []engine.CodeFile{{Path: "team/spam/lib/c.py", Digest: b.digest("print(1)")}, {Path: "lib/run", Exec: true, Digest: b.digest("#!/bin/sh\n")}}
	day := func(text string) engine.Partition {
		return engine.Partition{{Dimension: "day", Text: text}, {Dimension: "country", Text: "DE"}}
	}
	b.Inputs = []Input{
		{Name: "one", File: "one.csv", Parts: []Part{{Partition: day("2017-06-14"), Tree: b.tree("made.csv")}}},
		{Name: "many", Parts: []Part{{Partition: day("2017-06-14"), Tree: b.tree("a.csv", "sub/b.csv")}, {Partition: day("2017-06-15"), Tree: b.tree("a.csv")}}},
		{Name: "files", Parts: []Part{{Tree: b.tree("x.csv")}}},
		{Name: "none"},
	}
	want := `./in/files/x.csv
./in/many/day=2017-06-14/country=DE/a.csv
./in/many/day=2017-06-14/country=DE/sub/b.csv
./in/many/day=2017-06-15/country=DE/a.csv
./in/none
./in/one/one.csv
./log
./metrics
./out
./tmp
./ws/lib/run
./ws/team/spam/lib/c.py
print(1)`
	if got := b.log(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if err := Stage(t.Context(), b.store, &Job{Target: b.Target, Dir: t.TempDir(), Inputs: []Input{{Name: "x", Parts: []Part{{Tree: cache.Tree{
		Entries: []cache.Entry{{Path: "a", Kind: cache.File, Digest: cache.Digest{1}}}}}}}}}); !errors.Is(err, cache.ErrMissing) || !strings.HasPrefix(err.Error(), "input x: ") {
		t.Errorf("an input that is gone: %v", err)
	}
}

// TestProgramFromCode: a relative program is one of the package's own files.
func TestProgramFromCode(t *testing.T) {
	t.Parallel()
	b := shell(t, "")
	b.Target.Command = []engine.Text{{{Literal: "./bin/run"}}, {{Literal: "a b"}}}
	b.Code = []engine.CodeFile{{Path: "team/spam/bin/run", Exec: true, Digest: b.digest("#!/bin/sh\necho \"$0 $1\"; pwd | sed 's,.*/ws/,,'\n")}}
	if got := b.log(); got != "./bin/run a b\nteam/spam" {
		t.Errorf("got %q", got)
	}
}

func TestProgramsThatDoNotStart(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"./bin/none": "./bin/none could not be started: no such file or directory; it must be in code, and the interpreter that its first line names must be installed",
		"./bin/text": "./bin/text could not be started: permission denied; make it executable, or name its interpreter as the program",
		"surprise":   "program surprise is known only when the job runs: name it in tools",
	} {
		b := shell(t, "")
		b.Target.Command = []engine.Text{{{Literal: name}}}
		b.Code = []engine.CodeFile{{Path: "team/spam/bin/text", Digest: b.digest("x")}}
		b.stage()
		o, err := Run(t.Context(), b.Job)
		if err == nil {
			err = o.Err() // a program that can't be started is the job's failure
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: %v; want %s", name, err, want)
		}
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	for script, want := range map[string]struct {
		code int
		err  string
	}{
		"exit 0":        {0, "<nil>"},
		"exit 3":        {3, "exit code 3"},
		"kill -SEGV $$": {-1, "it was ended by signal segmentation fault"},
		"none_such":     {127, "exit code 127"},
	} {
		o := shell(t, script).run()
		if o.ExitCode != want.code || fmt.Sprint(o.Err()) != want.err || o.MaxRSS <= 0 {
			t.Errorf("%s: exit code %d, %v, %d bytes; want %v", script, o.ExitCode, o.Err(), o.MaxRSS, want)
		}
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	numbers := func(from, to int) (out []string) {
		for k := from; k <= to; k++ {
			out = append(out, strconv.Itoa(k))
		}
		return out
	}
	for script, want := range map[string][]string{
		"true":                 nil,
		"echo; echo":           nil,
		"echo a; echo b >&2":   {"a", "b"},
		"seq 1 20":             numbers(1, 20),
		"seq 1 10000":          numbers(9981, 10000),
		`printf 'a\n\377\n'`:   {"a", "\uFFFD"},
		"printf 'no line end'": {"no line end"},
		"printf '%020000d'":    {strings.Repeat("0", 1000)},
		"printf '%020000d\n'":  {strings.Repeat("0", 1000)},
		"yes é | head -c 30000 | tr -d '\n'; printf aa": {strings.Repeat("é", 499) + "aa"}, // one byte of a character less
		"printf '%020000d\na\nb'":                       {"a", "b"},
	} {
		if o := shell(t, script).run(); !slices.Equal(o.Tail, want) {
			t.Errorf("%s: %q, want %q", script, o.Tail, want)
		}
	}
}

// TestSecrets: their values are in the environment and in no log, also where one begins with another.
func TestSecrets(t *testing.T) {
	t.Parallel()
	b := shell(t, "echo $A:$B:$EMPTY:x$A")
	secrets := map[string]string{"A": "abc", "B": "abcdef", "EMPTY": ""}
	b.Secret = func(name string) (string, bool) { v, ok := secrets[name]; return v, ok }
	b.Target.Secrets = []engine.Secret{{Name: "A"}, {Name: "B"}, {Name: "EMPTY"}}
	const want = "[secret A]:[secret B]::x[secret A]"
	if got := b.log(); got != want {
		t.Errorf("the log says %q, want %q", got, want)
	}
	b = shell(t, "true")
	b.Secret = func(string) (string, bool) { return "", false }
	b.Target.Secrets = []engine.Secret{{Name: "C"}}
	b.stage()
	if _, err := Run(t.Context(), b.Job); err == nil || err.Error() != "secret C is not set: put it into dpb's environment" {
		t.Errorf("error %v", err)
	}
}

// ready waits until a job has made the file "ready" in its folder for scratch, and returns what stands in it: process ids.
func (b bench) ready() (pids []int) {
	for b.t.Context().Err() == nil {
		text, err := os.ReadFile(filepath.Join(b.Dir, tempDir, "ready"))
		if err != nil || !strings.HasSuffix(string(text), "\n") {
			time.Sleep(time.Millisecond)
			continue
		}
		for _, f := range strings.Fields(string(text)) {
			pid, err := strconv.Atoi(f)
			if err != nil {
				b.t.Error(err)
			}
			pids = append(pids, pid)
		}
		return pids
	}
	return nil
}

// gone says whether a process has ended; one that nobody has waited for yet has.
func gone(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z") || strings.HasPrefix(rest, "X")
}

// family is a job with a child and a grandchild that would run for ever; each does what trap says when it is asked to end.
func family(t *testing.T, trap string) bench {
	loop := trap + "while :; do sleep 1000 & wait $!; done"
	return shell(t, fmt.Sprintf(`sh -c '%s' & c=$!; sh -c 'sh -c "%s" & echo $! > $TMPDIR/g; wait' & d=$!
		until [ -s $TMPDIR/g ]; do :; done; echo $c $d $(cat $TMPDIR/g) > $TMPDIR/r; mv $TMPDIR/r $TMPDIR/ready; %s`, loop, loop, loop))
}

// TestHowJobsAreEnded: whatever ends a job, it ends with all its children, and says why.
func TestHowJobsAreEnded(t *testing.T) {
	t.Parallel()
	for trapped, trap := range map[string]string{"obeys": "", "ignores TERM": `trap : TERM; `} {
		for _, how := range []string{"timeout", "cancel", "cancel, then kill", "kill"} {
			t.Run(how+" "+trapped, func(t *testing.T) {
				t.Parallel()
				b := family(t, trap)
				stop := errors.New("stop")
				ctx, cancel := context.WithCancelCause(t.Context())
				kill, killNow := context.WithCancel(t.Context())
				defer killNow()
				b.Kill = kill
				var pids []int
				want := "it was ended by signal killed"
				if how == "timeout" {
					b.Target.Timeout = 500 * time.Millisecond
					want = "it ran longer than its timeout of 500ms"
				}
				b.stage()
				started := make(chan bool)
				go func() {
					defer close(started)
					pids = b.ready()
					if strings.HasPrefix(how, "cancel") {
						cancel(stop)
					}
					if strings.HasSuffix(how, "kill") {
						killNow()
					}
				}()
				o, err := Run(ctx, b.Job)
				<-started
				if strings.HasPrefix(how, "cancel") {
					if !errors.Is(err, stop) {
						t.Errorf("error %v; want the cause", err)
					}
				} else if err != nil || fmt.Sprint(o.Err()) != want || o.ExitCode != -1 {
					t.Errorf("%v, %v, exit code %d; want %s", err, o.Err(), o.ExitCode, want)
				}
				if len(pids) != 3 {
					t.Fatalf("processes %v", pids)
				}
				for _, pid := range pids {
					waitFor(t, fmt.Sprintf("the end of process %d", pid), func() bool { return gone(pid) })
				}
			})
		}
	}
}

// waitFor looks until something is so; killed processes end soon, not at once.
func waitFor(t *testing.T, what string, so func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestJobThatEndsWhenAsked has its time for that, and what it says then is in the log.
func TestJobThatEndsWhenAsked(t *testing.T) {
	t.Parallel()
	b := shell(t, `trap "echo tidy; exit 4" TERM; echo > $TMPDIR/ready; while :; do sleep 0.01; done`)
	b.stage()
	ctx, cancel := context.WithCancel(t.Context())
	go func() { b.ready(); cancel() }()
	o, err := Run(ctx, b.Job)
	if !errors.Is(err, context.Canceled) || !slices.Contains(o.Tail, "tidy") || o.ExitCode != 4 {
		t.Errorf("%v, tail %q, exit code %d", err, o.Tail, o.ExitCode)
	}
}

// TestKilled: when dpb is killed its job ends too. The pipe that both hold tells when they are gone.
func TestKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a process with another one")
	}
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dpb := exec.Command(os.Args[0], "-test.run=^TestRunUntilKilled$")
	dpb.Env, dpb.ExtraFiles = append(os.Environ(), untilKilled+"=1", "TMPDIR="+t.TempDir()), []*os.File{w}
	if err := dpb.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	lines := bufio.NewReader(r)
	line, err := lines.ReadString('\n')
	pid, parseErr := strconv.Atoi(strings.TrimSpace(line))
	if err := errors.Join(err, parseErr, dpb.Process.Kill()); err != nil {
		t.Fatal(err)
	}
	_ = dpb.Wait()
	defer syscall.Kill(pid, syscall.SIGKILL)
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := lines.ReadByte(); !errors.Is(err, io.EOF) {
		t.Errorf("the job runs on: %v", err)
	}
}

const untilKilled = "DPB_TEST_UNTIL_KILLED"

// TestRunUntilKilled is the dpb of TestKilled. Its job says on the pipe who it is.
func TestRunUntilKilled(t *testing.T) {
	if os.Getenv(untilKilled) == "" {
		t.Skip("run by TestKilled")
	}
	shell(t, "echo $$ >&3; exec sleep 1000").run()
}

// TestWhatAJobLeavesRunning ends with it, and does not keep the build waiting.
func TestWhatAJobLeavesRunning(t *testing.T) {
	t.Parallel()
	b := shell(t, "sleep 1000 & echo $! > $TMPDIR/ready")
	b.log()
	pids := b.ready()
	waitFor(t, "the end of what was left running", func() bool { return len(pids) == 1 && gone(pids[0]) })
}

// What a target says of a variable counts, and not what dpb says: a program may take the first or the last of two.
func TestEnvironmentSaysOnce(t *testing.T) {
	got := lastOfName([]string{"PATH=/bin", "TZ=UTC", "A=1=2", "TZ=CET", "A="})
	if want := []string{"PATH=/bin", "TZ=CET", "A="}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
