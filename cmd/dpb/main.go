// Command dpb builds data pipelines: it brings declared targets up to date, partition by partition, and runs only what is stale.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // for machines that have no timezones of their own
)

// version is set by the linker for releases.
var version = "dev"

func main() { os.Exit(dpb(os.Args[1:])) }

// dpb is main as a function, for tests.
func dpb(args []string) (code int) {
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "dpb: this is a bug in dpb, please report it: %v\n%s", p, debug.Stack())
			code = exitBug
		}
	}()
	a := &app{stdout: os.Stdout, stderr: os.Stderr, caught: func() os.Signal { return nil }}
	cmd := a.command()
	cmd.SetArgs(subtractions(args))
	err := cmd.ExecuteContext(context.Background())
	return a.exit(err, a.caught())
}

// interruptible returns a context that the first Ctrl-C ends, one that the second ends, and a function that tells which signal came. A third ends the process.
// Commands that don't use it end at the first.
func interruptible() (ctx, kill context.Context, caught func() os.Signal, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	kill, killNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	first := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s, ok := <-signals
		if !ok {
			return
		}
		first <- s
		cancel()
		if _, ok := <-signals; ok {
			killNow()
			signal.Stop(signals)
		}
	}()
	caught = func() os.Signal {
		select {
		case s := <-first:
			first <- s // it may be asked for again
			return s
		default:
			return nil
		}
	}
	return ctx, kill, caught, func() { signal.Stop(signals); close(signals); cancel(); killNow() }
}

// subtractions moves patterns such as -//x/... behind --, where they are no flags.
func subtractions(args []string) []string {
	var out, patterns []string
	for k, a := range args {
		if a == "--" {
			patterns = append(patterns, args[k+1:]...)
			break
		}
		if strings.HasPrefix(a, "-//") || strings.HasPrefix(a, "-:") {
			patterns = append(patterns, a)
		} else {
			out = append(out, a)
		}
	}
	if patterns == nil {
		return args
	}
	return append(append(out, "--"), patterns...)
}
