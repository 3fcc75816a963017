package run

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dpb-build/dpb/cache"
	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/engine/graph"
)

// Who runs a job has the lock of its key until the result is recorded. An action whose key somebody else has waits outside of the -j places, so that other work goes on.

// lockNews is what an action hears that waits for its key.
type lockNews struct {
	id     graph.ActionID
	holder *disk.Holder // who has it; nil: nobody any more
	err    error        // it waits no longer
}

// errWaited ends a wait.
var errWaited = errors.New("waited for too long")

// LockedError says that another process ran a job for longer than this one was to wait.
type LockedError struct {
	Holder disk.Holder
	Waited time.Duration
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s runs it, and that took longer than the lock timeout of %s", e.Holder, e.Waited)
}

func lockName(k cache.ActionKey) string { return "key-" + k.String() }

// lock takes the lock of an action's key. If somebody else has it, the action is barred until it is free.
func (b *build) lock(ctx, over context.Context, n *graph.Node, i int) (release func(), ok bool) {
	id := n.Base + graph.ActionID(i)
	name := lockName(b.decider.Key(n, i))
	release, err := b.s.Store.TryLock(name, n.Target.Label.At(n.Set.Text(i)))
	switch {
	case err != nil:
		b.giveUp(n, i, Outcome{Failure: err.Error(), Local: true})
	case release == nil:
		if b.deadline[id].IsZero() {
			b.deadline[id] = b.s.lockDeadline()
		}
		b.barred[id] = true
		go b.awaitLock(ctx, over, id, name, b.deadline[id])
	}
	return release, release != nil
}

// awaitLock tells the scheduler who has a key, and when nobody has it any more. It ends when the pass is over.
func (b *build) awaitLock(ctx, over context.Context, id graph.ActionID, name string, deadline time.Time) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(over, cancel)()
	tell := func(news lockNews) {
		select {
		case b.locks <- news:
		case <-over.Done():
		}
	}
	err := b.s.awaitLock(ctx, name, deadline, func(h disk.Holder) { tell(lockNews{id: id, holder: &h}) })
	tell(lockNews{id: id, err: err})
}

// lockDeadline is when a wait that begins now ends; zero: never.
func (s *Session) lockDeadline() time.Time {
	if s.LockTimeout <= 0 {
		return time.Time{}
	}
	return time.Now().Add(s.LockTimeout)
}

// awaitLock waits until nobody has a key, and tells which other process does. Its error is a LockedError if that takes too long; for this process itself, which may do
// several things that have the same key, there is no such limit.
func (s *Session) awaitLock(ctx context.Context, name string, deadline time.Time, tell func(disk.Holder)) error {
	var last disk.Holder
	hear := func(h disk.Holder) {
		if last = h; !s.isOwn(h) {
			tell(h)
		}
	}
	for {
		err := s.awaitUntil(ctx, name, deadline, hear)
		switch {
		case !errors.Is(err, errWaited):
			return err
		case !s.isOwn(last):
			return &LockedError{last, s.LockTimeout}
		}
		deadline = s.lockDeadline()
	}
}

func (s *Session) awaitUntil(ctx context.Context, name string, deadline time.Time, hear func(disk.Holder)) error {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errWaited)
		defer cancel()
	}
	return s.Store.AwaitLock(ctx, name, hear)
}

// lock takes the lock of a job's key when nobody else has it any more.
func (s *Session) lock(ctx context.Context, p *prepared, tell func(disk.Holder)) (err error) {
	name, deadline := lockName(p.key), s.lockDeadline()
	for {
		if p.release, err = s.Store.TryLock(name, p.node.Target.Label.At(p.node.Set.Text(p.i))); p.release != nil || err != nil {
			return err
		}
		if err := s.awaitLock(ctx, name, deadline, tell); err != nil {
			return err
		}
	}
}

// isOwn says whether a lock is held by this process itself.
func (s *Session) isOwn(h disk.Holder) bool {
	return h.PID == s.Store.Me.PID && h.Host == s.Store.Me.Host
}

// heard goes on with an action that waits for its key.
func (b *build) heard(ctx context.Context, news lockNews) {
	n, i := b.s.Graph.Action(news.id)
	if news.holder != nil {
		b.told[news.id] = true
		b.opts.Events.Started(Job{Label: n.Target.Label, Partition: n.Set.Text(i), Kind: n.Target.Kind, Started: time.Now(), Waits: news.holder})
		return
	}
	delete(b.barred, news.id)
	var locked *LockedError
	switch {
	case ctx.Err() != nil: // it was interrupted, and is left to do
	case errors.As(news.err, &locked):
		b.giveUp(n, i, Outcome{Failure: locked.Error(), Locked: true})
	case news.err != nil:
		b.giveUp(n, i, Outcome{Failure: news.err.Error(), Local: true})
	default:
		b.push(news.id)
	}
}

// giveUp fails an action that can't have its key.
func (b *build) giveUp(n *graph.Node, i int, o Outcome) {
	o.Rows, o.Ended = -1, time.Now()
	b.transition(n, i, failed)
	b.fail(n, i, o)
	b.opts.Events.Finished(Job{Label: n.Target.Label, Partition: n.Set.Text(i), Kind: n.Target.Kind, Started: o.Ended}, o)
	if !b.again {
		b.wake(n, i)
	}
}
