package cmd

import (
	"context"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/engine"
	"github.com/scale-levels/scale/tui"
)

// open shows the terminal interface on the environment.
func (c *cli) open(ctx context.Context) error {
	e, a, err := c.environment("scale")
	if err != nil {
		return err
	}
	goal := func(level int) stacks.Goal {
		if level == 0 {
			return stacks.Goal{Verb: "down"}
		}
		return stacks.Goal{Verb: "up", Level: level, Port: a.Port}
	}
	return tui.Run(ctx, tui.Environment{
		Name:   e.Name(),
		Status: e.Status,
		Hints:  hints,
		Plan: func(ctx context.Context, level int) (plan.Plan, error) {
			if err := e.Reload(); err != nil {
				return plan.Plan{}, err
			}
			p, err := e.Plan(ctx, goal(level), nil)
			if err != nil {
				return p, err
			}
			if !e.Exists() {
				c.prune(a.Name, a.Env)
			}
			return p, e.Schedule(&p, "", p.Made)
		},
		Walk: func(ctx, now context.Context, level int, approved plan.Plan, sink plan.Sink) error {
			return c.walkLeased(ctx, now, e, goal(level), approved, sink)
		},
		Outputs: func() (map[string]string, error) {
			out, err := e.Outputs()
			texts := map[string]string{}
			for k, v := range out {
				texts[k] = plainly(v)
			}
			return texts, err
		},
	}, c.style())
}

// walkLeased takes the lease for as long as the walk lasts.
func (c *cli) walkLeased(ctx, now context.Context, e *stacks.Environment, g stacks.Goal, approved plan.Plan, sink plan.Sink) error {
	lease, err := e.Lease(ctx, 0, func(engine.Holder) {})
	if err != nil {
		return err
	}
	defer func() { c.release(e, lease, approved.App, approved.Env) }()
	if err := e.Reload(); err != nil {
		return err
	}
	return e.Walk(ctx, now, g, approved, sink)
}
