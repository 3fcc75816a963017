//go:build !amd64

package cache

// isWide says whether this processor can compress16.
var isWide = false

func compress16(*[16]value, *byte, uintptr, uintptr, uint64, uint32, uint32, uint32, uint32, uint32) {
	panic("not on this processor")
}
