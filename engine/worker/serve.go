package worker

import (
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/fingerprint"
	"github.com/dpb-build/dpb/engine/sql/duckdb"
)

// A program that links this package is a worker's process when it is called by that name, whatever else it does.
func init() {
	if os.Args[0] != processName || len(os.Args) != 2 {
		return
	}
	go func() {
		_, _ = os.NewFile(3, "life").Read(make([]byte, 1)) // returns when dpb is gone
		os.Exit(0)
	}()
	limit, err := strconv.ParseInt(os.Args[1], 10, 64)
	if err == nil {
		err = limitData(limit)
	}
	if err == nil {
		err = serve(os.Stdin, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// request is what a process is to do: one of its fields is set.
type request struct {
	Catalog     *duckdb.Catalog // with the first that is about SQL
	Tree        []byte          // the answer to a question
	TreeFailure *failure
	Run         *duckdb.Job
	Metrics     *duckdb.MetricsJob
	Key         *keyJob
	Reference   *referenceJob
	Split       *duckdb.SplitJob
	Fingerprint *fingerprintJob
	Filter      *FilterJob
}

type keyJob struct {
	Table   duckdb.Table
	Key     []string
	Scratch string
	Threads int
	Memory  int64
}

type referenceJob struct {
	Table       duckdb.Table
	Column      string
	Other       duckdb.Table
	OtherColumn string
	Scratch     string
	Threads     int
	Memory      int64
}

type fingerprintJob struct {
	Table   fingerprint.Table
	Threads int
}

// FilterJob copies text without some of its records.
type FilterJob struct {
	Table fingerprint.Table
	// Drop lists, for each file, the numbers of the records to leave out, ascending; nil: none.
	Drop       [][]int64
	Unreadable bool   // leave out, and tell, what can't be read; else it is an error
	Dir        string // where the copies go
}

// Filtered is what became of each file.
type Filtered struct {
	Counts []fingerprint.Counts
	Copies []string // paths
	Bad    []fingerprint.Unreadable
}

// reply is what came of a request.
type reply struct {
	Ask         *string // no reply yet: the syntax tree of this statement is asked for
	Failure     *failure
	Run         *duckdb.Result
	Metrics     []value
	Key         duckdb.KeyReport
	Reference   duckdb.OrphanReport
	Split       *duckdb.SplitResult
	Fingerprint []byte // JSON
	State       fingerprint.State
	Filter      Filtered
	Used        Used
}

// Used is what a process has used since it started.
type Used struct {
	CPU    time.Duration // of user and system
	MaxRSS int64         // bytes
}

// used asks the system for this process.
func used() (u Used) {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err == nil { // can't fail
		u = Used{time.Duration(r.Utime.Nano() + r.Stime.Nano()), r.Maxrss * rssUnit}
	}
	return u
}

// value is a number, or null.
type value struct {
	Null   bool
	Number float64
}

// failure is an error on its way out of a process.
type failure struct {
	Text     string
	Problems []engine.Problem
	Number   syscall.Errno // of the system; 0: none
}

func failureOf(err error) *failure {
	if err == nil {
		return nil
	}
	f := &failure{Text: err.Error(), Problems: duckdb.Problems(err)}
	errors.As(err, &f.Number)
	return f
}

func (f *failure) err() error {
	if f == nil {
		return nil
	}
	out := &Failure{text: f.Text}
	for _, p := range f.Problems {
		out.wrapped = append(out.wrapped, &duckdb.ProblemError{Problem: p})
	}
	if f.Number != 0 {
		out.wrapped = append(out.wrapped, f.Number)
	}
	return out
}

// serve answers requests until there are no more.
func serve(in io.Reader, out io.Writer) error {
	requests, replies := gob.NewDecoder(in), gob.NewEncoder(out)
	for {
		var r request
		switch err := requests.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if r.Catalog != nil {
			duckdb.UsePlan(*r.Catalog, func(text string) ([]byte, error) { return ask(requests, replies, text) })
		}
		answer, err := r.do(context.Background())
		answer.Failure, answer.Used = failureOf(err), used()
		if err := replies.Encode(answer); err != nil {
			return err
		}
	}
}

// ask asks dpb for a syntax tree, which comes before the next request.
func ask(requests *gob.Decoder, replies *gob.Encoder, text string) ([]byte, error) {
	if err := replies.Encode(reply{Ask: &text}); err != nil {
		return nil, err
	}
	var r request
	if err := requests.Decode(&r); err != nil {
		return nil, err
	}
	return r.Tree, r.TreeFailure.err()
}

func (r *request) do(ctx context.Context) (a reply, err error) {
	switch {
	case r.Run != nil:
		a.Run, err = duckdb.Run(ctx, *r.Run)
	case r.Metrics != nil:
		var numbers []*float64
		numbers, err = duckdb.Metrics(ctx, *r.Metrics)
		for _, n := range numbers {
			v := value{Null: n == nil}
			if n != nil {
				v.Number = *n
			}
			a.Metrics = append(a.Metrics, v)
		}
	case r.Key != nil:
		a.Key, err = duckdb.CheckKey(ctx, r.Key.Table, r.Key.Key, r.Key.Scratch, r.Key.Threads, r.Key.Memory)
	case r.Reference != nil:
		x := r.Reference
		a.Reference, err = duckdb.CheckReference(ctx, x.Table, x.Column, x.Other, x.OtherColumn, x.Scratch, x.Threads, x.Memory)
	case r.Split != nil:
		a.Split, err = duckdb.Split(ctx, *r.Split)
	case r.Fingerprint != nil:
		var f *engine.Fingerprint
		if f, a.State, err = fingerprint.Compute(ctx, r.Fingerprint.Table, r.Fingerprint.Threads); err == nil {
			a.Fingerprint, err = json.Marshal(f)
		}
	case r.Filter != nil:
		a.Filter, err = r.Filter.do(ctx)
	default:
		err = errors.New("a request that asks for nothing")
	}
	return a, err
}

func (j *FilterJob) do(ctx context.Context) (f Filtered, err error) {
	f.Copies = make([]string, len(j.Table.Files))
	out := func(file int) (io.WriteCloser, error) {
		w, err := os.CreateTemp(j.Dir, "kept-")
		if err == nil {
			f.Copies[file] = w.Name()
		}
		return w, err
	}
	var drop func(file int, record int64) bool
	if j.Drop != nil {
		drop = dropper(j.Drop)
	}
	var bad func(fingerprint.Unreadable) error
	if j.Unreadable {
		bad = func(u fingerprint.Unreadable) error { f.Bad = append(f.Bad, u); return nil }
	}
	f.Counts, err = fingerprint.Filter(ctx, j.Table, drop, bad, out)
	return f, err
}

// dropper answers for records that are asked for in their order.
func dropper(records [][]int64) func(file int, record int64) bool {
	next := make([]int, len(records))
	return func(file int, record int64) bool {
		at := next[file]
		if at == len(records[file]) || records[file][at] != record {
			return false
		}
		next[file]++
		return true
	}
}
