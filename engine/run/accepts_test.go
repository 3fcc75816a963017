package run

import (
	"testing"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/exec"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// TestRequiredIsolation: what is not known to have been isolated does not count where isolation is required. Early versions of dpb recorded nothing for SQL.
func TestRequiredIsolation(t *testing.T) {
	t.Parallel()
	for isolation, want := range map[string]bool{exec.Isolated: true, exec.Connected: true, exec.Separate: false, "": false, "of a later version": false} {
		for mode, want := range map[sandbox.Mode]bool{sandbox.Require: want, sandbox.Auto: true, sandbox.Off: true} {
			s := &Session{boxes: &sandbox.Pool{Mode: mode}}
			if got := s.accepts(&engine.Result{Isolation: isolation}); got != want {
				t.Errorf("%s takes a result with isolation %q: %v", mode, isolation, got)
			}
		}
	}
}
