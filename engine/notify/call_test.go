package notify

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/engine"
)

// TestSlow is a webhook that never answers, with more to tell than there are calls at once.
func TestSlow(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	s := newSite(t, "slow", blockedServer(t).URL, "quick", h.URL)
	s.Timeout = 2 * time.Second
	var causes []Cause
	for k := range 2 * atOnce {
		causes = append(causes, failed(fmt.Sprintf("//p:t%02d", k), "slow", "quick"))
	}
	w := s.report(causes...)
	has(t, w, "team slow was not told of //p:t00 and 15 more", "it took longer than 2s")
	if n := h.count(); n != len(causes) || strings.Contains(w, "quick") {
		t.Errorf("%d of %d messages came to others: %s", n, len(causes), w)
	}
}

func TestDead(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := l.Addr().String()
	l.Close()
	h := newHook(t)
	s := newSite(t, "dead", "http://user:passw0rd@"+at+"/T0KEN/x?key=S3CRET", "live", h.URL)
	w := s.report(failed("//p:t", "dead", "live"))
	has(t, w, "team dead was not told of //p:t: "+at, "connection refused")
	is(t, "the other team", h.take(), "shop: //p:t is failed: exit code 1")
	noSecrets(t, w)
}

func noSecrets(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{"T0KEN", "S3CRET", "passw0rd"} {
		if strings.Contains(text, secret) {
			t.Errorf("it shows %s: %s", secret, text)
		}
	}
}

// TestAnswers has webhooks that take no call as they should.
func TestAnswers(t *testing.T) {
	var strayed atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed.Add(1) }))
	defer other.Close()
	mux := http.NewServeMux()
	to := func(path, address string, code int) { mux.Handle(path, http.RedirectHandler(address, code)) }
	to("/elsewhere", other.URL+"/T0KEN", http.StatusTemporaryRedirect)
	to("/found", "/fine", http.StatusFound) // would be a GET
	to("/round", "/round", http.StatusPermanentRedirect)
	to("/moved", "/fine", http.StatusPermanentRedirect)
	mux.HandleFunc("/fine", func(w http.ResponseWriter, r *http.Request) {
		var b body
		if json.NewDecoder(r.Body).Decode(&b) != nil || r.Method != http.MethodPost {
			strayed.Add(1)
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/bad-redirect", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "http://[T0KEN")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/long", func(w http.ResponseWriter, r *http.Request) {
		for range 100 {
			_, _ = w.Write(make([]byte, 1<<20))
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	secure := httptest.NewUnstartedServer(mux)
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	for address, want := range map[string]string{
		server.URL + "/fine":            "<nil>",
		server.URL + "/long":            "<nil>",
		server.URL + "/moved":           "<nil>",
		server.URL + "/elsewhere":       "redirects elsewhere (307): write the address it redirects to into notify",
		server.URL + "/found":           "redirects elsewhere (302)",
		server.URL + "/round":           "redirects elsewhere (308)",
		server.URL + "/nowhere/T0KEN":   "answered 404 Not Found",
		server.URL + "/bad-redirect":    "no answer that could be understood",
		server.URL + "/cut/../cut":      "no answer that could be understood",
		secure.URL + "/fine?k=S3CRET":   "failed to verify certificate",
		"http://T0KEN:x/":               "the address in notify is not a URL",
		"http:///T0KEN":                 "the address in notify is not a URL",
		"https" + server.URL[4:] + "/k": "no answer that could be understood",
	} {
		s := newSite(t, "ops", address)
		w := s.report(failed("//p:t", "ops"))
		if has(t, w, want); want != "<nil>" {
			has(t, w, "team ops was not told of //p:t: ")
		}
		noSecrets(t, w)
	}
	if n := strayed.Load(); n > 0 {
		t.Errorf("%d calls went astray", n)
	}
}

// commandSite has a team that is called by a shell script in the root.
func commandSite(t *testing.T, script string) site {
	s := newSite(t)
	if err := os.WriteFile(filepath.Join(s.Root, "tell.sh"), []byte(script), 0o666); err != nil {
		t.Fatal(err)
	}
	s.Teams = []*engine.Team{{Name: "ops", Notify: []string{"/bin/sh", "tell.sh", "S3CRET"}}}
	return s
}

func TestCommand(t *testing.T) {
	s := commandSite(t, `printf '%s %s ' "$1" "$DPB_TEST_VALUE" >> told && cat >> told`)
	t.Setenv("DPB_TEST_VALUE", "mine")
	s.silent(failed("//p:t", "ops"))
	s.silent(failed("//p:t", "ops"))
	text, err := os.ReadFile(filepath.Join(s.Root, "told"))
	if err != nil {
		t.Fatal(err)
	}
	var b body
	rest, ok := strings.CutPrefix(string(text), "S3CRET mine ")
	if err := json.Unmarshal([]byte(rest), &b); !ok || err != nil || b.Event != opened || b.Target != "//p:t" {
		t.Errorf("%v: it was told %s", err, text)
	}
}

func TestCommandFails(t *testing.T) {
	s := commandSite(t, `for k in 1 2 3 4 5; do echo line $k; done; printf '\033[31mno\007 route\n' >&2; exit 3`)
	w := s.report(failed("//p:t", "ops"))
	is(t, "warning", w, "team ops was not told of //p:t: /bin/sh: exit status 3; it wrote: line 4 | line 5 |  [31mno  route; the next build tries again")
	s.Teams[0].Notify = []string{"./nothing", "S3CRET"}
	w = s.report(failed("//p:t", "ops"))
	has(t, w, "./nothing: ", "no such file or directory; the next build tries again")
	noSecrets(t, w)
	s.Teams[0].Notify = []string{"/bin/sh", "-c", "exit 0"} // reads nothing
	s.silent(failed("//p:t", "ops"))
}

// TestCommandHangs has a command, and a program that it started, that would never end.
func TestCommandHangs(t *testing.T) {
	t.Parallel()
	s := commandSite(t, `exec 3>alive; echo asking >&2; sleep 600 & wait`)
	s.Timeout = 2 * time.Second
	alive := filepath.Join(s.Root, "alive")
	if err := syscall.Mkfifo(alive, 0o666); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(alive) // until nobody has it open for writing
		ended <- err
	}()
	w := s.report(failed("//p:t", "ops"))
	has(t, w, "/bin/sh: it took longer than 2s; it wrote: asking")
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("what the command started lives on")
	}
}

// TestCommandLeavesSome has a command that starts a program, which holds its output open, and ends.
func TestCommandLeavesSome(t *testing.T) {
	s := commandSite(t, `read line < go &`)
	pipe := filepath.Join(s.Root, "go")
	if err := syscall.Mkfifo(pipe, 0o666); err != nil {
		t.Fatal(err)
	}
	s.silent(failed("//p:t", "ops"))
	if err := os.WriteFile(pipe, []byte("further\n"), 0); err != nil { // waits for its reader
		t.Fatal(err)
	}
}
