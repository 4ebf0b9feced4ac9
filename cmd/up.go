package cmd

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/engine"
)

// change is what 'up' and 'down' share: a goal, who approves it, when it begins.
type change struct {
	goal        stacks.Goal
	yes         bool
	at          string
	immediately bool
	planFile    string
	full        bool
	target      string
	lockTimeout *time.Duration
}

func newUp(c *cli) *cobra.Command {
	o := &change{goal: stacks.Goal{Verb: "up"}}
	cmd := &cobra.Command{
		Use: "up", Short: "Bring the environment to a level, or to what scale.yaml says now", Args: noArgs,
		Long: `up shows the plan, asks, and makes it so: a walk of a few steps, each followed by
a gate that must hold before the next. A second 'up' changes nothing. One that
was interrupted is taken up again by the next.`,
		Example: `  scale up --level 1
  scale up --yes --at 03:00
  scale preview --out plan.json && scale up --plan plan.json --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), c) },
	}
	o.flags(cmd)
	f := cmd.Flags()
	f.IntVarP(&o.goal.Level, "level", "l", 0, "the level (default: the one that stands, or that of scale.yaml, or 1)")
	f.IntVar(&o.goal.Port, "port", 0, "port of the public address (default: as before, or a free one)")
	f.StringVar(&o.at, "at", "", "when to begin: 03:30, '2026-12-01 03:30'")
	f.BoolVar(&o.full, "full", false, "show every resource of the plan, where there are many")
	f.BoolVar(&o.immediately, "now", false, "begin at once, whatever maintenance.window says")
	f.StringVar(&o.planFile, "plan", "", "take the plan of 'scale preview --out'; refused when it is stale")
	complete(cmd, "level", completeLevels)
	return cmd
}

func (o *change) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	f.StringArrayVar(&o.goal.AllowDataLoss, "allow-data-loss", nil, "a resource that may lose its data, by its name; may be repeated")
	o.lockTimeout = lockTimeout(cmd)
}

// run plans, asks, waits for its time, and walks.
func (o *change) run(ctx context.Context, c *cli) error {
	if o.goal.Verb == "up" && (o.goal.Level < 0 || o.goal.Level > 0 && !known(o.goal.Level)) {
		_, err := levels.Get(o.goal.Level)
		return err
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	e, a, err := c.environment(commandLine())
	if err != nil {
		return err
	}
	e.Warm()
	o.target = a.Target
	if o.goal.Verb == "up" && o.goal.Port == 0 {
		o.goal.Port = a.Port
	}
	lease, err := e.Lease(ctx, *o.lockTimeout, func(h engine.Holder) {
		fmt.Fprintf(c.Err, "waiting for %s to end\n", h)
	})
	if err != nil {
		return err
	}
	defer func() { c.release(e, lease, a.Name, a.Env) }()
	if lease.Dead.PID != 0 {
		fmt.Fprintf(c.Err, "found: %s held the environment and ended without releasing it; taken over\n", lease.Dead)
	}
	if err := e.Reload(); err != nil { // another run may have ended while we waited
		return err
	}
	p, err := e.Plan(ctx, o.goal, o.talk(c))
	if err != nil {
		return err
	}
	if o.planFile != "" {
		if err := o.check(p); err != nil {
			return err
		}
	}
	if !o.immediately {
		if err := e.Schedule(&p, o.at, time.Now()); err != nil {
			return err
		}
	}
	if format == "text" {
		s := c.errStyle()
		s.Full = o.full
		view.PlanText(c.Err, p, s)
	}
	if len(p.Violations) > 0 {
		return &stacks.GuardError{Violations: p.Violations}
	}
	if p.Empty() {
		if err := e.Settle(ctx, o.goal); err != nil {
			return err
		}
		return o.done(ctx, c, e, format)
	}
	if err := o.approve(c); err != nil {
		return err
	}
	if err := c.waitUntil(ctx, p.Starts); err != nil {
		return err
	}
	progress := view.NewProgress(c.Err, c.errStyle(), isTerminal(c.Err) && !c.inCI())
	err = e.Walk(ctx, c.now, o.goal, p, progress.Event)
	progress.Close()
	if err != nil {
		return err
	}
	if o.goal.DeleteData {
		return o.gone(ctx, c, e, a.Name, a.Env, format)
	}
	return o.done(ctx, c, e, format)
}

func known(level int) bool { _, err := levels.Get(level); return err == nil }

func (o *change) talk(c *cli) plan.Sink {
	return func(e plan.Event) {
		if l := view.Line(e, c.errStyle()); l != "" {
			fmt.Fprintln(c.Err, l)
		}
	}
}

// check holds the plan of a file against the one that would be taken now.
func (o *change) check(now plan.Plan) error {
	then, err := readPlan(o.planFile)
	if err != nil {
		return err
	}
	switch {
	case then.App != now.App || then.Env != now.Env:
		return &usageError{fmt.Sprintf("%s is a plan for %s/%s, not for %s/%s", o.planFile, then.App, then.Env, now.App, now.Env), ""}
	case then.Digests != now.Digests:
		return &usageError{o.planFile + " is stale: the state, the record or the configuration has changed since it was made",
			"make it again: scale preview --out " + o.planFile}
	}
	return nil
}

// approve asks, where somebody can answer.
func (o *change) approve(c *cli) error {
	if o.yes {
		return nil
	}
	if !c.terminal() || c.json {
		return &usageError{"nobody can be asked whether to go on: there is no terminal", "add --yes once you have seen the plan"}
	}
	fmt.Fprint(c.Err, "\nGo on? [y/N] ")
	answer, err := bufio.NewReader(c.In).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); err == nil && (a == "y" || a == "yes") {
		return nil
	}
	fmt.Fprintln(c.Err, "Nothing was changed.")
	return exitCode(exitCancelled)
}

// waitUntil waits for the time at which an approved change may begin.
func (c *cli) waitUntil(ctx context.Context, at *time.Time) error {
	if at == nil {
		return nil
	}
	fmt.Fprintf(c.Err, "Waiting until %s; Ctrl-C cancels and nothing is changed.\n", at.Local().Format("Mon 2006-01-02 15:04:05"))
	t := time.NewTimer(time.Until(*at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return engine.ErrCancelled
	}
}

// done says where the application is.
func (o *change) done(ctx context.Context, c *cli, e *stacks.Environment, format string) error {
	st, err := e.Status(ctx)
	if err != nil {
		return err
	}
	if format != "text" {
		return view.JSON(c.Out, st)
	}
	if o.goal.Verb != "down" {
		fmt.Fprintf(c.Err, "\n%s answers at level %d:\n", e.Name(), st.Level)
		fmt.Fprintln(c.Out, st.URL)
		return nil
	}
	fmt.Fprintf(c.Err, "\n%s is down.\n", e.Name())
	for _, d := range st.Data {
		fmt.Fprintf(c.Out, "data kept: %s, %s in %s\n", d.Name, view.Bytes(d.Bytes), d.Place)
	}
	if err := c.audit(ctx, e); err != nil {
		return err
	}
	fmt.Fprintf(c.Err, "'scale up' brings it back with its data; 'scale down --delete-data' deletes that too.\n")
	return nil
}

// audit tells what stands on where the environment stood, by its tags, and what that
// costs as far as the state knows it.
func (c *cli) audit(ctx context.Context, e *stacks.Environment) error {
	left, asked, err := e.Audit(ctx)
	if err != nil { // what was to be done is done
		fmt.Fprintf(c.Err, "What is left in the account could not be asked: %v\n", err)
		return nil
	}
	if !asked {
		return nil
	}
	if len(left) == 0 {
		fmt.Fprintln(c.Err, "Nothing with its tags is left in the account.")
		return nil
	}
	fmt.Fprintf(c.Err, "Left in the account, by its tags (%d; what was deleted just now may be among it for some minutes):\n", len(left))
	for _, l := range left {
		fmt.Fprintln(c.Out, "left: "+l.Name)
	}
	if !e.Exists() {
		fmt.Fprintln(c.Err, "It costs what is stored in it, and a key 1 USD a month, until you delete it.")
		return nil
	}
	cost, err := e.Cost(ctx)
	if err == nil {
		fmt.Fprintf(c.Err, "It costs about %.2f USD a month (%s).\n", cost.Now, cost.Prices)
	}
	return err
}

func (o *change) gone(ctx context.Context, c *cli, e *stacks.Environment, app, env, format string) error {
	if format != "text" {
		return view.JSON(c.Out, plan.Status{Version: plan.Version, App: app, Env: env, Target: o.target, State: "absent"})
	}
	fmt.Fprintf(c.Err, "\n%s/%s is gone, with its data.\n", app, env)
	return c.audit(ctx, e)
}

// release gives the lease up, and removes it with what else would be left of an
// environment that does not exist, or not any more.
func (c *cli) release(e *stacks.Environment, lease *engine.Lock, app, env string) {
	if e.Exists() {
		_ = lease.Release() // the end of the process releases it too
		return
	}
	_ = lease.Remove()
	c.prune(app, env)
}

func (c *cli) prune(app, env string) {
	home, err := c.homeDir()
	if err != nil {
		return
	}
	if c.rehearse {
		home.Rehearsal().Prune(app, env)
	}
	home.Prune(app, env)
}

// commandLine is what the lock says that runs. No argument of ours is a secret.
func commandLine() string { return strings.Join(append([]string{"scale"}, os.Args[1:]...), " ") }

func completeLevels(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var ls []string
	for _, l := range levels.All() {
		ls = append(ls, fmt.Sprintf("%d\t%s", l.Number, l.Name))
	}
	return ls, cobra.ShellCompDirectiveNoFileComp
}
