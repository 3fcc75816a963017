package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/contract"
	"github.com/dpb-build/dpb/engine/graph"
	"github.com/dpb-build/dpb/engine/plan"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/fatih/color"
	"github.com/spf13/cobra"
)

func (a *app) statusCmd() *cobra.Command {
	var check, all bool
	var partitions []string
	c := &cobra.Command{
		Use:   "status [PATTERN...]",
		Short: "Say in which state targets are, and why",
		Long: `Say in which state targets are, and why: of what is held, refused or blocked, by which rules, and whom to ask. What is promised by its due time and is not
there is overdue, or due soon. Where partitions come from a source's files, what lies between them and is not there is listed too, with --json as state "gap", which
is no state of an action. Changes nothing. With --check the exit code tells the worst state, for CI; without it states don't matter. In a clone without a store pipeline.lock answers: see dpb lock.` +
			exits(exitOK, exitFailed, exitUsage, exitHeld, exitStale, exitLocal),
		Example:           "  dpb status\n  dpb status --check //...\n  dpb status //plays:plays --partition day=2017-06-01..2017-06-07 --json",
		ValidArgsFunction: a.completeLabels,
		RunE: func(c *cobra.Command, args []string) error {
			a.byLock = lockWithoutStore
			return a.withSession(true, func(s *run.Session) error {
				selected, err := a.selectPatterns(s.Graph, args, partitions)
				if err != nil {
					return err
				}
				return a.status(c.Context(), s, selected, check, all)
			})
		},
	}
	c.Flags().BoolVar(&check, "check", false, "exit with the code of the worst state")
	c.Flags().BoolVarP(&all, "all", "a", false, "list every partition, also fresh ones")
	c.Flags().StringArrayVarP(&partitions, "partition", "p", nil, "restrict to partitions: day=2017-06-01..2017-06-07")
	c.Flags().BoolVar(&a.observe, "observe", false, "where pipeline.lock answers, as there is no store: look at sources outside of the repository too")
	a.sandboxFlag(c)
	a.jsonFlag(c)
	return c
}

