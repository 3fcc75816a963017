//go:build linux

package sandbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// box starts a box, or skips the test where there are no namespaces.
func box(t *testing.T, hidden ...string) *Box {
	t.Helper()
	b, err := New(Root{Hidden: hidden})
	if none := (*UnavailableError)(nil); errors.As(err, &none) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// shell is a program that runs a script.
func shell(script string, mounts ...Mount) Program {
	return Program{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, Dir: "/", Mounts: mounts}
}

// run runs a program to its end and returns what it wrote, and its exit code.
func run(t *testing.T, b *Box, p Program) (string, int) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	process, err := b.Start(p, w, w, w)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	exit, err := process.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text)), exit.Status.ExitStatus()
}

// TestSame: what a program can learn of its surroundings is the same for whoever runs it.
func TestSame(t *testing.T) {
	t.Parallel()
	b := box(t)
	for script, want := range map[string]string{
		"id":             "uid=1000(job) gid=1000(job) groups=1000(job)",
		"hostname":       "dpb",
		"umask":          "0022",
		"cat /etc/hosts": "127.0.0.1 localhost\n::1 localhost",
		"grep -E 'CapInh|CapPrm|CapEff|CapAmb|NoNewPrivs' /proc/self/status | tr '\\n\\t' '  '": "CapInh: 0000000000000000 CapPrm: 0000000000000000 CapEff: 0000000000000000 CapAmb: 0000000000000000 NoNewPrivs: 1",
		"ls /": "bin\ndev\netc\nlib\nlib64\nopt\nproc\nsbin\nusr",
		"ls -d /etc/ssl/* /etc/pki/* /etc/pki/tls/* 2>/dev/null | grep -vE '/(certs|cert.pem|openssl.cnf|ca-trust|java|tls|[*])$'; true": "",
		"ls /dev": "fd\nfull\nnull\nrandom\nshm\nstderr\nstdin\nstdout\nurandom\nzero",
		"ls /sys/net /sys/class/net 2>/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1": "lo",
		"echo x > /dev/null && head -c 2 /dev/zero | wc -c":                              "2",
	} {
		got, code := run(t, b, shell(script))
		if strings.HasPrefix(script, "ls /") && script == "ls /" { // machines differ in which system directories they have
			for _, name := range strings.Fields(got) {
				if !strings.Contains("bin dev etc gnu lib lib32 lib64 libx32 nix opt proc sbin usr", name) {
					t.Errorf("a program sees /%s", name)
				}
			}
			continue
		}
		if code != 0 || got != want {
			t.Errorf("%s: exit code %d\n%s\nwant\n%s", script, code, got, want)
		}
	}
}

// TestBytes: arguments and environment arrive as they are, also where they are no text.
func TestBytes(t *testing.T) {
	t.Parallel()
	p := shell(`printf %s "$1" "$X" | od -An -tx1`)
	p.Args, p.Env = append(p.Args, "sh", "a\xff"), append(p.Env, "X=\xfe\x80b")
	if out, _ := run(t, box(t), p); out != "61 ff fe 80 62" {
		t.Errorf("it was given %s", out)
	}
}

// TestNothingPasses: one program leaves nothing for the next in the same box.
func TestNothingPasses(t *testing.T) {
	t.Parallel()
	b := box(t)
	scratch := Mount{From: t.TempDir(), At: "/tmp", Writable: true}
	if out, code := run(t, b, shell("echo 1 > /dev/shm/x; echo 1 > /tmp/x; sleep 1000 & (setsid sleep 1001 &); ipcmk -Q > /dev/null && ipcs -q | grep -c 0x", scratch)); code != 0 || out != "1" {
		t.Fatalf("exit code %d: %s", code, out)
	}
	out, _ := run(t, b, shell("ls /dev/shm /tmp; ipcs -q | grep 0x; grep -l sleep /proc/[0-9]*/comm", Mount{From: t.TempDir(), At: "/tmp", Writable: true}))
	if out != "/dev/shm:\n\n/tmp:" {
		t.Errorf("left from the program before:\n%s", out)
	}
}

