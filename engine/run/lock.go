package run

import (
	"container/heap"
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

// errWaited says that the wait for another process took longer than it may.
var errWaited = errors.New("waited for too long")

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
		if b.deadline[id].IsZero() && b.s.LockTimeout > 0 {
			b.deadline[id] = time.Now().Add(b.s.LockTimeout)
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
	var last disk.Holder
	hear := func(h disk.Holder) {
		if last = h; !b.s.isOwn(h) {
			tell(lockNews{id: id, holder: &h})
		}
	}
	for {
		err := b.awaitUntil(ctx, deadline, name, hear)
		if !errors.Is(err, errWaited) || !b.s.isOwn(last) {
			tell(lockNews{id: id, err: err})
			return
		}
		deadline = time.Now().Add(b.s.LockTimeout) // another action of this build has the same key
	}
}

func (b *build) awaitUntil(ctx context.Context, deadline time.Time, name string, hear func(disk.Holder)) error {
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errWaited)
		defer cancel()
	}
	return b.s.Store.AwaitLock(ctx, name, hear)
}

// isOwn says whether a lock is held by this process itself.
func (s *Session) isOwn(h disk.Holder) bool {
	return h.PID == s.Store.Me.PID && h.Host == s.Store.Me.Host
}

// heard goes on with an action that waits for its key.
func (b *build) heard(ctx context.Context, news lockNews) {
	n, i := b.s.Graph.Action(news.id)
	if news.holder != nil {
		b.holders[news.id] = *news.holder
		b.opts.Events.Started(Job{Label: n.Target.Label, Partition: n.Set.Text(i), Kind: n.Target.Kind, Started: time.Now(), Waits: news.holder})
		return
	}
	delete(b.barred, news.id)
	switch {
	case ctx.Err() != nil: // it was interrupted, and is left to do
	case errors.Is(news.err, errWaited):
		b.giveUp(n, i, Outcome{Failure: fmt.Sprintf("%s runs it, and that took longer than the lock timeout of %s", b.holders[news.id], b.s.LockTimeout), Locked: true})
	case news.err != nil:
		b.giveUp(n, i, Outcome{Failure: news.err.Error(), Local: true})
	default:
		heap.Push(&b.queue, news.id)
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
