package run

import "github.com/dpb-build/dpb/engine/graph"

// actionHeap orders ready actions: producers before consumers, earlier partitions first.
type actionHeap []graph.ActionID

func (h actionHeap) Len() int           { return len(h) }
func (h actionHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h actionHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *actionHeap) Push(x any)        { *h = append(*h, x.(graph.ActionID)) }
func (h *actionHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