// TestMounts: what is given is seen, and only what is writable can be written, also by root and by its owner.
func TestMounts(t *testing.T) {
	t.Parallel()
	b, dir := box(t), t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("given"), 0o666); err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	script := `cat /in/a/file /in/f; for f in /in/a/file /in/a/new /in/f; do (echo x > $f) 2>/dev/null && echo wrote $f; done; chmod 777 /in/f 2>/dev/null && echo changed mode
		rm -f /in/f /in/a/file 2>/dev/null && echo removed; ln /in/a/file /out/hard 2>/dev/null && echo linked; echo y > /out/y; umount /in/a 2>/dev/null && echo unmounted
		mount -o remount,rw /in/a 2>/dev/null && echo remounted; true`
	got, code := run(t, b, shell(script, Mount{From: dir, At: "/in/a"}, Mount{From: file, At: "/in/f"}, Mount{From: out, At: "/out", Writable: true}))
	if got != "givengiven" || code != 0 {
		t.Errorf("exit code %d: %s", code, got)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "given" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if text, err := os.ReadFile(filepath.Join(out, "y")); err != nil || string(text) != "y\n" {
		t.Errorf("the output holds %q, %v", text, err)
	}
}

// TestHidden: what is hidden in a system directory is not seen, but for what is given of it.
func TestHidden(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("makes a folder in /opt")
	}
	workspace, err := os.MkdirTemp("/opt", "dpb-test-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(workspace)
	for _, name := range []string{"secret", "tools/run"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(workspace, name)), 0o777), os.WriteFile(filepath.Join(workspace, name), []byte(name), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(workspace, link); err != nil {
		t.Fatal(err)
	}
	if out, _ := run(t, box(t, link), shell("ls "+workspace)); out != "" {
		t.Errorf("by the name of a link: a program sees %s", out)
	}
	tools := filepath.Join(workspace, "tools")
	b := box(t, tools, link, filepath.Join(workspace, "none-such")) // a store in a workspace that is reached by a link, and a home that is not there
	if out, _ := run(t, b, shell("ls "+workspace+"; cat "+workspace+"/tools/run; touch "+workspace+"/x 2>/dev/null && echo wrote", Mount{From: tools, At: tools})); out != "tools\ntools/run" {
		t.Errorf("a program sees %s", out)
	}
}

// TestInherited: what dpb itself was started with does not reach a program.
func TestInherited(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o666); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY, 0) // without close-on-exec, as a shell leaves it
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if out, _ := run(t, box(t), shell(fmt.Sprintf("cat /proc/self/fd/%d/secret 2>/dev/null; ls /proc/$$/fd", fd))); out != "0\n1\n2" {
		t.Errorf("a program has %s", out)
	}
}

