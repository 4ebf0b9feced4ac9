package cmd

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks/local"
)

func newDoctor(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "doctor", Short: "Look for what scale needs on this machine, and say what to install", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			format, err := c.format()
			if err != nil {
				return err
			}
			a, err := c.app()
			if err != nil {
				return err
			}
			home, err := c.homeDir()
			if err != nil {
				return err
			}
			exe, err := os.Executable()
			if err != nil {
				return err
			}
			t := local.New(local.Config{Root: home.Root(a.Name, a.Env), Build: build(exe)})
			findings := t.Doctor()
			well := true
			for _, f := range findings {
				well = well && f.OK
			}
			if format == "json" {
				err = view.JSON(c.Out, struct {
					Version  int             `json:"version"`
					OK       bool            `json:"ok"`
					Findings []local.Finding `json:"findings"`
				}{plan.Version, well, findings})
			} else {
				c.printFindings(findings)
			}
			if err == nil && !well {
				return exitCode(exitMissing)
			}
			return err
		},
	}
}

func (c *cli) printFindings(fs []local.Finding) {
	s := c.style()
	for _, f := range fs {
		mark := s.Good("✓")
		if !f.OK {
			mark = s.Bad("✗")
		}
		fmt.Fprintf(c.Out, "%s %s: %s\n", mark, f.Name, f.What)
		if f.Hint != "" {
			fmt.Fprintf(c.Out, "    %s %s\n", s.Accent("hint:"), f.Hint)
		}
	}
}
