package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/git"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/dpb-build/dpb/engine/source"
	"github.com/dpb-build/dpb/hcl"
)

// checkout is the workspace as git knows it. flag names what asked for it, in messages.
type checkout struct{ root, flag string }

// git runs git in the workspace's root. Nothing that it does here writes to the repository.
func (c checkout) git(ctx context.Context, stdin []byte, env []string, args ...string) ([]byte, error) {
	cmd := git.Command(ctx, c.root, args...)
	cmd.Stdin = bytes.NewReader(stdin)
	cmd.Env = append(cmd.Env, env...)
	out, err := cmd.Output()
	exit := (*exec.ExitError)(nil)
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, usagef("%s needs git, which is not installed", c.flag)
	case errors.As(err, &exit):
		text, _, _ := strings.Cut(strings.TrimSpace(string(exit.Stderr)), "\n")
		return nil, errors.New(strings.TrimPrefix(text, "fatal: "))
	}
	return out, err
}

// text is the one line that git answers.
func (c checkout) text(ctx context.Context, args ...string) (string, error) {
	out, err := c.git(ctx, nil, nil, args...)
	return strings.TrimSuffix(string(out), "\n"), err
}

// commit finds the commit that people call revision.
func (c checkout) commit(ctx context.Context, revision string) (string, error) {
	if _, err := c.text(ctx, "rev-parse", "--git-dir"); err != nil {
		if codeOf(err) == exitUsage {
			return "", err
		}
		return "", usagef("%s needs a git checkout, and %s is in none", c.flag, c.root)
	}
	commit, err := c.text(ctx, "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return "", usagef("%s %s: there is no such revision (git says: %w)", c.flag, revision, err)
	}
	return commit, nil
}

// changedSince lists files that differ from a revision, also new ones, by path from the workspace's root.
func (c checkout) changedSince(ctx context.Context, revision string) ([]string, error) {
	commit, err := c.commit(ctx, revision)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, args := range [][]string{
		{"diff", "--name-only", "--relative", "--no-renames", "-z", commit, "--"},
		{"ls-files", "--others", "--exclude-standard", "-z"},
	} {
		b, err := c.git(ctx, nil, nil, args...)
		if err != nil {
			return nil, usagef("%s %s: git says: %w", c.flag, revision, err)
		}
		for f := range strings.SplitSeq(strings.TrimRight(string(b), "\x00"), "\x00") {
			if f != "" {
				out = append(out, f)
			}
		}
	}
	return out, nil
}

// extract writes the workspace's files as they are in a commit to a directory, through an index of its own, and returns where its root lies there. Files are as a
// checkout would have them, but for large ones that git keeps elsewhere (LFS): of those it is the pointers.
func (c checkout) extract(ctx context.Context, commit, dir string) (string, error) {
	prefix, err := c.text(ctx, "rev-parse", "--show-prefix")
	if err != nil {
		return "", err
	}
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index"), "GIT_LFS_SKIP_SMUDGE=1"}
	if _, err := c.git(ctx, nil, env, "read-tree", commit); err != nil {
		return "", err
	}
	files, err := c.git(ctx, nil, env, "ls-files", "-z")
	if err != nil {
		return "", err
	}
	tree := filepath.Join(dir, "tree")
	root := filepath.Join(tree, filepath.FromSlash(prefix))
	if err := os.MkdirAll(root, 0o777); err != nil {
		return "", err
	}
	_, err = c.git(ctx, files, env, "checkout-index", "--quiet", "-z", "--stdin", "--prefix="+tree+"/")
	return root, err
}

// overlay adds to an extracted workspace at root, below tree, links to what git ignores in the working tree: that is the same in both.
func (c checkout) overlay(ctx context.Context, tree, root string) error {
	out, err := c.git(ctx, nil, nil, "ls-files", "--others", "--ignored", "--exclude-standard", "--directory", "-z")
	if err != nil {
		return err
	}
	in, err := os.OpenRoot(tree) // a link of the revision's must not lead out of it
	if err != nil {
		return err
	}
	defer in.Close()
	below, err := filepath.Rel(tree, root)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name = filepath.FromSlash(strings.TrimSuffix(name, "/")); name != "" && filepath.IsLocal(name) {
			lay(in, filepath.Join(below, name), filepath.Join(c.root, name))
		}
	}
	return nil
}

// lay links a file or folder at a place where there is nothing; into a folder that is there goes what it lacks. What the revision has of its own stays.
func lay(in *os.Root, at, file string) {
	if info, err := in.Lstat(at); err == nil && info.IsDir() {
		entries, _ := os.ReadDir(file) // what can't be read is told where it is read
		for _, e := range entries {
			lay(in, filepath.Join(at, e.Name()), filepath.Join(file, e.Name()))
		}
		return
	}
	if in.MkdirAll(filepath.Dir(at), 0o777) == nil {
		_ = in.Symlink(file, at) // fails where the revision has a file or a link, which stays
	}
}

