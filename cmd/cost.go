package cmd

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
)

func newCost(c *cli) *cobra.Command {
	var level int
	cmd := &cobra.Command{
		Use: "cost", Short: "Show what the environment costs a month, component by component", Args: noArgs,
		Long: `cost shows what stands, or with --level what would stand, at the prices of a table
that says when it was made. On this machine nothing has a price.`,
		Example: `  scale cost
  scale cost --rehearse --level 3
  scale cost --level 3 --usage egress=500,lcu=4`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			cost, err := c.cost(cmd.Context(), level)
			if err != nil {
				return err
			}
			if format != "text" {
				return view.JSON(c.Out, cost)
			}
			view.CostText(c.Out, cost, c.style())
			return nil
		},
	}
	cmd.Flags().IntVarP(&level, "level", "l", 0, "the level (default: as it stands)")
	complete(cmd, "level", completeLevels)
	return cmd
}

func (c *cli) cost(ctx context.Context, level int) (plan.Cost, error) {
	if level != 0 {
		if _, err := levels.Get(level); err != nil {
			return plan.Cost{}, err
		}
	}
	e, a, err := c.environment("scale cost")
	if err != nil {
		return plan.Cost{}, err
	}
	if level == 0 {
		return e.Cost(ctx)
	}
	if !e.Exists() {
		defer c.prune(a.Name, a.Env)
	}
	p, err := e.Plan(ctx, stacks.Goal{Verb: "up", Level: level}, nil)
	if err != nil || p.Cost == nil {
		return plan.Cost{}, err
	}
	return *p.Cost, nil
}
