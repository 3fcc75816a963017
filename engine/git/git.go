// Package git runs git on the checkout that a directory lies in.
package git

import (
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// others name a repository in the place of the one that a directory lies in, or parts of it, see git rev-parse --local-env-vars. A hook, which is of another repository
// perhaps, has them set. Those that configure git stay.
var others = []string{"GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_DIR", "GIT_GRAFT_FILE", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_INTERNAL_SUPER_PREFIX",
	"GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_WORK_TREE"}

// Command is git in a directory, in the repository that the directory itself says. It takes no lock of the repository that it could do without.
func Command(ctx context.Context, dir string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-C", dir}, args...)...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains(others, name)
	})
	cmd.Env = append(cmd.Env, "GIT_OPTIONAL_LOCKS=0")
	return cmd
}

// Text is what git answers, without white space around it.
func Text(ctx context.Context, dir string, args ...string) (string, error) {
	out, err := Command(ctx, dir, args...).Output()
	return strings.TrimSpace(string(out)), err
}
