package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scale-levels/scale/internal/config"
)

func newPurge(c *cli) *cobra.Command {
	return &cobra.Command{
		Use: "purge PATH…", Short: "Make the CDN forget what it has stored",
		Long: `purge makes the CDN's edges in all regions forget a path, or all below one that ends
in "*". The files of a release need no purge: the edges are told of a new one.`,
		Example: "  scale purge '/news/*' /",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{"purge needs a path", "scale purge '/*' forgets everything"}
			}
			for _, p := range args {
				if !strings.HasPrefix(p, "/") {
					return &usageError{fmt.Sprintf("%q is no path", p), "a path begins with /"}
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := c.app()
			if err != nil {
				return err
			}
			if a.Target == config.AWS {
				return &usageError{"this version purges on the target local only", "aws cloudfront create-invalidation --distribution-id … --paths …"}
			}
			home, err := c.homeDir()
			if err != nil {
				return err
			}
			t, err := here(home, a)
			if err != nil {
				return err
			}
			n := 0
			for _, p := range args {
				m, err := t.Purge(cmd.Context(), p)
				if err != nil {
					return err
				}
				n += m
			}
			fmt.Fprintf(c.Out, "%d stored answers forgotten\n", n)
			return nil
		},
	}
}
