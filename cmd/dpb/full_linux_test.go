package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/dpb-build/dpb/engine/sql/duckdb"
	"golang.org/x/sys/unix"
)

// mounting names the test that runs in namespaces of its own, where it may mount.
const mounting = "DPB_TEST_MOUNTING"

// mayMount runs a test once more in a process that may mount file systems, as root and else as its own root, and is true there.
func mayMount(t *testing.T) bool {
	t.Helper()
	if os.Getenv(mounting) == t.Name() {
		return true
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(exe, "-test.run", "^"+t.Name()+"$", "-test.v")
	c.Env = append(os.Environ(), mounting+"="+t.Name())
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		t.Skipf("namespaces are not to be had: %v", err)
	}
	switch err := c.Wait(); {
	case err != nil:
		t.Errorf("%v\n%s", err, &out)
	case strings.Contains(out.String(), "--- SKIP: "+t.Name()+" "):
		t.Skip(out.String())
	}
	return false
}

// mountMemory mounts a file system of that size, which the process's end unmounts.
func mountMemory(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
	if err == nil {
		err = unix.Mount("none", dir, "tmpfs", 0, "size="+size)
	}
	if err != nil {
		t.Skipf("nothing can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func resize(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("none", dir, "", unix.MS_REMOUNT, "size="+size); err != nil {
		t.Fatal(err)
	}
}

// bulky is a workspace of eight jobs that write 2 MB each.
func bulky(sql bool, store string) map[string]string {
	makes := `command = ["sh", "-c", "{ head -c 2000000 /dev/zero; echo $DPB_PARTITION_DAY; } > $DPB_OUTPUT_X"]
  output "x" { path = "x.bin" }`
	if sql {
		makes = `sql = "SELECT $day AS day, lpad(CAST(range AS VARCHAR), 64, '0') AS n FROM range(27000)"
  output "x" { path = "x.csv" }`
	}
	return map[string]string{
		"dpb.hcl":      fmt.Sprintf("partition \"day\" {\n  every = \"day\"\n  start = \"2017-01-01\"\n  end = \"2017-01-08\"\n}\nstore {\n  path = %q\n}\n", store),
		"pipeline.hcl": fmt.Sprintf("target \"x\" {\n  partition_by = [\"day\"]\n  %s\n}\n", makes),
	}
}

var freeOn = regexp.MustCompile(`(?m)are free on the file system at (\S+);`)

// needed is what did not fit.
var needed = regexp.MustCompile(` needs [0-9.]+ (B|kB|MB), and `)

// TestFullDisk fills a file system of 20 MB during a build: with the store, with dpb-out, or with both. The build says how much is needed and how much is free, and
// when there is room the next one goes on.
func TestFullDisk(t *testing.T) {
	if !mayMount(t) {
		return
	}
	for _, sql := range []bool{false, true} {
		for what, on := range map[string]func(small, large string) (dir, store string){
			"store":             func(small, large string) (string, string) { return large, filepath.Join(small, "store") },
			"dpb-out":           func(small, large string) (string, string) { return small, filepath.Join(large, "store") },
			"store and dpb-out": func(small, _ string) (string, string) { return small, ".dpb" },
		} {
			t.Run(fmt.Sprintf("%s, SQL %v", what, sql), func(t *testing.T) {
				if sql && duckdb.Version() == "" {
					t.Skip("without DuckDB")
				}
				small, large := mountMemory(t, "20m"), mountMemory(t, "200m")
				dir, store := on(small, large)
				size := "14m" // 16 MB are to be written there
				if what == "store and dpb-out" {
					size = "20m"
				}
				resize(t, small, size)
				write(t, dir, bulky(sql, store))
				first := fails(t, dir, small)
				if !needed.MatchString(first) && !sql && !strings.Contains(first, "exit code 1") { // unless the job met it, which knows what it needs, and does not say
					t.Errorf("it does not say what is needed:\n%s", first)
				}
				resize(t, small, "100m")
				goesOn(t, dir, first)
			})
		}
	}
}

// fails builds where a file system is too small, and returns what is said.
func fails(t *testing.T, dir, full string) string {
	t.Helper()
	out, err := command(t, dir, "build", "--progress", "plain", "-v").CombinedOutput()
	m := freeOn.FindSubmatch(out)
	if code := exitCodeOf(err); code != exitLocal || m == nil || string(m[1]) != full {
		t.Errorf("exit code %d, about %s:\n%s", code, full, out)
	}
	return string(out)
}

// goesOn builds when there is room: nothing that was reported runs again, and all is as if there had always been room.
func goesOn(t *testing.T, dir, before string) {
	t.Helper()
	out, err := command(t, dir, "build", "--progress", "plain", "-v").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s\nbefore:\n%s", err, out, before)
	}
	done := jobsIn(strings.Split(before, "\n"))
	for _, again := range jobsIn(strings.Split(string(out), "\n")) {
		if slices.Contains(done, again) && !strings.Contains(before, "failed "+again+" ") {
			t.Errorf("%s ran again although it was reported as done", again)
		}
	}
	if out, err := command(t, dir, "status", "--check").CombinedOutput(); err != nil {
		t.Errorf("status: %v\n%s", err, out)
	}
}

