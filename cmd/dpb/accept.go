package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/spf13/cobra"
)

type acceptFlags struct {
	reason, input string
	list, revoke  bool
}

func (a *app) acceptCmd() *cobra.Command {
	var f acceptFlags
	c := &cobra.Command{
		Use:   "accept LABEL[@PARTITION][#VERSION] --reason TEXT",
		Short: "Take for good what rules hold or refuse",
		Long: `Take for good what rules hold or refuse. Name the held version, or with --input the input that a consumer refuses. The acceptance is recorded with who, when
and why, and the next dpb build goes on from there. It covers the same content with the same failing rules: other content, another failing rule or another value is
held anew. --revoke takes it back: current goes back to the version before, and what was derived is named.` +
			exits(exitOK, exitUsage, exitLocked, exitLocal),
		Example: `  dpb accept '//spam:classified@day=2017-06-05#4f1c9a' --reason "a star released a track"
  dpb accept //reports:royalties@month=2017-06 --input earnings --reason "checked by hand"
  dpb accept --list
  dpb accept --revoke //spam:classified@day=2017-06-05 --reason "it was spam after all"`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			if f.list {
				return a.withSession(true, a.listAccepted)
			}
			if len(args) == 0 {
				return usagef("name what to accept, or give --list; see dpb accept --help")
			}
			if strings.TrimSpace(f.reason) == "" {
				return usagef("say why with --reason: it is recorded for those who ask later")
			}
			return a.accept(c.Context(), args[0], f)
		},
	}
	c.Flags().StringVar(&f.reason, "reason", "", "why it is good after all")
	c.Flags().StringVar(&f.input, "input", "", "accept what this input brings, which the target's rules refuse")
	c.Flags().BoolVar(&f.list, "list", false, "list what is accepted in this checkout")
	c.Flags().BoolVar(&f.revoke, "revoke", false, "take an acceptance back")
	a.lockFlag(c)
	a.jsonFlag(c)
	return c
}

func (a *app) accept(ctx context.Context, arg string, f acceptFlags) error {
	return a.withSession(false, func(s *run.Session) error {
		var err error
		switch {
		case f.revoke:
			err = a.revoke(ctx, s, arg, f)
		case f.input != "":
			err = a.acceptInput(ctx, s, arg, f)
		default:
			err = a.acceptVersion(ctx, s, arg, f)
		}
		if errors.Is(err, run.ErrNothingHeld) {
			return usagef("%s", strings.TrimSuffix(err.Error(), ": "+run.ErrNothingHeld.Error()))
		}
		return err
	})
}

func (a *app) acceptVersion(ctx context.Context, s *run.Session, arg string, f acceptFlags) error {
	if !strings.Contains(arg, "#") {
		return a.heldVersions(ctx, s, arg)
	}
	v, err := a.findVersion(s, arg)
	if err != nil {
		return err
	}
	accepted, err := s.AcceptVersion(ctx, v, f.reason)
	if err != nil {
		return err
	}
	return a.printAccepted(accepted)
}

// heldVersions says which version somebody means who did not say: what is accepted has to be named.
func (a *app) heldVersions(ctx context.Context, s *run.Session, arg string) error {
	sel, err := a.selectTarget(s.Graph, arg)
	if err != nil {
		return err
	}
	d, err := s.Status(ctx, []graph.Selected{sel})
	if err != nil {
		return err
	}
	for _, i := range sel.Partitions {
		if id := s.HeldVersion(d, sel.Node, i); !id.IsZero() {
			at := sel.Node.Target.Label.At(sel.Node.Set.Text(i))
			return usagef("name the version that you looked at: dpb accept '%s#%s' --reason \"...\"", at, id.Short())
		}
	}
	return usagef("nothing of %s is held; for what a consumer refuses give --input", arg)
}

func (a *app) acceptInput(ctx context.Context, s *run.Session, arg string, f acceptFlags) error {
	sel, err := a.selectOne(s.Graph, arg)
	if err != nil {
		return err
	}
	d, err := s.Status(ctx, []graph.Selected{sel})
	if err != nil {
		return err
	}
	accepted, err := s.AcceptInput(ctx, d, sel.Node, sel.Partitions[0], f.input, f.reason)
	if err != nil {
		return err
	}
	return a.printAccepted(accepted)
}

