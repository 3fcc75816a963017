package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"
)

// So many calls run at the same time, and so many of one team, so that a dead one leaves room for others.
const atOnce, ofTeam = 8, 2

// send makes all calls, notes in each message how it went, and returns an error for each team that was not told all.
func (n *Notifier) send(ctx context.Context, hooks map[string][]string, messages []*message) []error {
	queues := map[string]chan *message{}
	for _, m := range messages {
		if queues[m.team] == nil {
			queues[m.team] = make(chan *message, len(messages))
		}
		queues[m.team] <- m
	}
	client := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone(), CheckRedirect: redirect}
	defer client.CloseIdleConnections()
	slots := make(chan struct{}, atOnce)
	var calls sync.WaitGroup
	for team, queue := range queues {
		close(queue)
		for range ofTeam {
			calls.Go(func() {
				for m := range queue {
					slots <- struct{}{}
					m.err = n.call(ctx, client, hooks[team], n.body(m))
					<-slots
				}
			})
		}
	}
	calls.Wait()
	return undelivered(messages)
}

// undelivered says in one error a team what it was not told.
func undelivered(messages []*message) (out []error) {
	var teams []string
	failed := map[string][]*message{}
	for _, m := range messages {
		if m.err != nil {
			if failed[m.team] == nil {
				teams = append(teams, m.team)
			}
			failed[m.team] = append(failed[m.team], m)
		}
	}
	for _, team := range teams {
		first, more := failed[team][0], ""
		if k := len(failed[team]) - 1; k > 0 {
			more = fmt.Sprintf(" and %d more", k)
		}
		out = append(out, fmt.Errorf("team %s was not told of %s%s: %w; the next build tries again", team, first.entry.Target, more, first.err))
	}
	return out
}

func (n *Notifier) call(ctx context.Context, client *http.Client, hook []string, b body) error {
	text, err := json.Marshal(b)
	if err != nil {
		return err
	}
	if len(hook) == 1 && (strings.HasPrefix(hook[0], "http://") || strings.HasPrefix(hook[0], "https://")) {
		return post(ctx, client, hook[0], text)
	}
	return command(ctx, n.Root, hook, append(text, '\n'))
}

// post calls a webhook. Its errors name the host alone: the rest of the URL is often a secret.
func post(ctx context.Context, client *http.Client, address string, text []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(text))
	if err != nil || req.URL.Host == "" {
		return errors.New("the address in notify is not a URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "dpb")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", req.URL.Host, noAnswer(ctx, err))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // what it says does not matter
	switch code := resp.StatusCode; code / 100 {
	case 2:
		return nil
	case 3:
		return fmt.Errorf("%s redirects elsewhere (%d): write the address it redirects to into notify", req.URL.Host, code)
	default:
		return fmt.Errorf("%s answered %d %s", req.URL.Host, code, http.StatusText(code))
	}
}

// redirect follows a redirect that leads the same call to the same host. Any other answer is taken as it is.
func redirect(req *http.Request, via []*http.Request) error {
	from := via[0].URL
	if req.Method != http.MethodPost || req.URL.Host != from.Host || from.Scheme == "https" && req.URL.Scheme != "https" || len(via) > 3 {
		return http.ErrUseLastResponse
	}
	return nil
}

// noAnswer says why a host gave none, in words that can't hold the URL.
func noAnswer(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var network *net.OpError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &network):
		return network
	default:
		return errors.New("it gave no answer that could be understood")
	}
}

// Of what a command writes, its end is kept for the error.
const keepBytes, keepLines = 1000, 3

// end keeps the end of what is written to it.
type end []byte

func (e *end) Write(p []byte) (int, error) {
	*e = append(*e, p...)
	*e = (*e)[max(0, len(*e)-keepBytes):]
	return len(p), nil
}

// String gives the last lines in one, without what would steer a terminal.
func (e *end) String() string {
	lines := strings.FieldsFunc(strings.ToValidUTF8(string(*e), ""), func(r rune) bool { return r == '\n' || r == '\r' })
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, strings.Join(lines[max(0, len(lines)-keepLines):], " | "))
}

// command runs a team's program at root with the message at its standard input. Its errors name the program alone: arguments may be secrets.
func command(ctx context.Context, root string, args []string, text []byte) error {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out end
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = root, bytes.NewReader(text), &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error {
		if syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) != nil {
			return os.ErrProcessDone
		}
		return nil
	}
	// What it leaves running may hold its output open.
	cmd.WaitDelay = 200 * time.Millisecond
	err := cmd.Run()
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if said := out.String(); said != "" {
		return fmt.Errorf("%s: %w; it wrote: %s", args[0], err, said)
	}
	return fmt.Errorf("%s: %w", args[0], err)
}
