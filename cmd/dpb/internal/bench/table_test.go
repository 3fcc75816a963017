package bench

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// row is one line of the table: what dpb took beside what a peer took. The numbers of both are the repetitions in the order in which they ran.
type row struct {
	What   string    // is measured
	Unit   string    // of the numbers
	DPB    []float64 // its figure is their median
	Peer   string    `json:",omitempty"` // what it is beside; "" if it is by itself
	Beside []float64 `json:",omitempty"` // none: the peer is not to be had, and Note says why
	Aim    aim       `json:",omitzero"`
	Note   string    `json:",omitempty"`
	Others float64   // the share of the processors that others had while its case ran
}

// aim is what a figure is to be: at most, or at least, so much of the peer's, or so much more than it.
type aim struct {
	AtMost  float64 `json:",omitempty"` // ratio to the peer's
	AtLeast float64 `json:",omitempty"` // likewise
	More    float64 `json:",omitempty"` // at most, in the row's unit
	Itself  float64 `json:",omitempty"` // at most: of the figure
}

func (a aim) String() string {
	switch {
	case a.AtMost > 0 && a.AtMost < 0.09:
		return fmt.Sprintf("≤ 1/%.0f", 1/a.AtMost)
	case a.AtMost > 0:
		return fmt.Sprintf("≤ %.3g", a.AtMost)
	case a.AtLeast > 0:
		return fmt.Sprintf("≥ %.3g", a.AtLeast)
	case a.More > 0:
		return fmt.Sprintf("≤ %.3g more", a.More)
	case a.Itself > 0:
		return fmt.Sprintf("itself ≤ %.4g", a.Itself)
	}
	return ""
}

// met says whether figures are what they are to be; known is false where there is no aim, or no peer to compare with.
func (a aim) met(mine, beside float64) (met, known bool) {
	if a.Itself > 0 {
		return mine <= a.Itself, true
	}
	if a == (aim{}) || math.IsNaN(beside) {
		return false, false
	}
	switch {
	case a.AtMost > 0:
		return mine <= a.AtMost*beside, true
	case a.AtLeast > 0:
		return mine >= a.AtLeast*beside, true
	}
	return mine-beside <= a.More, true
}

// table is what people read of the rows.
func table(rows []row) string {
	var b strings.Builder
	b.WriteString("| | dpb | beside | ratio | aim | |\n| --- | --- | --- | --- | --- | --- |\n")
	for _, r := range rows {
		mine, beside := median(r.DPB), median(r.Beside)
		peer, ratio, verdict := r.Note, "", ""
		if r.Peer != "" {
			peer = r.Peer + ": " + cmp.Or(r.Note, "none")
		}
		if len(r.Beside) > 0 {
			peer = fmt.Sprintf("%s %s", r.Peer, figure(beside, r.Unit))
			ratio = share(mine / beside)
		}
		if met, known := r.Aim.met(mine, beside); known {
			verdict = map[bool]string{true: "met", false: "**not met**"}[met]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", r.What, figure(mine, r.Unit), peer, ratio, r.Aim, verdict)
	}
	return b.String()
}

// share is a ratio of two figures.
func share(x float64) string {
	if x < 0.095 {
		return fmt.Sprintf("1/%.0f", 1/x)
	}
	return figure(x, "")
}

// figure has three digits that count.
func figure(x float64, unit string) string {
	if math.IsNaN(x) {
		return ""
	}
	if unit == "s" && x < 1 {
		x, unit = x*1000, "ms"
	}
	digits := 0
	for limit := 100.0; math.Abs(x) < limit && digits < 2; limit /= 10 {
		digits++
	}
	return strings.TrimSpace(fmt.Sprintf("%.*f %s", digits, x, unit))
}

// record is what bench.json holds.
type record struct {
	Cases []caseRecord
}

// caseRecord is one case as it was measured last.
type caseRecord struct {
	Case     string
	Measured time.Time
	Machine  string
	DPB      string
	Versions map[string]string
	Rows     []row
}

const recordFile = "bench.json"

// keep replaces what was recorded of a case, and writes the table anew.
func keep(dir string, c caseRecord) error {
	var all record
	file := filepath.Join(dir, recordFile)
	if text, err := os.ReadFile(file); err == nil {
		if err := json.Unmarshal(text, &all); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	all.Cases = slices.DeleteFunc(all.Cases, func(old caseRecord) bool { return old.Case == c.Case })
	all.Cases = append(all.Cases, c)
	at := func(c caseRecord) int {
		return slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == c.Case })
	}
	slices.SortStableFunc(all.Cases, func(a, b caseRecord) int { return cmp.Compare(at(a), at(b)) })
	text, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(file, append(flat(text), '\n'), 0o666); err != nil {
		return err
	}
	return write(filepath.Join(dir, "README.md"), section(all))
}