// base is the revision that a pull request is to be merged into. Without one, none says why.
type base struct{ name, revision, none string }

// baseOf finds it: as asked for, else as the variables of GitHub and GitLab say, else by the default branch of origin.
func (a *app) baseOf(ctx context.Context, asked string) (base, error) {
	c := checkout{a.root, "dpb ci"}
	if asked != "" {
		c.flag = "--against"
		_, err := c.commit(ctx, asked)
		return base{name: asked, revision: asked}, err
	}
	if branch := os.Getenv("GITHUB_BASE_REF"); branch != "" {
		return c.forkOf(ctx, "origin/"+branch, "GITHUB_BASE_REF: fetch it, as with fetch-depth: 0 of actions/checkout")
	}
	if sha := os.Getenv("CI_MERGE_REQUEST_DIFF_BASE_SHA"); sha != "" {
		if _, err := c.commit(ctx, sha); err != nil {
			return base{}, usagef("%w; it is CI_MERGE_REQUEST_DIFF_BASE_SHA: fetch it, as with GIT_DEPTH: 0", err)
		}
		return base{name: "the target branch", revision: sha}, nil
	}
	ref, err := c.text(ctx, "symbolic-ref", "--quiet", "--short", "refs/remotes/origin/HEAD")
	if err != nil || ref == "" {
		return base{none: "compared with no revision: --against names one"}, nil
	}
	return c.forkOf(ctx, ref, "the default branch of origin")
}

// forkOf is where the working tree's branch left another one.
func (c checkout) forkOf(ctx context.Context, branch, source string) (base, error) {
	tip, err := c.commit(ctx, branch)
	if err != nil {
		return base{}, usagef("%w; it is %s", err, source)
	}
	fork, err := c.text(ctx, "merge-base", tip, "HEAD")
	if err != nil || fork == "" {
		return base{}, usagef("%s and HEAD have no commit in common in this clone; it is %s", branch, source)
	}
	return base{name: branch, revision: fork}, nil
}

// past loads the workspace as it was in a revision; done removes what that took. All its problems are told, and are errors of the command.
func (a *app) past(ctx context.Context, revision string, now *engine.Workspace) (p run.Past, done func() error, err error) {
	c := checkout{a.root, "--against"}
	p.Revision = revision
	if p.Commit, err = c.commit(ctx, revision); err != nil {
		return p, nil, err
	}
	if p.Changed, err = c.changedSince(ctx, revision); err != nil {
		return p, nil, err
	}
	dir, err := os.MkdirTemp("", "dpb-against-")
	if err != nil {
		return p, nil, err
	}
	done = func() error { return os.RemoveAll(dir) }
	if p.Root, err = c.extract(ctx, p.Commit, dir); err == nil {
		err = c.overlay(ctx, filepath.Join(dir, "tree"), p.Root)
	}
	if err == nil {
		p.Graph, err = a.loadPast(revision, p.Root, now)
	} else {
		err = fmt.Errorf("--against %s: %w", revision, err)
	}
	if err != nil {
		return p, nil, errors.Join(err, done())
	}
	return p, done, nil
}

// loadPast loads a workspace of a revision. In messages its files are called as git calls them: main:plays/pipeline.hcl. Files that git does not know are the same as now,
// and so are the partitions that they name.
func (a *app) loadPast(revision, root string, now *engine.Workspace) (*graph.Graph, error) {
	ws, sources, problems := hcl.Load(root, hcl.Options{Version: version})
	var g *graph.Graph
	if !engine.HasErrors(problems) {
		if err := source.List(root, ws, a.now); err != nil {
			return nil, fmt.Errorf("%s: %w", revision, err)
		}
		takeListed(ws, now)
		until := a.now
		if a.view != nil {
			until = a.view.until
		}
		g, problems = graph.New(ws, until)
	}
	if !engine.HasErrors(problems) {
		return g, nil
	}
	named := hcl.Sources{}
	for name, text := range sources {
		named[revision+":"+name] = text
	}
	for k := range problems {
		for _, r := range []*engine.Range{&problems[k].Range, &problems[k].Context} {
			if r.File != "" {
				r.File = revision + ":" + r.File
			}
		}
	}
	if err := a.report(problems, named); err != nil {
		return nil, &exitError{exitUsage, fmt.Errorf("the files of %s can't be compared with: %w", revision, err)}
	}
	return g, nil
}

// takeListed gives dimensions for whose source a workspace has no files the values that another one found.
func takeListed(ws, other *engine.Workspace) {
	for _, d := range ws.Dimensions {
		k := slices.IndexFunc(other.Dimensions, func(o *engine.Dimension) bool { return o.Name == d.Name && o.FromSource == d.FromSource })
		if k >= 0 && !d.FromSource.IsZero() && len(d.Values) == 0 {
			d.Values = other.Dimensions[k].Values
		}
	}
}
