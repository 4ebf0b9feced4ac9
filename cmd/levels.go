package cmd

import (
	"strconv"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
)

func newLevels(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "levels", Short: "List the levels and what each adds", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			if format == "json" {
				return view.JSON(c.Out, struct {
					Version int            `json:"version"`
					Levels  []levels.Level `json:"levels"`
				}{plan.Version, levels.All()})
			}
			here := 0
			if e, _, err := c.environment("scale levels"); err == nil {
				here = e.Level()
			}
			view.LevelsText(c.Out, levels.All(), here, c.style())
			return nil
		},
	}
}

func newExplain(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "explain LEVEL", Short: "Explain one level: components, advantages, disadvantages, what to decide",
		Example: "  scale explain 1",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return &usageError{"explain takes one level", "for example: scale explain 1"}
			}
			return nil
		},
		ValidArgsFunction: completeLevels,
		RunE: func(_ *cobra.Command, args []string) error {
			n, err := strconv.Atoi(args[0])
			if err != nil {
				return &usageError{"\"" + args[0] + "\" is not a level", "levels are numbers: scale explain 1"}
			}
			l, err := levels.Get(n)
			if err != nil {
				return err
			}
			format, err := c.format()
			if err != nil {
				return err
			}
			switch format {
			case "json":
				return view.JSON(c.Out, l)
			case "markdown":
				view.LevelMarkdown(c.Out, l)
			default:
				view.LevelText(c.Out, l, c.style())
			}
			return nil
		},
	}
}
