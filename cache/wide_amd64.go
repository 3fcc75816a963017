package cache

import "golang.org/x/sys/cpu"

// isWide says whether this processor can compress16.
var isWide = cpu.X86.HasAVX512F

// compress16 writes the chaining values of sixteen hashes, each of so many blocks of 64 bytes; they begin stride bytes from each other, and all their bytes must be there. The last block
// has only length bytes, and zeros after them. The first hash has that counter, each one after it one that is larger by step. All blocks have flags, the first and the last one also these.
//
//go:noescape
func compress16(out *[16]value, in *byte, stride, blocks uintptr, counter uint64, step, flags, first, last, length uint32)
