package exec

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// pattern is compiled when it is first used: dpb starts faster so, and few commands need it.
func pattern(text string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(text) })
}

// What programs say when they can't have something.
var (
	saysAbsent   = pattern(`(?i)no such file|not found|cannot find|can't find|cannot open|can't open|could not open|does not exist|doesn't exist|enoent|filenotfound|nosuchfile|errno 2\b|unable to open|failed to open|cannot access|cannot stat|could not be read|not exist`)
	saysReadOnly = pattern(`(?i)read-only file system|erofs|errno 30\b|readonlyfilesystem`)
	saysDenied   = pattern(`(?i)permission denied|eacces|errno 13\b|accessdenied`)
	saysNetwork  = pattern(`(?i)network is unreachable|enetunreach|temporary failure in name resolution|could not resolve|name or service not known|nodename nor servname|unknownhostexception|no such host|getaddrinfo|failed to resolve|eai_again|couldn't connect|connection refused|econnrefused|no route to host`)
	notWritten   = pattern(`(?i)([^\s:'"]+)['"]?: read-only file system`)
	noModule     = pattern(`No module named '?([\w.]+)|Cannot find module '([^']+)'`)
	quoted       = pattern("'([^']+)'|\"([^\"]+)\"|`([^`]+)`|‘([^’]+)’")
	unquoted     = pattern(`[^\s:;,()'"<>=\[\]‘’]+`)
)

// missedBytes is how much of a log's end is looked at for what a job missed, and maxMissed how many things are told.
const missedBytes, maxMissed = 64 << 10, 3

// missed says what an isolated job that failed tried to have and does not declare, and what to write for it: "" if the log names nothing of the kind.
func (j *Job) missed(log string) string {
	if j.Box == nil || j.Root == "" {
		return ""
	}
	m := missing{job: j}
	for line := range bytes.Lines(endOfFile(log)) {
		m.look(strings.TrimRight(string(line), "\r\n"))
	}
	if len(m.found) == 0 {
		return ""
	}
	more := ""
	if n := len(m.found) - maxMissed; n > 0 {
		m.found, more = m.found[:maxMissed], fmt.Sprintf("; and %d more", n)
	}
	return ": " + strings.Join(m.found, "; ") + more
}

func endOfFile(name string) []byte {
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil
	}
	b, _ := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-missedBytes), missedBytes))
	return b
}

// missing collects what a job missed.
type missing struct {
	job   *Job
	found []string
}

func (m *missing) add(text string) {
	if !slices.Contains(m.found, text) {
		m.found = append(m.found, text)
	}
}

// look takes a line of a log. What it names counts only if the machine has it, and the job does not.
func (m *missing) look(line string) {
	if module := noModule().FindStringSubmatch(line); module != nil {
		m.module(module[1] + module[2])
	}
	absent, readOnly := saysAbsent().MatchString(line), saysReadOnly().MatchString(line)
	if absent || readOnly || saysDenied().MatchString(line) {
		if w := notWritten().FindStringSubmatch(line); w != nil {
			m.written(w[1])
		}
		for _, name := range names(line) {
			if readOnly && strings.Contains(name, "/") {
				m.written(name)
			} else if !readOnly {
				m.read(name)
			}
		}
	}
	if saysNetwork().MatchString(line) && !m.job.Target.Network {
		m.add("it tried to reach another machine, or a service of this one: jobs have no network without network = true, which also needs valid_for or freeze")
	}
}

// names lists what may be paths in a line: what stands in quotes, and words.
func names(line string) (out []string) {
	for _, q := range quoted().FindAllStringSubmatch(line, -1) {
		out = append(out, q[1]+q[2]+q[3]+q[4])
	}
	return append(out, unquoted().FindAllString(line, -1)...)
}

// place is where a path of the job's leads to: below the workspace if inside, else on the machine; "" into the job's own directories.
func (m *missing) place(name string) (place string, inside bool) {
	pkg := m.job.Target.Label.Pkg
	if !path.IsAbs(name) {
		name = path.Join(boxDir, engine.JobWorkspace, pkg, name)
	}
	name = path.Clean(name)
	if rel, ok := strings.CutPrefix(name, path.Join(boxDir, engine.JobWorkspace)+"/"); ok {
		return rel, true
	}
	if name == boxDir || strings.HasPrefix(name, boxDir+"/") {
		return "", false
	}
	if rel, err := filepath.Rel(m.job.Root, name); err == nil && filepath.IsLocal(rel) && rel != "." {
		return filepath.ToSlash(rel), true
	}
	return name, false
}

// written tells of a place where the job may not write.
func (m *missing) written(name string) {
	place, _ := m.place(name)
	if place == "" || strings.HasPrefix(name, "-") || !exists(filepath.Dir(m.onMachine(name))) {
		return
	}
	m.add(fmt.Sprintf("it tried to write %s, and jobs write only to their outputs and to $TMPDIR", legible(name)))
}

