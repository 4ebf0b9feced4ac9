package cmd

import (
	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
)

func newDrift(c *cli) *cobra.Command {
	var detailed bool
	cmd := &cobra.Command{
		Use: "drift", Short: "Show what has changed outside of scale, changing nothing", Args: noArgs,
		Long: `drift looks at what really stands and compares it with what the last walk left. What
it shows is what 'scale up' would do to bring everything back.`,
		Example: `  scale drift
  scale drift --detailed-exitcode   # 0: nothing has changed, 2: something has`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			e, _, err := c.environment("scale drift")
			if err != nil {
				return err
			}
			cs, err := e.Drift(cmd.Context())
			if err != nil {
				return err
			}
			if format != "text" {
				if err := view.JSON(c.Out, struct {
					Version int           `json:"version"`
					Changes []plan.Change `json:"changes"`
				}{plan.Version, cs}); err != nil {
					return err
				}
			} else {
				view.DriftText(c.Out, e.Name(), cs, c.style())
			}
			if detailed && len(cs) > 0 {
				return exitCode(exitChanges)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when something has changed")
	return cmd
}
