package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/dpb-build/dpb/cache/disk"
	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/hcl"
	"github.com/spf13/cobra"
)

func (a *app) fmtCmd() *cobra.Command {
	var check bool
	c := &cobra.Command{Use: "fmt [FILE|DIRECTORY...]", Short: "Bring HCL files into the canonical form",
		Long: `Bring dpb.hcl and pipeline.hcl files into the canonical form and list those that changed; without an argument all below the current directory. With --check nothing is
written, and the exit code tells whether anything would change. The form of a file is no part of any key.` + exits(exitOK, exitUsage) + "\n    1  with --check: a file is not in its form",
		Example: "  dpb fmt\n  dpb fmt --check",
		RunE: func(_ *cobra.Command, args []string) error {
			files, err := a.hclFiles(args)
			if err != nil {
				return err
			}
			changed := 0
			for _, f := range files {
				did, err := a.format(f, check)
				if err != nil {
					return err
				}
				if did {
					changed++
					fmt.Fprintln(a.stdout, ui.Text(f))
				}
			}
			if check && changed > 0 {
				return &exitError{exitFailed, fmt.Errorf("%s to format; run dpb fmt", plural(changed, "file"))}
			}
			return nil
		}}
	c.Flags().BoolVar(&check, "check", false, "write nothing; exit with 1 if a file is not in its form")
	return c
}

func (a *app) format(file string, check bool) (changed bool, err error) {
	src, err := os.ReadFile(file)
	if err != nil {
		return false, usagef("%w", err)
	}
	out, problems := hcl.Format(file, src)
	if engine.HasErrors(problems) {
		return false, a.report(problems, hcl.Sources{file: src})
	}
	if bytes.Equal(src, out) || check {
		return !bytes.Equal(src, out), nil
	}
	info, err := os.Stat(file)
	if err == nil {
		err = disk.WriteFile(file, out)
	}
	if err == nil {
		err = os.Chmod(file, info.Mode().Perm())
	}
	return true, err
}

// hclFiles lists the files that arguments mean; of a directory all below it.
func (a *app) hclFiles(args []string) ([]string, error) {
	start, err := a.start()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = []string{"."}
	}
	var out []string
	for _, arg := range args {
		path := arg
		if !filepath.IsAbs(path) && a.dir != "" {
			path = filepath.Join(start, arg)
		}
		err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return usagef("%w", err)
			case d.IsDir() && p != path && (strings.HasPrefix(d.Name(), ".") || d.Name() == engine.OutputDir || d.Name() == "node_modules"):
				return filepath.SkipDir
			case !d.IsDir() && (p == path || d.Name() == hcl.WorkspaceFile || d.Name() == hcl.PackageFile):
				out = append(out, p)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
