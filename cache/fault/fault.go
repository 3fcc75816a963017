// Package fault names the points of the protocol by which bytes and records are written, at which tests make an operation fail or the process die.
package fault

// Point is one of Points.
type Point string

// Between any two of these a process may die, and each but those that say "after" may fail, without loss of what was reported before.
const (
	FormatWritten   Point = "format written"   // of a new store, before the file has its name
	BlobWritten     Point = "blob written"     // before it has its name
	BlobKept        Point = "blob kept"        // after
	TreeWritten     Point = "tree written"     // before it has its name
	TreeKept        Point = "tree kept"        // after
	Syncing         Point = "syncing"          // before one call that makes files durable: of all, or elsewhere than on Linux of one
	Synced          Point = "synced"           // after all that was put is durable
	Withdrawn       Point = "withdrawn"        // dpb-out doesn't show what is no more, and the pointer is still there
	LedgerMade      Point = "ledger made"      // the tables, before they are committed
	Recording       Point = "recording"        // records, before they are committed
	Recorded        Point = "recorded"         // after
	FolderMade      Point = "folder made"      // for dpb-out, before it takes its place
	FolderExchanged Point = "folder exchanged" // what other targets show below the old one is not in the new one yet
	Shown           Point = "shown"            // in dpb-out, before that is reported
	StateWritten    Point = "state written"    // files or view, before the file has its name
	StateReplaced   Point = "state replaced"   // after
	BlobRead        Point = "blob read"        // before each piece of it
)

// Points lists all.
var Points = []Point{FormatWritten, BlobWritten, BlobKept, TreeWritten, TreeKept, Syncing, Synced, Withdrawn, LedgerMade, Recording, Recorded,
	FolderMade, FolderExchanged, Shown, StateWritten, StateReplaced, BlobRead}

var hook func(Point) error

// Set has f asked at each point; nil asks nobody. Only tests call it, before anything else runs: cmd/dpb/arch_test.go holds that.
func Set(f func(Point) error) { hook = f }

// At is nil, unless a test wants the operation at the point to fail.
func At(p Point) error {
	if hook == nil {
		return nil
	}
	return hook(p)
}
