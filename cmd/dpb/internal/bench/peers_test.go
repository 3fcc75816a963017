package bench

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// quiet keeps the peers from telling their makers of the run, from asking for newer versions, and from colours.
var quiet = []string{"DO_NOT_TRACK=1", "DVC_NO_ANALYTICS=1", "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS=true", "SQLMESH_DISABLE_ANONYMIZED_ANALYTICS=true", "NO_COLOR=1", "MAX_FORK_WORKERS=2"}

// quietly runs a peer, which leaves nothing outside of the case's folder.
func (b *bench) quietly(dir string, args ...string) usage {
	u, _ := b.heard(dir, args...)
	return u
}

// heard is quietly, with what it says.
func (b *bench) heard(dir string, args ...string) (usage, string) {
	home := mkdir(b.dir, "home")
	return capture(dir, append([]string{"HOME=" + home, "XDG_CACHE_HOME=" + home, "DVC_SITE_CACHE_DIR=" + filepath.Join(home, "dvc")}, quiet...), args...)
}

// stages measures what has nothing to do beside DVC and Snakemake.
func stages(b *bench) {
	for _, n := range counted(b, []int{1000, 10_000}, []int{100}) {
		b.besideStages(n)
	}
}

func (b *bench) besideStages(n int) {
	c := chainOf(n)
	mine := b.built(c)
	var each []func() usage
	names := []string{"DVC status", "DVC repro", "Snakemake -n"}
	at := map[string]int{}
	add := func(name string, f func() usage) {
		at[name] = len(each)
		each = append(each, f)
	}
	add("status", func() usage { return timed(mine, b.dpb, "status", "//...") })
	add("build", func() usage { return timed(mine, b.dpb, "build", "--progress", "quiet", "//...") })
	if dvc := lookFor("dvc"); dvc != "" {
		dir := b.dvcDone(c, dvc)
		add(names[0], func() usage {
			u, said := b.heard(dir, dvc, "status")
			if !strings.Contains(said, "up to date") {
				try(fmt.Errorf("DVC takes what is done for undone: %.500s", said))
			}
			return u
		})
		add(names[1], func() usage { return b.quietly(dir, dvc, "repro") })
	}
	if snakemake := lookFor("snakemake"); snakemake != "" {
		dir := b.snakemakeDone(c)
		add(names[2], func() usage {
			u, said := b.heard(dir, snakemake, "-n", "-q", "all")
			if strings.Contains(said, "Job stats") {
				try(fmt.Errorf("Snakemake takes what is done for undone: %.500s", said))
			}
			return u
		})
	}
	b.settled()
	s := inTurn(of(b, 3, 2), true, each...)
	for k, peer := range names {
		mine := s[k%2]
		var beside series
		if i, ok := at[peer]; ok {
			beside = s[i]
		}
		what := []string{"status", "no-op build", "status"}[k]
		if k == 2 {
			mine = s[0]
		}
		b.rows = append(b.rows, row{What: fmt.Sprintf("%s of %s stages", what, thousands(n)), Unit: "s", DPB: mine.wall(), Peer: peer, Beside: beside.wall(), Note: absent(beside), Aim: aim{AtMost: 1.0 / 50}})
	}
}

// dvcDone writes the chain as a project of DVC where all is done: it would take DVC an hour to run that.
func (b *bench) dvcDone(c chain, dvc string) string {
	dir := mkdir(b.dir, fmt.Sprint("dvc", c.actions()))
	c.writeSources(dir)
	b.quietly(dir, dvc, "init", "-q", "--no-scm")
	b.quietly(dir, dvc, "config", "core.check_update", "false")
	b.quietly(dir, dvc, "config", "core.autostage", "false")
	sum := md5.Sum([]byte(content))
	digest := hex.EncodeToString(sum[:])
	put(dir, filepath.Join(".dvc/cache/files/md5", digest[:2], digest[2:]), content)
	try(os.Chmod(filepath.Join(dir, ".dvc/cache/files/md5", digest[:2], digest[2:]), 0o444))
	var yaml, lock bytes.Buffer
	yaml.WriteString("stages:\n")
	lock.WriteString("schema: '2.0'\nstages:\n")
	c.each(func(k, h int, before string) {
		src, out := c.src(k, h), fmt.Sprintf("out/t%d/%d", k, h)
		put(dir, out, content)
		deps := []string{src}
		if before != "" {
			deps = append(deps, before)
		}
		command := fmt.Sprintf("cp %s %s", src, out)
		fmt.Fprintf(&yaml, "  t%d_%d:\n    cmd: %s\n    deps: [%s]\n    outs: [%s]\n", k, h, command, strings.Join(deps, ", "), out)
		fmt.Fprintf(&lock, "  t%d_%d:\n    cmd: %s\n    deps:\n", k, h, command)
		entry := func(path string) {
			fmt.Fprintf(&lock, "    - path: %s\n      hash: md5\n      md5: %s\n      size: %d\n", path, digest, len(content))
		}
		for _, path := range sortedDeps(deps) {
			entry(path)
		}
		lock.WriteString("    outs:\n")
		entry(out)
	})
	put(dir, "dvc.yaml", yaml.String())
	put(dir, "dvc.lock", lock.String())
	return dir
}

func sortedDeps(deps []string) []string {
	if len(deps) == 2 && deps[1] < deps[0] {
		return []string{deps[1], deps[0]}
	}
	return deps
}

// snakemakeDone writes the chain as a Snakefile whose outputs are newer than what they are made of.
func (b *bench) snakemakeDone(c chain) string {
	dir := mkdir(b.dir, fmt.Sprint("snakemake", c.actions()))
	c.writeSources(dir)
	var s bytes.Buffer
	fmt.Fprintf(&s, "from datetime import datetime, timedelta\nHOURS = [(datetime(%d, 1, 1) + timedelta(hours=h)).strftime('%%Y-%%m-%%dT%%H') for h in range(%d)]\n", firstHour.Year(), c.hours)
	fmt.Fprintf(&s, "rule all:\n    input: expand('out/t%d/{hour}', hour=HOURS)\n", c.targets-1)
	for k := range c.targets {
		before := ""
		if k > 0 {
			before = fmt.Sprintf(", prev='out/t%d/{hour}'", k-1)
		}
		fmt.Fprintf(&s, "rule t%[1]d:\n    input: src='src/t%[1]d/{hour}.txt'%[2]s\n    output: 'out/t%[1]d/{hour}'\n    shell: 'cp {input.src} {output}'\n", k, before)
	}
	put(dir, "Snakefile", s.String())
	for k := range c.targets {
		for h := range c.hours {
			put(dir, fmt.Sprintf("out/t%d/%s", k, c.hour(h)), content)
		}
	}
	return dir
}
