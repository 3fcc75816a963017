package openlineage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func free() (func(), error) { return func() {}, nil }

func busy() (func(), error) { return nil, nil }

func open(t *testing.T, c Config) *Sender {
	t.Helper()
	if c.Lock == nil {
		c.Lock = free
	}
	s, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// numbered makes events whose jobs are numbers.
func (s *Sender) numbered(from, to int) {
	for n := from; n <= to; n++ {
		s.Send(func() (*Event, error) {
			return &Event{Time: time.Unix(int64(n), 0), Type: Start, Job: Job{Namespace: "n", Name: fmt.Sprint(n)}}, nil
		})
	}
}

func names(t *testing.T, path string) (out []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		_, rest, _ := strings.Cut(line, `"name":"`)
		name, _, _ := strings.Cut(rest, `"`)
		out = append(out, name)
	}
	return out
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestFile writes what is told in order, over several builds; a build that could not deliver leaves it to the next.
func TestFile(t *testing.T) {
	dir := t.TempDir()
	c := Config{File: filepath.Join(dir, "out.ndjson"), Name: "out.ndjson", Dir: filepath.Join(dir, "events")}
	s := open(t, c)
	s.numbered(1, 3)
	same(t, "warnings", s.Close(), []error{})
	same(t, "told", names(t, c.File), []string{"1", "2", "3"})
	c.Lock = busy // another dpb delivers
	s = open(t, c)
	s.numbered(4, 5)
	same(t, "warnings", s.Close(), []error{})
	same(t, "told", names(t, c.File), []string{"1", "2", "3"})
	c.Lock = func() (func(), error) { return nil, errors.New("no locks") }
	s = open(t, c)
	same(t, "warnings", s.Close(), "[run events are not delivered to out.ndjson: no locks; the next build has 2 to deliver]")
	c.Lock = free
	s = open(t, c)
	s.numbered(6, 6)
	same(t, "warnings", s.Close(), []error{})
	same(t, "told", names(t, c.File), []string{"1", "2", "3", "4", "5", "6"})
}

// TestSpool keeps the order when the clock goes back, drops the oldest of too many, and skips what is damaged.
func TestSpool(t *testing.T) {
	dir := t.TempDir()
	c := Config{File: filepath.Join(dir, "out.ndjson"), Name: "out.ndjson", Dir: filepath.Join(dir, "events"), Lock: busy}
	s := open(t, c)
	s.spool.prefix = "7fffffffffffffff-later-"
	s.numbered(1, 2)
	s.Close()
	s = open(t, c)
	if before, _ := s.spool.left(); before != 2 {
		t.Fatalf("%d events wait", before)
	}
	s.spool.limit = 3
	s.spool.prefix = "7ffffffffffffffff-last-" // after that there is no number
	s.numbered(3, 5)
	same(t, "warnings", s.Close(), "[run events are lost: too many wait for out.ndjson, and the oldest 2 were dropped]")
	files, err := filepath.Glob(filepath.Join(c.Dir, "*.json"))
	if err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	if err := os.WriteFile(files[0], []byte(`{"eventTime":`), 0o666); err != nil {
		t.Fatal(err)
	}
	c.Lock = free
	s = open(t, c)
	same(t, "warnings", s.Close(), "[run events are lost: 1 of earlier builds could not be read: its file is damaged]")
	same(t, "told", names(t, c.File), []string{"4", "5"})
}

// TestClockGoesBack puts the events of a later build last although its clock says that it is earlier.
func TestClockGoesBack(t *testing.T) {
	dir := t.TempDir()
	future := fmt.Sprintf("%016x-1-0000000000-3.json", time.Now().Add(time.Hour).UnixNano())
	if err := os.WriteFile(filepath.Join(dir, future), []byte("{}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := openSpool(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.add([]byte("{}\n")); err != nil || s.oldest() != future {
		t.Errorf("%v: the first is %s", err, s.oldest())
	}
	if err := s.list(); err != nil || s.oldest() != future {
		t.Errorf("%v: the first is %s", err, s.oldest())
	}
}

// TestSilent waits a moment for an endpoint; that it was silent is known to the next builds, for a while.
func TestSilent(t *testing.T) {
	end := make(chan struct{})
	var mu sync.Mutex
	silent := true
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		hang := silent
		mu.Unlock()
		if hang {
			<-end
		}
	}))
	defer server.Close()
	defer close(end)
	c := Config{URL: server.URL, Dir: t.TempDir()}
	mark := filepath.Join(c.Dir, silentFile)
	marked := func() bool { _, err := os.Lstat(mark); return err == nil }
	s := open(t, c)
	s.numbered(1, 1)
	yet := "[run events are not delivered to " + strings.TrimPrefix(server.URL, "http://") + ": it has not answered yet; the next build has 1 to deliver]"
	same(t, "warnings", s.Close(), yet)
	if !marked() {
		t.Fatal("that it was silent is not known")
	}
	s = open(t, c)
	if s.await() {
		t.Error("the next build waits again")
	}
	same(t, "warnings", s.Close(), yet)
	long := time.Now().Add(-2 * while)
	if err := os.Chtimes(mark, long, long); err != nil {
		t.Fatal(err)
	}
	s = open(t, c)
	if !s.await() {
		t.Error("it is never waited for again")
	}
	same(t, "warnings", s.Close(), yet)
	mu.Lock()
	silent = false
	mu.Unlock()
	s = open(t, c)
	for s.answers.Load() == 0 { // nobody waits for it
		time.Sleep(time.Millisecond)
	}
	same(t, "warnings", s.Close(), []error{})
	if marked() {
		t.Error("it answered, and counts as silent")
	}
}

