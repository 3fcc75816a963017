package watch

import (
	"context"
	"sync"
	"time"
)

// News is that something changed, and when it did last. However much there is of it, it takes no more room.
type News struct {
	signal chan struct{} // has something from the first tell to the next Take

	mu sync.Mutex
	at time.Time
}

func newNews() News { return News{signal: make(chan struct{}, 1)} }

func (n *News) tell(at time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at = at
	select {
	case n.signal <- struct{}{}:
	default:
	}
}

// Wait is readable when there is news. Reading from it takes the signal and leaves the news.
func (n *News) Wait() <-chan struct{} { return n.signal }

// Take returns when something changed last, since it was called before; false if nothing did.
func (n *News) Take() (at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.signal:
	default:
	}
	at, n.at = n.at, time.Time{}
	return at, !at.IsZero()
}

// Settle waits until there was no news for as long as quiet, or until most is over.
func (n *News) Settle(ctx context.Context, quiet, most time.Duration) {
	end := time.NewTimer(most)
	defer end.Stop()
	calm := time.NewTimer(quiet)
	defer calm.Stop()
	for {
		select {
		case <-n.signal:
			calm.Reset(quiet)
		case <-calm.C:
			return
		case <-end.C:
			return
		case <-ctx.Done():
			return
		}
	}
}
