package openlineage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Config says where events go. One of URL and File is set.
type Config struct {
	URL  string // of an endpoint; without a path, /api/v1/lineage is added
	Key  string // bearer token for the endpoint; "": none
	File string // to append to
	Name string // of the file, for messages
	Dir  string // where events wait until they are delivered
	// Lock keeps two processes from delivering what waits in Dir; release is nil while another one does.
	Lock func() (release func(), err error)
}

const (
	// moment is how long the end of a build waits for an endpoint, unless one that waited less than a while ago heard nothing.
	moment, while = 250 * time.Millisecond, 10 * time.Minute
	// After a failure the next attempt comes later, each time after twice as long.
	firstPause, lastPause = time.Second, 30 * time.Second
	// inHand is how many events may be on their way to the disk.
	inHand = 1024
	// silentFile in Dir says that a build waited for the endpoint, and heard nothing.
	silentFile = "silent"
)

var (
	errOver = errors.New("the build is over")
	errBusy = errors.New("another dpb delivers")
)

// Sender writes events to the disk in the background, and delivers them from there, each at least once and in order.
type Sender struct {
	sink    sink
	local   bool // it is a file
	spool   *spool
	lock    func() (func(), error)
	silent  string // path of the mark
	earlier int    // events that earlier builds left

	events  chan func() (*Event, error)
	written chan struct{} // closed when all is on disk
	more    chan struct{} // says that there is something to deliver
	ending  chan struct{} // closed when nothing comes any more
	done    chan struct{} // closed when nothing is delivered any more
	giveUp  context.CancelCauseFunc
	answers atomic.Int64

	lost    failure // of the goroutine that writes
	crashed any

	listed           bool    // of the goroutine that delivers: the spool knows what waits
	refused, damaged failure // likewise
	failed           error   // of its last attempt
}

// failure counts events, and keeps why the last of them failed.
type failure struct {
	events int
	err    error
}

func (f *failure) add(err error) { f.events, f.err = f.events+1, err }

// Open begins to deliver what earlier builds left. Its error is that of a URL that is none, or of a folder that can't be read.
func Open(c Config) (s *Sender, err error) {
	s = &Sender{sink: &file{c.File, c.Name}, local: c.File != "", lock: c.Lock, silent: filepath.Join(c.Dir, silentFile), events: make(chan func() (*Event, error), inHand),
		written: make(chan struct{}), more: make(chan struct{}, 1), ending: make(chan struct{}), done: make(chan struct{})}
	if !s.local {
		if s.sink, err = newEndpoint(c.URL, c.Key); err != nil {
			return nil, err
		}
	}
	if s.spool, err = openSpool(c.Dir); err != nil {
		return nil, err
	}
	s.earlier, _ = s.spool.left()
	s.listed = true
	ctx, cancel := context.WithCancelCause(context.Background())
	s.giveUp = cancel
	go s.write()
	go s.deliver(ctx)
	return s, nil
}

// Send hands in what makes an event, nil for none. That is called later on another goroutine, in the order in which it was handed in. Send waits for nothing but the
// local disk, and for that only where many events are on their way there.
func (s *Sender) Send(event func() (*Event, error)) { s.events <- event }

// Close waits until all is on disk, for a file until it is delivered, and for an endpoint that is not known to be silent a moment. What is left is for the next build. It
// returns what people should know, as warnings.
func (s *Sender) Close() []error {
	close(s.events)
	<-s.written
	close(s.ending)
	if s.crashed != nil {
		panic(s.crashed)
	}
	before := s.answers.Load()
	waited := s.await()
	s.giveUp(errOver)
	<-s.done
	if waited && errors.Is(s.failed, errOver) && s.answers.Load() == before {
		_ = os.WriteFile(s.silent, nil, 0o666) // the next build does not wait for it
	}
	return s.warnings(waited)
}

