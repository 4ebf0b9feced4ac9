package cmd

import (
	"context"

	"github.com/spf13/cobra"
)

func newInit(c *cli) *cobra.Command           { return &cobra.Command{Use: "init"} }
func newDoctor(c *cli) *cobra.Command         { return &cobra.Command{Use: "doctor"} }
func newDocs(c *cli) *cobra.Command           { return &cobra.Command{Use: "docs"} }
func (c *cli) open(ctx context.Context) error { return nil }
