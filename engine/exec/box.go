package exec

import (
	"os"
	"path"
	"path/filepath"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/sandbox"
)

// boxDir is where a job's directory lies in its sandbox.
const boxDir = "/job"

// mounts lists what an isolated job sees beside system directories: programs where they lie, code and inputs to read, and where it may write.
func (j *Job) mounts() []sandbox.Mount {
	out := j.writable()
	for _, file := range j.Programs.shown {
		out = append(out, sandbox.Mount{From: file, At: file})
	}
	for _, dir := range []string{engine.JobWorkspace, engine.JobInputs, toolsDir, binDir} {
		if from := filepath.Join(j.Dir, dir); exists(from) {
			out = append(out, sandbox.Mount{From: from, At: path.Join(boxDir, dir)})
		}
	}
	return append(out, j.large...)
}

// writable lists where an isolated job may write. What is shown in these places comes after them.
func (j *Job) writable() (out []sandbox.Mount) {
	scratch := filepath.Join(j.Dir, tempDir)
	for _, m := range []sandbox.Mount{{From: filepath.Join(j.Dir, engine.JobOutputs), At: path.Join(boxDir, engine.JobOutputs)},
		{From: filepath.Join(j.Dir, path.Dir(engine.JobMetrics)), At: path.Join(boxDir, path.Dir(engine.JobMetrics))},
		{From: scratch, At: path.Join(boxDir, tempDir)}, {From: scratch, At: "/tmp"}, {From: scratch, At: "/var/tmp"}} {
		m.Writable = true
		out = append(out, m)
	}
	return out
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
