// Package cmd is the command line: a file a command, wired together here and
// nowhere else.
package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/engine"
)

// The exit codes.
const (
	exitDone       = 0
	exitFailed     = 1
	exitChanges    = 2 // with --detailed-exitcode
	exitUsage      = 3 // usage or configuration
	exitMissing    = 4 // credentials or a missing tool
	exitGuard      = 5
	exitLocked     = 6
	exitRolledBack = 7
	exitCancelled  = 130
)

// Main runs one command line and returns its exit code.
func Main(args []string) int {
	return run(args, &Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}

// Streams are where a command reads and writes: data on Out, talk on Err.
type Streams struct {
	In  io.Reader
	Out io.Writer
	Err io.Writer
}

// exitCode ends the program with a code and without an error's text.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// usageError is a mistake on the command line.
type usageError struct{ what, hint string }

func (e *usageError) Error() string { return e.what }
func (e *usageError) Hints() string { return e.hint }

func run(args []string, s *Streams) int {
	soft, now, stop := interrupts(s.Err)
	defer stop()
	c := &cli{Streams: s, now: now}
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(s.In)
	root.SetOut(s.Out)
	root.SetErr(s.Err)
	err := root.ExecuteContext(soft)
	var code exitCode
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &code):
		return int(code)
	}
	c.report(err)
	return codeOf(err)
}

// interrupts makes two contexts: the first is done at the first Ctrl-C, and what
// has begun is finished; the second at the second, and nothing is waited for.
func interrupts(talk io.Writer) (soft, now context.Context, stop func()) {
	soft, cancelSoft := context.WithCancel(context.Background())
	now, cancelNow := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for range signals {
			if soft.Err() == nil {
				fmt.Fprintln(talk, "\ninterrupted: finishing what has begun; once more ends at once")
				cancelSoft()
				continue
			}
			cancelNow()
		}
	}()
	return soft, now, func() { signal.Stop(signals); close(signals); cancelSoft(); cancelNow() }
}

func codeOf(err error) int {
	var (
		usage      *usageError
		problem    *config.Problem
		level      *levels.UnknownError
		unfit      *levels.AppError
		damaged    *engine.DamagedError
		setting    *stacks.Error
		guard      *stacks.GuardError
		locked     *engine.LockedError
		rolledBack *stacks.RolledBackError
		tool       interface{ MissingTool() bool }
	)
	switch {
	case errors.As(err, &rolledBack):
		if rolledBack.Nothing {
			return exitUsage
		}
		return exitRolledBack
	case errors.Is(err, engine.ErrCancelled), errors.Is(err, context.Canceled):
		return exitCancelled
	case errors.As(err, &guard):
		return exitGuard
	case errors.As(err, &locked):
		return exitLocked
	case errors.As(err, &tool):
		if tool.MissingTool() {
			return exitMissing
		}
		return exitUsage
	case errors.As(err, &usage), errors.As(err, &problem), errors.As(err, &level), errors.As(err, &unfit), errors.As(err, &damaged), errors.As(err, &setting),
		errors.Is(err, engine.ErrPassphrase):
		return exitUsage
	default:
		return exitFailed
	}
}

// report prints an error once: what happened, why, and what to type next.
func (c *cli) report(err error) {
	style := c.errStyle()
	fmt.Fprintln(c.Err, style.Bad("error: ")+err.Error())
	for _, h := range hints(err) {
		fmt.Fprintln(c.Err, style.Accent("  hint: ")+h)
	}
}

// hints collects what the errors of a tree say about what to do, each once.
func hints(err error) []string {
	var all []string
	seen := map[string]bool{}
	var walk func(error)
	walk = func(err error) {
		h := ""
		switch e := err.(type) {
		case interface{ Hints() string }:
			h = e.Hints()
		case *engine.DamagedError:
			h = e.Hint
		case *engine.LockedError:
			h = "wait for it with --lock-timeout 5m; 'scale lock status' tells more"
		}
		if h != "" && !seen[h] {
			seen[h] = true
			all = append(all, h)
		}
		switch e := err.(type) {
		case interface{ Unwrap() error }:
			if inner := e.Unwrap(); inner != nil {
				walk(inner)
			}
		case interface{ Unwrap() []error }:
			for _, inner := range e.Unwrap() {
				walk(inner)
			}
		}
	}
	walk(err)
	return all
}
