// Package worker does what reads foreign bytes, SQL and fingerprints, in a process of its own: what crashes there, or wants too much memory, ends no build.
package worker

import (
	"context"
	"encoding/gob"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// processName is the first argument that makes a program that links this package a worker's process.
const processName = "dpb-worker"

// Worker is a process that does one thing after the other for one action; nothing that it did reaches another action. It starts when it is first needed, and again
// after a crash. It is used by one goroutine at a time.
type Worker struct {
	Box    *sandbox.Box // nil: the process is not isolated
	Read   []string     // files and folders that it sees where they lie
	Write  []string     // folders that it may write to
	Memory int64        // bytes that SQL may use; 0: duckdb.DefaultMemory. Twice that and some more is what the process may use
	Names  []string     // what messages call the things that it reads
	Log    string       // a file for what the process says when it crashes

	process *process
}

// process is a worker's process under way.
type process struct {
	requests io.WriteCloser
	replies  io.ReadCloser
	life     io.Closer // when it is closed, be it by the end of dpb, the process ends
	encode   *gob.Encoder
	decode   *gob.Decoder
	planned  bool // it has the catalog
	kill     func()
	wait     func() (syscall.WaitStatus, error)
}

// hardLimit is how many bytes of data a process may have: beyond, the system refuses. The engine holds itself to memory, but for what it does not count. Measured on two
// threads, sorts, joins and groups that spill had reserved up to twice their memory and 400 MB, of which a process that does nothing has 200; each further thread
// reserves a stack of 8 MB and an allocator's arena. What the engine does not hold itself to, as the states of quantiles and lists, ends here.
func (w *Worker) hardLimit() int64 {
	return 2*w.memory() + 768<<20 + int64(runtime.NumCPU())*32<<20
}

func (w *Worker) memory() int64 {
	if w.Memory > 0 {
		return w.Memory
	}
	return duckdb.DefaultMemory
}

// Close ends the process.
func (w *Worker) Close() {
	if p := w.process; p != nil {
		w.process = nil
		p.requests.Close()
		p.kill()
		_, _ = p.wait()
		p.replies.Close()
		p.life.Close()
	}
}

// do hands a request to the process and waits for its reply. When ctx is done the process is killed.
func (w *Worker) do(ctx context.Context, r request) (reply, error) {
	if err := ctx.Err(); err != nil {
		return reply{}, context.Cause(ctx)
	}
	if w.process == nil {
		p, err := w.start()
		if err != nil {
			return reply{}, err
		}
		w.process = p
	}
	p := w.process
	if r.Catalog != nil && p.planned {
		r.Catalog = nil
	}
	p.planned = p.planned || r.Catalog != nil
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { p.kill(); close(killed) })
	answer, err := p.exchange(ctx, r)
	if !stop() {
		<-killed // the box may run something else after this
		w.Close()
		return reply{}, context.Cause(ctx)
	}
	if err == nil {
		return answer, w.tooLarge(answer.Failure).err()
	}
	p.kill()
	status, lost := p.wait()
	w.Close()
	if lost != nil {
		return reply{}, lost
	}
	return reply{}, w.crashed(status, err)
}

// exchange sends a request and reads the reply, and answers what is asked on the way.
func (p *process) exchange(ctx context.Context, r request) (reply, error) {
	for {
		var answer reply
		if err := p.encode.Encode(r); err != nil {
			return answer, err
		}
		if err := p.decode.Decode(&answer); err != nil {
			return answer, err
		}
		if answer.Ask == nil {
			return answer, nil
		}
		tree, err := duckdb.PlanTree(ctx, *answer.Ask)
		r = request{Tree: tree, TreeFailure: failureOf(err)}
	}
}

