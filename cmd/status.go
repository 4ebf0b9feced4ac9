package cmd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/view"
)

func newStatus(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show how the environment stands", Args: noArgs,
		Long: `status shows the level, the address, each component and where the data is. It
starts nothing, but for one thing: an agent that died while its components still
run is started again and adopts them.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			e, _, err := c.environment("scale status")
			if err != nil {
				return err
			}
			st, err := e.Status(cmd.Context())
			if err != nil {
				return err
			}
			if format == "json" {
				return view.JSON(c.Out, st)
			}
			view.StatusText(c.Out, st, c.style(), time.Now())
			return nil
		},
	}
}

func newOutputs(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "outputs [NAME]", Short: "Print what the environment offers: its address, its regions",
		Example: `  scale outputs --json
  curl "$(scale outputs url)"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return &usageError{"outputs takes at most one name", ""}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			e, _, err := c.environment("scale outputs")
			if err != nil {
				return err
			}
			out, err := e.Outputs()
			if err != nil {
				return err
			}
			names := slices.Sorted(maps.Keys(out))
			switch {
			case len(args) == 1:
				v, ok := out[args[0]]
				if !ok {
					hint := "nothing stands: 'scale up' first"
					if len(names) > 0 {
						hint = "the outputs are " + strings.Join(names, ", ")
					}
					return &usageError{fmt.Sprintf("there is no output %q", args[0]), hint}
				}
				if format == "json" {
					return view.JSON(c.Out, v)
				}
				fmt.Fprintln(c.Out, plainly(v))
			case format == "json":
				return view.JSON(c.Out, out)
			default:
				for _, k := range names {
					fmt.Fprintf(c.Out, "%s: %s\n", k, plainly(out[k]))
				}
			}
			return nil
		},
	}
}

func plainly(v any) string {
	if list, ok := v.([]any); ok {
		var parts []string
		for _, e := range list {
			parts = append(parts, fmt.Sprint(e))
		}
		return strings.Join(parts, " ")
	}
	return fmt.Sprint(v)
}
