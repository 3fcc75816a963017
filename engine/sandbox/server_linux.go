package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A program that links this package is the keeper of a sandbox when it is called by that name: the first process of its namespaces, which does what it is
// asked for over the socket that it is given as its fourth file.
func init() {
	if os.Args[0] != serverName || os.Getpid() != 1 {
		return
	}
	err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC) // what dpb was started with is not for jobs: a folder among it leads anywhere
	var w wire
	if err == nil {
		w, err = newWire(os.NewFile(3, "dpb"))
	}
	if err == nil {
		err = serve(w)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "dpb: sandbox:", err)
	}
	os.Exit(0) // all processes in its namespaces end with it
}

// server is the state of a keeper.
type server struct {
	wire
	seen   []string // directories of the machine that all programs see where they are
	hidden []string // folders in these that they don't see
	jobs   chan job
	next   *place // for a program without the network
}

type job struct {
	Program
	files []*os.File
}

func serve(w wire) error {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught) // what is caught and not looked at: no job can end its sandbox by a signal
	var root Root
	if _, err := w.receive(&root); err != nil {
		return err
	}
	s := &server{wire: w, jobs: make(chan job)}
	unix.Umask(0o022)
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil { // no job looks into its keeper
		return err
	}
	if err := s.prepare(root); err != nil {
		return w.send(reply{Error: err.Error()})
	}
	if err := w.send(reply{Ready: true}); err != nil {
		return err
	}
	go s.listen()
	for j := range s.jobs {
		if err := s.run(j); err != nil {
			return err
		}
	}
	return nil
}

// listen takes requests until dpb is gone.
func (s *server) listen() {
	defer close(s.jobs)
	for {
		var r request
		files, err := s.receive(&r)
		switch {
		case err != nil:
			os.Exit(0)
		case r.Program != nil:
			s.jobs <- job{*r.Program, files}
		case r.Signal != nil:
			_ = unix.Kill(-1, *r.Signal)
		}
	}
}

// run runs one program and says how it ended, once everything that it started is gone.
func (s *server) run(j job) error {
	pid, err := s.start(j)
	for _, f := range j.files {
		f.Close()
	}
	var start *StartError
	switch {
	case errors.As(err, &start):
		return s.send(reply{Errno: int(start.Err)})
	case err != nil:
		return s.send(reply{Error: err.Error()})
	}
	if err := s.send(reply{Started: true}); err != nil {
		return err
	}
	end, err := reap(pid)
	if err != nil {
		return err
	}
	return s.send(reply{Ended: &end})
}

// reap waits for a program, kills what it left, and waits for that too.
func reap(pid int) (end Exit, err error) {
	for over := false; ; {
		var status unix.WaitStatus
		var usage unix.Rusage
		got, err := unix.Wait4(-1, &status, 0, &usage)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.ECHILD:
			return end, nil
		case err != nil:
			return end, err
		case got == pid:
			over = true
			end = Exit{syscall.WaitStatus(status), time.Duration(usage.Utime.Nano()), time.Duration(usage.Stime.Nano()), usage.Maxrss << 10}
		}
		if over {
			_ = unix.Kill(-1, unix.SIGKILL)
		}
	}
}

// place is a thread with namespaces of its own, in which one program is to be started.
type place struct {
	jobs    chan job
	started chan started
}

type started struct {
	pid int
	err error
}

// newPlace makes a place beside other work.
func (s *server) newPlace(network bool) *place {
	p := &place{make(chan job), make(chan started)}
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine, and with it all that is changed of it here
		err := s.leave(network)
		j, r := <-p.jobs, started{err: err}
		if err == nil {
			r.pid, r.err = s.enter(j)
		}
		p.started <- r
	}()
	return p
}

// start starts a program at the next place, and has the one after that made while it runs.
func (s *server) start(j job) (int, error) {
	p := s.next
	if j.Network || p == nil {
		p = s.newPlace(j.Network)
	} else {
		s.next = nil
	}
	p.jobs <- j
	r := <-p.started
	if s.next == nil {
		s.next = s.newPlace(false)
	}
	return r.pid, r.err
}

// leave gives the current thread namespaces of its own, with what all programs see.
func (s *server) leave(network bool) error {
	flags := unix.CLONE_FS | unix.CLONE_NEWNS | unix.CLONE_NEWIPC
	if !network {
		flags |= unix.CLONE_NEWNET
	}
	if err := unix.Unshare(flags); err != nil {
		return failure("unshare", "", err)
	}
	if !network {
		if err := loopbackUp(); err != nil {
			return failure("loopback", "lo", err)
		}
	}
	return s.makeRoot()
}

// enter moves the current thread into a root with what one program is shown, takes its rights away, and starts the program, which inherits all of it.
func (s *server) enter(j job) (int, error) {
	if err := s.enterRoot(j.Program); err != nil {
		return 0, err
	}
	if err := dropRights(); err != nil {
		return 0, failure("prctl", "", err)
	}
	if err := filterCalls(); err != nil {
		return 0, failure("seccomp", "", err)
	}
	fds := make([]uintptr, len(j.files))
	for i, f := range j.files {
		fds[i] = f.Fd()
	}
	pid, err := syscall.ForkExec(j.Path, j.Args, &syscall.ProcAttr{Dir: j.Dir, Env: j.Env, Files: fds, Sys: &syscall.SysProcAttr{Setsid: true}})
	if number, ok := err.(syscall.Errno); ok {
		err = &StartError{number}
	}
	return pid, err
}

// dropRights makes what the thread starts keep no capability, also if it runs a program with the set-user-ID bit.
func dropRights() error {
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	none := [2]unix.CapUserData{}
	if err := unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &none[0]); err != nil {
		return err
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	r.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r)
}

// failure is an error that is the sandbox's, and never to be taken for one of the program's.
func failure(call, path string, err error) error {
	return fmt.Errorf("sandbox: %s %s: %s", call, path, err)
}