func (a *app) printAccepted(x engine.Acceptance) error {
	if a.json {
		return a.printJSON(acceptedJSON(x))
	}
	fmt.Fprintf(a.stdout, "accepted %s\n", acceptedName(x))
	for _, f := range x.Findings {
		fmt.Fprintf(a.stdout, "  %s\n", ui.Text(contract.Text(f)))
	}
	fmt.Fprintln(a.stdout, "the next dpb build goes on from there")
	return nil
}

// acceptance is an acceptance as --json prints it.
type acceptance struct {
	Target    string            `json:"target"`
	Partition string            `json:"partition,omitempty"`
	Input     string            `json:"input,omitempty"`   // of what was refused
	Version   string            `json:"version,omitempty"` // of what was held
	Findings  []engine.Finding  `json:"findings"`
	By        engine.Provenance `json:"by"`
	Time      time.Time         `json:"time"`
	Reason    string            `json:"reason"`
}

func acceptedJSON(x engine.Acceptance) acceptance {
	out := acceptance{x.Label.String(), x.Partition, x.Input, "", x.Findings, x.By, x.Time, x.Reason}
	if !x.Version.IsZero() {
		out.Version = x.Version.String()
	}
	return out
}

// revoked is what was taken back, as --json prints it.
type revoked struct {
	acceptance
	Moved   bool     `json:"moved"`             // current named what had been accepted
	Current string   `json:"current,omitempty"` // the version that it names now
	Derived []string `json:"derived,omitempty"`
}

func revokedJSON(r run.Revoked) revoked {
	out := revoked{acceptance: acceptedJSON(r.Acceptance), Moved: r.Moved, Derived: r.Derived}
	if !r.Current.IsZero() {
		out.Current = r.Current.String()
	}
	return out
}

// acceptedName is what an acceptance is about.
func acceptedName(x engine.Acceptance) string {
	if x.Input != "" {
		return x.Label.At(x.Partition) + ", input " + x.Input
	}
	return x.Label.At(x.Partition) + "#" + x.Version.Short()
}

func (a *app) listAccepted(s *run.Session) error {
	list, err := s.Accepted()
	if err != nil {
		return err
	}
	if a.json {
		out := []acceptance{}
		for _, x := range list {
			out = append(out, acceptedJSON(x))
		}
		return a.printJSON(out)
	}
	for _, x := range list {
		fmt.Fprintf(a.stdout, "%s  by %s on %s: %s\n", acceptedName(x), x.By.User, x.Time.UTC().Format("2006-01-02 15:04 UTC"), ui.Text(x.Reason))
		for _, f := range x.Findings {
			fmt.Fprintf(a.stdout, "  %s\n", ui.Text(contract.Text(f)))
		}
	}
	return nil
}

func (a *app) revoke(ctx context.Context, s *run.Session, arg string, f acceptFlags) error {
	var v engine.Version
	if strings.Contains(arg, "#") {
		var err error
		if v, err = a.findVersion(s, arg); err != nil {
			return err
		}
	} else {
		sel, err := a.selectOne(s.Graph, arg)
		if err != nil {
			return err
		}
		v.Label, v.Partition = sel.Node.Target.Label, sel.Node.Set.Text(sel.Partitions[0])
	}
	list, err := s.Revoke(ctx, v.Label, v.Partition, v.ID, f.input, f.reason)
	if err != nil {
		return err
	}
	if a.json {
		out := []revoked{}
		for _, r := range list {
			out = append(out, revokedJSON(r))
		}
		return a.printJSON(out)
	}
	for _, r := range list {
		a.printRevoked(r)
	}
	return nil
}

func (a *app) printRevoked(r run.Revoked) {
	fmt.Fprintf(a.stdout, "took back the acceptance of %s\n", acceptedName(r.Acceptance))
	switch {
	case !r.Moved:
	case r.Current.IsZero():
		fmt.Fprintln(a.stdout, "  there was no version before it: current names none")
	default:
		fmt.Fprintf(a.stdout, "  current is %s again\n", r.Current.Short())
	}
	for _, d := range r.Derived {
		fmt.Fprintf(a.stdout, "  derived from it: %s\n", d)
	}
	if r.Derived != nil {
		fmt.Fprintln(a.stdout, "  they keep what they have until what they read is mended, or accepted again, and built")
	}
}