// flat writes the repetitions of a figure in one line.
func flat(indented []byte) []byte {
	var out bytes.Buffer
	depth := 0
	for line := range bytes.Lines(indented) {
		trimmed := bytes.TrimSpace(line)
		if depth == 0 {
			out.Write(line)
		} else {
			out.Write(trimmed)
		}
		switch {
		case bytes.HasSuffix(trimmed, []byte("\": [")) && (bytes.HasPrefix(trimmed, []byte(`"DPB"`)) || bytes.HasPrefix(trimmed, []byte(`"Beside"`))):
			out.Truncate(out.Len() - 1)
			depth = 1
		case depth == 1 && bytes.HasPrefix(trimmed, []byte("]")):
			out.WriteByte('\n')
			depth = 0
		}
	}
	return out.Bytes()
}

const begin, end = "<!-- measured: make bench writes what follows -->\n", "<!-- measured: end -->\n"

// write puts the section between its marks in a file.
func write(file, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(old), begin)
	_, after, ended := strings.Cut(rest, end)
	if !ok || !ended {
		return fmt.Errorf("%s lacks the lines %sand %s", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o666)
}

// section is all that is recorded, as text: one table, and where its figures come from.
func section(all record) string {
	var rows []row
	programs := map[string]string{}
	origins := map[string][]string{} // the cases by where and when they were measured
	for _, c := range all.Cases {
		from := fmt.Sprintf("on %s, with %s, on %s", c.Machine, c.DPB, c.Measured.Format("2006-01-02"))
		origins[from] = append(origins[from], c.Case)
		maps.Copy(programs, c.Versions)
		for _, r := range c.Rows {
			if r.Others > busy {
				r.What += fmt.Sprintf(" (*others had %.0f %% of the processors*)", 100*r.Others)
			}
			rows = append(rows, r)
		}
	}
	var b strings.Builder
	for _, from := range slices.Sorted(maps.Keys(origins)) {
		which := ""
		if len(origins) > 1 {
			which = " (" + strings.Join(origins[from], ", ") + ")"
		}
		fmt.Fprintf(&b, "\nMeasured %s%s.", from, which)
	}
	var others []string
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		others = append(others, name+" "+programs[name])
	}
	fmt.Fprintf(&b, " Beside %s.\n\n%s\n", strings.Join(others, ", "), table(rows))
	return b.String()
}

// busy is the share of the processors from which on it is said of a figure that others had it.
const busy = 0.03

// machine says in a few words where the figures come from.
func machine() string {
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name\t: "); ok {
			model, _, _ = strings.Cut(rest, "\n")
		}
	}
	return fmt.Sprintf("%d × %s", runtime.NumCPU(), model)
}

// beside are the programs that cases run.
var beside = map[string][]string{
	"start": {"go"}, "noop": {"ninja", "make"}, "hash": {"b3sum"}, "store": {"cp"}, "restore": {"cp"}, "scratch": {"ninja"}, "sandbox": {"bwrap"},
	"sql": {"dbt", "sqlmesh"}, "stages": {"dvc", "snakemake"},
}

// versions are those of the programs of a case that are there.
func versions(name string) map[string]string {
	out := map[string]string{}
	for _, program := range beside[name] {
		if at := lookFor(program); at != "" {
			out[program] = version(at)
		}
	}
	return out
}

var number = regexp.MustCompile(`\d+(\.\d+)+`)

// version is the first number that a program tells of itself.
func version(program string) string {
	for _, arg := range []string{"--version", "version"} {
		if out, err := exec.Command(program, arg).CombinedOutput(); err == nil {
			return number.FindString(string(out))
		}
	}
	return "of unknown version"
}

// versionOfDPB is what dpb tells of itself and its engine.
func versionOfDPB(dpb string) string {
	out, err := exec.Command(dpb, "version").Output()
	try(err)
	lines := strings.SplitN(string(out), "\n", 3)
	return strings.Join(lines[:2], ", ")
}
