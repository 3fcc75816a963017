package bench

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// chain is the pipeline of most cases: so many targets in a row, each at so many hours. An action copies the source file of its own hour, and waits for the action of
// the target before at that hour. So there is a source file for each action, but for the shared one where there is only that.
type chain struct {
	targets, hours int
	shared         bool // all read one file
}

func chainOf(actions int) chain { return chain{targets: 10, hours: actions / 10} }

func (c chain) actions() int { return c.targets * c.hours }

var firstHour = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)

const hourText = "2006-01-02T15"

func (c chain) hour(h int) string {
	return firstHour.Add(time.Duration(h) * time.Hour).Format(hourText)
}

// src is the source file of an action, below the root.
func (c chain) src(k, h int) string {
	if c.shared {
		return "src.txt"
	}
	return fmt.Sprintf("src/t%d/%s.txt", k, c.hour(h))
}

// writeSources writes what the actions read.
func (c chain) writeSources(dir string) {
	if c.shared {
		put(dir, "src.txt", content)
		return
	}
	for k := range c.targets {
		mkdir(dir, "src", fmt.Sprintf("t%d", k))
		for h := range c.hours {
			try(os.WriteFile(filepath.Join(dir, c.src(k, h)), []byte(content), 0o666))
		}
	}
}

const content = "hello\n"

// writeDPB writes the chain as a workspace of dpb. cp is the command of its targets, which the input and the output follow.
func (c chain) writeDPB(dir string, cp ...string) {
	var b bytes.Buffer
	for k := range c.targets {
		path := "src/t%[1]d/${partition.hour}.txt"
		if c.shared {
			path = "src.txt"
		}
		by := "  partition_by = [\"hour\"]\n"
		if !c.shared || k == 0 {
			source := by
			if c.shared {
				source = ""
			}
			fmt.Fprintf(&b, "source \"s%[1]d\" {\n"+source+"  path = %[2]q\n}\n", k, strings.ReplaceAll(path, "%[1]d", fmt.Sprint(k)))
		}
		from := k
		if c.shared {
			from = 0
		}
		inputs := fmt.Sprintf("src = \":s%d\"", from)
		if k > 0 {
			inputs += fmt.Sprintf(", prev = \":t%d\"", k-1)
		}
		fmt.Fprintf(&b, "target \"t%d\" {\n%s  inputs = { %s }\n  command = [", k, by, inputs)
		for _, arg := range cp {
			fmt.Fprintf(&b, "%q, ", arg)
		}
		fmt.Fprintf(&b, "input.src, output.t%[1]d]\n  output \"t%[1]d\" { path = \"t%[1]d.txt\" }\n}\n", k)
	}
	put(dir, "pipeline.hcl", b.String())
	put(dir, "dpb.hcl", fmt.Sprintf("partition \"hour\" {\n  every = \"hour\"\n  start = %q\n  end = %q\n}\n", c.hour(0), c.hour(c.hours-1)))
}

// writeNinja writes the same as a build.ninja.
func (c chain) writeNinja(dir string) {
	var b bytes.Buffer
	b.WriteString("rule cp\n  command = cp $in $out\n")
	c.each(func(k, h int, before string) {
		fmt.Fprintf(&b, "build out/t%d/%d: cp %s", k, h, c.src(k, h))
		if before != "" {
			b.WriteString(" | " + before)
		}
		b.WriteByte('\n')
	})
	put(dir, "build.ninja", b.String())
}

// writeMake writes the same as a Makefile. It can work on what ninja made.
func (c chain) writeMake(dir string) {
	var all, rules bytes.Buffer
	all.WriteString(".SUFFIXES:\nMAKEFLAGS += -r\nall:")
	c.each(func(k, h int, before string) {
		fmt.Fprintf(&all, " out/t%d/%d", k, h)
		fmt.Fprintf(&rules, "out/t%d/%d: %s %s\n\tcp $< $@\n", k, h, c.src(k, h), before)
	})
	put(dir, "Makefile", all.String()+"\n"+rules.String())
}

// each goes over the actions, with the file that the action before makes.
func (c chain) each(f func(k, h int, before string)) {
	for k := range c.targets {
		for h := range c.hours {
			before := ""
			if k > 0 {
				before = fmt.Sprintf("out/t%d/%d", k-1, h)
			}
			f(k, h, before)
		}
	}
}