// TestNearlyFullDisk leaves so much room that each of the steps meets its end once: directories, the ledger's tables, jobs, blobs, commits, dpb-out.
func TestNearlyFullDisk(t *testing.T) {
	if !mayMount(t) {
		return
	}
	dir := mountMemory(t, "20m")
	clean := t.TempDir()
	write(t, clean, many)
	if out, err := command(t, clean, "build").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := contents(t, filepath.Join(clean, "dpb-out"))
	failed := 0
	for _, left := range []int{0, 1, 2, 4, 6, 10, 15, 20, 30, 40, 60, 80, 100, 130, 160, 200, 300} { // pages
		for _, e := range []string{".dpb", "dpb-out", "dpb.hcl", "pipeline.hcl"} {
			if err := os.RemoveAll(filepath.Join(dir, e)); err != nil {
				t.Fatal(err)
			}
		}
		write(t, dir, many)
		fill(t, dir, left)
		out, err := command(t, dir, "build", "--progress", "plain", "-v").CombinedOutput()
		if code := exitCodeOf(err); code == exitLocal && strings.Contains(string(out), "are free on the file system at "+dir) {

			failed++
		} else if err != nil {
			t.Errorf("with %d pages exit code %d:\n%s", left, code, out)
		}
		if out, err := command(t, dir, "status", "--check").CombinedOutput(); exitCodeOf(err) == exitBug {
			t.Errorf("status with %d pages:\n%s", left, out)
		}
		if err := os.Remove(filepath.Join(dir, "filler")); err != nil {
			t.Fatal(err)
		}
		goesOn(t, dir, string(out))
		if got := contents(t, filepath.Join(dir, "dpb-out")); got != want {
			t.Errorf("with %d pages:\n%s\nclean:\n%s", left, got, want)
		}
	}
	if failed < 10 {
		t.Errorf("only %d builds met a full disk", failed)
	}
}

// fill leaves that many pages of a file system free.
func fill(t *testing.T, dir string, left int) {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, (int(st.Bavail)-left)*int(st.Bsize)), 0o666); err != nil {
		t.Fatal(err)
	}
}

// TestReadOnlyStore: where nothing can be written all that only reads works, as the last process left the store: at its end, or killed. A build says what to do.
func TestReadOnlyStore(t *testing.T) {
	if !mayMount(t) {
		return
	}
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			dir := mountMemory(t, "20m")
			write(t, dir, many)
			first := command(t, dir, "build")
			if killed {
				first.Env = append(first.Env, faultAt+"=shown/60/kill") // all is recorded, and nothing closed
			}
			if out, err := first.CombinedOutput(); (err != nil) != killed {
				t.Fatalf("%v\n%s", err, out)
			}
			if err := unix.Mount("none", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
			version := ""
			for _, c := range []struct {
				args string
				code int
				want string
			}{
				{"status --check", exitOK, "30 fresh"}, {"why //:b@day=2017-01-02", exitOK, "is fresh"}, {"log //:a@day=2017-01-02", exitOK, "//:a@day=2017-01-02#"},
				{"show //:a@day=2017-01-02", exitOK, "//:a@day=2017-01-02"}, {"show VERSION", exitOK, "2017-01-02"}, {"diff //:a@day=2017-01-02 //:a@day=2017-01-03", exitOK, "day=2017-01-03"},
				{"build -n", exitOK, "nothing to do"}, {"build", exitLocal, "can't be written: read-only file system; status, why, show, log and diff read it, and build -n says what there is to do"},
			} {
				args := strings.Fields(strings.ReplaceAll(c.args, "VERSION", version))
				out, err := command(t, dir, args...).CombinedOutput()
				if code := exitCodeOf(err); code != c.code || !strings.Contains(string(out), c.want) {
					t.Errorf("dpb %s: exit code %d:\n%s", strings.Join(args, " "), code, out)
				}
				if found := versionID.FindString(string(out)); found != "" && version == "" {
					version = found
				}
			}
		})
	}
}

// TestFullScratch: a disk with too little room for what SQL wants as scratch is this machine's trouble, and the job runs once there is room.
func TestFullScratch(t *testing.T) {
	if duckdb.Version() == "" {
		t.Skip("without DuckDB")
	}
	if !mayMount(t) {
		return
	}
	small := mountMemory(t, "40m")
	write(t, small, map[string]string{"dpb.hcl": "", "pipeline.hcl": `target "x" {
  sql     = "SELECT hash(range) AS h, repeat(md5(CAST(range AS VARCHAR)), 2) AS s FROM range(1000000) ORDER BY h LIMIT 1000000"
  memory  = "64MB"
  threads = 1
  output "x" { path = "x.csv.gz" }
}
`})
	first := fails(t, small, small)
	if !strings.Contains(first, "it needed more scratch space than") {
		t.Errorf("it does not say what for:\n%s", first)
	}
	resize(t, small, "900m")
	goesOn(t, small, first)
}
