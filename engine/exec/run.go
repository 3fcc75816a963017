package exec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// grace is how long a job that was asked to end has for it.
var grace = 5 * time.Second

// Outcome is how a job ended.
type Outcome struct {
	ExitCode  int // -1 if a signal ended it
	Log       string
	Tail      []string // of the log
	User, Sys time.Duration
	MaxRSS    int64 // bytes
	failure   string
}

// Err says why the job failed, or nil.
func (o Outcome) Err() error {
	if o.failure == "" {
		return nil
	}
	return errors.New(o.failure)
}

// Run runs a staged job. Its error says that the job could not be run or was interrupted; how the job itself ended is in the outcome.
func Run(ctx context.Context, j *Job) (Outcome, error) {
	o := Outcome{Log: filepath.Join(j.Dir, logFile)}
	log, err := os.OpenFile(o.Log, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return o, err
	}
	defer log.Close()
	c, err := command(j)
	if err != nil {
		return o, err
	}
	p, err := j.start(c, log)
	if err != nil {
		return o, notStarted(&o, c.Args[0], unwrapPath(err))
	}
	exit, reason, lost := watch(ctx, j, p)
	o.fill(exit)
	if err := o.readLog(j, log); err != nil {
		o.Log = "" // it may hold secrets
		return o, err
	}
	switch {
	case lost != nil && reason == nil:
		return o, lost
	case reason != nil && ctx.Err() != nil:
		return o, reason
	case reason != nil:
		o.failure = reason.Error()
	case o.failure != "":
		o.failure += j.missed(o.Log)
	}
	return o, nil
}

// process is a job that runs. When Wait returns, nothing is left of what it started.
type process interface {
	Signal(syscall.Signal)
	Wait() (sandbox.Exit, error)
}

// nothing is what jobs read where nobody types.
var nothing = sync.OnceValues(func() (*os.File, error) { return os.Open(os.DevNull) })

// start starts a job, in its sandbox if it has one.
func (j *Job) start(c call, log *os.File) (process, error) {
	none, err := nothing()
	if err != nil {
		return nil, err
	}
	if j.Box == nil {
		return startPlain(c, none, log)
	}
	p := sandbox.Program{Path: c.Path, Args: c.Args, Env: c.Env, Dir: path.Join(boxDir, engine.JobWorkspace, j.Target.Label.Pkg), Mounts: j.mounts(), Network: j.Target.Network}
	return j.Box.Start(p, none, log, log)
}

// plain is a process without a sandbox.
type plain struct{ process *os.Process }

// starter starts processes. What ties a job's life to dpb's is tied to the thread that starts it, so one thread is kept for all.
var starter = sync.OnceValue(func() chan<- func() {
	starts := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	return starts
})

// startPlain starts a process.
func startPlain(c call, none, log *os.File) (p process, err error) {
	attr := &os.ProcAttr{Dir: c.Dir, Env: c.Env, Files: []*os.File{none, log, log}, Sys: attributes()}
	started := make(chan struct{})
	starter() <- func() {
		defer close(started)
		var process *os.Process
		if process, err = os.StartProcess(c.Path, c.Args, attr); err == nil {
			p = &plain{process}
		}
	}
	<-started
	return p, err
}

// Signal is for the process group.
func (p *plain) Signal(s syscall.Signal) { _ = syscall.Kill(-p.process.Pid, s) }

// Wait kills what the job left running: it must not write any more.
func (p *plain) Wait() (sandbox.Exit, error) {
	state, err := p.process.Wait()
	p.Signal(syscall.SIGKILL)
	if err != nil {
		return sandbox.Exit{}, err
	}
	e := sandbox.Exit{User: state.UserTime(), Sys: state.SystemTime()}
	e.Status, _ = state.Sys().(syscall.WaitStatus)
	if u, ok := state.SysUsage().(*syscall.Rusage); ok {
		e.MaxRSS = maxRSS(u)
	}
	return e, nil
}

// notStarted is the job's failure if its program is to blame, else the machine's.
func notStarted(o *Outcome, program string, err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		o.failure = fmt.Sprintf("%s could not be started: %v; make it executable, or name its interpreter as the program", program, err)
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOEXEC):
		o.failure = fmt.Sprintf("%s could not be started: %v; it must be in code, and the interpreter that its first line names must be installed", program, err)
	default:
		return fmt.Errorf("%s could not be started: %w", program, err)
	}
	return nil
}

