package run

import (
	"container/heap"

	"github.com/dpb-build/dpb/engine/graph"
)

// Order ranks actions that are ready to run. It changes which come first, and nothing else.
type Order uint8

const (
	// ByDefault is newest first, but for targets whose verdicts compare with earlier partitions: those would wait for each other.
	ByDefault Order = iota
	NewestFirst
	OldestFirst
)

// ready is an action that could run now. Lower ranks go first.
type ready struct {
	rank int64
	id   graph.ActionID
}

// readyHeap orders ready actions; of equal rank producers before consumers, and earlier partitions first.
type readyHeap []ready

func (h readyHeap) Len() int { return len(h) }
func (h readyHeap) Less(i, j int) bool {
	if h[i].rank != h[j].rank {
		return h[i].rank < h[j].rank
	}
	return h[i].id < h[j].id
}
func (h readyHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *readyHeap) Push(x any)   { *h = append(*h, x.(ready)) }
func (h *readyHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

// push makes an action wait for a place.
func (b *build) push(id graph.ActionID) {
	n, i := b.s.Graph.Action(id)
	heap.Push(&b.queue, ready{b.opts.Order.rank(n, i), id})
}

// pop takes the action that comes first.
func (b *build) pop() graph.ActionID { return heap.Pop(&b.queue).(ready).id }

// rank goes by the end of a partition's time, so that a month competes with its last day. What has no time comes first: all of time may need it.
func (o Order) rank(n *graph.Node, i int) int64 {
	end := n.Set.End(i)
	if end.IsZero() {
		return minRank
	}
	switch {
	case o == OldestFirst:
		return end.Unix()
	case o == ByDefault && (maxPriorOf(n.Target) > 0 || n.ReadsItself()):
		end = n.Set.End(n.Set.Len() - 1)
	}
	return -end.Unix()
}

const minRank = -1 << 63