// TestLost says which events could not be made, and goes on.
func TestLost(t *testing.T) {
	dir := t.TempDir()
	c := Config{File: filepath.Join(dir, "out.ndjson"), Name: "out.ndjson", Dir: filepath.Join(dir, "events")}
	s := open(t, c)
	s.Send(func() (*Event, error) { return nil, errors.New("the ledger can't be read") })
	s.Send(func() (*Event, error) { return nil, nil })
	s.numbered(1, 1)
	same(t, "warnings", s.Close(), "[run events are lost: 1 could not be written: the ledger can't be read]")
	same(t, "told", names(t, c.File), []string{"1"})
	s = open(t, c)
	s.Send(func() (*Event, error) { panic("a mistake in dpb") })
	defer func() {
		if p := fmt.Sprint(recover()); !strings.HasPrefix(p, "a mistake in dpb") {
			t.Errorf("the panic is lost: %s", p)
		}
	}()
	s.Close()
}

// TestErrorsHoldNoURL has endpoints whose path is a secret.
func TestErrorsHoldNoURL(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/moved/T0KEN" {
			http.Redirect(w, r, "http://"+r.Host+"/T0KEN", http.StatusTemporaryRedirect)
			return
		}
		panic(http.ErrAbortHandler)
	}))
	defer plain.Close()
	for address, want := range map[string]string{
		plain.URL + "/moved/T0KEN":                 "it answered 307 Temporary Redirect",
		plain.URL + "/cut/T0KEN":                   "it gave no answer that could be understood",
		"https" + plain.URL[4:] + "/T0KEN":         "it gave no answer that could be understood",
		"http://lineage.invalid:1/T0KEN?key=T0KEN": "dial tcp",
	} {
		e, err := newEndpoint(address, "")
		if err != nil {
			t.Fatal(err)
		}
		err = e.deliver(context.Background(), []byte("{}"))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "T0KEN") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestRunID makes ids that are UUIDs of version 7: the same for the same run, and in the order of time.
func TestRunID(t *testing.T) {
	at := time.Date(2026, 8, 1, 6, 0, 0, 0, time.UTC)
	a, b, later := RunID(at, "build", "1"), RunID(at, "build", "2"), RunID(at.Add(time.Millisecond), "build", "1")
	if a == b || a != RunID(at, "build", "1") || a == RunID(at, "buil", "d1") {
		t.Errorf("%s, %s", a, b)
	}
	if a[14] != '7' || !strings.ContainsRune("89ab", rune(a[19])) || a[:13] != "019fbbe8-6f00" {
		t.Errorf("%s is no UUID of version 7", a)
	}
	if !slices.IsSorted([]string{max(a, b), later}) {
		t.Errorf("%s is not after %s", later, max(a, b))
	}
}
