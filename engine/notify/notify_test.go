package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// hook is a webhook that keeps what it is told.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	heard  []body
}

func newHook(t *testing.T) *hook {
	h := &hook{status: http.StatusOK}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

func (h *hook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var b body
	if err := json.NewDecoder(r.Body).Decode(&b); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
		h.status = http.StatusTeapot
	}
	if h.status == http.StatusOK {
		h.heard = append(h.heard, b)
	}
	w.WriteHeader(h.status)
}

func (h *hook) answer(status int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status = status
}

func (h *hook) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.heard)
}

// take returns what was heard since the last time, as texts in order.
func (h *hook) take() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var texts []string
	for _, b := range h.heard {
		texts = append(texts, b.Text)
	}
	h.heard = nil
	slices.Sort(texts)
	return strings.Join(texts, "\n")
}

// site is a checkout whose builds report.
type site struct {
	*Notifier
	t *testing.T
}

// newSite has a team a hook: pairs of name and address.
func newSite(t *testing.T, hooks ...string) site {
	t.Helper()
	store, err := disk.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	s := site{&Notifier{Workspace: "shop", Root: root, File: filepath.Join(root, "state", "notify.json"), Store: store, Timeout: 20 * time.Second}, t}
	for k := 0; k < len(hooks); k += 2 {
		s.Teams = append(s.Teams, &engine.Team{Name: hooks[k], Notify: []string{hooks[k+1]}})
	}
	return s
}

func all(string) bool  { return true }
func none(string) bool { return false }

// report is a build that looks at everything; it returns the warnings.
func (s site) report(causes ...Cause) string {
	s.t.Helper()
	return s.reportOf(all, causes...)
}

func (s site) reportOf(looked func(string) bool, causes ...Cause) string {
	s.t.Helper()
	return fmt.Sprint(errors.Join(s.Report(s.t.Context(), causes, looked)...))
}

// silent fails if a build warns of anything.
func (s site) silent(causes ...Cause) {
	s.t.Helper()
	if w := s.report(causes...); w != "<nil>" {
		s.t.Errorf("warned: %s", w)
	}
}

func (s site) hasFile() bool {
	_, err := os.Stat(s.File)
	return err == nil
}

func is(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n%s\nand not\n%s", what, got, want)
	}
}

// has fails if a text lacks any of the parts.
func has(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("no %q in: %s", part, text)
		}
	}
}

func failed(target string, teams ...string) Cause {
	return Cause{Target: target, State: "failed", Reason: "exit code 1", Teams: teams}
}

func TestBody(t *testing.T) {
	var got map[string]any
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = json.NewDecoder(r.Body).Decode(&got) }))
	defer server.Close()
	s := newSite(t, "ops", server.URL)
	s.Environment = "prod"
	c := Cause{Target: "//p:t@day=2017-06-15", State: "held", Reason: "rows = 3 < 1000,\n<!channel>", Version: "0123456789abcdef", Owner: "ops (#ops)", Blocked: 4, Log: "a/log",
		Teams: []string{"ops"}}
	check := func(want map[string]any) {
		t.Helper()
		at, err := time.Parse(time.RFC3339, fmt.Sprint(got["time"]))
		if err != nil || time.Since(at).Abs() > time.Hour {
			t.Errorf("time is %v", got["time"])
		}
		delete(got, "time")
		is(t, "body", fmt.Sprint(got), fmt.Sprint(want))
		got = nil
	}
	s.silent(c)
	check(map[string]any{"event": "opened", "workspace": "shop", "environment": "prod", "target": c.Target, "state": "held", "reason": c.Reason, "version": c.Version,
		"owner": c.Owner, "blocked": 4, "log": "a/log", "text": "shop (prod): //p:t@day=2017-06-15#0123456789ab is held: rows = 3 &lt; 1000, &lt;!channel&gt;; 4 blocked by it; owner: ops (#ops)"})
	s.silent()
	check(map[string]any{"event": "resolved", "workspace": "shop", "environment": "prod", "target": c.Target, "state": "held", "reason": "", "version": c.Version,
		"owner": c.Owner, "blocked": 0, "text": "shop (prod): //p:t@day=2017-06-15#0123456789ab is no longer held"})
}

