package run

import (
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dpb-build/dpb/cache/fault"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
)

// TestSyncsAreGrouped: while one sync is under way jobs go on, and one more serves all that ended meanwhile; so does one commit.
func TestSyncsAreGrouped(t *testing.T) {
	const jobs = 40
	var syncs, commits, ended atomic.Int64
	all := make(chan struct{})
	var once sync.Once
	fault.Set(func(p fault.Point) error {
		switch p {
		case fault.TreeKept:
			if ended.Add(1) == jobs {
				once.Do(func() { close(all) })
			}
		case fault.Syncing:
			if syncs.Add(1) == 1 {
				<-all
			}
		case fault.Recording:
			commits.Add(1)
		}
		return nil
	})
	defer fault.Set(nil)
	now := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	x := &engine.Target{Label: engine.Label{Name: "x"}, Kind: engine.Command, PartitionBy: []string{"day"}, Outputs: []*engine.Output{{Name: "x", Path: "x.txt"}},
		Command: []engine.Text{engine.Literal("sh"), engine.Literal("-c"), engine.Literal(`echo $DPB_PARTITION_DAY > "$DPB_OUTPUT_X"`)}}
	ws := &engine.Workspace{StorePath: filepath.Join(memoryDir(t), "store"), Packages: []*engine.Package{{}}, Targets: []*engine.Target{x},
		Dimensions: []*engine.Dimension{{Name: "day", Unit: engine.Day, Start: "2017-01-01",
			End: time.Date(2017, 1, jobs, 0, 0, 0, 0, time.UTC).Format(time.DateOnly)}}}
	g, problems := graph.New(ws, now)
	if engine.HasErrors(problems) {
		t.Fatal(problems)
	}
	p := &pipeline{root: memoryDir(t)}
	if ran := p.make(t, Config{Root: p.root, Graph: g, Now: now, Version: "test", PathEnv: "/usr/bin:/bin"}, everything(t, g), 2); ran != jobs {
		t.Fatalf("%d jobs ran", ran)
	}
	if s, c := syncs.Load(), commits.Load(); s > 4 || c > 8 {
		t.Errorf("%d jobs took %d syncs and %d commits", jobs, s, c)
	}
}
