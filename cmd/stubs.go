package cmd

import "context"

func (c *cli) open(ctx context.Context) error { return nil }