func TestOnce(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	c := failed("//p:t", "ops", "ops")
	s.silent(c, failed("//p:u", "ops"))
	is(t, "first", h.take(), "shop: //p:t is failed: exit code 1\nshop: //p:u is failed: exit code 1")
	c.Reason, c.Version, c.Blocked = "exit code 2", "77", 5
	s.silent(c, failed("//p:u", "ops"))
	is(t, "same", h.take(), "")
	c.State, c.Version = "held", "aa"
	s.silent(c, failed("//p:u", "ops"))
	is(t, "held", h.take(), "shop: //p:t#aa is held (was failed): exit code 2; 5 blocked by it")
	c.Version = "bb"
	s.silent(c, failed("//p:u", "ops"))
	is(t, "held again", h.take(), "shop: //p:t#bb is held: exit code 2; 5 blocked by it")
	if w := s.reportOf(none); w != "<nil>" || h.take() != "" {
		t.Errorf("what was not looked at is resolved, %s", w)
	}
	s.reportOf(func(target string) bool { return target == "//p:t" })
	is(t, "one resolved", h.take(), "shop: //p:t#bb is no longer held")
	s.silent()
	is(t, "both resolved", h.take(), "shop: //p:u is no longer failed")
	if s.hasFile() {
		t.Error("a file stays though nothing is open")
	}
	s.silent(c)
	is(t, "open again", h.take(), "shop: //p:t#bb is held: exit code 2; 5 blocked by it")
}

// TestNothing has no store, so that it fails if a lock is taken.
func TestNothing(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	s.Teams = append(s.Teams, &engine.Team{Name: "mute"})
	s.Store = nil
	s.silent()
	s.silent(failed("//p:t", "mute"), failed("//p:u"), failed("//p:v", "nobody"))
	if s.hasFile() || h.take() != "" {
		t.Error("something was done for nobody")
	}
}

func TestTwoTeams(t *testing.T) {
	consumer, producer := newHook(t), newHook(t)
	s := newSite(t, "consumer", consumer.URL, "producer", producer.URL)
	c := Cause{Target: "//p:t", State: "refused", Reason: "too few", Teams: []string{"consumer", "producer"}}
	s.silent(c)
	is(t, "consumer", consumer.take(), "shop: //p:t is refused: too few")
	is(t, "producer", producer.take(), "shop: //p:t is refused: too few")
	s.silent(failed("//p:t", "consumer"))
	is(t, "consumer", consumer.take(), "shop: //p:t is failed (was refused): exit code 1")
	is(t, "producer, whom it does not concern any more,", producer.take(), "shop: //p:t is no longer refused")
	s.silent()
	is(t, "consumer", consumer.take(), "shop: //p:t is no longer failed")
	is(t, "producer", producer.take(), "")
}

// TestNoMoreTeam is a team whose notify is removed while it has something open.
func TestNoMoreTeam(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	s.silent(failed("//p:t", "ops"))
	s.Teams[0].Notify = nil
	s.silent(failed("//p:t", "ops"))
	if s.hasFile() {
		t.Error("the file is kept for nobody")
	}
}

func TestRetry(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL+"/T0KEN?key=S3CRET")
	h.answer(http.StatusInternalServerError)
	w := s.report(failed("//p:t", "ops"), failed("//p:u", "ops"), failed("//p:v", "ops"))
	is(t, "warning", w, "team ops was not told of //p:t and 2 more: "+h.Listener.Addr().String()+" answered 500 Internal Server Error; the next build tries again")
	has(t, s.report(failed("//p:t", "ops"), failed("//p:u", "ops")), "//p:t and 1 more") // v is resolved before anybody heard of it
	h.answer(http.StatusOK)
	if w := s.reportOf(none); w != "<nil>" {
		t.Errorf("warned: %s", w)
	}
	is(t, "told later", h.take(), "shop: //p:t is failed: exit code 1\nshop: //p:u is failed: exit code 1")
	h.answer(http.StatusBadGateway)
	has(t, s.report(failed("//p:u", "ops")), "//p:t: ", "502")
	h.answer(http.StatusOK)
	s.silent(failed("//p:t", "ops"), failed("//p:u", "ops"))
	is(t, "open again before it was told that it is resolved", h.take(), "")
}

// age makes what waits to be told older.
func (s site) age(d time.Duration) {
	s.t.Helper()
	b, errs := openBook(s.File)
	if errs != nil {
		s.t.Fatal(errs)
	}
	for _, e := range b.entries {
		for team, x := range e.Told {
			if !x.Due.IsZero() {
				x.Due = x.Due.Add(-d)
				e.Told[team] = x
			}
		}
	}
	if err := b.save(); err != nil {
		s.t.Fatal(err)
	}
}

func TestPatience(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	h.answer(http.StatusInternalServerError)
	s.report(failed("//p:t", "ops"))
	s.age(23 * time.Hour)
	has(t, s.report(failed("//p:t", "ops")), "500")
	s.age(time.Hour)
	s.silent(failed("//p:t", "ops"))
	h.answer(http.StatusOK)
	s.silent(failed("//p:t", "ops"))
	is(t, "after a day", h.take(), "")
	s.silent(Cause{Target: "//p:t", State: "held", Version: "aa", Teams: []string{"ops"}})
	is(t, "another state", h.take(), "shop: //p:t#aa is held")
	h.answer(http.StatusInternalServerError)
	has(t, s.report(), "500")
	s.age(24 * time.Hour)
	s.silent()
	if s.hasFile() {
		t.Error("what could not be told for a day is kept")
	}
}

