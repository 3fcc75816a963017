//go:build cgo && !noduckdb && (amd64 || arm64)

package duckdb

import (
	"debug/elf"
	"os"
	"testing"
)

// Each symbol that a program lists for others is one more to look through when it starts, and the engine has tens of thousands.
func TestTheEnginesSymbolsAreNotListed(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		t.Fatal(err)
	}
	if len(symbols) > 2000 {
		t.Errorf("the program lists %d symbols", len(symbols))
	}
}
