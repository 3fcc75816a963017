// Package notify calls the teams that can act, once about each new root cause and once when it is resolved.
package notify

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// Cause is an action that holds others up, or would: the root of what is not fresh; or one that missed its promise on time. An action is one cause of each kind at most.
type Cause struct {
	Target  string    `json:"target"` // //p:t@day=2017-06-15
	State   string    `json:"state"`  // held, refused or failed; Overdue of a missed promise
	Reason  string    `json:"reason"`
	Version string    `json:"version,omitempty"` // the id, of held
	Owner   string    `json:"owner,omitempty"`   // of the target, with contact
	Blocked int       `json:"blocked"`           // how many actions wait for this one
	Log     string    `json:"log,omitempty"`     // path of the whole log
	Due     time.Time `json:"due,omitzero"`      // of a missed promise: when it was promised
	Teams   []string  `json:"teams"`             // who is told, by name
}

// Overdue is the state of a cause that is a missed promise on time.
const Overdue = "overdue"

// kind tells the causes of an action apart, also when they are resolved.
type kind struct {
	target string
	missed bool
}

func (c Cause) kind() kind { return kind{c.Target, !c.Due.IsZero()} }

// Notifier tells teams what is open.
type Notifier struct {
	Workspace, Environment string
	Root                   string // where commands run
	File                   string // keeps what teams were told, for the next build
	Teams                  []*engine.Team
	Store                  *disk.Store   // its lock keeps two builds from telling the same
	Timeout                time.Duration // for all calls together; 0: 10 s
	Now                    time.Time     // that messages bear; zero: what the clock shows
}

// patience is how long a message that can't be delivered is tried again.
const patience = 24 * time.Hour

// Report compares what is open with what teams were told before, and tells them what is new and what is resolved. A cause is new if its action was not open, or
// was in another state or, unless it failed, at another version. Of those told before that are no cause any more, looked says which are resolved: those that this
// build found in order, and those that are gone. All others stay open. Its errors are warnings: who was not told, and why; the next builds try again for a day.
func (n *Notifier) Report(ctx context.Context, causes []Cause, looked func(target string) bool) []error {
	hooks := n.hooks()
	causes = audible(causes, hooks)
	if _, err := os.Lstat(n.File); len(causes) == 0 && os.IsNotExist(err) {
		return nil
	}
	timeout := n.Timeout
	if timeout == 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it took longer than %s", timeout))
	defer cancel()
	release, err := n.Store.Lock(ctx, n.lockName())
	switch {
	case err != nil && ctx.Err() != nil:
		return []error{fmt.Errorf("teams were not told what is new: another dpb was telling them, and %w; the next build tells them", err)}
	case err != nil:
		return []error{fmt.Errorf("teams were not told what is new: %w", err)}
	}
	defer release()
	return n.tell(ctx, hooks, causes, looked)
}

// tell is Report while nobody else reports.
func (n *Notifier) tell(ctx context.Context, hooks map[string][]string, causes []Cause, looked func(string) bool) []error {
	book, errs := openBook(n.File)
	if book == nil {
		return errs
	}
	now := n.Now
	if now.IsZero() {
		now = time.Now()
	}
	now = now.UTC().Truncate(time.Second)
	book.update(causes, looked, now)
	book.forget(func(team string) bool { return hooks[team] != nil })
	messages := book.due(now)
	if len(messages) > 0 {
		// Where nothing can be written down, teams would be told the same with each build.
		if err := book.save(); err != nil {
			return append(errs, fmt.Errorf("teams were not told what is new: %w", err))
		}
		errs = append(errs, n.send(ctx, hooks, messages)...)
	}
	book.settle(messages, now)
	if err := book.save(); err != nil {
		errs = append(errs, fmt.Errorf("what teams were told was not written down, and they may be told again: %w", err))
	}
	return errs
}

// hooks maps the teams that want to be told to how.
func (n *Notifier) hooks() map[string][]string {
	out := map[string][]string{}
	for _, team := range n.Teams {
		if len(team.Notify) > 0 {
			out[team.Name] = team.Notify
		}
	}
	return out
}

// audible keeps the causes that somebody wants to be told, with these teams only.
func audible(causes []Cause, hooks map[string][]string) (out []Cause) {
	for _, c := range causes {
		c.Teams = slices.DeleteFunc(slices.Clone(c.Teams), func(team string) bool { return hooks[team] == nil })
		slices.Sort(c.Teams)
		if c.Teams = slices.Compact(c.Teams); len(c.Teams) > 0 {
			out = append(out, c)
		}
	}
	return out
}

// lockName is the file's own in a store that several checkouts may share.
func (n *Notifier) lockName() string {
	h := cache.NewHasher()
	_, _ = h.Write([]byte(filepath.Clean(n.File))) // a hash takes all
	return "notify-" + h.Digest().Short()
}

// Events of a message.
const (
	opened   = "opened"
	resolved = "resolved"
)

// body is what a webhook is sent and a command reads from its standard input.
type body struct {
	Event       string    `json:"event"` // opened or resolved
	Workspace   string    `json:"workspace"`
	Environment string    `json:"environment"`
	Target      string    `json:"target"`
	State       string    `json:"state"`         // held, refused, failed or overdue; of resolved, what it was
	Was         string    `json:"was,omitempty"` // the state that the team was told before, if it is another
	Reason      string    `json:"reason"`        // "" of resolved
	Version     string    `json:"version"`
	Owner       string    `json:"owner"`
	Blocked     int       `json:"blocked"`
	Log         string    `json:"log,omitempty"`
	Due         time.Time `json:"due,omitzero"` // of overdue, when it was promised
	Time        time.Time `json:"time"`         // when a build found it so
	Text        string    `json:"text"`         // all that in a line, as chats show it
}

func (n *Notifier) body(m *message) body {
	e := m.entry
	b := body{Event: opened, Workspace: n.Workspace, Environment: n.Environment, Target: e.Target, State: m.want.State, Version: m.want.Version, Owner: e.Owner, Due: e.Due, Time: e.Since}
	if m.want.none() {
		b.Event, b.State, b.Version = resolved, m.told.State, m.told.Version
	} else {
		b.Reason, b.Blocked, b.Log = e.Reason, e.Blocked, e.Log
		if m.told.State != b.State {
			b.Was = m.told.State
		}
	}
	b.Text = b.text()
	return b
}

// chat keeps signs that chats take for markup from being that: a value in a reason must not call everybody.
var chat = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// text tells a person all in one line.
func (b body) text() string {
	var s strings.Builder
	if s.WriteString(b.Workspace); b.Environment != "" {
		fmt.Fprintf(&s, " (%s)", b.Environment)
	}
	fmt.Fprintf(&s, ": %s", b.Target)
	if b.Version != "" {
		s.WriteString("#" + b.Version[:min(12, len(b.Version))])
	}
	if b.Event == resolved {
		fmt.Fprintf(&s, " is no longer %s", b.State)
		return line(s.String())
	}
	fmt.Fprintf(&s, " is %s", b.State)
	if b.Was != "" {
		fmt.Fprintf(&s, " (was %s)", b.Was)
	}
	if b.Reason != "" {
		s.WriteString(": " + b.Reason)
	}
	if b.Blocked > 0 {
		fmt.Fprintf(&s, "; %d blocked by it", b.Blocked)
	}
	if b.Owner != "" {
		s.WriteString("; owner: " + b.Owner)
	}
	return line(s.String())
}

func line(text string) string { return chat.Replace(strings.Join(strings.Fields(text), " ")) }
