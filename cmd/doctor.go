package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/aws"
)

// reaches looks whether the shared state can be read.
func (c *cli) reaches(home stacks.Home, a config.App) plan.Finding {
	f := plan.Finding{Name: "state", Level: 1}
	files, err := c.files(home, a)
	if err == nil {
		_, err = files.Inspect("lock")
	}
	if err != nil {
		return f.Bad(err)
	}
	f.OK, f.What = true, a.State
	return f
}

func newDoctor(c *cli) *cobra.Command {
	var app bool
	var paths []string
	cmd := &cobra.Command{
		Use: "doctor", Short: "Look for what scale needs on this machine, and say what to install", Args: noArgs,
		Long: `doctor looks at this machine; for the target aws at credentials, plugin and domain.
With --app it looks at the running application
instead, for what would break with two of it: files that are written beside the
code, a database in a file, session cookies that only one instance accepts. For
that it runs a second instance for a moment, which gets no traffic.`,
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
			findings, err := c.findings(cmd.Context(), home, a, app, paths)
			if err != nil {
				return err
			}
			well := true
			for _, f := range findings {
				well = well && f.OK
			}
			if format == "json" {
				err = view.JSON(c.Out, struct {
					Version  int            `json:"version"`
					OK       bool           `json:"ok"`
					Findings []plan.Finding `json:"findings"`
				}{plan.Version, well, findings})
			} else {
				c.printFindings(findings)
			}
			switch {
			case err == nil && !well && app:
				return exitCode(exitFailed)
			case err == nil && !well:
				return exitCode(exitMissing)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&app, "app", false, "look at the running application, for what would break with two of it")
	cmd.Flags().StringSliceVar(&paths, "path", []string{"/"}, "with --app: paths that are asked for a session cookie")
	return cmd
}

// findings are of this machine, of the account, or of the application that runs.
func (c *cli) findings(ctx context.Context, home stacks.Home, a config.App, running bool, paths []string) ([]plan.Finding, error) {
	if a.Target == config.AWS && !running {
		fs := aws.New(aws.Config{Domain: a.Domain, Account: a.Account, Profile: c.profile, Endpoint: c.endpoint}).Doctor(ctx, a.Regions)
		if a.State != "" {
			fs = append(fs, c.reaches(home, a))
		}
		return fs, nil
	}
	t, err := here(home, a)
	if err != nil {
		return nil, err
	}
	if !running {
		return t.Doctor(), nil
	}
	e, _, err := c.environment("scale doctor")
	if err != nil {
		return nil, err
	}
	return t.InspectApp(ctx, e.Topology(), paths)
}

func (c *cli) printFindings(fs []plan.Finding) {
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
