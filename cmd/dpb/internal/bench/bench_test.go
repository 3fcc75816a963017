// Package bench measures dpb beside its peers, in turn on one machine in one run, and writes what it found into engine/README.md: make bench, make bench-peers.
package bench

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

var (
	cases   = flag.String("cases", "", "measure these cases, separated by commas, or all that need no peers from PyPI (own), those that do (peers), or all")
	sizes   = flag.String("sizes", "full", "small: seconds in all, to try a case; or numbers of what a case counts, such as 1000,10000. Figures are kept of full ones only")
	seeder  = flag.String("seed", "", "the program seed, see its folder")
	binary  = flag.String("dpb", "", "the dpb that is measured")
	memory  = flag.String("memory", "/dev/shm", "a folder on a file system in memory: there programs are measured, and not the disk")
	onDisk  = flag.String("disk", os.TempDir(), "a folder on a disk")
	peersIn = flag.String("peers", "", "the folder with the peers, see peers.sh")
	publish = flag.String("publish", "", "the folder whose README.md has the table, and bench.json the single runs; none: they are shown only")
)

// A scenario is one case: it prepares what is needed and measures dpb and its peers in turn.
type scenario struct {
	name  string
	peers bool // it is beside what comes from PyPI
	run   func(*bench)
}

// scenarios are in the order in which they run: what takes long comes last.
var scenarios = []scenario{
	{"start", false, start},
	{"load", false, load},
	{"hash", false, hashing},
	{"noop", false, noops},
	{"fingerprint", false, fingerprint},
	{"diff", false, diff},
	{"sandbox", false, sandboxed},
	{"store", false, storing},
	{"restore", false, restoring},
	{"scratch", false, fromScratch},
	{"status", false, status},
	{"sql", true, pipelines},
	{"stages", true, stages},
}

// TestMain measures where cases are named; else it runs the tests of what measures.
func TestMain(m *testing.M) {
	flag.Parse()
	if act, ok := acts[os.Getenv(asAct)]; ok {
		if err := act(flag.Args()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if *cases == "" {
		os.Exit(m.Run())
	}
	if err := measureAll(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// asAct makes this program do something else: be a peer that has no program of its own, or a job.
const asAct = "DPB_BENCH_ACT"

var acts = map[string]func(args []string) error{"parse": parseAlone, "files": writeMany}

// bench is one run. Its process is small, and has to be: the system counts a program's memory from that of the process that starts it.
type bench struct {
	dpb   string
	small bool
	self  string // this program
	dir   string // of the case, in memory
	disk  string // of the case, on disk
	rows  []row

	counts []int // asked for instead of those of a case
}

func measureAll() error {
	chosen, err := choose(*cases)
	if err != nil {
		return err
	}
	b := &bench{small: *sizes != "full"}
	if b.small && *sizes != "small" {
		for text := range strings.SplitSeq(*sizes, ",") {
			n, err := strconv.Atoi(text)
			if err != nil {
				return fmt.Errorf("-sizes %s: want full, small, or numbers", *sizes)
			}
			b.counts = append(b.counts, n)
		}
	}
	if b.dpb, err = filepath.Abs(*binary); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	tidy()
	failed := 0
	for _, s := range chosen {
		if err := b.measure(s); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", s.name, err)
			failed++
			if interrupted.Load() {
				break
			}
			continue
		}
		fmt.Print(table(b.rows))
		if *publish == "" || b.small {
			continue
		}
		c := caseRecord{Case: s.name, Measured: time.Now().UTC().Truncate(time.Minute), Machine: machine(), DPB: versionOfDPB(b.dpb), Versions: versions(s.name), Rows: b.rows}
		if err := keep(*publish, c); err != nil {
			return err
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cases could not be measured", failed, len(chosen))
	}
	return nil
}

func choose(names string) (out []scenario, err error) {
	wanted := strings.Split(names, ",")
	for _, s := range scenarios {
		group := "own"
		if s.peers {
			group = "peers"
		}
		if slices.Contains(wanted, s.name) || slices.Contains(wanted, group) || slices.Contains(wanted, "all") {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		for _, s := range scenarios {
			names += ", " + s.name
		}
		return nil, fmt.Errorf("no such case: %s", names)
	}
	return out, nil
}

// trouble is what keeps a case from being measured.
type trouble struct{ error }

// try ends the case with an error.
func try(err error) {
	if err != nil {
		panic(trouble{err})
	}
}

// measure runs one case in folders of its own. What it found is in rows.
func (b *bench) measure(s scenario) (err error) {
	b.rows = nil
	began := time.Now()
	fmt.Fprintf(os.Stderr, "%s: began at %s\n", s.name, began.Format(time.TimeOnly))
	if b.dir, err = os.MkdirTemp(*memory, "dpb-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.dir)
	if b.disk, err = os.MkdirTemp(*onDisk, "dpb-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(b.disk)
	defer func() {
		p := recover()
		if t, ok := p.(trouble); ok {
			err = t.error
		} else if p != nil {
			err = fmt.Errorf("%v\n%s", p, debug.Stack())
		}
	}()
	watch := watchOthers()
	s.run(b)
	others := watch()
	for k := range b.rows {
		b.rows[k].Others = others
	}
	fmt.Fprintf(os.Stderr, "%s: took %v; others had %.0f %% of the processors\n", s.name, time.Since(began).Round(time.Second), 100*others)
	return nil
}

// tidy makes the first Ctrl-C end the run after the program that is measured, with its folders removed.
func tidy() {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-caught
		interrupted.Store(true)
		fmt.Fprintf(os.Stderr, "bench: %v: ends with the program that runs now\n", s)
	}()
}

var interrupted atomic.Bool

// of returns one of two sizes.
func of[T any](b *bench, full, small T) T {
	if b.small {
		return small
	}
	return full
}

// counted returns the numbers that a case takes one after the other.
func counted(b *bench, full, small []int) []int {
	if b.counts != nil {
		return b.counts
	}
	return of(b, full, small)
}

// mkdir returns a new folder of the case.
func mkdir(parts ...string) string {
	dir := filepath.Join(parts...)
	try(os.MkdirAll(dir, 0o777))
	return dir
}

func put(dir, name, text string) {
	file := filepath.Join(dir, name)
	try(os.MkdirAll(filepath.Dir(file), 0o777))
	try(os.WriteFile(file, []byte(text), 0o666))
}
