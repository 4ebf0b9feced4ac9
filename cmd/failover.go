package cmd

import (
	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/stacks"
)

func newFailover(c *cli) *cobra.Command {
	o := &change{goal: stacks.Goal{Verb: "failover"}, immediately: true} // whoever needs one needs it now
	cmd := &cobra.Command{
		Use: "failover --to REGION", Short: "Let the databases be led from another region", Args: noArgs,
		Long: `failover makes the replica in a region the leader. The old leader is fenced first,
so that there are never two: stopped, and marked so that it takes no writes even when
somebody starts it. With the old leader alive the new one has all that it had before it
takes writes; with a dead one, what may be lost is told before you say yes. Then the old
one follows from a fresh copy, and what it held is kept beside it.

Writes fail from the fence until the new leader takes them; reads go on.`,
		Example: "  scale failover --to eu-west-1",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.goal.Region == "" {
				return &usageError{"failover needs a region", "scale failover --to eu-west-1; 'scale status' shows who leads"}
			}
			return o.run(cmd.Context(), c)
		},
	}
	o.flags(cmd)
	cmd.Flags().StringVar(&o.goal.Region, "to", "", "the region that is to lead")
	complete(cmd, "to", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		a, err := c.app()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return a.Regions, cobra.ShellCompDirectiveNoFileComp
	})
	return cmd
}
