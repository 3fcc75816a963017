package main

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/hcl"
	"github.com/spf13/cobra"
)

// The template is a workspace that builds as it stands, also without DuckDB's help: it is what a new user reads first.
//
//go:embed template
var template embed.FS

func (a *app) initCmd() *cobra.Command {
	return &cobra.Command{Use: "init [DIRECTORY]", Short: "Write a first workspace that builds",
		Long: `Write dpb.hcl, pipeline.hcl, a query and a few lines of data: a first workspace that builds, to change into your own. Overwrites nothing.` +
			exits(exitOK, exitUsage, exitLocal),
		Example: "  dpb init\n  dpb build", Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir, err := a.start()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				dir = a.fromStart(dir, args[0])
			}
			return a.init(dir)
		}}
}

func (a *app) init(dir string) error {
	for _, name := range []string{hcl.WorkspaceFile, hcl.PackageFile} {
		if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
			return usagef("%s is there already: this is a workspace", filepath.Join(dir, name))
		}
	}
	files, err := fs.Sub(template, "template")
	if err != nil {
		return err
	}
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		source := name
		if name == "gitignore" { // as .gitignore it would hold for the template itself
			name = ".gitignore"
		}
		to := filepath.Join(dir, filepath.FromSlash(name))
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return os.MkdirAll(to, 0o777)
		}
		b, err := fs.ReadFile(files, source)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
		if errors.Is(err, fs.ErrExist) {
			advice := ""
			if name == ".gitignore" {
				advice = "; add /.dpb/ and /dpb-out/ to it"
			}
			fmt.Fprintf(a.stderr, "kept %s, which is there already%s\n", shortPath(to), advice)
			return nil
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(a.stdout, "wrote %s\n", shortPath(to))
		_, err = f.Write(b)
		return errors.Join(err, f.Close())
	})
}
