package run

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

const grouped = 40 // jobs

// finishes counts what people are told of.
type finishes struct {
	silent
	well, failed int
}

func (f *finishes) Finished(_ Job, o Outcome) {
	if o.Failure == "" {
		f.well++
	} else {
		f.failed++
	}
}

// buildGrouped runs jobs of which the first sync waits for the last, and then gives an error.
func buildGrouped(t *testing.T, first error) (told finishes, syncs, commits int64, err error) {
	t.Helper()
	var synced, committed, ended atomic.Int64
	all := make(chan struct{})
	fault.Set(func(p fault.Point) error {
		switch p {
		case fault.TreeKept:
			if ended.Add(1) == grouped {
				close(all)
			}
		case fault.Syncing:
			if synced.Add(1) == 1 {
				<-all
				return first
			}
		case fault.Recording:
			committed.Add(1)
		}
		return nil
	})
	defer fault.Set(nil)
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	x := &engine.Target{Label: engine.Label{Name: "x"}, Kind: engine.Command, PartitionBy: []string{"day"}, Outputs: []*engine.Output{{Name: "x", Path: "x.txt"}},
		Command: []engine.Text{engine.Literal("sh"), engine.Literal("-c"), engine.Literal(`echo $DPB_PARTITION_DAY > "$DPB_OUTPUT_X"`)}}
	day := &engine.Dimension{Name: "day", Unit: engine.Day, Start: "2017-01-01", End: time.Date(2017, 1, grouped, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)}
	g, problems := graph.New(&engine.Workspace{StorePath: filepath.Join(memoryDir(t), "store"), Packages: []*engine.Package{{}}, Targets: []*engine.Target{x},
		Dimensions: []*engine.Dimension{day}}, now)
	if engine.HasErrors(problems) {
		t.Fatal(problems)
	}
	s, err := Open(Config{Root: memoryDir(t), Graph: g, Now: now, Version: "test", PathEnv: "/usr/bin:/bin"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Build(context.Background(), everything(t, g), Options{Jobs: 2, KeepGoing: true, Events: &told})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return told, synced.Load(), committed.Load(), err
}

// TestSyncsAreGrouped: while one sync is under way jobs go on, and one more serves all that ended meanwhile; so does one commit.
func TestSyncsAreGrouped(t *testing.T) {
	told, syncs, commits, err := buildGrouped(t, nil)
	if err != nil || told.well != grouped || syncs > 4 || commits > 8 {
		t.Errorf("%v; %d jobs took %d syncs and %d commits", err, told.well, syncs, commits)
	}
}

// TestNothingIsReportedAfterAFailure: when a group of records could not be written, later ones, which build on them, are not written and reported either.
func TestNothingIsReportedAfterAFailure(t *testing.T) {
	told, _, commits, err := buildGrouped(t, syscall.EIO)
	if !errors.Is(err, syscall.EIO) || told.well > 0 || told.failed != grouped || commits > 2 { // the beginning of the build and its end
		t.Errorf("%v; %d jobs were reported as done and %d as failed, in %d commits", err, told.well, told.failed, commits)
	}
}
