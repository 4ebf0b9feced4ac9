package cmd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/scale-levels/scale/internal/config"
	"github.com/scale-levels/scale/internal/view"
	"github.com/scale-levels/scale/levels"
)

// newDocs writes the generated part of the documentation: pages of the commands
// and levels, and the schema. CI checks that what is committed is fresh.
func newDocs(*cli) *cobra.Command {
	var man string
	cmd := &cobra.Command{
		Use: "docs DIR", Hidden: true, Args: cobra.ExactArgs(1), Short: "Write the generated documentation",
		RunE: func(cmd *cobra.Command, args []string) error {
			root := cmd.Root()
			root.DisableAutoGenTag = true
			if man != "" {
				if err := os.MkdirAll(man, 0o755); err != nil {
					return err
				}
				return doc.GenManTree(root, &doc.GenManHeader{Title: "SCALE", Section: "1"}, man)
			}
			for _, d := range []string{"cli", "levels"} {
				if err := os.MkdirAll(filepath.Join(args[0], d), 0o755); err != nil {
					return err
				}
			}
			if err := doc.GenMarkdownTree(root, filepath.Join(args[0], "cli")); err != nil {
				return err
			}
			for _, l := range levels.All() {
				var b bytes.Buffer
				view.LevelMarkdown(&b, l)
				if err := os.WriteFile(filepath.Join(args[0], "levels", fmt.Sprintf("%d.md", l.Number)), b.Bytes(), 0o644); err != nil {
					return err
				}
			}
			schema, err := config.Schema()
			if err != nil {
				return err
			}
			return os.WriteFile(filepath.Join(args[0], "scale.schema.json"), schema, 0o644)
		},
	}
	cmd.Flags().StringVar(&man, "man", "", "write manual pages into this directory instead")
	return cmd
}