// TestEnds: a program ends with all that it started, when it is told to and when its box is closed.
func TestEnds(t *testing.T) {
	t.Parallel()
	b := box(t)
	start := func(script string) (*Process, *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		p, err := b.Start(shell(script), w, w, w)
		w.Close()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(r, make([]byte, 2)); err != nil { // it has begun
			t.Fatal(err)
		}
		return p, r
	}
	p, r := start("trap 'exit 7' TERM; echo a; (trap '' TERM; sleep 1000) & wait")
	p.Signal(syscall.SIGTERM)
	if exit, err := p.Wait(); err != nil || exit.Status.ExitStatus() != 7 {
		t.Errorf("asked to end: %v, %v", exit, err)
	}
	if _, err := io.ReadAll(r); err != nil { // returns when nobody holds the other end
		t.Error(err)
	}
	p, r = start("trap '' TERM; echo a; sleep 1000 & wait; wait")
	p.Signal(syscall.SIGTERM)
	p.Signal(syscall.SIGKILL)
	if exit, err := p.Wait(); err != nil || exit.Status.Signal() != syscall.SIGKILL {
		t.Errorf("killed: %v, %v", exit, err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	p, r = start("kill -TERM 1; kill -KILL 1; kill -STOP 1; kill -HUP 1; echo a; sleep 1000")
	b.Close()
	if _, err := p.Wait(); !errors.Is(err, errLost) {
		t.Errorf("the box was closed: %v", err)
	}
	if _, err := io.ReadAll(r); err != nil {
		t.Error(err)
	}
	if !b.lost() {
		t.Error("a closed box would be used again")
	}
}

// TestSignals: signals may be sent from anywhere and at any time, and reach no program but their own.
func TestSignals(t *testing.T) {
	t.Parallel()
	b := box(t)
	first, err := b.Start(shell("true"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.Wait(); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	second, err := b.Start(shell("read x; exit 7"), r)
	r.Close()
	if err != nil {
		t.Fatal(err)
	}
	first.Signal(syscall.SIGKILL) // as of a timeout that comes late
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 200 {
				second.Signal(0)
			}
		})
	}
	all.Wait()
	if _, err := w.WriteString("end\n"); err != nil {
		t.Fatal(err)
	}
	if exit, err := second.Wait(); err != nil || exit.Status.ExitStatus() != 7 {
		t.Errorf("the second program: %v, %v", exit, err)
	}
}

// TestNotStarted: a program that is none is its own fault, and the box goes on.
func TestNotStarted(t *testing.T) {
	t.Parallel()
	b := box(t)
	for path, want := range map[string]syscall.Errno{"/bin/none-such": syscall.ENOENT, "/etc/passwd": syscall.EACCES, "/etc": syscall.EACCES} {
		var start *StartError
		if _, err := b.Start(Program{Path: path, Args: []string{"x"}, Dir: "/"}); !errors.As(err, &start) || start.Err != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	for _, m := range []Mount{{From: "/no/such", At: "/x"}, {From: "/usr", At: "/etc/passwd/x"}} {
		var start *StartError
		if _, err := b.Start(Program{Path: "/bin/true", Args: []string{"true"}, Dir: "/", Mounts: []Mount{m}}); !IsTrouble(err) || errors.As(err, &start) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("showing %v: %v, which is not the program's fault", m, err)
		}
	}
	if out, code := run(t, b, shell("echo fine")); out != "fine" || code != 0 {
		t.Errorf("afterwards: %s, %d", out, code)
	}
}

// TestNetwork: a program that shares the network sees its interfaces.
func TestNetwork(t *testing.T) {
	t.Parallel()
	b := box(t)
	own, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	p := shell("readlink /proc/self/ns/net")
	p.Network = true
	if out, _ := run(t, b, p); out != own {
		t.Errorf("with network: %s, want %s", out, own)
	}
	if out, _ := run(t, b, shell("readlink /proc/self/ns/net")); out == own {
		t.Error("without network it has the machine's")
	}
}

// TestUnprivileged runs the other tests as a user who has no rights at all.
func TestUnprivileged(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	const nobody = 65534
	dir, err := os.MkdirTemp("/tmp", "dpb-unprivileged-") // not below a folder of root's
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	self, err := os.ReadFile("/proc/self/exe")
	if err := errors.Join(err, os.Chown(dir, nobody, nobody), os.WriteFile(filepath.Join(dir, "test"), self, 0o777)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(filepath.Join(dir, "test"), "-test.v", "-test.run=^(TestSame|TestNothingPasses|TestMounts|TestEnds|TestNotStarted|TestNetwork)$")
	cmd.Dir, cmd.Env = dir, []string{"TMPDIR=" + dir, "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "--- SKIP") {
		t.Skipf("only root has namespaces here:\n%s", out)
	}
}

// BenchmarkStart is what isolation costs a program that does nothing: the medians of starts in turn, in microseconds, plain, isolated, and with bubblewrap where that is installed.
func BenchmarkStart(b *testing.B) {
	box, err := New(Root{})
	if err != nil {
		b.Skip(err)
	}
	defer box.Close()
	plain := func(args ...string) func() error {
		return func() error {
			p, err := os.StartProcess(args[0], args, &os.ProcAttr{})
			if err == nil {
				_, err = p.Wait()
			}
			return err
		}
	}
	starts := map[string]func() error{
		"plain": plain("/bin/true"),
		"isolated": func() error {
			p, err := box.Start(Program{Path: "/bin/true", Args: []string{"true"}, Dir: "/"})
			if err == nil {
				_, err = p.Wait()
			}
			return err
		},
	}
	if bwrap, err := exec.LookPath("bwrap"); err == nil {
		starts["bubblewrap"] = plain(bwrap, "--ro-bind", "/usr", "/usr", "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64", "--symlink", "usr/bin", "/bin", "--proc", "/proc",
			"--dev", "/dev", "--tmpfs", "/tmp", "--unshare-all", "--die-with-parent", "/bin/true")
	}
	took := map[string][]float64{}
	for b.Loop() {
		for name, start := range starts {
			begin := time.Now()
			if err := start(); err != nil {
				b.Fatalf("%s: %v", name, err)
			}
			took[name] = append(took[name], float64(time.Since(begin).Microseconds()))
		}
	}
	for name, times := range took {
		slices.Sort(times)
		b.ReportMetric(times[len(times)/2], name+"-µs")
	}
}
