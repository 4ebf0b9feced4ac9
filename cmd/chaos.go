package cmd

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/stacks"
)

func newChaos(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "chaos", Short: "Let something go wrong on purpose, and measure what users notice",
		Long: `chaos puts a load on the environment as bench does, lets something go wrong for a while,
and tells what the users of each region met before, meanwhile and after. It is over when the
time is, when you press Ctrl-C, and when the command ends in any other way.`,
		Args: func(_ *cobra.Command, args []string) error {
			return &usageError{"chaos needs to know what is to go wrong", "scale chaos kill, stop, cut, slow or drop"}
		},
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	for _, w := range []struct{ what, of, short, example string }{
		{plan.Kill, "COMPONENT", "Kill a process with all that it started", "  scale chaos kill db-use1-g1 'POST /api/entries {\"name\":\"a\",\"message\":\"b\"}'"},
		{plan.Stop, "COMPONENT", "Let a process, or all of a pool or worker, do nothing and be there", "  scale chaos stop web-blue-use1-g1-1 /api/entries"},
		{plan.Cut, "LINK", "Let a link into another region carry nothing", "  scale chaos cut db-leader-from-eu-west-1 /api/entries --for 20s"},
		{plan.Slow, "LINK", "Let a link into another region take longer", "  scale chaos slow entry-use1-g1-from-eu-west-1 --by 300ms"},
		{plan.Drop, "REGION", "Let a region answer nobody", "  scale chaos drop eu-west-1 /api/entries"},
	} {
		cmd.AddCommand(newWrong(c, w.what, w.of, w.short, w.example))
	}
	return cmd
}

// newWrong is one thing that can go wrong.
func newWrong(c *cli, what, of, short, example string) *cobra.Command {
	o, wrong := &load{}, plan.Chaos{What: what}
	cmd := &cobra.Command{
		Use: what + " " + of + " [REQUEST…]", Short: short, Example: example,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{fmt.Sprintf("chaos %s needs a %s", what, map[string]string{"REGION": "region", "LINK": "link", "COMPONENT": "component"}[of]), "'scale status' names what there is"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if what == plan.Slow && (wrong.By < time.Millisecond || wrong.By > time.Minute) {
				return &usageError{fmt.Sprintf("--by %s is not from 1ms to 1m", wrong.By), "it is how much longer a round trip takes"}
			}
			wrong.Name = args[0]
			return o.run(c, args[1:], "scale chaos", func(e *stacks.Environment, chart io.Writer) (plan.Bench, error) {
				return e.Chaos(cmd.Context(), wrong, o.Load, chart)
			})
		},
	}
	o.flags(cmd)
	if what == plan.Slow {
		cmd.Flags().DurationVar(&wrong.By, "by", 200*time.Millisecond, "how much longer a round trip takes")
	}
	return cmd
}
