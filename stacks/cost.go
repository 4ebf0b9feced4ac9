package stacks

import (
	"context"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks/engine"
)

// cost is what the environment costs now and after the plan.
func (e *Environment) cost(ctx context.Context, p *plan.Plan, copied *engine.Stack) error {
	if e.target.Model() == nil {
		return nil
	}
	now, err := e.stack.Standing(ctx)
	if err != nil {
		return err
	}
	after, err := copied.Standing(ctx)
	if err != nil {
		return err
	}
	was, _ := e.target.Cost(now)
	lines, assumes := e.target.Cost(after)
	p.Cost = &plan.Cost{Now: plan.Sum(was), After: plan.Sum(lines), Prices: e.target.Prices(), Assumes: assumes, Lines: lines}
	return nil
}

// Cost is what stands costs.
func (e *Environment) Cost(ctx context.Context) (plan.Cost, error) {
	standing, err := e.stack.Standing(ctx)
	if err != nil {
		return plan.Cost{}, err
	}
	lines, assumes := e.target.Cost(standing)
	return plan.Cost{Now: plan.Sum(lines), After: plan.Sum(lines), Prices: e.target.Prices(), Assumes: assumes, Lines: lines}, nil
}
