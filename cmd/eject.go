package cmd

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"
)

func newEject(c *cli) *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "eject", Short: "Write a plain Pulumi project that goes on without scale", Args: noArgs,
		Long: `eject writes the programs, what stands, the state and the encrypted secrets as a plain
Pulumi project in Go. Nothing of the environment changes: 'pulumi preview' in the
project shows no change.`,
		Example: `  scale eject --dir ./infrastructure`,
		RunE: func(*cobra.Command, []string) error {
			e, a, err := c.environment("scale eject")
			if err != nil {
				return err
			}
			if dir == "" {
				dir = a.Name + "-" + a.Env
			}
			if dir, err = filepath.Abs(dir); err != nil {
				return err
			}
			if err := e.Eject(dir); err != nil {
				return err
			}
			fmt.Fprintf(c.Out, "%s\n", dir)
			fmt.Fprintln(c.Err, "Its README.md tells how to go on. From then on, leave the environment to one of the two.")
			return nil
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "the directory, new or empty (default: APPLICATION-ENVIRONMENT here)")
	return cmd
}
