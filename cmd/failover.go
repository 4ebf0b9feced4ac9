package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/stacks"
)

func newFailover(c *cli) *cobra.Command {
	o := &change{goal: stacks.Goal{Verb: "failover"}, immediately: true} // whoever needs one needs it now
	var automatic bool
	cmd := &cobra.Command{
		Use: "failover --to REGION", Short: "Let the databases be led from another region", Args: noArgs,
		Long: `failover makes the replica in a region the leader. The old leader is fenced first,
so that there are never two: stopped, and marked so that it takes no writes even when
somebody starts it. With the old leader alive the new one has all that it had before it
takes writes; with a dead one, what may be lost is told before you say yes. Then the old
one follows from a fresh copy, and what it held is kept beside it. On AWS another replica
is made instead of the old leader, whose last snapshot stays.

Writes fail from the fence until the new leader takes them; reads go on.`,
		Example: "  scale failover --to eu-west-1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if automatic {
				return o.arbitrate(cmd.Context(), c)
			}
			if o.goal.Region == "" {
				return &usageError{"failover needs a region", "scale failover --to eu-west-1; 'scale status' shows who leads"}
			}
			return o.run(cmd.Context(), c)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.goal.Region, "to", "", "the region that is to lead")
	cmd.Flags().BoolVar(&automatic, "automatic", false, "go on looking, and replace each leader that does not answer")
	if err := cmd.Flags().MarkHidden("automatic"); err != nil {
		panic(err) // it is defined above
	}
	complete(cmd, "to", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		a, err := c.app()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.Regions, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}

// patience is for how long a leader must not have answered before another leads: longer
// than the agent needs to start one that crashed, with its log to be read again.
const patience = 10 * time.Second

// arbitrate is 'database.failover: automatic': it runs beside the databases, under the agent,
// and is the only one that decides. A leader that cannot be replaced is tried again.
func (o *change) arbitrate(ctx context.Context, c *cli) error {
	e, _, err := c.environment(commandLine())
	if err != nil {
		return err
	}
	if err := e.Unlock(); err != nil { // told at once, not when it is needed
		return err
	}
	o.yes = true
	var dead string
	var since time.Time
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		leader, regions, err := e.DeadLeader(ctx)
		switch {
		case err != nil:
			fmt.Fprintln(c.Err, err)
			continue
		case leader != dead:
			dead, since = leader, time.Now()
			if dead != "" {
				fmt.Fprintf(c.Err, "%s does not answer; replicas that do: %v\n", dead, regions)
			}
		}
		if dead == "" || time.Since(since) < patience {
			continue
		}
		for _, o.goal.Region = range regions {
			if err = o.run(ctx, c); err == nil {
				break
			}
			fmt.Fprintln(c.Err, err)
		}
		since = time.Now()
	}
}
