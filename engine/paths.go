package engine

import (
	"path"
	"strings"
)

// OutputDir is the folder below the root that shows what is current.
const OutputDir = "dpb-out"

// A job's directory holds ws (its package's folder, at its path from the workspace root, with code beside it), in and out. The job starts in its package's
// folder, and the paths that it is given are relative to that, so that no result can depend on where the directory lies.
const (
	JobWorkspace = "ws"
	JobInputs    = "in"
	JobOutputs   = "out"
	JobMetrics   = "metrics/metrics.json" // what $DPB_METRICS names, beside the three
)

// JobPath writes a slash-separated path in the job's directory as the job sees it from the folder of package pkg.
func JobPath(pkg string, parts ...string) string {
	up := "../"
	if pkg != "" {
		up += strings.Repeat("../", 1+strings.Count(pkg, "/"))
	}
	return up + path.Join(parts...)
}

// IsGlob says whether a path has wildcards.
func IsGlob(path string) bool { return strings.ContainsAny(path, "*?[{") }

// FormatOf reads format and compression from a path's ending.
func FormatOf(name string) (Format, string) {
	compression := ""
	for ending, c := range map[string]string{".gz": "gzip", ".zst": "zstd"} {
		if stem, ok := strings.CutSuffix(name, ending); ok {
			name, compression = stem, c
		}
	}
	switch path.Ext(name) {
	case ".csv":
		return CSV, compression
	case ".ndjson", ".jsonl":
		return NDJSON, compression
	case ".parquet":
		if compression == "" {
			return Parquet, ""
		}
	}
	return Opaque, ""
}

// LockFile is the name of the file beside a pipeline.hcl that holds what was accepted. Wildcards of sources, inputs and code don't match it.
const LockFile = "pipeline.lock"
