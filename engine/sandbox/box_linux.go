package sandbox

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// Box keeps namespaces in which programs run one after the other. Nothing passes from one to the next: each has file system, network, shared memory and
// processes of its own. It is used by one goroutine at a time.
type Box struct {
	wire wire
	cmd  *exec.Cmd
	quit func()
	gone atomic.Bool // it no longer answers
}

// serverName is the first argument that makes a program that links this package keep a sandbox, whatever else it does.
const serverName = "dpb-sandbox"

// jobID is the user and group that programs run as: the same for whoever runs dpb.
const jobID = 1000

// New starts a box. Its error is an *UnavailableError if this machine has no namespaces for us.
func New(root Root) (*Box, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "sandbox"), os.NewFile(uintptr(pair[1]), "sandbox")
	defer theirs.Close()
	w, err := newWire(ours)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Args, cmd.Env, cmd.Dir = []string{serverName}, []string{}, "/"
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: jobID, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: jobID, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
		Setsid:      true,
	}
	quit, err := startTied(cmd)
	if err != nil {
		w.Close()
		return nil, unavailable(err)
	}
	b := &Box{wire: w, cmd: cmd, quit: quit}
	theirs.Close()
	root = root.real()
	if err := b.handshake(root); err != nil {
		b.Close()
		return nil, unavailable(err)
	}
	return b, nil
}

// startTied starts a process that dies with this one. That tie is to the thread that starts it, so a thread is kept until quit is called.
func startTied(cmd *exec.Cmd) (quit func(), err error) {
	started, over := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		started <- cmd.Start()
		<-over
	}()
	quit = sync.OnceFunc(func() { close(over) })
	if err = <-started; err != nil {
		quit()
	}
	return quit, err
}

func (b *Box) handshake(root Root) error {
	if err := b.wire.send(root); err != nil {
		return err
	}
	r, err := b.reply()
	if err == nil && !r.Ready {
		err = errLost
	}
	return err
}

func (b *Box) reply() (r reply, err error) {
	if _, err := b.wire.receive(&r); err != nil {
		b.gone.Store(true)
		return r, errLost
	}
	switch {
	case r.Errno != 0:
		return r, &StartError{syscall.Errno(r.Errno)}
	case r.Error != "":
		return r, &setupError{r.Error}
	}
	return r, nil
}

// Start starts a program; files become its standard input, output and error output, and more.
func (b *Box) Start(p Program, files ...*os.File) (*Process, error) {
	p.Mounts = slices.Clone(p.Mounts)
	if p.Path == "" {
		p.Path = "/proc/self/exe" // which is the keeper's, and so this program, also if another one has taken its place on disk
	}
	for i := range p.Mounts {
		real, err := filepath.EvalSymlinks(p.Mounts[i].From)
		if err != nil {
			return nil, &setupError{"sandbox: " + err.Error()}
		}
		p.Mounts[i].From = real
	}
	if err := b.wire.send(request{Program: &p}, files...); err != nil {
		b.gone.Store(true)
		return nil, errLost
	}
	if _, err := b.reply(); err != nil {
		return nil, err
	}
	process := &Process{box: b, ended: make(chan exited, 1)}
	go func() {
		r, err := b.reply()
		process.mu.Lock()
		process.over = true
		process.mu.Unlock()
		if err == nil && r.Ended == nil {
			err = errLost
		}
		if err != nil {
			process.ended <- exited{err: err}
			return
		}
		process.ended <- exited{Exit: *r.Ended}
	}()
	return process, nil
}

// Signal sends a signal to the program and all that it started, unless it is over. It is safe for concurrent use.
func (p *Process) Signal(s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		_ = p.box.wire.send(request{Signal: &s})
	}
}

func (b *Box) lost() bool { return b.gone.Load() }

// Close ends what runs in the box, and the box.
func (b *Box) Close() {
	b.wire.Close()
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
	b.quit()
}

// unavailable says why there are no namespaces, and what would change that.
func unavailable(err error) error {
	setting := func(name string) string {
		b, _ := os.ReadFile("/proc/sys/" + name)
		return strings.TrimSpace(string(b))
	}
	var number syscall.Errno
	reason := "namespaces can't be made"
	switch errors.As(err, &number); {
	case number == 0:
		reason += ": " + err.Error()
	case number != unix.ENOSPC: // which is about their number, and no disk
		reason += ": " + number.Error()
	}
	switch {
	case setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
		reason += "; AppArmor keeps programs without a profile from them: add a profile with userns for dpb, or set kernel.apparmor_restrict_unprivileged_userns=0"
	case setting("kernel/unprivileged_userns_clone") == "0":
		reason += "; set kernel.unprivileged_userns_clone=1"
	case setting("user/max_user_namespaces") == "0":
		reason += "; set user.max_user_namespaces to more than 0"
	case errors.Is(err, unix.ENOSPC):
		reason += "; there are as many as user.max_user_namespaces and its like allow"
	case errors.Is(err, fs.ErrPermission), strings.HasSuffix(err.Error(), ": "+unix.EPERM.Error()): // the latter as the keeper says it
		reason += "; in a container, its security profiles (seccomp, AppArmor) have to allow unshare and mount, and no part of its /proc may be covered"
	case errors.Is(err, unix.ENOSYS):
		reason += "; Linux 5.12 or newer is needed"
	}
	lasting := number == unix.EPERM || number == unix.EINVAL || number == unix.ENOSYS || number == unix.ENOSPC || strings.HasSuffix(err.Error(), ": "+unix.EPERM.Error())
	return &UnavailableError{reason, lasting}
}