func TestSeveralDpb(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	var causes []Cause
	for k := range 12 {
		causes = append(causes, failed(fmt.Sprintf("//p:t%d", k), "ops"))
	}
	together := func(causes []Cause) {
		var builds sync.WaitGroup
		for range 6 {
			store, err := disk.OpenExisting(s.Store.Dir)
			if err != nil {
				t.Fatal(err)
			}
			other := *s.Notifier
			other.Store = store
			builds.Go(func() {
				if errs := other.Report(t.Context(), causes, all); errs != nil {
					t.Errorf("warned: %v", errs)
				}
			})
		}
		builds.Wait()
	}
	together(causes)
	if n := h.count(); n != len(causes) {
		t.Errorf("%d messages of %d causes:\n%s", n, len(causes), h.take())
	}
	together(nil)
	if n := h.count(); n != 2*len(causes) || s.hasFile() {
		t.Errorf("%d messages in the end:\n%s", n, h.take())
	}
}

// TestOtherIsAtIt is a build that ends while another one holds the lock.
func TestOtherIsAtIt(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	release, err := s.Store.Lock(t.Context(), s.lockName())
	if err != nil {
		t.Fatal(err)
	}
	s.Timeout = 50 * time.Millisecond
	has(t, s.report(failed("//p:t", "ops")), "another dpb", "longer than 50ms")
	release()
	s.Timeout = 20 * time.Second
	s.silent(failed("//p:t", "ops"))
	is(t, "afterwards", h.take(), "shop: //p:t is failed: exit code 1")
}

func TestDamagedFile(t *testing.T) {
	h := newHook(t)
	for _, text := range []string{"", "{", "null", `{"format":1,"causes":[null]}`, `{"format":1,"causes":[{"state":"held"}]}`, `{"format":1,"causes":7}`, `{"format":0}`} {
		s := newSite(t, "ops", h.URL)
		write := func() {
			if err := os.MkdirAll(filepath.Dir(s.File), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(s.File, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write()
		has(t, s.report(failed("//p:t", "ops")), s.File+" was damaged")
		is(t, text, h.take(), "shop: //p:t is failed: exit code 1")
		s.silent(failed("//p:t", "ops"))
		write()
		has(t, s.report(), s.File+" was damaged")
		s.silent()
		if s.hasFile() || h.take() != "" {
			t.Errorf("%s: a damaged file was used, or stays", text)
		}
	}
}

// TestOtherFormat is a file of a later dpb.
func TestOtherFormat(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	s.silent(failed("//p:t", "ops"))
	h.take()
	text := `{"format":2,"causes":{"//p:t":"of another shape"}}`
	if err := os.WriteFile(s.File, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	has(t, s.report(failed("//p:u", "ops")), "has format 2, and this dpb knows 1 only")
	now, err := os.ReadFile(s.File)
	if err != nil || string(now) != text || h.take() != "" {
		t.Errorf("it was used or changed: %v, %s", err, now)
	}
}

// TestNowhereToWrite must not tell with each build what it can't write down.
func TestNowhereToWrite(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	if err := os.WriteFile(filepath.Dir(s.File), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	has(t, s.report(failed("//p:t", "ops")), "teams were not told what is new", "not a directory")
	is(t, "heard", h.take(), "")
}

func TestInterrupted(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("interrupted"))
	has(t, fmt.Sprint(s.Report(ctx, []Cause{failed("//p:t", "ops")}, all)), "team ops was not told of //p:t", "interrupted; the next build tries again")
	if w := s.reportOf(none); w != "<nil>" {
		t.Errorf("warned: %s", w)
	}
	is(t, "afterwards", h.take(), "shop: //p:t is failed: exit code 1")
}

// blockedServer reads a call and gives no answer before the test ends.
func blockedServer(t *testing.T) *httptest.Server {
	over := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-over
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { close(over) })
	return server
}

// TestMissedPromise: an action can fail and miss its promise. These are two causes, told and resolved each by itself, also in the file.
func TestMissedPromise(t *testing.T) {
	h := newHook(t)
	s := newSite(t, "ops", h.URL)
	missed := Cause{Target: "//p:t", State: Overdue, Reason: "it was due 06:00", Due: time.Date(2017, 6, 16, 6, 0, 0, 0, time.UTC), Teams: []string{"ops"}}
	s.silent(missed)
	is(t, "missed", h.take(), "shop: //p:t is overdue: it was due 06:00")
	s.silent(missed, failed("//p:t", "ops"))
	is(t, "and failed", h.take(), "shop: //p:t is failed: exit code 1")
	s.silent(failed("//p:t", "ops"), missed)
	is(t, "same", h.take(), "")
	s.silent(missed)
	is(t, "runs again", h.take(), "shop: //p:t is no longer failed")
	s.silent()
	is(t, "there", h.take(), "shop: //p:t is no longer overdue")
	if s.hasFile() {
		t.Error("nothing is open, and there is a file")
	}
}
