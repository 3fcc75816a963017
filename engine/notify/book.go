package notify

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine"
)

// book is what is open, and what each team was told about it.
type book struct {
	file    string
	saved   []byte // what the file holds; nil: there is none
	entries map[kind]*entry
}

// entry is a cause as a build saw it last. Its state is "" if it is resolved and a team has yet to be told.
type entry struct {
	Cause
	Since time.Time       `json:"since"` // when it came to its state
	Told  map[string]told `json:"told"`  // by team
}

// mark is what tells one cause of an action from another.
type mark struct {
	State   string `json:"state,omitempty"`
	Version string `json:"version,omitempty"`
}

func (m mark) none() bool { return m == mark{} }

// told is what a team was told last, nothing if that it is resolved.
type told struct {
	mark
	Due time.Time `json:"due,omitzero"` // since when there is something else to tell
}

// message is something that a team is to be told.
type message struct {
	entry *entry
	team  string
	told  mark // before
	want  mark // none: it is resolved
	err   error
}

// format of the file. Another one is left alone, for two kinds of dpb in turn would tell all anew each time.
const format = 1

type content struct {
	Format int      `json:"format"`
	Causes []*entry `json:"causes"`
}

// openBook reads what teams were told. Of a damaged file it warns and begins anew; it returns no book if the file must stay as it is.
func openBook(file string) (*book, []error) {
	b := &book{file: file, entries: map[kind]*entry{}}
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, []error{fmt.Errorf("teams were not told what is new: %w", err)}
	}
	b.saved = text
	var c content
	err = json.Unmarshal(text, &c)
	if c.Format > format {
		return nil, []error{fmt.Errorf("teams were not told what is new: %s has format %d, and this dpb knows %d only: use the dpb that wrote it", file, c.Format, format)}
	}
	if err != nil || c.Format != format || !b.fill(c.Causes) {
		clear(b.entries)
		return b, []error{fmt.Errorf("%s was damaged, and what teams were told is lost: they are told anew what is open", file)}
	}
	return b, nil
}

// fill says whether the entries make sense.
func (b *book) fill(entries []*entry) bool {
	for _, e := range entries {
		if e == nil || e.Target == "" {
			return false
		}
		if e.Told == nil {
			e.Told = map[string]told{}
		}
		b.entries[e.kind()] = e
	}
	return true
}

// save writes the book if it changed. Where nothing is open, there is no file.
func (b *book) save() error {
	if len(b.entries) == 0 {
		return b.remove()
	}
	c := content{Format: format}
	for _, k := range b.kinds() {
		c.Causes = append(c.Causes, b.entries[k])
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil || bytes.Equal(text, b.saved) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(b.file), 0o777); err != nil {
		return err
	}
	if err := disk.WriteFile(b.file, text); err != nil {
		return err
	}
	b.saved = text
	return nil
}

func (b *book) remove() error {
	if b.saved == nil {
		return nil
	}
	if err := os.Remove(b.file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	b.saved = nil
	return nil
}

// update takes in what a build saw.
func (b *book) update(causes []Cause, looked func(string) bool, now time.Time) {
	open := map[kind]bool{}
	for _, c := range causes {
		k := c.kind()
		if open[k] {
			continue
		}
		open[k] = true
		if b.entries[k] == nil {
			b.entries[k] = &entry{Told: map[string]told{}}
		}
		b.entries[k].become(c, now)
	}
	for k, e := range b.entries {
		if !open[k] && e.State != "" && looked(k.target) {
			e.become(Cause{Target: k.target, Owner: e.Owner, Due: e.Due}, now)
		}
	}
}

// become replaces the cause. If it is another one, teams are due to be told that from now on.
func (e *entry) become(c Cause, now time.Time) {
	if c.State == engine.Failed.String() {
		c.Version = "" // the next run's failure is the same
	}
	if e.State != c.State || e.Version != c.Version {
		e.Since = now
		for team, t := range e.Told {
			e.Told[team] = told{mark: t.mark}
		}
	}
	e.Cause = c
}

// forget drops the teams that do not want to be told any more, and what nobody is left for.
func (b *book) forget(wants func(team string) bool) {
	for k, e := range b.entries {
		not := func(team string) bool { return !wants(team) }
		e.Teams = slices.DeleteFunc(e.Teams, not)
		maps.DeleteFunc(e.Told, func(team string, _ told) bool { return not(team) })
		if len(e.Teams) == 0 && len(e.Told) == 0 {
			delete(b.entries, k)
		}
	}
}

// kinds lists what is open, in order of target.
func (b *book) kinds() []kind {
	return slices.SortedFunc(maps.Keys(b.entries), func(x, y kind) int {
		if x.target == y.target && x.missed {
			return 1
		}
		return cmp.Compare(x.target, y.target)
	})
}

// due lists what teams are to be told, in order of target and team.
func (b *book) due(now time.Time) (out []*message) {
	for _, k := range b.kinds() {
		e := b.entries[k]
		for _, team := range e.concerned() {
			t := e.Told[team]
			m := &message{entry: e, team: team, told: t.mark, want: e.want(team)}
			switch {
			case m.told == m.want:
				t.Due = time.Time{}
			case t.Due.IsZero():
				t.Due = now
			}
			e.Told[team] = t
			if m.told != m.want && now.Sub(t.Due) < patience {
				out = append(out, m)
			}
		}
	}
	return out
}

// concerned lists the teams that are to be told now, or were told before.
func (e *entry) concerned() []string {
	teams := slices.AppendSeq(slices.Clone(e.Teams), maps.Keys(e.Told))
	slices.Sort(teams)
	return slices.Compact(teams)
}

// want is what a team should have been told last. For one that the cause does not concern any more, it is resolved.
func (e *entry) want(team string) mark {
	if !slices.Contains(e.Teams, team) {
		return mark{}
	}
	return mark{e.State, e.Version}
}

// settle notes what was delivered, and drops what nobody is to be told about any more.
func (b *book) settle(messages []*message, now time.Time) {
	for _, m := range messages {
		if m.err == nil {
			m.entry.Told[m.team] = told{mark: m.want}
		}
	}
	for k, e := range b.entries {
		maps.DeleteFunc(e.Told, func(team string, t told) bool { return e.want(team).none() && t.over(now) })
		if e.State == "" && len(e.Told) == 0 {
			delete(b.entries, k)
		}
	}
}

// over says of something resolved that the team knows it, never heard of it, or could not be told for too long.
func (t told) over(now time.Time) bool {
	return t.none() || !t.Due.IsZero() && now.Sub(t.Due) >= patience
}
