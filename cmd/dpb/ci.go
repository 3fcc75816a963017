package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/lock"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

// The forms in which dpb ci reports.
const (
	formAuto     = "auto"
	formMarkdown = "markdown"
	formGitHub   = "github"
)

type ciFlags struct {
	against, format string
	noFail          bool
	partitions      []string
}

func (a *app) ciCmd() *cobra.Command {
	var f ciFlags
	c := &cobra.Command{
		Use:   "ci [PATTERN...]",
		Short: "Report on a pull request: what is stale or held, whom it concerns, what it costs",
		Long: `Report on a pull request, in Markdown: what is stale, why and what waits for it; what rules hold or refuse, and how it is accepted; what differs from the revision that
it is to be merged into, whose that is, and what recomputing costs; and by pipeline.lock how the data differs. Changes nothing. In a clone without a store pipeline.lock answers: see dpb lock.

The revision is what --against says; else the merge base with $GITHUB_BASE_REF, $CI_MERGE_REQUEST_DIFF_BASE_SHA, or the merge base with the default branch of origin. In a workflow
of GitHub the report goes to the summary of the step, and annotations of lines to stdout; elsewhere the report goes to stdout, and the same remarks to stderr.

The exit code is that of dpb status --check, also where no such revision can be found: the report then says so. One of --against that there is not is a mistake.` + exits(exitOK, exitFailed, exitUsage, exitHeld, exitStale, exitLocal),
		Example:           "  dpb ci\n  dpb ci //reports/... --against origin/main > comment.md\n  dpb ci --no-fail --json",
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			form, err := ciForm(f.format)
			if err != nil {
				return err
			}
			return a.ci(c.Context(), args, f, ciWriter{a, form})
		},
	}
	c.Flags().StringVar(&f.against, "against", "", "compare with this git revision")
	c.Flags().StringVar(&f.format, "format", formAuto, "what to write: auto, markdown, or github (annotations on stdout, and Markdown in the summary of the step)")
	c.Flags().BoolVar(&f.noFail, "no-fail", false, "only report: exit with 0 also if partitions are stale, held or failed")
	c.Flags().StringArrayVarP(&f.partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	c.Flags().BoolVar(&a.observe, "observe", false, "where pipeline.lock answers, as there is no store: look at sources outside of the repository too")
	_ = c.RegisterFlagCompletionFunc("format", cobra.FixedCompletions([]string{formAuto, formMarkdown, formGitHub}, cobra.ShellCompDirectiveNoFileComp))
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

func ciForm(format string) (string, error) {
	switch format {
	case formMarkdown, formGitHub:
		return format, nil
	case formAuto:
		if os.Getenv("GITHUB_ACTIONS") == "true" {
			return formGitHub, nil
		}
		return formMarkdown, nil
	}
	return "", usagef("--format is auto, markdown or github, not %q", format)
}

func (a *app) ci(ctx context.Context, args []string, f ciFlags, w ciWriter) error {
	g, problems, err := a.resolve()
	if err != nil {
		return err
	}
	prefix := a.inRepository(ctx)
	if engine.HasErrors(problems) {
		return errors.Join(a.report(problems, a.sources), w.broken(problems, prefix))
	}
	a.byLock = lockWithoutStore
	return a.inSession(g, true, func(s *run.Session) error {
		selected, err := a.selectPatterns(s.Graph, args, f.partitions)
		if err != nil {
			return err
		}
		r := &ui.Report{Lenient: f.noFail, Prefix: prefix}
		code, err := a.examine(ctx, s, selected, r)
		if err != nil {
			return err
		}
		if err := a.compareWithBase(ctx, s, selected, len(args)+len(f.partitions) == 0, f, r); err != nil {
			return err
		}
		if err := w.report(r, problems); err != nil || code == exitOK || f.noFail {
			return err
		}
		return &exitError{code: code}
	})
}

// examine finds out in which states partitions are, and what it takes to bring them to fresh.
func (a *app) examine(ctx context.Context, s *run.Session, selected []graph.Selected, r *ui.Report) (code int, err error) {
	o, err := s.Outlook(ctx, selected, run.Options{})
	if err != nil {
		return 0, err
	}
	if r.Review, err = o.Review(selected); err != nil {
		return 0, err
	}
	if r.Forecast, err = o.Forecast(ctx, 0); err != nil {
		return 0, err
	}
	code = exitOfStates(s.Graph, o.Decider, selected)
	r.Converged, r.ByLock, r.Notes = code == exitOK, s.FromLock, []string{}
	switch {
	case s.FromLock:
		r.Notes = append(r.Notes, "nothing was built here: answered from "+lock.FileName)
		if text := a.view.news(); text != "" {
			r.Notes = append(r.Notes, text)
		}
		for _, text := range s.TakenFromLock() {
			r.Notes = append(r.Notes, "taken from "+lock.FileName+": "+text)
		}
	case s.Ledger == nil:
		r.Notes = append(r.Notes, "there is neither a store nor a "+lock.FileName+" here: nothing is known to be built. Call dpb lock where it is, and commit what that writes")
	}
	return code, nil
}

// compareWithBase tells what differs from the revision that this is to be merged into.
func (a *app) compareWithBase(ctx context.Context, s *run.Session, selected []graph.Selected, whole bool, f ciFlags, r *ui.Report) (err error) {
	b, err := a.baseOf(ctx, f.against)
	if err != nil && f.against == "" { // nobody asked for this one: the rest is reported all the same
		b, err = base{none: "compared with no revision: " + err.Error()}, nil
	}
	if err != nil {
		return err
	}
	if b.revision == "" {
		r.Notes = append(r.Notes, b.none)
		return nil
	}
	json := a.json
	a.json = false // what is wrong with the files of the revision is no result
	past, done, err := a.past(ctx, b.revision, s.Graph.Workspace)
	a.json = json
	if err != nil && (codeOf(err) == exitUsage || f.against == "") {
		r.Notes = append(r.Notes, err.Error())
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	past.Revision = b.name
	if r.Against, err = s.Against(ctx, past, selected, whole, 0); err != nil {
		return err
	}
	var unreadable error
	r.Data, unreadable = s.DataSince(past, selected)
	switch {
	case unreadable != nil:
		r.Notes = append(r.Notes, "how the data differs is unknown: "+b.name+": "+unreadable.Error())
	case r.Data == nil:
		r.Notes = append(r.Notes, "how the data differs from "+b.name+" is unknown: there is no "+lock.FileName+" in it, or here")
	}
	return nil
}

// inRepository is where the workspace lies in its repository, with a slash at the end; "" at its root, and outside of any.
func (a *app) inRepository(ctx context.Context) string {
	prefix, err := checkout{a.root, "dpb ci"}.text(ctx, "rev-parse", "--show-prefix")
	if err != nil {
		return ""
	}
	return filepath.ToSlash(prefix)
}

// ciWriter writes what dpb ci found where it is read.
type ciWriter struct {
	a    *app
	form string
}

func (w ciWriter) report(r *ui.Report, problems []engine.Problem) error {
	notes := append(r.Annotations(), ui.ProblemAnnotations(problems, r.Prefix)...)
	if w.a.json {
		return w.a.printJSON(r)
	}
	fmt.Fprintln(w.a.stderr, r.Verdict())
	var page bytes.Buffer
	ui.Markdown(&page, r)
	return w.write(page.Bytes(), notes)
}

// broken writes what is wrong with the workspace's files, which people were told on stderr.
func (w ciWriter) broken(problems []engine.Problem, prefix string) error {
	if w.a.json {
		return nil // it was written
	}
	var page bytes.Buffer
	ui.BrokenMarkdown(&page, problems, prefix)
	if w.form == formGitHub {
		return w.write(page.Bytes(), ui.ProblemAnnotations(problems, prefix))
	}
	return w.write(page.Bytes(), nil)
}

func (w ciWriter) write(page []byte, notes []ui.Annotation) error {
	if w.form == formMarkdown {
		ui.Annotated(w.a.stderr, notes)
		_, err := w.a.stdout.Write(page)
		return err
	}
	ui.GitHubAnnotations(w.a.stdout, notes)
	summary := os.Getenv("GITHUB_STEP_SUMMARY")
	if summary == "" {
		_, err := w.a.stdout.Write(page)
		return err
	}
	file, err := os.OpenFile(summary, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return fmt.Errorf("the summary of the step can't be written: %w", err)
	}
	_, err = file.Write(page)
	return errors.Join(err, file.Close())
}
