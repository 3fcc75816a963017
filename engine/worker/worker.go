// Package worker does what reads foreign bytes, SQL and fingerprints, in a process of its own: what crashes there, or wants too much memory, ends no build.
package worker

import (
	"context"
	"encoding/gob"

	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

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

// hardLimit is how many bytes of data a process may have. The engine holds itself to less, but for what it does not count; beyond this the system refuses.
func hardLimit(memory int64) int64 {
	if memory <= 0 {
		memory = duckdb.DefaultMemory
	}
	return 2*memory + 1<<30
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
	stop := context.AfterFunc(ctx, p.kill)
	defer stop()
	answer, err := p.exchange(ctx, r)
	if err == nil {
		return answer, answer.Failure.err()
	}
	p.kill()
	status, lost := p.wait()
	w.Close()
	switch {
	case ctx.Err() != nil:
		return reply{}, context.Cause(ctx)
	case lost != nil:
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
	args := []string{processName, strconv.FormatInt(hardLimit(w.Memory), 10)}
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

// outOfMemory are the words of those who ask the system for memory in vain.
var outOfMemory = []string{"out of memory", "cannot allocate memory", "bad_alloc", "Out of Memory"}

// crashed says how the process ended that should not have.
func (w *Worker) crashed(status syscall.WaitStatus, err error) error {
	text, _ := os.ReadFile(w.Log)
	said := string(text[:min(len(text), 64<<10)])
	for _, words := range outOfMemory {
		if strings.Contains(said, words) {
			return fmt.Errorf("it needed more memory than the %d MB that its process may have: give the target more, as in memory = \"%dGB\"", hardLimit(w.Memory)>>20,
				max(2*max(w.Memory, duckdb.DefaultMemory)>>30, 1))
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
	return fmt.Errorf("the process that reads and writes tables crashed (%s): one of the files that it read may be damaged, or made to do so", how)
}

// Failure is an error of a process.
type Failure struct {
	text    string
	wrapped []error
}

func (f *Failure) Error() string   { return f.text }
func (f *Failure) Unwrap() []error { return f.wrapped }
