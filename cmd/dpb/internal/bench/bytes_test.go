package bench

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const gb = 1_000_000_000

// spare is what is left to the rest of the machine.
const spare = 4 * gb

// roomFor is the largest size, of those given, of which so many copies fit into a folder.
func roomFor(dir string, copies int64, sizes ...int64) int64 {
	for _, n := range sizes {
		if free(dir) > copies*n+spare {
			return n
		}
	}
	try(fmt.Errorf("%s has no room for %d times %d bytes", dir, copies, sizes[len(sizes)-1]))
	return 0
}

func size(n int64) string {
	if n < gb {
		return fmt.Sprintf("%d MB", n/1_000_000)
	}
	return fmt.Sprintf("%d GB", n/gb)
}

// fill writes a file of so many bytes that don't repeat within 64 MiB.
func fill(file string, n int64) {
	f, err := os.Create(file)
	try(err)
	block := make([]byte, 1<<20)
	r := rand.NewChaCha8([32]byte{1})
	var blocks [64][]byte
	for k := range blocks {
		r.Read(block)
		blocks[k] = append([]byte(nil), block...)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	for k := 0; n > 0; k++ {
		part := blocks[k%len(blocks)]
		part = part[:min(n, int64(len(part)))]
		_, err := w.Write(part)
		try(err)
		n -= int64(len(part))
	}
	try(errors.Join(w.Flush(), f.Close()))
}

// hashing measures the digests of files that dpb has not seen, and reads where they lie, beside b3sum with threads of its own.
func hashing(b *bench) {
	n := roomFor(b.dir, 1, of(b, []int64{10 * gb, 5 * gb, 2 * gb}, []int64{gb / 10})...)
	const files = 20
	data := mkdir(b.dir, "data")
	var names []string
	for k := range files {
		names = append(names, fmt.Sprintf("data/%d.bin", k))
		fill(filepath.Join(b.dir, names[k]), n/files)
	}
	put(b.dir, "work/dpb.hcl", "")
	put(b.dir, "work/pipeline.hcl", fmt.Sprintf("source \"s\" {\n  path = %q\n  keep = false\n}\ntarget \"t\" {\n  inputs  = [\":s\"]\n  command = [\"true\"]\n  output \"t\" { path = \"t.txt\" }\n}\n", data+"/*.bin"))
	each := []func() usage{func() usage { return timed(filepath.Join(b.dir, "work"), b.dpb, "status") }}
	if b3sum := lookFor("b3sum"); b3sum != "" {
		each = append(each, func() usage { return timed(b.dir, append([]string{b3sum}, names...)...) })
	}
	s := inTurn(of(b, 5, 3), true, each...)
	rate := func(seconds float64) float64 { return float64(n) / gb / seconds }
	var beside []float64
	if len(s) > 1 {
		beside = mapped(s[1].wall(), rate)
	}
	b.rows = append(b.rows, row{What: fmt.Sprintf("hashing %s in %d files, in the page cache", size(n), files), Unit: "GB/s", DPB: mapped(s[0].wall(), rate), Peer: "b3sum", Beside: beside, Note: absent(beside), Aim: aim{AtLeast: 1}})
}

// storing measures what a large output costs beyond the job that writes it: its way into the store and to dpb-out, beside cp of the same file.
func storing(b *bench) {
	b.stored(b.dir, "in memory", "cp", roomFor(b.dir, 3, of(b, []int64{5 * gb, 2 * gb}, []int64{gb / 10})...), false)
	b.stored(b.disk, "on disk", "cp and sync", roomFor(b.disk, 3, of(b, []int64{5 * gb, 2 * gb}, []int64{gb / 10})...), true)
}

func (b *bench) stored(dir, where, peer string, n int64, durable bool) {
	work := mkdir(dir, "store")
	took := filepath.Join(dir, "took")
	write := fmt.Sprintf("from=$(date +%%s%%N); head -c %d /dev/zero > $1; echo $(($(date +%%s%%N) - from)) > %s", n, took)
	put(work, "pipeline.hcl", fmt.Sprintf("target \"t\" {\n  command = [\"sh\", \"-c\", %q, \"write\", output.t]\n  output \"t\" { path = \"t.bin\" }\n}\n", write))
	s := inTurn(of(b, 3, 2), false,
		func() usage {
			settle(durable, dir)
			u := timed(work, b.dpb, "build", "--sandbox", "off", "--progress", "quiet")
			text, err := os.ReadFile(took)
			try(err)
			job, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			try(err)
			u.Wall -= time.Duration(job).Seconds()
			try(errors.Join(os.RemoveAll(filepath.Join(work, ".dpb")), os.RemoveAll(filepath.Join(work, "dpb-out"))))
			return u
		},
		func() usage {
			from, to := filepath.Join(dir, "from.bin"), filepath.Join(dir, "to.bin")
			timed(dir, "sh", "-c", fmt.Sprintf("head -c %d /dev/zero > %s", n, from))
			settle(durable, dir)
			command := "cp from.bin to.bin"
			if durable {
				command += " && sync to.bin"
			}
			u := timed(dir, "sh", "-c", command)
			try(errors.Join(os.Remove(from), os.Remove(to)))
			return u
		})
	b.rows = append(b.rows, row{What: fmt.Sprintf("storing and showing an output of %s %s, beyond its job", size(n), where), Unit: "s", DPB: s[0].wall(), Peer: peer, Beside: s[1].wall(), Aim: aim{AtMost: 1.1}})
}

// settle leaves nothing to write of what came before.
func settle(durable bool, dir string) {
	if durable {
		timed(dir, "sync", "-f", dir)
	}
}

// restoring measures how dpb-out comes back from the store, beside cp -a of the same files.
func restoring(b *bench) {
	large := roomFor(b.dir, 3, of(b, []int64{5 * gb, 2 * gb}, []int64{gb / 10})...)
	b.restored(b.dir, "one file of "+size(large)+", in memory", aim{AtMost: 1}, "large", fmt.Sprintf("head -c %d /dev/zero > $1/large.bin", large))
	many := of(b, 100_000, 1000)
	b.restored(b.dir, thousands(many)+" files of 1 KB, in memory", aim{AtMost: 1}, "many", fmt.Sprintf("%s=files exec %s $1 %d", asAct, b.self, many))
	b.reflinked(large)
}

// restored measures that for the folder that a shell command writes to $1.
func (b *bench) restored(dir, name string, a aim, kind, write string) {
	work := mkdir(dir, "restore-"+kind)
	defer os.RemoveAll(work)
	put(work, "pipeline.hcl", fmt.Sprintf("target \"t\" {\n  command = [\"sh\", \"-c\", %q, \"write\", output.t]\n  output \"t\" { path = \"data/\" }\n}\n", "mkdir -p $1; "+write))
	timed(work, b.dpb, "build", "--sandbox", "off", "--progress", "quiet")
	out, copied := filepath.Join(work, "dpb-out"), filepath.Join(work, "copied")
	s := inTurn(of(b, 3, 2), false,
		func() usage {
			try(os.RemoveAll(out))
			return timed(work, b.dpb, "build", "--sandbox", "off", "--progress", "quiet")
		},
		func() usage {
			defer os.RemoveAll(copied)
			return timed(work, "cp", "-a", "--reflink=never", out, copied)
		})
	b.rows = append(b.rows, row{What: "restoring " + name, Unit: "s", DPB: s[0].wall(), Peer: "cp -a", Beside: s[1].wall(), Aim: a})
}

// reflinked measures it on a file system that can share blocks, which only root can mount.
func (b *bench) reflinked(n int64) {
	name := fmt.Sprintf("one file of %s, on XFS with reflinks", size(n))
	mkfs := lookFor("mkfs.xfs")
	if mkfs == "" || os.Getuid() != 0 {
		b.rows = append(b.rows, row{What: "restoring " + name, Unit: "s", Peer: "cp -a", Note: "needs root and mkfs.xfs", Aim: aim{AtMost: 0.1}})
		return
	}
	image, at := filepath.Join(b.dir, "xfs"), mkdir(b.dir, "mounted")
	f, err := os.Create(image)
	try(err)
	try(errors.Join(f.Truncate(3*n+gb), f.Close()))
	timed(b.dir, mkfs, "-q", "-m", "reflink=1", image)
	timed(b.dir, "mount", "-o", "loop", image, at)
	defer timed(b.dir, "umount", at)
	b.restored(at, name, aim{AtMost: 0.1}, "large", fmt.Sprintf("head -c %d /dev/zero > $1/large.bin", n))
}

// writeMany is a job: it writes so many different files of 1 KB.
func writeMany(args []string) error {
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	filler := strings.Repeat("x", 1000)
	for k := range n {
		dir := filepath.Join(args[0], strconv.Itoa(k/1000))
		if k%1000 == 0 {
			if err := os.MkdirAll(dir, 0o777); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(dir, strconv.Itoa(k)), fmt.Appendf(nil, "%023d\n%s", k, filler), 0o666); err != nil {
			return err
		}
	}
	return nil
}
