package cmd

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/stacks"
)

func newDown(c *cli) *cobra.Command {
	o := &change{goal: stacks.Goal{Verb: "down"}}
	var confirm string
	cmd := &cobra.Command{
		Use: "down", Short: "Take the environment down; its data is kept", Args: noArgs,
		Long: `down stops everything and keeps the data, and says where it is; 'scale up'
brings it back. With --delete-data nothing is left: that asks for the
environment's name, which --confirm gives where nobody can be asked.`,
		Example: `  scale down
  scale down --delete-data --confirm dev --yes`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, a, err := c.environment(commandLine())
			if err != nil {
				return err
			}
			if empty, err := e.Nothing(); err != nil || empty {
				if err == nil {
					fmt.Fprintf(c.Err, "%s/%s: nothing stands.\n", a.Name, a.Env)
				}
				return err
			}
			if o.goal.DeleteData {
				if err := confirmed(c, a.Env, confirm); err != nil {
					return err
				}
			}
			return o.run(cmd.Context(), c)
		},
	}
	o.flags(cmd)
	cmd.Flags().BoolVar(&o.goal.DeleteData, "delete-data", false, "delete the data too: nothing is left")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the environment's name, for --delete-data without a terminal")
	return cmd
}

// confirmed asks for the environment's name before its data is deleted.
func confirmed(c *cli, env, given string) error {
	if given == "" && c.terminal() {
		fmt.Fprintf(c.Err, "This deletes all data of the environment. Type its name, %s, to go on: ", env)
		answer, err := bufio.NewReader(c.In).ReadString('\n')
		if err != nil {
			return context.Canceled
		}
		given = strings.TrimSpace(answer)
	}
	switch given {
	case env:
		return nil
	case "":
		return &usageError{"--delete-data needs the environment's name", "add --confirm " + env}
	default:
		return &usageError{fmt.Sprintf("%q is not the environment's name; nothing was changed", given), "its name is " + env}
	}
}
