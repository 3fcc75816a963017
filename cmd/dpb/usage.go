package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usageErrors makes all that cobra has against a command line usage errors, in words of this program.
func usageErrors(root *cobra.Command) {
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return seeHelp(c, flagText(err)) })
	for _, c := range root.Commands() {
		checkArgs(c)
	}
}

func seeHelp(c *cobra.Command, text string) error {
	return usagef("%s; see %s --help", text, c.CommandPath())
}

// checkArgs has arguments be checked, and with them which flags go together: cobra's own check of that is too late to be told apart from other errors.
func checkArgs(c *cobra.Command) {
	check := c.Args
	c.Args = func(c *cobra.Command, args []string) error {
		if check != nil {
			own := (*exitError)(nil)
			if err := check(c, args); errors.As(err, &own) {
				return seeHelp(c, err.Error())
			} else if err != nil {
				return seeHelp(c, argsText(c, args))
			}
		}
		if c.ValidateFlagGroups() != nil {
			return seeHelp(c, exclusiveText(c))
		}
		return nil
	}
	for _, sub := range c.Commands() {
		checkArgs(sub)
	}
}

// flagText says what is wrong with a flag.
func flagText(err error) string {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		name := "--" + invalid.GetFlag().Name
		switch invalid.GetFlag().Value.Type() {
		case "duration":
			return fmt.Sprintf("%s %s: want a time with its unit, such as 30s, 10m or 2h", name, invalid.GetValue())
		case "int":
			return fmt.Sprintf("%s %s: want a whole number", name, invalid.GetValue())
		}
	}
	return err.Error()
}

// argsText says which arguments a command takes, by its usage line.
func argsText(c *cobra.Command, args []string) string {
	_, takes, _ := strings.Cut(c.Use, " ")
	switch {
	case takes == "":
		noun := "argument"
		if strings.HasPrefix(args[0], "//") || strings.HasPrefix(args[0], ":") || strings.HasPrefix(args[0], "-") {
			noun = "pattern"
		}
		return fmt.Sprintf("%s takes no %s: leave out %s", c.CommandPath(), noun, strings.Join(args, " "))
	case len(args) == 0:
		return fmt.Sprintf("%s wants %s", c.CommandPath(), takes)
	}
	return fmt.Sprintf("%s takes %s, not %s", c.CommandPath(), takes, plural(len(args), "argument"))
}

// exclusiveText names the flags of which only one may be given. No command has another kind of group.
func exclusiveText(c *cobra.Command) string {
	var names []string
	c.Flags().Visit(func(f *pflag.Flag) {
		if f.Annotations["cobra_annotation_mutually_exclusive"] != nil {
			names = append(names, "--"+f.Name)
		}
	})
	return strings.Join(names, " and ") + ": name one"
}

// needsSubcommand makes a command print its help, and refuse what is no command below it.
func needsSubcommand(c *cobra.Command) {
	c.Args = cobra.ArbitraryArgs // else cobra's own complaint comes first
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return c.Help()
		}
		text := ""
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			text = fmt.Sprintf("; did you mean %q?", near[0])
		}
		return usagef("there is no command %q%s see %s --help", args[0], cmp.Or(text, ";"), c.CommandPath())
	}
	c.SuggestionsMinimumDistance = 2
}