// await gives the end of the delivery its time.
func (s *Sender) await() (waited bool) {
	var limit <-chan time.Time
	if !s.local {
		if mark, err := os.Lstat(s.silent); err == nil && time.Since(mark.ModTime()).Abs() < while {
			return false
		}
		limit = time.After(moment)
	}
	select {
	case <-s.done:
	case <-limit:
	}
	return true
}

func (s *Sender) warnings(waited bool) (out []error) {
	waiting, dropped := s.spool.left()
	add := func(n int, format string, args ...any) {
		if n > 0 {
			out = append(out, fmt.Errorf(format, args...))
		}
	}
	to, left := s.sink.name(), fmt.Sprintf("the next build has %d to deliver", waiting)
	add(s.lost.events, "run events are lost: %d could not be written: %w", s.lost.events, s.lost.err)
	add(s.damaged.events, "run events are lost: %d of earlier builds could not be read: %w", s.damaged.events, s.damaged.err)
	add(s.refused.events, "run events are lost: %s refused %d: it %w", to, s.refused.events, s.refused.err)
	add(dropped, "run events are lost: too many wait for %s, and the oldest %d were dropped", to, dropped)
	switch {
	case errors.Is(s.failed, errBusy):
	case s.failed != nil && !errors.Is(s.failed, errOver):
		add(waiting, "run events are not delivered to %s: %w; %s", to, s.failed, left)
	case s.answers.Load() == 0 && (waited || s.earlier > 0):
		add(waiting, "run events are not delivered to %s: it has not answered yet; %s", to, left)
	}
	return out
}

func (s *Sender) write() {
	defer close(s.written)
	for event := range s.events {
		if s.crashed != nil {
			continue
		}
		if err := s.writeOne(event); err != nil {
			s.lost.add(err)
			continue
		}
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
}

func (s *Sender) writeOne(event func() (*Event, error)) error {
	defer func() {
		if p := recover(); p != nil {
			s.crashed = fmt.Sprintf("%v\n%s", p, debug.Stack())
		}
	}()
	e, err := event()
	if err != nil || e == nil {
		return err
	}
	text, err := e.Encode()
	if err != nil {
		return err
	}
	return s.spool.add(text)
}

// deliver goes on until nothing waits and nothing comes any more, or it is to give up. After the end of the build nothing is tried again.
func (s *Sender) deliver(ctx context.Context) {
	defer close(s.done)
	defer s.sink.close()
	for pause := firstPause; s.something(ctx); {
		if s.failed = s.round(ctx); s.failed == nil {
			pause = firstPause
			continue
		}
		select {
		case <-s.ending:
			return
		case <-time.After(pause):
			pause = min(2*pause, lastPause)
		}
	}
}

// something waits for events; false if none will come.
func (s *Sender) something(ctx context.Context) bool {
	if s.spool.oldest() != "" {
		return ctx.Err() == nil
	}
	select {
	case <-s.more:
		return true
	case <-s.ending:
		return s.spool.oldest() != ""
	}
}

// round delivers all that waits.
func (s *Sender) round(ctx context.Context) error {
	release, err := s.lock()
	switch {
	case err != nil:
		return err
	case release == nil:
		return errBusy
	}
	defer release()
	if s.listed { // as this began; from now on others may have put something there
		s.listed = false
	} else if err := s.spool.list(); err != nil {
		return err
	}
	for {
		name, event, err := s.spool.first()
		if err != nil || name == "" {
			return err
		}
		if err := s.deliverOne(ctx, event); err != nil {
			return err
		}
		s.spool.remove(name)
	}
}

// deliverOne is done with an event also where it can't ever be delivered.
func (s *Sender) deliverOne(ctx context.Context, event []byte) error {
	if !json.Valid(event) { // a loss of power
		s.damaged.add(errors.New("its file is damaged"))
		return nil
	}
	err := s.sink.deliver(ctx, event)
	var refused *refusedError
	if errors.As(err, &refused) {
		s.refused.add(err)
		err = nil
	}
	if err == nil && s.answers.Add(1) == 1 && !s.local {
		_ = os.Remove(s.silent)
	}
	return err
}
