//go:build linux

package exec

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
	"golang.org/x/sys/unix"
)

// boxed is a job that is isolated, of a workspace with files of its own: a test is skipped where there is no isolation.
func boxed(t *testing.T, script string) bench {
	t.Helper()
	box, err := sandbox.New(sandbox.Root{})
	if none := (*sandbox.UnavailableError)(nil); errors.As(err, &none) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(box.Close)
	b := shell(t, script)
	b.Box, b.Root = box, workspace(t)
	return b
}

// workspace is a checkout with things that no job declares.
func workspace(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"dpb.hcl": "", "top.txt": "top", "team/spam/pipeline.hcl": "", "team/spam/data.csv": "1", "team/spam/my data.csv": "1", "team/spam/lib/util.py": "", "team/spam/lib/__init__.py": "",
		"other/rates.csv": "2", "dpb-out/team/plays/day=2017-06-15/plays.csv": "3", "dpb-out/one/one.csv": "4", ".dpb/format": "x", "home/.ssh/id": "key",
	} {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// pythonCalls is a script that makes a system call, and succeeds if that did.
func pythonCalls(call int, arguments string) string {
	return fmt.Sprintf(`python3 -c "import ctypes, sys; sys.exit(ctypes.CDLL(None).syscall(%d, %s) < 0)"`, call, arguments)
}

// TestEscapes: what a job tries to have and does not declare fails, and what it can write for it is named. ROOT is the workspace, HOST a file elsewhere that dpb could read.
func TestEscapes(t *testing.T) {
	t.Parallel()
	host := filepath.Join(t.TempDir(), "host.txt")
	if err := os.WriteFile(host, []byte("host"), 0o666); err != nil {
		t.Fatal(err)
	}
	const scratch = "jobs write only to their outputs and to \\$TMPDIR"
	for _, c := range []struct{ name, script, want string }{
		{"file of its package", "cat data.csv", `it tried to read data.csv, which it does not declare: if that is code, add "data.csv" to code; if it is data, add it to inputs, as data = "data.csv"`},
		{"name with a space", "cat 'my data.csv'", `it tried to read my data.csv, which it does not declare: .* as my_data = "my data.csv"`},
		{"by its path in the workspace", "cat ROOT/team/spam/data.csv", `it tried to read data.csv, which it does not declare`},
		{"file of another package", "cat ../../other/rates.csv", `it tried to read //other/rates.csv, which it does not declare: let the package that it belongs to declare it as a source`},
		{"file at the root", "cat ROOT/top.txt", `it tried to read //top.txt, which it does not declare`},
		{"what another target made", "cat ROOT/dpb-out/team/plays/day=2017-06-15/plays.csv", `it tried to read dpb-out/team/plays/day=2017-06-15/plays.csv: name what makes that in inputs, as "//team:plays"`},
		{"likewise, without partitions", "cat ../../dpb-out/one/one.csv", `name what makes that in inputs, as "//:one"`},
		{"the store", "cat ROOT/.dpb/format", `it tried to read //.dpb/format`},
		{"file of the machine", "cat HOST", `it tried to read HOST, which it does not see: declare it as a source with path = "HOST"`},
		{"through a link of its own", "ln -s HOST $TMPDIR/l; cat $TMPDIR/l", `exit code 1`},
		{"through the root of its first process", "cat /proc/1/root/HOST", `exit code 1`},
		{"through the folder of its first process", "cd /proc/1/cwd && cat etc/shadow", `exit code 2`},
		{"memory of its first process", "head -c 1 /proc/1/mem", `exit code 1`},
		{"environment of its first process", "tr x y < /proc/1/environ", `exit code [12]`},
		{"up from the top", "cat ../../../../../../../../HOST", `it tried to read`},
		{"passwords", "cat /etc/shadow", `it tried to read /etc/shadow, which it does not see`},
		{"settings of the machine", "cat /etc/hostname /etc/machine-id /etc/fstab", `exit code 1`},
		{"home", "ls /root /home", `exit code 2`},
		{"disk", "head -c 1 /dev/sda /dev/vda /dev/mem", `exit code 1`},
		{"a device of its own", "mknod $TMPDIR/d b 8 0 && head -c 1 $TMPDIR/d", `exit code 1`},
		{"kernel's log", "dmesg || cat /dev/kmsg || cat /proc/kmsg", `exit code 1`},
		{"kernel's settings", "echo 1 > /proc/sys/vm/drop_caches", `it tried to write /proc/sys/vm/drop_caches, and ` + scratch},
		{"kernel's magic key", "echo b > /proc/sysrq-trigger", `exit code [12]`},
		{"devices of the system", "cat /sys/kernel/profiling", `exit code 1`},
		{"write beside its code", "echo x > new.txt", `it tried to write new.txt, and ` + scratch},
		{"write without an ending", "echo x > f", `it tried to write f, and ` + scratch},
		{"write into its inputs", "echo x > ../../../in/x", `exit code 2`},
		{"write over its input", "echo x > $DPB_INPUT_GIVEN", `exit code 2`},
		{"change the mode of its input", "chmod 777 $DPB_INPUT_GIVEN", `exit code 1`},
		{"remove its input", "rm -f $DPB_INPUT_GIVEN", `exit code 1`},
		{"hard link to its input", "ln $DPB_INPUT_GIVEN ../../../out/l", `exit code 1`},
		{"write into a system directory", "touch /usr/lib/x", `it tried to write /usr/lib/x, and ` + scratch},
		{"write at the top", "mkdir /x", `it tried to write /x`},
		{"change the mode of a device", "chmod 666 /dev/null", `it tried to write /dev/null`},
		{"mount", "mount -t tmpfs x /job/in", `exit code (1|32)`},
		{"unmount", "umount /job/in", `exit code (1|32)`},
		{"remount to write", "mount -o remount,rw /usr", `exit code (1|32)`},
		{"namespaces of its own to unmount in", "unshare -Urm sh -c 'umount /job/in || mount -o remount,rw,bind /usr'", `exit code (1|32)`},
		{"namespaces of its own to write in", "unshare -Urm sh -c 'touch /usr/x'", `exit code 1`},
		{"change the root", "/usr/sbin/chroot /proc/1/root cat /etc/shadow", `exit code 12[56]`},
		{"become root", "su -c 'cat /etc/shadow' || sudo -n true", `exit code \d+`},
		{"a file of root's that anybody may run as root", "cp /usr/bin/id $TMPDIR/i && chmod u+s $TMPDIR/i && $TMPDIR/i -u | grep -qx 0", `exit code 1`},
		{"kill its first process", "kill -9 1; kill -TERM 1; sleep 0; cat none-such", `exit code 1`},
		{"kill everybody", "kill -9 -1; exit 9", `exit code 1`},
		{"another process of the machine", "ls -d /proc/[0-9][0-9][0-9]*/ | grep -v self", `exit code 1`},
		{"network", "bash -c 'exec 3<>/dev/tcp/192.0.2.1/80'", `it tried to reach another machine, or a service of this one: jobs have no network without network = true`},
		{"service of this machine", "bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT'", `it tried to reach another machine, or a service of this one`},
		{"name of another machine", "getent hosts example.com || { echo Temporary failure in name resolution; exit 2; }", `it tried to reach another machine`},
		{"module", `python3 -c 'import lib.util'`, `it tried to import lib, which it does not declare: add "lib/\*\*/\*.py" to code`},
		{"another file for its log", "ln -sf HOST /job/log", `exit code 1`},
		{"no file for its log", "rm -f /job/log", `exit code 1`},
		{"its log moved away", "mv /job/log /job/tmp/log", `exit code 1`},
		{"keys of its user", pythonCalls(unix.SYS_ADD_KEY, "b'user', b'x', b'y', 1, -4"), `exit code 1`},
		{"keys of its session", pythonCalls(unix.SYS_KEYCTL, "0, -3, 0"), `exit code 1`},
		{"rings of calls", pythonCalls(unix.SYS_IO_URING_SETUP, "1, ctypes.create_string_buffer(256)"), `exit code 1`},
		{"host of a virtual machine", "python3 -c 'import socket; socket.socket(40, socket.SOCK_STREAM)'", `exit code 1`},
		{"clock", "date -s 2017-01-01", `exit code 1`},
		{"name of the machine", "hostname evil", `exit code 1`},
		{"priority", "nice -n -5 true && renice -n -5 $$", `exit code \d+`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := boxed(t, "")
			script := strings.NewReplacer("ROOT", b.Root, "HOST", host, "PORT", "9").Replace(c.script)
			b.Target.Command[2] = engine.Text{{Literal: "set -e; " + script}}
			b.Inputs = []Input{{Name: "given", File: "given.csv", Parts: []Part{{Tree: b.tree("given.csv")}}}}
			o := b.run()
			want := strings.NewReplacer("HOST", regexp.QuoteMeta(host)).Replace(c.want)
			if o.Err() == nil || !regexp.MustCompile(want).MatchString(o.Err().Error()) {
				t.Errorf("%v\nwant %s\nthe job said %q", o.Err(), want, o.Tail)
			}
			if text, err := os.ReadFile(host); err != nil || string(text) != "host" {
				t.Errorf("the file of the machine holds %q, %v", text, err)
			}
		})
	}
}

