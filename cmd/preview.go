package cmd

import (
	"encoding/json"
	"os"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/plan"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
	"github.com/scale-levels/scale/stacks"
	"github.com/scale-levels/scale/stacks/engine"
)

func newPreview(c *cli) *cobra.Command {
	o := &change{goal: stacks.Goal{Verb: "up"}}
	var out string
	var detailed bool
	cmd := &cobra.Command{
		Use: "preview", Short: "Show what 'up' would do, changing nothing", Args: noArgs,
		Example: `  scale preview --level 1
  scale preview --output markdown > plan.md
  scale preview --detailed-exitcode   # 0: no changes, 2: changes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return preview(cmd, c, o, out, detailed)
		},
	}
	f := cmd.Flags()
	f.IntVarP(&o.goal.Level, "level", "l", 0, "the level (default: the one that stands, or that of scale.yaml, or 1)")
	f.IntVar(&o.goal.Port, "port", 0, "port of the public address")
	f.StringVar(&out, "out", "", "write the plan to a file, for 'scale up --plan'")
	f.BoolVar(&detailed, "detailed-exitcode", false, "exit with 2 when there are changes")
	f.StringVar(&o.at, "at", "", "when to begin")
	f.BoolVar(&o.full, "full", false, "show every resource, where there are many")
	f.StringArrayVar(&o.goal.AllowDataLoss, "allow-data-loss", nil, "a resource that may lose its data, by its name; may be repeated")
	complete(cmd, "level", completeLevels)
	return cmd
}

func preview(cmd *cobra.Command, c *cli, o *change, out string, detailed bool) error {
	if o.goal.Level != 0 {
		if _, err := levels.Get(o.goal.Level); err != nil {
			return err
		}
	}
	format, err := c.format()
	if err != nil {
		return err
	}
	e, a, err := c.environment(commandLine())
	if err != nil {
		return err
	}
	if o.goal.Port == 0 {
		o.goal.Port = a.Port
	}
	e.Warm()
	existed := e.Exists()
	p, err := e.Plan(cmd.Context(), o.goal, o.talk(c))
	if !existed {
		defer c.prune(a.Name, a.Env)
	}
	if err != nil {
		return err
	}
	if err := e.Schedule(&p, o.at, p.Made); err != nil {
		return err
	}
	if out != "" {
		b, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			return err
		}
		if err := engine.WriteFile(out, append(b, '\n')); err != nil {
			return &usageError{"the plan cannot be written: " + err.Error(), ""}
		}
	}
	switch format {
	case "json":
		err = view.PlanJSON(c.Out, p)
	case "markdown":
		view.PlanMarkdown(c.Out, p)
	default:
		s := c.style()
		s.Full = o.full
		view.PlanText(c.Out, p, s)
	}
	switch {
	case err != nil:
		return err
	case len(p.Violations) > 0:
		return &stacks.GuardError{Violations: p.Violations}
	case detailed && !p.Empty():
		return exitCode(exitChanges)
	default:
		return nil
	}
}

func readPlan(file string) (plan.Plan, error) {
	var p plan.Plan
	b, err := os.ReadFile(file)
	if err != nil {
		return p, &usageError{"the plan cannot be read: " + err.Error(), "'scale preview --out FILE' writes one"}
	}
	if err := json.Unmarshal(b, &p); err != nil || p.Version == 0 {
		return p, &usageError{file + " is not a plan", "'scale preview --out FILE' writes one"}
	}
	if p.Version != plan.Version {
		return p, &usageError{file + " was written by another version of scale", "make it again with this one"}
	}
	return p, nil
}