// partitionStatus is the state of one action.
type partitionStatus struct {
	Target    string `json:"target"`
	Partition string `json:"partition,omitempty"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
	Owner     string `json:"owner,omitempty"`
	Version   string `json:"version,omitempty"` // that current names
	Known     string `json:"known,omitempty"`   // of what is fresh, but not current: the version that a build makes current, without a job
	Drift     string `json:"drift,omitempty"`   // of what is frozen: the state that it would have if it were not
	Evicted   bool   `json:"evicted,omitempty"` // the store no longer has its bytes; build makes them again when somebody needs them, unless it is frozen

	Due     time.Time `json:"due,omitzero"`       // when it is promised
	Overdue bool      `json:"overdue,omitempty"`  // it should be there, and never was
	DueSoon bool      `json:"due_soon,omitempty"` // it is not there, and has to be before long

	Cause    string           `json:"cause,omitempty"`        // where a state that comes from upstream begins
	Findings []engine.Finding `json:"findings,omitempty"`     // the rules that fail, of what is held or refused, here or at the cause
	Held     string           `json:"held_version,omitempty"` // the version that they hold, likewise
	Input    string           `json:"input,omitempty"`        // the input that they refuse, likewise
	Producer string           `json:"producer,omitempty"`     // where that comes from

	ProducerOwner string `json:"producer_owner,omitempty"`

	timeliness string // where it stands with its promise, for people
}

func (a *app) status(ctx context.Context, s *run.Session, selected []graph.Selected, check, all bool) error {
	d, err := s.Status(ctx, selected)
	if err != nil {
		return err
	}
	code := exitOfStates(s.Graph, d, selected)
	promises := s.Promises(d)
	list := []partitionStatus{}
	for _, sel := range selected {
		if lack := sel.Node.Set.Lack(); lack != "" {
			list = append(list, partitionStatus{Target: sel.Node.Target.Label.String(), State: engine.MissingState.String(), Owner: sel.Node.Target.Owner, Reason: lack})
		}
		if !a.json {
			if err := a.printStates(ctx, s, d, promises, sel, all); err != nil {
				return err
			}
			continue
		}
		for _, i := range sel.Partitions {
			st, err := statusOf(ctx, s, d, sel.Node, i)
			if err == nil {
				err = st.promise(promises, s.Now, sel.Node, i)
			}
			if err != nil {
				return err
			}
			list = append(list, st)
		}
		for _, g := range gapsOf(sel) {
			list = append(list, partitionStatus{Target: sel.Node.Target.Label.String(), Partition: g.String(), State: "gap", Owner: sel.Node.Target.Owner,
				Reason: fmt.Sprintf("%s has no files of it", s.Graph.Dimension(g.Dimension).FromSource)})
		}
	}
	if a.json {
		if err := a.printJSON(list); err != nil {
			return err
		}
	}
	if check && code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

// gapsOf lists where the time between the selected partitions has none.
func gapsOf(sel graph.Selected) []graph.Gap {
	if len(sel.Partitions) == 0 {
		return nil
	}
	return sel.Node.Set.Gaps(sel.Partitions[0], sel.Partitions[len(sel.Partitions)-1])
}

// exitOfStates is the code that the states of actions stand for together.
func exitOfStates(g *graph.Graph, d *plan.Decider, selected []graph.Selected) int {
	code := exitOK
	for _, sel := range selected {
		if sel.Node.Set.Lack() != "" {
			code = worst(code, exitOfState(engine.MissingState, 0))
		}
		for _, i := range sel.Partitions {
			code = worst(code, exitOfState(d.State(sel.Node, i), rootState(g, d, sel.Node, i)))
		}
	}
	return code
}

// rootState is the state at which that of an action begins.
func rootState(g *graph.Graph, d *plan.Decider, n *graph.Node, i int) engine.State {
	if d.State(n, i) != engine.Blocked {
		return 0
	}
	from, j := g.Action(d.Cause(n, i))
	return d.State(from, j)
}

func statusOf(ctx context.Context, s *run.Session, d *plan.Decider, n *graph.Node, i int) (st partitionStatus, err error) {
	st = partitionStatus{Target: n.Target.Label.String(), Partition: n.Set.Text(i), State: d.State(n, i).String(), Owner: n.Target.Owner}
	if v := s.Current(n, i); !v.IsZero() {
		st.Version = v.String()
	}
	if v := s.Known(d, n, i); !v.IsZero() {
		st.Known = v.String()
	}
	st.Evicted = evicted(ctx, s, d, n, i)
	if drift := d.Drift(n, i); drift != 0 {
		st.Drift = drift.String()
	}
	if st.Reason, err = s.Brief(d, n, i); err != nil {
		return st, err
	}
	from, j := s.Graph.Action(d.Cause(n, i))
	switch d.State(n, i) {
	case engine.Frozen:
		if st.Evicted {
			st.Reason = strings.TrimSuffix(run.Lost+"; "+st.Reason, "; ")
		}
	case engine.Held, engine.Refused:
		st.Reason = st.ruled(s, d, n, i, contract.Texts)
	case engine.Blocked, engine.Undecided, engine.MissingState:
		if from != n || j != i {
			st.Cause = from.Target.Label.At(from.Set.Text(j))
		}
		switch d.State(from, j) {
		case engine.Held:
			st.Reason = st.Cause + " is held by " + st.ruled(s, d, from, j, ruleNames)
		case engine.Refused:
			st.Reason = st.Cause + " refuses " + st.ruled(s, d, from, j, ruleNames)
		}
	}
	st.Reason = ui.Line(st.Reason)
	return st, nil
}

// evicted says of what counts that the store no longer has its bytes.
func evicted(ctx context.Context, s *run.Session, d *plan.Decider, n *graph.Node, i int) bool {
	state := d.State(n, i)
	return !s.FromLock && (state == engine.Fresh || state == engine.Frozen) && n.Target.Kind != engine.Source && !s.Present(ctx, d, n, i)
}

// promise notes where a partition stands with its promise on time.
func (st *partitionStatus) promise(promises *run.Promises, now time.Time, n *graph.Node, i int) error {
	p, err := promises.Of(n, i)
	st.Due, st.Overdue, st.DueSoon = p.Due, p.Overdue(), p.Soon
	switch {
	case p.Overdue():
		st.timeliness = fmt.Sprintf("%s by %s (was due %s)", color.RedString("overdue"), ui.Delay(p.Late), engine.ShowInstant(p.Due))
	case p.Soon:
		st.timeliness = fmt.Sprintf("%s in %s", color.YellowString("due"), ui.Delay(p.Due.Sub(now)))
	}
	return err
}

// ruled notes what rules hold an action, or refuse what an input brings, and says it, with who can act.
func (st *partitionStatus) ruled(s *run.Session, d *plan.Decider, n *graph.Node, i int, words func([]engine.Finding) string) string {
	p, _ := d.Pending(n.Base + graph.ActionID(i))
	st.Findings = p.Failing
	text, ask := words(p.Failing), s.Graph.Workspace.OwnerText(n.Target.Owner)
	if id := s.HeldVersion(d, n, i); !id.IsZero() {
		st.Held = id.String()
	}
	if p.Input != nil {
		st.Input = p.Input.Name
		text = "input " + st.Input + ": " + text
		k := slices.Index(n.Target.Inputs, p.Input)
		from := n.Edges[k].From.Target // rules are on what another target makes
		st.Producer, st.ProducerOwner = from.Label.String(), s.Graph.Workspace.OwnerText(from.Owner)
		text += "; it comes from " + st.Producer
		switch {
		case ask == "":
			ask = st.ProducerOwner
		case st.ProducerOwner != "" && st.ProducerOwner != ask:
			ask += " or " + st.ProducerOwner
		}
	}
	if ask != "" {
		text += "; ask " + ask
	}
	return text
}

// ruleNames lists the rules of some findings.
func ruleNames(findings []engine.Finding) string {
	var names []string
	for _, f := range findings {
		if !slices.Contains(names, f.Rule) {
			names = append(names, f.Rule)
		}
	}
	return strings.Join(names, ", ")
}

// maxListed is how many partitions of one target are listed unless all are asked for.
const maxListed = 10

func (a *app) printStates(ctx context.Context, s *run.Session, d *plan.Decider, promises *run.Promises, sel graph.Selected, all bool) error {
	n := sel.Node
	single := len(n.Target.PartitionBy) == 0
	if !single {
		late, err := countPromises(promises, sel)
		if err != nil {
			return err
		}
		gaps := ""
		if g := gapsOf(sel); g != nil {
			gaps = "; " + graph.GapWords(g)
		}
		fmt.Fprintf(a.stdout, "%s  %s%s%s\n", n.Target.Label, countStates(s, d, sel), late, gaps)
	}
	listed, left := 0, 0
	for _, i := range sel.Partitions {
		state := d.State(n, i)
		switch settled := state == engine.Fresh && s.Known(d, n, i).IsZero() || state == engine.Frozen && !drifted(d, n, i) && !evicted(ctx, s, d, n, i); {
		case settled && !all && !single:
			continue
		case listed == maxListed && !all:
			left++
			continue
		}
		listed++
		st, err := statusOf(ctx, s, d, n, i)
		if err == nil {
			err = st.promise(promises, s.Now, n, i)
		}
		if err != nil {
			return err
		}
		name := "  " + st.Partition
		if single {
			name = st.Target
		}
		fmt.Fprintln(a.stdout, stateLine(name, st))
	}
	if left > 0 {
		fmt.Fprintf(a.stdout, "  … and %d more; --all lists them\n", left)
	}
	return nil
}

func stateLine(name string, st partitionStatus) string {
	line := name + "  " + paint(st.State)
	if st.Known != "" {
		line += ", not current"
	}
	if st.Evicted {
		line += ", evicted"
	}
	if st.timeliness != "" {
		line += ", " + st.timeliness
	}
	if st.Reason != "" {
		line += ": " + st.Reason
	}
	return line
}

// countPromises says ", 2 overdue, 1 due soon".
func countPromises(promises *run.Promises, sel graph.Selected) (text string, err error) {
	overdue, soon := 0, 0
	for _, i := range sel.Partitions {
		p, err := promises.Of(sel.Node, i)
		if err != nil {
			return "", err
		}
		if p.Overdue() {
			overdue++
		}
		if p.Soon {
			soon++
		}
	}
	if overdue > 0 {
		text = fmt.Sprintf(", %d %s", overdue, color.RedString("overdue"))
	}
	if soon > 0 {
		text += fmt.Sprintf(", %d %s", soon, color.YellowString("due soon"))
	}
	return text, nil
}

// countStates says "12 fresh, 2 stale", with how many of those that are not fresh keep a version of before, and of what is frozen how much would be another now.
func countStates(s *run.Session, d *plan.Decider, sel graph.Selected) string {
	counts, older, drift, known := map[engine.State]int{}, map[engine.State]int{}, 0, 0
	for _, i := range sel.Partitions {
		state := d.State(sel.Node, i)
		counts[state]++
		if isJob := sel.Node.Target.Kind != engine.Source; isJob && !s.Current(sel.Node, i).IsZero() {
			older[state]++
		}
		if drifted(d, sel.Node, i) {
			drift++
		}
		if !s.Known(d, sel.Node, i).IsZero() {
			known++
		}
	}
	var out []string
	for _, state := range engine.States() {
		n := counts[state]
		if n == 0 {
			continue
		}
		text := fmt.Sprintf("%d %s", n, paint(state.String()))
		switch {
		case state == engine.Frozen && drift > 0:
			text += fmt.Sprintf(" (%d would differ now)", drift)
		case state == engine.Fresh && known > 0:
			text += fmt.Sprintf(" (%d not current: the result is known, and a build puts it back)", known)
		case state != engine.Frozen && state != engine.Fresh && older[state] > 0:
			text += fmt.Sprintf(" (%d on an older version)", older[state])
		}
		out = append(out, text)
	}
	if lack := sel.Node.Set.Lack(); lack != "" {
		return paint(engine.MissingState.String()) + ": " + lack
	}
	if out == nil {
		return "no partitions"
	}
	return strings.Join(out, ", ")
}

// drifted says whether a frozen action would be another version now.
func drifted(d *plan.Decider, n *graph.Node, i int) bool { return d.Drift(n, i) == engine.Stale }

func paint(state string) string {
	switch state {
	case "fresh", "frozen":
		return color.GreenString(state)
	case "failed", "held", "refused", "missing":
		return color.RedString(state)
	}
	return color.YellowString(state)
}