// TestStoredBlobs: a large input is shown where it lies in the store, and no job can change it, also as root and through what it writes.
func TestStoredBlobs(t *testing.T) {
	t.Parallel()
	b := boxed(t, `f=$DPB_INPUT_GIVEN; chmod 666 $f; (echo x > $f); (: > $f); rm -f $f; ln $f $DPB_OUTPUT_OUT; mv $f $DPB_OUTPUT_OUT; ln -s $f $TMPDIR/l; echo x > $TMPDIR/l
		cat $f > $DPB_OUTPUT_OUT; chmod 777 $DPB_OUTPUT_OUT; echo more >> $DPB_OUTPUT_OUT; mount -o remount,bind,rw $f; exit 0`)
	content := strings.Repeat("0123456789abcdef", largeSize/16)
	d := b.digest(content)
	b.Inputs = []Input{{Name: "given", File: "given.csv", Parts: []Part{{Tree: cache.Tree{Entries: []cache.Entry{{Path: "x.csv", Kind: cache.File, Digest: d, Size: int64(len(content))}}}}}}}
	if o := b.run(); o.Err() != nil || len(b.large) != 1 {
		t.Fatalf("%v, %d large files, %q", o.Err(), len(b.large), o.Tail)
	}
	again, err := disk.OpenExisting(b.store.Dir) // which has verified nothing yet
	if err == nil {
		err = again.Verify(t.Context(), d)
	}
	info, statErr := os.Stat(b.store.BlobPath(d))
	if err != nil || statErr != nil || info.Mode() != 0o444 {
		t.Errorf("the stored blob: %v, %v, mode %v", err, statErr, info.Mode())
	}
	if out, err := os.Stat(filepath.Join(b.Dir, engine.JobOutputs, "out.csv")); err != nil || out.Size() != int64(len(content))+5 {
		t.Errorf("the output: %v, %v", out, err)
	}
}

