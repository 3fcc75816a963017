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

// mounts lists what an isolated job sees beside system directories: its directory, in which it may write but for code, inputs, programs and its log; scratch; and programs
// where they lie. What is shown inside of another folder comes after that.
func (j *Job) mounts() []sandbox.Mount {
	scratch := filepath.Join(j.Dir, tempDir)
	out := []sandbox.Mount{{From: j.Dir, At: boxDir, Writable: true}, {From: scratch, At: "/tmp", Writable: true}, {From: scratch, At: "/var/tmp", Writable: true}}
	for _, file := range j.Programs.shown {
		out = append(out, sandbox.Mount{From: file, At: file})
	}
	for _, dir := range []string{engine.JobWorkspace, engine.JobInputs, toolsDir, binDir} {
		if from := filepath.Join(j.Dir, dir); exists(from) {
			out = append(out, sandbox.Mount{From: from, At: path.Join(boxDir, dir)})
		}
	}
	out = append(out, sandbox.Mount{From: os.DevNull, At: path.Join(boxDir, logFile)}) // it has the log open, and can't put something else in its place
	return append(out, j.large...)
}

func exists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}