// watch waits for the end of the job, and ends it if it has to. reason is why it had to; err says that how the job ended is not known.
func watch(ctx context.Context, j *Job, p process) (exit sandbox.Exit, reason, err error) {
	var timeout, last <-chan time.Time
	if j.Target.Timeout > 0 {
		t := time.NewTimer(j.Target.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	kill := j.Kill
	if kill == nil {
		kill = context.Background()
	}
	done, killed := ctx.Done(), kill.Done()
	ask := func(why error) {
		reason, done, timeout = why, nil, nil
		p.Signal(syscall.SIGTERM)
		last = time.After(grace)
	}
	ended := make(chan struct{})
	go func() {
		exit, err = p.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return exit, reason, err
		case <-done:
			ask(context.Cause(ctx))
		case <-timeout:
			ask(fmt.Errorf("it ran longer than its timeout of %s", j.Target.Timeout))
		case <-killed:
			killed = nil
			p.Signal(syscall.SIGKILL)
		case <-last:
			p.Signal(syscall.SIGKILL)
		}
	}
}

func (o *Outcome) fill(e sandbox.Exit) {
	o.ExitCode, o.User, o.Sys, o.MaxRSS = e.Status.ExitStatus(), e.User, e.Sys, e.MaxRSS
	switch {
	case e.Status.Signaled():
		o.failure = fmt.Sprintf("it was ended by signal %s", e.Status.Signal())
	case o.ExitCode != 0:
		o.failure = fmt.Sprintf("exit code %d", o.ExitCode)
	}
}

// call is all that the system is told to start a program.
type call struct {
	Path      string
	Args, Env []string
	Dir       string
}

// command puts together program, arguments, folder and environment.
func command(j *Job) (c call, err error) {
	paths := j.paths()
	for _, a := range j.Target.Command {
		text, err := a.At(j.Partition, paths)
		if err != nil {
			return c, err
		}
		c.Args = append(c.Args, text)
	}
	if c.Env, err = environment(j, paths); err != nil {
		return c, err
	}
	c.Path, c.Dir = c.Args[0], filepath.Join(j.Dir, engine.JobWorkspace, filepath.FromSlash(j.Target.Label.Pkg))
	switch file, ok := j.Programs.find(j.Target.Label.Pkg, c.Path); {
	case ok:
		c.Path = file
		if !filepath.IsAbs(file) {
			c.Args[0] = file
		}
	case !strings.Contains(c.Path, "/"):
		return c, fmt.Errorf("program %s is known only when the job runs: name it in tools", c.Path)
	}
	return c, nil
}

// environment is the same on each machine and for each user, but for what the target declares.
func environment(j *Job, paths engine.Paths) ([]string, error) {
	pkg := j.Target.Label.Pkg
	tmp := engine.JobPath(pkg, tempDir)
	if j.Box != nil {
		tmp = "/tmp" // which is the same, wherever the job goes
	}
	env := []string{"PATH=" + j.Programs.searchPath(pkg), "HOME=" + tmp, "TMPDIR=" + tmp, "LANG=C.UTF-8", "LC_ALL=C.UTF-8", "TZ=UTC",
		"PYTHONHASHSEED=0", "PYTHONDONTWRITEBYTECODE=1"}
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		env = append(env, "DPB_"+strings.ToUpper(strings.Replace(name, ".", "_", 1))+"="+paths[name])
	}
	for _, v := range j.Partition {
		env = append(env, "DPB_PARTITION_"+strings.ToUpper(v.Dimension)+"="+v.Text)
	}
	env = append(env, "DPB_METRICS="+engine.JobPath(pkg, engine.JobMetrics))
	for _, e := range j.Target.Env {
		text, err := e.Value.At(j.Partition, paths)
		if err != nil {
			return nil, fmt.Errorf("env %s: %w", e.Name, err)
		}
		env = append(env, e.Name+"="+text)
	}
	for _, s := range j.Target.Secrets {
		value, ok := j.Secret(s.Name)
		if !ok {
			return nil, fmt.Errorf("secret %s is not set: put it into dpb's environment", s.Name)
		}
		env = append(env, s.Name+"="+value)
	}
	return lastOfName(env), nil
}

// lastOfName takes out what is said of a variable before it is said again.
func lastOfName(env []string) []string {
	said := map[string]bool{}
	kept := make([]string, 0, len(env))
	for _, e := range slices.Backward(env) {
		if name, _, _ := strings.Cut(e, "="); !said[name] {
			said[name] = true
			kept = append(kept, e)
		}
	}
	slices.Reverse(kept)
	return kept
}

// Of a log, tailBytes are read at most, and of these tailLines. A line that begins before them counts only if there is no other, with its last lineBytes.
const tailLines, tailBytes, lineBytes = 20, 16 << 10, 1000

// readLog masks secrets in the log and takes its last lines.
func (o *Outcome) readLog(j *Job, log *os.File) (err error) {
	info, err := log.Stat()
	if err != nil {
		return err
	}
	if named, err := os.Lstat(o.Log); info.Size() == 0 && j.masks() == nil && err == nil && os.SameFile(info, named) {
		return nil // nothing to read, and nothing else in its place
	}
	if err := log.Chmod(0o600); err != nil { // the job may have changed it
		return err
	}
	if o.Log, err = j.tidyLog(log); err != nil {
		return err
	}
	f, err := os.Open(o.Log)
	if err != nil {
		return err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return err
	}
	from := max(0, info.Size()-tailBytes)
	b, err := io.ReadAll(io.NewSectionReader(f, from, tailBytes))
	if err != nil {
		return err
	}
	o.Tail = tail(b, from > 0)
	return nil
}

// tail lists the last lines of a log's end; cut says that the first one may have begun before it.
func tail(b []byte, cut bool) []string {
	b = bytes.TrimRight(b, "\n")
	if cut {
		if _, rest, ok := bytes.Cut(b, []byte("\n")); ok {
			b = rest
		} else {
			b = endOf(b)
		}
	}
	if len(b) == 0 {
		return nil
	}
	lines := strings.Split(strings.ToValidUTF8(string(b), "\uFFFD"), "\n")
	return lines[max(0, len(lines)-tailLines):]
}

// endOf cuts a line to its end, from where a character begins.
func endOf(line []byte) []byte {
	line = line[max(0, len(line)-lineBytes):]
	for k := range min(len(line), utf8.UTFMax) {
		if utf8.RuneStart(line[k]) {
			return line[k:]
		}
	}
	return line
}

// unwrapPath drops the path of the job's directory from an error: people know their program by its name.
func unwrapPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