// onMachine is the path of the machine that a job's path stands for.
func (m *missing) onMachine(name string) string {
	place, inside := m.place(name)
	if inside {
		return filepath.Join(m.job.Root, filepath.FromSlash(place))
	}
	return place
}

// read tells of a file that the machine has and the job does not see.
func (m *missing) read(name string) {
	place, inside := m.place(name)
	switch {
	case place == "" || len(name) > 4096:
	case inside:
		m.readInside(place)
	case exists(place) && !m.job.sees(place):
		m.add(fmt.Sprintf("it tried to read %s, which it does not see: declare it as a source with path = %q and name that in inputs; if it belongs to a program, name that in tools, by its path", legible(place), place))
	}
}

// sees says whether the job sees a path of the machine where it is.
func (j *Job) sees(file string) bool {
	dirs := append([]string{"/dev", "/proc"}, j.Programs.shown...)
	return file == "/" || sandbox.IsSystem(file) || slices.ContainsFunc(dirs, func(dir string) bool { return file == dir || strings.HasPrefix(file, dir+"/") })
}

// readInside tells of a path of the workspace.
func (m *missing) readInside(rel string) {
	info, err := os.Lstat(filepath.Join(m.job.Root, filepath.FromSlash(rel)))
	if err != nil || slices.ContainsFunc(m.job.Code, func(c engine.CodeFile) bool { return c.Path == rel }) {
		return
	}
	name, pkg := legible(rel), m.job.Target.Label.Pkg
	if below, ok := strings.CutPrefix(rel, engine.OutputDir+"/"); ok {
		m.add(fmt.Sprintf("it tried to read %s: name what makes that in inputs, as %q", name, labelAt(below)))
		return
	}
	if own, ok := strings.CutPrefix(rel, pkg+"/"); pkg == "" || ok {
		if pkg == "" {
			own = rel
		}
		if name, ok := m.declares(own); ok {
			m.add(fmt.Sprintf("it tried to read %s, which is input %s: that lies at input.%s, or $DPB_INPUT_%s", legible(own), name, name, strings.ToUpper(name)))
			return
		}
		stem, _, _ := strings.Cut(path.Base(own), ".")
		if info.IsDir() {
			own += "/**"
		}
		m.add(fmt.Sprintf("it tried to read %s, which it does not declare: if that is code, add %q to code; if it is data, add it to inputs, as %s = %q", legible(own), own, word(stem), own))
		return
	}
	m.add(fmt.Sprintf("it tried to read //%s, which it does not declare: let the package that it belongs to declare it as a source, and name that in inputs, or in code if it is code", name))
}

// declares finds the input that has a file of the package.
func (m *missing) declares(own string) (input string, ok bool) {
	for _, in := range m.job.Target.Inputs {
		glob, err := in.Files.At(m.job.Partition, nil)
		if err != nil || in.Files == nil {
			continue
		}
		if matches, _ := path.Match(glob, own); matches || glob == own {
			return in.Name, true
		}
	}
	return "", false
}

var noWord = pattern(`[^a-z0-9_]+`)

// word makes a name for an input.
func word(s string) string {
	s = strings.Trim(noWord().ReplaceAllString(strings.ToLower(s), "_"), "_")
	if s == "" || s[0] < 'a' || s[0] > 'z' {
		s = "data" + s
	}
	return s
}

// labelAt is the label that shows its output at a path below dpb-out.
func labelAt(below string) string {
	parts := strings.Split(below, "/")
	if k := slices.IndexFunc(parts, func(p string) bool { return strings.Contains(p, "=") }); k > 0 {
		parts = parts[:k]
	} else if len(parts) > 1 {
		parts = parts[:len(parts)-1]
	}
	last := len(parts) - 1
	return "//" + strings.Join(parts[:last], "/") + ":" + parts[last]
}

// module tells of a module that an interpreter did not find, and the workspace has.
func (m *missing) module(name string) {
	pkg, file := m.job.Target.Label.Pkg, strings.ReplaceAll(name, ".", "/")
	dirs := []string{pkg}
	for _, c := range m.job.Code {
		dirs = append(dirs, path.Dir(c.Path))
	}
	for _, dir := range dirs {
		for candidate, code := range map[string]string{file + ".py": file + ".py", file + "/__init__.py": file + "/**/*.py", name: name, name + ".js": name + ".js"} {
			rel := path.Join(dir, candidate)
			own, inside := strings.CutPrefix(path.Join(dir, code), pkg+"/")
			if info, err := os.Stat(filepath.Join(m.job.Root, filepath.FromSlash(rel))); err != nil || !info.Mode().IsRegular() || !inside && pkg != "" {
				continue
			}
			m.add(fmt.Sprintf("it tried to import %s, which it does not declare: add %q to code", legible(name), own))
			return
		}
	}
}
