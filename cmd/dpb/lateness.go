package main

import (
	"fmt"
	"strings"

	"github.com/dpb-build/dpb/cmd/dpb/internal/ui"
	"github.com/dpb-build/dpb/engine"
	"github.com/dpb-build/dpb/engine/run"
	"github.com/fatih/color"
)

// maxMisses is how many misses of a promise are named.
const maxMisses = 5

// lateness tells how often the promises of some targets were kept.
func (a *app) lateness(args []string) error {
	return a.withSession(true, func(s *run.Session) error {
		selected, err := a.selectPatterns(s.Graph, args, nil)
		if err != nil {
			return err
		}
		list := []run.Lateness{}
		for _, sel := range selected {
			if sel.Node.Target.Due.IsZero() {
				continue
			}
			l, err := s.Lateness(sel.Node, sel.Partitions)
			if err != nil {
				return err
			}
			list = append(list, l)
		}
		if a.json {
			return a.printJSON(list)
		}
		for _, l := range list {
			a.printLateness(l, s.Graph.Workspace.OwnerText(l.Owner))
		}
		if len(list) == 0 {
			fmt.Fprintln(a.stderr, "none of these has a due time")
		}
		return nil
	})
}

func (a *app) printLateness(l run.Lateness, owner string) {
	head := l.Target + "  due " + l.Promise
	if owner != "" {
		head += "  owner " + owner
	}
	fmt.Fprintf(a.stdout, "%s\n  %s\n", head, strings.Join(latenessParts(l), ", "))
	if l.Missed == 0 {
		return
	}
	fmt.Fprintf(a.stdout, "  late by %s at the median, %s at worst\n", ui.Delay(l.Median), ui.Delay(l.Worst))
	for k, m := range l.Misses {
		if k == maxMisses {
			fmt.Fprintf(a.stdout, "  … and %d more; --json lists them\n", len(l.Misses)-k)
			break
		}
		there := "there " + engine.ShowInstant(m.There)
		if m.There.IsZero() {
			there = color.RedString("not there yet")
		}
		fmt.Fprintf(a.stdout, "  %s  late by %s: due %s, %s\n", m.Partition, ui.Delay(m.Delay), engine.ShowInstant(m.Due), there)
	}
}

// latenessParts says "12 due, 11 kept (91.7 %), 1 missed, 1 not due yet".
func latenessParts(l run.Lateness) []string {
	parts := []string{fmt.Sprintf("%d due", l.Kept+l.Missed)}
	if l.Share != nil {
		parts = append(parts, fmt.Sprintf("%d kept (%.1f %%)", l.Kept, 100**l.Share))
	}
	if l.Missed > 0 {
		parts = append(parts, color.RedString("%d missed", l.Missed))
	}
	if l.NotYet > 0 {
		parts = append(parts, fmt.Sprintf("%d not due yet", l.NotYet))
	}
	if l.Before > 0 {
		parts = append(parts, fmt.Sprintf("%d from before it was first built here", l.Before))
	}
	return parts
}
