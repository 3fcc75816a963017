package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// copying is a workspace with a source, and two targets one after the other.
var copying = map[string]string{
	"dpb.hcl": "",
	"pipeline.hcl": `
source "src" { path = "src.txt" }
target "copy" {
  inputs  = [":src"]
  command = ["sh", "-c", "cat $DPB_INPUT_SRC > $DPB_OUTPUT_COPY; echo copy >> $DPB_OUTPUT_COPY; echo log"]
  output "copy" { path = "copy.txt" }
}
target "twice" {
  inputs  = [":copy"]
  command = ["sh", "-c", "cat $DPB_INPUT_COPY $DPB_INPUT_COPY > $DPB_OUTPUT_TWICE"]
  output "twice" { path = "twice.txt" }
}
`,
	"src.txt": "source\n",
}

// stored finds the file below a folder of the store that holds a text.
func stored(t *testing.T, dir, kind, text string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, ".dpb", kind, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			return f
		}
	}
	t.Fatalf("no file of %s holds %q", kind, text)
	return ""
}

func overwrite(t *testing.T, file, text string) {
	t.Helper()
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func inLedger(t *testing.T, dir, script string) {
	t.Helper()
	c, err := sqlite.OpenConn(filepath.Join(dir, ".dpb", "ledger.db"), sqlite.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := sqlitex.ExecuteScript(c, script, nil); err != nil {
		t.Fatal(err)
	}
}

// TestFsck: each kind of damage is found without being touched, is repaired, is then found no more, and the next build gives what there was.
func TestFsck(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string // of what is found
		done   string // of what is done
		ran    string // by the next build, if that matters
	}{
		{"blob", func(t *testing.T, dir string) { overwrite(t, stored(t, dir, "blobs", "source\ncopy\nsource"), "x") },
			`blobs/\S+ is damaged: its content is not what its name says`, `moved to \S+/damaged/blobs-`, "//:twice"},
		{"blob of the same size", func(t *testing.T, dir string) {
			overwrite(t, stored(t, dir, "blobs", "source\ncopy\nsource"), "Source\ncopy\nsource\ncopy\n")
		},
			`is damaged`, `moved to`, "//:twice"},
		{"tree", func(t *testing.T, dir string) { overwrite(t, stored(t, dir, "trees", "copy.txt"), "dpb tree 1\n") },
			`trees/\S+ is damaged`, `moved to \S+/damaged/trees-`, "//:copy"},
		{"stray file", func(t *testing.T, dir string) { write(t, dir, map[string]string{".dpb/blobs/00/note": "x"}) },
			`blobs/00/note is no file of a store`, `moved to`, ""},
		{"result", func(t *testing.T, dir string) {
			inLedger(t, dir, "UPDATE result SET body = replace(body, 'Wall', 'Wahl')")
		},
			`ledger: result \S+: damaged record`, `moved to \S+/damaged/result-`, ""},
		{"result of another key", func(t *testing.T, dir string) {
			inLedger(t, dir, "UPDATE result SET body = (SELECT body FROM result ORDER BY key LIMIT 1)")
		}, `ledger: result \S+: damaged record: it is not what it is found by`, `moved to`, ""},
		{"section", func(t *testing.T, dir string) { inLedger(t, dir, "UPDATE section SET body = x'00'") },
			`ledger: section \S+: damaged record`, `moved to`, ""},
		{"version", func(t *testing.T, dir string) {
			inLedger(t, dir, `UPDATE version SET body = replace(body, '"Partition":""', '"Partition":"x"')`)
		},
			`ledger: version \S+: damaged record`, `moved to`, ""},
		{"pointer at no version", func(t *testing.T, dir string) { inLedger(t, dir, "UPDATE pointer SET version = zeroblob(32)") },
			`current of //:copy in checkout-\S+ names version 000000000000, of which there is no record`, `withdrawn`, ""},
		{"pointer with another key", func(t *testing.T, dir string) { inLedger(t, dir, "UPDATE pointer SET key = zeroblob(32)") },
			`current of //:copy in checkout-\S+ says something else of version \S+ than its record`, `written anew`, ""},
		{"pointer with other outputs", func(t *testing.T, dir string) { inLedger(t, dir, "UPDATE pointer SET outputs = x'00'") },
			`says something else`, `written anew`, ""},
		{"files", func(t *testing.T, dir string) {
			write(t, dir, map[string]string{".dpb/checkouts/other/files": "x", ".dpb/checkouts/other/view": "x"})
		},
			`checkouts/other/view is damaged`, `removed`, ""},
		{"packages", func(t *testing.T, dir string) { write(t, dir, map[string]string{".dpb/checkouts/other/packages": "x"}) },
			`checkouts/other/packages is damaged`, `removed`, ""},
		{"registration", func(t *testing.T, dir string) { write(t, dir, map[string]string{".dpb/checkouts/other/checkout": "x"}) },
			`checkouts/other/checkout is damaged`, `removed`, ""},
		{"killed process", func(t *testing.T, dir string) { write(t, dir, map[string]string{".dpb/jobs/p-1/tmp/x": "x"}) },
			`1 temporary files \(1 bytes\) were left by processes that were killed`, `removed`, ""},
		{"half an event", func(t *testing.T, dir string) {
			name := ".dpb/checkouts/other/events/.1.json-2"
			write(t, dir, map[string]string{name: "{"})
			if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
				t.Fatal(err)
			}
		},
			`checkouts/other/events/.1.json-2 was left by a process that was killed`, `removed`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, copying)
			if out, err := command(t, dir, "build").CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			shown := contents(t, filepath.Join(dir, "dpb-out"))
			test.damage(t, dir)
			for range 2 {
				out, err := command(t, dir, "fsck", "--dry-run").CombinedOutput()
				if exitCodeOf(err) != exitLocal || !regexp.MustCompile(test.want).Match(out) || strings.Contains(string(out), "; ") {
					t.Errorf("dry run: %v\n%s", err, out)
				}
			}
			out, err := command(t, dir, "fsck").CombinedOutput()
			if err != nil || !regexp.MustCompile(test.want+`[^\n]*; `+test.done).Match(out) {
				t.Errorf("%v\n%s", err, out)
			}
			if out, err := command(t, dir, "fsck").CombinedOutput(); err != nil || !regexp.MustCompile(`: (all is sound|no damage)\n$`).Match(out) {
				t.Errorf("again: %v\n%s", err, out)
			}
			os.RemoveAll(filepath.Join(dir, "dpb-out"))
			out, err = command(t, dir, "build", "--progress", "plain").CombinedOutput()
			if err != nil {
				t.Errorf("%v\n%s", err, out)
			}
			if ran := strings.Join(jobsIn(strings.Split(string(out), "\n")), " "); test.ran != "" && ran != test.ran {
				t.Errorf("%q ran, want %q\n%s", ran, test.ran, out)
			}
			if got := contents(t, filepath.Join(dir, "dpb-out")); got != shown {
				t.Errorf("got %s, want %s", got, shown)
			}
		})
	}
}

// TestFsckReadOnly: --dry-run needs no right to write.
func TestFsckReadOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, copying)
	if out, err := command(t, dir, "build").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	overwrite(t, stored(t, dir, "blobs", "source\ncopy\nsource"), "x")
	c := command(t, dir, "fsck", "--dry-run")
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && echo mounted && exec "$@"`
	c.Args = append([]string{"unshare", "-rm", "sh", "-c", script, filepath.Join(dir, ".dpb")}, c.Args...)
	var err error
	if c.Path, err = exec.LookPath("unshare"); err != nil {
		t.Skip(err)
	}
	out, err := c.CombinedOutput()
	if !strings.Contains(string(out), "mounted\n") {
		t.Skipf("%s", out)
	}
	if exitCodeOf(err) != exitLocal || !regexp.MustCompile(`blobs/\S+ is damaged: .*\n(.*\n)*.*1 fault: dpb fsck repairs`).Match(out) {
		t.Errorf("%v\n%s", err, out)
	}
}
