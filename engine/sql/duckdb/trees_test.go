//go:build cgo && !noduckdb

package duckdb

import (
	"bytes"
	"fmt"
	"sync"
	"testing"
)

// TestTreesTogether: each gets its own tree, whoever asks at the same time, also for what is no statement.
func TestTreesTogether(t *testing.T) {
	p, err := ownPlan()
	if err != nil {
		t.Fatal(err)
	}
	text := func(k int) string {
		switch k % 50 {
		case 7:
			return fmt.Sprintf("SELEC %d", k)
		case 9:
			return ""
		case 11:
			return fmt.Sprintf("SELECT '%d \xff'", k)
		}
		return fmt.Sprintf("SELECT %d AS a FROM t%d", k, k)
	}
	type answer struct {
		tree []byte
		err  string
	}
	ask := func(k int) answer {
		tree, err := p.tree(t.Context(), text(k))
		return answer{tree, fmt.Sprint(err)}
	}
	const n = 500
	var together [n]answer
	var all sync.WaitGroup
	for k := range n {
		all.Go(func() { together[k] = ask(k) })
	}
	all.Wait()
	failed := 0
	for k, got := range together {
		if alone := ask(k); !bytes.Equal(got.tree, alone.tree) || got.err != alone.err {
			t.Errorf("%q: together %s, %s; alone %s, %s", text(k), got.tree, got.err, alone.tree, alone.err)
		}
		if got.err != "<nil>" {
			failed++
		}
	}
	if len(together[1].tree) == 0 || bytes.Equal(together[1].tree, together[2].tree) {
		t.Errorf("%s", together[1].tree)
	}
	t.Logf("%d were refused", failed)
}