// start starts the process.
func (w *Worker) start() (*process, error) {
	var pipes [3]struct{ r, w *os.File } // requests, replies, life
	for k := range pipes {
		var err error
		if pipes[k].r, pipes[k].w, err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	p := &process{requests: pipes[0].w, replies: pipes[1].r, life: pipes[2].w, encode: gob.NewEncoder(pipes[0].w), decode: gob.NewDecoder(pipes[1].r)}
	theirs := []*os.File{pipes[0].r, pipes[1].w, nil, pipes[2].r}
	log, err := os.Create(w.Log)
	if err == nil {
		theirs[2] = log
		err = w.launch(p, theirs)
	}
	for _, f := range theirs {
		f.Close()
	}
	if err != nil {
		p.requests.Close()
		p.replies.Close()
		p.life.Close()
		return nil, err
	}
	return p, nil
}

// environment is that of a process. Without a timezone the engine reads all that the machine knows to find out which one it has.
var environment = []string{"TZ=UTC"}

// launch starts the process with its files: standard input, output and error output, and one that tells it of the end of dpb.
func (w *Worker) launch(p *process, files []*os.File) error {
	args := []string{processName, strconv.FormatInt(w.hardLimit(), 10)}
	if w.Box == nil {
		return launchPlain(p, args, files)
	}
	program := sandbox.Program{Args: args, Env: environment, Dir: "/"}
	for _, path := range w.Read {
		program.Mounts = append(program.Mounts, sandbox.Mount{From: path, At: path})
	}
	for _, path := range w.Write {
		program.Mounts = append(program.Mounts, sandbox.Mount{From: path, At: path, Writable: true})
	}
	running, err := w.Box.Start(program, files...)
	if err != nil {
		return err
	}
	p.kill = func() { running.Signal(syscall.SIGKILL) }
	p.wait = sync.OnceValues(func() (syscall.WaitStatus, error) {
		exit, err := running.Wait()
		return exit.Status, err
	})
	return nil
}

func launchPlain(p *process, args []string, files []*os.File) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self)
	cmd.Args, cmd.Env, cmd.Dir = args, environment, "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = files[0], files[1], files[2], files[3:]
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for dpb, which ends it
	if err := cmd.Start(); err != nil {
		return err
	}
	p.kill = func() { _ = cmd.Process.Kill() }
	p.wait = sync.OnceValues(func() (syscall.WaitStatus, error) {
		_ = cmd.Wait()
		status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
		return status, nil
	})
	return nil
}

// beyond says that the process wanted more than it may have.
func (w *Worker) beyond() string {
	return fmt.Sprintf("it needed more memory than the %d MB that its process may have, as its memory is %d MB", w.hardLimit()/1e6, w.memory()/1e6)
}

// tooLarge says of a failure at which limit it was, where the engine was refused memory while it held itself to less.
func (w *Worker) tooLarge(f *failure) *failure {
	if f == nil {
		return nil
	}
	for k, p := range f.Problems {
		if strings.HasPrefix(p.Summary, "out of memory: ") && !strings.Contains(p.Summary, " used)") {
			f.Problems[k].Summary, f.Text = w.beyond(), strings.ReplaceAll(f.Text, p.Summary, w.beyond())
		}
	}
	return f
}

// outOfMemory are the words of those who ask the system for memory or a thread in vain and give up: Go, C++, the allocator.
var outOfMemory = []string{"out of memory", "cannot allocate memory", "bad_alloc", "Out of Memory", "pthread_create failed", "Cannot allocate memory"}

// crashed says how the process ended that should not have.
func (w *Worker) crashed(status syscall.WaitStatus, err error) error {
	text, _ := os.ReadFile(w.Log)
	said := string(text[:min(len(text), 64<<10)])
	for _, words := range outOfMemory {
		if strings.Contains(said, words) {
			return &duckdb.ProblemError{Problem: engine.Problem{Summary: w.beyond(), Hint: duckdb.MoreMemory(w.memory())}}
		}
	}
	how := fmt.Sprintf("exit code %d", status.ExitStatus())
	if status.Signaled() {
		how = "signal " + status.Signal().String()
	}
	if first, _, _ := strings.Cut(strings.TrimSpace(said), "\n"); first != "" {
		how += ", " + first
	}
	if status == 0 {
		how = err.Error()
	}
	read := "one of the files that it read"
	if w.Names != nil {
		read = "what it read, " + strings.Join(w.Names, ", ") + ","
	}
	if status.Signaled() && status.Signal() == syscall.SIGKILL {
		return &CrashError{Killed: true, text: "the process that reads and writes tables was killed: the machine had too little memory, or somebody ended it; build again"}
	}
	return &CrashError{text: fmt.Sprintf("the process that reads and writes tables crashed (%s): %s may be damaged, or made to do so", how, read)}
}

// CrashError says that a process ended that should not have, for another reason than that it wanted too much.
type CrashError struct {
	Killed bool // what it read is not to blame
	text   string
}

func (e *CrashError) Error() string { return e.text }

// Failure is an error of a process.
type Failure struct {
	text    string
	wrapped []error
}

func (f *Failure) Error() string   { return f.text }
func (f *Failure) Unwrap() []error { return f.wrapped }
