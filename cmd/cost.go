package cmd

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
	"github.com/scale-levels/scale/stacks/engine"
)

func newCost(c *cli) *cobra.Command {
	var level int
	var refresh bool
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
			if refresh {
				if err := c.fetchPrices(cmd.Context()); err != nil {
					return err
				}
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
	cmd.Flags().BoolVar(&refresh, "refresh", false, "fetch the prices of machines, databases and caches in the home region from AWS, and keep them")
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

// pricesFile is where fetched prices are kept, for all projects of a person.
func pricesFile() (string, error) {
	dir, err := os.UserCacheDir()
	return filepath.Join(dir, "scale", "prices.json"), err
}

func (c *cli) fetchPrices(ctx context.Context) error {
	a, err := c.app()
	if err != nil {
		return err
	}
	if c.rehearse {
		return &usageError{"a rehearsal asks nobody for prices", "leave --rehearse or --refresh out"}
	}
	p, err := aws.FetchPrices(ctx, c.profile, a.Regions[0])
	if err != nil {
		return err
	}
	file, err := pricesFile()
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	return engine.WriteFile(file, b)
}

// fetched are the prices that were fetched; nil where none were.
func fetched() *aws.Prices {
	file, err := pricesFile()
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(file)
	var p aws.Prices
	if err != nil || json.Unmarshal(b, &p) != nil || len(p.Hourly) == 0 {
		return nil // the table goes on counting
	}
	return &p
}