// TestIsolatedJobs do all that jobs do.
func TestIsolatedJobs(t *testing.T) {
	t.Parallel()
	b := boxed(t, "cd ../../..; pwd; find . -type f | sort; cat ws/team/spam/c.py; echo x > /tmp/x; cat tmp/x; echo y > $TMPDIR/y; mkdir tmp/d; (cd tmp/d; echo z > $HOME/z); python3 -c \"import os; os.rename('tmp/y', 'out/out.csv')\"; echo '{}' > $(basename $(dirname $DPB_METRICS))/$(basename $DPB_METRICS)")
	b.Code = []engine.CodeFile{{Path: "team/spam/c.py", Digest: b.digest("print(1)\n")}}
	b.Inputs = []Input{{Name: "one", File: "one.csv", Parts: []Part{{Tree: b.tree("made.csv")}}}}
	if got := b.log(); got != "/job\n./in/one/one.csv\n./log\n./ws/team/spam/c.py\nprint(1)\nx" {
		t.Errorf("the job says %s", got)
	}
	results, metrics, err := Collect(t.Context(), b.store, b.Job)
	if err != nil || len(results) != 1 || results[0].Bytes != 2 || metrics.IsZero() {
		t.Errorf("%v, %v, %v", results, metrics, err)
	}
}

// TestToolsInABox: programs that lie elsewhere are seen where they are, with what they are installed with, and nothing around them.
func TestToolsInABox(t *testing.T) {
	t.Parallel()
	b := boxed(t, "")
	for name, text := range map[string]string{
		"prefix/bin/greet": "#!/bin/sh\ncat $(dirname $(readlink -f $0))/../lib/words\n", "prefix/lib/words": "hello", "single": "#!/bin/sh\necho single\n", "secret": "no",
		"team/spam/.venv/bin/run": "#!/bin/sh\necho from $0; cat ROOT/team/spam/.venv/lib/data\n", "team/spam/.venv/lib/data": "inside",
	} {
		name = filepath.Join(b.Root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o777), os.WriteFile(name, []byte(strings.ReplaceAll(text, "ROOT", b.Root)), 0o777)); err != nil {
			t.Fatal(err)
		}
	}
	single := filepath.Join(b.Root, "single")
	b.Target.Tools = []string{".venv/", "greet", single}
	b.Target.Command[2] = engine.Text{{Literal: "run; greet; single; cat " + filepath.Join(b.Root, "secret") + " 2>/dev/null || echo; ls " + b.Root}}
	var err error
	stat := disk.OpenStatCache(filepath.Join(t.TempDir(), "files"))
	if _, b.Programs, _, err = Tools(b.Target, b.Root, stat, filepath.Join(b.Root, "prefix/bin"), nil); err != nil {
		t.Fatal(err)
	}
	want := "from ../../../tools/0/bin/run\ninsidehellosingle\n\nprefix\nsingle\nteam"
	if got := b.log(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestToolsInSystemDirectories: a program of a workspace or home that lies in a system directory is shown, for that is hidden; other programs there are seen anyway.
func TestToolsInSystemDirectories(t *testing.T) {
	t.Parallel()
	for private, want := range map[string][]string{"": nil, "/usr/share": nil, "/usr/bin": {"/usr/bin/env"}} {
		s := installed{private: []string{private}}
		s.add("/usr/bin/env")
		if got := slices.Compact(s.paths); !slices.Equal(got, want) {
			t.Errorf("with %q private: %q, want %q", private, got, want)
		}
	}
}
