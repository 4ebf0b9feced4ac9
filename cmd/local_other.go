//go:build !unix

package cmd

import "github.com/scale-levels/scale/stacks/local"

func newLocal(local.Config) (localTarget, error) { return nil, local.ErrSystem }
